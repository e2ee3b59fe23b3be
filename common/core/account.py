"""The account as figures: cash, results, streaks, and the proof that all books agree. Pure sums, no rules."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime

from common.core.ledger import CASH, REDEEMABLE, balances, difference
from common.core.order_state import (
    Books,
    Order,
    Settlement,
)
from common.core.portfolio import Reservation
from common.messages import AccountState
from common.units import SECOND, usd6_text

DAY_NS = 86_400 * SECOND
_EPOCH = date(1970, 1, 1).toordinal()


def utc_day(wall_ns: int) -> str:
    """The UTC day of an instant: ``2026-11-24``."""
    return datetime.fromtimestamp(wall_ns // SECOND, UTC).date().isoformat()


def cash_usd6(books: Books) -> int:
    """What is free to spend, before reservations."""
    return balances(books.entries).get(CASH, 0)


def day_pnl_usd6(settlements: Iterable[Settlement], day: str) -> int:
    """Result of the positions booked as settled on a UTC day, after fees."""
    number = date.fromisoformat(day).toordinal() - _EPOCH
    return sum(one.position.pnl_usd6 for one in settlements if one.at_ns // DAY_NS == number)


def loss_streak(settlements: Iterable[Settlement]) -> int:
    """How many positions in a row, up to the newest, lost money; one whose trades all failed is none.

    One that was sold before it was settled counts as any other.
    """
    streak = 0
    for one in settlements:
        if not one.position.size6 and not one.position.sold6:
            continue
        streak = streak + 1 if one.position.pnl_usd6 < 0 else 0
    return streak


def reservations(books: Books) -> tuple[Reservation, ...]:
    """Orders whose fate is open, at their worst."""
    return tuple(reservation(order) for order in books.orders.values() if order.state.status == "working")


def reservation(order: Order) -> Reservation:
    """One order at its worst."""
    state = order.state
    return Reservation(state.intent_id, state.window, state.asset, state.outcome, order.worst_usd6)


def account_state(books: Books, mode: str, wall_ns: int, *, duplicate_orders: int) -> AccountState:
    """The account at this moment."""
    day = utc_day(wall_ns)
    positions = books.positions.values()
    return AccountState(
        mode=mode,
        cash_usd6=cash_usd6(books),
        open_cost_usd6=sum(held.cost_usd6 + held.fee_usd6 for held in positions if not held.settled),
        realized_pnl_usd6=sum(held.pnl_usd6 if held.settled else held.realized_usd6 for held in positions),
        day=day,
        day_pnl_usd6=day_pnl_usd6(books.settlements, day),
        fees_usd6=sum(fill.fee_usd6 for fill in books.fills if fill.status != "failed"),
        orders=len(books.orders),
        fills=len(books.fills),
        duplicate_orders=duplicate_orders,
        ledger_difference_usd6=ledger_difference(books)[0],
        loss_streak=loss_streak(books.settlements),
        redeemable_usd6=balances(books.entries).get(REDEEMABLE, 0),
        unknown_orders=sum(bool(order.state.unknown) for order in books.orders.values()),
        provisional_fills=sum(fill.status not in ("confirmed", "failed") for fill in books.fills),
    )


def ledger_difference(books: Books) -> tuple[int, str]:
    """By how much the ledger departs from the facts (1e-6 $), and a sentence naming where."""
    settled = [one.position for one in books.settlements]
    off = difference(
        books.entries,
        books.fills,
        settled,
        books.bankroll_usd6,
        payments=books.payments,
        live=books.live,
    )
    if not off.usd6:
        return 0, ""
    entry = "a missing entry" if off.entry_number is None else f"entry {off.entry_number}"
    return off.usd6, f"{entry} ({off.evidence}) is off by {usd6_text(off.usd6, places=6)} on {off.account}"


def broken_sums(books: Books) -> str:
    """The first order, position or entry that does not add up, as a sentence; empty when all do."""
    by_order: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    by_position: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for fill in books.fills:
        if fill.status == "failed":
            continue
        size6, cost, fee = fill.size6, fill.cost_usd6, fill.fee_usd6
        _add(by_order[fill.order_id], size6, cost, fee)
        changes = (size6, cost, fee, 0, 0)
        if fill.side == "sell":
            changes = (-size6, -fill.released_usd6, fee, size6, cost - fill.released_usd6)
        _add(by_position[fill.window, fill.outcome], *changes)
    for order in books.orders.values():
        state = order.state
        if by_order.pop(state.order_id, [0, 0, 0]) != [state.filled_size6, state.cost_usd6, state.fee_usd6]:
            return f"order {state.order_id} is not the sum of its fills"
    for key, held in books.positions.items():
        has = [held.size6, held.cost_usd6, held.fee_usd6, held.sold6, held.realized_usd6]
        if by_position.pop(key, [0, 0, 0, 0, 0]) != has:
            return f"the position {held.outcome} in {held.window} is not the sum of its fills"
    for order_id in by_order:
        return f"there are fills of {order_id}, but no such order"
    for window, outcome in by_position:
        return f"there are fills of {outcome} in {window}, but no such position"
    return ledger_difference(books)[1]


def _add(sums: list[int], *amounts: int) -> None:
    for place, amount in enumerate(amounts):
        sums[place] += amount
