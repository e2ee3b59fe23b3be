"""A key that reads prices: a new wallet that holds nothing, and the API credentials the venue gives for it.

PolyBolt lets in whoever has CLOB API credentials, and those are given for a signature (L1 authentication).
Owns the proof, the two requests and what their answers mean. Writes no file, prints nothing, repeats no
request.
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests

from common.errors import DependencyMissing, FeedRefused
from common.runtime.credentials import Secret

if TYPE_CHECKING:
    from eth_account import Account

POLYGON = 137
CREATE = "/auth/api-key"
DERIVE = "/auth/derive-api-key"
STATEMENT = "This message attests that I control the given wallet"
TIMEOUT_S = (5.0, 15.0)
MAX_BYTES = 1 << 16
TOO_MANY_REQUESTS = 429

_TYPES = {
    "ClobAuth": [
        {"name": "address", "type": "address"},
        {"name": "timestamp", "type": "string"},
        {"name": "nonce", "type": "uint256"},
        {"name": "message", "type": "string"},
    ]
}
_LONG_WORD = re.compile(r"[A-Za-z0-9+/=_.-]{20,}")
"""Nothing the venue says in words is that long; addresses, signatures and keys are."""


@dataclass(frozen=True, slots=True)
class Wallet:
    """A key of our own and its address."""

    address: str
    private_key: Secret
    """0x and 64 hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class ReaderKey:
    """Credentials that open the price sockets."""

    api_key: Secret
    secret: Secret
    passphrase: Secret


def new_wallet() -> Wallet:
    """A wallet from the system's own randomness; raises DependencyMissing without eth-account."""
    return wallet_of(Secret("0x" + secrets.token_bytes(32).hex()))


def wallet_of(private_key: Secret) -> Wallet:
    """The wallet of a key."""
    account = _eth_account().from_key(private_key.reveal())
    return Wallet(str(account.address), private_key)


def proof_headers(
    wallet: Wallet, timestamp_s: int, *, nonce: int = 0, chain_id: int = POLYGON
) -> dict[str, str]:
    """The L1 headers: an EIP-712 signature of the ClobAuth message, which moves no money.

    Source: the official clients; the domain names no contract.
    """
    domain = {"name": "ClobAuthDomain", "version": "1", "chainId": chain_id}
    message = {
        "address": wallet.address,
        "timestamp": str(timestamp_s),
        "nonce": nonce,
        "message": STATEMENT,
    }
    signed = _eth_account().sign_typed_data(wallet.private_key.reveal(), domain, _TYPES, message)
    return {
        "POLY_ADDRESS": wallet.address,
        "POLY_SIGNATURE": "0x" + bytes(signed.signature).hex(),
        "POLY_TIMESTAMP": str(timestamp_s),
        "POLY_NONCE": str(nonce),
    }


def obtain(session: requests.Session, clob_url: str, wallet: Wallet, timestamp_s: int) -> ReaderKey:
    """Ask for credentials once, and where that is refused for those that exist already.

    The session must carry a User-Agent the venue's edge lets through. Raises FeedRefused with the venue's own
    words when it refuses, DependencyMissing when it cannot be reached or does not make sense.
    """
    headers = proof_headers(wallet, timestamp_s)
    status, body = _ask(session, "POST", clob_url, CREATE, headers)
    # Whoever asks too often is not helped by asking once more.
    if 400 <= status < 500 and status != TOO_MANY_REQUESTS:
        refusal = f"HTTP {status} {said(body)}".strip()
        status, body = _ask(session, "GET", clob_url, DERIVE, headers)
        if 400 <= status < 500:
            raise FeedRefused(
                f"the venue refused to make a key ({refusal}) and to tell an existing one "
                f"(HTTP {status} {said(body)}); check this host's clock, and that the venue serves this place"
            )
    if status == TOO_MANY_REQUESTS:
        raise FeedRefused(
            f"the venue refused: too many requests ({said(body)}); wait some minutes, then again"
        )
    if status != 200:
        raise DependencyMissing(f"{_host(clob_url)} answered HTTP {status} {said(body)}; try again later")
    return _read_key(body, clob_url)


def said(body: bytes) -> str:
    """What an answer says, in one short line without anything that could be a secret."""
    text = body.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        told = document.get("error") or document.get("message")
        text = told if isinstance(told, str) else ""
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    return _LONG_WORD.sub("***", line)[:160]


def _ask(
    session: requests.Session, method: str, clob_url: str, path: str, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    """Status and body of one request; a signature follows no redirect."""
    try:
        with session.request(
            method,
            clob_url.rstrip("/") + path,
            headers=dict(headers),
            timeout=TIMEOUT_S,
            allow_redirects=False,
            stream=True,
        ) as answer:
            body = bytearray()
            for chunk in answer.iter_content(MAX_BYTES):
                body += chunk
                if len(body) > MAX_BYTES:
                    break
    except requests.RequestException as error:
        raise DependencyMissing(
            f"cannot reach {_host(clob_url)}: {_cause(error)}; check the network, then try again"
        ) from None
    return answer.status_code, bytes(body)


def _read_key(body: bytes, clob_url: str) -> ReaderKey:
    try:
        document = json.loads(body)
        fields = [document[name] for name in ("apiKey", "secret", "passphrase")]
    except (ValueError, RecursionError, LookupError, TypeError):
        fields = []
    if not fields or not all(isinstance(field, str) and field for field in fields):
        raise DependencyMissing(
            f"{_host(clob_url)} did not answer with credentials; check venue.clob_url, or try again later"
        )
    return ReaderKey(*map(Secret, fields))


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _cause(error: BaseException) -> str:
    """What a chain of wrapped errors began with, in one line."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(text.split())[:160]


def _eth_account() -> "type[Account]":
    try:
        from eth_account import Account
    except ImportError:
        raise DependencyMissing(
            "eth-account is not installed; run bin/setup, or install laggard with its extra `live`"
        ) from None
    return Account
