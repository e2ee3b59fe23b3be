"""The EIP-712 digest of an order, encoded by hand: it is the order's id at the venue.

Everything that does not change from order to order is hashed once. Proven equal to the official client on
every recorded vector; holds no key.
"""

from dataclasses import dataclass
from functools import lru_cache

from common.venue.signing.keccak import keccak

ORDER_TYPE = (
    "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,"
    "uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
BUY = 0
SELL = 1
ZERO32 = bytes(32)


@dataclass(frozen=True, slots=True)
class OrderFields:
    """What is signed; amounts in 1e-6, addresses and token as the venue writes them."""

    salt: int
    maker: str
    signer: str
    token: str
    maker6: int
    taker6: int
    side: int
    signature_type: int
    timestamp_ms: int
    metadata: bytes = ZERO32
    builder: bytes = ZERO32


@dataclass(frozen=True, slots=True)
class Domain:
    """The exchange contract an order is for."""

    chain_id: int
    exchange: str
    version: str


def word(value: int) -> bytes:
    """One 32-byte word."""
    return value.to_bytes(32, "big")


@lru_cache(maxsize=256)
def address_word(address: str) -> bytes:
    """An address as a word; raises ValueError for what is none, which would be signed as another one."""
    plain = bytes.fromhex(address.removeprefix("0x"))
    if len(plain) != 20:
        raise ValueError(f"an address has 40 hexadecimal digits, not {address!r}")
    return bytes(12) + plain


ORDER_TYPE_HASH = keccak(ORDER_TYPE.encode())
DOMAIN_TYPE_HASH = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_NAME_HASH = keccak(b"Polymarket CTF Exchange")


@lru_cache(maxsize=16)
def separator(domain: Domain) -> bytes:
    """The domain separator."""
    return keccak(
        DOMAIN_TYPE_HASH
        + _NAME_HASH
        + keccak(domain.version.encode())
        + word(domain.chain_id)
        + address_word(domain.exchange)
    )


@lru_cache(maxsize=1024)
def _token_word(token: str) -> bytes:
    # int() reads " 7" and "1_0" as well: another token would be signed than the one the request names.
    if not (token.isascii() and token.isdigit()):
        raise ValueError(f"a token is a decimal number, not {token!r}")
    return word(int(token))


def contents_hash(order: OrderFields) -> bytes:
    """The struct hash of an order."""
    return keccak(
        ORDER_TYPE_HASH
        + word(order.salt)
        + address_word(order.maker)
        + address_word(order.signer)
        + _token_word(order.token)
        + word(order.maker6)
        + word(order.taker6)
        + word(order.side)
        + word(order.signature_type)
        + word(order.timestamp_ms)
        + order.metadata
        + order.builder
    )


def order_digest(domain: Domain, contents: bytes) -> bytes:
    """The digest of an order's struct hash, whatever the wallet: the order id is its hexadecimal form."""
    return keccak(b"\x19\x01" + separator(domain) + contents)
