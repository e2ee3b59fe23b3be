"""Plain ZeroMQ sockets in an event loop: read by a callback of the loop, without a task for each message.

The descriptor of such a socket tells of a change once, not of a message: who is called reads until
``is_readable`` says no, and asks again after every send on the same socket.
"""

from typing import Any, cast

import zmq
import zmq.asyncio


def plain_socket(ctx: zmq.asyncio.Context, kind: int) -> "zmq.Socket[bytes]":
    """A socket that drops what is unsent when it is closed, at the latest with its context."""
    plain: Any = zmq.Socket
    socket = cast("zmq.Socket[bytes]", ctx.socket(kind, socket_class=plain))
    socket.linger = 0
    return socket


def is_readable(socket: "zmq.Socket[bytes]") -> bool:
    """Whether a message waits; cheaper than the exception of a socket that has none."""
    return bool(int(socket.get(zmq.EVENTS)) & zmq.POLLIN)
