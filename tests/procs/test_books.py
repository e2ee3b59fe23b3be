"""The books process beside a simulated venue: every book is proven, what is lost is noticed and mended."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import zmq.asyncio

from common.messages import BookProof, BookState, ProveBook, Status, StatusReport
from common.runtime.calls import call
from common.runtime.clock import SystemClock
from common.runtime.subscriber import Subscriber
from common.sim.naming import resolution_source
from common.sim.script import BookSet, Listed
from executor_stage import ROOT, until
from stage import DOWN_BOOK, UP, Stage, spec, stage

pytestmark = pytest.mark.procs

POLL_S = 0.3
QUIET_S = 0.5
STALE_S = 3.0


@dataclass
class Running:
    """The process under test and what it publishes."""

    venue: Stage
    run_dir: Path
    ctx: zmq.asyncio.Context
    process: "subprocess.Popen[bytes]"
    log_file: Path
    clock: SystemClock = field(default_factory=SystemClock)
    books: dict[str, BookState] = field(default_factory=dict)

    def up(self) -> BookState | None:
        return self.books.get(UP)

    def live(self) -> bool:
        found = self.up()
        return found is not None and found.status == "live"

    async def prove(self, token: str = UP) -> BookProof:
        answer = await call(
            self.ctx, self.run_dir, "books", "executor", ProveBook(token=token), clock=self.clock
        )
        assert isinstance(answer, BookProof)
        return answer

    async def report(self) -> StatusReport:
        answer = await call(self.ctx, self.run_dir, "books", "cli", Status(), clock=self.clock)
        assert isinstance(answer, StatusReport)
        return answer

    async def count(self, name: str) -> int:
        return (await self.report()).counters.get(name, 0)

    async def counted(self, right: Callable[[StatusReport], object], limit_s: float = 15.0) -> StatusReport:
        """The first report of which this is so."""
        deadline = time.monotonic() + limit_s
        while not right(report := await self.report()):
            assert time.monotonic() < deadline, report
            await asyncio.sleep(0.05)
        return report

    def bid(self, price: str, size: str) -> None:
        """The best bid of Up is this one now."""
        bids = (("0.4", "10"), (price, size))
        self.venue.happen(BookSet(UP, bids, (("0.6", "10"), ("0.51", "5"))), at_ms=time.time_ns() // 10**6)


def start(environment: dict[str, str], log_file: Path) -> "subprocess.Popen[bytes]":
    with log_file.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "procs.books"],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    run_dir = Path(tempfile.mkdtemp(prefix="lg"))
    log_file = run_dir / "books.log"
    ctx = zmq.asyncio.Context()
    start_s = int(time.time()) - 60
    start_ns, end_ns = start_s * 10**9, (start_s + 900) * 10**9
    market = spec(
        slug=f"btc-updown-15m-{start_s}",
        start_ns=start_ns,
        end_ns=end_ns,
        listed_ns=0,
        resolution_source=resolution_source("btc", 60),
    )
    async with stage() as venue:
        up = BookSet(UP, (("0.4", "10"), ("0.49", "20")), (("0.6", "10"), ("0.51", "5")))
        venue.happen(Listed(market), up, DOWN_BOOK, at_ms=time.time_ns() // 10**6)
        (run_dir / "state").mkdir(mode=0o700)
        environment = {
            "LAGGARD_RUN_DIR": str(run_dir),
            "LAGGARD_STATE_DIR": str(run_dir / "state"),
            "LAGGARD_MARKETS__POLL_S": str(POLL_S),
            "LAGGARD_WATCH__BOOK_QUIET_S": str(QUIET_S),
            "LAGGARD_WATCH__BOOK_STALE_S": str(STALE_S),
            "LAGGARD_VENUE__GAMMA_URL": f"{venue.base}/gamma",
            "LAGGARD_VENUE__CLOB_URL": f"{venue.base}/clob",
            "LAGGARD_VENUE__DATA_URL": f"{venue.base}/data",
            "LAGGARD_VENUE__CLOB_WS_URL": f"{venue.base}/ws/market".replace("http", "ws", 1),
        }
        process = start(environment, log_file)
        on = Running(venue, run_dir, ctx, process, log_file)
        subscriber = Subscriber(ctx, run_dir, "strategist", ["books"], on.clock)

        async def listen() -> None:
            while True:
                for envelope in await subscriber.receive():
                    if isinstance(envelope.body, BookState):
                        on.books[envelope.body.token] = envelope.body

        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(listen())
                try:
                    await until(on.live)
                    yield on
                finally:
                    process.kill()
                    process.wait(timeout=10)
                    listening.cancel()
        finally:
            subscriber.close()
            ctx.destroy(linger=0)
            shutil.rmtree(run_dir, ignore_errors=True)


def test_every_published_book_gets_its_proof_and_so_does_who_asks() -> None:
    async def play() -> None:
        async with running() as on:
            proof = await on.prove()
            assert proof.proven, proof
            on.bid("0.48", "7")
            await until(lambda: (book := on.up()) and book.bids[0] == (4_800, 7_000_000))
            assert (await on.prove()).venue_ns > proof.venue_ns
            on.bid("0.47", "7")
            await until(
                lambda: (book := on.up()) and book.bids[0][0] == 4_700 and book.proven_ns == book.venue_ns
            )
            report = await on.report()
            assert report.counters["proofs.ok"] >= 4
            assert "proofs.failed" not in report.counters
            assert not (await on.prove("999")).proven

    asyncio.run(play())


def test_a_lost_frame_is_noticed_and_mended() -> None:
    async def play() -> None:
        async with running() as on:
            await on.venue.faults({"kind": "drop_frames", "channel": "market"})
            on.bid("0.48", "7")
            await on.venue.faults()
            # The best prices are right again and only a level below them is wrong.
            on.venue.happen(
                BookSet(UP, (("0.4", "11"), ("0.48", "7"), ("0.49", "1")), (("0.6", "10"), ("0.51", "5"))),
                at_ms=time.time_ns() // 10**6,
            )
            await on.counted(lambda report: report.counters.get("proofs.failed", 0) == 1)
            await until(lambda: on.live() and (book := on.up()) and (4_000, 11_000_000) in book.bids)
            assert (await on.prove()).proven
            assert on.log_file.read_text().count("book_resync") == 1
            assert "hashes to" in on.log_file.read_text()

    asyncio.run(play())


def test_a_silence_that_the_witness_confirms_is_no_zombie_and_one_it_contradicts_is() -> None:
    async def play() -> None:
        async with running() as on:
            await on.venue.faults({"kind": "freeze", "channel": "market"})
            began = time.monotonic()
            while time.monotonic() - began < STALE_S + 1.5:
                book = on.up()
                assert book is not None and book.status == "live"
                await asyncio.sleep(0.1)
            report = await on.report()
            assert report.counters["witness.agreed"] >= 2
            assert report.counters["zombies"] == 0
            book = on.up()
            assert book is not None
            assert on.clock.mono_ns() - book.data_mono_ns < 2 * QUIET_S * 10**9
            on.bid("0.48", "7")  # told by REST alone
            await until(lambda: (book := on.up()) and book.status == "resync")
            assert not (await on.prove()).proven
            assert any(fact.startswith("book.") for fact in (await on.report()).facts)
            await on.counted(lambda report: report.counters["zombies"] >= 1)
            assert await on.count("witness.differed") == 1
            await on.venue.faults()
            await until(lambda: on.live() and (book := on.up()) and book.bids[0] == (4_800, 7_000_000))
            assert not (await on.report()).facts

    asyncio.run(play())


def test_an_old_book_with_new_stamps_is_found_out() -> None:
    async def play() -> None:
        async with running() as on:
            await on.venue.faults({"kind": "repeat_value", "channel": "market"})
            on.bid("0.48", "7")
            await until(lambda: (book := on.up()) and book.status == "resync")
            report = await on.counted(lambda report: "repeats" in str(report.facts))
            assert report.counters["witness.differed"] == 1
            await on.venue.faults()
            on.bid("0.47", "7")
            await until(lambda: on.live() and (book := on.up()) and book.bids[0] == (4_700, 7_000_000))

    asyncio.run(play())
