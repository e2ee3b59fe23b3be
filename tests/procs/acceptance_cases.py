"""The numbered acceptance cases of the order port: what every adapter must do, told as one window each.

A case gets a stage with a running executor and leaves it trading. ``both`` adapters run it, or ``live`` alone
where paper has nothing of the kind.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple

import msgspec

from common.core.fees import taker_fee_usd6
from common.errors import CallRefused
from common.messages import (
    Accepted,
    Alert,
    BookStatus,
    FeeSchedule,
    Fill,
    OrderState,
    PositionState,
    Posture,
    ReadChecks,
    SetPosture,
    Status,
    StatusReport,
)
from executor_stage import SECOND
from live_stage import LiveStage, until_accepted

FEE = FeeSchedule(rate_ppm=70_000, exponent=1)
THIN = (("0.9", "100"), ("0.5", "7"))
NOTHING = (("0.9", "100"),)
LEVELS = (("0.9", "9"), ("0.6", "100"), ("0.55", "3"), ("0.52", "4"), ("0.5", "2.5"))

Adapters = Literal["both", "live"]
Run = Callable[[LiveStage, str], Awaitable[None]]


class Case(NamedTuple):
    number: int
    title: str
    adapters: Adapters
    run: Run


CASES: list[Case] = []


def case(title: str, adapters: Adapters = "both") -> Callable[[Run], Run]:
    def add(run: Run) -> Run:
        CASES.append(Case(len(CASES) + 1, title, adapters, run))
        return run

    return add


async def order(live: LiveStage, name: str, limit_s: float = 20.0) -> OrderState:
    """The window's order once it is decided and the chain has decided its trades."""
    report = await live.on.wait_report(
        lambda told: (
            not told.account.provisional_fills
            and any(one.window == name and one.status != "working" for one in told.orders)
        ),
        limit_s,
    )
    return next(one for one in report.orders if one.window == name)


async def bought(live: LiveStage, name: str, asks: Any = None, **window: Any) -> OrderState:
    """Open a window, submit its wish, wait for the end."""
    live.open_window(name, **({"asks": asks} if asks else {}), **window)
    await until_accepted(live, name)
    return await order(live, name)


async def refuses(live: LiveStage, name: str, code: str, book: BookStatus = "live", **changes: Any) -> None:
    """The wish is refused with this code; what is only on its way (a book, a restart) is waited for."""
    live.publish_book(name, status=book)
    said, deadline = "", time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            answer = await live.on.ask(live.wish(name, **changes))
        except CallRefused as error:
            if error.code == code:
                return
            said = f"{error.code}: {error.text}"
            await asyncio.sleep(0.02)
            continue
        raise AssertionError(f"taken: {answer}")
    raise AssertionError(f"{said} instead of {code}")


async def posed(live: LiveStage, posture: Posture, reason: str = "a case") -> Accepted:
    answer = await live.on.ask(SetPosture(posture=posture, reason=reason, who="operator"))
    assert isinstance(answer, Accepted)
    return answer


def fills(live: LiveStage, name: str) -> list[Fill]:
    """The window's fills as they were published, each with its last status."""
    heard = [e.body for e in live.on.heard if isinstance(e.body, Fill) and e.body.window == name]
    return list({fill.trade_id: fill for fill in heard}.values())


def alerts(live: LiveStage) -> set[str]:
    return {e.body.code for e in live.on.heard if isinstance(e.body, Alert)}


# Orders and their amounts.


@case("a wish becomes one order, filled at resting prices for its stake")
async def _(live: LiveStage, name: str) -> None:
    done = await bought(live, name)
    assert done.status == "filled"
    assert 9_999_000 <= done.cost_usd6 <= 10_000_000
    assert all(fill.price4 <= done.limit4 for fill in fills(live, name))


@case("levels are taken cheapest first")
async def _(live: LiveStage, name: str) -> None:
    await bought(live, name, LEVELS)
    prices = sorted(fill.price4 for fill in fills(live, name))
    assert prices == [5_000, 5_200, 5_500, 6_000]


@case("every fill pays the fee of its own price and size")
async def _(live: LiveStage, name: str) -> None:
    done = await bought(live, name, LEVELS)
    for fill in fills(live, name):
        assert fill.fee_usd6 == taker_fee_usd6(fill.size6, fill.price4, FEE)
    assert done.fee_usd6 == sum(fill.fee_usd6 for fill in fills(live, name)) > 0


@case("a thin book fills a part, the rest of the stake stays ours")
async def _(live: LiveStage, name: str) -> None:
    before = (await live.on.report()).account.cash_usd6
    done = await bought(live, name, THIN)
    assert (done.status, done.filled_size6, done.cost_usd6) == ("partial", 7_000_000, 3_500_000)
    assert (await live.on.report()).account.cash_usd6 == before - done.cost_usd6 - done.fee_usd6


@case("nothing at or below the cap kills and costs nothing")
async def _(live: LiveStage, name: str) -> None:
    before = (await live.on.report()).account.cash_usd6
    done = await bought(live, name, NOTHING)
    assert (done.status, done.filled_size6) == ("killed", 0)
    assert (await live.on.report()).account.cash_usd6 == before


@case("a stake below one dollar is refused")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name)
    await refuses(live, name, stake_usd6=999_999, code="too-small")


@case("fractions of a cent are never spent beyond the stake")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name)
    live.publish_book(name)
    wish = live.wish(name, stake_usd6=5_009_999)
    while True:
        try:
            await live.on.ask(wish)
            break
        except CallRefused:
            await asyncio.sleep(0.02)
            wish = live.wish(name, stake_usd6=5_009_999)
    assert 5_000_000 - 100 <= (await order(live, name)).cost_usd6 <= 5_009_999


@case("a limit off the grid is refused")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name)
    await refuses(live, name, limit4=6_055, code="price")


@case("a limit at the strategy's greatest price is refused")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name)
    await refuses(live, name, limit4=6_200, code="price")


@case("a finer grid takes finer limits")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name, asks=(("0.606", "100"), ("0.605", "4"), ("0.512", "3")), tick="0.001")
    live.publish_book(name)
    while True:
        try:
            await live.on.ask(live.wish(name, limit4=6_050))
            break
        except CallRefused:
            await asyncio.sleep(0.02)
    done = await order(live, name)
    assert done.filled_size6 == 7_000_000
    assert {fill.price4 for fill in fills(live, name)} == {5_120, 6_050}


@case("a market of the next version is traded on its own exchange")
async def _(live: LiveStage, name: str) -> None:
    assert (await bought(live, name, version="v2")).status == "filled"


# One intent, one order.


@case("the same intent is the same order however often it is sent")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name)
    first = await until_accepted(live, name)
    for _ in range(5):
        again = await live.on.ask(live.wish(name))
        assert isinstance(again, Accepted)
        assert (again.order_id, again.repeated) == (first, True)
    await order(live, name)
    assert len([one for one in (await live.on.report()).orders if one.window == name]) == 1


@case("a window takes one entry of a strategy")
async def _(live: LiveStage, name: str) -> None:
    await bought(live, name)
    down = {"outcome": "down", "token": live.specs[name].token_down, "intent_id": f"{name}/down/lag"}
    await refuses(live, name, **down, code="already-entered")


@case("an intent that does not name its window is refused")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name)
    await refuses(live, name, intent_id="something", code="malformed")


# What is refused before anything is signed.


@case("an expired wish is refused")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name)
    await refuses(live, name, decided_mono_ns=live.on.clock.mono_ns() - 3 * SECOND, code="expired")


@case("an unknown window is refused")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name)
    other = f"{name}-other"
    await refuses(live, name, code="unknown-window", window=other, intent_id=f"{other}/up/lag")


@case("another window's token is refused")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name)
    await refuses(live, name, token=live.specs[name].token_down, code="wrong-token")


@case("a market that stopped accepting is refused")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name)
    live.on.publish_market(msgspec.structs.replace(live.on.markets[name], accepting=False))
    await asyncio.sleep(0.1)
    await refuses(live, name, code="passport")


@case("a market of unknown taker delay is refused")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name)
    live.on.publish_market(msgspec.structs.replace(live.on.markets[name], taker_delay_ns=None))
    await asyncio.sleep(0.1)
    await refuses(live, name, code="passport")


@case("a book that is not live is refused")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name)
    live.publish_book(name, status="resync")
    await asyncio.sleep(0.1)
    await refuses(live, name, code="stale-book", book="resync")


@case("an unproven book is refused")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name, proven=False)
    live.on.unproven.add(live.specs[name].token_up)
    await refuses(live, name, code="book-unproven")


@case("a stake beyond the risk limit is refused")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name)
    await refuses(live, name, stake_usd6=26_000_000, code="risk")


for _posture in ("no-new-orders", "paused", "halted"):

    @case(f"the posture {_posture} takes no order, and trading does again")
    async def _(live: LiveStage, name: str, posture: Posture = _posture) -> None:
        live.open_window(name)
        await posed(live, posture)
        await refuses(live, name, code="posture")
        await posed(live, "trading", "the case is over")
        await until_accepted(live, name)
        await order(live, name)


# Telling and accounting.


@case("order, fills and position are published")
async def _(live: LiveStage, name: str) -> None:
    done = await bought(live, name)
    told = [e.body for e in live.on.heard if getattr(e.body, "window", "") == name]
    assert {type(body) for body in told} >= {OrderState, Fill, PositionState}
    position = [body for body in told if isinstance(body, PositionState)][-1]
    assert (position.size6, position.cost_usd6) == (done.filled_size6, done.cost_usd6)


@case("the books add up after every case so far")
async def _(live: LiveStage, name: str) -> None:
    account = (await live.on.report()).account
    assert (account.ledger_difference_usd6, account.duplicate_orders, account.unknown_orders) == (0, 0, 0)


for _outcome, _payout in (("up", 1), ("down", 0)):

    @case(f"a window that ends {_outcome} pays {_payout} $ a share, once")
    async def _(live: LiveStage, name: str, outcome: str = _outcome, payout: int = _payout) -> None:
        done = await bought(live, name, lasts_s=2)
        live.settle(name, outcome)
        await live.on.wait_report(
            lambda told: any(one.window == name and one.settled for one in told.positions), 15
        )
        live.settle(name, outcome)
        report = await live.on.report()
        (held,) = [one for one in report.positions if one.window == name]
        assert held.payout_usd6 == payout * done.filled_size6
        assert held.pnl_usd6 == held.payout_usd6 - done.cost_usd6 - done.fee_usd6
        assert report.account.ledger_difference_usd6 == 0


@case("the proof of identity: the order id is the venue's own", "live")
async def _(live: LiveStage, name: str) -> None:
    done = await bought(live, name)
    (theirs,) = [o for o in (await live.truth())["orders"] if o["token"] == live.specs[name].token_up]
    assert theirs["id"] == done.order_id


@case("the intent is in the journal before the venue hears of it", "live")
async def _(live: LiveStage, name: str) -> None:
    done = await bought(live, name)
    (theirs,) = [o for o in (await live.truth())["orders"] if o["id"] == done.order_id]
    assert done.created_ns < theirs["placed_ns"]


async def replied(live: LiveStage, name: str, fault: dict[str, Any] | None, expected: str) -> OrderState:
    """One order under one misbehaviour; it must end as expected and as the venue has it."""
    live.faults(*([fault | {"times": 1}] if fault else []))
    done = await bought(live, name)
    theirs = [o for o in (await live.truth())["orders"] if o["token"] == live.specs[name].token_up]
    matched6 = sum(trade["size6"] for o in theirs for trade in o["trades"] if trade["status"] != "FAILED")
    assert (done.status, done.filled_size6) == (expected, matched6)
    live.faults()
    return done


def reply(form: str, *, taken: bool = True, **more: Any) -> dict[str, Any]:
    return {"kind": "order_reply", "form": form, "taken": taken, **more}


def path(**more: Any) -> dict[str, Any]:
    return {"kind": "trade_path", **more}


for _title, _fault, _ends in (
    ("delayed, filled later", reply("delayed", after_ms=300), "filled"),
    ("delayed, never filled", reply("delayed", taken=False, after_ms=200), "killed"),
    ("no answer, and taken", reply("timeout"), "filled"),
    ("no answer, and not taken", reply("timeout", taken=False), "killed"),
    ("the connection broke, and taken", reply("reset"), "filled"),
    ("the connection broke, and not taken", reply("reset", taken=False), "killed"),
    ("500 order timed out", reply("http", taken=False, body='{"error":"order timed out"}'), "killed"),
    ("502, and taken", reply("http", status=502, body="<html>"), "filled"),
    ("an answer that is none, and taken", reply("garbage"), "filled"),
    ("context canceled, and taken", reply("http", status=400, body='{"error":"context canceled"}'), "filled"),
    ("it rests though it must not: cancelled", reply("live", taken=False), "killed"),
    ("trades told twice", path(double=True), "filled"),
    ("trades told in the wrong order", path(reorder=True), "filled"),
    ("trades never told: read", path(lose=True), "filled"),
    ("trades told late", path(late_ms=1_500), "filled"),
    ("matched, then failed: unbooked", path(statuses=["FAILED"]), "killed"),
    ("mined, then failed: unbooked", path(statuses=["MINED", "FAILED"]), "killed"),
    ("retrying, then confirmed", path(statuses=["RETRYING", "MINED", "CONFIRMED"]), "filled"),
    ("retrying, then failed: unbooked", path(statuses=["RETRYING", "FAILED"]), "killed"),
    ("the makers rested on the other token", path(other_token=True), "filled"),
    ("dust in a trade of its own", path(dust6=7), "filled"),
):

    @case(f"reply or trade: {_title}", "live")
    async def _(live: LiveStage, name: str, fault: dict[str, Any] = _fault, ends: str = _ends) -> None:
        await replied(live, name, fault, ends)


@case("the user channel breaks while trades go on: read after it is back", "live")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name)
    await until_accepted(live, name)
    live.faults({"kind": "disconnect", "channel": "user"})
    assert (await order(live, name)).status == "filled"
    live.faults()


@case("while the user channel is down nothing begins", "live")
async def _(live: LiveStage, name: str) -> None:
    live.open_window(name)
    live.faults(
        {"kind": "refuse", "channel": "user", "status": 503}, {"kind": "disconnect", "channel": "user"}
    )
    await live.on.wait_report(lambda told: told.posture.posture == "no-new-orders", 45)
    await refuses(live, name, code="hold")
    live.faults()
    await live.on.wait_report(lambda told: told.posture.posture == "trading", 45)
    await until_accepted(live, name)
    await order(live, name)


@case("a wait the venue asks for is waited out, and then traded", "live")
async def _(live: LiveStage, name: str) -> None:
    live.faults({"kind": "venue_mode", "mode": "rate_limited", "retry_after_s": 2})
    done = await bought(live, name)
    assert (done.status, "rate-limited" in done.reason) == ("killed", True)
    posture = (await live.on.report()).posture
    assert (posture.posture, posture.who) == ("no-new-orders", "venue")
    live.faults()
    live.open_window(f"{name}-2")
    asked = (await live.truth())["received"]
    await refuses(live, f"{name}-2", code="hold")
    assert (await live.truth())["received"] == asked  # nothing was even tried
    await live.on.wait_report(lambda told: told.posture.posture == "trading", 10)
    await until_accepted(live, f"{name}-2")
    assert (await order(live, f"{name}-2")).status == "filled"


for _mode, _word in (
    ("restart", "restarting"),
    ("post_only", "post-only"),
    ("disabled", "disabled"),
    ("cancel_only", "cancel-only"),
):

    @case(f"the venue's state {_mode} is recognised, shown and holds new orders", "live")
    async def _(live: LiveStage, name: str, mode: str = _mode, word: str = _word) -> None:
        live.faults({"kind": "venue_mode", "mode": mode})
        done = await bought(live, name)
        assert done.status == "killed"
        assert word in done.reason
        posture = (await live.on.report()).posture
        assert (posture.posture, posture.who) == ("no-new-orders", "venue")
        assert word in posture.reason
        live.faults()
        await restarted(live)


for _mode, _word in (("closed_only", "closed-only"), ("geo", "region")):

    @case(f"the venue's state {_mode} halts", "live")
    async def _(live: LiveStage, name: str, mode: str = _mode, word: str = _word) -> None:
        live.open_window(name)
        await until_accepted_with(live, name, {"kind": "venue_mode", "mode": mode})
        done = await order(live, name)
        assert word in done.reason
        posture = (await live.on.report()).posture
        assert (posture.posture, posture.who) == ("halted", "executor")
        assert "venue-refuses" in alerts(live)
        live.faults()
        await restarted(live)
        assert (await live.on.report()).posture.posture == "halted"  # a restart clears nothing
        await posed(live, "trading", "the case is over")


async def until_accepted_with(live: LiveStage, name: str, fault: dict[str, Any]) -> None:
    """Submit while the checks have not seen the fault yet."""
    live.publish_book(name)
    while True:
        live.faults(fault)
        try:
            await live.on.ask(live.wish(name))
        except CallRefused:
            live.faults()
            await live.on.ask(ReadChecks(anew=True), timeout_s=8)
            continue
        return


for _said, _code, _posture in (
    ("order_version_mismatch", "version", "halted"),
    ("invalid signature", "signature", "halted"),
    ("maker address not allowed, please use the deposit wallet flow", "wallet", "halted"),
    ("price (0.6123), breaks minimum tick size rule: 0.01", "tick", "no-new-orders"),
    ("invalid amounts, the market buy orders maker amount supports 2 decimals", "amounts", "no-new-orders"),
):

    @case(f"the refusal '{_code}' stops trading until somebody has looked", "live")
    async def _(
        live: LiveStage, name: str, said: str = _said, code: str = _code, posture: str = _posture
    ) -> None:
        body = msgspec.json.encode({"error": said}).decode()
        done = await replied(live, name, reply("http", taken=False, status=400, body=body), "killed")
        assert done.reason.startswith(f"{code}:")
        told = (await live.on.report()).posture
        assert (told.posture, told.who) == (posture, "executor")
        await posed(live, "trading", "the case is over")


@case("a lack of balance holds until the account was looked at again", "live")
async def _(live: LiveStage, name: str) -> None:
    said = '{"error":"not enough balance / allowance: the balance is not enough -> balance: 0"}'
    await replied(live, name, reply("http", taken=False, status=400, body=said), "killed")
    assert "order-refused" in alerts(live)
    await live.on.wait_report(lambda told: told.posture.posture == "trading", 15)


@case("the venue's rate limits are shown", "live")
async def _(live: LiveStage, name: str) -> None:
    await bought(live, name)
    status = await live.on.ask(Status())
    assert isinstance(status, StatusReport)
    assert "remaining" in status.facts["rate limit"]


@case("an order open at a kill is found and told after the restart", "live")
async def _(live: LiveStage, name: str) -> None:
    live.faults(reply("timeout") | {"times": 1})
    live.open_window(name)
    await until_accepted(live, name)
    await asyncio.sleep(0.2)
    live.on.kill()
    live.faults()
    live.start()
    await live.on.report(limit_s=30)
    assert (await order(live, name, 30)).status == "filled"


async def restarted(live: LiveStage) -> None:
    """Kill and start again; what the executor only remembered is gone."""
    live.on.kill()
    live.start()
    await live.on.report(limit_s=30)
