"""A signed transaction as it arrives: decoded, its hash and who signed it.

Decoded by hand: RLP, and the fields of EIP-1559 in their order.
"""

from typing import Any, NamedTuple

_FIELDS = 12
_SHORT = 55
_TEXT, _LIST = 0x80, 0xC0


class RawTransaction(NamedTuple):
    """An EIP-1559 transaction; addresses in lower case."""

    tx_hash: str
    sender: str
    chain_id: int
    nonce: int
    to: str
    value: int
    data: bytes
    gas: int
    max_fee_wei: int
    tip_wei: int


def opened(raw: bytes) -> RawTransaction:
    """Decode and recover the sender; raises ValueError for anything but an EIP-1559 transaction."""
    from eth_account import Account
    from eth_utils.crypto import keccak

    if raw[:1] != b"\x02":
        raise ValueError("transaction type not supported")
    fields, rest = _item(raw[1:])
    if rest or not isinstance(fields, list) or len(fields) != _FIELDS or not _is_plain(fields):
        raise ValueError("rlp: value does not decode to a transaction")
    chain_id, nonce, tip, max_fee, gas = (int.from_bytes(each) for each in fields[:5])
    try:
        sender = str(Account.recover_transaction(raw)).lower()
    except Exception:  # noqa: BLE001 - whatever the library makes of odd bytes, nobody signed
        raise ValueError("invalid transaction v, r, s values") from None
    return RawTransaction(
        "0x" + bytes(keccak(raw)).hex(),
        sender,
        chain_id,
        nonce,
        "0x" + fields[5].hex(),
        int.from_bytes(fields[6]),
        fields[7],
        gas,
        max_fee,
        tip,
    )


def _is_plain(fields: list[Any]) -> bool:
    """Whether every field but the access list is bytes."""
    return all(isinstance(each, bytes) for place, each in enumerate(fields) if place != 8)


def _item(data: bytes) -> tuple[Any, bytes]:
    """The first item, bytes or a list, and what follows it."""
    if not data:
        raise ValueError("rlp: unexpected end")
    first = data[0]
    if first < _TEXT:
        return data[:1], data[1:]
    base = _TEXT if first < _LIST else _LIST
    size, start = first - base, 1
    if size > _SHORT:
        start = 1 + size - _SHORT
        size = int.from_bytes(data[1:start])
    if len(data) < start + size:
        raise ValueError("rlp: value larger than its containing list")
    content, rest = data[start : start + size], data[start + size :]
    if base == _TEXT:
        return content, rest
    items = []
    while content:
        item, content = _item(content)
        items.append(item)
    return items, rest
