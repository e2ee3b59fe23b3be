"""CLOB market-channel frames and REST books to typed events. Parses; keeps no book and judges none.

A frame is one object or an array; ``event_type`` may stand anywhere and REST books have none. All numbers are
text. Bids ascend and asks descend on the wire, but nothing here relies on it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from common.errors import FrameRefused
from common.feeds.market.market_events import (
    BestBidAsk,
    BookSnapshot,
    LastTrade,
    Level,
    LevelChange,
    MarketEvent,
    MarketResolved,
    NewMarket,
    PriceChanges,
    Quiet,
    TickSizeChange,
)
from common.feeds.market.wire_numbers import best4, last4, plain, price4, size6, tick4
from common.messages import Outcome
from common.units import MILLISECOND, NotANumber

PING = "PING"
MAX_FRAME_BYTES = 8 << 20
KNOWN_VERSIONS = ("v1", "v2")


class _Entry(msgspec.Struct):
    """An entry of a price change as the venue writes it; other fields are skipped."""

    asset_id: str
    price: str
    size: str
    side: Literal["BUY", "SELL"]
    hash: str = ""
    best_bid: str | None = None
    best_ask: str | None = None


class _ChangesFrame(msgspec.Struct):
    """A price change as the venue writes it: nearly all of the traffic."""

    event_type: Literal["price_change"]
    market: str
    timestamp: str
    price_changes: list[_Entry]


_changes_frames = msgspec.json.Decoder(_ChangesFrame)


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
    changes = _plain_changes(frame)
    if changes is not None:
        return (changes,)
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


def _plain_changes(frame: str) -> PriceChanges | None:
    """The frame as one price change without anything odd; None when it has to be looked at closely."""
    try:
        read = _changes_frames.decode(frame)
        if not read.market:
            return None
        changes = []
        for entry in read.price_changes:
            if not entry.asset_id:
                return None
            changes.append(
                LevelChange(
                    entry.asset_id,
                    "bid" if entry.side == "BUY" else "ask",
                    price4(entry.price),
                    size6(entry.size),
                    entry.price,
                    entry.size,
                    entry.hash,
                    best4(entry.best_bid),
                    best4(entry.best_ask),
                )
            )
        return PriceChanges(read.market, _instant(read.timestamp), read.timestamp, tuple(changes))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, NotANumber, FrameRefused):
        return None


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
        tick4=tick4(tick) if tick is not None else None,
        wire_tick=plain(tick) if tick is not None else None,
        last_trade4=last4(last_trade),
        wire_last_trade=plain(last_trade) if last_trade is not None else None,
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
    price, size = plain(entry.get("price")), plain(entry.get("size"))
    return LevelChange(
        token=_text(entry, "asset_id"),
        side="bid" if side == "BUY" else "ask",
        price4=price4(price),
        size6=size6(size),
        wire_price=price,
        wire_size=size,
        hash=_text(entry, "hash", ""),
        best_bid4=best4(entry.get("best_bid")),
        best_ask4=best4(entry.get("best_ask")),
    )


def _last_trade(item: Mapping[str, object]) -> LastTrade:
    return LastTrade(
        market=_text(item, "market"),
        token=_text(item, "asset_id"),
        at_ns=_stamp_ns(item),
        price4=price4(item.get("price")),
        size6=size6(item.get("size")),
        side=_text(item, "side", ""),
    )


def _best_bid_ask(item: Mapping[str, object]) -> BestBidAsk:
    return BestBidAsk(
        market=_text(item, "market"),
        token=_text(item, "asset_id"),
        at_ns=_stamp_ns(item),
        best_bid4=best4(item.get("best_bid")),
        best_ask4=best4(item.get("best_ask")),
    )


def _tick_size_change(item: Mapping[str, object]) -> TickSizeChange:
    old = item.get("old_tick_size")
    return TickSizeChange(
        market=_text(item, "market"),
        token=_text(item, "asset_id"),
        at_ns=_stamp_ns(item),
        old_tick4=tick4(old) if old is not None else None,
        new_tick4=tick4(item.get("new_tick_size")),
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
    parsed = tuple((price4(price), size6(size)) for price, size in wire)
    if len({price for price, _ in parsed}) != len(parsed):
        raise FrameRefused(name, "one price is listed twice")
    return parsed, tuple(wire)


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
    if not isinstance(stamp, str):
        raise FrameRefused("timestamp", f"{str(stamp)[:20]!r} is not milliseconds as text")
    return _instant(stamp), stamp


def _instant(stamp: str) -> int:
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 15:
        raise FrameRefused("timestamp", f"{stamp[:20]!r} is not milliseconds as text")
    stamp_ns = int(stamp) * MILLISECOND
    if stamp_ns >= 2**63:
        raise FrameRefused("timestamp", f"{stamp} is not milliseconds of this time")
    return stamp_ns


def _compact(message: Mapping[str, object]) -> str:
    return json.dumps(message, separators=(",", ":"))
