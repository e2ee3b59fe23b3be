"""A real executor process beside a fake books publisher, for tests."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import zmq.asyncio

from common.errors import CallRefused, CallTimedOut
from common.messages import (
    Accepted,
    AccountReport,
    Answer,
    BookProof,
    BookState,
    BookStatus,
    Command,
    Envelope,
    FeeSchedule,
    FollowWindows,
    MarketState,
    ProveBook,
    ReadAccount,
    Submit,
    TakeSnapshot,
)
from common.runtime.calls import call
from common.runtime.clock import SystemClock
from common.runtime.publisher import Publisher
from common.runtime.responder import Responder
from common.runtime.subscriber import Subscriber

ROOT = Path(__file__).resolve().parents[2]
SECOND = 1_000_000_000
LIMITS = {
    "LAGGARD_RISK__MAX_ORDERS_PER_MINUTE": "10000",
    "LAGGARD_RISK__MAX_POSITIONS": "1000",
    "LAGGARD_RISK__MAX_ASSET_USD": "100000",
    "LAGGARD_RISK__MAX_DIRECTION_USD": "100000",
    "LAGGARD_RISK__MAX_DAILY_LOSS_USD": "100000",
    "LAGGARD_RISK__MAX_LOSS_STREAK": "10000",
    "LAGGARD_PAPER__BANKROLL_USD": "10000",
}


async def until(condition: Callable[[], object], limit_s: float = 15.0) -> None:
    """Wait until something is so, at most so long."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.01)


@dataclass
class Stage:
    """The fake books, the executor under test and somebody who calls it."""

    state_dir: Path
    run_dir: Path
    environment: dict[str, str]
    ctx: zmq.asyncio.Context
    clock: SystemClock = field(default_factory=SystemClock)
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    markets: dict[str, MarketState] = field(default_factory=dict)
    followed: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    """Tokens whose proof was asked for, in order."""
    unproven: set[str] = field(default_factory=set)
    before_proof: Callable[[], Awaitable[None]] | None = None
    heard: list[Envelope] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    publisher: Publisher | None = None

    def start(self, *, before: str = "") -> None:
        """Start the executor; ``before`` is Python run in it first."""
        code = f"{before}\nimport runpy; runpy.run_module('procs.executor', run_name='__main__')"
        with (self.state_dir / "executor.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=ROOT,
                env=os.environ | self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(self.process)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=10)

    async def stop(self) -> int:
        """SIGTERM and wait; returns the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        await until(lambda: self.process is None or self.process.poll() is not None)
        return int(self.process.returncode)

    async def ask(self, body: Command, request_id: str | None = None, timeout_s: float = 1.0) -> Answer:
        return await call(
            self.ctx,
            self.run_dir,
            "executor",
            "strategist",
            body,
            clock=self.clock,
            timeout_ns=int(timeout_s * SECOND),
            request_id=request_id,
        )

    async def report(self, limit_s: float = 15.0) -> AccountReport:
        """What the executor says, as soon as it says anything."""
        deadline = time.monotonic() + limit_s
        while True:
            try:
                answer = await self.ask(ReadAccount(), timeout_s=0.2)
            except (CallTimedOut, CallRefused):
                assert time.monotonic() < deadline, (self.state_dir / "executor.log").read_text()[-3000:]
                continue
            assert isinstance(answer, AccountReport)
            return answer

    async def wait_report(
        self, right: Callable[[AccountReport], object], limit_s: float = 15.0
    ) -> AccountReport:
        """The first report of which this is so."""
        deadline = time.monotonic() + limit_s
        while not right(report := await self.report()):
            assert time.monotonic() < deadline, report
            await asyncio.sleep(0.05)
        return report

    def open_window(self, name: str, *, lasts_s: float, delay_ms: int = 50) -> MarketState:
        """Publish a tradable window with a live Up book."""
        now = self.clock.wall_ns()
        market = MarketState(
            window=name,
            asset="btc",
            condition_id="0xc0",
            version="v1",
            token_up=f"{name}-up",
            token_down=f"{name}-down",
            rule="twap",
            lookback_s=60,
            start_ns=now - 60 * SECOND,
            end_ns=now + int(lasts_s * SECOND),
            fee=FeeSchedule(rate_ppm=70_000, exponent=1),
            taker_delay_ns=delay_ms * 1_000_000,
            tick4=100,
            min_size6=5_000_000,
            accepting=True,
        )
        self.publish_market(market)
        self.publish_book(name)
        return market

    def publish_market(self, market: MarketState) -> None:
        assert self.publisher is not None
        self.markets[market.window] = market
        self.publisher.publish(f"market.{market.window}", market, keep=True)

    def publish_book(
        self, name: str, asks: tuple[tuple[int, int], ...] | None = None, status: BookStatus = "live"
    ) -> None:
        assert self.publisher is not None
        book = BookState(
            token=f"{name}-up",
            window=name,
            outcome="up",
            status=status,
            bids=((4_900, 100_000_000),),
            asks=asks or ((5_000, 7_000_000), (5_100, 100_000_000)),
            tick4=100,
            venue_ns=self.clock.wall_ns(),
            data_mono_ns=self.clock.mono_ns(),
        )
        self.publisher.publish(f"book.{book.token}", book, keep=True)

    def settle(self, name: str, outcome: str) -> None:
        """Publish the official outcome."""
        changed = {"outcome": outcome, "closed": True, "accepting": False}
        self.publish_market(msgspec.structs.replace(self.markets[name], **changed))

    def wish(self, name: str, stake_usd6: int = 10_000_000) -> Submit:
        """An order for Up, decided now."""
        return Submit(
            intent_id=f"{name}/up/lag",
            window=name,
            asset="btc",
            token=f"{name}-up",
            outcome="up",
            strategy="lag",
            limit4=6_100,
            stake_usd6=stake_usd6,
            decided_ns=self.clock.wall_ns(),
            decided_mono_ns=self.clock.mono_ns(),
            cause="oracle-rtds/b/1",
        )

    async def submit(self, name: str, limit_s: float = 10.0) -> Accepted:
        """Submit until it is accepted, as often as it takes."""
        deadline = time.monotonic() + limit_s
        while True:
            try:
                answer = await self.ask(self.wish(name), timeout_s=0.3)
            except (CallTimedOut, CallRefused) as error:
                assert time.monotonic() < deadline, (
                    error,
                    (self.state_dir / "executor.log").read_text()[-3000:],
                )
                self.publish_book(name)
                await asyncio.sleep(0.02)
                continue
            assert isinstance(answer, Accepted)
            return answer

    def follow(self, command: Command, _request: object) -> Answer:
        assert isinstance(command, FollowWindows)
        self.followed.update(command.windows)
        return Accepted()

    async def prove(self, command: Command, _request: object) -> Answer:
        """Answer as books does: every book is proven, but those in ``unproven``."""
        assert isinstance(command, ProveBook)
        self.asked.append(command.token)
        if self.before_proof is not None:
            await self.before_proof()
        refused = command.token in self.unproven
        text = "hashes to another book" if refused else ""
        return BookProof(token=command.token, proven=not refused, venue_ns=self.clock.wall_ns(), text=text)


@asynccontextmanager
async def stage(**environment: str) -> AsyncIterator[Stage]:
    """Everything but the executor, which ``Stage.start`` starts."""
    run_dir = Path(tempfile.mkdtemp(prefix="lg"))
    state_dir = run_dir / "state"
    state_dir.mkdir(mode=0o700)
    ctx = zmq.asyncio.Context()
    variables = {"LAGGARD_STATE_DIR": str(state_dir), "LAGGARD_RUN_DIR": str(run_dir)}
    set_up = Stage(state_dir, run_dir, variables | LIMITS | environment, ctx)
    publisher = set_up.publisher = Publisher(ctx, run_dir, "books", set_up.clock)
    responder = Responder(ctx, run_dir, "books", set_up.clock)
    responder.on(FollowWindows, set_up.follow)
    responder.on(ProveBook, set_up.prove)
    responder.on(TakeSnapshot, lambda _command, _request: publisher.snapshot())
    subscriber = Subscriber(ctx, run_dir, "recorder", ["executor"], set_up.clock)

    async def listen() -> None:
        while True:
            set_up.heard += await subscriber.receive()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in (publisher.run(), responder.run(), listen())]
            try:
                yield set_up
            finally:
                for process in set_up.processes:
                    process.kill()
                    process.wait(timeout=10)
                for task in tasks:
                    task.cancel()
    finally:
        subscriber.close()
        ctx.destroy(linger=0)
        shutil.rmtree(run_dir, ignore_errors=True)
