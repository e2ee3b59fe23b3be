"""The checks in real processes: an executor outlives what its endpoints send, and a refusal is quoted."""

import asyncio
from typing import Any

import pytest

from common.messages import ChecksReport, ReadChecks
from common.runtime.config import load_config
from common.runtime.paths import make_paths
from live_stage import LiveStage, live_stage, stop_forking
from procs.check import check
from tests.venue.rpc_stage import OUR_CHAIN, endpoint, result

pytestmark = pytest.mark.procs
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{"


def test_a_broken_answer_of_the_chain_holds_orders_and_ends_nothing() -> None:
    def say(_path: str, ask: Any) -> Any:
        return result(OUR_CHAIN, ask) if ask["method"] == "eth_chainId" else CUT

    async def play() -> None:
        async with endpoint(say) as chain, live_stage() as live:
            live.on.environment["LAGGARD_VENUE__CHAIN_RPC_URLS"] = chain.url
            live.start()
            await live.on.wait_report(lambda told: "contracts" in told.posture.reason)
            report = await live.on.ask(ReadChecks(anew=True), timeout_s=8)
            assert isinstance(report, ChecksReport)
            failed = {one.name for one in report.results if one.state == "failed"}
            assert failed == {"contracts", "balance", "allowance"}
            assert [one.name for one in report.results if one.state == "skipped"] == ["approval to sell"]
            held = (await live.on.report()).posture
            assert (held.posture, held.who) == ("no-new-orders", "checks")
            assert await live.on.stop() == 0

    try:
        asyncio.run(play())
    finally:
        stop_forking()


async def _user_channel(live: LiveStage) -> tuple[str, str]:
    environment = live.on.environment
    paths = make_paths(
        environment["LAGGARD_STATE_DIR"],
        environment["LAGGARD_RUN_DIR"],
        environment["LAGGARD_PATHS__CREDENTIALS_DIR"],
    )
    report = await check(load_config(None, environment), paths)
    return next((one.state, one.text) for one in report.results if one.name == "user channel")


def test_a_user_channel_that_refuses_is_quoted() -> None:
    async def play() -> None:
        async with live_stage() as live:
            live.list_current_window()
            live.faults({"kind": "refuse", "channel": "user", "status": 401})
            state, text = await _user_channel(live)
            assert state == "failed"
            assert "lets nobody in at venue.clob_user_ws_url (HTTP 401)" in text
            live.faults({"kind": "refuse", "channel": "user", "status": 503})
            state, text = await _user_channel(live)
            assert (state, "HTTP status 503" in text) == ("failed", True), text

    asyncio.run(play())
