"""An outcome by the last book of a window, where nobody recorded the official one.

Only a book without doubt decides, and only at the very end; it stays an inference, and says so.
"""

from collections.abc import Mapping

import polars as pl

from common.units import SECOND

SOURCE = "final_book"
CLEAR4 = 9_000
"""A winning side's bid is above this."""
NEAR_END_NS = 30 * SECOND


def final_outcomes(books: pl.DataFrame, ends: Mapping[str, int]) -> dict[str, str]:
    """Per window the side whose last bid around its end leaves no doubt; others are left out."""
    last = (
        books.filter(pl.col("window").is_in(list(ends)) & pl.col("bid4").is_not_null())
        .with_columns(end_ns=pl.col("window").replace_strict(dict(ends), return_dtype=pl.Int64))
        .filter((pl.col("at_ns") - pl.col("end_ns")).abs() <= NEAR_END_NS)
        .sort("at_ns", maintain_order=True)
        .group_by("window", "outcome", maintain_order=True)
        .agg(pl.col("bid4").last())
        .filter(pl.col("bid4") > CLEAR4)
    )
    found: dict[str, set[str]] = {}
    for window, outcome, _ in last.drop_nulls("outcome").iter_rows():
        found.setdefault(window, set()).add(outcome)
    return {window: sides.pop() for window, sides in found.items() if len(sides) == 1}
