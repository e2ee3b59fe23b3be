"""Commands over real sockets: time-outs, expiry, repeated ids."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.asyncio

from common.errors import CallRefused, CallTimedOut, InvariantBroken
from common.messages import (
    SCHEMA,
    Accepted,
    Answer,
    Command,
    ReadWallet,
    Refused,
    Reply,
    Request,
    SetPosture,
    Status,
    Submit,
    TakeSnapshot,
    WalletReport,
    Why,
)
from common.runtime.calls import Caller, call, call_all
from common.runtime.clock import SystemClock
from common.runtime.endpoints import answer_endpoint
from common.runtime.responder import Handler, Responder
from tests.runtime.peers import context, peer

WISH = SetPosture(posture="paused", reason="test", who="test")
CLOCK = SystemClock()
SUBMIT = Submit(
    intent_id="w/up/lag", window="w", asset="btc", token="1", outcome="up", strategy="lag", limit4=6_100,
    stake_usd6=10_000_000, decided_ns=0, decided_mono_ns=0, cause="",
)  # fmt: skip


class Counted:
    """A handler that counts how often it acted."""

    def __init__(self) -> None:
        self.acted = 0

    def __call__(self, _command: Command, _request: Request) -> Answer:
        self.acted += 1
        return Accepted(text=str(self.acted))


def test_a_stuck_callee_times_out_and_the_next_call_works(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx:
            stuck = zmq.Context(ctx).socket(zmq.REP)
            stuck.linger = 0
            stuck.bind(answer_endpoint(run_dir, "executor"))
            began = time.monotonic()
            with pytest.raises(CallTimedOut, match="executor"):
                await call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK, timeout_ns=300_000_000)
            assert time.monotonic() - began < 1.5
            stuck.close()
            async with peer(ctx, run_dir, "executor") as one:
                handler = Counted()
                one.responder.on(SetPosture, handler)
                answer = await call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK)
                assert answer == Accepted(text="1")

    asyncio.run(play())


def test_nothing_is_queued_for_an_absent_callee(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx:
            with pytest.raises(CallTimedOut):
                await call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK, timeout_ns=100_000_000)
            async with peer(ctx, run_dir, "executor") as one:
                handler = Counted()
                one.responder.on(SetPosture, handler)
                await call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK)
                assert handler.acted == 1

    asyncio.run(play())


def test_an_expired_command_is_refused_and_may_come_again(run_dir: Path) -> None:
    """The refusal is not remembered: the same command with more time is carried out, once."""

    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "executor") as one:
            handler = Counted()
            one.responder.on(SetPosture, handler)

            class Behind(SystemClock):
                def mono_ns(self) -> int:
                    return super().mono_ns() - 10_000_000_000

            with pytest.raises(CallRefused) as refused:
                await call(ctx, run_dir, "executor", "test", WISH, clock=Behind(), request_id="a")
            assert refused.value.code == "expired"
            assert handler.acted == 0
            await call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK, request_id="a")
            assert handler.acted == 1

    asyncio.run(play())


def test_a_repeated_id_is_answered_from_memory(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "executor") as one:
            handler = Counted()
            one.responder.on(SetPosture, handler)
            first = await call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK, request_id="a")
            second = await call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK, request_id="a")
            other = await call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK, request_id="b")
            assert (first, second, other) == (Accepted(text="1"), Accepted(text="1"), Accepted(text="2"))

    asyncio.run(play())


def test_answers_to_readings_are_fresh_and_not_kept_in_memory(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "executor") as one:
            handler = Counted()
            one.responder.on(Status, handler)
            for number in (1, 2):
                answer = await call(ctx, run_dir, "executor", "test", Status(), clock=CLOCK, request_id="a")
                assert answer == Accepted(text=str(number))
            await call(ctx, run_dir, "executor", "test", TakeSnapshot(), clock=CLOCK)
            assert not one.responder._answered

    asyncio.run(play())


def test_a_halt_does_not_wait_for_a_reading_that_is_fetched_from_outside(run_dir: Path) -> None:
    async def play() -> None:
        fetched = asyncio.Event()

        async def slow(_command: Command, _request: Request) -> Answer:
            await fetched.wait()
            return WalletReport(balance_usd6=1, address="")

        async with context() as ctx, peer(ctx, run_dir, "executor") as one:
            one.responder.on(ReadWallet, slow)
            one.responder.on(SetPosture, Counted())
            async with asyncio.TaskGroup() as tasks:
                readings = [
                    tasks.create_task(call(ctx, run_dir, "executor", "test", ReadWallet(), clock=CLOCK))
                    for _ in range(2)
                ]
                while len(one.responder._beside) < 2:
                    await asyncio.sleep(0.005)
                await call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK)
                assert not any(reading.done() for reading in readings)
                fetched.set()
            assert [reading.result() for reading in readings] == [
                WalletReport(balance_usd6=1, address="")
            ] * 2
            assert not one.responder._beside

    asyncio.run(play())


def test_refusals_carry_their_code(run_dir: Path) -> None:
    def refuse(_command: Command, _request: Request) -> Answer:
        raise CallRefused("halted", "no")

    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "executor") as one:
            one.responder.on(SetPosture, refuse)
            for body, code in ((WISH, "halted"), (Why(), "unknown-command")):
                with pytest.raises(CallRefused) as refused:
                    await call(ctx, run_dir, "executor", "test", body, clock=CLOCK)
                assert refused.value.code == code
            socket = ctx.socket(zmq.REQ)
            socket.connect(answer_endpoint(run_dir, "executor"))
            await socket.send(b"\xc1")
            assert b"unreadable" in await socket.recv()
            socket.close(linger=0)

    asyncio.run(play())


def test_all_are_asked_at_once(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "books") as one:
            one.responder.on(Status, Counted())
            began = time.monotonic()
            questions: dict[str, Command] = {"books": Status(), "executor": Status(), "recorder": Status()}
            answers = await call_all(ctx, run_dir, "test", questions, clock=CLOCK, timeout_ns=400_000_000)
            assert time.monotonic() - began < 0.8
            assert answers["books"] == Accepted(text="1")
            assert isinstance(answers["executor"], CallTimedOut)
            assert isinstance(answers["recorder"], CallTimedOut)

    asyncio.run(play())


def test_an_awaited_handler_answers_too(run_dir: Path) -> None:
    async def slow(_command: Command, _request: Request) -> Answer:
        await asyncio.sleep(0)
        return Accepted()

    async def play() -> None:
        async with context() as ctx:
            responder = Responder(ctx, run_dir, "executor", CLOCK)
            responder.on(SetPosture, slow)
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(responder.run())
                assert await call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK) == Accepted()
                running.cancel()

    asyncio.run(play())


def test_an_order_given_up_and_asked_again_is_carried_out_once(run_dir: Path) -> None:
    """The time-out says that the outcome is unknown; the same id then learns it from memory."""
    acted = 0

    async def slow(_command: Command, _request: Request) -> Answer:
        nonlocal acted
        acted += 1
        await asyncio.sleep(0.3)
        return Accepted(text=str(acted))

    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "executor") as one:
            one.responder.on(SetPosture, slow)
            with pytest.raises(CallTimedOut):
                await call(
                    ctx,
                    run_dir,
                    "executor",
                    "test",
                    WISH,
                    clock=CLOCK,
                    timeout_ns=100_000_000,
                    request_id="a",
                )
            again = await call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK, request_id="a")
            assert again == Accepted(text="1")
            assert acted == 1

    asyncio.run(play())


def test_a_command_that_expired_behind_a_slow_one_is_not_carried_out(run_dir: Path) -> None:
    acted: list[str] = []

    async def slow(_command: Command, request: Request) -> Answer:
        acted.append(request.id)
        await asyncio.sleep(0.4)
        return Accepted()

    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "executor") as one:
            one.responder.on(SetPosture, slow)
            async with asyncio.TaskGroup() as tasks:
                first = tasks.create_task(
                    call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK, request_id="first")
                )
                async with asyncio.timeout(5):
                    while not acted:
                        await asyncio.sleep(0.005)
                with pytest.raises(CallTimedOut):
                    await call(
                        ctx,
                        run_dir,
                        "executor",
                        "test",
                        WISH,
                        clock=CLOCK,
                        timeout_ns=100_000_000,
                        request_id="late",
                    )
            assert first.result() == Accepted()
            await call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK, request_id="next")
            assert acted == ["first", "next"]

    asyncio.run(play())


def test_nonsense_is_answered_and_wedges_nothing(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "executor") as one:
            one.responder.on(SetPosture, Counted())
            for nonsense in (b"", b"\xc1", msgspec.msgpack.encode({"schema": SCHEMA, "id": "x"})):
                socket = ctx.socket(zmq.REQ)
                socket.linger = 0
                socket.connect(answer_endpoint(run_dir, "executor"))
                await socket.send(nonsense)
                async with asyncio.timeout(5):
                    assert b"unreadable" in await socket.recv()
                socket.close()
            assert await call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK) == Accepted(text="1")

    asyncio.run(play())


def test_a_newer_schema_is_refused_and_nothing_is_done(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "executor") as one:
            handler = Counted()
            one.responder.on(SetPosture, handler)
            request = Request(
                schema=SCHEMA + 1, id="a", caller="test", expires_mono_ns=CLOCK.mono_ns() + 10**10, body=WISH
            )
            socket = ctx.socket(zmq.REQ)
            socket.linger = 0
            socket.connect(answer_endpoint(run_dir, "executor"))
            await socket.send(msgspec.msgpack.encode(request))
            async with asyncio.timeout(5):
                reply = msgspec.msgpack.decode(await socket.recv(), type=Reply)
            socket.close()
            assert isinstance(reply.body, Refused)
            assert (reply.id, reply.body.code, handler.acted) == ("a", "schema", 0)

    asyncio.run(play())


async def asked(caller: Caller, request_id: str, timeout_ns: int = 2_000_000_000) -> Answer:
    return await caller.ask(WISH, request_id=request_id, timeout_ns=timeout_ns)


async def reached(caller: Caller) -> None:
    """Until the other end is connected: nothing is queued for one that is not."""
    async with asyncio.timeout(5):
        while True:
            try:
                await caller.ask(Status(), request_id="reach", timeout_ns=100_000_000)
            except CallTimedOut:
                await asyncio.sleep(0.01)
            except CallRefused:
                return


def test_a_standing_connection_sends_before_it_returns_and_tells_answers_apart(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "executor") as one:
            handler = Counted()
            one.responder.on(SetPosture, handler)
            caller = Caller(ctx, run_dir, "executor", "strategist", CLOCK)
            await reached(caller)
            first = caller.ask(WISH, request_id="a")
            second = caller.ask(WISH, request_id="b")
            assert [await second, await first] == [Accepted(text="2"), Accepted(text="1")]
            assert await asked(caller, "a") == Accepted(text="1"), "a repeated id is answered from memory"
            assert handler.acted == 2
            one.responder.on(SetPosture, refusing)
            with pytest.raises(CallRefused, match="no"):
                await asked(caller, "c")
            caller.close()
            caller.close()

    asyncio.run(play())


def refusing(_command: Command, _request: Request) -> Answer:
    raise CallRefused("no", "no")


def test_a_standing_connection_to_nobody_says_so_at_once_and_queues_nothing(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx:
            caller = Caller(ctx, run_dir, "executor", "strategist", CLOCK)
            began = time.monotonic()
            with pytest.raises(CallTimedOut, match="not there"):
                await asked(caller, "a")
            assert time.monotonic() - began < 1
            async with peer(ctx, run_dir, "executor") as one:
                handler = Counted()
                one.responder.on(SetPosture, handler)
                await reached(caller)
                assert await asked(caller, "b") == Accepted(text="1")
            caller.close()

    asyncio.run(play())


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "executor") as one:
            slow = asyncio.Event()

            async def first_slowly(_command: Command, request: Request) -> Answer:
                if request.id == "a":
                    await slow.wait()
                return Accepted(text=request.id)

            one.responder.on(SetPosture, first_slowly)
            caller = Caller(ctx, run_dir, "executor", "strategist", CLOCK)
            await reached(caller)
            with pytest.raises(CallTimedOut, match="within"):
                await asked(caller, "a", timeout_ns=100_000_000)
            slow.set()
            assert await asked(caller, "b") == Accepted(text="b")
            caller.close()

    asyncio.run(play())


def test_a_rehearsal_sends_nothing(run_dir: Path) -> None:
    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "executor") as one:
            handler = Counted()
            one.responder.on(Submit, handler)
            one.responder.on(SetPosture, Counted())
            caller = Caller(ctx, run_dir, "executor", "strategist", CLOCK)
            await reached(caller)
            for _ in range(3):
                caller.rehearse(SUBMIT)
            assert await asked(caller, "b") == Accepted(text="1")
            assert handler.acted == 0
            caller.close()

    asyncio.run(play())


def test_what_a_handler_raises_ends_the_answering(run_dir: Path) -> None:
    """A process with broken invariants must end, not go on answering."""

    def breaking(_command: Command, _request: Request) -> Answer:
        raise InvariantBroken("broken")

    async def breaking_later(_command: Command, _request: Request) -> Answer:
        await asyncio.sleep(0)
        raise InvariantBroken("broken")

    async def play(handler: Handler) -> None:
        async with context() as ctx:
            responder = Responder(ctx, run_dir, "executor", CLOCK)
            responder.on(SetPosture, handler)
            running = asyncio.ensure_future(responder.run())
            with pytest.raises(CallTimedOut):
                await call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK, timeout_ns=200_000_000)
            with pytest.raises(InvariantBroken):
                await running

    for handler in (breaking, breaking_later):
        asyncio.run(play(handler))


def test_a_command_that_waits_behind_a_slow_one_costs_no_time(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []
    real = Responder._turn
    monkeypatch.setattr(Responder, "_turn", lambda self, ended: (turns.append(1), real(self, ended)))

    async def play() -> None:
        async with context() as ctx, peer(ctx, run_dir, "executor") as one:
            slow = asyncio.Event()

            async def slowly(_command: Command, request: Request) -> Answer:
                await slow.wait()
                return Accepted(text=request.id)

            one.responder.on(SetPosture, slowly)
            caller = Caller(ctx, run_dir, "executor", "strategist", CLOCK)
            await reached(caller)
            first = caller.ask(WISH, request_id="a")
            async with asyncio.timeout(5):
                while not one.responder._answering:
                    await asyncio.sleep(0.001)
            # From a connection of its own: that it comes is news for the socket.
            second = asyncio.ensure_future(
                call(ctx, run_dir, "executor", "test", WISH, clock=CLOCK, request_id="b")
            )
            await asyncio.sleep(0.2)
            assert len(turns) < 50
            slow.set()
            assert [await first, await second] == [Accepted(text="a"), Accepted(text="b")]
            caller.close()

    asyncio.run(play())
