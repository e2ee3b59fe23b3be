"""The order port of a venue that is not connected yet: nothing goes out, nothing is known.

Never guesses: an order is not sent, and what is asked for is unread.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.core.order_effects import Refuse
from common.core.order_events import NotSent, VenueAnswer
from common.core.order_sale import Sale
from common.core.order_state import Order
from common.core.venue_facts import Reading, Unread
from common.messages import MarketState, Submit
from common.venue.port import Activity, Prepared


@dataclass(slots=True)
class Away:
    """The order port until there is a venue; ``why`` is what it answers everything with."""

    why: str = "the venue is not connected yet"
    mode: str = "live"

    def prepare(self, submit: Submit, market: MarketState) -> Prepared | Refuse:
        return Refuse("not-connected", self.why)

    def prepare_sale(self, sale: Sale, market: MarketState) -> Prepared | Refuse:
        return Refuse("not-connected", self.why)

    def rehearse(self, submit: Submit, market: MarketState) -> Prepared | Refuse:
        return Refuse("not-connected", self.why)

    async def place(self, order: Order, market: MarketState) -> VenueAnswer:
        return NotSent(self.why)

    async def look_up(self, order: Order) -> Reading:
        return Unread(self.why)

    async def trades_since(self, since_ns: int, own: Sequence[str]) -> Activity | Unread:
        return Unread(self.why)

    async def cancel(self, order: Order) -> None:
        return
