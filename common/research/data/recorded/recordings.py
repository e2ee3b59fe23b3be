"""A folder of recordings becomes one dataset: each file by its content, or refused with the reason.

Knows which layouts there are and what binds files together; how a layout is read, its own module knows.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import polars as pl

from common.errors import LaggardError
from common.research.data.dataset import Dataset, DataUnreadable, dataset, ordered
from common.research.data.from_tape import boundary_prices
from common.research.data.market_rows import market_table
from common.research.data.recorded import book_files, price_files, quote_files, window_files
from common.research.data.recorded.kept_pieces import KeptPieces
from common.research.data.recorded.piece import (
    OUTCOMES,
    SUFFIXES,
    Beside,
    Piece,
    RecordingRefused,
    columns_of,
    objects_of,
)

_FRAMES = frozenset({"source", "recv_wall_ts", "payload"})
_SUBSCRIBED = frozenset({"slug", "start_ts", "end_ts", "outcomes", "condition_id"})


class Told(NamedTuple):
    """What became of one file."""

    file: str
    layout: str
    """Empty where it was refused."""
    rows: dict[str, int]
    notes: tuple[str, ...]
    licence: str
    refused: str = ""
    resumed: bool = False
    """It had been read before and was kept."""


def import_recordings(
    place: Path,
    on_file: Callable[[int, int, str], None] = lambda *_: None,
    *,
    keep_in: Path | None = None,
) -> tuple[Dataset, list[Told]]:
    """Read every file of a folder, or one file; raises DataUnreadable when nothing in it became data.

    What was read is kept in the folder ``keep_in`` and taken from there the next time.
    """
    files = [place] if place.is_file() else sorted(path for path in place.glob("*") if _is_table(path))
    if not files:
        raise DataUnreadable(f"{place} holds no recording; looked for files ending in {', '.join(SUFFIXES)}")
    columns: dict[Path, frozenset[str]] = {}
    pieces, told = [], []
    kept = KeptPieces(keep_in, files) if keep_in is not None else None
    for number, path in enumerate(files, 1):
        on_file(number, len(files), path.name)
        known = kept.find(number) if kept is not None else None
        try:
            piece = _piece(path, _beside(path, files, columns), columns) if known is None else known
        except LaggardError as error:
            told.append(Told(path.name, "", {}, (), "", str(error)))
            continue
        if kept is not None and known is None:
            kept.keep(number, piece)
        pieces.append(piece)
        notes = tuple(f"{count} {text}" for text, count in sorted(piece.notes.items()) if count)
        told.append(
            Told(path.name, piece.layout, piece.rows, notes, piece.licence, resumed=known is not None)
        )
    if not pieces:
        reasons = "".join(f"\n  {one.refused}" for one in told)
        raise DataUnreadable(f"{place}: no file became data:{reasons}")
    return _together(place.name, pieces), told


def _is_table(path: Path) -> bool:
    return path.is_file() and path.name.endswith(SUFFIXES)


def _beside(path: Path, files: list[Path], columns: dict[Path, frozenset[str]]) -> Beside:
    def found(wanted: frozenset[str]) -> list[Path]:
        return [other for other in files if other != path and wanted <= _columns(other, columns)]

    return found


def _columns(path: Path, columns: dict[Path, frozenset[str]]) -> frozenset[str]:
    if path not in columns:
        try:
            columns[path] = columns_of(path)
        except RecordingRefused:
            columns[path] = frozenset()
    return columns[path]


_READERS: tuple[tuple[frozenset[str], Callable[[Path, Beside], Piece]], ...] = (
    (price_files.RELAY_TICKS, price_files.relay_ticks),
    (price_files.RELAY_FRAMES, lambda path, _: price_files.relay_frames(path)),
    (book_files.MESSAGES, lambda path, _: book_files.messages(path)),
    (book_files.FULL_SAMPLE, lambda path, _: book_files.full_sample(path)),
    (book_files.TOPS, lambda path, _: book_files.tops(path)),
    (book_files.AROUND_TRADES, lambda path, _: book_files.around_trades(path)),
    (book_files.BEST_ONLY, lambda path, _: book_files.best_only(path)),
    (quote_files.QUOTES, lambda path, _: quote_files.quotes(path)),
    (quote_files.SITE_QUOTES, lambda path, _: quote_files.site_quotes(path)),
    (OUTCOMES, window_files.outcomes),
    (window_files.GAMMA, window_files.gamma),
    (window_files.LISTED, window_files.listed),
    (window_files.STRIKES, window_files.strikes),
    (window_files.SAMPLES, window_files.samples),
    (window_files.BY_EXCHANGE, window_files.by_exchange),
    (price_files.BARS, lambda path, _: price_files.bars(path)),
    (price_files.POLLED, lambda path, _: price_files.polled_prices(path)),
)


def _piece(path: Path, beside: Beside, columns: dict[Path, frozenset[str]]) -> Piece:
    if path not in columns:
        columns[path] = columns_of(path)
    for wanted, read in (*_READERS, (_FRAMES, _raw_frames), (_SUBSCRIBED, _subscribed)):
        if wanted <= columns[path]:
            try:
                return read(path, beside)
            except (ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
                raise RecordingRefused(f"{path.name} has cells that cannot be read: {error}") from error
    found = ", ".join(sorted(columns[path])[:8]) or "nothing"
    raise RecordingRefused(f"{path.name} has a layout nobody here reads (columns: {found}, …)")


def _raw_frames(path: Path, beside: Beside) -> Piece:
    """Raw frames are for ``laggard decode``; those of a wrong window deserve the warning."""
    notes = Piece("").notes
    stamps = [
        one["recv_wall_ts"] for one in objects_of(path, notes) if isinstance(one.get("recv_wall_ts"), int)
    ]
    stem = path.name.partition(".")[0]
    for other in beside(_SUBSCRIBED):
        if not other.name.startswith(f"{stem}_"):
            continue
        windows = objects_of(other, notes)
        ahead = [one["slug"] for one in windows if stamps and one["start_ts"] > max(stamps) + 3_600_000]
        if windows and len(ahead) == len(windows):
            hours = (windows[0]["start_ts"] - max(stamps)) // 3_600_000
            raise RecordingRefused(
                f"{path.name}: its books are of {ahead[0]}, which opened {hours} h after they were recorded; "
                "they do not belong to the prices beside them"
            )
    raise RecordingRefused(
        f"{path.name} holds raw frames of a few seconds; laggard decode and laggard demo read them"
    )


def _subscribed(path: Path, _: Beside) -> Piece:
    raise RecordingRefused(
        f"{path.name} only lists what a recorder subscribed to; it is read with its frames"
    )


def _together(name: str, pieces: list[Piece]) -> Dataset:
    ticks = _stacked([piece.ticks for piece in pieces])
    markets = market_table(row for piece in pieces for row in piece.markets)
    return dataset(
        name,
        markets=_with_boundaries(ordered("markets", markets), ordered("ticks", ticks)),
        ticks=ticks,
        books=_stacked([piece.books for piece in pieces]),
        history=_stacked([piece.history for piece in pieces]),
    )


def _stacked(frames: list[pl.DataFrame | None]) -> pl.DataFrame | None:
    present = [frame for frame in frames if frame is not None]
    return pl.concat(present) if present else None


def _with_boundaries(markets: pl.DataFrame, ticks: pl.DataFrame) -> pl.DataFrame:
    """Strike and close from the ticks of those seconds, where spot settled and nobody wrote them down."""
    instants = set(markets["start_ns"]) | set(markets["end_ns"])
    first = boundary_prices(ticks.filter(pl.col("route") != "site"), instants)
    rows = []
    for row in markets.iter_rows(named=True):
        filled = dict(row)
        if row["era"] != "fee-twap":
            for column, instant in (("strike_e8", row["start_ns"]), ("close_e8", row["end_ns"])):
                if filled[column] is None:
                    filled[column] = first.get((row["asset"], "spot", instant))
        rows.append(filled)
    return market_table(rows)
