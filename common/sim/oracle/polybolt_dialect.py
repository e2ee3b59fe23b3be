"""The current price socket's language: its envelopes and acknowledgements, and how it reads a request.

Pure text to text. Knows no connection and sends nothing. The rules are those of the venue's AsyncAPI document
of autumn 2026; no real price frame is public.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from common.sim.script import Observed

SPOT = "price.crypto"
TWAP = "price.crypto.twap"
CHANNELS = {"crypto_prices_chainlink": SPOT, "crypto_prices_twap_sixty": TWAP}
"""The script's topics that have a channel here."""
TWAP_WINDOW_S = 60
"""Other windows are accepted and never carry data."""
LONGEST_FRAME = 64 * 1024
_TOPICS = {channel: topic for topic, channel in CHANNELS.items()}
_TRIO = ("apiKey", "secret", "passphrase")
_E18 = 10**18
_PYTH_STEP = 10**10

Provider = Literal["chainlink", "pyth"]


@dataclass(frozen=True, slots=True)
class Subscription:
    """One channel and filter; equal filters are one subscription."""

    channel: str
    symbol: str
    """``btcusd``."""
    window_s: int | None = None
    provider: Provider = "chainlink"

    @property
    def series(self) -> tuple[str, str] | None:
        """Topic and symbol of the script; None carries no data."""
        if not self.symbol.endswith("usd") or self.window_s not in (None, TWAP_WINDOW_S):
            return None
        return _TOPICS[self.channel], f"{self.symbol.removesuffix('usd')}/usd"


@dataclass(frozen=True, slots=True)
class Asked:
    """A subscription as asked for, and whether its provider was named."""

    subscription: Subscription
    pinned: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """What is answered with an error: its code, and the channel where one was named."""

    code: str
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Auth:
    api_key: str
    secret: str
    passphrase: str


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class Request:
    """Subscribe or unsubscribe, one entry for each acknowledgement."""

    subscribe: bool
    entries: tuple[Asked | Refused, ...]


def read_request(text: str) -> tuple[Auth | Ping | Request | Refused, str | None]:
    """What a client's frame asks for, and its ``rid``."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return Refused("bad_op"), None
    if not isinstance(message, dict):
        return Refused("bad_op"), None
    rid = message.get("rid")
    return _read(message), rid if isinstance(rid, str) else None


def _read(message: dict[str, Any]) -> Auth | Ping | Request | Refused:
    match message.get("op"):
        case "ping":
            return Ping()
        case "auth":
            trio = message.get("auth")
            if _is_object(trio):
                parts = [trio[name] for name in _TRIO if isinstance(trio.get(name), str)]
                if len(parts) == len(_TRIO):
                    return Auth(*parts)
        case "subscribe" | "unsubscribe" as operation:
            # One channel and filter may stand at the top instead of in a list.
            entries = message.get("subscriptions", [message] if "channel" in message else None)
            if isinstance(entries, list) and entries and all(_is_object(entry) for entry in entries):
                return Request(operation == "subscribe", tuple(_entry(entry) for entry in entries))
    return Refused("bad_op")


def _entry(entry: dict[str, Any]) -> Asked | Refused:
    channel, wanted = entry.get("channel"), entry.get("filter")
    if not isinstance(channel, str):
        return Refused("bad_channel")
    if channel not in _TOPICS:
        return Refused("bad_channel", channel)
    if not _is_object(wanted) or not isinstance(wanted.get("symbol"), str):
        return Refused("bad_filter", channel)
    provider, window_s = wanted.get("provider", "chainlink"), wanted.get("window_seconds")
    if provider not in ("chainlink", "pyth"):
        return Refused("bad_filter", channel)
    symbol = wanted["symbol"].lower()
    if channel == SPOT:
        return Asked(Subscription(channel, symbol, provider=provider), "provider" in wanted)
    if isinstance(window_s, bool) or not isinstance(window_s, int) or window_s < 1:
        return Refused("bad_filter", channel)
    # This channel has one provider, whatever the filter says.
    return Asked(Subscription(channel, symbol, window_s), pinned=False)


def ack(operation: str, rid: str | None, channel: str | None = None, provider: str | None = None) -> str:
    """``authed``, ``pong``, ``subscribed`` or ``unsubscribed``; with the provider where one was asked for."""
    parts = {"op": operation, "channel": channel, "rid": rid, "provider": provider}
    return _compact({name: part for name, part in parts.items() if part is not None})


def error(refused: Refused, rid: str | None) -> str:
    """The error that answers a request, or one subscription of it."""
    parts = {"op": "error", "channel": refused.channel, "rid": rid, "code": refused.code}
    return _compact({name: part for name, part in parts.items() if part is not None})


def update_frame(
    channel: str, seq: int, sent_ms: int, observed: Observed, provider: Provider, dropped: int = 0
) -> str:
    """One price of now; ``dropped`` frames of the channel were lost before it."""
    payload = {"symbol": wire_symbol(observed.symbol)} | _point(observed, provider)
    payload |= _window(observed.window_s) | {"source": provider}
    head: dict[str, Any] = {"v": 1, "channel": channel, "seq": seq, "ts": sent_ms}
    return _compact(head | ({"dropped": dropped} if dropped else {}) | {"payload": payload})


def snapshot_frame(
    subscription: Subscription, seq: int, sent_ms: int, points: Sequence[Observed], provider: Provider
) -> str:
    """The last two minutes, oldest first, which answer a new subscription; may be empty."""
    payload = {"symbol": subscription.symbol} | _window(subscription.window_s) | {"source": provider}
    payload["data"] = [{"timestamp": point.observed_ms} | _point(point, provider) for point in points]
    head = {"v": 1, "channel": subscription.channel, "seq": seq, "ts": sent_ms, "snapshot": True}
    return _compact(head | {"payload": payload})


def wire_symbol(symbol: str) -> str:
    """``btcusd`` for the script's ``btc/usd``."""
    return symbol.replace("/", "")


def price_of(observed: Observed, provider: Provider) -> int:
    """The value in 1e-18 dollars; Pyth's is 1 to 30 ppm away and ends after eight decimals."""
    if provider == "chainlink":
        return observed.value_e18
    number = hashlib.sha256(f"{observed.symbol} {observed.observed_ms}".encode()).digest()[0]
    away_ppm = (number // 2 % 30 + 1) * (1 if number % 2 else -1)
    value = observed.value_e18 + observed.value_e18 * away_ppm // 1_000_000
    return value - value % _PYTH_STEP


def _point(observed: Observed, provider: Provider) -> dict[str, Any]:
    value = price_of(observed, provider)
    units, rest = divmod(value, _E18)
    exact = f"{units}.{rest:018d}"
    return {
        "value": value / _E18,
        "full_accuracy_value": exact[:-10] if provider == "pyth" else exact.rstrip("0").rstrip("."),
        "timestamp": observed.observed_ms,
    }


def _window(window_s: int | None) -> dict[str, Any]:
    return {} if window_s is None else {"window_seconds": window_s}


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
