"""Transactions of the simulated chain: refused, waiting, or mined with what they did.

Plain records and the rules by which a node takes one in. Executes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from common.sim.trading.account_book import Entry
from common.sim.trading.chain_blocks import LEAST_TIP_WEI, block_hash
from common.sim.trading.chain_events import Event
from common.sim.trading.contracts import CHAIN_ID
from common.sim.trading.raw_transaction import RawTransaction

_LEAST_GAS = 21_000
_REPLACEMENT_PERCENT = 110


class NotTaken(Exception):
    """A node does not take a transaction; the text is the node's."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction calls, and as whom."""

    sender: str
    to: str
    data: bytes


@dataclass(slots=True, eq=False)
class Transaction:
    """One that was taken."""

    tx_hash: str
    payer: str
    """Who signed the transaction itself."""
    to: str
    data: bytes
    counted: str
    """Whose nonce it uses: the payer's, or the wallet's when it is relayed; empty for none."""
    nonce: int
    calls: tuple[Call, ...]
    due: int
    """The first block it may be in."""
    gas: int = 10_000_000
    max_fee_wei: int = 10**12
    tip_wei: int = LEAST_TIP_WEI
    relayed: bool = False
    """Whether it is dropped instead of mined when it would have no effect."""
    refused: str = ""
    """Why it was dropped."""
    block: int | None = None
    ok: bool = False
    gas_used: int = 0
    price_wei: int = 0
    first_log: int = 0
    place: int = 0
    """Its place in the block."""
    events: list[Event] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


def check_taken(
    raw: RawTransaction, next_nonce: int, coin_wei: int, waiting: Iterable[Transaction]
) -> Transaction | None:
    """What this replaces; raises NotTaken in a node's words."""
    if raw.chain_id != CHAIN_ID:
        raise NotTaken(f"invalid chain id for signer: have {raw.chain_id} want {CHAIN_ID}")
    if raw.nonce < next_nonce:
        raise NotTaken(f"nonce too low: next nonce {next_nonce}, tx nonce {raw.nonce}")
    if raw.gas < _LEAST_GAS:
        raise NotTaken(f"intrinsic gas too low: gas {raw.gas}, minimum needed {_LEAST_GAS}")
    if raw.tip_wei > raw.max_fee_wei:
        raise NotTaken("max priority fee per gas higher than max fee per gas")
    if raw.tip_wei < LEAST_TIP_WEI:
        raise NotTaken(f"transaction underpriced: gas tip cap {raw.tip_wei}, minimum needed {LEAST_TIP_WEI}")
    if raw.gas * raw.max_fee_wei + raw.value > coin_wei:
        raise NotTaken(
            "insufficient funds for gas * price + value: "
            f"balance {coin_wei}, tx cost {raw.gas * raw.max_fee_wei + raw.value}"
        )
    for other in waiting:
        if other.tx_hash == raw.tx_hash:
            raise NotTaken("already known")
        if (other.counted, other.nonce) == (raw.sender, raw.nonce):
            for old, new in ((other.max_fee_wei, raw.max_fee_wei), (other.tip_wei, raw.tip_wei)):
                if new * 100 < old * _REPLACEMENT_PERCENT:
                    raise NotTaken("replacement transaction underpriced")
            return other
    return None


def told_transaction(transaction: Transaction) -> dict[str, Any]:
    """The answer to ``eth_getTransactionByHash``."""
    block = transaction.block
    return {
        "hash": transaction.tx_hash,
        "blockNumber": None if block is None else hex(block),
        "blockHash": None if block is None else block_hash(block),
        "transactionIndex": None if block is None else hex(transaction.place),
        "from": transaction.payer,
        "to": transaction.to,
        "nonce": hex(transaction.nonce),
        "value": "0x0",
        "input": "0x" + transaction.data.hex(),
        "gas": hex(transaction.gas),
        "maxFeePerGas": hex(transaction.max_fee_wei),
        "maxPriorityFeePerGas": hex(transaction.tip_wei),
        "chainId": hex(CHAIN_ID),
        "type": "0x2",
    }


def told_receipt(transaction: Transaction) -> dict[str, Any] | None:
    """The answer to ``eth_getTransactionReceipt``; None while it is in no block."""
    if transaction.block is None:
        return None
    return {
        "transactionHash": transaction.tx_hash,
        "transactionIndex": hex(transaction.place),
        "blockNumber": hex(transaction.block),
        "blockHash": block_hash(transaction.block),
        "from": transaction.payer,
        "to": transaction.to,
        "contractAddress": None,
        "status": hex(int(transaction.ok)),
        "gasUsed": hex(transaction.gas_used),
        "cumulativeGasUsed": hex(transaction.gas_used),
        "effectiveGasPrice": hex(transaction.price_wei),
        "logs": told_logs(transaction),
        "logsBloom": "0x" + "00" * 256,
        "type": "0x2",
    }


def told_logs(transaction: Transaction) -> list[dict[str, Any]]:
    """Its events as ``eth_getLogs`` tells them."""
    assert transaction.block is not None
    return [
        {
            "address": event.contract.lower(),
            "topics": [f"0x{topic:064x}" for topic in event.topics],
            "data": "0x" + event.data.hex(),
            "blockNumber": hex(transaction.block),
            "blockHash": block_hash(transaction.block),
            "transactionHash": transaction.tx_hash,
            "transactionIndex": hex(transaction.place),
            "logIndex": hex(transaction.first_log + number),
            "removed": False,
        }
        for number, event in enumerate(transaction.events)
    ]
