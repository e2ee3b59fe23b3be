"""The stage of a demo: private directories, a free port, and one supervisord of its own.

It uses the checkout's supervisord.conf where nothing else runs from there, otherwise a copy of it in a
private directory. Knows nothing of what is played on it.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from common.errors import DependencyMissing
from common.runtime.supervisor import UNREACHABLE, Fault, process_table, rpc
from procs.cli.audit import LogMark, mark_logs
from procs.cli.stack import (
    Meeting,
    Stack,
    is_alive,
    mute_supervisor_pid,
    own_stack,
    prepare,
    stop_supervisor,
    supervisor_command,
    supervisor_environment,
    supervisor_pid,
    write_meeting,
)

START_LIMIT_S = 15.0
STOP_LIMIT_S = 45.0
VENUE = "sim:venue"
SHORT_PATH = 40


@dataclass(frozen=True, slots=True)
class Stage:
    """The directories of one demo."""

    state_dir: Path
    run_dir: Path


@dataclass(frozen=True, slots=True)
class Running:
    """A supervisord of ours."""

    stack: Stack
    process: "subprocess.Popen[bytes]"
    private: bool
    """It runs from a copy of supervisord.conf in the run directory."""
    mark: LogMark
    """Where its logs were before it started."""


def set_stage(state_dir: Path | None) -> Stage:
    """Make the private directories; raises DependencyMissing in one line."""
    wanted = state_dir or _fresh(Path(platformdirs.user_state_path("laggard")))
    try:
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        wanted.chmod(0o700)
    except OSError as error:
        raise DependencyMissing(f"cannot use {wanted}: {error.strerror}; name another with --state") from None
    return Stage(wanted.resolve(), _short_directory())


def _fresh(parent: Path) -> Path:
    name = f"demo-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    taken = [parent / name, *(parent / f"{name}-{number}" for number in range(2, 100))]
    return next(path for path in taken if not path.exists())


def _short_directory() -> Path:
    """A private directory whose path leaves room for socket names."""
    wanted = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = wanted and len(wanted) <= SHORT_PATH and os.access(wanted, os.W_OK | os.X_OK)
    base = wanted if usable else tempfile.gettempdir()
    try:
        return Path(tempfile.mkdtemp(prefix=f"laggard-{os.getuid()}-", dir=base))
    except OSError as error:
        raise DependencyMissing(
            f"cannot make a directory in {base}: {error.strerror}; free some space"
        ) from None


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(stage: Stage, config_file: Path, sim_file: Path) -> Running:
    """Start supervisord in the foreground, in its own session, and wait until it answers."""
    extra = {
        "LAGGARD_CONFIG": str(config_file),
        "LAGGARD_SIM": str(sim_file),
        "LAGGARD_STATE_DIR": str(stage.state_dir),
        "LAGGARD_RUN_DIR": str(stage.run_dir),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LAGGARD_")}
    environment = supervisor_environment(kept, extra)
    meeting = Meeting(str(stage.run_dir), str(stage.state_dir), str(config_file), "demo")
    failure = ""
    for stack, private in _candidates(stage):
        mark = mark_logs(stack.log_dir)
        said = stage.state_dir / "supervisord.stderr"
        with said.open("wb") as stderr:
            process = subprocess.Popen(
                supervisor_command(stack, "--nodaemon"),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        if _answers(stack, process):
            write_meeting(stack, meeting)
            return Running(stack, process, private, mark)
        process.kill()
        process.wait()
        failure = (
            said.read_text(errors="replace").strip() or f"it ended with {process.returncode}"
        ).splitlines()[-1]
    raise DependencyMissing(f"supervisord did not start: {failure}")


def _candidates(stage: Stage) -> list[tuple[Stack, bool]]:
    """The checkout's stack when it is free, then a private one."""
    found = []
    own = own_stack()
    if supervisor_pid(own) is None and mute_supervisor_pid(own) is None:
        with contextlib.suppress(DependencyMissing):
            prepare(own)
            found.append((own, False))
    copy = Stack(stage.run_dir / own.conf.name)
    shutil.copyfile(own.conf, copy.conf)
    prepare(copy)
    return [*found, (copy, True)]


def _answers(stack: Stack, process: "subprocess.Popen[bytes]") -> bool:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if supervisor_pid(stack) == process.pid:
            return True
        time.sleep(0.05)
    return False


def start_venue(running: Running) -> None:
    """Start the simulated venue; raises DependencyMissing when supervisord will not."""
    try:
        with rpc(running.stack.socket) as server:
            server.supervisor.startProcess(VENUE, False)
    except (*UNREACHABLE, Fault) as error:
        raise DependencyMissing(
            f"the simulated venue does not start: {error}; see {running.stack.log_dir / 'venue.log'}"
        ) from None


def close(running: Running) -> list[int]:
    """Stop supervisord and everything under it; returns the pids that had to be killed."""
    ours = _processes(running.stack)
    killed = []
    if running.process.poll() is None and not stop_supervisor(
        running.stack, running.process.pid, STOP_LIMIT_S
    ):
        running.process.kill()
        killed.append(running.process.pid)
    running.process.wait()
    # A pid may have been given to somebody else meanwhile: when it began tells whose it is. Its environment
    # would not, for a process with keys shows that to nobody.
    left = [pid for pid, began in ours.items() if is_alive(pid) and _began(pid) == began]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(FileNotFoundError):
        running.stack.meeting_file.unlink()
    return killed + left


def _processes(stack: Stack) -> dict[int, str]:
    """The pids under this supervisord, and when each began."""
    try:
        with rpc(stack.socket) as server:
            return {row.pid: _began(row.pid) for row in process_table(server) if row.pid}
    except (*UNREACHABLE, Fault):
        return {}


def _began(pid: int) -> str:
    """When a process began, in ticks since the boot; empty when there is none."""
    try:
        # The name, in brackets, may hold anything; the 22nd field of all is the 20th after it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def leave(running: Running, stage: Stage) -> Path:
    """Remove the run directory; returns where the logs are."""
    logs = running.stack.log_dir
    if running.private:
        kept = stage.state_dir / "log"
        shutil.copytree(logs, kept, dirs_exist_ok=True)
        logs = kept
    shutil.rmtree(stage.run_dir, ignore_errors=True)
    return logs
