"""The live order port on a real connection: with which credentials an order goes, what a refusal means."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import web
from aiohttp.test_utils import TestServer

from common.core.order_events import (
    DefiniteNo,
    NotSent,
    Unknown,
    VenueAnswer,
)
from common.core.order_state import (
    Order,
)
from common.messages import FeeSchedule, MarketState, OrderState, Submit
from common.runtime.clock import ManualClock
from common.runtime.credentials import Secret
from common.units import SECOND
from common.venue.clob.l2_auth import ApiKey
from common.venue.clob.order_line import OrderLine
from common.venue.clob.order_request import Account, OrderHead
from common.venue.live_orders import LiveVenue
from common.venue.port import Prepared
from common.venue.signing.order_signature import Signer

SIGNER = Signer(Secret("0x" + "5b" * 32))
ACCOUNT = Account(SIGNER, "eoa", SIGNER.address, False, 137)
NOW_NS = 1_800_000_000 * SECOND
UNAUTHORIZED = '{"error":"Unauthorized/Invalid api key"}'


def market() -> MarketState:
    return MarketState(
        window="w1",
        asset="btc",
        condition_id="0x" + "cd" * 32,
        version="v1",
        token_up="7001",
        token_down="7002",
        rule="twap",
        lookback_s=60,
        start_ns=0,
        end_ns=1,
        fee=FeeSchedule(rate_ppm=70_000, exponent=1),
        taker_delay_ns=0,
        tick4=100,
        min_size6=5_000_000,
        accepting=True,
    )


@dataclass
class Counter:
    """A venue whose answers are what a test says, and the port that sends there."""

    clock: ManualClock
    port: LiveVenue = field(init=False)
    base: str = ""
    status: int = 401
    text: str = UNAUTHORIZED
    got: list[tuple[str, str]] = field(default_factory=list)
    """API key of the head and owner of the body of each order."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append((request.headers["POLY_API_KEY"], (await request.json())["owner"]))
        await self.gate.wait()
        return web.Response(status=self.status, text=self.text, content_type="application/json")

    def head(self, key: str) -> OrderHead:
        api_key = ApiKey(SIGNER.address, Secret(key), Secret("c2VjcmV0"), Secret("phrase"))
        return OrderHead(self.base, api_key, "laggard/0.1")

    def use(self, key: str) -> None:
        self.port.use(key, self.head(key))

    def signed(self) -> Order:
        """An order, signed and journalled."""
        now_ns = self.clock.wall_ns()
        wish = Submit(
            intent_id="w1/up/lag",
            window="w1",
            asset="btc",
            token="7001",
            outcome="up",
            strategy="lag",
            limit4=6_100,
            stake_usd6=10_000_000,
            decided_ns=now_ns,
            decided_mono_ns=0,
            cause="",
        )
        prepared = self.port.prepare(wish, market())
        assert isinstance(prepared, Prepared)
        state = OrderState(
            order_id=prepared.order_id,
            intent_id=wish.intent_id,
            window="w1",
            asset="btc",
            token="7001",
            outcome="up",
            limit4=6_100,
            stake_usd6=10_000_000,
            status="working",
            reason="",
            filled_size6=0,
            cost_usd6=0,
            fee_usd6=0,
            created_ns=now_ns,
            updated_ns=now_ns,
        )
        return Order(
            state=state,
            strategy="lag",
            worst_usd6=11_000_000,
            decided_ns=now_ns,
            cause="",
            verdict_number=0,
            end_ns=1,
            fee=None,
            wire=prepared.wire,
        )

    async def placed(self) -> VenueAnswer:
        self.clock.advance(SECOND)
        return await self.port.place(self.signed(), market())


@asynccontextmanager
async def counter() -> AsyncIterator[Counter]:
    one = Counter(ManualClock(wall=NOW_NS))
    app = web.Application()
    app.router.add_post("/order", one.answer)
    async with TestServer(app) as server:
        one.base = str(server.make_url("")).rstrip("/")
        line = OrderLine(one.base, one.clock, user_agent="laggard/0.1", size=2)
        running = asyncio.ensure_future(line.run())
        one.port = LiveVenue(
            ACCOUNT,
            "first",
            one.head("first"),
            line,
            cast("Any", None),
            one.clock,
            order_life_ns=2 * SECOND,
        )
        one.gate.set()
        try:
            yield one
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def consequence(answer: VenueAnswer) -> str:
    assert isinstance(answer, DefiniteNo)
    assert answer.code == "credentials"
    return answer.consequence


async def test_an_order_goes_with_the_credentials_it_was_signed_for() -> None:
    async with counter() as one:
        await one.placed()
        one.use("second")
        await one.placed()
        assert one.got == [("first", "first"), ("second", "second")]
        order = one.signed()
        one.use("third")
        assert await one.port.place(order, market()) == NotSent(
            "signed for API credentials that have been replaced since"
        )
        assert len(one.got) == 2


async def test_refused_credentials_are_told_and_halt_when_they_are_refused_again() -> None:
    async with counter() as one:
        assert consequence(await one.placed()) == "check"
        assert consequence(await one.placed()) == "stop"


async def test_others_and_an_answer_of_any_other_kind_begin_anew() -> None:
    async with counter() as one:
        assert consequence(await one.placed()) == "check"
        one.use("second")
        assert consequence(await one.placed()) == "check"
        one.status, one.text = 400, json.dumps({"error": "no orders found to match with FAK order"})
        await one.placed()
        one.status, one.text = 401, UNAUTHORIZED
        assert consequence(await one.placed()) == "check"


async def test_orders_that_were_under_way_together_do_not_halt() -> None:
    async with counter() as one:
        one.gate.clear()
        first, second = (asyncio.ensure_future(one.placed()) for _ in range(2))
        await until(lambda: len(one.got) == 2)
        one.gate.set()
        assert [consequence(each) for each in await asyncio.gather(first, second)] == ["check", "check"]


async def test_other_refusals_mean_what_they_did() -> None:
    async with counter() as one:
        one.status, one.text = 400, '{"error":"the order owner has to be the owner of the API KEY"}'
        assert consequence(await one.placed()) == "stop"
        one.status, one.text = 401, '{"error":"unauthorized: engine"}'
        assert isinstance(await one.placed(), Unknown)
        one.text = '{"error":"Trading restricted in your region, unauthorized"}'
        region = await one.placed()
        assert isinstance(region, DefiniteNo)
        assert (region.code, region.consequence) == ("region", "stop")
