"""Rows of the market table: a window by its name and by the terms of its day.

Owns how a slug is read and which terms are filled in. Never looks at prices.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from common.research.data.dataset import MARKETS
from common.research.data.eras import USUAL_MIN_SIZE6, USUAL_TICK4, terms_at
from common.units import SECOND

_SLUG = re.compile(r"(?P<asset>[a-z0-9]+)-updown-(?P<count>\d+)(?P<unit>[smh])-(?P<start>\d{9,11})")
_UNIT_S = {"s": 1, "m": 60, "h": 3600}


def window_of(slug: str) -> tuple[str, int, int] | None:
    """Asset, opening and close of a window by its name; None when it is not named like one."""
    found = _SLUG.fullmatch(slug)
    if found is None:
        return None
    length_s = int(found["count"]) * _UNIT_S[found["unit"]]
    start_ns = int(found["start"]) * SECOND
    return found["asset"], start_ns, start_ns + length_s * SECOND


def market_row(slug: str, **known: object) -> dict[str, Any] | None:
    """One row: what is known over the terms of its day; None when the name is not that of a window."""
    window = window_of(slug)
    if window is None:
        return None
    asset, start_ns, end_ns = window
    terms = terms_at(start_ns)
    row: dict[str, Any] = {
        "window": slug,
        "asset": asset,
        "start_ns": start_ns,
        "end_ns": end_ns,
        **terms._asdict(),
        "tick4": USUAL_TICK4,
        "min_size6": USUAL_MIN_SIZE6,
        "token_up": "",
        "token_down": "",
    }
    return row | known


def market_table(rows: Iterable[Mapping[str, Any] | None]) -> pl.DataFrame:
    """The market table of these rows; None among them is left out."""
    return pl.DataFrame([row for row in rows if row is not None], schema=dict(MARKETS), orient="row")
