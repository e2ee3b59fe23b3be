"""The tape: what arrived, in the order it arrived, in numbered segment files.

Owns the form of a segment, reading and checking. A frame is length, CRC and a msgpack record, so a torn tail
(power cut, kill, full disk) costs the torn record and nothing before it. Never writes: see ``tape_writer``.
"""

import gzip
import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, cast

import msgspec

from common.errors import DependencyMissing
from common.messages import Envelope

MAGIC = b"laggard-tape-1\n"
OPEN_SUFFIX = ".tape"
SEALED_SUFFIX = ".tape.gz"
MAX_RECORD_BYTES = 16 * 1024 * 1024

FRAME = struct.Struct(">II")
"""Length of the record, CRC-32 of the record."""


class Record(msgspec.Struct, frozen=True):
    """One thing that arrived: a bus envelope or a raw frame of a feed."""

    mono_ns: int
    """When it reached us, on the monotonic clock."""
    wall_ns: int
    kind: Literal["raw", "bus", "state"]
    """A frame of a feed; a message as it was heard; a message repeated to us in a snapshot."""
    source: str
    topic: str
    data: bytes


class Tear(NamedTuple):
    """Where a segment stops being readable, and what is lost."""

    segment: str
    offset: int
    """Of the unpacked segment."""
    lost_bytes: int | None
    """Bytes from there that are in the file and are no records; None: packed ones, which nobody can count."""
    reason: str
    cut_off: bool = False
    """The file ends in the middle: how much followed it does not say."""

    @property
    def loss(self) -> str:
        """What is lost, for people."""
        if self.cut_off:
            return "cut off; what followed is not there"
        if self.lost_bytes is None:
            return "what follows cannot be unpacked"
        return f"{self.lost_bytes} bytes are lost"


class Hole(NamedTuple):
    """Numbers of one publisher that are missing from the tape."""

    source: str
    boot: str
    after_seq: int
    missing: int


class TapeCheck(NamedTuple):
    """What ``verify`` found."""

    segments: int
    records: int
    data_bytes: int
    unreadable_bodies: int
    tears: tuple[Tear, ...]
    holes: tuple[Hole, ...]


_record_decoder = msgspec.msgpack.Decoder(Record)
_envelope_decoder = msgspec.msgpack.Decoder(Envelope)


def segment_number(path: Path) -> int | None:
    """The number of a segment file, or None when the file is not a segment."""
    stem = path.name.partition(".")[0]
    is_segment = path.name in (stem + OPEN_SUFFIX, stem + SEALED_SUFFIX)
    return int(stem) if is_segment and stem.isascii() and stem.isdigit() else None


def segments(directory: Path) -> list[int]:
    """The numbers of all segments of a tape, oldest first; empty when there is no such directory."""
    if not directory.is_dir():
        return []
    return sorted({number for path in directory.iterdir() if (number := segment_number(path)) is not None})


def segment_path(directory: Path, number: int, suffix: str) -> Path:
    """Where a segment lives, open or sealed."""
    return directory / f"{number:08d}{suffix}"


def read(directory: Path, on_tear: Callable[[Tear], None] | None = None) -> Iterator[Record]:
    """Every readable record of a tape, oldest first; of a directory of tapes, one tape after the other.

    A torn segment is read up to its tear, which is reported to ``on_tear``; the next segment follows.
    Raises DependencyMissing when a segment cannot be opened at all.
    """
    for tape in tapes(directory):
        for number in segments(tape):
            yield from read_segment(tape, number, on_tear)


def read_segment(tape: Path, number: int, on_tear: Callable[[Tear], None] | None = None) -> Iterator[Record]:
    """Every readable record of one segment, up to its tear, which is reported to ``on_tear``."""
    tear = yield from _read_segment(tape, number)
    if tear is not None and on_tear is not None:
        on_tear(tear)


def tapes(directory: Path) -> list[Path]:
    """The tapes in a directory: itself and what is directly below it, if there are segments."""
    below = sorted(path for path in directory.iterdir() if path.is_dir()) if directory.is_dir() else []
    return [path for path in (directory, *below) if segments(path)]


def home(directory: Path) -> Path:
    """The directory of tapes that is meant: a state directory stands for the tapes in it."""
    kept = directory / "tapes"
    return directory if tapes(directory) or not tapes(kept) else kept


def verify(directory: Path) -> TapeCheck:
    """Read a whole tape, or a directory of tapes, and count: records, tears, missing numbers.

    A hole lies between two messages heard live; what a snapshot brought of it is not missing.
    """
    tears: list[Tear] = []
    heard: dict[tuple[str, str], tuple[set[int], set[int]]] = {}
    records = data_bytes = unreadable = 0
    for record in read(directory, tears.append):
        records += 1
        data_bytes += len(record.data)
        if record.kind == "raw":
            continue
        try:
            envelope = _envelope_decoder.decode(record.data)
        except msgspec.DecodeError:
            unreadable += 1
            continue
        live, repeated = heard.setdefault((envelope.source, envelope.boot), (set(), set()))
        (live if record.kind == "bus" else repeated).add(envelope.seq)
    holes = [hole for (source, boot), numbers in heard.items() for hole in _holes(source, boot, *numbers)]
    count = sum(len(segments(tape)) for tape in tapes(directory))
    return TapeCheck(count, records, data_bytes, unreadable, tuple(tears), tuple(holes))


def _holes(source: str, boot: str, live: set[int], repeated: set[int]) -> Iterator[Hole]:
    numbers, repeats = sorted(live), sorted(repeated - live)
    for before, after in pairwise(numbers):
        if after == before + 1:
            continue
        known = bisect_left(repeats, after) - bisect_left(repeats, before)
        if missing := after - before - 1 - known:
            yield Hole(source, boot, before, missing)


def _read_segment(directory: Path, number: int) -> Generator[Record, None, Tear | None]:
    name, stream = _open(directory, number)
    with stream:
        offset = 0
        try:
            magic = stream.read(len(MAGIC))
            if not magic:
                # A plain one was only just begun; a sealed one was never without a content.
                return Tear(name, 0, 0, "an empty file", True) if name.endswith(SEALED_SUFFIX) else None
            if magic != MAGIC:
                return _tear(name, 0, magic, stream, "not a tape of this version")
            offset = len(MAGIC)
            while head := stream.read(FRAME.size):
                if len(head) < FRAME.size:
                    return Tear(name, offset, len(head), "cut in a frame's head", True)
                length, crc = FRAME.unpack(head)
                if length > MAX_RECORD_BYTES:
                    return _tear(name, offset, head, stream, f"a record of {length} bytes")
                payload = stream.read(length)
                if len(payload) < length:
                    return Tear(name, offset, len(head + payload), "cut in a record", True)
                if zlib.crc32(payload) != crc:
                    return _tear(name, offset, head + payload, stream, "checksum differs")
                try:
                    record = _record_decoder.decode(payload)
                except msgspec.DecodeError as error:
                    return _tear(name, offset, head + payload, stream, f"not a record: {error}")
                offset += FRAME.size + length
                yield record
        except EOFError:
            return Tear(name, offset, None, "compressed data end in the middle", True)
        except (gzip.BadGzipFile, zlib.error) as error:
            return Tear(name, offset, None, f"compressed data damaged: {error}")
    return None


def _tear(name: str, offset: int, consumed: bytes, stream: BinaryIO, reason: str) -> Tear:
    lost = len(consumed)
    while chunk := stream.read(1 << 20):
        lost += len(chunk)
    return Tear(name, offset, lost, reason)


def _open(directory: Path, number: int) -> tuple[str, BinaryIO]:
    sealed = segment_path(directory, number, SEALED_SUFFIX)
    plain = segment_path(directory, number, OPEN_SUFFIX)
    # A sealed file is complete by construction, so it wins over the plain one it was made from; and it may
    # appear between the two attempts.
    for path in (sealed, plain, sealed):
        try:
            if path.suffix == ".gz":
                return path.name, cast(BinaryIO, gzip.open(path, "rb"))
            return path.name, path.open("rb")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DependencyMissing(
                f"tape: {path} cannot be read ({error.strerror}); check its owner"
            ) from error
    raise DependencyMissing(f"tape: segment {number} vanished from {directory} while it was being read")
