"""A feed at a thousand messages a second, killed again and again under a real supervisord.

What counts is what its subscriber sees: how long there is no data, and that nothing is lost unnoticed.
"""

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
import zmq.asyncio

from common.messages import Envelope, Tick
from common.runtime.clock import SystemClock
from common.runtime.subscriber import Subscriber
from common.runtime.supervisor import UNREACHABLE, process_table, rpc
from procs.cli.stack import ROOT, supervisor_environment
from procs.sentinel_talk import POLL_S

pytestmark = [pytest.mark.procs, pytest.mark.alone, pytest.mark.timeout(120)]

ROLE = "oracle-rtds"
KILLS = 5
MEDIAN_LIMIT_S = 0.3
MEDIAN_STARTS = 1.4
"""On a machine where loading the code alone takes long, the limits are these multiples of that."""
MAX_LIMIT_S = 0.6
MAX_STARTS = 2.0
ROUNDS = 3
"""Whatever else the machine does only lengthens a silence: a round over the limits is measured again."""
CALM_S = 0.5
"""How long the feed runs undisturbed between a repair and the next kill."""
LIMIT_S = 20.0

FEED = """
import asyncio
from collections import deque

from common.messages import Tick
from common.runtime.shell import run


async def feed(process):
    history = deque()
    process.publisher.extra_state = lambda: history
    process.set_state("ready")
    number, due = 0, process.clock.mono_ns()
    while not process.stopping.is_set():
        number, due = number + 1, due + 1_000_000
        tick = Tick(asset="btc", kind="spot", route="rtds", observed_ns=number, e18=str(number))
        history.append(process.publisher.publish("tick.btc.spot.rtds", tick))
        await asyncio.sleep(max(0, due - process.clock.mono_ns()) / 1e9)


run("oracle-rtds", feed)
"""
"""Number its ticks from one in each start, and keep them all for the snapshot."""

CONF = """
[unix_http_server]
file={base}/s.sock
chmod=0700
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
logfile={base}/supervisord.log
pidfile={base}/supervisord.pid
childlogdir={base}
[program:oracle-rtds]
command=python {base}/feed.py
directory={root}
startsecs=1
startretries=10
autorestart=unexpected
exitcodes=0,78
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={base}/feed.log
environment=PYTHONUNBUFFERED="1",PYTHONFAULTHANDLER="1"
"""


@dataclass
class Watched:
    """A supervisord with the feed, and what its process table showed last."""

    run_dir: Path
    log_file: Path
    ended: threading.Event = field(default_factory=threading.Event)
    state: str = ""
    pid: int = 0

    def keep_awake(self, socket_path: Path) -> None:
        """Ask for the table as often as the sentinel does."""
        while not self.ended.is_set():
            try:
                with rpc(socket_path) as server:
                    while not self.ended.wait(POLL_S):
                        row = process_table(server)[0]
                        self.state, self.pid = row.state, row.pid
            except UNREACHABLE:
                continue


@contextmanager
def supervised(base: Path) -> Iterator[Watched]:
    (base / "feed.py").write_text(FEED)
    (base / "supervisord.conf").write_text(CONF.format(base=base, root=ROOT))
    run_dir, state_dir = base / "run", base / "state"
    environment = supervisor_environment(
        dict(os.environ), {"LAGGARD_STATE_DIR": str(state_dir), "LAGGARD_RUN_DIR": str(run_dir)}
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(base / "supervisord.conf")],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    watched = Watched(run_dir, base / "feed.log")
    waker = threading.Thread(target=watched.keep_awake, args=(base / "s.sock",))
    waker.start()
    try:
        yield watched
    finally:
        watched.ended.set()
        waker.join()
        process.terminate()
        process.wait(LIMIT_S)


@dataclass
class Heard:
    """Everything the subscriber delivered."""

    subscriber: Subscriber
    numbers: dict[str, list[int]] = field(default_factory=dict)
    """The feed's own count of its ticks, per start, in the order of delivery."""
    silences_s: list[float] = field(default_factory=list)
    """From the last tick of one start to the first of the next."""
    noticed: list[bool] = field(default_factory=list)
    """Whether the subscriber knew, with the first tick of a start, that it needs a snapshot."""
    boot: str = ""
    last_s: float = 0.0

    def take(self, envelopes: list[Envelope]) -> None:
        now = time.monotonic()
        for envelope in envelopes:
            if not isinstance(envelope.body, Tick):
                continue
            if envelope.boot != self.boot:
                if self.boot:
                    self.silences_s.append(now - self.last_s)
                    self.noticed.append(ROLE in self.subscriber.unsynced())
                self.boot = envelope.boot
                self.numbers[self.boot] = []
            self.last_s = now
            self.numbers[self.boot].append(envelope.body.observed_ns)


async def hear_kills(watched: Watched) -> Heard:
    ctx = zmq.asyncio.Context()
    subscriber = Subscriber(ctx, watched.run_dir, "strategist", (ROLE,), SystemClock())
    heard = Heard(subscriber)

    async def hear_until_calm(starts: int) -> None:
        # Kills spread over the pause between two looks at the table: what follows a death waits for the next.
        calm_s = CALM_S + POLL_S * starts / KILLS
        calm_since = time.monotonic()
        pid = watched.pid
        while True:
            heard.take(await subscriber.receive())
            now = time.monotonic()
            running = watched.state == "RUNNING" and watched.pid == pid
            if len(heard.numbers) < starts or subscriber.unsynced() or not running:
                calm_since, pid = now, watched.pid
            elif now - calm_since > calm_s:
                return

    try:
        for kills in range(KILLS + 1):
            if kills:
                os.kill(watched.pid, signal.SIGKILL)
            async with asyncio.timeout(LIMIT_S):
                await hear_until_calm(kills + 1)
    finally:
        subscriber.close()
        ctx.destroy(linger=0)
    return heard


def test_a_killed_feed_is_heard_again_soon_and_nothing_is_lost_unnoticed() -> None:
    rounds = []
    for _ in range(ROUNDS):
        start_s = bare_start_s()
        silences_s = kill_and_account()
        rounds.append((start_s, sorted(silences_s)))
        median_limit_s = max(MEDIAN_LIMIT_S, MEDIAN_STARTS * start_s)
        max_limit_s = max(MAX_LIMIT_S, MAX_STARTS * start_s)
        if statistics.median(silences_s) <= median_limit_s and max(silences_s) <= max_limit_s:
            return
    pytest.fail(f"without data for longer than allowed in every round (bare start, silences): {rounds}")


def bare_start_s() -> float:
    """How long an interpreter needs here to load what every process loads: the floor of a silence."""
    taken_s = []
    for _ in range(KILLS):
        began_s = time.monotonic()
        subprocess.run([sys.executable, "-c", "import common.runtime.shell"], cwd=ROOT, check=True)
        taken_s.append(time.monotonic() - began_s)
    return statistics.median(taken_s)


def kill_and_account() -> list[float]:
    """Kill the feed again and again; nothing may be lost unnoticed in any round. Returns the silences."""
    # Not pytest's own directory: its path leaves no room for socket names.
    with tempfile.TemporaryDirectory(prefix="lg-", dir="/tmp") as name, supervised(Path(name)) as watched:
        heard = asyncio.run(hear_kills(watched))
    assert len(heard.silences_s) == KILLS
    assert all(heard.noticed)
    counts = {count.boot: count for count in heard.subscriber.counts()}
    assert counts.keys() == heard.numbers.keys()
    for boot, numbers in heard.numbers.items():
        count = counts[boot]
        assert count.last_seq - count.first_seq + 1 - count.received - count.missed == 0
        # Snapshots bring what was published before the subscription reached the new process.
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 300
    assert all(first != second for first, second in pairwise(heard.numbers))
    return heard.silences_s
