"""A JSON-RPC endpoint and plain HTTP paths on loopback that answer exactly the bytes a test wants."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Say = Callable[[str, Any], "bytes | Any | Awaitable[Any]"]
"""What to answer to a path and the posted JSON: bytes as they are, anything else as JSON; may be awaited."""
OUR_CHAIN = "0x89"


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def word(number: int) -> str:
    return f"0x{number:064x}"


def result(value: Any, ask: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": ask["id"], "result": value}


@dataclass
class Endpoint:
    """A server that keeps what it was asked."""

    url: str
    port: int
    heard: list[tuple[str, Any]] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)

    def methods(self) -> list[str]:
        return [ask["method"] for _, ask in self.heard if ask]


@asynccontextmanager
async def endpoint(say: Say) -> AsyncIterator[Endpoint]:
    """Answer every request by ``say``."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            raw = await reader.readexactly(int(fields.get(b"content-length", b"0")))
            path = head.split(b" ", 2)[1].decode()
            ask = json.loads(raw) if raw else None
            stage.heard.append((path, ask))
            stage.heads.append(head)
            told = say(path, ask)
            if asyncio.iscoroutine(told):
                told = await told
            writer.write(told if isinstance(told, bytes) else response(json.dumps(told).encode()))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # The asker left.
        finally:
            writer.close()
            try:
                await writer.wait_closed()
            except ConnectionError:
                pass  # It broke before it was closed.
            tasks.discard(task)

    tasks: set[asyncio.Task[Any]] = set()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    stage = Endpoint(f"http://127.0.0.1:{port}", port)
    try:
        yield stage
    finally:
        server.close()
        await _turns()
        while tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
            await _turns()


async def _turns() -> None:
    """What was accepted a moment ago becomes a task, and a closed writer lets go of its socket."""
    for _ in range(10):
        await asyncio.sleep(0)


def chain(values: Any, *, chain_id: str = OUR_CHAIN) -> Say:
    """An endpoint of the chain that answers every read with one value, or by a function of the request."""

    def say(_path: str, ask: Any) -> Any:
        if ask["method"] == "eth_chainId":
            return result(chain_id, ask)
        told = values(ask) if callable(values) else values
        return told if isinstance(told, bytes) else result(told, ask)

    return say
