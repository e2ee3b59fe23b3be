"""Where to look for more to redeem: what the venue's data service calls redeemable. Hints, decided by nobody.

A loser is called redeemable too, sizes are floating point, and all of it lags the chain by minutes: so only
the condition and the token are read.
"""

import re
from typing import Any, NamedTuple
from urllib.parse import urlencode

from common.errors import DependencyMissing
from common.venue.fetch import fetch_json, shown_host

MOST_PAGES = 20
_CONDITION = re.compile(r"0x(?:[0-9a-fA-F]{62}|[0-9a-fA-F]{64})")


class Hint(NamedTuple):
    """One holding by the venue's word."""

    condition_id: str
    """``0x`` and 64 hexadecimal digits in lower case."""
    token: str
    slug: str


async def redeemable(data_url: str, wallet: str) -> tuple[Hint, ...]:
    """All holdings of a wallet in resolved markets, dust included; raises DependencyMissing."""
    found: list[Hint] = []
    cursor = ""
    for _ in range(MOST_PAGES):
        asked = {"user": wallet, "status": "REDEEMABLE", "filter_type": "TOKENS", "filter_amount": "0"}
        if cursor:
            asked["cursor"] = cursor
        url = f"{data_url.rstrip('/')}/v2/positions?{urlencode(asked)}"
        status, document = await fetch_json(url)
        rows = document.get("data") if isinstance(document, dict) else None
        if status != 200 or not isinstance(rows, list):
            raise DependencyMissing(f"{shown_host(url)} does not list positions (HTTP {status})")
        found += [hint for row in rows if (hint := _hint(row)) is not None]
        pages = document.get("pagination")
        cursor = str(pages.get("next_cursor") or "") if isinstance(pages, dict) else ""
        if not cursor:
            break
    return tuple(found)


def _hint(row: Any) -> Hint | None:
    if not isinstance(row, dict):
        return None
    condition, token = row.get("condition_id"), row.get("token_id")
    if not isinstance(condition, str) or not _CONDITION.fullmatch(condition) or not isinstance(token, str):
        return None
    # The newer ledger's ids have 31 bytes.
    return Hint(condition.lower().ljust(66, "0"), token, str(row.get("slug") or row.get("market_slug") or ""))
