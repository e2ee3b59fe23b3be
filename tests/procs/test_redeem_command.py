"""``laggard redeem`` as a user runs it, beside a redeemer and without one, on a real EVM node."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from common.runtime.credentials import write_credentials
from common.sim.evm import plant
from common.sim.evm.node import absent
from common.sim.evm.plant import PlantedCondition
from common.store.redemption_journal import open_redemptions
from redeem_node import PRIVATE, World, world

pytestmark = [
    pytest.mark.skipif(bool(absent()), reason=absent()),
    pytest.mark.procs,
    pytest.mark.live,
]
WON6 = 12_345_679
LIMIT_S = 40.0


@asynccontextmanager
async def mining(made: World) -> AsyncIterator[None]:
    """Blocks come all the time."""

    async def mine() -> None:
        while True:
            await made.node.mine()
            await asyncio.sleep(0.05)

    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(mine())
        yield
        task.cancel()


async def start(
    module: str, *arguments: str, stdin: int = asyncio.subprocess.DEVNULL, **env: str
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module, *arguments),
        env=os.environ | {"NO_COLOR": "1"} | env,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def redeem(made: World, *arguments: str, **how: Any) -> asyncio.subprocess.Process:
    """Start the command."""
    # The file is named, as whatever runs in this checkout comes before the environment.
    config = ("--config", str(made.tmp_path / "config.toml"))
    return await start("procs.cli.main", "redeem", *arguments, *config, **how)


async def result(process: asyncio.subprocess.Process, before: str = "") -> tuple[int, str, str]:
    """Exit code, stdout, stderr at the end of a process; none of them shows the key."""
    out, err = await process.communicate()
    assert process.returncode is not None
    said = before + err.decode()
    assert PRIVATE[2:] not in out.decode() + said
    return process.returncode, out.decode(), said


async def heard(process: asyncio.subprocess.Process, text: str) -> str:
    """What it said on stderr up to and with this."""
    assert process.stderr is not None
    said = ""
    while text not in said:
        line = await process.stderr.readline()
        assert line, said
        said += line.decode()
    return said


async def run(made: World, *arguments: str, **how: Any) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of the command, while blocks come."""
    async with mining(made):
        return await result(await redeem(made, *arguments, **how))


@asynccontextmanager
async def redeemer(made: World) -> AsyncIterator[None]:
    """A redeemer that takes commands."""
    process = await start("procs.redeemer", LAGGARD_CONFIG=str(made.tmp_path / "config.toml"))
    try:
        while "does not run" in (await run(made, "--status"))[1]:
            assert process.returncode is None
        yield
    finally:
        process.terminate()
        code, out, err = await result(process)
        assert code == 0, out[-4000:] + err[-4000:]


@contextmanager
def data_service(*positions: tuple[PlantedCondition, str]) -> Iterator[str]:
    """The venue's list of what it calls redeemable: conditions and their windows."""
    rows = [
        {"condition_id": each.condition_id, "token_id": each.tokens[0], "slug": slug, "size": 1.5}
        for each, slug in positions
    ]
    body = json.dumps({"data": rows, "pagination": {"next_cursor": None}}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


def write_config(
    made: World,
    wallet: str,
    *,
    run_dir: str = "",
    wallet_more: str = "",
    redeem_more: str = "",
    data_url: str = "http://127.0.0.1:9/data",
) -> None:
    base = made.tmp_path
    (base / "config.toml").write_text(
        f'mode = "live"\n[paths]\nstate_dir = "{base}/state"\nrun_dir = "{run_dir or base / "run"}"\n'
        f'credentials_dir = "{base}/credentials"\n'
        f'[wallet]\nkind = "safe"\naddress = "{wallet}"\n{wallet_more}\n'
        f'[venue]\nchain_rpc_urls = ["{made.endpoint_url}"]\ndata_url = "{data_url}"\n'
        "[redeem]\nauto = false\npoll_s = 0.2\nresend_after_s = 0.5\n"
        f"{redeem_more}\n"
    )


async def prepared(made: World, *, key: bool, **config: str) -> tuple[str, PlantedCondition]:
    """A wallet that won, and the files of its owner."""
    wallet = await made.wallet("safe")
    won = await made.condition("v1", 1, wallet, WON6, 0)
    await plant.resolve(made.node, won, 1, 0)
    await made.node.mine(3)
    write_config(made, wallet, **config)
    if key:
        file = made.tmp_path / "credentials" / "trading.json"
        write_credentials(file, {"private_key": PRIVATE})
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


async def test_a_running_redeemer_is_asked_and_tells_the_same_after_its_end(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="lg") as run_dir:
        async with world(tmp_path) as made:
            wallet, won = await prepared(made, key=True, run_dir=run_dir)
            async with redeemer(made):
                # It redeems nothing by itself, and the plan is its own.
                code, out, err = await run(made, "--plan", won.condition_id, "--json")
                assert (code, told(out)["lines"][0]["decision"]) == (0, "redeem"), err
                code, out, err = await run(made, won.condition_id, "--yes", "--json")
                assert code == 0, err
                assert "paid: 12.345679 $" in err
                assert await plant.collateral(made.node, wallet) == WON6
                (state,) = told(out)["redemptions"]
                code, out, _ = await run(made, "--status", "--json")
                asked = told(out)
            code, out, _ = await run(made, "--status", "--json")
            assert told(out)["redemptions"] == asked["redemptions"] == [state]
            assert (asked["problem"], told(out)["problem"]) == ("", "the redeemer does not run")


async def test_one_that_waited_redeems_what_the_other_left(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        wallet, won = await prepared(made, key=True)
        (tmp_path / "state").mkdir()
        other = open_redemptions(tmp_path / "state" / "redemptions.sqlite")
        async with mining(made):
            process = await redeem(made, won.condition_id, "--yes")
            said = await heard(process, "that one redeems")
            assert f"(pid {os.getpid()})" in said
            other.close()
            code, out, err = await result(process, said)
        assert code == 0, err
        assert "12.345679 $ came back" in out
        assert await plant.collateral(made.node, wallet) == WON6


async def test_what_was_sent_when_somebody_breaks_off_is_taken_up_again(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        wallet, won = await prepared(made, key=True)
        async with asyncio.timeout(LIMIT_S):
            process = await redeem(made, won.condition_id, "--yes")
            # No block comes: it stays under way.
            said = await heard(process, "under way")
            process.send_signal(signal.SIGINT)
            code, _, err = await result(process, said)
        assert code == 130
        assert "may still happen" in err
        code, _, err = await run(made, won.condition_id, "--yes", "--json")
        assert code == 0, err
        assert await plant.collateral(made.node, wallet) == WON6
        code, out, _ = await run(made, "--status", "--json")
        assert [each["status"] for each in told(out)["redemptions"]] == ["paid"]


async def test_what_the_venue_redeems_while_a_person_is_asked_is_no_failure(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        wallet, won = await prepared(made, key=True)
        ours, theirs = os.openpty()
        try:
            async with mining(made):
                process = await redeem(made, won.condition_id, stdin=theirs)
                assert process.stderr is not None
                said = (await process.stderr.readuntil(b"$?")).decode()
                await plant.auto_redeem(made.node, wallet, won)
                await made.node.mine()
                os.write(ours, b"y\n")
                code, out, err = await result(process, said)
        finally:
            os.close(ours)
            os.close(theirs)
        assert code == 0, err
        assert "the wallet holds nothing of it any more" in out
        assert await plant.collateral(made.node, wallet) == WON6


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 130), (b"y\n", 0)])
async def test_a_person_is_asked_first(tmp_path: Path, answer: bytes, code: int) -> None:
    async with world(tmp_path) as made:
        wallet, won = await prepared(made, key=True)
        ours, theirs = os.openpty()
        try:
            async with mining(made):
                process = await redeem(made, won.condition_id, stdin=theirs)
                os.write(ours, answer)
                found, _, err = await result(process)
        finally:
            os.close(ours)
            os.close(theirs)
        assert found == code, err
        assert "redeem 1 condition for 12.345679 $?" in err
        assert await plant.collateral(made.node, wallet) == (0 if code else WON6)


async def test_the_key_of_the_environment_leaves_no_trace(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        wallet, won = await prepared(made, key=False, wallet_more='key_source = "environment"')
        code, _, err = await run(made, won.condition_id, "--yes", LAGGARD_PRIVATE_KEY=PRIVATE)
        assert code == 0, err
        assert await plant.collateral(made.node, wallet) == WON6
        kept = await asyncio.to_thread(_all_bytes, tmp_path)
        assert won.condition_id.encode() in kept
        assert PRIVATE[2:].encode() not in kept


def _all_bytes(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.rglob("*") if each.is_file())


async def test_losers_are_burnt_on_request_only_and_the_unresolved_wait(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        wallet, _ = await prepared(made, key=True)
        lost = await made.condition("v1", 2, wallet, 0, 5_000_000)
        open_ = await made.condition("v1", 3, wallet, 5_000_000, 0)
        await plant.resolve(made.node, lost, 1, 0)
        await made.node.mine(3)
        names = (lost.condition_id, open_.condition_id)
        code, out, _ = await run(made, *names, "--yes")
        assert (code, "--losers burns it" in out) == (0, True)
        code, out, err = await run(made, *names, "--losers", "--yes", "--json")
        assert code == 0, err
        (state,) = told(out)["redemptions"]
        assert (state["condition_id"], state["status"]) == (lost.condition_id, "paid")
        assert state["tokens"] == [[lost.tokens[1], 5_000_000]]
        assert await plant.collateral(made.node, wallet) == 0


async def test_all_takes_what_the_venue_names_and_the_chain_confirms(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        wallet, won = await prepared(made, key=True)
        newer = await made.condition("v2", 2, wallet, 8_000_000, 0)
        dust = await made.condition("v1", 3, wallet, 50_000, 0)
        lost = await made.condition("v1", 4, wallet, 0, 5_000_000)
        for each in (newer, dust, lost):
            await plant.resolve(made.node, each, 1, 0)
        await made.node.mine(3)
        named = ((won, "w-won"), (newer, "w-newer"), (dust, "w-dust"), (lost, "w-lost"))
        with data_service(*named) as url:
            write_config(made, wallet, data_url=url, redeem_more="min_payout_usd = '0.1'")
            code, out, err = await run(made, "--plan")
            assert code == 0, err
            assert "20.345679 $ to redeem for about" in out
            assert "less than redeem.min_payout_usd" in out
            code, out, err = await run(made, "--all", "--yes", "--json")
            assert code == 0, err
            found = {each["window"]: each["status"] for each in told(out)["redemptions"]}
            assert found == {"w-won": "paid", "w-newer": "paid"}
            assert await plant.collateral(made.node, wallet) == WON6 + 8_000_000
            # Named by its window it is redeemed however little it pays.
            code, out, err = await run(made, "w-dust", "--yes")
            assert code == 0, err
            assert "0.050000 $ came back" in out
