"""The order port: what the executor needs from a venue, and nothing more.

An answer is one of four: matched, a definite no, not sent, unknown. An adapter never turns "I do not know"
into a no, and never sends an order twice.
"""

from typing import Protocol

from common.core.order_state import DefiniteNo, Matched, NotSent, Order, Unknown, VenueAnswer, VenueFill
from common.messages import MarketState, Submit

__all__ = ["DefiniteNo", "Matched", "NotSent", "OrderPort", "Unknown", "VenueAnswer", "VenueFill"]


class OrderPort(Protocol):
    """Where orders go; one implementation per mode."""

    @property
    def mode(self) -> str:
        """``paper`` or ``live``; a journal belongs to one mode."""

    def order_id(self, submit: Submit) -> str:
        """The id the order will have at the venue, known before it is sent and the same each time."""

    async def place(self, order: Order, market: MarketState) -> VenueAnswer:
        """Send one journalled fill-and-kill buy; what became of it. Never raises for a venue's no."""
