"""Raw frames reach their tape without ever holding the feed up."""

import time
from pathlib import Path

from common.store.raw_frames import RawLog
from common.store.tape import read, verify


def test_frames_come_back_with_their_receive_time(tmp_path: Path) -> None:
    log = RawLog(tmp_path, "books", reserve_bytes=0)
    log.append("text", 11, 1)
    log.append(b"\x00bytes", 12, 2)
    log.close()
    found = [(r.kind, r.source, r.wall_ns, r.mono_ns, r.data) for r in read(tmp_path / "raw-books")]
    assert found == [("raw", "books", 11, 1, b"text"), ("raw", "books", 12, 2, b"\x00bytes")]
    assert (log.records, log.dropped) == (2, 0)


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
