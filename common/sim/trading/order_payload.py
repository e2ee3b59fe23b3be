"""The body of ``POST /order`` as the venue reads it: text of the wire into integers, or a refusal.

Judges the form only; whether an order is good is for the rules.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}\Z")
_WORD = re.compile(r"0x[0-9a-fA-F]{64}\Z")
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})+\Z")
_SALT_LIMIT = 1 << 53
_VERSION_ONE_FIELDS = ("nonce", "feeRateBps", "taker")


class Refused(Exception):
    """The venue says no: an HTTP status, the text of its ``error`` field, and an order id if it tells one."""

    def __init__(self, status: int, text: str, order_id: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.order_id = order_id


@dataclass(frozen=True, slots=True)
class SentOrder:
    """One order as it was sent."""

    salt: int
    maker: str
    signer: str
    token: str
    maker6: int
    taker6: int
    side: str
    signature_type: int
    timestamp_ms: int
    metadata: str
    builder: str
    signature: str
    order_type: str
    owner: str
    expiration: str


def read_order(body: bytes) -> SentOrder:
    """The order in a request; raises Refused when it is not one, or one of the retired protocol."""
    try:
        payload = json.loads(body)
        order = payload["order"]
        if any(name in order for name in _VERSION_ONE_FIELDS):
            raise Refused(400, "order_version_mismatch")
        return SentOrder(
            salt=_number(order["salt"], _SALT_LIMIT),
            maker=_matching(_ADDRESS, order["maker"]),
            signer=_matching(_ADDRESS, order["signer"]),
            token=str(_decimal(order["tokenId"])),
            maker6=_decimal(order["makerAmount"]),
            taker6=_decimal(order["takerAmount"]),
            side=_one_of(order["side"], ("BUY", "SELL")),
            signature_type=_number(order["signatureType"], 4),
            timestamp_ms=_decimal(order["timestamp"]),
            metadata=_matching(_WORD, order["metadata"]),
            builder=_matching(_WORD, order["builder"]),
            signature=_matching(_HEX, order["signature"]),
            order_type=_one_of(payload["orderType"], ("FAK", "FOK", "GTC", "GTD")),
            owner=str(payload["owner"]),
            expiration=str(_decimal(order["expiration"])),
        )
    except (ValueError, KeyError, TypeError):
        raise Refused(400, "Invalid order payload") from None


def _number(value: Any, limit: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < limit:
        raise ValueError("not a number in range")
    return value


def _decimal(value: Any) -> int:
    """Amounts, instants and ids are decimal text."""
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 78:
        raise ValueError("not decimal text")
    return int(value)


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    if not isinstance(value, str) or pattern.match(value) is None:
        raise ValueError("not of the form")
    return value


def _one_of(value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError("not one of the known words")
    return str(value)
