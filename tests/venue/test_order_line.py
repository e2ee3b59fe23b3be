"""One request, one connection, once: whatever the other end does, the line knows what is certain."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from common.runtime.clock import SystemClock
from common.venue.clob.order_line import Answer, NoAnswer, NotSent, OrderLine, Outcome

HEAD = b"POST /order HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
BODY = b"body"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Y: z\r\n\r\n{}"

Script = Callable[["Server", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A venue of one trick, which counts every whole request it has read."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.orders = 0
        self.warmers = 0
        self.connections = 0
        self.release = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            await self.script(self, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def order(self, reader: asyncio.StreamReader) -> None:
        """Read one whole request."""
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /time"):
            self.warmers += 1
            return
        assert await reader.readexactly(4) == BODY
        self.orders += 1


@asynccontextmanager
async def line_to(
    script: Script, *, size: int = 2, answer_s: float = 0.5
) -> AsyncIterator[tuple[OrderLine, Server]]:
    server = Server(script)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    line = OrderLine(f"http://127.0.0.1:{port}", SystemClock(), user_agent="t", size=size, answer_s=answer_s)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(line.run())
        await until(lambda: line.idle == size)
        yield line, server
        server.release.set()
        running.cancel()
    listening.close()
    for writer in server.writers:
        writer.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


def answering(*pieces: bytes, then_close: bool = False) -> Script:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.order(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.005)
            if then_close:
                return

    return script


async def silent(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await server.order(reader)
    await server.release.wait()


async def send(line: OrderLine) -> Outcome:
    return await line.send(HEAD, BODY)


@pytest.mark.parametrize(
    "pieces",
    [
        (OK,),
        tuple(OK[i : i + 7] for i in range(0, len(OK), 7)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Y: z\r\n\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", OK),
    ],
)
async def test_an_answer_comes_back_whole_and_the_connection_is_used_again(pieces: tuple[bytes, ...]) -> None:
    async with line_to(answering(*pieces), size=1) as (line, server):
        for _ in range(3):
            answer = await send(line)
            assert isinstance(answer, Answer)
            assert (answer.status, answer.body) == (200, b"{}")
            assert {name.lower(): value for name, value in answer.headers.items()}["x-y"] == "z"
        assert (server.orders, server.connections) == (3, 1)


async def test_an_answer_that_ends_with_the_connection_is_complete() -> None:
    script = answering(b"HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\nno", then_close=True)
    async with line_to(script) as (line, server):
        assert await send(line) == Answer(400, {"connection": "close"}, b"no")
        assert server.orders == 1


@pytest.mark.parametrize(
    "script",
    [
        silent,
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", then_close=True),
        answering(b"HTTP/1.1 200", then_close=True),
        answering(b"", then_close=True),
        answering(b"garbage garbage\r\n\r\n", then_close=True),
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n", b"x" * 1_500_000),
    ],
)
async def test_anything_less_is_no_answer_and_is_not_repeated(script: Script) -> None:
    async with line_to(script) as (line, server):
        found = await send(line)
        assert isinstance(found, NoAnswer)
        assert found.text
        await until(lambda: line.idle == 2)
        assert server.orders == 1


async def test_a_reset_before_the_request_was_read_is_no_answer() -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(5)
        writer.transport.abort()

    async with line_to(script) as (line, server):
        assert isinstance(await send(line), NoAnswer)
        assert server.orders == 0


async def test_nobody_there_is_not_sent() -> None:
    line = OrderLine("http://127.0.0.1:9", SystemClock(), user_agent="t")
    found = await send(line)
    assert isinstance(found, NotSent)
    assert "127.0.0.1" in found.text


async def test_a_connection_closed_while_idle_is_not_used() -> None:
    async with line_to(answering(OK), size=2) as (line, server):
        opened = line.opened
        for writer in list(server.writers):
            writer.transport.abort()
        await until(lambda: line.opened >= opened + 2 and line.idle == 2)
        assert isinstance(await send(line), Answer)
        assert server.orders == 1
        assert line.lost == 2


async def test_two_at_once_take_two_connections_and_a_third_opens_its_own() -> None:
    async with line_to(silent, size=2) as (line, server):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(send(line)) for _ in range(3)]
            await until(lambda: server.orders == 3)
            assert line.idle == 0
            server.release.set()
        assert all(isinstance(task.result(), NoAnswer) for task in tasks)
        assert server.orders == 3


async def test_who_gives_up_leaves_a_closed_connection() -> None:
    async with line_to(silent, size=1, answer_s=30) as (line, server):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(send(line))
            await until(lambda: server.orders == 1)
            task.cancel()
        await until(lambda: line.lost == 1 and line.idle == 1)
        assert server.orders == 1


async def test_an_unasked_word_ends_the_connection() -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if server.connections == 1:
            writer.write(OK)
        await server.order(reader)

    async with line_to(script, size=1) as (line, _server):
        await until(lambda: line.lost == 1 and line.idle == 1)


async def test_idle_connections_are_kept_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.venue.clob.order_line.WARM_EVERY_S", 0.05)
    async with line_to(answering(OK), size=2) as (line, server):
        await until(lambda: server.warmers >= 4)
        assert isinstance(await send(line), Answer)
        assert server.connections == 2


async def test_a_connection_that_does_not_answer_the_warmer_is_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("common.venue.clob.order_line.WARM_EVERY_S", 0.05)
    async with line_to(silent, size=1, answer_s=0.1) as (line, server):
        await until(lambda: line.lost >= 1)
        assert server.orders == 0
