"""The real telegram process under a real supervisord: commands, kill -9, and an outage of Telegram."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import zmq.asyncio

from commands_stage import ANN, EVE, Executor, new_double
from common.errors import CallRefused, CallTimedOut
from common.messages import Flatten, Status, StatusReport
from common.runtime.calls import call
from common.runtime.clock import SystemClock
from common.runtime.credentials import write_credentials
from common.runtime.supervisor import UNREACHABLE, Fault, ProcessRow, process_table, rpc
from common.sim.telegram.bot_api import BotApiDouble
from common.sim.telegram.chats import Shown
from common.sim.telegram.faults import Fault as ApiFault
from procs.cli.stack import ROOT, Stack, prepare, stop_supervisor, supervisor_command, supervisor_environment

pytestmark = [pytest.mark.procs, pytest.mark.timeout(120)]

CONF = """
[unix_http_server]
file=%(here)s/.run/supervisor.sock
chmod=0700
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
logfile=%(here)s/.run/log/supervisord.log
pidfile=%(here)s/.run/supervisord.pid
childlogdir=%(here)s/.run/log
umask=077
[program:telegram]
command=python -m procs.telegram_bot
startsecs=1
autorestart=unexpected
exitcodes=0,78
redirect_stderr=true
stdout_logfile=%(here)s/.run/log/telegram.log
[program:books]
command=sh -c "echo a line of the log; exec sleep 600"
startsecs=0
redirect_stderr=true
stdout_logfile=%(here)s/.run/log/books.log
[group:ui]
programs=telegram
"""


@dataclass
class Bot:
    """The process, who is around it, and what people see."""

    double: BotApiDouble
    executor: Executor
    stack: Stack
    run_dir: Path
    state_dir: Path
    ctx: zmq.asyncio.Context
    pids: set[int] = field(default_factory=set)

    def texts(self, chat_id: int = ANN) -> list[str]:
        return [shown.text for shown in self.double.sent(chat_id) if shown.by_bot]

    async def until(self, condition: Callable[[], object], limit_s: float = 20) -> None:
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, f"waited too long; {self.texts()}\n{self.log()[-3000:]}"
            await asyncio.sleep(0.02)

    async def said(self, part: str, limit_s: float = 20) -> None:
        await self.until(lambda: any(part in text for text in self.texts()), limit_s)

    async def confirm(self, text: str) -> None:
        name = text.split(maxsplit=1)[0]
        self.double.say(ANN, text)

        def question() -> Shown | None:
            return next(
                (one for one in self.double.sent(ANN) if one.buttons and one.text.startswith(name)), None
            )

        await self.until(question)
        shown = question()
        assert shown is not None
        self.double.press(ANN, shown.buttons[0][0]["callback_data"], message_id=shown.message_id)

    def unended(self) -> int:
        """How many updates the log has as taken and not ended."""
        with closing(sqlite3.connect(f"file:{self.state_dir}/commands.sqlite?mode=ro", uri=True)) as log:
            return int(log.execute("SELECT count(*) FROM updates WHERE ended = 0").fetchone()[0])

    def log(self) -> str:
        file = self.stack.log_dir / "telegram.log"
        return file.read_text() if file.exists() else ""

    def table(self) -> dict[str, ProcessRow]:
        with rpc(self.stack.socket) as server:
            rows = {row.name: row for row in process_table(server)}
        self.pids |= {row.pid for row in rows.values() if row.pid}
        return rows

    async def report(self) -> StatusReport | None:
        try:
            answer = await call(
                self.ctx, self.run_dir, "telegram", "test", Status(), clock=SystemClock(), timeout_ns=10**9
            )
        except (CallTimedOut, CallRefused):
            return None
        return answer if isinstance(answer, StatusReport) else None

    async def in_state(self, state: str, detail: str = "", limit_s: float = 20) -> StatusReport:
        deadline = time.monotonic() + limit_s
        while True:
            report = await self.report()
            if report is not None and report.state == state and detail in report.detail:
                return report
            assert time.monotonic() < deadline, f"it is {report}\n{self.log()[-3000:]}"
            await asyncio.sleep(0.05)


@asynccontextmanager
async def bot(*, token: str | None = None, api: bool = True) -> AsyncIterator[Bot]:
    """A supervised telegram process; ends all of it."""
    with tempfile.TemporaryDirectory(prefix="lg-", dir="/tmp") as name:
        base = Path(name)
        stack = Stack(base / "supervisord.conf")
        stack.conf.write_text(CONF)
        prepare(stack)
        double = new_double()
        await double.open()
        if not api:
            await double.close()
        for directory in ("run", "state"):
            (base / directory).mkdir(mode=0o700)
        if token != "":
            write_credentials(base / "credentials" / "telegram.json", {"token": token or double.token})
        (base / "config.toml").write_text(
            f'[paths]\nstate_dir = "{base}/state"\nrun_dir = "{base}/run"\n'
            f'credentials_dir = "{base}/credentials"\n'
            f'[telegram]\nchat_id = {ANN}\napi_url = "{double.url}"\npoll_s = 1\nanswer_s = 1\n'
        )
        kept = {key: value for key, value in os.environ.items() if not key.startswith("LAGGARD_")}
        supervisord = subprocess.Popen(  # noqa: ASYNC220 - it starts at once
            supervisor_command(stack, "--nodaemon"),
            env=supervisor_environment(kept, {"LAGGARD_CONFIG": str(base / "config.toml")}),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ctx = zmq.asyncio.Context()
        executor = Executor(ctx, base / "run")
        made = Bot(double, executor, stack, base / "run", base / "state", ctx)
        try:
            async with executor.answering():
                await made.until(stack.socket.exists)
                yield made
        finally:
            try:
                made.table()
            except (*UNREACHABLE, Fault):
                pass
            if supervisord.poll() is None and not await asyncio.to_thread(
                stop_supervisor, stack, supervisord.pid, 30
            ):
                supervisord.kill()
            supervisord.wait()
            await double.close()
            ctx.destroy(linger=0)


async def test_it_commands_and_tells_of_itself() -> None:
    async with bot() as made:
        report = await made.in_state("ready")
        assert report.facts["bot"] == "@laggard_test_bot"
        assert {one["command"] for one in made.double.commands} >= {"kill", "status"}
        made.double.say(EVE, "/kill")
        await made.confirm("/kill")
        await made.until(lambda: made.executor.postures == ["halted"])
        await made.said("/kill: Done")
        made.double.say(ANN, "/logs books")
        await made.said("a line of the log")
        made.double.say(ANN, "/procs")
        await made.said("books: running")
        made.double.say(ANN, "/errors")
        await made.said("update_ignored")
        report = await made.in_state("ready")
        assert report.counters["ignored_updates"] == 1
        assert report.counters["updates"] >= 5
        assert "polling" in report.ages_ms
        assert made.double.token.partition(":")[2] not in made.log() + str(report)
        assert made.texts(EVE) == []


@pytest.mark.slow
async def test_programs_are_stopped_started_and_restarted() -> None:
    async with bot() as made:
        await made.in_state("ready")
        await made.until(lambda: made.table()["books"].state == "RUNNING")
        first = made.table()["books"].pid
        await made.confirm("/restart books")
        await made.said("/restart books: Done")
        assert made.table()["books"].pid not in (0, first)
        await made.confirm("/stop books")
        await made.said("/stop books: Done: books is stopped")
        await made.confirm("/start books")
        await made.said("/start books: Done")
        assert made.table()["books"].state in ("STARTING", "RUNNING")


@pytest.mark.slow
async def test_it_restarts_itself_once_and_answers_first() -> None:
    async with bot() as made:
        await made.in_state("ready")
        first = made.table()["telegram"].pid
        await made.confirm("/restart telegram")
        await made.said("/restart telegram: In a moment.")
        assert made.table()["telegram"].pid == first
        await made.until(lambda: made.table()["telegram"].pid not in (0, first))
        second = made.table()["telegram"].pid
        await made.in_state("ready")
        made.double.say(ANN, "/version")
        await made.said("laggard ")
        assert made.table()["telegram"].pid == second


async def test_a_kill_of_the_process_repeats_nothing_and_loses_no_kill() -> None:
    async with bot() as made:
        await made.in_state("ready")
        await made.confirm("/flatten")
        await made.until(lambda: made.executor.done)
        for number in range(3):
            pid = made.table()["telegram"].pid
            os.kill(pid, signal.SIGKILL)
            made.double.say(ANN, "/kill", date_s=int(time.time()) - 120)
            for update_id in list(made.double.updates._past):
                made.double.updates.repeat(update_id)
            await made.until(lambda number=number: len(made.executor.postures) > number)  # type: ignore[misc]
        await made.until(lambda: not made.double.updates.pending)
        assert made.executor.postures == ["halted"] * 3
        assert sum(isinstance(one, Flatten) for one in made.executor.done) == 1


async def test_a_command_taken_by_a_process_that_died_is_finished_by_the_next_even_in_an_outage() -> None:
    async with bot() as made:
        await made.in_state("ready")
        made.executor.slow_s = 1.0
        made.double.say(ANN, "/kill", date_s=int(time.time()) - 120)
        await made.until(lambda: made.executor.begun)
        made.double.faults.add(ApiFault("reset"))
        os.kill(made.table()["telegram"].pid, signal.SIGKILL)
        made.executor.slow_s = 0.0
        await made.until(lambda: made.executor.postures and not made.unended())
        # Asked twice under one id: what the real executor's journal carries out once.
        assert len(made.executor.answered) == 1
        made.double.faults.clear()
        await made.said("/kill: Done")


@pytest.mark.slow
async def test_an_outage_from_the_start_is_waited_for() -> None:
    async with bot(api=False) as made:
        report = await made.in_state("degraded", "cannot be reached")
        made.double.say(ANN, "/kill", date_s=int(time.time()) - 600)
        made.double.say(ANN, "/resume", date_s=int(time.time()) - 300)
        await made.double.open(int(made.double.url.rpartition(":")[2]))
        await made.until(lambda: made.executor.postures == ["halted"])
        await made.said("/resume was sent 30")
        after = await made.in_state("ready")
        assert after.boot == report.boot


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_long_outage_costs_one_restart_and_no_kill() -> None:
    async with bot() as made:
        boots = [(await made.in_state("ready")).boot]
        outage = made.double.faults.add(ApiFault("reset"))
        made.double.say(ANN, "/kill", date_s=int(time.time()) - 120)

        async def next_boot() -> None:
            while (report := await made.report()) is None or report.boot == boots[-1]:
                await asyncio.sleep(0.2)
            boots.append(report.boot)

        async with asyncio.timeout(60):  # a long poll of 1 s and 30 s of patience
            await next_boot()
        limit_ms = 31_000
        report = await made.in_state("degraded")
        while (report := await made.in_state("degraded")).uptime_ms < limit_ms + 10_000:
            await asyncio.sleep(0.5)
        assert report.boot == boots[-1]
        made.double.faults.lift(outage)
        await made.until(lambda: made.executor.postures == ["halted"])
        await made.said("/kill: Done")


@pytest.mark.slow
async def test_a_token_refused_later_is_said_and_survived() -> None:
    async with bot() as made:
        report = await made.in_state("ready")
        made.double.faults.add(ApiFault("unauthorized"))
        await made.in_state("degraded", "does not take the token")
        assert (await made.in_state("degraded")).boot == report.boot


async def test_without_a_token_it_is_disabled_and_says_why() -> None:
    async with bot(token="") as made:
        report = await made.in_state("disabled", "no Telegram token")
        assert "telegram.json" in report.detail


@pytest.mark.slow
async def test_with_a_wrong_token_it_says_so_and_trading_goes_on() -> None:
    async with bot(token="123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr") as made:
        await made.in_state("degraded", "does not take the token: ")
        await made.until(lambda: made.table()["telegram"].state == "RUNNING")


def test_up_stops_before_anything_starts_where_telegram_is_required_and_refuses(tmp_path: Path) -> None:
    """The whole command, offline: nobody listens on that port."""
    write_credentials(tmp_path / "credentials" / "telegram.json", {"token": "nonsense"})
    config = tmp_path / "config.toml"
    config.write_text(
        f'[paths]\nstate_dir = "{tmp_path}/s"\nrun_dir = "{tmp_path}/r"\n'
        f'credentials_dir = "{tmp_path}/credentials"\n'
        '[telegram]\nrequired = true\nchat_id = 5\napi_url = "http://127.0.0.1:9"\n'
    )
    code = (
        "import procs.cli.up_down as up_down, procs.cli.stack as stack, sys\n"
        "from pathlib import Path\nfrom procs.cli.main import main\n"
        "up_down.own_stack = lambda: stack.Stack(Path(sys.argv[1]))\n"
        "main(['up', '--config', sys.argv[2]])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "supervisord.conf"), str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 69, done.stderr
    assert "Telegram cannot be reached" in done.stderr
    assert not (tmp_path / ".run").exists()
