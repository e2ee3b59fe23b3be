"""The sentinel beside a real stack: crash loops, programs given up, a killed supervisord, a busy machine."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Self

import pytest

from common.core.vigil import LOOP_STARTS
from common.messages import AccountReport, ReadAccount
from hang_stage import Stage, stage, until
from procs.cli.asking import ask
from procs.cli.stack import is_alive

pytestmark = [pytest.mark.procs, pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(900)]

KILLS = 10
LOAD_S = 300
HOGS = 4
"""Processes that do nothing but count: twice as many as this machine has cores."""


@pytest.fixture(autouse=True)
def _no_process_left() -> None:
    """Here processes outlive a test on purpose: the stage ends them all."""


def crashable(conf: str) -> str:
    """The supervisord.conf in which the recorder can be made to die over and over."""
    return conf.replace("command=python -m procs.recorder", "command=python -m tests.procs.crashing_process")


def crash(on: Stage, kind: str) -> None:
    """From now on each recorder dies of this; the present one at once."""
    (on.run_dir / "crash").write_text(kind)
    os.kill(on.table()["recorder"].pid, signal.SIGKILL)


def starts_of(on: Stage) -> list[float]:
    return [line["at"] for line in on.log("recorder", "start")]


def most_in_a_minute(starts: list[float]) -> int:
    return max((sum(1 for at in starts if first <= at < first + 60) for first in starts), default=0)


def test_a_crash_loop_is_stopped_and_holds_orders_and_harms_nobody_else() -> None:
    with stage(change=crashable) as on:
        others = {name: row.pid for name, row in on.table().items() if name != "recorder"}
        crash(on, "late")
        until(lambda: on.table()["recorder"].state == "STOPPED", 120, "the loop is stopped")
        until(lambda: "crash-loop.recorder" in on.alerts(), 10, "it is told")
        pause(20)  # nobody starts it again
        starts = starts_of(on)
        sys.stdout.write(f"dies soon after it runs: {gaps(starts)}, then stopped\n")
        assert most_in_a_minute(starts) <= LOOP_STARTS
        assert on.said(0).count("crash-loop.recorder") == 1
        assert {name: row.pid for name, row in on.table().items() if name != "recorder"} == others
        answer = ask(on.run_dir, {"executor": ReadAccount()})["executor"]
        assert isinstance(answer, AccountReport)
        assert (answer.posture.posture, answer.posture.who) == ("no-new-orders", "sentinel")
        (on.run_dir / "crash").unlink()
        on.order("startProcess", "recorder")
        until(lambda: "crash-loop.recorder" not in on.alerts(), 20, "a person started it: the alert is over")


def test_a_program_that_dies_at_once_is_given_up_and_revived_without_haste() -> None:
    with stage(change=crashable) as on:
        others = {name: row.pid for name, row in on.table().items() if name != "recorder"}
        crash(on, "at once")
        until(lambda: "fatal.recorder" in on.alerts(), 120, "it is given up and told")
        first = len(starts_of(on))
        until(lambda: len(starts_of(on)) > first, 90, "it is revived", 0.5)
        until(lambda: on.table()["recorder"].state == "FATAL", 90, "it is given up again", 0.5)
        starts = starts_of(on)
        sys.stdout.write(f"dies at once: {gaps(starts)}\n")
        assert most_in_a_minute(starts) <= LOOP_STARTS
        assert starts[first] - starts[first - 1] >= 60
        assert on.said(0).count("fatal.recorder") == 1
        assert {name: row.pid for name, row in on.table().items() if name != "recorder"} == others


def gaps(starts: list[float]) -> str:
    between = ", ".join(f"{later - earlier:.1f}" for earlier, later in pairwise(starts))
    return f"seconds between starts {between}; most in a minute {most_in_a_minute(starts)}"


def pause(seconds: float) -> None:
    """Let time pass in which something must not happen."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, seconds + 10, "a while passes", 0.2)


class Census:
    """Which executors live, looked at again and again while a supervisord dies and the next one starts."""

    def __init__(self, run_dir: Path) -> None:
        self._mark = f"LAGGARD_RUN_DIR={run_dir}".encode()
        self._over = threading.Event()
        self.last_seen: dict[int, float] = {}
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.005):
            now = time.time()
            for pid in self._living():
                self.last_seen[pid] = now

    def _living(self) -> Iterator[int]:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
                ours = b"procs.executor" in command and self._mark in (folder / "environ").read_bytes()
                if ours and is_alive(int(folder.name)):
                    yield int(folder.name)
            except OSError:
                continue


def test_a_killed_supervisord_leaves_no_orphan_and_never_two_executors_ten_times() -> None:
    with stage() as on, Census(on.run_dir) as census:
        slowest = 0.0
        for _ in range(KILLS):
            until(on.all_well, 60, "every process runs", 0.2)
            pids = [row.pid for row in on.table().values() if row.pid]
            on.process.kill()
            on.process.wait()
            # The next one at once, as a restart by systemd would: it finds whatever is still there.
            on.start()
            slowest = max(
                slowest, until(lambda pids=pids: not any(is_alive(pid) for pid in pids), 5, "all ended", 0.01)
            )
            until(lambda: on.report("executor") is not None, 60, "an executor answers", 0.2)
            on.order("startProcess", "venue")
        until(on.all_well, 60, "every process runs", 0.2)
        # An executor logs its start after it got the lock.
        started = [(line["at"], line["pid"]) for line in on.log("executor", "started")]
        assert len(started) == KILLS + 1
        for (_, pid), (next_at, _) in pairwise(started):
            assert census.last_seen[pid] <= next_at, f"executor {pid} lived beside its successor"
        least = min(next_at - census.last_seen[pid] for (_, pid), (next_at, _) in pairwise(started))
        sys.stdout.write(
            f"{KILLS} kills of supervisord: all children ended within {slowest:.2f} s, "
            f"at least {least:.2f} s between two executors\n"
        )


def test_five_minutes_on_a_busy_machine_cost_nobody_his_life() -> None:
    hogs: list[subprocess.Popen[bytes]] = []
    with stage() as on:
        before = {name: row.pid for name, row in on.table().items()}
        began = time.time()
        try:
            hogs += [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(HOGS)]
            end = time.monotonic() + LOAD_S
            while time.monotonic() < end:
                assert {name: row.pid for name, row in on.table().items()} == before
                pause(2)
        finally:
            for hog in hogs:
                hog.send_signal(signal.SIGKILL)
                hog.wait()
        sys.stdout.write(
            f"{LOAD_S} s with {HOGS} busy processes on {os.cpu_count()} cores, load "
            f"{os.getloadavg()[1]:.1f}: no restart, alerts: {on.said(began) or 'none'}\n"
        )
        assert not [code for code in on.said(began) if code.startswith("silent.")]
