"""Recorded books with sizes: event-driven tops, five levels a message, five levels a second.

A book that always shows the worst level first was read from the wrong end and is refused. A token whose side
nobody wrote down keeps its book, without a side.
"""

from pathlib import Path
from typing import Any

import polars as pl

from common.research.data import final_book
from common.research.data.dataset import BOOKS, LEVELS
from common.research.data.final_book import final_outcomes
from common.research.data.float_columns import ask4, believed, bid4, crossed_rows, ms_to_ns, price_e8, size6
from common.research.data.market_rows import market_row
from common.research.data.recorded.piece import (
    Piece,
    RecordingRefused,
    books_of,
    frame_of,
    objects_of,
    ticks_of,
)
from common.units import MILLISECOND, SECOND

TOPS = frozenset(
    {"recorded_at_ts", "market_slug", "up_book_ts", "up_bid", "up_ask_size", "down_bid", "down_ask"}
)
MESSAGES = frozenset({"slug", "token_id", "recv_ms", "exch_ms", "bids5", "asks5"})
FULL_SAMPLE = frozenset({"timestamp", "slug", "asset_id", "bids", "asks", "raw_data"})
AROUND_TRADES = frozenset({"ts_unix", "slug", "polymarket", "binance"})
BEST_ONLY = frozenset({"slug", "ts", "token_id", "outcome", "best_bid", "best_ask", "bid_depth", "ask_depth"})


def tops(path: Path) -> Piece:
    """Best bid and ask of both tokens with sizes, a row for each event."""
    piece = Piece("tops of both books", licence="MIT")
    frame = frame_of(path).with_columns(ms=pl.col("recorded_at_ts").cast(pl.Float64, strict=False) * 1e3)
    sides = [
        frame.select(
            window="market_slug",
            asset=pl.col("market_slug").str.split("-").list.first(),
            outcome=pl.lit(side),
            venue_ns=ms_to_ns(f"{side}_book_ts"),
            at_ns=ms_to_ns("ms"),
            bid4=bid4(f"{side}_bid"),
            bid_size6=size6(f"{side}_bid_size"),
            ask4=ask4(f"{side}_ask"),
            ask_size6=size6(f"{side}_ask_size"),
            derived=pl.lit(value=False),
        )
        for side in ("up", "down")
    ]
    books = pl.concat(sides).drop_nulls("at_ns")
    _finish(piece, books)
    ids = frame.select("market_slug", "up_token_id", "down_token_id", "market_end_ts").unique(
        maintain_order=True
    )
    ends = {slug: int(float(end)) * SECOND for slug, _, _, end in ids.iter_rows()}
    final = final_outcomes(books, ends)
    for slug, up, down, _ in ids.iter_rows():
        known = {"token_up": up, "token_down": down}
        if slug in final:
            known |= {"outcome": final[slug], "outcome_source": final_book.SOURCE}
        piece.markets.append(market_row(slug, **known))
    return piece


def messages(path: Path) -> Piece:
    """Five levels of every book message; the side of a token was not recorded."""
    piece = Piece(
        "book messages", licence="CC BY 4.0: Polymarket BTC Orderbook Dataset © 2026 by CronosVirus00"
    )
    frame = frame_of(path).with_columns(pl.col("slug", "token_id").cast(pl.String))
    books = frame.select(
        window="slug",
        asset=pl.col("slug").str.split("-").list.first(),
        outcome=pl.lit(None, pl.String),
        venue_ns=ms_to_ns("exch_ms"),
        at_ns=ms_to_ns("recv_ms"),
        bid4=bid4("bid"),
        bid_size6=size6("bid_sz"),
        ask4=ask4("ask"),
        ask_size6=size6("ask_sz"),
        derived=pl.lit(value=False),
        bids=_levels("bids5", upwards=False),
        asks=_levels("asks5", upwards=True),
    )
    piece.notes["books of a token whose side was not recorded: kept, not tradable"] = books.height
    early = books.filter(pl.col("at_ns") < pl.col("venue_ns")).height
    if early:
        piece.notes["books received before their own stamp: two clocks"] = early
    _finish(piece, books)
    piece.markets = [market_row(slug) for slug in books["window"].unique(maintain_order=True)]
    return piece


def around_trades(path: Path) -> Piece:
    """Five levels of both books and a perpetual, once a second around one bot's trades: a selected sample."""
    piece = Piece("books around one bot's trades", licence="MIT")
    books: list[dict[str, Any]] = []
    prices = []
    tokens: dict[str, tuple[str, str]] = {}
    for one in objects_of(path, piece.notes):
        slug, at_ns = str(one["slug"]), round(float(one["ts_unix"]) * 1e3) * MILLISECOND
        tokens.setdefault(slug, (str(one.get("token_up", "")), str(one.get("token_down", ""))))
        told = one.get("polymarket") or {}
        books += [_side_row(slug, at_ns, side, told.get(side) or {}) for side in ("up", "down")]
        prices.append(_perpetual_row(slug, at_ns, one.get("binance") or {}))
    piece.notes["moments around one bot's trades only: no frequencies can be read from them"] = len(prices)
    _finish(piece, pl.DataFrame(books, schema=dict(BOOKS)))
    middles = pl.DataFrame(
        prices, schema={"asset": pl.String, "at_ns": pl.Int64, "mid": pl.Float64}, orient="row"
    )
    ticks = middles.select(
        "asset",
        "at_ns",
        kind=pl.lit("binance-perp"),
        route=pl.lit("websocket"),
        observed_ns="at_ns",
        price_e8=price_e8("mid"),
    )
    piece.ticks = ticks_of(ticks, piece.notes)
    piece.markets = [market_row(slug, token_up=up, token_down=down) for slug, (up, down) in tokens.items()]
    return piece


def best_only(path: Path) -> Piece:
    """Best bid and ask of single tokens; refused when they are the worst level."""
    piece = Piece("best levels")
    frame = frame_of(path).with_columns(ms=pl.col("ts").cast(pl.Float64, strict=False) * 1e3)
    books = frame.select(
        window="slug",
        asset=pl.col("slug").str.split("-").list.first(),
        outcome=pl.col("outcome").str.to_lowercase(),
        at_ns=ms_to_ns("ms"),
        bid4=bid4("best_bid"),
        ask4=ask4("best_ask"),
        derived=pl.lit(value=False),
    )
    quoted = books.filter(pl.col("bid4").is_not_null() | pl.col("ask4").is_not_null())
    worst = quoted.filter((pl.col("bid4").fill_null(0) <= 100) & (pl.col("ask4").fill_null(10_000) >= 9_900))
    if worst.height * 2 > quoted.height:
        raise RecordingRefused(
            f"{path.name}: {worst.height} of {quoted.height} books show a bid of at most 0.01 and an "
            "ask of at least 0.99. The venue lists the worst level first, and this recorder read that one: "
            "nobody could trade here"
        )
    _finish(piece, books)
    piece.markets = [market_row(slug) for slug in books["window"].unique(maintain_order=True)]
    return piece


def full_sample(path: Path) -> Piece:
    """A few messages in full depth out of a recording that has them all."""
    raise RecordingRefused(
        f"{path.name} is a sample of messages that another recording holds all of; the same book is not "
        "counted twice"
    )


def _finish(piece: Piece, books: pl.DataFrame) -> None:
    crossed = crossed_rows(books)
    if crossed:
        piece.notes["books crossed or locked: unknown there"] = crossed
    piece.books = books_of(believed(books))


def _levels(column: str, *, upwards: bool) -> pl.Expr:
    """JSON text ``[[price, size], …]`` to levels, with the same rounding as the top."""
    price = (pl.element().list.get(0) * 10_000).round(3)
    level = pl.struct(
        price4=(price.ceil() if upwards else price.floor()).cast(pl.Int64),
        size6=(pl.element().list.get(1) * 1_000_000).round(3).floor().cast(pl.Int64),
    )
    return pl.col(column).str.json_decode(pl.List(pl.List(pl.Float64))).list.eval(level).cast(LEVELS)


def _side_row(slug: str, at_ns: int, side: str, told: dict[str, Any]) -> dict[str, Any]:
    bids = [_level(level, upwards=False) for level in told.get("bid_levels") or ()]
    asks = [_level(level, upwards=True) for level in told.get("ask_levels") or ()]
    return {
        "window": slug,
        "asset": slug.partition("-")[0],
        "outcome": side,
        "at_ns": at_ns,
        "bid4": bids[0]["price4"] if bids else None,
        "bid_size6": bids[0]["size6"] if bids else None,
        "ask4": asks[0]["price4"] if asks else None,
        "ask_size6": asks[0]["size6"] if asks else None,
        "derived": False,
        "bids": bids,
        "asks": asks,
    }


def _level(level: dict[str, Any], *, upwards: bool) -> dict[str, int]:
    price, size = round(float(level["price"]) * 10_000, 3), round(float(level["size"]) * 1_000_000, 3)
    return {"price4": -int(-price // 1) if upwards else int(price // 1), "size6": int(size)}


def _perpetual_row(slug: str, at_ns: int, told: dict[str, Any]) -> tuple[str, int, float | None]:
    middle = told.get("mid")
    return slug.partition("-")[0], at_ns, float(middle) if isinstance(middle, int | float) else None
