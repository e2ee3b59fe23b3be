"""Three public exchange sockets' languages: what their frames look like and how they read a subscription.

Pure text to text, in the shapes of the real sockets. Knows no connection and sends nothing.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

ExchangeName = Literal["coinbase", "kraken", "binance"]
Wish = tuple[str, str]
"""Channel and asset: ``("ticker", "btc")``."""

HEARTBEAT = "heartbeat"
"""The channel that shows life and carries no price."""
_E18 = 10**18
_PPM = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Print:
    """One trade of one asset."""

    asset: str
    number: int
    at_ms: int
    value_e18: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The frames that answer a request, and what its sender gets from now on."""

    frames: tuple[str, ...]
    wishes: tuple[Wish, ...] = ()


@dataclass(frozen=True, slots=True)
class Dialect:
    """One exchange's language; both tables are by the channel of a wish."""

    name: ExchangeName
    off_ppm: int
    """How far its prices are from those of the script: no two exchanges agree."""
    read: Callable[[str, Collection[str], int], Answer]
    """A request, the assets that are traded, and now in milliseconds."""
    live: Mapping[str, Callable[[Print], str]]
    """What each trade makes it send."""
    past: Mapping[str, Callable[[Sequence[Print]], str]] = field(default_factory=dict)
    """What follows the answer: of the last trades of one asset, oldest first and at least one."""
    greeting: tuple[str, ...] = ()

    def value(self, value_e18: int) -> int:
        """The exchange's own price."""
        return value_e18 + value_e18 * self.off_ppm // _PPM


def _read_coinbase(text: str, assets: Collection[str], _now_ms: int) -> Answer:
    try:
        message = json.loads(text)
        products, channels = list(message["product_ids"]), list(message["channels"])
        asked = message["type"] == "subscribe" and bool(products) and {*channels} <= {"ticker", HEARTBEAT}
    except (ValueError, KeyError, TypeError):
        asked = False
    if not asked:
        return Answer((_compact({"type": "error", "message": "Malformed JSON", "reason": ""}),))
    found = {product: _asset_of(product, "-USD", assets) for product in products}
    for product, asset in found.items():
        if asset is None:
            reason = f"{product} is not a valid product"
            return Answer((_compact({"type": "error", "message": "Failed to subscribe", "reason": reason}),))
    made = [{"name": name, "product_ids": products, "account_ids": None} for name in channels]
    wishes = tuple((name, asset) for name in channels for asset in found.values() if asset is not None)
    return Answer((_compact({"type": "subscriptions", "channels": made}),), wishes)


def _coinbase_ticker(trade: Print) -> str:
    price = _price(trade.value_e18)
    return _compact(
        {
            "type": "ticker",
            "sequence": 40_000_000_000 + trade.number * 7,
            "product_id": f"{trade.asset.upper()}-USD",
            "price": price,
            "open_24h": price,
            "volume_24h": "8000.5",
            "low_24h": price,
            "high_24h": price,
            "volume_30d": "240000.25",
            "best_bid": price,
            "best_bid_size": "0.5",
            "best_ask": price,
            "best_ask_size": "0.25",
            "side": _side(trade),
            "time": _iso(trade.at_ms),
            "trade_id": 900_000_000 + trade.number,
            "last_size": _size(trade),
        }
    )


def _coinbase_heartbeat(trade: Print) -> str:
    return _compact(
        {
            "type": "heartbeat",
            "last_trade_id": 900_000_000 + trade.number,
            "product_id": f"{trade.asset.upper()}-USD",
            "sequence": 40_000_000_001 + trade.number * 7,
            "time": _iso(trade.at_ms + 1),
        }
    )


def _read_kraken(text: str, assets: Collection[str], now_ms: int) -> Answer:
    times = {"time_in": _iso(now_ms), "time_out": _iso(now_ms)}
    try:
        message = json.loads(text)
        if message["method"] == "ping":
            return Answer((_compact({"method": "pong"} | times),))
        params = message["params"]
        symbols = list(params["symbol"])
        asked = message["method"] == "subscribe" and params["channel"] == "trade"
        snapshot = params.get("snapshot", False) is True
    except (ValueError, KeyError, TypeError, AttributeError):
        asked = False
    if not asked:
        return Answer((_compact({"error": "Malformed request", "success": False} | times),))
    frames: list[str] = []
    wishes: list[Wish] = []
    for symbol in symbols:
        asset = _asset_of(symbol, "/USD", assets)
        if asset is None:
            told = {"error": f"Currency pair not supported {symbol}", "method": "subscribe", "success": False}
            frames.append(_compact(told | {"symbol": symbol} | times))
            continue
        result = {"channel": "trade", "snapshot": snapshot, "symbol": symbol}
        frames.append(_compact({"method": "subscribe", "result": result, "success": True} | times))
        wishes += [("trade", asset), *([("snapshot", asset)] if snapshot else [])]
    return Answer(tuple(frames), tuple(wishes))


def _kraken_frame(kind: str, trades: Sequence[Print]) -> str:
    data = [
        {
            "symbol": f"{trade.asset.upper()}/USD",
            "side": _side(trade),
            "price": float(_price(trade.value_e18)),
            "qty": float(_size(trade)),
            "ord_type": "limit",
            "trade_id": 100_000_000 + trade.number,
            "timestamp": _iso(trade.at_ms),
        }
        for trade in trades
    ]
    return _compact({"channel": "trade", "type": kind, "data": data})


def _read_binance(text: str, assets: Collection[str], _now_ms: int) -> Answer:
    """Streams of symbols that do not exist are accepted and stay silent."""
    try:
        message = json.loads(text)
        streams, number = list(message["params"]), message["id"]
        asked = message["method"] == "SUBSCRIBE"
    except (ValueError, KeyError, TypeError):
        asked = False
    if not asked:
        return Answer((_compact({"error": {"code": 2, "msg": "Invalid request: unknown method"}}),))
    found = [_asset_of(stream, "usdt@trade", assets) for stream in streams]
    wishes = tuple(("trade", asset) for asset in found if asset is not None)
    return Answer((_compact({"result": None, "id": number}),), wishes)


def _binance_trade(trade: Print) -> str:
    whole, _, decimals = _price(trade.value_e18).partition(".")
    return _compact(
        {
            "e": "trade",
            "E": trade.at_ms + 1,
            "s": f"{trade.asset.upper()}USDT",
            "t": 6_000_000_000 + trade.number,
            "p": f"{whole}.{decimals:0<8}",
            "q": _size(trade),
            "T": trade.at_ms,
            "m": trade.number % 2 == 0,
            "M": True,
        }
    )


def _asset_of(symbol: object, suffix: str, assets: Collection[str]) -> str | None:
    """The asset of a symbol with this suffix, in its exact spelling."""
    if not isinstance(symbol, str) or not symbol.endswith(suffix):
        return None
    base = symbol.removesuffix(suffix)
    upper = suffix.upper() == suffix
    return (
        base.lower() if base == (base.upper() if upper else base.lower()) and base.lower() in assets else None
    )


def _price(value_e18: int) -> str:
    """Cents for what costs hundreds, millionths for what is cheap."""
    units, rest = divmod(value_e18, _E18)
    return f"{units}.{rest // 10**16:02d}" if units >= 100 else f"{units}.{rest // 10**12:06d}"


def _side(trade: Print) -> str:
    return "buy" if trade.number % 2 else "sell"


def _size(trade: Print) -> str:
    return f"0.{trade.number % 89 + 10:02d}000000"


def _iso(at_ms: int) -> str:
    return f"{_EPOCH + timedelta(milliseconds=at_ms):%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}000Z"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


_STATUS = {
    "version": "2.0.10",
    "system": "online",
    "api_version": "v2",
    "connection_id": 15_000_000_000_000_000_001,
}

DIALECTS = (
    Dialect(
        name="coinbase",
        off_ppm=2,
        read=_read_coinbase,
        live={"ticker": _coinbase_ticker, HEARTBEAT: _coinbase_heartbeat},
        past={"ticker": lambda trades: _coinbase_ticker(trades[-1])},
    ),
    Dialect(
        name="kraken",
        off_ppm=-3,
        read=_read_kraken,
        live={"trade": lambda trade: _kraken_frame("update", [trade])},
        past={"snapshot": lambda trades: _kraken_frame("snapshot", trades)},
        greeting=(_compact({"channel": "status", "type": "update", "data": [_STATUS]}),),
    ),
    Dialect(name="binance", off_ppm=0, read=_read_binance, live={"trade": _binance_trade}),
)
