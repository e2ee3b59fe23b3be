"""The sentinel: supervisord's event listener that watches heartbeats, crash loops and programs given up.

A thread speaks the listener's protocol on the real stdin and stdout, another owns the connection to
supervisord; ``common.core.vigil`` decides. Nothing else may ever reach the real stdout.
"""

import asyncio
import contextlib
import datetime
import io
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO
from xmlrpc.client import Fault, ServerProxy

import msgspec
import zmq
from supervisor import childutils

from common.core.vigil import (
    Beat,
    Changed,
    DumpStacks,
    Effect,
    Event,
    HoldOrders,
    Kill,
    Looked,
    Revive,
    Row,
    Say,
    Stop,
    Vigil,
    step,
)
from common.errors import EXIT_OK, CallRefused, CallTimedOut, DependencyMissing
from common.messages import Alert, Envelope, Heartbeat, SetPosture
from common.runtime.calls import call
from common.runtime.endpoints import ROLES, publish_endpoint
from common.runtime.shell import Process, run
from common.runtime.supervisor import UNREACHABLE, process_table, rpc

ROLE = "sentinel"
POLL_S = 0.12
"""How often the process table is read, which also keeps supervisord's loop awake."""
UNWATCHED = frozenset({ROLE, "venue"})
"""Programs that send no heartbeat to the sentinel: itself, and the simulated venue."""
POSTURE_TRIES = 5


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


Order = DumpStacks | Kill | Stop | Revive


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


async def sentinel(process: Process, events: TextIO, answers: TextIO) -> None:
    """Watch until supervisord ends or the process is told to stop."""
    socket_path, parent = supervisor_socket(), os.getppid()
    loop = asyncio.get_running_loop()
    inbox: asyncio.Queue[Event | None] = asyncio.Queue()
    orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
    table_age = process.watch("process table", 10_000_000_000)
    failures: set[str] = set()
    closed = threading.Event()

    def put(event: Event) -> None:
        loop.call_soon_threadsafe(inbox.put_nowait, event)

    def changed(name: str, state: str) -> None:
        put(Changed(process.clock.mono_ns(), name, state))

    def looked(rows: tuple[Row, ...]) -> None:
        put(Looked(process.clock.mono_ns(), process.clock.wall_ns(), rows))

    def failed(text: str) -> None:
        loop.call_soon_threadsafe(note_failure, text)

    def note_failure(text: str) -> None:
        process.count("supervisor_failures")
        if text not in failures:
            failures.add(text)
            process.log.warning("supervisor_failed", text=text)

    def ended() -> None:
        # The pipe closes a moment before the kernel gives the orphans their new parent.
        closed.set()
        loop.call_soon_threadsafe(process.stopping.set)

    async def hear() -> None:
        # Not the counting subscriber: of all that is published the sentinel wants the heartbeats alone.
        socket = process.ctx.socket(zmq.SUB)
        socket.linger = 0
        socket.reconnect_ivl = 10
        socket.subscribe(b"health.")
        for role in ROLES:
            if role not in UNWATCHED:
                socket.connect(publish_endpoint(process.run_dir, role))
        decoder = msgspec.msgpack.Decoder(Envelope)
        while True:
            frames = await socket.recv_multipart()
            try:
                body = decoder.decode(frames[-1]).body
            except msgspec.DecodeError:
                process.count("unreadable_heartbeats")
                continue
            if isinstance(body, Heartbeat):
                inbox.put_nowait(Beat(process.clock.mono_ns(), body.role, body.pid))

    async def wake() -> None:
        await process.stopping.wait()
        inbox.put_nowait(None)

    def act(effect: Effect) -> None:
        if isinstance(effect, Say):
            process.log.warning("alert", code=effect.code, text=effect.text)
            alert = Alert(level=effect.level, code=effect.code, text=effect.text)
            process.publisher.publish(f"alert.{effect.code}", alert)
            process.facts[f"alert.{effect.code}"] = effect.text
        elif isinstance(effect, HoldOrders):
            process.spawn(hold_orders(process, effect.reason), name="hold orders")
        else:
            process.log.warning("order", what=type(effect).__name__, program=effect.name)
            process.count(f"{type(effect).__name__.lower()}s")
            orders.put(effect)

    for work, arguments in (
        (listen, (events, answers, changed, ended)),
        (attend, (socket_path, orders, looked, failed)),
    ):
        threading.Thread(target=work, args=arguments, daemon=True, name=work.__name__).start()
    process.spawn(hear(), name="heartbeats")
    process.spawn(wake(), name="wake")
    process.set_state("ready", "")
    vigil = Vigil(unwatched=UNWATCHED)
    rows: tuple[Row, ...] = ()
    try:
        while (event := await inbox.get()) is not None:
            vigil, effects = step(vigil, event)
            for effect in effects:
                act(effect)
            if isinstance(event, Looked):
                table_age.touch()
                rows = event.rows
                process.facts.update(restart_facts(vigil))
    finally:
        if closed.is_set() or os.getppid() != parent:
            end_orphans(rows)
            # Nobody is left to read the log: any further line would only fail.
            os._exit(EXIT_OK)


def end_orphans(rows: Iterable[Row]) -> None:
    """Supervisord is gone: end the programs that do not end with it by themselves."""
    for row in rows:
        if row.pid and row.name in UNWATCHED and row.name != ROLE:
            with contextlib.suppress(ProcessLookupError):
                os.kill(row.pid, signal.SIGKILL)


async def hold_orders(process: Process, reason: str) -> None:
    """Set the executor's posture; it is safe to repeat and loud when it does not work."""
    wish = SetPosture(posture="no-new-orders", reason=reason, who=ROLE)
    for _ in range(POSTURE_TRIES):
        try:
            await call(process.ctx, process.run_dir, "executor", ROLE, wish, clock=process.clock)
        except CallTimedOut:
            continue
        except CallRefused as refusal:
            process.log.error("posture_refused", code=refusal.code, text=refusal.text)
            return
        return
    process.log.error("posture_not_set", text="the executor does not answer; it refuses stale data by itself")


def restart_facts(vigil: Vigil) -> dict[str, str]:
    """Restart counts with their times, for Status."""
    facts: dict[str, str] = {}
    for name, watched in vigil.programs.items():
        facts[f"restarts.{name}"] = str(watched.restarts)
        if watched.restarts:
            facts[f"unexpected_restarts.{name}"] = str(watched.unexpected)
            facts[f"restart_times.{name}"] = " ".join(_utc(at_ns) for at_ns in watched.restarted_wall_ns)
    return facts


def _utc(wall_ns: int) -> str:
    return datetime.datetime.fromtimestamp(wall_ns // 1_000_000_000, datetime.UTC).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )


def supervisor_socket() -> Path:
    """Where supervisord listens, from the environment it gives its listeners."""
    url = os.environ.get("SUPERVISOR_SERVER_URL", "")
    if not url.startswith("unix://"):
        raise DependencyMissing(
            "the sentinel is an event listener; supervisord starts it with SUPERVISOR_SERVER_URL=unix://..."
        )
    return Path(url.removeprefix("unix://"))


def main() -> None:
    """Take the protocol before anything can print, then run the process.

    It outlives supervisord by a moment (TERM, not KILL) to end what the kernel does not.
    """
    events, answers = take_protocol()
    run(
        ROLE,
        lambda process: sentinel(process, events, answers),
        log_stream=sys.stderr,
        death_signal=signal.SIGTERM,
    )


if __name__ == "__main__":
    main()
