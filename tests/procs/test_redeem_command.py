"""``laggard redeem`` as a user runs it, without a redeemer, on a real EVM node."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from common.runtime.credentials import write_credentials
from common.sim.evm import plant
from common.sim.evm.node import absent
from common.sim.evm.plant import PlantedCondition
from redeem_node import PRIVATE, World, world

pytestmark = [
    pytest.mark.skipif(bool(absent()), reason=absent()),
    pytest.mark.procs,
    pytest.mark.live,
]
WON6 = 12_345_679
LIMIT_S = 40.0


async def run(made: World, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of the command, while blocks come."""
    env = os.environ | {"LAGGARD_CONFIG": str(made.tmp_path / "config.toml"), "NO_COLOR": "1"}
    command = [sys.executable, "-P", "-m", "procs.cli.main", "redeem", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(LIMIT_S):
        async with asyncio.TaskGroup() as tasks:
            ended = tasks.create_task(process.communicate())
            while not ended.done():
                await made.node.mine()
                await asyncio.wait([ended], timeout=0.05)
        out, err = ended.result()
    assert process.returncode is not None
    assert PRIVATE[2:] not in out.decode() + err.decode()
    return process.returncode, out.decode(), err.decode()


async def prepared(made: World, *, key: bool) -> tuple[str, PlantedCondition]:
    wallet = await made.wallet("safe")
    won = await made.condition("v1", 1, wallet, WON6, 0)
    await plant.resolve(made.node, won, 1, 0)
    await made.node.mine(3)
    base = made.tmp_path
    (base / "config.toml").write_text(
        f'mode = "live"\n[paths]\nstate_dir = "{base}/state"\nrun_dir = "{base}/run"\n'
        f'credentials_dir = "{base}/credentials"\n[wallet]\nkind = "safe"\naddress = "{wallet}"\n'
        f'[venue]\nchain_rpc_urls = ["{made.endpoint_url}"]\ndata_url = "http://127.0.0.1:9/data"\n'
        "[redeem]\nresend_after_s = 0.5\n"
    )
    if key:
        write_credentials(base / "credentials" / "trading.json", {"private_key": PRIVATE})
    return wallet, won


def told(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out)
    return found


async def test_a_plan_reads_no_key_and_sends_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        wallet, won = await prepared(made, key=False)
        code, out, err = await run(made, "--plan", won.condition_id, "--json")
        assert code == 0, err
        (line,) = told(out)["lines"]
        assert (line["decision"], line["payout_usd6"], line["route"]) == ("redeem", WON6, "own-gas")
        assert line["gas_wei"] > 0
        code, out, _ = await run(made, "--plan", won.condition_id)
        assert "12.345679" in out
        assert await plant.collateral(made.node, wallet) == 0
        assert not made.endpoint.sent


async def test_it_pays_once_and_says_so_and_two_at_once_pay_once(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        wallet, won = await prepared(made, key=True)
        first, second = await asyncio.gather(
            *(run(made, won.condition_id, "--yes", "--json") for _ in range(2))
        )
        assert (first[0], second[0]) == (0, 0), first[2] + second[2]
        assert await plant.collateral(made.node, wallet) == WON6
        said = [told(out)["redemptions"] for _, out, _ in (first, second)]
        hashes = {each["tx_hash"] for states in said for each in states}
        assert len(hashes) == 1
        code, out, _ = await run(made, "--status", "--json")
        assert code == 0
        (state,) = told(out)["redemptions"]
        assert (state["status"], state["paid_usd6"], {state["tx_hash"]}) == ("paid", WON6, hashes)
        code, out, _ = await run(made, won.condition_id, "--yes")
        assert (code, "nothing to redeem" in out) == (0, True)
        assert await plant.collateral(made.node, wallet) == WON6


async def test_what_fails_is_named_and_ends_with_1(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        _, won = await prepared(made, key=True)
        await plant.set_adapter(made.node, "KeepingAdapter")
        code, _, err = await run(made, won.condition_id, "--yes")
        assert code == 1
        assert "burnt nothing" in err


async def test_wrong_use_says_what_to_do(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        _, won = await prepared(made, key=False)
        code, _, err = await run(made)
        assert (code, "--all" in err) == (2, True)
        code, _, err = await run(made, "nonsense", "--plan")
        assert (code, "neither a condition id" in err) == (1, True)
        code, _, err = await run(made, won.condition_id)
        assert (code, "--yes" in err) == (2, True)
        code, _, err = await run(made, won.condition_id, "--yes")
        assert (code, "there is no key" in err) == (78, True)
