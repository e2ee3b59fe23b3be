"""Signed requests to Chainlink Data Streams: the account, and three headers made anew for each request.

Rule of the venue: the signature covers method, path with query, body, client id and time, and the time may
differ from the venue's by five seconds.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

from common.errors import ConfigError, FeedError
from common.runtime.clock import Clock
from common.runtime.credentials import Secret, read_credentials
from common.units import MILLISECOND, SECOND

NAMES = ("client_id", "secret")
TOLERANCE_S = 5
_VISIBLE = re.compile(r"[!-~]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def credentials_from(file: Path) -> Mapping[str, Secret] | None:
    """The client id and the secret; None where there is no file, ConfigError when it cannot be used."""
    found = read_credentials(file, NAMES)
    # A line end that came along with a copy would break every header, and the error would quote it.
    odd = [name for name in NAMES if found and not _VISIBLE.fullmatch(found[name].reveal())]
    if odd:
        raise ConfigError(
            [f"{' and '.join(odd)} in {file} hold spaces or other characters no such key has; copy them anew"]
        )
    return found


def signature(method: str, path: str, body: bytes, client_id: str, secret: str, timestamp_ms: int) -> str:
    """Hex HMAC-SHA256 of one request; ``path`` is the path with its query, byte by byte as it is sent."""
    signed = f"{method} {path} {hashlib.sha256(body).hexdigest()} {client_id} {timestamp_ms}"
    return hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()


def auth_headers(
    credentials: Mapping[str, Secret], clock: Clock, method: str, path: str, body: bytes = b""
) -> dict[str, str]:
    """The headers of one request that is sent now."""
    client_id, secret = (credentials[name].reveal() for name in NAMES)
    timestamp_ms = clock.wall_ns() // MILLISECOND
    return {
        "Authorization": client_id,
        "X-Authorization-Timestamp": str(timestamp_ms),
        "X-Authorization-Signature-SHA256": signature(method, path, body, client_id, secret, timestamp_ms),
    }


def check_clock(headers: Mapping[str, str], clock: Clock) -> None:
    """Compare our wall clock with the Date of an answer; raises FeedError when signatures would be refused.

    An answer without a date that can be read says nothing.
    """
    try:
        date = parsedate_to_datetime(headers.get("Date", ""))
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        there_ns = (date - _EPOCH) // timedelta(seconds=1) * SECOND
    except (ValueError, TypeError, IndexError, OverflowError):
        return
    ahead_ns = clock.wall_ns() - there_ns
    if abs(ahead_ns) > TOLERANCE_S * SECOND:
        side = "ahead of" if ahead_ns > 0 else "behind"
        raise FeedError(
            f"our clock is {abs(ahead_ns) / SECOND:.1f} s {side} Chainlink's, which accepts {TOLERANCE_S} s; "
            "set this host's clock"
        )
