"""The connect loop against real servers: mute, rude, slow and absent ones; it always comes back for data."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

import pytest
import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from common.errors import DataStale, FeedRefused
from common.feeds import backoff, connection
from common.feeds.backoff import CAP_S, Backoff
from common.feeds.connection import Link, Silence, keep_connected, shown_host
from common.runtime.clock import SystemClock
from common.units import SECOND

LIMIT_S = 10.0
LIMIT_NS = 300_000_000
FOREVER_NS = 3600 * SECOND
Talk = Callable[[ServerConnection, int], Awaitable[None]]
"""One server's side of a conversation, with the number of the connection."""
Gate = Callable[[int], Response | None]
"""The answer to the handshake with this number; None lets it in."""


@dataclass
class Stage:
    """A server and what it saw."""

    talk: Talk
    gate: Gate = lambda _number: None
    at: list[float] = field(default_factory=list)
    """When each handshake came."""
    said: list[str | bytes] = field(default_factory=list)
    headers: list[Headers] = field(default_factory=list)
    accepted: int = 0
    url: str = ""

    async def handshake(self, _socket: ServerConnection, request: Request) -> Response | None:
        self.at.append(time.monotonic())
        self.headers.append(request.headers)
        return self.gate(len(self.at))

    async def converse(self, socket: ServerConnection) -> None:
        self.accepted += 1
        number = self.accepted

        async def listen() -> None:
            async for frame in socket:
                self.said.append(frame)
                if frame == "PING":
                    await socket.send("PONG")

        listening = asyncio.ensure_future(listen())
        try:
            await self.talk(socket, number)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


@contextlib.asynccontextmanager
async def staged(talk: Talk, gate: Gate = lambda _number: None) -> AsyncIterator[Stage]:
    stage = Stage(talk, gate)
    server: Server = await serve(
        stage.converse, "127.0.0.1", 0, process_request=stage.handshake, close_timeout=0.1, compression=None
    )
    stage.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
    try:
        yield stage
    finally:
        server.close()
        for socket in list(server.connections):
            socket.transport.abort()
        await server.wait_closed()


@dataclass
class Ear:
    """The client's side: what it heard, and when."""

    link: Link
    heard: list[tuple[str, float]] = field(default_factory=list)
    states: list[tuple[bool, str]] = field(default_factory=list)

    def frame(self, frame: str | bytes, _wall_ns: int, mono_ns: int) -> None:
        text = str(frame)
        if text != "PONG":
            self.heard.append((text, time.monotonic()))
            self.link.silence.heard(text.split(maxsplit=1)[0], mono_ns)

    def whys(self) -> str:
        return " | ".join(text for up, text in self.states if not up)


class AlwaysLongest(Random):
    """No luck: every wait is the longest it can be."""

    def uniform(self, a: float, b: float) -> float:
        return b


def ear_at(
    url: str, *keys: str, limit_ns: int = LIMIT_NS, dead_ns: int = FOREVER_NS, cap_s: float = CAP_S
) -> Ear:
    silence = Silence(limit_ns, dead_ns)
    silence.expect(keys or ("btc",), time.monotonic_ns())
    backoff = Backoff(AlwaysLongest(), cap_s=cap_s)
    link = Link(url, lambda: ["hello"], lambda *_: None, silence, ping_every_s=0.05, backoff=backoff)
    ear = Ear(link)
    link.on_frame = ear.frame
    link.on_state = lambda up, text: ear.states.append((up, text))
    return ear


@contextlib.asynccontextmanager
async def listening(ear: Ear) -> AsyncIterator["asyncio.Task[None]"]:
    """Keep the ear connected during the block; an error of the loop fails the test."""
    task = asyncio.ensure_future(keep_connected(ear.link, SystemClock(), structlog.get_logger()))
    try:
        yield task
        assert not task.done(), "the loop ended"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.005)


async def chatter(socket: ServerConnection, _number: int) -> None:
    """Data again and again."""
    while True:
        await socket.send("btc tick")
        await asyncio.sleep(0.02)


async def mute(socket: ServerConnection, _number: int) -> None:
    """Open, answering pings, saying nothing."""
    await socket.wait_closed()


def answer(status: int, **headers: str) -> Response:
    named = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return Response(status, "No", Headers([*named.raw_items(), ("Content-Length", "0")]), b"")


async def test_it_greets_hears_and_pings() -> None:
    async with staged(chatter) as stage:
        ear = ear_at(stage.url)
        async with listening(ear):
            await until(lambda: len(ear.heard) > 3 and "PING" in stage.said)
            assert ear.states[0] == (True, f"connected to {stage.url.removeprefix('ws://')}")
            assert await ear.link.send("more")
            await until(lambda: "more" in stage.said)
    assert stage.said[0] == "hello"
    assert stage.headers[0]["User-Agent"].startswith("laggard/")
    assert "Sec-WebSocket-Extensions" not in stage.headers[0], "compression costs time"
    assert len(stage.at) == 1
    assert ear.link.socket is None
    assert not await ear.link.send("late")


async def test_a_proxy_of_the_environment_is_not_asked_about_this_host(
    monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with staged(chatter) as stage:
        ear = ear_at(stage.url)
        async with listening(ear):
            await until(lambda: len(ear.heard) > 0)


async def test_a_zombie_is_left_within_the_threshold_and_a_second() -> None:
    """Open, answering our PING and the protocol's, and silent: only the absence of data tells."""

    async def talk(socket: ServerConnection, number: int) -> None:
        if number == 1:
            await socket.send("btc first")
            await mute(socket, number)
        else:
            # A new connection has the whole threshold again.
            await asyncio.sleep(0.2)
            await chatter(socket, number)

    async with staged(talk) as stage:
        ear = ear_at(stage.url)
        async with listening(ear):
            await until(lambda: len(ear.heard) > 3)
            assert stage.said.count("PING") > 1
    assert ear.heard[0][0] == "btc first"
    assert LIMIT_NS / SECOND < ear.heard[1][1] - ear.heard[0][1] < LIMIT_NS / SECOND + 1
    assert (ear.link.zombies, stage.accepted) == (1, 2)
    assert "silent for 0.3 s on btc" in ear.whys()
    assert [up for up, _ in ear.states[:3]] == [True, False, True]


async def test_one_silent_key_among_talking_ones_is_enough() -> None:
    async def talk(socket: ServerConnection, number: int) -> None:
        while True:
            await socket.send("btc tick")
            if number > 1:
                await socket.send("eth tick")
            await asyncio.sleep(0.02)

    async with staged(talk) as stage:
        ear = ear_at(stage.url, "btc", "eth")
        async with listening(ear):
            await until(lambda: ("eth tick") in [text for text, _ in ear.heard])
    assert ear.link.zombies == 1
    assert "on eth;" in ear.whys()


async def test_a_server_that_closes_at_once_is_not_hammered() -> None:
    """A successful handshake proves nothing: the waits grow on."""

    async def close(socket: ServerConnection, _number: int) -> None:
        await socket.close()

    async with staged(close) as stage:
        ear = ear_at(stage.url)
        async with listening(ear):
            await until(lambda: len(stage.at) == 3)
            begun = stage.at[0]
            await until(lambda: time.monotonic() > begun + 1)
            assert len(stage.at) == 3
    assert "closed" in ear.whys()


async def test_data_for_a_moment_does_not_make_waits_short_and_lasting_data_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def talk(socket: ServerConnection, number: int) -> None:
        await until(lambda: stage.said.count("hello") == number)
        await socket.send("btc tick")
        await (await socket.ping())
        if number == 3:
            for _ in range(20):
                await socket.send("btc tick")
                await asyncio.sleep(0.02)
        await socket.close()

    monkeypatch.setattr(backoff, "PROVEN_AFTER_S", 0.2)
    async with staged(talk) as stage:
        ear = ear_at(stage.url, limit_ns=FOREVER_NS)
        async with listening(ear):
            await until(lambda: ear.link.reconnects == 2)
            assert ear.link.backoff.attempts == 2
            await until(lambda: ear.link.reconnects == 3)
            assert ear.link.backoff.attempts == 1


async def test_retry_after_is_obeyed() -> None:
    def gate(number: int) -> Response | None:
        return answer(429, Retry_After="1") if number == 1 else None

    async with staged(chatter, gate) as stage:
        ear = ear_at(stage.url)
        async with listening(ear):
            await until(lambda: len(ear.heard) > 0)
    assert stage.at[1] - stage.at[0] >= 1
    assert "HTTP status 429; next try in 1.0 s" in ear.whys()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("7", 7),
        ("0.5", 0.5),
        ("-5", 0),
        ("nan", 0),
        ("inf", 300),
        ("86400", 300),
        ("Wed, 25 Nov 2026 10:00:00 GMT", 0),
    ],
)
def test_retry_after_is_bounded(header: str | None, seconds: float) -> None:
    assert connection._retry_after_s(header) == seconds


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (answer(403), "HTTP status 403"),
        (answer(500), "HTTP status 500"),
        (answer(503, Retry_After="soon"), "HTTP status 503"),
        (answer(200), "HTTP status 200"),
        (answer(301, Location="https://127.0.0.1/blocked"), "cannot follow where it leads"),
        (answer(302, Location="http://["), "cannot"),
        (answer(302, Location="/"), "redirects"),
    ],
)
async def test_a_refused_handshake_is_said_and_tried_again(response: Response, why: str) -> None:
    refusals = 1 if "Location" not in response.headers else 12 if response.headers["Location"] == "/" else 1

    def gate(number: int) -> Response | None:
        return response if number <= refusals else None

    async with staged(chatter, gate) as stage:
        ear = ear_at(stage.url)
        async with listening(ear):
            await until(lambda: len(ear.heard) > 0)
    assert why in ear.states[0][1]


async def test_what_is_signed_for_one_host_is_never_shown_to_another() -> None:
    """A redirect elsewhere is not followed: credentials would be sent there."""
    async with staged(chatter) as other:
        elsewhere = answer(302, Location=other.url)
        async with staged(chatter, lambda number: elsewhere if number == 1 else None) as stage:
            ear = ear_at(stage.url)
            ear.link.headers = lambda: {"Authorization": "signed"}
            async with listening(ear):
                await until(lambda: len(ear.heard) > 0)
        assert "leads to another host" in ear.states[0][1]
        assert other.at == []


@pytest.mark.parametrize(("code", "wait_s"), [(4003, 0.4), (1000, 0.0)])
async def test_a_close_code_may_ask_for_a_wait(code: int, wait_s: float) -> None:
    async def close(socket: ServerConnection, number: int) -> None:
        if number == 1:
            await socket.close(code)
        await chatter(socket, number)

    async with staged(close) as stage:
        ear = ear_at(stage.url, cap_s=0.02)
        told: list[int] = []
        ear.link.on_refusal = lambda seen: told.append(seen) or (0.4 if seen == 4003 else 0.0)  # type: ignore[func-returns-value]
        async with listening(ear):
            await until(lambda: len(stage.at) > 1)
    assert told[0] == code
    assert stage.at[1] - stage.at[0] >= wait_s


async def test_a_refusal_for_good_ends_the_loop_and_names_its_cause() -> None:
    def gate(_number: int) -> Response | None:
        return answer(401)

    def refuse(code: int) -> float:
        raise FeedRefused(f"code {code}")

    async with staged(chatter, gate) as stage:
        ear = ear_at(stage.url)
        ear.link.on_refusal = refuse
        with pytest.raises(FeedRefused, match="code 401"):
            async with asyncio.timeout(LIMIT_S):
                await keep_connected(ear.link, SystemClock(), structlog.get_logger())
    assert len(stage.at) <= 1


async def test_the_handshake_carries_headers_made_anew_each_time() -> None:
    seen: list[str | None] = []

    async def talk(socket: ServerConnection, _number: int) -> None:
        assert socket.request is not None
        seen.append(socket.request.headers.get("X-Number"))

    numbers = iter(range(100))
    async with staged(talk) as stage:
        ear = ear_at(stage.url, cap_s=0.02)
        ear.link.headers = lambda: {"X-Number": str(next(numbers))}
        async with listening(ear):
            await until(lambda: len(seen) > 2)
    assert seen[:3] == ["0", "1", "2"]


async def test_a_refused_port_is_said_and_tried_again(free_port: int) -> None:
    ear = ear_at(f"ws://127.0.0.1:{free_port}")
    async with listening(ear):
        await until(lambda: ear.link.reconnects == 2)
        stage = Stage(chatter)
        async with serve(stage.converse, "127.0.0.1", free_port, close_timeout=0.1):
            await until(lambda: len(ear.heard) > 0)
            # Ends the conversation, so that the server can end.
            ear.link.silence.limit_ns = FOREVER_NS
            stage.talk = mute
            assert ear.link.socket is not None
            ear.link.renew()
    assert f"cannot hear 127.0.0.1:{free_port}" in ear.whys()


@pytest.mark.parametrize("first_words", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 101 "])
async def test_no_answer_and_no_http_are_said_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, first_words: bytes
) -> None:
    monkeypatch.setattr(connection, "OPEN_TIMEOUT_S", 0.2)
    writers: list[asyncio.StreamWriter] = []

    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first_words)
        writers.append(writer)

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    ear = ear_at(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
    try:
        async with listening(ear):
            await until(lambda: ear.link.reconnects == 2)
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()
    assert "no answer within 0.2 s" in ear.whys() or "handshake failed" in ear.whys()


async def test_an_oversized_message_costs_the_connection_only() -> None:
    async def talk(socket: ServerConnection, number: int) -> None:
        if number == 1:
            await socket.send("x" * 2000)
            await mute(socket, number)
        await chatter(socket, number)

    async with staged(talk) as stage:
        ear = ear_at(stage.url)
        ear.link.max_bytes = 1000
        async with listening(ear):
            await until(lambda: len(ear.heard) > 0)
    assert "1009" in ear.whys()
    assert ear.heard[0][0] == "btc tick"


async def test_a_connection_that_breaks_is_made_anew() -> None:
    async def talk(socket: ServerConnection, number: int) -> None:
        await socket.send(f"btc {number}")
        if number == 1:
            socket.transport.abort()
        await mute(socket, number)

    async with staged(talk) as stage:
        ear = ear_at(stage.url, limit_ns=FOREVER_NS)
        async with listening(ear):
            await until(lambda: [text for text, _ in ear.heard][-1:] == ["btc 2"])
            ear.link.renew()
            await until(lambda: [text for text, _ in ear.heard][-1:] == ["btc 3"])
    assert stage.accepted == 3
    assert "hello" in stage.said


async def test_connected_but_mute_for_long_is_stale_data() -> None:
    async with staged(mute) as stage:
        ear = ear_at(stage.url, limit_ns=100_000_000, dead_ns=700_000_000)
        begun = time.monotonic()
        with pytest.raises(DataStale, match="brought no watched data") as stale:
            async with asyncio.timeout(LIMIT_S):
                await keep_connected(ear.link, SystemClock(), structlog.get_logger())
        assert time.monotonic() - begun > 0.7
        assert stage.accepted > 1
        assert stale.value.exit_code == 75


async def test_data_that_comes_now_and_then_is_not_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection brings something before it falls silent: the process stays."""

    async def talk(socket: ServerConnection, number: int) -> None:
        await socket.send("btc tick")
        await mute(socket, number)

    async with staged(talk) as stage:
        ear = ear_at(stage.url, limit_ns=50_000_000, dead_ns=100_000_000, cap_s=0.02)
        async with listening(ear):
            await until(lambda: ear.link.zombies > 6)


async def test_data_nobody_watches_is_no_sign_of_life() -> None:
    async def talk(socket: ServerConnection, _number: int) -> None:
        while True:
            await socket.send("doge tick")
            await asyncio.sleep(0.02)

    async with staged(talk) as stage:
        ear = ear_at(stage.url, limit_ns=100_000_000, dead_ns=300_000_000)
        with pytest.raises(DataStale):
            async with asyncio.timeout(LIMIT_S):
                await keep_connected(ear.link, SystemClock(), structlog.get_logger())


async def test_nothing_watched_is_never_stale_and_never_a_zombie() -> None:
    async def close(socket: ServerConnection, _number: int) -> None:
        await socket.close()

    async with staged(close) as stage:
        ear = ear_at(stage.url, limit_ns=10_000_000, dead_ns=50_000_000, cap_s=0.02)
        ear.link.silence.expect((), 0)
        async with listening(ear):
            await until(lambda: len(stage.at) > 10)
    assert ear.link.zombies == 0


async def test_a_remote_that_cannot_be_reached_is_never_stale_data(free_port: int) -> None:
    ear = ear_at(f"ws://127.0.0.1:{free_port}", limit_ns=10_000_000, dead_ns=50_000_000, cap_s=0.02)
    async with listening(ear):
        await until(lambda: ear.link.reconnects > 20)
    assert not any(up for up, _ in ear.states)


async def test_a_bug_in_the_reader_of_frames_comes_out_and_leaves_no_task() -> None:
    async with staged(chatter) as stage:
        ear = ear_at(stage.url)

        def fail(*_: object) -> None:
            raise KeyError("lost")

        ear.link.on_frame = fail
        before = asyncio.all_tasks()
        with pytest.raises(KeyError):
            async with asyncio.timeout(LIMIT_S):
                await keep_connected(ear.link, SystemClock(), structlog.get_logger())
        names = [str(task.get_coro()) for task in asyncio.all_tasks() - before]
        assert not [name for name in names if "_ping" in name or "_read" in name]


async def test_it_can_be_cancelled_while_connected_and_while_waiting(free_port: int) -> None:
    async with staged(mute) as stage:
        connected = ear_at(stage.url, limit_ns=FOREVER_NS)
        task = asyncio.ensure_future(keep_connected(connected.link, SystemClock(), structlog.get_logger()))
        await until(lambda: "PING" in stage.said)
        await _cancelled_soon(task)
    waiting = ear_at(f"ws://127.0.0.1:{free_port}")
    task = asyncio.ensure_future(keep_connected(waiting.link, SystemClock(), structlog.get_logger()))
    await until(lambda: waiting.link.reconnects == 2)
    await _cancelled_soon(task)


async def _cancelled_soon(task: "asyncio.Task[None]") -> None:
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - begun < 1.5


def test_silence_counts_from_when_a_key_was_expected() -> None:
    silence = Silence(limit_ns=10, dead_ns=100)
    silence.expect(("a", "b"), 0)
    silence.heard("a", 5)
    silence.heard("stranger", 50)
    assert silence.last_any_ns == 5
    assert silence.overdue(10) == []
    assert silence.overdue(11) == ["b"]
    silence.expect(("a", "c"), 12)
    assert silence.overdue(15) == []
    assert silence.overdue(16) == ["a"]
    assert silence.overdue(23) == ["a", "c"]
    silence.restart(23)
    assert silence.overdue(33) == []
    assert silence.last_any_ns == 5


def test_credentials_in_an_address_are_never_shown() -> None:
    assert shown_host("wss://me:pass@host.example:99/path") == "host.example:99"
