"""The account read through the official client from a venue that answers anything: in full, or not at all."""

import asyncio
import json
import re
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from common.core.venue_facts import Absent, Found, OrderNews, Unread, VenueTrade
from common.errors import DependencyMissing, FeedRefused
from common.runtime.config import Config
from common.runtime.config_sections import Venue, Wallet
from common.runtime.credentials import Secret
from common.units import SECOND
from common.venue.clob.l2_auth import ApiKey
from common.venue.live import AccountClient, connect
from common.venue.port import Activity
from common.venue.signing.order_signature import Signer
from common.venue.signing.wallet import wallets_of
from trading_stage import PRIVATE, SESSION_PRIVATE, UP, WALLETS, Floor, floor

KEY = "0x" + "5b" * 32
"""Worth nothing anywhere."""
SIGNER = Signer(Secret(KEY)).address
WALLET = wallets_of(SIGNER).deposit
CREDENTIALS = {
    "api_key": "0a1b2c3d-0000-4000-8000-00000000feed",
    "secret": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyISE=",
    "passphrase": "passphrase-of-nobody",
}
OTHERS = {
    "apiKey": "0a1b2c3d-0000-4000-8000-00000000beef",
    "secret": "b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldC0zMiEhISE=",
    "passphrase": "another-passphrase",
}
"""Credentials the venue makes later."""
ORDER = "0x" + "0a" * 32
SINCE_NS = 1_800_000_000 * SECOND
RECORD = f"/data/order/{ORDER}"
ORDERS, TRADES = "/data/orders", "/data/trades"
READS = {
    RECORD: None,
    ORDERS: {"data": [], "next_cursor": "LTE="},
    TRADES: {"data": [], "next_cursor": "LTE="},
}
"""What a venue that knows nothing of an order answers."""

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Desk:
    """A venue whose answers are what a test says."""

    answers: dict[str, Any] = field(default_factory=lambda: dict(READS))
    """By path: a handler, or a body."""
    asked: list[tuple[str, str, dict[str, str], dict[str, str], bytes]] = field(default_factory=list)
    """Method, path, query, headers and body."""
    base: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/clob")
        headers = dict(request.headers)
        self.asked.append((request.method, path, dict(request.query), headers, await request.read()))
        given = self.answers.get(path, says(404, '{"error":"no such path"}'))
        if callable(given):
            answer: web.StreamResponse = await given(request)
            return answer
        return web.json_response(given)

    def paths(self) -> list[str]:
        return [path for _, path, *_ in self.asked]


def says(status: int, text: str = "", **headers: str) -> Answering:
    async def handler(_request: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, headers=named, content_type="application/json")

    return handler


async def hangs(_request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


async def breaks(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def half(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "100"})
    await answer.prepare(request)
    await answer.write(b'{"data": [')
    return await breaks(request)


def pages(*listed: list[dict[str, Any]], failing: int = -1) -> Answering:
    """A list in several pages, one of which may fail."""

    async def handler(request: web.Request) -> web.Response:
        number = int(request.query.get("next_cursor", "0"))
        if number == failing:
            return web.json_response({"error": "engine"}, status=500)
        last = number + 1 == len(listed)
        cursor = "LTE=" if last else str(number + 1)
        return web.json_response({"data": listed[number], "next_cursor": cursor})

    return handler


def page(*rows: Any) -> dict[str, Any]:
    return {"data": list(rows), "next_cursor": "LTE="}


def trade(**changes: Any) -> dict[str, Any]:
    plain = {
        "id": "t1",
        "taker_order_id": ORDER,
        "asset_id": "7001",
        "status": "TRADE_STATUS_MINED",
        "size": "10",
        "price": "0.52",
        "match_time": "1800000001",
        "maker_orders": [],
        "trader_side": "TAKER",
    }
    return plain | changes


MINE = VenueTrade("t1", ORDER, "mined", 5_200, 10_000_000, 5_200_000, False, 1_800_000_001 * SECOND)


@pytest.fixture(autouse=True)
def _no_certificates() -> Iterator[None]:
    """The client reads all certificates anew for each of its eleven services; loopback needs none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", lambda **_: context)
        yield


@asynccontextmanager
async def venue() -> AsyncIterator[Desk]:
    desk = Desk()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", desk.answer)
    server = TestServer(app)
    await server.start_server()
    desk.base = str(server.make_url("")).rstrip("/")
    try:
        yield desk
    finally:
        await server.close()


def config(base: str, wallet: Wallet | None = None) -> Config:
    return Config(
        mode="live",
        venue=Venue(
            clob_url=f"{base}/clob",
            gamma_url=f"{base}/gamma",
            data_url=f"{base}/data-api",
            chain_rpc_urls=(f"{base}/chain",),
        ),
        wallet=wallet or Wallet(kind="deposit", address=WALLET),
    )


def secrets(**changes: str) -> dict[str, Secret]:
    return {name: Secret(text) for name, text in (CREDENTIALS | changes).items()}


@asynccontextmanager
async def reading() -> AsyncIterator[tuple[Desk, AccountClient]]:
    async with venue() as desk:
        client = await connect(config(desk.base), Secret(KEY), WALLET, secrets())
        try:
            yield desk, client
        finally:
            await client.close()


async def looked_up(answers: dict[str, Any]) -> Any:
    async with reading() as (desk, client):
        desk.answers |= answers
        return await client.look_up(ORDER, "7001", SINCE_NS)


@pytest.mark.parametrize(
    "record",
    [
        None,
        says(404, '{"error":"order not found"}'),
        says(400, '{"error":"Order not found"}'),
    ],
)
async def test_an_order_is_absent_when_all_three_were_answered(record: Any) -> None:
    assert await looked_up({RECORD: record}) == Absent()


async def test_what_is_asked_is_signed_and_reaches_far_enough() -> None:
    async with reading() as (desk, client):
        await client.look_up(ORDER, "7001", SINCE_NS)
        # Trades last: what is matched while the others are read must not be missed.
        assert desk.paths() == [RECORD, ORDERS, TRADES]
        queries = [query for _, _, query, _, _ in desk.asked]
        assert queries == [{}, {"id": ORDER}, {"maker_address": WALLET, "after": "1799999940"}]
        key = ApiKey(SIGNER, *secrets().values())
        for method, path, _, headers, _ in desk.asked:
            assert headers["User-Agent"] == "laggard/0.1"
            assert abs(int(headers["POLY_TIMESTAMP"]) - time.time()) < 30
            signed = key.headers(int(headers["POLY_TIMESTAMP"]), method, path)
            assert signed.items() <= headers.items()


REFUSALS = [
    (says(400, '{"error":"context canceled"}'), "context canceled"),
    (says(401, '{"error":"Unauthorized/Invalid api key"}'), r"HTTP 401: Unauth.*delete clob\.json"),
    (says(403, '{"error":"Trading restricted in your region"}'), "HTTP 403"),
    (says(425, ""), "HTTP 425"),
    (says(429, "{}", Retry_After="3"), "was rate limited"),
    (says(500, '{"error":"engine"}'), "HTTP 500: engine"),
    (says(302, "", Location="/elsewhere"), "HTTP 302"),
    (says(200, ""), "not-json"),
    (says(200, "<html>"), "not-json"),
    (says(200, '{"data": [NaN]}'), "not-json"),
    (breaks, r"^/data/"),
    (half, r"^/data/"),
]
"""Answers that are none, whatever was asked, and what is said of them."""


@pytest.mark.parametrize("path", [RECORD, ORDERS, TRADES])
async def test_one_read_without_its_answer_and_nothing_is_known(path: str) -> None:
    async with reading() as (desk, client):
        for answer, text in REFUSALS:
            desk.answers[path] = answer
            found = await client.look_up(ORDER, "7001", SINCE_NS)
            assert isinstance(found, Unread), text
            assert re.search(text, found.text), found.text
        # The client is none the worse for it.
        desk.answers[path] = READS[path]
        assert await client.look_up(ORDER, "7001", SINCE_NS) == Absent()


async def test_a_record_that_is_not_the_orders_tells_nothing() -> None:
    async with reading() as (desk, client):
        for record in ({}, [], 7, "x", {"id": "0xother", "status": "LIVE"}, {"status": "LIVE"}):
            desk.answers[RECORD] = record
            found = await client.look_up(ORDER, "7001", SINCE_NS)
            assert isinstance(found, Unread)
            assert "not the order's record" in found.text


@pytest.mark.parametrize("status", ["THINKING", None])
async def test_a_record_of_no_known_status_tells_nothing(status: Any) -> None:
    told = {"id": ORDER, "status": status}
    assert isinstance(await looked_up({RECORD: told}), Unread)
    assert isinstance(await looked_up({ORDERS: page(told)}), Unread)


NO_PAGES = [
    None,
    [],
    {"data": None, "next_cursor": "LTE="},
    {"data": {}, "next_cursor": "LTE="},
    {"data": ["t1"], "next_cursor": "LTE="},
    {"data": []},
    {"data": [], "next_cursor": ""},
    {"data": [], "next_cursor": 7},
    {"data": [], "next_cursor": ["MTAw"]},
    {"data": [], "next_cursor": "MTAw"},
]
"""Some for ever the same, some no list, some of which nobody knows whether more follows."""


@pytest.mark.parametrize("path", [ORDERS, TRADES])
async def test_a_list_that_does_not_say_that_it_ends_is_not_complete(path: str) -> None:
    async with reading() as (desk, client):
        for body in NO_PAGES:
            desk.answers[path] = body
            desk.asked.clear()
            found = await client.look_up(ORDER, "7001", SINCE_NS)
            assert isinstance(found, Unread), body
            assert path in found.text
            assert desk.paths().count(path) <= 2


async def test_a_list_without_end_is_given_up() -> None:
    async def endless(request: web.Request) -> web.Response:
        number = int(request.query.get("next_cursor", "0"))
        return web.json_response({"data": [], "next_cursor": str(number + 1)})

    reading = await looked_up({TRADES: endless})
    assert reading == Unread("/data/trades: more than 50 pages")


async def test_null_is_the_end_of_a_list_too() -> None:
    assert await looked_up({TRADES: {"data": [trade()], "next_cursor": None}}) == Found(None, (MINE,))


async def test_every_page_is_read() -> None:
    others = [trade(id=f"o{number}", taker_order_id="0xother") for number in range(3)]
    assert await looked_up({TRADES: pages(others, others, [trade()])}) == Found(None, (MINE,))
    assert isinstance(await looked_up({TRADES: pages(others, [trade()], others, failing=2)}), Unread)


async def test_an_odd_trade_of_others_hides_nothing_and_an_odd_one_of_ours_is_told() -> None:
    odd = trade(id="o1", taker_order_id="0xother", status="?", size=None, price=[])
    assert await looked_up({TRADES: page(odd, trade())}) == Found(None, (MINE,))
    for bad in ({"status": "?"}, {"size": None}, {"price": "1.5"}, {"id": None}):
        assert isinstance(await looked_up({TRADES: page(trade(**bad))}), Unread)


async def test_numbers_in_place_of_texts_lose_no_digit() -> None:
    reading = await looked_up({TRADES: page(trade(size=1096.87, price=0.518))})
    assert isinstance(reading, Found)
    assert (reading.trades[0].size6, reading.trades[0].price4) == (1_096_870_000, 5_180)


async def test_an_order_of_ours_that_rested_is_found_behind_another_taker() -> None:
    maker = {"order_id": ORDER, "asset_id": "7002", "price": "0.48", "matched_amount": "4"}
    reading = await looked_up({TRADES: page(trade(taker_order_id="0xother", maker_orders=[maker]))})
    assert isinstance(reading, Found)
    (found,) = reading.trades
    assert (found.maker, found.price4, found.size6) == (True, 4_800, 4_000_000)


async def test_the_record_and_the_open_orders_tell_of_an_order() -> None:
    told = {"id": ORDER.upper(), "status": "LIVE", "size_matched": "2"}
    live = OrderNews(ORDER, "live", 2_000_000, (), "LIVE")
    assert await looked_up({ORDERS: page({"id": "0xother"}, told)}) == Found(live, ())
    ended = {"id": ORDER, "status": "ORDER_STATUS_CANCELED", "size_matched": "2", "associate_trades": ["t1"]}
    gone = OrderNews(ORDER, "ended", 2_000_000, ("t1",), "ORDER_STATUS_CANCELED")
    assert await looked_up({RECORD: ended, TRADES: page(trade())}) == Found(gone, (MINE,))


async def test_the_captured_bodies(shared_data: Path) -> None:
    rest = json.loads((shared_data / "frames/trading/rest_other.json").read_bytes())
    order_id = rest["open_order"]["id"]
    async with reading() as (desk, client):
        desk.answers |= {f"/data/order/{order_id}": rest["open_order"], TRADES: rest["trades_page"]}
        found = await client.look_up(order_id, rest["open_order"]["asset_id"], SINCE_NS)
    assert isinstance(found, Found)
    assert found.news == OrderNews(order_id, "live", 25_000_000, ("0xabc001",), "LIVE")
    assert [(one.trade_id, one.status, one.size6) for one in found.trades] == [
        ("trade-0x001", "mined", 10_000_000)
    ]


async def test_a_venue_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.venue.live.CALL_S", 0.1)
    async with reading() as (desk, client):
        for path in (RECORD, ORDERS, TRADES):
            desk.answers = dict(READS) | {path: hangs}
            found = await client.look_up(ORDER, "7001", SINCE_NS)
            assert isinstance(found, Unread)
            assert "no answer within 0.1 s" in found.text
        desk.answers["/order"] = hangs
        await client.cancel(ORDER)
        desk.answers["/auth/ban-status/closed-only"] = hangs
        with pytest.raises(DependencyMissing, match="no answer"):
            await client.closed_only()


async def test_a_reading_of_many_slow_pages_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.venue.live.READING_S", 0.2)

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(0.05)
        number = int(request.query.get("next_cursor", "0"))
        return web.json_response({"data": [], "next_cursor": str(number + 1)})

    async with reading() as (desk, client):
        desk.answers[TRADES] = slow
        one = await client.look_up(ORDER, "7001", SINCE_NS)
        assert one == Unread("the venue did not tell all of the order within 0.2 s")
        all_ = await client.trades_since(SINCE_NS, [ORDER])
        assert all_ == Unread("the venue did not tell all trades within 0.2 s")


async def test_a_slip_of_the_client_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with reading() as (_, client):

        async def slips(*_arguments: Any, **_options: Any) -> bytes:
            raise KeyError("stream 7")

        monkeypatch.setattr(client._client._ctx.secure_clob, "get_bytes", slips)
        assert isinstance(await client.look_up(ORDER, "7001", SINCE_NS), Unread)
        monkeypatch.setattr(client._client._ctx.secure_clob, "delete_json", slips)
        await client.cancel(ORDER)


async def test_trades_of_the_account_ours_and_others() -> None:
    async with reading() as (desk, client):
        other = trade(id="o1", taker_order_id="0xother")
        desk.answers[TRADES] = pages([other], [trade(), trade(id="t2", status="CONFIRMED")])
        found = await client.trades_since(SINCE_NS, ["0x00", ORDER])
        assert isinstance(found, Activity)
        assert [(one.trade_id, one.status) for one in found.trades] == [("t1", "mined"), ("t2", "confirmed")]
        assert [seen.what for seen in found.foreign] == ["trade o1 of order 0xother"]
        for answer, _ in REFUSALS:
            desk.answers[TRADES] = answer
            assert isinstance(await client.trades_since(SINCE_NS, [ORDER]), Unread)


async def test_a_cancel_is_asked_for_once_whatever_comes_back() -> None:
    async with reading() as (desk, client):
        for answer in (
            {"canceled": [ORDER], "not_canceled": {}},
            {"canceled": [], "not_canceled": {ORDER: "already canceled or matched"}},
            {"what": 1},
            *(answer for answer, _ in REFUSALS),
        ):
            desk.asked.clear()
            desk.answers["/order"] = answer
            await client.cancel(ORDER)
            (asked,) = desk.asked
            assert asked[:2] == ("DELETE", "/order")
            assert json.loads(asked[4]) == {"orderID": ORDER}


async def test_the_balance_is_that_of_a_venue_that_has_looked_again() -> None:
    async with reading() as (desk, client):
        desk.answers |= {
            "/balance-allowance/update": says(200, ""),
            "/balance-allowance": {"balance": "12345678", "allowances": {"0xAB": str(2**256 - 1), "0xcd": 5}},
        }
        assert await client.balance() == (12_345_678, {"0xab": 2**256 - 1, "0xcd": 5})
        assert desk.paths() == ["/balance-allowance/update", "/balance-allowance"]
        assert all(
            query == {"asset_type": "COLLATERAL", "signature_type": "3"} for _, _, query, _, _ in desk.asked
        )
        desk.answers["/balance-allowance"] = {"balance": "0", "allowances": None}
        assert await client.balance() == (0, {})
        desk.asked.clear()
        await client.refresh_balance()
        assert desk.paths() == ["/balance-allowance/update"]


NO_BALANCES = [
    None,
    [],
    {},
    {"balance": None},
    {"balance": 1.5},
    {"balance": True},
    {"balance": "-1"},
    {"balance": "1e6"},
    {"balance": "12.5"},
    {"balance": "१२"},
    {"balance": "1", "allowances": {"0xab": "lots"}},
    {"balance": "1", "allowances": [1]},
    says(200, "<html>"),
    says(500, ""),
    breaks,
]


async def test_a_balance_that_is_none_is_not_taken_for_one() -> None:
    async with reading() as (desk, client):
        desk.answers["/balance-allowance/update"] = says(200, "")
        for body in NO_BALANCES:
            desk.answers["/balance-allowance"] = body
            with pytest.raises(DependencyMissing, match="does not tell the balance"):
                await client.balance()


async def test_a_venue_that_does_not_look_again_tells_no_balance() -> None:
    async with reading() as (desk, client):
        desk.answers |= {"/balance-allowance/update": says(500, ""), "/balance-allowance": {"balance": "1"}}
        for ask in (client.balance, client.refresh_balance):
            with pytest.raises(DependencyMissing, match="does not look at the chain again"):
                await ask()
        assert "/balance-allowance" not in desk.paths()


async def test_the_standing_of_the_account() -> None:
    path = "/auth/ban-status/closed-only"
    async with reading() as (desk, client):
        for told in (True, False):
            desk.answers[path] = {"closed_only": told}
            assert await client.closed_only() is told
        for odd in (
            None,
            {},
            {"closed_only": "false"},
            {"closed_only": 0},
            says(200, "no"),
            says(401),
            breaks,
        ):
            desk.answers[path] = odd
            with pytest.raises(DependencyMissing, match="standing"):
                await client.closed_only()


async def test_connecting_with_credentials_asks_nothing() -> None:
    async with venue() as desk:
        client = await connect(config(desk.base), Secret(KEY), WALLET, secrets())
        await client.close()
        assert desk.asked == []
        assert (client.api_key.address, client.api_key.key.reveal()) == (SIGNER, CREDENTIALS["api_key"])


@pytest.mark.parametrize("given", [None, "those of a file"])
async def test_connecting_reads_no_certificates_on_the_loop(
    monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    """It costs a second or more on a busy machine, and so long nothing of the executor would move."""
    on_the_loop: list[bool] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def reads(**_options: Any) -> ssl.SSLContext:
        on_the_loop.append(threading.current_thread() is threading.main_thread())
        return context

    monkeypatch.setattr("httpx._transports.default.create_ssl_context", reads)
    async with venue() as desk:
        desk.answers["/auth/api-key"] = OTHERS
        client = await connect(config(desk.base), Secret(KEY), WALLET, secrets() if given else None)
        await client.close()
    assert len(on_the_loop) > 5
    assert not any(on_the_loop)


@pytest.mark.parametrize("known", [False, True])
async def test_connecting_without_credentials_asks_for_them_and_for_nothing_else(known: bool) -> None:
    told = {"apiKey": CREDENTIALS["api_key"]} | {n: CREDENTIALS[n] for n in ("secret", "passphrase")}
    async with venue() as desk:
        desk.answers["/auth/api-key"] = says(400, '{"error":"Could not create api key"}') if known else told
        desk.answers["/auth/derive-api-key"] = told
        client = await connect(config(desk.base), Secret(KEY), WALLET, None)
        await client.close()
        assert desk.paths() == ["/auth/api-key"] + ["/auth/derive-api-key"] * known
        assert all(headers["POLY_ADDRESS"] == SIGNER for _, _, _, headers, _ in desk.asked)
        key = client.api_key
        assert [one.reveal() for one in (key.key, key.secret, key.passphrase)] == list(CREDENTIALS.values())


async def test_renewed_credentials_are_asked_for_by_the_key_and_used_from_then_on() -> None:
    async with reading() as (desk, client):
        desk.answers |= {
            "/auth/api-key": says(400, '{"error":"Could not create api key"}'),
            "/auth/derive-api-key": OTHERS,
            "/order": {},
        }
        await client.renew()
        assert [(method, path) for method, path, *_ in desk.asked] == [
            ("POST", "/auth/api-key"),
            ("GET", "/auth/derive-api-key"),
        ]
        assert all("POLY_API_KEY" not in headers for *_, headers, _ in desk.asked)
        key = ApiKey(SIGNER, *(Secret(text) for text in OTHERS.values()))
        assert client.api_key == key
        desk.asked.clear()
        await client.look_up(ORDER, "7001", SINCE_NS)
        await client.cancel(ORDER)
        assert len(desk.asked) == 4
        for method, path, _, headers, body in desk.asked:
            signed = key.headers(int(headers["POLY_TIMESTAMP"]), method, path, body)
            assert signed.items() <= headers.items()


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (says(401, '{"error":"Invalid L1 Request headers"}'), FeedRefused, "refuses this key"),
        (says(503, '{"error":"down"}'), DependencyMissing, "no API credentials now"),
        (breaks, DependencyMissing, "cannot be reached"),
        (OTHERS | {"secret": "abcde"}, FeedRefused, "secret is no base64"),
    ],
)
async def test_without_others_the_old_credentials_stay(
    answer: Any, error: type[Exception], text: str
) -> None:
    async with reading() as (desk, client):
        known = client.api_key
        desk.answers["/auth/api-key"] = answer
        with pytest.raises(error, match=text):
            await client.renew()
        assert client.api_key is known
        desk.asked.clear()
        await client.look_up(ORDER, "7001", SINCE_NS)
        assert {headers["POLY_API_KEY"] for *_, headers, _ in desk.asked} == {CREDENTIALS["api_key"]}


async def test_each_refusal_of_the_credentials_is_told_and_nothing_else_is() -> None:
    told: list[str] = []
    async with venue() as desk:
        client = await connect(
            config(desk.base), Secret(KEY), WALLET, secrets(), on_refused=lambda: told.append("refused")
        )
        for answer, _ in REFUSALS:
            desk.answers[TRADES] = answer
            await client.trades_since(SINCE_NS, [ORDER])
        assert told == ["refused"]
        desk.answers |= {"/order": says(401), "/auth/ban-status/closed-only": says(401)}
        await client.cancel(ORDER)
        with pytest.raises(DependencyMissing):
            await client.closed_only()
        assert len(told) == 3
        await client.close()


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (says(401, '{"error":"Invalid L1 Request headers"}'), FeedRefused, "Invalid L1 .*clock"),
        (says(403, '{"error":"region"}'), FeedRefused, "refuses this key"),
        (says(400, '{"error":"no"}'), FeedRefused, "refuses this key"),
        (says(503, '{"error":"down"}'), DependencyMissing, "no API credentials now: down"),
        (says(425, ""), DependencyMissing, "no API credentials now"),
        (says(429, ""), DependencyMissing, "rate limited"),
        (says(200, "[]"), DependencyMissing, "cannot be reached"),
        (says(200, "<html>"), DependencyMissing, "cannot be reached"),
        (breaks, DependencyMissing, "cannot be reached"),
    ],
)
async def test_why_no_credentials_could_be_had(answer: Any, error: type[Exception], text: str) -> None:
    async with venue() as desk:
        desk.answers |= {"/auth/api-key": answer, "/auth/derive-api-key": answer}
        with pytest.raises(error, match=text):
            await connect(config(desk.base), Secret(KEY), WALLET, None)


async def test_a_venue_that_is_away_cannot_be_reached(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DependencyMissing, match="cannot be reached"):
        await connect(config(f"http://127.0.0.1:{free_port}"), Secret(KEY), WALLET, None)
    monkeypatch.setattr("common.venue.live.CALL_S", 0.05)
    async with venue() as desk:
        desk.answers["/auth/api-key"] = hangs
        with pytest.raises(DependencyMissing, match="TimeoutError"):
            await connect(config(desk.base), Secret(KEY), WALLET, None)


@pytest.mark.parametrize(
    ("key", "wallet", "changes", "text"),
    [
        ("0x1234", WALLET, {}, "key or wallet.address is malformed"),
        ("zz" * 32, WALLET, {}, "key or wallet.address is malformed"),
        ("0x" + "00" * 32, WALLET, {}, "key or wallet.address is malformed"),
        (KEY, "0x1234", {}, "key or wallet.address is malformed"),
        (KEY, WALLET, {"secret": "abcde"}, "secret is no base64"),
    ],
)
async def test_what_is_malformed_is_named_and_not_repeated(
    key: str, wallet: str, changes: dict[str, str], text: str
) -> None:
    with pytest.raises(FeedRefused, match=text) as caught:
        await connect(config("http://127.0.0.1:9"), Secret(key), wallet, secrets(**changes))
    told = str(caught.value)
    assert not any(secret in told for secret in (key, *changes.values()))


async def test_no_secret_is_in_what_is_told() -> None:
    async def echo(request: web.Request) -> web.Response:
        names = ("POLY_API_KEY", "POLY_PASSPHRASE", "POLY_ADDRESS")
        shown = " ".join(request.headers.get(name, "") for name in names)
        text = f"{shown} {CREDENTIALS['secret']} {KEY} {KEY[2:]}\x1b[2J"
        return web.json_response({"error": text}, status=500)

    async with reading() as (desk, client):
        desk.answers |= dict.fromkeys((RECORD, "/balance-allowance/update", "/auth/api-key"), echo)
        told = [await client.look_up(ORDER, "7001", SINCE_NS)]
        with pytest.raises(DependencyMissing) as caught:
            await client.balance()
        with pytest.raises(DependencyMissing) as at_start:
            await connect(config(desk.base), Secret(KEY), WALLET, None)
        shown = f"{told} {caught.value} {at_start.value}"
        assert SIGNER in shown
        assert "***" in shown
        assert "\x1b" not in shown
        for secret in (CREDENTIALS["api_key"], CREDENTIALS["passphrase"], KEY, KEY[2:]):
            assert secret not in shown
        desk.answers["/auth/api-key"] = OTHERS
        await client.renew()
        renewed = await client.look_up(ORDER, "7001", SINCE_NS)
        assert "***" in str(renewed)
        assert not any(secret in str(renewed) for secret in OTHERS.values())
        assert CREDENTIALS["secret"] not in f"{told} {caught.value}"


@asynccontextmanager
async def account(at: Floor, kind: str = "deposit", private: str = PRIVATE) -> AsyncIterator[AccountClient]:
    wallet = Wallet(kind=kind, address=WALLETS[kind], session_key=private == SESSION_PRIVATE)
    client = await connect(config(at.venue.base, wallet), Secret(private), WALLETS[kind], None)
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize("tells_ended", [True, False])
@pytest.mark.parametrize("kind", WALLETS)
async def test_the_simulated_venue_tells_what_became_of_an_order(kind: str, tells_ended: bool) -> None:
    async with floor(page_size=1, tells_ended_orders=tells_ended) as at:
        at.ask(("0.6", "10"), ("0.52", "30"), ("0.5", "8"))
        since_ns = time.time_ns()
        async with account(at, kind) as client:
            before_usd6, allowances = await client.balance()
            assert before_usd6 == 100_000_000
            assert allowances
            assert await client.look_up("0x" + "77" * 32, UP, since_ns) == Absent()
            trader = await at.trader(kind)
            order_id = (await at.bought(trader)).order_id
            confirmed = {"CONFIRMED"}
            truth = await at.until(
                lambda truth: {one["status"] for one in truth["orders"][0]["trades"]} == confirmed
            )
            found = await client.look_up(order_id, UP, since_ns)
            assert isinstance(found, Found)
            assert (found.news is not None) is tells_ended
            assert {
                (one.trade_id, one.status, one.price4, one.size6, one.cost_usd6) for one in found.trades
            } == {
                (one["id"], "confirmed", one["price4"], one["size6"], one["cost_usd6"])
                for one in truth["orders"][0]["trades"]
            }
            assert len(found.trades) == 2
            everything = await client.trades_since(since_ns, [order_id])
            assert everything == Activity(found.trades)
            foreign = await client.trades_since(since_ns, [])
            assert isinstance(foreign, Activity)
            assert (len(foreign.trades), len(foreign.foreign)) == (0, 2)
            assert not await client.closed_only()


async def test_a_session_key_reads_its_own_orders_and_they_are_cancelled_on_request() -> None:
    async with floor() as at:
        await at.venue.faults({"kind": "order_reply", "form": "live", "taken": False})
        async with account(at, private=SESSION_PRIVATE) as client:
            trader = await at.trader(private=SESSION_PRIVATE)
            since_ns = time.time_ns()
            order_id = (await at.bought(trader)).order_id
            found = await client.look_up(order_id, UP, since_ns)
            assert isinstance(found, Found)
            assert found.news is not None
            assert found.news.phase == "live"
            await client.cancel(order_id)
            found = await client.look_up(order_id, UP, since_ns)
            assert isinstance(found, Found)
            assert found.news is not None
            assert (found.news.phase, found.news.matched6, found.trades) == ("ended", 0, ())
