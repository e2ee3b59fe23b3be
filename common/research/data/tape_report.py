"""What a tape holds and what it lacks: records, holes in the numbering, silences, restarts, tears.

Reads only. A silence lies between two receipts of one stream, or between its last one and the tape's end.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from common.research.data.tape_gaps import Gaps, Numbering, holes
from common.store import tape
from common.units import SECOND

SILENCE_NS = 10 * SECOND
_STREAMS = ("tick.", "routes.", "oracles.")
"""Topics each of which is a stream of its own; everything else is counted by its publisher."""


class Silence(msgspec.Struct, frozen=True):
    """One stream said nothing for longer than allowed."""

    stream: str
    since_ns: int
    """Receipt of the last record before it, on the wall clock."""
    length_ns: int
    to_the_end: bool = False
    """It never spoke again."""


class Stream(msgspec.Struct, frozen=True):
    """What one publisher, one tick series or one raw feed left on the tape."""

    name: str
    records: int
    first_ns: int
    last_ns: int
    longest_silence_ns: int


class TapeSummary(msgspec.Struct, frozen=True):
    """One tape directory at a glance, without reading its records."""

    name: str
    segments: int
    open_segments: int
    bytes: int
    first_ns: int
    """Modification of its oldest and newest segment."""
    last_ns: int


class TapeReport(msgspec.Struct, frozen=True):
    """A whole tape, read through."""

    segments: int
    records: int
    data_bytes: int
    unreadable: int
    streams: list[Stream]
    silences: list[Silence]
    restarts: dict[str, int]
    """How often each publisher began anew while the tape was written."""
    gaps: Gaps


class _Heard(msgspec.Struct):
    records: int
    first_ns: int
    last_ns: int
    last_mono_ns: int
    longest_ns: int = 0


def summaries(directory: Path) -> list[TapeSummary]:
    """The tapes in a directory."""
    found = []
    for one in tape.tapes(directory):
        files = [path for path in one.iterdir() if tape.segment_number(path) is not None]
        facts = [path.stat() for path in files]
        found.append(
            TapeSummary(
                one.name,
                len(tape.segments(one)),
                sum(path.name.endswith(tape.OPEN_SUFFIX) for path in files),
                sum(fact.st_size for fact in facts),
                min(fact.st_mtime_ns for fact in facts),
                max(fact.st_mtime_ns for fact in facts),
            )
        )
    return found


def report(
    directory: Path,
    *,
    silence_ns: int = SILENCE_NS,
    on_segment: Callable[[int, int], None] = lambda *_: None,
) -> TapeReport:
    """Read a tape, or a directory of tapes, from end to end.

    ``on_segment`` hears how many of how many segments were read for the streams; the bodies are checked in a
    second pass.
    """
    heard: dict[str, _Heard] = {}
    silences: list[Silence] = []
    boots: dict[str, set[str]] = {}
    places = [(one, number) for one in tape.tapes(directory) for number in tape.segments(one)]
    numbering = Numbering()
    for done, (one, number) in enumerate(places, 1):
        for record in numbering.listen(tape.read_segment(one, number)):
            if record.kind == "state":
                continue
            stream = _stream(record)
            _hear(heard, stream, record, silence_ns, silences)
            if record.kind == "bus":
                boots.setdefault(record.source, set()).add(_boot(record))
        on_segment(done, len(places))
    silences += _fallen_silent(heard, silence_ns)
    check = tape.verify(directory)
    return TapeReport(
        check.segments,
        check.records,
        check.data_bytes,
        check.unreadable_bodies,
        [
            Stream(name, one.records, one.first_ns, one.last_ns, one.longest_ns)
            for name, one in sorted(heard.items())
        ],
        silences,
        {source: len(found) - 1 for source, found in sorted(boots.items()) if len(found) > 1},
        Gaps(check.tears, holes(numbering.numbers())),
    )


def _fallen_silent(heard: dict[str, _Heard], silence_ns: int) -> list[Silence]:
    end_ns = max((one.last_ns for one in heard.values()), default=0)
    return [
        Silence(name, one.last_ns, end_ns - one.last_ns, to_the_end=True)
        for name, one in sorted(heard.items())
        if end_ns - one.last_ns > silence_ns
    ]


def _stream(record: tape.Record) -> str:
    if record.kind == "raw":
        return f"raw {record.source}"
    return record.topic if record.topic.startswith(_STREAMS) else record.source


class _Origin(msgspec.Struct):
    boot: str


_origin_decoder = msgspec.msgpack.Decoder(_Origin)


def _boot(record: tape.Record) -> str:
    try:
        return _origin_decoder.decode(record.data).boot
    except msgspec.DecodeError:
        return ""


def _hear(
    heard: dict[str, _Heard], stream: str, record: tape.Record, silence_ns: int, silences: list[Silence]
) -> None:
    known = heard.get(stream)
    if known is None:
        heard[stream] = _Heard(1, record.wall_ns, record.wall_ns, record.mono_ns)
        return
    # The monotonic clock does not jump; after a reboot it begins anew, and only the wall clock can tell.
    length_ns = record.mono_ns - known.last_mono_ns
    if length_ns < 0:
        length_ns = max(0, record.wall_ns - known.last_ns)
    known.longest_ns = max(known.longest_ns, length_ns)
    if length_ns > silence_ns:
        silences.append(Silence(stream, known.last_ns, length_ns))
    known.records += 1
    known.last_ns, known.last_mono_ns = record.wall_ns, record.mono_ns
