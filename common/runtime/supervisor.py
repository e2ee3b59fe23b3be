"""Access to the running supervisord over its unix socket."""

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
        ProcessRow(row["name"], row["group"], row["statename"], row["pid"], row["start"], row["description"])
        for row in rows
    ]


__all__ = ["UNREACHABLE", "Fault", "ProcessRow", "process_table", "rpc"]
