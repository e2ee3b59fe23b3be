"""What the venue's answer makes of an order: the paper venue's at once, the live venue's as far as it goes.

A paper fill changes order, position and ledger together, once; a live order that was taken is pursued.
"""

import msgspec

from common.core import ledger, order_pursuit
from common.core.holds import VENUE_HOLD, halt, hold, stop_orders
from common.core.moment import Moment
from common.core.order_effects import (
    CheckAccount,
    CommitEnd,
    CommitFills,
    PublishFill,
    PublishOrder,
    PublishPosition,
    RaiseAlert,
    Result,
    commits_first,
)
from common.core.order_events import (
    DefiniteNo,
    Matched,
    NotSent,
    Taken,
    Unknown,
    VenueAnswer,
)
from common.core.order_state import (
    Order,
    State,
)
from common.core.order_trades import nothing_more, worse
from common.core.portfolio import apply_fill, released_usd6
from common.core.venue_facts import VenueFill
from common.errors import InvariantBroken
from common.messages import Alert, Fill, OrderState, OrderStatus
from common.units import Price4, Size6, cost_usd6_ceil

_SMALLEST_LOT6 = Size6(100)
"""The venue trades four decimals of shares: what is left of a stake below this many is not unfilled."""
CHECKS_HOLD = "checks"


def answered(state: State, intent_id: str, answer: VenueAnswer, moment: Moment) -> Result:
    """Apply the venue's answer to a working order; an answer to a decided one changes nothing."""
    order = state.books.orders.get(intent_id)
    if order is None:
        raise InvariantBroken(f"the venue answered {intent_id}, which was never sent")
    if order.state.status != "working":
        return state, []
    match answer:
        case Matched(fills) if fills:
            return _filled(state, order, fills, moment)
        case Matched():
            return killed(state, intent_id, "the venue matched nothing", moment)
        case Taken():
            return order_pursuit.taken(state, order, answer, moment)
        case DefiniteNo(text=text) | NotSent(text) if order.state.filled_size6:
            why = f"told that it was not taken ({text}), and it has trades"
            return order_pursuit.lost(state, order, why, moment)
        case DefiniteNo(code, text):
            state, effects = killed(state, intent_id, f"{code}: {text}", moment)
            state, more = _consequences(state, order, answer, moment)
            return state, commits_first([*effects, *more])
        case NotSent(text):
            return killed(state, intent_id, f"not sent: {text}", moment)
        case Unknown(text):
            return order_pursuit.lost(state, order, text, moment)


def killed(state: State, intent_id: str, reason: str, moment: Moment) -> Result:
    """End a working order without a fill: its reservation is released."""
    order = _ended(state.books.orders[intent_id], "killed", reason, (), moment)
    books = msgspec.structs.replace(state.books, orders={**state.books.orders, intent_id: order})
    pursuits = {key: each for key, each in state.pursuits.items() if key != intent_id}
    state = msgspec.structs.replace(state, books=books, pursuits=pursuits)
    return state, [CommitEnd(order), PublishOrder(order.state)]


def _consequences(state: State, order: Order, answer: DefiniteNo, moment: Moment) -> Result:
    """What a refusal means for all the orders after it."""
    said = f"{answer.code}: {answer.text}"
    match answer.consequence:
        case "wait":
            return hold(state, VENUE_HOLD, said, moment, for_ns=answer.wait_ns)
        case "check":
            state, effects = hold(state, CHECKS_HOLD, said, moment)
            alert = Alert(level="critical", code="order-refused", text=f"{order.state.intent_id}: {said}")
            return state, [*effects, RaiseAlert(alert), CheckAccount()]
        case "stop":
            return halt(state, f"the venue refuses orders: {said}", "venue-refuses", moment)
        case "fault":
            return stop_orders(state, f"the venue refused a malformed order: {said}", "order-fault", moment)
        case "none":
            return state, []


def _filled(state: State, order: Order, told: tuple[VenueFill, ...], moment: Moment) -> Result:
    asked = order.state
    if _is_beyond(order, told):
        raise InvariantBroken(
            f"order {asked.order_id} was filled for more, or {worse(asked)}, than it asked: "
            "compare it with the venue's trades"
        )
    books = state.books
    positions = dict(books.positions)
    fills: tuple[Fill, ...] = ()
    for one in told:
        fill = Fill(
            trade_id=one.trade_id,
            order_id=asked.order_id,
            window=asked.window,
            asset=asked.asset,
            token=asked.token,
            outcome=asked.outcome,
            price4=one.price4,
            size6=one.size6,
            cost_usd6=one.cost_usd6,
            fee_usd6=one.fee_usd6,
            at_ns=moment.wall_ns,
        )
        if asked.side == "sell":
            # A position that is not there has nothing to sell: ``apply_fill`` says so.
            held = positions.get((asked.window, asked.outcome))
            released = released_usd6(held, one.size6) if held is not None else 0
            fill = msgspec.structs.replace(fill, side="sell", released_usd6=released)
        positions = apply_fill(positions, fill, order.end_ns, asked.basis, order.condition_id)
        fills = (*fills, fill)
    first = len(books.entries) + 1
    entries = tuple(ledger.traded(first + place, fill) for place, fill in enumerate(fills))
    whole = _is_whole(asked, fills)
    reason = "" if whole else nothing_more(asked)
    ended = _ended(order, "filled" if whole else "partial", reason, fills, moment)
    position = positions[asked.window, asked.outcome]
    books = msgspec.structs.replace(
        books,
        orders={**books.orders, asked.intent_id: ended},
        positions=positions,
        fills=(*books.fills, *fills),
        entries=(*books.entries, *entries),
    )
    return msgspec.structs.replace(state, books=books), [
        CommitFills(ended, fills, position, entries),
        *(PublishFill(fill) for fill in fills),
        PublishOrder(ended.state),
        PublishPosition(position),
    ]


def _is_beyond(order: Order, told: tuple[VenueFill, ...]) -> bool:
    """Whether these fills are more than the order asked for, or at a worse price."""
    asked = order.state
    if asked.side == "sell":
        return sum(one.size6 for one in told) > asked.size6 or any(f.price4 < asked.limit4 for f in told)
    spent = sum(one.cost_usd6 for one in told)
    fee = sum(one.fee_usd6 for one in told)
    dearer = any(one.price4 > asked.limit4 for one in told)
    return spent > asked.stake_usd6 or spent + fee > order.worst_usd6 or dearer


def _is_whole(asked: OrderState, fills: tuple[Fill, ...]) -> bool:
    """Whether nothing more of it could have been filled than the venue's smallest step."""
    if asked.side == "sell":
        return asked.size6 - sum(fill.size6 for fill in fills) < _SMALLEST_LOT6
    left_usd6 = asked.stake_usd6 - sum(fill.cost_usd6 for fill in fills)
    return left_usd6 < cost_usd6_ceil(Price4(asked.limit4), _SMALLEST_LOT6)


def _ended(order: Order, status: OrderStatus, reason: str, fills: tuple[Fill, ...], moment: Moment) -> Order:
    return msgspec.structs.replace(
        order,
        state=msgspec.structs.replace(
            order.state,
            status=status,
            reason=reason,
            filled_size6=sum(fill.size6 for fill in fills),
            cost_usd6=sum(fill.cost_usd6 for fill in fills),
            fee_usd6=sum(fill.fee_usd6 for fill in fills),
            updated_ns=moment.wall_ns,
        ),
    )
