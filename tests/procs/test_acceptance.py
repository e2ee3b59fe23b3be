"""One acceptance suite for both adapters: the paper and the live executor, each a real process."""

import asyncio
import sys
import traceback

import pytest

from acceptance_cases import CASES, restarted
from live_stage import LiveStage, live_stage, stop_forking

pytestmark = [pytest.mark.procs, pytest.mark.live, pytest.mark.timeout(240)]

SETTINGS = {"mined_after_ms": 60, "confirmed_after_ms": 120}


async def suite(mode: str) -> dict[int, str]:
    """Every case of an adapter: its number and what went wrong, or nothing."""
    found: dict[int, str] = {}
    async with live_stage(SETTINGS, mode=mode, LAGGARD_ORDERS__ANSWER_S="1") as live:
        live.start()
        await live.on.report(limit_s=30)
        for case in CASES:
            if case.adapters == "live" and mode != "live":
                continue
            try:
                await asyncio.wait_for(case.run(live, f"{mode[0]}{case.number}"), 100)
                found[case.number] = ""
            except Exception:  # noqa: BLE001 - a failed case is a row of the table
                found[case.number] = traceback.format_exc(limit=-2)
                await recovered(live)
        report = await live.on.report()
        assert report.account.ledger_difference_usd6 == 0
        if mode == "live":
            held = {p.token: p.size6 for p in report.positions if p.size6}
            account = (await live.truth())["accounts"][0]["chain"]
            assert held == account["tokens"]
            assert report.account.cash_usd6 == account["usd6"]
        assert await live.on.stop() == 0
    return found


async def recovered(live: LiveStage) -> None:
    """After a failed case: no faults, a fresh executor, trading."""
    from acceptance_cases import posed

    live.faults()
    await restarted(live)
    await posed(live, "trading", "after a failed case")


def test_both_adapters_pass_the_suite(capsys: pytest.CaptureFixture[str]) -> None:
    async def play() -> list[dict[int, str]]:
        return await asyncio.gather(suite("paper"), suite("live"))

    try:
        paper, live = asyncio.run(play())
    finally:
        stop_forking()
    with capsys.disabled():
        sys.stdout.write(f"\n{table(paper, live)}\n")
    assert len(CASES) >= 60
    assert not [number for found in (paper, live) for number, text in found.items() if text]
    assert len(live) == len(CASES)
    assert len(paper) >= 25


def table(paper: dict[int, str], live: dict[int, str]) -> str:
    """Every case with its mark for each adapter, then what went wrong."""
    marks = {None: "-", "": "ok"}
    lines = [f"{'case':>4}  {'paper':7} {'live':7}"]
    for case in CASES:
        row = [marks.get(found.get(case.number), "FAILED") for found in (paper, live)]
        lines.append(f"{case.number:4}  {row[0]:7} {row[1]:7} {case.title}")
    for found in (paper, live):
        lines += [f"{number}: {text}" for number, text in found.items() if text]
    return "\n".join(lines)
