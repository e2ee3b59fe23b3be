"""What takes part in the bench, and how: started for one sitting, asked whether it is ready, put under load.

A contender is a name and a function that starts its processes. To add one, write such a function and put it
into ``CONTENDERS``; ``bench.ours`` is the example with many processes.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.plan import Plan, write_plan

ROOT = Path(__file__).resolve().parents[2]
READY_S = 40.0


@dataclass
class Sitting:
    """The time of one contender in one world."""

    plan: Plan
    directory: Path
    """Its own, empty at first."""

    @property
    def plan_file(self) -> Path:
        return self.directory / "plan.json"


@dataclass
class Started:
    """A contender's running processes."""

    processes: list["subprocess.Popen[bytes]"]
    ready: Callable[[], str]
    """Why it could not answer a firing tick yet; empty when it could. Asked again and again."""
    tell: Callable[[str], dict[str, int]] | None = None
    """Lets reports be drawn or the chat hang (``report on``, ``telegram off``), returns when that is so, and
    what has come of it; None: the control process beside does it."""
    around: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    """Processes that are the contender's surroundings: ended with it, and their time is not its own."""
    clean_up: Callable[[], None] = lambda: None


@dataclass
class Contender:
    """One that takes part."""

    name: str
    start: Callable[[Sitting], Started]
    about: str
    needs_venue: bool = False
    """Whether it asks a venue for more than orders."""


@dataclass
class Running:
    """A contender at work, with the control process beside it where it has one."""

    contender: Contender
    started: Started
    directory: Path
    beside: "subprocess.Popen[bytes] | None" = None
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def report(self, on: str) -> dict[str, int]:
        """Let a report be drawn each second, by whatever process does that here."""
        return self._tell(f"report {on}")

    def telegram(self, on: str) -> dict[str, int]:
        """Let the chat hang; what came of it, where that is counted."""
        return self._tell(f"telegram {on}")

    def cpu_s(self) -> float:
        """What all its processes used until now, those around it not counted."""
        return sum(_cpu_s(process.pid) for process in self.started.processes if process.poll() is None)

    def dead(self) -> str:
        """Which process has ended, and the end of what it said; empty while all live."""
        for process in self.processes:
            if process.poll() is not None:
                said = "\n".join(_tail(log) for log in sorted(self.directory.glob("*.log")))
                return f"a process of {self.contender.name} ended with {process.returncode}:\n{said}"
        return ""

    def stop(self) -> None:
        """End every process, by its id, and what it left behind."""
        for process in reversed(self.processes):
            end(process)
        self.started.clean_up()

    def _tell(self, line: str) -> dict[str, int]:
        if self.started.tell is not None:
            return self.started.tell(line)
        assert self.beside is not None
        return tell(self.beside, line)


def start(contender: Contender, sitting: Sitting) -> Running:
    """Start a contender and wait until it could answer; raises RuntimeError when that takes too long."""
    write_plan(sitting.plan, sitting.plan_file)
    started = contender.start(sitting)
    running = Running(contender, started, sitting.directory, processes=[*started.around, *started.processes])
    try:
        if started.tell is None:
            running.beside = spawn(sitting, "beside", "bench.beside", str(sitting.plan_file))
            running.processes.append(running.beside)
        _await_ready(running)
    except BaseException:
        running.stop()
        raise
    return running


def _await_ready(running: Running) -> None:
    deadline = time.monotonic() + READY_S
    while why := running.started.ready():
        if dead := running.dead():
            raise RuntimeError(dead)
        if time.monotonic() > deadline:
            raise RuntimeError(f"{running.contender.name} is not ready: {why}")
        time.sleep(0.05)


def spawn(
    sitting: Sitting, name: str, module: str, *arguments: str, environment: dict[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start ``python -m module``; stdin and stdout are pipes for ``name``s of the bench, stderr is a log."""
    with (sitting.directory / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            cwd=ROOT,
            env=child_environment() | (environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if environment is None else log,
            stderr=log,
        )


def child_environment() -> dict[str, str]:
    """Without the caller's settings of laggard; the modules are those of this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LAGGARD_")}
    return kept | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}


def end(process: "subprocess.Popen[bytes]") -> None:
    """SIGTERM, then SIGKILL."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tell(process: "subprocess.Popen[bytes]", line: str) -> dict[str, int]:
    """Tell a process that does not answer."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n".encode())
    process.stdin.flush()
    return {}


def says_ready(process: "subprocess.Popen[bytes]") -> Callable[[], str]:
    """Ready once the process has said so on its stdout."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    said = bytearray()

    def ready() -> str:
        assert process.stdout is not None
        said.extend(process.stdout.read() or b"")
        return "" if b"ready" in said else "it has not said so"

    return ready


def start_typical(sitting: Sitting) -> Started:
    """The single-process asyncio bot."""
    process = spawn(sitting, "typical", "bench.typical", str(sitting.plan_file))
    return Started([process], says_ready(process), tell=partial(tell, process))


def start_floor(sitting: Sitting) -> Started:
    """Raw sockets and orders made beforehand."""
    process = spawn(sitting, "floor", "bench.floor", str(sitting.plan_file))
    return Started([process], says_ready(process))


def start_signing_floor(sitting: Sitting) -> Started:
    """Raw sockets, each order signed when it is wanted."""
    process = spawn(sitting, "floor", "bench.floor", str(sitting.plan_file), "sign")
    return Started([process], says_ready(process))


def start_bus_floor(sitting: Sitting, *, sign: bool = False) -> Started:
    """The floor's work in a process for each part, with ZeroMQ between them."""
    # Sockets need a short path.
    sockets = tempfile.mkdtemp(prefix="lg-")
    processes = [
        spawn(
            sitting,
            part,
            "bench.bus_floor",
            str(sitting.plan_file),
            part,
            sockets,
            *(("sign",) if sign else ()),
        )
        for part in ("send", "decide", "hear", "books")
    ]
    parts = [says_ready(process) for process in processes]

    def ready() -> str:
        return next((why for part in parts if (why := part())), "")

    return Started(processes, ready, clean_up=partial(shutil.rmtree, sockets, ignore_errors=True))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _tail(log: Path) -> str:
    return f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-8:])
