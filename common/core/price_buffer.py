"""The recent past of one price series, ordered by the oracle's own stamp.

Owns duplicates, corrections and late arrivals. Never reads a clock: the newest stamp alone decides what is
too old, so callers refuse stamps from the future before they add them.
"""

from bisect import bisect_left, bisect_right
from enum import Enum
from typing import NamedTuple

import msgspec

from common.units import SECOND, ceil_div

_DROP_AT_LEAST = 256
LONGEST_RUN = 120


class Added(Enum):
    """What became of an observation handed to the buffer."""

    NEW = "new"
    """Newer than all before."""
    SAME = "same"
    """Known already, or received before the value that is held for this stamp."""
    CORRECTED = "corrected"
    """Another value for a known stamp: it replaces the former."""
    LATE = "late"
    """Put in its place before newer ones."""
    TOO_OLD = "too_old"
    """Beyond the horizon: ignored."""


class Observation(NamedTuple):
    """One value (1e-18 dollars), its stamp, and the monotonic instant at which it reached us."""

    observed_ns: int
    value: int
    mono_ns: int


class Mean(msgspec.Struct, frozen=True):
    """Sum and number of the observations in a span, and how many of its seconds have none."""

    total: int
    count: int
    missing: int


class PriceBuffer:
    """Observations of one series no older than ``horizon_ns`` before the newest stamp."""

    def __init__(self, horizon_ns: int) -> None:
        self._horizon_ns = horizon_ns
        self._stamps: list[int] = []
        self._values: list[int] = []
        self._monos: list[int] = []
        self._first = 0
        """Index of the oldest observation within the horizon; those before it await being dropped."""

    def __len__(self) -> int:
        return len(self._stamps) - self._first

    def add(self, observed_ns: int, value: int, mono_ns: int) -> Added:
        """Take in one observation; of two values for one stamp the one received later stays."""
        if not len(self) or observed_ns > self._stamps[-1]:
            self._stamps.append(observed_ns)
            self._values.append(value)
            self._monos.append(mono_ns)
            self._trim()
            return Added.NEW
        if observed_ns < self._stamps[-1] - self._horizon_ns:
            return Added.TOO_OLD
        index = bisect_left(self._stamps, observed_ns, self._first)
        if self._stamps[index] != observed_ns:
            self._stamps.insert(index, observed_ns)
            self._values.insert(index, value)
            self._monos.insert(index, mono_ns)
            return Added.LATE
        if self._values[index] == value or mono_ns < self._monos[index]:
            return Added.SAME
        self._values[index] = value
        self._monos[index] = mono_ns
        return Added.CORRECTED

    def latest(self) -> Observation | None:
        """The observation with the newest stamp."""
        return self._observation(len(self._stamps) - 1) if len(self) else None

    def at(self, instant_ns: int) -> int | None:
        """The value stamped exactly ``instant_ns``."""
        if self._stamps and instant_ns >= self._stamps[-1]:
            return self._values[-1] if instant_ns == self._stamps[-1] else None
        index = bisect_left(self._stamps, instant_ns, self._first)
        if index < len(self._stamps) and self._stamps[index] == instant_ns:
            return self._values[index]
        return None

    def observation_at(self, instant_ns: int) -> Observation | None:
        """The observation stamped exactly ``instant_ns``."""
        index = bisect_left(self._stamps, instant_ns, self._first)
        found = index < len(self._stamps) and self._stamps[index] == instant_ns
        return self._observation(index) if found else None

    def unchanged_since(self, instant_ns: int) -> Observation | None:
        """The first of the equal values in a row that ends with the last one at or before ``instant_ns``.

        Looks back at most ``LONGEST_RUN`` observations: whoever asks has called it stale long before.
        """
        end = bisect_right(self._stamps, instant_ns, self._first) - 1
        if end < self._first:
            return None
        start = end
        while start > max(self._first, end - LONGEST_RUN) and self._values[start - 1] == self._values[end]:
            start -= 1
        return self._observation(start)

    def began(self) -> Observation | None:
        """The first of the equal values in a row that ends with the newest: as ``unchanged_since`` its stamp.

        Asked at every decision, so without a search for the stamp.
        """
        values = self._values
        start = end = len(values) - 1
        if end < self._first:
            return None
        newest, first = values[end], max(self._first, end - LONGEST_RUN)
        while start > first and values[start - 1] == newest:
            start -= 1
        return Observation(self._stamps[start], values[start], self._monos[start])

    def as_of(self, instant_ns: int) -> Observation | None:
        """The last observation at or before ``instant_ns``."""
        stamps = self._stamps
        if stamps and stamps[-1] <= instant_ns:
            return Observation(stamps[-1], self._values[-1], self._monos[-1])
        index = bisect_right(self._stamps, instant_ns, self._first) - 1
        return self._observation(index) if index >= self._first else None

    def first_at_or_after(self, instant_ns: int) -> Observation | None:
        """The first held observation at or after ``instant_ns``."""
        index = bisect_left(self._stamps, instant_ns, self._first)
        return self._observation(index) if index < len(self._stamps) else None

    def held_mean(self, from_ns: int, to_ns: int, hold_ns: int) -> Mean:
        """As ``mean``, of a series without a beat: each whole second counts with its last value before it.

        A value is held for at most ``hold_ns``; a second that nothing reaches is missing.
        """
        values = []
        seconds = range(from_ns // SECOND + 1, to_ns // SECOND + 1)
        for second in seconds:
            found = self.as_of(second * SECOND)
            if found is not None and second * SECOND - found.observed_ns <= hold_ns:
                values.append(found.value)
        return Mean(sum(values), len(values), len(seconds) - len(values))

    def mean(self, from_ns: int, to_ns: int) -> Mean:
        """Sum and count of the observations with ``from_ns < observed <= to_ns``, each of equal weight.

        The mean is ``total / count``; nothing is held over from before the span and no gap is filled. The
        span is also cut into seconds counted from ``from_ns``, each open at its start and closed at its end
        (the last one may be shorter): ``missing`` is how many of them hold no observation. Of a series with
        one observation a second, 0 means that the mean is complete.
        """
        start = bisect_right(self._stamps, from_ns, self._first)
        end = max(start, bisect_right(self._stamps, to_ns, self._first))
        seconds = max(0, ceil_div(to_ns - from_ns, SECOND))
        seen = len({(stamp - from_ns - 1) // SECOND for stamp in self._stamps[start:end]})
        return Mean(sum(self._values[start:end]), end - start, seconds - seen)

    def _observation(self, index: int) -> Observation:
        return Observation(self._stamps[index], self._values[index], self._monos[index])

    def _trim(self) -> None:
        """Leave behind what fell out of the horizon; dropping in bulk keeps the cost of an add constant."""
        self._first = bisect_left(self._stamps, self._stamps[-1] - self._horizon_ns, self._first)
        if self._first >= max(_DROP_AT_LEAST, len(self)):
            del self._stamps[: self._first], self._values[: self._first], self._monos[: self._first]
            self._first = 0
