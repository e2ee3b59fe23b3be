"""A tape read directly and the same tape exported are one dataset, whatever interrupts the export."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import DependencyMissing
from common.messages import (
    SCHEMA,
    Body,
    BookState,
    Envelope,
    FeeSchedule,
    MarketState,
    ResolutionState,
    Tick,
)
from common.research.data import from_tape, imported
from common.research.data.dataset import DataUnreadable
from common.research.data.loading import load
from common.research.data.tape_export import export
from common.store.tape import Record, segments
from common.store.tape_writer import TapeWriter, seal
from common.units import E18, SECOND

START_S = 1_795_737_600
START = START_S * SECOND
WINDOW = f"btc-updown-15m-{START_S}"


def tick(second: int, dollars: int = 90_000, *, kind: str = "twap60", route: str = "polybolt") -> Tick:
    stamp = START + second * SECOND
    return Tick(asset="btc", kind=kind, route=route, observed_ns=stamp, e18=str(dollars * E18))  # type: ignore[arg-type]


def book(second: int, bid4: int, **changed: object) -> BookState:
    made = BookState(
        token="1",
        window=WINDOW,
        outcome="up",
        status="live",
        bids=((bid4, 5_000_000), (bid4 - 100, 7_000_000)),
        asks=((bid4 + 100, 9_000_000),),
        tick4=100,
        venue_ns=START + second * SECOND,
        data_mono_ns=second,
    )
    return msgspec.structs.replace(made, **changed)


def market(**changed: object) -> MarketState:
    made = MarketState(
        window=WINDOW,
        asset="btc",
        condition_id="0xab",
        version="v1",
        token_up="1",
        token_down="2",
        rule="twap",
        lookback_s=60,
        start_ns=START,
        end_ns=START + 900 * SECOND,
        fee=FeeSchedule(70_000, 1),
        taker_delay_ns=150_000_000,
        tick4=100,
        min_size6=5_000_000,
        accepting=True,
    )
    return msgspec.structs.replace(made, **changed)


def record(seq: int, body: Body, at_s: float, *, kind: str = "bus") -> Record:
    at_ns = START + int(at_s * SECOND)
    topic = {"tick": "tick.", "book": "book.", "market": "market.", "resolution": "resolution."}
    envelope = Envelope(
        schema=SCHEMA,
        source="books",
        boot="b",
        seq=seq,
        topic=topic[body.__struct_config__.tag],  # type: ignore[index]
        ts_event_ns=0,
        ts_recv_ns=at_ns,
        mono_ns=at_ns,
        cause="",
        body=body,  # type: ignore[arg-type]
    )
    return Record(at_ns, at_ns, kind, "books", envelope.topic, msgspec.msgpack.encode(envelope))  # type: ignore[arg-type]


def write_tape(directory: Path, groups: list[list[Record]]) -> Path:
    """One segment for each group."""
    for group in groups:
        writer = TapeWriter(directory / "bus")
        for one in group:
            writer.append(one)
        writer.close()
    return directory


def afternoon() -> list[list[Record]]:
    records = [record(1, market(), -30)]
    seq = 1
    for second in range(-5, 905):
        price = 90_000 + (second * 7) % 13
        records.append(record(seq := seq + 1, tick(second, price), second + 1.2))
        if second % 3 == 0:
            bid4 = 4_800 + (second % 7) * 100
            records.append(record(seq := seq + 1, book(second, bid4), second + 0.05))
    records.append(record(seq + 1, market(outcome="up", closed=True), 960))
    return [records[:700], records[700:701], records[701:]]


def test_a_tape_becomes_ticks_books_and_windows(tmp_path: Path) -> None:
    found = load(write_tape(tmp_path, afternoon()))
    assert found.ticks.height == 910
    assert found.ticks["at_ns"].is_sorted()
    assert set(found.ticks["kind"]) == {"twap60"}
    (row,) = found.markets.rows(named=True)
    assert row["window"] == WINDOW
    assert (row["outcome"], row["outcome_source"], row["era"]) == ("up", "official", "fee-twap")
    assert (row["fee_rate_ppm"], row["taker_delay_ns"], row["tick4"]) == (70_000, 150_000_000, 100)
    assert row["strike_e8"] == 90_000 * 10**8
    assert row["close_e8"] == (90_000 + 6300 % 13) * 10**8
    first = found.books.row(0, named=True)
    assert (first["bid4"], first["ask4"], first["derived"]) == (
        first["bids"][0]["price4"],
        first["bid4"] + 100,
        False,
    )
    assert first["bids"][1] == {"price4": first["bid4"] - 100, "size6": 7_000_000}
    assert first["at_ns"] - first["venue_ns"] == SECOND // 20


def test_a_book_that_is_not_live_says_nothing_and_an_empty_one_that_nobody_quotes(tmp_path: Path) -> None:
    states = [book(0, 5_000), book(1, 5_000, status="resync"), book(2, 5_000, bids=(), asks=())]
    found = load(write_tape(tmp_path, [[record(n + 1, state, n) for n, state in enumerate(states)]]))
    assert found.books["bid4"].to_list() == [5_000, None, None]
    assert [None if ladder is None else len(ladder) for ladder in found.books["bids"].to_list()] == [
        2,
        None,
        0,
    ]


def test_a_state_said_again_is_no_news_and_a_tick_said_again_keeps_its_first_receipt(tmp_path: Path) -> None:
    again = [record(1, book(0, 5_000), 0), record(2, book(0, 5_000), 1), record(3, tick(0), 1)]
    later = [record(4, msgspec.structs.replace(tick(0), backfill=True), 30), record(5, tick(0, 90_001), 31)]
    found = load(write_tape(tmp_path, [again, later]))
    assert found.books.height == 1
    assert found.ticks["at_ns"].to_list() == [START + SECOND, START + 31 * SECOND]


def test_the_first_received_tick_of_the_opening_second_is_the_strike(tmp_path: Path) -> None:
    said = [market(), tick(0, 90_010), tick(0, 90_020), tick(0, 80_000, kind="spot")]
    found = load(write_tape(tmp_path, [[record(n, body, n) for n, body in enumerate(said, 1)]]))
    assert found.markets["strike_e8"].to_list() == [90_010 * 10**8]
    assert found.markets["close_e8"].to_list() == [None]


def test_without_a_witness_the_chain_says_the_outcome(tmp_path: Path) -> None:
    resolution = ResolutionState(
        condition_id="0xab", window=WINDOW, numerators=(1, 1), denominator=2, block=1
    )
    found = load(write_tape(tmp_path, [[record(1, market(), 0), record(2, resolution, 1)]]))
    assert found.markets.select("outcome", "outcome_source").row(0) == ("split", "chain")


def test_an_outcome_once_told_is_not_lost(tmp_path: Path) -> None:
    found = load(write_tape(tmp_path, [[record(1, market(outcome="down"), 0)], [record(2, market(), 1)]]))
    assert found.markets["outcome"].to_list() == ["down"]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_an_exported_tape_is_the_tape(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    bodies = st.one_of(
        st.builds(tick, st.integers(-3, 5), st.integers(1, 3), route=st.sampled_from(["rtds", "polybolt"])),
        st.builds(
            book,
            st.integers(0, 3),
            st.sampled_from([4_000, 5_000]),
            status=st.sampled_from(["live", "resync"]),
            asks=st.sampled_from([(), ((6_000, 1),)]),
        ),
        st.builds(market, outcome=st.sampled_from([None, "up"])),
    )
    said = data.draw(
        st.lists(st.tuples(bodies, st.integers(-90_000, 90_000), st.integers(0, 2)), max_size=25)
    )
    groups: list[list[Record]] = [[], [], []]
    for seq, (body, at_s, group) in enumerate(said, 1):
        groups[group].append(record(seq, body, at_s))
    home = tmp_path_factory.mktemp("tape")
    made = write_tape(home / "tape", [group for group in groups if group])
    if not said:
        return
    whole = load(made)
    exported = export(made, home / "out")
    again = load(home / "out")
    assert again.digest == whole.digest == exported.manifest.digest
    for table in ("markets", "ticks", "books", "history"):
        assert getattr(again, table).equals(getattr(whole, table)), table
    assert list(imported.verify(home / "out")) == []


def test_sealing_a_segment_changes_no_digest(tmp_path: Path) -> None:
    made = write_tape(tmp_path, afternoon())
    before = load(made).digest
    for path in (made / "bus").glob("*.tape"):
        seal(path)
    assert load(made).digest == before


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


EXPORT_SLOWLY = """
import sys, time
from pathlib import Path
from common.research.data import imported, tape_export

plain = imported.write_part
def slow(*arguments):
    made = plain(*arguments)
    print(made.path, flush=True)
    time.sleep(0.05)
    return made
imported.write_part = slow
tape_export.export(Path(sys.argv[1]), Path(sys.argv[2]), resume=True)
"""


@pytest.mark.parametrize("files_before_the_kill", [1, 2, 4, 6])
def test_an_export_killed_anywhere_goes_on_to_the_same_bytes(
    tmp_path: Path, files_before_the_kill: int
) -> None:
    made = write_tape(tmp_path / "tape", afternoon())
    export(made, tmp_path / "whole")
    child = subprocess.Popen(
        [sys.executable, "-c", EXPORT_SLOWLY, str(made), str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    for _ in range(files_before_the_kill):
        assert child.stdout.readline()
    os.kill(child.pid, signal.SIGKILL)
    child.stdout.close()
    child.wait()
    assert not (tmp_path / "out" / imported.MANIFEST).exists()
    with pytest.raises(DataUnreadable, match=r"manifest\.json"):
        load(tmp_path / "out")
    done = export(made, tmp_path / "out", resume=True)
    leftovers = [path for path in (tmp_path / "out").rglob(".*") if path.is_file()]
    for path in leftovers:
        path.unlink()
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert done.resumed <= done.segments


def test_resuming_reads_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = afternoon()
    made = write_tape(tmp_path / "tape", groups[:2])
    export(made, tmp_path / "out")
    write_tape(tmp_path / "tape", groups[2:])
    read: list[int] = []
    plain = from_tape.read_segment

    def counted(segment: from_tape.Segment) -> from_tape.SegmentRows:
        read.append(segment.number)
        return plain(segment)

    monkeypatch.setattr("common.research.data.tape_export.read_segment", counted)
    done = export(made, tmp_path / "out", resume=True)
    assert read == [3]
    assert done.resumed == 2
    assert load(tmp_path / "out").digest == load(made).digest


def test_a_segment_that_has_grown_is_read_again(tmp_path: Path) -> None:
    groups = afternoon()
    made = write_tape(tmp_path / "tape", [groups[0]])
    export(made, tmp_path / "out")
    longer = write_tape(tmp_path / "longer", [groups[0] + groups[1] + groups[2]])
    (longer / "bus" / "00000001.tape").replace(made / "bus" / "00000001.tape")
    done = export(made, tmp_path / "out", resume=True)
    assert done.resumed == 0
    assert load(tmp_path / "out").digest == load(made).digest


def test_a_part_damaged_since_is_written_again(tmp_path: Path) -> None:
    made = write_tape(tmp_path / "tape", afternoon())
    export(made, tmp_path / "out")
    victim = next((tmp_path / "out" / "ticks").rglob("*.parquet"))
    victim.write_bytes(victim.read_bytes()[:-1])
    assert any("other bytes" in problem for problem in imported.verify(tmp_path / "out"))
    export(made, tmp_path / "out", resume=True)
    assert list(imported.verify(tmp_path / "out")) == []


def test_a_folder_in_use_is_not_overwritten(tmp_path: Path) -> None:
    made = write_tape(tmp_path / "tape", afternoon())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(DependencyMissing, match="--resume"):
        export(made, tmp_path / "out")


def test_a_torn_segment_is_read_to_its_tear_and_the_tear_is_told(tmp_path: Path) -> None:
    made = write_tape(tmp_path / "tape", afternoon())
    path = made / "bus" / "00000001.tape"
    path.write_bytes(path.read_bytes()[:-10])
    assert segments(made / "bus") == [1, 2, 3]
    done = export(made, tmp_path / "out")
    assert len(done.tears) == 1
    assert load(tmp_path / "out").digest == load(made).digest
