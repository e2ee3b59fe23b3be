"""The one place where a recording's floats become integers, and where a book is judged believable.

A float of an asset's price goes to the nearest 1e-8 dollar. Token prices off the 1e-4 grid go against the
taker: bids down, asks up; sizes are cut. Never invents a value: what cannot be used becomes null.
"""

import polars as pl

_NOISE = 3
"""Decimals of the scaled value that are kept: a float of 0.57 is not 0.5700000000000001 dearer."""


def price_e8(column: str) -> pl.Expr:
    """An asset's price in 1e-8 dollars, to the nearest; null where it is not positive."""
    value = _finite(column)
    return pl.when(value > 0).then((value * 100_000_000).round().cast(pl.Int64))


def bid4(column: str) -> pl.Expr:
    """A bid in 1e-4 dollars, rounded down; null where nobody bids."""
    price = (_finite(column) * 10_000).round(_NOISE).floor().cast(pl.Int64)
    return pl.when(price.is_between(1, 9_999)).then(price)


def ask4(column: str) -> pl.Expr:
    """An ask in 1e-4 dollars, rounded up; null where nobody offers."""
    price = (_finite(column) * 10_000).round(_NOISE).ceil().cast(pl.Int64)
    return pl.when(price.is_between(1, 9_999)).then(price)


def price4(column: str) -> pl.Expr:
    """A price nobody can trade at, such as a middle, to the nearest 1e-4 dollars."""
    return (_finite(column) * 10_000).round().cast(pl.Int64)


def size6(column: str) -> pl.Expr:
    """Shares in 1e-6, cut; null where none were recorded."""
    size = (_finite(column) * 1_000_000).round(_NOISE).floor().cast(pl.Int64)
    return pl.when(size > 0).then(size)


def ms_to_ns(column: str) -> pl.Expr:
    """Milliseconds, whole or float, to nanoseconds."""
    return pl.col(column).cast(pl.Float64).round().cast(pl.Int64) * 1_000_000


def believed(books: pl.DataFrame) -> pl.DataFrame:
    """Books whose bid is not below the ask say nothing: both sides become unknown, the row stays.

    No order book is crossed or locked; a recording is where two sides were read at different moments. To drop
    the row would leave the quote before it standing as if it were current.
    """
    told = [
        name for name in ("bid4", "bid_size6", "ask4", "ask_size6", "bids", "asks") if name in books.columns
    ]
    crossed = (pl.col("bid4") >= pl.col("ask4")).fill_null(value=False)
    return books.with_columns(pl.when(~crossed).then(pl.col(name)).alias(name) for name in told)


def crossed_rows(books: pl.DataFrame) -> int:
    """How many rows ``believed`` would not believe."""
    return books.filter(pl.col("bid4") >= pl.col("ask4")).height


def mirrored(books: pl.DataFrame) -> pl.DataFrame:
    """The same books from the other token's side, marked as derived.

    Exact for a whole book: a bid for one token is an offer of the other at one minus its price.
    """
    other = pl.col("outcome").replace_strict({"up": "down", "down": "up"}, return_dtype=pl.String)
    flipped = {"bid4": 10_000 - pl.col("ask4"), "ask4": 10_000 - pl.col("bid4")}
    sizes = {"bid_size6": pl.col("ask_size6"), "ask_size6": pl.col("bid_size6")}
    return books.with_columns(outcome=other, derived=pl.lit(value=True), **flipped, **sizes)


def _finite(column: str) -> pl.Expr:
    value = pl.col(column).cast(pl.Float64, strict=False)
    return pl.when(value.is_finite()).then(value)
