"""Wallets: which kinds there are, which addresses a key has as each of them, and whether a claim fits.

The address arithmetic is CREATE2 with the factories' init code. Source: the official client's derivation.
"""

from typing import Literal, NamedTuple

from common.venue.signing.keccak import keccak

WalletKind = Literal["eoa", "proxy", "safe", "deposit"]
SIGNATURE_TYPES: dict[WalletKind, int] = {"eoa": 0, "proxy": 1, "safe": 2, "deposit": 3}

_PROXY_FACTORY = bytes.fromhex("aB45c5A4B0c941a2F231C04C3f49182e1A254052")
_PROXY_IMPLEMENTATION = bytes.fromhex("44e999d5c2F66Ef0861317f9A4805AC2e90aEB4f")
_SAFE_FACTORY = bytes.fromhex("aacFeEa03eb1561C4e67d661e40682Bd20E3541b")
_SAFE_INIT_HASH = bytes.fromhex("2bce2127ff07fb632d16c8347c4ebf501f4841168bed00d9e6ef715ddb6fcecf")
_DEPOSIT_FACTORY = bytes.fromhex("00000000000Fb5C9ADea0298D729A0CB3823Cc07")
_DEPOSIT_IMPLEMENTATION = bytes.fromhex("58CA52ebe0DadfdF531Cde7062e76746de4Db1eB")
_DEPOSIT_BEACON = bytes.fromhex("7A18EDfe055488A3128f01F563e5B479D92ffc3a")

_PROXY_CODE = (
    bytes.fromhex("3d3d606380380380913d393d73")
    + _PROXY_FACTORY
    + bytes.fromhex("5af4602a57600080fd5b602d8060366000396000f3363d3d373d3d3d363d73")
    + _PROXY_IMPLEMENTATION
    + bytes.fromhex("5af43d82803e903d91602b57fd5bf352e831dd")
    + (32).to_bytes(32, "big")
    + bytes(32)
)
_UUPS_PREFIX = 0x61003D3D8160233D3973
_UUPS_CODE = bytes.fromhex(
    "6009"
    "5155f3363d3d373d3d363d7f360894a13ba1a3210667c828492db98dca3e2076"
    "cc3735a920a3ca505d382bbc545af43d6000803e6038573d6000fd5b3d6000f3"
)
_BEACON_PREFIX = 0x6100523D8160233D3973
_BEACON_CODE = bytes.fromhex(
    "60195155f3363d3d373d3d363d602036600436635c60da"
    "1b60e01b36527fa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6c"
    "b3582b35133d50545afa5036515af43d6000803e604d573d6000fd5b3d6000f3"
)


class Wallets(NamedTuple):
    """The addresses one key has, by kind; deposit wallets made before 2026-06-29 are of the older form."""

    eoa: str
    proxy: str
    safe: str
    deposit: str
    deposit_older: str


def checksum(address: bytes) -> str:
    """An address in the mixed case of EIP-55."""
    plain = address.hex()
    marks = keccak(plain.encode()).hex()
    mixed = (
        letter.upper() if int(mark, 16) >= 8 else letter for letter, mark in zip(plain, marks, strict=False)
    )
    return "0x" + "".join(mixed)


def wallets_of(signer: str) -> Wallets:
    """Every wallet that belongs to the key with this address."""
    plain = bytes.fromhex(signer.removeprefix("0x"))
    padded = bytes(12) + plain
    arguments = bytes(12) + _DEPOSIT_FACTORY + padded
    size = len(arguments)
    uups = (_UUPS_PREFIX + (size << 56)).to_bytes(10, "big") + _DEPOSIT_IMPLEMENTATION + _UUPS_CODE
    beacon = (_BEACON_PREFIX + (size << 56)).to_bytes(10, "big") + _DEPOSIT_BEACON + _BEACON_CODE
    salt = keccak(arguments)
    return Wallets(
        eoa=checksum(plain),
        proxy=_create2(_PROXY_FACTORY, keccak(plain), keccak(_PROXY_CODE)),
        safe=_create2(_SAFE_FACTORY, keccak(padded), _SAFE_INIT_HASH),
        deposit=_create2(_DEPOSIT_FACTORY, salt, keccak(beacon + arguments)),
        deposit_older=_create2(_DEPOSIT_FACTORY, salt, keccak(uups + arguments)),
    )


def misfit(kind: WalletKind, signer: str, address: str, *, session: bool) -> str:
    """Why this key cannot sign for this wallet, with the one thing to change; empty when it can.

    Of a session key only this can be told here: that it is not the owner, and that the wallet is said to be a
    deposit wallet. That the wallet lets it trade only the venue can tell.
    """
    owned = wallets_of(signer)
    found: dict[str, WalletKind] = {
        owned.eoa.lower(): "eoa",
        owned.proxy.lower(): "proxy",
        owned.safe.lower(): "safe",
        owned.deposit.lower(): "deposit",
        owned.deposit_older.lower(): "deposit",
    }
    actual = found.get(address.lower())
    if session:
        if actual is not None:
            return f"this key owns {address}: it is no session key; set wallet.session_key = false"
        return (
            ""
            if kind == "deposit"
            else 'session keys exist for deposit wallets only; wallet.kind = "deposit"'
        )
    if actual == kind:
        return ""
    if actual is not None:
        return f'{address} is the {actual} wallet of this key; set wallet.kind = "{actual}"'
    expected = {"eoa": owned.eoa, "proxy": owned.proxy, "safe": owned.safe, "deposit": owned.deposit}[kind]
    # Nothing connects a session key with its wallet but the venue's word: it looks like any wrong key.
    otherwise = "; a session key of it needs wallet.session_key = true" if kind == "deposit" else ""
    return (
        f"{address} does not belong to this key, whose {kind} wallet is {expected}; "
        f"set wallet.address to it, or give the key of that wallet{otherwise}"
    )


def _create2(factory: bytes, salt: bytes, init_hash: bytes) -> str:
    return checksum(keccak(b"\xff" + factory + salt + init_hash)[12:])
