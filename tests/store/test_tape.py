"""A tape gives back what was written, whatever happened to its end."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import DependencyMissing
from common.messages import SCHEMA, Alert, Envelope
from common.store.tape import FRAME, MAGIC, Record, Tear, home, read, segments, verify
from common.store.tape_writer import TapeWriter, leftovers, seal


def record(number: int, data: bytes = b"frame") -> Record:
    return Record(
        mono_ns=number * 1_000_000_000, wall_ns=number, kind="raw", source="rtds", topic="frame", data=data
    )


def bus(seq: int, boot: str = "b1", source: str = "books") -> Record:
    envelope = Envelope(
        schema=SCHEMA,
        source=source,
        boot=boot,
        seq=seq,
        topic="alert.x",
        ts_event_ns=0,
        ts_recv_ns=0,
        mono_ns=0,
        cause="",
        body=Alert(level="info", code="x", text=""),
    )
    return Record(0, 0, "bus", source, envelope.topic, msgspec.msgpack.encode(envelope))


def write(directory: Path, *records: Record, **limits: int) -> list[Path]:
    writer = TapeWriter(directory, **limits)
    finished = []
    for one in records:
        writer.append(one)
        finished.append(writer.flush())
    finished.append(writer.close())
    return [path for path in finished if path is not None]


def test_what_was_written_comes_back_in_order(tmp_path: Path) -> None:
    written = [record(n, os.urandom(n)) for n in range(50)]
    write(tmp_path, *written)
    assert list(read(tmp_path)) == written


def test_an_absent_tape_is_empty(tmp_path: Path) -> None:
    assert list(read(tmp_path / "none")) == []


def test_segments_rotate_by_size_and_are_read_across_sealed_and_open(tmp_path: Path) -> None:
    written = [record(n, b"x" * 400) for n in range(20)]
    finished = write(tmp_path, *written, segment_bytes=2_000)
    assert len(finished) > 2
    for path in finished[:2]:
        sealed = seal(path)
        assert sealed.stat().st_mode & 0o777 == 0o600
        assert not path.exists()
    assert list(read(tmp_path)) == written


def test_segments_rotate_by_time(tmp_path: Path) -> None:
    finished = write(tmp_path, *(record(n) for n in range(10)), segment_ns=3_000_000_000)
    assert len(finished) == 3


def test_a_new_writer_starts_a_new_segment(tmp_path: Path) -> None:
    write(tmp_path, record(1))
    write(tmp_path, record(2))
    assert segments(tmp_path) == [1, 2]
    assert list(read(tmp_path)) == [record(1), record(2)]


@settings(max_examples=150, deadline=None)
@given(sizes=st.lists(st.integers(0, 60), min_size=1, max_size=8), cut=st.integers(0, 10_000))
def test_a_torn_tail_costs_only_the_torn_record(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], cut: int
) -> None:
    directory = tmp_path_factory.mktemp("tape")
    written = [record(n, bytes(size)) for n, size in enumerate(sizes)]
    (path,) = write(directory, *written)
    content = path.read_bytes()
    ends = [len(MAGIC)]
    for one in written:
        ends.append(ends[-1] + FRAME.size + len(msgspec.msgpack.encode(one)))
    cut = cut % (len(content) + 1)
    path.write_bytes(content[:cut])
    write(directory, record(99))
    tears: list[Tear] = []
    whole = sum(1 for end in ends[1:] if end <= cut)
    assert list(read(directory, tears.append)) == [*written[:whole], record(99)]
    assert bool(tears) == (cut != 0 and cut not in ends)
    if tears:
        assert tears[0].offset + (tears[0].lost_bytes or 0) == cut


def test_a_flipped_bit_stops_the_segment_there(tmp_path: Path) -> None:
    (path,) = write(tmp_path, record(1), record(2), record(3))
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.write_bytes(content)
    tears: list[Tear] = []
    assert list(read(tmp_path, tears.append)) == [record(1), record(2)]
    assert tears[0].reason == "checksum differs"
    assert tears[0].loss == f"{tears[0].lost_bytes} bytes are lost"


def test_an_absurd_length_is_a_tear_not_an_allocation(tmp_path: Path) -> None:
    (path,) = write(tmp_path, record(1))
    with path.open("ab") as file:
        file.write(FRAME.pack(0xFFFFFFFF, zlib.crc32(b"")) + b"junk")
    check = verify(tmp_path)
    assert (check.records, check.tears[0].lost_bytes) == (1, FRAME.size + 4)


def test_a_cut_sealed_segment_is_a_tear(tmp_path: Path) -> None:
    (path,) = write(tmp_path, *(record(n, os.urandom(2_000)) for n in range(20)))
    sealed = seal(path)
    sealed.write_bytes(sealed.read_bytes()[:-9_000])
    write(tmp_path, record(99))
    check = verify(tmp_path)
    assert 0 < check.records < 21
    (tear,) = check.tears
    assert (tear.lost_bytes, tear.cut_off) == (None, True)
    assert tear.loss == "cut off; what followed is not there"


def test_a_cut_plain_segment_does_not_pretend_to_know_what_followed(tmp_path: Path) -> None:
    (path,) = write(tmp_path, *(record(n, bytes(2_000)) for n in range(20)))
    path.write_bytes(path.read_bytes()[:5_000])
    (tear,) = verify(tmp_path).tears
    assert tear.loss == "cut off; what followed is not there"


def test_a_sealed_segment_cut_to_nothing_is_a_tear(tmp_path: Path) -> None:
    (path,) = write(tmp_path, record(1))
    seal(path).write_bytes(b"")
    (tear,) = verify(tmp_path).tears
    assert tear.cut_off


def test_damage_within_packed_data_is_not_told_as_no_loss(tmp_path: Path) -> None:
    (path,) = write(tmp_path, *(record(n, os.urandom(2_000)) for n in range(20)))
    sealed = seal(path)
    content = bytearray(sealed.read_bytes())
    content[-8] ^= 1  # the checksum of all that was packed
    sealed.write_bytes(content)
    (tear,) = verify(tmp_path).tears
    assert tear.loss == "what follows cannot be unpacked"


def test_a_state_directory_stands_for_its_tapes(tmp_path: Path) -> None:
    write(tmp_path / "tapes" / "bus", record(1))
    assert home(tmp_path) == home(tmp_path / "tapes") == tmp_path / "tapes"
    assert home(tmp_path / "tapes" / "bus") == tmp_path / "tapes" / "bus"
    assert home(tmp_path / "none") == tmp_path / "none"


def test_a_file_of_another_kind_is_a_tear(tmp_path: Path) -> None:
    (tmp_path / "00000001.tape").write_bytes(b"something else entirely")
    assert verify(tmp_path).tears[0].reason == "not a tape of this version"


def test_a_crash_between_sealing_and_removing_reads_each_record_once(tmp_path: Path) -> None:
    (path,) = write(tmp_path, record(1), record(2))
    content = path.read_bytes()
    seal(path)
    path.write_bytes(content)
    (tmp_path / "00000001.tape.gz.part").write_bytes(b"half")
    assert list(read(tmp_path)) == [record(1), record(2)]
    assert leftovers(tmp_path) == [path]
    seal(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["00000001.tape.gz"]


def test_holes_are_counted_per_source_and_boot(tmp_path: Path) -> None:
    write(tmp_path, bus(5), bus(6), bus(1, "b2"), bus(9), bus(2, "b2"), bus(1, "b1", "oracle-rtds"))
    check = verify(tmp_path)
    assert [tuple(hole) for hole in check.holes] == [("books", "b1", 6, 2)]
    assert check.records == 6


def test_what_a_snapshot_repeats_is_no_hole(tmp_path: Path) -> None:
    def repeated(seq: int) -> Record:
        return msgspec.structs.replace(bus(seq), kind="state")

    write(tmp_path, repeated(2), bus(8), repeated(9), repeated(40), bus(10))
    assert verify(tmp_path).holes == ()
    write(tmp_path, repeated(15), bus(21))
    assert [tuple(hole) for hole in verify(tmp_path).holes] == [("books", "b1", 10, 9)]


def test_a_directory_of_tapes_is_one_account(tmp_path: Path) -> None:
    write(tmp_path / "bus", bus(1), bus(3))
    write(tmp_path / "raw-books", record(1))
    check = verify(tmp_path)
    assert (check.records, check.segments, check.holes[0].missing) == (3, 2, 1)
    assert list(read(tmp_path)) == [bus(1), bus(3), record(1)]


def test_an_unreadable_envelope_is_counted_not_fatal(tmp_path: Path) -> None:
    write(tmp_path, Record(0, 0, "bus", "books", "x", b"\xc1"), bus(1))
    assert verify(tmp_path).unreadable_bodies == 1


def test_recording_leaves_the_reserve_free(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path, reserve_bytes=1 << 60)
    writer.append(record(1))
    with pytest.raises(DependencyMissing, match="free some space"):
        writer.flush()
    assert writer.dropped == 1
    assert list(tmp_path.iterdir()) == []


def test_after_a_failure_the_disk_is_left_alone_for_a_second(tmp_path: Path) -> None:
    directory = tmp_path / "tape"
    directory.write_text("in the way")
    writer = TapeWriter(directory)
    writer.append(record(10))
    with pytest.raises(DependencyMissing):
        writer.flush()
    directory.unlink()
    writer.append(Record(10_900_000_000, 0, "raw", "rtds", "frame", b""))
    assert writer.flush() is None
    assert (writer.failing, writer.dropped, writer.records) == (True, 2, 0)
    writer.append(record(11))
    writer.flush()
    assert (writer.failing, writer.dropped, writer.records) == (False, 2, 1)


FULL = """
import resource, sys
from pathlib import Path
from common.errors import DependencyMissing
from common.store.tape import Record
from common.store.tape_writer import TapeWriter

def record(n):
    return Record(n * 10**9, n, "raw", "rtds", "frame", b"x" * 500)

writer = TapeWriter(Path({path!r}), reserve_bytes=0)
resource.setrlimit(resource.RLIMIT_FSIZE, (5_200, resource.RLIM_INFINITY))
for n in range(30):
    writer.append(record(n))
    try:
        writer.flush()
    except DependencyMissing:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.close()
print(writer.records, writer.dropped)
"""


def test_a_full_disk_drops_and_counts_then_goes_on_by_itself(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", FULL.format(path=str(tmp_path))],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert child.stdout.split() == ["29", "1"]
    check = verify(tmp_path)
    assert (check.records, check.tears, check.segments) == (29, (), 2)


KILLED = """
import os
from pathlib import Path
from common.store.tape import Record
from common.store.tape_writer import TapeWriter

writer = TapeWriter(Path({path!r}))
n = 0
while True:
    writer.append(Record(n, n, "raw", "rtds", "frame", b"x" * 3000))
    writer.flush()
    n += 1
    if n == 200:
        print("go", flush=True)
"""


def test_a_killed_writer_leaves_a_readable_tape(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(path=str(tmp_path))],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert child.stdout is not None
    child.stdout.readline()
    child.kill()
    child.wait(timeout=10)
    child.stdout.close()
    numbers = [one.mono_ns for one in read(tmp_path)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 200
