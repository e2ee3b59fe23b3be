"""Times, spans, amounts and windows as people read them on a phone. UTC throughout."""

import re
from datetime import UTC, datetime

from common.units import SECOND, SIZE6_ONE, usd6_text

_SLUG = re.compile(r"([a-z0-9]+)-updown-([0-9]+)([smh])-([0-9]{9,11})")
_UNIT_S = {"s": 1, "m": 60, "h": 3600}


def utc_time(wall_ns: int) -> str:
    """``14:03:12``."""
    return datetime.fromtimestamp(wall_ns // SECOND, UTC).strftime("%H:%M:%S")


def utc_minute(wall_ns: int) -> str:
    """``14:03``."""
    return datetime.fromtimestamp(wall_ns // SECOND, UTC).strftime("%H:%M")


def utc_date(wall_ns: int) -> str:
    """``2026-11-24``."""
    return datetime.fromtimestamp(wall_ns // SECOND, UTC).strftime("%Y-%m-%d")


def lasted(span_ns: int) -> str:
    """``12 s``, ``3 min 5 s``, ``2 h 1 min``."""
    seconds = max(0, span_ns // SECOND)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def dollars(usd6: int, *, signed: bool = False) -> str:
    """``10.00 $``, ``+6.54 $``."""
    return f"{'+' if signed and usd6 > 0 else ''}{usd6_text(usd6)} $"


def shares(size6: int) -> str:
    """``17.24``: cut, not rounded up."""
    return f"{size6 // SIZE6_ONE}.{size6 % SIZE6_ONE // 10_000:02d}"


def window_span(window: str) -> tuple[int, int] | None:
    """(start, end) in nanoseconds from a window's slug, where it says so."""
    match = _SLUG.fullmatch(window)
    if match is None:
        return None
    start = int(match[4])
    return start * SECOND, (start + int(match[2]) * _UNIT_S[match[3]]) * SECOND


def window_title(window: str) -> str:
    """``BTC 14:00-14:15 UTC``; the slug itself where it says less."""
    span, asset = window_span(window), window.partition("-")[0]
    if span is None:
        return window
    return f"{asset.upper()} {utc_minute(span[0])}-{utc_minute(span[1])} UTC"
