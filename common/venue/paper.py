"""The paper venue: real books, no orders. Waits the market's own taker delay, then lets the rule decide.

Never looks at the book before the delay is over, and never at anything but the book the executor then holds.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from common.core.moment import Moment
from common.core.order_amounts import AmountsRefused, buy_amounts
from common.core.order_effects import (
    Refuse,
)
from common.core.order_events import (
    NotSent,
    VenueAnswer,
)
from common.core.order_sale import Sale
from common.core.order_state import (
    Order,
)
from common.core.paper_fill import decide, paper_order_id
from common.core.venue_facts import Absent, Reading
from common.messages import BookState, MarketState, OrderState, Submit
from common.runtime.clock import Clock
from common.units import SECOND
from common.venue.port import Activity, Prepared


class View(NamedTuple):
    """What the executor holds of one order's market at this instant."""

    market: MarketState | None
    book: BookState | None
    incomplete: bool


class PaperVenue:
    """An OrderPort that fills on paper; ``look`` shows the executor's books as they are when it is called."""

    mode = "paper"

    def __init__(self, clock: Clock, look: Callable[[OrderState], View], *, max_fill_age_ns: int) -> None:
        self._clock = clock
        self._look = look
        self._max_fill_age_ns = max_fill_age_ns

    def prepare(self, submit: Submit, market: MarketState) -> Prepared | Refuse:
        """The id is a hash of the intent, the same after every restart; there are no bytes to send.

        What could not be signed for real is refused here as well.
        """
        try:
            buy_amounts(submit.stake_usd6, submit.limit4, market.tick4)
        except AmountsRefused as refused:
            return Refuse(refused.code, str(refused))
        return Prepared(paper_order_id(submit.intent_id))

    def prepare_sale(self, sale: Sale, market: MarketState) -> Prepared | Refuse:
        """The same for a sale: its amounts were made as for the venue when it was planned."""
        return Prepared(paper_order_id(sale.intent_id))

    def rehearse(self, submit: Submit, market: MarketState) -> Prepared | Refuse:
        """There is no request to make."""
        return self.prepare(submit, market)

    async def place(self, order: Order, market: MarketState) -> VenueAnswer:
        """Wait out the taker delay, then fill from the book of that moment or kill with the reason."""
        if market.taker_delay_ns is None:
            return NotSent("the venue's taker delay is not known")
        due_ns = self._clock.mono_ns() + market.taker_delay_ns
        while (left_ns := due_ns - self._clock.mono_ns()) > 0:
            await asyncio.sleep(left_ns / SECOND)
        seen = self._look(order.state)
        return decide(
            order.state,
            seen.market,
            seen.book,
            incomplete=seen.incomplete,
            max_age_ns=self._max_fill_age_ns,
            moment=Moment(self._clock.wall_ns(), self._clock.mono_ns()),
        )

    async def look_up(self, order: Order) -> Reading:
        """A paper order is decided by ``place`` or was never matched."""
        return Absent()

    async def trades_since(self, since_ns: int, own: Sequence[str]) -> Activity:
        """A paper account has no trades but those ``place`` told."""
        return Activity(())

    async def cancel(self, order: Order) -> None:
        """A paper order never rests."""
