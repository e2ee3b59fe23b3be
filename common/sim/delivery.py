"""From a frame to a socket: bounded queues per connection, counted frames, and faults on the way.

Nothing here blocks the venue: a reader who falls behind is cut off. Knows no dialect.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from aiohttp import WSMsgType, web

from common.sim.faults import Channel, Disconnect, DropFrames, Fault, FaultBoard

log = logging.getLogger(__name__)

QUEUE_LIMIT = 10_000
_OVERSIZED = 5 * 1024 * 1024
_NOISE = "\x00\ufffd{]not a frame"
_STALL_POLL_S = 0.02


class Link:
    """One client connection and the frames waiting for it."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        abort: Callable[[], None],
        limit: int = QUEUE_LIMIT,
        stalled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._socket = socket
        self._abort = abort
        self._stalled = stalled
        self._waiting: asyncio.Queue[tuple[str, str | bytes] | int] = asyncio.Queue(limit)
        self._cut = False

    def push(self, label: str, frame: str | bytes) -> None:
        """Queue one text or binary frame; a full queue cuts the connection."""
        self._queue((label, frame))

    def close(self, code: int = 1000) -> None:
        """Close the connection with this code, behind everything before it."""
        self._queue(code)

    def cut(self) -> None:
        """End the connection without a closing handshake."""
        self._cut = True
        self._abort()

    async def drain(self, sent: Counter[str]) -> None:
        """Send what is queued until the connection ends; an empty label is not counted.

        What comes up for sending while the channel is stalled is lost.
        """
        while True:
            entry = await self._waiting.get()
            if self._stalled():
                continue
            try:
                if isinstance(entry, int):
                    await self._socket.close(code=entry)
                    return
                label, frame = entry
                if isinstance(frame, bytes):
                    await self._socket.send_bytes(frame)
                else:
                    await self._socket.send_str(frame)
            except (ConnectionError, RuntimeError):
                return
            if label:
                sent[label] += 1

    def _queue(self, entry: tuple[str, str | bytes] | int) -> None:
        if self._cut:
            return
        try:
            self._waiting.put_nowait(entry)
        except asyncio.QueueFull:
            log.warning("a client reads too slowly: %d frames wait; cutting it off", self._waiting.qsize())
            self.cut()


class Outlet:
    """The way of every frame of one channel to its connections."""

    def __init__(self, channel: Channel, board: FaultBoard, queue_limit: int) -> None:
        self.channel: Channel = channel
        self.links: set[Link] = set()
        self.sent: Counter[str] = Counter()
        self._board = board
        self._queue_limit = queue_limit
        self._held: list[tuple[Link, str, str | bytes]] = []
        self._release: asyncio.TimerHandle | None = None
        self._garbled = 0
        self._lossy = 0
        board.on_change(self._faults_changed)

    def offer(
        self,
        link: Link,
        label: str,
        frame: str | bytes,
        keys: tuple[str, ...],
        *,
        frozen_checked: bool = False,
        loss_checked: bool = False,
    ) -> None:
        """Send one data frame through the faults that hold; ``keys`` are what a fault may call it.

        ``frozen_checked`` says that frozen tokens were already taken out of a frame about several,
        ``loss_checked`` that `loses_one` was already asked about it.
        """
        if not self._board.current:
            link.push(label, frame)
            return
        if not frozen_checked and self._board.frozen(self.channel, keys):
            return
        if not loss_checked and self.loses_one():
            return
        garble = self._board.garble(self.channel, keys)
        if garble is not None:
            self._garbled += 1
            if self._garbled % garble.every == 0:
                frame = _spoilt(frame, garble.form)
        copies = 2 if self._board.doubled(self.channel, keys) else 1
        hold = self._board.hold(self.channel, keys)
        for _ in range(copies):
            if hold is None:
                link.push(label, frame)
            else:
                self._held.append((link, label, frame))
        if hold is not None and self._release is None:
            self._release = asyncio.get_running_loop().call_later(hold.for_ms / 1000, self._burst)

    def loses_one(self) -> DropFrames | None:
        """The fault that loses the next data frame on its way; asked once for each."""
        lossy = self._board.drops(self.channel)
        if lossy is None:
            return None
        self._lossy += 1
        return lossy if self._lossy % lossy.every == 0 else None

    def stalled(self) -> bool:
        """Whether nothing at all is to be sent."""
        return self._board.stalled(self.channel)

    async def converse(
        self,
        request: web.Request,
        join: Callable[[Link], None],
        hear: Callable[[Link, str], None],
        leave: Callable[[Link], object],
    ) -> web.StreamResponse:
        """Talk to one client until it goes away: ``hear`` gets each of its text frames."""
        refusal = self._board.refusal(self.channel)
        if refusal is not None:
            return refused(refusal.status, refusal.retry_after_s)
        socket = web.WebSocketResponse(compress=False, autoping=False, autoclose=False)
        await socket.prepare(request)
        link = Link(socket, lambda: _abort(request), self._queue_limit, self.stalled)
        self.links.add(link)
        join(link)
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(link.drain(self.sent))
                async for message in socket:
                    if message.type is WSMsgType.TEXT:
                        hear(link, message.data)
                    elif message.type is WSMsgType.PING and not self.stalled():
                        await _answer_ping(socket, message.data)
                writer.cancel()
            # Whoever stalls does not answer a closing handshake either.
            while self.stalled() and request.transport is not None and not request.transport.is_closing():
                await asyncio.sleep(_STALL_POLL_S)
        finally:
            leave(link)
            self.links.discard(link)
        return socket

    def _burst(self) -> None:
        if self._release is not None:
            self._release.cancel()
            self._release = None
        held, self._held = self._held, []
        for link, label, frame in held:
            link.push(label, frame)

    def _faults_changed(self, faults: tuple[Fault, ...]) -> None:
        self._burst()
        for fault in faults:
            if not isinstance(fault, Disconnect) or fault.channel != self.channel:
                continue
            for link in tuple(self.links):
                if fault.code is None:
                    link.cut()
                else:
                    link.close(fault.code)


def refused(status: int, retry_after_s: int | None) -> web.Response:
    """An HTTP refusal, with the time to wait where one is given."""
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return web.json_response({"error": "refused by the simulated venue"}, status=status, headers=headers)


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _answer_ping(socket: web.WebSocketResponse, data: bytes) -> None:
    try:
        await socket.pong(data)
    except ConnectionError:
        pass  # The client is gone; reading says so next.


def _spoilt(frame: str | bytes, form: str) -> str | bytes:
    match form:
        case "truncated":
            return frame[: len(frame) // 2]
        case "oversized":
            return frame + b" " * _OVERSIZED if isinstance(frame, bytes) else frame + " " * _OVERSIZED
    return _NOISE.encode() if isinstance(frame, bytes) else _NOISE
