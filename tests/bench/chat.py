"""What is around our Telegram process: the Bot API's double, two people who write to it, and alarms to tell.

While the chat hangs, no request is answered but the one for news: alarms and answers to commands pile up.
Run as ``python -m bench.chat RUN_DIR OUTBOX``; says where it listens, then answers ``telegram on``, ``report
on`` and off with one JSON line each, and ends with its stdin.
"""

import asyncio
import itertools
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import zmq.asyncio

from common.messages import Alert, TakeSnapshot
from common.runtime.clock import SystemClock
from common.runtime.cores import settle_on_cores
from common.runtime.publisher import Publisher
from common.runtime.responder import Responder
from common.sim.telegram.bot_api import BotApiDouble
from common.sim.telegram.faults import Fault

ANN, BOB = 1001, 1002
HANGING = (
    "getMe", "getChat", "sendMessage", "editMessageText", "sendPhoto", "answerCallbackQuery",
    "setMyCommands",
)  # fmt: skip
"""Every method but getUpdates: people's commands still arrive."""
READINGS = (
    "/status", "/why", "/positions", "/orders", "/pnl", "/risk", "/feeds", "/window", "/balance", "/errors",
)  # fmt: skip
READING_EVERY_S = 0.25
ALARM_EVERY_S = 0.1
CHART_EVERY_S = 1.0
FULL = 40
"""Letters in the outbox before the chat counts as hanging."""
PREPARED_S = 20.0


class Came(msgspec.Struct, frozen=True):
    """What came of a load since it was put on."""

    waiting: int
    """Letters in the outbox that Telegram does not have."""
    hung: int
    """Requests that were never answered."""
    commands: int
    alarms: int
    pictures: int
    """Drawn and delivered."""


@dataclass
class Chat:
    """The double, the people, and whoever has an alarm to tell."""

    double: BotApiDouble
    publisher: Publisher
    outbox: Path
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    drawing: asyncio.Event = field(default_factory=asyncio.Event)
    commands: int = 0
    alarms: int = 0
    requests: int = 0
    """How many the double had seen when the load was put on."""

    async def people(self) -> None:
        """Ask one thing after another while the chat hangs."""
        for writer, text in zip(itertools.cycle((ANN, BOB)), itertools.cycle(READINGS), strict=False):
            await self.hanging.wait()
            self.double.say(writer, text)
            self.commands += 1
            await asyncio.sleep(READING_EVERY_S)

    async def alarm(self) -> None:
        """In the sentinel's place: alarms that all have to be told, while the chat hangs."""
        for number in itertools.count(1):
            await self.hanging.wait()
            self.publisher.publish(
                "alert.bench", Alert(level="critical", code="bench", text=f"alarm {number} of the bench")
            )
            self.alarms += 1
            await asyncio.sleep(ALARM_EVERY_S)

    async def charts(self) -> None:
        """Ask for the pictures each second while reports are wanted."""
        for writer in itertools.cycle((ANN, BOB)):
            await self.drawing.wait()
            self.double.say(writer, "/chart")
            self.commands += 1
            await asyncio.sleep(CHART_EVERY_S)

    async def told(self, what: str, on: str) -> Came:
        """Put a load on, and return once it weighs; or take it off, and return what came of it."""
        event = self.hanging if what == "telegram" else self.drawing
        if on == "on":
            self.commands, self.alarms, self.requests = 0, 0, len(self.double.requests)
            if what == "telegram":
                for method in HANGING:
                    self.double.faults.add(Fault("hang", method))
            event.set()
            weighs = self.is_full if what == "telegram" else self.is_drawn
            await within(PREPARED_S, weighs)
            return self.came()
        came = self.came()
        event.clear()
        self.double.faults.clear()
        return came

    def is_full(self) -> bool:
        """Whether letters pile up behind a request that hangs."""
        came = self.came()
        return came.waiting >= FULL and came.hung > 0

    def is_drawn(self) -> bool:
        """Whether the first pictures, which load the library, are done."""
        return self.came().pictures > 1

    def came(self) -> Came:
        """What came of the load until now."""
        seen = self.double.requests[self.requests :]
        return Came(
            waiting=letters_waiting(self.outbox),
            hung=sum(one.method in HANGING and one.code == 0 for one in seen),
            commands=self.commands,
            alarms=self.alarms,
            pictures=sum(one.method == "sendPhoto" and one.code == 200 for one in seen),
        )


def letters_waiting(outbox: Path) -> int:
    """Letters that are kept and not sent, read beside the process that owns them."""
    with closing(sqlite3.connect(f"{outbox.absolute().as_uri()}?mode=ro", uri=True)) as letters:
        query = "SELECT count(*) FROM letters WHERE state IN ('waiting', 'sending')"
        return int(letters.execute(query).fetchone()[0])


async def within(limit_s: float, condition: Callable[[], bool]) -> None:
    """Wait until it holds, or so long; what is missing then is for the reader of the figures to judge."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit_s
    while not condition() and loop.time() < deadline:
        await asyncio.sleep(0.05)


async def serve(run_dir: Path, outbox: Path) -> None:
    """Serve until stdin ends."""
    # Telegram is another machine: its double must not take time from the way that is measured.
    settle_on_cores("venue")
    double = BotApiDouble()
    for user_id, name in ((ANN, "Ann"), (BOB, "Bob")):
        double.chats.add_user(user_id, name)
    clock, ctx = SystemClock(), zmq.asyncio.Context()
    publisher = Publisher(ctx, run_dir, "sentinel", clock)
    responder = Responder(ctx, run_dir, "sentinel", clock)
    responder.on(TakeSnapshot, lambda _command, _request: publisher.snapshot())
    chat = Chat(double, publisher, outbox)
    say(await double.open())
    async with asyncio.TaskGroup() as tasks:
        working = [
            tasks.create_task(work) for work in (responder.run(), chat.people(), chat.alarm(), chat.charts())
        ]
        while words := (await asyncio.to_thread(sys.stdin.readline)).split():
            say(await chat.told(*words))
        for task in working:
            task.cancel()
    publisher.close()
    await double.close()
    ctx.destroy(linger=0)


def say(what: object) -> None:
    """One JSON line."""
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2])))
