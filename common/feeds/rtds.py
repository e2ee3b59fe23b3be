"""RTDS wire frames to ticks, and the subscriptions that bring them. Parses; judges nothing.

Facts of the venue, all seen live: an update's exact value is an integer scaled by 1e18 on the Chainlink and
TWAP topics but a plain decimal on the Binance topic; a Chainlink backfill carries the Binance topic's name
(the slash in the symbol tells) and its points lack the exact value; an empty text frame comes on connecting.
"""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Literal

import msgspec

from common.errors import FrameRefused
from common.messages import SeriesKind, Tick
from common.units import E18, MILLISECOND, SECOND, NotANumber, price18_from_e18, price18_from_plain

ROUTE = "rtds"
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
_ASSETS = ("btc", "eth", "sol", "xrp", "doge", "bnb", "hype", "zec")

EARLIEST_NS = 1_577_836_800 * SECOND
"""1 January 2020: no stamp of these streams is older."""
FUTURE_NS = 5 * SECOND
"""A stamp further ahead of our clock than this is wrong, or our clock is."""
PARTS_PER_BAND = 1_000
"""``value`` must be within a thousandth of the exact field: a unit mix-up is off by far more."""


class Control(msgspec.Struct, frozen=True, tag_field="t", tag="control"):
    """A frame that carries no price: ``empty``, ``pong``, ``error`` or ``other``."""

    kind: Literal["empty", "pong", "error", "other"]
    text: str = ""


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
    frame = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if len(frame) > MAX_FRAME_BYTES:
        raise FrameRefused("oversized", f"{len(frame)} characters")
    stripped = frame.strip()
    if not stripped:
        return (Control("empty"),)
    if stripped.upper() == "PONG":
        return (Control("pong"),)
    try:
        document = json.loads(stripped, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise FrameRefused("not-json", str(error)[:120]) from None
    if not isinstance(document, dict):
        raise FrameRefused("not-an-object", type(document).__name__)
    if "topic" not in document:
        return (_control(document),)
    kind_of_frame = document.get("type")
    if kind_of_frame not in ("update", "subscribe"):
        raise FrameRefused("unknown-type", str(kind_of_frame)[:40])
    payload = document.get("payload")
    if not isinstance(payload, dict):
        raise FrameRefused("payload", "missing or not an object")
    asset, kind = _series(document["topic"], payload)
    relay_ns = _stamp_ns(document.get("timestamp"), "relay stamp", None)
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
    if not matches or asset not in _ASSETS:
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
    observed_ns = _stamp_ns(point.get("timestamp"), "observation stamp", recv_ns)
    return Tick(
        asset=asset,
        kind=kind,
        route=ROUTE,
        observed_ns=observed_ns,
        e18=str(_value(kind, point)),
        relay_ns=relay_ns,
        backfill=backfill,
    )


def _value(kind: SeriesKind, point: Mapping[str, object]) -> int:
    shown, exact = point.get("value"), point.get("full_accuracy_value")
    try:
        display = None if shown is None else price18_from_plain(_number_text(shown))
        if exact is None:
            value = display
        elif not isinstance(exact, str):
            raise FrameRefused("value", f"the exact value is {type(exact).__name__}, not text")
        else:
            value = price18_from_plain(exact) if kind == "binance" else price18_from_e18(exact)
    except NotANumber as error:
        raise FrameRefused("value", str(error)) from None
    if value is None:
        raise FrameRefused("value", "no value at all")
    if not 0 < value < 10**9 * E18:
        raise FrameRefused("value", f"{value} x 1e-18 is no price of these assets")
    if display is not None and abs(display - value) * PARTS_PER_BAND > value:
        raise FrameRefused("unit", f"value {shown} and exact value {str(exact)[:40]} disagree")
    return value


def _number_text(shown: object) -> str:
    """The display value's own digits; a JSON number, or text as some relays send it."""
    if isinstance(shown, bool) or not isinstance(shown, int | Decimal | str):
        raise NotANumber(f"value is {type(shown).__name__}")
    try:
        # Not the "f" format: written out, an exponent of a few characters fills the memory.
        return str(Decimal(shown))
    except InvalidOperation:
        raise NotANumber(f"value {str(shown)[:40]!r} is no number") from None


def _stamp_ns(stamp: object, name: str, recv_ns: int | None) -> int:
    if isinstance(stamp, bool) or not isinstance(stamp, int):
        raise FrameRefused("stamp", f"{name} is {type(stamp).__name__}, not a whole number of milliseconds")
    stamp_ns = stamp * MILLISECOND
    if not EARLIEST_NS < stamp_ns < 2**63:
        raise FrameRefused("stamp", f"{name} {stamp} is not milliseconds of this time")
    if recv_ns is not None and stamp_ns > recv_ns + FUTURE_NS:
        raise FrameRefused(
            "future", f"{name} {stamp} is ahead of our clock by {(stamp_ns - recv_ns) // SECOND} s"
        )
    return stamp_ns
