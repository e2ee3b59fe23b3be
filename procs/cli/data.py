"""``laggard data``: recordings of others and the venue's own history as data for studies."""

import datetime
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import click

from common.errors import DependencyMissing
from common.units import SECOND
from procs.cli.advance import advance
from procs.cli.show import add_row, console, print_json, progress, table

if TYPE_CHECKING:
    from common.research.data.imported import Manifest

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
_OUT = click.argument("out", type=click.Path(path_type=Path, file_okay=False))
ASSETS = ("btc", "eth", "sol", "xrp")
EXTRAS = ("polars", "numpy")


def need_research() -> None:
    """Raise DependencyMissing where the libraries for studies are not installed."""
    absent = [name for name in EXTRAS if importlib.util.find_spec(name) is None]
    if absent:
        raise DependencyMissing(f"{' and '.join(absent)} is not installed: pip install 'laggard[research]'")


@click.group()
def data() -> None:
    """Import recordings, fetch the venue's history, list and verify what is there."""


@data.command(name="import")
@click.argument("recordings", type=click.Path(path_type=Path, exists=True))
@_OUT
@_JSON
def import_(recordings: Path, out: Path, as_json: bool) -> int:
    """Import RECORDINGS, a folder or one file, into the folder OUT; every file is told by its content.

    A file that must not become data is refused with the reason; the others are imported. What was read stays
    in OUT until all is written: given again after an interruption, the command goes on where it ended.
    """
    need_research()
    from common.research.data import imported
    from common.research.data.recorded.kept_pieces import UNFINISHED, forget
    from common.research.data.recorded.recordings import import_recordings

    _refuse_if_in_use(out, imported.MANIFEST, UNFINISHED)
    with advance("reading recordings") as on_file:
        found, told = import_recordings(
            recordings, lambda done, total, _: on_file(done, total), keep_in=out / UNFINISHED
        )
    licences = "; ".join(f"{one.file}: {one.licence}" for one in told if one.layout)
    source = f"recordings: {', '.join(one.file for one in told if one.layout)}"
    manifest = imported.write(found, out, source=source, licence=licences)
    forget(out)
    resumed = sum(one.resumed for one in told)
    if resumed:
        progress(f"{resumed} files had been read before")
    if as_json:
        print_json(
            "data-import",
            directory=str(out),
            digest=manifest.digest,
            rows=manifest.rows,
            files=[one._asdict() for one in told],
        )
        return 0
    made = table("file", "layout", ">markets", ">ticks", ">books", ">samples")
    for one in told:
        if one.layout:
            add_row(made, [one.file, one.layout, *(one.rows[name] or None for name in one.rows)])
    console().print(made)
    for one in told:
        for note in one.notes:
            click.echo(f"{one.file}: {note}")
    for one in told:
        if one.refused:
            click.echo(f"refused: {one.refused}")
    _print_manifest(out, manifest)
    return 0


@data.command()
@click.option("--assets", default="btc", show_default=True, help="Comma-separated.")
@click.option(
    "--from", "first", required=True, type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), help="UTC."
)
@click.option(
    "--to",
    "last",
    required=True,
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]),
    help="UTC, not included.",
)
@click.option("--rate", default=5.0, show_default=True, help="Requests a second to each service.")
@_OUT
@_JSON
def fetch(
    assets: str, first: datetime.datetime, last: datetime.datetime, rate: float, out: Path, as_json: bool
) -> int:
    """Fetch resolved windows, their outcomes and price history from the venue into the folder OUT.

    What was fetched stays in OUT: given again, the command goes on where it ended.
    """
    need_research()
    from common.research.data.fetch import Wanted, fetch_windows
    from common.runtime.config import load_config

    wanted = Wanted(tuple(_assets(assets)), _ns(first), _ns(last))
    if wanted.end_ns <= wanted.start_ns:
        raise click.BadParameter("--to must be later than --from")
    if not 0 < rate <= 50:
        raise click.BadParameter("--rate must be between 0 and 50")
    venue = load_config().venue
    with advance("fetching windows") as on_window:
        done = fetch_windows(
            wanted,
            out,
            venue.gamma_url,
            venue.clob_url,
            rate=rate,
            on_window=on_window,
            on_retry=progress,
        )
    if as_json:
        print_json(
            "data-fetch",
            directory=str(out),
            digest=done.manifest.digest,
            rows=done.manifest.rows,
            windows=done.windows,
            fetched=done.fetched,
            absent=done.absent,
            unresolved=done.unresolved,
        )
        return 0
    click.echo(
        f"{done.windows} windows: {done.fetched} fetched now, {done.absent} not at the venue, "
        f"{done.unresolved} without an outcome yet"
    )
    _print_manifest(out, done.manifest)
    return 0


@data.command()
@click.argument("data_dir", metavar="DATA")
@_JSON
def ls(data_dir: str, as_json: bool) -> int:
    """Show what a DATA holds: a tape, an imported folder or address, or the normalised layout."""
    need_research()
    from common.research.data.dataset import TABLES
    from common.research.data.loading import load
    from procs.cli.tape_words import gap_fields, tell_gaps

    found = load(data_dir, unlabelled=True)
    rows = {name: getattr(found, name).height for name in TABLES}
    markets = found.markets
    assets = sorted(markets["asset"].unique()) if markets.height else []
    eras = dict(markets.group_by("era").len().sort("era").iter_rows())
    told = (
        markets.with_columns(markets["outcome_source"].fill_null("nobody")).group_by("outcome_source").len()
    )
    outcomes = dict(told.sort("len", "outcome_source").iter_rows())
    if as_json:
        print_json(
            "data",
            name=found.name,
            digest=found.digest,
            rows=rows,
            assets=assets,
            eras=eras,
            outcomes=outcomes,
            **gap_fields(found.gaps),
        )
        return 0
    made = table("table", ">rows", "from", "to")
    for name in TABLES:
        frame = getattr(found, name)
        column = "start_ns" if name == "markets" else "at_ns"
        ends = [_moment(frame[column].min()), _moment(frame[column].max())] if frame.height else [None, None]
        add_row(made, [name, frame.height, *ends])
    console().print(made)
    click.echo(f"assets: {', '.join(assets) or 'none'}")
    click.echo(f"eras: {', '.join(f'{name} {count}' for name, count in eras.items()) or 'none'}")
    click.echo(
        f"outcomes from: {', '.join(f'{name} {count}' for name, count in outcomes.items()) or 'nothing'}"
    )
    click.echo(f"digest {found.digest}")
    tell_gaps(found.gaps)
    return 0


@data.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@_JSON
def verify(folder: Path, as_json: bool) -> int:
    """Check an imported folder against its manifest; exit 1 when a file or a row is not what it was."""
    need_research()
    from common.research.data import imported

    manifest = imported.read_manifest(folder)
    with advance("checking files") as on_part:
        problems = list(imported.verify(folder, on_part))
    if as_json:
        print_json(
            "data-verify",
            directory=str(folder),
            whole=not problems,
            digest=manifest.digest,
            problems=problems,
        )
    else:
        for problem in problems:
            click.echo(problem)
        if not problems:
            click.echo(f"{folder} is whole: {len(manifest.parts)} files, digest {manifest.digest}")
    return 1 if problems else 0


def _refuse_if_in_use(out: Path, *ours: str) -> None:
    """Raise DependencyMissing when the folder holds something and none of these names is in it."""
    if out.is_dir() and any(out.iterdir()) and not any((out / name).exists() for name in ours):
        raise DependencyMissing(f"{out} is not empty and no imported folder; choose another")


def _print_manifest(out: Path, manifest: "Manifest") -> None:
    rows = ", ".join(f"{count} {name}" for name, count in manifest.rows.items())
    progress(f"written to {out}")
    click.echo(rows)
    click.echo(f"digest {manifest.digest}")


def _assets(text: str) -> list[str]:
    named = [one.strip().lower() for one in text.split(",") if one.strip()]
    strange = [one for one in named if one not in ASSETS]
    if strange or not named:
        raise click.BadParameter(f"--assets takes {', '.join(ASSETS)}, not {', '.join(strange) or 'nothing'}")
    return named


def _ns(moment: datetime.datetime) -> int:
    return int(moment.replace(tzinfo=datetime.UTC).timestamp()) * SECOND


def _moment(wall_ns: object) -> str:
    assert isinstance(wall_ns, int)
    return datetime.datetime.fromtimestamp(wall_ns / 1e9, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
