"""A bot that takes commands, on real sockets: the Bot API double on one side, an executor on the other."""

import asyncio
import io
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq.asyncio

from common.chat.acting import Means
from common.chat.bot_api import ApiError, BotApi
from common.chat.conversation import Conversation
from common.chat.line import Line
from common.chat.polling import Pace, poll
from common.chat.sender import send_letters
from common.core.remote.authority import people
from common.core.remote.lanes import Limits
from common.core.remote.letters import Letter
from common.messages import (
    Accepted,
    AccountReport,
    AccountState,
    Alert,
    CancelAll,
    Command,
    Flatten,
    PositionState,
    PostureState,
    ReadAccount,
    ReadRedemptions,
    Redeem,
    RedemptionsReport,
    RedemptionState,
    Request,
    SetPosture,
    Status,
    StatusReport,
)
from common.runtime import log as logs
from common.runtime.clock import SystemClock
from common.runtime.config import Config
from common.runtime.credentials import Secret
from common.runtime.paths import make_paths, prepare
from common.runtime.publisher import Publisher
from common.runtime.responder import Responder
from common.runtime.shell import Process
from common.sim.telegram.bot_api import BotApiDouble
from common.sim.telegram.chats import Shown
from common.sim.telegram.flood import FloodLimits
from common.store.command_log import CommandLog, open_command_log
from common.store.outbox import open_outbox
from common.units import SECOND

ANN, BOB, EVE = 1001, 1002, 6666
GROUP = -100_200_300
WINDOW = "btc-updown-15m-1800000000"
CONDITION = "0x" + "ab" * 32
FAST = Limits(chat_gap_ns=0, group=10**6, overall=10**6)
QUICK = Pace(first_s=0.02, most_s=0.1, token_s=0.2, conflict_s=0.1, floor_s=0.01, stale_s=30)


def account_state() -> AccountState:
    return AccountState(
        mode="paper",
        cash_usd6=1_000_000_000,
        open_cost_usd6=0,
        realized_pnl_usd6=0,
        day="2026-11-26",
        day_pnl_usd6=0,
        fees_usd6=0,
        orders=0,
        fills=0,
        duplicate_orders=0,
        ledger_difference_usd6=0,
    )


def held(size6: int) -> PositionState:
    return PositionState(
        window=WINDOW,
        asset="btc",
        token="1",
        outcome="up",
        size6=size6,
        cost_usd6=5_000_000,
        fee_usd6=0,
        end_ns=1,
        settled=False,
    )


@dataclass
class Executor:
    """Answers as the executor and the redeemer do, and remembers what was carried out."""

    ctx: zmq.asyncio.Context
    run_dir: Path
    posture: PostureState = field(
        default_factory=lambda: PostureState(posture="trading", reason="", who="", since_ns=1)
    )
    positions: tuple[PositionState, ...] = ()
    waiting: tuple[RedemptionState, ...] = ()
    done: list[Command] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    begun: int = 0
    slow_s: float = 0.0
    """How long a posture takes to be set."""

    @property
    def postures(self) -> list[str]:
        return [one.posture for one in self.done if isinstance(one, SetPosture)]

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        clock = SystemClock()
        responders = [Responder(self.ctx, self.run_dir, role, clock) for role in ("executor", "redeemer")]
        for responder in responders:
            responder.on(ReadAccount, lambda _c, _r: self.report())
            responder.on(SetPosture, self.set_posture)
            responder.on(CancelAll, self.carry_out)
            responder.on(Flatten, self.carry_out)
            responder.on(Redeem, self.carry_out)
            responder.on(ReadRedemptions, lambda _c, _r: RedemptionsReport(redemptions=self.waiting))
            responder.on(Status, lambda _c, _r: self.status())
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(responder.run()) for responder in responders]
            await asyncio.sleep(0)  # one that never began to run leaves its socket open
            try:
                yield
            finally:
                for one in running:
                    one.cancel()

    def report(self) -> AccountReport:
        return AccountReport(
            account=account_state(), posture=self.posture, positions=self.positions, orders=()
        )

    def status(self) -> StatusReport:
        return StatusReport(
            role="executor",
            pid=1,
            boot="b",
            state="ready",
            detail="",
            uptime_ms=1,
            published=1,
            sources=(),
            ages_ms={"books": 100},
            counters={},
            facts={},
        )

    async def set_posture(self, command: Command, request: Request) -> Accepted:
        assert isinstance(command, SetPosture)
        self.begun += 1
        await asyncio.sleep(self.slow_s)
        self.posture = PostureState(
            posture=command.posture, reason=command.reason, who=command.who, since_ns=time.time_ns()
        )
        return self.carry_out(command, request)

    def carry_out(self, command: Command, request: Request) -> Accepted:
        self.done.append(command)
        self.answered.add(request.id)
        return Accepted(text=type(command).__name__)


@dataclass
class Stage:
    """One bot with everything around it."""

    double: BotApiDouble
    executor: Executor
    process: Process
    conversation: Conversation
    api: BotApi
    line: Line
    log: CommandLog
    logged: io.StringIO
    muted: list[tuple[str, int]]
    halts: list[str]
    alarms: list[Alert]

    def texts(self, chat_id: int = ANN) -> list[str]:
        return [shown.text for shown in self.double.sent(chat_id) if shown.by_bot]

    async def until(self, condition: Callable[[], Any], limit_s: float = 10) -> None:
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, f"waited too long; texts: {self.texts()}"
            await asyncio.sleep(0.01)

    async def said(self, part: str, chat_id: int = ANN, limit_s: float = 10) -> None:
        await self.until(lambda: any(part in text for text in self.texts(chat_id)), limit_s)

    async def idle(self) -> None:
        """Wait until every update was confirmed and worked on."""
        await self.until(lambda: not self.double.updates.pending and not self.log.unended())

    def question(self, chat_id: int = ANN) -> Shown:
        """The newest message with buttons."""
        return next(one for one in reversed(self.double.sent(chat_id)) if one.buttons)

    async def asked(self, name: str, chat_id: int = ANN) -> Shown:
        """Wait for the question to a command."""
        await self.until(
            lambda: any(one.buttons and one.text.startswith(f"/{name}") for one in self.double.sent(chat_id))
        )
        return self.question(chat_id)

    def press(self, user_id: int, which: int, chat_id: int = ANN) -> dict[str, Any]:
        """Press Confirm (0) or Cancel (1) of the newest question."""
        shown = self.question(chat_id)
        data = shown.buttons[0][which]["callback_data"]
        return self.double.press(user_id, data, chat_id=chat_id, message_id=shown.message_id)

    async def confirm(self, text: str, user_id: int = ANN) -> None:
        """Send a command and press its button."""
        self.double.say(user_id, text)
        await self.asked(text.split(maxsplit=1)[0][1:])
        self.press(user_id, 0)


def new_double() -> BotApiDouble:
    double = BotApiDouble(limits=FloodLimits(private=10**6, group=10**6, overall=10**6))
    for user, name in ((ANN, "Ann"), (BOB, "Bob"), (EVE, "Eve")):
        double.chats.add_user(user, name)
    double.chats.add_group(GROUP, "Desk")
    return double


@asynccontextmanager
async def stage(
    *,
    life_s: float = 30.0,
    double: BotApiDouble | None = None,
    state_dir: Path | None = None,
    executor_away: bool = False,
    pace: Pace = QUICK,
    poll_s: float = 1.0,
    before: Callable[[Conversation], None] = lambda _one: None,
    allowed: tuple[int, ...] = (ANN, BOB),
    mode: str = "live",
) -> AsyncIterator[Stage]:
    """A running bot; ends all of it."""
    with tempfile.TemporaryDirectory(prefix="lg-", dir="/tmp") as name:
        base = Path(name)
        config = Config.model_validate(
            {"telegram": {"poll_s": poll_s, "answer_s": 0.5, "allowed_users": allowed, "chat_id": GROUP}}
        )
        # On paper there is nothing to redeem; nothing here needs a wallet.
        config = config.model_copy(update={"mode": mode})
        paths = make_paths(str(state_dir or base / "state"), str(base / "run"))
        prepare(paths)
        clock, logged = SystemClock(), io.StringIO()
        ctx = zmq.asyncio.Context()
        made = double or new_double()
        if not made.url:
            await made.open()
        publisher = Publisher(ctx, paths.run_dir, "telegram", clock)
        responder = Responder(ctx, paths.run_dir, "telegram", clock)
        executor = Executor(ctx, paths.run_dir)
        log = open_command_log(paths.commands_file)
        outbox = open_outbox(paths.outbox_file, clock)
        api = BotApi(Secret(made.token), made.url, answer_s=0.5)
        muted: list[tuple[str, int]] = []
        halts: list[str] = []
        restarts: list[str] = []
        alarms: list[Alert] = []
        try:
            async with asyncio.TaskGroup() as group:
                process = Process(
                    "telegram", config, paths, clock, logs.configure("telegram", "b", "info", logged), ctx,
                    publisher, responder, asyncio.Event(), group,
                )  # fmt: skip
                line = Line(clock, contested_ns=SECOND)

                async def answer(query_id: str, text: str) -> None:
                    try:
                        await api.answer_button(query_id, text)
                    except ApiError:
                        return

                conversation = Conversation(
                    process=process,
                    log=log,
                    put=outbox.put,
                    answer_button=lambda query, text: process.spawn(answer(query, text), name="press"),
                    means=Means(
                        leave_halt=lambda reason: not halts.append(reason),
                        lift_halt=halts.remove,
                        mute=lambda lane, minutes: muted.append((lane, minutes)),
                        restart_self=lambda: restarts.append("restart"),
                        stop_self=lambda: restarts.append("stop"),
                    ),
                    authority=people(config.telegram.allowed_users, config.telegram.chat_id),
                    line=line,
                    bot_name="laggard_test_bot",
                    pictures=no_pictures,
                    life_ns=int(life_s * SECOND),
                )
                before(conversation)
                tasks = [
                    group.create_task(send_letters(process, outbox, api, limits=FAST), name="sender"),
                    group.create_task(
                        poll(process, api, line, conversation.hear, alarms.append, pace), name="poll"
                    ),
                ]
                conversation.resume()
                async with answering(executor, away=executor_away):
                    yield Stage(
                        made, executor, process, conversation, api, line, log, logged, muted, halts, alarms
                    )
                process.stopping.set()
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    if task in tasks or task.get_name().startswith(("update", "confirmation", "press")):
                        task.cancel()
        finally:
            log.close()
            outbox.close()
            await api.close()
            if double is None:
                await made.close()
            ctx.destroy(linger=0)


@asynccontextmanager
async def answering(executor: Executor, *, away: bool) -> AsyncIterator[None]:
    if away:
        yield
        return
    async with executor.answering():
        yield


async def no_pictures(chat_id: int) -> list[Letter]:
    return [Letter("reply", chat_id, "picture")]
