"""The whole stack under a real supervisord: steering, deaths and orphans.

One stack plays generated markets in private directories; every test leaves all programs running.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from common.messages import Status, StatusReport
from common.runtime.supervisor import UNREACHABLE, Fault, ProcessRow, process_table, rpc
from procs.cli.asking import Place, ask
from procs.cli.demo_config import generated_plan, write_files
from procs.cli.demo_stage import free_port
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
from procs.cli.survey import Survey, survey

pytestmark = [pytest.mark.procs, pytest.mark.alone, pytest.mark.timeout(180)]

PROGRAMS = {
    "oracle-chainlink": "feeds",
    "oracle-polybolt": "feeds",
    "oracle-rtds": "feeds",
    "oracle-exchange": "feeds",
    "books": "feeds",
    "strategist": "core",
    "executor": "core",
    "redeemer": "core",
    "recorder": "aux",
    "telegram": "ui",
    "venue": "sim",
    "sentinel": "sentinel",
}
RESTART_LIMIT_S = 2.0
SENTINEL_LIMIT_S = 3.5
"""Nobody keeps supervisord awake while the sentinel is dead: its loop sleeps up to a second, twice."""


@dataclass
class Running:
    stack: Stack
    run_dir: Path
    environment: dict[str, str]
    process: "subprocess.Popen[bytes]"
    pids: list[int] = field(default_factory=list)
    """What the last look at the table showed."""

    def table(self) -> dict[str, ProcessRow]:
        with rpc(self.stack.socket) as server:
            rows = process_table(server)
        self.pids = [row.pid for row in rows if row.pid]
        return {row.name: row for row in rows}

    def report(self, role: str) -> StatusReport | None:
        answer = ask(self.run_dir, {role: Status()})[role]
        return answer if isinstance(answer, StatusReport) else None

    def survey(self) -> Survey:
        return survey(Place(self.stack, self.process.pid, self.run_dir))

    def supervisorctl(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Without any environment of ours, as a person in another terminal would."""
        asking = self._ask(*arguments)
        out, err = asking.communicate(timeout=90)
        return subprocess.CompletedProcess(arguments, asking.returncode, out, err)

    def all_at_once(self, verb: str, names: list[str], said: str) -> None:
        """One supervisorctl for each program, so that their three seconds of startsecs pass together."""
        for name, asking in [(name, self._ask(verb, name)) for name in names]:
            out, err = asking.communicate(timeout=90)
            assert said in out, f"{name}: {out}{err}"

    def _ask(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(self.stack.conf), *arguments],
            env={"PATH": os.defpath},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def until(
    met: Callable[[], bool],
    limit_s: float,
    what: str,
    every_s: float = 0.05,
    said: Callable[[], str] = str,
) -> float:
    """Wait for a condition; returns how long it took, fails after the limit."""
    began = time.monotonic()
    while not met():
        if time.monotonic() - began > limit_s:
            pytest.fail(f"not within {limit_s} s: {what} {said()}")
        time.sleep(every_s)
    return time.monotonic() - began


def all_well(running: Running) -> bool:
    found = running.survey()
    return len(found.seen) == len(PROGRAMS) and all(one.well and not one.optional for one in found.seen)


@pytest.fixture(autouse=True)
def _no_process_left() -> None:
    """Here processes outlive a test on purpose: the stack's own fixture ends them all."""


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
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
        kept = {key: value for key, value in os.environ.items() if not key.startswith("LAGGARD_")}
        environment = supervisor_environment(
            kept,
            {
                "LAGGARD_CONFIG": str(config_file),
                "LAGGARD_SIM": str(sim_file),
                "LAGGARD_STATE_DIR": str(state_dir),
                "LAGGARD_RUN_DIR": str(run_dir),
            },
        )
        process = subprocess.Popen(
            supervisor_command(stack, "--nodaemon"),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        held = Running(stack, run_dir, environment, process)
        try:
            until(lambda: supervisor_pid(stack) == process.pid, 15, "supervisord answers")
            assert "started" in held.supervisorctl("start", "sim:venue").stdout
            until(lambda: all_well(held), 40, "every process runs and answers", 0.3)
            yield held
        finally:
            if process.poll() is None and not stop_supervisor(stack, process.pid, 60):
                process.kill()
            process.wait()
            left = [pid for pid in held.pids if is_alive(pid)]
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            assert not left


def test_status_says_that_all_runs(running: Running) -> None:
    done = running.supervisorctl("status")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("RUNNING") == len(PROGRAMS)


def test_the_redeemer_rests_on_paper_and_is_recorded(running: Running) -> None:
    report = running.report("redeemer")
    assert report is not None
    assert (report.state, report.detail) == ("disabled", "nothing to redeem on paper")

    def recorded() -> bool:
        told = running.report("recorder")
        return told is not None and any(
            seen.source == "redeemer" and seen.boot == report.boot and seen.received for seen in told.sources
        )

    until(recorded, 10, "the recorder hears the redeemer")


def test_every_program_stops_starts_and_restarts(running: Running) -> None:
    names = [f"{group}:{name}" for name, group in PROGRAMS.items()]
    before = {name: row.pid for name, row in running.table().items()}
    for name in names:
        assert "stopped" in running.supervisorctl("stop", name).stdout
    assert all(row.state == "STOPPED" for row in running.table().values())
    assert not any(is_alive(pid) for pid in before.values())
    running.all_at_once("start", names, "started")
    until(lambda: all_well(running), 30, "every process runs again", 0.3)
    between = {name: row.pid for name, row in running.table().items()}
    running.all_at_once("restart", names, "started")
    until(lambda: all_well(running), 30, "every process runs after its restart", 0.3)
    after = {name: row.pid for name, row in running.table().items()}
    assert all(len({before[name], between[name], after[name]}) == 3 for name in PROGRAMS)


@pytest.mark.parametrize("group", ["feeds", "core", "aux", "ui", "sim"])
def test_every_group_restarts(running: Running, group: str) -> None:
    members = [name for name, its_group in PROGRAMS.items() if its_group == group]
    before = running.table()
    done = running.supervisorctl("restart", f"{group}:*")
    assert done.stdout.count("started") == len(members), done.stdout
    after = running.table()
    for name in PROGRAMS:
        assert (after[name].pid != before[name].pid) == (name in members)
    until(lambda: all_well(running), 30, "every process runs after its restart", 0.3)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_killed_process_is_back_with_a_new_boot(running: Running, name: str) -> None:
    until(lambda: all_well(running), 30, "every process runs", 0.3)
    first = running.report(name)
    pid = running.table()[name].pid
    os.kill(pid, signal.SIGKILL)

    def back() -> bool:
        if name == "venue":
            row = running.table()[name]
            return row.pid not in (0, pid) and is_alive(row.pid)
        # Asked over its own socket alone: a question to supervisord would wake it up.
        report = running.report(name)
        return report is not None and first is not None and report.boot != first.boot and report.pid != pid

    took = until(back, 10, f"{name} is back")
    assert took <= (SENTINEL_LIMIT_S if name == "sentinel" else RESTART_LIMIT_S), (
        f"{name} was back after {took:.2f} s"
    )


def test_the_sentinel_counts_restarts(running: Running) -> None:
    until(lambda: all_well(running), 30, "every process runs", 0.3)

    def facts() -> dict[str, str]:
        report = running.report("sentinel")
        return report.facts if report is not None else {}

    before = int(facts()["restarts.recorder"])
    os.kill(running.table()["recorder"].pid, signal.SIGKILL)
    until(lambda: int(facts().get("restarts.recorder", "0")) == before + 1, 10, "the restart is counted")
    assert facts()["restart_times.recorder"].endswith("Z")


def test_a_frozen_process_is_killed_and_started_again(running: Running) -> None:
    until(lambda: all_well(running), 30, "every process runs", 0.3)
    pid = running.table()["books"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        took = until(lambda: not is_alive(pid), 15, "the frozen process is killed")
    finally:
        if is_alive(pid):
            os.kill(pid, signal.SIGCONT)
    assert took >= 2.5
    until(lambda: all_well(running), 30, "every process runs again", 0.3)


def test_a_second_executor_is_refused(running: Running) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "procs.executor"],
        cwd=ROOT,
        env=running.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 69
    assert "another executor is running" in done.stdout + done.stderr


def test_a_killed_supervisord_leaves_no_orphan(running: Running) -> None:
    until(lambda: all_well(running), 30, "every process runs", 0.3)
    pids = {name: row.pid for name, row in running.table().items()}
    running.process.kill()
    running.process.wait()
    left = set(pids)

    def all_ended() -> bool:
        left.intersection_update(name for name in pids if is_alive(pids[name]))
        return not left

    until(all_ended, 3, "every process ends", said=lambda: f"left: {sorted(left)}")
    with pytest.raises((*UNREACHABLE, Fault)):
        running.table()
