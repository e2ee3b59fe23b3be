"""Publishing and subscribing: numbered messages over PUB/SUB, gaps noticed and repaired by snapshots.

A publisher never blocks. A subscriber never trusts the transport: it counts numbers per (source, boot), and
after a gap, a restart or a late join it asks that process for its whole state.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import zmq
import zmq.asyncio

from common.errors import BusError
from common.messages import SCHEMA, Envelope, Published, Snapshot, SourceCount, TakeSnapshot
from common.runtime.calls import call
from common.runtime.clock import Clock
from common.runtime.endpoints import publish_endpoint

HIGH_WATER = 100_000
MAX_MESSAGE_BYTES = 16 << 20
REPUBLISH_S = 1.0
POLL_MS = 20
"""How long a finished snapshot may wait for the next message."""
SNAPSHOT_RETRY_S = (0.05, 0.1, 0.25, 0.5, 1.0)


class Publisher:
    """The one publisher of a process; binds on creation (hold the role's lock first)."""

    def __init__(self, ctx: zmq.asyncio.Context, run_dir: Path, role: str, clock: Clock) -> None:
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
        self._socket.sndhwm = HIGH_WATER
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
        """Send one message; ``keep`` makes it the state of its topic: in snapshots, and sent again each second."""
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


@dataclass(slots=True)
class _Numbering:
    """How the numbers of one start of one publisher came."""

    first_seq: int
    last_seq: int
    received: int = 0
    missed: int = 0
    repeated: int = 0
    gaps: int = 0


class Subscriber:
    """Hears everything that some processes publish, in order per process."""

    def __init__(
        self, ctx: zmq.asyncio.Context, run_dir: Path, role: str, sources: Sequence[str], clock: Clock
    ) -> None:
        self._ctx = ctx
        self._run_dir = run_dir
        self._role = role
        self._clock = clock
        self._decoder = msgspec.msgpack.Decoder(Envelope)
        self._numbering: dict[tuple[str, str], _Numbering] = {}
        self._boot: dict[str, str] = {}
        self._repairs: dict[str, asyncio.Task[None]] = {}
        self._repaired: deque[Snapshot] = deque()
        self.refused: dict[str, int] = {}
        """Unreadable messages by reason."""
        self._socket = ctx.socket(zmq.SUB)
        self._socket.linger = 0
        self._socket.rcvhwm = HIGH_WATER
        self._socket.maxmsgsize = MAX_MESSAGE_BYTES
        self._socket.reconnect_ivl = 10
        self._socket.subscribe(b"")
        self._plain: zmq.Socket[bytes] = zmq.Socket.shadow(self._socket.underlying)
        for source in sources:
            self._socket.connect(publish_endpoint(run_dir, source))
            self._repair(source)

    async def receive(self) -> list[Envelope]:
        """Wait for news, then drain all there is; the contents of snapshots come first."""
        while True:
            await self._socket.poll(POLL_MS)
            heard: list[Envelope] = []
            while self._repaired:
                heard += self._repaired.popleft().envelopes
            self._drain(heard)
            if heard:
                return heard

    def unsynced(self) -> set[str]:
        """Sources with a gap, a new start or no snapshot yet: what they said so far may be incomplete."""
        return set(self._repairs)

    def counts(self) -> tuple[SourceCount, ...]:
        """The numbering of every start of every source heard so far."""
        return tuple(
            SourceCount(
                source=source,
                boot=boot,
                first_seq=held.first_seq,
                last_seq=held.last_seq,
                received=held.received,
                missed=held.missed,
                repeated=held.repeated,
                gaps=held.gaps,
            )
            for (source, boot), held in self._numbering.items()
        )

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
            self._take(frames, heard)

    def _take(self, frames: list[bytes], heard: list[Envelope]) -> None:
        try:
            envelope = self._decoder.decode(frames[-1])
        except msgspec.DecodeError:
            self._refuse("unreadable")
            return
        if envelope.schema > SCHEMA:
            self._refuse(f"schema {envelope.schema} from {envelope.source}")
            return
        if self._counted(envelope):
            heard.append(envelope)

    def _counted(self, envelope: Envelope) -> bool:
        """Account for one number; False when it was heard before."""
        source = envelope.source
        key = (source, envelope.boot)
        held = self._numbering.get(key)
        if held is None:
            held = self._numbering[key] = _Numbering(envelope.seq, envelope.seq - 1)
        if envelope.seq <= held.last_seq:
            held.repeated += 1
            return False
        missing = envelope.seq - held.last_seq - 1
        held.last_seq = envelope.seq
        held.received += 1
        if missing:
            held.missed += missing
            held.gaps += 1
        if missing or self._boot.get(source, envelope.boot) != envelope.boot:
            self._repair(source)
        self._boot[source] = envelope.boot
        return True

    def _repair(self, source: str) -> None:
        """Ask for the whole state, over again if a gap opens while the answer is on its way."""
        running = self._repairs.pop(source, None)
        if running is not None:
            running.cancel()
        # The one task maker of the bus: the reference is kept, and the task ends with the subscriber.
        self._repairs[source] = asyncio.ensure_future(self._fetch(source))

    async def _fetch(self, source: str) -> None:
        attempt = 0
        while True:
            try:
                answer = await call(
                    self._ctx, self._run_dir, source, self._role, TakeSnapshot(), clock=self._clock
                )
            except BusError:
                await asyncio.sleep(SNAPSHOT_RETRY_S[min(attempt, len(SNAPSHOT_RETRY_S) - 1)])
                attempt += 1
                continue
            if isinstance(answer, Snapshot):
                self._repaired.append(answer)
            self._repairs.pop(source, None)
            return

    def _refuse(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1
