"""The start-up checks against a venue, a chain and real files: each of them fails for its own reason."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from common.errors import ConfigError
from common.messages import ChecksReport, ReadChecks
from common.runtime import credentials
from common.runtime.clock import SystemClock
from common.runtime.config import load_config
from common.runtime.paths import make_paths
from common.venue.signing.contracts import CTF_EXCHANGE
from executor_stage import ROOT, until
from live_stage import KEY, LiveStage, live_stage, stop_forking, until_accepted
from procs.check import check

pytestmark = [pytest.mark.procs, pytest.mark.live]

WELL = {
    "key", "chain", "contracts", "balance", "allowance", "approval to sell", "api key", "standing", "clock",
    "region", "order version", "book", "user channel", "journal", "disk",
}  # fmt: skip


async def found(live: LiveStage, **changes: str) -> dict[str, tuple[str, str]]:
    """The checks run in this process with the stage's environment: name to state and text."""
    environment = {**live.on.environment, **changes}
    config = load_config(None, environment)
    paths = make_paths(
        environment["LAGGARD_STATE_DIR"],
        environment["LAGGARD_RUN_DIR"],
        environment["LAGGARD_PATHS__CREDENTIALS_DIR"],
    )
    report = await check(config, paths)
    assert all(one.fix for one in report.results if one.state in ("failed", "warning")), report
    return {one.name: (one.state, one.text) for one in report.results}


def test_everything_is_well_and_each_fault_has_its_own_check(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with live_stage() as live:
            live.list_current_window()
            everything = await found(live)
            assert {name for name, (state, _) in everything.items() if state == "ok"} == WELL, everything
            cases: list[tuple[dict[str, Any], dict[str, str], str]] = [
                ({"kind": "venue_mode", "mode": "geo"}, {}, "region"),
                ({"kind": "venue_mode", "mode": "closed_only"}, {}, "standing"),
                ({"kind": "chain", "chain_id": 1}, {}, "chain"),
                ({"kind": "chain", "down": True}, {}, "chain"),
                ({"kind": "chain", "code_missing": [CTF_EXCHANGE]}, {}, "contracts"),
                ({"kind": "refuse", "channel": "user", "status": 403}, {}, "user channel"),
                ({"kind": "stall", "channel": "market"}, {}, "book"),
                ({"kind": "http", "family": "clob", "path": "/time", "status": 500}, {}, "clock"),
            ]
            for fault, changes, name in cases:
                live.faults(fault)
                state, text = (await found(live, **changes))[name]
                assert state == "failed", (name, text)
                assert text
            live.faults({"kind": "chain", "approvals_missing": [CTF_EXCHANGE]})
            worried = {name for name, (state, _) in (await found(live)).items() if state != "ok"}
            assert worried - {"evidence"} == {"approval to sell"}
            live.faults()
            state, text = (await found(live, LAGGARD_STRATEGY__STAKE_USD="20000"))["balance"]
            assert (state, "one stake" in text) == ("failed", True)
            file = Path(live.on.environment["LAGGARD_PATHS__CREDENTIALS_DIR"]) / "trading.json"
            file.write_text(json.dumps({"private_key": "0x" + "6b" * 32}))
            with pytest.raises(ConfigError, match="does not belong to this key"):
                await found(live)
            file.write_text(json.dumps({"private_key": KEY}))

            for offset_s, expected in ((0.0, "ok"), (3.0, "warning"), (-8.0, "failed")):
                shifted = int(offset_s * 10**9)
                monkeypatch.setattr(SystemClock, "wall_ns", lambda self, by=shifted: time.time_ns() + by)
                assert (await found(live))["clock"][0] == expected
            monkeypatch.undo()

    asyncio.run(play())


def test_a_venue_that_lists_nothing_is_a_worry_and_the_key_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, read = credentials.private_bytes, []

    def private_bytes(file: Path) -> bytes | None:
        read.append(file.name)
        return real(file)

    monkeypatch.setattr(credentials, "private_bytes", private_bytes)

    async def play() -> None:
        async with live_stage() as live:
            assert (await found(live))["book"] == ("warning", "no window is listed at present")
            assert read.count("trading.json") == 1
            live.faults({"kind": "http", "family": "gamma", "status": 500})
            state, text = (await found(live))["book"]
            assert (state, "the windows cannot be listed" in text) == ("failed", True), text

    asyncio.run(play())


@pytest.mark.parametrize(
    "body", ['{"blocked": true}', "{}", "[]", '{"blocked": null}', '{"blocked": "false"}', "no"]
)
def test_only_an_explicit_false_lets_trade(body: str) -> None:
    async def play() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
            )
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with live_stage() as live:
            region = (await found(live, LAGGARD_VENUE__GEOBLOCK_URL=f"http://127.0.0.1:{port}/"))["region"]
            assert region[0] == "failed"
        server.close()

    asyncio.run(play())


def test_a_check_that_fails_while_trading_stops_new_orders_and_lifts_itself() -> None:
    async def play() -> None:
        async with live_stage() as live:
            live.start()
            await live.on.wait_report(lambda told: told.posture.posture == "trading")
            early = await live.on.ask(ReadChecks(), timeout_s=8)
            assert isinstance(early, ChecksReport)
            (book,) = [one for one in early.results if one.name == "book"]
            assert (book.state, book.text) == ("warning", "no window is listed at present")
            live.open_window("w1")
            await until_accepted(live, "w1")
            await live.on.wait_report(lambda told: told.orders and told.orders[0].status != "working")
            live.faults({"kind": "venue_mode", "mode": "geo"})
            report = await live.on.ask(ReadChecks(anew=True), timeout_s=8)
            assert isinstance(report, ChecksReport)
            held = (await live.on.report()).posture
            assert (held.posture, held.who) == ("no-new-orders", "checks")
            assert "region" in held.reason
            live.faults()
            assert isinstance(await live.on.ask(ReadChecks(anew=True), timeout_s=8), ChecksReport)
            assert (await live.on.report()).posture.posture == "trading"
            assert await live.on.stop() == 0

    try:
        asyncio.run(play())
    finally:
        stop_forking()


def test_an_executor_without_evidence_begins_no_order_however_it_was_started() -> None:
    async def play() -> None:
        async with live_stage() as live:
            del live.on.environment["LAGGARD_EVIDENCE__WAIVER"]
            live.start()
            told = await live.on.wait_report(lambda told: told.posture.reason.startswith("evidence"))
            assert (told.posture.posture, told.posture.who) == ("no-new-orders", "checks")
            assert await live.on.stop() == 0

    try:
        asyncio.run(play())
    finally:
        stop_forking()


def test_the_command_reads_no_key_and_says_what_failed() -> None:
    async def play() -> None:
        async with live_stage() as live:
            live.list_current_window()
            live.faults({"kind": "venue_mode", "mode": "geo"})
            code = "from procs.cli.main import main; main(['check', '--json'])"
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                code,
                cwd=ROOT,
                env=os.environ | live.on.environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await asyncio.wait_for(process.communicate(), 40)
            told = json.loads(out)
            assert process.returncode == 1, err
            assert {one["name"] for one in told["checks"] if one["state"] == "failed"} == {"region"}
            assert b"no order would be sent" in err
            await until(lambda: process.returncode is not None)

    asyncio.run(play())
