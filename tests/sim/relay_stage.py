"""What the tests of the relayer and the faulty chain endpoint share: a node, and wallets that only count."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from common.sim.evm.node import EvmNode
from common.sim.evm.relayer_actions import RELAY_HUB
from common.sim.evm.relayer_auth import BuilderCredentials
from common.sim.trading.contracts import DEPOSIT_FACTORY

BUILDER = BuilderCredentials(
    "builder", "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyISE=", "passphrase-of-nobody"
)
NONCE = "affed0e0"
"""The selector of nonce()."""
_GET_NONCE = "2d0335ab"
_COUNTER = "0x60003560e01c63{}14601957600160005401600055005b60005460005260206000f3"
"""Answers one function with its first slot and counts every other call there."""
REVERTING = "0x60003560e01c63affed0e014601357600080fd5b60005460005260206000f3"
"""Answers nonce() with its first slot and reverts otherwise."""


@asynccontextmanager
async def running_node() -> AsyncIterator[EvmNode]:
    """A chain of its own for one test."""
    async with EvmNode() as node:
        yield node


async def plant_counters(node: EvmNode, wallets: Iterable[str]) -> None:
    """Wallets, hub and factory of which each answers its nonce and counts all other calls."""
    for address in (*wallets, DEPOSIT_FACTORY):
        await node.rpc("anvil_setCode", address, _COUNTER.format(NONCE))
    await node.rpc("anvil_setCode", RELAY_HUB, _COUNTER.format(_GET_NONCE))
