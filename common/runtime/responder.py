"""Answering other processes: one command at a time, and a repeated id gets the answer it got before.

A reading whose answer has to be fetched from outside is answered beside the others: an order or a halt must
not wait for it.
"""

import asyncio
import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import zmq
import zmq.asyncio

from common.errors import CallRefused
from common.messages import (
    SCHEMA,
    Answer,
    Canary,
    Command,
    PlanRedemption,
    ProveBook,
    ReadAccount,
    ReadChecks,
    ReadOracles,
    ReadWallet,
    Refused,
    Reply,
    Request,
    Status,
    TakeSnapshot,
    Why,
)
from common.runtime.clock import Clock
from common.runtime.endpoints import answer_endpoint
from common.runtime.sockets import is_readable, plain_socket

MAX_REQUEST_BYTES = 1 << 20
REMEMBERED_ANSWERS = 1000

_FETCHED = (ReadWallet, ReadChecks, PlanRedemption)
"""Readings that are answered with what somebody outside has to be asked for first."""
_READINGS = (Status, TakeSnapshot, Why, ReadAccount, ReadOracles, ProveBook, Canary, *_FETCHED)
"""Asking these again does no harm, and a thousand remembered snapshots would fill the memory."""

Handler = Callable[[Command, Request], Answer | Awaitable[Answer]]


class Responder:
    """The answering side of one process; one command at a time, in the order they came."""

    def __init__(self, ctx: zmq.asyncio.Context, run_dir: Path, role: str, clock: Clock) -> None:
        self._clock = clock
        self._handlers: dict[type, Handler] = {}
        self._answered: OrderedDict[str, bytes] = OrderedDict()
        self._decoder = msgspec.msgpack.Decoder(Request)
        self._answering: asyncio.Task[bytes] | None = None
        """What nobody may overtake."""
        self._beside: set[asyncio.Task[bytes]] = set()
        # Not REP, which must answer one request before it can read the next.
        self._socket = plain_socket(ctx, zmq.ROUTER)
        self._socket.maxmsgsize = MAX_REQUEST_BYTES
        self._socket.bind(answer_endpoint(run_dir, role))

    def on(self, command: type, handler: Handler) -> None:
        """Let ``handler`` answer commands of this type; it may raise CallRefused."""
        self._handlers[command] = handler

    async def run(self) -> None:
        """Answer until cancelled; raises what a handler raises."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        turn = partial(self._turn, ended)
        loop.add_reader(self._socket.fileno(), turn)
        turn()
        try:
            await ended
        finally:
            loop.remove_reader(self._socket.fileno())
            for task in (self._answering, *self._beside):
                if task is not None:
                    task.cancel()
            self._socket.close()

    def _turn(self, ended: "asyncio.Future[None]") -> None:
        """Answer all that is there; what has to wait for something is answered by a task of its own."""
        try:
            # Asked also while something is being answered: until it is, the descriptor calls without end.
            while not self._socket.closed and is_readable(self._socket) and self._answering is None:
                *route, raw = self._socket.recv_multipart(zmq.NOBLOCK)
                answer, beside = self._answer(raw)
                if isinstance(answer, bytes):
                    self._socket.send_multipart((*route, answer), zmq.NOBLOCK)
                    continue
                task = asyncio.get_running_loop().create_task(answer)
                task.add_done_callback(partial(self._answered_later, ended, route))
                if beside:
                    self._beside.add(task)
                else:
                    self._answering = task
        except Exception as error:  # noqa: BLE001 - run() raises it
            if not ended.done():
                ended.set_exception(error)

    def _answered_later(
        self, ended: "asyncio.Future[None]", route: list[bytes], task: "asyncio.Task[bytes]"
    ) -> None:
        self._beside.discard(task)
        if self._answering is task:
            self._answering = None
        if task.cancelled() or self._socket.closed:
            return
        error = task.exception()
        if error is not None:
            if not ended.done():
                ended.set_exception(error)
            return
        self._socket.send_multipart((*route, task.result()), zmq.NOBLOCK)
        self._turn(ended)

    def _answer(self, raw: bytes) -> "tuple[bytes | Coroutine[Any, Any, bytes], bool]":
        """The answer, or the work on it, and whether that may be done beside others."""
        try:
            request = self._decoder.decode(raw)
        except msgspec.DecodeError as error:
            refusal = Refused(code="unreadable", text=f"not a request this version reads: {error}")
            return _reply("", refusal), False
        if request.id in self._answered:
            return self._answered[request.id], False
        refused = self._refusal(request)
        if refused is not None:
            # Not remembered: nothing was done, and the same command may come again with more time.
            return _reply(request.id, refused), False
        try:
            answer = self._handlers[type(request.body)](request.body, request)
        except CallRefused as said:
            answer = Refused(code=said.code, text=said.text)
        if inspect.isawaitable(answer):
            return self._answer_later(request, answer), isinstance(request.body, _FETCHED)
        return self._remembered(request, answer), False

    async def _answer_later(self, request: Request, answer: Awaitable[Answer]) -> bytes:
        try:
            return self._remembered(request, await answer)
        except CallRefused as said:
            return self._remembered(request, Refused(code=said.code, text=said.text))

    def _remembered(self, request: Request, body: Answer) -> bytes:
        answer = _reply(request.id, body)
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


def _reply(request_id: str, body: Answer) -> bytes:
    return msgspec.msgpack.encode(Reply(schema=SCHEMA, id=request_id, body=body))
