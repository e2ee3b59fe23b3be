"""The one connect loop of every WebSocket feed.

Alive means data, per key (a series, a token), on the monotonic clock: an open socket that answers pings and
brings nothing is a zombie and is made anew. The loop never ends because a remote is down; it ends with
DataStale when connections are made but all watched data stays away, or with FeedRefused when the other end
refuses us for good.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    SecurityError,
    WebSocketException,
)

from common.errors import DataStale
from common.feeds.backoff import Backoff
from common.feeds.prompt_connection import PromptConnection
from common.runtime.clock import Clock
from common.units import SECOND

USER_AGENT = "laggard/0.1"
OPEN_TIMEOUT_S = 10.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")

OnFrame = Callable[[str | bytes, int, int], None]
"""Called with the frame, our wall clock and our monotonic clock at receipt."""


def shown_host(url: str) -> str:
    """Host and port of an address as they may be logged: never the user or the password in it."""
    return urlsplit(url).netloc.rpartition("@")[2]


@dataclass(slots=True)
class Silence:
    """When each watched key last brought data; one that never spoke counts from when it was expected."""

    limit_ns: int
    dead_ns: int
    spoke: dict[str, int] = field(default_factory=dict)
    last_any_ns: int = 0

    def expect(self, keys: Iterable[str], mono_ns: int) -> None:
        """Watch exactly these keys; a new one counts from now."""
        self.spoke = {key: self.spoke.get(key, mono_ns) for key in keys}

    def heard(self, key: str, mono_ns: int) -> None:
        """Data of this key arrived."""
        if key in self.spoke:
            # Data that was true earlier than what is known already is no newer sign of life.
            self.spoke[key] = max(self.spoke[key], mono_ns)
            self.last_any_ns = max(self.last_any_ns, mono_ns)

    def restart(self, mono_ns: int) -> None:
        """A new connection was made: every key gets its time again."""
        self.spoke = dict.fromkeys(self.spoke, mono_ns)

    def overdue(self, mono_ns: int) -> list[str]:
        """Keys silent for longer than the limit."""
        return [key for key, at in self.spoke.items() if mono_ns - at > self.limit_ns]


@dataclass(slots=True)
class Link:
    """One feed's connection: what is sent when it opens, and what others see of it."""

    url: str
    greeting: Callable[[], list[str]]
    """Messages to send on every opening."""
    on_frame: OnFrame
    silence: Silence
    ping: str = "PING"
    """Text that keeps the other end talking; empty where it needs none."""
    ping_every_s: float = 5.0
    max_bytes: int = 8 << 20
    on_state: Callable[[bool, str], None] = lambda _up, _text: None
    """Told whether the feed is connected, and one sentence about it."""
    on_open: Callable[[], None] = lambda: None
    headers: Callable[[], Mapping[str, str]] = dict
    """Headers of the handshake, made anew for each (a signature has its time in it)."""
    on_refusal: Callable[[int], float] = lambda _code: 0.0
    """Given an HTTP status (below 1000) or a close code: the least wait in seconds; may raise FeedRefused."""
    backoff: Backoff = field(default_factory=Backoff)
    socket: PromptConnection | None = None
    reconnects: int = 0
    zombies: int = 0

    @property
    def host(self) -> str:
        """Who is at the other end, without the credentials an address may carry."""
        return shown_host(self.url)

    async def send(self, text: str) -> bool:
        """Send on the running connection; False when there is none (the greeting will say it then)."""
        if self.socket is None:
            return False
        try:
            await self.socket.send(text)
        except ConnectionClosed:
            return False
        return True

    def renew(self) -> None:
        """Drop the running connection; the loop makes a new one."""
        if self.socket is not None:
            self.socket.transport.abort()


class _SameHost(connect):
    """A connection that follows no redirect elsewhere: what we say and sign is for this host alone."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        found = super().process_redirect(exc)
        if isinstance(found, str) and urlsplit(found).netloc != urlsplit(self.uri).netloc:
            return SecurityError("it leads to another host")
        return found


async def keep_connected(link: Link, clock: Clock, log: structlog.typing.FilteringBoundLogger) -> None:
    """Connect, read, watch and reconnect until cancelled; raises DataStale when data stays away too long."""
    mute_since: int | None = None
    while True:
        wait_at_least = 0.0
        opened: int | None = None
        try:
            async with _SameHost(
                link.url,
                # A proxy of the environment is for the internet, never for this host.
                proxy=None if urlsplit(link.url).hostname in LOOPBACK else True,
                additional_headers=dict(link.headers()),
                user_agent_header=USER_AGENT,
                compression=None,
                open_timeout=OPEN_TIMEOUT_S,
                ping_interval=20,
                ping_timeout=20,
                close_timeout=1,
                max_size=link.max_bytes,
                create_connection=PromptConnection,
            ) as socket:
                assert isinstance(socket, PromptConnection)
                opened = clock.mono_ns()
                why = await _converse(link, socket, clock)
        except InvalidStatus as refusal:
            why = f"HTTP status {refusal.response.status_code}"
            wait_at_least = max(
                _retry_after_s(refusal.response.headers.get("Retry-After")),
                link.on_refusal(refusal.response.status_code),
            )
        except InvalidHandshake as refusal:
            why = f"handshake failed: {refusal}"
        except TimeoutError:
            why = f"no answer within {OPEN_TIMEOUT_S:g} s"
        except ConnectionClosed as closed:
            why = _closing(closed)
            if closed.rcvd is not None:
                wait_at_least = link.on_refusal(closed.rcvd.code)
        except WebSocketException as error:
            why = f"cannot follow where it leads: {error}"
        except ValueError as error:
            if opened is not None:
                raise
            # The address of a redirect may be none at all.
            why = f"cannot follow where it leads: {error}"
        except OSError as error:
            why = error.strerror or str(error) or type(error).__name__
        finally:
            link.socket = None
        now = clock.mono_ns()
        link.reconnects += 1
        mute_since = _mute_since(link, opened, mute_since)
        if mute_since is None and opened is not None:
            link.backoff.delivered((link.silence.last_any_ns - opened) / SECOND)
        if mute_since is not None and now - mute_since > link.silence.dead_ns:
            raise DataStale(
                f"{link.host} lets us connect but brought no watched data for "
                f"{(now - mute_since) // SECOND} s; starting over"
            )
        wait_s = link.backoff.next_wait_s(at_least_s=wait_at_least)
        sentence = f"cannot hear {link.host}: {why}; next try in {wait_s:.1f} s"
        log.warning("feed_down", host=link.host, reason=why, next_try_s=round(wait_s, 2))
        link.on_state(False, sentence)
        await asyncio.sleep(wait_s)


async def _converse(link: Link, socket: PromptConnection, clock: Clock) -> str:
    """Hold one connection; returns why it was given up."""
    link.socket = socket
    link.silence.restart(clock.mono_ns())
    link.on_open()
    for text in link.greeting():
        await socket.send(text)
    link.on_state(True, f"connected to {link.host}")
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    reader = asyncio.ensure_future(_read(socket, hearing(link, clock, failed)))
    pinger = asyncio.ensure_future(_ping(link, socket))
    try:
        while True:
            await asyncio.wait(
                (reader, failed),
                timeout=min(0.25, link.silence.limit_ns / SECOND / 4),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if failed.done():
                await failed
            if reader.done():
                await reader
                return "the other end closed the connection"
            overdue = link.silence.overdue(clock.mono_ns())
            if overdue:
                link.zombies += 1
                socket.transport.abort()
                seconds = link.silence.limit_ns / SECOND
                return f"connected, but silent for {seconds:g} s on {', '.join(sorted(overdue)[:6])}"
    finally:
        socket.hear = None
        for ending in (failed, reader, pinger):
            ending.cancel()
        # Why a frame was not taken or the reader ended was raised above; the pinger's end says nothing.
        await asyncio.gather(failed, reader, pinger, return_exceptions=True)


def hearing(link: Link, clock: Clock, failed: "asyncio.Future[None]") -> Callable[[str | bytes], None]:
    """Take frames in for the link until one makes ``on_frame`` raise; that is then set on ``failed``."""

    def hear(frame: str | bytes) -> None:
        if failed.done():
            return
        try:
            link.on_frame(frame, clock.wall_ns(), clock.mono_ns())
        except Exception as error:  # noqa: BLE001 - raised by whoever waits for it, not into the transport
            failed.set_exception(error)

    return hear


async def _read(socket: PromptConnection, hear: Callable[[str | bytes], None]) -> None:
    socket.hear = hear
    async for frame in socket:
        hear(frame)


async def _ping(link: Link, socket: PromptConnection) -> None:
    while link.ping:
        await asyncio.sleep(link.ping_every_s)
        await socket.send(link.ping)


def _mute_since(link: Link, opened: int | None, mute_since: int | None) -> int | None:
    """Since when connections are made and bring nothing; a remote that cannot be reached is not mute."""
    if opened is None or not link.silence.spoke or link.silence.last_any_ns >= opened:
        return None
    return opened if mute_since is None else mute_since


def _closing(closed: ConnectionClosed) -> str:
    if closed.rcvd is not None:
        return f"closed by the other end with {closed.rcvd.code} {closed.rcvd.reason}".strip()
    if closed.sent is not None:
        return f"closed by us with {closed.sent.code} {closed.sent.reason}".strip()
    return "the connection broke"


def _retry_after_s(header: str | None) -> float:
    """Seconds of a Retry-After header, capped at five minutes; 0 when there is none we understand."""
    try:
        return min(300.0, max(0.0, float(header))) if header else 0.0
    except ValueError:
        return 0.0
