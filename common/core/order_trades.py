"""Trades of live orders: booked once by their id when first seen, unbooked when the venue says they failed.

What is booked is what the venue says happened, even where it should not have: then trading halts as well.
Owns no opinion on when an order is over.
"""

import msgspec

from common.core import ledger
from common.core.fees import taker_fee_usd6
from common.core.holds import halt
from common.core.moment import Moment
from common.core.order_effects import (
    CommitFills,
    CommitTrade,
    Effect,
    PublishFill,
    PublishOrder,
    PublishPosition,
    RaiseAlert,
    Result,
)
from common.core.order_state import (
    Books,
    Order,
    State,
)
from common.core.portfolio import apply_fill, empty_position, released_usd6, take_back
from common.core.venue_facts import VenueTrade
from common.messages import Alert, Fill, OrderState, TradeStatus
from common.units import SECOND

FINAL: tuple[TradeStatus, ...] = ("confirmed", "failed")
STUCK_NS = 180 * SECOND
"""A trade that is not final by then is told; the venue's own delays reach 50 s."""
_STAGE: dict[TradeStatus, int] = {"matched": 0, "retrying": 1, "mined": 2, "confirmed": 3, "failed": 3}


def order_of(state: State, order_id: str) -> Order | None:
    """Our order of this id."""
    return next((o for o in state.books.orders.values() if o.state.order_id == order_id), None)


def trade_seen(state: State, trade: VenueTrade, moment: Moment) -> Result:
    """Apply what the venue says of a trade; what was said before changes nothing."""
    order = order_of(state, trade.order_id)
    if order is None:
        return foreign_seen(state, f"trade {trade.trade_id} of order {trade.order_id}")
    known = next((fill for fill in state.books.fills if fill.trade_id == trade.trade_id), None)
    if known is None:
        return _book(state, order, trade, moment)
    if {known.status, trade.status} == {"confirmed", "failed"}:
        return halt(
            state,
            f"trade {trade.trade_id} was {known.status} and is now {trade.status}: read its transaction",
            "trade-contradicted",
            moment,
        )
    if _STAGE[trade.status] <= _STAGE[known.status]:
        return state, []
    fill = msgspec.structs.replace(known, status=trade.status)
    if trade.status == "failed":
        return _unbook(state, order, fill, moment)
    state = _with_fill(state, fill)
    position = state.books.positions[fill.window, fill.outcome]
    return state, [CommitTrade(order, fill, position, ()), PublishFill(fill)]


def foreign_seen(state: State, what: str, token: str = "") -> Result:
    """Somebody else acts with this account: told once each, and named by ``prove`` where it moved money.

    A window that was traded so is left alone: it may have been our order, and a power cut took its intent.
    """
    if token and token not in state.foreign_tokens:
        state = msgspec.structs.replace(state, foreign_tokens=state.foreign_tokens | {token})
    if what in state.warned:
        return state, []
    state = msgspec.structs.replace(state, warned=state.warned | {what})
    text = f"{what} is not ours: another program or person trades with this account"
    return state, [RaiseAlert(Alert(level="warning", code="foreign-activity", text=text))]


def nothing_more(order: OrderState) -> str:
    """Why an order was filled in part only."""
    return f"no more at or {'above' if order.side == 'sell' else 'below'} the limit"


def worse(order: OrderState) -> str:
    """What no fill of it may be beyond its limit."""
    return "cheaper" if order.side == "sell" else "dearer"


def provisional(books: Books) -> list[Fill]:
    """Fills the chain has not decided."""
    return [fill for fill in books.fills if fill.status not in FINAL]


def warn_of_stuck(state: State, moment: Moment) -> Result:
    """Tell, once each, of trades that take much too long to become final."""
    effects: list[Effect] = []
    for fill in provisional(state.books):
        mark = f"stuck {fill.trade_id}"
        if moment.wall_ns - fill.at_ns < STUCK_NS or mark in state.warned:
            continue
        state = msgspec.structs.replace(state, warned=state.warned | {mark})
        text = (
            f"trade {fill.trade_id} in {fill.window} is {fill.status} for more than "
            f"{STUCK_NS // SECOND} s: its shares may never {'go' if fill.side == 'sell' else 'come'}; "
            "the window is not settled before they do"
        )
        effects.append(RaiseAlert(Alert(level="warning", code="trade-stuck", text=text)))
    return state, effects


def summed(order: Order, fills: tuple[Fill, ...], now_ns: int) -> Order:
    """The order with the sums of its fills; failed ones do not count."""
    own = [f for f in fills if f.order_id == order.state.order_id and f.status != "failed"]
    return msgspec.structs.replace(
        order,
        state=msgspec.structs.replace(
            order.state,
            filled_size6=sum(fill.size6 for fill in own),
            cost_usd6=sum(fill.cost_usd6 for fill in own),
            fee_usd6=sum(fill.fee_usd6 for fill in own),
            updated_ns=now_ns,
        ),
    )


def _book(state: State, order: Order, trade: VenueTrade, moment: Moment) -> Result:
    asked = order.state
    fill = Fill(
        trade_id=trade.trade_id,
        order_id=asked.order_id,
        window=asked.window,
        asset=asked.asset,
        token=asked.token,
        outcome=asked.outcome,
        price4=trade.price4,
        size6=trade.size6,
        cost_usd6=trade.cost_usd6,
        fee_usd6=0 if trade.maker else taker_fee_usd6(trade.size6, trade.price4, order.fee),
        at_ns=moment.wall_ns,
        status=trade.status,
    )
    books = state.books
    held = books.positions.get((asked.window, asked.outcome)) or empty_position(
        fill, order.end_ns, asked.basis, order.condition_id
    )
    if held.settled:
        late = f"trade {trade.trade_id} came after {asked.window} was settled; it is not booked"
        return halt(state, f"{late}: run laggard prove", "trade-after-settlement", moment)
    if asked.side == "sell":
        if fill.size6 > held.size6:
            why = f"trade {trade.trade_id} sells more of {asked.window} than is held; it is not booked"
            return halt(state, f"{why}: run laggard prove", "sold-beyond-holding", moment)
        released = released_usd6(held, fill.size6)
        fill = msgspec.structs.replace(fill, side="sell", released_usd6=released)
    number = len(books.entries) + 1
    entries = [ledger.traded(number, fill)]
    if fill.status == "failed":
        # Booked and taken back at once, so that every fill has the same evidence in the ledger.
        entries.append(ledger.unbooked(number + 1, moment.wall_ns, fill))
        positions = {**books.positions, (asked.window, asked.outcome): held}
    else:
        positions = apply_fill(books.positions, fill, order.end_ns, asked.basis, order.condition_id)
    fills = (*books.fills, fill)
    changed = _reopened(summed(order, fills, moment.wall_ns), trade)
    position = positions[asked.window, asked.outcome]
    books = msgspec.structs.replace(
        books,
        orders={**books.orders, asked.intent_id: changed},
        positions=positions,
        fills=fills,
        entries=(*books.entries, *entries),
    )
    state = msgspec.structs.replace(state, books=books)
    effects: list[Effect] = [
        CommitFills(changed, (fill,), position, tuple(entries)),
        PublishFill(fill),
        PublishOrder(changed.state),
        PublishPosition(position),
    ]
    if asked.status == "killed" and fill.status != "failed":
        text = f"order {asked.order_id} in {asked.window} was taken for dead and has traded: it is booked"
        effects.append(RaiseAlert(Alert(level="critical", code="order-came-back", text=text)))
    if _beyond(changed, fill):
        state, more = halt(
            state,
            f"order {asked.order_id} was filled for more, or {worse(asked)}, than it asked: "
            "compare it with the venue's trades",
            "fill-beyond-order",
            moment,
        )
        effects += more
    return state, effects


def _beyond(order: Order, fill: Fill) -> bool:
    """More than was signed, or dearer: what is signed can cost no more than the stake, or sell no more."""
    state = order.state
    if state.side == "sell":
        return state.filled_size6 > state.size6 or fill.price4 < state.limit4
    spent = state.cost_usd6
    return spent > state.stake_usd6 or spent + state.fee_usd6 > order.worst_usd6 or fill.price4 > state.limit4


def _reopened(order: Order, trade: VenueTrade) -> Order:
    """An order that was already decided, with what came late."""
    if order.state.status == "working" or trade.status == "failed":
        return order
    reason = "" if order.state.status == "filled" else nothing_more(order.state)
    status = "filled" if order.state.status == "filled" else "partial"
    return msgspec.structs.replace(
        order, state=msgspec.structs.replace(order.state, status=status, reason=reason)
    )


def _unbook(state: State, order: Order, fill: Fill, moment: Moment) -> Result:
    held = state.books.positions[fill.window, fill.outcome]
    if held.settled:
        return halt(
            state,
            f"trade {fill.trade_id} failed after {fill.window} was settled: run laggard prove",
            "trade-after-settlement",
            moment,
        )
    state = _with_fill(state, fill)
    books = state.books
    changed = summed(order, books.fills, moment.wall_ns)
    if changed.state.status != "working" and not changed.state.filled_size6:
        changed = msgspec.structs.replace(
            changed,
            state=msgspec.structs.replace(
                changed.state, status="killed", reason="its trades failed on chain"
            ),
        )
    position = take_back(held, fill)
    entry = ledger.unbooked(len(books.entries) + 1, moment.wall_ns, fill)
    books = msgspec.structs.replace(
        books,
        orders={**books.orders, changed.state.intent_id: changed},
        positions={**books.positions, (fill.window, fill.outcome): position},
        entries=(*books.entries, entry),
    )
    moved = "went" if fill.side == "sell" else "came"
    text = f"trade {fill.trade_id} in {fill.window} failed on chain: its shares never {moved}, it is unbooked"
    return msgspec.structs.replace(state, books=books), [
        CommitTrade(changed, fill, position, (entry,)),
        PublishFill(fill),
        PublishOrder(changed.state),
        PublishPosition(position),
        RaiseAlert(Alert(level="warning", code="trade-failed", text=text)),
    ]


def _with_fill(state: State, fill: Fill) -> State:
    fills = tuple(fill if each.trade_id == fill.trade_id else each for each in state.books.fills)
    return msgspec.structs.replace(state, books=msgspec.structs.replace(state.books, fills=fills))
