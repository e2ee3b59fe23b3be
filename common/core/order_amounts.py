"""The two amounts of an order as they are signed: what is offered and what is asked for, in 1e-6.

Integers only. A fill-and-kill buy offers dollars: cents of collateral, and as many shares as they buy at the
limit, cut to the decimals of the market's grid, so that the signed price is never a hair below the limit.
"""

from typing import NamedTuple

from common.errors import LaggardError
from common.units import PRICE4_ONE, price4_text, usd6_text

MIN_BUY_USD6 = 1_000_000
"""A marketable buy below one dollar is refused: "invalid amount for a marketable BUY order"."""
_CENT_USD6 = 10_000
_LOT6 = {1_000: 1_000, 100: 100, 50: 10, 25: 1, 10: 10, 1: 1}
"""By tick (1e-4 $): the smallest step of the share amount (1e-6), as in the official client's table."""
_FINEST_TICK4 = 1


class Amounts(NamedTuple):
    """``maker6`` is what we give, ``taker6`` what we get: dollars and shares for a buy."""

    maker6: int
    taker6: int


class AmountsRefused(LaggardError):
    """The venue would not take this order; ``code`` is stable."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def buy_amounts(stake_usd6: int, limit4: int, tick4: int) -> Amounts:
    """Dollars cut to cents, and the shares they buy at ``limit4``, cut to the grid's decimals.

    Source: what polymarket-client 0.14.0 signs for ``create_market_order(amount, max_price)``. Raises
    AmountsRefused when the limit is off the grid, the stake is below a dollar, or the cut shares would let
    the order reach the next price.
    """
    lot6 = _checked_lot6(limit4, tick4)
    maker6 = stake_usd6 // _CENT_USD6 * _CENT_USD6
    if maker6 < MIN_BUY_USD6:
        raise AmountsRefused(
            "too-small", f"a stake of {usd6_text(stake_usd6)} $ is below the venue's least of 1 $; raise it"
        )
    taker6 = maker6 * PRICE4_ONE // limit4 // lot6 * lot6
    # The venue derives the price as maker / taker: it must stay below the next price of the finest grid.
    if maker6 * PRICE4_ONE >= taker6 * (limit4 + _FINEST_TICK4):
        raise AmountsRefused(
            "too-coarse",
            f"{usd6_text(maker6)} $ at {price4_text(limit4)} cannot be signed without exceeding that price",
        )
    return Amounts(maker6, taker6)


def sell_amounts(size6: int, limit4: int, tick4: int) -> Amounts:
    """Shares cut to hundredths, and the dollars they bring at ``limit4``, cut to the grid's decimals."""
    lot6 = _checked_lot6(limit4, tick4)
    maker6 = size6 // _CENT_USD6 * _CENT_USD6
    taker6 = maker6 * limit4 // PRICE4_ONE // lot6 * lot6
    if taker6 <= 0:
        raise AmountsRefused("too-small", "so few shares bring nothing")
    return Amounts(maker6, taker6)


def _checked_lot6(limit4: int, tick4: int) -> int:
    lot6 = _LOT6.get(tick4)
    if lot6 is None:
        raise AmountsRefused("tick", f"the venue has no price grid of {price4_text(tick4)}")
    if not tick4 <= limit4 <= PRICE4_ONE - tick4 or limit4 % tick4:
        raise AmountsRefused(
            "price", f"the limit {price4_text(limit4)} is not on the grid of {price4_text(tick4)}"
        )
    return lot6
