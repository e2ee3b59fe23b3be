"""Why a call reverts, as people read it: the contract's text, or the name of its four-byte error.

Source of the names: the venue's contracts as far as their errors are known, the conventions of Solidity, and
the token standards. A selector that is not in the table is shown as it is. Asks nobody.
"""

import re

from common.errors import LaggardError
from common.venue.chain.rpc import RpcRefused
from common.venue.signing.keccak import keccak

_ERROR_TEXT, _PANIC = "Error(string)", "Panic(uint256)"
_NAMED = (
    "OnlyUnpaused()",
    "ConditionNotResolved()",
    "CallFailed()",
    "Unauthorized()",
    "Paused()",
    "InvalidOutcome()",
    "InvalidSignature()",
    "InsufficientBalance()",
    "NotOwnerNorApproved()",
    "TransferFailed()",
    "ERC1155InsufficientBalance(address,uint256,uint256,uint256)",
    "ERC1155MissingApprovalForAll(address,address)",
    "ERC20InsufficientBalance(address,uint256,uint256)",
    "ERC20InsufficientAllowance(address,uint256,uint256)",
)
_PANICS = {0x01: "assertion", 0x11: "overflow", 0x12: "division by zero", 0x32: "index out of range"}
_WORD = 32
_REVERTED_CODES = (3, -32015)
"""Geth's and its kin's; that of Nethermind, and of Parity before it."""
_EXECUTION_WORDS = ("revert", "invalid opcode", "invalid jump", "stack underflow", "vm execution error")
_DATA = re.compile(r"0x((?:[0-9a-fA-F]{2})*)")


def selector(signature: str) -> bytes:
    """The first four bytes of an error's or function's hash."""
    return keccak(signature.encode())[:4]


NAMES = {selector(each): each.partition("(")[0] for each in _NAMED}


class CallReverted(LaggardError):
    """A contract refuses this call; the text is its reason."""


def reverted(error: RpcRefused) -> str | None:
    """Why a call reverted, as the endpoint tells it, keys of its address included; None: it is no revert."""
    said = error.said.lower()
    # Nonsense of an endpoint may have the code; what a node calls a lack of coin is no word of a contract.
    if error.code not in _REVERTED_CODES and not any(each in said for each in _EXECUTION_WORDS):
        return None
    found = _DATA.search(error.data)
    return reason(bytes.fromhex(found[1]) if found else b"") or error.said or "no reason"


def reason(data: bytes) -> str:
    """What a contract reverted with; empty for nothing."""
    if not data:
        return ""
    head, body = data[:4], data[4:]
    if head == selector(_ERROR_TEXT):
        # An offset, a length, the text: read only where it is whole.
        size = int.from_bytes(body[_WORD : 2 * _WORD])
        text = body[2 * _WORD : 2 * _WORD + size]
        if len(body) >= 2 * _WORD and len(text) == size:
            return text.decode(errors="replace")
    if head == selector(_PANIC) and len(body) >= _WORD:
        code = int.from_bytes(body[:_WORD])
        return f"Panic 0x{code:02x} ({_PANICS.get(code, 'see the Solidity manual')})"
    return NAMES.get(head, f"0x{head.hex()}")
