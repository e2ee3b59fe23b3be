"""The order port: what the executor needs from a venue, and nothing more.

A reply is matched, taken, a definite no, not sent, or unknown. An adapter never turns "I do not know" into a
no, never sends an order twice, and tells an absence only when everything was asked and answered.
"""

from collections.abc import Awaitable, Sequence
from typing import NamedTuple, Protocol

from common.core.order_effects import (
    Refuse,
)
from common.core.order_events import (
    ForeignSeen,
    VenueAnswer,
)
from common.core.order_sale import Sale
from common.core.order_state import (
    Order,
)
from common.core.venue_facts import Reading, Unread, VenueTrade
from common.messages import MarketState, Submit


class Prepared(NamedTuple):
    """An order as it would be sent: its id at the venue and all the bytes that may ever be sent for it."""

    order_id: str
    wire: bytes = b""


class Activity(NamedTuple):
    """The account's trades of a span of time, in full; ``foreign`` are those of others' orders."""

    trades: tuple[VenueTrade, ...]
    foreign: tuple[ForeignSeen, ...] = ()


class OrderPort(Protocol):
    """Where orders go; one implementation per mode."""

    @property
    def mode(self) -> str:
        """``paper`` or ``live``; a journal belongs to one mode."""

    def prepare(self, submit: Submit, market: MarketState) -> Prepared | Refuse:
        """Make the order of a wish without sending anything; refuses what the venue could not take."""

    def prepare_sale(self, sale: Sale, market: MarketState) -> Prepared | Refuse:
        """Make the order of a sale without sending anything; refuses what the venue could not take."""

    def rehearse(self, submit: Submit, market: MarketState) -> Prepared | Refuse:
        """Make an order and its request as for real, and throw the request away."""

    def place(self, order: Order, market: MarketState) -> Awaitable[VenueAnswer]:
        """Send one journalled fill-and-kill order, wherever possible before this returns; what became of it.

        Never raises for a venue's no.
        """

    async def look_up(self, order: Order) -> Reading:
        """Ask what became of an order: its record, the open orders and its trades, all in full or Unread."""

    async def trades_since(self, since_ns: int, own: Sequence[str]) -> Activity | Unread:
        """All trades of the account matched since then; ``own`` are the order ids that are ours."""

    async def cancel(self, order: Order) -> None:
        """Take an order back, if it still rests; whether it did is for ``look_up`` to say."""
