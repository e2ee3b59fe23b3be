"""A circuit breaker: how long one that failed is left alone, on the monotonic clock. Asks nobody.

Waits grow from one second to a minute, and end with the first answer that can be used. Several questions that
were under way together and fail together count as one failure.
"""

from common.runtime.clock import Clock
from common.units import SECOND

FIRST_WAIT_NS = SECOND
LONGEST_WAIT_NS = 60 * SECOND
_MOST_DOUBLINGS = 16


class Circuit:
    """Whether somebody may be asked now; ``problem`` is why not."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._again_ns = 0
        self.problem = ""

    @property
    def is_open(self) -> bool:
        """Whether it is being left alone."""
        return self._failures > 0 and self._clock.mono_ns() < self._again_ns

    @property
    def wait_s(self) -> float:
        """How long it is still left alone."""
        return max(0, self._again_ns - self._clock.mono_ns()) / SECOND if self._failures else 0.0

    def begin(self) -> int:
        """A mark to take before asking, which the outcome is told with."""
        return self._failures

    def failed(self, mark: int, problem: str) -> None:
        """It could not be used; ``problem`` is one sentence."""
        if mark != self._failures:
            return
        doublings = min(self._failures, _MOST_DOUBLINGS)
        self._failures += 1
        self._again_ns = self._clock.mono_ns() + min(FIRST_WAIT_NS << doublings, LONGEST_WAIT_NS)
        self.problem = problem

    def worked(self, mark: int) -> None:
        """It gave an answer that can be used."""
        if mark == self._failures:
            self._failures, self._again_ns, self.problem = 0, 0, ""
