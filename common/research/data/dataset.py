"""The one form in which every study sees data: markets, ticks, books, sampled prices, and a digest of them.

Owns the columns, their order and the digest. Reads no recording itself: each source has its own module.
Prices of an asset are in 1e-8 dollars, because 18 decimals do not fit into 64 bits.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import polars as pl

from common.errors import LaggardError
from common.research.data.tape_gaps import NO_GAPS, Gaps

LEVELS = pl.List(pl.Struct({"price4": pl.Int64, "size6": pl.Int64}))
"""One side of a book, best level first."""

MARKETS: Mapping[str, Any] = {
    "window": pl.String,
    "asset": pl.String,
    "start_ns": pl.Int64,
    "end_ns": pl.Int64,
    "strike_e8": pl.Int64,
    "close_e8": pl.Int64,
    "outcome": pl.String,
    "outcome_source": pl.String,
    "fee_rate_ppm": pl.Int64,
    "fee_exponent": pl.Int64,
    "taker_delay_ns": pl.Int64,
    "tick4": pl.Int64,
    "min_size6": pl.Int64,
    "era": pl.String,
    "token_up": pl.String,
    "token_down": pl.String,
}
"""Null: strike, close, outcome, fee or delay that nobody recorded. A token id that is not known is empty."""
TICKS: Mapping[str, Any] = {
    "asset": pl.String,
    "kind": pl.String,
    "route": pl.String,
    "observed_ns": pl.Int64,
    "at_ns": pl.Int64,
    "price_e8": pl.Int64,
}
BOOKS: Mapping[str, Any] = {
    "window": pl.String,
    "asset": pl.String,
    "outcome": pl.String,
    "venue_ns": pl.Int64,
    "at_ns": pl.Int64,
    "bid4": pl.Int64,
    "bid_size6": pl.Int64,
    "ask4": pl.Int64,
    "ask_size6": pl.Int64,
    "derived": pl.Boolean,
    "bids": LEVELS,
    "asks": LEVELS,
}
"""Null price: that side is empty or cannot be believed. Null size or ladder: it was not recorded."""
HISTORY: Mapping[str, Any] = {
    "window": pl.String,
    "outcome": pl.String,
    "at_ns": pl.Int64,
    "price4": pl.Int64,
    "sampled_every_ns": pl.Int64,
}
TABLES: Mapping[str, Mapping[str, Any]] = {
    "markets": MARKETS,
    "ticks": TICKS,
    "books": BOOKS,
    "history": HISTORY,
}

_SAYING = ("asset", "kind", "route", "observed_ns", "price_e8")
"""A tick that agrees in all of these with an earlier one says nothing new."""
_ORDER: Mapping[str, tuple[str, ...]] = {
    "markets": ("asset", "start_ns", "window"),
    "ticks": ("asset", "at_ns", "kind", "route", "observed_ns"),
    "books": ("asset", "at_ns", "window", "outcome", "venue_ns"),
    "history": ("at_ns", "window", "outcome"),
}
"""Rows that agree in all of these keep the order in which they arrived: the last is the newest."""


class DataUnreadable(LaggardError):
    """There is no data here that a study can read; the text says what was looked for."""


class Dataset(NamedTuple):
    """Everything a study may look at, in order of the time at which we could have known it.

    Times are UTC nanoseconds; ``at_ns`` is our receipt. ``history`` has prices nobody could trade at.
    """

    name: str
    """What it was read from, for people."""
    digest: str
    """SHA-256 over the rows of all four tables, the hash of the data in a verdict; no file layout in it."""
    markets: pl.DataFrame
    ticks: pl.DataFrame
    books: pl.DataFrame
    history: pl.DataFrame
    gaps: Gaps = NO_GAPS
    """What the tape lacked that it was read from, all assets and times; the digest is of what is there."""


def dataset(
    name: str,
    *,
    markets: pl.DataFrame | None = None,
    ticks: pl.DataFrame | None = None,
    books: pl.DataFrame | None = None,
    history: pl.DataFrame | None = None,
    gaps: Gaps = NO_GAPS,
) -> Dataset:
    """Tables in whatever order of rows and columns become a dataset; a missing column is null.

    One window is one row: of several the one with the best source of its outcome stays. What a route said
    again is one tick, received when it was first said.
    """
    given = {"markets": markets, "ticks": ticks, "books": books, "history": history}
    tables = {table: ordered(table, frame) for table, frame in given.items()}
    return Dataset(name, digest_of(tables), **tables, gaps=gaps)


def ordered(table: str, frame: pl.DataFrame | None) -> pl.DataFrame:
    """One table with its columns and types, every row once, in order."""
    schema = TABLES[table]
    if frame is None:
        return pl.DataFrame(schema=dict(schema))
    absent = [pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in frame.columns]
    shaped = frame.with_columns(absent).select([pl.col(name).cast(kind) for name, kind in schema.items()])
    if table == "markets":
        shaped = _one_per_window(shaped)
    sorted_rows = shaped.sort(_ORDER[table], maintain_order=True)
    if table == "ticks":
        sorted_rows = sorted_rows.unique(_SAYING, keep="first", maintain_order=True)
    return sorted_rows.rechunk()


def select(
    whole: Dataset,
    *,
    assets: Iterable[str] | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    unlabelled: bool = False,
) -> Dataset:
    """A part of a dataset; its digest is that of the part."""
    kept = {table: getattr(whole, table) for table in TABLES}
    if assets is not None:
        wanted = [asset.lower() for asset in assets]
        for table, frame in kept.items():
            column = asset_of_window() if table == "history" else pl.col("asset")
            kept[table] = frame.filter(column.is_in(wanted))
    for table in TABLES:
        # A window belongs to the time when it overlaps it, everything else when it was received in it.
        first, last = ("end_ns", "start_ns") if table == "markets" else ("at_ns", "at_ns")
        if start_ns is not None:
            after = pl.col(first) > start_ns if table == "markets" else pl.col(first) >= start_ns
            kept[table] = kept[table].filter(after)
        if end_ns is not None:
            kept[table] = kept[table].filter(pl.col(last) < end_ns)
    if not unlabelled:
        kept["books"] = kept["books"].filter(pl.col("outcome").is_not_null())
    if all(frame.height == getattr(whole, table).height for table, frame in kept.items()):
        return whole
    return Dataset(whole.name, digest_of(kept), **kept, gaps=whole.gaps)


def digest_of(tables: Mapping[str, pl.DataFrame]) -> str:
    """SHA-256 over the digests of all days and assets of all tables, which must be in order."""
    lines = [
        f"{table} {day} {asset} {rows_digest(part)}"
        for table in TABLES
        for day, asset, part in partitions(table, tables[table])
    ]
    return digest_of_lines(lines)


def digest_of_lines(lines: Iterable[str]) -> str:
    """The digest of a dataset from the lines ``table day asset digest`` of its parts, in any order."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def partitions(table: str, frame: pl.DataFrame) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """A table by UTC day and asset, in the order of both; rows keep theirs."""
    instant = pl.col("start_ns" if table == "markets" else "at_ns")
    asset = asset_of_window() if table == "history" else pl.col("asset")
    keyed = frame.with_columns(
        instant.cast(pl.Datetime("ns")).dt.strftime("%Y-%m-%d").alias("_day"), asset.alias("_asset")
    )
    parts = keyed.partition_by("_day", "_asset", as_dict=True, include_key=False)
    for day, name in sorted(parts, key=str):
        yield str(day), str(name), parts[day, name]


def asset_of_window() -> pl.Expr:
    """The asset by the name of the window."""
    return pl.col("window").str.split("-").list.first()


def rows_digest(frame: pl.DataFrame) -> str:
    """SHA-256 over names, types and values of some rows in their order."""
    whole = hashlib.sha256(f"{frame.height}\n".encode())
    for column in frame.get_columns():
        _digest_column(whole, column.name, column)
    return whole.hexdigest()


def _digest_column(whole: Any, name: str, column: pl.Series) -> None:
    """Nulls as a mask, then the values: numbers as 64 bits little-endian, text by length, lists flattened."""
    nulls = column.is_null()
    whole.update(f"{name} {column.dtype} {nulls.sum()}\n".encode())
    if nulls.any():
        whole.update(nulls.cast(pl.UInt8).to_numpy().tobytes())
    present = column.drop_nulls()
    if isinstance(column.dtype, pl.List):
        # A list goes by its length, and all its levels by their fields.
        whole.update(present.list.len().cast(pl.Int64).to_numpy().astype("<i8").tobytes())
        levels = present.filter(present.list.len() > 0).explode()
        for field in levels.struct.fields:
            _digest_column(whole, f"{name}.{field}", levels.struct.field(field))
    elif column.dtype == pl.String:
        whole.update(present.str.len_bytes().cast(pl.Int64).to_numpy().astype("<i8").tobytes())
        whole.update("".join(present.to_list()).encode())
    else:
        whole.update(present.cast(pl.Int64).to_numpy().astype("<i8").tobytes())


_TRUST = ("official", "chain", "next_open_ge_open", "boundary_ticks", "final_book", "final_price")


def _one_per_window(markets: pl.DataFrame) -> pl.DataFrame:
    if markets["window"].n_unique() == markets.height:
        return markets
    trust = pl.col("outcome_source").replace_strict(
        {source: rank for rank, source in enumerate(_TRUST)}, default=len(_TRUST), return_dtype=pl.Int64
    )
    ranked = markets.with_columns(
        pl.when(pl.col("outcome").is_null()).then(len(_TRUST) + 1).otherwise(trust).alias("trust")
    )
    return (
        ranked.sort("trust", maintain_order=True)
        .unique("window", keep="first", maintain_order=True)
        .drop("trust")
    )
