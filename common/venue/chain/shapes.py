"""What results of the chain's JSON-RPC may look like: each function takes any JSON and raises ValueError.

Whatever decides about money is read here to the last digit: an answer that is odd in one place is refused
whole. Asks nobody. Texts of the chain leave in lower case.
"""

import re
from typing import Any, NamedTuple

from common.core.redemption.attempts import Log, Receipt

_QUANTITY = re.compile(r"0x[0-9a-f]{1,64}")
_SMALL_QUANTITY = re.compile(r"0x[0-9a-f]{1,16}")
_WORD = re.compile(r"0x[0-9a-f]{64}")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_BYTES = re.compile(r"0x(?:[0-9a-f]{2})*")
_MOST_TOPICS = 4


class Block(NamedTuple):
    """The head of a block."""

    number: int
    time_s: int
    base_fee_wei: int | None
    """None where the endpoint names none."""


def quantity(value: Any) -> int:
    """A number of at most 256 bits."""
    return int(_text(value, _QUANTITY), 16)


def small_quantity(value: Any) -> int:
    """A number of at most 64 bits: of a block, a nonce, an amount of gas, a chain."""
    return int(_text(value, _SMALL_QUANTITY), 16)


def word(value: Any) -> str:
    """32 bytes, as they are."""
    return _text(value, _WORD)


def address(value: Any) -> str:
    """20 bytes, as they are."""
    return _text(value, _ADDRESS)


def code(value: Any) -> str:
    """Whole bytes, as they are."""
    return _text(value, _BYTES)


def blob(value: Any) -> bytes:
    """Whole bytes."""
    return bytes.fromhex(_text(value, _BYTES)[2:])


def block(value: Any) -> Block | None:
    """The head of a block; None where the endpoint has none like that."""
    if value is None:
        return None
    fields = _fields(value)
    fee = fields.get("baseFeePerGas")
    return Block(
        small_quantity(fields.get("number")),
        small_quantity(fields.get("timestamp")),
        None if fee is None else quantity(fee),
    )


def receipt(value: Any, tx_hash: str) -> Receipt | None:
    """The receipt of this transaction; None where it is in no block."""
    if value is None:
        return None
    fields = _fields(value)
    if word(fields.get("transactionHash")) != tx_hash:
        raise ValueError("of another transaction")
    if fields.get("blockHash") is None:
        return None
    block_hash, number = word(fields["blockHash"]), small_quantity(fields.get("blockNumber"))
    status = small_quantity(fields.get("status"))
    if status > 1:
        raise ValueError("a status that is none")
    logs = tuple(log(each) for each in _list(fields.get("logs")))
    if any(each.tx_hash != tx_hash or each.block != number for each in logs):
        raise ValueError("with an event of another transaction")
    if any(word(each["blockHash"]) != block_hash for each in fields["logs"]):
        raise ValueError("with an event of another block")
    return Receipt(
        tx_hash=tx_hash,
        ok=bool(status),
        block=number,
        block_hash=block_hash,
        gas_wei=small_quantity(fields.get("gasUsed")) * quantity(fields.get("effectiveGasPrice")),
        logs=_ordered(logs),
    )


def log(value: Any) -> Log:
    """One event of a mined transaction."""
    fields = _fields(value)
    # False or absent: one that a reorganisation took back is no event.
    if fields.get("removed") not in (None, False):
        raise ValueError("an event that was taken back")
    word(fields.get("blockHash"))
    topics = tuple(word(each) for each in _list(fields.get("topics")))
    if len(topics) > _MOST_TOPICS:
        raise ValueError("more topics than there can be")
    return Log(
        address=address(fields.get("address")),
        topics=topics,
        data=blob(fields.get("data")),
        index=small_quantity(fields.get("logIndex")),
        tx_hash=word(fields.get("transactionHash")),
        block=small_quantity(fields.get("blockNumber")),
    )


def logs(value: Any) -> tuple[Log, ...]:
    """Events in the order of the chain."""
    return _ordered(tuple(log(each) for each in _list(value)))


def is_known(value: Any, tx_hash: str) -> bool:
    """Whether this is the transaction of that hash, pending or mined, and not nothing."""
    if value is None:
        return False
    if word(_fields(value).get("hash")) != tx_hash:
        raise ValueError("another transaction")
    return True


def _ordered(found: tuple[Log, ...]) -> tuple[Log, ...]:
    places = {(each.block, each.index) for each in found}
    if len(places) != len(found):
        raise ValueError("two events in one place")
    return tuple(sorted(found, key=lambda each: (each.block, each.index)))


def _text(value: Any, shape: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not shape.fullmatch(value.lower()):
        raise ValueError("not of that shape")
    return value.lower()


def _fields(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004 - a shape that is refused, not a mistake of the caller
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("no list")  # noqa: TRY004 - a shape that is refused, not a mistake of the caller
    return value
