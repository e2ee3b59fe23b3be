"""The pursuit of a live order: from the moment its bytes may be at the venue until its fate is proven.

An order ends as filled by its trades, as killed by a definite no, or as absent when the venue, asked in full
and late enough, has nothing of it. Everything else leaves it open, its worst case reserved and its window
blocked. Nothing is ever sent again here: nobody knows yet what became of the first.
"""

import msgspec

from common.core.holds import hold
from common.core.moment import Moment
from common.core.order_effects import (
    CancelOrder,
    CatchUp,
    CommitEnd,
    Effect,
    LookUp,
    PublishOrder,
    RaiseAlert,
    Result,
    commits_first,
)
from common.core.order_events import (
    Taken,
)
from common.core.order_state import (
    Order,
    Pursuit,
    State,
)
from common.core.order_trades import foreign_seen, nothing_more, order_of, provisional, trade_seen
from common.core.venue_facts import Absent, Found, OrderNews, Reading, Unread
from common.messages import Alert, OrderState, OrderStatus
from common.units import SECOND, Price4, Size6, cost_usd6_ceil, size6_text

DUST6 = 10_000
"""Shares (1e-6) by which the venue's word and its trades may differ for ever: rounding leaves such rests."""
ABSENCES = 2
LONGEST_PAUSE_NS = 10 * SECOND
READ_EACH_NS = 10 * SECOND
"""How often trades are read while some are not final, should the user channel have lost one."""
LATE_NS = 120 * SECOND
"""Trades are read from so long before the oldest unfinished order: they come up to 50 s late."""
HOLD = "orders"


def begin(state: State, order: Order, moment: Moment, *, in_flight: bool, unknown: str = "") -> State:
    """Pursue an order from now on; what was known of it before is forgotten."""
    wait_ns = 0 if unknown else state.orders.ask_after_ns
    pursuit = Pursuit(moment.mono_ns, in_flight, moment.mono_ns + wait_ns, unknown)
    return _with(state, order.state.intent_id, pursuit)


def taken(state: State, order: Order, answer: Taken, moment: Moment) -> Result:
    """The venue says it has the order."""
    pursuit = _pursuit(state, order, moment)
    pursuit = msgspec.structs.replace(
        pursuit,
        in_flight=False,
        phase=answer.phase,
        told6=answer.matched6 if answer.phase in ("matched", "ended") else None,
        trade_ids=answer.trade_ids,
        ask_at_ns=moment.mono_ns + state.orders.ask_after_ns,
    )
    state, effects = _known(_with(state, order.state.intent_id, pursuit), order)
    state, more = _resting(state, order, moment)
    state, last = conclude(state, order.state.intent_id, moment)
    return state, commits_first([*effects, *more, *last])


def lost(state: State, order: Order, why: str, moment: Moment) -> Result:
    """Nobody knows whether the venue has the order: it is asked for at once."""
    intent_id = order.state.intent_id
    pursuit = msgspec.structs.replace(
        _pursuit(state, order, moment),
        since_ns=moment.mono_ns,
        in_flight=False,
        unknown=why,
        ask_at_ns=moment.mono_ns + state.orders.ask_after_ns,
        asking=True,
        asks=1,
    )
    state, effects = _marked(_with(state, intent_id, pursuit), order, why)
    text = f"the fate of {intent_id} is unknown ({why}); its window stays blocked while the venue is asked"
    alert = RaiseAlert(Alert(level="warning", code="order-unknown", text=text))
    return state, [*effects, alert, LookUp(state.books.orders[intent_id])]


def news_seen(state: State, news: OrderNews, moment: Moment) -> Result:
    """Apply what the venue says of an order, asked or unasked."""
    order = order_of(state, news.order_id)
    if order is None:
        return foreign_seen(state, f"order {news.order_id}")
    intent_id = order.state.intent_id
    pursuit = state.pursuits.get(intent_id)
    if order.state.status != "working" or pursuit is None:
        return state, []
    if pursuit.phase in ("matched", "ended") and news.phase not in ("matched", "ended"):
        return state, []  # told late: it can fill no more
    pursuit = msgspec.structs.replace(
        pursuit,
        phase=news.phase,
        told6=pursuit.told6 if news.matched6 is None else max(news.matched6, pursuit.told6 or 0),
        trade_ids=tuple(dict.fromkeys((*pursuit.trade_ids, *news.trade_ids))),
    )
    state, effects = _known(_with(state, intent_id, pursuit), order)
    state, more = _resting(state, order, moment)
    state, last = conclude(state, intent_id, moment)
    return state, commits_first([*effects, *more, *last])


def looked_up(state: State, intent_id: str, reading: Reading, moment: Moment) -> Result:
    """Apply what the venue answered when it was asked for an order."""
    pursuit, order = state.pursuits.get(intent_id), state.books.orders[intent_id]
    if pursuit is None or order.state.status != "working":
        return _trades_of(state, reading, moment)
    pause_ns = min(state.orders.ask_after_ns << min(max(pursuit.asks - 1, 0), 8), LONGEST_PAUSE_NS)
    pursuit = msgspec.structs.replace(pursuit, asking=False, ask_at_ns=moment.mono_ns + pause_ns)
    state = _with(state, intent_id, pursuit)
    match reading:
        case Unread():
            return state, []
        case Absent():
            return _absent(state, order, moment)
        case Found(news=news):
            state, effects = _trades_of(state, reading, moment)
            order = state.books.orders[intent_id]
            if news is not None:
                state, more = news_seen(state, news, moment)
                effects += more
            state, last = _counted(state, order, moment)
            return state, commits_first([*effects, *last])


def each_second(state: State, moment: Moment) -> Result:
    """Ask for what is due, hold new orders while a fate stays open, read trades that are not final."""
    effects: list[Effect] = []
    for intent_id, pursuit in state.pursuits.items():
        if pursuit.asking or moment.mono_ns < pursuit.ask_at_ns:
            continue
        asked = msgspec.structs.replace(pursuit, asking=True, asks=pursuit.asks + 1)
        state = _with(state, intent_id, asked)
        effects.append(LookUp(state.books.orders[intent_id]))
    state, more = _hold_for_unknown(state, moment)
    effects += more
    if provisional(state.books) and moment.mono_ns >= state.catch_up_at_ns:
        state = msgspec.structs.replace(state, catch_up_at_ns=moment.mono_ns + READ_EACH_NS)
        effects.append(CatchUp(unfinished_since_ns(state)))
    return state, effects


def unfinished_since_ns(state: State) -> int:
    """Wall instant from which on trades have to be read: older ones are final."""
    books = state.books
    open_orders = [order.state.created_ns for order in books.orders.values() if _is_open(order)]
    unsettled = {fill.order_id for fill in provisional(books)}
    waiting = [o.state.created_ns for o in books.orders.values() if o.state.order_id in unsettled]
    newest = max((order.state.created_ns for order in books.orders.values()), default=0)
    return max(0, min([*open_orders, *waiting], default=newest) - LATE_NS)


def conclude(state: State, intent_id: str, moment: Moment) -> Result:
    """End an order once it can fill no more and every share it was matched for is in the books."""
    pursuit, order = state.pursuits.get(intent_id), state.books.orders[intent_id]
    if pursuit is None or pursuit.phase not in ("matched", "ended"):
        return state, []
    fills = [fill for fill in state.books.fills if fill.order_id == order.state.order_id]
    # Where ours rested, its fills have the order in their id; the venue names the trade alone.
    seen = {fill.trade_id.partition("/")[0] for fill in fills}
    if any(trade_id not in seen for trade_id in pursuit.trade_ids):
        return state, []
    if pursuit.told6 is None and not pursuit.trade_ids:
        return state, []
    if pursuit.told6 is not None and pursuit.told6 - sum(fill.size6 for fill in fills) > DUST6:
        return state, []
    return end(state, intent_id, "the venue matched nothing" if not fills else "", moment)


def end(state: State, intent_id: str, why_nothing: str, moment: Moment) -> Result:
    """Decide an order: filled or partial by what it holds, killed for this reason when that is nothing."""
    order = state.books.orders[intent_id]
    asked = order.state
    status: OrderStatus = "killed"
    reason = why_nothing or "its trades failed on chain"
    if asked.filled_size6:
        status, reason = ("filled", "") if _is_whole(asked) else ("partial", nothing_more(asked))
    changed = msgspec.structs.replace(
        order,
        state=msgspec.structs.replace(
            asked, status=status, reason=reason, unknown="", updated_ns=moment.wall_ns
        ),
    )
    pursuits = {key: each for key, each in state.pursuits.items() if key != intent_id}
    books = msgspec.structs.replace(state.books, orders={**state.books.orders, intent_id: changed})
    state = msgspec.structs.replace(state, books=books, pursuits=pursuits)
    return state, [CommitEnd(changed), PublishOrder(changed.state)]


def _is_whole(order: OrderState) -> bool:
    """Whether what is left of the stake, or of the shares to sell, is no more than rounding leaves."""
    if order.side == "sell":
        return order.size6 - order.filled_size6 < DUST6
    return order.stake_usd6 - order.cost_usd6 < cost_usd6_ceil(Price4(order.limit4), Size6(DUST6))


def _pursuit(state: State, order: Order, moment: Moment) -> Pursuit:
    return state.pursuits.get(order.state.intent_id) or Pursuit(moment.mono_ns, False, moment.mono_ns)


def _is_open(order: Order) -> bool:
    return order.state.status == "working" and bool(order.wire)


def _trades_of(state: State, reading: Reading, moment: Moment) -> Result:
    effects: list[Effect] = []
    for trade in reading.trades if isinstance(reading, Found) else ():
        state, more = trade_seen(state, trade, moment)
        effects += more
    return state, commits_first(effects)


def _counted(state: State, order: Order, moment: Moment) -> Result:
    """A complete reading: an order with trades but no record, or one without sizes, ends by its trades."""
    intent_id = order.state.intent_id
    pursuit = state.pursuits.get(intent_id)
    if pursuit is None:
        return state, []
    own = [fill for fill in state.books.fills if fill.order_id == order.state.order_id]
    total6 = sum(fill.size6 for fill in own)
    told6, twice = pursuit.told6, pursuit.counted6 == total6
    if told6 is not None and told6 - total6 > DUST6:
        why = f"matched for {size6_text(told6)} shares, its trades show {size6_text(total6)}"
        state = _with(state, intent_id, msgspec.structs.replace(pursuit, absences=0, counted6=total6))
        return _marked(state, order, why)
    phase = pursuit.phase
    if phase is None and own and twice:
        phase = "ended"  # fill-and-kill: what traded and is not in the open orders rests nowhere
    if told6 is None and phase in ("matched", "ended") and twice:
        told6 = total6
    pursuit = msgspec.structs.replace(pursuit, phase=phase, told6=told6, absences=0, counted6=total6)
    state = _with(state, intent_id, pursuit)
    state, effects = _known(state, state.books.orders[intent_id])
    state, last = conclude(state, intent_id, moment)
    return state, [*effects, *last]


def _absent(state: State, order: Order, moment: Moment) -> Result:
    intent_id = order.state.intent_id
    pursuit = state.pursuits[intent_id]
    if pursuit.in_flight or order.state.filled_size6 or pursuit.phase in ("live", "matched"):
        return state, []  # it may still arrive, or the venue contradicts what it said: ask again
    pursuit = msgspec.structs.replace(pursuit, absences=pursuit.absences + 1)
    state = _with(state, intent_id, pursuit)
    waited_ns = moment.mono_ns - pursuit.since_ns
    if pursuit.absences < ABSENCES or waited_ns < state.orders.absent_after_ns:
        return state, []
    return end(
        state,
        intent_id,
        f"absent: {waited_ns // SECOND} s after it was last on its way the venue has neither it nor a trade",
        moment,
    )


def _resting(state: State, order: Order, moment: Moment) -> Result:
    """A fill-and-kill order that rests: the venue did not do what was signed, so it is taken back."""
    pursuit = state.pursuits.get(order.state.intent_id)
    if pursuit is None or pursuit.phase != "live":
        return state, []
    text = f"order {order.state.order_id} rests at the venue though it is fill-and-kill: it is cancelled"
    asked = msgspec.structs.replace(pursuit, ask_at_ns=moment.mono_ns + SECOND)
    return _with(state, order.state.intent_id, asked), [
        CancelOrder(order),
        RaiseAlert(Alert(level="warning", code="order-rests", text=text)),
    ]


def _hold_for_unknown(state: State, moment: Moment) -> Result:
    open_ns = [
        moment.mono_ns - pursuit.since_ns
        for intent_id, pursuit in state.pursuits.items()
        if pursuit.unknown or moment.mono_ns - pursuit.since_ns >= state.orders.unknown_hold_ns
    ]
    restarted = [
        moment.wall_ns - state.books.orders[intent_id].state.created_ns
        for intent_id, pursuit in state.pursuits.items()
        if pursuit.unknown
    ]
    longest_ns = max([*open_ns, *restarted], default=0)
    if longest_ns < state.orders.unknown_hold_ns:
        return hold(state, HOLD, "", moment)
    limit_s = state.orders.unknown_hold_ns // SECOND
    reason = f"{len(open_ns)} order(s) of unknown fate, the oldest for more than {limit_s} s"
    new = HOLD not in state.holds
    state, effects = hold(state, HOLD, reason, moment)
    if new:
        text = f"no new orders: {reason}; the venue is asked again and again"
        effects.append(RaiseAlert(Alert(level="critical", code="order-unknown", text=text)))
    return state, effects


def _known(state: State, order: Order) -> Result:
    """The venue has told what became of it."""
    return _marked(state, order, "")


def _marked(state: State, order: Order, unknown: str) -> Result:
    """Say of a working order why its fate is unknown, or that it no longer is."""
    intent_id = order.state.intent_id
    pursuit = state.pursuits.get(intent_id)
    if pursuit is not None and pursuit.unknown != unknown:
        state = _with(state, intent_id, msgspec.structs.replace(pursuit, unknown=unknown))
    current = state.books.orders[intent_id]
    if current.state.status != "working" or current.state.unknown == unknown:
        return state, []
    changed = msgspec.structs.replace(current, state=msgspec.structs.replace(current.state, unknown=unknown))
    books = msgspec.structs.replace(state.books, orders={**state.books.orders, intent_id: changed})
    return msgspec.structs.replace(state, books=books), [PublishOrder(changed.state)]


def _with(state: State, intent_id: str, pursuit: Pursuit) -> State:
    return msgspec.structs.replace(state, pursuits={**state.pursuits, intent_id: pursuit})
