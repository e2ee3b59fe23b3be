"""The real redeemer process: hears what is held, redeems it on a real EVM node, says so, survives kill -9."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq.asyncio

from common.errors import CallRefused, CallTimedOut
from common.messages import (
    Answer,
    Command,
    PlanRedemption,
    PositionState,
    ReadRedemptions,
    Redeem,
    RedemptionPlan,
    RedemptionsReport,
    RedemptionState,
    Status,
    StatusReport,
    TakeSnapshot,
)
from common.runtime.calls import call
from common.runtime.clock import SystemClock
from common.runtime.credentials import write_credentials
from common.runtime.publisher import Publisher
from common.runtime.responder import Responder
from common.runtime.subscriber import Subscriber
from common.sim.evm import plant
from common.sim.evm.node import absent
from common.sim.evm.plant import PlantedCondition
from redeem_node import PRIVATE, RELAYER_KEY, SIGNER, World, world

pytestmark = [
    pytest.mark.skipif(bool(absent()), reason=absent()),
    pytest.mark.procs,
    pytest.mark.live,
]
LIMIT_S = 30.0
WON6 = 12_345_679
WINDOW = "btc-updown-15m-1800000000"


@dataclass
class Bus:
    """The rest of the bus around a redeemer."""

    made: World
    ctx: zmq.asyncio.Context
    run_dir: Path
    publisher: Publisher
    heard: list[RedemptionState]

    async def start(self) -> asyncio.subprocess.Process:
        env = os.environ | {"LAGGARD_CONFIG": str(self.made.tmp_path / "config.toml")}
        command = [sys.executable, "-P", "-m", "procs.redeemer"]
        log = (self.made.tmp_path / "redeemer.log").open("ab")
        with log:
            return await asyncio.create_subprocess_exec(*command, env=env, stdout=log, stderr=log)

    async def ask(self, command: Command) -> Answer | None:
        try:
            return await call(
                self.ctx, self.run_dir, "redeemer", "test", command, clock=SystemClock(), timeout_ns=10**9
            )
        except CallTimedOut:
            return None
        except CallRefused as refusal:
            if refusal.code != "unknown-command":
                raise
            # It starts: commands are taken once its journal is open.
            return None

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not enough():
                await self.made.node.mine()
                await asyncio.sleep(0.05)

    def hold(self, condition: PlantedCondition, size6: int, *, outcome: int = 0) -> None:
        self.publisher.publish(
            f"position.{WINDOW}.up",
            PositionState(
                window=WINDOW,
                asset="btc",
                token=condition.tokens[outcome],
                outcome="up",
                size6=size6,
                cost_usd6=1,
                fee_usd6=0,
                end_ns=1,
                settled=True,
                official="up",
                payout_usd6=size6,
                condition_id=condition.condition_id,
            ),
            keep=True,
        )


@asynccontextmanager
async def bus(made: World, wallet: str, *, relayer_key: bool = True) -> AsyncIterator[Bus]:
    """An executor's voice, an ear, and the files a redeemer reads."""
    base = made.tmp_path
    with tempfile.TemporaryDirectory(prefix="lg") as short:
        run_dir = Path(short)
        (base / "config.toml").write_text(
            f'mode = "live"\n[paths]\nstate_dir = "{base}/state"\nrun_dir = "{run_dir}"\n'
            f'credentials_dir = "{base}/credentials"\n[wallet]\nkind = "deposit"\naddress = "{wallet}"\n'
            f'[venue]\nchain_rpc_urls = ["{made.endpoint_url}"]\ndata_url = "http://127.0.0.1:9/data"\n'
            f'[redeem]\nrelayer_url = "{made.relayer_url}"\npoll_s = 0.2\nresend_after_s = 0.5\n'
        )
        write_credentials(base / "credentials" / "trading.json", {"private_key": PRIVATE})
        if relayer_key:
            file = base / "credentials" / "relayer.json"
            write_credentials(file, {"key": RELAYER_KEY, "address": SIGNER})
        ctx = zmq.asyncio.Context()
        clock = SystemClock()
        publisher = Publisher(ctx, run_dir, "executor", clock)
        responder = Responder(ctx, run_dir, "executor", clock)
        responder.on(TakeSnapshot, lambda _command, _request: publisher.snapshot())
        subscriber = Subscriber(ctx, run_dir, "test", ["redeemer"], clock)
        heard: list[RedemptionState] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(publisher.run()),
                    group.create_task(responder.run()),
                    group.create_task(
                        subscriber.attend(
                            lambda news: heard.extend(
                                each.body for each in news if isinstance(each.body, RedemptionState)
                            )
                        )
                    ),
                ]
                yield Bus(made, ctx, run_dir, publisher, heard)
                for task in tasks:
                    task.cancel()
        finally:
            ctx.destroy(linger=0)


async def test_what_is_won_comes_back_through_a_kill_and_is_told(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        wallet = await made.wallet("deposit")
        won = await made.condition("v1", 1, wallet, WON6, 0)
        async with bus(made, wallet) as on:
            on.hold(won, WON6)
            process = await on.start()
            plan: Answer | None = None
            while not isinstance(plan, RedemptionPlan):
                plan = await on.ask(PlanRedemption(conditions=(won.condition_id,)))
            assert [line.reason for line in plan.lines] == ["its result is not on the chain yet"]
            with pytest.raises(CallRefused, match="neither a condition id"):
                await on.ask(Redeem(conditions=("nonsense",), who="test"))
            await plant.resolve(made.node, won, 1, 0)
            await on.until(lambda: any(each.status == "under way" for each in on.heard))
            process.send_signal(signal.SIGKILL)
            await process.wait()
            process = await on.start()
            await on.until(lambda: any(each.status == "paid" for each in on.heard))
            paid = next(each for each in on.heard if each.status == "paid")
            assert (paid.paid_usd6, paid.window, paid.tokens) == (WON6, WINDOW, ((won.tokens[0], WON6),))
            assert await plant.collateral(made.node, wallet) == WON6
            report = await on.ask(ReadRedemptions())
            assert isinstance(report, RedemptionsReport)
            assert [each.status for each in report.redemptions] == ["paid"]
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    kept = await asyncio.to_thread(_all_bytes, tmp_path)
    assert PRIVATE[2:].encode() not in kept
    assert RELAYER_KEY.encode() not in kept


def _all_bytes(folder: Path) -> bytes:
    files = [each for each in folder.rglob("*") if each.parent.name != "credentials" and each.is_file()]
    return b"".join(each.read_bytes() for each in files)


async def test_without_its_credentials_it_rests_and_says_why(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        wallet = await made.wallet("deposit")
        async with bus(made, wallet, relayer_key=False) as on:
            process = await on.start()
            told: Answer | None = None
            while not (isinstance(told, StatusReport) and told.state == "disabled"):
                told = await on.ask(Status())
            assert "no relayer key" in told.detail
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
