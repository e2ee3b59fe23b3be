"""One request, one connection, once: whatever the other end does, the line knows what is certain."""

import asyncio
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from common.runtime.clock import Clock, ManualClock, SystemClock
from common.units import SECOND
from common.venue.clob import order_line
from common.venue.clob.order_line import Answer, NoAnswer, NotSent, OrderLine, Outcome

HEAD = b"POST /order HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
BODY = b"body"
RESET = struct.pack("ii", 1, 0)
"""To linger for no time: closing resets."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Y: z\r\n\r\n{}"

T = TypeVar("T")
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
        self.serving = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        self.serving += 1
        try:
            await self.script(self, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.serving -= 1
            writer.close()

    async def order(self, reader: asyncio.StreamReader) -> None:
        """Read one whole request."""
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /time"):
            self.warmers += 1
            return
        assert await reader.readexactly(4) == BODY
        self.orders += 1

    async def stop(self) -> None:
        self.release.set()
        for writer in self.writers:
            writer.transport.abort()
        await until(lambda: self.serving == 0)


@asynccontextmanager
async def alongside(work: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """A task that is ended when the block is."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield task
        finally:
            task.cancel()


@asynccontextmanager
async def line_to(
    script: Script,
    *,
    size: int = 2,
    answer_s: float = 0.5,
    ready: bool = True,
    clock: Clock | None = None,
    server_tls: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[OrderLine, Server]]:
    server = Server(script)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=server_tls)
    port = listening.sockets[0].getsockname()[1]
    scheme = "https" if server_tls else "http"
    line = OrderLine(
        f"{scheme}://127.0.0.1:{port}",
        clock or SystemClock(),
        user_agent="t",
        size=size,
        answer_s=answer_s,
    )
    async with alongside(line.run()) as running:
        if ready:
            await until(lambda: line.state().idle == size)
        try:
            yield line, server
        finally:
            assert not running.done()  # nothing the other end does may end it
            running.cancel()
            await asyncio.wait((running,))
            listening.close()
            await server.stop()
    assert line.state().busy == 0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


def answering(*pieces: bytes, then_close: bool = False) -> Script:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.order(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.002)
            if then_close:
                return

    return script


async def silent(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not server.release.is_set():
        await server.order(reader)


async def slamming(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def send(line: OrderLine) -> Outcome:
    return await line.send(HEAD, BODY)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due is done almost at once."""
    monkeypatch.setattr(order_line, "LOOK_EVERY_S", 0.01)


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
            assert (answer.status, answer.body, answer.headers["x-y"]) == (200, b"{}", "z")
        assert (server.orders, server.connections) == (3, 1)
        assert line.state() == (1, 0, 1, 0)


async def test_an_answer_that_ends_with_the_connection_is_complete() -> None:
    script = answering(b"HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\nno", then_close=True)
    async with line_to(script) as (line, server):
        assert await send(line) == Answer(400, {"connection": "close"}, b"no")
        assert server.orders == 1


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    there = b"HTTP/1.1 307 Go\r\nLocation: /order\r\nContent-Length: 0\r\n\r\n"
    async with line_to(answering(there)) as (line, server):
        answer = await send(line)
        assert isinstance(answer, Answer)
        assert (answer.status, server.orders) == (307, 1)


async def test_a_connection_the_venue_will_close_is_not_used_again() -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    async with line_to(answering(closing), size=1) as (line, server):
        for _ in range(2):
            assert isinstance(await send(line), Answer)
        assert server.orders == 2
        assert server.connections >= 2


async def test_two_answers_to_one_request_end_the_connection() -> None:
    async with line_to(answering(OK + OK), size=1) as (line, server):
        assert isinstance(await send(line), Answer)
        await until(lambda: line.state().lost == 1 and line.state().idle == 1)
        assert server.connections == 2


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (silent, "no answer within 0.5 s"),
        (
            answering(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", then_close=True),
            "closed the connection",
        ),
        (answering(b"HTTP/1.1 200", then_close=True), "closed the connection"),
        (answering(b"", then_close=True), "closed the connection"),
        (answering(b"garbage garbage\r\n\r\n", then_close=True), "no HTTP"),
        (answering(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000), "no HTTP"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n", b"x" * 1_500_000), "1 MiB"),
        (answering(OK[:20], b"", b""), "no answer within 0.5 s"),
    ],
)
async def test_anything_less_is_no_answer_and_is_not_repeated(script: Script, said: str) -> None:
    async with line_to(script) as (line, server):
        found = await send(line)
        assert isinstance(found, NoAnswer)
        assert said in found.text
        assert line.state().busy == 0
        await until(lambda: line.state().idle == 2)
        assert server.orders == 1


@pytest.mark.parametrize("read", [0, 5, len(HEAD + BODY)])
async def test_a_reset_is_no_answer_however_much_was_read(read: int) -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(max(read, 1))
        server.orders += read == len(HEAD + BODY)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()

    async with line_to(script, answer_s=60) as (line, server):
        found = await send(line)
        assert isinstance(found, NoAnswer)
        assert "lost before the answer" in found.text
        await until(lambda: line.state().idle == 2)
        assert server.orders == (read == len(HEAD + BODY))


async def test_nobody_there_is_not_sent(free_port: int) -> None:
    line = OrderLine(f"http://127.0.0.1:{free_port}", SystemClock(), user_agent="t")
    found = await send(line)
    assert isinstance(found, NotSent)
    assert "127.0.0.1" in found.text


async def test_a_venue_that_drops_each_connection_gets_no_order_and_leaves_no_corpse() -> None:
    async with line_to(slamming, size=8, ready=False) as (line, server):
        for _ in range(20):
            assert not isinstance(await send(line), Answer)
        assert server.orders == 0
        await until(lambda: line.state()[:2] == (0, 0))


@pytest.mark.parametrize("after_s", [0, 0.001])
async def test_a_venue_that_drops_each_connection_is_not_called_without_end(
    after_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(after_s)
        writer.transport.abort()

    monkeypatch.setattr(order_line, "FIRST_PAUSE_S", 0.001)
    async with line_to(script, size=200, ready=False) as (_, server):
        await until(lambda: server.connections >= 4)
        await asyncio.sleep(0.3)
        assert server.connections < 80  # rounds of a few each, after 1, 2, 4, ... ms


async def test_a_connection_that_ends_as_it_begins_gets_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = order_line._Line.connection_made

        def ended_at_once(line: order_line._Line, transport: asyncio.BaseTransport) -> None:
            made(line, transport)
            there, _ = listening.accept()
            there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            there.close()

        monkeypatch.setattr(order_line._Line, "connection_made", ended_at_once)
        port = listening.getsockname()[1]
        line = OrderLine(f"http://127.0.0.1:{port}", SystemClock(), user_agent="t")
        found = await send(line)
        assert isinstance(found, NotSent)
        assert "closed as soon as it was open" in found.text
        assert line.state() == (0, 0, 0, 0)


async def test_a_connection_that_served_is_replaced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_line, "FIRST_PAUSE_S", 60)
    async with line_to(answering(OK), size=1) as (line, server):
        assert isinstance(await send(line), Answer)
        server.writers[0].transport.abort()
        await until(lambda: line.state() == (1, 0, 2, 1))


async def test_a_connection_that_is_not_ready_in_time_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with line_to(answering(OK), size=1) as (_, server):
        port = server.writers[0].get_extra_info("sockname")[1]
        monkeypatch.setattr(order_line._Line, "ready", lambda _: False)
        other = OrderLine(f"http://127.0.0.1:{port}", SystemClock(), user_agent="t")
        assert isinstance(await other.send(HEAD, BODY, open_s=0.05), NotSent)
        assert server.connections == 2
        await until(lambda: server.serving == 1)
        assert server.orders == 0


async def test_nothing_stays_open_when_the_line_is_ended() -> None:
    async with line_to(answering(OK), size=1) as (_, server):
        port = server.writers[0].get_extra_info("sockname")[1]
        other = OrderLine(f"http://127.0.0.1:{port}", SystemClock(), user_agent="t", size=3)
        async with alongside(other.run()):
            await until(lambda: other.state().idle == 3 and server.serving == 4)
        await until(lambda: server.serving == 1)


async def test_no_connection_in_time_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        line = OrderLine(f"http://127.0.0.1:{port}", SystemClock(), user_agent="t")
        began = asyncio.get_running_loop().time()
        found = await line.send(HEAD, BODY, open_s=0.1)
        assert isinstance(found, NotSent)
        assert asyncio.get_running_loop().time() - began < 2
        for each in waiting:
            each.close()


async def test_an_address_that_swallows_packets_does_not_keep_the_next_one_from_being_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with line_to(answering(OK), size=1) as (_, server):
        port = server.writers[0].get_extra_info("sockname")[1]
        with socket.create_server(("127.0.0.2", port), backlog=0):
            waiting = [socket.socket() for _ in range(3)]
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(("127.0.0.2", port))

            async def both(*_args: object, **_more: object) -> list[object]:
                found = socket.AF_INET, socket.SOCK_STREAM, 6, ""
                return [(*found, ("127.0.0.2", port)), (*found, ("127.0.0.1", port))]

            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
            line = OrderLine(f"http://venue.example:{port}", SystemClock(), user_agent="t")
            assert isinstance(await line.send(HEAD, BODY, open_s=2), Answer)
            assert server.orders == 1
            for each in waiting:
                each.close()


async def test_a_connection_closed_while_idle_is_replaced() -> None:
    async with line_to(answering(OK), size=2) as (line, server):
        for writer in list(server.writers):
            writer.transport.abort()
        await until(lambda: line.state().opened >= 4 and line.state().idle == 2)
        assert isinstance(await send(line), Answer)
        assert server.orders == 1
        assert line.state().lost == 2


@asynccontextmanager
async def line_to_sockets(size: int) -> AsyncIterator[tuple[OrderLine, list[socket.socket]]]:
    """A line and the bare other ends of its connections, which act without a turn of the loop."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        port = listening.getsockname()[1]
        line = OrderLine(f"http://127.0.0.1:{port}", SystemClock(), user_agent="t", size=size)
        async with alongside(line.run()):
            loop = asyncio.get_running_loop()
            ends = [(await loop.sock_accept(listening))[0] for _ in range(size)]
            await until(lambda: line.state().idle == size)
            try:
                yield line, ends
            finally:
                for each in ends:
                    each.close()


@pytest.mark.parametrize("how", ["closed", "reset", "spoken to"])
async def test_what_only_the_kernel_knows_of_a_connection_counts(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_line, "FIRST_PAUSE_S", 60)  # no other connection is begun meanwhile
    async with line_to_sockets(2) as (line, (first, second)):
        if how == "spoken to":
            first.sendall(OK)
        else:
            if how == "reset":
                first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            first.close()
        # The loop has had no turn since: its first is that of the order.
        async with alongside(send(line)) as sending:
            loop = asyncio.get_running_loop()
            request = b""
            while len(request) < len(HEAD + BODY):
                request += await loop.sock_recv(second, 4096)
            assert request == HEAD + BODY
            await loop.sock_sendall(second, OK)
            assert isinstance(await sending, Answer)


async def test_the_bytes_leave_in_the_turn_of_the_caller() -> None:
    async with line_to_sockets(1) as (line, (there,)), alongside(send(line)) as sending:
        seen: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def look() -> None:
            try:
                seen.set_result(there.recv(4096, socket.MSG_DONTWAIT))
            except BlockingIOError:
                seen.set_result(b"")

        asyncio.get_running_loop().call_soon(look)  # right after the first step of the sending
        assert await seen == HEAD + BODY
        there.sendall(OK)
        assert isinstance(await sending, Answer)


async def test_two_at_once_take_two_connections_and_a_third_opens_its_own() -> None:
    async with line_to(silent, size=2) as (line, server):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(send(line)) for _ in range(3)]
            await until(lambda: server.orders == 3)
            assert line.state()[:3] == (0, 3, 3)
        assert all(isinstance(task.result(), NoAnswer) for task in tasks)
        assert server.orders == 3


@pytest.mark.usefixtures("impatient")
async def test_the_pool_shrinks_to_its_size_again() -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            warmers = server.warmers
            await server.order(reader)
            if server.warmers == warmers:
                await server.release.wait()
            writer.write(OK)

    async with line_to(script, size=2, answer_s=5) as (line, server):
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(send(line))
            await until(lambda: server.orders == 4)
            server.release.set()
        await until(lambda: sum(line.state()[:2]) == 2)
        assert line.state().opened == 4


async def test_who_gives_up_leaves_a_closed_connection() -> None:
    async with line_to(silent, size=1, answer_s=30) as (line, server):
        async with alongside(send(line)):
            await until(lambda: server.orders == 1)
        await until(lambda: line.state().lost == 1 and line.state().idle == 1)
        assert server.orders == 1


async def test_an_unasked_word_ends_the_connection() -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = server.connections == 1
        if first:
            await server.release.wait()
            writer.write(OK)
        await server.order(reader)

    async with line_to(script, size=1) as (line, server):
        server.release.set()
        await until(lambda: line.state().lost == 1 and line.state().idle == 1)
        assert server.connections == 2


@pytest.mark.usefixtures("impatient")
async def test_idle_connections_are_kept_warm() -> None:
    clock = ManualClock()
    async with line_to(answering(OK), size=2, clock=clock) as (line, server):
        for warmers in (2, 4, 6):
            await asyncio.sleep(0.03)  # looks at which nothing is due
            assert server.warmers == warmers - 2
            clock.advance(16 * SECOND)
            await until(lambda want=warmers: server.warmers == want)
        await until(lambda: line.state().idle == 2)
        assert isinstance(await send(line), Answer)
        assert server.connections == 2


@pytest.mark.usefixtures("impatient")
async def test_half_of_the_connections_are_at_rest_while_the_others_are_warmed() -> None:
    async def script(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.order(reader)
        await server.release.wait()
        writer.write(OK)
        await answering(OK)(server, reader, writer)

    clock = ManualClock()
    async with line_to(script, size=8, answer_s=60, clock=clock) as (line, server):
        clock.advance(16 * SECOND)
        await until(lambda: server.warmers == 4)
        await asyncio.sleep(0.05)  # more looks, at which nothing more may happen
        assert (server.warmers, *line.state()) == (4, 4, 4, 8, 0)
        server.release.set()
        await until(lambda: server.warmers == 8)


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_does_not_answer_the_warmer_is_made_anew() -> None:
    clock = ManualClock()
    async with line_to(silent, size=1, answer_s=10, clock=clock) as (line, server):
        clock.advance(16 * SECOND)
        await until(lambda: server.warmers == 1)
        clock.advance(10 * SECOND)
        await asyncio.sleep(0.03)
        assert line.state().lost == 0
        clock.advance(2 * SECOND)
        await until(lambda: line.state() == (1, 0, 2, 1))
        assert server.orders == 0


@pytest.mark.usefixtures("impatient")
async def test_connections_are_kept_warm_while_another_cannot_be_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = ManualClock()
    async with line_to(answering(OK), size=2, clock=clock) as (line, server):

        async def hanging(*_args: object, **_more: object) -> None:
            await server.release.wait()

        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", hanging)
        server.writers[0].transport.abort()
        await until(lambda: line.state().idle == 1)
        for warmers in (1, 2):
            clock.advance(16 * SECOND)
            await until(lambda want=warmers: server.warmers == want)
        assert server.connections == 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of our own for 127.0.0.1, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    made = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(made[1])]
    command = ["openssl", "req", "-x509", "-days", "2", *subject, *key, "-out", str(made[0])]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return made


@pytest.fixture
def server_tls(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server needs, with the certificate among those the system trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def test_tls_carries_orders_and_its_end_is_noticed(server_tls: ssl.SSLContext) -> None:
    async with line_to(answering(OK), size=2, server_tls=server_tls) as (line, server):
        for _ in range(3):
            assert isinstance(await send(line), Answer)
        assert (server.orders, server.connections, line.state().lost) == (3, 2, 0)
        for writer in list(server.writers):
            writer.close()
        await until(lambda: line.state().lost == 2 and line.state().idle == 2)
        assert isinstance(await send(line), Answer)
        assert server.orders == 4


async def test_a_tls_connection_that_is_ending_takes_no_order(server_tls: ssl.SSLContext) -> None:
    async with line_to(answering(OK), size=2, server_tls=server_tls) as (line, server):
        for _ in range(3):
            server.writers[0].close()
            while line.state().lost == 0:
                # Whatever turn of the loop it is in, the order goes over the other one.
                assert isinstance(await send(line), Answer)
        assert server.orders >= 1


@pytest.mark.parametrize(
    "script",
    [
        answering(b"", then_close=True),
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", then_close=True),
        answering(b"garbage garbage\r\n\r\n"),
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n", b"x" * 1_500_000),
    ],
)
async def test_less_than_an_answer_is_no_answer_over_tls_too(
    script: Script, server_tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    async with line_to(script, server_tls=server_tls) as (line, server):
        assert isinstance(await send(line), NoAnswer)
        await until(lambda: line.state().idle == 2)
        assert server.orders == 1
    assert [each.getMessage() for each in caplog.records if "Fatal" in each.getMessage()] == []


async def test_a_certificate_nobody_vouches_for_is_not_sent(
    server_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    async with line_to(answering(OK), ready=False, server_tls=server_tls) as (line, server):
        found = await send(line)
        assert isinstance(found, NotSent)
        assert "certificate" in found.text.lower()
        assert server.orders == 0
