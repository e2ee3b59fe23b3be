"""Signatures of orders: plain for keys, proxies and Safes, nested (ERC-7739) for deposit wallets.

A signer holds the key for as long as it lives and shows it to nobody. Never sends anything.
"""

from typing import TYPE_CHECKING, NoReturn

from common.errors import DependencyMissing
from common.runtime.credentials import Secret
from common.venue.signing.keccak import keccak
from common.venue.signing.order_digest import (
    ORDER_TYPE,
    ZERO32,
    Domain,
    OrderFields,
    address_word,
    contents_hash,
    order_digest,
    separator,
    word,
)
from common.venue.signing.wallet import checksum

if TYPE_CHECKING:
    from coincurve import PrivateKey

DEPOSIT_TYPE = 3
_TYPED_SIGN_HASH = keccak(
    b"TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,"
    b"bytes32 salt)" + ORDER_TYPE.encode()
)
_WALLET_NAME_HASH = keccak(b"DepositWallet")
_WALLET_VERSION_HASH = keccak(b"1")
_TRAILER = ORDER_TYPE.encode() + len(ORDER_TYPE).to_bytes(2, "big")
_SESSION_MAGIC = bytes.fromhex("6492" * 16)


class Signer:
    """A key that signs; its address is all anybody sees of it."""

    __slots__ = ("_key", "address")

    def __init__(self, private_key: Secret) -> None:
        """``private_key`` is 32 bytes in hexadecimal, with or without 0x; raises ValueError for others.

        Raises DependencyMissing without coincurve: there is no slower way that would do.
        """
        text = private_key.reveal().removeprefix("0x")
        # fromhex passes over blanks, and the library fills up what is short: that would be another key.
        if len(text) != 64 or not text.isalnum():
            raise ValueError("a private key has 64 hexadecimal digits")
        try:
            self._key = _coincurve()(bytes.fromhex(text))
        except ValueError:
            # The library's own text may quote what it was given.
            raise ValueError("this is not a private key of the curve") from None
        public = self._key.public_key.format(compressed=False)[1:]
        self.address = checksum(keccak(public)[12:])

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is never written down")

    def sign(self, digest: bytes) -> bytes:
        """65 bytes: r, s and v (27 or 28)."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes((signature[64] + 27,))


def sign_order(
    signer: Signer, domain: Domain, order: OrderFields, *, session: bool = False
) -> tuple[bytes, bytes]:
    """The order's digest (its id) and its signature in the form its wallet checks.

    For a deposit wallet what is signed nests the order in the wallet's own domain, and the signature carries
    what the wallet needs to check that (317 bytes); with a session key an envelope names the key.
    """
    contents = contents_hash(order)
    digest = order_digest(domain, contents)
    if order.signature_type != DEPOSIT_TYPE:
        return digest, signer.sign(digest)
    nested = keccak(
        _TYPED_SIGN_HASH
        + contents
        + _WALLET_NAME_HASH
        + _WALLET_VERSION_HASH
        + word(domain.chain_id)
        + address_word(order.signer)
        + ZERO32
    )
    inner = signer.sign(keccak(b"\x19\x01" + separator(domain) + nested))
    signature = inner + separator(domain) + contents + _TRAILER
    return digest, _in_session_envelope(signer, signature) if session else signature


def _in_session_envelope(signer: Signer, signature: bytes) -> bytes:
    padding = bytes(-len(signature) % 32)
    return (
        address_word(signer.address)
        + ZERO32
        + word(96)
        + word(len(signature))
        + signature
        + padding
        + _SESSION_MAGIC
    )


def _coincurve() -> "type[PrivateKey]":
    try:
        from coincurve import PrivateKey
    except ImportError:
        raise DependencyMissing(
            "coincurve is not installed, and nothing else here signs orders; run bin/setup, or install "
            "laggard with its extra `live`"
        ) from None
    return PrivateKey
