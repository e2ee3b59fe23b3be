"""The venue as its clients meet it: sockets, REST, the player and the control paths."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from common.core.book_hash import book_hash
from common.errors import ConfigError, DependencyMissing
from common.sim.script import BookSet, Listed, Resolved, Step, StrikePublished, TickSizeChanged, Traded
from common.sim.server import Venue
from common.sim.settings import SimSettings, load_settings, problems_in
from oracle_clients import ACCESS, FEEDS, TWAP_BTC, polybolt, report, streams
from stage import (
    DOWN,
    DOWN_BOOK,
    EXCHANGE,
    MARKET,
    SLUG,
    SPOT,
    START_S,
    TWAP,
    UP,
    UP_BOOK,
    Stage,
    eventually,
    observed,
    script,
    spec,
    stage,
)

E18 = 10**18


def _filter(symbol: str) -> str:
    return json.dumps({"symbol": symbol}, separators=(",", ":"))


def test_rtds_topic_without_filter_streams_every_symbol() -> None:
    async def scene() -> None:
        async with stage() as venue:
            client = await venue.rtds({"topic": TWAP, "type": "update"})
            venue.happen(observed(0, 96_000 * E18), observed(0, 3_000 * E18, symbol="eth/usd"))
            venue.happen(observed(0, 96_000 * E18, SPOT))
            frames = [json.loads(text) for text in await client.sync()]
            assert [frame["payload"]["symbol"] for frame in frames] == ["btc/usd", "eth/usd"]
            assert frames[0]["payload"]["value"] == 96_000
            assert frames[0]["payload"]["full_accuracy_value"] == str(96_000 * E18)

    asyncio.run(scene())


@pytest.mark.parametrize("topic", [SPOT, TWAP])
def test_rtds_compact_filter_replays_a_minute_then_streams_its_symbol(topic: str) -> None:
    async def scene() -> None:
        async with stage() as venue:
            for second in range(150):
                venue.happen(observed(second, (100 + second) * E18, topic))
            client = await venue.rtds({"topic": topic, "type": "update", "filters": _filter("btc/usd")})
            venue.happen(observed(150, 250 * E18, topic), observed(150, E18, topic, "eth/usd"))
            update = await client.json()
            assert update["payload"]["timestamp"] == (START_S + 150) * 1000
            assert await client.sync() == []

            second_client = await venue.session.ws_connect(venue.base + "/rtds")
            await second_client.receive()
            wish = {"topic": topic, "type": "update", "filters": _filter("btc/usd")}
            await second_client.send_json({"action": "subscribe", "subscriptions": [wish]})
            backfill = json.loads((await second_client.receive()).data)
            assert backfill["topic"] == (EXCHANGE if topic == SPOT else topic)
            assert backfill["type"] == "subscribe" and "connection_id" not in backfill
            points = backfill["payload"]["data"]
            assert len(points) == 60 and points[-1]["timestamp"] == (START_S + 150) * 1000
            assert all(("full_accuracy_value" in point) == (topic == TWAP) for point in points)

    asyncio.run(scene())


def test_rtds_filter_with_a_space_gets_the_backfill_and_then_silence() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.happen(observed(0, E18))
            client = await venue.rtds()
            wish = {"topic": TWAP, "type": "update", "filters": '{"symbol": "btc/usd"}'}
            await client.send({"action": "subscribe", "subscriptions": [wish]})
            assert (await client.json())["type"] == "subscribe"
            venue.happen(observed(1, E18))
            assert await client.sync() == []

    asyncio.run(scene())


def test_rtds_unknown_topic_rejects_the_whole_batch() -> None:
    async def scene() -> None:
        async with stage() as venue:
            client = await venue.rtds()
            wishes = [{"topic": TWAP, "type": "update"}, {"topic": "nothing", "type": "update"}]
            await client.send({"action": "subscribe", "subscriptions": wishes})
            refusal = await client.json()
            assert refusal["statusCode"] == 401 and "nothing" in refusal["body"]["message"]
            venue.happen(observed(0, E18))
            assert await client.sync() == []

    asyncio.run(scene())


def test_rtds_pings_are_answered_by_nothing_an_empty_frame_and_pong_in_turn() -> None:
    async def scene() -> None:
        async with stage() as venue:
            client = await venue.rtds()
            for _ in range(3):
                await client.send("PING")
            assert [await client.text(), await client.text()] == ["", "PONG"]

    asyncio.run(scene())


def test_rtds_goes_quiet_on_a_client_that_does_not_ping() -> None:
    async def scene() -> None:
        now = [START_S * E18 // 10**9]
        async with stage(now_ns=lambda: now[0]) as venue:
            client = await venue.rtds({"topic": TWAP, "type": "update"})
            now[0] += 400 * 10**9
            venue.happen(observed(0, E18))
            assert await client.sync() == []
            await client.send("PING")
            await client.sync()
            venue.happen(observed(1, E18))
            assert len(await client.sync()) == 1

    asyncio.run(scene())


def test_rtds_unsubscribe_stops_a_topic() -> None:
    async def scene() -> None:
        async with stage() as venue:
            client = await venue.rtds({"topic": TWAP, "type": "update"})
            await client.send({"action": "unsubscribe", "subscriptions": [{"topic": TWAP, "type": "update"}]})
            await client.sync()
            venue.happen(observed(0, E18))
            assert await client.sync() == []

    asyncio.run(scene())


def test_market_sends_all_initial_books_as_one_array_with_a_newline() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            client = await venue.market(UP, DOWN, "unknown")
            text = await client.text()
            assert text.startswith("[") and text.endswith("]\n")
            assert [book["asset_id"] for book in json.loads(text)] == [UP, DOWN]

    asyncio.run(scene())


def test_market_books_and_changes_prove_themselves_through_trades_and_a_grid_change() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            client = await venue.market(UP, DOWN)
            reader = _Reader()
            reader.read(await client.text())
            up = BookSet(UP, (("0.4", "10"), ("0.5", "7")), (("0.6", "12"), ("0.51", "5")))
            down = BookSet(DOWN, (("0.4", "12"), ("0.49", "5")), (("0.6", "10"), ("0.5", "7")))
            venue.happen(up, down, at_ms=START_S * 1000 + 5)
            venue.happen(UP_BOOK, Traded(UP, "0.5", "7", "BUY"), DOWN_BOOK, at_ms=START_S * 1000 + 9)
            venue.happen(TickSizeChanged(SLUG, "0.001"), at_ms=START_S * 1000 + 11)
            venue.happen(up, at_ms=START_S * 1000 + 12)
            venue.happen(BookSet(UP, (), ()), at_ms=START_S * 1000 + 13)
            for text in await client.pong():
                reader.read(text)
            reader.finish()
            kinds = reader.kinds
            assert kinds.count("price_change") == 4 and kinds.count("tick_size_change") == 2
            assert kinds.index("last_trade_price") < kinds.index("book", 2) < kinds.index("tick_size_change")
            assert reader.proven >= 10
            assert reader.books[UP] == ({}, {})

    asyncio.run(scene())


class _Reader:
    """Rebuilds books from frames and checks every hash once the stamp has moved on."""

    def __init__(self) -> None:
        self.books: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
        self.kinds: list[str] = []
        self.proven = 0
        self._pending: dict[str, tuple[str, str]] = {}
        self._last_trade = ""
        self._tick = "0.01"
        self._stamp = ""

    def read(self, text: str) -> None:
        frames = json.loads(text)
        for frame in frames if isinstance(frames, list) else [frames]:
            if frame["timestamp"] != self._stamp:
                self.finish()
                self._stamp = frame["timestamp"]
            self._take(frame)

    def _take(self, frame: dict[str, Any]) -> None:
        kind = frame["event_type"]
        self.kinds.append(kind)
        if kind == "book":
            bids, asks = (
                {level["price"]: level["size"] for level in frame[side]} for side in ("bids", "asks")
            )
            self.books[frame["asset_id"]] = (bids, asks)
            self._pending[frame["asset_id"]] = (frame["timestamp"], frame["hash"])
        elif kind == "price_change":
            for entry in frame["price_changes"]:
                side = self.books[entry["asset_id"]][entry["side"] == "SELL"]
                if entry["size"] == "0":
                    del side[entry["price"]]
                else:
                    side[entry["price"]] = entry["size"]
                self._pending[entry["asset_id"]] = (frame["timestamp"], entry["hash"])
                self._tops = entry["best_bid"], entry["best_ask"]
            bids, asks = self.books[frame["price_changes"][-1]["asset_id"]]
            assert self._tops == (max(bids, default="0"), min(asks, default="1"))
        elif kind == "last_trade_price":
            self._last_trade = f"{float(frame['price']):.3f}"
        elif kind == "tick_size_change":
            self._tick = frame["new_tick_size"]

    def finish(self) -> None:
        for token, (stamp, proof) in self._pending.items():
            bids, asks = self.books[token]
            levels = sorted(bids.items()), sorted(asks.items(), reverse=True)
            market = MARKET.condition_id
            found = book_hash(market, token, stamp, *levels, "5", self._tick, False, self._last_trade)
            assert found == proof, (token, stamp)
            self.proven += 1
        self._pending.clear()


def test_market_unchanged_book_sends_nothing() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            client = await venue.market(UP)
            await client.text()
            venue.happen(UP_BOOK, at_ms=START_S * 1000 + 1)
            assert await client.pong() == []

    asyncio.run(scene())


def test_market_later_subscribe_and_unsubscribe() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            client = await venue.market(UP)
            await client.text()
            await client.send({"operation": "subscribe", "assets_ids": [DOWN]})
            assert [book["asset_id"] for book in await client.json()] == [DOWN]
            await client.send({"operation": "unsubscribe", "assets_ids": [UP, DOWN]})
            await client.pong()
            venue.happen(BookSet(UP, (), ()), at_ms=START_S * 1000 + 1)
            assert await client.pong() == []

    asyncio.run(scene())


def test_market_custom_frames_go_only_to_those_who_asked() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            plain, custom = await venue.market(UP, custom=False), await venue.market(UP)
            await plain.text(), await custom.text()
            venue.happen(
                Listed(spec(slug="eth-updown-15m-1", condition_id="0x1", token_up="3", token_down="4"))
            )
            venue.happen(BookSet(UP, (("0.5", "1"),), (("0.52", "1"),)), at_ms=START_S * 1000 + 1)
            kinds = [json.loads(text)["event_type"] for text in await custom.pong()]
            assert kinds == ["new_market", "price_change", "best_bid_ask"]
            assert [json.loads(text)["event_type"] for text in await plain.pong()] == ["price_change"]

    asyncio.run(scene())


def test_market_resolution_is_told_and_closes_the_connection_normally() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            client = await venue.market(UP, DOWN)
            await client.text()
            venue.happen(Resolved(SLUG, "Down", 96_000 * E18))
            frame = await client.json()
            assert (frame["event_type"], frame["winning_asset_id"]) == ("market_resolved", DOWN)
            last = await client.message()
            assert last.type is aiohttp.WSMsgType.CLOSE and last.data == 1000
            assert (await venue.get(f"/clob/book?token_id={UP}"))[0] == 404

    asyncio.run(scene())


def test_slow_reader_is_cut_off_and_others_are_not() -> None:
    async def scene() -> None:
        async with stage(queue_limit=50) as venue:
            venue.open_market()
            healthy = await venue.market(UP, custom=False)
            await healthy.text()
            slow = _client_that_never_reads(venue.base)
            await eventually(lambda: len(venue.venue.market.outlet.links) == 2)
            await eventually(lambda: venue.venue.market.outlet.sent["book"] == 2)
            sizes = tuple((f"0.{level:03d}", str(level)) for level in range(100, 400))
            for turn in range(2_000):
                book = BookSet(UP, sizes if turn % 2 else (), ())
                venue.happen(book, at_ms=START_S * 1000 + turn + 1)
                assert (await healthy.json())["event_type"] == "price_change"
                if len(venue.venue.market.outlet.links) == 1:
                    break
            await eventually(lambda: len(venue.venue.market.outlet.links) == 1)
            assert await healthy.pong() == []
            slow.close()

    asyncio.run(scene())


def _client_that_never_reads(base: str) -> socket.socket:
    host, port = base.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.connect((host, int(port)))
    client.sendall(
        b"GET /ws/market HTTP/1.1\r\nHost: venue\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    wish = json.dumps({"assets_ids": [UP], "type": "market"}).encode()
    unmasked = b"\0\0\0\0"
    client.sendall(bytes([0x81, 0x80 | len(wish)]) + unmasked + wish)
    return client


def test_rest_books_and_market_info() -> None:
    async def scene() -> None:
        async with stage(taker_delay_ms=175) as venue:
            venue.open_market()
            status, book = await venue.get(f"/clob/book?token_id={UP}")
            levels = [[(level["price"], level["size"]) for level in book[side]] for side in ("bids", "asks")]
            proof = book_hash(
                MARKET.condition_id, UP, book["timestamp"], levels[0], levels[1], "5", "0.01", False, ""
            )
            assert status == 200 and book["hash"] == proof
            _, books = await venue.post("/clob/books", [{"token_id": DOWN}, {"token_id": "unknown"}])
            assert [each["asset_id"] for each in books] == [DOWN]
            _, info = await venue.get(f"/clob/clob-markets/{MARKET.condition_id}")
            assert info["itodems"] == 175 and info["itode"] is True and info["ao"] is True
            assert info["fd"] == {"r": 0.07, "e": 1, "to": True}
            assert (await venue.get("/clob/clob-markets/0x1"))[0] == 404
            assert (await venue.get("/clob/book?token_id=9"))[0] == 404
            assert (await venue.post("/clob/books", {"token_id": UP}))[0] == 400
            assert abs((await venue.get("/clob/time"))[1] - time.time()) < 5

    asyncio.run(scene())


def test_gamma_lists_hide_resolved_markets_unless_asked_and_slugs_always_answer() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            later = spec(
                slug="btc-2", condition_id="0x2", token_up="5", token_down="6", end_ns=MARKET.end_ns * 2
            )
            venue.happen(
                Listed(later), StrikePublished(SLUG, 96_000 * E18), Resolved(SLUG, "Up", 96_001 * E18)
            )
            tagged = "/gamma/events?tag_slug=up-or-down"
            assert await _slugs(venue, tagged) == ["btc-2"]
            assert await _slugs(venue, tagged + "&closed=true") == [SLUG]
            assert await _slugs(venue, "/gamma/events?tag_slug=politics") == []
            assert await _slugs(venue, tagged + "&end_date_max=2027-01-16T00:00:00Z") == []
            assert await _slugs(venue, tagged + "&end_date_min=2027-01-16T00:00:00Z") == ["btc-2"]
            assert (await venue.get("/gamma/events?end_date_min=soon"))[0] == 422
            assert await _slugs(venue, f"/gamma/markets?slug={SLUG}") == []
            _, event = await venue.get(f"/gamma/events/slug/{SLUG}")
            assert event["closed"] and event["markets"][0]["outcomePrices"] == '["1", "0"]'
            assert event["eventMetadata"] == {"priceToBeat": 96_000, "finalPrice": 96_001}
            assert event["markets"][0]["acceptingOrders"] is False
            assert (await venue.get("/gamma/events/slug/unknown"))[0] == 404

    asyncio.run(scene())


async def _slugs(venue: Stage, path: str) -> list[str]:
    _, body = await venue.get(path)
    return [entry["slug"] for entry in body]


def test_gamma_keyset_pages_through_a_series() -> None:
    async def scene() -> None:
        async with stage() as venue:
            for number in range(5):
                tokens = {"token_up": f"u{number}", "token_down": f"d{number}"}
                venue.happen(Listed(spec(slug=f"btc-{number}", condition_id=f"0x{number}", **tokens)))
            seen, cursor = [], ""
            for _ in range(3):
                path = f"/gamma/events/keyset?series_id=10192&limit=2&after_cursor={cursor}"
                _, page = await venue.get(path)
                seen += [event["slug"] for event in page["events"]]
                cursor = page.get("next_cursor", "")
            assert seen == [f"btc-{number}" for number in range(5)] and cursor == ""
            assert (await venue.get("/gamma/events/keyset?after_cursor=nonsense"))[0] == 422
            assert (await venue.get("/gamma/events/keyset?series_id=1"))[1]["events"] == []

    asyncio.run(scene())


def test_default_python_clients_are_refused_at_the_edge() -> None:
    async def scene() -> None:
        async with stage() as venue:
            for path in ("/clob/time", "/gamma/events"):
                headers = {"User-Agent": "Python/3.11 aiohttp/3.9"}
                async with venue.session.get(venue.base + path, headers=headers) as answer:
                    assert answer.status == 403

    asyncio.run(scene())


def test_past_steps_happen_before_the_first_client_and_later_ones_in_time() -> None:
    async def scene() -> None:
        now_ns = time.time_ns()
        steps = [
            Step(now_ns - 10**9, Listed(MARKET)),
            Step(now_ns - 10**9, UP_BOOK),
            Step(now_ns + 300_000_000, BookSet(UP, (("0.5", "1"),), (("0.52", "1"),))),
            Step(now_ns + 400_000_000, Resolved(SLUG, "Up")),
        ]
        async with stage(steps) as venue:
            client = await venue.market(UP, custom=False)
            assert len((await client.json())[0]["bids"]) == 2
            change = await client.json()
            assert time.time_ns() >= now_ns + 300_000_000
            assert int(change["timestamp"]) == (now_ns + 300_000_000) // 1_000_000
            await eventually(lambda: venue.venue.player.position.done)
            _, state = await venue.get("/control/state")
            assert state["steps"] == 4 and state["done"] is True
            assert state["listed"] == [SLUG] and state["resolved"] == {SLUG: "Up"}
            assert state["frames"]["market"] == {"book": 1, "price_change": 1}
            assert state["title"] == "a test" and state["cadence"] == "15m"

    asyncio.run(scene())


@pytest.mark.alone  # it measures time: nothing may run beside it
def test_a_thousand_frames_a_second_reach_three_clients_without_lag() -> None:
    async def scene() -> None:
        now_ns = time.time_ns() + 1_000_000_000
        books = [
            BookSet(
                UP, (*[(f"0.{level}", "10") for level in range(11, 49)], ("0.49", str(turn))), UP_BOOK.asks
            )
            for turn in range(1_500)
        ]
        steps = [Step(now_ns - 10**9, Listed(MARKET))]
        steps += [Step(now_ns + turn * 1_000_000, book) for turn, book in enumerate(books)]
        async with stage(steps) as venue:
            clients = [await venue.market(UP) for _ in range(3)]
            assert time.time_ns() < now_ns, "who connects after the first frame never hears all of them"

            async def listen(client: Any) -> list[int]:
                await client.text()
                late: list[int] = []
                while len(late) < 1_500:
                    frame = await client.json()
                    if frame["event_type"] == "price_change":
                        late.append(time.time_ns() // 1_000_000 - int(frame["timestamp"]))
                return late

            for late in await asyncio.gather(*(listen(client) for client in clients)):
                assert sorted(late)[750] < 150 and late[-1] < 1_000

    asyncio.run(scene())


def test_oracle_channels_are_counted_and_cut_when_the_venue_closes() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            clients = [await polybolt(venue, TWAP_BTC), await streams(venue, FEEDS["btc/twap60"])]
            clients.append(await venue.rtds({"topic": TWAP, "type": "update"}))
            venue.happen(observed(0, E18))
            for client in clients:
                await client.message()
            _, state = await venue.get("/control/state")
            oracles = ("rtds", "polybolt", "chainlink")
            assert [state["connections"][name] for name in oracles] == [1, 1, 1]
            assert state["frames"]["polybolt"] == {"snapshot": 1, "price.crypto.twap": 1}
            assert state["frames"]["chainlink"] == {"twap60": 1} and state["frames"]["rtds"][TWAP] == 1
            await venue.venue.close()
            for client in clients:
                last = await client.message()
                assert last.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)

    asyncio.run(scene())


def test_nothing_under_way_arrives_after_the_venue_is_closed() -> None:
    async def scene() -> None:
        now = [START_S * 10**9]
        async with stage(now_ns=lambda: now[0], delays={"polybolt": 300}) as venue:
            venue.happen(observed(0, E18))
            await venue.venue.close()
            now[0] += 10**9
            venue.happen(observed(1, E18))
            points = venue.venue.polybolt.route.history(TWAP, "btc/usd")
            assert points == [observed(1, E18)]

    asyncio.run(scene())


def test_one_observation_reaches_every_route() -> None:
    async def scene() -> None:
        delays = {"rtds": 40, "polybolt": 20}
        now_ms = time.time_ns() // 1_000_000
        async with stage(delays=delays, **ACCESS) as venue:
            rtds = await venue.rtds({"topic": TWAP, "type": "update"})
            bolt, link = await polybolt(venue, TWAP_BTC), await streams(venue, FEEDS["btc/twap60"])
            venue.happen(observed(0, 5 * E18), at_ms=now_ms)
            assert (await report(link))["observationsTimestamp"] == START_S
            assert (await bolt.json())["ts"] == now_ms + 20
            frame = await rtds.json()
            assert frame["timestamp"] == now_ms + 40 and frame["payload"]["timestamp"] == START_S * 1000

    asyncio.run(scene())


def test_taken_port_is_said_plainly() -> None:
    async def scene() -> None:
        async with stage() as first:
            listen = first.base.removeprefix("http://")
            with pytest.raises(DependencyMissing, match="another program listens there"):
                await Venue(SimSettings(listen=listen), script()).open()

    asyncio.run(scene())


def test_settings_problems_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "sim.json"
    path.write_text('{"listen": "0.0.0.0:80", "mode": "recording", "assets": ["BTC"], "speed": 0}')
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert len(caught.value.problems) == 4
    path.write_text('{"nonsense": 1}')
    with pytest.raises(ConfigError, match="nonsense"):
        load_settings(path)
    with pytest.raises(ConfigError, match="cannot read"):
        load_settings(tmp_path / "absent.json")
    assert problems_in(SimSettings()) == []


@pytest.mark.procs
def test_process_serves_until_sigterm_and_names_its_failures(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "procs.venue"]
    bare = {key: value for key, value in os.environ.items() if key != "LAGGARD_SIM"}
    absent = subprocess.run(command, cwd=root, env=bare, capture_output=True, text=True, timeout=30)
    assert absent.returncode == 78 and "LAGGARD_SIM is not set" in absent.stdout
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = tmp_path / "sim.json"
        settings.write_text(json.dumps({"listen": f"127.0.0.1:{taken.getsockname()[1]}"}))
        run = subprocess.run(
            command,
            cwd=root,
            env=bare | {"LAGGARD_SIM": str(settings)},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert run.returncode == 69 and "another program listens there" in run.stdout
    settings.write_text(json.dumps({"listen": "127.0.0.1:0", "window_s": 60}))
    env = bare | {"LAGGARD_SIM": str(settings)}
    with subprocess.Popen(command, cwd=root, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert any("listens on" in json.loads(line)["event"] for line in process.stdout)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
