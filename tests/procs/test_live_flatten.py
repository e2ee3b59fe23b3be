"""Live flatten: what is held is sold once, whatever the venue answers and wherever the executor is killed.

The venue's own history is the truth everything is compared with.
"""

import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from common.errors import CallRefused, CallTimedOut
from common.messages import (
    Accepted,
    AccountReport,
    CancelAll,
    ChecksReport,
    Flatten,
    OrderState,
    ReadAccount,
    ReadChecks,
    SetPosture,
)
from common.venue.signing.contracts import CTF_EXCHANGE
from live_stage import LiveStage, live_stage, stop_forking, until_accepted
from test_prove import prove

pytestmark = [pytest.mark.procs, pytest.mark.live, pytest.mark.timeout(300)]

SETTINGS = {"mined_after_ms": 100, "confirmed_after_ms": 200}
CASE_LIMIT_S = 40.0


def reply(form: str, *, taken: bool = True, **more: Any) -> dict[str, Any]:
    return {"kind": "order_reply", "form": form, "taken": taken, "times": 1, **more}


REPLIES: dict[str, dict[str, Any] | None] = {
    "matched": None,
    "delayed, filled later": reply("delayed", after_ms=300),
    "time-out, taken": reply("timeout"),
    "reset, not taken": reply("reset", taken=False),
    "unparsable 200, taken": reply("garbage"),
    "failed on chain": {"kind": "trade_path", "statuses": ["MINED", "FAILED"], "times": 1},
}
_EXIT = "import os\nWINDOW = {window!r}\n"
CRASHES = {
    "journalled, not sent": """
import common.venue.live_orders as live
real = live.LiveVenue.place
def place(self, order, market):
    if order.state.window == WINDOW and order.state.side == "sell":
        os._exit(9)
    return real(self, order, market)
live.LiveVenue.place = place
""",
    "sent, not answered": """
import common.venue.live_orders as live, common.venue.clob.order_line as line
real, write, now = live.LiveVenue.place, line._Line.send, []
def place(self, order, market):
    if order.state.side == "sell":
        now.append(order.state.window)
    return real(self, order, market)
def send(self, request):
    waiting = write(self, request)
    if request.startswith(b"POST") and WINDOW in now:
        os._exit(9)
    return waiting
live.LiveVenue.place, line._Line.send = place, send
""",
    "answered, not journalled": """
from common.venue.desk import Desk
real = Desk.tell
def tell(self, event):
    if type(event).__name__ == "Answered" and event.intent_id.startswith(WINDOW + "/up/flatten/"):
        os._exit(9)
    return real(self, event)
Desk.tell = tell
""",
    "journalled, not told": """
from common.venue.desk import Desk
real = Desk._carry_out
def carry_out(self, effects):
    for one in effects:
        if type(one).__name__ == "PublishFill" and (one.fill.window, one.fill.side) == (WINDOW, "sell"):
            os._exit(9)
    return real(self, effects)
Desk._carry_out = carry_out
""",
}


@dataclass
class Row:
    """One case, as it ended."""

    crash: str
    reply: str
    crashed: bool = False
    sales: list[str] = field(default_factory=list)
    executed: int = 0
    problems: list[str] = field(default_factory=list)


def shown(row: Row) -> str:
    verdict = "; ".join(row.problems) or "ok"
    crashed = "crashed" if row.crashed else "-"
    sales = ", ".join(row.sales)
    return f"{row.crash:26} {row.reply:24} {crashed:8} executed {row.executed}  {sales:20} {verdict}"


async def held(live: LiveStage, name: str) -> None:
    """19.745 shares of a window, confirmed by the chain."""
    live.open_window(name)
    live.faults()
    while True:
        try:
            await live.on.ask(SetPosture(posture="trading", reason="go on", who="test"), timeout_s=1)
        except (CallTimedOut, CallRefused):
            await asyncio.sleep(0.05)
            continue
        break
    await until_accepted(live, name, limit_s=60)
    await at_rest(live, name)


async def at_rest(live: LiveStage, name: str) -> AccountReport:
    """Wait until no order of a window is open and no trade is provisional."""
    return await live.on.wait_report(
        lambda told: (
            not told.account.provisional_fills
            and any(order.window == name for order in told.orders)
            and not any(order.status == "working" for order in told.orders)
        ),
        60,
    )


async def flattened(live: LiveStage, name: str) -> list[str]:
    """What flatten says, asked again until somebody answers; nothing from one that died."""
    deadline = time.monotonic() + 30
    while live.on.process is not None and live.on.process.poll() is None:
        assert time.monotonic() < deadline
        live.publish_book(name)
        try:
            answer = await live.on.ask(Flatten(who="test", reason="out"), timeout_s=2)
        except (CallTimedOut, CallRefused):
            continue
        assert isinstance(answer, Accepted)
        lines = answer.text.split("\n")
        (own,) = [line for line in lines if line.startswith(f"{name} up: ")]
        # A restarted executor first has to hear of the window and its book.
        if not any(gap in own for gap in ("has not told", "no book", "are missing")):
            return lines
        await asyncio.sleep(0.05)
    return []


def sales_of(report: AccountReport, name: str) -> list[OrderState]:
    return [order for order in report.orders if order.window == name and order.side == "sell"]


async def compare(live: LiveStage, name: str) -> tuple[int, list[str]]:
    """How many sales the venue executed, and where its history and ours are not one."""
    report, truth = await at_rest(live, name), await live.truth()
    token = live.specs[name].token_up
    theirs = {one["id"]: one for one in truth["orders"] if one["token"] == token and one["side"] == "SELL"}
    ours = {order.order_id: order for order in sales_of(report, name)}
    executed = [one for one in truth["executed"] if one in theirs]
    problems = []
    if len(executed) != len(set(executed)):
        problems.append("a sale was executed twice")
    if not set(theirs) <= set(ours):
        problems.append("the venue has a sale that is not ours")
    (position,) = [one for one in report.positions if one.window == name]
    chain = truth["accounts"][0]["chain"]
    if position.size6 != chain["tokens"].get(token, 0):
        problems.append(f"we hold {position.size6}, the chain says {chain['tokens'].get(token, 0)}")
    if report.account.cash_usd6 != chain["usd6"]:
        problems.append(f"cash {report.account.cash_usd6}, on chain {chain['usd6']}")
    if report.account.ledger_difference_usd6 or report.account.duplicate_orders:
        problems.append("the books do not add up")
    return len(executed), problems


async def case(live: LiveStage, crash: str, reply_name: str, name: str, following: str) -> Row:
    """Flatten, crash, come back, flatten again: in the end everything is sold, once."""
    row = Row(crash, reply_name)
    await held(live, name)
    fault = REPLIES[reply_name]
    live.faults(*([fault] if fault else []))
    await flattened(live, name)
    began = time.monotonic()
    assert live.on.process is not None
    while live.on.process.poll() is None and not await decided(live, name):
        if time.monotonic() - began > CASE_LIMIT_S:
            row.problems.append("neither crashed nor decided")
            break
        await asyncio.sleep(0.05)
    row.crashed = live.on.process.poll() == 9
    if not row.crashed:
        live.on.kill()
    live.start(before=_EXIT.format(window=following) + CRASHES[crash])
    report = await live.on.report(limit_s=60)
    if report.posture.posture != "no-new-orders":
        row.problems.append(f"came back {report.posture.posture}")
    deadline = time.monotonic() + CASE_LIMIT_S
    while True:
        await at_rest(live, name)
        lines = await flattened(live, name)
        if any(f"{name} up: 0.00" in line for line in lines):
            break
        if time.monotonic() > deadline:
            row.problems.append(f"still held: {lines}")
            break
        await asyncio.sleep(0.2)
    row.executed, problems = await compare(live, name)
    row.problems += problems
    row.sales = [order.status for order in sales_of(await live.on.report(), name)]
    return row


async def decided(live: LiveStage, name: str) -> bool:
    """Whether a sale is over and the chain has decided its trades."""
    while live.on.process is not None and live.on.process.poll() is None:
        try:
            report = await live.on.ask(ReadAccount(), timeout_s=0.2)
        except (CallTimedOut, CallRefused):
            continue
        assert isinstance(report, AccountReport)
        sales = sales_of(report, name)
        over = bool(sales) and all(order.status != "working" for order in sales)
        return over and not report.account.provisional_fills
    return False


@pytest.mark.slow
def test_four_crash_points_times_six_replies(capsys: pytest.CaptureFixture[str]) -> None:
    async def column(number: int, crash: str) -> list[Row]:
        async with live_stage(SETTINGS, LAGGARD_ORDERS__ANSWER_S="1") as live:
            names = [f"w{number}-{place}" for place in range(len(REPLIES) + 1)]
            live.start(before=_EXIT.format(window=names[0]) + CRASHES[crash])
            await live.on.report(limit_s=60)
            rows = [
                await case(live, crash, name, names[place], names[place + 1])
                for place, name in enumerate(REPLIES)
            ]
            assert await live.on.stop() == 0
            code, _, said = await prove(live.on)
            assert code == 0, said
            return rows

    async def play() -> list[Row]:
        async with asyncio.TaskGroup() as group:
            columns = [group.create_task(column(n, crash)) for n, crash in enumerate(CRASHES)]
        return [row for task in columns for row in task.result()]

    try:
        rows = asyncio.run(play())
    finally:
        stop_forking()
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(shown(row) for row in rows) + "\n")
    assert len(rows) == 24
    assert sum(row.crashed for row in rows) >= 18  # the table is about crashes, not about their absence
    assert [row for row in rows if row.problems] == []


async def cancelled_while_delayed(live: LiveStage) -> None:
    """An order that waits at the venue is asked back at once, which the venue refuses, and is followed on."""
    await live.on.ask(SetPosture(posture="trading", reason="go on", who="test"))
    live.open_window("w3")
    live.faults(reply("delayed", after_ms=1_500, taken=False))
    await until_accepted(live, "w3")
    begun = time.monotonic()
    answer = await live.on.ask(CancelAll(who="test"))
    assert time.monotonic() - begun < 1
    assert isinstance(answer, Accepted)
    assert answer.text.startswith("1 order asked back: w3/up/lag")
    report = await at_rest(live, "w3")
    assert report.posture.posture == "trading"
    assert [order.status for order in report.orders if order.window == "w3"] == ["killed"]


async def well_or_not(live: LiveStage) -> tuple[str, str]:
    """What the executor's own checks find of the approval to sell, made anew."""
    report = await live.on.ask(ReadChecks(anew=True), timeout_s=10)
    assert isinstance(report, ChecksReport)
    assert [one for one in report.results if one.state == "failed"] == []
    (found,) = [one for one in report.results if one.name == "approval to sell"]
    return found.state, found.text


def test_without_the_approval_flatten_says_so_and_nothing_is_lost() -> None:
    async def play() -> None:
        async with live_stage(SETTINGS, LAGGARD_ORDERS__ANSWER_S="1") as live:
            live.start()
            await live.on.wait_report(lambda told: told.posture.posture == "trading", 60)
            live.faults({"kind": "chain", "approvals_missing": [CTF_EXCHANGE]})
            state, text = await well_or_not(live)
            assert (state, CTF_EXCHANGE in text) == ("warning", True)
            # It stops no purchase.
            live.open_window("w1")
            await until_accepted(live, "w1")
            before = await at_rest(live, "w1")
            lines = await flattened(live, "w1")
            assert lines[0] == "posture no-new-orders"
            assert lines[-1].startswith("approval to sell: flatten would be refused: ")
            assert "setApprovalForAll" in lines[-1]
            after = await live.on.wait_report(
                lambda told: [order.status for order in sales_of(told, "w1")] == ["killed"], 30
            )
            assert "not enough balance / allowance" in sales_of(after, "w1")[0].reason
            assert after.positions == before.positions
            assert after.account.cash_usd6 == before.account.cash_usd6
            assert (await compare(live, "w1")) == (0, [])
            live.faults()
            assert (await well_or_not(live))[0] == "ok"
            again = await flattened(live, "w1")
            assert again[-1].startswith("w1 up: selling 19.74 shares")
            assert (await compare(live, "w1")) == (1, [])
            code, _, said = await prove(live.on)
            assert code == 0, said
            assert await live.on.stop() == 0

    try:
        asyncio.run(play())
    finally:
        stop_forking()


def test_flatten_sells_for_real_money_and_every_cent_is_proven() -> None:
    async def play() -> None:
        async with live_stage(SETTINGS, LAGGARD_ORDERS__ANSWER_S="1") as live:
            live.start()
            await live.on.report(limit_s=60)
            for name in ("w1", "w2"):
                await held(live, name)
            live.publish_book("w1")
            # One answer is lost, and the order was taken: it is found, not repeated.
            live.faults(reply("timeout"))
            lines = await flattened(live, "w2")
            assert lines[0] == "posture no-new-orders"
            assert [line.partition(":")[0] for line in lines[2:]] == ["w1 up", "w2 up"]
            assert all("selling 19.74 shares at 0.49 or better" in line for line in lines[2:])
            # The fate of what is under way may be known by now or not: nothing is sold twice in either case.
            again = await flattened(live, "w1")
            assert all(" shares stay: " in line for line in again[2:])
            for name in ("w1", "w2"):
                executed, problems = await compare(live, name)
                assert (executed, problems) == (1, [])
            report = await live.on.report()
            assert [order.status for order in report.orders if order.side == "sell"] == ["filled", "filled"]
            assert {position.sold6 for position in report.positions} == {19_740_000}
            assert report.posture.posture == "no-new-orders"
            assert await live.on.ask(CancelAll(who="test")) == Accepted(text="nothing rests")
            await cancelled_while_delayed(live)
            code, told, said = await prove(live.on)
            assert code == 0, said
            assert told
            live.settle("w1", "up")
            live.settle("w2", "down")
            assert await live.on.stop() == 0

    try:
        asyncio.run(play())
    finally:
        stop_forking()
