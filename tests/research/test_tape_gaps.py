"""What a tape lacks is counted while it is read, in parts or in one piece; a start that is cut off counts."""

import tempfile
from itertools import pairwise
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from common.messages import SCHEMA, Alert, Envelope
from common.research.data.tape_gaps import Numbering, hole_place, hole_size, holes
from common.store.tape import Hole, Record, read, verify
from common.store.tape_writer import TapeWriter

Said = tuple[str, int, bool]
"""Boot, number, heard live."""


def record(boot: str, seq: int, live: bool) -> Record:
    body = Alert(level="info", code="x", text="")
    envelope = Envelope(
        schema=SCHEMA, source="books", boot=boot, seq=seq, topic="alert.x", ts_event_ns=0, ts_recv_ns=0,
        mono_ns=0, cause="", body=body,
    )  # fmt: skip
    return Record(0, 0, "bus" if live else "state", "books", "alert.x", msgspec.msgpack.encode(envelope))


def found(*parts: list[Said]) -> list[Hole]:
    taken = []
    for part in parts:
        numbering = Numbering()
        assert len(list(numbering.listen([record(*said) for said in part]))) == len(part)
        taken += numbering.numbers()
    return list(holes(taken))


def live(boot: str, *numbers: int) -> list[Said]:
    return [(boot, number, True) for number in numbers]


def test_what_a_tape_begins_with_is_not_missing() -> None:
    assert found(live("a", 7, 8, 9)) == []


def test_a_hole_is_told_with_its_place_and_size() -> None:
    (hole,) = found(live("a", 7, 8, 12))
    assert hole == Hole("books", "a", 8, 3)
    assert (hole_place(hole), hole_size(hole)) == ("books after number 8", "3 messages")


def test_the_beginning_of_a_new_start_is_missing() -> None:
    (hole,) = found(live("a", 7, 8) + live("b", 3, 4))
    assert hole == Hole("books", "b", 0, 2)
    assert (hole_place(hole), hole_size(hole)) == ("books at its start", "2 messages")


def test_what_a_snapshot_brought_of_the_beginning_is_not_missing() -> None:
    (hole,) = found([*live("a", 7, 8), ("b", 2, False), *live("b", 3, 4)])
    assert hole == Hole("books", "b", 0, 1)
    assert hole_size(hole) == "1 message"
    assert found([*live("a", 7), ("b", 1, False), *live("b", 2)]) == []


def test_a_new_start_that_is_there_from_its_first_message_lacks_nothing() -> None:
    assert found(live("a", 7, 8) + live("b", 1, 2)) == []


def test_a_hole_between_two_segments_is_one() -> None:
    assert found(live("a", 1, 2), live("a", 5)) == [Hole("books", "a", 2, 2)]


@given(
    said=st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=3),
)
def test_of_one_start_they_are_the_holes_that_verify_finds_wherever_it_is_cut(
    said: list[tuple[int, bool]], cuts: list[int]
) -> None:
    one = [("a", seq, is_live) for seq, is_live in said]
    ends = [0, *sorted(min(cut, len(one)) for cut in cuts), len(one)]
    parts = [one[begin:end] for begin, end in pairwise(ends)]
    with tempfile.TemporaryDirectory() as name:
        writer = TapeWriter(Path(name))
        for each in one:
            writer.append(record(*each))
        writer.close()
        expected = verify(Path(name)).holes if one else ()
        numbering = Numbering()
        for each_read in read(Path(name)):
            numbering.take(each_read)
    assert found(*parts) == list(expected) == list(holes(numbering.numbers()))
