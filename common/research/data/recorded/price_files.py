"""Recorded prices of an asset: relay ticks, relay frames, polled exchange prices, one-minute bars.

Each keeps its own kind and route, because they differ from each other by more than what is looked for.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

from common.research.data.dataset import TICKS
from common.research.data.float_columns import ms_to_ns, price_e8
from common.research.data.from_tape import e8_of
from common.research.data.market_rows import market_row
from common.research.data.recorded.piece import (
    OUTCOMES,
    Beside,
    Piece,
    RecordingRefused,
    asset_named,
    frame_of,
    objects_of,
    ticks_of,
)
from common.units import MILLISECOND, NotANumber, price18_from_e18, price18_from_plain

RELAY_TICKS = frozenset({"feed_ts_ms", "full_accuracy_value", "server_ts_ms", "recv_ms"})
RELAY_FRAMES = frozenset({"topic", "type", "timestamp", "payload", "connection_id"})
POLLED = frozenset({"asset", "slug", "ts", "price"})
BARS = frozenset({"timestamp", "open", "high", "low", "close", "volume"})

_TOPICS = {
    "crypto_prices_chainlink": "spot",
    "crypto_prices": "binance",
    "crypto_prices_twap_thirty": "twap30",
    "crypto_prices_twap_sixty": "twap60",
}


def relay_ticks(path: Path, beside: Beside) -> Piece:
    """Chainlink ticks of the relay with its send and the recorder's receipt.

    The rows do not say the asset: the file's name does, or the one market list with outcomes beside it.
    """
    piece = Piece("relay ticks")
    asset = _asset(path, beside)
    frame = frame_of(path)
    exact = pl.Series("price_e8", [_e8(text) for text in frame["full_accuracy_value"]], dtype=pl.Int64)
    ticks = frame.with_columns(exact).select(
        asset=pl.lit(asset),
        kind=pl.lit("spot"),
        route=pl.lit("rtds"),
        observed_ns=ms_to_ns("feed_ts_ms"),
        at_ns=pl.coalesce(ms_to_ns("recv_ms"), ms_to_ns("server_ts_ms")),
        price_e8="price_e8",
    )
    back = (ticks["at_ns"].diff() < 0).sum()
    if back:
        piece.notes["ticks received before an older one: put into order of receipt"] = int(back)
    piece.ticks = ticks_of(ticks, piece.notes)
    return piece


def relay_frames(path: Path) -> Piece:
    """Unmodified frames of the relay; without the recorder's receipt its send is when they could be known."""
    piece = Piece("relay frames", licence="MIT")
    rows = []
    for frame in objects_of(path, piece.notes):
        row = _frame_row(frame)
        if row is None:
            piece.notes["frames skipped: no update of a known price topic"] += 1
        else:
            rows.append(row)
    piece.ticks = ticks_of(pl.DataFrame(rows, schema=dict(TICKS), orient="row"), piece.notes)
    return piece


def polled_prices(path: Path) -> Piece:
    """Binance prices read several times a second."""
    piece = Piece("polled exchange prices")
    frame = frame_of(path)
    seconds = pl.col("ts").cast(pl.Float64, strict=False) * 1e3
    ticks = frame.with_columns(ms=seconds).select(
        asset=pl.col("asset").str.to_lowercase(),
        kind=pl.lit("binance"),
        route=pl.lit("poll"),
        observed_ns=ms_to_ns("ms"),
        at_ns=ms_to_ns("ms"),
        price_e8=price_e8("price"),
    )
    piece.ticks = ticks_of(ticks, piece.notes)
    piece.markets = [market_row(slug) for slug in frame["slug"].unique(maintain_order=True)]
    return piece


def bars(path: Path) -> Piece:
    """One-minute bars of Binance: only the opening price, which is known as the minute begins."""
    piece = Piece("one-minute bars")
    asset = _asset(path, lambda _: [])
    ticks = frame_of(path).select(
        asset=pl.lit(asset),
        kind=pl.lit("binance"),
        route=pl.lit("bars-1m"),
        observed_ns=ms_to_ns("timestamp"),
        at_ns=ms_to_ns("timestamp"),
        price_e8=price_e8("open"),
    )
    piece.ticks = ticks_of(ticks, piece.notes)
    return piece


def _asset(path: Path, beside: Beside) -> str:
    asset = asset_named(path)
    if asset is not None:
        return asset
    listed = [one.get("asset") for other in beside(OUTCOMES) for one in objects_of(other, Counter())]
    if len(set(listed)) == 1 and isinstance(listed[0], str):
        return listed[0].lower()
    raise RecordingRefused(
        f"{path.name} does not say whose prices these are: name the asset in the file's name"
    )


def _e8(text: str | None) -> int | None:
    try:
        return e8_of(price18_from_e18(text or "")) or None
    except NotANumber:
        return None


def _frame_row(frame: dict[str, Any]) -> tuple[object, ...] | None:
    payload, topic, sent = frame.get("payload"), frame.get("topic"), frame.get("timestamp")
    if not isinstance(payload, dict) or topic not in _TOPICS or not isinstance(sent, int):
        return None
    symbol, stamp = str(payload.get("symbol", "")), payload.get("timestamp")
    exact = payload.get("full_accuracy_value")
    if not isinstance(stamp, int) or not isinstance(exact, str):
        return None
    kind = _TOPICS[topic]
    try:
        # The exchange topic writes a plain decimal where the oracle topics write an integer.
        value = price18_from_plain(exact) if kind == "binance" else price18_from_e18(exact)
    except NotANumber:
        return None
    asset = symbol.removesuffix("usdt").partition("/")[0]
    return asset, kind, "rtds", stamp * MILLISECOND, sent * MILLISECOND, e8_of(value)
