"""What a result makes of what is held, and what a redemption pays of it: each booked once, when certain.

A result comes from the venue or, final, from the chain; whichever is first settles and the other must agree.
Nothing is settled while an order or trade of its window is open.
"""

import msgspec

from common.core import ledger
from common.core.holds import halt
from common.core.ledger import Payment
from common.core.moment import Moment
from common.core.order_effects import (
    CommitRedemption,
    CommitSettlement,
    Effect,
    PublishPosition,
    RaiseAlert,
    Result,
)
from common.core.order_events import Resolved
from common.core.order_state import (
    Settlement,
    State,
)
from common.core.order_trades import provisional
from common.core.portfolio import UNSPLIT, Ratio, is_contradicted, settle
from common.messages import Alert, MarketState, Official, Outcome, PositionState
from common.units import usd6_text

_OUTCOMES: tuple[Outcome, ...] = ("up", "down")


def market_seen(state: State, market: MarketState, moment: Moment) -> Result:
    """Remember the market; settle what is held in it once it has ended and its official outcome is known."""
    held = state.markets.get(market.window)
    if held is not None and held.outcome is not None and market.outcome is None:
        market = msgspec.structs.replace(market, outcome=held.outcome, closed=True)
    if market != held:
        state = msgspec.structs.replace(state, markets={**state.markets, market.window: market})
    if market.outcome is None:
        return state, []
    return _settle_window(
        state, market.window, market.outcome, (UNSPLIT, UNSPLIT), market.condition_id, "", moment
    )


def resolved(state: State, told: Resolved, moment: Moment) -> Result:
    """Settle by the chain's word what the venue has not settled, and every split; told again changes nothing.

    Halts on a result that no condition can have.
    """
    if not any((told.window, outcome) in state.books.positions for outcome in _OUTCOMES):
        return state, []
    up, down = told.numerators
    if min(up, down) < 0 or not 0 < told.denominator == up + down:
        reason = (
            f"{told.window} is resolved as {up} and {down} of {told.denominator} ({told.evidence}), "
            "which cannot be: read its condition from another endpoint"
        )
        return halt(state, reason, "resolution-impossible", moment)
    official: Official = "up" if not down else "down" if not up else "split"
    ratios = (Ratio(up, told.denominator), Ratio(down, told.denominator))
    if official != "split":
        ratios = (UNSPLIT, UNSPLIT)
    return _settle_window(state, told.window, official, ratios, told.condition_id, told.evidence, moment)


def _settle_window(
    state: State,
    window: str,
    official: Official,
    ratios: tuple[Ratio, Ratio],
    condition_id: str,
    evidence: str,
    moment: Moment,
) -> Result:
    """Settle what is held in an ended window; ``ratios`` are Up's and Down's shares of a split."""
    ended = [
        (position, ratio)
        for outcome, ratio in zip(_OUTCOMES, ratios, strict=True)
        if (position := state.books.positions.get((window, outcome))) and moment.wall_ns >= position.end_ns
    ]
    if any(is_contradicted(position, official, ratio) for position, ratio in ended):
        # An outcome that was paid out and is now another one: stop and let a person look.
        reason = f"{window} was settled and is now called {official}: read its resolution"
        return halt(state, reason, "outcome-contradicted", moment)
    if _undecided(state, window):
        return state, []
    commits: list[Effect] = []
    published: list[Effect] = []
    for position, ratio in ended:
        if position.settled:
            continue
        books = state.books
        known = msgspec.structs.replace(position, condition_id=position.condition_id or condition_id)
        settlement = Settlement(settle(known, official, ratio), moment.wall_ns)
        entry = ledger.settled(
            len(books.entries) + 1,
            moment.wall_ns,
            settlement.position,
            ledger.REDEEMABLE if books.live else ledger.CASH,
            shown_by=evidence,
        )
        books = msgspec.structs.replace(
            books,
            positions={**books.positions, (position.window, position.outcome): settlement.position},
            settlements=(*books.settlements, settlement),
            entries=(*books.entries, entry),
        )
        state = msgspec.structs.replace(state, books=books)
        commits.append(CommitSettlement(settlement, entry))
        published.append(PublishPosition(settlement.position))
    return state, commits + published


def redeemed(state: State, payment: Payment, moment: Moment) -> Result:
    """Book what came in for burnt tokens; told again it changes nothing.

    Waits while a position of these tokens is not settled. What pays less than is owed is told and not booked.
    """
    books = state.books
    if not books.live or payment.evidence in books.payments:
        return state, []
    burnt = dict(payment.tokens)
    held = [each for each in books.positions.values() if each.token in burnt]
    # What was booked before there were payments has no transaction to be known by.
    if any(not each.settled or (each.redeemed and each.redeemed not in books.payments) for each in held):
        return state, []
    owed = [each for each in held if each.payout_usd6 and not each.redeemed]
    due = sum(each.payout_usd6 for each in owed)
    if any(burnt[each.token] < each.size6 for each in owed) or payment.paid_usd6 - payment.surplus_usd6 < due:
        return _short(state, payment, due)
    if not payment.paid_usd6:
        return state, []
    return _booked(state, payment, owed, due, moment)


def _booked(
    state: State, payment: Payment, owed: list[PositionState], due_usd6: int, moment: Moment
) -> Result:
    books = state.books
    number, now_ns = len(books.entries) + 1, moment.wall_ns
    entries = [ledger.redeemed(number, now_ns, payment, due_usd6)] if owed else []
    outside = payment.paid_usd6 - (due_usd6 + payment.surplus_usd6 if owed else 0)
    if outside:
        entries.append(ledger.found(number + len(entries), now_ns, payment, outside))
    paid = {
        (each.window, each.outcome): msgspec.structs.replace(each, redeemed=payment.evidence) for each in owed
    }
    books = msgspec.structs.replace(
        books,
        positions={**books.positions, **paid},
        settlements=tuple(
            msgspec.structs.replace(one, position=paid[key])
            if (key := (one.position.window, one.position.outcome)) in paid
            else one
            for one in books.settlements
        ),
        entries=(*books.entries, *entries),
        payments={**books.payments, payment.evidence: payment},
    )
    positions = tuple(paid.values())
    return msgspec.structs.replace(state, books=books), [
        CommitRedemption(payment, positions, tuple(entries)),
        *(PublishPosition(position) for position in positions),
    ]


def _short(state: State, payment: Payment, due_usd6: int) -> Result:
    """Tell, once, of tokens that are gone for less than we are owed; what is owed stays owed."""
    mark = f"short {payment.evidence}"
    if mark in state.warned:
        return state, []
    state = msgspec.structs.replace(state, warned=state.warned | {mark})
    paid, due = (usd6_text(amount, places=6) for amount in (payment.paid_usd6, due_usd6))
    text = (
        f"{payment.evidence} took tokens of {payment.name} and brought {paid} $, we are owed {due} $: it is "
        "not booked; look at the wallet's transfers and run laggard prove"
    )
    return state, [RaiseAlert(Alert(level="critical", code="redemption-short", text=text))]


def _undecided(state: State, window: str) -> bool:
    """An order of the window is open, or the chain has not decided one of its trades."""
    return any(
        order.state.status == "working"
        for order in state.books.orders.values()
        if order.state.window == window
    ) or any(fill.window == window for fill in provisional(state.books))
