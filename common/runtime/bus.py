"""Publishing and subscribing: numbered messages over PUB/SUB, gaps noticed and repaired by snapshots.

A publisher never blocks. A subscriber never trusts the transport: it counts numbers per (source, boot), and
after a gap, a restart or a late join it asks that process for its whole state.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

import msgspec
import structlog
import zmq
import zmq.asyncio

from common.errors import BusError
from common.messages import SCHEMA, Envelope, Published, Snapshot, SourceCount, TakeSnapshot
from common.runtime.calls import call
from common.runtime.clock import Clock
from common.runtime.continuity import Continuity
from common.runtime.endpoints import publish_endpoint

HIGH_WATER = 100_000
MAX_MESSAGE_BYTES = 1 << 20
MAX_TRANSPORT_BYTES = 16 << 20
"""libzmq drops the connection beyond this without a word; what is smaller is refused by us and counted."""
REPUBLISH_S = 1.0
POLL_MS = 20
"""How long a finished snapshot may wait for the next message."""
SNAPSHOT_RETRY_S = (0.05, 0.1, 0.25, 0.5, 1.0)


class Publisher:
    """The one publisher of a process; binds on creation (hold the role's lock first)."""

    def __init__(
        self,
        ctx: zmq.asyncio.Context,
        run_dir: Path,
        role: str,
        clock: Clock,
        *,
        high_water: int = HIGH_WATER,
    ) -> None:
        self.role = role
        self.boot = uuid.uuid4().hex[:12]
        self.seq = 0
        self.extra_state: Callable[[], Iterable[Envelope]] = tuple
        """Further envelopes for the snapshot, such as the oracle's history."""
        self._clock = clock
        self._kept: dict[str, Envelope] = {}
        self._encoder = msgspec.msgpack.Encoder()
        # The plain socket: a send only hands over to libzmq's own thread and never waits.
        self._socket = zmq.Context(ctx).socket(zmq.PUB)
        self._socket.linger = 0
        self._socket.sndhwm = high_water
        self._socket.bind(publish_endpoint(run_dir, role))

    def publish(
        self,
        topic: str,
        body: Published,
        *,
        ts_event_ns: int = 0,
        ts_recv_ns: int | None = None,
        cause: str = "",
        keep: bool = False,
    ) -> Envelope:
        """Send one message; ``keep`` makes it its topic's state: in snapshots and sent again each second."""
        self.seq += 1
        envelope = Envelope(
            schema=SCHEMA,
            source=self.role,
            boot=self.boot,
            seq=self.seq,
            topic=topic,
            ts_event_ns=ts_event_ns,
            ts_recv_ns=self._clock.wall_ns() if ts_recv_ns is None else ts_recv_ns,
            mono_ns=self._clock.mono_ns(),
            cause=cause,
            body=body,
        )
        if keep:
            self._kept[topic] = envelope
        self._socket.send_multipart([topic.encode(), self._encoder.encode(envelope)])
        return envelope

    def forget(self, topic: str) -> None:
        """This topic has no state any more."""
        self._kept.pop(topic, None)

    def keep_only(self, topics: Collection[str]) -> None:
        """No topic but these has state any more."""
        self._kept = {topic: kept for topic, kept in self._kept.items() if topic in topics}

    def snapshot(self) -> Snapshot:
        """The whole published state as of now."""
        return Snapshot(boot=self.boot, seq=self.seq, envelopes=(*self.extra_state(), *self._kept.values()))

    async def run(self) -> None:
        """Send all state again every second until cancelled: whoever missed a message has it by then."""
        try:
            while True:
                await asyncio.sleep(REPUBLISH_S)
                for topic, kept in list(self._kept.items()):
                    self.publish(
                        topic,
                        kept.body,
                        ts_event_ns=kept.ts_event_ns,
                        ts_recv_ns=kept.ts_recv_ns,
                        cause=kept.cause,
                        keep=True,
                    )
        finally:
            self.close()

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()


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
        high_water: int = HIGH_WATER,
    ) -> None:
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
        self._unsynced: set[str] = set()
        self.refused: dict[str, int] = {}
        """Messages that were not used, by reason."""
        self._socket = ctx.socket(zmq.SUB)
        self._socket.linger = 0
        self._socket.rcvhwm = high_water
        self._socket.maxmsgsize = MAX_TRANSPORT_BYTES
        self._socket.reconnect_ivl = 10
        self._socket.subscribe(b"")
        self._plain: zmq.Socket[bytes] = zmq.Socket.shadow(self._socket.underlying)
        for source in sources:
            self._socket.connect(publish_endpoint(run_dir, source))
            self._repair(source)

    async def receive(self) -> list[Envelope]:
        """Wait for news, then drain all there is; what snapshots add comes last."""
        while True:
            await self._socket.poll(POLL_MS)
            heard: list[Envelope] = []
            self._drain(heard)
            while self._repaired:
                heard += self._news(*self._repaired.popleft())
            if heard:
                return heard

    def unsynced(self) -> set[str]:
        """Sources with a gap, a new start or no snapshot yet: what they said so far may be incomplete."""
        return set(self._unsynced)

    def counts(self) -> tuple[SourceCount, ...]:
        """The numbering of every start of every source heard so far."""
        return tuple(known.count() for known in self._known.values() if known.received)

    def close(self) -> None:
        """Release the socket and stop repairing."""
        for task in self._repairs.values():
            task.cancel()
        self._socket.close()

    def _drain(self, heard: list[Envelope]) -> None:
        while True:
            try:
                frames = self._plain.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            envelope = self._read(frames[-1])
            if envelope is not None and self._is_news(envelope):
                heard.append(envelope)

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
            self._unsynced.discard(source)
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
        self._unsynced.add(source)
        # The one task maker of the bus: the reference is kept, and the task ends with the subscriber.
        self._repairs[source] = asyncio.ensure_future(self._fetch(source, delay_s))

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
                return
            await asyncio.sleep(SNAPSHOT_RETRY_S[min(attempt, len(SNAPSHOT_RETRY_S) - 1)])
            attempt += 1

    def _refuse(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1
