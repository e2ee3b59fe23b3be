"""Blocks of the simulated chain: one after the other by the clock, each final when two more have come.

A block has no content of its own: which transactions are in it, they know.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from common.units import MILLISECOND, SECOND

GWEI = 10**9
BASE_FEE_WEI = 30 * GWEI
LEAST_TIP_WEI = 25 * GWEI
"""What nodes demand of a transaction."""
FINAL_DEPTH = 2
_GAS_LIMIT = 45_000_000


class Blocks:
    """The clock as a chain has it."""

    def __init__(self, block_ms: int, now_ns: Callable[[], int]) -> None:
        self._block_ns = block_ms * MILLISECOND
        self._now_ns = now_ns

    @property
    def head(self) -> int:
        return self._now_ns() // self._block_ns

    @property
    def final(self) -> int:
        return self.head - FINAL_DEPTH

    @property
    def next_ms(self) -> int:
        """How long until the next block, at least a millisecond."""
        return (self._block_ns - self._now_ns() % self._block_ns) // MILLISECOND + 1

    def time_s(self, number: int) -> int:
        return number * self._block_ns // SECOND

    def number_at(self, at_ns: int) -> int:
        """The block of an instant."""
        return at_ns // self._block_ns

    def named(self, tag: Any) -> int:
        """The number of a block by its tag or number; raises ValueError for one that is not there yet."""
        match tag:
            case None | "latest" | "pending":
                return self.head
            case "finalized" | "safe":
                return self.final
            case "earliest":
                return 0
        number = int(tag, 16)
        if not 0 <= number <= self.head:
            raise ValueError("header not found")
        return number

    def told(self, number: int, base_fee_wei: int, transactions: list[str]) -> dict[str, Any]:
        """The block as JSON-RPC tells it, without the transactions' own fields."""
        return {
            "number": hex(number),
            "hash": block_hash(number),
            "parentHash": block_hash(number - 1),
            "timestamp": hex(self.time_s(number)),
            "baseFeePerGas": hex(base_fee_wei),
            "gasLimit": hex(_GAS_LIMIT),
            "gasUsed": "0x0",
            "miner": "0x" + "00" * 20,
            "transactions": transactions,
        }


def block_hash(number: int) -> str:
    """Made up, the same for the same number."""
    return "0x" + hashlib.sha256(f"block {number}".encode()).hexdigest()
