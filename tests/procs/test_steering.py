"""What the command line tells the executor outlives the death of everything, and no order begins meanwhile.

One private supervisord with the real configuration; the simulated venue's book is always late, so that an
executor that were allowed to would trade.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from common.messages import AccountReport, ReadAccount
from common.runtime.supervisor import UNREACHABLE, Fault, process_table, rpc
from procs.cli import steer
from procs.cli.asking import ask
from procs.cli.demo_config import generated_plan, write_files
from procs.cli.demo_stage import free_port
from procs.cli.main import laggard, run
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

pytestmark = pytest.mark.procs

VERBS = {"pause": "paused", "noentry": "no-new-orders", "halt": "halted"}
SILENT_S = 1.5
"""How long each round is watched for an order after everything is back."""


@dataclass
class House:
    """One supervisord with everything below it, which a test may kill and start again."""

    stack: Stack
    run_dir: Path
    state_dir: Path
    environment: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None
    pids: set[int] = field(default_factory=set)

    def start(self) -> None:
        """Everything, the simulated venue too; returns when the executor answers."""
        self.process = subprocess.Popen(
            supervisor_command(self.stack, "--nodaemon"),
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        pid = self.process.pid
        until(lambda: supervisor_pid(self.stack) == pid, 20, "supervisord answers")
        with rpc(self.stack.socket) as server:
            server.supervisor.startProcess("sim:venue", False)
        until(lambda: self.account() is not None, 30, "the executor answers")

    def account(self) -> AccountReport | None:
        answer = ask(self.run_dir, {"executor": ReadAccount()})["executor"]
        return answer if isinstance(answer, AccountReport) else None

    def look(self) -> None:
        with contextlib.suppress(*UNREACHABLE, Fault), rpc(self.stack.socket) as server:
            self.pids |= {row.pid for row in process_table(server) if row.pid}

    def kill_everything(self) -> None:
        """SIGKILL to supervisord and every program at once, as a power cut would."""
        assert self.process is not None
        self.look()
        for pid in (self.process.pid, *self.pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        until(lambda: not any(map(is_alive, self.pids)), 10, "everything is dead")
        self.pids.clear()

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


def until(met: Callable[[], bool], limit_s: float, what: str) -> None:
    limit = time.monotonic() + limit_s
    while not met():
        if time.monotonic() > limit:
            pytest.fail(f"not within {limit_s} s: {what}")
        time.sleep(0.05)


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(steer, "ANSWER_LIMIT_S", 1.0)
    # Not pytest's own directory: its path leaves no room for socket names.
    with tempfile.TemporaryDirectory(prefix="lg-", dir="/tmp") as name:
        base = Path(name)
        stack, run_dir, state_dir = Stack(base / "supervisord.conf"), base / "run", base / "state"
        stack.conf.write_bytes((ROOT / "supervisord.conf").read_bytes())
        for directory in (run_dir, state_dir):
            directory.mkdir(mode=0o700)
        prepare(stack)
        config_file, sim_file = write_files(
            generated_plan(150, 1, free_port(), time.time_ns(), ("rtds",)), state_dir
        )
        named = {
            "LAGGARD_CONFIG": str(config_file),
            "LAGGARD_SIM": str(sim_file),
            "LAGGARD_STATE_DIR": str(state_dir),
            "LAGGARD_RUN_DIR": str(run_dir),
        }
        kept = {key: value for key, value in os.environ.items() if not key.startswith("LAGGARD_")}
        for key in ("LAGGARD_CONFIG", "LAGGARD_STATE_DIR", "LAGGARD_RUN_DIR"):
            monkeypatch.setenv(key, named[key])
        held = House(stack, run_dir, state_dir, supervisor_environment(kept, named))
        held.start()
        try:
            yield held
        finally:
            held.end()


def rounds(house: House, number: int) -> None:
    """Say it, kill everything, start everything: what was said still holds, and nothing was ordered."""
    verbs = list(VERBS)
    assert run(laggard, ["pause", "--reason", "before the first round"]) == 0
    began = house.account()
    assert began is not None
    for count in range(number):
        verb = verbs[count % len(verbs)]
        reason = f"round {count} of {verb}"
        assert run(laggard, [verb, "--reason", reason]) == 0
        house.kill_everything()
        house.start()
        limit = time.monotonic() + SILENT_S
        while time.monotonic() < limit:
            report = house.account()
            if report is not None:
                posture = report.posture
                assert (posture.posture, posture.reason) == (VERBS[verb], reason)
                assert posture.who.startswith("cli:")
                assert [order.order_id for order in report.orders] == [
                    order.order_id for order in began.orders
                ]
            time.sleep(0.1)


@pytest.mark.timeout(120)
def test_a_posture_outlives_the_death_of_everything_and_so_does_the_kill_switch(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds(house, 2)
    house.kill_everything()
    # Nobody is there to be told.
    assert run(laggard, ["halt", "--reason", "fire"]) == 1
    assert "its next start begins halted" in capsys.readouterr().err
    house.start()
    report = house.account()
    assert report is not None
    assert report.posture.posture == "halted"
    assert "fire" in report.posture.reason and "cli:" in report.posture.reason


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_posture_outlives_twenty_deaths_and_would_have_traded(house: House) -> None:
    rounds(house, 20)
    report = house.account()
    assert report is not None
    before = len(report.orders)
    assert run(laggard, ["resume", "--yes", "--reason", "the proof is over"]) == 0

    def ordered() -> bool:
        now = house.account()
        return now is not None and len(now.orders) > before

    until(ordered, 150, "an order: the venue offered chances all the time")
