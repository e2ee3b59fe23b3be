"""Synthetic wire frames in the venue's shapes, and a mutilator of any frame."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from common.core.book_hash import book_hash

NOW_MS = 1_790_000_000_000
NOW_NS = NOW_MS * 1_000_000
E18_BTC = "79639795829763498573824"
UP, DOWN = "1001", "1002"


def update(topic: str = "crypto_prices_chainlink", **payload: Any) -> dict[str, Any]:
    """One price update; a payload key given as None is left out."""
    body = {
        "symbol": "btc/usd",
        "timestamp": NOW_MS,
        "value": 79639.7958297635,
        "full_accuracy_value": E18_BTC,
    }
    body |= payload
    return {
        "connection_id": "abc=",
        "topic": topic,
        "type": "update",
        "timestamp": NOW_MS + 900,
        "payload": {key: value for key, value in body.items() if value is not None},
    }


def backfill(topic: str, symbol: str, points: Sequence[object], **payload: Any) -> dict[str, Any]:
    """The answer to a subscription."""
    return {
        "topic": topic,
        "type": "subscribe",
        "timestamp": NOW_MS,
        "payload": {"symbol": symbol, "data": list(points)} | payload,
    }


def levels(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"price": price, "size": size} for price, size in pairs]


def book(token: str = UP, at_ms: int = NOW_MS, **more: Any) -> dict[str, Any]:
    """A complete book, best last on both sides; a key given as None is left out."""
    frame = {
        "market": "0xmarket",
        "asset_id": token,
        "timestamp": str(at_ms),
        "hash": "feed",
        "bids": levels(("0.58", "100"), ("0.59", "20.5")),
        "asks": levels(("0.62", "300"), ("0.61", "10")),
        "tick_size": "0.01",
        "event_type": "book",
        "last_trade_price": "0.600",
    } | more
    return {key: value for key, value in frame.items() if value is not None}


def hashed(frame: dict[str, Any], *, tick: str = "0.01", last_trade: str = "") -> dict[str, Any]:
    """A book with the hash the venue would give it; ``tick`` and ``last_trade`` where it leaves them out."""
    sides = [[(level["price"], level["size"]) for level in frame[side]] for side in ("bids", "asks")]
    proof = book_hash(
        frame["market"],
        frame["asset_id"],
        frame["timestamp"],
        *sides,
        frame.get("min_order_size", "5"),
        frame.get("tick_size", tick),
        frame.get("neg_risk", False),
        frame.get("last_trade_price", last_trade),
        frame.get("version"),
    )
    return frame | {"hash": proof}


def change(token: str, side: str, price: str, size: str, **more: Any) -> dict[str, Any]:
    return {"asset_id": token, "price": price, "size": size, "side": side, "hash": "feed"} | more


def changes(*entries: dict[str, Any], at_ms: int = NOW_MS + 1) -> dict[str, Any]:
    return {
        "market": "0xmarket",
        "timestamp": str(at_ms),
        "event_type": "price_change",
        "price_changes": list(entries),
    }


def one_token(kind: str, **more: Any) -> dict[str, Any]:
    """Any event which is about one token."""
    return {"event_type": kind, "market": "0xmarket", "asset_id": UP, "timestamp": str(NOW_MS)} | more


def text(frame: object) -> str:
    return json.dumps(frame)


_odd: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**40),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "0", "1", "-1", "nan", "1e60", "1e999999999", "0.5", "v9", "\ud800", "9" * 70]),
    st.builds(list),
    st.builds(dict),
    st.builds(lambda: [[]]),
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, held in inner for deeper in _paths(held, (*path, key)))]


@st.composite
def mutilated(draw: st.DrawFn, frames: list[str]) -> str:
    """A frame with values exchanged or left out, or cut off, or with foreign characters in it."""
    frame = draw(st.sampled_from(frames))
    how = draw(st.sampled_from(["value", "cut", "characters"]))
    if how == "cut":
        return frame[: draw(st.integers(0, len(frame)))]
    if how == "characters":
        at = draw(st.integers(0, len(frame)))
        return frame[:at] + draw(st.text(max_size=4)) + frame[at + draw(st.integers(0, 3)) :]
    document = json.loads(frame)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(_paths(document)))
        if not path:
            document = draw(_odd)
            continue
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        if isinstance(holder, dict) and draw(st.booleans()):
            del holder[path[-1]]
        else:
            holder[path[-1]] = draw(_odd)
    return json.dumps(document)
