"""The paper venue looks at the book after the market's delay, and only then."""

import asyncio

import pytest

from common.core.order_events import (
    DefiniteNo,
    Matched,
    NotSent,
)
from common.core.order_state import (
    Order,
)
from common.core.paper_fill import paper_order_id
from common.messages import BookState, OrderState
from common.runtime.clock import SystemClock
from common.units import MILLISECOND, SECOND
from common.venue.paper import PaperVenue, View
from common.venue.port import OrderPort, Prepared
from order_playbook import WINDOW, Playbook, market

DELAY_NS = 60 * MILLISECOND


def order() -> Order:
    play = Playbook().opened()
    play.submit()
    return play.order()


def book(clock: SystemClock, ask4: int) -> BookState:
    return Playbook().book("up", ask4, data_mono_ns=clock.mono_ns())


async def test_fills_from_the_book_as_it_is_when_the_delay_is_over() -> None:
    clock = SystemClock()
    held = market(taker_delay_ns=DELAY_NS, end_ns=clock.wall_ns() + 60 * SECOND)
    shown = book(clock, 5_000)
    looks: list[int] = []

    def look(_order: OrderState) -> View:
        looks.append(clock.mono_ns())
        return View(held, shown, incomplete=False)

    venue: OrderPort = PaperVenue(clock, look, max_fill_age_ns=5 * SECOND)
    started = clock.mono_ns()
    async with asyncio.TaskGroup() as group:
        placed = group.create_task(venue.place(order(), held))
        await asyncio.sleep(0)
        assert looks == []
        shown = book(clock, 6_000)  # somebody was faster
    answer = placed.result()
    assert isinstance(answer, Matched)
    assert answer.fills[0].price4 == 6_000
    assert len(looks) == 1
    assert looks[0] - started >= DELAY_NS


async def test_a_book_that_went_silent_during_the_delay_does_not_fill() -> None:
    clock = SystemClock()
    held = market(taker_delay_ns=DELAY_NS, end_ns=clock.wall_ns() + 60 * SECOND)
    shown = book(clock, 5_000)
    venue = PaperVenue(clock, lambda _: View(held, shown, incomplete=False), max_fill_age_ns=DELAY_NS // 2)
    answer = await venue.place(order(), held)
    assert isinstance(answer, DefiniteNo)
    assert answer.code == "stale-book"


async def test_an_unknown_delay_sends_nothing() -> None:
    venue = PaperVenue(SystemClock(), lambda _: pytest.fail("looked"), max_fill_age_ns=1)
    assert isinstance(await venue.place(order(), market(taker_delay_ns=None)), NotSent)


def test_the_order_id_is_the_intents() -> None:
    venue = PaperVenue(SystemClock(), lambda _: pytest.fail("looked"), max_fill_age_ns=1)
    assert venue.mode == "paper"
    prepared = venue.prepare(Playbook().wish(), market())
    assert isinstance(prepared, Prepared)
    assert prepared.order_id == paper_order_id(f"{WINDOW}/up/lag")
