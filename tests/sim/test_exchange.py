"""The simulated exchanges: the shapes of the real frames, and trades the production parser understands."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from common.feeds.connection import Link, Silence, keep_connected
from common.feeds.oracle.exchange import DIALECTS as READERS
from common.feeds.oracle.exchange import Tape, Trade, plan
from common.feeds.oracle.price_fields import Control
from common.feeds.oracle.route import Line, Route
from common.messages import Tick
from common.runtime.clock import SystemClock
from common.runtime.config import load_config
from common.runtime.config_sections import Exchange as ExchangeName
from common.runtime.paths import make_paths
from common.sim.oracle import exchange_channel
from common.sim.oracle.exchange_dialect import DIALECTS, Dialect, Print
from stage import EXCHANGE, SPOT, START_S, Client, Stage, eventually, observed, stage

E18 = 10**18
NOW_NS = (START_S + 100) * 10**9
NAMES: tuple[ExchangeName, ...] = ("coinbase", "kraken", "binance")
BTC, XRP = 96_123_456 * E18 // 1000, 2_345_678 * E18 // 10**6
ALL_ASSETS = {name: {READERS[name].symbol(asset): asset for asset in ("btc", "xrp")} for name in NAMES}


def price(second: int, value_e18: int = BTC, asset: str = "btc") -> Any:
    return observed(second, value_e18, EXCHANGE, f"{asset}usdt")


def dialect(name: str) -> Dialect:
    return next(each for each in DIALECTS if each.name == name)


async def connect(venue: Stage, name: ExchangeName) -> Client:
    return Client(await venue.session.ws_connect(f"{venue.base}/exchange/{name}"))


async def listen(venue: Stage, name: ExchangeName) -> Client:
    """A client that asked as the production feed does and has its answer."""
    client = await connect(venue, name)
    for message in Tape(READERS[name], ("btc",)).opening():
        await client.send(message)
    while not any(isinstance(said, Control) and said.kind == "ack" for said in await heard(client, name)):
        pass
    return client


async def heard(client: Client, name: ExchangeName) -> list[Trade | Control]:
    """What the production feed reads in the next frame."""
    document = json.loads(await client.text(), parse_float=Decimal)
    return READERS[name].read(document, ALL_ASSETS[name], NOW_NS)


async def trade(client: Client, name: ExchangeName) -> Trade:
    """The next trade."""
    while True:
        for said in await heard(client, name):
            if isinstance(said, Trade):
                return said


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("asset", "value_e18"), [("btc", BTC), ("xrp", XRP)])
def test_a_price_of_the_script_is_a_trade(name: ExchangeName, asset: str, value_e18: int) -> None:
    async def scene() -> Trade:
        async with stage() as venue:
            venue.venue.exchanges[NAMES.index(name)]._assets = ("btc", "xrp")
            client = await connect(venue, name)
            await client.send(Tape(READERS[name], ("btc", "xrp")).opening()[0])
            await eventually(lambda: any(venue.venue.exchanges[NAMES.index(name)]._wishes.values()))
            venue.happen(observed(0, E18, SPOT, f"{asset}usdt"), price(0, value_e18, asset))
            return await trade(client, name)

    told = asyncio.run(scene())
    assert (told.asset, told.observed_ns) == (asset, START_S * 10**9)
    assert abs(told.value - value_e18) * 200_000 < value_e18


def test_no_two_exchanges_agree() -> None:
    values = [each.value(BTC) for each in DIALECTS]
    assert len(set(values)) == 3
    assert (max(values) - min(values)) * 100_000 < BTC


@pytest.mark.parametrize("name", NAMES)
def test_a_trade_comes_once_more_a_little_later(name: ExchangeName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_channel, "AGAIN_AFTER_MS", 40)

    async def scene() -> list[Trade]:
        async with stage() as venue:
            client = await listen(venue, name)
            venue.happen(price(0), at_ms=START_S * 1000 + 150)
            return [await trade(client, name), await trade(client, name)]

    first, again = asyncio.run(scene())
    assert again.observed_ns - first.observed_ns == 40 * 10**6
    assert again.value == first.value
    assert again.number > first.number


def test_a_price_that_was_overtaken_does_not_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_channel, "AGAIN_AFTER_MS", 40)

    async def scene() -> list[Trade]:
        async with stage() as venue:
            client = await listen(venue, "binance")
            venue.happen(price(0))
            venue.happen(price(1, BTC + E18))
            return [await trade(client, "binance") for _ in range(3)]

    first, second, again = asyncio.run(scene())
    assert first.value < second.value == again.value


async def test_the_production_connection_hears_all_three(tmp_path: Path) -> None:
    async with stage() as venue:
        names = venue.base.replace("http", "ws") + "/exchange"
        variables = {f"LAGGARD_EXCHANGES__{name.upper()}_URL": f"{names}/{name}" for name in NAMES}
        (tmp_path / "config.toml").touch()
        config = load_config(tmp_path / "config.toml", variables | {"LAGGARD_MARKETS__ASSETS": "btc"})
        route = plan(config, make_paths(str(tmp_path), None), SystemClock())
        assert isinstance(route, Route)
        ticks: list[Tick] = []
        running = [asyncio.ensure_future(_keep_hearing(line, ticks)) for line in route.lines]
        try:
            await eventually(lambda: all(any(each._wishes.values()) for each in venue.venue.exchanges))
            venue.happen(price(0))
            await eventually(lambda: {tick.kind for tick in ticks} == {*NAMES})
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def _keep_hearing(line: Line, ticks: list[Tick]) -> None:
    conversation = line.converse()

    def on_frame(frame: str | bytes, _recv_ns: int, _mono_ns: int) -> None:
        items, _ = conversation.hear(frame, NOW_NS)
        ticks.extend(item for item in items if isinstance(item, Tick))

    link = Link(line.url, conversation.opening, on_frame, Silence(10**12, 10**12), ping=line.ping)
    await keep_connected(link, SystemClock(), structlog.get_logger())


# --- subscriptions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "request_", "said"),
    [
        (
            "coinbase",
            {"type": "subscribe", "product_ids": ["XYZ-USD"], "channels": ["ticker"]},
            "XYZ-USD is not a valid product",
        ),
        ("coinbase", {"type": "subscribe", "product_ids": ["btc-USD"], "channels": ["ticker"]}, "btc-USD"),
        ("coinbase", {"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["level3"]}, "Malformed"),
        ("coinbase", {"type": "subscribe", "product_ids": [["BTC-USD"]], "channels": [["x"]]}, "Malformed"),
        ("coinbase", "{", "Malformed"),
        (
            "kraken",
            {"method": "subscribe", "params": {"channel": "trade", "symbol": ["XYZ/USD"]}},
            "Currency pair not supported XYZ/USD",
        ),
        ("kraken", {"method": "subscribe", "params": {"channel": "tape", "symbol": []}}, "Malformed"),
        ("kraken", {"method": "subscribe", "params": []}, "Malformed"),
        ("kraken", [], "Malformed"),
        ("binance", {"method": "ASK", "params": [], "id": 1}, "Invalid request"),
        ("binance", "7", "Invalid request"),
    ],
)
def test_a_bad_request_is_told(name: ExchangeName, request_: Any, said: str) -> None:
    async def scene() -> Control:
        async with stage() as venue:
            client = await connect(venue, name)
            await client.send(request_)
            while True:
                for item in await heard(client, name):
                    if isinstance(item, Control) and item.kind == "error":
                        return item

    assert said in asyncio.run(scene()).text


def test_kraken_greets_with_its_status_and_answers_pings() -> None:
    async def scene() -> None:
        async with stage() as venue:
            client = await connect(venue, "kraken")
            assert (await client.json())["channel"] == "status"
            await client.send({"method": "ping"})
            assert (await client.json())["method"] == "pong"

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("name", "faults", "values"),
    [
        ("coinbase", [], [2]),
        ("kraken", [], [1, 2]),
        ("binance", [], []),
        ("coinbase", [{"kind": "drop_snapshot", "channel": "coinbase"}], []),
        ("kraken", [{"kind": "drop_snapshot", "channel": "kraken"}], []),
    ],
)
def test_what_was_traded_before_is_told_at_the_subscription(
    name: ExchangeName, faults: list[Any], values: list[int]
) -> None:
    """Coinbase tells the last trade, Kraken the last ones as a snapshot, Binance none."""

    async def scene() -> list[Trade]:
        async with stage() as venue:
            await venue.faults(*faults)
            venue.happen(price(0, 200 * E18))
            venue.happen(price(1, 300 * E18))
            client = await listen(venue, name)
            venue.happen(price(2, 400 * E18))
            told: list[Trade] = []
            while not told or told[-1].value < 399 * E18:
                told += [said for said in await heard(client, name) if isinstance(said, Trade)]
            return told[:-1]

    told = asyncio.run(scene())
    assert [round(one.value / E18 / 100) - 1 for one in told] == values
    assert all(one.past for one in told) is (name == "kraken" or not told)


def test_coinbase_sends_heartbeats_to_who_asked_for_them() -> None:
    async def scene(channels: list[str]) -> list[str]:
        async with stage() as venue:
            client = await connect(venue, "coinbase")
            await client.send({"type": "subscribe", "product_ids": ["BTC-USD"], "channels": channels})
            await client.text()
            venue.happen(price(0))
            venue.happen(price(1))
            return [(await client.json())["type"] for _ in range(2)]

    assert asyncio.run(scene(["ticker"])) == ["ticker", "ticker"]
    assert asyncio.run(scene(["heartbeat"])) == ["heartbeat", "heartbeat"]
    assert asyncio.run(scene(["ticker", "heartbeat"])) == ["ticker", "heartbeat"]


# --- faults and counts -------------------------------------------------------------------------------


def test_one_exchange_can_freeze_while_it_shows_life_and_the_others_flow() -> None:
    async def scene() -> None:
        async with stage() as venue:
            clients = {name: await listen(venue, name) for name in NAMES}
            await venue.faults({"kind": "freeze", "channel": "coinbase"})
            venue.happen(price(0))
            assert (await clients["coinbase"].json())["type"] == "heartbeat"
            for name in ("kraken", "binance"):
                await trade(clients[name], name)
            state = venue.venue.state()
            assert {name: state["connections"][name] for name in NAMES} == dict.fromkeys(NAMES, 1)
            assert "ticker" not in state["frames"]["coinbase"]
            assert state["frames"]["kraken"]["trade"] == 1

    asyncio.run(scene())


def test_one_exchange_can_refuse_this_place() -> None:
    async def scene() -> None:
        async with stage() as venue:
            await venue.faults({"kind": "refuse", "channel": "binance", "status": 451})
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await connect(venue, "binance")
            assert refused.value.status == 451
            await listen(venue, "kraken")

    asyncio.run(scene())


def test_one_exchange_can_be_wrong() -> None:
    async def scene() -> dict[str, int]:
        async with stage() as venue:
            clients = {name: await listen(venue, name) for name in NAMES}
            await venue.faults({"kind": "wrong_value", "channel": "kraken", "ppm": 5000})
            venue.happen(price(0, 100_000 * E18))
            return {name: (await trade(clients[name], name)).value // E18 for name in NAMES}

    values = asyncio.run(scene())
    assert values["kraken"] == 100_499
    assert values["binance"] == 100_000


# --- real frames -------------------------------------------------------------------------------------


def real(shared_data: Path, source: str) -> Iterator[dict[str, Any]]:
    for file in sorted((shared_data / "recordings").glob("raw_frames_*utc.jsonl.gz")):
        with gzip.open(file, "rt") as lines:
            for line in lines:
                row = json.loads(line)
                if row["source"] == source:
                    yield json.loads(row["payload"])


def shape(frame: dict[str, Any]) -> list[tuple[str, type]]:
    return [(key, type(value)) for key, value in frame.items()]


def test_frames_have_the_shapes_of_the_real_ones(shared_data: Path) -> None:
    one = Print("btc", 7, START_S * 1000, BTC)
    request = Tape(READERS["coinbase"], ("btc",)).opening()[0]
    (subscriptions,) = dialect("coinbase").read(request, ("btc",), 0).frames
    ours = {
        "subscriptions": json.loads(subscriptions),
        "ticker": json.loads(dialect("coinbase").live["ticker"](one)),
    }
    seen = set()
    for frame in real(shared_data, "coinbase"):
        assert shape(ours[frame["type"]]) == shape(frame)
        seen.add(frame["type"])
        if frame["type"] == "subscriptions":
            assert shape(ours["subscriptions"]["channels"][0]) == shape(frame["channels"][0])
        else:
            assert len(ours["ticker"]["time"]) == len(frame["time"])
    assert seen == {*ours}
    trade_frame = json.loads(dialect("binance").live["trade"](one))
    count = 0
    for frame in real(shared_data, "binance"):
        assert shape(trade_frame) == shape(frame["data"])
        assert len(trade_frame["p"].partition(".")[2]) == len(frame["data"]["p"].partition(".")[2])
        count += 1
    assert count == 99
