"""Frames cut from the wire: heard at once where that is safe, and never other than the library hears them."""

import asyncio
import shutil
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection, serve
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from common.errors import FeedRefused
from common.feeds.connection import Link, Silence, keep_connected
from common.feeds.made_up_wire import made_up_wire
from common.feeds.prompt_connection import PromptConnection
from common.runtime.clock import SystemClock
from common.units import SECOND

MOST = 70_000


class Pipe(asyncio.Transport):
    """A transport whose other end is the test."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.connection: ClientConnection | None = None

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def abort(self) -> None:
        if self.connection is not None:
            self.connection.connection_lost(None)
            self.connection = None

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.abort()

    def is_closing(self) -> bool:
        return self.connection is None

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def connected(kind: type[ClientConnection]) -> tuple[ClientConnection, Pipe]:
    pipe = Pipe()
    protocol = ClientProtocol(parse_uri("ws://127.0.0.1"), state=State.OPEN, max_size=MOST)
    # Never paused: the pieces of this test do not wait.
    socket = kind(protocol, max_queue=None, close_timeout=0.01)
    socket.connection_made(pipe)
    pipe.connection = socket
    socket.response = Response(101, "", Headers())
    return socket, pipe


def on_wire(opcode: Opcode, data: bytes, *, fin: bool = True, rsv1: bool = False) -> bytes:
    plain = Frame(opcode, data, fin).serialize(mask=False)
    return bytes((plain[0] | (0x40 if rsv1 else 0),)) + plain[1:]


def said(pipe: Pipe) -> list[tuple[Opcode, bytes]]:
    """Our frames, without the mask, which is random."""
    found = []
    for piece in pipe.written:
        server = ServerProtocol(state=State.OPEN)
        server.receive_data(piece)
        found += [
            (event.opcode, bytes(event.data))
            for event in server.events_received()
            if isinstance(event, Frame)
        ]
    return found


async def heard_by(
    kind: type[ClientConnection], chunks: list[bytes], turns: list[bool]
) -> tuple[list[str | bytes], list[tuple[Opcode, bytes]], str]:
    """What a connection makes of these bytes, read in these pieces, the loop turning after some."""
    socket, pipe = connected(kind)
    heard: list[str | bytes] = []

    def hear(message: str | bytes) -> None:
        heard.append(message)

    async def read() -> str:
        if isinstance(socket, PromptConnection):
            socket.hear = hear
        try:
            async for message in socket:
                hear(message)
        except ConnectionClosed as closed:
            return f"{closed.rcvd} {closed.sent}"
        return "closed"

    if isinstance(socket, PromptConnection):
        socket.cutting = True
    reader = asyncio.ensure_future(read())
    for chunk, turn in zip([*chunks, b""], [*turns, True], strict=True):
        if chunk and pipe.connection is not None:
            socket.data_received(chunk)
        for _ in range(3 if turn else 0):
            await asyncio.sleep(0)
    pipe.abort()
    end = await reader
    return heard, said(pipe), end


UNMASKED = bytes((0x81, 0x84, 0, 0, 0, 0, 0, 0, 0, 1, 65))
"""A masked frame, which no server may send, that reads as one byte to whoever forgets masks."""
PAYLOAD = st.one_of(
    st.text(max_size=20).map(str.encode),
    st.sampled_from([b"", b"x" * 125, b"x" * 126, b"y" * 127, b"z" * 65_535, b"z" * 65_536, b"z" * MOST]),
)
WHOLE = PAYLOAD.map(lambda data: on_wire(Opcode.TEXT, data))
HARMLESS = st.one_of(
    WHOLE,
    WHOLE,
    PAYLOAD.map(lambda data: on_wire(Opcode.BINARY, data)),
    st.tuples(st.text(max_size=9), st.text(max_size=9)).map(
        lambda texts: (
            on_wire(Opcode.TEXT, texts[0].encode(), fin=False)
            + on_wire(Opcode.PING, b"between")
            + on_wire(Opcode.CONT, texts[1].encode())
        )
    ),
    st.binary(max_size=9).map(lambda data: on_wire(Opcode.PING, data)),
    st.binary(max_size=9).map(lambda data: on_wire(Opcode.PONG, data)),
)
HARMFUL = st.sampled_from(
    [
        on_wire(Opcode.TEXT, b"\xff\xfe"),
        on_wire(Opcode.TEXT, b"x" * (MOST + 1)),
        on_wire(Opcode.TEXT, b"x", rsv1=True),
        on_wire(Opcode.TEXT, b"begun", fin=False) + on_wire(Opcode.TEXT, b"another"),
        on_wire(Opcode.TEXT, b"x" * MOST, fin=False) + on_wire(Opcode.CONT, b"more"),
        on_wire(Opcode.CONT, b"of nothing"),
        Frame(Opcode.TEXT, b"masked").serialize(mask=True),
        on_wire(Opcode.CLOSE, Close(4003, "later").serialize()),
        on_wire(Opcode.CLOSE, b""),
        on_wire(Opcode.CLOSE, b"\x00"),
        bytes((0x81, 127)) + (2**40).to_bytes(8, "big"),
        bytes((0x83, 1, 65)),
        UNMASKED,
    ]
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[bytes], list[bool]]:
    frames = draw(st.lists(HARMLESS, max_size=8))
    if draw(st.booleans()):
        frames += [draw(HARMFUL), *draw(st.lists(WHOLE, max_size=2))]
    stream = b"".join(frames)
    edges = [sum(map(len, frames[:number])) for number in range(len(frames) + 1)]
    near = [edge + off for edge in edges for off in (-1, 0, 1, 2, 3, 4, 9) if 0 <= edge + off <= len(stream)]
    cuts = sorted({0, len(stream), *draw(st.lists(st.sampled_from(near), max_size=8))})
    chunks = [stream[one:other] for one, other in pairwise(cuts)]
    turns = draw(st.lists(st.booleans(), min_size=len(chunks), max_size=len(chunks)))
    return chunks, turns


@settings(max_examples=300, deadline=None)
@given(streams())
@example(([on_wire(Opcode.BINARY, b"first") + on_wire(Opcode.TEXT, b"second")], [False]))
@example(
    (
        [on_wire(Opcode.TEXT, b"a", fin=False), on_wire(Opcode.CONT, b"b") + on_wire(Opcode.TEXT, b"c")],
        [True, True],
    )
)
@example(([on_wire(Opcode.TEXT, b"begun", fin=False), on_wire(Opcode.TEXT, b"another")], [True, True]))
@example(([UNMASKED], [True]))
@example(([on_wire(Opcode.TEXT, b"\xff") + on_wire(Opcode.TEXT, b"never heard")], [True]))
@example(([on_wire(Opcode.CLOSE, b"") + on_wire(Opcode.TEXT, b"never heard")], [True]))
def test_it_hears_and_says_what_the_library_does(stream: tuple[list[bytes], list[bool]]) -> None:
    assert asyncio.run(heard_by(PromptConnection, *stream)) == asyncio.run(
        heard_by(ClientConnection, *stream)
    )


async def test_a_whole_text_message_is_heard_before_the_callback_that_read_it_returns() -> None:
    link = a_link()
    bring = made_up_wire(link, SystemClock())
    heard: list[tuple[str | bytes, int, int]] = []
    link.on_frame = lambda *frame: heard.append(frame)
    bring("one")
    bring("x" * 70_000)
    assert [frame for frame, _, _ in heard] == ["one", "x" * 70_000]
    assert abs(heard[0][1] - time.time_ns()) < SECOND
    assert abs(heard[0][2] - time.monotonic_ns()) < SECOND


async def test_a_made_up_frame_that_cannot_be_taken_raises() -> None:
    link = a_link()
    link.on_frame = fail
    with pytest.raises(KeyError):
        made_up_wire(link, SystemClock())("one")


def fail(*_: object) -> None:
    raise KeyError("lost")


def a_link(url: str = "") -> Link:
    silence = Silence(3600 * SECOND, 3600 * SECOND)
    return Link(url, lambda: ["hello"], lambda *_: None, silence, ping="")


# --- from the handshake on, over a real socket -------------------------------------------------------


@dataclass
class Server:
    """A server that writes its answer and what follows in pieces of its own choosing."""

    pieces: list[bytes]
    """``ANSWER`` in them stands for the answer to the handshake."""
    url: str = ""
    asked: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = ServerProtocol()
        protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        (request,) = protocol.events_received()
        protocol.send_response(protocol.accept(request))  # type: ignore[arg-type]
        answer = b"".join(protocol.data_to_send())
        for piece in self.pieces:
            writer.write(piece.replace(b"ANSWER-", answer[:20]).replace(b"-REST", answer[20:]))
            await writer.drain()
            await asyncio.sleep(0.02)
        while data := await reader.read(1000):
            self.asked.append(data)
        writer.close()


@pytest.mark.parametrize(
    "pieces",
    [
        [b"ANSWER--REST", b"ONE", b"TWO", b"BOTH"],
        [b"ANSWER--RESTONE", b"TWO", b"BOTH"],
        [b"ANSWER--RESTONETWOBOTH"],
        [b"ANSWER-", b"-REST", b"ONETWO", b"BOTH"],
        [b"ANSWER-", b"-RESTONE", b"TWOBOTH"],
        [b"ANSWER--RESTON", b"ETWOBO", b"TH"],
        [b"ANSWER--REST", b"ON", b"ETWOBO", b"TH"],
        [b"ANSWER--RESTHEAD", b"TAIL", b"TWO", b"BOTH"],
    ],
)
async def test_nothing_is_lost_around_the_handshake(pieces: list[bytes]) -> None:
    """What comes with the answer, a piece of a frame included, is heard after we greeted, in order."""
    stream = b"|".join(pieces)
    frames = {
        "one": on_wire(Opcode.TEXT, b"one\r\n\r\none"),
        "two": on_wire(Opcode.TEXT, b"two"),
        "both": on_wire(Opcode.TEXT, b"both"),
    }
    stream = stream.replace(b"HEAD", frames["one"][:-3]).replace(b"TAIL", frames["one"][-3:])
    for name, frame in frames.items():
        letters = name.upper().encode()
        # A cut inside a word cuts the frame after as many bytes.
        for cut in range(1, len(letters)):
            stream = stream.replace(letters[:cut] + b"|" + letters[cut:], frame[:cut] + b"|" + frame[cut:])
        stream = stream.replace(letters, frame)
    server = Server(stream.split(b"|"))
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    link = a_link(f"ws://127.0.0.1:{port}")
    heard: list[str | bytes] = []
    ups: list[int] = []
    link.on_state = lambda up, _text: ups.append(len(heard)) if up else None
    link.on_frame = lambda frame, _wall_ns, _mono_ns: heard.append(frame)
    running = asyncio.ensure_future(keep_connected(link, SystemClock(), structlog.get_logger()))
    try:
        async with asyncio.timeout(10):
            while len(heard) < 3:
                await asyncio.sleep(0.005)
        assert isinstance(link.socket, PromptConnection)
        assert link.socket.cutting is (pieces[0] == b"ANSWER--REST"), "else the library does it all"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        listener.close()
        await listener.wait_closed()
    assert heard == ["one\r\n\r\none", "two", "both"]
    assert ups == [0]


async def test_after_a_frame_that_cannot_be_taken_no_other_is() -> None:
    frames = [on_wire(Opcode.TEXT, b"one"), on_wire(Opcode.BINARY, b"two"), on_wire(Opcode.TEXT, b"three")]
    closing = on_wire(Opcode.CLOSE, Close(4001, "").serialize())
    server = Server([b"ANSWER--REST", b"".join(frames) + closing])
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    link = a_link(f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
    heard: list[str | bytes] = []

    def refuse(frame: str | bytes, _wall_ns: int, _mono_ns: int) -> None:
        heard.append(frame)
        raise FeedRefused("not you")

    link.on_frame = refuse
    try:
        with pytest.raises(FeedRefused, match="not you"):
            async with asyncio.timeout(10):
                await keep_connected(link, SystemClock(), structlog.get_logger())
    finally:
        listener.close()
        await listener.wait_closed()
    assert heard == ["one"]


async def test_tls_brings_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every real feed is behind TLS, where another layer of the loop fills our buffer."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command to make a certificate with")
    made, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    wanted = "req -x509 -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -nodes"
    curve = f"-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -keyout {key} -out {made}"
    command = ["openssl", *wanted.split(), *curve.split()]
    subprocess.run(command, check=True, capture_output=True, timeout=30)  # noqa: ASYNC221 - nothing else runs
    monkeypatch.setenv("SSL_CERT_FILE", str(made))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made, key)
    sent = [str(number) * (1 + number * number % 300) for number in range(2_000)] + ["x" * 300_000, "last"]

    async def talk(socket: ServerConnection) -> None:
        for message in sent:
            await socket.send(message)
        await socket.wait_closed()

    async with serve(talk, "127.0.0.1", 0, ssl=tls, compression=None, close_timeout=0.1) as server:
        link = a_link(f"wss://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
        heard: list[str | bytes] = []
        link.on_frame = lambda frame, _wall_ns, _mono_ns: heard.append(frame)
        running = asyncio.ensure_future(keep_connected(link, SystemClock(), structlog.get_logger()))
        try:
            async with asyncio.timeout(20):
                while not heard or heard[-1] != "last":
                    await asyncio.sleep(0.005)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert heard == sent
