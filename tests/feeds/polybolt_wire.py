"""Synthetic PolyBolt frames in the venue's shapes."""

from collections.abc import Sequence
from typing import Any

from tests.feeds.wire import NOW_MS

EXACT = "79639.795829763498573824"


def point(at_ms: int = NOW_MS, **more: Any) -> dict[str, Any]:
    """One price; a key given as None is left out."""
    body = {"timestamp": at_ms, "value": 79639.7958, "full_accuracy_value": EXACT} | more
    return {key: value for key, value in body.items() if value is not None}


def envelope(channel: str, seq: int, payload: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A price frame with other keys than usual; one given as None is left out."""
    frame = {"v": 1, "channel": channel, "seq": seq, "ts": NOW_MS + 700, "payload": payload} | changes
    return {key: value for key, value in frame.items() if value is not None}


def spot(seq: int = 1, *, frame: dict[str, Any] | None = None, **payload: Any) -> dict[str, Any]:
    """One spot price; ``frame`` changes the envelope, all else the payload, None leaves a key out."""
    body = point(symbol="btcusd", source="chainlink") | payload
    body = {key: value for key, value in body.items() if value is not None}
    return envelope("price.crypto", seq, body, frame or {})


def twap(seq: int = 1, *, frame: dict[str, Any] | None = None, **payload: Any) -> dict[str, Any]:
    """The same for the 60 s average."""
    body = {"window_seconds": 60} | payload
    return spot(seq, frame={"channel": "price.crypto.twap"} | (frame or {}), **body)


def snapshot(seq: int = 1, points: Sequence[Any] = (), **payload: Any) -> dict[str, Any]:
    """The answer to a new subscription to the average."""
    body = {"symbol": "btcusd", "source": "chainlink", "window_seconds": 60, "data": list(points)} | payload
    body = {key: value for key, value in body.items() if value is not None}
    return envelope("price.crypto.twap", seq, body, {"snapshot": True})
