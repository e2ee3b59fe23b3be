"""Access to the running supervisord over its unix socket."""

import datetime
import http.client
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

UNREACHABLE = (OSError, http.client.HTTPException, socket.timeout)
"""What a call raises when no supervisord answers; a Fault is its refusal."""


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One program as supervisord sees it."""

    name: str
    group: str
    state: str
    pid: int
    started_s: int
    detail: str


def rpc(socket_path: Path) -> ServerProxy:
    """A proxy for one thread's use; calls raise UNREACHABLE or Fault."""
    return ServerProxy("http://127.0.0.1", transport=SupervisorTransport(None, None, f"unix://{socket_path}"))


def process_table(proxy: ServerProxy) -> list[ProcessRow]:
    """Every program in supervisord's order."""
    rows: Any = proxy.supervisor.getAllProcessInfo()
    return [
        ProcessRow(row["name"], row["group"], row["statename"], row["pid"], row["start"], _detail(row))
        for row in rows
    ]


def _detail(row: Any) -> str:
    """What supervisord says of it; of one that was stopped that is when, which it tells in local time."""
    if row["statename"] in ("STOPPED", "EXITED") and row["stop"]:
        at = datetime.datetime.fromtimestamp(row["stop"], datetime.UTC)
        return f"since {at:%Y-%m-%d %H:%M} UTC"
    return str(row["description"])


__all__ = ["UNREACHABLE", "Fault", "ProcessRow", "process_table", "rpc"]
