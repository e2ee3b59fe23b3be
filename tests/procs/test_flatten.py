"""The executor takes back and sells on paper: as real processes, also when it is killed in the middle."""

import asyncio
import time

import msgspec
import pytest

from common.core import route_rule
from common.core.account import broken_sums
from common.errors import CallRefused
from common.messages import Accepted, Answer, CancelAll, Flatten, OrderState, PositionState, SetPosture
from common.store.journal import open_journal
from executor_stage import Stage, stage

pytestmark = pytest.mark.procs

PLACES = """
import os
from common.venue.paper import PaperVenue
real = PaperVenue.place
async def place(self, order, market):
    if order.state.side == "sell":
        os._exit(9)
    return await real(self, order, market)
PaperVenue.place = place
"""
"""Dies once a sale is written ahead, before the venue has it."""
FULL = """
from common.store.intents import Intents
real = Intents.append
def append(self, commit):
    if commit.order.state.side == "sell":
        raise OSError(28, "No space left on device")
    return real(self, commit)
Intents.append = append
"""
"""The disk is full once something is to be sold."""


async def held(on: Stage, name: str = "w1") -> None:
    """A window in which 19.745 shares are held."""
    on.open_window(name, lasts_s=60)
    await on.submit(name)
    await on.wait_report(lambda told: any(one.window == name and one.size6 for one in told.positions))


async def flatten(on: Stage) -> list[str]:
    answer: Answer = await on.ask(Flatten(who="test", reason="enough"), timeout_s=3)
    assert isinstance(answer, Accepted), answer
    return answer.text.split("\n")


def proven(on: Stage) -> None:
    """The journal of a stopped executor adds up, and no order is doubled."""
    journal = open_journal(on.state_dir / "journal.sqlite", now_wall_ns=0)
    found = journal.read()
    assert journal.duplicate_orders() == 0
    journal.close()
    assert found is not None
    assert broken_sums(found.books) == ""


def test_flatten_sells_what_is_held_once_and_keeps_new_orders_out() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            assert await flatten(on) == ["posture no-new-orders", "nothing rests", "nothing is held"]
            await on.ask(SetPosture(posture="trading", reason="go on", who="test"))
            await held(on)
            posture, rests, line = await flatten(on)
            assert (posture, rests) == ("posture no-new-orders", "nothing rests")
            assert line == "w1 up: selling 19.74 shares at 0.49 or better"
            report = await on.wait_report(lambda told: told.orders[-1].status == "filled")
            sale, (position,) = report.orders[-1], report.positions
            assert (sale.side, sale.intent_id, sale.filled_size6) == ("sell", "w1/up/flatten/1", 19_740_000)
            assert (position.size6, position.sold6) == (5_000, 19_740_000)
            assert report.posture.posture == "no-new-orders"
            assert report.posture.reason == "enough"
            assert report.account.ledger_difference_usd6 == 0
            bankroll = 10_000_000_000
            account = report.account
            assert account.cash_usd6 + account.open_cost_usd6 == bankroll + account.realized_pnl_usd6
            # The half cent of shares that is left is below the venue's least, and is said.
            assert (await flatten(on))[2].startswith("w1 up: 0.005 shares stay: 0.005 shares are below")
            topics = {one.topic for one in on.heard if isinstance(one.body, OrderState)}
            assert topics == {"order.w1", "order.w1.1"}
            assert any(isinstance(one.body, PositionState) and one.body.sold6 for one in on.heard)
            assert await on.stop() == 0
            proven(on)

    asyncio.run(play())


def test_what_the_oracle_routes_stopped_stays_stopped_once_a_person_has_flattened() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            routes = SetPosture(posture="no-new-orders", reason="they differ", who=route_rule.WHO)
            assert isinstance(await on.ask(routes), Accepted)
            await flatten(on)
            with pytest.raises(CallRefused, match="not the routes' to change"):
                await on.ask(SetPosture(posture="trading", reason="they agree", who=route_rule.WHO))
            posture = (await on.report()).posture
            assert (posture.posture, posture.reason, posture.who) == ("no-new-orders", "enough", "test")

    asyncio.run(play())


def test_what_cannot_be_sold_is_said_position_by_position() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            for name in ("w1", "w2"):
                await held(on, name)
            on.unproven.add("w1-up")
            asked = len(on.asked)
            begun = time.monotonic()
            _, _, first, second = await flatten(on)
            assert time.monotonic() - begun < 1.5
            assert first == "w1 up: 19.745 shares stay: its book is not proven: hashes to another book"
            assert second.startswith("w2 up: selling")
            assert sorted(on.asked[asked:]) == ["w1-up", "w2-up"]
            report = await on.wait_report(lambda told: told.orders[-1].side == "sell")
            assert [order.window for order in report.orders if order.side == "sell"] == ["w2"]
            assert await on.stop() == 0

    asyncio.run(play())


def test_cancel_all_answers_at_once_and_changes_no_posture() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            assert await on.ask(CancelAll(who="test")) == Accepted(text="nothing rests")
            on.open_window("w1", lasts_s=60, delay_ms=1_500)
            await on.submit("w1")
            begun = time.monotonic()
            answer = await on.ask(CancelAll(who="test"))
            assert time.monotonic() - begun < 1
            assert isinstance(answer, Accepted)
            assert answer.text.startswith("1 order asked back: w1/up/lag")
            # The taker delay cannot be cut short: neither here nor at the venue.
            report = await on.wait_report(lambda told: told.orders[0].status != "working")
            assert report.posture.posture == "trading"
            assert await on.ask(CancelAll(who="test")) == Accepted(text="nothing rests")

    asyncio.run(play())


def test_killed_between_the_intent_and_the_venue_a_sale_is_not_lost_and_not_doubled() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            await held(on)
            assert await on.stop() == 0
            on.start(before=PLACES)
            await on.report()
            on.publish_book("w1")
            while on.process is not None and on.process.poll() is None:
                try:
                    await on.ask(Flatten(who="test"), timeout_s=1)
                except Exception:  # noqa: BLE001 - it dies meanwhile
                    await asyncio.sleep(0.05)
            assert on.process is not None
            assert on.process.poll() == 9
            on.start()
            report = await on.report()
            sale = report.orders[-1]
            assert (sale.side, sale.status, sale.intent_id) == ("sell", "killed", "w1/up/flatten/1")
            # The posture was durable before anything was sold.
            assert report.posture.posture == "no-new-orders"
            assert report.positions[0].size6 == 19_745_000
            on.publish_book("w1")
            sent: list[str] = []

            async def again() -> None:
                while not any("selling" in line for line in sent):
                    sent.extend(await flatten(on))

            await asyncio.wait_for(again(), 10)
            report = await on.wait_report(lambda told: told.orders[-1].status == "filled")
            assert report.orders[-1].intent_id == "w1/up/flatten/2"
            assert report.positions[0].size6 == 5_000
            assert await on.stop() == 0
            proven(on)

    asyncio.run(play())


def test_a_sale_that_cannot_be_written_ahead_is_not_sent() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start(before=FULL)
            await on.report()
            await held(on)
            line = (await flatten(on))[2]
            assert line.startswith("w1 up: 19.74 shares stay: journal: ")
            assert "No space left" in line
            report = await on.report()
            assert [order.side for order in report.orders] == ["buy"]
            assert report.posture.posture == "halted"
            assert report.positions[0].size6 == 19_745_000

    asyncio.run(play())


def test_a_sale_waits_out_the_taker_delay_and_blocks_its_token_meanwhile() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            await held(on)
            on.publish_market(msgspec.structs.replace(on.markets["w1"], taker_delay_ns=1_500_000_000))
            await held(on, "w2")  # Whoever has heard of this has heard of that.
            on.publish_book("w1")
            assert "selling" in (await flatten(on))[2]
            again = await flatten(on)
            assert "w1/up/flatten/1" in again[1]
            assert again[2] == "w1 up: 19.745 shares stay: the fate of w1/up/flatten/1 is open"
            report = await on.wait_report(lambda told: all(one.status == "filled" for one in told.orders))
            sales = [order.intent_id for order in report.orders if order.side == "sell"]
            assert sorted(sales) == ["w1/up/flatten/1", "w2/up/flatten/1"]

    asyncio.run(play())
