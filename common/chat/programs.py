"""The supervisor as the chat needs it: its table, the end of its logs, and starting and stopping programs.

Every call is one thread's and blocks it. Decides nothing.
"""

import json
import os
from pathlib import Path

from common.core.remote.confirmation import Program
from common.errors import DependencyMissing
from common.runtime.log import mask_secrets
from common.runtime.supervisor import UNREACHABLE, Fault, ProcessRow, process_table, rpc

TAIL_BYTES = 65_536
SENTINEL = "sentinel"
"""Its stdout carries a protocol, so it logs to stderr."""
_WORTH_TELLING = ("warning", "error", "critical")


def socket_path() -> Path:
    """Where supervisord listens, from the environment it gives its children; raises DependencyMissing."""
    url = os.environ.get("SUPERVISOR_SERVER_URL", "")
    if not url.startswith("unix://"):
        raise DependencyMissing("this process was not started by supervisord, so it cannot ask it")
    return Path(url.removeprefix("unix://"))


def table() -> list[ProcessRow]:
    """Every program; raises DependencyMissing when no supervisord answers."""
    try:
        with rpc(socket_path()) as server:
            return process_table(server)
    except (*UNREACHABLE, Fault) as error:
        raise DependencyMissing(f"supervisord does not answer: {error}") from None


def program(name: str) -> Program:
    """One program as it is now; raises DependencyMissing."""
    row = _row(name)
    return Program(row.name, row.state, row.pid)


def change(verb: str, name: str) -> str:
    """Start, stop or restart a program; returns what came of it, raises DependencyMissing when it fails."""
    row = _row(name)
    full = row.name if row.name == row.group else f"{row.group}:{row.name}"
    try:
        with rpc(socket_path()) as server:
            if verb in ("stop", "restart") and row.state not in ("STOPPED", "EXITED", "FATAL"):
                server.supervisor.stopProcess(full, True)
            if verb in ("start", "restart"):
                # Not waited for: three seconds pass before supervisord calls it running.
                server.supervisor.startProcess(full, False)
            after = _row(name)
    except Fault as fault:
        raise DependencyMissing(f"supervisord says: {fault.faultString}") from None
    except UNREACHABLE as error:
        raise DependencyMissing(f"supervisord does not answer: {error}") from None
    return f"{name} is {after.state.lower()}" + (f" (pid {after.pid})" if after.pid else "")


def log_lines(name: str, count: int) -> list[str]:
    """The last lines of a program's log, for people; raises DependencyMissing."""
    return [_plain(line) for line in _tail(_row(name))[-count:]]


def complaints(count: int) -> list[str]:
    """The newest warnings and errors of all logs, oldest first; raises DependencyMissing."""
    found = []
    for row in table():
        for line in _tail(row):
            event = _event(line)
            if event is not None and event.get("level") in _WORTH_TELLING:
                found.append((str(event.get("ts", "")), _plain(line, row.name)))
    return [text for _, text in sorted(found)[-count:]]


def _row(name: str) -> ProcessRow:
    for row in table():
        if row.name == name:
            return row
    raise DependencyMissing(f"supervisord has no program {name}")


def _tail(row: ProcessRow) -> list[str]:
    full = row.name if row.name == row.group else f"{row.group}:{row.name}"
    try:
        with rpc(socket_path()) as server:
            read = (
                server.supervisor.tailProcessStderrLog
                if row.name == SENTINEL
                else server.supervisor.tailProcessStdoutLog
            )
            answer = read(full, 0, TAIL_BYTES)
    except Fault:
        return []  # it has not written anything yet
    except UNREACHABLE as error:
        raise DependencyMissing(f"supervisord does not answer: {error}") from None
    text, _, cut = answer if isinstance(answer, list | tuple) else ("", 0, False)
    lines = str(text).splitlines()
    return lines[1:] if cut else lines


def _event(line: str) -> dict[str, object] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _plain(line: str, who: str = "") -> str:
    """One line for people: time, level, what happened and its facts."""
    event = _event(line)
    if event is None:
        return str(mask_secrets(None, "", {"line": line})["line"])[:300]
    event = dict(mask_secrets(None, "", event))
    at = str(event.pop("ts", ""))[11:19]
    what = f"{event.pop('level', '')} {event.pop('event', '')}".strip()
    for name in ("role", "boot"):
        event.pop(name, None)
    facts = " ".join(f"{name}={value}" for name, value in event.items())
    return " ".join(part for part in (at, who, what, facts) if part)[:300]
