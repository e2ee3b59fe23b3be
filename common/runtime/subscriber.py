"""Subscribing: gaps noticed and repaired by snapshots, urgent sources first.

A subscriber never trusts the transport: it counts numbers per (source, boot), and after a gap, a restart or a
late join it asks that process for its whole state. It reads plain sockets: a message costs no task and no
turn of the loop of its own.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import msgspec
import structlog
import zmq
import zmq.asyncio

from common.errors import BusError
from common.messages import SCHEMA, Envelope, Snapshot, SourceCount, TakeSnapshot
from common.runtime.calls import call
from common.runtime.clock import Clock
from common.runtime.continuity import Continuity
from common.runtime.endpoints import publish_endpoint
from common.runtime.publisher import HIGH_WATER
from common.runtime.sockets import is_readable, plain_socket

MAX_MESSAGE_BYTES = 1 << 20
MAX_TRANSPORT_BYTES = 16 << 20
"""libzmq drops the connection beyond this without a word; what is smaller is refused by us and counted."""
SNAPSHOT_RETRY_S = (0.05, 0.1, 0.25, 0.5, 1.0)
AT_A_TIME = 16
"""Messages that are not urgent, between two turns of the loop."""

Deliver = Callable[[list[Envelope]], None]


class _Head(msgspec.Struct):
    """As much of an envelope as any version can read."""

    schema: int
    source: str
    boot: str


class Subscriber:
    """Hears everything that some processes publish, in order per process."""

    def __init__(
        self,
        ctx: zmq.asyncio.Context,
        run_dir: Path,
        role: str,
        sources: Sequence[str],
        clock: Clock,
        *,
        urgent: Collection[str] = (),
        high_water: int = HIGH_WATER,
    ) -> None:
        """What ``urgent`` sources say is read before every message of another one."""
        self._ctx = ctx
        self._run_dir = run_dir
        self._role = role
        self._clock = clock
        self._sources = frozenset(sources)
        self._decoder = msgspec.msgpack.Decoder(Envelope)
        self._heads = msgspec.msgpack.Decoder(_Head)
        self._known: dict[tuple[str, str], Continuity] = {}
        self._boot: dict[str, str] = {}
        self._newer: set[tuple[str, str]] = set()
        """Starts of publishers whose schema is above ours."""
        self._repairs: dict[str, asyncio.Task[None]] = {}
        self._repaired: deque[tuple[str, Snapshot]] = deque()
        self._unsynced: frozenset[str] = frozenset()
        self.refused: dict[str, int] = {}
        """Messages that were not used, by reason."""
        self._urgent = self._open([source for source in sources if source in urgent], high_water)
        self._others = self._open([source for source in sources if source not in urgent], high_water)
        self._sockets = [socket for socket in (self._urgent, self._others) if socket is not None]
        self._loop = asyncio.get_running_loop()
        self._deliver: Deliver | None = None
        self._turn_due = False
        self._waiting: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        for source in sources:
            self._repair(source)

    def _open(self, sources: Sequence[str], high_water: int) -> "zmq.Socket[bytes] | None":
        if not sources:
            return None
        socket = plain_socket(self._ctx, zmq.SUB)
        socket.rcvhwm = high_water
        socket.maxmsgsize = MAX_TRANSPORT_BYTES
        socket.reconnect_ivl = 10
        socket.subscribe(b"")
        for source in sources:
            socket.connect(publish_endpoint(self._run_dir, source))
        return socket

    async def attend(self, deliver: Deliver) -> None:
        """Call ``deliver`` with news as they come, until cancelled; raises what ``deliver`` raises.

        Urgent sources are read before each message of the others.
        """
        self._deliver = deliver
        self._ended = self._loop.create_future()
        for socket in self._sockets:
            self._loop.add_reader(socket.fileno(), self._turn)
        self._turn()
        try:
            await self._ended
        finally:
            for socket in self._sockets:
                self._loop.remove_reader(socket.fileno())
            self._deliver = None

    async def receive(self) -> list[Envelope]:
        """Wait for news, then drain all there is; what snapshots add comes last."""
        while True:
            heard: list[Envelope] = []
            for socket in self._sockets:
                while self._take(socket, heard):
                    pass
            while self._repaired:
                heard += self._news(*self._repaired.popleft())
            if heard:
                return heard
            await self._readable()

    def unsynced(self) -> frozenset[str]:
        """Sources with a gap, a new start or no snapshot yet: what they said so far may be incomplete."""
        return self._unsynced

    def counts(self) -> tuple[SourceCount, ...]:
        """The numbering of every start of every source heard so far."""
        return tuple(known.count() for known in self._known.values() if known.received)

    def close(self) -> None:
        """Release the socket and stop repairing."""
        for task in self._repairs.values():
            task.cancel()
        for socket in self._sockets:
            self._loop.remove_reader(socket.fileno())
            socket.close()
        self._sockets, self._urgent, self._others = [], None, None

    async def _readable(self) -> None:
        """Wait until a socket or a snapshot has something; both were empty a moment ago."""
        self._waiting = self._loop.create_future()
        for socket in self._sockets:
            self._loop.add_reader(socket.fileno(), self._wake)
        try:
            await self._waiting
        finally:
            self._waiting = None
            for socket in self._sockets:
                self._loop.remove_reader(socket.fileno())

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        if self._deliver is not None and not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Deliver all that is urgent and some of the rest; what was left over waits for the next turn."""
        self._turn_due = False
        try:
            self._pass_on_some()
        except Exception as error:  # noqa: BLE001 - attend() raises it
            if self._ended is not None and not self._ended.done():
                self._ended.set_exception(error)

    def _pass_on_some(self) -> None:
        for _ in range(AT_A_TIME):
            if self._urgent is not None:
                self._pass_on(self._urgent, every=True)
            if self._others is None or not self._pass_on(self._others, every=False):
                break
        else:
            self._wake()
        while self._repaired and self._deliver is not None:
            heard = self._news(*self._repaired.popleft())
            if heard:
                self._deliver(heard)

    def _pass_on(self, socket: "zmq.Socket[bytes]", *, every: bool) -> bool:
        """Deliver one message, or every one there is; whether there was any."""
        heard: list[Envelope] = []
        took = self._deliver is not None and self._take(socket, heard)
        while every and took and self._take(socket, heard):
            pass
        if heard and self._deliver is not None:
            self._deliver(heard)
        return took

    def _take(self, socket: "zmq.Socket[bytes]", heard: list[Envelope]) -> bool:
        """Read one message; whether there was one."""
        if not is_readable(socket):
            return False
        frames = socket.recv_multipart(zmq.NOBLOCK)
        envelope = self._read(frames[-1])
        if envelope is not None and self._is_news(envelope):
            heard.append(envelope)
        return True

    def _read(self, raw: bytes) -> Envelope | None:
        if len(raw) > MAX_MESSAGE_BYTES:
            self._refuse("oversized")
            return None
        try:
            envelope = self._decoder.decode(raw)
        except msgspec.DecodeError:
            self._refuse_undecodable(raw)
            return None
        if envelope.schema > SCHEMA:
            self._refuse_undecodable(raw)
            return None
        if envelope.source not in self._sources:
            self._refuse("foreign")
            return None
        return envelope

    def _refuse_undecodable(self, raw: bytes) -> None:
        try:
            head = self._heads.decode(raw)
        except msgspec.DecodeError:
            self._refuse("unreadable")
            return
        if head.schema <= SCHEMA:
            self._refuse("unreadable")
            return
        self._refuse("schema")
        if (head.source, head.boot) not in self._newer:
            self._newer.add((head.source, head.boot))
            structlog.get_logger().error(
                "schema_refused",
                source=head.source,
                text=f"it speaks schema {head.schema}, this process {SCHEMA}; restart all processes",
            )

    def _is_news(self, envelope: Envelope) -> bool:
        source, boot = envelope.source, envelope.boot
        known = self._continuity(source, boot)
        before = self._boot.get(source)
        if before != boot:
            self._boot[source] = boot
            if before is not None:
                # The outstanding question may have gone to the process that is no more.
                self._repair(source)
        news = known.live(envelope)
        if known.holes and source not in self._repairs and not self._is_waiting(source):
            self._repair(source)
        if source not in self._unsynced:
            known.settle()
        return news

    def _news(self, source: str, snapshot: Snapshot) -> list[Envelope]:
        """Take a snapshot in; asks again when it is of another start or does not reach the last hole."""
        if self._boot.setdefault(source, snapshot.boot) != snapshot.boot:
            self._repair(source, SNAPSHOT_RETRY_S[0])
            return []
        known = self._continuity(source, snapshot.boot)
        news = known.repair(snapshot)
        if known.holes:
            self._repair(source, SNAPSHOT_RETRY_S[0])
        elif source not in self._repairs:
            self._unsynced -= {source}
            known.settle()
        return news

    def _continuity(self, source: str, boot: str) -> Continuity:
        known = self._known.get((source, boot))
        if known is None:
            known = self._known[source, boot] = Continuity(source, boot)
        return known

    def _is_waiting(self, source: str) -> bool:
        return any(waiting == source for waiting, _ in self._repaired)

    def _repair(self, source: str, delay_s: float = 0.0) -> None:
        """Ask for the whole state; an older question is withdrawn."""
        running = self._repairs.pop(source, None)
        if running is not None:
            running.cancel()
        self._unsynced |= {source}
        # The one task maker of the bus: the reference is kept, and the task ends with the subscriber.
        self._repairs[source] = self._loop.create_task(self._fetch(source, delay_s))

    async def _fetch(self, source: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        attempt = 0
        while True:
            try:
                answer = await call(
                    self._ctx, self._run_dir, source, self._role, TakeSnapshot(), clock=self._clock
                )
            except BusError:
                answer = None
            if isinstance(answer, Snapshot):
                self._repaired.append((source, answer))
                self._repairs.pop(source, None)
                self._wake()
                return
            await asyncio.sleep(SNAPSHOT_RETRY_S[min(attempt, len(SNAPSHOT_RETRY_S) - 1)])
            attempt += 1

    def _refuse(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1
