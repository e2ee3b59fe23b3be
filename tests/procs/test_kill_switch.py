"""The note of a kill switch and a running executor: who lets trading go on takes it back, and nobody else."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable

import pytest

from common.core import route_rule
from common.errors import CallRefused
from common.messages import Accepted, Posture, SetPosture
from common.venue.recovery import KILL_SWITCH, MARKER, leave_marker, read_marker
from executor_stage import Stage, stage, until

pytestmark = pytest.mark.procs
NOTE = f"{KILL_SWITCH}nobody answered (cli:me)"


def played(scene: Callable[[Stage], Awaitable[None]]) -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            await scene(on)

    asyncio.run(play())


async def ask(on: Stage, posture: Posture, who: str, request_id: str | None = None) -> Accepted:
    answer = await on.ask(SetPosture(posture=posture, reason="why not", who=who), request_id, timeout_s=5)
    assert isinstance(answer, Accepted)
    return answer


async def posture_after_a_kill(on: Stage) -> tuple[str, str]:
    on.kill()
    on.start()
    posture = (await on.report()).posture
    return posture.posture, posture.reason


def test_whoever_lets_trading_go_on_takes_the_note_back_before_the_answer() -> None:
    async def scene(on: Stage) -> None:
        befores: tuple[Posture, ...] = ("trading", "paused", "no-new-orders", "halted")
        for who in ("telegram:7", "cli:me"):
            for before in befores:
                await ask(on, before, "cli:somebody")
                leave_marker(on.state_dir, NOTE)
                await ask(on, "trading", who)
                assert read_marker(on.state_dir) is None, (before, who)
        # The same words again change nothing in the journal, and still somebody lets trading go on.
        leave_marker(on.state_dir, NOTE)
        assert (await ask(on, "trading", "cli:me")).repeated
        assert read_marker(on.state_dir) is None
        assert (await posture_after_a_kill(on))[0] == "trading"

    played(scene)


def test_what_tightens_leaves_the_note() -> None:
    async def scene(on: Stage) -> None:
        leave_marker(on.state_dir, NOTE)
        postures: tuple[Posture, ...] = ("halted", "no-new-orders", "paused")
        for posture in postures:
            await ask(on, posture, "telegram:7")
            assert read_marker(on.state_dir) == NOTE
        found, reason = await posture_after_a_kill(on)
        assert (found, NOTE in reason) == ("halted", True)

    played(scene)


def test_the_routes_lift_their_own_stop_and_no_kill_switch() -> None:
    async def scene(on: Stage) -> None:
        await ask(on, "no-new-orders", route_rule.WHO)
        leave_marker(on.state_dir, NOTE)
        assert (await ask(on, "trading", route_rule.WHO)).text == "trading"
        assert read_marker(on.state_dir) == NOTE
        assert (await posture_after_a_kill(on))[0] == "halted"

    played(scene)


def test_a_journal_that_does_not_take_it_keeps_the_switch() -> None:
    async def scene(on: Stage) -> None:
        leave_marker(on.state_dir, NOTE)
        with contextlib.closing(
            sqlite3.connect(on.state_dir / "journal.sqlite", isolation_level=None)
        ) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(CallRefused, match="journal"):
                await on.ask(SetPosture(posture="trading", reason="go on", who="cli:me"), timeout_s=20)
            assert read_marker(on.state_dir) == NOTE
            other.execute("ROLLBACK")
        assert (await posture_after_a_kill(on))[0] == "halted"

    played(scene)


KILLED_BETWEEN = """
import os
import common.venue.postures as postures
def lift_kill_switch(_state_dir):
    os._exit(9)
postures.lift_kill_switch = lift_kill_switch
"""


def test_one_that_dies_between_commit_and_answer_comes_back_halted_and_says_so() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start(before=KILLED_BETWEEN)
            await on.report()
            leave_marker(on.state_dir, NOTE)
            wish = SetPosture(posture="trading", reason="go on", who="cli:me")
            asked = asyncio.ensure_future(on.ask(wish, "the-same", timeout_s=60))
            await until(lambda: on.process is not None and on.process.poll() == 9)
            on.start()
            assert (await on.report()).posture.posture == "halted"
            assert not (on.state_dir / MARKER).exists()
            again = await on.ask(wish, "the-same", timeout_s=5)
            assert isinstance(again, Accepted)
            assert again.repeated
            assert again.text.startswith("trading, and since then halted by executor: came back after: ")
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    asyncio.run(play())
