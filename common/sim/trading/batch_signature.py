"""Who signed a batch of calls of a deposit wallet, worked out with eth-account's own typed data.

Shares nothing with the signing of the program under test. Source of the form: the venue's deposit wallet.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from common.sim.trading.contracts import CHAIN_ID

_TYPES = {
    "EIP712Domain": (
        ("name", "string"),
        ("version", "string"),
        ("chainId", "uint256"),
        ("verifyingContract", "address"),
    ),
    "Batch": (("wallet", "address"), ("nonce", "uint256"), ("deadline", "uint256"), ("calls", "Call[]")),
    "Call": (("target", "address"), ("value", "uint256"), ("data", "bytes")),
}


class BatchCall(NamedTuple):
    """One call of a batch."""

    target: str
    value: int
    data: bytes


def batch_signer(
    wallet: str, nonce: int, deadline_s: int, calls: Sequence[BatchCall], signature: bytes
) -> str:
    """The address (lower case) that signed this batch; empty when the signature shows nobody."""
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    typed: dict[str, Any] = {
        "types": {
            name: [{"name": field, "type": kind} for field, kind in fields] for name, fields in _TYPES.items()
        },
        "primaryType": "Batch",
        "domain": {
            "name": "DepositWallet",
            "version": "1",
            "chainId": CHAIN_ID,
            "verifyingContract": wallet,
        },
        "message": {
            "wallet": wallet,
            "nonce": nonce,
            "deadline": deadline_s,
            "calls": [call._asdict() for call in calls],
        },
    }
    try:
        signable = encode_typed_data(full_message=typed)
        return str(Account.recover_message(signable, signature=signature)).lower()
    except Exception:  # noqa: BLE001 - whatever the library makes of odd bytes, nobody signed
        return ""
