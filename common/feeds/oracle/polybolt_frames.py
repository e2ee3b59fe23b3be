"""PolyBolt wire frames to ticks and answers. Parses; remembers nothing and judges no price.

Facts of the venue, from its documentation and its own client, autumn 2026 (no price frame is public): the
exact value is a plain decimal on both channels; frames are numbered per channel and connection, snapshots
included; a provider asked for is a wish, so only the frame says whose price it is.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple, TypeGuard

from common.errors import FrameRefused
from common.feeds.oracle.price_fields import ASSETS, Control, exact_value, json_object, stamp_ns
from common.feeds.oracle.route import Item
from common.messages import RouteName, SeriesKind, Tick

ROUTE: RouteName = "polybolt"
PROVIDER = "chainlink"
"""Who makes the prices that settle; the same channels can carry another provider's."""
CHANNELS: dict[SeriesKind, str] = {"spot": "price.crypto", "twap60": "price.crypto.twap"}
LOOKBACK_S: dict[SeriesKind, int] = {"twap60": 60}
SYMBOLS = {asset: f"{asset}usd" for asset in ASSETS}
MAX_FRAME = 1 << 17
"""Twice what the venue allows for one frame."""

_KIND_OF_CHANNEL = {channel: kind for kind, channel in CHANNELS.items()}
_ASSET_OF_SYMBOL = {symbol: asset for asset, symbol in SYMBOLS.items()}
_FRAME_KEYS = frozenset({"v", "channel", "seq", "ts", "snapshot", "dropped", "payload"})
_POINT_KEYS = frozenset(
    {"timestamp", "value", "full_accuracy_value", "source", "received_at", "is_carried_forward"}
)
_PAYLOAD_KEYS = _POINT_KEYS | {"symbol", "window_seconds", "data"}

Document = Mapping[str, Any]


class Head(NamedTuple):
    """What a price frame says about itself."""

    channel: str
    kind: SeriesKind
    seq: int
    dropped: int
    """Frames of the channel the venue left out before this one, because we were slow."""


def parse_frame(text: str | bytes, recv_ns: int | None) -> tuple[Item, ...]:
    """What one frame says by itself, ticks oldest first; raises FrameRefused when it is unusable.

    ``recv_ns`` is our wall clock at receipt; None (a recording without it) skips the check for the future.
    Numbers are not counted: that takes a connection.
    """
    document = document_of(text)
    if document is None:
        return (Control("empty"),)
    if "op" in document:
        return (answer_in(document),)
    head = head_of(document)
    ticks = ticks_in(document, head.kind, recv_ns)
    gaps = (gap(head.channel, head.dropped),) if head.dropped else ()
    unknown = unknown_keys(document)
    return (*gaps, *((surprise(unknown),) if unknown else ()), *ticks)


def document_of(text: str | bytes) -> Document | None:
    """The JSON object of a frame; None when it is empty. Raises FrameRefused."""
    return json_object(text, MAX_FRAME)


def answer_in(document: Document) -> Control:
    """What the venue says to a message of ours; raises FrameRefused when ``op`` is no text."""
    op, channel = document["op"], document.get("channel")
    on = "" if channel is None else f" on {shown(channel)}"
    match op:
        case "pong":
            return Control("pong")
        case "authed":
            return Control("ack", "authed")
        case "subscribed":
            # A wish that cannot be met falls back to another provider, and the answer names it.
            provider = document.get("provider", PROVIDER)
            if provider == PROVIDER:
                return Control("ack", f"subscribed{on}")
            by = shown(provider)
            return Control("error", f"subscribed{on}, served by {by}: its prices will be refused")
        case "error":
            return Control("error", f"{shown(document.get('code'))}{on}")
        case str():
            return Control("other", f"{shown(op)}{on}")
        case _:
            raise FrameRefused("unknown-op", shown(op))


def head_of(document: Document) -> Head:
    """Version, channel and numbers of a price frame, each checked; raises FrameRefused."""
    version = document.get("v")
    if not _is_count(version) or version != 1:
        raise FrameRefused("version", f"v is {shown(version)}, and only 1 is known here")
    channel = document.get("channel")
    kind = _KIND_OF_CHANNEL.get(channel) if isinstance(channel, str) else None
    if kind is None:
        raise FrameRefused("unknown-channel", shown(channel))
    seq, dropped = document.get("seq"), document.get("dropped", 0)
    if not _is_count(seq) or seq == 0:
        raise FrameRefused("seq", f"{shown(seq)} is no number of a frame")
    if not _is_count(dropped):
        raise FrameRefused("dropped", f"{shown(dropped)} is no number of dropped frames")
    return Head(CHANNELS[kind], kind, seq, dropped)


def ticks_in(document: Document, kind: SeriesKind, recv_ns: int | None) -> list[Tick]:
    """The ticks of a price frame, oldest first; a snapshot's are backfill. Raises FrameRefused."""
    relay_ns = stamp_ns(document.get("ts"), "relay stamp", None)
    payload, snapshot = document.get("payload"), document.get("snapshot", False)
    if not isinstance(payload, dict):
        raise FrameRefused("payload", "missing or not an object")
    if not isinstance(snapshot, bool):
        raise FrameRefused("snapshot", f"{shown(snapshot)} is neither true nor false")
    symbol = payload.get("symbol")
    asset = _ASSET_OF_SYMBOL.get(symbol) if isinstance(symbol, str) else None
    if asset is None:
        raise FrameRefused("unknown-symbol", shown(symbol))
    _check_provider(payload.get("source"))
    if "window_s" in payload:
        raise FrameRefused("window", "window_s is the older socket's field, and comes with its unit")
    window = payload.get("window_seconds")
    if window != LOOKBACK_S.get(kind):
        raise FrameRefused("window", f"look-back {shown(window)} on {CHANNELS[kind]}")
    points = payload.get("data") if snapshot else [payload]
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        raise FrameRefused("payload", "a snapshot without a list of points")
    ticks = [
        Tick(
            asset=asset,
            kind=kind,
            route=ROUTE,
            observed_ns=stamp_ns(point.get("timestamp"), "observation stamp", recv_ns),
            e18=str(_value(point)),
            relay_ns=relay_ns,
            backfill=snapshot,
        )
        for point in points
    ]
    return sorted(ticks, key=lambda tick: tick.observed_ns)


def unknown_keys(document: Document) -> set[str]:
    """Keys of a price frame, which was read, that are new here; a new key alone refuses no price."""
    payload = document["payload"]
    keys = document.keys() - _FRAME_KEYS
    keys |= {f"payload.{key}" for key in payload.keys() - _PAYLOAD_KEYS}
    if document.get("snapshot"):
        keys |= {f"data.{key}" for point in payload["data"] for key in point.keys() - _POINT_KEYS}
    return {key[:40] for key in keys}


def surprise(keys: set[str]) -> Control:
    """That these keys are new here."""
    return Control("other", f"unknown keys: {', '.join(sorted(keys))}"[:200])


def gap(channel: str, missed: int) -> Control:
    """That frames of a channel did not reach us."""
    return Control("gap", f"frames of {channel} did not reach us: {missed}", missed=missed)


def shown(value: object) -> str:
    """A stranger's value in a sentence; of what holds other values only the type."""
    return str(value)[:60] if isinstance(value, str | int | float | Decimal | None) else type(value).__name__


def _value(point: Document) -> int:
    _check_provider(point.get("source", PROVIDER))
    if point.get("is_carried_forward", False) is not False:
        raise FrameRefused("carried-forward", "an older value under a newer stamp is no observation")
    exact, display = point.get("full_accuracy_value"), point.get("value")
    if exact is None or display is None:
        raise FrameRefused("value", "the exact value, or the one to check it with, is missing")
    return exact_value(exact, display, "plain")


def _check_provider(source: object) -> None:
    if source != PROVIDER:
        raise FrameRefused("provider", f"a price of {shown(source)}, not of {PROVIDER}")


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
