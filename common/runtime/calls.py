"""Commands between processes: REQ/REP with an id, an expiry and an answer that a repeated id gets again.

A time-out means that the outcome is unknown. The socket of a call is used once: a plain REQ that lost its
reply can never be used again, and a late answer must not be taken for another one's.
"""

import asyncio
import inspect
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
import zmq
import zmq.asyncio

from common.errors import CallRefused, CallTimedOut
from common.messages import (
    SCHEMA,
    Answer,
    Command,
    ProveBook,
    ReadAccount,
    ReadOracles,
    Refused,
    Reply,
    Request,
    Status,
    TakeSnapshot,
    Why,
)
from common.runtime.clock import Clock
from common.runtime.endpoints import answer_endpoint

MAX_REQUEST_BYTES = 1 << 20
MAX_ANSWER_BYTES = 64 << 20
REMEMBERED_ANSWERS = 1000
DEFAULT_TIMEOUT_NS = 1_000_000_000

_READINGS = (Status, TakeSnapshot, Why, ReadAccount, ReadOracles, ProveBook)
"""Asking these again does no harm, and a thousand remembered snapshots would fill the memory."""

Handler = Callable[[Command, Request], Answer | Awaitable[Answer]]


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


class Responder:
    """The answering side of one process; one command at a time, in the order they came."""

    def __init__(self, ctx: zmq.asyncio.Context, run_dir: Path, role: str, clock: Clock) -> None:
        self._clock = clock
        self._handlers: dict[type, Handler] = {}
        self._answered: OrderedDict[str, bytes] = OrderedDict()
        self._socket = ctx.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.maxmsgsize = MAX_REQUEST_BYTES
        self._socket.bind(answer_endpoint(run_dir, role))

    def on(self, command: type, handler: Handler) -> None:
        """Let ``handler`` answer commands of this type; it may raise CallRefused."""
        self._handlers[command] = handler

    async def run(self) -> None:
        """Answer until cancelled."""
        try:
            while True:
                await self._socket.send(await self._answer(await self._socket.recv()))
        finally:
            self._socket.close()

    async def _answer(self, raw: bytes) -> bytes:
        try:
            request = msgspec.msgpack.decode(raw, type=Request)
        except msgspec.DecodeError as error:
            return _reply("", Refused(code="unreadable", text=f"not a request this version reads: {error}"))
        if request.id in self._answered:
            return self._answered[request.id]
        refusal = self._refusal(request)
        if refusal is not None:
            # Not remembered: nothing was done, and the same command may come again with more time.
            return _reply(request.id, refusal)
        answer = _reply(request.id, await self._body(request))
        if not isinstance(request.body, _READINGS):
            self._answered[request.id] = answer
            if len(self._answered) > REMEMBERED_ANSWERS:
                self._answered.popitem(last=False)
        return answer

    def _refusal(self, request: Request) -> Refused | None:
        if request.schema > SCHEMA:
            return Refused(
                code="schema", text=f"the caller speaks schema {request.schema}, this process {SCHEMA}"
            )
        if self._clock.mono_ns() > request.expires_mono_ns:
            return Refused(code="expired", text="the command expired before it was read; nothing was done")
        if type(request.body) not in self._handlers:
            return Refused(
                code="unknown-command", text=f"this process does not answer {type(request.body).__name__}"
            )
        return None

    async def _body(self, request: Request) -> Answer:
        try:
            answer = self._handlers[type(request.body)](request.body, request)
            return await answer if inspect.isawaitable(answer) else answer
        except CallRefused as refusal:
            return Refused(code=refusal.code, text=refusal.text)


def _reply(request_id: str, body: Answer) -> bytes:
    return msgspec.msgpack.encode(Reply(schema=SCHEMA, id=request_id, body=body))
