"""A discovery before a simulated venue, or before whatever a test answers."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer

from common.feeds.http import HttpSource
from common.feeds.market.discovery import Discovery
from common.messages import MarketState
from common.runtime.clock import ManualClock
from common.sim.faults import Fault
from common.sim.naming import resolution_source
from common.sim.script import BookSet, Listed, MarketSpec, Script, ScriptEvent
from common.sim.server import Venue
from common.sim.settings import SimSettings
from common.units import SECOND

START_S = 1_900_000_000 // 900 * 900
LENGTH_S = 900
DAY_S = 86_400
READ_S = 2.0
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def spec(
    start_s: int = START_S,
    asset: str = "btc",
    cadence: str = "15m",
    length_s: int = LENGTH_S,
    version: str = "v1",
) -> MarketSpec:
    # The last byte is zero, as it is in every v2 id.
    number = sum(map(ord, asset + cadence)) * 10**10 + start_s
    return MarketSpec(
        slug=f"{asset}-updown-{cadence}-{start_s}",
        asset=asset,
        condition_id=f"0x{number:062x}00",
        version=version,
        token_up=f"{number}1",
        token_down=f"{number}2",
        start_ns=start_s * SECOND,
        end_ns=(start_s + length_s) * SECOND,
        listed_ns=(start_s - DAY_S) * SECOND,
        resolution_source=resolution_source(asset, 60),
        twap_lookback_s=60,
    )


@dataclass
class Scene:
    """A discovery at work, and what it told."""

    discovery: Discovery
    clock: ManualClock
    venue: Venue | None = None
    told: list[MarketState] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    def list_(self, *specs: MarketSpec) -> None:
        """Let the venue list these windows, each with a book."""
        self.happen(*(Listed(each) for each in specs))
        for each in specs:
            for token in (each.token_up, each.token_down):
                self.happen(BookSet(token, (("0.49", "20"),), (("0.51", "20"),)))

    def happen(self, *events: ScriptEvent) -> None:
        assert self.venue is not None
        self.venue.happen(list(events), self.clock.wall_ns())

    def faults(self, *faults: Fault) -> None:
        assert self.venue is not None
        self.venue.board.replace(faults)

    def asked(self) -> dict[str, int]:
        assert self.venue is not None
        return dict(self.venue.state()["requests"])

    def at(self, second: float) -> None:
        """Move to this second of the first window."""
        self.clock.advance(int((START_S + second) * SECOND) - self.clock.wall_ns())

    def names(self) -> list[str]:
        return sorted(self.discovery.markets)

    def close(self) -> None:
        for source in (self.discovery.gamma, self.discovery.clob, self.discovery.data):
            source.close()


def clock_at(second: float) -> ManualClock:
    """Clocks at this second of the first window."""
    return ManualClock(wall=int((START_S + second) * SECOND), mono=1_000 * SECOND)


def scene_at(base_url: str, clock: ManualClock, lookahead_s: int = 1_800) -> Scene:
    told: list[MarketState] = []
    refused: list[str] = []
    silent: list[str] = []
    base = base_url.rstrip("/")
    discovery = Discovery(
        gamma=HttpSource(f"{base}/gamma", clock, read_s=READ_S),
        clob=HttpSource(f"{base}/clob", clock, read_s=READ_S),
        data=HttpSource(f"{base}/data", clock, read_s=READ_S),
        assets=frozenset({"btc", "eth"}),
        cadence="15m",
        lookahead_ns=lookahead_s * SECOND,
        clock=clock,
        log=structlog.get_logger(),
        on_change=told.append,
        on_refusal=refused.append,
        on_silence=silent.append,
    )
    return Scene(discovery, clock, told=told, refused=refused, silent=silent)


@contextlib.asynccontextmanager
async def venue(lookahead_s: int = 1_800) -> AsyncIterator[Scene]:
    """A simulated venue that lists nothing yet, ten seconds into the first window; it shares our clock."""
    clock = clock_at(10)
    script = Script("a test", "15m", LENGTH_S, ("btc",), iter(()), None)
    served = Venue(SimSettings(listen="127.0.0.1:0", taker_delay_ms=150), script, clock.wall_ns)
    port = await served.open()
    scene = scene_at(f"http://127.0.0.1:{port}", clock, lookahead_s)
    scene.venue = served
    try:
        yield scene
    finally:
        scene.close()
        await served.close()


@contextlib.asynccontextmanager
async def answered_by(handler: Handler) -> AsyncIterator[Scene]:
    """Whatever is asked, this handler answers."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    server = TestServer(app)
    await server.start_server()
    scene = scene_at(str(server.make_url("")), clock_at(10))
    try:
        yield scene
    finally:
        scene.close()
        await server.close()
