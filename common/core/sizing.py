"""How much to stake by Kelly's criterion: a part of what it says of a model's probability.

The model is no truth: it takes the price for a random walk of the volatility that was configured, and knows
nothing of drift, jumps, or who is on the other side. Floats live inside it; what leaves it is whole units.
Never decides whether a window may be traded.
"""

import math
from typing import NamedTuple

from common.core.fees import taker_fee_usd6
from common.core.matching import worst_case_usd6
from common.core.reference import Reference
from common.core.risk import RiskBook, at_risk
from common.core.settings import RiskLimits, StrategySettings
from common.messages import FeeSchedule, Outcome
from common.units import PRICE4_ONE, SECOND, SIZE6_ONE, USD6_ONE, usd6_text

YEAR_S = 365 * 86_400
"""These markets never close."""
MIN_STAKE_USD6 = USD6_ONE
"""The venue refuses marketable buys for less."""
CENT_USD6 = 10_000
"""An order's money has two decimals."""
_PPM = 1_000_000
_THOUSAND_SHARES6 = 1_000 * SIZE6_ONE


class Stake(NamedTuple):
    """What to spend before the fee (1e-6 $, whole cents), 0 for nothing; and how it came about."""

    usd6: int
    text: str


def kelly_stake(
    settings: StrategySettings,
    probability_ppm: int,
    price4: int,
    fee: FeeSchedule | None,
    cash_usd6: int,
    room_usd6: int,
) -> Stake:
    """The stake of a buy at ``price4`` or less of a share that pays 1 $ with this probability.

    Kelly's criterion for a share of all-in cost c is f* = (p - c) / (1 - c) of the money there is (J. L.
    Kelly, 1956, for a bet that pays (1 - c) / c to one). Of it ``kelly_fraction`` of ``cash_usd6``, at most
    ``kelly_max_usd6``, is spent, fee included, and the order at its worst never costs more than
    ``room_usd6``.
    """
    cost_ppm = _cost_ppm(price4, fee)
    edge_ppm = probability_ppm - cost_ppm
    belief = f"p {probability_ppm / _PPM:.4f}, cost {cost_ppm / _PPM:.4f}"
    if edge_ppm <= 0:
        return Stake(0, f"no edge: {belief}")
    outlay_usd6 = cash_usd6 * edge_ppm * settings.kelly_fraction_ppm // ((_PPM - cost_ppm) * _PPM)
    outlay_usd6 = min(outlay_usd6, settings.kelly_max_usd6)
    # The fee comes on top of the stake, and Kelly's fraction is of both.
    wanted_usd6 = outlay_usd6 * price4 * (_PPM // PRICE4_ONE) // cost_ppm
    staked_usd6 = _within(wanted_usd6, price4, fee, room_usd6) // CENT_USD6 * CENT_USD6
    text = f"{usd6_text(staked_usd6)} of {usd6_text(wanted_usd6)} wanted: {belief}"
    return Stake(staked_usd6 if staked_usd6 >= MIN_STAKE_USD6 else 0, text)


def probability_ppm(settings: StrategySettings, asset: str, reference: Reference, end_ns: int) -> int:
    """The model's probability that the side of the move wins, cut to 1e-6: Phi(move / (sigma sqrt(time))).

    Time runs from the newest price to ``end_ns`` and counts in full although a TWAP window closes on an
    average, which wanders less: the error makes the model less sure of itself. 500 000 when no time is left.
    """
    seconds = (end_ns - reference.observed_ns) / SECOND
    if seconds <= 0:
        return _PPM // 2
    volatility = dict(settings.volatility_by_asset).get(asset, settings.volatility_ppm) / _PPM
    move = math.log(reference.value / reference.base)
    deviations = abs(move) / (volatility * math.sqrt(seconds / YEAR_S))
    return math.floor(_PPM * 0.5 * (1.0 + math.erf(deviations / math.sqrt(2.0))))


def room_usd6(limits: RiskLimits, book: RiskBook, window: str, asset: str, outcome: Outcome) -> int:
    """The most one more order may cost at its worst without a money limit of ``risk.check`` refusing it.

    The limit of a single stake counts the fee here as well.
    """
    now = at_risk(book, window, asset, outcome)
    return min(
        limits.max_stake_usd6,
        limits.max_window_usd6 - now.window_usd6,
        limits.max_asset_usd6 - now.asset_usd6,
        limits.max_direction_usd6 - now.direction_usd6,
        limits.max_daily_loss_usd6 + book.day_pnl_usd6 - now.all_usd6,
        book.cash_usd6 - now.reserved_usd6 - limits.min_balance_usd6,
    )


def free_cash_usd6(book: RiskBook) -> int:
    """What is in the account and promised to no order."""
    return book.cash_usd6 - sum(one.worst_usd6 for one in book.reservations)


def _cost_ppm(price4: int, fee: FeeSchedule | None) -> int:
    """What a share costs with its fee (1e-6 $), a millionth dearer than it can be.

    The fee of a thousand shares is cut to 1e-5 $, so a thousandth of it lacks less than a millionth.
    """
    if fee is None:
        return price4 * (_PPM // PRICE4_ONE)
    return price4 * (_PPM // PRICE4_ONE) + taker_fee_usd6(_THOUSAND_SHARES6, price4, fee) // 1_000 + 1


def _within(stake: int, price4: int, fee: FeeSchedule | None, room: int) -> int:
    """The part of a stake whose worst case fits into the room."""
    if room <= 0:
        return 0
    # Fees are proportional but for their rounding up, which a cent covers a thousand times.
    return max(0, min(stake, room * room // worst_case_usd6(room, price4, fee) - CENT_USD6))
