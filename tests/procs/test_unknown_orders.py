"""Six crash points times twelve replies: no order doubled, none lost, none of unknown fate without a word.

Each column is one crash point with its own venue and executor; every restart recovers the case before and
crashes in the case after. The venue's own history is the truth everything is compared with.
"""

import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from common.errors import CallRefused, CallTimedOut
from common.messages import AccountReport, OrderState, ReadAccount
from live_stage import LiveStage, live_stage, stop_forking, until_accepted

pytestmark = [pytest.mark.procs, pytest.mark.live, pytest.mark.timeout(300)]

CASE_LIMIT_S = 40.0
SAID_WITHIN_S = 4.0
"""The configured second of patience, the watch's own second, and a busy machine."""

THIN = (("0.9", "100"), ("0.5", "7"))
NOTHING = (("0.9", "100"),)


def reply(form: str, *, taken: bool = True, **more: Any) -> dict[str, Any]:
    return {"kind": "order_reply", "form": form, "taken": taken, "times": 1, **more}


REPLIES: dict[str, tuple[dict[str, Any] | None, Any]] = {
    "matched": (None, None),
    "partial": (None, THIN),
    "no match": (None, NOTHING),
    "delayed, filled later": (reply("delayed", after_ms=300), None),
    "time-out, taken": (reply("timeout"), None),
    "time-out, not taken": (reply("timeout", taken=False), None),
    "reset, taken": (reply("reset"), None),
    "reset, not taken": (reply("reset", taken=False), None),
    "500 order timed out": (reply("http", taken=False, body='{"error":"order timed out"}'), None),
    "502, taken": (reply("http", status=502, body="<html>Bad gateway</html>"), None),
    "unparsable 200, taken": (reply("garbage"), None),
    "400 context canceled, taken": (
        reply("http", status=400, body='{"error":"could not run the execution: context canceled"}'),
        None,
    ),
}

_EXIT = "import os\nWINDOW = {window!r}\n"
CRASHES = {
    "before the journal": """
from common.store.journal import Journal
real = Journal.write_ahead
def write_ahead(self, commit):
    if commit.order.state.window == WINDOW:
        os._exit(9)
    return real(self, commit)
Journal.write_ahead = write_ahead
""",
    "journalled, not sent": """
import common.venue.live_orders as live
real = live.LiveVenue.place
def place(self, order, market):
    if order.state.window == WINDOW:
        os._exit(9)
    return real(self, order, market)
live.LiveVenue.place = place
""",
    "sent, not answered": """
import common.venue.live_orders as live, common.venue.clob.order_line as line
real, write, now = live.LiveVenue.place, line._Line.send, []
def place(self, order, market):
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
    if type(event).__name__ == "Answered" and event.intent_id.startswith(WINDOW + "/"):
        os._exit(9)
    return real(self, event)
Desk.tell = tell
""",
    "journalled, not told": """
from common.venue.desk import Desk
real = Desk._carry_out
def carry_out(self, effects):
    for one in effects:
        if type(one).__name__ == "PublishFill" and one.fill.window == WINDOW:
            os._exit(9)
    return real(self, effects)
Desk._carry_out = carry_out
""",
    "while it is looked up or confirmed": """
from common.venue.desk import Desk
from common.store.journal import Journal
real, write = Desk._look_up, Journal.commit
async def look_up(self, order):
    await self.venue.look_up(order)
    if order.state.window == WINDOW:
        os._exit(9)
    await real(self, order)
def commit(self, *commits):
    for one in commits:
        if type(one).__name__ == "CommitTrade" and one.fill.window == WINDOW:
            os._exit(9)
    return write(self, *commits)
Desk._look_up, Journal.commit = look_up, commit
""",
}


@dataclass
class Row:
    """One case, as it ended."""

    crash: str
    reply: str
    crashed: bool = False
    status: str = ""
    executed: int = 0
    unknown_s: float = 0.0
    problems: list[str] = field(default_factory=list)


def test_seventy_two_cases(capsys: pytest.CaptureFixture[str]) -> None:
    async def column(number: int, crash: str) -> list[Row]:
        async with live_stage(
            {"mined_after_ms": 100, "confirmed_after_ms": 300}, LAGGARD_ORDERS__ANSWER_S="1"
        ) as live:
            rows = []
            names = [f"w{number}-{place}" for place in range(len(REPLIES) + 1)]
            live.start(before=_EXIT.format(window=names[0]) + CRASHES[crash])
            await live.on.report(limit_s=60)
            for place, name in enumerate(REPLIES):
                rows.append(await case(live, crash, name, names[place], names[place + 1]))
            await at_rest(live, rows[-1])
            assert await live.on.stop() == 0
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
    assert len(rows) == 72
    assert sum(row.crashed for row in rows) >= 55  # the table is about crashes, not about their absence
    assert [row for row in rows if row.problems] == []


def shown(row: Row) -> str:
    """One line of the table."""
    verdict = "; ".join(row.problems) or "ok"
    crashed = "crashed" if row.crashed else "-"
    return (
        f"{row.crash:36} {row.reply:30} {crashed:8}{row.status:9} "
        f"executed {row.executed}  open {row.unknown_s:4.1f} s  {verdict}"
    )


async def case(live: LiveStage, crash: str, reply_name: str, name: str, following: str) -> Row:
    """One case: submit, crash, come back with the next case's crash armed, and compare with the venue."""
    row = Row(crash, reply_name)
    fault, asks = REPLIES[reply_name]
    live.open_window(name, **({"asks": asks} if asks else {}))
    live.faults(*([fault] if fault else []))
    await submitted_or_dead(live, name)
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
    await live.on.report(limit_s=60)
    order_id = await until_accepted(live, name, limit_s=60)
    began = time.monotonic()
    while not await decided(live, name):
        open_s = time.monotonic() - began
        if open_s > CASE_LIMIT_S:
            row.problems.append(f"still open after {CASE_LIMIT_S:.0f} s")
            break
        report = await live.on.report(limit_s=60)
        order = next(one for one in report.orders if one.order_id == order_id)
        if order.unknown and open_s > SAID_WITHIN_S and report.posture.posture == "trading":
            row.problems.append("unknown and nothing says so")
        await asyncio.sleep(0.1)
    row.unknown_s = time.monotonic() - began
    await compare(live, row, name, order_id)
    return row


async def submitted_or_dead(live: LiveStage, name: str) -> None:
    """Submit until it was accepted, or until nobody is there any more."""
    deadline = time.monotonic() + 30
    while live.on.process is not None and live.on.process.poll() is None:
        assert time.monotonic() < deadline, (live.on.state_dir / "executor.log").read_text()[-3000:]
        try:
            await live.on.ask(live.wish(name), timeout_s=0.5)
        except (CallTimedOut, CallRefused):
            live.publish_book(name)
            await asyncio.sleep(0.02)
            continue
        return


async def decided(live: LiveStage, name: str) -> bool:
    """Whether the order is over and the chain has decided its trades."""
    report = await said(live)
    order = _order_in(report, name)
    if report is None or order is None or order.status == "working":
        return False
    return report.account.provisional_fills == 0


async def said(live: LiveStage) -> AccountReport | None:
    """What the executor says; None when it is dead, or dies meanwhile."""
    while live.on.process is not None and live.on.process.poll() is None:
        try:
            answer = await live.on.ask(ReadAccount(), timeout_s=0.2)
        except (CallTimedOut, CallRefused):
            continue
        assert isinstance(answer, AccountReport)
        return answer
    return None


def _order_in(report: AccountReport | None, name: str) -> OrderState | None:
    orders = () if report is None else report.orders
    return next((order for order in orders if order.window == name), None)


async def compare(live: LiveStage, row: Row, name: str, order_id: str) -> None:
    """Our order and the venue's history must be one."""
    truth = await live.truth()
    token = live.specs[name].token_up
    orders = [order for order in truth["orders"] if order["token"] == token]
    executed = [one for one in truth["executed"] if one in {order["id"] for order in orders}]
    row.executed = len(executed)
    ours = _order_in(await said(live), name)
    if ours is None:
        row.problems.append("lost")
        return
    row.status = ours.status
    theirs6 = sum(order["matched6"] for order in orders)
    if ours.filled_size6 != theirs6:
        row.problems.append(f"we have {ours.filled_size6} shares, the venue {theirs6}")
    if len(executed) > 1 or len(orders) > 1:
        row.problems.append(f"{len(orders)} orders, executed {len(executed)} times")
    if orders and orders[0]["id"] != order_id:
        row.problems.append("another order id")


async def at_rest(live: LiveStage, row: Row) -> None:
    """At the end every cent agrees."""
    report = await live.on.report()
    account = (await live.truth())["accounts"][0]
    if report.account.cash_usd6 != account["chain"]["usd6"] or report.account.ledger_difference_usd6:
        row.problems.append(f"cash {report.account.cash_usd6}, on chain {account['chain']['usd6']}")
    held = {position.token: position.size6 for position in report.positions if position.size6}
    if held != account["chain"]["tokens"]:
        row.problems.append(f"tokens {held}, on chain {account['chain']['tokens']}")
    if report.account.duplicate_orders:
        row.problems.append("duplicate orders")
