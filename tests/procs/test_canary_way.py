"""The canary where decisions and orders are made: it changes nothing, and is told of by whom it came to."""

import asyncio
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.core.decision_state import PublishVerdict, SendOrder
from common.errors import CallRefused
from common.messages import Canary, Envelope, Heartbeat, Published
from conversation import Conversation, tick
from executor_stage import Stage, stage, until


def canary(number: int = 1) -> Canary:
    return Canary(feed="books", number=number, boot="b")


def test_the_engine_neither_answers_nor_remembers_a_canary() -> None:
    talk = Conversation().opened()
    before = pickle.dumps(talk.state)
    assert talk.at(31).hear(canary()) == []
    assert pickle.dumps(talk.state) == before


@settings(deadline=None, max_examples=30)
@given(where=st.sets(st.integers(0, 5)))
def test_canaries_between_the_news_change_no_decision(where: set[int]) -> None:
    def decided(canaries: set[int]) -> list[object]:
        talk = Conversation().opened()
        talk.at(31)
        news: list[Published] = [
            talk.book("up", 5_000),
            tick(29, 100_010),
            tick(30, 100_071),
            talk.book("up", 6_300),
            tick(30.5, 100_090),
        ]
        for place, body in enumerate(news):
            if place in canaries:
                talk.hear(canary(place))
            # The number of an envelope is its publisher's business; here it only shows as a cause.
            talk.seq = 100 + place
            talk.hear(body)
        return [one for kind in (PublishVerdict, SendOrder) for one in talk.got(kind)]

    assert decided(where) == decided(set()) != []


@pytest.mark.procs
def test_the_executor_refuses_a_canary_keeps_nothing_and_tells_of_it() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            before = await on.report()
            # A heartbeat is never in a snapshot: whoever has heard one hears what is said now.
            await until(lambda: any(isinstance(each.body, Heartbeat) for each in on.heard))
            for _ in range(2):
                assert await refusal(on) == "canary"
            told = ["canary.books"] * 2
            await until(lambda: [each.topic for each in on.heard if each.body == canary()] == told)
            assert await on.report() == before
            assert await on.stop() == 0

    asyncio.run(play())


@pytest.mark.procs
def test_the_executor_tells_of_a_canary_of_books_by_another_topic_than_of_one_that_came_as_a_wish() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            assert on.publisher is not None
            send, number = on.publisher.publish, 0

            def told() -> list[Envelope]:
                return [
                    each for each in on.heard if isinstance(each.body, Canary) and each.source == "executor"
                ]

            def sent_and_told() -> list[Envelope]:
                # Who has only just connected may have missed the one before.
                nonlocal number
                number += 1
                send("canary.books", canary(number))
                return told()

            await until(sent_and_told)
            assert {each.topic for each in told()} == {"canary.books.heard"}
            assert await refusal(on) == "canary"
            await until(lambda: "canary.books" in {each.topic for each in told()})

    asyncio.run(play())


async def refusal(on: Stage) -> str:
    try:
        await on.ask(canary(), request_id="canary")
    except CallRefused as refused:
        return refused.code
    return ""
