"""Small peers for bus tests: a process that publishes and answers, and waiting with a limit."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import zmq.asyncio

from common.messages import Envelope, PostureState, TakeSnapshot, Tick
from common.runtime.clock import SystemClock
from common.runtime.publisher import Publisher
from common.runtime.responder import Responder
from common.runtime.subscriber import Subscriber

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 10.0


def tick(number: int) -> Tick:
    """A tick whose value is its number."""
    return Tick(asset="btc", kind="spot", route="rtds", observed_ns=number, e18=str(number))


def posture(number: int) -> PostureState:
    """A state whose instant is its number."""
    return PostureState(posture="trading", reason="", who="test", since_ns=number)


@dataclass
class Peer:
    """The publishing and answering half of a process, in this one."""

    publisher: Publisher
    responder: Responder


@contextlib.asynccontextmanager
async def context() -> AsyncIterator[zmq.asyncio.Context]:
    """A context that never hangs at its end."""
    ctx = zmq.asyncio.Context()
    try:
        yield ctx
    finally:
        ctx.destroy(linger=0)


@contextlib.asynccontextmanager
async def peer(
    ctx: zmq.asyncio.Context, run_dir: Path, role: str, *, high_water: int = 100_000
) -> AsyncIterator[Peer]:
    """A publisher whose snapshot can be asked for."""
    clock = SystemClock()
    one = Peer(
        Publisher(ctx, run_dir, role, clock, high_water=high_water), Responder(ctx, run_dir, role, clock)
    )
    one.responder.on(TakeSnapshot, lambda _command, _request: one.publisher.snapshot())
    async with asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(one.responder.run())
        try:
            yield one
        finally:
            answering.cancel()
            one.publisher.close()


@contextlib.asynccontextmanager
async def pulse(say: Callable[[], object]) -> AsyncIterator[None]:
    """Call ``say`` again and again while the block runs."""

    async def work() -> None:
        while True:
            say()
            await asyncio.sleep(0.005)

    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work())
        try:
            yield
        finally:
            working.cancel()


async def receive_until(
    subscriber: Subscriber, done: Callable[[list[Envelope]], bool], limit_s: float = LIMIT_S
) -> list[Envelope]:
    """Everything received until the condition holds; fails after the limit."""
    heard: list[Envelope] = []
    async with asyncio.timeout(limit_s):
        while not done(heard):
            heard += await subscriber.receive()
    return heard


def start(code: str, *arguments: str, env: dict[str, str] | None = None) -> "subprocess.Popen[str]":
    """A real process that runs ``code`` with this checkout importable."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill(process: "subprocess.Popen[str]") -> None:
    """End it at once and collect it."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.communicate(timeout=LIMIT_S)
