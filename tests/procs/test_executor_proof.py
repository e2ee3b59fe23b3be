"""No order begins on a book that is not proven at that moment; what began already needs no proof again."""

import asyncio
import time

import msgspec
import pytest

from common.core.account import broken_sums
from common.errors import CallRefused, CallTimedOut
from common.messages import Accepted, SetPosture
from common.store.journal import open_journal
from executor_stage import Stage, stage, until

pytestmark = pytest.mark.procs

BOUND_S = 0.3


async def refused(on: Stage, name: str) -> CallRefused:
    with pytest.raises(CallRefused) as refusal:
        await on.ask(on.wish(name))
    return refusal.value


async def heard_book(on: Stage, name: str) -> None:
    """Wait until the executor would take an order on this window but for its proof."""
    on.unproven.add(f"{name}-up")
    for _ in range(200):
        if (await refused(on, name)).code == "book-unproven":
            break
        await asyncio.sleep(0.01)
    else:
        pytest.fail("the executor never heard of the book")
    on.unproven.clear()
    on.asked.clear()


def journalled(on: Stage) -> int:
    """Orders in the journal, once its executor is gone."""
    journal = open_journal(on.state_dir / "journal.sqlite", now_wall_ns=0)
    found = journal.read()
    journal.close()
    assert found is not None
    assert broken_sums(found.books) == ""
    return len(found.books.orders)


def test_an_order_on_an_unproven_book_is_refused_and_leaves_no_trace() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            on.open_window("w1", lasts_s=60)
            await heard_book(on, "w1")
            on.unproven.add("w1-up")
            refusal = await refused(on, "w1")
            assert (refusal.code, "hashes to another book" in str(refusal)) == ("book-unproven", True)
            assert on.asked == ["w1-up"]
            assert (await on.report()).orders == ()
            on.unproven.clear()
            answer = await on.ask(on.wish("w1"))
            assert isinstance(answer, Accepted) and not answer.repeated
            await on.wait_report(lambda report: report.positions)
            on.kill()
            assert journalled(on) == 1

    asyncio.run(play())


def test_a_repeated_intent_is_answered_from_the_journal_without_asking() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            on.open_window("w1", lasts_s=60)
            accepted = await on.submit("w1")
            asked = len(on.asked)
            on.unproven.add("w1-up")
            for _ in range(2):
                again = await on.ask(on.wish("w1"))
                assert isinstance(again, Accepted)
                assert (again.order_id, again.repeated) == (accepted.order_id, True)
                on.kill()
                on.start()
                await on.report()
            assert len(on.asked) == asked

    asyncio.run(play())


def test_what_is_refused_anyway_asks_for_no_proof() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            assert (await refused(on, "nowhere")).code == "unknown-window"
            on.open_window("w1", lasts_s=60)
            await heard_book(on, "w1")
            malformed = msgspec.structs.replace(on.wish("w1"), stake_usd6=0)
            with pytest.raises(CallRefused, match="malformed"):
                await on.ask(malformed)
            assert on.asked == []

    asyncio.run(play())


def test_a_mute_books_costs_an_order_no_more_than_the_bound() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            on.open_window("w1", lasts_s=60)
            await heard_book(on, "w1")
            released = asyncio.Event()

            async def never() -> None:
                await released.wait()

            on.before_proof = never
            began = time.monotonic()
            submitting = asyncio.ensure_future(refused(on, "w1"))
            await until(lambda: on.asked)
            halt = SetPosture(posture="halted", reason="enough", who="operator")
            assert isinstance(await on.ask(halt), Accepted)
            took = time.monotonic() - began
            refusal = await submitting
            assert (refusal.code, "within 0.3 s" in str(refusal)) == ("book-unproven", True)
            assert BOUND_S <= took < BOUND_S + 0.6, "a halt waits for the proof and no longer"
            released.set()
            assert (await on.report()).orders == ()

    asyncio.run(play())


def test_orders_that_queued_up_behind_an_unanswered_question_ask_none_of_their_own() -> None:
    """A halt that came after them would have to wait for one time-out each."""

    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            names = [f"w{number}" for number in range(5)]
            for name in names:
                on.open_window(name, lasts_s=60)
            for name in names:
                await heard_book(on, name)

            async def late() -> None:
                await asyncio.sleep(BOUND_S + 0.05)

            on.before_proof = late
            began = time.monotonic()
            refusals = await asyncio.gather(*(refused(on, name) for name in names))
            assert time.monotonic() - began < BOUND_S + 0.6
            assert {refusal.code for refusal in refusals} == {"book-unproven"}
            assert len(on.asked) == 1
            on.before_proof = None
            assert isinstance(await on.ask(on.wish("w0")), Accepted), "what is decided later asks again"

    asyncio.run(play())


def test_an_order_is_decided_anew_after_its_proof() -> None:
    """What happened while books was asked counts: here the book of that very token fell into doubt."""

    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            on.open_window("w1", lasts_s=60)
            await heard_book(on, "w1")

            async def doubt() -> None:
                on.publish_book("w1", status="resync")
                await asyncio.sleep(0.1)

            on.before_proof = doubt
            refusal = await refused(on, "w1")
            assert (refusal.code, "resync" in str(refusal)) == ("stale-book", True)
            assert on.asked == ["w1-up"]
            assert (await on.report()).orders == ()

    asyncio.run(play())


def test_an_executor_killed_while_it_waits_for_a_proof_has_begun_nothing() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            on.open_window("w1", lasts_s=60)
            await heard_book(on, "w1")

            async def die() -> None:
                on.kill()

            on.before_proof = die
            with pytest.raises(CallTimedOut):
                await on.ask(on.wish("w1"), "r-1", timeout_s=0.3)
            assert journalled(on) == 0
            on.before_proof = None
            on.start()
            await on.report()
            accepted = await on.submit("w1")
            assert not accepted.repeated
            on.kill()
            assert journalled(on) == 1

    asyncio.run(play())
