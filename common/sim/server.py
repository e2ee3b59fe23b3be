"""The simulated venue as a whole: one loopback server, the player behind it and the control paths beside it.

Joins the parts and runs them; every wire format lives in a dialect, every decision in the script.
"""

import asyncio
import errno
import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from common.errors import DependencyMissing
from common.sim.delivery import QUEUE_LIMIT
from common.sim.faults import FaultBoard, FaultFile, read_faults
from common.sim.market.auth_rest import AuthRest
from common.sim.market.gamma_dialect import series_id
from common.sim.market.market_channel import MarketChannel
from common.sim.market.price_history import PriceHistory
from common.sim.market.rest import Rest, edge
from common.sim.oracle.chainlink_channel import ChainlinkChannel
from common.sim.oracle.chainlink_rest import ChainlinkRest
from common.sim.oracle.exchange_channel import ExchangeChannel
from common.sim.oracle.exchange_dialect import DIALECTS
from common.sim.oracle.polybolt_channel import PolyboltChannel
from common.sim.oracle.rtds_channel import RtdsChannel
from common.sim.player import Player
from common.sim.script import Script, ScriptEvent
from common.sim.settings import SimSettings
from common.sim.trading.venue_trading import VenueTrading
from common.sim.world import Ticked, World
from common.units import SECOND

log = logging.getLogger(__name__)

_FAULT_FILE_POLL_S = 0.1
_SHUTDOWN_S = 1.0


class Venue:
    """Everything one run consists of; serves between `open` and `close`, plays in `run`."""

    def __init__(
        self,
        settings: SimSettings,
        script: Script,
        now_ns: Callable[[], int] = time.time_ns,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self.board = FaultBoard()
        self.world = World()
        self.api_keys: dict[str, tuple[str, str]] = dict(settings.polybolt_credentials)
        """API key to secret and passphrase: whoever PolyBolt lets in."""
        key_owners: dict[str, str] = {}
        self.trading = VenueTrading(
            settings, self.world, self.board, self.api_keys, key_owners, queue_limit, now_ns
        )
        self._auth = AuthRest(self.api_keys, key_owners, now_ns)
        delays = script.route_delays_ms
        self.rtds = RtdsChannel(self.board, now_ns, queue_limit, delays.get("rtds", 0))
        self.market = MarketChannel(self.world, self.board, queue_limit)
        self.history = PriceHistory()
        self.polybolt = PolyboltChannel(
            self.board, now_ns, queue_limit, self.api_keys, delays.get("polybolt", 0)
        )
        self.chainlink = ChainlinkChannel(
            self.board,
            now_ns,
            queue_limit,
            script.assets,
            settings.chainlink_credentials,
            delays.get("chainlink", 0),
        )
        self.exchanges = tuple(
            ExchangeChannel(dialect, script.assets, self.board, now_ns, queue_limit) for dialect in DIALECTS
        )
        self._oracles: tuple[RtdsChannel | PolyboltChannel | ChainlinkChannel | ExchangeChannel, ...] = (
            self.rtds,
            self.polybolt,
            self.chainlink,
            *self.exchanges,
        )
        self._outlets = (
            *(channel.outlet for channel in self._oracles),
            self.market.outlet,
            self.trading.channel.outlet,
        )
        self.player = Player(script, self.happen)
        self._settings = settings
        self._script = script
        self._now_ns = now_ns
        self._requests: Counter[str] = Counter()
        self._fault_file = FaultFile(Path(settings.faults_file), self.board) if settings.faults_file else None
        self._runner: web.AppRunner | None = None

    async def open(self) -> int:
        """Let the past happen, listen and return the port; raises DependencyMissing when it is taken."""
        if self._fault_file is not None:
            self._fault_file.look()
        await self.trading.open()
        self.player.catch_up(self._now_ns())
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        site = web.TCPSite(runner, self._settings.host, self._settings.port)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            await self.trading.close()
            cause = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror
            raise DependencyMissing(
                f"the simulated venue cannot listen on {self._settings.listen}: {cause}; "
                "stop the other program or change listen"
            ) from None
        self._runner = runner
        port = int(runner.addresses[0][1])
        log.info(
            "simulated venue listens on %s:%d and plays %s", self._settings.host, port, self._script.title
        )
        return port

    async def run(self) -> None:
        """Play the script and watch the fault file; serving goes on when this returns."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.player.play(self._now_ns, asyncio.sleep))
            tasks.create_task(self.trading.run())
            if self._fault_file is not None:
                tasks.create_task(self._watch(self._fault_file))

    async def close(self) -> None:
        """Cut every connection and stop listening."""
        for channel in self._oracles:
            channel.route.stop()
        self.trading.stop()
        for outlet in self._outlets:
            for link in tuple(outlet.links):
                link.cut()
        if self._runner is not None:
            await self._runner.cleanup()
        await self.trading.close()

    def happen(self, events: list[ScriptEvent], at_ns: int) -> None:
        """Let events of one millisecond change the world and send what follows to every connection."""
        for change in self.world.apply(events, at_ns):
            if isinstance(change, Ticked):
                for channel in self._oracles:
                    channel.route.carry(change)
            else:
                self.trading.market_changed(change)
                self.market.publish(change)
                self.history.note(change)

    def state(self) -> dict[str, Any]:
        """What ``GET /control/state`` tells."""
        script, position = self._script, self.player.position
        return {
            "title": script.title,
            "cadence": script.cadence,
            "window_s": script.window_s,
            "assets": list(script.assets),
            "oracle": script.oracle,
            "book": script.book,
            "speed": script.speed,
            "ends_ns": script.ends_ns,
            "notes": list(script.notes),
            "series": {asset: series_id(asset, script.cadence) for asset in script.assets},
            "steps": position.steps,
            "position_ns": position.at_ns,
            "late_ms": position.late_ms,
            "done": position.done,
            "connections": {outlet.channel: len(outlet.links) for outlet in self._outlets},
            "frames": {outlet.channel: dict(outlet.sent) for outlet in self._outlets},
            "requests": dict(self._requests),
            "listed": list(self.world.markets),
            "resolved": {
                slug: market.outcome
                for slug, market in self.world.markets.items()
                if market.outcome is not None
            },
            "faults": msgspec.to_builtins(self.board.current),
        }

    def _app(self) -> web.Application:
        rest = Rest(
            self.world,
            self.board,
            self._script.cadence,
            self._settings.taker_delay_ms,
            # Of a real window's length of time; a recording is played faster.
            round(self._settings.resolution_delay_s * SECOND / self._script.speed),
            self._now_ns,
        )
        app = web.Application(middlewares=[edge(self.board, self._requests)])
        app.add_routes(
            [
                web.get("/rtds", self.rtds.serve),
                web.get("/polybolt", self.polybolt.serve),
                web.get("/chainlink/api/v1/ws", self.chainlink.serve),
                *ChainlinkRest(self.chainlink).routes(),
                web.get("/ws/market", self.market.serve),
                *(web.get(f"/exchange/{each.outlet.channel}", each.serve) for each in self.exchanges),
                *self._auth.routes(),
                *self.trading.routes(),
                web.get("/control/state", self._get_state),
                web.get("/control/faults", self._get_faults),
                web.post("/control/faults", self._post_faults),
                *self.history.routes(),
                *rest.routes(),
            ]
        )
        return app

    async def _watch(self, fault_file: FaultFile) -> None:
        while True:
            fault_file.look()
            await asyncio.sleep(_FAULT_FILE_POLL_S)

    async def _get_state(self, request: web.Request) -> web.Response:
        return web.json_response(self.state())

    async def _get_faults(self, request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(self.board.current), content_type="application/json")

    async def _post_faults(self, request: web.Request) -> web.Response:
        try:
            faults = read_faults(await request.read())
        except ValueError as error:
            return web.json_response({"error": f"not a list of faults: {error}"}, status=400)
        self.board.replace(faults)
        return await self._get_faults(request)
