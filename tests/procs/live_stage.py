"""A real executor with the live adapter, a simulated venue in the test's own loop, and fake books between."""

import asyncio
import json
import multiprocessing
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import forkserver, resource_tracker
from typing import Any

import aiohttp
import msgspec

from common.messages import BookState, BookStatus, FeeSchedule, MarketState, Submit
from common.runtime.credentials import Secret
from common.sim.faults import read_faults
from common.sim.naming import resolution_source
from common.sim.script import BookSet, Listed, MarketSpec, Script
from common.sim.server import Venue
from common.sim.settings import SimAccount, SimSettings
from common.sim.token_ids import token_of
from common.units import price4_exact, size6_floor
from common.venue.signing.order_signature import Signer
from executor_stage import ROOT, SECOND, Stage, stage

KEY = "0x" + "5a" * 32
"""Worth nothing anywhere."""
ASKS = (("0.6", "100"), ("0.51", "100"), ("0.5", "7"))
BIDS = (("0.4", "10"), ("0.49", "100"))
PATIENCE = {
    "LAGGARD_ORDERS__ASK_AFTER_S": "0.3",
    "LAGGARD_ORDERS__ABSENT_AFTER_S": "1.5",
    "LAGGARD_ORDERS__UNKNOWN_HOLD_S": "1",
}


PRELOADED = ["common.venue.live", "common.venue.live_orders", "procs.executor", "eth_account"]
"""What costs an executor most of its start: loaded once and inherited by every one that is forked."""


def run_executor(environment: dict[str, str], before: str, log: str) -> None:
    """The body of a forked process: the executor, as ``python -m procs.executor`` would run it."""
    os.chdir(ROOT)
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = ["executor"]
    code = f"{before}\nimport runpy; runpy.run_module('procs.executor', run_name='__main__')"
    exec(compile(code, "executor", "exec"), {"__name__": "before"})


class Forked:
    """A forked executor with the face of a Popen."""

    def __init__(self, environment: dict[str, str], before: str, log: str) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._process = context.Process(target=run_executor, args=(environment, before, log))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        if self._process.exitcode is None:
            self._process.kill()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int | None:
        self._process.join(timeout)
        return self._process.exitcode


@dataclass
class LiveStage:
    """The stage of the executor, and the venue its orders go to."""

    on: Stage
    venue: Venue
    base: str
    session: aiohttp.ClientSession
    number: int = 0
    specs: dict[str, MarketSpec] = field(default_factory=dict)
    unproven: set[str] = field(default_factory=set)
    """Windows whose books the venue never bore out by a hash."""

    def start(self, *, before: str = "") -> None:
        """Start the executor; ``before`` is Python run in it first."""
        environment = {name: value for name, value in os.environ.items() if name.startswith("LAGGARD_")}
        log = str(self.on.state_dir / "executor.log")
        process: Any = Forked(environment | self.on.environment, before, log)
        self.on.process = process
        self.on.processes.append(process)

    def list_current_window(self) -> None:
        """List the window of this quarter of an hour, as discovery expects it."""
        now_s = int(time.time())
        start_s = now_s - now_s % 900
        spec = MarketSpec(
            slug=f"btc-updown-15m-{start_s}",
            asset="btc",
            condition_id="0x" + "cd" * 32,
            token_up="7001",
            token_down="7002",
            start_ns=start_s * SECOND,
            end_ns=(start_s + 900) * SECOND,
            listed_ns=(start_s - 3600) * SECOND,
            twap_lookback_s=60,
            resolution_source=resolution_source("btc", 60),
        )
        books = [BookSet(token, BIDS, ASKS) for token in (spec.token_up, spec.token_down)]
        self.venue.happen([Listed(spec), *books], time.time_ns())

    def open_window(
        self,
        name: str,
        *,
        lasts_s: float = 300,
        asks: Any = ASKS,
        version: str = "v1",
        tick: str = "0.01",
        proven: bool = True,
    ) -> None:
        """List a market at the venue and tell the executor of it and of its book."""
        if not proven:
            self.unproven.add(name)
        self.number += 1
        now = time.time_ns()
        # The bits that are zero in every id of v2 tell which ledger holds a token: an id of v1 is a hash.
        base = 1_000_000 + self.number * 10
        up_id, down_id = (base, base + 1) if version == "v2" else map(partial(token_of, self.number), (0, 1))
        spec = MarketSpec(
            slug=name,
            asset="btc",
            condition_id=f"0x{self.number:064x}",
            token_up=str(up_id),
            token_down=str(down_id),
            start_ns=now - 60 * SECOND,
            end_ns=now + int(lasts_s * SECOND),
            listed_ns=now - 600 * SECOND,
            twap_lookback_s=60,
            version=version,
            tick_size=tick,
        )
        self.specs[name] = spec
        up = BookSet(spec.token_up, BIDS, asks)
        down = BookSet(spec.token_down, BIDS, ASKS)
        self.venue.happen([Listed(spec), up, down], now)
        market = MarketState(
            window=name,
            asset="btc",
            condition_id=spec.condition_id,
            version=version,
            token_up=spec.token_up,
            token_down=spec.token_down,
            rule="twap",
            lookback_s=60,
            start_ns=spec.start_ns,
            end_ns=spec.end_ns,
            fee=FeeSchedule(rate_ppm=70_000, exponent=1),
            taker_delay_ns=20_000_000,
            tick4=price4_exact(tick),
            min_size6=5_000_000,
            accepting=True,
        )
        self.on.publish_market(market)
        self.publish_book(name)

    def publish_book(self, name: str, status: BookStatus = "live") -> None:
        """Tell the executor what the venue's Up book is now."""
        assert self.on.publisher is not None
        spec = self.specs[name]
        asks = self.venue.world.by_token[spec.token_up].books[spec.token_up].asks
        now_ns = self.on.clock.wall_ns()
        book = BookState(
            token=spec.token_up,
            window=name,
            outcome="up",
            status=status,
            bids=((4_900, 100_000_000),),
            asks=tuple((price4_exact(price), size6_floor(size)) for price, size in reversed(asks)),
            tick4=100,
            venue_ns=now_ns,
            data_mono_ns=self.on.clock.mono_ns(),
            proven_ns=0 if name in self.unproven else now_ns,
        )
        self.on.publisher.publish(f"book.{book.token}", book, keep=True)

    def settle(self, name: str, outcome: str) -> None:
        self.on.settle(name, outcome)

    def wish(self, name: str, **changes: Any) -> Submit:
        """An order for Up of ten dollars, decided now."""
        plain = self.on.wish(name)
        return msgspec.structs.replace(plain, **{"token": self.specs[name].token_up, **changes})

    def faults(self, *faults: dict[str, Any]) -> None:
        """Make the venue misbehave from now on."""
        self.venue.board.replace(read_faults(json.dumps(faults).encode()))

    async def truth(self) -> dict[str, Any]:
        """What the venue knows, orders by their id."""
        async with self.session.get(self.base + "/control/account") as answer:
            told: dict[str, Any] = await answer.json()
        return told


@asynccontextmanager
async def live_stage(
    settings: dict[str, Any] | None = None, *, mode: str = "live", **environment: str
) -> AsyncIterator[LiveStage]:
    """Everything but the executor, which ``start`` starts; in paper mode the venue only shows markets."""
    signer = Signer(Secret(KEY)).address
    accounts = (SimAccount(signer=signer, kind="eoa", usd6=10_000_000_000),)
    sim = SimSettings(listen="127.0.0.1:0", accounts=accounts, taker_delay_ms=20, **(settings or {}))
    venue = Venue(sim, Script("a test", "15m", 900, ("btc",), iter(()), None))
    port = await venue.open()
    base = f"http://127.0.0.1:{port}"
    urls = {
        "LAGGARD_MODE": mode,
        "LAGGARD_WALLET__KIND": "eoa",
        "LAGGARD_WALLET__ADDRESS": signer,
        "LAGGARD_EVIDENCE__WAIVER": "No real money: the venue of this test is simulated.",
        "LAGGARD_VENUE__CLOB_URL": f"{base}/clob",
        "LAGGARD_VENUE__GAMMA_URL": f"{base}/gamma",
        "LAGGARD_VENUE__DATA_URL": f"{base}/data",
        "LAGGARD_VENUE__CLOB_WS_URL": f"ws://127.0.0.1:{port}/ws/market",
        "LAGGARD_VENUE__CLOB_USER_WS_URL": f"ws://127.0.0.1:{port}/ws/user",
        "LAGGARD_VENUE__GEOBLOCK_URL": f"{base}/geoblock",
        "LAGGARD_VENUE__CHAIN_RPC_URLS": f"{base}/chain",
    }
    try:
        async with stage(**urls, **PATIENCE, **environment) as on, aiohttp.ClientSession() as session:
            credentials = on.state_dir / "credentials"
            credentials.mkdir(mode=0o700)
            file = credentials / "trading.json"
            file.touch(mode=0o600)
            file.write_text(json.dumps({"private_key": KEY}))
            on.environment["LAGGARD_PATHS__CREDENTIALS_DIR"] = str(credentials)
            yield LiveStage(on, venue, base, session)
    finally:
        await venue.close()


def stop_forking() -> None:
    """End the process the executors are forked from."""
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()


async def until_accepted(live: LiveStage, name: str, limit_s: float = 15.0) -> str:
    """Submit one intent until it is accepted; returns its order id."""
    from common.errors import CallRefused, CallTimedOut
    from common.messages import Accepted

    deadline = time.monotonic() + limit_s
    while True:
        try:
            answer = await live.on.ask(live.wish(name), timeout_s=0.5)
        except (CallTimedOut, CallRefused) as error:
            log = (live.on.state_dir / "executor.log").read_text()[-2000:]
            assert time.monotonic() < deadline, f"{error}\n{log}"
            live.publish_book(name)
            await asyncio.sleep(0.02)
            continue
        assert isinstance(answer, Accepted)
        return answer.order_id
