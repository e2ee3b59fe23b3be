"""``laggard tape``: what the tapes hold, what they lack, and the same as Parquet. Never changes a tape."""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from common.errors import DependencyMissing
from procs.cli.advance import advance
from procs.cli.show import add_row, clock_time, console, duration, print_json, progress, table

if TYPE_CHECKING:
    from common.research.data.tape_report import TapeReport

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
_TAPE = click.argument("tape", required=False, type=click.Path(path_type=Path, file_okay=False))


@click.group()
def tape() -> None:
    """List tapes, report their gaps, write them as Parquet.

    TAPE is a directory of segments, one of such directories, or a state directory; without it, the tapes of
    the configuration.
    """


@tape.command()
@_TAPE
@_JSON
def ls(tape: Path | None, as_json: bool) -> int:
    """List the tapes with their segments and sizes."""
    from common.research.data.tape_report import summaries

    place = _place(tape)
    found = summaries(place)
    if as_json:
        print_json("tapes", directory=str(place), tapes=found)
        return 0
    made = table("tape", ">segments", ">open", ">MB", "oldest", "newest")
    for one in found:
        cells = [one.name, one.segments, one.open_segments, f"{one.bytes / 1e6:.1f}"]
        add_row(made, [*cells, _moment(one.first_ns), _moment(one.last_ns)])
    console().print(made)
    return 0


@tape.command()
@_TAPE
@click.option(
    "--silence",
    "silence_s",
    type=float,
    default=10.0,
    show_default=True,
    help="Report pauses longer than this.",
)
@_JSON
def verify(tape: Path | None, silence_s: float, as_json: bool) -> int:
    """Read a tape from end to end and report its gaps; exit 1 when a segment is torn."""
    from common.research.data.tape_report import report
    from procs.cli.tape_words import gap_fields

    place = _place(tape)
    with advance("reading segments") as on_segment:
        found = report(place, silence_ns=int(silence_s * 1e9), on_segment=on_segment)
    if as_json:
        print_json(
            "tape-verify",
            directory=str(place),
            whole=not found.gaps.tears,
            segments=found.segments,
            records=found.records,
            data_bytes=found.data_bytes,
            unreadable=found.unreadable,
            restarts=found.restarts,
            streams=found.streams,
            silences=found.silences,
            **gap_fields(found.gaps),
        )
    else:
        _print_report(found, silence_s)
    return 1 if found.gaps.tears else 0


def _print_report(found: "TapeReport", silence_s: float) -> None:
    from common.research.data.tape_gaps import hole_place, hole_size

    made = table("stream", ">records", "first", "last", ">longest silence")
    for one in found.streams:
        times = [clock_time(one.first_ns), clock_time(one.last_ns)]
        add_row(made, [one.name, one.records, *times, duration(one.longest_silence_ns // 1_000_000)])
    console().print(made)
    gaps = table("gap", "where", ">how much")
    for silence in found.silences:
        where = f"{silence.stream} after {clock_time(silence.since_ns)}"
        where += ", to the end" if silence.to_the_end else ""
        add_row(gaps, ["silence", where, duration(silence.length_ns // 1_000_000)])
    for hole in found.gaps.holes:
        add_row(gaps, ["hole", hole_place(hole), hole_size(hole)])
    for tear in found.gaps.tears:
        add_row(gaps, ["tear", f"{tear.segment}: {tear.reason} at byte {tear.offset}", tear.loss])
    for source, count in found.restarts.items():
        add_row(gaps, ["restart", source, f"{count} times"])
    if gaps.row_count:
        console().print(gaps)
    click.echo(
        f"{found.records} records in {found.segments} segments, {found.gaps.missing} messages missing, "
        f"{len(found.silences)} silences over {silence_s:g} s, {len(found.gaps.tears)} tears"
        + (f", {found.unreadable} bodies of an unknown version" if found.unreadable else "")
    )


@tape.command()
@_TAPE
@click.option(
    "--parquet",
    "out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to write.",
)
@click.option("--resume", is_flag=True, help="Go on where an earlier export ended.")
@_JSON
def export(tape: Path | None, out: Path, resume: bool, as_json: bool) -> int:
    """Write a tape as Parquet by day and asset; exit 1 when a segment was torn."""
    _need_research()
    from common.research.data.tape_export import export as exported_to

    place = _place(tape)
    with advance("exporting segments") as on_segment:
        done = exported_to(place, out, resume=resume, on_segment=on_segment)
    for tear in done.tears:
        progress(f"torn: {tear}")
    if as_json:
        print_json(
            "tape-export",
            directory=str(out),
            digest=done.manifest.digest,
            rows=done.manifest.rows,
            segments=done.segments,
            resumed=done.resumed,
            tears=done.tears,
            unreadable=done.unreadable,
        )
    else:
        rows = ", ".join(f"{count} {name}" for name, count in done.manifest.rows.items())
        click.echo(f"{out}: {rows} from {done.segments} segments ({done.resumed} already there)")
        click.echo(f"digest {done.manifest.digest}")
    return 1 if done.tears else 0


def _place(named: Path | None) -> Path:
    """The tape that was named, or where the configuration keeps them; raises DependencyMissing."""
    from common.store.tape import home, tapes

    place = named
    if place is None:
        from common.runtime.config import load_config
        from common.runtime.paths import make_paths

        config = load_config()
        place = make_paths(config.paths.state_dir, config.paths.run_dir).tape_dir
    place = home(place)
    if not tapes(place):
        raise DependencyMissing(f"{place} holds no tape; laggard record makes one, or name its directory")
    return place


def _need_research() -> None:
    from procs.cli.data import need_research

    need_research()


def _moment(wall_ns: int) -> str:
    return datetime.datetime.fromtimestamp(wall_ns / 1e9, datetime.UTC).strftime("%Y-%m-%d %H:%M")
