"""What Chainlink answers over HTTP, against a server that checks every signature: origins, pages, clocks."""

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from common.errors import FeedError
from common.feeds.http import HttpSource
from common.feeds.oracle import chainlink_rest
from common.feeds.oracle.chainlink_auth import signature
from common.feeds.oracle.chainlink_rest import find_origins, reports_between, signed_source
from common.runtime.clock import ManualClock
from common.runtime.credentials import Secret
from common.units import SECOND
from tests.feeds.signed_reports import NOW_NS, NOW_S, SPOT_BTC, SPOT_ETH, envelope

CREDENTIALS = {"client_id": Secret("reader-1"), "secret": Secret("a#secret")}
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Service:
    """The other end: it lets in whoever signs, and answers pages from what it holds."""

    clock: ManualClock
    held: list[Any] = field(default_factory=list)
    """Envelopes, or whatever else a page is to have in it, oldest first."""
    page_size: int = 3
    origins: str | None = None
    status: int = 200
    offset_s: int = 0
    """How far its clock is ahead of ours."""
    answer: Any = None
    """In place of a page."""
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.raw_path))
        headers = {"Date": formatdate(self.clock.wall_ns() // SECOND + self.offset_s, usegmt=True)}
        if self.origins is not None:
            headers["X-Cll-Available-Origins"] = self.origins
        if self.status != 200:
            return web.Response(status=self.status, headers=headers)
        if not self._is_signed(request):
            return web.Response(status=401, headers=headers)
        if request.method == "HEAD":
            return web.Response(headers=headers)
        assert request.path == "/api/v1/reports/page"
        page = self._page(int(request.query["startTimestamp"])) if self.answer is None else self.answer
        return web.json_response(page, headers=headers)

    def starts(self) -> list[int]:
        """Where each page asked for began, in seconds after now."""
        return [int(path.rpartition("=")[2]) - NOW_S for _, path in self.asked]

    def _is_signed(self, request: web.Request) -> bool:
        expected = signature(
            request.method, request.raw_path, b"", "reader-1", "a#secret", self.clock.wall_ns() // 1_000_000
        )
        given = request.headers.get("X-Authorization-Signature-SHA256", "")
        return hmac.compare_digest(expected, given)

    def _page(self, start_s: int) -> dict[str, Any]:
        reports = [each for each in self.held if _stamp(each) >= start_s]
        return {"reports": reports[: self.page_size]}


def _stamp(each: Any) -> int:
    stamp: int = each["observationsTimestamp"] if isinstance(each, dict) else NOW_S
    return stamp


@pytest_asyncio.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Service, HttpSource]]:
    monkeypatch.setattr(chainlink_rest, "PAUSE_S", 0)
    made = Service(ManualClock(wall=NOW_NS + 3600 * SECOND, mono=SECOND))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    server = TestServer(app)
    await server.start_server()
    source = signed_source(str(server.make_url("/")), CREDENTIALS, made.clock)
    yield made, source
    source.close()
    await server.close()


Served = tuple[Service, HttpSource]


async def fetched(served: Served, from_s: float, to_s: float) -> list[int]:
    """The observation times of what comes, in seconds after now."""
    service, source = served
    reports = await reports_between(
        source, service.clock, SPOT_BTC, NOW_NS + int(from_s * SECOND), NOW_NS + int(to_s * SECOND)
    )
    return [(report.observed_ns - NOW_NS) // SECOND for report in reports]


def at(*seconds: int, feed_id: str = SPOT_BTC) -> list[dict[str, Any]]:
    return [envelope(feed_id, observed_s=NOW_S + second) for second in seconds]


# --- origins -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "origins"),
    [
        ("{001,002}", ("001", "002")),
        ("001,002", ("001", "002")),
        ("{eu-1.a, us_2 ,}", ("eu-1.a", "us_2")),
        ("{001,001}", ("001",)),
        ("{}", ()),
        ("", ()),
        (None, ()),
    ],
)
async def test_origins_are_named_in_a_header(
    service: Served, header: str | None, origins: tuple[str, ...]
) -> None:
    service[0].origins = header
    assert await find_origins(service[1]) == origins
    assert service[0].asked == [("HEAD", "/")]


@pytest.mark.parametrize("header", ["{a b}", "{001;002}", "{ü}", "{" + "x" * 65 + "}", "{1,2,3,4,5,6,7,8,9}"])
async def test_origins_that_are_no_names_or_too_many_are_refused(service: Served, header: str) -> None:
    service[0].origins = header
    with pytest.raises(FeedError, match="no usable origins"):
        await find_origins(service[1])


async def test_a_busy_host_names_no_origins(service: Served) -> None:
    service[0].status = 503
    with pytest.raises(FeedError, match="503"):
        await find_origins(service[1])


async def test_a_host_that_does_not_let_us_in_may_still_name_its_origins(service: Served) -> None:
    """The status of this request means nothing: the venue's own client reads the header and no more."""
    service[0].status, service[0].origins = 404, "{001,002}"
    assert await find_origins(service[1]) == ("001", "002")


# --- pages ---------------------------------------------------------------------------------------------


async def test_pages_are_asked_until_the_end(service: Served) -> None:
    service[0].held = at(*range(10))
    assert await fetched(service, 0, 7) == list(range(8))
    assert service[0].starts() == [0, 3, 6]
    assert service[0].asked[0] == (
        "GET",
        f"/api/v1/reports/page?feedID={SPOT_BTC}&startTimestamp={NOW_S}",
    )


async def test_both_ends_are_included_and_nothing_else(service: Served) -> None:
    service[0].held = at(*range(-2, 6))
    assert await fetched(service, 1, 3) == [1, 2, 3]
    service[0].asked.clear()
    assert await fetched(service, 1.5, 3.5) == [2, 3]
    assert service[0].starts() == [2]
    assert await fetched(service, 3, 2) == []


async def test_a_page_that_begins_too_early_gives_only_what_was_asked(service: Served) -> None:
    service[0].answer = {"reports": at(0, 1, 2, 3)}
    assert await fetched(service, 1, 2) == [1, 2]


async def test_the_past_may_have_gaps_and_an_end(service: Served) -> None:
    service[0].held = at(0, 1, 5, 9)
    assert await fetched(service, 0, 100) == [0, 1, 5, 9]
    assert service[0].starts() == [0, 6, 10]


async def test_an_endless_past_ends(service: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chainlink_rest, "MAX_PAGES", 4)
    service[0].held = at(*range(100))
    assert await fetched(service, 0, 99) == list(range(12))


async def test_pages_that_stand_still_end(service: Served) -> None:
    service[0].answer = {"reports": at(0)}
    assert await fetched(service, 0, 50) == [0]
    assert service[0].starts() == [0, 1]


async def test_reports_come_oldest_first_and_once(service: Served) -> None:
    service[0].answer = {"reports": at(2, 0, 1, 2)}
    assert await fetched(service, 0, 2) == [0, 1, 2]


async def test_refused_reports_are_left_out(service: Served) -> None:
    broken = [
        {"fullReport": "0x00"},
        at(1)[0] | {"fullReport": at(2)[0]["fullReport"]},
        at(7200)[0],
        at(1, feed_id=SPOT_ETH)[0],
        None,
        7,
    ]
    service[0].answer = {"reports": [*broken, *at(0, 3)]}
    assert await fetched(service, 0, 10_000) == [0, 3]


async def test_a_page_of_refused_reports_is_not_the_last(service: Served) -> None:
    refused = [each | {"fullReport": "0x00"} for each in at(1, 2, 3, 4, 5)]
    service[0].held = [*at(0), *refused, *at(6, 7)]
    assert await fetched(service, 0, 7) == [0, 6, 7]


@pytest.mark.parametrize("stated", [10**40, -1, None, "soon", NOW_S + 3601])
async def test_a_refused_report_cannot_lead_the_pages_astray(service: Served, stated: object) -> None:
    service[0].answer = {"reports": [*at(0), {"observationsTimestamp": stated}]}
    assert await fetched(service, 0, 50) == [0]
    assert service[0].starts() == [0, 1]


@pytest.mark.parametrize("answer", [[], 7, "x", {}, {"reports": None}, {"reports": {}}, {"report": {}}])
async def test_what_is_no_list_of_reports_is_an_error(service: Served, answer: object) -> None:
    service[0].answer = answer
    with pytest.raises(FeedError, match="no list of reports"):
        await fetched(service, 0, 1)


async def test_a_feed_nobody_knows_is_an_error(service: Served) -> None:
    service[0].status = 404
    with pytest.raises(FeedError, match=f"knows no feed {SPOT_BTC}"):
        await fetched(service, 0, 1)


async def test_a_part_of_a_page_is_taken(service: Served) -> None:
    async def partial(request: web.Request) -> web.Response:
        date = formatdate(service[0].clock.wall_ns() // SECOND, usegmt=True)
        return web.json_response({"reports": at(0)}, status=206, headers={"Date": date})

    app = web.Application()
    app.router.add_get("/{path:.*}", partial)
    server = TestServer(app)
    await server.start_server()
    source = signed_source(str(server.make_url("/")), CREDENTIALS, service[0].clock)
    assert await fetched((service[0], source), 0, 0) == [0]
    source.close()
    await server.close()


# --- who asks, and when --------------------------------------------------------------------------------


async def test_a_wrong_secret_is_refused_and_never_shown(service: Served) -> None:
    wrong = {"client_id": Secret("reader-1"), "secret": Secret("another#secret")}
    source = signed_source(f"http://{service[1].host}", wrong, service[0].clock)
    with pytest.raises(FeedError, match="401") as refused:
        await fetched((service[0], source), 0, 1)
    source.close()
    assert "secret" not in str(refused.value) and "reader" not in str(refused.value)


@pytest.mark.parametrize("status", [200, 401, 404])
@pytest.mark.parametrize(("offset_s", "side"), [(6, "behind"), (-6, "ahead of")])
async def test_a_clock_that_is_off_is_told_whatever_the_status(
    service: Served, status: int, offset_s: int, side: str
) -> None:
    service[0].offset_s, service[0].status = offset_s, status
    with pytest.raises(FeedError, match=rf"our clock is 6\.0 s {side}"):
        await fetched(service, 0, 1)
    with pytest.raises(FeedError, match=rf"our clock is 6\.0 s {side}"):
        await find_origins(service[1])
