"""What can still be bought of the scripted books or sold to them, what that costs and brings.

Remembers what was traded until the script sets a level to something else. Integers and fractions only; its
fee is worked out apart from the trader's, so that the two can prove each other.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from common.sim.script import MarketSpec
from common.sim.world import Market, MarketChange
from common.units import PRICE4_ONE, ceil_div, price4_exact, size6_floor

_CUT_USD6 = 11
"""The most that cost (1e-6) and fee (1e-5) can lose by being cut."""


@dataclass(frozen=True, slots=True)
class Fill:
    """What one price level gives; the fee is on top of the cost of a buy, and out of that of a sale."""

    price4: int
    size6: int
    cost_usd6: int
    fee_usd6: int


class Liquidity:
    """The books of every token, less what was bought of their asks and sold to their bids."""

    def __init__(self) -> None:
        self._bought: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._sold: defaultdict[tuple[str, int], int] = defaultdict(int)

    def market_changed(self, change: MarketChange) -> None:
        """Forget what was traded with levels that are gone or have another size now."""
        for token, old in change.old_books.items():
            new = change.market.books[token]
            for traded, before, after in (
                (self._bought, old.asks, new.asks),
                (self._sold, old.bids, new.bids),
            ):
                for level in before:
                    if level not in set(after):
                        traded.pop((token, price4_exact(level[0])), None)

    def asks(self, market: Market, token: str) -> list[tuple[int, int]]:
        """Price and size of what is left, cheapest first."""
        return sorted(_left(market.books[token].asks, token, self._bought))

    def bids(self, market: Market, token: str) -> list[tuple[int, int]]:
        """Price and size of what is left, dearest first."""
        return sorted(_left(market.books[token].bids, token, self._sold), reverse=True)

    def buy(self, token: str, fills: list[Fill]) -> None:
        """These are gone."""
        for fill in fills:
            self._bought[token, fill.price4] += fill.size6

    def sell(self, token: str, fills: list[Fill]) -> None:
        """So much of the bids is gone."""
        for fill in fills:
            self._sold[token, fill.price4] += fill.size6


def _left(
    levels: Iterable[tuple[str, str]], token: str, traded: Mapping[tuple[str, int], int]
) -> list[tuple[int, int]]:
    known = ((price4_exact(price), size6_floor(size)) for price, size in levels)
    left = ((price4, size6 - traded.get((token, price4), 0)) for price4, size6 in known)
    return [(price4, size6) for price4, size6 in left if size6 > 0]


def walk(
    asks: list[tuple[int, int]], budget_usd6: int, cap4: int, funds_usd6: int, spec: MarketSpec
) -> list[Fill]:
    """Spend a budget on asks up to the cap, and with the fees no more than the funds; one fill for a level.

    As on the chain, shares are rounded up and their cost is cut: a budget that suffices is spent to the last.
    """
    fills = []
    for price4, offered6 in asks:
        if price4 > cap4 or budget_usd6 <= 0:
            break
        size6 = min(offered6, ceil_div(budget_usd6 * PRICE4_ONE, price4))
        fill = fill_of(price4, size6, spec)
        if fill.cost_usd6 + fill.fee_usd6 > funds_usd6:
            size6 = size6 * max(funds_usd6 - _CUT_USD6, 0) // (fill.cost_usd6 + fill.fee_usd6)
            fill = fill_of(price4, size6, spec)
        if fill.size6 <= 0:
            break
        fills.append(fill)
        budget_usd6 -= fill.cost_usd6
        funds_usd6 -= fill.cost_usd6 + fill.fee_usd6
    return fills


def walk_down(bids: list[tuple[int, int]], shares6: int, least4: int, spec: MarketSpec) -> list[Fill]:
    """Sell shares to bids that pay at least so much; one fill for a level, what it brings is cut."""
    fills = []
    for price4, wanted6 in bids:
        if price4 < least4 or shares6 <= 0:
            break
        fills.append(fill_of(price4, min(wanted6, shares6), spec))
        shares6 -= fills[-1].size6
    return fills


def fill_of(price4: int, size6: int, spec: MarketSpec) -> Fill:
    """So many shares at a price: what they cost and the taker's fee."""
    return Fill(price4, size6, size6 * price4 // PRICE4_ONE, taker_fee_usd6(size6, price4, spec))


def taker_fee_usd6(size6: int, price4: int, spec: MarketSpec) -> int:
    """Shares x rate x (p(1-p))^exponent, cut to five decimals: all taker fills on the chain show it."""
    price = Fraction(price4, PRICE4_ONE)
    fee_usd6 = size6 * Fraction(spec.fee_rate) * (price * (1 - price)) ** spec.fee_exponent
    return int(fee_usd6 / 10) * 10


def with_dust(fills: list[Fill], dust6: int, spec: MarketSpec) -> list[Fill]:
    """The same shares, the last so many of them as a fill of their own."""
    if not fills or not 0 < dust6 < fills[-1].size6:
        return fills
    last = fills[-1]
    return [*fills[:-1], fill_of(last.price4, last.size6 - dust6, spec), fill_of(last.price4, dust6, spec)]
