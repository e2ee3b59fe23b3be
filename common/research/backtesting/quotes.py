"""The books of a dataset as messages: one by one in order of receipt, and by token for an order to meet.

Rows stay in their table until they are asked for. Never guesses a price; a size that was not recorded is the
one that is assumed, and known as such.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import polars as pl

from common.messages import BookState, MarketState, Outcome

_COLUMNS = (
    "window",
    "outcome",
    "at_ns",
    "venue_ns",
    "bid4",
    "bid_size6",
    "ask4",
    "ask_size6",
    "bids",
    "asks",
)


class Quotes(NamedTuple):
    """The books of one token in order of receipt."""

    at_ns: Sequence[int]
    venue_ns: Sequence[int | None]
    market: MarketState
    rows: pl.DataFrame
    assumed6: int
    """Shares at a best price of unknown size."""

    def book(self, row: int) -> BookState:
        """One of them as the bus would have carried it."""
        return book_of(self.rows.select(_COLUMNS).row(row), self.market, self.assumed6)

    def size_known(self, row: int) -> bool:
        """Whether the size at its best ask was recorded."""
        one = self.rows.row(row, named=True)
        return one["ask4"] is None or one["ask_size6"] is not None or bool(one["asks"])

    def derived(self, row: int) -> bool:
        """Whether its ask is one minus the other side's bid."""
        return bool(self.rows["derived"][row])


def by_token(books: pl.DataFrame, markets: Mapping[str, MarketState], assumed6: int) -> dict[str, Quotes]:
    """The books of these windows by token."""
    found: dict[str, Quotes] = {}
    parts = books.partition_by(["window", "outcome"], as_dict=True, maintain_order=True)
    for (window, outcome), rows in parts.items():
        market = markets[str(window)]
        at_ns = array("q")
        at_ns.frombytes(rows["at_ns"].to_numpy().tobytes())
        token = market.token_up if outcome == "up" else market.token_down
        # A column is asked for single values only, which it has like any sequence.
        found[token] = Quotes(at_ns, cast("Any", rows["venue_ns"]), market, rows, assumed6)
    return found


def in_order(
    books: pl.DataFrame, markets: Mapping[str, MarketState], assumed6: int
) -> Iterator[tuple[int, BookState]]:
    """Every book with the instant of its receipt, up to the end of its window."""
    for row in books.select(_COLUMNS).iter_rows():
        market = markets[row[0]]
        if row[2] <= market.end_ns:
            yield row[2], book_of(row, market, assumed6)


def unsized(books: pl.DataFrame) -> int:
    """How many books have a best ask of unknown size."""
    ladder = pl.col("asks").list.len().fill_null(0)
    return books.filter(pl.col("ask4").is_not_null() & pl.col("ask_size6").is_null() & (ladder == 0)).height


def book_of(row: tuple[Any, ...], market: MarketState, assumed6: int) -> BookState:
    """One row; without any price it is no book yet."""
    _, outcome, at_ns, venue_ns, bid4, bid_size6, ask4, ask_size6, bids, asks = row
    side = cast("Outcome", outcome)
    known = any(part is not None for part in (bid4, ask4, bids, asks))
    return BookState(
        token=market.token_up if side == "up" else market.token_down,
        window=market.window,
        outcome=side,
        status="live" if known else "waiting",
        bids=_side(bids, bid4, bid_size6, assumed6),
        asks=_side(asks, ask4, ask_size6, assumed6),
        tick4=market.tick4,
        venue_ns=venue_ns or at_ns,
        data_mono_ns=at_ns,
    )


def _side(
    ladder: list[dict[str, int]] | None, price4: int | None, size6: int | None, assumed6: int
) -> tuple[tuple[int, int], ...]:
    if ladder:
        return tuple((level["price4"], level["size6"]) for level in ladder)
    if price4 is None:
        return ()
    return ((price4, assumed6 if size6 is None else size6),)
