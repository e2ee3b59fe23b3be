"""What became of wishes to buy, as the executor's journal has it: orders, their fills, what is held."""

from typing import Literal

from common.messages.body import Basis, Body, Outcome

Side = Literal["buy", "sell"]
OrderStatus = Literal["working", "filled", "partial", "killed", "refused"]
TradeStatus = Literal["matched", "mined", "retrying", "confirmed", "failed"]
"""Where a trade is on its way onto the chain; only ``confirmed`` and ``failed`` are final."""
Official = Literal["up", "down", "split"]
"""What became of a window; a split pays both sides their share of a dollar."""


class OrderState(Body, frozen=True, tag="order"):
    """One order as the executor's journal has it. Topic ``order.<window>``."""

    order_id: str
    intent_id: str
    window: str
    asset: str
    token: str
    outcome: Outcome
    limit4: int
    stake_usd6: int
    status: OrderStatus
    reason: str
    filled_size6: int
    cost_usd6: int
    fee_usd6: int
    created_ns: int
    updated_ns: int
    basis: Basis = "settlement"
    unknown: str = ""
    """Why its fate is not known, while it is not; empty when it is, or is awaited in the ordinary way."""
    side: Side = "buy"
    """Of a sale ``limit4`` is the lowest price, ``cost_usd6`` what it brought before the fee, the stake 0."""
    size6: int = 0
    """The shares a sale offers; 0 of a buy, which spends its stake."""


class Fill(Body, frozen=True, tag="fill"):
    """One fill of one order. Topic ``fill.<window>``."""

    trade_id: str
    order_id: str
    window: str
    asset: str
    token: str
    outcome: Outcome
    price4: int
    size6: int
    cost_usd6: int
    fee_usd6: int
    at_ns: int
    status: TradeStatus = "confirmed"
    """A failed trade was booked and unbooked: its shares never came."""
    side: Side = "buy"
    """Of a sale ``cost_usd6`` is what it brought before the fee."""
    released_usd6: int = 0
    """What the shares of a sale had cost on average, rounded up; 0 of a buy."""


class PositionState(Body, frozen=True, tag="position"):
    """What is held in one window's token, and what became of it. Topic ``position.<window>.<outcome>``."""

    window: str
    asset: str
    token: str
    outcome: Outcome
    size6: int
    cost_usd6: int
    fee_usd6: int
    end_ns: int
    settled: bool
    official: Official | None = None
    payout_usd6: int = 0
    pnl_usd6: int = 0
    basis: Basis = "settlement"
    redeemed: str = ""
    """What shows that the payout reached the wallet; empty while it has not, and always on paper."""
    condition_id: str = ""
    """What its token is redeemed by; empty in what an earlier version bought."""
    numerator: int = 0
    """Of a split this side's share of a dollar is ``numerator / denominator``; 0 of every other outcome."""
    denominator: int = 0
    sold6: int = 0
    """Shares that were sold again; ``size6`` and ``cost_usd6`` are what is left, ``fee_usd6`` is all fees."""
    realized_usd6: int = 0
    """What sales brought beyond what their shares cost, before fees; part of ``pnl_usd6`` once settled."""
