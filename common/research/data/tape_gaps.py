"""What a tape lacks, in one form and in one wording for every study: torn segments and missing numbers.

Counts while a study reads, so that nobody reads a tape twice. Never judges whether what is left is enough.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import msgspec

from common.store.tape import Hole, Record, Tear

Runs = list[tuple[int, int]]
"""Numbers as first and last of each unbroken run."""


class Gaps(NamedTuple):
    """What is known to be missing from what a study read."""

    tears: tuple[Tear, ...] = ()
    holes: tuple[Hole, ...] = ()
    """A hole after number 0 is at the beginning of a publisher that was started anew."""

    @property
    def missing(self) -> int:
        """Messages that were published and are not there."""
        return sum(hole.missing for hole in self.holes)


NO_GAPS = Gaps()


class Numbers(msgspec.Struct):
    """The numbers of one start of a publisher that are on a tape, or on a part of one."""

    source: str
    boot: str
    live: Runs
    repeated: Runs
    """What a snapshot brought: it fills holes and is no evidence of one."""


class _Head(msgspec.Struct):
    """As much of an envelope as any version can read."""

    source: str
    boot: str
    seq: int


_head_decoder = msgspec.msgpack.Decoder(_Head)


class Numbering:
    """Takes the numbers of records down as they pass."""

    def __init__(self) -> None:
        self._heard: dict[tuple[str, str], Numbers] = {}

    def listen(self, records: Iterable[Record]) -> Iterator[Record]:
        """The same records, with their numbers taken down."""
        for record in records:
            self.take(record)
            yield record

    def take(self, record: Record) -> None:
        """Take the number of one record down; a frame of a feed has none."""
        if record.kind == "raw":
            return
        try:
            head = _head_decoder.decode(record.data)
        except msgspec.DecodeError:
            return  # it is counted as unreadable by whoever wants its content
        key = (head.source, head.boot)
        numbers = self._heard.get(key)
        if numbers is None:
            numbers = self._heard[key] = Numbers(head.source, head.boot, [], [])
        runs = numbers.live if record.kind == "bus" else numbers.repeated
        if runs and runs[-1][1] + 1 == head.seq:
            runs[-1] = (runs[-1][0], head.seq)
        else:
            runs.append((head.seq, head.seq))

    def numbers(self) -> list[Numbers]:
        """What was taken down, in the order in which the starts of publishers were first heard."""
        return [
            msgspec.structs.replace(one, live=_merged(one.live), repeated=_merged(one.repeated))
            for one in self._heard.values()
        ]


def holes(parts: Iterable[Numbers]) -> tuple[Hole, ...]:
    """The holes in these numbers, which may come in parts but in the order of the tape.

    A hole lies between two messages heard live, or before the first one of a publisher that was started anew:
    what its first start on the tape said before the tape began is not missing.
    """
    whole: dict[tuple[str, str], Numbers] = {}
    for part in parts:
        known = whole.setdefault((part.source, part.boot), Numbers(part.source, part.boot, [], []))
        known.live += part.live
        known.repeated += part.repeated
    found: list[Hole] = []
    started: set[str] = set()
    for (source, boot), numbers in whole.items():
        live, repeated = _merged(numbers.live), _merged(numbers.repeated)
        begins = [first for first, _ in repeated]
        if source in started:
            live = [(0, 0), *live]
        started.add(source)
        for (_, before), (after, _) in pairwise(live):
            near = repeated[max(0, bisect_right(begins, before) - 1) : bisect_right(begins, after)]
            missing = after - before - 1 - _covered(near, before + 1, after - 1)
            if missing:
                found.append(Hole(source, boot, before, missing))
    return tuple(found)


def tear_text(tear: Tear) -> str:
    """Where a segment is torn and what that costs, for people."""
    return f"{tear.segment}: {tear.reason} at byte {tear.offset}; {tear.loss}"


def hole_place(hole: Hole) -> str:
    """Where numbers are missing, for people."""
    return f"{hole.source} after number {hole.after_seq}" if hole.after_seq else f"{hole.source} at its start"


def hole_size(hole: Hole) -> str:
    """How many numbers are missing there, for people."""
    return f"{hole.missing} message{'s' * (hole.missing > 1)}"


def _merged(runs: Runs) -> Runs:
    merged: Runs = []
    for first, last in sorted(runs):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _covered(runs: Runs, first: int, last: int) -> int:
    """How many of the numbers from ``first`` to ``last`` are in these runs."""
    return sum(max(0, min(last, end) - max(first, begin) + 1) for begin, end in runs)
