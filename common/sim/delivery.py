"""From a frame to a socket: bounded queues per connection, counted frames, and faults on the way.

Nothing here blocks the venue: a reader who falls behind is cut off. Knows no dialect.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from aiohttp import WSMsgType, web

from common.sim.faults import Channel, Disconnect, Fault, FaultBoard

log = logging.getLogger(__name__)

QUEUE_LIMIT = 10_000
CLOSING = "\x00close"
"""Label of the queue entry that closes the connection normally behind everything before it."""
_OVERSIZED = 5 * 1024 * 1024
_NOISE = "\x00\ufffd{]not a frame"


class Link:
    """One client connection and the frames waiting for it."""

    def __init__(
        self, socket: web.WebSocketResponse, abort: Callable[[], None], limit: int = QUEUE_LIMIT
    ) -> None:
        self._socket = socket
        self._abort = abort
        self._waiting: asyncio.Queue[tuple[str, str]] = asyncio.Queue(limit)
        self._cut = False

    def push(self, label: str, text: str) -> None:
        """Queue one frame; a full queue cuts the connection."""
        if self._cut:
            return
        try:
            self._waiting.put_nowait((label, text))
        except asyncio.QueueFull:
            log.warning("a client reads too slowly: %d frames wait; cutting it off", self._waiting.qsize())
            self.cut()

    def cut(self) -> None:
        """End the connection without a closing handshake."""
        self._cut = True
        self._abort()

    async def drain(self, sent: Counter[str]) -> None:
        """Send what is queued until the connection ends; an empty label is not counted."""
        while True:
            label, text = await self._waiting.get()
            try:
                if label == CLOSING:
                    await self._socket.close(code=1000)
                    return
                await self._socket.send_str(text)
            except (ConnectionError, RuntimeError):
                return
            if label:
                sent[label] += 1


class Outlet:
    """The way of every frame of one channel to its connections."""

    def __init__(self, channel: Channel, board: FaultBoard, queue_limit: int) -> None:
        self.channel: Channel = channel
        self.links: set[Link] = set()
        self.sent: Counter[str] = Counter()
        self._board = board
        self._queue_limit = queue_limit
        self._held: list[tuple[Link, str, str]] = []
        self._release: asyncio.TimerHandle | None = None
        self._garbled = 0
        board.on_change(self._faults_changed)

    def offer(
        self, link: Link, label: str, text: str, keys: tuple[str, ...], *, frozen_checked: bool = False
    ) -> None:
        """Send one data frame through the faults that hold; ``keys`` are its topic and symbol, or its tokens.

        ``frozen_checked`` says that frozen tokens were already taken out of a frame about several.
        """
        if not self._board.current:
            link.push(label, text)
            return
        if not frozen_checked and self._board.frozen(self.channel, keys):
            return
        garble = self._board.garble(self.channel, keys)
        if garble is not None:
            self._garbled += 1
            if self._garbled % garble.every == 0:
                text = _spoilt(text, garble.form)
        copies = 2 if self._board.doubled(self.channel, keys) else 1
        hold = self._board.hold(self.channel, keys)
        for _ in range(copies):
            if hold is None:
                link.push(label, text)
            else:
                self._held.append((link, label, text))
        if hold is not None and self._release is None:
            self._release = asyncio.get_running_loop().call_later(hold.for_ms / 1000, self._burst)

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
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        link = Link(socket, lambda: _abort(request), self._queue_limit)
        self.links.add(link)
        join(link)
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(link.drain(self.sent))
                async for message in socket:
                    if message.type is WSMsgType.TEXT:
                        hear(link, message.data)
                writer.cancel()
        finally:
            leave(link)
            self.links.discard(link)
        return socket

    def _burst(self) -> None:
        if self._release is not None:
            self._release.cancel()
            self._release = None
        held, self._held = self._held, []
        for link, label, text in held:
            link.push(label, text)

    def _faults_changed(self, faults: tuple[Fault, ...]) -> None:
        self._burst()
        if any(isinstance(fault, Disconnect) and fault.channel == self.channel for fault in faults):
            for link in tuple(self.links):
                link.cut()


def refused(status: int, retry_after_s: int | None) -> web.Response:
    """An HTTP refusal, with the time to wait where one is given."""
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return web.json_response({"error": "refused by the simulated venue"}, status=status, headers=headers)


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _spoilt(text: str, form: str) -> str:
    match form:
        case "truncated":
            return text[: len(text) // 2]
        case "oversized":
            return text + " " * _OVERSIZED
    return _NOISE
