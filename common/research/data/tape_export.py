"""A tape as Parquet, segment by segment, so that it may be longer than memory and be interrupted.

Owns the notes of finished segments. Every segment is read by itself, so what was done before an interruption
is the same bytes as what would have been done without.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
import polars as pl

from common.errors import DependencyMissing
from common.messages import MarketState, ResolutionState
from common.research.data import imported
from common.research.data.dataset import ordered, partitions
from common.research.data.from_tape import Segment, newest, read_segment, segments, windows
from common.research.data.imported import Manifest, Part
from common.research.data.tape_gaps import Gaps, Numbers, holes, tear_text
from common.store.tape import OPEN_SUFFIX, SEALED_SUFFIX, Tear, segment_path

NOTES = "segments"
SOURCE = "tape of laggard"
LICENCE = "our own recording; the venue's and Chainlink's terms apply to passing it on"


class Note(msgspec.Struct, frozen=True):
    """One segment that was written completely, and what it says beside its rows."""

    file: str
    size: int
    """Bytes of the segment as it was read: a segment that has grown is read again."""
    parts: list[Part]
    markets: list[MarketState]
    resolutions: list[ResolutionState]
    tears: list[Tear]
    numbers: list[Numbers]
    unreadable: int


class Exported(msgspec.Struct, frozen=True):
    """What an export did."""

    manifest: Manifest
    segments: int
    resumed: int
    """Segments that had been written before."""
    tears: list[str]
    unreadable: int


def export(
    tape: Path,
    out: Path,
    *,
    resume: bool = False,
    on_segment: Callable[[int, int], None] = lambda *_: None,
) -> Exported:
    """Write a tape as an imported folder.

    With ``resume`` finished segments are kept; without it, a folder that holds something is refused with
    DependencyMissing. ``on_segment`` hears how many of how many segments are done.
    """
    if not resume and out.is_dir() and any(out.iterdir()):
        raise DependencyMissing(f"{out} is not empty; go on with --resume, or choose another folder")
    (out / imported.MANIFEST).unlink(missing_ok=True)
    found = segments(tape)
    notes, resumed = [], 0
    for number, segment in enumerate(found, 1):
        place = out / NOTES / f"{segment.tape.name}-{segment.number:08d}.json"
        note = _usable(place, segment, out) if resume else None
        resumed += note is not None
        notes.append(note or _write(segment, out, place))
        on_segment(number, len(found))
    return Exported(
        _finish(tape, out, notes),
        len(found),
        resumed,
        [tear_text(tear) for note in notes for tear in note.tears],
        sum(note.unreadable for note in notes),
    )


def _usable(place: Path, segment: Segment, out: Path) -> Note | None:
    try:
        note = msgspec.json.decode(place.read_bytes(), type=Note)
    except (OSError, msgspec.MsgspecError):
        return None
    if (note.file, note.size) != _identity(segment):
        return None
    return note if all(_is_whole(out, part) for part in note.parts) else None


def _is_whole(out: Path, part: Part) -> bool:
    path = out / part.path
    return path.is_file() and imported.file_digest(path) == part.sha256


def _write(segment: Segment, out: Path, place: Path) -> Note:
    # The size is taken first: what is appended meanwhile makes the segment another one.
    file, size = _identity(segment)
    rows = read_segment(segment)
    stem = f"{segment.tape.name}-{segment.number:08d}"
    parts = [
        imported.write_part(out, table, day, asset, stem, part)
        for table, frame in (("ticks", rows.ticks), ("books", rows.books))
        for day, asset, part in partitions(table, frame)
    ]
    note = Note(file, size, parts, rows.markets, rows.resolutions, rows.tears, rows.numbers, rows.unreadable)
    imported.write_whole(place, msgspec.json.encode(note))
    return note


def _identity(segment: Segment) -> tuple[str, int]:
    for suffix in (SEALED_SUFFIX, OPEN_SUFFIX):
        path = segment_path(segment.tape, segment.number, suffix)
        try:
            return path.name, path.stat().st_size
        except FileNotFoundError:
            continue
    return "", -1


def _finish(tape: Path, out: Path, notes: list[Note]) -> Manifest:
    parts = [part for note in notes for part in note.parts]
    states = newest(state for note in notes for state in note.markets)
    resolutions = [state for note in notes for state in note.resolutions]
    files = [out / part.path for part in parts if part.table == "ticks"]
    ticks = ordered(
        "ticks",
        pl.concat([pl.read_parquet(file, hive_partitioning=False) for file in files]) if files else None,
    )
    markets = ordered("markets", windows(states, resolutions, ticks))
    parts += [
        imported.write_part(out, "markets", day, asset, "part", rows)
        for day, asset, rows in partitions("markets", markets)
    ]
    digest = imported.digest_of_parts(out, parts, [("ticks", ticks), ("markets", markets)])
    gaps = Gaps(
        tuple(tear for note in notes for tear in note.tears),
        holes(numbers for note in notes for numbers in note.numbers),
    )
    return imported.finish(
        out, parts, name=tape.name, source=SOURCE, licence=LICENCE, digest=digest, gaps=gaps
    )
