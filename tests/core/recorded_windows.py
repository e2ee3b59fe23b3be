"""Small datasets made by hand: one asset, windows of 15 minutes, a tick and two books a second."""

from collections.abc import Callable, Iterable
from typing import Any

import polars as pl

from common.research.data.dataset import Dataset, dataset
from common.units import MILLISECOND, SECOND

OPENS_S = 1_780_000_200
"""A quarter of an hour in May 2026."""
E8 = 10**8
Price = Callable[[int], float]
"""Dollars, or a share's price, by the second of a window."""


def window(number: int = 0, asset: str = "btc") -> str:
    return f"{asset}-updown-15m-{OPENS_S + 900 * number}"


def market(number: int = 0, asset: str = "btc", **changes: object) -> dict[str, Any]:
    """A window that Up won, at 7 % fee and half a second's delay."""
    start_ns = (OPENS_S + 900 * number) * SECOND
    plain: dict[str, Any] = {
        "window": window(number, asset),
        "asset": asset,
        "start_ns": start_ns,
        "end_ns": start_ns + 900 * SECOND,
        "strike_e8": None,
        "close_e8": None,
        "outcome": "up",
        "outcome_source": "official",
        "fee_rate_ppm": 70_000,
        "fee_exponent": 1,
        "taker_delay_ns": 500 * MILLISECOND,
        "tick4": 100,
        "min_size6": 5_000_000,
        "era": "fee-spot",
        "token_up": "",
        "token_down": "",
    }
    return plain | changes


def ticks(
    price: Price, number: int = 0, *, kind: str = "spot", route: str = "rtds", asset: str = "btc",
    seconds: Iterable[int] = range(-5, 900),
) -> list[dict[str, Any]]:  # fmt: skip
    """One a second, received 1.1 s after its stamp."""
    start_ns = (OPENS_S + 900 * number) * SECOND
    return [
        {
            "asset": asset,
            "kind": kind,
            "route": route,
            "observed_ns": start_ns + second * SECOND,
            "at_ns": start_ns + second * SECOND + 1_100 * MILLISECOND,
            # A tenth of a cent on top: a stream that repeats one value is taken for frozen.
            "price_e8": int(price(second) * E8) + second * 100_000,
        }
        for second in seconds
    ]


def books(
    ask: Price, number: int = 0, *, outcome: str = "up", asset: str = "btc", at_ms: int = 300,
    seconds: Iterable[int] = range(900), **changes: object,
) -> list[dict[str, Any]]:  # fmt: skip
    """One a second, a hundred shares at the best ask, received as it was stamped."""
    start_ns = (OPENS_S + 900 * number) * SECOND
    rows = []
    for second in seconds:
        at_ns = start_ns + second * SECOND + at_ms * MILLISECOND
        ask4 = round(ask(second) * 10_000)
        plain: dict[str, Any] = {
            "window": window(number, asset),
            "asset": asset,
            "outcome": outcome,
            "venue_ns": at_ns,
            "at_ns": at_ns,
            "bid4": ask4 - 200,
            "bid_size6": 100_000_000,
            "ask4": ask4,
            "ask_size6": 100_000_000,
            "derived": False,
        }
        rows.append(plain | changes)
    return rows


def made(
    markets: list[dict[str, Any]],
    ticks: list[dict[str, Any]],
    books: list[dict[str, Any]],
    history: list[dict[str, Any]] | None = None,
) -> Dataset:
    """The dataset of these rows."""
    return dataset(
        "made by hand",
        markets=pl.DataFrame(markets, infer_schema_length=None),
        ticks=pl.DataFrame(ticks, infer_schema_length=None) if ticks else None,
        books=pl.DataFrame(books, infer_schema_length=None) if books else None,
        history=pl.DataFrame(history, infer_schema_length=None) if history else None,
    )


def jump(at_s: int, to: float, base: float = 100_000.0) -> Price:
    """Flat, then another value from this second on."""
    return lambda second: to if second >= at_s else base


def flat(value: float) -> Price:
    return lambda _second: value
