"""The EVM node: it is chain 137, calls blocks final soon, reorganises, and leaves nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from common.errors import DependencyMissing
from common.sim.evm import node as evm_node
from common.sim.evm.node import EvmNode, absent

pytestmark = pytest.mark.skipif(bool(absent()), reason=absent())
SOMEBODY = "0x" + "ab" * 20


async def test_it_is_our_chain_and_final_two_blocks_back() -> None:
    async with EvmNode() as node:
        assert await node.rpc("eth_chainId") == "0x89"
        await node.mine(5)
        head = await node.head()
        finalized = await node.rpc("eth_getBlockByNumber", "finalized", False)
        assert int(finalized["number"], 16) == head - 2


async def test_a_reorganisation_takes_a_transaction_back() -> None:
    async with EvmNode() as node:
        await node.mine(3)
        tx_hash = await node.send_as(SOMEBODY, "0x" + "cd" * 20, b"")
        await node.mine(1)
        await node.reorganise(3)
        assert await node.rpc("eth_getTransactionReceipt", tx_hash) is None


async def test_it_ends_with_its_context() -> None:
    async with EvmNode() as node:
        pid = node.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_it_ends_with_whoever_started_it() -> None:
    script = (
        "import asyncio\n"
        "from common.sim.evm.node import EvmNode\n"
        "async def main():\n"
        "    node = EvmNode()\n"
        "    await node.start()\n"
        "    print(node.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    for _ in range(500):
        if not _is_alive(pid):
            return
        asyncio.run(asyncio.sleep(0.01))
    pytest.fail(f"anvil {pid} outlived its parent")


async def test_where_there_is_none_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evm_node, "BINARY", evm_node.BINARY.with_name("nothing"))
    assert "run bin/setup with npm" in absent()
    with pytest.raises(DependencyMissing, match="run bin/setup with npm"):
        await EvmNode().start()


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
