"""The resting orders of one token, level by level.

Owns which price is best, whatever the order in which levels arrive (the venue lists the best one last). Never
judges freshness and never checks the venue's hash.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Literal

from common.errors import FrameRefused
from common.units import PRICE4_ONE

Side = Literal["bid", "ask"]
Level = tuple[int, int]
"""(price 1e-4 $, size 1e-6 shares)"""

_PLACEHOLDER_BIDS = {10, 100}
_PLACEHOLDER_ASKS = {PRICE4_ONE - 10, PRICE4_ONE - 100}


class OrderBook:
    """Bids and asks of one token; every held level has a size above zero."""

    def __init__(self) -> None:
        self._sizes: dict[Side, dict[int, int]] = {"bid": {}, "ask": {}}
        self._prices: dict[Side, list[int]] = {"bid": [], "ask": []}
        """Ascending, and the same prices as in ``_sizes``."""

    def replace(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Forget everything and hold these levels; a price given twice has its last size, size 0 is no level.

        Raises FrameRefused for an impossible price or size, and then leaves the book as it was.
        """
        bid_sizes, ask_sizes = _checked(bids), _checked(asks)
        self._sizes = {"bid": bid_sizes, "ask": ask_sizes}
        self._prices = {"bid": sorted(bid_sizes), "ask": sorted(ask_sizes)}

    def change(self, side: Side, price4: int, size6: int) -> None:
        """Set the new total size at one price; 0 removes the level.

        Raises FrameRefused for an impossible price or size, and then leaves the book as it was.
        """
        _check(price4, size6)
        sizes, prices = self._sizes[side], self._prices[side]
        if size6:
            if price4 not in sizes:
                insort(prices, price4)
            sizes[price4] = size6
        elif price4 in sizes:
            del sizes[price4]
            del prices[bisect_left(prices, price4)]

    @property
    def best_bid(self) -> int | None:
        """The highest price somebody buys at (1e-4 $)."""
        prices = self._prices["bid"]
        return prices[-1] if prices else None

    @property
    def best_ask(self) -> int | None:
        """The lowest price somebody sells at (1e-4 $)."""
        prices = self._prices["ask"]
        return prices[0] if prices else None

    @property
    def best(self) -> tuple[Level | None, Level | None]:
        """The best level of either side."""
        bids, asks = self._prices["bid"], self._prices["ask"]
        return (
            (bids[-1], self._sizes["bid"][bids[-1]]) if bids else None,
            (asks[0], self._sizes["ask"][asks[0]]) if asks else None,
        )

    def levels(self, depth: int | None = None) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Bids and asks, best first, at most ``depth`` of each; None gives all."""
        bids, asks = self._sizes["bid"], self._sizes["ask"]
        return (
            tuple([(price, bids[price]) for price in self._prices["bid"][::-1][:depth]]),
            tuple([(price, asks[price]) for price in self._prices["ask"][:depth]]),
        )

    @property
    def crossed(self) -> bool:
        """Whether somebody buys at or above what somebody sells for: no real book does."""
        bids, asks = self._prices["bid"], self._prices["ask"]
        return bool(bids) and bool(asks) and bids[-1] >= asks[0]

    @property
    def placeholder(self) -> bool:
        """Whether both sides hold nothing but 0.01/0.99 or 0.001/0.999: never a price, refuse it.

        The venue's REST books were seen stuck in this form.
        """
        bids, asks = self._prices["bid"], self._prices["ask"]
        # The best prices of nearly every book say no.
        return (
            bool(bids)
            and bool(asks)
            and bids[-1] in _PLACEHOLDER_BIDS
            and _PLACEHOLDER_BIDS.issuperset(bids)
            and _PLACEHOLDER_ASKS.issuperset(asks)
        )


def _checked(levels: Iterable[Level]) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for price4, size6 in levels:
        _check(price4, size6)
        sizes[price4] = size6
    return {price4: size6 for price4, size6 in sizes.items() if size6}


def _check(price4: int, size6: int) -> None:
    if not 0 < price4 < PRICE4_ONE:
        raise FrameRefused("book_price", f"price {price4} is not between 0 and {PRICE4_ONE}")
    if size6 < 0:
        raise FrameRefused("book_size", f"size {size6} at price {price4} is negative")
