import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import zmq.asyncio

import executor_stage
from common.chat.telling import Telling, open_alarms, tell
from common.core.remote.letters import Letter
from common.core.remote.traces import Traces
from common.messages import (
    AccountState,
    Alert,
    Heartbeat,
    PostureState,
    Published,
    Status,
    StatusReport,
    TakeSnapshot,
    WindowView,
)
from common.runtime.clock import ManualClock
from common.runtime.publisher import Publisher
from common.runtime.responder import Responder
from common.sim.telegram.flood import FloodLimits
from common.store.outbox import Outbox, open_outbox
from common.units import SECOND
from telegram_stage import ANN, BOB, GROUP, Stage, make_process, stage
from window_bodies import FILLED, SETTLED, START_S, WINDOW, fill, order, position, redemption

FREE = FloodLimits(private=10_000, group=10_000, overall=10_000)
ACCOUNT = AccountState(
    mode="paper", cash_usd6=1_000_000_000, open_cost_usd6=0, realized_pnl_usd6=0, day="2026-09-21",
    day_pnl_usd6=0, fees_usd6=0, orders=0, fills=0, duplicate_orders=0, ledger_difference_usd6=0,
)  # fmt: skip
TRADING = PostureState(posture="trading", reason="", who="", since_ns=1)


def report(facts: dict[str, str]) -> StatusReport:
    return StatusReport(
        role="sentinel", pid=1, boot="b", state="ready", detail="", uptime_ms=1, published=0, sources=(),
        ages_ms={}, counters={}, facts=facts,
    )  # fmt: skip


# On the real bus, to the Bot API double.


class Bus:
    """Publishers and responders in place of the other processes."""

    def __init__(self, here: Stage) -> None:
        self._here = here
        self._publishers: dict[str, Publisher] = {}
        self._responders: list[Responder] = []
        self.alarms: dict[str, str] = {}

    def open(self, *roles: str) -> None:
        process = self._here.process
        for role in roles:
            publisher = Publisher(process.ctx, process.run_dir, role, process.clock)
            responder = Responder(process.ctx, process.run_dir, role, process.clock)
            responder.on(TakeSnapshot, lambda _command, _request, made=publisher: made.snapshot())
            responder.on(Status, lambda _command, _request: report(self.alarms))
            self._publishers[role] = publisher
            self._responders.append(responder)
            process.spawn(publisher.run(), name=role)
            process.spawn(responder.run(), name=role)

    def say(self, role: str, body: Published, topic: str = "t", *, keep: bool = False) -> None:
        self._publishers[role].publish(topic, body, keep=keep)


def is_synced(here: Stage, *roles: str) -> bool:
    subscribers = here.process.subscribers
    return bool(subscribers) and subscribers[0].unsynced().isdisjoint(roles)


@asynccontextmanager
async def playing(directory: Path, *, chats: tuple[int, ...] = (ANN,)) -> AsyncIterator[tuple[Stage, Bus]]:
    async with stage(directory, limits=FREE) as here:
        bus = Bus(here)
        bus.open("executor", "sentinel", "strategist", "redeemer")
        here.process.spawn(tell(here.process, here.outbox, chats), name="telling")
        await here.until(lambda: is_synced(here, "executor", "sentinel"))
        yield here, bus
        here.process.stopping.set()
        for task in asyncio.all_tasks():
            if task.get_name() in ("executor", "sentinel", "strategist", "redeemer"):
                task.cancel()


async def test_a_window_is_one_message_from_order_to_settlement(tmp_path: Path) -> None:
    async with playing(tmp_path, chats=(ANN, GROUP)) as (here, bus):
        for body, words in (
            (order(), "on its way"),
            (FILLED, "bought 17.24 at 0.58"),
            (fill(), "confirmed"),
            (SETTLED, "profit +7.11 $"),
        ):
            bus.say("executor", body, f"x.{type(body).__name__}", keep=True)
            for chat in (ANN, GROUP):
                await here.until(
                    lambda chat=chat, words=words: any(words in text for text in here.texts(chat))
                )
        for chat in (ANN, GROUP):
            (card,) = here.api.sent(chat)
            assert card.text.startswith("\N{LARGE GREEN CIRCLE} BTC 14:15-14:30 UTC") and card.silent
            assert card.edited >= 1
        asked = len(here.api.requests)
        await asyncio.sleep(1.5)  # all of it is published again each second
        assert len(here.api.requests) == asked


async def test_an_alarm_sounds_at_once_and_its_all_clear_follows(tmp_path: Path) -> None:
    async with playing(tmp_path) as (here, bus):
        bus.say("sentinel", Alert(level="critical", code="fatal.books", text="supervisord gave up on books"))
        await here.until(here.texts)
        bus.say("sentinel", Alert(level="info", code="fatal.books-over", text="books runs again"))
        await here.until(lambda: len(here.texts()) == 2)
        raised, over = here.api.sent(ANN)
        assert "supervisord gave up on books" in raised.text and not raised.silent
        assert "over: fatal.books" in over.text and over.silent


async def test_what_was_alarmed_before_the_start_is_told_after_it(tmp_path: Path) -> None:
    async with stage(tmp_path, limits=FREE) as here:
        bus = Bus(here)
        bus.alarms = {"alert.fatal.books": "2026-11-26T14:00:00Z critical supervisord gave up"}
        bus.open("sentinel")
        here.process.spawn(tell(here.process, here.outbox, (ANN,)), name="telling")
        await here.until(lambda: any("supervisord gave up" in text for text in here.texts()))
        here.process.stopping.set()
        for task in asyncio.all_tasks():
            if task.get_name() == "sentinel":
                task.cancel()


@pytest.mark.procs
async def test_a_real_executors_trade_is_one_card(tmp_path: Path) -> None:
    async with executor_stage.stage() as floor:
        floor.start()
        window = f"btc-updown-15m-{floor.clock.wall_ns() // SECOND}"
        async with stage(tmp_path, limits=FREE, run_dir=floor.run_dir) as here:
            here.process.spawn(tell(here.process, here.outbox, (ANN,)), name="telling")
            floor.open_window(window, lasts_s=4)
            await floor.submit(window)
            await here.until(lambda: any("held: " in text for text in here.texts()))
            floor.settle(window, "up")
            await here.until(lambda: any("settled Up" in text for text in here.texts()), 30)
            cards = [each for each in here.api.sent(ANN) if "BTC" in each.text]
            (card,) = cards
            assert card.text.startswith("\N{LARGE GREEN CIRCLE}") and "confirmed" in card.text
            assert any("laggard tells from now on: paper, trading" in text for text in here.texts())


# By hand, with a clock that only moves when told.


class Hand:
    def __init__(self, telling: Telling, outbox: Outbox, clock: ManualClock) -> None:
        self.telling, self.outbox, self.clock = telling, outbox, clock

    def pass_s(self, seconds: int, *bodies: Published) -> None:
        for _ in range(seconds):
            self.clock.advance(SECOND)
            for body in bodies:
                self.telling.take(body)
            self.telling.tick()

    def letters(self) -> list[Letter]:
        """What waits, taken out."""
        found = []
        for waiting in self.outbox.waiting():
            dispatch = self.outbox.begin(waiting.number)
            found.append(dispatch.letter)
            self.outbox.sent(dispatch, dispatch.message_id or 1000 + waiting.number)
        return found


@asynccontextmanager
async def by_hand(
    directory: Path, clock: ManualClock, *, chats: tuple[int, ...] = (ANN,), traces: Traces | None = None
) -> AsyncIterator[Hand]:
    ctx = zmq.asyncio.Context()
    async with asyncio.TaskGroup() as group:
        process = make_process(directory, group, ctx=ctx, clock=clock)
        outbox = open_outbox(process.paths.outbox_file, clock)
        telling = Telling(process, outbox, chats, traces or Traces())
        yield Hand(telling, outbox, clock)
        outbox.close()
        process.subscribers[0].close()
    ctx.destroy(linger=0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall=(START_S + 200) * SECOND, mono=10**12)


async def test_it_introduces_itself_once_however_often_it_starts(tmp_path: Path, clock: ManualClock) -> None:
    told = []
    for _ in range(3):
        async with by_hand(tmp_path, clock) as hand:
            hand.pass_s(1)
            assert hand.letters() == []
            hand.pass_s(3, ACCOUNT, TRADING, position())
            told += [each.text for each in hand.letters() if each.lane == "info"]
    assert len(told) == 1
    assert "paper, trading, cash 1000.00 $, 1 open positions" in told[0]


async def test_a_restart_tells_nothing_twice(tmp_path: Path, clock: ManualClock) -> None:
    async with by_hand(tmp_path, clock) as hand:
        hand.pass_s(2, FILLED, fill(), position())
        assert [each.lane for each in hand.letters()] == ["trade"]
    async with by_hand(tmp_path, clock) as hand:
        hand.pass_s(3, fill(), FILLED, position())
        assert hand.letters() == []
        hand.pass_s(1, SETTLED)
        (card,) = hand.letters()
        assert "profit +7.11 $" in card.text


async def test_a_card_keeps_what_a_restart_does_not_hear_again(tmp_path: Path, clock: ManualClock) -> None:
    """Trades are published once; orders and positions come with every snapshot."""
    async with by_hand(tmp_path, clock) as hand:
        hand.pass_s(2, FILLED, fill(), SETTLED)
        (card,) = hand.letters()
        assert "confirmed" in card.text
    async with by_hand(tmp_path, clock) as hand:
        hand.pass_s(2, FILLED, SETTLED)
        assert hand.letters() == []
        hand.pass_s(1, redemption(window=WINDOW, status="paid", paid_usd6=17_240_000))
        (card,) = hand.letters()
        assert "confirmed" in card.text.splitlines() and "redeemed: 17.24 $ arrived" in card.text


async def test_windows_of_long_ago_are_told_only_where_their_message_is(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with by_hand(tmp_path, clock) as hand:
        hand.pass_s(1, position())
        assert len(hand.letters()) == 1
    clock.advance(3 * 3600 * SECOND)
    unknown = msgspec.structs.replace(SETTLED, window=f"eth-updown-15m-{START_S}")
    async with by_hand(tmp_path, clock) as hand:
        hand.pass_s(1, SETTLED, unknown)
        (card,) = hand.letters()
        assert "BTC" in card.text and "profit +7.11 $" in card.text


async def test_a_digest_each_hour_and_each_day_once(tmp_path: Path, clock: ManualClock) -> None:
    async with by_hand(tmp_path, clock, chats=(ANN, BOB)) as hand:
        hand.pass_s(5, ACCOUNT, TRADING, FILLED, SETTLED)
        hand.letters()
        clock.advance(45 * 60 * SECOND)  # past 15:00
        hand.pass_s(5, ACCOUNT)
        hours = [each for each in hand.letters() if each.lane == "digest"]
        assert [each.chat_id for each in hours] == [ANN, BOB]
        assert hours[0].text.startswith("14:00-15:00 UTC, paper, trading\ntrades 1") and hours[0].silent
        clock.advance(9 * 3600 * SECOND)  # past midnight
        hand.pass_s(5, ACCOUNT)
        texts = [each.text for each in hand.letters() if each.lane == "digest" and each.chat_id == ANN]
    assert [text.split(",")[0] for text in texts] == ["15:00-16:00 UTC", "Day 2026-09-21 UTC"]
    async with by_hand(tmp_path, clock) as hand:
        hand.pass_s(5, ACCOUNT, TRADING)
        assert [each for each in hand.letters() if each.lane == "digest"] == []


async def test_posture_and_silence_are_told(tmp_path: Path, clock: ManualClock) -> None:
    beat = Heartbeat(role="executor", pid=1, state="ready", detail="", ages_ms={}, counters={})
    halted = PostureState(
        posture="halted", reason="the ledger is off", who="executor", since_ns=clock.wall_ns()
    )
    async with by_hand(tmp_path, clock) as hand:
        hand.pass_s(3, beat, TRADING)
        hand.pass_s(1, beat, halted)
        (said,) = hand.letters()
        assert (said.lane, said.silent) == ("critical", False) and "the ledger is off" in said.text
        hand.pass_s(20)
        (said,) = hand.letters()
        assert "no sign of life" in said.text


async def test_a_card_that_could_not_be_kept_is_put_again(tmp_path: Path, clock: ManualClock) -> None:
    async with by_hand(tmp_path, clock) as hand:
        pages = hand.outbox._connection.execute("PRAGMA page_count").fetchone()[0]
        hand.outbox._connection.execute(f"PRAGMA max_page_count = {pages}")
        hand.pass_s(3, order(reason="x" * 4000))
        hand.telling.take(Alert(level="critical", code="fatal.books", text="y" * 4000))
        (alarm,) = hand.outbox.waiting()
        assert alarm.number < 0  # in memory alone, but it will go out
        hand.outbox._connection.execute("PRAGMA max_page_count = 100000")
        hand.pass_s(1, order(reason="x" * 4000))
        assert sorted(each.lane for each in hand.letters()) == ["critical", "trade"]


async def test_what_the_pictures_need_is_kept(tmp_path: Path, clock: ManualClock) -> None:
    traces = Traces()
    view = WindowView(
        window=WINDOW, asset="btc", start_ns=START_S * SECOND, end_ns=(START_S + 900) * SECOND,
        strike_e18="96550000000000000000000", strike_source="", strike_disputes=0,
        reference_e18="96600000000000000000000", reference_family="chainlink", move_ppm=1, up_bid4=5700,
        up_ask4=5800, down_bid4=4200, down_ask4=4300, tradable=True, reason="", predicted=None, outcome=None,
    )  # fmt: skip
    async with by_hand(tmp_path, clock, traces=traces) as hand:
        hand.pass_s(5, fill(), view, view)
        trace = traces.worth_showing(clock.wall_ns())
        assert trace is not None
        assert (len(trace.sights), len(trace.entries), trace.window) == (5, 1, WINDOW)
        hand.pass_s(1, fill(status="failed"))
        assert not trace.entries


def test_open_alarms_are_read_from_the_status() -> None:
    found = open_alarms(
        report(
            {
                "alert.fatal.books": "2026-11-26T14:00:00Z critical supervisord gave up on books",
                "alert.canary.books": "2026-11-26T14:00:00Z warning late",
                "restarts.books": "3",
                "alert.odd": "x",
            }
        )
    )
    assert found == [
        Alert(level="critical", code="fatal.books", text="supervisord gave up on books"),
        Alert(level="warning", code="canary.books", text="late"),
    ]
