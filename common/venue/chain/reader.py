"""What checks and proofs read of the chain: balances, allowances and code as they are now.

Sends no transaction. Every read raises DependencyMissing.
"""

from collections.abc import Sequence
from typing import Any

from common.errors import DependencyMissing
from common.runtime.clock import Clock
from common.venue.chain import shapes
from common.venue.chain.endpoints import Endpoints

_BALANCE_OF = "70a08231"
_ALLOWANCE = "dd62ed3e"
_BALANCE_OF_TOKEN = "00fdd58e"  # noqa: S105 - the selector of balanceOf(address,uint256)
_IS_APPROVED_FOR_ALL = "e985e9c5"
_NO, _YES = (number.to_bytes(32, "big") for number in (0, 1))


class ChainReader:
    """Reads of one chain through its configured endpoints, at the newest block of each."""

    def __init__(self, urls: Sequence[str], chain_id: int, *, clock: Clock | None = None) -> None:
        self._endpoints = Endpoints(urls, chain_id, clock=clock)

    async def collateral(self, token: str, owner: str) -> int:
        """The ERC-20 balance of a wallet in base units."""
        return await self._uint(token, _BALANCE_OF + _word(owner))

    async def allowance(self, token: str, owner: str, spender: str) -> int:
        """What a contract may take of a wallet's ERC-20 balance."""
        return await self._uint(token, _ALLOWANCE + _word(owner) + _word(spender))

    async def shares(self, contract: str, owner: str, token_id: str) -> int:
        """The ERC-1155 balance of one token id."""
        return await self._uint(contract, _BALANCE_OF_TOKEN + _word(owner) + f"{int(token_id):064x}")

    async def is_operator(self, contract: str, owner: str, operator: str) -> bool:
        """Whether somebody may move every ERC-1155 token of an owner."""
        data = _IS_APPROVED_FOR_ALL + _word(owner) + _word(operator)
        # Read here and not as a shape: no contract, or another one, is no fault of the endpoint, which would
        # be set aside for it and be missing where balances are asked for.
        said = await self._endpoints.decided("eth_call", [_call(contract, data), "latest"], shapes.blob)
        if said not in (_NO, _YES):
            raise DependencyMissing(f"the contract at {contract} answers neither yes nor no")
        return said == _YES

    async def has_code(self, address: str) -> bool:
        """Whether there is a contract at this address."""
        found = await self._endpoints.decided("eth_getCode", [address, "latest"], shapes.code)
        return len(found) > len("0x")

    async def wrong_chain(self) -> str:
        """Why the chain cannot be asked, in one sentence; empty when enough endpoints are on our chain."""
        return await self._endpoints.wrong_chain()

    async def _uint(self, contract: str, data: str) -> int:
        return int(
            await self._endpoints.decided("eth_call", [_call(contract, data), "latest"], shapes.word), 16
        )


def _call(contract: str, data: str) -> dict[str, Any]:
    return {"to": contract, "data": "0x" + data}


def _word(address: str) -> str:
    return address.removeprefix("0x").lower().rjust(64, "0")
