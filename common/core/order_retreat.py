"""A person's way out: what is open is asked back, and a planned sale becomes an order like any other.

Ends no order: what a cancel did is for the pursuit to find out. Refuses a sale that is not what would be
planned at this very moment, and every sale while new orders are allowed. Changes no posture.
"""

import msgspec

from common.core.moment import Moment
from common.core.order_effects import (
    Accept,
    CancelOrder,
    CommitIntent,
    Effect,
    LookUp,
    Place,
    PublishOrder,
    Refuse,
    Result,
)
from common.core.order_events import SaleSigned
from common.core.order_pursuit import begin
from common.core.order_sale import planned
from common.core.order_state import Order, State
from common.messages import OrderState

NAMED = 8
"""So many orders an answer names one by one."""


def recall(state: State, moment: Moment) -> Result:
    """Ask for every working order back; asked again, it asks again, which changes nothing at the venue."""
    open_orders = [order for order in state.books.orders.values() if order.state.status == "working"]
    effects: list[Effect] = [CancelOrder(order) for order in open_orders]
    for order in open_orders:
        state, more = _sought(state, order, moment)
        effects += more
    return state, [*effects, Accept(_told(open_orders))]


def sale_signed(state: State, signed: SaleSigned, moment: Moment) -> Result:
    """Write a sale ahead and send it; refused unless it is still what would be sold at this moment."""
    sale = signed.sale
    if state.posture.posture == "trading":
        return state, [Refuse("posture", "new orders are allowed: what is sold would be bought again")]
    position = state.books.positions.get((sale.window, sale.outcome))
    market = state.markets.get(sale.window)
    if position is None or market is None or planned(state, position, {}, moment) != sale:
        return state, [Refuse("changed", "things changed while it was signed; flatten again")]
    order = Order(
        state=OrderState(
            order_id=signed.order_id,
            intent_id=sale.intent_id,
            window=sale.window,
            asset=sale.asset,
            token=sale.token,
            outcome=sale.outcome,
            limit4=sale.limit4,
            stake_usd6=0,
            status="working",
            reason="",
            filled_size6=0,
            cost_usd6=0,
            fee_usd6=0,
            created_ns=moment.wall_ns,
            updated_ns=moment.wall_ns,
            basis=position.basis,
            side="sell",
            size6=sale.size6,
        ),
        strategy=sale.strategy,
        worst_usd6=0,
        decided_ns=moment.wall_ns,
        cause=signed.request_id,
        verdict_number=0,
        end_ns=position.end_ns,
        fee=market.fee,
        wire=signed.wire,
        condition_id=position.condition_id or market.condition_id,
    )
    orders = {**state.books.orders, sale.intent_id: order}
    state = msgspec.structs.replace(state, books=msgspec.structs.replace(state.books, orders=orders))
    if signed.wire:
        state = begin(state, order, moment, in_flight=True)
    return state, [
        CommitIntent(order, f"{signed.request_id}/{sale.intent_id}"),
        PublishOrder(order.state),
        Place(order, market),
        Accept("working", signed.order_id),
    ]


def _sought(state: State, order: Order, moment: Moment) -> Result:
    """Look for a live order now; one whose request is under way is looked for when it is due."""
    pursuit = state.pursuits.get(order.state.intent_id)
    if pursuit is None or pursuit.asking or pursuit.in_flight:
        return state, []
    asked = msgspec.structs.replace(pursuit, asking=True, asks=pursuit.asks + 1, ask_at_ns=moment.mono_ns)
    state = msgspec.structs.replace(state, pursuits={**state.pursuits, order.state.intent_id: asked})
    return state, [LookUp(order)]


def _told(orders: list[Order]) -> str:
    if not orders:
        return "nothing rests"
    names = [
        f"{order.state.intent_id} (unknown: {order.state.unknown})"
        if order.state.unknown
        else order.state.intent_id
        for order in orders
    ]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    count = f"{len(orders)} order{'s' if len(orders) > 1 else ''}"
    return f"{count} asked back: {', '.join(names[:NAMED])}{more}; their fate is looked up"
