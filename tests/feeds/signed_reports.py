"""Synthetic signed reports of Chainlink Data Streams, word by word; the signatures in them are nobody's."""

import json
from typing import Any

from common.feeds.oracle.chainlink import FEEDS, Series
from common.units import SECOND

NOW_S = 1_790_000_000
NOW_NS = NOW_S * SECOND
SPOT_BTC = FEEDS[Series("spot", "btc")]
SPOT_ETH = FEEDS[Series("spot", "eth")]
TWAP60_BTC = FEEDS[Series("twap60", "btc")]
BTC = 63_517_204_518_273_645_546_372
HEAD = 7
BODY = HEAD + 1
"""Where the report proper begins: after the head and its own length."""


def words_of(
    feed_id: str = SPOT_BTC,
    *,
    observed_s: int = NOW_S,
    price: int = BTC,
    spread: int = 10**18,
    signers: int = 3,
) -> list[int]:
    """Every word of a report: of v3 with a bid and an ask ``spread`` away, or of v2 with a price alone."""
    body = [int(feed_id, 16), observed_s - 1, observed_s, 71, 72, observed_s + 86_400, price]
    if feed_id.startswith("0x0003"):
        body += [price - spread, price + spread]
    rs = BODY + len(body)
    ss = rs + 1 + signers
    head = [0xC0, 0xC1, 0xC2, 32 * HEAD, 32 * rs, 32 * ss, 0x0100 << 240]
    firsts = [signers, *(900 + number for number in range(signers))]
    seconds = [signers, *(800 + number for number in range(signers))]
    return [*head, 32 * len(body), *body, *firsts, *seconds]


def hexed(words: list[int]) -> str:
    return "0x" + b"".join((word % (1 << 256)).to_bytes(32, "big") for word in words).hex()


def full_report(feed_id: str = SPOT_BTC, **how: Any) -> str:
    return hexed(words_of(feed_id, **how))


def envelope(feed_id: str = SPOT_BTC, **how: Any) -> dict[str, Any]:
    """A report as pages have it, and the stream within ``report``."""
    words = words_of(feed_id, **how)
    return {
        "feedID": feed_id,
        "validFromTimestamp": words[BODY + 1],
        "observationsTimestamp": words[BODY + 2],
        "fullReport": hexed(words),
    }


def message(feed_id: str = SPOT_BTC, **how: Any) -> str:
    return json.dumps({"report": envelope(feed_id, **how)})
