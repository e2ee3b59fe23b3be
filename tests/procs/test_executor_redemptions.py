"""A real executor books what a redeemer publishes, and goes on without one."""

import asyncio

import pytest

from common.messages import RedemptionState, ResolutionState, TakeSnapshot
from common.runtime.publisher import Publisher
from common.runtime.responder import Responder
from live_stage import live_stage, stop_forking, until_accepted

pytestmark = [pytest.mark.procs, pytest.mark.live]

TX = "0x" + "ab" * 32


def test_what_the_redeemer_tells_is_settled_and_paid() -> None:
    async def play() -> None:
        async with live_stage({"mined_after_ms": 20, "confirmed_after_ms": 40}) as live:
            on = live.on
            live.start()
            await on.report(limit_s=30)
            live.open_window("w1", lasts_s=4)
            await until_accepted(live, "w1")
            report = await on.wait_report(lambda told: told.positions and not told.account.provisional_fills)
            (held,) = report.positions
            condition = live.specs["w1"].condition_id
            assert (held.condition_id, held.settled) == (condition, False)
            publisher = Publisher(on.ctx, on.run_dir, "redeemer", on.clock)
            responder = Responder(on.ctx, on.run_dir, "redeemer", on.clock)
            responder.on(TakeSnapshot, lambda _command, _request: publisher.snapshot())
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(work) for work in (publisher.run(), responder.run())]
                result = ResolutionState(
                    condition_id=condition, window="w1", numerators=(1, 1), denominator=2, block=7
                )
                half = held.size6 // 2
                paid = RedemptionState(
                    condition_id=condition,
                    window="w1",
                    ledger="v1",
                    status="paid",
                    payout_usd6=half,
                    at_ns=1,
                    paid_usd6=half,
                    tx_hash=TX,
                    log_index=4,
                    tokens=((held.token, held.size6),),
                )
                publisher.publish(f"redemption.{condition}", paid, keep=True)
                publisher.publish(f"resolution.{condition}", result, keep=True)
                # Told again each second: it is booked once the window has ended.
                after = await on.wait_report(lambda told: told.positions[0].redeemed, 15)
                (position,) = after.positions
                assert (position.official, position.payout_usd6) == ("split", half)
                assert position.redeemed == f"{TX}:4"
                assert after.account.cash_usd6 == report.account.cash_usd6 + half
                assert (after.account.redeemable_usd6, after.account.ledger_difference_usd6) == (0, 0)
                for task in tasks:
                    task.cancel()
            assert await on.stop() == 0

    try:
        asyncio.run(play())
    finally:
        stop_forking()
