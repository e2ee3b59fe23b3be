"""The executor killed at any moment: one order per intent, every cent accounted for, one settlement each."""

import asyncio
import sqlite3

import msgspec
import pytest

from common.core.account import broken_sums
from common.errors import CallRefused, CallTimedOut
from common.messages import Accepted, OrderState, PositionState, SetPosture
from common.store.journal import Recovered, open_journal
from executor_stage import Stage, stage, until

pytestmark = pytest.mark.procs


def recovered(on: Stage) -> Recovered:
    """What the journal holds once its executor is gone."""
    journal = open_journal(on.state_dir / "journal.sqlite", now_wall_ns=0)
    found = journal.read()
    assert journal.duplicate_orders() == 0
    journal.close()
    assert found is not None
    assert broken_sums(found.books) == ""
    return found


def test_fills_settles_and_says_so() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            on.open_window("w1", lasts_s=1.5)
            accepted = await on.submit("w1")
            again = await on.ask(on.wish("w1"))
            assert isinstance(again, Accepted)
            assert (again.order_id, again.repeated) == (accepted.order_id, True)
            report = await on.wait_report(lambda r: r.positions)
            (position,) = report.positions
            (order,) = report.orders
            assert order.status == "filled"
            # 7 shares at 0.50 and 12.745 (four decimals) at 0.51
            assert position.cost_usd6 == order.cost_usd6 == 3_500_000 + 6_499_950
            assert report.account.cash_usd6 == 10_000_000_000 - position.cost_usd6 - position.fee_usd6
            await until(lambda: "w1" in on.followed)
            on.settle("w1", "up")
            report = await on.wait_report(lambda r: r.positions[0].settled)
            (position,) = report.positions
            assert position.payout_usd6 == position.size6
            assert report.account.realized_pnl_usd6 == position.pnl_usd6 == report.account.day_pnl_usd6
            assert report.account.ledger_difference_usd6 == 0
            assert report.account.duplicate_orders == 0
            kinds = {type(envelope.body).__name__ for envelope in on.heard}
            assert kinds >= {
                "OrderState",
                "Fill",
                "PositionState",
                "PostureState",
                "AccountState",
                "Heartbeat",
            }
            assert await on.stop() == 0
            recovered(on)

    asyncio.run(play())


def test_killed_at_random_moments() -> None:
    rounds = 25

    async def play() -> None:
        async with stage() as on:
            promised: dict[str, str] = {}
            windows: list[str] = []
            for number in range(rounds):
                on.start()
                await on.report()
                fresh = [f"w{number}-{n}" for n in range(3)]
                for name in fresh:
                    on.open_window(
                        name, lasts_s=1.0 + on.dice.random() * 2, delay_ms=on.dice.choice((0, 5, 40))
                    )
                windows += fresh
                for name in windows[:-6]:
                    if on.markets[name].outcome is None:
                        on.settle(name, on.dice.choice(("up", "down")))
                async with asyncio.TaskGroup() as group:
                    work = [group.create_task(shout(on, name, promised)) for name in fresh]
                    await asyncio.sleep(on.dice.random() * 0.25)
                    on.kill()
                    for task in work:
                        task.cancel()
            on.start()
            report = await on.report()
            assert report.account.duplicate_orders == 0
            assert not [order for order in report.orders if order.status == "working"]
            for name in windows:
                if on.markets[name].outcome is None:
                    on.settle(name, "down")
            report = await on.wait_report(lambda r: all(p.settled for p in r.positions), 20.0)
            assert await on.stop() == 0
            books = recovered(on).books
            assert len({order.state.order_id for order in books.orders.values()}) == len(books.orders)
            for intent, order_id in promised.items():
                assert books.orders[intent].state.order_id == order_id
            assert len(promised) > rounds  # the test is about orders, not about their absence
            assert len(books.settlements) == len(books.positions) > 0
            settled = [entry.evidence for entry in books.entries if entry.kind == "settled"]
            assert len(settled) == len(set(settled)) == len(books.positions)
            statuses = {order.state.status for order in books.orders.values()}
            assert "working" not in statuses
            killed = [o.state for o in books.orders.values() if "restarted" in o.state.reason]
            assert all(state.filled_size6 == 0 for state in killed)
            assert killed

    asyncio.run(play())


async def shout(on: Stage, name: str, promised: dict[str, str]) -> None:
    """Submit the same intent again and again; remember what was promised."""
    while True:
        try:
            answer = await on.ask(on.wish(name), timeout_s=0.2)
        except (CallTimedOut, CallRefused):
            await asyncio.sleep(0.005)
            continue
        assert isinstance(answer, Accepted)
        assert promised.setdefault(f"{name}/up/lag", answer.order_id) == answer.order_id
        await asyncio.sleep(0.002)


def test_an_order_left_working_is_killed_once_and_its_money_released() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            on.open_window("w1", lasts_s=60, delay_ms=30_000)
            await on.submit("w1")
            on.kill()
            on.start()
            report = await on.report()
            (order,) = report.orders
            assert (order.status, order.reason) == ("killed", "executor restarted before the match")
            assert report.account.cash_usd6 == 10_000_000_000
            again = await on.ask(on.wish("w1"))
            assert isinstance(again, Accepted)
            assert (again.order_id, again.repeated) == (order.order_id, True)
            on.kill()
            on.start()
            assert (await on.report()).orders == (order,)

    asyncio.run(play())


def test_a_position_of_an_earlier_run_is_followed_and_settled() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            on.open_window("w1", lasts_s=1.0)
            await on.submit("w1")
            await on.wait_report(lambda r: r.positions)
            on.kill()
            assert on.publisher is not None
            on.publisher.forget("market.w1")  # books has moved on, and forgot
            on.publisher.forget("book.w1-up")
            on.followed.clear()
            on.start()
            await until(lambda: "w1" in on.followed)
            on.settle("w1", "down")
            report = await on.wait_report(lambda r: r.positions[0].settled)
            assert report.positions[0].payout_usd6 == 0
            assert report.account.loss_streak == 1
            assert report.account.day_pnl_usd6 == report.positions[0].pnl_usd6 < 0
            on.kill()
            on.start()
            assert (await on.report()).account.loss_streak == 1

    asyncio.run(play())


def test_a_posture_survives_and_stops_orders() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            paused = SetPosture(posture="paused", reason="lunch", who="operator")
            assert isinstance(await on.ask(paused, "r-1"), Accepted)
            on.kill()
            on.start()
            report = await on.report()
            assert (report.posture.posture, report.posture.reason, report.posture.who) == (
                "paused",
                "lunch",
                "operator",
            )
            trading = SetPosture(posture="trading", reason="back", who="operator")
            await on.ask(trading, "r-2")
            late = await on.ask(paused, "r-1")  # a repetition from before the restart changes nothing
            assert isinstance(late, Accepted) and late.repeated
            assert (await on.report()).posture.posture == "trading"
            await on.ask(paused, "r-3")
            on.open_window("w1", lasts_s=60)
            with pytest.raises(CallRefused) as refused:
                await on.ask(on.wish("w1"))
            assert refused.value.code == "posture"

    asyncio.run(play())


def test_a_broken_invariant_brings_it_back_halted() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            # Somebody else writes the very order the executor is about to write.
            on.open_window("w1", lasts_s=60, delay_ms=500)
            await on.submit("w1")
            other = sqlite3.connect(on.state_dir / "journal.sqlite", timeout=5)
            other.execute("UPDATE orders SET status = 'killed'")
            other.commit()
            other.close()
            await until(lambda: on.process is not None and on.process.poll() is not None)
            assert on.process is not None and on.process.returncode == 70
            for _ in range(2):
                on.start()
                report = await on.report()
                assert report.posture.posture == "halted"
                assert "not working" in report.posture.reason
                on.kill()

    asyncio.run(play())


def test_a_ledger_that_does_not_add_up_halts() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            on.kill()
            other = sqlite3.connect(on.state_dir / "journal.sqlite")
            other.execute("DROP TRIGGER account_no_update")
            other.execute("UPDATE account SET bankroll_usd6 = bankroll_usd6 + 1")
            other.commit()
            other.close()
            on.start()
            report = await on.report()
            assert report.posture.posture == "halted"
            assert report.account.ledger_difference_usd6 != 0

    asyncio.run(play())


def test_a_full_disk_stops_orders_not_the_process() -> None:
    before = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))"

    async def play() -> None:
        async with stage() as on:
            on.start(before=before)
            await on.report()
            refused = None
            accepted = 0
            for number in range(200):
                name = f"w{number}"
                on.open_window(name, lasts_s=60, delay_ms=0)
                await asyncio.sleep(0.01)
                try:
                    await on.ask(on.wish(name))
                    accepted += 1
                except CallRefused as error:
                    if error.code in ("journal", "posture"):
                        refused = error
                        break
            assert refused is not None
            report = await on.report()
            assert report.posture.posture == "halted"
            assert on.process is not None and on.process.poll() is None
            assert len(report.orders) == accepted
            on.kill()
            on.start()
            report = await on.report()
            assert len(report.orders) == accepted
            assert report.account.ledger_difference_usd6 == 0
            on.kill()
            recovered(on)

    asyncio.run(play())


def test_a_commit_that_fails_behind_its_order_is_no_refusal_of_it() -> None:
    """The order has left: a "no" would be a lie; its intent goes into the tables when they can take it."""

    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            on.open_window("w1", lasts_s=60, delay_ms=0)
            await on.submit("w1")
            on.open_window("w2", lasts_s=60, delay_ms=0)
            await until_refused_no_more(on, "w2")
            blocker = sqlite3.connect(on.state_dir / "journal.sqlite", isolation_level=None)
            blocker.execute("BEGIN IMMEDIATE")
            answer = await on.ask(on.wish("w2"), timeout_s=5)
            assert isinstance(answer, Accepted)
            report = await on.report()
            assert report.posture.posture == "halted"
            assert "journal" in report.posture.reason
            assert {order.window for order in report.orders} == {"w1", "w2"}
            on.kill()
            blocker.execute("ROLLBACK")
            blocker.close()
            on.start()
            report = await on.report()
            assert {order.window for order in report.orders} == {"w1", "w2"}
            assert report.account.ledger_difference_usd6 == 0
            on.kill()

    asyncio.run(play())


async def until_refused_no_more(on: Stage, name: str) -> None:
    """Until the executor has the window's book: an oversized stake is refused for nothing but its size."""
    async with asyncio.timeout(10):
        while True:
            try:
                await on.ask(msgspec.structs.replace(on.wish(name), stake_usd6=26_000_000))
            except CallRefused as refusal:
                if refusal.code == "risk":
                    return
                on.publish_book(name)
                await asyncio.sleep(0.02)


def test_a_second_executor_is_refused() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            first = on.process
            on.start()
            assert on.process is not None
            await until(lambda: on.process is not None and on.process.poll() is not None)
            assert on.process.returncode == 69
            on.process = first
            await on.report()

    asyncio.run(play())


def test_published_state_is_repeated_for_late_joiners() -> None:
    async def play() -> None:
        async with stage() as on:
            on.start()
            await on.report()
            on.open_window("w1", lasts_s=60)
            await on.submit("w1")
            await on.wait_report(lambda r: r.positions)
            on.heard.clear()
            await until(lambda: {OrderState, PositionState} <= {type(envelope.body) for envelope in on.heard})

    asyncio.run(play())
