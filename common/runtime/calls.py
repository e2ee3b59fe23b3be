"""Asking other processes: commands over REQ/REP with an id and an expiry.

A time-out means that the outcome is unknown. The socket of a call is used once: a plain REQ that lost its
reply can never be used again, and a late answer must not be taken for another one's.
"""

import asyncio
import os
import uuid
from collections.abc import Mapping
from pathlib import Path

import msgspec
import zmq
import zmq.asyncio

from common.errors import CallRefused, CallTimedOut
from common.messages import SCHEMA, Answer, Command, Refused, Reply, Request
from common.runtime.clock import Clock
from common.runtime.endpoints import answer_endpoint
from common.runtime.sockets import is_readable, plain_socket

MAX_ANSWER_BYTES = 64 << 20
DEFAULT_TIMEOUT_NS = 1_000_000_000


async def call(
    ctx: zmq.asyncio.Context,
    run_dir: Path,
    role: str,
    caller: str,
    body: Command,
    *,
    clock: Clock,
    timeout_ns: int = DEFAULT_TIMEOUT_NS,
    request_id: str | None = None,
) -> Answer:
    """Ask one process; raises CallTimedOut (outcome unknown) or CallRefused.

    Give the same ``request_id`` to ask again about the same command: the callee then answers from memory.
    """
    request = Request(
        schema=SCHEMA,
        id=request_id or uuid.uuid4().hex,
        caller=caller,
        expires_mono_ns=clock.mono_ns() + timeout_ns,
        body=body,
    )
    socket = ctx.socket(zmq.REQ)
    socket.linger = 0
    socket.maxmsgsize = MAX_ANSWER_BYTES
    # Nothing is queued for an absent callee: a successor must not find old commands.
    socket.immediate = True
    socket.reconnect_ivl = 10
    try:
        socket.connect(answer_endpoint(run_dir, role))
        async with asyncio.timeout(timeout_ns / 1e9):
            await socket.send(msgspec.msgpack.encode(request))
            reply = msgspec.msgpack.decode(await socket.recv(), type=Reply)
    except TimeoutError:
        raise CallTimedOut(f"{role} did not answer within {timeout_ns / 1e9:g} s") from None
    except msgspec.DecodeError as error:
        raise CallTimedOut(f"{role} answered something unreadable: {error}") from error
    finally:
        socket.close()
    if reply.id not in (request.id, ""):
        raise CallTimedOut(f"{role} answered another request")
    if isinstance(reply.body, Refused):
        raise CallRefused(reply.body.code, reply.body.text)
    return reply.body


async def call_all(
    ctx: zmq.asyncio.Context,
    run_dir: Path,
    caller: str,
    bodies: Mapping[str, Command],
    *,
    clock: Clock,
    timeout_ns: int = DEFAULT_TIMEOUT_NS,
) -> dict[str, Answer | CallTimedOut | CallRefused]:
    """Ask several processes at once; who does not answer or refuses is in the result as that error."""

    async def one(role: str, body: Command) -> Answer | CallTimedOut | CallRefused:
        try:
            return await call(ctx, run_dir, role, caller, body, clock=clock, timeout_ns=timeout_ns)
        except (CallTimedOut, CallRefused) as error:
            return error

    answers = await asyncio.gather(*(one(role, body) for role, body in bodies.items()))
    return dict(zip(bodies, answers, strict=True))


class Caller:
    """A standing connection to one process: a command leaves in the caller's own turn of the loop.

    For what must not wait for a socket to be made. Answers are told apart by their id; a late one is dropped.
    """

    def __init__(self, ctx: zmq.asyncio.Context, run_dir: Path, role: str, caller: str, clock: Clock) -> None:
        self._role = role
        self._caller = caller
        self._clock = clock
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Reply)
        self._loop = asyncio.get_running_loop()
        self._socket = plain_socket(ctx, zmq.DEALER)
        self._socket.maxmsgsize = MAX_ANSWER_BYTES
        # As for a call: nothing is queued for an absent callee.
        self._socket.immediate = True
        self._socket.reconnect_ivl = 10
        self._socket.connect(answer_endpoint(run_dir, role))
        self._loop.add_reader(self._socket.fileno(), self._turn)

    def ask(
        self, body: Command, *, request_id: str, timeout_ns: int = DEFAULT_TIMEOUT_NS
    ) -> "asyncio.Future[Answer]":
        """Send now; the future gets the answer, CallRefused, or CallTimedOut (outcome unknown)."""
        request = self._encoder.encode(self._request(body, request_id, timeout_ns))
        absent = False
        try:
            self._socket.send_multipart((b"", request), zmq.NOBLOCK)
        except zmq.Again:
            absent = True
        # The socket's own thread has it now: let that run, before what is left to do here.
        os.sched_yield()
        waiting: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting[request_id] = waiting
        waiting.add_done_callback(lambda _done: self._forget(request_id, waiting))
        if absent:
            waiting.set_exception(CallTimedOut(f"{self._role} is not there"))
            return waiting
        self._loop.call_later(timeout_ns / 1e9, self._give_up, waiting, timeout_ns)
        # What the send took note of would never be told by the descriptor.
        self._loop.call_soon(self._turn)
        return waiting

    def rehearse(self, body: Command) -> None:
        """Make a request as ``ask`` does, and throw it away."""
        self._encoder.encode(self._request(body, "", DEFAULT_TIMEOUT_NS))

    def close(self) -> None:
        """Release the socket; who still waits waits for its time-out."""
        if not self._socket.closed:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _request(self, body: Command, request_id: str, timeout_ns: int) -> Request:
        return Request(
            schema=SCHEMA,
            id=request_id,
            caller=self._caller,
            expires_mono_ns=self._clock.mono_ns() + timeout_ns,
            body=body,
        )

    def _turn(self) -> None:
        while not self._socket.closed and is_readable(self._socket):
            raw = self._socket.recv_multipart(zmq.NOBLOCK)[-1]
            try:
                reply = self._decoder.decode(raw)
            except msgspec.DecodeError:
                continue  # the time-out says that the outcome is unknown
            waiting = self._waiting.get(reply.id)
            if waiting is None or waiting.done():
                continue
            if isinstance(reply.body, Refused):
                waiting.set_exception(CallRefused(reply.body.code, reply.body.text))
            else:
                waiting.set_result(reply.body)

    def _give_up(self, waiting: "asyncio.Future[Answer]", timeout_ns: int) -> None:
        if not waiting.done():
            waiting.set_exception(CallTimedOut(f"{self._role} did not answer within {timeout_ns / 1e9:g} s"))

    def _forget(self, request_id: str, waiting: "asyncio.Future[Answer]") -> None:
        if self._waiting.get(request_id) is waiting:
            del self._waiting[request_id]
