"""The sentinel's two talks with supervisord: the event listener's protocol, and questions and orders by RPC.

Each runs in a thread of its own and hands over what it hears. Decides nothing.
"""

import io
import os
import queue
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO
from xmlrpc.client import Fault, ServerProxy

from supervisor import childutils

from common.core.vigil import DumpStacks, Kill, Revive, Row, Stop
from common.errors import DependencyMissing
from common.runtime.supervisor import UNREACHABLE, process_table, rpc

POLL_S = 0.12
"""How often the process table is read, which also keeps supervisord's loop awake."""

Order = DumpStacks | Kill | Stop | Revive


def take_protocol() -> tuple[TextIO, TextIO]:
    """Keep the real stdin and stdout for the protocol; whatever else writes to stdout reaches stderr."""
    # latin-1: the header counts bytes, so one byte must be one character.
    events = io.TextIOWrapper(os.fdopen(os.dup(0), "rb"), encoding="latin-1", newline="\n")
    answers = io.TextIOWrapper(
        os.fdopen(os.dup(1), "wb", buffering=0), encoding="latin-1", newline="\n", write_through=True
    )
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return events, answers


def listen(
    events: TextIO, answers: TextIO, tell: Callable[[str, str], None], ended: Callable[[], None]
) -> None:
    """Speak the listener's protocol until supervisord closes it; ``tell`` gets program and state."""
    while True:
        try:
            headers, payload = childutils.listener.wait(events, answers)
        except (KeyError, ValueError, OSError):
            ended()
            return
        name = headers.get("eventname", "")
        if name.startswith("PROCESS_STATE_"):
            fields = childutils.get_headers(payload.partition("\n")[0])
            tell(fields.get("processname", ""), name.removeprefix("PROCESS_STATE_"))
        try:
            childutils.listener.ok(answers)
        except OSError:
            ended()
            return


def attend(
    socket_path: Path,
    orders: "queue.SimpleQueue[Order]",
    tell: Callable[[tuple[Row, ...]], None],
    failed: Callable[[str], None],
) -> None:
    """Own the connection to supervisord: read the table again and again, carry out orders between."""
    server = rpc(socket_path)
    names: dict[str, str] = {}
    while True:
        try:
            order = orders.get(timeout=POLL_S)
        except queue.Empty:
            order = None
        try:
            if order is not None:
                carry_out(server, names.get(order.name, order.name), order)
            rows = tuple(Row(row.name, row.group, row.state, row.pid) for row in process_table(server))
        except Fault as fault:
            if fault.faultString == "SHUTDOWN_STATE":
                continue
            # The program changed state meanwhile: the next table shows what is true now.
            failed(f"{type(order).__name__} {order.name if order else ''}: {fault.faultString}")
        except UNREACHABLE as error:
            failed(f"supervisord does not answer: {error}")
            server = rpc(socket_path)
        else:
            names = {row.name: f"{row.group}:{row.name}" for row in rows}
            tell(rows)


def carry_out(server: ServerProxy, name: str, order: Order) -> None:
    """One order by RPC; a signal only reaches the process it was meant for."""
    supervisor = server.supervisor
    if isinstance(order, Stop):
        supervisor.stopProcess(name, False)
    elif isinstance(order, Revive):
        supervisor.startProcess(name, False)
    else:
        info = supervisor.getProcessInfo(name)
        assert isinstance(info, dict)
        if info["pid"] == order.pid:
            supervisor.signalProcess(name, "USR1" if isinstance(order, DumpStacks) else "KILL")


def supervisor_socket() -> Path:
    """Where supervisord listens, from the environment it gives its listeners."""
    url = os.environ.get("SUPERVISOR_SERVER_URL", "")
    if not url.startswith("unix://"):
        raise DependencyMissing(
            "the sentinel is an event listener; supervisord starts it with SUPERVISOR_SERVER_URL=unix://..."
        )
    return Path(url.removeprefix("unix://"))
