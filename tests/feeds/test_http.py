import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from common.errors import FeedError
from common.feeds.http import HttpSource
from common.runtime.clock import ManualClock
from common.units import SECOND

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answering = Callable[..., Awaitable[HttpSource]]
"""Options of the source are taken by name."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall=1_800_000_000 * SECOND, mono=1_000 * SECOND)


@pytest_asyncio.fixture
async def answering(clock: ManualClock) -> AsyncIterator[Answering]:
    """Start a server that answers everything with one handler, and a source that asks it, in a hurry."""
    servers: list[TestServer] = []
    sources: list[HttpSource] = []

    async def start(handler: Handler, **options: Any) -> HttpSource:
        app = web.Application()
        app.router.add_get("/{path:.*}", handler)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        base = str(server.make_url("/base/"))
        sources.append(HttpSource(base, clock, max_bytes=10_000, read_s=0.3, **options))
        return sources[-1]

    yield start
    for source in sources:
        source.close()
    for server in servers:
        await server.close()


def _says(status: int, body: str = "", **headers: str) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=body, headers=named)

    return handler


async def test_json_with_every_digit(answering: Answering) -> None:
    source = await answering(_says(200, '{"rate": 0.070000000000000000001, "n": 3}'))
    assert await source.get("/x", {}) == {"rate": Decimal("0.070000000000000000001"), "n": 3}


async def test_path_query_and_user_agent(answering: Answering) -> None:
    seen: list[tuple[str, str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.path, request.query["limit"], request.headers["User-Agent"]))
        return web.json_response([])

    source = await answering(handler)
    await source.get("/events", {"limit": "5"})
    assert seen == [("/base/events", "5", "laggard/0.1")]


async def test_not_found_is_none(answering: Answering) -> None:
    source = await answering(_says(404, '{"error": "slug not found"}'))
    assert await source.get("/events/slug/x", {}) is None


@pytest.mark.parametrize("status", [204, 301, 400, 403, 500, 502])
async def test_any_other_status_is_one_sentence(answering: Answering, status: int) -> None:
    source = await answering(_says(status, "{}" if status != 204 else "", Location="/elsewhere"))
    with pytest.raises(FeedError) as refused:
        await source.get("/events", {})
    text = str(refused.value)
    assert source.host in text and "/events" in text and str(status) in text
    assert "\n" not in text


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_kept(answering: Answering, clock: ManualClock, status: int) -> None:
    asked = 0

    async def handler(_request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if asked == 1:
            return web.Response(status=status, headers={"Retry-After": "7"})
        return web.json_response({"n": asked})

    source = await answering(handler)
    with pytest.raises(FeedError, match=f"{status}.*7 s"):
        await source.get("/x", {})
    clock.advance(6 * SECOND)
    with pytest.raises(FeedError, match="asked us to wait"):
        await source.get("/x", {})
    assert asked == 1
    clock.advance(SECOND)
    assert await source.get("/x", {}) == {"n": 2}


@pytest.mark.parametrize("stated", ["nan", "inf", "-5", "soon", "1e400"])
async def test_an_absurd_retry_after_does_not_stop_us(
    answering: Answering, clock: ManualClock, stated: str
) -> None:
    source = await answering(_says(429, Retry_After=stated))
    with pytest.raises(FeedError):
        await source.get("/x", {})
    clock.advance(300 * SECOND)
    with pytest.raises(FeedError, match="429"):
        await source.get("/x", {})


async def test_a_long_retry_after_is_capped(answering: Answering, clock: ManualClock) -> None:
    source = await answering(_says(503, Retry_After="999999"))
    with pytest.raises(FeedError):
        await source.get("/x", {})
    clock.advance(300 * SECOND)
    with pytest.raises(FeedError, match="503"):
        await source.get("/x", {})


async def test_a_slow_answer_ends(answering: Answering) -> None:
    release = asyncio.Event()

    async def handler(_request: web.Request) -> web.Response:
        await release.wait()
        return web.Response(text="{}")

    source = await answering(handler)
    with pytest.raises(FeedError, match="did not answer within"):
        await source.get("/x", {})
    release.set()


async def test_an_answer_that_stops_half_way_ends(answering: Answering) -> None:
    release = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 100
        await response.prepare(request)
        await response.write(b'{"a":')
        await release.wait()
        return response

    source = await answering(handler)
    with pytest.raises(FeedError):
        await source.get("/x", {})
    release.set()


@pytest.mark.parametrize("body", ["", "<html>maintenance</html>", '{"a": ', "[" * 100_000, "9" * 5_000])
async def test_what_is_no_json_is_refused(answering: Answering, body: str) -> None:
    source = await answering(_says(200, body[:9_999]))
    with pytest.raises(FeedError, match="JSON"):
        await source.get("/x", {})


async def test_bytes_that_are_no_text_are_refused(answering: Answering) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=b'{"a": "\xff\xfe"}', content_type="application/json")

    source = await answering(handler)
    with pytest.raises(FeedError, match="JSON"):
        await source.get("/x", {})


async def test_a_lie_about_the_encoding_is_refused(answering: Answering) -> None:
    source = await answering(_says(200, "plain", Content_Encoding="gzip"))
    with pytest.raises(FeedError):
        await source.get("/x", {})


async def test_too_much_is_refused(answering: Answering) -> None:
    source = await answering(_says(200, json.dumps(["x" * 20_000])))
    with pytest.raises(FeedError, match="more than"):
        await source.get("/x", {})


async def test_nobody_there(clock: ManualClock, free_port: int) -> None:
    source = HttpSource(f"http://127.0.0.1:{free_port}", clock)
    with pytest.raises(FeedError, match="refused"):
        await source.get("/x", {})
    source.close()


async def test_a_proxy_of_the_environment_is_not_for_loopback(
    answering: Answering, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    source = await answering(_says(200, "[]"))
    assert await source.get("/x", {}) == []


async def test_the_loop_goes_on_while_a_request_waits(answering: Answering) -> None:
    release = asyncio.Event()

    async def handler(_request: web.Request) -> web.Response:
        await release.wait()
        return web.json_response([1])

    source = await answering(handler)
    waiting = asyncio.ensure_future(source.get("/x", {}))
    # The server runs on this very loop: it could not answer were the loop blocked.
    release.set()
    assert await waiting == [1]


async def test_what_is_signed_is_what_is_sent(answering: Answering) -> None:
    signed: list[tuple[str, str]] = []
    seen: list[tuple[str, str, str]] = []

    def sign(method: str, path: str) -> dict[str, str]:
        signed.append((method, path))
        return {"X-Signature": f"for {path}"}

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.method, request.raw_path, request.headers["X-Signature"]))
        return web.json_response([])

    source = await answering(handler, sign=sign)
    await source.get("/reports", {"ids": "a,b", "text": "x y/ü+&"})
    await source.head("/")
    assert [(method, path) for method, path, _ in seen] == signed
    assert [header for *_, header in seen] == [f"for {path}" for _, path in signed]
    assert [method for method, _ in signed] == ["GET", "HEAD"]
    assert signed[0][1].startswith("/base/reports?ids=a%2Cb&")


async def test_nothing_is_signed_unasked(answering: Answering) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.extend(request.headers)
        return web.json_response([])

    await (await answering(handler)).get("/x", {})
    assert "Authorization" not in seen


async def test_a_part_is_an_answer_only_where_it_is_welcome(answering: Answering) -> None:
    source = await answering(_says(206, "[1]"))
    with pytest.raises(FeedError, match="206"):
        await source.get("/x", {})
    source = await answering(_says(206, "[1]"), accept=(200, 206))
    assert await source.get("/x", {}) == [1]


@pytest.mark.parametrize("status", [200, 301, 401, 404])
async def test_the_head_is_read_whatever_the_status(answering: Answering, status: int) -> None:
    source = await answering(_says(status, X_Origins="{1,2}"))
    assert (await source.head("/"))["x-origins"] == "{1,2}"


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_the_head_of_a_venue_in_trouble_is_none(answering: Answering, status: int) -> None:
    source = await answering(_says(status, X_Origins="{1,2}", Retry_After="7"))
    with pytest.raises(FeedError, match=str(status)):
        await source.head("/")
    if status != 500:
        with pytest.raises(FeedError, match="asked us to wait"):
            await source.head("/")


async def test_headers_are_told_before_the_status_is_judged(answering: Answering) -> None:
    def object_to(headers: Mapping[str, str]) -> None:
        raise FeedError(f"the answer says {headers['X-Word']}")

    for status in (200, 401, 404):
        source = await answering(_says(status, "{}", X_Word="no"), on_headers=object_to)
        with pytest.raises(FeedError, match="the answer says no"):
            await source.get("/x", {})
        with pytest.raises(FeedError, match="the answer says no"):
            await source.head("/")
