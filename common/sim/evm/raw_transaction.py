"""A signed transaction read from its bytes, by eth-account. Sends nothing."""

from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_account._utils.legacy_transactions import Transaction
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.crypto import keccak
from hexbytes import HexBytes

_LAST_TYPE = 0x7F
"""A first byte beyond it begins a transaction of the oldest form (EIP-2718)."""


@dataclass(frozen=True, slots=True)
class RawTransaction:
    """What a node has to know of it before it takes it."""

    raw: bytes
    tx_hash: str
    sender: str
    """Lower case."""
    nonce: int
    max_fee_wei: int
    tip_wei: int
    """Of the older form, which names one price, that price."""


def read_raw(raw: bytes) -> RawTransaction:
    """The transaction in these bytes; raises ValueError when nobody can have signed them."""
    try:
        sender = str(Account.recover_transaction(raw)).lower()
        old = raw[0] > _LAST_TYPE
        read: Any = Transaction if old else TypedTransaction
        fields: dict[str, Any] = dict(read.from_bytes(HexBytes(raw)).as_dict())
        nonce = int(fields["nonce"])
        fee = int(fields.get("maxFeePerGas", fields.get("gasPrice", 0)))
        tip = int(fields.get("maxPriorityFeePerGas", fee))
    except Exception:  # noqa: BLE001 - the library raises all sorts of errors for odd bytes
        raise ValueError("failed to decode signed transaction") from None
    return RawTransaction(raw, "0x" + keccak(raw).hex(), sender, nonce, fee, tip)
