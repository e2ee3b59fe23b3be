"""Recorded quotes without sizes: best bids of both tokens, or the site's price beside the Up book.

An ask that was not recorded is one minus the other side's bid. The opening price is what was latched first:
recorders replaced it later, and a later one is never the strike.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from common.research.data import final_book
from common.research.data.final_book import final_outcomes
from common.research.data.float_columns import ask4, believed, bid4, crossed_rows, mirrored, price_e8
from common.research.data.market_rows import market_row, window_of
from common.research.data.recorded.piece import (
    Piece,
    RecordingRefused,
    asset_named,
    books_of,
    frame_of,
    ticks_of,
)
from common.units import MILLISECOND, SECOND

QUOTES = frozenset({"timestamp", "time_left_min", "mkt_up", "mkt_down"})
QUOTES_WITH_OPEN = QUOTES | {"price_to_beat", "binance_price"}
SITE_QUOTES = frozenset(
    {"Timestamp", "Time_Left_Sec", "Price_Stream", "Strike_Price", "Best_Bid", "Best_Ask", "Slug"}
)

LATE_START_NS = 10 * SECOND
"""A window first seen later than this: what was latched then may not be its opening price, which anybody who
listened had within three seconds."""
_USUAL_MINUTES = 15


def quotes(path: Path) -> Piece:
    """Best bids of both tokens, with or without an exchange price and the latched open."""
    piece = Piece("quotes")
    frame = frame_of(path)
    asset, minutes = _asset(path, frame), _minutes(frame)
    length_ns = minutes * 60 * SECOND
    left_ns = (pl.col("time_left_min").cast(pl.Float64, strict=False) * 60 * SECOND).round().cast(pl.Int64)
    timed = frame.with_columns(at_ns=_instant("timestamp")).with_columns(
        exact=pl.col("at_ns") + left_ns - length_ns
    )
    start = ((pl.col("exact") / length_ns).round().cast(pl.Int64)) * length_ns
    timed = timed.with_columns(start_ns=start)
    usable = timed.filter((pl.col("exact") - pl.col("start_ns")).abs() < 5 * SECOND)
    if timed.height > usable.height:
        piece.notes["rows skipped: no usable time, or time and time left disagree"] = (
            timed.height - usable.height
        )
    slug = pl.format("{}-updown-{}m-{}", pl.lit(asset), pl.lit(minutes), pl.col("start_ns") // SECOND)
    rows = usable.with_columns(window=slug).sort("at_ns", maintain_order=True)
    # Nobody bids on either side: the row was written without a book.
    nothing = (pl.col("mkt_up").cast(pl.Float64, strict=False).fill_null(0) <= 0) & (
        pl.col("mkt_down").cast(pl.Float64, strict=False).fill_null(0) <= 0
    )
    piece.notes["rows without a quote: the book is unknown there"] = rows.filter(nothing).height
    books = pl.concat(
        [_derived(rows, "up", "mkt_up", "mkt_down"), _derived(rows, "down", "mkt_down", "mkt_up")]
    )
    _note_crossed(piece, books)
    piece.books = books_of(believed(books))
    opens: dict[str, int] = {}
    if "binance_price" in frame.columns:
        ticks = rows.select(
            asset=pl.lit(asset),
            kind=pl.lit("binance"),
            route=pl.lit("poll"),
            observed_ns="at_ns",
            at_ns="at_ns",
            price_e8=price_e8("binance_price"),
        )
        piece.ticks = ticks_of(ticks, piece.notes)
        opens = _first_opens(piece, rows.with_columns(open_e8=price_e8("price_to_beat")))
    piece.markets = _markets(piece, rows["window"].unique(maintain_order=True).to_list(), opens)
    return piece


def site_quotes(path: Path) -> Piece:
    """The site's delayed price and the Up token's book; words stand where a number was missing."""
    piece = Piece("site quotes")
    frame = frame_of(path)
    words = frame.filter(pl.col("Strike_Price").cast(pl.Float64, strict=False).is_null()).height
    piece.notes["rows whose strike is a word, not a number"] = words
    rows = (
        frame.with_columns(at_ns=_instant("Timestamp"), window="Slug")
        .drop_nulls("at_ns")
        .filter(
            pl.col("window").map_elements(lambda slug: window_of(slug) is not None, return_dtype=pl.Boolean)
        )
        .with_columns(asset=pl.col("window").str.split("-").list.first())
        .sort("at_ns", maintain_order=True)
    )
    ticks = rows.select(
        "asset",
        kind=pl.lit("site-delayed"),
        route=pl.lit("site"),
        observed_ns="at_ns",
        at_ns="at_ns",
        price_e8=price_e8("Price_Stream"),
    )
    piece.ticks = ticks_of(ticks, piece.notes)
    books = rows.select(
        "window",
        "asset",
        "at_ns",
        outcome=pl.lit("up"),
        bid4=bid4("Best_Bid"),
        bid_size6=pl.lit(None, pl.Int64),
        ask4=ask4("Best_Ask"),
        ask_size6=pl.lit(None, pl.Int64),
        derived=pl.lit(value=False),
    )
    _note_crossed(piece, books)
    up = believed(books)
    piece.books = books_of(pl.concat([up, mirrored(up).select(up.columns)]))
    starts = {slug: window_of(slug) for slug in rows["window"].unique()}
    start = {slug: found[1] for slug, found in starts.items() if found is not None}
    named = rows.with_columns(
        start_ns=pl.col("window").replace_strict(start, return_dtype=pl.Int64),
        open_e8=price_e8("Strike_Price"),
    )
    opens = _first_opens(piece, named, late_is_unknown=False)
    piece.markets = _markets(piece, rows["window"].unique(maintain_order=True).to_list(), opens)
    return piece


def _asset(path: Path, frame: pl.DataFrame) -> str:
    """By the rows' window names where they have any, else by the file's name."""
    for column in ("slug", "market_slug"):
        if column in frame.columns and (named := frame[column].drop_nulls()).len():
            return str(named[0]).partition("-")[0]
    asset = asset_named(path)
    if asset is None:
        raise RecordingRefused(
            f"{path.name} does not say whose windows these are: name the asset in its name"
        )
    return asset


def _minutes(frame: pl.DataFrame) -> int:
    """The length of its windows: elapsed plus remaining minutes, as the middle row has them."""
    if "entry_minute" not in frame.columns:
        return _USUAL_MINUTES
    both = pl.col("entry_minute").cast(pl.Float64, strict=False) + pl.col("time_left_min").cast(
        pl.Float64, strict=False
    )
    middle = frame.select(both.median()).item()
    return _USUAL_MINUTES if middle is None else max(1, round(middle))


def _instant(column: str) -> pl.Expr:
    moment = pl.col(column).str.to_datetime(time_zone="UTC", time_unit="ns", strict=False)
    return moment.dt.timestamp("ms") * MILLISECOND


def _derived(rows: pl.DataFrame, outcome: str, own: str, other: str) -> pl.DataFrame:
    return rows.with_columns(opposite=1 - pl.col(other).cast(pl.Float64, strict=False)).select(
        "window",
        "at_ns",
        asset=pl.col("window").str.split("-").list.first(),
        outcome=pl.lit(outcome),
        bid4=bid4(own),
        ask4=ask4("opposite"),
        derived=pl.lit(value=True),
    )


def _note_crossed(piece: Piece, books: pl.DataFrame) -> None:
    crossed = crossed_rows(books)
    if crossed:
        piece.notes["books crossed or locked: unknown there"] = crossed


def _first_opens(piece: Piece, rows: pl.DataFrame, *, late_is_unknown: bool = True) -> dict[str, int]:
    """Per window the first opening price; where the recording began too late, none."""
    told = rows.drop_nulls("open_e8")
    if late_is_unknown:
        first_seen = rows.group_by("window").agg(
            pl.col("at_ns").min().alias("seen"), pl.col("start_ns").first()
        )
        late = first_seen.filter(pl.col("seen") - pl.col("start_ns") > LATE_START_NS)["window"].to_list()
        if late:
            piece.notes["windows recorded too late after their opening: strike unknown"] = len(late)
        told = told.filter(~pl.col("window").is_in(late))
    replaced = told.group_by("window").agg(pl.col("open_e8").n_unique()).filter(pl.col("open_e8") > 1)
    if replaced.height:
        piece.notes["windows whose open was replaced later: the first one is the strike"] = replaced.height
    firsts = told.group_by("window", maintain_order=True).agg(pl.col("open_e8").first())
    return dict(firsts.iter_rows())


def _markets(piece: Piece, slugs: list[str], opens: Mapping[str, int]) -> list[dict[str, Any] | None]:
    """Outcome by the next window's open, else by a final book that leaves no doubt, else unknown."""
    named = {slug: found for slug in slugs if (found := window_of(slug)) is not None}
    following = {
        before: after
        for before, after in pairwise(sorted(named, key=lambda slug: named[slug][:2]))
        if named[before][0] == named[after][0] and named[before][2] == named[after][1]
    }
    ends = {slug: found[2] for slug, found in named.items()}
    final = final_outcomes(piece.books, ends) if piece.books is not None else {}
    rows: list[dict[str, Any] | None] = []
    for slug in named:
        strike, close = opens.get(slug), opens.get(following.get(slug, ""))
        known: dict[str, object] = {"strike_e8": strike, "close_e8": close}
        if strike is not None and close is not None:
            known |= {"outcome": "up" if close >= strike else "down", "outcome_source": "next_open_ge_open"}
        elif slug in final:
            known |= {"outcome": final[slug], "outcome_source": final_book.SOURCE}
        rows.append(market_row(slug, **known))
    return rows
