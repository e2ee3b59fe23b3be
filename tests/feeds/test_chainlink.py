"""The Chainlink route: which feeds it carries, how it signs in to the stream, and how it takes a no."""

import asyncio
import contextlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from websockets.asyncio.client import connect

from common.errors import ConfigError, FeedError, FeedRefused, FrameRefused
from common.feeds.connection import Link, Silence, keep_connected
from common.feeds.http import HttpSource
from common.feeds.oracle.chainlink import FEEDS, Listening, Series, carried, least_wait_s, lines, plan
from common.feeds.oracle.chainlink_auth import signature
from common.feeds.oracle.chainlink_report import MAX_FRAME_BYTES
from common.feeds.oracle.price_fields import Control
from common.feeds.oracle.route import Disabled, Line, Route
from common.feeds.oracle.routes import plan_route
from common.messages import Tick
from common.runtime.clock import Clock, ManualClock, SystemClock
from common.runtime.config import Config
from common.runtime.credentials import Secret, write_credentials
from common.runtime.paths import Paths
from common.units import SECOND
from tests.feeds.signed_reports import BTC, NOW_NS, NOW_S, SPOT_BTC, SPOT_ETH, TWAP60_BTC, envelope, message
from tests.feeds.wire import mutilated, text

LIMIT_S = 10.0
CREDENTIALS = {"client_id": Secret("reader-1"), "secret": Secret("a#secret")}
TWAP60_ETH = "0x0002" + "ab" * 30
CLOCK = ManualClock(wall=NOW_NS, mono=SECOND)


def config_of(
    *feeds: str,
    assets: tuple[str, ...] = ("btc", "eth"),
    kinds: tuple[str, ...] = ("spot", "twap30", "twap60", "binance"),
    **chainlink: Any,
) -> Config:
    return Config.model_validate(
        {
            "markets": {"assets": assets},
            "oracles": {"kinds": kinds},
            "chainlink": {"feeds": feeds, **chainlink},
        }
    )


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "state", tmp_path / "run", tmp_path)


@pytest.fixture
def keyed(paths: Paths) -> Paths:
    """With credentials."""
    values = {name: secret.reveal() for name, secret in CREDENTIALS.items()}
    write_credentials(paths.credentials_file("chainlink"), values)
    return paths


def planned(config: Config, paths: Paths, clock: Clock = CLOCK) -> Route:
    route = plan(config, paths, clock)
    assert isinstance(route, Route)
    return route


# --- which feeds ---------------------------------------------------------------------------------------


def test_the_built_in_feeds_agree_with_their_schemas() -> None:
    for series, feed_id in FEEDS.items():
        assert feed_id.startswith("0x0003" if series.kind == "spot" else "0x0002")
        assert len(feed_id) == 66
    assert len(set(FEEDS.values())) == len(FEEDS)


def test_only_chosen_kinds_and_assets_are_carried() -> None:
    every, _ = carried(config_of(assets=("btc", "eth", "sol", "xrp")))
    assert set(every) == set(FEEDS)
    some, _ = carried(config_of(assets=("btc",), kinds=("twap60",)))
    assert some == {Series("twap60", "btc"): TWAP60_BTC}


def test_an_entry_adds_a_feed() -> None:
    feeds, missing = carried(config_of(f"eth/twap60={TWAP60_ETH.upper().replace('0X', '0x')}"))
    assert feeds[Series("twap60", "eth")] == TWAP60_ETH
    assert missing == []


def test_an_entry_replaces_a_built_in_feed() -> None:
    other = "0x0003" + "cd" * 30
    feeds, _ = carried(config_of(f"btc/spot={other}"))
    assert feeds[Series("spot", "btc")] == other
    assert feeds[Series("spot", "eth")] == SPOT_ETH


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([f"eth/twap60={SPOT_ETH[:-1]}0"], "needs a feed id of schema v2"),
        ([f"eth/spot={TWAP60_ETH}"], "needs a feed id of schema v3"),
        (["eth/spot=0x0009" + "ab" * 30], "needs a feed id of schema v3"),
        ([f"pepe/twap60={TWAP60_ETH}"], "pepe/twap60 is no series"),
        ([f"eth/twap60={TWAP60_ETH}", "eth/twap60=0x0002" + "cd" * 30], "named twice"),
        ([f"eth/twap60={TWAP60_BTC}"], "same feed id"),
        ([f"eth/twap60={TWAP60_ETH}", f"sol/twap60={TWAP60_ETH}"], "same feed id"),
        ([f"btc/twap30={TWAP60_BTC}"], "same feed id"),
    ],
)
def test_an_entry_that_contradicts_is_a_mistake_with_a_name(entries: list[str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        carried(config_of(*entries))


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as told:
        carried(config_of(f"eth/spot={TWAP60_ETH}", f"pepe/twap60={TWAP60_ETH}"))
    assert len(told.value.problems) == 2


def test_what_is_watched_and_has_no_feed_is_told(keyed: Paths) -> None:
    route = planned(config_of(assets=("btc", "eth", "sol")), keyed)
    assert route.series == ("spot/btc", "spot/eth", "spot/sol", "twap30/btc", "twap60/btc")
    assert route.notes == tuple(
        f"no feed id is known for {asset}/twap60: add it to chainlink.feeds" for asset in ("eth", "sol")
    )
    (line,) = route.lines
    assert line.watched == ("spot/btc", "spot/eth", "spot/sol", "twap60/btc")


# --- whether it runs -----------------------------------------------------------------------------------


def test_without_credentials_it_is_disabled_with_the_cure(paths: Paths) -> None:
    found = plan(config_of(), paths, CLOCK)
    assert isinstance(found, Disabled)
    for part in (str(paths.credentials_file("chainlink")), "client_id", "secret", "$150 a month", "0600"):
        assert part in found.why


def test_without_any_feed_it_is_disabled_with_the_cure(keyed: Paths) -> None:
    found = plan(config_of(assets=("eth",), kinds=("twap60", "binance")), keyed, CLOCK)
    assert isinstance(found, Disabled)
    assert "eth/twap60: add it to chainlink.feeds" in found.why


def test_a_mistake_in_the_feeds_disables_the_route(keyed: Paths) -> None:
    found = plan_route("chainlink", config_of(f"eth/spot={TWAP60_ETH}"), keyed, CLOCK)
    assert isinstance(found, Disabled)
    assert "schema v3" in found.why


def test_nothing_shows_the_credentials(keyed: Paths) -> None:
    route = planned(config_of(), keyed)
    for shown in (repr(route), str(route), repr(route.lines[0].converse()), repr(CREDENTIALS)):
        assert "a#secret" not in shown and "reader-1" not in shown
    with pytest.raises(FeedRefused) as refused:
        route.lines[0].on_refusal(401)
    assert "a#secret" not in str(refused.value)


# --- lines ---------------------------------------------------------------------------------------------


def test_a_line_names_its_feeds_in_the_address() -> None:
    (line,) = lines(config_of(ws_url="wss://stream.example/"), CREDENTIALS, CLOCK, ())
    twap30 = FEEDS[Series("twap30", "btc")]
    ids = f"{SPOT_BTC}%2C{SPOT_ETH}%2C{twap30}%2C{TWAP60_BTC}"
    assert line.url == f"wss://stream.example/api/v1/ws?feedIDs={ids}"
    assert (line.ping, line.max_bytes) == ("", MAX_FRAME_BYTES)
    assert [line.backoff().next_wait_s() <= 10.0 for _ in range(3)] == [True] * 3
    assert (line.backoff().first_s, line.backoff().cap_s) == (1.0, 10.0)


def test_every_origin_has_a_line_of_its_own() -> None:
    made = lines(config_of(), CREDENTIALS, CLOCK, ("001", "002"))
    assert [line.name for line in made] == ["001", "002"]
    assert [line.headers()["X-Cll-Origin"] for line in made] == ["001", "002"]
    assert len({line.url for line in made}) == 1
    (single,) = lines(config_of(), CREDENTIALS, CLOCK, ())
    assert "X-Cll-Origin" not in single.headers()


def test_the_handshake_is_signed_at_its_own_time() -> None:
    clock = ManualClock(wall=NOW_NS)
    (line,) = lines(config_of(), CREDENTIALS, clock, ())
    first = line.headers()
    clock.advance(SECOND)
    second = line.headers()
    assert first["X-Authorization-Timestamp"] == f"{NOW_S}000"
    assert second["X-Authorization-Timestamp"] == f"{NOW_S + 1}000"
    assert first["X-Authorization-Signature-SHA256"] != second["X-Authorization-Signature-SHA256"]


@pytest.mark.parametrize("code", [401, 403])
def test_who_is_not_let_in_is_told_what_to_mend(code: int) -> None:
    with pytest.raises(FeedRefused) as refused:
        least_wait_s(code)
    for part in (str(code), "client_id", "secret", "clock", "5 s", "subscription"):
        assert part in str(refused.value)


def test_an_unknown_feed_is_told() -> None:
    with pytest.raises(FeedRefused, match="feed id"):
        least_wait_s(404)


@pytest.mark.parametrize(("code", "wait_s"), [(429, 10.0), (500, 0.0), (503, 0.0), (1000, 0.0), (1006, 0.0)])
def test_what_waiting_can_cure_is_waited_for(code: int, wait_s: float) -> None:
    assert least_wait_s(code) == wait_s


# --- messages ------------------------------------------------------------------------------------------


def listening(*entries: str) -> Listening:
    (line,) = lines(config_of(*entries), CREDENTIALS, CLOCK, ())
    made = line.converse()
    assert isinstance(made, Listening)
    return made


def test_nothing_is_said() -> None:
    assert listening().opening() == []


def test_a_report_is_a_tick_of_its_feed() -> None:
    (spot,), said = listening().hear(message(SPOT_ETH).encode(), NOW_NS)
    assert isinstance(spot, Tick)
    assert (spot.asset, spot.kind, spot.route, spot.value) == ("eth", "spot", "chainlink", BTC)
    assert (spot.observed_ns, spot.relay_ns, spot.backfill, said) == (NOW_NS, 0, False, [])
    (twap,), _ = listening(f"eth/twap60={TWAP60_ETH}").hear(message(TWAP60_ETH), NOW_NS)
    assert isinstance(twap, Tick)
    assert (twap.asset, twap.kind, twap.bid_e18) == ("eth", "twap60", None)


def test_a_feed_nobody_asked_for_is_refused() -> None:
    with pytest.raises(FrameRefused) as refused:
        listening().hear(message(TWAP60_ETH), NOW_NS)
    assert refused.value.reason == "unknown-feed"


def test_a_report_of_the_future_is_refused() -> None:
    with pytest.raises(FrameRefused) as refused:
        listening().hear(message(observed_s=NOW_S + 6), NOW_NS)
    assert refused.value.reason == "future"


def test_an_empty_message_is_quiet() -> None:
    assert listening().hear(b"", NOW_NS) == ([Control("empty")], [])


@given(mutilated([message(), message(TWAP60_BTC), text(envelope())]))
def test_a_mutilated_message_is_heard_or_refused(frame: str) -> None:
    with contextlib.suppress(FrameRefused):
        items, said = listening().hear(frame.encode("utf-8", "surrogatepass"), NOW_NS)
        assert said == []
        assert all(isinstance(item, Tick | Control) for item in items)


# --- against a server ----------------------------------------------------------------------------------


@dataclass
class Service:
    """Host of the stream and of the pages at once; it lets in whoever signs what it received."""

    clock: Clock
    status: int = 200
    origins: str = "{001,002}"
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path with query as received, origin."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.raw_path, request.headers.get("X-Cll-Origin", "")))
        date = {"Date": formatdate(self.clock.wall_ns() // SECOND, usegmt=True)}
        status = self.status if self._is_signed(request) else 401
        if status != 200:
            return web.Response(status=status, headers=date)
        if request.method == "HEAD":
            return web.Response(headers={**date, "X-Cll-Available-Origins": self.origins})
        if request.path == "/api/v1/reports/page":
            start_s = int(request.query["startTimestamp"])
            reports = [envelope(request.query["feedID"], observed_s=start_s)] if start_s <= NOW_S else []
            return web.json_response({"reports": reports}, headers=date)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for feed_id in request.query["feedIDs"].split(","):
            await socket.send_bytes(message(feed_id, observed_s=self.clock.wall_ns() // SECOND).encode())
        await socket.receive()
        return socket

    def _is_signed(self, request: web.Request) -> bool:
        stamp = int(request.headers.get("X-Authorization-Timestamp", "0"))
        expected = signature(request.method, request.raw_path, b"", "reader-1", "a#secret", stamp)
        return (
            abs(self.clock.wall_ns() // 1_000_000 - stamp) <= 5000
            and request.headers.get("Authorization") == "reader-1"
            and hmac.compare_digest(expected, request.headers["X-Authorization-Signature-SHA256"])
        )


@contextlib.asynccontextmanager
async def serving(clock: Clock, **how: Any) -> AsyncIterator[tuple[Service, Config]]:
    """The service, and a configuration that leads to it, to the stream below a path of its own."""
    made = Service(clock, **how)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    server = TestServer(app)
    await server.start_server()
    base = str(server.make_url("/")).rstrip("/")
    try:
        yield made, config_of(ws_url=base.replace("http", "ws") + "/streams/", rest_url=base)
    finally:
        await server.close()


async def heard_on(line: Line) -> list[Tick]:
    """The first tick of every feed of a line."""
    found: list[Tick] = []
    count = line.url.count("%2C") + 1
    async with asyncio.timeout(LIMIT_S):
        async with connect(line.url, additional_headers=dict(line.headers()), proxy=None) as socket:
            conversation = line.converse()
            while len(found) < count:
                frame = await socket.recv()
                assert isinstance(frame, bytes)
                items, _ = conversation.hear(frame, NOW_NS)
                found += [item for item in items if isinstance(item, Tick)]
    return found


async def test_the_stream_lets_us_in_and_brings_every_feed(keyed: Paths) -> None:
    async with serving(CLOCK) as (service, config):
        route = planned(config, keyed)
        ticks = await heard_on(route.lines[0])
    assert tuple(f"{tick.kind}/{tick.asset}" for tick in ticks) == route.series
    ((method, path, origin),) = service.asked
    assert (method, origin) == ("GET", "")
    assert route.lines[0].url.endswith(path) and path.startswith("/streams/api/v1/ws?feedIDs=")


async def test_there_is_a_line_to_every_origin_after_asking(keyed: Paths) -> None:
    async with serving(CLOCK) as (service, config):
        route = planned(config, keyed)
        assert service.asked == [], "planning asks nobody"
        assert route.refine is not None
        made = await route.refine()
        for line in made:
            assert await heard_on(line)
    assert [(method, origin) for method, _, origin in service.asked] == [
        ("HEAD", ""),
        ("GET", "001"),
        ("GET", "002"),
    ]


async def test_origins_that_cannot_be_asked_for_are_an_error_and_nothing_stays_open(
    keyed: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[HttpSource] = []
    close = HttpSource.close

    def noted(source: HttpSource) -> None:
        closed.append(source)
        close(source)

    monkeypatch.setattr(HttpSource, "close", noted)
    async with serving(CLOCK, status=503) as (_, config):
        route = planned(config, keyed)
        assert route.refine is not None
        with pytest.raises(FeedError, match="503"):
            await route.refine()
    assert len(closed) == 1


async def test_what_was_missed_is_filled_in(keyed: Paths) -> None:
    async with serving(CLOCK) as (service, config):
        route = planned(config, keyed)
        assert route.back_fill is not None
        ticks = await route.back_fill("twap60/btc", NOW_NS - 2 * SECOND, NOW_NS)
        with pytest.raises(FeedError, match="twap60/eth"):
            await route.back_fill("twap60/eth", NOW_NS - SECOND, NOW_NS)
    assert [tick.observed_ns - NOW_NS for tick in ticks] == [-2 * SECOND, -SECOND, 0]
    assert {(tick.asset, tick.kind, tick.route, tick.backfill) for tick in ticks} == {
        ("btc", "twap60", "chainlink", True)
    }
    assert all(f"feedID={TWAP60_BTC}&" in path for _, path, _ in service.asked)


async def test_a_refused_signature_ends_the_connect_loop_for_good(keyed: Paths) -> None:
    off = ManualClock(wall=SystemClock().wall_ns() - 6 * SECOND)
    async with serving(SystemClock()) as (service, config):
        (line,) = planned(config, keyed, off).lines
        link = Link(
            line.url,
            greeting=list,
            on_frame=lambda *_: None,
            silence=Silence(SECOND, 100 * SECOND),
            headers=line.headers,
            on_refusal=line.on_refusal,
        )
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(FeedRefused, match="clock"):
                await keep_connected(link, SystemClock(), structlog.get_logger())
    assert len(service.asked) == 1


# --- recorded reports ----------------------------------------------------------------------------------


def test_a_real_report_of_a_configured_feed_is_a_tick(shared_data: Path) -> None:
    rows = (shared_data / "frames" / "chainlink" / "full_reports.jsonl").read_text().splitlines()
    for row in map(json.loads, rows):
        expected = row["decoded"]
        made = listening(f"eth/spot={expected['feedID']}")
        frame = json.dumps({"report": {"feedID": expected["feedID"], "fullReport": row["fullReport"]}})
        (tick,), _ = made.hear(frame.encode(), expected["observationsTimestamp"] * SECOND + SECOND)
        assert isinstance(tick, Tick)
        assert (tick.e18, tick.bid_e18, tick.ask_e18) == tuple(
            expected[name] for name in ("benchmarkPrice", "bid", "ask")
        )
