"""Raw frames reach their tape without ever holding the feed up."""

import time
from pathlib import Path

import pytest

from common.store import raw_frames
from common.store.raw_frames import RawLog
from common.store.tape import read, verify
from common.store.tape_writer import TapeWriter


def test_frames_come_back_with_their_receive_time(tmp_path: Path) -> None:
    log = RawLog(tmp_path, "books", reserve_bytes=0)
    log.append("text", 11, 1)
    log.append(b"\x00bytes", 12, 2)
    log.close()
    found = [(r.kind, r.source, r.wall_ns, r.mono_ns, r.data) for r in read(tmp_path / "raw-books")]
    assert found == [("raw", "books", 11, 1, b"text"), ("raw", "books", 12, 2, b"\x00bytes")]
    assert (log.records, log.dropped) == (2, 0)


def test_frames_are_gathered_and_a_gathering_lasts_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that is woken for each frame takes the interpreter from the feed when it needs it."""
    flushes: list[int] = []
    flush = TapeWriter.flush

    def counted(writer: TapeWriter) -> Path | None:
        finished = flush(writer)
        flushes.append(writer.records)
        return finished

    monkeypatch.setattr(TapeWriter, "flush", counted)
    monkeypatch.setattr(raw_frames, "GATHER_S", 0.5)
    log = RawLog(tmp_path, "books", reserve_bytes=0)
    for number in range(20):
        log.append("frame", number, number)
        time.sleep(0.001)
    deadline = time.monotonic() + 10
    while log.records < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert flushes == [20]
    log.close()


def test_what_is_more_than_may_wait_is_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_frames, "GATHER_S", 0.5)
    log = RawLog(tmp_path, "books", capacity=50, reserve_bytes=0)
    log.append("first", 0, 0)
    time.sleep(0.1)
    for number in range(100):
        log.append("frame", number, number)
    assert log.overflowed == 50, "one is in the thread's hand, 50 wait"
    log.close()
    assert (log.records, log.dropped) == (101 - log.overflowed, log.overflowed)


def test_a_disk_that_takes_nothing_never_stops_the_feed(tmp_path: Path) -> None:
    (tmp_path / "raw-books").write_text("in the way")
    log = RawLog(tmp_path, "books", capacity=50, reserve_bytes=0)
    started = time.monotonic()
    for number in range(5_000):
        log.append("frame", number, number)
    assert time.monotonic() - started < 1.0
    log.close()
    assert (log.records, log.dropped) == (0, 5_000)


def test_what_an_earlier_run_left_is_sealed(tmp_path: Path) -> None:
    for number in range(2):
        log = RawLog(tmp_path, "books", reserve_bytes=0)
        log.append("frame", number, number)
        log.close()
    names = sorted(path.name for path in (tmp_path / "raw-books").iterdir())
    assert names == ["00000001.tape.gz", "00000002.tape"]
    assert verify(tmp_path).records == 2
