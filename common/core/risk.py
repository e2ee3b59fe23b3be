"""The risk check: one function, used by the strategist before it asks and by the executor for the last word.

The worst case counts: what is open, plus what is in flight, plus what is unknown, all at their full cost.
Whether a limit holds is decided on figures alone; gates put it into words where somebody reads them.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

import msgspec

from common.core.moment import Moment
from common.core.portfolio import Exposure, Reservation
from common.core.settings import RiskLimits
from common.messages import Gate, Outcome, Posture
from common.units import SECOND, usd6_text

_NAMES = (
    "posture",
    "stake",
    "window exposure",
    "asset exposure",
    "direction exposure",
    "positions",
    "daily loss",
    "loss streak",
    "orders per minute",
    "balance",
)
"""Of the gates, in their order."""


class RiskBook(msgspec.Struct, frozen=True):
    """What is at stake already, as the caller knows it."""

    posture: Posture
    open: Exposure
    """Of the open positions."""
    reservations: Collection[Reservation]
    """Orders in flight or unknown, at their worst case."""
    cash_usd6: int
    day_pnl_usd6: int
    loss_streak: int
    order_times_ns: tuple[int, ...]
    """Monotonic instants of recent orders."""


class Wish(msgspec.Struct, frozen=True):
    """The trade that is asked for."""

    window: str
    asset: str
    outcome: Outcome
    stake_usd6: int
    limit4: int
    worst_usd6: int
    """Stake plus the highest fee it can cost."""


class AtRisk(NamedTuple):
    """What may be lost already (1e-6 $), as far as it weighs on one wish."""

    window_usd6: int
    asset_usd6: int
    direction_usd6: int
    all_usd6: int
    reserved_usd6: int
    """The part of all that is in flight or unknown, and so still in the account."""


class Figures(NamedTuple):
    """What the limits are held against: as it would be with the wish."""

    posture: Posture
    stake_usd6: int
    window_usd6: int
    asset_usd6: int
    direction_usd6: int
    positions: int
    worst_day_usd6: int
    loss_streak: int
    orders: int
    """Of the last minute."""
    balance_usd6: int


def at_risk(book: RiskBook, window: str, asset: str, outcome: Outcome) -> AtRisk:
    """Sum what a wish in this window and direction adds to."""
    held = book.open
    in_window = held.by_window.get(window, 0)
    in_asset = held.by_asset.get(asset, 0)
    in_direction = held.by_direction.get(outcome, 0)
    reserved = 0
    for each in book.reservations:
        worst = each.worst_usd6
        reserved += worst
        if each.window == window:
            in_window += worst
        if each.asset == asset:
            in_asset += worst
        if each.outcome == outcome:
            in_direction += worst
    return AtRisk(in_window, in_asset, in_direction, sum(held.by_direction.values()) + reserved, reserved)


def weigh(book: RiskBook, wish: Wish, moment: Moment) -> Figures:
    """The figures every limit is held against."""
    now = at_risk(book, wish.window, wish.asset, wish.outcome)
    held, worst = book.open.held, wish.worst_usd6
    begun = {(each.window, each.outcome) for each in book.reservations}
    begun.add((wish.window, wish.outcome))
    minute_ago_ns = moment.mono_ns - 60 * SECOND
    return Figures(
        posture=book.posture,
        stake_usd6=wish.stake_usd6,
        window_usd6=now.window_usd6 + worst,
        asset_usd6=now.asset_usd6 + worst,
        direction_usd6=now.direction_usd6 + worst,
        positions=len(held) + len(begun - held),
        # A day's worst case: what is lost already, and everything open or in flight lost as well.
        worst_day_usd6=book.day_pnl_usd6 - now.all_usd6 - worst,
        loss_streak=book.loss_streak,
        orders=len([at for at in book.order_times_ns if at > minute_ago_ns]) + 1,
        balance_usd6=book.cash_usd6 - now.reserved_usd6 - worst,
    )


def passed(limits: RiskLimits, figures: Figures) -> tuple[bool, ...]:
    """Whether each limit holds, in the order of ``gates``; the trade is allowed when all do."""
    return (
        figures.posture == "trading",
        figures.stake_usd6 <= limits.max_stake_usd6,
        figures.window_usd6 <= limits.max_window_usd6,
        figures.asset_usd6 <= limits.max_asset_usd6,
        figures.direction_usd6 <= limits.max_direction_usd6,
        figures.positions <= limits.max_positions,
        figures.worst_day_usd6 >= -limits.max_daily_loss_usd6,
        figures.loss_streak < limits.max_loss_streak,
        figures.orders <= limits.max_orders_per_minute,
        figures.balance_usd6 >= limits.min_balance_usd6,
    )


def gates(limits: RiskLimits, figures: Figures) -> tuple[Gate, ...]:
    """Every limit in words."""
    values = (
        figures.posture,
        usd6_text(figures.stake_usd6),
        usd6_text(figures.window_usd6),
        usd6_text(figures.asset_usd6),
        usd6_text(figures.direction_usd6),
        str(figures.positions),
        f"worst case {usd6_text(figures.worst_day_usd6)}",
        str(figures.loss_streak),
        str(figures.orders),
        usd6_text(figures.balance_usd6),
    )
    return tuple(map(Gate, _NAMES, values, _thresholds(limits), passed(limits, figures)))


@lru_cache(maxsize=8)
def _thresholds(limits: RiskLimits) -> tuple[str, ...]:
    return (
        "trading",
        f"<= {usd6_text(limits.max_stake_usd6)}",
        f"<= {usd6_text(limits.max_window_usd6)}",
        f"<= {usd6_text(limits.max_asset_usd6)}",
        f"<= {usd6_text(limits.max_direction_usd6)}",
        f"<= {limits.max_positions}",
        f">= -{usd6_text(limits.max_daily_loss_usd6)}",
        f"< {limits.max_loss_streak}",
        f"<= {limits.max_orders_per_minute}",
        f">= {usd6_text(limits.min_balance_usd6)}",
    )


def check(limits: RiskLimits, book: RiskBook, wish: Wish, moment: Moment) -> tuple[Gate, ...]:
    """Every limit as a gate; the trade is allowed when all passed."""
    return gates(limits, weigh(book, wish, moment))


def first_failed(gates: tuple[Gate, ...]) -> Gate | None:
    """The first gate that did not pass, or None."""
    return next((gate for gate in gates if not gate.passed), None)
