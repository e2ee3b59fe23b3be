"""Whether a request comes from the holder of an API key: an HMAC over time, method, path and exact body."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from common.sim.market.auth_rest import MOST_SECONDS_OFF

PREFIX = "/clob"
"""Where the order-book service hangs here; it is no part of what is signed."""


def entitled_key(
    headers: Mapping[str, str],
    method: str,
    path: str,
    body: bytes,
    api_keys: Mapping[str, tuple[str, str]],
    key_owners: Mapping[str, str],
    now_s: int,
) -> str | None:
    """The API key that a request proves to hold; None when it proves nothing. ``path`` has no query."""
    key = headers.get("POLY_API_KEY", "")
    held, owner = api_keys.get(key), key_owners.get(key)
    if held is None or owner is None:
        return None
    secret, passphrase = held
    timestamp, given = headers.get("POLY_TIMESTAMP", ""), headers.get("POLY_SIGNATURE", "")
    if not timestamp.isascii() or not timestamp.isdigit() or abs(int(timestamp) - now_s) > MOST_SECONDS_OFF:
        return None
    message = f"{timestamp}{method}{path.removeprefix(PREFIX)}".encode() + body
    try:
        raw = base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))
    except binascii.Error:
        return None
    right = base64.urlsafe_b64encode(hmac.new(raw, message, hashlib.sha256).digest()).decode()
    proven = (
        hmac.compare_digest(right.encode(), given.encode())
        and headers.get("POLY_PASSPHRASE") == passphrase
        and headers.get("POLY_ADDRESS", "").lower() == owner.lower()
    )
    return key if proven else None
