"""The venue's records of orders and trades. Holds them; decides nothing about them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from common.sim.trading.account_book import Entry
from common.sim.trading.accounts import Account
from common.sim.trading.order_payload import SentOrder
from common.sim.trading.trading_faults import TradePath, TradeStep
from common.sim.world import Market

OrderStatus = Literal["WAITING", "DELAYED", "LIVE", "MATCHED", "CANCELED"]
"""``WAITING`` waits out the taker delay unseen; ``MATCHED`` and ``CANCELED`` can fill no more."""


@dataclass(slots=True, eq=False)
class VenueOrder:
    """One accepted order."""

    order_id: str
    account: Account
    key_signer: str
    """Address (lower case) of the key whose API key sent it."""
    sent: SentOrder
    market: Market
    cap4: int
    """The highest price of a buy, the lowest of a sale."""
    placed_ns: int
    """When its request came, before anything was checked."""
    status: OrderStatus = "WAITING"
    ended_text: str = ""
    """Why it was killed."""
    path: TradePath | None = None
    trades: list["VenueTrade"] = field(default_factory=list)
    reserved_usd6: int = 0
    """What it may cost, held back until it has met the book."""
    reserved6: int = 0
    """The shares it may sell, held back as well."""

    @property
    def sells(self) -> bool:
        return self.sent.side == "SELL"

    @property
    def size6(self) -> int:
        """The shares it is for: those a sale offers, those a buy asks for at its cap."""
        return self.sent.maker6 if self.sells else self.sent.taker6

    @property
    def open(self) -> bool:
        return self.status in ("DELAYED", "LIVE")

    @property
    def outcome(self) -> str:
        """Of the token that is traded."""
        return "Up" if self.sent.token == self.market.spec.token_up else "Down"

    @property
    def matched6(self) -> int:
        return sum(trade.size6 for trade in self.trades)

    @property
    def spent_usd6(self) -> int:
        """What its trades cost or brought, without fees."""
        return sum(trade.cost_usd6 for trade in self.trades)


@dataclass(slots=True, eq=False)
class VenueTrade:
    """One trade of an order, with one price level."""

    trade_id: str
    order: VenueOrder
    price4: int
    size6: int
    cost_usd6: int
    fee_usd6: int
    entries: tuple[Entry, ...]
    """What it moves between account and counterparties."""
    matched_ns: int
    updated_ns: int
    status: TradeStep | Literal["MATCHED"] = "MATCHED"
    transaction: str = ""
    on_chain: bool = False
    other_token: bool = False
    """Whether its makers bought the other token."""


class Records:
    """Every order and trade of a run, in their order, and the history that proves each was done once."""

    def __init__(self) -> None:
        self.orders: dict[str, VenueOrder] = {}
        self.trades: dict[str, VenueTrade] = {}
        self.received = 0
        """Requests to place an order, whatever became of them."""
        self.executed: list[str] = []
        """Order ids in the order in which they met the book; none comes twice."""
        self.duplicates: list[str] = []
        """Order ids that came again and were refused."""

    def visible_orders(self, signer: str) -> Iterator[VenueOrder]:
        """The orders a key may see: all of a wallet it owns, and its own."""
        return (order for order in self.orders.values() if may_see(order, signer))

    def visible_trades(self, signer: str) -> Iterator[VenueTrade]:
        return (trade for trade in self.trades.values() if may_see(trade.order, signer))


def may_see(order: VenueOrder, signer: str) -> bool:
    """A session key sees only its own activity, the owner everything."""
    return signer in (order.key_signer, order.account.signer)
