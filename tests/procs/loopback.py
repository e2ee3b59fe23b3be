"""The simulated venue and chosen processes for real, on loopback and without supervisord, for tests.

Thresholds are set by environment; whoever uses this waits for conditions and never for time.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import zmq.asyncio

from common.core.moment import Moment
from common.messages import (
    Answer,
    BookState,
    Command,
    Envelope,
    Gate,
    MarketState,
    RouteName,
    Snapshot,
    Status,
    StatusReport,
    TakeSnapshot,
    Tick,
    Verdict,
    Why,
    WhyReport,
)
from common.runtime.calls import call_all
from common.runtime.clock import SystemClock
from common.runtime.endpoints import ROLES
from common.runtime.subscriber import Subscriber
from common.units import SECOND
from procs.cli.demo_config import Plan, generated_plan, write_files

ROOT = Path(__file__).resolve().parents[2]
MODULES = {role: f"procs.{role}" for role in ROLES} | {
    f"oracle-{route}": f"procs.oracle {route}" for route in ("chainlink", "polybolt", "rtds", "exchange")
}


@dataclass
class Loopback:
    """Running processes and what they said."""

    plan: Plan
    state_dir: Path
    run_dir: Path
    environment: dict[str, str]
    ctx: zmq.asyncio.Context
    clock: SystemClock = field(default_factory=SystemClock)
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    heard: list[Envelope] = field(default_factory=list)
    news: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """By series: stamp, value and monotonic instant of the newest news."""

    def start(self, *roles: str) -> None:
        """Start these processes; their output goes to ``<role>.log``."""
        for role in roles:
            with (self.state_dir / f"{role}.log").open("ab") as log:
                self.processes[role] = subprocess.Popen(
                    [sys.executable, "-m", *MODULES[role].split()],
                    cwd=ROOT,
                    env=os.environ | self.environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )

    def stop(self, *roles: str) -> None:
        """SIGTERM and wait; kills what does not end."""
        for role in roles:
            process = self.processes.pop(role)
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log_of(self, role: str) -> str:
        return (self.state_dir / f"{role}.log").read_text(errors="replace")

    async def faults(self, *faults: dict[str, Any]) -> None:
        """Let the simulated venue misbehave in exactly these ways."""
        await asyncio.to_thread(self._control, "faults", json.dumps(faults).encode())

    async def connections(self, channel: str) -> int:
        """How many clients the venue has on a channel; none while it does not listen yet."""
        try:
            state = await asyncio.to_thread(self._control, "state", None)
        except OSError:
            return 0
        return int(state["connections"][channel])

    def _control(self, path: str, body: bytes | None) -> Any:
        url = f"http://{self.plan.sim.listen}/control/{path}"
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read())

    async def ask(self, role: str, question: Command) -> Answer | None:
        """One process's answer; None when it gives none."""
        answer = (await call_all(self.ctx, self.run_dir, "test", {role: question}, clock=self.clock))[role]
        return None if isinstance(answer, Exception) else answer

    async def status(self, role: str) -> StatusReport | None:
        answer = await self.ask(role, Status())
        return answer if isinstance(answer, StatusReport) else None

    async def counter(self, role: str, name: str) -> int:
        report = await self.status(role)
        return report.counters.get(name, 0) if report is not None else -1

    async def gates(self, asset: str) -> dict[str, Gate]:
        """The gates of the newest verdict of the asset's open window; empty when there is none."""
        answer = await self.ask("strategist", Why())
        if not isinstance(answer, WhyReport):
            return {}
        now = self.clock.wall_ns()
        open_now = [view.window for view in answer.views if view.start_ns <= now < view.end_ns]
        newest: Verdict | None = None
        for verdict in answer.verdicts:
            if verdict.asset == asset and verdict.window in open_now:
                newest = verdict
        return {gate.name: gate for gate in newest.gates} if newest is not None else {}

    async def books(self) -> tuple[dict[str, MarketState], dict[str, BookState]]:
        """What books publishes now: markets by window, books by token."""
        answer = await self.ask("books", TakeSnapshot())
        bodies = [one.body for one in answer.envelopes] if isinstance(answer, Snapshot) else []
        return (
            {body.window: body for body in bodies if isinstance(body, MarketState)},
            {body.token: body for body in bodies if isinstance(body, BookState)},
        )

    def moment(self) -> Moment:
        return Moment(self.clock.wall_ns(), self.clock.mono_ns())

    async def listen(self) -> None:
        """Keep what the strategist and the executor publish, and when each series last brought news."""
        oracles = [role for role in self.processes if role.startswith("oracle-")]
        sources = (*oracles, "strategist", "executor")
        subscriber = Subscriber(self.ctx, self.run_dir, "test", sources, self.clock)
        while True:
            for envelope in await subscriber.receive():
                if isinstance(envelope.body, Tick):
                    self._note_news(envelope.body, envelope.mono_ns)
                else:
                    self.heard.append(envelope)

    def _note_news(self, tick: Tick, mono_ns: int) -> None:
        key = f"{tick.kind}/{tick.asset}"
        stamp_ns, value, _ = self.news.get(key, (0, 0, 0))
        if tick.observed_ns > stamp_ns and tick.value != value:
            self.news[key] = (tick.observed_ns, tick.value, mono_ns)

    def since_news_s(self, key: str) -> float:
        """Seconds since this series (``spot/btc``) last brought a newer observation with another value."""
        return (self.clock.mono_ns() - self.news[key][2]) / SECOND


async def until(
    condition: Callable[[], Awaitable[object]], limit_s: float, what: str, every_s: float = 0.05
) -> float:
    """Wait for a condition; returns how long it took, fails after the limit."""
    began = time.monotonic()
    while not await condition():
        if time.monotonic() - began > limit_s:
            raise AssertionError(f"not within {limit_s:g} s: {what}")
        await asyncio.sleep(every_s)
    return time.monotonic() - began


@asynccontextmanager
async def loopback(
    tmp_path: Path,
    port: int,
    oracles: Sequence[RouteName],
    roles: Sequence[str],
    *,
    window_s: int = 60,
    sim: dict[str, Any] | None = None,
    **settings: object,
) -> AsyncIterator[Loopback]:
    """Start the venue and ``roles``; ``settings`` are configuration keys, ``watch__tick_stale_s=5``."""
    made = generated_plan(None, 1, port, time.time_ns(), tuple(oracles))
    changes = {"window_s": window_s} | (sim or {})
    plan = replace(
        made,
        cadence=f"{window_s}s" if window_s % 60 else f"{window_s // 60}m",
        window_s=window_s,
        lookahead_s=float(window_s),
        sim=msgspec.structs.replace(made.sim, **changes),
    )
    state_dir = tmp_path / f"state-{port}"
    state_dir.mkdir(mode=0o700)
    run_dir = Path(tempfile.mkdtemp(prefix="lg-"))
    config_file, sim_file = write_files(plan, state_dir)
    environment = {
        "LAGGARD_CONFIG": str(config_file),
        "LAGGARD_SIM": str(sim_file),
        "LAGGARD_STATE_DIR": str(state_dir),
        "LAGGARD_RUN_DIR": str(run_dir),
    } | {f"LAGGARD_{name.upper()}": str(value) for name, value in settings.items()}
    ctx = zmq.asyncio.Context()
    stage = Loopback(plan, state_dir, run_dir, environment, ctx)
    try:
        stage.start("venue", *roles)
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(stage.listen())
            yield stage
            listening.cancel()
    finally:
        stage.stop(*reversed(list(stage.processes)))
        ctx.destroy(linger=0)
        shutil.rmtree(run_dir, ignore_errors=True)
