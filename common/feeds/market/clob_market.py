"""CLOB market-channel frames and REST books to typed events. Parses; keeps no book and judges none.

A frame is one object or an array; ``event_type`` may stand anywhere and REST books have none. All numbers are
text. Bids ascend and asks descend on the wire, but nothing here relies on it.
"""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

import msgspec

from common.errors import FrameRefused
from common.messages import Outcome
from common.units import MILLISECOND, PRICE4_ONE, NotANumber, price4_exact, size6_floor

PING = "PING"
MAX_FRAME_BYTES = 8 << 20
MAX_SIZE6 = 10**18
"""A million million shares: beyond it a size is nonsense, and soon no longer fits a message."""
KNOWN_VERSIONS = ("v1", "v2")

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


def first_subscription(tokens: list[str]) -> str:
    """The first message of a connection."""
    return _compact({"assets_ids": tokens, "type": "market", "custom_feature_enabled": True})


def later_subscription(operation: Literal["subscribe", "unsubscribe"], tokens: list[str]) -> str:
    """A change on a running connection."""
    return _compact({"operation": operation, "assets_ids": tokens, "custom_feature_enabled": True})


def parse_frame(text: str | bytes) -> tuple[MarketEvent, ...]:
    """The events of one frame in its order; raises FrameRefused with the reason when nothing in it is usable.

    One unusable element costs only itself: the first frame of a connection holds the books of all tokens.
    """
    frame = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if len(frame) > MAX_FRAME_BYTES:
        raise FrameRefused("oversized", f"{len(frame)} characters")
    stripped = frame.strip()
    if not stripped:
        return (Quiet("empty"),)
    if stripped.upper() == "PONG":
        return (Quiet("pong"),)
    try:
        document = json.loads(stripped)
    except (ValueError, RecursionError) as error:
        raise FrameRefused("not-json", str(error)[:120]) from None
    items = document if isinstance(document, list) else [document]
    events: list[MarketEvent] = []
    refusals: list[FrameRefused] = []
    for item in items:
        try:
            events.append(_event(item))
        except NotANumber as error:
            refusals.append(FrameRefused("number", str(error)))
        except FrameRefused as refusal:
            refusals.append(refusal)
    if refusals and not events:
        raise refusals[0]
    return (*events, *(Quiet("refused", str(refusal)) for refusal in refusals))


def parse_book(document: object) -> BookSnapshot:
    """The book of a REST answer; raises FrameRefused with the reason when it is none."""
    if not isinstance(document, dict):
        raise FrameRefused("not-an-object", type(document).__name__)
    try:
        return _book(document)
    except NotANumber as error:
        raise FrameRefused("number", str(error)) from None


def _event(item: object) -> MarketEvent:
    if not isinstance(item, dict):
        raise FrameRefused("not-an-object", type(item).__name__)
    kind = item.get("event_type")
    if kind is None:
        if "bids" in item and "asks" in item:
            return _book(item)  # a REST book
        message = item.get("error") or item.get("message")
        if isinstance(message, str):
            return Quiet("other", message[:300])
        raise FrameRefused("no-event-type", ", ".join(sorted(map(str, item)))[:120])
    parser = _PARSERS.get(kind) if isinstance(kind, str) else None
    if parser is None:
        raise FrameRefused("unknown-event-type", str(kind)[:60])
    return parser(item)


def _book(item: Mapping[str, object]) -> BookSnapshot:
    version = item.get("version", "v1")
    if version not in KNOWN_VERSIONS:
        raise FrameRefused("unknown-version", str(version)[:40])
    bids, wire_bids = _levels(item.get("bids"), "bids")
    asks, wire_asks = _levels(item.get("asks"), "asks")
    tick, last_trade = item.get("tick_size"), item.get("last_trade_price")
    at_ns, stamp = _stamp(item)
    return BookSnapshot(
        market=_text(item, "market"),
        token=_text(item, "asset_id"),
        at_ns=at_ns,
        stamp=stamp,
        hash=_text(item, "hash", ""),
        bids=bids,
        asks=asks,
        wire_bids=wire_bids,
        wire_asks=wire_asks,
        tick4=_tick4(tick) if tick is not None else None,
        wire_tick=_plain(tick) if tick is not None else None,
        last_trade4=_last4(last_trade),
        wire_last_trade=_plain(last_trade) if last_trade is not None else None,
        version=str(version),
        min_order_size=_text(item, "min_order_size", "") or None,
        neg_risk=item.get("neg_risk") is True,
    )


def _price_changes(item: Mapping[str, object]) -> PriceChanges:
    entries = item.get("price_changes")
    if not isinstance(entries, list):
        raise FrameRefused("price_changes", "missing or not a list")
    market, (at_ns, stamp) = _text(item, "market"), _stamp(item)
    return PriceChanges(market, at_ns, stamp, tuple(_change(entry) for entry in entries))


def _change(entry: object) -> LevelChange:
    if not isinstance(entry, dict):
        raise FrameRefused("price_changes", "an entry is not an object")
    side = entry.get("side")
    if side not in ("BUY", "SELL"):
        raise FrameRefused("side", str(side)[:20])
    price, size = _plain(entry.get("price")), _plain(entry.get("size"))
    return LevelChange(
        token=_text(entry, "asset_id"),
        side="bid" if side == "BUY" else "ask",
        price4=_price4(price),
        size6=_size6(size),
        wire_price=price,
        wire_size=size,
        hash=_text(entry, "hash", ""),
        best_bid4=_best4(entry.get("best_bid")),
        best_ask4=_best4(entry.get("best_ask")),
    )


def _last_trade(item: Mapping[str, object]) -> LastTrade:
    return LastTrade(
        market=_text(item, "market"),
        token=_text(item, "asset_id"),
        at_ns=_stamp_ns(item),
        price4=_price4(item.get("price")),
        size6=_size6(item.get("size")),
        side=_text(item, "side", ""),
    )


def _best_bid_ask(item: Mapping[str, object]) -> BestBidAsk:
    return BestBidAsk(
        market=_text(item, "market"),
        token=_text(item, "asset_id"),
        at_ns=_stamp_ns(item),
        best_bid4=_best4(item.get("best_bid")),
        best_ask4=_best4(item.get("best_ask")),
    )


def _tick_size_change(item: Mapping[str, object]) -> TickSizeChange:
    old = item.get("old_tick_size")
    return TickSizeChange(
        market=_text(item, "market"),
        token=_text(item, "asset_id"),
        at_ns=_stamp_ns(item),
        old_tick4=_tick4(old) if old is not None else None,
        new_tick4=_tick4(item.get("new_tick_size")),
    )


def _new_market(item: Mapping[str, object]) -> NewMarket:
    tokens = item.get("assets_ids") or item.get("clob_token_ids") or ()
    return NewMarket(_text(item, "market"), _text(item, "slug", ""), _texts(tokens))


def _market_resolved(item: Mapping[str, object]) -> MarketResolved:
    name = str(item.get("winning_outcome", "")).lower()
    outcome: Outcome | None = "up" if name == "up" else "down" if name == "down" else None
    return MarketResolved(
        _text(item, "market"),
        _texts(item.get("assets_ids") or ()),
        _text(item, "winning_asset_id", ""),
        outcome,
    )


_PARSERS: dict[str, Callable[[Mapping[str, object]], MarketEvent]] = {
    "book": _book,
    "price_change": _price_changes,
    "last_trade_price": _last_trade,
    "best_bid_ask": _best_bid_ask,
    "tick_size_change": _tick_size_change,
    "new_market": _new_market,
    "market_resolved": _market_resolved,
}


def _levels(levels: object, name: str) -> tuple[tuple[Level, ...], tuple[tuple[str, str], ...]]:
    if not isinstance(levels, list):
        raise FrameRefused(name, "missing or not a list")
    wire = []
    for level in levels:
        if not isinstance(level, dict):
            raise FrameRefused(name, "a level is not an object")
        price, size = level.get("price"), level.get("size")
        if not isinstance(price, str) or not isinstance(size, str):
            raise FrameRefused(name, "a level's price or size is not text")
        wire.append((price, size))
    parsed = tuple((_price4(price), _size6(size)) for price, size in wire)
    if len({price for price, _ in parsed}) != len(parsed):
        raise FrameRefused(name, "one price is listed twice")
    return parsed, tuple(wire)


# A book repeats most of the texts of the one before: remembering them makes reading it four times as fast.
_known_price4 = lru_cache(maxsize=4096)(price4_exact)
_known_size6 = lru_cache(maxsize=16_384)(size6_floor)


def _price4(text: object) -> int:
    price = _known_price4(_plain(text))
    if not 0 < price < PRICE4_ONE:
        raise FrameRefused("price", f"{str(text)[:20]} is not between 0 and 1")
    return price


def _best4(text: object) -> int | None:
    """The venue writes an empty side as "", "0" or "1": no order can rest at either end."""
    price = _last4(text)
    return None if price in (0, PRICE4_ONE) else price


def _last4(text: object) -> int | None:
    if text in (None, ""):
        return None
    price = price4_exact(_plain(text))
    if not 0 <= price <= PRICE4_ONE:
        raise FrameRefused("price", f"{str(text)[:20]} is not between 0 and 1")
    return price


def _size6(text: object) -> int:
    size = _known_size6(_plain(text))
    if not 0 <= size <= MAX_SIZE6:
        raise FrameRefused("size", f"{str(text)[:20]} is no size of an order")
    return size


def _tick4(text: object) -> int:
    tick = price4_exact(_plain(text))
    if not 0 < tick < PRICE4_ONE:
        raise FrameRefused("tick", f"{str(text)[:20]} is no tick size")
    return tick


def _plain(text: object) -> str:
    if not isinstance(text, str):
        raise FrameRefused("number", f"{type(text).__name__} where the venue writes text")
    return text


def _text(item: Mapping[str, object], key: str, default: str | None = None) -> str:
    value = item.get(key, default)
    if not isinstance(value, str) or (default is None and not value):
        raise FrameRefused(key, "missing or not text")
    return value


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise FrameRefused("assets_ids", "not a list of text")
    return tuple(values)


def _stamp_ns(item: Mapping[str, object]) -> int:
    return _stamp(item)[0]


def _stamp(item: Mapping[str, object]) -> tuple[int, str]:
    """The instant, and the wire's own text of it."""
    stamp = item.get("timestamp")
    if not isinstance(stamp, str) or not stamp.isascii() or not stamp.isdigit() or len(stamp) > 15:
        raise FrameRefused("timestamp", f"{str(stamp)[:20]!r} is not milliseconds as text")
    stamp_ns = int(stamp) * MILLISECOND
    if stamp_ns >= 2**63:
        raise FrameRefused("timestamp", f"{stamp} is not milliseconds of this time")
    return stamp_ns, stamp


def _compact(message: Mapping[str, object]) -> str:
    return json.dumps(message, separators=(",", ":"))
