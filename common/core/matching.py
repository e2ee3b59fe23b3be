"""Paper matching: what a fill-and-kill order with a price limit takes from a resting book.

Pure arithmetic on a book as it stood, always rounded against us. Never models delay, queues or rivals: the
caller chooses the book (the one after the taker delay).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from common.core.fees import max_fee_usd6, taker_fee_usd6
from common.messages import FeeSchedule
from common.units import PRICE4_ONE, Price4, Size6, cost_usd6_ceil, floor_div

SIZE_STEP6 = 100
"""The venue takes four decimals of shares at tick 0.01."""


class Taken(NamedTuple):
    """What was bought from one level, or sold to it; cost or proceeds are without the fee."""

    price4: int
    size6: int
    cost_usd6: int
    fee_usd6: int


class Walk(NamedTuple):
    """The fills of one order, cheapest first, and the part of the stake that was not spent."""

    fills: tuple[Taken, ...]
    unfilled_usd6: int


def walk(
    asks: Sequence[tuple[int, int]],
    limit4: int,
    stake_usd6: int,
    fee: FeeSchedule | None,
    *,
    min_order_usd6: int = 1_000_000,
    size_step6: int = SIZE_STEP6,
) -> Walk:
    """Buy from ``asks`` (price 1e-4 $, size 1e-6 shares; any order) for at most ``stake_usd6`` before fee.

    Each level is one fill at its own price, never above ``limit4``, never more than the level shows, cut to
    ``size_step6`` (the venue takes four decimals of shares at tick 0.01). A stake below ``min_order_usd6``
    buys nothing: the venue refuses marketable buys under 1 $.
    """
    if stake_usd6 < min_order_usd6:
        return Walk((), stake_usd6)
    left = stake_usd6
    fills: list[Taken] = []
    for price4, shown6 in sorted(asks):
        if price4 > limit4:
            break
        affordable6 = left * PRICE4_ONE // price4
        size6 = min(affordable6, shown6) // size_step6 * size_step6
        if size6 <= 0:
            continue
        cost = cost_usd6_ceil(Price4(price4), Size6(size6))
        left -= cost
        fills.append(Taken(price4, size6, cost, taker_fee_usd6(size6, price4, fee)))
    return Walk(tuple(fills), left)


def walk_down(
    bids: Sequence[tuple[int, int]],
    limit4: int,
    size6: int,
    fee: FeeSchedule | None,
    *,
    size_step6: int = SIZE_STEP6,
) -> tuple[Taken, ...]:
    """Sell at most ``size6`` shares to ``bids`` (any order), best first, each level one fill at its price.

    Never below ``limit4``, never more than a level shows, proceeds rounded down; the fee comes out of them.
    """
    fills: list[Taken] = []
    for price4, shown6 in sorted(bids, reverse=True):
        if price4 < limit4:
            break
        sold6 = min(size6, shown6) // size_step6 * size_step6
        if sold6 <= 0:
            continue
        size6 -= sold6
        proceeds = floor_div(price4 * sold6, PRICE4_ONE)
        fills.append(Taken(price4, sold6, proceeds, taker_fee_usd6(sold6, price4, fee)))
    return tuple(fills)


@lru_cache(maxsize=256)
def worst_case_usd6(stake_usd6: int, limit4: int, fee: FeeSchedule | None) -> int:
    """The most an order can take from the account: its whole stake and the highest fee on it.

    Remembered, for one stake, limit and fee come again with every order.
    """
    return stake_usd6 + max_fee_usd6(stake_usd6, limit4, fee)
