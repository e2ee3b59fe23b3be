"""The clocks of a process: wall time towards the venue, monotonic time for ages and deadlines."""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """What a shell hands to whoever needs the time."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970."""

    def mono_ns(self) -> int:
        """Nanoseconds on the host's monotonic clock, comparable between our processes."""


class SystemClock:
    """The host's clocks."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970."""
        return time.time_ns()

    def mono_ns(self) -> int:
        """Nanoseconds on the host's monotonic clock."""
        return time.monotonic_ns()


@dataclass
class ManualClock:
    """Clocks that move only when told, both by the same amount."""

    wall: int = 0
    mono: int = 0

    def wall_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self.wall

    def mono_ns(self) -> int:
        """Nanoseconds since an arbitrary start."""
        return self.mono

    def advance(self, ns: int) -> None:
        """Move both clocks."""
        self.wall += ns
        self.mono += ns
