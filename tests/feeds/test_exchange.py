"""Exchange trades: the three languages are read strictly, and thinning never loses the price of a second."""

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import FrameRefused
from common.feeds.oracle import exchange
from common.feeds.oracle.exchange import APART_NS, DIALECTS, Tape, Thinning, Trade, plan
from common.feeds.oracle.price_fields import Control
from common.feeds.oracle.route import Conversation, Disabled, Item, Line, Route
from common.messages import Tick
from common.runtime.clock import ManualClock
from common.runtime.config import Config, load_config
from common.runtime.config_sections import Exchange as ExchangeName
from common.runtime.paths import make_paths
from common.units import E18, MILLISECOND, SECOND
from tests.feeds.wire import NOW_MS, NOW_NS, mutilated, text

ASSETS = ("btc", "eth", "sol", "xrp")
NAMES: tuple[ExchangeName, ...] = get_args(ExchangeName)


def without_nones(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def iso(ms: int = 0) -> str:
    """NOW_MS is 2026-09-21T14:13:20 in UTC."""
    minute, second = divmod(20_000 + ms, 60_000)
    return f"2026-09-21T14:{13 + minute:02d}:{second // 1000:02d}.{second % 1000:03d}000Z"


def coinbase(number: int = 7, ms: int = 0, price: object = "81234.56", **more: Any) -> dict[str, Any]:
    """A ticker frame; a key given as None is left out."""
    frame = {
        "type": "ticker",
        "sequence": number,
        "product_id": "BTC-USD",
        "price": price,
        "open_24h": "80000",
        "best_bid": "81234.55",
        "best_ask": "81234.57",
        "side": "buy",
        "time": iso(ms),
        "trade_id": 100 + number,
        "last_size": "0.01",
    }
    return without_nones(frame | more)


def kraken_trade(number: int = 7, ms: int = 0, price: object = 81234.5, **more: Any) -> dict[str, Any]:
    trade = {
        "symbol": "BTC/USD",
        "side": "sell",
        "price": price,
        "qty": 0.0123,
        "ord_type": "market",
        "trade_id": number,
        "timestamp": iso(ms),
    }
    return without_nones(trade | more)


def kraken(*trades: object, kind: str = "update", **more: Any) -> dict[str, Any]:
    return without_nones({"channel": "trade", "type": kind, "data": list(trades or (kraken_trade(),))} | more)


def binance(number: int = 7, ms: int = 0, price: str = "81234.56000000", **more: Any) -> dict[str, Any]:
    frame = {
        "e": "trade",
        "E": NOW_MS + ms + 1,
        "s": "BTCUSDT",
        "t": number,
        "p": price,
        "q": "0.00100000",
        "T": NOW_MS + ms,
        "m": True,
        "M": True,
    }
    return without_nones(frame | more)


def tape(name: ExchangeName) -> Tape:
    return Tape(DIALECTS[name], ASSETS)


def hear(conversation: Tape, frame: object, recv_ns: int = NOW_NS) -> list[Item]:
    said = frame if isinstance(frame, str | bytes) else text(frame)
    items, answers = conversation.hear(said, recv_ns)
    assert answers == []
    return items


def ticks_of(name: ExchangeName, frame: object, recv_ns: int = NOW_NS) -> list[Tick]:
    items = hear(tape(name), frame, recv_ns)
    assert all(isinstance(item, Tick) for item in items), items
    return [item for item in items if isinstance(item, Tick)]


def control_of(name: ExchangeName, frame: object) -> Control:
    (item,) = hear(tape(name), frame)
    assert isinstance(item, Control)
    return item


def reason_of(name: ExchangeName, frame: object, recv_ns: int = NOW_NS) -> str:
    with pytest.raises(FrameRefused) as refused:
        hear(tape(name), frame, recv_ns)
    return refused.value.reason


# --- the three languages -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "frame", "e18"),
    [
        ("coinbase", coinbase(), 8_123_456 * E18 // 100),
        ("kraken", kraken(), 812_345 * E18 // 10),
        ("binance", binance(), 8_123_456 * E18 // 100),
    ],
)
def test_a_trade_is_a_tick_of_its_exchange(name: ExchangeName, frame: object, e18: int) -> None:
    assert ticks_of(name, frame) == [
        Tick(asset="btc", kind=name, route="exchange", observed_ns=NOW_NS, e18=str(e18))
    ]


@pytest.mark.parametrize("asset", ASSETS)
def test_every_asset_has_its_symbols(asset: str) -> None:
    big = asset.upper()
    frames: dict[ExchangeName, Any] = {
        "coinbase": coinbase(product_id=f"{big}-USD"),
        "kraken": kraken(kraken_trade(symbol=f"{big}/USD")),
        "binance": binance(s=f"{big}USDT"),
    }
    for name, frame in frames.items():
        (tick,) = ticks_of(name, frame)
        assert tick.asset == asset


def test_the_opening_asks_for_the_trades_of_every_asset() -> None:
    said = {name: [json.loads(message) for message in tape(name).opening()] for name in NAMES}
    assert said == {
        "coinbase": [
            {
                "type": "subscribe",
                "product_ids": ["BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD"],
                "channels": ["ticker", "heartbeat"],
            }
        ],
        "kraken": [
            {
                "method": "subscribe",
                "params": {
                    "channel": "trade",
                    "symbol": ["BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD"],
                    "snapshot": True,
                },
            }
        ],
        "binance": [
            {
                "method": "SUBSCRIBE",
                "params": ["btcusdt@trade", "ethusdt@trade", "solusdt@trade", "xrpusdt@trade"],
                "id": 1,
            }
        ],
    }


def test_a_time_has_up_to_nine_decimals() -> None:
    for time, ns in (
        ("2026-09-21T14:13:20Z", 0),
        ("2026-09-21T14:13:20.5Z", SECOND // 2),
        ("2026-09-21T14:13:20.000001Z", 1000),
        ("2026-09-21T14:13:20.000000001Z", 1),
    ):
        (tick,) = ticks_of("coinbase", coinbase(time=time))
        assert tick.observed_ns == NOW_NS + ns


def test_a_kraken_price_keeps_its_own_digits() -> None:
    """Read as a binary float it would end in other digits."""
    frame = text(kraken(kraken_trade(price=5))).replace('"price": 5', '"price": 2.1000000000000000001')
    (tick,) = ticks_of("kraken", frame)
    assert tick.value == 2_100_000_000_000_000_000
    assert ticks_of("kraken", kraken(kraken_trade(price=5)))[0].value == 5 * E18


def test_trades_of_one_frame_are_told_in_their_order() -> None:
    frame = kraken(
        kraken_trade(9, 1500, 3), kraken_trade(8, 900, 2), kraken_trade(2, 950, 9, symbol="ETH/USD")
    )
    told = [(tick.asset, tick.value // E18) for tick in ticks_of("kraken", frame)]
    assert told == [("btc", 2), ("eth", 9), ("btc", 3)]


def test_of_one_sweep_the_last_trade_is_told_at_once() -> None:
    sweep = kraken(kraken_trade(7, 10, 100), kraken_trade(9, 10, 102), kraken_trade(8, 10, 101))
    assert [tick.value // E18 for tick in ticks_of("kraken", sweep)] == [102]


def test_a_snapshot_is_backfill_and_says_the_price_of_each_second() -> None:
    frame = kraken(
        kraken_trade(4, -2500, 4),
        kraken_trade(5, -1800, 5),
        kraken_trade(7, -100, 7),
        kraken_trade(6, -1000, 6),
        kraken_trade(8, 0, 8),
        kind="snapshot",
    )
    conversation = tape("kraken")
    ticks = [item for item in hear(conversation, frame) if isinstance(item, Tick)]
    assert [(tick.value // E18, tick.backfill) for tick in ticks] == [(4, True), (6, True), (8, True)]
    (again,) = hear(conversation, kraken(kraken_trade(8, 0, 8)))
    assert isinstance(again, Control), "a trade of the snapshot is not told twice"
    (tick,) = hear(conversation, kraken(kraken_trade(9, 0, 9)))
    assert isinstance(tick, Tick)
    assert not tick.backfill


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("coinbase", coinbase(7, 0), coinbase(7, 1500, "1.00")),
        ("coinbase", coinbase(7, 0), coinbase(6, 1500, "1.00")),
        ("kraken", kraken(kraken_trade(7)), kraken(kraken_trade(7, 1500, 1))),
        ("binance", binance(7, 0), binance(6, 1500, "1.00")),
    ],
)
def test_a_trade_that_comes_again_moves_no_price(name: ExchangeName, first: object, second: object) -> None:
    conversation = tape(name)
    assert len(hear(conversation, first)) == 1
    (item,) = hear(conversation, second, NOW_NS + 2 * SECOND)
    assert isinstance(item, Control)
    assert (item.kind, "again" in item.text) == ("other", True)


def test_numbers_are_those_of_one_asset() -> None:
    conversation = tape("binance")
    hear(conversation, binance(900))
    (item,) = hear(conversation, binance(3, s="ETHUSDT"))
    assert isinstance(item, Tick)


@pytest.mark.parametrize(
    ("name", "frame", "kind", "said"),
    [
        ("coinbase", {"type": "subscriptions", "channels": [{"name": "ticker"}]}, "ack", ""),
        ("coinbase", {"type": "heartbeat", "product_id": "BTC-USD", "sequence": 1}, "pong", "heartbeat"),
        (
            "coinbase",
            {"type": "error", "message": "Failed to subscribe", "reason": "X-USD is not a valid product"},
            "error",
            "Failed to subscribe X-USD",
        ),
        ("coinbase", {"type": "last_match"}, "other", "last_match"),
        ("kraken", {"channel": "heartbeat"}, "pong", "heartbeat"),
        (
            "kraken",
            {"channel": "status", "type": "update", "data": [{"system": "maintenance"}]},
            "other",
            "maintenance",
        ),
        ("kraken", {"method": "subscribe", "success": True, "result": {"symbol": "BTC/USD"}}, "ack", ""),
        (
            "kraken",
            {"method": "subscribe", "success": False, "symbol": "X/USD", "error": "not supported"},
            "error",
            "X/USD not supported",
        ),
        ("kraken", {"method": "pong"}, "ack", "pong"),
        ("kraken", {"error": "Malformed request", "success": False}, "error", "Malformed request"),
        ("binance", {"result": None, "id": 1}, "ack", ""),
        ("binance", {"error": {"code": 2, "msg": "Invalid request"}, "id": 1}, "error", "2 Invalid"),
        ("binance", {"code": 3, "msg": "Invalid JSON"}, "error", "3 Invalid JSON"),
        ("binance", {"e": "serverShutdown", "E": NOW_MS}, "other", "serverShutdown"),
        ("binance", "", "empty", ""),
        ("kraken", b" \n", "empty", ""),
    ],
)
def test_what_is_no_price_is_told_apart(name: ExchangeName, frame: object, kind: str, said: str) -> None:
    control = control_of(name, frame)
    assert control.kind == kind
    assert said in control.text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("{", "not-json"),
        ("[" * 100_000, "not-json"),
        ("9" * 5000, "not-json"),
        (b"\xff\xfe", "not-json"),
        ("[]", "not-an-object"),
        ("NaN", "not-an-object"),
        (" " * (exchange.MAX_FRAME_BYTES + 1), "oversized"),
    ],
)
def test_what_is_no_frame_is_refused(name: ExchangeName, frame: object, reason: str) -> None:
    assert reason_of(name, frame) == reason


@pytest.mark.parametrize(
    ("name", "frame", "reason"),
    [
        ("coinbase", {}, "unknown-type"),
        ("coinbase", coinbase(type=["ticker"]), "unknown-type"),
        ("coinbase", coinbase(product_id=None), "symbol"),
        ("coinbase", coinbase(product_id="btc-usd"), "unknown-symbol"),
        ("coinbase", coinbase(product_id="BTC-EUR"), "unknown-symbol"),
        ("coinbase", coinbase(sequence=None), "number"),
        ("coinbase", coinbase(sequence=True), "number"),
        ("coinbase", coinbase(sequence="7"), "number"),
        ("coinbase", coinbase(sequence=-1), "number"),
        ("coinbase", coinbase(time=None), "stamp"),
        ("coinbase", coinbase(time=NOW_MS), "stamp"),
        ("coinbase", coinbase(time="2026-09-21T14:13:20.5"), "stamp"),
        ("coinbase", coinbase(time="2026-09-21T14:13:20+02:00"), "stamp"),
        ("coinbase", coinbase(time="2026-13-21T14:13:20Z"), "stamp"),
        ("coinbase", coinbase(time="2026-09-21T14:13:20.0000000001Z"), "stamp"),
        ("coinbase", coinbase(time="2026-09-21T14:13:20.৫Z"), "stamp"),
        ("coinbase", coinbase(time="1999-09-21T14:13:20Z"), "stamp"),
        ("coinbase", coinbase(time="9999-09-21T14:13:20Z"), "stamp"),
        ("coinbase", coinbase(time=iso(5001)), "future"),
        ("coinbase", coinbase(price=None), "value"),
        ("coinbase", coinbase(price=81234.56), "value"),
        ("coinbase", coinbase(price="0"), "value"),
        ("coinbase", coinbase(price="-5"), "value"),
        ("coinbase", coinbase(price="nan"), "value"),
        ("coinbase", coinbase(price="1e999999999"), "value"),
        ("coinbase", coinbase(price="1e10"), "value"),
        ("kraken", {}, "unknown-channel"),
        ("kraken", kraken(channel="ticker"), "unknown-channel"),
        ("kraken", kraken(channel=["trade"]), "unknown-channel"),
        ("kraken", kraken(kind="delta"), "unknown-type"),
        ("kraken", kraken(type=["update"]), "unknown-type"),
        ("kraken", kraken(data={}), "payload"),
        ("kraken", kraken(1), "payload"),
        ("kraken", kraken(kraken_trade(symbol="XBT/USD")), "unknown-symbol"),
        ("kraken", kraken(kraken_trade(trade_id=1.5)), "number"),
        ("kraken", kraken(kraken_trade(timestamp="1790000000")), "stamp"),
        ("kraken", kraken(kraken_trade(price="81234.5")), "value"),
        ("kraken", kraken(kraken_trade(price=None)), "value"),
        ("kraken", kraken(kraken_trade(price=True)), "value"),
        ("kraken", kraken(kraken_trade(price=float("nan"))), "value"),
        ("kraken", kraken(kraken_trade(price=-1.5)), "value"),
        ("kraken", kraken(kraken_trade(), kraken_trade(8, price=0)), "value"),
        ("binance", {}, "unknown-type"),
        ("binance", {"stream": "btcusdt@trade", "data": binance()}, "unknown-type"),
        ("binance", binance(e=1), "unknown-type"),
        ("binance", binance(s="btcusdt"), "unknown-symbol"),
        ("binance", binance(s="BTCUSDC"), "unknown-symbol"),
        ("binance", binance(t=None), "number"),
        ("binance", binance(T=NOW_MS * 1000), "stamp"),
        ("binance", binance(T=NOW_MS + 5001), "future"),
        ("binance", binance(p=81234.56), "value"),
        ("binance", binance(p=""), "value"),
    ],
)
def test_what_is_wrong_is_refused_with_its_reason(name: ExchangeName, frame: object, reason: str) -> None:
    assert reason_of(name, frame) == reason


def test_an_asset_that_was_not_asked_for_is_refused() -> None:
    with pytest.raises(FrameRefused, match="unknown-symbol"):
        hear(Tape(DIALECTS["coinbase"], ["eth"]), coinbase())


def test_a_refused_frame_changes_nothing() -> None:
    conversation = tape("kraken")
    with pytest.raises(FrameRefused):
        hear(conversation, kraken(kraken_trade(7), kraken_trade(8, price=0)))
    (item,) = hear(conversation, kraken(kraken_trade(7)))
    assert isinstance(item, Tick)


SAMPLES: dict[ExchangeName, list[str]] = {
    "coinbase": [text(coinbase()), text({"type": "error", "message": "no", "reason": "none"})],
    "kraken": [
        text(kraken(kraken_trade(7), kraken_trade(8, 5))),
        text(kraken(kind="snapshot")),
        text({"channel": "status", "type": "update", "data": [{"system": "online"}]}),
        text({"method": "subscribe", "success": False, "error": "no"}),
    ],
    "binance": [text(binance()), text({"error": {"code": 2, "msg": "no"}, "id": 1})],
}


@pytest.mark.parametrize("name", NAMES)
def test_a_mutilated_frame_is_read_or_refused(name: ExchangeName) -> None:
    @given(mutilated(SAMPLES[name]))
    def check(frame: str) -> None:
        for said in (frame, frame.encode("utf-8", "surrogatepass")):
            _read_or_refused(name, said)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_any_bytes_are_read_or_refused(name: ExchangeName) -> None:
    @given(st.binary(max_size=60))
    def check(frame: bytes) -> None:
        _read_or_refused(name, frame)

    check()


def _read_or_refused(name: ExchangeName, frame: str | bytes) -> None:
    try:
        items, _ = tape(name).hear(frame, NOW_NS)
    except FrameRefused as refusal:
        assert refusal.reason.isascii()
        assert len(refusal.reason) < 30
        return
    for item in items:
        assert isinstance(item, Tick | Control)
        if isinstance(item, Tick):
            assert 0 < item.value < 10**9 * E18
            msgspec.msgpack.encode(item)


# --- thinning ----------------------------------------------------------------------------------------


def trade(ms: int, value: int, asset: str = "btc") -> Trade:
    return Trade(asset=asset, number=0, observed_ns=NOW_NS + ms * MILLISECOND, value=value)


def taken(thinning: Thinning, ms: int, value: int, recv_ms: int | None = None) -> list[int]:
    recv_ns = NOW_NS + (ms if recv_ms is None else recv_ms) * MILLISECOND
    return [one.value for one in thinning.take(trade(ms, value), recv_ns)]


def released(thinning: Thinning, recv_ms: int) -> list[int]:
    return [one.value for one in thinning.release(NOW_NS + recv_ms * MILLISECOND)]


def test_within_a_second_there_is_one_tick_in_200_ms() -> None:
    thinning = Thinning()
    assert taken(thinning, 100, 1) == [1]
    assert taken(thinning, 150, 2) == []
    assert taken(thinning, 299, 3) == []
    assert taken(thinning, 300, 4) == [4]
    assert taken(thinning, 400, 5) == []


def test_the_last_trade_of_a_second_is_told_before_the_first_of_the_next() -> None:
    thinning = Thinning()
    assert taken(thinning, 900, 1) == [1]
    assert taken(thinning, 950, 2) == []
    assert taken(thinning, 990, 3) == []
    assert taken(thinning, 1010, 4) == [3, 4]
    assert taken(thinning, 1020, 5) == []


def test_a_trade_stamped_at_the_whole_second_is_the_price_of_that_second() -> None:
    thinning = Thinning()
    assert taken(thinning, 900, 1) == [1]
    assert taken(thinning, 1000, 2) == []
    assert taken(thinning, 1000, 3) == []
    assert taken(thinning, 1001, 4) == [3, 4]


def test_a_price_that_waits_is_told_when_anything_is_heard() -> None:
    thinning = Thinning()
    assert taken(thinning, 100, 1) == [1]
    assert taken(thinning, 150, 2) == []
    assert released(thinning, 299) == []
    assert released(thinning, 300) == [2]
    assert released(thinning, 900) == []
    assert taken(thinning, 499, 3, recv_ms=499) == [], "what was released counts as given out"


def test_a_heartbeat_releases_what_waits() -> None:
    conversation = tape("coinbase")
    assert len(hear(conversation, coinbase(7, 100))) == 1
    assert hear(conversation, coinbase(8, 150, "2.00"), NOW_NS + 50 * MILLISECOND) == []
    _, tick = hear(conversation, {"type": "heartbeat"}, NOW_NS + SECOND)
    assert isinstance(tick, Tick)
    assert tick.value == 2 * E18


def test_assets_do_not_thin_each_other() -> None:
    thinning = Thinning()
    assert thinning.take(trade(100, 1), NOW_NS)
    assert thinning.take(trade(100, 2, "eth"), NOW_NS)


def test_an_older_trade_is_told_and_displaces_nothing() -> None:
    thinning = Thinning()
    assert taken(thinning, 800, 1) == [1]
    assert taken(thinning, 900, 2) == []
    assert taken(thinning, 850, 3, recv_ms=910) == [3]
    assert taken(thinning, 1100, 4) == [2, 4]


def test_a_clock_set_back_holds_nothing() -> None:
    thinning = Thinning()
    assert taken(thinning, 100, 1, recv_ms=3_600_000) == [1]
    assert taken(thinning, 200, 2, recv_ms=200) == [2]
    assert taken(thinning, 210, 3, recv_ms=210) == []


_steps = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 700), st.booleans()), min_size=1, max_size=40)


@given(_steps)
def test_the_price_of_every_whole_second_survives_thinning(steps: list[tuple[int, int, bool]]) -> None:
    """Compared with the whole stream, once a trade of a later second shows that the second is over."""
    thinning = Thinning()
    all_trades: list[Trade] = []
    given_out: list[Trade] = []
    given_at: list[int] = []
    stamp_ms, recv_ns = 0, NOW_NS
    for number, (apart_ms, waited_ms, heartbeat) in enumerate(steps):
        stamp_ms += apart_ms
        recv_ns += waited_ms * MILLISECOND
        one = trade(stamp_ms, number)
        all_trades.append(one)
        out = [*thinning.take(one, recv_ns), *(thinning.release(recv_ns) if heartbeat else [])]
        given_out += out
        given_at += [recv_ns] * len(out)
    assert [one.value for one in given_out] == sorted({one.value for one in given_out})
    for second in range(stamp_ms // 1000 + 1):
        at_ns = NOW_NS + second * SECOND
        if at_ns < all_trades[-1].observed_ns:
            assert _held(given_out, at_ns) == _held(all_trades, at_ns)
    seconds = len({-(-one.observed_ns // SECOND) for one in all_trades})
    quiet_spans = (given_at[-1] - given_at[0]) // APART_NS + 1
    assert len(given_out) <= 2 * seconds + quiet_spans


def _held(trades: list[Trade], at_ns: int) -> int | None:
    return next((one.value for one in reversed(trades) if one.observed_ns <= at_ns), None)


# --- the route ---------------------------------------------------------------------------------------


def planned(tmp_path: Path, **variables: str) -> Route | Disabled:
    config = load_config(
        env={f"LAGGARD_{key}": value for key, value in variables.items()}
        | {"LAGGARD_CONFIG": str(_empty(tmp_path))}
    )
    return plan(config, make_paths(str(tmp_path), None), ManualClock())


def _empty(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.touch()
    return file


def lines_of(route: Route | Disabled) -> tuple[Line, ...]:
    assert isinstance(route, Route)
    return route.lines


def test_each_exchange_has_a_line_of_its_own(tmp_path: Path) -> None:
    route = planned(tmp_path, MARKETS__ASSETS="btc,sol", EXCHANGES__NAMES="kraken,binance")
    lines = lines_of(route)
    assert [(line.name, line.url, line.watched) for line in lines] == [
        ("kraken", "wss://ws.kraken.com/v2", ("kraken/btc",)),
        ("binance", "wss://stream.binance.com:9443/ws", ("binance/btc",)),
    ]
    assert isinstance(route, Route)
    assert (route.name, route.series) == (
        "exchange",
        ("kraken/btc", "kraken/sol", "binance/btc", "binance/sol"),
    )
    assert route.back_fill is None


def test_the_addresses_can_be_configured(tmp_path: Path) -> None:
    lines = lines_of(
        planned(
            tmp_path,
            EXCHANGES__COINBASE_URL="ws://127.0.0.1:1/a",
            EXCHANGES__KRAKEN_URL="ws://127.0.0.1:1/b",
            EXCHANGES__BINANCE_URL="ws://127.0.0.1:1/c",
        )
    )
    assert [line.url.rpartition("/")[2] for line in lines] == ["a", "b", "c"]


def test_a_line_talks_anew_on_every_connection(tmp_path: Path) -> None:
    (line, *_) = lines_of(planned(tmp_path, MARKETS__ASSETS="btc"))
    first: Conversation = line.converse()
    assert json.loads(first.opening()[0])["product_ids"] == ["BTC-USD"]
    assert first.hear(text(coinbase()), NOW_NS) == line.converse().hear(text(coinbase()), NOW_NS)


@pytest.mark.parametrize(
    ("code", "wait_s"), [(451, 300.0), (403, 300.0), (500, 0.0), (1006, 0.0), (4001, 0.0)]
)
def test_a_refused_place_is_asked_again_after_five_minutes(tmp_path: Path, code: int, wait_s: float) -> None:
    for line in lines_of(planned(tmp_path)):
        assert line.on_refusal(code) == wait_s


def test_without_an_exchange_the_route_says_what_to_do(tmp_path: Path) -> None:
    route = planned(tmp_path, EXCHANGES__NAMES="")
    assert isinstance(route, Disabled)
    assert "exchanges.names" in route.why


def test_without_a_listed_asset_the_route_says_what_to_do(tmp_path: Path) -> None:
    config = Config()
    markets = config.markets.model_copy(update={"assets": ("hype",)})
    route = plan(
        config.model_copy(update={"markets": markets}), make_paths(str(tmp_path), None), ManualClock()
    )
    assert isinstance(route, Disabled)
    assert "hype" in route.why


# --- recorded frames ---------------------------------------------------------------------------------


def recorded(shared_data: Path, source: str) -> Iterator[tuple[str, int]]:
    for file in sorted((shared_data / "recordings").glob("raw_frames_*utc.jsonl.gz")):
        with gzip.open(file, "rt") as lines:
            for line in lines:
                if f'"{source}"' in line[:120]:
                    row = json.loads(line)
                    if row["source"] == source:
                        yield row["payload"], row["recv_wall_ts"] * MILLISECOND


def test_recorded_coinbase_frames(shared_data: Path) -> None:
    seen: dict[str, int] = {}
    for frame, recv_ns in recorded(shared_data, "coinbase"):
        (item,) = hear(tape("coinbase"), frame, recv_ns)
        seen[item.kind] = seen.get(item.kind, 0) + 1
        if isinstance(item, Tick):
            document = json.loads(frame)
            assert item.value == Decimal(document["price"]) * E18
            assert abs(recv_ns - item.observed_ns) < 3600 * SECOND
    assert seen == {"ack": 23, "coinbase": 82}


def test_recorded_binance_trades(shared_data: Path) -> None:
    """They were recorded from a combined stream, which wraps what the raw one sends."""
    count = 0
    for frame, recv_ns in recorded(shared_data, "binance"):
        document = json.loads(frame)["data"]
        (tick,) = ticks_of("binance", document, recv_ns)
        assert tick.value == Decimal(document["p"]) * E18
        assert tick.observed_ns == document["T"] * MILLISECOND
        count += 1
    assert count == 99
