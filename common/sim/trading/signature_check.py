"""Whether an order was signed by the key it claims, worked out with eth-account's own typed data.

Shares nothing with the signing of the trader, so that the two can prove each other.
Source of the forms: the venue's CLOB V2 orders; ERC-7739 for deposit wallets; the official client's envelope
for session keys.
"""

from dataclasses import dataclass
from typing import Any

from common.sim.trading.contracts import CHAIN_ID, DOMAIN_NAME, EXCHANGES, Exchange
from common.sim.trading.order_payload import SentOrder

_ORDER_FIELDS = (
    ("salt", "uint256"),
    ("maker", "address"),
    ("signer", "address"),
    ("tokenId", "uint256"),
    ("makerAmount", "uint256"),
    ("takerAmount", "uint256"),
    ("side", "uint8"),
    ("signatureType", "uint8"),
    ("timestamp", "uint256"),
    ("metadata", "bytes32"),
    ("builder", "bytes32"),
)
_DOMAIN_FIELDS = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
)
_NESTED_FIELDS = (("contents", "Order"), *_DOMAIN_FIELDS, ("salt", "bytes32"))
_ORDER_TYPE = "Order(" + ",".join(f"{kind} {name}" for name, kind in _ORDER_FIELDS) + ")"
_SESSION_MAGIC = bytes.fromhex("6492" * 16)
_INNER_BYTES = 65
_RETIRED_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature shows: the order's id, and who signed; a session key says so itself."""

    order_id: str
    by: str
    """The address that signed, in lower case; empty when the signature shows nobody."""
    session: bool = False


def checked(order: SentOrder, market_version: str) -> Signed:
    """The id of an order for a market of this version, and whose signature it carries."""
    exchange = EXCHANGES[market_version]
    signable = _signable(_plain(order, exchange))
    order_id = "0x" + _keccak(b"\x19\x01" + signable.header + signable.body).hex()
    by, session = _signer_of(order, exchange, bytes.fromhex(order.signature[2:]))
    return Signed(order_id, by, session)


def signed_for_another_version(order: SentOrder, market_version: str, by: str) -> bool:
    """Whether the signature is this key's under a domain version or exchange that is not the market's."""
    signature = bytes.fromhex(order.signature[2:])
    right = EXCHANGES[market_version]
    others = [exchange for exchange in EXCHANGES.values() if exchange != right]
    others += [Exchange(right.address, each.version) for each in others]
    others.append(Exchange(right.address, _RETIRED_VERSION))
    return any(_signer_of(order, exchange, signature)[0] == by for exchange in others)


def _signer_of(order: SentOrder, exchange: Exchange, signature: bytes) -> tuple[str, bool]:
    if order.signature_type != 3:
        return _recovered(_plain(order, exchange), signature), False
    claimed = ""
    if signature.endswith(_SESSION_MAGIC):
        opened = _opened_envelope(signature[: -len(_SESSION_MAGIC)])
        if opened is None:
            return "", True
        claimed, signature = opened
    plain = _signable(_plain(order, exchange))
    proof = plain.header + plain.body + _ORDER_TYPE.encode() + len(_ORDER_TYPE).to_bytes(2, "big")
    if signature[_INNER_BYTES:] != proof:
        return "", bool(claimed)
    by = _recovered(_nested(order, exchange), signature[:_INNER_BYTES])
    if claimed and claimed != by:
        return "", True
    return by, bool(claimed)


def _opened_envelope(payload: bytes) -> tuple[str, bytes] | None:
    """Session signer and inner signature of the ABI triple (bytes32, bytes32, bytes)."""
    from eth_abi.abi import decode, encode
    from eth_abi.exceptions import DecodingError

    kinds = ("bytes32", "bytes32", "bytes")
    try:
        signer, context, inner = decode(kinds, payload)
    except (DecodingError, OverflowError):
        return None
    if any(context) or any(signer[:12]) or encode(kinds, (signer, context, inner)) != payload:
        return None
    return "0x" + signer[12:].hex(), inner


def _plain(order: SentOrder, exchange: Exchange) -> dict[str, Any]:
    return {
        "domain": _domain(exchange),
        "types": _types(EIP712Domain=_DOMAIN_FIELDS, Order=_ORDER_FIELDS),
        "primaryType": "Order",
        "message": _message(order),
    }


def _nested(order: SentOrder, exchange: Exchange) -> dict[str, Any]:
    """ERC-7739: the order inside the deposit wallet's own domain."""
    return {
        "domain": _domain(exchange),
        "types": _types(EIP712Domain=_DOMAIN_FIELDS, Order=_ORDER_FIELDS, TypedDataSign=_NESTED_FIELDS),
        "primaryType": "TypedDataSign",
        "message": {
            "contents": _message(order),
            "name": "DepositWallet",
            "version": "1",
            "chainId": CHAIN_ID,
            "verifyingContract": order.maker,
            "salt": bytes(32),
        },
    }


def _domain(exchange: Exchange) -> dict[str, Any]:
    return {
        "name": DOMAIN_NAME,
        "version": exchange.version,
        "chainId": CHAIN_ID,
        "verifyingContract": exchange.address,
    }


def _message(order: SentOrder) -> dict[str, Any]:
    return {
        "salt": order.salt,
        "maker": order.maker,
        "signer": order.signer,
        "tokenId": int(order.token),
        "makerAmount": order.maker6,
        "takerAmount": order.taker6,
        "side": 0 if order.side == "BUY" else 1,
        "signatureType": order.signature_type,
        "timestamp": order.timestamp_ms,
        "metadata": bytes.fromhex(order.metadata[2:]),
        "builder": bytes.fromhex(order.builder[2:]),
    }


def _types(**types: tuple[tuple[str, str], ...]) -> dict[str, list[dict[str, str]]]:
    return {name: [{"name": field, "type": kind} for field, kind in fields] for name, fields in types.items()}


def _signable(typed: dict[str, Any]) -> Any:
    from eth_account.messages import encode_typed_data

    return encode_typed_data(full_message=typed)


def _recovered(typed: dict[str, Any], signature: bytes) -> str:
    from eth_account import Account

    try:
        return str(Account.recover_message(_signable(typed), signature=signature)).lower()
    except Exception:  # noqa: BLE001 - whatever the library makes of odd bytes, nobody signed
        return ""


def _keccak(data: bytes) -> bytes:
    from eth_utils.crypto import keccak

    return bytes(keccak(data))
