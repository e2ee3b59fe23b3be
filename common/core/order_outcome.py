"""What becomes of an order and of a position: the second half of the executor's state machine.

Fill, kill and settlement each change order, position and ledger together, once.
"""

import msgspec

from common.core import ledger
from common.core.moment import Moment
from common.core.order_state import (
    CommitFills,
    CommitKill,
    CommitPosture,
    CommitSettlement,
    DefiniteNo,
    Effect,
    Matched,
    NotSent,
    Order,
    PublishFill,
    PublishOrder,
    PublishPosition,
    PublishPosture,
    RaiseAlert,
    Settlement,
    State,
    Unknown,
    VenueAnswer,
    VenueFill,
)
from common.core.portfolio import apply_fill, settle
from common.errors import InvariantBroken
from common.messages import Alert, Fill, MarketState, OrderStatus, Outcome, PostureState
from common.units import Price4, Size6, cost_usd6_ceil

_SMALLEST_LOT6 = Size6(100)
"""The venue trades four decimals of shares: what is left of a stake below this many is not unfilled."""

_OUTCOMES: tuple[Outcome, ...] = ("up", "down")

Result = tuple[State, list[Effect]]


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
        case DefiniteNo(code, text):
            return killed(state, intent_id, f"{code}: {text}", moment)
        case NotSent(text):
            return killed(state, intent_id, f"not sent: {text}", moment)
        case Unknown(text):
            return state, [
                RaiseAlert(
                    Alert(
                        level="critical",
                        code="order-unknown",
                        text=f"the fate of {intent_id} is unknown ({text}); its window stays blocked",
                    )
                )
            ]


def killed(state: State, intent_id: str, reason: str, moment: Moment) -> Result:
    """End a working order without a fill: its reservation is released."""
    order = _ended(state.books.orders[intent_id], "killed", reason, (), moment)
    books = msgspec.structs.replace(state.books, orders={**state.books.orders, intent_id: order})
    return msgspec.structs.replace(state, books=books), [CommitKill(order), PublishOrder(order.state)]


def market_seen(state: State, market: MarketState, moment: Moment) -> Result:
    """Remember the market; settle what is held in it once it has ended and its official outcome is known."""
    held = state.markets.get(market.window)
    if held is not None and held.outcome is not None and market.outcome is None:
        market = msgspec.structs.replace(market, outcome=held.outcome, closed=True)
    if market != held:
        state = msgspec.structs.replace(state, markets={**state.markets, market.window: market})
    if market.outcome is None:
        return state, []
    ended = [
        position
        for outcome in _OUTCOMES
        if (position := state.books.positions.get((market.window, outcome)))
        and moment.wall_ns >= position.end_ns
    ]
    if any(position.settled and position.official != market.outcome for position in ended):
        return _contradicted(state, market, moment)
    if _in_flight(state, market.window):
        return state, []
    commits: list[Effect] = []
    published: list[Effect] = []
    for position in ended:
        if position.settled:
            continue
        books = state.books
        settlement = Settlement(settle(position, market.outcome), moment.wall_ns)
        entry = ledger.settled(len(books.entries) + 1, moment.wall_ns, settlement.position)
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


def _in_flight(state: State, window: str) -> bool:
    return any(o.state.status == "working" for o in state.books.orders.values() if o.state.window == window)


def _contradicted(state: State, market: MarketState, moment: Moment) -> Result:
    """An outcome that was paid out and is now another one: stop and let a person look."""
    if state.posture.posture == "halted":
        return state, []
    reason = f"{market.window} was settled and is now called {market.outcome}: read its resolution"
    posture = PostureState(posture="halted", reason=reason, who="executor", since_ns=moment.wall_ns)
    return msgspec.structs.replace(state, posture=posture), [
        CommitPosture(posture),
        PublishPosture(posture),
        RaiseAlert(Alert(level="critical", code="outcome-contradicted", text=f"halted: {reason}")),
    ]


def _filled(state: State, order: Order, told: tuple[VenueFill, ...], moment: Moment) -> Result:
    asked = order.state
    spent = sum(fill.cost_usd6 for fill in told)
    fee = sum(fill.fee_usd6 for fill in told)
    if (
        spent > asked.stake_usd6
        or spent + fee > order.worst_usd6
        or any(f.price4 > asked.limit4 for f in told)
    ):
        raise InvariantBroken(
            f"order {asked.order_id} was filled for more, or dearer, than it asked: "
            "compare it with the venue's trades"
        )
    market = state.markets.get(asked.window)
    if market is None:
        raise InvariantBroken(f"order {asked.order_id} was filled in {asked.window}, whose end is not known")
    fills = tuple(
        Fill(
            trade_id=fill.trade_id,
            order_id=asked.order_id,
            window=asked.window,
            asset=asked.asset,
            token=asked.token,
            outcome=asked.outcome,
            price4=fill.price4,
            size6=fill.size6,
            cost_usd6=fill.cost_usd6,
            fee_usd6=fill.fee_usd6,
            at_ns=moment.wall_ns,
        )
        for fill in told
    )
    books = state.books
    positions = dict(books.positions)
    for fill in fills:
        positions = apply_fill(positions, fill, market.end_ns, asked.basis)
    first = len(books.entries) + 1
    entries = tuple(ledger.bought(first + place, fill) for place, fill in enumerate(fills))
    whole = asked.stake_usd6 - spent < cost_usd6_ceil(Price4(asked.limit4), _SMALLEST_LOT6)
    reason = "" if whole else "no more at or below the limit"
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
