"""The order line: warm kept-alive connections to the venue, and what is certain about one request on them.

A request goes out once, on one connection. Not sent means that not one byte reached the socket; whatever ends
after the first byte without a complete answer is no answer, and nobody knows what became of it. Never repeats
a request whose first byte was written, and never follows a redirect.
"""

import asyncio
import select
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import h11

from common.runtime.clock import Clock
from common.units import SECOND

ANSWER_S = 10.0
OPEN_S = 5.0
WARM_EVERY_S = 15.0
"""The venue closes a connection that was idle for 30 s."""
LOOK_EVERY_S = 1.0
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 10.0
NEXT_ADDRESS_S = 0.25
"""A host of several addresses is tried at the next one after so long: one that swallows packets must not
cost the whole time there is."""
MAX_BODY = 1 << 20
_MAX_HEAD = 1 << 16
_SETTLE_S = 0.001


class Answer(NamedTuple):
    """A complete answer; the header names are in small letters."""

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


class LineState(NamedTuple):
    """Connections as they are, and how many there have been."""

    idle: int
    busy: int
    opened: int
    lost: int


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
    poller: select.poll = field(default_factory=select.poll)
    ended: bool = False
    """The other end has closed, or we have: a TLS transport itself tells that only when all is over."""
    proven: bool = False
    """It has brought an answer."""
    used_ns: int = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.poller.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.used_ns = self.clock.mono_ns()

    def data_received(self, data: bytes) -> None:
        if self.waiting is None:
            self.drop("the venue spoke without being asked")
            return
        self._feed(data)

    def eof_received(self) -> None:
        if self.waiting is not None:
            self._feed(b"")
        self.drop("the venue closed the connection before its answer was complete")

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._settle(NoAnswer(f"the connection was lost before the answer ({exc or 'closed'})"))
        self.on_lost(self)

    @property
    def idle(self) -> bool:
        """No request is under way, and the loop has heard of no end."""
        return self.waiting is None and self.transport is not None and not self.ended

    def ready(self) -> bool:
        """Idle, and the kernel holds nothing unread: bytes there would be the end, or nobody's answer.

        About a microsecond, and the difference between another connection and an order of unknown fate: what
        the venue closed since the last turn of the loop is known to the kernel alone.
        """
        return self.idle and not self.poller.poll(0)

    def send(self, request: bytes) -> "asyncio.Future[Outcome]":
        """Write a whole request now; the future has its outcome."""
        assert self.transport is not None
        assert self.waiting is None
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.waiting = waiting
        # First of all the bytes, straight to the socket in the caller's own turn of the loop: waiting for a
        # task or a drain would let all else that is ready run before them. No answer can be handled before
        # the next turn, so there is time for its parser afterwards.
        self.transport.write(request)
        # The parser must know that a request went out, not what was in it: ours is made already.
        self.parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        self.parser.send(h11.Request(method="GET", target="/", headers=[("Host", "-")]))
        self.parser.send(h11.EndOfMessage())
        self.head, self.body = None, bytearray()
        self.used_ns = self.clock.mono_ns()
        return waiting

    def drop(self, why: str) -> None:
        """End the connection; whoever waits learns that there is no answer."""
        self.ended = True
        self._settle(NoAnswer(why))
        if self.transport is not None:
            self.transport.abort()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.receive_data(data)
            self._read()
        except h11.RemoteProtocolError as error:
            if data:
                self.drop(f"the answer is no HTTP: {error}")

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
                self._complete()
                return

    def _complete(self) -> None:
        assert self.head is not None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.head.headers}
        closing = self.parser.their_state is h11.MUST_CLOSE
        more, _ended = self.parser.trailing_data
        self.proven = True
        self._settle(Answer(self.head.status_code, headers, bytes(self.body)))
        if closing:
            self.drop("the venue closes after this answer")
        elif more:
            # Two answers to one request: the second would be taken for that of the next order.
            self.drop("more came than was asked for")

    def _settle(self, outcome: Outcome) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(outcome)


class OrderLine:
    """A pool of warm connections; ``run`` keeps it, ``send`` uses it."""

    def __init__(
        self, clob_url: str, clock: Clock, *, user_agent: str, size: int = 8, answer_s: float = ANSWER_S
    ) -> None:
        """``answer_s``: how long an answer may take before its connection is given up."""
        parts = urlsplit(clob_url)
        self._host = parts.hostname or ""
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._clock = clock
        self._size = size
        self._answer_s = answer_s
        self._lines: list[_Line] = []
        self._wanted = asyncio.Event()
        self._fruitless = False
        self._warmer = (
            f"GET {parts.path.rstrip('/')}/time HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
            f"User-Agent: {user_agent}\r\nAccept: application/json\r\n\r\n"
        ).encode()
        self._opened = 0
        self._lost = 0

    def state(self) -> LineState:
        """How the line is, for people."""
        busy = sum(line.waiting is not None for line in self._lines)
        return LineState(sum(line.idle for line in self._lines), busy, self._opened, self._lost)

    async def run(self) -> None:
        """Open the connections, open lost ones again, keep idle ones warm; until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_open())
                group.create_task(self._keep_warm())
        finally:
            for line in list(self._lines):
                line.drop("the order line is closed")

    def send(self, head: bytes, body: bytes, *, open_s: float = OPEN_S) -> Coroutine[Any, Any, Outcome]:
        """Send one request, before this returns if a connection is idle; await the result for its answer.

        At most once, whatever happens. ``open_s`` is how long it may wait for a connection when none is idle:
        no byte leaves later than that.
        """
        line = next((each for each in self._lines if each.ready()), None)
        if line is None:
            return self._send_on_new(head + body, open_s)
        return self._answer_of(line, line.send(head + body))

    async def _send_on_new(self, request: bytes, open_s: float) -> Outcome:
        try:
            line = await self._open(open_s)
        except OSError as error:
            return NotSent(f"no connection to {self._host}: {_cause(error)}")
        return await self._answer_of(line, line.send(request))

    async def _answer_of(self, line: _Line, waiting: "asyncio.Future[Outcome]") -> Outcome:
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

    async def _keep_open(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            self._wanted.clear()
            self._fruitless = False
            try:
                while len(self._lines) < self._size and not self._fruitless:
                    await self._open(OPEN_S)
            except OSError:
                self._fruitless = True
            if not self._fruitless:
                await self._wanted.wait()
            # A venue that takes connections and drops them unused must not be called without end either.
            if self._fruitless:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                pause_s = FIRST_PAUSE_S

    async def _keep_warm(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now_ns = self._clock.mono_ns()
            self._drop_mute(now_ns)
            idle = [line for line in self._lines if line.idle]
            for line in idle[: max(0, len(self._lines) - self._size)]:
                line.drop("one more than wanted: it was opened while all others were busy")
            due = [line for line in idle if line.ready() and now_ns - line.used_ns > WARM_EVERY_S * SECOND]
            # Opened together they fall due together, and an order must find one at rest: half stay so.
            for line in due[: max(0, len(idle) - len(self._lines) // 2)]:
                line.send(self._warmer)

    def _drop_mute(self, now_ns: int) -> None:
        """End connections whose warmer was never answered; who sends an order watches its own."""
        for line in list(self._lines):
            if line.waiting is not None and now_ns - line.used_ns > (self._answer_s + 1) * SECOND:
                line.drop("nothing came to keep it warm")

    async def _open(self, within_s: float) -> _Line:
        """Open one more; raises OSError, TimeoutError among them."""
        line = _Line(self._forget, self._clock)
        try:
            async with asyncio.timeout(within_s):
                # asyncio sets TCP_NODELAY on every stream socket.
                await asyncio.get_running_loop().create_connection(
                    lambda: line, self._host, self._port, ssl=self._tls, happy_eyeballs_delay=NEXT_ADDRESS_S
                )
                # What has come already is the end, or tickets of TLS: the loop must read it first.
                while not line.ready() and not line.ended:
                    await asyncio.sleep(_SETTLE_S)
        except BaseException:
            line.drop("not wanted any more")
            raise
        if line.ended:
            raise ConnectionResetError("closed as soon as it was open")
        self._lines.append(line)
        self._opened += 1
        return line

    def _forget(self, line: _Line) -> None:
        if line in self._lines:
            self._lines.remove(line)
            self._lost += 1
            self._fruitless = self._fruitless or not line.proven
            self._wanted.set()


def _cause(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__)[:160]
