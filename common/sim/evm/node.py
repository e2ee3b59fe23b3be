"""A real EVM node on loopback: anvil as a child process on chain id 137, with a block for each transaction.

Owns where the program is, its life and its odd methods. Plants nothing; see ``plant``.
"""

import asyncio
import ctypes
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from common.errors import DependencyMissing
from common.sim.evm.rpc_client import RpcClient
from common.sim.trading.contracts import CHAIN_ID

MODULES = Path(__file__).parents[3] / ".evm" / "node_modules"
"""What bin/setup installs by npm."""
BINARY = MODULES / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
START_S = 10.0
STOP_S = 3.0
_LOOK_S = 0.01
_PR_SET_PDEATHSIG = 1


def absent() -> str:
    """Why there is no EVM node here, with what to do; empty when there is one."""
    if BINARY.is_file() and os.access(BINARY, os.X_OK) and (MODULES / "@gnosis.pm").is_dir():
        return ""
    return f"there is no EVM node at {BINARY}: run bin/setup with npm on PATH (Linux x86_64)"


class EvmNode:
    """One chain; it ends with this process, and with its context."""

    def __init__(self, *, block_s: int | None = None, port: int = 0) -> None:
        """Blocks come with transactions, or every so many seconds."""
        self._block_s = block_s
        self._port = port
        self._process: Process | None = None
        self._client: RpcClient | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """Of anvil."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start and wait until it answers; raises DependencyMissing when it does not."""
        problem = absent()
        if problem:
            raise DependencyMissing(problem)
        port = self._port or _free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [str(BINARY), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(CHAIN_ID)]
        command += ["--silent", "--slots-in-an-epoch", "1", "--accounts", "1", "--no-cors"]
        if self._block_s is not None:
            command += ["--block-time", str(self._block_s)]
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            preexec_fn=partial(_die_with, os.getpid()),
        )
        self._client = RpcClient(self.url)
        try:
            async with asyncio.timeout(START_S):
                await self._answers()
        except TimeoutError:
            await self.stop()
            raise DependencyMissing(f"anvil did not answer within {START_S:g} s at {self.url}") from None

    async def stop(self) -> None:
        """End it; a second time changes nothing."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def rpc(self, method: str, *params: Any) -> Any:
        """The result of one request; raises RpcRefused when the node says no."""
        assert self._client is not None
        return await self._client.call(method, *params)

    async def mine(self, blocks: int = 1) -> None:
        """Make blocks now."""
        await self.rpc("anvil_mine", hex(blocks))

    async def head(self) -> int:
        """The newest block."""
        return int(await self.rpc("eth_blockNumber"), 16)

    async def set_coin(self, address: str, wei: int) -> None:
        """Give an address exactly this much of the chain's coin."""
        await self.rpc("anvil_setBalance", address, hex(wei))

    async def reorganise(self, depth: int) -> None:
        """Replace the newest blocks by empty ones; their transactions are gone."""
        await self.rpc("anvil_reorg", depth, [])

    async def automine(self, on: bool) -> None:
        """Whether a transaction makes its block at once."""
        await self.rpc("evm_setAutomine", on)

    async def send_as(self, sender: str, to: str, data: bytes | str) -> str:
        """A transaction of an account whose key nobody has; its hash, once it is in a block without error."""
        text = data if isinstance(data, str) else "0x" + data.hex()
        await self.rpc("anvil_impersonateAccount", sender)
        coin = int(await self.rpc("eth_getBalance", sender, "latest"), 16)
        await self.set_coin(sender, 10**20)
        fields = {"from": sender, "to": to, "data": text, "gas": hex(5_000_000)}
        try:
            tx_hash: str = await self.rpc("eth_sendTransaction", fields)
            receipt = await self.rpc("eth_getTransactionReceipt", tx_hash)
            if receipt is None:
                await self.mine()
                receipt = await self.rpc("eth_getTransactionReceipt", tx_hash)
        finally:
            await self.set_coin(sender, coin)
            await self.rpc("anvil_stopImpersonatingAccount", sender)
        if receipt is None or receipt["status"] != "0x1":
            raise RuntimeError(f"the transaction {tx_hash} to {to} failed")
        return tx_hash

    async def _answers(self) -> None:
        assert self._process is not None
        while True:
            if self._process.returncode is not None:
                raise DependencyMissing(f"anvil ended with {self._process.returncode} before it answered")
            try:
                await self.rpc("eth_chainId")
            except DependencyMissing:
                await asyncio.sleep(_LOOK_S)
            else:
                return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _die_with(parent: int) -> None:
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It died before the request was made.
        os._exit(1)
