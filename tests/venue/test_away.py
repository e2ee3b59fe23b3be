"""The order port before there is a venue: whatever is asked, nothing goes out and nothing is claimed."""

from typing import Any, cast

from common.core.order_effects import Refuse
from common.core.order_events import NotSent
from common.core.venue_facts import Unread
from common.venue.away import Away
from common.venue.port import OrderPort

NOTHING = cast("Any", None)


async def test_nothing_goes_out_and_nothing_is_known_before_the_venue_is_connected() -> None:
    away: OrderPort = Away("the venue does not answer")
    refused = Refuse("not-connected", "the venue does not answer")
    for wish in (away.prepare, away.prepare_sale, away.rehearse):
        assert wish(NOTHING, NOTHING) == refused
    assert await away.place(NOTHING, NOTHING) == NotSent("the venue does not answer")
    assert await away.look_up(NOTHING) == Unread("the venue does not answer")
    assert await away.trades_since(0, ()) == Unread("the venue does not answer")
    assert away.mode == "live"
