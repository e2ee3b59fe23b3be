"""The order line: warm kept-alive connections to the venue, and what is certain about one request on them.

A request goes out once, on one connection. Not sent means that not one byte reached the socket; whatever ends
after the first byte without a complete answer is no answer, and nobody knows what became of it. Never repeats
a request whose first byte was written.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

import h11

from common.runtime.clock import Clock
from common.units import SECOND

ANSWER_S = 10.0
OPEN_S = 5.0
WARM_EVERY_S = 15.0
"""The venue closes a connection that was idle for 30 s."""
LONGEST_PAUSE_S = 10.0
MAX_BODY = 1 << 20


class Answer(NamedTuple):
    """A complete answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class NotSent(NamedTuple):
    """Not one byte went out."""

    text: str


class NoAnswer(NamedTuple):
    """Something went out and no complete answer came back."""

    text: str


Outcome = Answer | NotSent | NoAnswer


@dataclass(slots=True, eq=False)
class _Line(asyncio.Protocol):
    """One connection: at most one request at a time."""

    on_lost: Callable[["_Line"], None]
    clock: Clock
    transport: asyncio.Transport | None = None
    waiting: "asyncio.Future[Outcome] | None" = None
    parser: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))
    head: h11.Response | None = None
    body: bytearray = field(default_factory=bytearray)
    used_ns: int = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.used_ns = self.clock.mono_ns()

    def data_received(self, data: bytes) -> None:
        if self.waiting is None:
            self.drop("the venue spoke without being asked")
            return
        try:
            self.parser.receive_data(data)
            self._read()
        except h11.RemoteProtocolError as error:
            self.drop(f"the answer is no HTTP: {error}")

    def eof_received(self) -> None:
        if self.waiting is not None:
            try:
                self.parser.receive_data(b"")
                self._read()
            except h11.RemoteProtocolError as error:
                self.drop(f"the connection ended within the answer: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle(NoAnswer(f"the connection was lost before the answer ({exc or 'closed'})"))
        self.on_lost(self)

    @property
    def usable(self) -> bool:
        """Idle and, as far as anybody can know, open."""
        return self.waiting is None and self.transport is not None and not self.transport.is_closing()

    def send(self, request: bytes) -> "asyncio.Future[Outcome]":
        """Write a whole request now; the future has its outcome."""
        assert self.transport is not None
        assert self.waiting is None
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.waiting = waiting
        # The parser must know that a request went out, not what was in it: ours is made already.
        self.parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 16)
        self.parser.send(h11.Request(method="GET", target="/", headers=[("Host", "-")]))
        self.parser.send(h11.EndOfMessage())
        self.head, self.body = None, bytearray()
        # Straight to the socket in the caller's own turn of the loop: no task switch before the bytes leave.
        self.transport.write(request)
        self.used_ns = self.clock.mono_ns()
        return waiting

    def drop(self, why: str) -> None:
        """End the connection; whoever waits learns that there is no answer."""
        self._settle(NoAnswer(why))
        if self.transport is not None:
            self.transport.abort()

    def _read(self) -> None:
        while True:
            event = self.parser.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.Response):
                self.head = event
            elif isinstance(event, h11.Data):
                self.body += event.data
                if len(self.body) > MAX_BODY:
                    self.drop("the answer is larger than 1 MiB")
                    return
            elif isinstance(event, h11.EndOfMessage):
                assert self.head is not None
                headers = {
                    name.decode("latin-1"): value.decode("latin-1") for name, value in self.head.headers
                }
                closing = self.parser.their_state is h11.MUST_CLOSE
                self._settle(Answer(self.head.status_code, headers, bytes(self.body)))
                if closing and self.transport is not None:
                    self.transport.abort()
                return
            elif isinstance(event, h11.ConnectionClosed):
                self.drop("the connection was closed before the answer")
                return

    def _settle(self, outcome: Outcome) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(outcome)


class OrderLine:
    """A pool of warm connections; ``run`` keeps it, ``send`` uses it."""

    def __init__(
        self, clob_url: str, clock: Clock, *, user_agent: str, size: int = 8, answer_s: float = ANSWER_S
    ) -> None:
        parts = urlsplit(clob_url)
        self._host = parts.hostname or ""
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._clock = clock
        self._size = size
        self._answer_s = answer_s
        self._lines: list[_Line] = []
        self._wanted = asyncio.Event()
        self._warmer = (
            f"GET {parts.path.rstrip('/')}/time HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
            f"User-Agent: {user_agent}\r\nAccept: application/json\r\n\r\n"
        ).encode()
        self.opened = 0
        self.lost = 0

    @property
    def idle(self) -> int:
        """Connections a request could go out on now."""
        return sum(line.usable for line in self._lines)

    async def run(self) -> None:
        """Open the connections, open lost ones again, keep idle ones warm; until cancelled."""
        pause_s = 0.05
        try:
            while True:
                self._wanted.clear()
                failed = await self._fill()
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S) if failed else 0.05
                self._warm()
                try:
                    async with asyncio.timeout(pause_s if failed else 1.0):
                        if failed:
                            await asyncio.sleep(pause_s)
                        else:
                            await self._wanted.wait()
                except TimeoutError:
                    pass  # time to look whether one has to be kept warm
        finally:
            for line in list(self._lines):
                line.drop("the order line is closed")

    async def send(self, head: bytes, body: bytes) -> Outcome:
        """Send one request on an idle connection and wait for its answer; at most once, whatever happens."""
        line = next((each for each in self._lines if each.usable), None)
        if line is None:
            self._wanted.set()
            try:
                line = await self._open()
            except OSError as error:
                return NotSent(f"no connection to {self._host}: {_cause(error)}")
        waiting = line.send(head + body)
        try:
            async with asyncio.timeout(self._answer_s):
                return await waiting
        except TimeoutError:
            why = f"no answer within {self._answer_s:g} s"
            line.drop(why)
            return NoAnswer(why)
        except asyncio.CancelledError:
            # Whoever is cancelled will never read the answer: the connection is of no more use.
            line.drop("given up")
            raise

    async def _fill(self) -> bool:
        """Open what is missing; whether that failed."""
        try:
            while len(self._lines) < self._size:
                await self._open()
        except OSError:
            return True
        return False

    async def _open(self) -> _Line:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(OPEN_S):
            # asyncio sets TCP_NODELAY on every stream socket.
            _, line = await loop.create_connection(
                lambda: _Line(self._forget, self._clock), self._host, self._port, ssl=self._tls
            )
        self._lines.append(line)
        self.opened += 1
        return line

    def _forget(self, line: _Line) -> None:
        if line in self._lines:
            self._lines.remove(line)
            self.lost += 1
            self._wanted.set()

    def _warm(self) -> None:
        now = self._clock.mono_ns()
        for line in list(self._lines):
            if line.waiting is not None and now - line.used_ns > int((self._answer_s + 1) * SECOND):
                line.drop("nothing came to keep it warm")
            elif line.usable and now - line.used_ns > int(WARM_EVERY_S * SECOND):
                line.send(self._warmer)


def _cause(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__)[:160]
