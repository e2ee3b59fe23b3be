"""Oracle processes for real: three routes to one price, credentials missing or wrong, gaps filled in."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from common.errors import EXIT_STALE
from common.messages import (
    AccountReport,
    OraclesReport,
    ReadAccount,
    ReadOracles,
    RouteAudit,
    Snapshot,
    TakeSnapshot,
    Tick,
)
from common.units import SECOND
from loopback import Loopback, loopback, until

pytestmark = [pytest.mark.procs, pytest.mark.timeout(180)]

ROUTES = ("chainlink", "polybolt", "rtds")
ROLES = tuple(f"oracle-{route}" for route in ROUTES)


async def audits(stage: Loopback) -> dict[tuple[str, str], RouteAudit]:
    answer = await stage.ask("strategist", ReadOracles())
    found = answer.audits if isinstance(answer, OraclesReport) else ()
    return {(audit.asset, audit.kind): audit for audit in found}


async def posture(stage: Loopback) -> tuple[str, str]:
    answer = await stage.ask("executor", ReadAccount())
    return (answer.posture.posture, answer.posture.who) if isinstance(answer, AccountReport) else ("", "")


async def said(stage: Loopback, role: str) -> tuple[str, str]:
    report = await stage.status(role)
    return (report.state, report.detail) if report is not None else ("", "")


@asynccontextmanager
async def trio(tmp_path: Path, port: int) -> AsyncIterator[Loopback]:
    """All three routes with books, strategist and executor, once every series was judged."""
    async with loopback(tmp_path, port, ROUTES, (*ROLES, "books", "strategist", "executor")) as stage:

        async def judged() -> bool:
            found = await audits(stage)
            return len(found) == 8 and all(
                len(audit.routes) == 3 and audit.state == "agree" for audit in found.values()
            )

        await until(judged, 40, "every series is judged and all routes agree")
        yield stage


async def test_three_routes_agree_and_a_contradiction_stops_new_orders_until_it_ends(
    tmp_path: Path, free_port: int
) -> None:
    async with trio(tmp_path, free_port) as stage:

        async def side_by_side() -> bool:
            # Seconds that were filled in after the start came late.
            seen = (await audits(stage))["btc", "twap60"]
            lags = {view.route: view.lag_ms or 0 for view in seen.routes}
            return lags["chainlink"] < lags["polybolt"] < lags["rtds"]

        await until(side_by_side, 10, "each route is seen with its own delay")
        assert await posture(stage) == ("trading", "executor")

        await stage.faults({"kind": "wrong_value", "channel": "polybolt", "key": "btc/usd", "ppm": 300})

        async def held() -> bool:
            return await posture(stage) == ("no-new-orders", "routes")

        await until(held, 12, "the posture follows a contradiction")
        audit = (await audits(stage))["btc", "spot"]
        assert audit.hold.startswith("diverged")
        assert {view.route for view in audit.routes if view.state == "diverged"} == {"polybolt"}
        assert not (await stage.gates("btc"))["oracle routes"].passed
        assert (await stage.gates("eth"))["oracle routes"].passed

        await stage.faults()

        async def lifted() -> bool:
            return await posture(stage) == ("trading", "routes")

        await until(lifted, 25, "the posture is lifted when they agree again")


async def test_a_route_that_dies_leaves_the_others_trading_and_what_it_missed_is_filled_in(
    tmp_path: Path, free_port: int
) -> None:
    async with trio(tmp_path, free_port) as stage:
        stage.processes["oracle-polybolt"].kill()

        async def missed() -> bool:
            audit = (await audits(stage))["btc", "spot"]
            return {view.route: view.state for view in audit.routes}["polybolt"] == "missing"

        await until(missed, 15, "the dead route is missed")
        gates = await stage.gates("btc")
        assert gates["oracle age"].passed
        assert gates["input complete"].passed
        assert gates["oracle routes"].passed

        await stage.faults(
            {"kind": "refuse", "channel": "chainlink"}, {"kind": "disconnect", "channel": "chainlink"}
        )

        async def away() -> bool:
            audit = (await audits(stage))["btc", "spot"]
            views = {view.route: view.state for view in audit.routes}
            return views["chainlink"] == "missing" and views["rtds"] == "agree"

        await until(away, 15, "chainlink is away")
        await stage.faults()

        async def filled() -> bool:
            return await stage.counter("oracle-chainlink", "back_fill.ticks") > 0 and not await holes(stage)

        await until(filled, 30, "the missed seconds are filled in")


async def holes(stage: Loopback) -> list[int]:
    """Seconds of BTC spot that the chainlink route never got, since its first."""
    answer = await stage.ask("oracle-chainlink", TakeSnapshot())
    assert isinstance(answer, Snapshot)
    seconds = {
        one.body.observed_ns // SECOND
        for one in answer.envelopes
        if isinstance(one.body, Tick) and (one.body.asset, one.body.kind) == ("btc", "spot")
    }
    return sorted(set(range(min(seconds), max(seconds) + 1)) - seconds)


@pytest.mark.slow
async def test_one_origin_of_several_may_freeze_unnoticed_by_the_price(
    tmp_path: Path, free_port: int
) -> None:
    """Data Streams is read from every origin; what one already brought is no news from another."""
    role = "oracle-chainlink"
    async with loopback(
        tmp_path, free_port, ("chainlink",), (role,), watch__tick_stale_s=4, watch__tick_dead_s=10
    ) as stage:

        async def both() -> bool:
            return await stage.connections("chainlink") >= 2

        await until(both, 30, "both origins are connected, though the venue came up later than the route")

        async def flows() -> bool:
            return await stage.counter(role, "ticks") > seen

        seen = 0
        await until(flows, 10, "ticks come")
        for origin in ("001", "002"):
            await stage.faults({"kind": "freeze", "channel": "chainlink", "key": origin})
            zombies = await stage.counter(role, "zombies")

            async def renewed(before: int = zombies) -> bool:
                return await stage.counter(role, "zombies") > before

            await until(renewed, 10, f"the frozen origin {origin} is noticed on its own line")
            assert stage.since_news_s("spot/btc") < 3
            report = await stage.status(role)
            assert report is not None
            assert report.ages_ms["spot/btc"] < 3_000
        await stage.faults()
        await until(both, 20, "both are connected again")
        assert await stage.counter(role, "ticks.same") > 0
        assert not await holes(stage)
        await stage.faults({"kind": "freeze", "channel": "chainlink"})

        async def ended() -> bool:
            return stage.processes[role].poll() is not None

        await until(ended, 60, "when every origin stays mute the process ends, to be started anew")
        assert stage.processes[role].returncode == EXIT_STALE


async def test_lost_frames_are_counted_by_their_numbers(tmp_path: Path, free_port: int) -> None:
    async with loopback(tmp_path, free_port, ("polybolt",), ("oracle-polybolt",)) as stage:

        async def ticks() -> bool:
            return await stage.counter("oracle-polybolt", "ticks") > 0

        await until(ticks, 20, "ticks come")
        assert await stage.counter("oracle-polybolt", "missed") == 0
        await stage.faults({"kind": "drop_frames", "channel": "polybolt", "every": 3})

        async def counted() -> bool:
            return await stage.counter("oracle-polybolt", "missed") >= 3

        await until(counted, 10, "the gaps are counted")
        assert (await stage.status("oracle-polybolt")) is not None
        assert "gap" in stage.log_of("oracle-polybolt")


async def test_a_route_without_good_credentials_is_disabled_and_says_what_to_do(
    tmp_path: Path, free_port: int
) -> None:
    async with loopback(tmp_path, free_port, ("chainlink", "polybolt"), ()) as stage:
        directory = stage.state_dir / "credentials"
        (directory / "chainlink.json").unlink()
        wrong = json.loads((directory / "polybolt.json").read_text()) | {"secret": "not-the-secret"}
        (directory / "polybolt.json").write_text(json.dumps(wrong))
        stage.start("oracle-chainlink", "oracle-polybolt", "oracle-rtds")

        async def disabled() -> bool:
            return all([(await said(stage, role))[0] == "disabled" for role in ROLES])

        await until(disabled, 20, "all three are disabled")
        assert "chainlink.json" in (await said(stage, "oracle-chainlink"))[1]
        assert "laggard init --reader-key" in (await said(stage, "oracle-polybolt"))[1]
        assert "LAGGARD_ORACLES" in (await said(stage, "oracle-rtds"))[1]
        for role in ROLES:
            assert stage.processes[role].poll() is None
            assert "not-the-secret" not in stage.log_of(role)
            stage.processes[role].terminate()
        for role in ROLES:
            assert await asyncio.to_thread(stage.processes[role].wait, 10) == 0


async def test_close_codes_are_obeyed(tmp_path: Path, free_port: int) -> None:
    """Draining is waited out, a policy is respected, and a refusal of the credentials is for good."""
    role = "oracle-polybolt"
    async with loopback(tmp_path, free_port, ("polybolt",), (role,)) as stage:

        async def flows() -> bool:
            return (await said(stage, role))[0] == "ready" and await stage.counter(role, "ticks") > seen

        seen = 0
        await until(flows, 20, "ticks come")
        await stage.faults({"kind": "disconnect", "channel": "polybolt", "code": 4003})

        async def away() -> bool:
            return "4003" in (await said(stage, role))[1]

        await until(away, 5, "the draining is told")
        seen = await stage.counter(role, "ticks")
        await until(flows, 20, "it comes back by itself within ten seconds and the first data")
        await stage.faults({"kind": "disconnect", "channel": "polybolt", "code": 4001})

        async def disabled() -> bool:
            state, detail = await said(stage, role)
            return state == "disabled" and "4001" in detail and "laggard init --reader-key" in detail

        await until(disabled, 5, "refused credentials are not tried again")
        assert stage.processes[role].poll() is None
