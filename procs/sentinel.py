"""The sentinel: supervisord's event listener. Watches heartbeats, canaries, crash loops, programs given up.

``common.core.vigil`` and ``common.core.canary`` decide; ``procs.sentinel_talk`` speaks with supervisord.
Nothing else may ever reach the real stdout.
"""

import asyncio
import contextlib
import datetime
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import TextIO

import msgspec
import zmq

from common.core import canary, vigil
from common.core.canary import Canaries, Garbled, Heard
from common.core.vigil import Beat, Changed, HoldOrders, Looked, Over, Row, Say, Vigil
from common.errors import EXIT_OK, CallRefused, CallTimedOut
from common.messages import SCHEMA, Alert, Canary, Envelope, Heartbeat, SetPosture
from common.runtime.calls import call
from common.runtime.canary_way import FEEDS, HEARD
from common.runtime.endpoints import ROLES, publish_endpoint
from common.runtime.shell import HEARTBEAT_S, Process, run
from common.runtime.sockets import is_readable, plain_socket
from common.units import SECOND
from procs.sentinel_guard import Guard, start_guard
from procs.sentinel_talk import Order, attend, listen, supervisor_socket, take_protocol

ROLE = "sentinel"
UNWATCHED = frozenset({ROLE, "venue"})
"""Programs that send no heartbeat to the sentinel: itself, and the simulated venue."""
POSTURE_TRIES = 5
TOPICS = (b"health.", b"canary.")

Event = Beat | Changed | Looked | Heard | Garbled


async def sentinel(process: Process, events: TextIO, answers: TextIO, guard: Guard) -> None:
    """Watch until supervisord ends or the process is told to stop."""
    socket_path, parent = supervisor_socket(), os.getppid()
    loop = asyncio.get_running_loop()
    inbox: asyncio.Queue[Changed | Looked | None] = asyncio.Queue()
    orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
    table_age = process.watch("process table", 10 * SECOND)
    failures: set[str] = set()
    closed = threading.Event()
    watch, canaries = Vigil(unwatched=UNWATCHED), Canaries(feeds=FEEDS)

    def changed(name: str, state: str) -> None:
        loop.call_soon_threadsafe(note_change, name, state)

    def note_change(name: str, state: str) -> None:
        inbox.put_nowait(Changed(process.clock.mono_ns(), name, state))

    def looked(rows: tuple[Row, ...]) -> None:
        loop.call_soon_threadsafe(note_look, rows)

    def note_look(rows: tuple[Row, ...]) -> None:
        # Stamped here: when this loop stood still, it has not heard a heartbeat either.
        inbox.put_nowait(Looked(process.clock.mono_ns(), process.clock.wall_ns(), rows))

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

    async def wake() -> None:
        await process.stopping.wait()
        inbox.put_nowait(None)

    def take(event: Event) -> None:
        nonlocal watch, canaries
        effects: tuple[vigil.Effect, ...] = ()
        if not isinstance(event, Heard | Garbled):
            watch, effects = vigil.step(watch, event)
        if not isinstance(event, Changed):
            canaries, said = canary.step(canaries, event)
            effects += said
        for effect in effects:
            act(effect)

    def act(effect: vigil.Effect) -> None:
        if isinstance(effect, Say | Over):
            tell(process, effect)
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
    process.spawn(beat(guard), name="guard")
    process.spawn(wake(), name="wake")
    process.set_state("ready", "")
    ears = Ears(process)
    rows: tuple[Row, ...] = ()
    try:
        while (event := await inbox.get()) is not None:
            if isinstance(event, Looked):
                for heard in ears.heard():
                    take(heard)
            take(event)
            if isinstance(event, Looked):
                table_age.touch()
                rows = event.rows
                process.facts.update(restart_facts(watch))
    finally:
        if closed.is_set() or os.getppid() != parent:
            end_orphans(rows)
            # Nobody is left to read the log: any further line would only fail.
            os._exit(EXIT_OK)


async def beat(guard: Guard) -> None:
    """Show the guard that this loop turns."""
    while True:
        guard.beat()
        await asyncio.sleep(HEARTBEAT_S)


class Ears:
    """Hears heartbeats and canaries; not the counting subscriber, for of the rest nothing is wanted.

    They are read when the process table comes, all that are there: on a busy machine one turn for each would
    be more turns than there are, and whoever judges by unread heartbeats kills the living.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._socket = plain_socket(process.ctx, zmq.SUB)
        self._socket.reconnect_ivl = 10
        for topic in TOPICS:
            self._socket.subscribe(topic)
        for role in ROLES:
            if role not in UNWATCHED:
                self._socket.connect(publish_endpoint(process.run_dir, role))

    def heard(self) -> Iterator[Beat | Heard | Garbled]:
        """All that came since the last time."""
        while is_readable(self._socket):
            topic, raw = self._socket.recv_multipart(zmq.NOBLOCK)[-2:]
            event = understood(topic, raw, self._process.clock.mono_ns())
            if event is None or isinstance(event, Garbled):
                self._process.count("unreadable")
            if event is not None:
                yield event


class _Head(msgspec.Struct):
    """As much of an envelope as any version can read."""

    source: str


_decoder = msgspec.msgpack.Decoder(Envelope)
_heads = msgspec.msgpack.Decoder(_Head)


def understood(topic: bytes, raw: bytes, mono_ns: int) -> Beat | Heard | Garbled | None:
    """What a message on these topics tells; None when it tells nothing, or not even of whom."""
    try:
        envelope = _decoder.decode(raw)
    except msgspec.DecodeError as error:
        return _garbled(topic, raw, str(error))
    body = envelope.body
    if isinstance(body, Heartbeat):
        return Beat(mono_ns, body.role, body.pid, body.state)
    if envelope.schema > SCHEMA:
        return Garbled(envelope.source, f"schema {envelope.schema}, here {SCHEMA}")
    if isinstance(body, Canary):
        itself = topic.endswith(HEARD.encode())
        hop = canary.link(body.feed, envelope.source) if itself else envelope.source
        return Heard(body.feed, body.boot, body.number, hop, envelope.mono_ns)
    return None


def _garbled(topic: bytes, raw: bytes, why: str) -> Garbled | None:
    if not topic.startswith(b"canary."):
        return None
    try:
        return Garbled(_heads.decode(raw).source, why)
    except msgspec.DecodeError:
        return None


def tell(process: Process, news: Say | Over) -> None:
    """Say it in the log and on the bus, and keep it in the status for as long as it lasts."""
    fact = f"alert.{news.code}"
    if isinstance(news, Say):
        alert = Alert(level=news.level, code=news.code, text=news.text)
        process.facts[fact] = f"{_utc(process.clock.wall_ns())} {news.level} {news.text}"
    else:
        alert = Alert(level="info", code=f"{news.code}-over", text=news.text)
        process.facts.pop(fact, None)
    process.log.warning("alert", level=alert.level, code=alert.code, text=alert.text)
    process.publisher.publish(f"alert.{alert.code}", alert)


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


def restart_facts(watch: Vigil) -> dict[str, str]:
    """Restart counts with their times, for Status."""
    facts: dict[str, str] = {}
    for name, watched in watch.programs.items():
        facts[f"restarts.{name}"] = str(watched.restarts)
        if watched.restarts:
            facts[f"unexpected_restarts.{name}"] = str(watched.unexpected)
            facts[f"restart_times.{name}"] = " ".join(_utc(at_ns) for at_ns in watched.restarted_wall_ns)
    return facts


def _utc(wall_ns: int) -> str:
    return datetime.datetime.fromtimestamp(wall_ns // SECOND, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def main() -> None:
    """Start the guard and take the protocol before anything can print, then run the process.

    It outlives supervisord by a moment (TERM, not KILL) to end what the kernel does not.
    """
    guard = start_guard()
    events, answers = take_protocol()
    run(
        ROLE,
        lambda process: sentinel(process, events, answers, guard),
        log_stream=sys.stderr,
        death_signal=signal.SIGTERM,
    )


if __name__ == "__main__":
    main()
