"""Public exchange trades to ticks: Coinbase, Kraken and Binance, each a price family of its own.

Parses, thins and plans; judges nothing. Needs no key. Facts of the wire: Coinbase and Binance write a price
as text, Kraken as a JSON number; Kraken's ticker has not always had a time, its trades have; Coinbase answers
a subscription with the last trade, however old; Binance quotes in USDT, the other two in dollars.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import msgspec

from common.errors import FrameRefused
from common.feeds.oracle.price_fields import (
    EARLIEST_NS,
    FUTURE_NS,
    Control,
    exact_value,
    json_object,
    stamp_ns,
)
from common.feeds.oracle.route import Disabled, Item, Line, Route, series_key
from common.messages import RouteName, Tick
from common.runtime.clock import Clock
from common.runtime.config import Config
from common.runtime.config_sections import Exchange
from common.runtime.paths import Paths
from common.units import MILLISECOND, SECOND, ceil_div

ROUTE: RouteName = "exchange"
MAX_FRAME_BYTES = 1 << 20
APART_NS = 200 * MILLISECOND
REFUSED_WAIT_S = 300.0
"""A refusal of this place or this client (403, 451) does not pass in seconds."""

_LISTED = ("btc", "eth", "sol", "xrp")
"""What all three list; further assets are added here when a market needs them."""
_ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class Trade(msgspec.Struct, frozen=True):
    """One trade as an exchange tells it."""

    asset: str
    number: int
    """The exchange's own; rises from trade to trade of one asset."""
    observed_ns: int
    value: int
    """1e-18 dollars, or USDT."""
    past: bool = False
    """From a snapshot of what happened before the subscription."""


Assets = Mapping[str, str]
"""The exchange's symbol to our asset, of what was subscribed to."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One exchange's language."""

    name: Exchange
    symbol: Callable[[str], str]
    """Our asset to its symbol."""
    subscribe: Callable[[list[str]], dict[str, object]]
    """Its symbols to the message that asks for their trades."""
    read: Callable[[Mapping[str, object], Assets, int], list[Trade | Control]]
    """One frame, with our clock at receipt (ns); raises FrameRefused."""


class Thinning:
    """Which trades become ticks: one per asset and 200 ms of our receive time, and both sides of a second.

    A reader asks for the last trade stamped at or before a whole second. So the trades after one whole second
    up to and including the next belong together, and a trade held back is not lost: it is given out before
    the first trade of a later second, which is given out too. Within a second a newer trade takes the place
    of the one held back. Whatever else is heard gives out what has waited for 200 ms, so that a market which
    falls silent does not keep its last price to itself. A trade stamped before its predecessor is given out
    at once and displaces nothing. What waits when a connection ends is lost with it.
    """

    def __init__(self) -> None:
        self._newest_ns: dict[str, int] = {}
        self._given_ns: dict[str, int] = {}
        self._waiting: dict[str, Trade] = {}

    def take(self, trade: Trade, recv_ns: int) -> list[Trade]:
        """The trades to give out now that this one came, in their order."""
        newest_ns = self._newest_ns.get(trade.asset, 0)
        if trade.observed_ns < newest_ns:
            return [trade]
        self._newest_ns[trade.asset] = trade.observed_ns
        waiting = self._waiting.pop(trade.asset, None)
        later_second = ceil_div(trade.observed_ns, SECOND) > ceil_div(newest_ns, SECOND)
        if not later_second and not self._due(trade.asset, recv_ns):
            self._waiting[trade.asset] = trade
            return []
        self._given_ns[trade.asset] = recv_ns
        return [waiting, trade] if later_second and waiting is not None else [trade]

    def release(self, recv_ns: int) -> list[Trade]:
        """The trades that have waited long enough."""
        due = [asset for asset in self._waiting if self._due(asset, recv_ns)]
        self._given_ns |= dict.fromkeys(due, recv_ns)
        return [self._waiting.pop(asset) for asset in due]

    def _due(self, asset: str, recv_ns: int) -> bool:
        # A clock set back must not hold prices until it has caught up.
        return not 0 <= recv_ns - self._given_ns.get(asset, 0) < APART_NS


class Tape:
    """Our half of one connection to one exchange; implements Conversation."""

    def __init__(self, dialect: Dialect, assets: Iterable[str]) -> None:
        self._dialect = dialect
        self._assets = {dialect.symbol(asset): asset for asset in assets}
        self._numbers: dict[str, int] = {}
        self._thinning = Thinning()

    def opening(self) -> list[str]:
        """Ask for the trades of every asset."""
        return [json.dumps(self._dialect.subscribe(list(self._assets)), separators=(",", ":"))]

    def hear(self, frame: str | bytes, recv_ns: int) -> tuple[list[Item], list[str]]:
        """The ticks and notices of one frame; raises FrameRefused when it is unusable."""
        items: list[Item] = []
        for said in self._read(frame, recv_ns):
            if isinstance(said, Control):
                items.append(said)
            elif said.past:
                self._numbers[said.asset] = max(said.number, self._numbers.get(said.asset, -1))
                items.append(self._tick(said))
            elif said.number <= self._numbers.get(said.asset, -1):
                items.append(Control("other", f"trade {said.number} of {said.asset} again, or out of order"))
            else:
                self._numbers[said.asset] = said.number
                items += map(self._tick, self._thinning.take(said, recv_ns))
        items += map(self._tick, self._thinning.release(recv_ns))
        return items, []

    def _read(self, frame: str | bytes, recv_ns: int) -> list[Trade | Control]:
        document = json_object(frame, MAX_FRAME_BYTES)
        if document is None:
            return [Control("empty")]
        return self._dialect.read(document, self._assets, recv_ns)

    def _tick(self, trade: Trade) -> Tick:
        return Tick(
            asset=trade.asset,
            kind=self._dialect.name,
            route=ROUTE,
            observed_ns=trade.observed_ns,
            e18=str(trade.value),
            backfill=trade.past,
        )


def _read_coinbase(frame: Mapping[str, object], assets: Assets, recv_ns: int) -> list[Trade | Control]:
    """Source: the ticker channel of the Coinbase Exchange feed, which says that unknown types may come."""
    kind = frame.get("type")
    if kind == "ticker":
        return [
            Trade(
                asset=_asset(frame.get("product_id"), assets),
                number=_number(frame.get("sequence"), "sequence"),
                observed_ns=_instant_ns(frame.get("time"), recv_ns),
                value=exact_value(frame.get("price"), None, "plain"),
            )
        ]
    if kind == "heartbeat":
        return [Control("pong", "heartbeat")]
    if kind == "subscriptions":
        return [Control("ack", "subscribed")]
    if kind == "error":
        return [Control("error", _said(frame, "message", "reason"))]
    if isinstance(kind, str):
        return [Control("other", kind[:60])]
    raise FrameRefused("unknown-type", f"{kind!s:.40}")


def _read_kraken(frame: Mapping[str, object], assets: Assets, recv_ns: int) -> list[Trade | Control]:
    """Source: the trade channel of Kraken's WebSocket v2; a snapshot has the last 50 trades of a symbol."""
    if frame.get("success") is False:
        return [Control("error", _said(frame, "symbol", "error"))]
    if "method" in frame:
        return [Control("ack", _said(frame, "method"))]
    channel, kind, data = frame.get("channel"), frame.get("type"), frame.get("data")
    if channel == "heartbeat":
        return [Control("pong", "heartbeat")]
    if channel == "status":
        return [Control("other", f"status {data!s:.200}")]
    if channel != "trade":
        raise FrameRefused("unknown-channel", f"{channel!s:.40}")
    if kind not in ("snapshot", "update"):
        raise FrameRefused("unknown-type", f"{kind!s:.40}")
    if not isinstance(data, list):
        raise FrameRefused("payload", "trades are not a list")
    trades = [_kraken_trade(entry, assets, recv_ns, past=kind == "snapshot") for entry in data]
    return list(_last_of_each_second(trades))


def _kraken_trade(entry: object, assets: Assets, recv_ns: int, *, past: bool) -> Trade:
    if not isinstance(entry, dict):
        raise FrameRefused("payload", f"a trade is {type(entry).__name__}, not an object")
    price = entry.get("price")
    if isinstance(price, str):
        raise FrameRefused("value", "the price is text, not a number")
    return Trade(
        asset=_asset(entry.get("symbol"), assets),
        number=_number(entry.get("trade_id"), "trade_id"),
        observed_ns=_instant_ns(entry.get("timestamp"), recv_ns),
        value=exact_value(None, price, "plain"),
        past=past,
    )


def _last_of_each_second(trades: list[Trade]) -> Iterable[Trade]:
    """Of one frame only what says the price at a whole second or now, oldest first."""
    ordered = sorted(trades, key=lambda trade: (trade.observed_ns, trade.number))
    return {(trade.asset, ceil_div(trade.observed_ns, SECOND)): trade for trade in ordered}.values()


def _read_binance(frame: Mapping[str, object], assets: Assets, recv_ns: int) -> list[Trade | Control]:
    """Source: the raw trade stream of Binance spot, in milliseconds as it is by default."""
    kind = frame.get("e")
    if kind == "trade":
        return [
            Trade(
                asset=_asset(frame.get("s"), assets),
                number=_number(frame.get("t"), "t"),
                observed_ns=stamp_ns(frame.get("T"), "trade time", recv_ns),
                value=exact_value(frame.get("p"), None, "plain"),
            )
        ]
    if isinstance(kind, str):
        return [Control("other", kind[:60])]
    error = frame.get("error", frame)
    if isinstance(error, dict) and "msg" in error:
        return [Control("error", _said(error, "code", "msg"))]
    if "result" in frame:
        return [Control("ack", "subscribed")]
    raise FrameRefused("unknown-type", ", ".join(sorted(map(str, frame)))[:120])


DIALECTS: dict[Exchange, Dialect] = {
    "coinbase": Dialect(
        name="coinbase",
        symbol=lambda asset: f"{asset.upper()}-USD",
        # The heartbeat comes each second even where nobody trades.
        subscribe=lambda symbols: (
            {"type": "subscribe", "product_ids": symbols, "channels": ["ticker", "heartbeat"]}
        ),
        read=_read_coinbase,
    ),
    "kraken": Dialect(
        name="kraken",
        symbol=lambda asset: f"{asset.upper()}/USD",
        subscribe=lambda symbols: (
            {"method": "subscribe", "params": {"channel": "trade", "symbol": symbols, "snapshot": True}}
        ),
        read=_read_kraken,
    ),
    "binance": Dialect(
        name="binance",
        symbol=lambda asset: f"{asset.upper()}USDT",
        subscribe=lambda symbols: (
            {"method": "SUBSCRIBE", "params": [f"{symbol.lower()}@trade" for symbol in symbols], "id": 1}
        ),
        read=_read_binance,
    ),
}


def plan(config: Config, _paths: Paths, _clock: Clock) -> Route | Disabled:
    """One line for each configured exchange; a line that is refused leaves the others alone."""
    names = config.exchanges.names
    if not names:
        return Disabled("no exchange is named: list coinbase, kraken or binance in exchanges.names")
    assets = [asset for asset in config.markets.assets if asset in _LISTED]
    if not assets:
        return Disabled(
            f"no exchange lists {', '.join(config.markets.assets) or 'anything'}: see markets.assets"
        )
    urls: dict[Exchange, str] = {
        "coinbase": config.exchanges.coinbase_url,
        "kraken": config.exchanges.kraken_url,
        "binance": config.exchanges.binance_url,
    }
    lines = tuple(
        Line(
            name=name,
            url=urls[name],
            converse=partial(Tape, DIALECTS[name], assets),
            # The busiest asset answers for the line: others may well not trade for half a minute.
            watched=(series_key(name, assets[0]),),
            max_bytes=MAX_FRAME_BYTES,
            on_refusal=_wait_when_refused,
        )
        for name in names
    )
    series = tuple(series_key(name, asset) for name in names for asset in assets)
    return Route(ROUTE, lines, series)


def _wait_when_refused(code: int) -> float:
    return REFUSED_WAIT_S if code in (403, 451) else 0.0


def _asset(symbol: object, assets: Assets) -> str:
    if not isinstance(symbol, str):
        raise FrameRefused("symbol", "missing or not text")
    asset = assets.get(symbol)
    if asset is None:
        raise FrameRefused("unknown-symbol", symbol[:40])
    return asset


def _number(number: object, name: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise FrameRefused("number", f"{name} is {number!s:.30}, not a whole number from 0 on")
    return number


def _instant_ns(text: object, recv_ns: int) -> int:
    """An instant from UTC text with up to nine decimals: ``2027-01-15T08:00:00.123456Z``."""
    read = _ISO.fullmatch(text) if isinstance(text, str) else None
    if read is None:
        raise FrameRefused("stamp", f"{text!s:.40} is no UTC time")
    try:
        whole = datetime.fromisoformat(f"{read[1]}+00:00") - _EPOCH
    except ValueError as error:
        raise FrameRefused("stamp", f"{text!s:.40}: {error}") from None
    instant_ns = whole // timedelta(seconds=1) * SECOND + int((read[2] or "").ljust(9, "0"))
    if not EARLIEST_NS < instant_ns < 2**63:
        raise FrameRefused("stamp", f"{text!s:.40} is not of this time")
    if instant_ns > recv_ns + FUTURE_NS:
        raise FrameRefused(
            "future", f"{text!s:.40} is ahead of our clock by {(instant_ns - recv_ns) // SECOND} s"
        )
    return instant_ns


def _said(frame: Mapping[str, object], *names: str) -> str:
    """The named fields of a notice, in one short line."""
    return " ".join(str(frame[name]) for name in names if frame.get(name) is not None)[:300]
