"""A house to be set on fire: the whole stack under a supervisord of its own, with its orders at a venue outside.

The venue and Telegram are what the house talks to; they live on when everything in it is killed.
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
from common.errors import CallRefused
from common.messages import AccountReport, PostureState, ReadAccount, Submit, Verdict, Why, WhyReport
from common.runtime.credentials import write_credentials
from common.runtime.supervisor import UNREACHABLE, Fault, process_table, rpc
from common.sim.telegram.chats import Shown
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

    def posture(self) -> PostureState | None:
        report = self.account()
        return report.posture if report is not None else None

    def orders(self) -> Orders:
        """What the journal's file and the venue's own list have."""
        found = read_journal(self.state_dir / "journal-live.sqlite")
        history = read_history(self.listen)
        assert found is not None
        assert history is not None, "the venue does not answer"
        ours = tuple(sorted(order.state.order_id for order in found.books.orders.values()))
        return Orders(ours, tuple(sorted(one["id"] for one in history["orders"])), history["received"])

    def knock(self) -> str:
        """Ask for an order as the strategist would; the code with which the executor refuses it."""
        window = f"btc-updown-15m-{time.time_ns()}"
        wish = Submit(
            intent_id=f"{window}/up/knock", window=window, asset="btc", token="1", outcome="up",
            strategy="knock", limit4=5000, stake_usd6=5_000_000, decided_ns=time.time_ns(),
            decided_mono_ns=time.monotonic_ns(), cause="a test",
        )  # fmt: skip
        answer = ask(self.run_dir, {"executor": wish})["executor"]
        return answer.code if isinstance(answer, CallRefused) else type(answer).__name__

    def tempted(self) -> bool:
        """Whether the strategist sees a trade now, kept from it by the posture alone."""
        answer = ask(self.run_dir, {"strategist": Why()})["strategist"]
        return isinstance(answer, WhyReport) and any(map(_only_the_posture, answer.verdicts))

    def look(self) -> None:
        with contextlib.suppress(*UNREACHABLE, Fault), rpc(self.stack.socket) as server:
            self.pids |= {row.pid for row in process_table(server) if row.pid}

    def kill_everything(self) -> int:
        """SIGKILL to supervisord and every program at once, as a power cut would; returns how many died."""
        assert self.process is not None
        self.look()
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
                file.write(
                    f'\n[telegram]\nchat_id = {ANN}\napi_url = "{chat.double.url}"\npoll_s = 1\nanswer_s = 2\n'
                )
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
