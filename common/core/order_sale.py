"""Selling what is held: how much of a position may be sold now, at which limit, or why it stays.

One position is one fill-and-kill sale at a time, of shares the chain has confirmed, at a price its bids show.
Only plans; a token with an order of open fate is never planned to be sold.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from common.core.holds import VENUE_HOLD
from common.core.matching import walk_down
from common.core.moment import Moment
from common.core.order_amounts import AmountsRefused, sell_amounts
from common.core.order_state import State
from common.core.order_trades import provisional
from common.messages import BookState, MarketState, Outcome, PositionState
from common.units import MILLISECOND, PRICE4_ONE, ceil_div, price4_text, size6_text

STRATEGY = "flatten"
"""Sales are its orders: ``<window>/<outcome>/flatten/<n>``, numbered within their window."""


class Sale(msgspec.Struct, frozen=True):
    """A sale as it would be sent: so many shares at no less than ``limit4``."""

    intent_id: str
    strategy: str
    window: str
    outcome: Outcome
    asset: str
    token: str
    size6: int
    limit4: int
    expected6: int
    """Shares the bids of this moment would take."""
    expected_usd6: int
    """What they would bring, net of the fee."""
    left: str = ""
    """What of the position stays, and why; empty when nothing does."""


class Kept(msgspec.Struct, frozen=True):
    """A position, or its rest, that is not sold, and why."""

    window: str
    outcome: Outcome
    size6: int
    why: str


def held(state: State) -> list[PositionState]:
    """Positions with shares that no result has settled yet, oldest window first."""
    found = [each for each in state.books.positions.values() if not each.settled and each.size6 > 0]
    return sorted(found, key=lambda each: (each.end_ns, each.window, each.outcome))


def planned(
    state: State, position: PositionState, unproven: Mapping[str, str], moment: Moment
) -> Sale | Kept:
    """The sale of a position, or why it stays; ``unproven`` says of tokens why their book is not proven."""
    market, quote = state.markets.get(position.window), state.quotes.get(position.token)
    free6, unsure6 = _free6(state, position)
    why = next(_reasons(state, position, market, quote, moment), "")
    if not why and not free6:
        why = f"{size6_text(unsure6)} shares are matched and the chain has not confirmed them yet"
    if why or market is None or quote is None:
        return _kept(position, why)
    if free6 < market.min_size6:
        return _kept(position, f"{size6_text(free6)} shares are below the venue's least")
    if position.token in unproven:
        return _kept(position, f"its book is not proven: {unproven[position.token]}")
    limit4 = sale_limit4(quote.bids, free6, state.orders.flatten_max_slippage4, market.tick4)
    if limit4 is None:
        return _kept(position, "nobody bids on the venue's grid")
    try:
        amounts = sell_amounts(free6, limit4, market.tick4)
    except AmountsRefused as refused:
        return _kept(position, str(refused))
    taken = walk_down(quote.bids, limit4, amounts.maker6, market.fee)
    expected_usd6 = sum(each.cost_usd6 - each.fee_usd6 for each in taken)
    if expected_usd6 <= 0:
        return _kept(position, "its bids bring nothing after the fee")
    strategy = f"{STRATEGY}/{_number(state, position.window)}"
    return Sale(
        intent_id=f"{position.window}/{position.outcome}/{strategy}",
        strategy=strategy,
        window=position.window,
        outcome=position.outcome,
        asset=position.asset,
        token=position.token,
        size6=amounts.maker6,
        limit4=limit4,
        expected6=sum(each.size6 for each in taken),
        expected_usd6=expected_usd6,
        left=f"{size6_text(unsure6)} shares are not confirmed yet and stay" if unsure6 else "",
    )


def sale_limit4(bids: Sequence[tuple[int, int]], size6: int, slippage4: int, tick4: int) -> int | None:
    """The worst price (1e-4 $) that so many shares need of these bids, no further below the best than asked.

    On the grid: the bound rounded up, the price rounded down. None where no price of the grid is left.
    """
    if not bids:
        return None
    bound4 = max(tick4, ceil_div(max(bids)[0] - slippage4, tick4) * tick4)
    worst4: int | None = None
    for price4, shown6 in sorted(bids, reverse=True):
        on_grid4 = min(price4 // tick4 * tick4, PRICE4_ONE - tick4)
        if size6 <= 0 or on_grid4 < bound4:
            break
        worst4 = on_grid4
        size6 -= shown6
    return worst4


def _reasons(
    state: State,
    position: PositionState,
    market: MarketState | None,
    quote: BookState | None,
    moment: Moment,
) -> Iterator[str]:
    """Everything against a sale of this position now, the first that counts first."""
    if moment.wall_ns >= position.end_ns:
        yield "its window has ended: it is settled and redeemed"
    for order in state.books.orders.values():
        if order.state.status == "working" and order.state.token == position.token:
            yield f"the fate of {order.state.intent_id} is open"
    if position.token in state.foreign_tokens:
        yield "it was traded with this account by somebody else: run laggard prove"
    if VENUE_HOLD in state.holds:
        yield f"the venue takes no orders at present: {state.holds[VENUE_HOLD].reason}"
    if market is None:
        yield "books has not told of its window"
    elif market.closed or market.outcome is not None or not market.accepting:
        yield "the venue takes no orders of its window any more"
    elif position.token != (market.token_up if position.outcome == "up" else market.token_down):
        yield f"{position.token} is not the {position.outcome} token of its window"
    if state.incomplete:
        yield "messages of the books are missing"
    if quote is None:
        yield "there is no book of its token"
        return
    age_ns = moment.mono_ns - quote.data_mono_ns
    if quote.status != "live":
        yield f"its book is {quote.status}"
    elif age_ns > state.strategy.max_book_age_ns:
        yield f"its book is {age_ns // MILLISECOND} ms old"
    elif not quote.bids:
        yield "nobody bids for it"


def _free6(state: State, position: PositionState) -> tuple[int, int]:
    """Shares the chain has confirmed, and those it has not."""
    unsure6 = sum(
        fill.size6 for fill in provisional(state.books) if fill.token == position.token and fill.side == "buy"
    )
    return max(0, position.size6 - unsure6), min(unsure6, position.size6)


def _number(state: State, window: str) -> int:
    """Of the next sale in a window: no two of one window have the same."""
    return 1 + sum(
        order.state.side == "sell" for order in state.books.orders.values() if order.state.window == window
    )


def _kept(position: PositionState, why: str) -> Kept:
    return Kept(position.window, position.outcome, position.size6, why)


def told(sale: Sale) -> str:
    """A sale that was sent, in one line."""
    line = (
        f"{sale.window} {sale.outcome}: selling {size6_text(sale.size6)} shares "
        f"at {price4_text(sale.limit4)} or better"
    )
    if sale.expected6 < sale.size6:
        line += f"; the bids within the limit take {size6_text(sale.expected6)}, the rest stays"
    return f"{line}; {sale.left}" if sale.left else line


def told_kept(kept: Kept) -> str:
    """A position that stays, in one line."""
    return f"{kept.window} {kept.outcome}: {size6_text(kept.size6)} shares stay: {kept.why}"
