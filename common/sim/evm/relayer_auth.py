"""Whether a request comes from a customer: a relayer key with its address, or a builder's HMAC.

Source: the official client's headers; the HMAC is base64url of SHA-256 over time, method, path and body.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import NamedTuple

MOST_SECONDS_OFF = 300


class BuilderCredentials(NamedTuple):
    """A builder's key; the secret is base64url."""

    key: str
    secret: str
    passphrase: str

    def __repr__(self) -> str:
        return "BuilderCredentials(***)"


class Customers(NamedTuple):
    """Who may use the relayer."""

    relayer_keys: Mapping[str, str] = {}
    """Key to the address that owns it."""
    builders: tuple[BuilderCredentials, ...] = ()

    def __repr__(self) -> str:
        return f"Customers({len(self.relayer_keys)} relayer keys, {len(self.builders)} builders)"


def customer(
    customers: Customers,
    headers: Mapping[str, str],
    method: str,
    path: str,
    body: bytes,
    now_s: float | None = None,
) -> str:
    """The key of who proves to be a customer; empty for nobody. ``path`` has no query."""
    key = headers.get("RELAYER_API_KEY", "")
    if key:
        owner = customers.relayer_keys.get(key, "")
        given = headers.get("RELAYER_API_KEY_ADDRESS", "")
        return key if owner and given.lower() == owner.lower() else ""
    for builder in customers.builders:
        if builder.key == headers.get("POLY_BUILDER_API_KEY"):
            now_s = time.time() if now_s is None else now_s
            return builder.key if _is_proven(builder, headers, method, path, body, now_s) else ""
    return ""


def _is_proven(
    builder: BuilderCredentials,
    headers: Mapping[str, str],
    method: str,
    path: str,
    body: bytes,
    now_s: float,
) -> bool:
    stamp = headers.get("POLY_BUILDER_TIMESTAMP", "")
    if not stamp.isascii() or not stamp.isdigit() or abs(int(stamp) - now_s) > MOST_SECONDS_OFF:
        return False
    try:
        secret = base64.urlsafe_b64decode(builder.secret + "=" * (-len(builder.secret) % 4))
    except binascii.Error:
        return False
    digest = hmac.new(secret, f"{stamp}{method}{path}".encode() + body, hashlib.sha256).digest()
    given = headers.get("POLY_BUILDER_SIGNATURE", "").encode()
    return hmac.compare_digest(base64.urlsafe_b64encode(digest), given) and builder.passphrase == headers.get(
        "POLY_BUILDER_PASSPHRASE"
    )
