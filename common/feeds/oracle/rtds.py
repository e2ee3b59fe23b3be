"""RTDS wire frames to ticks, and the subscriptions that bring them. Parses; judges nothing.

Facts of the venue, all seen live: an update's exact value is an integer scaled by 1e18 on the Chainlink and
TWAP topics but a plain decimal on the Binance topic; a Chainlink backfill carries the Binance topic's name
(the slash in the symbol tells) and its points lack the exact value; an empty text frame comes on connecting.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from common.errors import FrameRefused
from common.feeds.oracle.price_fields import (
    ASSETS,
    Control,
    Unit,
    exact_value,
    json_object,
    prompt_value,
    stamp_ns,
)
from common.feeds.oracle.route import Item, Line, Route, series_key
from common.messages import SeriesKind, Tick
from common.runtime.clock import Clock
from common.runtime.config import Config
from common.runtime.paths import Paths

ROUTE: Final = "rtds"
PING = "PING"
MAX_FRAME_BYTES = 1 << 20

TOPICS: dict[SeriesKind, str] = {
    "spot": "crypto_prices_chainlink",
    "twap30": "crypto_prices_twap_thirty",
    "twap60": "crypto_prices_twap_sixty",
    "binance": "crypto_prices",
}
_KIND_OF_TOPIC = {topic: kind for kind, topic in TOPICS.items()}
_LOOKBACK: dict[SeriesKind, int] = {"twap30": 30, "twap60": 60}


class _Payload(msgspec.Struct, forbid_unknown_fields=True):
    full_accuracy_value: str
    symbol: str
    timestamp: int
    value: msgspec.Raw
    window_s: int | None = None


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    """An update as the venue writes nearly all of them; whatever differs is left to the tolerant reader."""

    payload: _Payload
    timestamp: int
    topic: str
    type: Literal["update"]
    connection_id: str = ""


_updates = msgspec.json.Decoder(_Update)
_SERIES: dict[tuple[str, str, int | None], tuple[str, SeriesKind]] = {
    (TOPICS[kind], f"{asset}usdt" if kind == "binance" else f"{asset}/usd", window): (asset, kind)
    for kind in TOPICS
    for asset in ASSETS
    for window in {None, _LOOKBACK.get(kind)}
}
"""Asset and kind by topic, symbol and look-back, as ``_series`` would find them."""


def subscriptions(kinds: Iterable[SeriesKind]) -> list[str]:
    """One message per topic without a filter: every other form was seen to fall silent after its backfill."""
    return [
        json.dumps(
            {"action": "subscribe", "subscriptions": [{"topic": TOPICS[kind], "type": "update"}]},
            separators=(",", ":"),
        )
        for kind in kinds
    ]


def parse_frame(text: str | bytes, recv_ns: int | None) -> tuple[Tick | Control, ...]:
    """The ticks of one frame, oldest first; raises FrameRefused with the reason when it is unusable.

    ``recv_ns`` is our wall clock at receipt; None (a recording without it) skips the check for the future.
    """
    tick = _prompt_tick(text, recv_ns) if isinstance(text, str) else None
    return parse_any(text, recv_ns) if tick is None else (tick,)


def _prompt_tick(text: str, recv_ns: int | None) -> Tick | None:
    """The tick of an everyday update, in a tenth of the time; None: ``parse_any`` must say what it is.

    What it takes it reads as ``parse_any`` does, and it refuses nothing.
    """
    if len(text) > MAX_FRAME_BYTES:
        return None
    try:
        update = _updates.decode(text)
        payload = update.payload
        asset, kind = _SERIES[update.topic, payload.symbol, payload.window_s]
        value = prompt_value(
            payload.full_accuracy_value, payload.value, "plain" if kind == "binance" else "e18"
        )
        if value is None:
            return None
        return Tick(
            asset=asset,
            kind=kind,
            route=ROUTE,
            observed_ns=stamp_ns(payload.timestamp, "observation stamp", recv_ns),
            e18=str(value),
            relay_ns=stamp_ns(update.timestamp, "relay stamp", None),
        )
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError, KeyError, FrameRefused):
        return None


def parse_any(text: str | bytes, recv_ns: int | None) -> tuple[Tick | Control, ...]:
    """As ``parse_frame``, for every frame there is: tolerant where the venue is loose, and slow."""
    if len(text) < MAX_FRAME_BYTES and text.strip().upper() in ("PONG", b"PONG"):
        return (Control("pong"),)
    document = json_object(text, MAX_FRAME_BYTES)
    if document is None:
        return (Control("empty"),)
    if "topic" not in document:
        return (_control(document),)
    kind_of_frame = document.get("type")
    if kind_of_frame not in ("update", "subscribe"):
        raise FrameRefused("unknown-type", str(kind_of_frame)[:40])
    payload = document.get("payload")
    if not isinstance(payload, dict):
        raise FrameRefused("payload", "missing or not an object")
    asset, kind = _series(document["topic"], payload)
    relay_ns = stamp_ns(document.get("timestamp"), "relay stamp", None)
    if kind_of_frame == "update":
        return (_tick(asset, kind, payload, relay_ns, recv_ns, backfill=False),)
    points = payload.get("data")
    if not isinstance(points, list):
        raise FrameRefused("payload", "a backfill without a list of points")
    ticks = []
    for point in points:
        if not isinstance(point, dict):
            raise FrameRefused("payload", "a backfill point is not an object")
        ticks.append(_tick(asset, kind, point, relay_ns, recv_ns, backfill=True))
    return tuple(sorted(ticks, key=lambda tick: tick.observed_ns))


def _control(document: Mapping[str, object]) -> Control:
    body = document.get("body")
    message = body.get("message") if isinstance(body, dict) else document.get("message")
    if isinstance(message, str):
        return Control("error", f"{document.get('statusCode', '')} {message}".strip()[:300])
    return Control("other", ", ".join(sorted(map(str, document)))[:120])


def _series(topic: object, payload: Mapping[str, object]) -> tuple[str, SeriesKind]:
    kind = _KIND_OF_TOPIC.get(topic) if isinstance(topic, str) else None
    if kind is None:
        raise FrameRefused("unknown-topic", str(topic)[:60])
    symbol = payload.get("symbol")
    if not isinstance(symbol, str):
        raise FrameRefused("symbol", "missing or not text")
    symbol = symbol.lower()
    if "/" in symbol:
        asset, _, quote = symbol.partition("/")
        # A Chainlink symbol under the Binance topic is the mislabelled backfill.
        kind = "spot" if kind == "binance" else kind
        matches = quote == "usd"
    else:
        asset, matches = symbol.removesuffix("usdt"), kind == "binance" and symbol.endswith("usdt")
    if not matches or asset not in ASSETS:
        raise FrameRefused("unknown-symbol", f"{symbol[:40]} on {topic}")
    window = payload.get("window_s")
    if window is not None and window != _LOOKBACK.get(kind):
        raise FrameRefused("window", f"look-back {window!s:.20} on {topic}")
    return asset, kind


def _tick(
    asset: str,
    kind: SeriesKind,
    point: Mapping[str, object],
    relay_ns: int,
    recv_ns: int | None,
    *,
    backfill: bool,
) -> Tick:
    observed_ns = stamp_ns(point.get("timestamp"), "observation stamp", recv_ns)
    unit: Unit = "plain" if kind == "binance" else "e18"
    return Tick(
        asset=asset,
        kind=kind,
        route=ROUTE,
        observed_ns=observed_ns,
        e18=str(exact_value(point.get("full_accuracy_value"), point.get("value"), unit)),
        relay_ns=relay_ns,
        backfill=backfill,
    )


def made_up(stamp_ms: int) -> str:
    """An update as the venue writes it, of a price that never was."""
    return (
        '{"connection_id":"made up","payload":{"full_accuracy_value":"79639795829763498573824",'
        f'"symbol":"btc/usd","timestamp":{stamp_ms},"value":79639.7958297635}},'
        f'"timestamp":{stamp_ms},"topic":"{TOPICS["spot"]}","type":"update"}}'
    )


class Conversation:
    """One connection: topics are asked for at once, frames carry everything, nothing is ever replied."""

    def __init__(self, kinds: Iterable[SeriesKind]) -> None:
        self._kinds = tuple(kinds)

    def opening(self) -> list[str]:
        """The subscriptions."""
        return subscriptions(self._kinds)

    def hear(self, frame: str | bytes, recv_ns: int) -> tuple[list[Item], list[str]]:
        """The meaning of one frame; raises FrameRefused."""
        return list(parse_frame(frame, recv_ns)), []


def plan(config: Config, _paths: Paths, _clock: Clock) -> Route:
    """The free relay: one connection, no credentials."""
    kinds = [kind for kind in config.oracles.kinds if kind in TOPICS]
    watched = [kind for kind in config.oracles.watched if kind in kinds]
    assets = config.markets.assets
    line = Line(
        name=ROUTE,
        url=config.venue.rtds_url,
        converse=lambda: Conversation(kinds),
        watched=tuple(series_key(kind, asset) for kind in watched for asset in assets),
        ping=PING,
        ping_every_s=5.0,
        max_bytes=MAX_FRAME_BYTES,
    )
    series = tuple(series_key(kind, asset) for kind in kinds for asset in assets)
    return Route(ROUTE, (line,), series, made_up=made_up)
