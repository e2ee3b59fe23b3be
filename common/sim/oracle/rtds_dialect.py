"""The legacy price socket's language: what its frames look like and how it reads a subscription.

Pure text to text. Knows no connection and sends nothing. Every quirk here was seen on the real socket.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.sim.script import Observed

SPOT = "crypto_prices_chainlink"
EXCHANGE = "crypto_prices"
TWAPS = ("crypto_prices_twap_thirty", "crypto_prices_twap_sixty")
PRICE_TOPICS = (EXCHANGE, SPOT, *TWAPS)
_OTHER_TOPICS = ("activity",)
_TYPES = ("update", "*")
_E18 = 10**18


@dataclass(frozen=True, slots=True)
class Wish:
    """One entry of a subscription; ``muted`` gets its backfill and then nothing."""

    topic: str
    symbol: str | None = None
    muted: bool = False
    dead: bool = False
    """A filter the venue accepts and never answers."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked for."""

    subscribe: bool
    wishes: tuple[Wish, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The frame that answers a request the venue does not accept."""

    frame: str


def read_request(text: str, connection_id: str, request_id: str) -> Request | Refusal:
    """A client's text frame: a request, or the refusal of the whole batch."""
    try:
        message = json.loads(text)
        subscribe = {"subscribe": True, "unsubscribe": False}[message["action"]]
        entries = [
            (entry["topic"], entry["type"], entry.get("filters", "")) for entry in message["subscriptions"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return Refusal(invalid_request_frame(connection_id, request_id))
    wishes = []
    for topic, kind, filters in entries:
        if topic not in (*PRICE_TOPICS, *_OTHER_TOPICS) or kind not in _TYPES:
            return Refusal(unknown_topic_frame(topic, kind))
        wish = _wish(topic, filters)
        if wish is None:
            return Refusal(
                _compact({"body": {"message": f"invalid filters for topic: {topic}"}, "statusCode": 400})
            )
        wishes.append(wish)
    return Request(subscribe, tuple(wishes))


def _wish(topic: str, filters: Any) -> Wish | None:
    """None: the filter is refused. Only a compact object with one symbol works as one would hope."""
    if filters == "":
        return Wish(topic)
    if not isinstance(filters, str):
        return None
    try:
        wanted = json.loads(filters)
    except ValueError:
        return Wish(topic, dead=True)
    if not isinstance(wanted, dict) or not isinstance(wanted.get("symbol"), str):
        return None
    return Wish(topic, wanted["symbol"], muted=filters != _compact(wanted))


def update_body(observed: Observed, emitted_ms: int) -> str:
    """An update frame without its beginning; `update_frame` puts the connection in front."""
    payload: dict[str, Any] = {
        "full_accuracy_value": _exact(observed),
        "symbol": observed.symbol,
        "timestamp": observed.observed_ms,
        "value": _number(observed.value_e18),
    }
    if observed.window_s is not None:
        payload["window_s"] = observed.window_s
    return _compact({"payload": payload, "timestamp": emitted_ms, "topic": observed.topic, "type": "update"})[
        1:
    ]


def update_frame(connection_id: str, body: str) -> str:
    """A whole update frame for one connection."""
    return f'{{"connection_id":"{connection_id}",{body}'


def backfill_frame(points: Sequence[Observed], now_ms: int) -> str:
    """The history that answers a filtered subscription; ``points`` are of one symbol, oldest first.

    Spot carries the exchange topic's name and no exact value; TWAP carries both as one would expect.
    """
    newest = points[-1]
    exact = newest.topic in TWAPS
    data = [
        ({"full_accuracy_value": _exact(point)} if exact else {})
        | {"timestamp": point.observed_ms, "value": _number(point.value_e18)}
        for point in points
    ]
    payload: dict[str, Any] = {"data": data, "symbol": newest.symbol}
    if newest.window_s is not None:
        payload["window_s"] = newest.window_s
    topic = EXCHANGE if newest.topic == SPOT else newest.topic
    return _compact({"payload": payload, "timestamp": now_ms, "topic": topic, "type": "subscribe"})


def backfill_points(topic: str) -> int:
    """How many points the venue replays: two minutes of exchange prices, one of everything else."""
    return 120 if topic == EXCHANGE else 60


def invalid_request_frame(connection_id: str, request_id: str) -> str:
    """The answer to anything that is not a well-formed request."""
    return _compact(
        {"message": "Invalid request body", "connectionId": connection_id, "requestId": request_id}
    )


def unknown_topic_frame(topic: object, kind: object) -> str:
    """The answer to a batch with one unknown topic in it."""
    missing = f"topic: {topic} and type: {kind} not found"
    cause = f"rpc error: code = NotFound desc = {missing}"
    text = f"leger GetTopics error: {cause}, status: {cause}, message: {missing}"
    return _compact({"body": {"message": text}, "statusCode": 401})


def _exact(observed: Observed) -> str:
    if observed.topic != EXCHANGE:
        return str(observed.value_e18)
    units, rest = divmod(observed.value_e18, _E18)
    return f"{units}.{rest // 10**10:08d}"


def _number(value_e18: int) -> int | float:
    """The display value: the nearest double, written without a fraction when it has none."""
    nearest = value_e18 / _E18
    return int(nearest) if nearest.is_integer() else nearest


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
