"""What the venue can tell of one order: its reply, its trades, its record. Facts only, in our units.

Adapters make them from the wire; the state machine alone decides what they mean for an order.
"""

from typing import Literal

import msgspec

from common.messages import TradeStatus

__all__ = [
    "Absent",
    "Found",
    "OrderNews",
    "OrderPhase",
    "Reading",
    "TradeStatus",
    "Unread",
    "VenueFill",
    "VenueTrade",
]

OrderPhase = Literal["live", "delayed", "matched", "ended"]
"""``live`` rests, ``delayed`` waits out the taker delay, ``matched`` and ``ended`` can fill no more."""


class VenueFill(msgspec.Struct, frozen=True):
    """One final fill as the venue tells it; the cost is without the fee."""

    trade_id: str
    price4: int
    size6: int
    cost_usd6: int
    fee_usd6: int


class VenueTrade(msgspec.Struct, frozen=True):
    """One trade of one of our orders, from the user channel or from a read; repeated with every status."""

    trade_id: str
    order_id: str
    """Our order in it, the taker's or a maker's."""
    status: TradeStatus
    price4: int
    """Of our own token, rounded up when makers differ."""
    size6: int
    cost_usd6: int
    """Before the fee."""
    maker: bool = False
    """Our order rested in the book: no fee."""
    at_ns: int = 0
    """The venue's instant of the match; 0 when it does not say."""
    transaction: str = ""


class OrderNews(msgspec.Struct, frozen=True):
    """The venue's record of one of our orders, from the user channel or from a read."""

    order_id: str
    phase: OrderPhase
    matched6: int | None
    """Shares matched so far; None where the record does not say."""
    trade_ids: tuple[str, ...] = ()
    text: str = ""
    """The venue's own status text."""


class Found(msgspec.Struct, frozen=True):
    """The venue was asked for one order and knows it, or has trades of it; both lists are complete."""

    news: OrderNews | None
    trades: tuple[VenueTrade, ...]


class Absent(msgspec.Struct, frozen=True):
    """The venue was asked for one order, its open orders and its trades, answered all three, and has none."""


class Unread(msgspec.Struct, frozen=True):
    """The venue could not be asked, or did not answer in full: nothing is known."""

    text: str


Reading = Found | Absent | Unread
