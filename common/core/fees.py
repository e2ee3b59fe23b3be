"""The taker fee of a fill, as the venue computes it, and the most a stake can cost in fees.

Owns the fee arithmetic and its rounding. Never decides whether a fill was a taker's: callers ask for taker
fills only, makers pay nothing.
"""

from common.messages import FeeSchedule
from common.units import PRICE4_ONE, ceil_div, floor_div

_PPM = 1_000_000
_STEP_USD6 = 10
"""The venue books fees in 1e-5 dollars."""


def taker_fee_usd6(size6: int, price4: int, fee: FeeSchedule | None) -> int:
    """What the venue takes from a taker of ``size6`` shares at ``price4``: 1e-6 $, a multiple of 10.

    Collateral, for buys and sells alike, on top of the price and per fill: shares x rate x (p(1-p))^exponent
    cut to five decimals (the documentation names the decimals; chain events show that they are cut). None
    means that the market is free.
    """
    if fee is None:
        return 0
    numerator = size6 * fee.rate_ppm * (price4 * (PRICE4_ONE - price4)) ** fee.exponent
    denominator = _PPM * PRICE4_ONE ** (2 * fee.exponent)
    return floor_div(numerator, denominator * _STEP_USD6) * _STEP_USD6


def max_fee_usd6(stake_usd6: int, limit4: int, fee: FeeSchedule | None) -> int:
    """The most fee that spending ``stake_usd6`` at prices from 1e-4 $ to ``limit4`` can cost, rounded up.

    The limit is not the dearest price: with exponent 1 a dollar spent pays rate x (1-p), most at the lowest.
    """
    if fee is None:
        return 0
    exponent = fee.exponent
    if exponent < 2:
        prices = [1]
    else:
        # Fee per dollar is rate x p^(e-1) x (1-p)^e, which rises up to p = (e-1)/(2e-1) and falls from there.
        peak = PRICE4_ONE * (exponent - 1) // (2 * exponent - 1)
        prices = [min(peak, limit4), min(peak + 1, limit4)]
    return max(_fee_of_spending(stake_usd6, price, fee) for price in prices)


def _fee_of_spending(stake_usd6: int, price4: int, fee: FeeSchedule) -> int:
    size6_times_price4 = stake_usd6 * PRICE4_ONE
    numerator = size6_times_price4 * fee.rate_ppm * (price4 * (PRICE4_ONE - price4)) ** fee.exponent
    denominator = price4 * _PPM * PRICE4_ONE ** (2 * fee.exponent)
    return ceil_div(numerator, denominator * _STEP_USD6) * _STEP_USD6
