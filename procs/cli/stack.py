"""Where a stack of processes lives, and the start and end of its supervisord.

A stack is one supervisord, its ``.run`` directory beside the supervisord.conf it was started from, and the
directory in which its processes meet. Never decides what runs in it.
"""

import contextlib
import os
import signal
import stat
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from common.errors import DependencyMissing

ROOT = Path(__file__).resolve().parents[2]
"""The directory that holds supervisord.conf, procs and common."""
MAX_SOCKET_PATH = 107
"""Bytes of a unix socket path on Linux; supervisord exits 2 beyond it."""


class Meeting(msgspec.Struct, frozen=True):
    """Left in ``.run`` by whoever starts supervisord, so that other commands find the processes."""

    run_dir: str
    state_dir: str
    config_file: str
    kind: str
    """``up`` or ``demo``."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The files of one supervisord."""

    conf: Path

    @property
    def home(self) -> Path:
        return self.conf.parent / ".run"

    @property
    def log_dir(self) -> Path:
        return self.home / "log"

    @property
    def socket(self) -> Path:
        return self.home / "supervisor.sock"

    @property
    def pid_file(self) -> Path:
        return self.home / "supervisord.pid"

    @property
    def meeting_file(self) -> Path:
        return self.home / "meeting.json"


def own_stack() -> Stack:
    """The stack of this checkout; raises DependencyMissing when its supervisord.conf is not there."""
    conf = ROOT / "supervisord.conf"
    if not conf.is_file():
        raise DependencyMissing(f"{conf} is missing; run laggard from a complete checkout")
    return Stack(conf)


def prepare(stack: Stack) -> None:
    """Make ``.run`` (0700) with its log directory; raises DependencyMissing in one line."""
    length = len(os.fsencode(stack.socket)) + len(f".{2**22}")
    if length > MAX_SOCKET_PATH:
        raise DependencyMissing(
            f"{stack.socket} is too long for a unix socket ({length} bytes with supervisord's suffix, "
            f"{MAX_SOCKET_PATH} allowed); move the checkout to a shorter path"
        )
    try:
        for directory in (stack.home, stack.log_dir):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            info = directory.lstat()
            if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
                raise DependencyMissing(f"{directory} is not a directory of yours; remove or rename it")
            directory.chmod(0o700)
    except OSError as error:
        raise DependencyMissing(f"cannot prepare {stack.home}: {error.strerror}; make it writable") from None


def supervisor_pid(stack: Stack) -> int | None:
    """The pid of the supervisord that answers on the stack's socket; None when nobody does."""
    if not stack.socket.exists():
        return None
    from common.runtime.supervisor import UNREACHABLE, Fault, rpc

    try:
        with rpc(stack.socket) as server:
            answer = server.supervisor.getPID()
    except Fault:
        # On its way out; it is still there.
        return mute_supervisor_pid(stack)
    except UNREACHABLE:
        return None
    return answer if isinstance(answer, int) else None


def mute_supervisor_pid(stack: Stack) -> int | None:
    """The pid in the stack's pid file when that is a living supervisord; None otherwise."""
    try:
        pid = int(stack.pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if b"supervisor" in command and os.fsencode(stack.conf) in command else None


def read_meeting(stack: Stack) -> Meeting | None:
    """What the starter of the stack left; None when there is nothing usable."""
    try:
        return msgspec.json.decode(stack.meeting_file.read_bytes(), type=Meeting)
    except (OSError, msgspec.MsgspecError):
        return None


def write_meeting(stack: Stack, meeting: Meeting) -> None:
    """Leave the meeting place for other commands; readable by the owner alone."""
    temporary = stack.meeting_file.with_suffix(f".{os.getpid()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(meeting))
    temporary.replace(stack.meeting_file)


def supervisor_environment(base: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of supervisord and so of every process: this interpreter first on PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{base.get('PATH', os.defpath)}"
    modules = str(ROOT) if not base.get("PYTHONPATH") else f"{ROOT}{os.pathsep}{base['PYTHONPATH']}"
    return {**base, "PATH": path, "PYTHONPATH": modules, **extra}


def supervisor_command(stack: Stack, *options: str) -> list[str]:
    """How to start supervisord for this stack, whatever is on PATH."""
    return [sys.executable, "-m", "supervisor.supervisord", "-c", str(stack.conf), *options]


def stop_supervisor(stack: Stack, pid: int, limit_s: float) -> bool:
    """Ask supervisord to stop everything and end; False when it is still there after the limit."""
    from common.runtime.supervisor import UNREACHABLE, Fault, rpc

    try:
        with rpc(stack.socket) as server:
            server.supervisor.shutdown()
    except Fault:
        pass
    except UNREACHABLE:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + limit_s
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not yet collected does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"
