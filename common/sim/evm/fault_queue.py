"""Faults that hit so many requests and then are used up. Knows no particular fault."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar


class _Counted(Protocol):
    @property
    def times(self) -> int: ...


F = TypeVar("F", bound=_Counted)
S = TypeVar("S", bound=_Counted)


class FaultQueue(Generic[F]):
    """The set of faults that holds now; ``times`` of 0 holds until the set is replaced."""

    def __init__(self, faults: Iterable[F] = ()) -> None:
        self._faults: tuple[F, ...] = tuple(faults)
        self._used: Counter[int] = Counter()

    def replace(self, faults: Iterable[F]) -> None:
        """Only these from now on, counted anew."""
        self._faults = tuple(faults)
        self._used.clear()

    def take(self, kind: type[S], fits: Callable[[S], bool] = lambda _fault: True) -> S | None:
        """The first fault of this kind that fits and is not used up; it counts as used once more."""
        for number, fault in enumerate(self._faults):
            if not isinstance(fault, kind) or not fits(fault):
                continue
            if fault.times and self._used[number] >= fault.times:
                continue
            self._used[number] += 1
            return fault
        return None
