"""A house that burns: the whole stack under a supervisord of its own, killed and started as often as wanted.

The venue and Telegram stand outside; they live on when everything in the house is killed.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import pytest

from commands_stage import ANN, new_double
from common.errors import CallRefused, CallTimedOut
from common.messages import AccountReport, PostureState, ReadAccount, Submit, Verdict, Why, WhyReport
from common.runtime.credentials import write_credentials
from common.runtime.supervisor import UNREACHABLE, Fault, process_table, rpc
from common.sim.telegram.chats import Shown
from common.store.journal import Recovered
from common.store.journal_read import read_journal
from procs.cli.asking import ask
from procs.cli.demo_config import generated_plan, with_live_account, write_files
from procs.cli.demo_stage import free_port
from procs.cli.demo_venue import read_history
from procs.cli.stack import (
    ROOT,
    Stack,
    is_alive,
    prepare,
    stop_supervisor,
    supervisor_command,
    supervisor_environment,
    supervisor_pid,
)

PROGRAMS = 11
"""All of supervisord.conf but the venue."""
ANSWER_S = 15
_Told = TypeVar("_Told")


def until(met: Callable[[], object], limit_s: float, what: str, said: Callable[[], str] = str) -> None:
    """Wait for a condition; fails after the limit."""
    limit = time.monotonic() + limit_s
    while not met():
        if time.monotonic() > limit:
            pytest.fail(f"not within {limit_s} s: {what}\n{said()}")
        time.sleep(0.05)


class Chat:
    """Ann's private chat with the bot: Telegram's side of it, in a thread of its own."""

    def __init__(self) -> None:
        self.double = new_double()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="telegram")
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.double.open(), self._loop).result(10)

    def _do(self, what: Callable[[], _Told]) -> _Told:
        async def done() -> _Told:
            return what()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(10)

    def texts(self) -> list[str]:
        return [shown.text for shown in self._do(lambda: self.double.sent(ANN))]

    def say(self, text: str, *, ago_s: int = 0) -> int:
        """Ann writes; returns the number of the update."""
        sent_s = int(time.time()) - ago_s
        return int(self._do(lambda: self.double.say(ANN, text, date_s=sent_s))["update_id"])

    def confirm(self, text: str) -> None:
        """Ann writes and presses the button of the question that comes back."""
        before = len(self.texts())
        self.say(text)
        found: list[Shown] = []

        def asked() -> bool:
            shown = self._do(lambda: self.double.sent(ANN))[before:]
            found[:] = [one for one in shown if one.buttons and one.text.startswith(f"{text}?")]
            return bool(found)

        until(asked, 60, f"a question about {text}", lambda: "\n".join(self.texts()[before:]))
        data = found[0].buttons[0][0]["callback_data"]
        self._do(lambda: self.double.press(ANN, data, message_id=found[0].message_id))

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.double.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Orders(NamedTuple):
    """Every order there is, by each of those who would know."""

    journal: tuple[str, ...]
    venue: tuple[str, ...]
    received: Any
    """How many the venue was sent, refused ones included."""


@dataclass
class House:
    """One supervisord with everything below it, which a test may kill and start again."""

    stack: Stack
    run_dir: Path
    state_dir: Path
    environment: dict[str, str]
    listen: str
    """Of the venue."""
    chat: Chat
    process: "subprocess.Popen[bytes] | None" = None
    pids: set[int] = field(default_factory=set)

    def start(self) -> None:
        """Everything; returns when the executor answers."""
        self.process = subprocess.Popen(
            supervisor_command(self.stack, "--nodaemon"),
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        pid = self.process.pid
        until(lambda: supervisor_pid(self.stack) == pid, 30, "supervisord answers")
        until(lambda: self.account() is not None, 60, "the executor answers", self.log)

    def log(self) -> str:
        return (self.stack.log_dir / "executor.log").read_text(errors="replace")[-3000:]

    def account(self) -> AccountReport | None:
        answer = ask(self.run_dir, {"executor": ReadAccount()})["executor"]
        return answer if isinstance(answer, AccountReport) else None

    def posture(self) -> PostureState:
        """What the executor may do, by its own word; on a busy machine that may need several questions."""
        found: list[PostureState] = []

        def told() -> bool:
            report = self.account()
            found[:] = [report.posture] if report is not None else []
            return bool(found)

        until(told, ANSWER_S, "the executor answers", self.log)
        return found[0]

    def journal(self) -> Recovered:
        """What is on the disk, whether an executor runs or not."""
        found = read_journal(self.state_dir / "journal-live.sqlite")
        assert found is not None
        return found

    def orders(self) -> Orders:
        """What the journal's file and the venue's own list have."""
        told: list[dict[str, Any]] = []

        def answered() -> bool:
            history = read_history(self.listen)
            told[:] = [history] if history is not None else []
            return bool(told)

        until(answered, ANSWER_S, "the venue answers")
        ours = tuple(sorted(order.state.order_id for order in self.journal().books.orders.values()))
        return Orders(ours, tuple(sorted(one["id"] for one in told[0]["orders"])), told[0]["received"])

    def knock(self) -> str:
        """Ask for an order as the strategist would; the code with which the executor refuses it.

        Empty where it has not answered before the wish would have been too old for an order.
        """
        window = f"btc-updown-15m-{time.time_ns()}"
        wish = Submit(
            intent_id=f"{window}/up/knock", window=window, asset="btc", token="1", outcome="up",
            strategy="knock", limit4=5000, stake_usd6=5_000_000, decided_ns=time.time_ns(),
            decided_mono_ns=time.monotonic_ns(), cause="a test",
        )  # fmt: skip
        answer = ask(self.run_dir, {"executor": wish})["executor"]
        if isinstance(answer, CallTimedOut):
            return ""
        return answer.code if isinstance(answer, CallRefused) else type(answer).__name__

    def tempted(self) -> bool:
        """Whether the strategist sees a trade now, kept from it by the posture alone."""
        answer = ask(self.run_dir, {"strategist": Why()})["strategist"]
        return isinstance(answer, WhyReport) and any(map(_only_the_posture, answer.verdicts))

    def look(self) -> int:
        """Note who runs now; returns how many."""
        with contextlib.suppress(*UNREACHABLE, Fault), rpc(self.stack.socket) as server:
            now = {row.pid for row in process_table(server) if row.pid}
            self.pids |= now
            return len(now)
        return 0

    def kill_everything(self) -> int:
        """SIGKILL to supervisord and every program at once, as a power cut would; returns how many died."""
        assert self.process is not None
        until(lambda: self.look() >= PROGRAMS, 30, "every program runs", self.log)
        for pid in (self.process.pid, *self.pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        until(lambda: not any(map(is_alive, self.pids)), 10, "everything is dead")
        died = 1 + len(self.pids)
        self.pids.clear()
        return died

    def end(self) -> None:
        self.look()
        if self.process is not None and self.process.poll() is None:
            stop_supervisor(self.stack, self.process.pid, 40)
        for pid in self.pids:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()


def _only_the_posture(verdict: Verdict) -> bool:
    return [gate.name for gate in verdict.gates if not gate.passed] == ["posture"]


@contextmanager
def open_house() -> Iterator[House]:
    """Live orders at the simulated venue, a chat with a bot; everything ends with it.

    The commands of this test are run in the caller's process: its environment must name the same directories.
    """
    # Not pytest's own directory: its path leaves no room for socket names.
    with tempfile.TemporaryDirectory(prefix="lg-", dir="/tmp") as name:
        base = Path(name)
        stack, run_dir, state_dir = Stack(base / "supervisord.conf"), base / "run", base / "state"
        stack.conf.write_bytes((ROOT / "supervisord.conf").read_bytes())
        for directory in (run_dir, state_dir):
            directory.mkdir(mode=0o700)
        prepare(stack)
        plan = with_live_account(generated_plan(150, 1, free_port(), time.time_ns(), ("chainlink",)))
        plan = replace(plan, sim=msgspec.structs.replace(plan.sim, evm=False))
        config_file, sim_file = write_files(plan, state_dir)
        venue = subprocess.Popen(
            [sys.executable, "-m", "procs.venue"],
            cwd=ROOT,
            env={**os.environ, "LAGGARD_SIM": str(sim_file)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        chat = Chat()
        held: House | None = None
        try:
            write_credentials(state_dir / "credentials" / "telegram.json", {"token": chat.double.token})
            with config_file.open("a") as file:
                file.write(f'\n[telegram]\nchat_id = {ANN}\napi_url = "{chat.double.url}"\n')
                file.write("poll_s = 1\nanswer_s = 2\n")
            until(lambda: _listens(plan.sim.listen), 30, "the venue listens")
            kept = {key: value for key, value in os.environ.items() if not key.startswith("LAGGARD_")}
            named = {
                "LAGGARD_CONFIG": str(config_file),
                "LAGGARD_STATE_DIR": str(state_dir),
                "LAGGARD_RUN_DIR": str(run_dir),
                "LAGGARD_EVIDENCE__WAIVER": "No real money: the venue of this test is simulated.",
            }
            held = House(
                stack, run_dir, state_dir, supervisor_environment(kept, named), plan.sim.listen, chat
            )
            held.start()
            yield held
        finally:
            if held is not None:
                held.end()
            chat.close()
            venue.kill()
            venue.wait()


def _listens(listen: str) -> bool:
    host, _, port = listen.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
