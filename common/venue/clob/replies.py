"""What the venue's answer to ``POST /order`` means: taken, a definite no, or unknown.

Pure. Only texts and codes that are known to be a no become one; whatever is not understood, or contradicts
itself, is unknown. Sources: the venue's page of error codes, its clients, production logs (see the recorded
replies).
"""

import json
from collections.abc import Mapping
from typing import Any

from common.core.order_events import (
    Consequence,
    DefiniteNo,
    Taken,
    Unknown,
)
from common.core.venue_facts import OrderPhase
from common.messages import Side
from common.units import SECOND, SIZE6_ONE, NotANumber, size6_floor

Reply = Taken | DefiniteNo | Unknown

POST_ONLY_NS = 120 * SECOND
"""After each restart of its engine the venue takes post-only orders alone for two minutes."""
RESTART_NS = 2 * SECOND
RATE_NS = 5 * SECOND
DISABLED_NS = 30 * SECOND
LONGEST_WAIT_NS = 3_600 * SECOND
_MOST_SHARES6 = 10**12 * SIZE6_ONE
_LONGEST_ID = 100
_UNCLEAR = ("context canceled", "context deadline", "order timed out", "duplicated", "match delayed")
"""Texts of any status after which the order may exist; "duplicated" says that it does."""
_REWRITTEN = {401: "unauthorized", 404: "not found"}
"""The venue makes these of any error with such words in it, whatever it was before (its error codes page)."""
_NO_MATCH = ("no orders found to match", "couldn't be fully filled", "fok orders are fully filled or killed")
_PHASES: dict[str, OrderPhase] = {"matched": "matched", "delayed": "delayed", "live": "live"}
_MEANINGS: tuple[tuple[str, str, Consequence], ...] = (
    ("order_version_mismatch", "version", "stop"),
    ("invalid signature", "signature", "stop"),
    ("order signer address", "signature", "stop"),
    ("maker address not allowed", "wallet", "stop"),
    ("address banned", "banned", "stop"),
    ("closed only mode", "closed-only", "stop"),
    ("restricted in your region", "region", "stop"),
    ("invalid api key", "credentials", "stop"),
    ("owner of the api key", "credentials", "stop"),
    ("invalid l1 request headers", "credentials", "stop"),
    ("not enough balance", "balance", "check"),
    ("not enough allowance", "balance", "check"),
    ("post-only mode", "post-only", "wait"),
    ("cancel-only", "cancel-only", "wait"),
    ("trading is currently disabled", "disabled", "wait"),
    ("engine is restarting", "restarting", "wait"),
    ("too many requests", "rate-limited", "wait"),
    ("min size", "too-small", "fault"),
    ("lower than the minimum", "too-small", "fault"),
    ("minimum tick size", "tick", "fault"),
    ("invalid amount", "amounts", "fault"),
    ("invalid expiration", "expiration", "fault"),
    ("invalid order payload", "payload", "fault"),
    ("market is not yet ready", "market", "none"),
    ("orderbook*does not exist", "market", "none"),
    ("no orderbook exists", "market", "none"),
)
"""Text of a refusal (parts in this order), its code, and what it means for others; the first one counts."""
_WAITS_NS = {
    "post-only": POST_ONLY_NS,
    "cancel-only": DISABLED_NS,
    "disabled": DISABLED_NS,
    "restarting": RESTART_NS,
    "rate-limited": RATE_NS,
}
"""How long new orders wait when the venue does not say."""
_NEXT = {
    "version": "we sign for another version of the exchange: update laggard",
    "signature": "key and wallet do not belong together for the venue: run laggard check",
    "wallet": "this wallet may not place orders: set wallet.kind and wallet.address to a deposit wallet",
    "banned": "the venue has banned the address: ask its support",
    "closed-only": "the venue lets the account only close positions: ask its support",
    "region": "orders are not taken from where this machine stands: trading stays off",
    "credentials": "the API key is not valid for this wallet: run laggard check",
    "balance": "balance and allowance are checked before the next order",
    "request": "there is no order entry at this address: check venue.clob_url",
}
_NEXT_BY: dict[Consequence, str] = {
    "none": "nothing else is affected",
    "stop": "no orders until somebody has looked",
    "fault": "the mistake is ours: no orders until somebody has looked",
}
"""What a person reads after the venue's text when the code has no sentence of its own."""


def classify(
    status: int, headers: Mapping[str, str], body: bytes, order_id: str, side: Side = "buy"
) -> Reply:
    """The meaning of one answer; ``order_id`` is what we computed, header names are in any case."""
    raw = body.decode("utf-8", "replace")
    document = _document(body)
    said = _said(document, raw)
    unclear = Unknown(f"HTTP {status}: {_short(said or raw)}")
    if any(mark in raw.lower() for mark in _UNCLEAR):
        return unclear
    if status == 200:
        return _accepted(document, said, headers, order_id, side)
    if 400 <= status < 500:
        return _refused(status, said, raw, document, headers) or unclear
    if status == 503:
        return _known(said, document, headers) or unclear
    return unclear


def _accepted(document: Any, said: str, headers: Mapping[str, str], order_id: str, side: Side) -> Reply:
    if not isinstance(document, dict):
        return Unknown("HTTP 200 with a body that is no answer")
    told, status = document.get("orderID"), document.get("status")
    if told and (not isinstance(told, str) or told.lower() != order_id.lower()):
        return Unknown(f"HTTP 200 for another order ({_short(str(told))}): compare them with ours")
    status = status.lower() if isinstance(status, str) else status
    phase = _PHASES.get(status) if isinstance(status, str) else None
    # A buy takes shares, a sale makes them and takes dollars.
    shares6 = _shares6(document.get("takingAmount" if side == "buy" else "makingAmount"))
    trade_ids = _trade_ids(document.get("tradeIDs"))
    if said or status == "unmatched":
        # A no beside anything that looks like an order or a trade is a contradiction, and so no no.
        refusal = _known(said, document, headers) if said else _no("no-match", "the venue matched nothing")
        if refusal is None or phase or trade_ids or document.get("tradeIDs") or shares6 or told:
            return Unknown(f"HTTP 200 with the status {_short(str(status))}: {_short(said)}")
        return refusal
    if phase is None and trade_ids and not status:
        phase = "matched"
    if phase is None or document.get("success") is False:
        return Unknown(f"HTTP 200 with the status {_short(str(status))} and no word of an error")
    return Taken(phase, shares6 if phase == "matched" else None, trade_ids)


def _refused(
    status: int, said: str, raw: str, document: Any, headers: Mapping[str, str]
) -> DefiniteNo | None:
    if any(mark in said.lower() for mark in _NO_MATCH):
        return DefiniteNo("no-match", _short(said))
    if status == 425:
        wait_ns = (_retry_after_ns(document, headers) or RESTART_NS) + POST_ONLY_NS
        return _no("restarting", f"the matching engine restarts: {_short(said)}", "wait", wait_ns)
    if status == 429:
        return _no("rate-limited", _short(said), "wait", _retry_after_ns(document, headers) or RATE_NS)
    known = _known(said, document, headers)
    if known is not None or _REWRITTEN.get(status, "\0") in raw.lower():
        return known
    if status == 401:
        return _no("credentials", f"HTTP 401: {_short(said)}", "stop")
    if status == 403:
        return _no("region", f"HTTP 403: {_short(said)}", "stop")
    if status in (404, 405, 411, 413, 414, 415, 431):
        return _no("request", f"HTTP {status}: {_short(said)}", "fault")
    # Other texts of a 4xx have been seen on orders that were taken: the venue rewrites the status from them.
    return None


def _known(said: str, document: Any, headers: Mapping[str, str]) -> DefiniteNo | None:
    text = said.lower()
    if isinstance(document, dict) and document.get("code") == "post_only_mode":
        text = "post-only mode"
    if any(mark in text for mark in _NO_MATCH):
        return DefiniteNo("no-match", _short(said))
    for mark, code, consequence in _MEANINGS:
        if _occurs(mark, text):
            wait_ns = 0
            if consequence == "wait":
                wait_ns = _retry_after_ns(document, headers) or _WAITS_NS[code]
                # Post-only follows every restart, and is told only to those who ask again.
                wait_ns += POST_ONLY_NS if code == "restarting" else 0
            return _no(code, _short(said), consequence, wait_ns)
    return None


def _no(code: str, said: str, consequence: Consequence = "none", wait_ns: int = 0) -> DefiniteNo:
    """A refusal with what happens next, in one sentence."""
    if consequence == "wait":
        following = f"no new orders for {wait_ns // SECOND} s"
    else:
        following = _NEXT.get(code) or _NEXT_BY[consequence]
    return DefiniteNo(code, f"{said}; {following}", consequence, wait_ns)


def _occurs(mark: str, text: str) -> bool:
    at = 0
    for part in mark.split("*"):
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _retry_after_ns(document: Any, headers: Mapping[str, str]) -> int:
    """What the venue says how long to wait; 0 when it does not."""
    found = [value for name, value in headers.items() if name.lower() == "retry-after"]
    if isinstance(document, dict):
        found.append(str(document.get("retry_after_seconds", ""))[:20])
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


def _said(document: Any, raw: str) -> str:
    """The error text of a body, empty when there is none; the whole body when the text is no text."""
    if not isinstance(document, dict):
        return ""
    for name in ("errorMsg", "error", "error_msg"):
        value = document.get(name)
        if value:
            return value if isinstance(value, str) else raw
    return ""


def _trade_ids(value: Any) -> tuple[str, ...]:
    """The trade ids of an answer that can be one: printable text of a sane length."""
    if not isinstance(value, list):
        return ()
    return tuple(
        one for one in value if isinstance(one, str) and 0 < len(one) <= _LONGEST_ID and one.isprintable()
    )


def _shares6(value: Any) -> int | None:
    """The shares of an answer; none at all is not told, as the venue writes 0 for what it does not know."""
    if not isinstance(value, str):
        return None
    try:
        shares6 = size6_floor(value)
    except NotANumber:
        return None
    return shares6 if 0 < shares6 < _MOST_SHARES6 else None


def _short(text: str) -> str:
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in text[:1000]).split())
    return line[:160] or "no text"
