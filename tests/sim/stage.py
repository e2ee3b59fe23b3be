"""A simulated venue on a free port with one synthetic market, and clients that wait with a limit."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from common.sim.delivery import QUEUE_LIMIT
from common.sim.script import BookSet, Listed, MarketSpec, Observed, Script, ScriptEvent, Step
from common.sim.server import Venue
from common.sim.settings import SimSettings

START_S = 1_800_000_000
UP, DOWN = "1111", "2222"
LIMIT_S = 5.0
TWAP, SPOT, EXCHANGE = "crypto_prices_twap_sixty", "crypto_prices_chainlink", "crypto_prices"


def spec(**changes: Any) -> MarketSpec:
    fields: dict[str, Any] = {
        "slug": f"btc-updown-15m-{START_S}",
        "asset": "btc",
        "condition_id": "0x" + "ab" * 32,
        "token_up": UP,
        "token_down": DOWN,
        "start_ns": START_S * 10**9,
        "end_ns": (START_S + 900) * 10**9,
        "listed_ns": (START_S - 86_000) * 10**9 + 486_981_000,
        "resolution_source": "https://example.test/btc-twap",
        "twap_lookback_s": 60,
        "question": "Bitcoin Up or Down",
    }
    return MarketSpec(**(fields | changes))


MARKET = spec()
SLUG = MARKET.slug
UP_BOOK = BookSet(UP, (("0.4", "10"), ("0.49", "20")), (("0.6", "10"), ("0.51", "5")))
DOWN_BOOK = BookSet(DOWN, (("0.4", "10"), ("0.49", "5")), (("0.6", "10"), ("0.51", "20")))


def observed(second: int, value_e18: int, topic: str = TWAP, symbol: str = "btc/usd") -> Observed:
    window_s = {TWAP: 60, "crypto_prices_twap_thirty": 30}.get(topic)
    return Observed(topic, symbol, (START_S + second) * 1000, value_e18, window_s)


def script(steps: Iterable[Step] = (), delays: Mapping[str, int] | None = None) -> Script:
    return Script("a test", "15m", 900, ("btc",), iter(steps), None, route_delays_ms=delays or {})


class Stage:
    """The venue under test and ways to talk to it."""

    def __init__(self, venue: Venue, port: int, session: aiohttp.ClientSession) -> None:
        self.venue = venue
        self.base = f"http://127.0.0.1:{port}"
        self.session = session

    def happen(self, *events: ScriptEvent, at_ms: int = START_S * 1000) -> None:
        self.venue.happen(list(events), at_ms * 1_000_000)

    def open_market(self, market: MarketSpec = MARKET) -> None:
        self.happen(Listed(market), UP_BOOK, DOWN_BOOK)

    async def get(self, path: str, **kwargs: Any) -> tuple[int, Any]:
        async with self.session.get(self.base + path, **kwargs) as answer:
            return answer.status, json.loads(await answer.read())

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        async with self.session.post(self.base + path, json=body) as answer:
            return answer.status, json.loads(await answer.read())

    async def faults(self, *faults: dict[str, Any]) -> None:
        status, _ = await self.post("/control/faults", list(faults))
        assert status == 200

    async def rtds(self, *subscriptions: dict[str, str]) -> "Client":
        client = Client(await self.session.ws_connect(self.base + "/rtds"))
        assert await client.text() == ""
        if subscriptions:
            await client.send({"action": "subscribe", "subscriptions": list(subscriptions)})
            await client.sync()
        return client

    async def market(self, *tokens: str, custom: bool = True) -> "Client":
        client = Client(await self.session.ws_connect(self.base + "/ws/market"))
        await client.send({"assets_ids": list(tokens), "type": "market", "custom_feature_enabled": custom})
        return client


class Client:
    """One WebSocket client that never waits for ever."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, message: Any) -> None:
        await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def message(self) -> aiohttp.WSMessage:
        return await asyncio.wait_for(self.socket.receive(), LIMIT_S)

    async def text(self) -> str:
        message = await self.message()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return str(message.data)

    async def json(self) -> Any:
        return json.loads(await self.text())

    async def sync(self) -> list[str]:
        """Everything sent before the answer to a request that is always refused."""
        await self.send("sync?")
        return await self._until(lambda text: "Invalid request body" in text)

    async def pong(self) -> list[str]:
        """Everything sent before the answer to a ping."""
        await self.send("PING")
        return await self._until(lambda text: text == "PONG")

    async def _until(self, last: Callable[[str], bool]) -> list[str]:
        seen = []
        while not last(text := await self.text()):
            seen.append(text)
        return seen


@asynccontextmanager
async def stage(
    steps: Iterable[Step] = (),
    now_ns: Callable[[], int] = time.time_ns,
    queue_limit: int = QUEUE_LIMIT,
    delays: Mapping[str, int] | None = None,
    **settings: Any,
) -> AsyncIterator[Stage]:
    venue = Venue(SimSettings(listen="127.0.0.1:0", **settings), script(steps, delays), now_ns, queue_limit)
    port = await venue.open()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(venue.run())
        try:
            async with aiohttp.ClientSession(headers={"User-Agent": "laggard-test"}) as session:
                yield Stage(venue, port, session)
        finally:
            running.cancel()
            await venue.close()


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a limit."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.005)
