"""What the redeemer sees of the chain: everything of one look at one block, so that endpoints can agree.

Every read raises DependencyMissing where too few endpoints answer, or they disagree. Sends nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from common.core.redemption.attempts import Log, Receipt
from common.errors import DependencyMissing
from common.venue.chain import shapes
from common.venue.chain.endpoints import Endpoint, Endpoints, one_of
from common.venue.chain.reverts import CallReverted, reverted
from common.venue.chain.rpc import RpcRefused

NO_TAG_DEPTH = 30
"""Blocks that count as final below the head of an endpoint that does not tell which are."""
MOST_BLOCKS = 1000
"""In one request for logs: public endpoints refuse more."""
Topics = Sequence[str | Sequence[str] | None]
"""By place: one value, any of several, or anything."""


class Head(NamedTuple):
    """How far the chain has come for all who were asked."""

    number: int
    finalized: int


@dataclass(frozen=True)
class _Reverted:
    """That a call reverts is what endpoints must agree on; each words it in its own way."""

    text: str = field(compare=False)


class ChainView:
    """Reads of one chain that say of which block they are."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    async def head(self) -> Head:
        """The newest block that everyone has, and the newest that everyone calls final."""
        heads = [head for _, head in await self._endpoints.answers(_head)]
        return Head(min(one.number for one in heads), min(one.finalized for one in heads))

    async def call(self, to: str, data: bytes, block: int, sender: str = "") -> bytes:
        """What a contract answers at a block; raises CallReverted with its reason."""
        asked = {"to": to, "data": f"0x{data.hex()}"} | ({"from": sender} if sender else {})

        async def question(endpoint: Endpoint) -> bytes | _Reverted:
            try:
                return await endpoint.ask("eth_call", [asked, hex(block)], shapes.blob)
            except RpcRefused as error:
                why = reverted(error)
                if why is None:
                    raise
                return _Reverted(endpoint.without_keys(why))

        answer = await self._endpoints.agreed(question)
        if isinstance(answer, _Reverted):
            raise CallReverted(answer.text)
        return answer

    async def has_code(self, address: str, block: int) -> bool:
        """Whether there is a contract at an address."""
        return bool(await self._endpoints.decided("eth_getCode", [address, hex(block)], shapes.blob))

    async def nonce(self, address: str, block: int) -> int:
        """The next nonce of an account at a block."""
        params = [address, hex(block)]
        return await self._endpoints.decided("eth_getTransactionCount", params, shapes.small_quantity)

    async def coin_wei(self, address: str, block: int) -> int:
        """What an account has of the chain's coin at a block."""
        return await self._endpoints.decided("eth_getBalance", [address, hex(block)], shapes.quantity)

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """What became of a transaction; None while not everyone has it in the same block."""
        tx_hash = tx_hash.lower()

        def read(value: Any) -> Receipt | None:
            return shapes.receipt(value, tx_hash)

        async def question(endpoint: Endpoint) -> Receipt | None:
            return await endpoint.ask("eth_getTransactionReceipt", [tx_hash], read)

        answers = await self._endpoints.answers(question)
        found = [receipt for _, receipt in answers if receipt is not None]
        if len(found) < len(answers) or len({receipt.block_hash for receipt in found}) > 1:
            return None
        return one_of(answers)

    async def known(self, tx_hash: str) -> bool:
        """Whether any endpoint has this transaction, pending or mined.

        False is no proof: somebody who was not asked may have it. Raises DependencyMissing when nobody
        answers.
        """
        tx_hash = tx_hash.lower()

        async def question(endpoint: Endpoint) -> bool | str:
            try:
                return await endpoint.ask(
                    "eth_getTransactionByHash", [tx_hash], lambda value: shapes.is_known(value, tx_hash)
                )
            except DependencyMissing as error:
                return str(error)

        told = await asyncio.gather(*(question(one) for one in self._endpoints.healthy))
        if not any(isinstance(one, bool) for one in told):
            aside = [one.set_aside for one in self._endpoints.all if one.set_aside]
            raise DependencyMissing("; ".join(dict.fromkeys(str(one) for one in [*told, *aside])))
        return any(one is True for one in told)

    async def logs(
        self, addresses: Sequence[str], topics: Topics, from_block: int, to_block: int
    ) -> tuple[Log, ...]:
        """Events of these contracts in these blocks, both ends included, in the order of the chain."""
        found: list[Log] = []
        for start in range(from_block, to_block + 1, MOST_BLOCKS):
            end = min(start + MOST_BLOCKS - 1, to_block)
            asked = {
                "address": list(addresses),
                "topics": [one if one is None or isinstance(one, str) else list(one) for one in topics],
                "fromBlock": hex(start),
                "toBlock": hex(end),
            }
            part = await self._endpoints.decided(
                "eth_getLogs", [asked], _asked_for(addresses, topics, start, end)
            )
            found.extend(part)
        return tuple(found)

    async def block_time_s(self, block: int) -> int:
        """When a block was made, seconds since 1970."""

        def read(value: Any) -> int:
            found = shapes.block(value)
            if found is None or found.number != block:
                raise ValueError("another block, or none")
            return found.time_s

        return await self._endpoints.decided("eth_getBlockByNumber", [hex(block), False], read)


async def _head(endpoint: Endpoint) -> Head:
    number, finalized = await asyncio.gather(
        endpoint.ask("eth_blockNumber", [], shapes.small_quantity), _finalized(endpoint)
    )
    return Head(number, max(0, number - NO_TAG_DEPTH) if finalized is None else min(number, finalized))


async def _finalized(endpoint: Endpoint) -> int | None:
    try:
        found = await endpoint.ask("eth_getBlockByNumber", ["finalized", False], shapes.block)
    except RpcRefused:
        return None
    return None if found is None else found.number


def _asked_for(
    addresses: Sequence[str], topics: Topics, start: int, end: int
) -> Callable[[Any], tuple[Log, ...]]:
    """Reads logs and refuses what was not asked for: an endpoint that ignores a filter is none to trust."""
    contracts = {one.lower() for one in addresses}
    allowed = [None if one is None else {each.lower() for each in _several(one)} for one in topics]

    def is_asked_for(log: Log) -> bool:
        return (
            log.address in contracts
            and start <= log.block <= end
            and len(log.topics) >= len(allowed)
            and all(some is None or topic in some for topic, some in zip(log.topics, allowed, strict=False))
        )

    def read(value: Any) -> tuple[Log, ...]:
        found = shapes.logs(value)
        if not all(is_asked_for(one) for one in found):
            raise ValueError("an event nobody asked for")
        return found

    return read


def _several(one: str | Sequence[str]) -> Sequence[str]:
    return [one] if isinstance(one, str) else one
