"""A whole stack under a supervisord of its own, whose processes can be broken, and what became of them."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from common.messages import RouteName, Status, StatusReport
from common.runtime.supervisor import ProcessRow, process_table, rpc
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
from procs.cli.survey import survey

ROUTES: tuple[RouteName, ...] = ("polybolt", "rtds")
HEARD_MS = 3000
UNWATCHED = "venue"
"""The simulated exchange is no process of laggard's: nobody watches it."""


@dataclass
class Stage:
    """A running stack."""

    stack: Stack
    run_dir: Path
    state_dir: Path
    environment: dict[str, str]
    process: "subprocess.Popen[bytes]"
    pids: set[int] = field(default_factory=set)

    def start(self) -> None:
        """Start supervisord, again after it was killed."""
        self.process = subprocess.Popen(
            supervisor_command(self.stack, "--nodaemon"),
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def table(self) -> dict[str, ProcessRow]:
        with rpc(self.stack.socket) as server:
            rows = process_table(server)
        self.pids |= {row.pid for row in rows if row.pid}
        return {row.name: row for row in rows}

    def order(self, verb: str, name: str) -> None:
        """``stopProcess`` or ``startProcess`` of a program."""
        row = self.table()[name]
        with rpc(self.stack.socket) as server:
            getattr(server.supervisor, verb)(f"{row.group}:{name}")

    def watched(self) -> list[str]:
        """Every process of laggard's that runs, the sentinel last."""
        names = [name for name, row in self.table().items() if row.state == "RUNNING" and name != UNWATCHED]
        return sorted(names, key=lambda name: name == "sentinel")

    def report(self, role: str) -> StatusReport | None:
        answer = ask(self.run_dir, {role: Status()})[role]
        return answer if isinstance(answer, StatusReport) else None

    def alerts(self) -> dict[str, str]:
        """What lasts, by code, from the sentinel's status."""
        report = self.report("sentinel")
        facts = report.facts if report is not None else {}
        return {
            name.removeprefix("alert."): text for name, text in facts.items() if name.startswith("alert.")
        }

    def log(self, program: str, event: str) -> list[dict[str, Any]]:
        """Every line of a program's log that tells of an event, with ``at`` in seconds since 1970."""
        found = []
        for line in (self.stack.log_dir / f"{program}.log").read_text(errors="replace").splitlines():
            if not line.startswith("{"):
                continue
            told = json.loads(line)
            if told.get("event") == event:
                found.append({**told, "at": datetime.fromisoformat(told["ts"]).timestamp()})
        return found

    def said(self, since: float) -> list[str]:
        """Codes of the sentinel's alerts since an instant, ends included."""
        return [line["code"] for line in self.log("sentinel", "alert") if line["at"] >= since]

    def set_trap(self, role: str, what: str) -> None:
        part = self.run_dir / f".{role}"
        part.write_text(what)
        part.rename(self.run_dir / f"trap.{role}")

    def take_away(self, role: str) -> None:
        (self.run_dir / f"trap.{role}").unlink(missing_ok=True)

    def all_well(self) -> bool:
        """Every process works, and the sentinel has been up for long enough to have heard each of them."""
        found = survey(Place(self.stack, self.process.pid, self.run_dir))
        return bool(found.seen) and all(
            one.well
            and (one.report is None or one.report.state != "starting")
            and (one.row.name != "sentinel" or one.report is None or one.report.uptime_ms >= HEARD_MS)
            for one in found.seen
        )

    def end(self) -> None:
        if self.process.poll() is None and not stop_supervisor(self.stack, self.process.pid, 60):
            self.process.kill()
        self.process.wait()
        left = [pid for pid in self.pids if is_alive(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left


@contextmanager
def stage(seconds: int = 3600, change: Callable[[str], str] = str) -> Iterator[Stage]:
    """A stack that plays generated markets; ``change`` may alter its supervisord.conf."""
    # Not pytest's own directory: its path leaves no room for socket names.
    with tempfile.TemporaryDirectory(prefix="lg-", dir="/tmp") as name:
        base = Path(name)
        stack, run_dir, state_dir = Stack(base / "supervisord.conf"), base / "run", base / "state"
        stack.conf.write_text(change((ROOT / "supervisord.conf").read_text()))
        for directory in (run_dir, state_dir):
            directory.mkdir(mode=0o700)
        prepare(stack)
        plan = generated_plan(seconds, 1, free_port(), time.time_ns(), ROUTES)
        config_file, sim_file = write_files(plan, state_dir)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("LAGGARD_")}
        more = {
            "LAGGARD_CONFIG": str(config_file),
            "LAGGARD_SIM": str(sim_file),
            "LAGGARD_STATE_DIR": str(state_dir),
            "LAGGARD_RUN_DIR": str(run_dir),
        }
        held = Stage(
            stack, run_dir, state_dir, supervisor_environment(kept, more), subprocess.Popen(["true"])
        )
        held.process.wait()
        held.start()
        try:
            until(lambda: supervisor_pid(stack) == held.process.pid, 20, "supervisord answers")
            held.order("startProcess", UNWATCHED)
            until(held.all_well, 60, "every process runs and answers", 0.3)
            yield held
        finally:
            held.end()


def trapped(conf: str) -> str:
    """The supervisord.conf whose every process has a trap in it, but for the simulated venue."""
    changed = conf.replace("command=python -m procs.", "command=python -m tests.procs.hanging_process procs.")
    return changed.replace("tests.procs.hanging_process procs.venue", "procs.venue")


def until(met: Callable[[], bool], limit_s: float, what: str, every_s: float = 0.05) -> float:
    """Wait for a condition; returns how long it took, fails after the limit."""
    began = time.monotonic()
    while not met():
        if time.monotonic() - began > limit_s:
            pytest.fail(f"not within {limit_s} s: {what}")
        time.sleep(every_s)
    return time.monotonic() - began
