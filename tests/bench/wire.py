"""WebSocket and HTTP as bytes, as much of them as a bench needs. Owns no socket."""

import base64
import hashlib
import os
import struct
from typing import NamedTuple

_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Request(NamedTuple):
    """A whole request, with the bytes it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    raw: bytes


def take_request(buffer: bytearray) -> Request | None:
    """Take one complete request off the buffer; None while its end has not come."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    whole = end + 4 + int(headers.get("content-length", "0"))
    if len(buffer) < whole:
        return None
    raw = bytes(buffer[:whole])
    del buffer[:whole]
    method, path, _ = first.split(" ", 2)
    return Request(method, path, headers, raw[end + 4 :], raw)


def accept_upgrade(request: Request) -> bytes:
    """The answer that makes a request a WebSocket."""
    key = request.headers["sec-websocket-key"].encode()
    accept = base64.b64encode(hashlib.sha1(key + _ACCEPT).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def ask_upgrade(host: str, path: str) -> bytes:
    """The request of a client."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def server_frame(text: str | bytes, opcode: int = TEXT) -> bytes:
    """One unmasked frame."""
    payload = text.encode() if isinstance(text, str) else text
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x80 | opcode, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


def client_frame(text: str) -> bytes:
    """One masked frame; the mask is zero, which is one too."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return struct.pack("!BBI", 0x80 | TEXT, 0x80 | size, 0) + payload
    if size < 1 << 16:
        return struct.pack("!BBHI", 0x80 | TEXT, 0x80 | 126, size, 0) + payload
    return struct.pack("!BBQI", 0x80 | TEXT, 0x80 | 127, size, 0) + payload


def take_frame(buffer: bytearray) -> tuple[int, bytes] | None:
    """Take one complete frame off the buffer: opcode and payload, unmasked; None while it is incomplete."""
    if len(buffer) < 2:
        return None
    size, at = buffer[1] & 0x7F, 2
    if size >= 126:
        width = 2 if size == 126 else 8
        if len(buffer) < 2 + width:
            return None
        size, at = int.from_bytes(buffer[2 : 2 + width], "big"), 2 + width
    mask = b""
    if buffer[1] & 0x80:
        mask = bytes(buffer[at : at + 4])
        at += 4
    if len(buffer) < at + size:
        return None
    payload = bytes(buffer[at : at + size])
    opcode = buffer[0] & 0x0F
    del buffer[: at + size]
    if mask.strip(b"\0"):
        payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return opcode, payload


def http_answer(status: str, body: bytes) -> bytes:
    """A JSON answer on a connection that stays open."""
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
