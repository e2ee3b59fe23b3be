"""Publishing: numbered messages over PUB/SUB, state kept, sent again each second and given in snapshots.

A publisher never blocks and never knows who listens.
"""

import asyncio
import uuid
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import msgspec
import zmq
import zmq.asyncio

from common.messages import SCHEMA, Envelope, Published, Snapshot
from common.runtime.clock import Clock
from common.runtime.endpoints import publish_endpoint
from common.runtime.sockets import plain_socket

HIGH_WATER = 100_000
REPUBLISH_S = 1.0


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
        self._socket = plain_socket(ctx, zmq.PUB)
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

    def rehearse(self, topic: str, body: Published) -> Envelope:
        """Make a message as ``publish`` does, and throw it away."""
        envelope = Envelope(
            schema=SCHEMA,
            source=self.role,
            boot=self.boot,
            seq=self.seq,
            topic=topic,
            ts_event_ns=0,
            ts_recv_ns=self._clock.wall_ns(),
            mono_ns=self._clock.mono_ns(),
            cause="",
            body=body,
        )
        self._encoder.encode(envelope)
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
