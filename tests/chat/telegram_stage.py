"""A bot's outgoing half against the Bot API double, in a loop whose time can run faster than the clock's."""

import asyncio
import selectors
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import zmq.asyncio

from common.chat.bot_api import BotApi
from common.chat.sender import send_letters
from common.core.remote.letters import Lane, Letter
from common.runtime.config import load_config
from common.runtime.credentials import Secret
from common.runtime.paths import make_paths, prepare
from common.runtime.shell import Process
from common.sim.telegram.bot_api import TOKEN, BotApiDouble
from common.sim.telegram.flood import FloodLimits
from common.store.outbox import Outbox, open_outbox

ANN, BOB, EVE = 1001, 1002, 6666
GROUP = -100_200_300
WALL_NS = 1_790_000_000 * 1_000_000_000
_BEGAN_NS = time.monotonic_ns()
STRICT = FloodLimits(private=1, private_span_ns=1_000_000_000)
"""No burst at all: the strictest reading of one message a second."""


class _Selector(selectors.DefaultSelector):
    speed = 1.0

    def select(self, timeout: float | None = None) -> Any:
        return super().select(timeout / self.speed if timeout else timeout)


class FastLoop(asyncio.SelectorEventLoop):
    """Every wait and time-out, those of libraries too, passes ``speed`` times as fast."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began = time.monotonic()
        selector = _Selector()
        selector.speed = speed
        super().__init__(selector)

    def time(self) -> float:
        return self._began + (time.monotonic() - self._began) * self._speed


def run_fast(work: Coroutine[Any, Any, None], speed: float) -> None:
    """Run to the end with time at this speed."""
    with asyncio.Runner(loop_factory=lambda: FastLoop(speed)) as runner:
        runner.run(work)


class LoopClock:
    """The time of the running loop, however fast it is."""

    def wall_ns(self) -> int:
        return WALL_NS + self.mono_ns() - _BEGAN_NS

    def mono_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e9)


@dataclass
class Stage:
    api: BotApiDouble
    process: Process
    outbox: Outbox
    bot: BotApi

    def put(self, text: str, lane: Lane = "critical", chat: int = ANN, key: str = "") -> int:
        return self.outbox.put(Letter(lane=lane, chat_id=chat, text=text, key=key))

    def texts(self, chat: int = ANN) -> list[str]:
        """What the chat shows now."""
        return [shown.text for shown in self.api.sent(chat)]

    async def until(self, condition: Callable[[], object], limit_s: float = 20) -> None:
        """Wait until something holds; the limit is in the loop's seconds."""
        async with asyncio.timeout(limit_s):
            while not condition():
                await asyncio.sleep(0.01)


def make_double(limits: FloodLimits | None = None) -> BotApiDouble:
    """A bot that two people and a group know."""
    double = BotApiDouble(limits=limits or FloodLimits(), clock=LoopClock())
    for user_id, name in ((ANN, "Ann"), (BOB, "Bob")):
        double.chats.add_user(user_id, name)
    double.chats.add_group(GROUP, "Desk")
    return double


def make_process(
    directory: Path, group: asyncio.TaskGroup, *, run_dir: Path | None = None, **settings: Any
) -> Process:
    """The shell's process without its sockets; they are made where a test wants them."""
    paths = make_paths(str(directory / "state"), str(run_dir or directory / "run"))
    prepare(paths)
    fields: dict[str, Any] = {
        "role": "telegram", "config": load_config(), "paths": paths, "clock": LoopClock(),
        "log": structlog.get_logger(), "ctx": None, "publisher": None, "responder": None,
        "stopping": asyncio.Event(), "group": group,
    }  # fmt: skip
    return Process(**(fields | settings))


@asynccontextmanager
async def stage(
    directory: Path,
    *,
    limits: FloodLimits | None = None,
    answer_s: float = 2.0,
    run_dir: Path | None = None,
) -> AsyncIterator[Stage]:
    """The double, an outbox, and the sender between them."""
    double = make_double(limits)
    await double.open()
    ctx = zmq.asyncio.Context()
    bot = BotApi(Secret(TOKEN), double.url, answer_s=answer_s)
    outbox: Outbox | None = None
    try:
        async with asyncio.TaskGroup() as group:
            process = make_process(directory, group, run_dir=run_dir, ctx=ctx)
            outbox = open_outbox(process.paths.outbox_file, process.clock)
            process.spawn(send_letters(process, outbox, bot), name="sender")
            yield Stage(double, process, outbox, bot)
            process.stopping.set()
            double.faults.clear()
            for subscriber in process.subscribers:
                subscriber.close()
    finally:
        if outbox is not None:
            outbox.close()
        await bot.close()
        await double.close()
        ctx.destroy(linger=0)
