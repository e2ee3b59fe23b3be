"""What the venue would have done with a paper order, on the book as it stood when the delay was over.

Never fills on hope: a book that is old, incomplete or not live, or a market that no longer trades, kills the
order and says why.
"""

import hashlib

from common.core.matching import Taken, walk, walk_down
from common.core.moment import Moment
from common.core.order_events import (
    DefiniteNo,
    Matched,
)
from common.core.venue_facts import VenueFill
from common.messages import BookState, MarketState, OrderState
from common.units import MILLISECOND, price4_text


def paper_order_id(intent_id: str) -> str:
    """The id of an intent's one order: the same after every restart."""
    return f"paper-{hashlib.sha256(intent_id.encode()).hexdigest()[:32]}"


def decide(
    order: OrderState,
    market: MarketState | None,
    book: BookState | None,
    *,
    incomplete: bool,
    max_age_ns: int,
    moment: Moment,
) -> Matched | DefiniteNo:
    """Fill-and-kill at this moment: trade ids are the order id and the place of the level."""
    if market is None or book is None:
        return DefiniteNo("no-book", "the book was gone when the taker delay was over")
    if moment.wall_ns >= market.end_ns:
        return DefiniteNo("ended", "the window ended before the taker delay was over")
    if market.closed or market.outcome is not None or not market.accepting:
        return DefiniteNo("not-accepting", "the venue stopped accepting orders during the taker delay")
    if incomplete:
        return DefiniteNo("incomplete", "messages of the books were missing when the taker delay was over")
    if book.status != "live":
        return DefiniteNo("book-not-live", f"the book was {book.status} when the taker delay was over")
    age_ns = moment.mono_ns - book.data_mono_ns
    if age_ns > max_age_ns:
        return DefiniteNo(
            "stale-book",
            f"the book was {age_ns // MILLISECOND} ms old when the taker delay was over, "
            f"more than {max_age_ns // MILLISECOND} ms",
        )
    taken = _taken(order, market, book)
    if not taken:
        return DefiniteNo("no-match", _nothing(order, book))
    return Matched(
        tuple(
            VenueFill(
                trade_id=f"{order.order_id}-{place}",
                price4=fill.price4,
                size6=fill.size6,
                cost_usd6=fill.cost_usd6,
                fee_usd6=fill.fee_usd6,
            )
            for place, fill in enumerate(taken)
        )
    )


def _taken(order: OrderState, market: MarketState, book: BookState) -> tuple[Taken, ...]:
    if order.side == "sell":
        return walk_down(book.bids, order.limit4, order.size6, market.fee)
    return walk(book.asks, order.limit4, order.stake_usd6, market.fee).fills


def _nothing(order: OrderState, book: BookState) -> str:
    limit = price4_text(order.limit4)
    if order.side == "sell":
        best = f"best bid {price4_text(max(book.bids)[0])}" if book.bids else "no bids"
        return f"nothing at or above {limit} ({best})"
    best = f"best ask {price4_text(min(book.asks)[0])}" if book.asks else "no asks"
    return f"nothing at or below {limit} ({best})"
