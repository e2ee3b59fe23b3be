"""One recorded file, read: its rows as text or as they are, and what it gives to a dataset.

Owns the file formats (Parquet, CSV, JSON lines, each also packed) and nothing of their meaning.
"""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from common.errors import LaggardError
from common.research.data.dataset import BOOKS, TICKS

Beside = Callable[[frozenset[str]], list[Path]]
"""Other files of the same folder that have these columns."""

OUTCOMES = frozenset({"slug", "start_sec", "end_sec", "outcome_prices", "strike_value"})
"""A list of markets with official outcomes."""
ASSETS = ("btc", "eth", "sol", "xrp")
SUFFIXES = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz")


class RecordingRefused(LaggardError):
    """The file is known or unknown, but must not become data; the text says why."""


@dataclass(slots=True)
class Piece:
    """What one file gives; ``notes`` counts every defect that was met, in words."""

    layout: str
    licence: str = "as published; none named in the file"
    markets: list[dict[str, Any] | None] = field(default_factory=list)
    ticks: pl.DataFrame | None = None
    books: pl.DataFrame | None = None
    history: pl.DataFrame | None = None
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each table."""
        frames = {"ticks": self.ticks, "books": self.books, "history": self.history}
        counts = {table: 0 if frame is None else frame.height for table, frame in frames.items()}
        return {"markets": sum(row is not None for row in self.markets), **counts}


def columns_of(path: Path) -> frozenset[str]:
    """Names of the columns, or of the fields of the first object; raises RecordingRefused."""
    try:
        if path.name.endswith(".parquet"):
            return frozenset(pl.read_parquet_schema(path))
        if ".csv" in path.name:
            return frozenset(pl.read_csv(path, n_rows=0, infer_schema=False).columns)
        with _opened(path) as lines:
            first = msgspec.json.decode(next(line for line in lines if line.strip()))
    except (OSError, EOFError, zlib.error, StopIteration, ValueError, pl.exceptions.PolarsError) as error:
        raise RecordingRefused(f"{path.name} cannot be read: {str(error) or 'it is empty'}") from error
    return frozenset(first) if isinstance(first, dict) else frozenset()


def asset_named(path: Path) -> str | None:
    """The asset in a file's name, for layouts whose rows do not say whose prices they are."""
    return next((asset for asset in ASSETS if asset in re.split(r"[^a-z]+|usdt?", path.name.lower())), None)


def frame_of(path: Path) -> pl.DataFrame:
    """A table as it was stored; every cell of a CSV is text, because numbers there may be words."""
    try:
        if path.name.endswith(".parquet"):
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema=False, truncate_ragged_lines=True)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RecordingRefused(f"{path.name} cannot be read: {error}") from error


def objects_of(path: Path, notes: Counter[str]) -> list[dict[str, Any]]:
    """Every object of a file with one a line; other lines are counted."""
    found = []
    try:
        with _opened(path) as lines:
            for line in lines:
                if not line.strip():
                    continue
                try:
                    value = msgspec.json.decode(line)
                except msgspec.DecodeError:
                    value = None
                if isinstance(value, dict):
                    found.append(value)
                else:
                    notes["lines skipped: not one JSON object"] += 1
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingRefused(f"{path.name} cannot be read: {error}") from error
    return found


def ticks_of(frame: pl.DataFrame, notes: Counter[str]) -> pl.DataFrame:
    """Ticks with the columns of a dataset; without a usable price or time they are counted and left out."""
    usable = frame.drop_nulls(("observed_ns", "at_ns", "price_e8"))
    if frame.height > usable.height:
        notes["ticks skipped: no usable price or time"] += frame.height - usable.height
    return usable.select([pl.col(name).cast(kind) for name, kind in TICKS.items()])


def books_of(frame: pl.DataFrame) -> pl.DataFrame:
    """Books with the columns of a dataset; what is missing is null."""
    absent = [pl.lit(None, kind).alias(name) for name, kind in BOOKS.items() if name not in frame.columns]
    return frame.with_columns(absent).select([pl.col(name).cast(kind) for name, kind in BOOKS.items()])


def _opened(path: Path) -> Any:
    return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")
