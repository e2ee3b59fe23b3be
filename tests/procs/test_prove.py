"""A thousand trades with partial fills, fees, failures and kills, proven to the last unit."""

import asyncio
import json
import os
import random
import sqlite3
import sys
import time
from typing import Any

import pytest

from common.errors import CallRefused, CallTimedOut
from common.sim.trading.account_book import COLLATERAL_ASSET, OUTSIDE, Entry
from executor_stage import ROOT, Stage
from live_stage import LiveStage, live_stage, stop_forking, until_accepted

pytestmark = [pytest.mark.procs, pytest.mark.live, pytest.mark.timeout(240)]

ORDERS = 230
AT_ONCE = 5
ASKS = (("0.6", "3"), ("0.58", "4"), ("0.55", "3.3333"), ("0.52", "4.01"), ("0.5", "2.999999"))
FAULTS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"kind": "trade_path", "statuses": ["MINED", "FAILED"], "times": 1},
    {"kind": "trade_path", "statuses": ["RETRYING", "MINED", "CONFIRMED"], "times": 2},
    {"kind": "trade_path", "double": True, "reorder": True, "times": 2},
    {"kind": "trade_path", "lose": True, "times": 1},
    {"kind": "trade_path", "other_token": True, "dust6": 3, "times": 2},
    {"kind": "order_reply", "form": "timeout", "times": 1},
    {"kind": "order_reply", "form": "reset", "times": 1},
    {"kind": "order_reply", "form": "http", "status": 502, "times": 1},
    {"kind": "order_reply", "form": "delayed", "after_ms": 100, "times": 1},
)


async def prove(on: Stage) -> tuple[int, dict[str, Any], str]:
    """Run the command as a user would; returns exit code, its JSON and what it said to people."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from procs.cli.main import main; main(['prove', '--json'])",
        cwd=ROOT,
        env=os.environ | on.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    assert out, err.decode()
    told: dict[str, Any] = json.loads(out)
    return process.returncode, told, err.decode()


async def at_rest(live: LiveStage, limit_s: float = 60.0) -> None:
    """Wait until no order is open and the chain has decided every trade."""
    await live.on.wait_report(
        lambda told: (
            not told.account.provisional_fills and not any(order.status == "working" for order in told.orders)
        ),
        limit_s,
    )


async def submit(live: LiveStage, name: str) -> None:
    """Submit until it was accepted, also while the executor is being killed."""
    deadline = time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline
        try:
            await live.on.ask(live.wish(name), timeout_s=0.5)
        except (CallTimedOut, CallRefused):
            live.publish_book(name)
            await asyncio.sleep(0.02)
            continue
        return


def test_a_thousand_trades_are_proven() -> None:
    async def play() -> None:
        dice = random.Random(11)
        settings = {"mined_after_ms": 50, "confirmed_after_ms": 100}
        async with live_stage(settings, LAGGARD_ORDERS__ANSWER_S="1") as live:
            live.start()
            await live.on.report(limit_s=30)
            for first in range(0, ORDERS, AT_ONCE):
                live.faults(*[fault for fault in (dice.choice(FAULTS),) if fault])
                names = [f"w{first + place}" for place in range(AT_ONCE)]
                for name in names:
                    live.open_window(name, lasts_s=600, asks=ASKS)
                async with asyncio.TaskGroup() as group:
                    for name in names:
                        group.create_task(submit(live, name))
                    if first % 50 == 25:
                        await asyncio.sleep(dice.random() * 0.2)
                        live.on.kill()
                        live.start()
            live.faults()
            await at_rest(live)
            truth = await live.truth()
            trades = [trade for order in truth["orders"] for trade in order["trades"]]
            assert len(trades) >= 1_000
            assert sum(trade["status"] == "FAILED" for trade in trades) >= 5
            assert len(truth["executed"]) == len(set(truth["executed"]))
            code, told, err = await prove(live.on)
            assert (code, told["ok"], err) == (0, True, ""), told
            assert {line["name"].split()[0] for line in told["lines"]} == {"books", "cash", "venue", "shares"}
            assert told["notes"] == []
            report = await live.on.report()
            assert report.account.cash_usd6 == truth["accounts"][0]["chain"]["usd6"]
            assert await live.on.stop() == 0
            # One unit, in one ledger line, behind the executor's back.
            journal = sqlite3.connect(live.on.state_dir / "journal-live.sqlite")
            entry, evidence = journal.execute(
                "SELECT number, evidence FROM entries WHERE kind = 'bought' LIMIT 1 OFFSET 400"
            ).fetchone()
            journal.execute("DROP TRIGGER entry_lines_no_update")
            for place, by in ((0, 1), (1, -1)):
                journal.execute(
                    "UPDATE entry_lines SET amount_usd6 = amount_usd6 + ? WHERE entry = ? AND position = ?",
                    (by, entry, place),
                )
            journal.commit()
            journal.close()
            code, told, err = await prove(live.on)
            assert (code, told["ok"]) == (1, False)
            assert f"entry {entry}" in err
            assert evidence in err
            assert "the executor, which has the key, does not run" in told["notes"][0]

    try:
        asyncio.run(play())
    finally:
        stop_forking()


def test_money_from_outside_is_named() -> None:
    async def play() -> None:
        async with live_stage() as live:
            live.start()
            await live.on.report(limit_s=30)
            live.open_window("w1")
            await until_accepted(live, "w1")
            await at_rest(live)
            assert (await prove(live.on))[0] == 0
            exchange = live.venue.trading.exchange
            (account,) = exchange.accounts.all
            for book in (exchange.venue_book, exchange.chain_book):
                book.post([Entry(OUTSIDE, account.address, COLLATERAL_ASSET, 1)])
            code, told, err = await prove(live.on)
            assert code == 1
            assert "cash is off by 1 millionths" in err
            assert "a transfer to the wallet of 0.000001 $" in err
            assert next(line["name"] for line in told["lines"] if line["off"]) == "cash"
            assert await live.on.stop() == 0

    try:
        asyncio.run(play())
    finally:
        stop_forking()
