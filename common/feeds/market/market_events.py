"""What the venue says of books and markets, as typed events, with the text of the wire where a hash needs it.

Only what a frame or a REST book brings; what a book comes to is ``kept_book``.
"""

from typing import Literal

import msgspec

from common.messages import Outcome

Level = tuple[int, int]
"""(price 1e-4 $, size 1e-6 shares)"""


class BookSnapshot(msgspec.Struct, frozen=True, tag_field="t", tag="book"):
    """The complete book of one token; the wire's own text is kept for the venue's hash."""

    market: str
    token: str
    at_ns: int
    stamp: str
    """``at_ns`` as the wire has it."""
    hash: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    wire_bids: tuple[tuple[str, str], ...]
    wire_asks: tuple[tuple[str, str], ...]
    tick4: int | None
    """None: a refresh that left it out."""
    wire_tick: str | None
    last_trade4: int | None
    wire_last_trade: str | None
    """None: a refresh that left it out; empty: before the first trade."""
    version: str
    min_order_size: str | None = None
    """Only REST books tell it."""
    neg_risk: bool = False


class LevelChange(msgspec.Struct, frozen=True):
    """One level's new total size, and the best prices after it as the venue states them."""

    token: str
    side: Literal["bid", "ask"]
    price4: int
    size6: int
    wire_price: str
    wire_size: str
    hash: str
    best_bid4: int | None
    best_ask4: int | None


class PriceChanges(msgspec.Struct, frozen=True, tag_field="t", tag="price_change"):
    """Changes of one instant, mixing both tokens of the market."""

    market: str
    at_ns: int
    stamp: str
    """``at_ns`` as the wire has it."""
    changes: tuple[LevelChange, ...]


class LastTrade(msgspec.Struct, frozen=True, tag_field="t", tag="last_trade_price"):
    """A trade was printed."""

    market: str
    token: str
    at_ns: int
    price4: int
    size6: int
    side: str


class BestBidAsk(msgspec.Struct, frozen=True, tag_field="t", tag="best_bid_ask"):
    """The best prices as the venue states them; sparse."""

    market: str
    token: str
    at_ns: int
    best_bid4: int | None
    best_ask4: int | None


class TickSizeChange(msgspec.Struct, frozen=True, tag_field="t", tag="tick_size_change"):
    """The price grid of one token changed: its book is void until a new one comes."""

    market: str
    token: str
    at_ns: int
    old_tick4: int | None
    new_tick4: int


class NewMarket(msgspec.Struct, frozen=True, tag_field="t", tag="new_market"):
    """A market was created; broadcast to everybody."""

    market: str
    slug: str
    tokens: tuple[str, ...]


class MarketResolved(msgspec.Struct, frozen=True, tag_field="t", tag="market_resolved"):
    """A market has its outcome."""

    market: str
    tokens: tuple[str, ...]
    winning_token: str
    outcome: Outcome | None
    """None when the winner's name is not Up or Down."""


class Quiet(msgspec.Struct, frozen=True, tag_field="t", tag="quiet"):
    """What brings no event: ``pong``, ``empty``, ``other``, or one ``refused`` element of a usable frame."""

    kind: Literal["pong", "empty", "other", "refused"]
    text: str = ""


MarketEvent = (
    BookSnapshot | PriceChanges | LastTrade | BestBidAsk | TickSizeChange | NewMarket | MarketResolved | Quiet
)
