"""What the venue's answer to ``POST /order`` means: taken, a definite no, or unknown.

Pure. Only texts and codes that are known to be a no become one; whatever is not understood is unknown.
Sources: the venue's error codes, its clients, production logs (see the recorded replies).
"""

import json
from collections.abc import Mapping
from typing import Any

from common.core.order_state import Consequence, DefiniteNo, Taken, Unknown
from common.core.venue_facts import OrderPhase
from common.units import SECOND, NotANumber, size6_floor

Reply = Taken | DefiniteNo | Unknown

POST_ONLY_NS = 120 * SECOND
"""After each restart of its engine the venue takes post-only orders alone for two minutes."""
RESTART_NS = 2 * SECOND
RATE_NS = 5 * SECOND
DISABLED_NS = 30 * SECOND
LONGEST_WAIT_NS = 3_600 * SECOND
_NO_MATCH = ("no orders found to match", "couldn't be fully filled", "fok orders are fully filled or killed")
_UNCLEAR = ("context canceled", "context deadline", "order timed out", "duplicated")
_PHASES: dict[str, OrderPhase] = {"matched": "matched", "delayed": "delayed", "live": "live"}
_MEANINGS: tuple[tuple[str, str, Consequence], ...] = (
    ("order_version_mismatch", "version", "stop"),
    ("invalid signature", "signature", "stop"),
    ("signer address", "signature", "stop"),
    ("maker address not allowed", "wallet", "stop"),
    ("address banned", "banned", "stop"),
    ("closed only mode", "closed-only", "stop"),
    ("restricted in your region", "region", "stop"),
    ("api key", "credentials", "stop"),
    ("unauthorized", "credentials", "stop"),
    ("not enough balance", "balance", "check"),
    ("allowance", "balance", "check"),
    ("post-only mode", "post-only", "wait"),
    ("cancel-only", "cancel-only", "wait"),
    ("trading is currently disabled", "disabled", "wait"),
    ("engine is restarting", "restarting", "wait"),
    ("too many requests", "rate-limited", "wait"),
    ("min size", "too-small", "fault"),
    ("lower than the minimum", "too-small", "fault"),
    ("tick size", "tick", "fault"),
    ("invalid amount", "amounts", "fault"),
    ("expiration", "expiration", "fault"),
    ("invalid order payload", "payload", "fault"),
    ("market is not", "market", "none"),
    ("no orderbook", "market", "none"),
    ("orderbook", "market", "none"),
)
"""Text of a refusal, its code, and what it means for other orders; the first that occurs counts."""
_WAITS_NS = {
    "post-only": POST_ONLY_NS,
    "cancel-only": DISABLED_NS,
    "disabled": DISABLED_NS,
    "restarting": RESTART_NS + POST_ONLY_NS,
    "rate-limited": RATE_NS,
}
"""How long new orders wait when the venue does not say."""


def classify(status: int, headers: Mapping[str, str], body: bytes, order_id: str) -> Reply:
    """The meaning of one answer; ``order_id`` is what we computed, header names are in any case."""
    document = _document(body)
    said = _said(document)
    text = said.lower()
    if any(mark in text for mark in _UNCLEAR):
        return Unknown(f"HTTP {status}: {_short(said)}")
    if status == 200:
        return _accepted(document, said, headers, order_id)
    if 400 <= status < 500:
        return _refused(status, said, document, headers)
    if status == 503:
        refusal = _known(said, document, headers)
        return refusal or Unknown(f"HTTP 503: {_short(said)}")
    return Unknown(f"HTTP {status}: {_short(said)}")


def _accepted(document: Any, said: str, headers: Mapping[str, str], order_id: str) -> Reply:
    if not isinstance(document, dict):
        return Unknown("HTTP 200 with a body that is no answer")
    told = document.get("orderID")
    if isinstance(told, str) and told and told.lower() != order_id.lower():
        return Unknown(f"HTTP 200 for another order ({_short(told)})")
    if said:
        return _known(said, document, headers) or Unknown(f"HTTP 200 with an error: {_short(said)}")
    status = document.get("status")
    trades = document.get("tradeIDs")
    trade_ids = tuple(one for one in trades if isinstance(one, str)) if isinstance(trades, list) else ()
    if status == "unmatched":
        return DefiniteNo("no-match", "the venue matched nothing")
    phase = _PHASES.get(status) if isinstance(status, str) else None
    if phase is None and trade_ids and not status:
        phase = "matched"
    if phase is None:
        return Unknown(f"HTTP 200 with the status {_short(str(status))}")
    return Taken(phase, _shares6(document.get("takingAmount")) if phase == "matched" else None, trade_ids)


def _refused(status: int, said: str, document: Any, headers: Mapping[str, str]) -> Reply:
    if any(mark in said.lower() for mark in _NO_MATCH):
        return DefiniteNo("no-match", _short(said))
    if status == 425:
        wait_ns = (_retry_after_ns(document, headers) or RESTART_NS) + POST_ONLY_NS
        return DefiniteNo("restarting", f"the matching engine restarts: {_short(said)}", "wait", wait_ns)
    if status == 429:
        return DefiniteNo("rate-limited", _short(said), "wait", _retry_after_ns(document, headers) or RATE_NS)
    known = _known(said, document, headers)
    if known is not None:
        return known
    if status == 401:
        return DefiniteNo("credentials", f"HTTP 401: {_short(said)}", "stop")
    if status == 403:
        return DefiniteNo("region", f"HTTP 403: {_short(said)}", "stop")
    if status in (404, 405, 411, 413, 414, 415, 431):
        return DefiniteNo("request", f"HTTP {status}: {_short(said)}; check venue.clob_url", "fault")
    # Other texts of a 4xx have been seen on orders that were taken: the venue rewrites the status from them.
    return Unknown(f"HTTP {status}: {_short(said)}")


def _known(said: str, document: Any, headers: Mapping[str, str]) -> DefiniteNo | None:
    text = said.lower()
    code = document.get("code") if isinstance(document, dict) else None
    if code == "post_only_mode":
        text = "post-only mode"
    if any(mark in text for mark in _NO_MATCH):
        return DefiniteNo("no-match", _short(said))
    for mark, name, consequence in _MEANINGS:
        if mark in text:
            wait_ns = _retry_after_ns(document, headers) or _WAITS_NS[name] if consequence == "wait" else 0
            return DefiniteNo(name, _short(said), consequence, wait_ns)
    return None


def _retry_after_ns(document: Any, headers: Mapping[str, str]) -> int:
    """What the venue says how long to wait; 0 when it does not."""
    found = [value for name, value in headers.items() if name.lower() == "retry-after"]
    if isinstance(document, dict):
        found.append(str(document.get("retry_after_seconds", "")))
    waits = [int(one) * SECOND for one in found if one.isascii() and one.isdigit() and len(one) < 9]
    return min(max(waits, default=0), LONGEST_WAIT_NS)


def rate_limit(headers: Mapping[str, str]) -> str:
    """The venue's word on our order rate, in one line; empty when it says nothing."""
    found = {name.lower(): value for name, value in headers.items()}
    parts = [
        f"{label} {_short(found[name])}"
        for label, name in (
            ("remaining", "poly-ratelimit-remaining"),
            ("reset", "poly-ratelimit-reset"),
            ("tier", "poly-ratelimit-tier"),
            ("warning", "poly-ratelimit-warning"),
        )
        if name in found
    ]
    return ", ".join(parts)


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _said(document: Any) -> str:
    """The error text of a body, empty when there is none."""
    if not isinstance(document, dict):
        return ""
    for name in ("errorMsg", "error", "error_msg", "message"):
        value = document.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def _shares6(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        return size6_floor(value)
    except NotANumber:
        return None


def _short(text: str) -> str:
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    return line[:160] or "no text"
