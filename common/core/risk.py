"""The risk check: one function, used by the strategist before it asks and by the executor for the last word.

The worst case counts: what is open, plus what is in flight, plus what is unknown, all at their full cost.
"""

import msgspec

from common.core.moment import Moment
from common.core.portfolio import Reservation, exposure
from common.core.settings import RiskLimits
from common.messages import Gate, Outcome, PositionState, Posture
from common.units import SECOND, usd6_text


class RiskBook(msgspec.Struct, frozen=True):
    """What is at stake already, as the caller knows it."""

    posture: Posture
    positions: tuple[PositionState, ...]
    reservations: tuple[Reservation, ...]
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


def check(limits: RiskLimits, book: RiskBook, wish: Wish, moment: Moment) -> tuple[Gate, ...]:
    """Every limit as a gate; the trade is allowed when all passed."""
    at_risk = exposure(book.positions, book.reservations)
    window = at_risk.by_window.get(wish.window, 0)
    asset = at_risk.by_asset.get(wish.asset, 0)
    direction = at_risk.by_direction.get(wish.outcome, 0)
    reserved = sum(r.worst_usd6 for r in book.reservations)
    held = {(p.window, p.outcome) for p in book.positions if not p.settled}
    held |= {(r.window, r.outcome) for r in book.reservations} | {(wish.window, wish.outcome)}
    recent = sum(1 for at in book.order_times_ns if moment.mono_ns - at < 60 * SECOND)
    # A day's worst case: what is lost already, and everything open or in flight lost as well.
    worst_day = book.day_pnl_usd6 - sum(at_risk.by_direction.values()) - wish.worst_usd6
    return (
        Gate("posture", book.posture, "trading", book.posture == "trading"),
        _at_most("stake", wish.stake_usd6, limits.max_stake_usd6),
        _at_most("window exposure", window + wish.worst_usd6, limits.max_window_usd6),
        _at_most("asset exposure", asset + wish.worst_usd6, limits.max_asset_usd6),
        _at_most("direction exposure", direction + wish.worst_usd6, limits.max_direction_usd6),
        Gate("positions", str(len(held)), f"<= {limits.max_positions}", len(held) <= limits.max_positions),
        Gate(
            "daily loss",
            f"worst case {usd6_text(worst_day)}",
            f">= -{usd6_text(limits.max_daily_loss_usd6)}",
            worst_day >= -limits.max_daily_loss_usd6,
        ),
        Gate(
            "loss streak",
            str(book.loss_streak),
            f"< {limits.max_loss_streak}",
            book.loss_streak < limits.max_loss_streak,
        ),
        Gate(
            "orders per minute",
            str(recent + 1),
            f"<= {limits.max_orders_per_minute}",
            recent < limits.max_orders_per_minute,
        ),
        Gate(
            "balance",
            usd6_text(book.cash_usd6 - reserved - wish.worst_usd6),
            f">= {usd6_text(limits.min_balance_usd6)}",
            book.cash_usd6 - reserved - wish.worst_usd6 >= limits.min_balance_usd6,
        ),
    )


def first_failed(gates: tuple[Gate, ...]) -> Gate | None:
    """The first gate that did not pass, or None."""
    return next((gate for gate in gates if not gate.passed), None)


def _at_most(name: str, amount: int, limit: int) -> Gate:
    return Gate(name, usd6_text(amount), f"<= {usd6_text(limit)}", amount <= limit)
