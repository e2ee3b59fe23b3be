"""Data in the layout of ``normalised/``: several recordings in one set of Parquet tables with float columns.

Reads and converts; never mixes two sources under one name, and never believes a crossed book.
"""

from pathlib import Path

import polars as pl

from common.errors import FrameRefused
from common.research.data import final_book
from common.research.data.dataset import Dataset, dataset
from common.research.data.final_book import final_outcomes
from common.research.data.float_columns import (
    ask4,
    believed,
    bid4,
    mirrored,
    ms_to_ns,
    price4,
    price_e8,
    size6,
)
from common.research.data.market_rows import market_row, market_table, window_of
from common.units import SECOND

LOOKED_FOR = "the layout of normalised/: markets.parquet with oracle_ticks.parquet or book_top*.parquet"

MARKETS_FILE = "markets.parquet"
TICKS_FILE = "oracle_ticks.parquet"
BOOKS_PATTERN = "book_top*.parquet"
HISTORY_FILE = "price_history_1m.parquet"

ROUTES: dict[str, tuple[str, str]] = {
    "chainlink_rtds": ("spot", "rtds"),
    "chainlink_site_delayed": ("site-delayed", "site"),
    "binance_rtds": ("binance", "rtds"),
    "binance_poll": ("binance", "poll"),
    "binance_1m_open": ("binance", "bars-1m"),
    "binance_perp_ws": ("binance-perp", "websocket"),
}
"""Kind and route of each ``source``; a perpetual is a market of its own, not the pair's price."""
_UNRELIABLE = "open price unreliable"
"""How the layout marks a window whose recording began after its opening."""
_SIDES = {"UP": "up", "DOWN": "down"}


def is_here(data: str | Path) -> bool:
    """Whether the folder has this layout."""
    folder = Path(data)
    if not (folder / MARKETS_FILE).is_file():
        return False
    return (folder / TICKS_FILE).is_file() or any(folder.glob(BOOKS_PATTERN))


def read(data: str | Path) -> Dataset:
    """The whole folder; a file that is not there is an empty table. Raises FrameRefused on a strange one."""
    folder = Path(data)
    books = [_books(path) for path in sorted(folder.glob(BOOKS_PATTERN))]
    booked = pl.concat(books, how="diagonal") if books else None
    ticks, history = folder / TICKS_FILE, folder / HISTORY_FILE
    sampled = _table(history) if history.is_file() else None
    named = [frame for frame in (booked, sampled) if frame is not None]
    sided = _with_both_sides(booked) if booked is not None else None
    return dataset(
        folder.name,
        markets=_markets(folder / MARKETS_FILE, named, sided),
        ticks=_ticks(ticks) if ticks.is_file() else None,
        books=sided,
        history=_history(sampled) if sampled is not None else None,
    )


def _table(path: Path) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise FrameRefused("unreadable-table", f"{path}: {error}") from error
    text = {"slug": pl.String, "token_id": pl.String, "outcome": pl.String}
    return frame.cast({name: kind for name, kind in text.items() if name in frame.columns}, strict=False)


def _ticks(path: Path) -> pl.DataFrame:
    frame = _table(path)
    strange = set(frame["source"].unique()) - set(ROUTES)
    if strange:
        raise FrameRefused("unknown-source", f"{path}: {', '.join(sorted(strange))}")
    # Without our receipt the relay's send is the earliest moment at which anybody could have known.
    known = pl.coalesce(ms_to_ns("ts_recv_ms"), ms_to_ns("ts_server_ms"), ms_to_ns("ts_exchange_ms"))
    return frame.select(
        asset=pl.col("asset").str.to_lowercase(),
        kind=pl.col("source").replace_strict({name: kind for name, (kind, _) in ROUTES.items()}),
        route=pl.col("source").replace_strict({name: route for name, (_, route) in ROUTES.items()}),
        observed_ns=ms_to_ns("ts_exchange_ms"),
        at_ns=known,
        price_e8=price_e8("price"),
    ).filter(pl.col("price_e8").is_not_null())


def _books(path: Path) -> pl.DataFrame:
    frame = _table(path)
    named = "outcome" in frame.columns
    side = pl.col("outcome").replace_strict(_SIDES, default=None) if named else pl.lit(None)
    made = frame.select(
        window=pl.col("slug"),
        asset=pl.col("slug").str.split("-").list.first(),
        outcome=side.cast(pl.String),
        token=pl.col("token_id"),
        venue_ns=ms_to_ns("ts_exch_ms"),
        at_ns=pl.coalesce(ms_to_ns("ts_recv_ms"), ms_to_ns("ts_exch_ms")),
        bid4=bid4("bid"),
        bid_size6=size6("bid_sz"),
        ask4=ask4("ask"),
        ask_size6=size6("ask_sz"),
        derived=pl.col("derived") if "derived" in frame.columns else pl.lit(value=False),
    )
    return believed(made)


def _with_both_sides(books: pl.DataFrame) -> pl.DataFrame:
    """Where only one token's book was recorded, the other's is its mirror."""
    sides = books.filter(pl.col("outcome").is_not_null()).group_by("window").agg(pl.col("outcome").n_unique())
    lone = sides.filter(pl.col("outcome") == 1)["window"]
    alone = books.filter(pl.col("outcome").is_not_null() & pl.col("window").is_in(lone.implode()))
    return pl.concat([books, mirrored(alone)], how="diagonal").drop("token")


def _history(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        window=pl.col("slug"),
        outcome=pl.col("outcome").replace_strict(_SIDES, default=None),
        at_ns=ms_to_ns("ts_ms"),
        price4=price4("price"),
        sampled_every_ns=pl.lit(60 * SECOND),
    ).filter(pl.col("price4").is_not_null())


def _markets(path: Path, named: list[pl.DataFrame], books: pl.DataFrame | None) -> pl.DataFrame:
    """The market table; an open that is marked as unreliable is no strike, and decides nothing."""
    frame = _table(path).with_columns(strike_e8=price_e8("open_price"), close_e8=price_e8("close_price"))
    marked = pl.col("note").str.contains(_UNRELIABLE) if "note" in frame.columns else pl.lit(value=False)
    doubtful = frame.filter(marked)
    opens, starts = set(doubtful["slug"]), {window_of(slug) for slug in doubtful["slug"]}
    closes = {(found[0], found[1]) for found in starts if found is not None}
    ends = {slug: found[2] for slug in frame["slug"] if (found := window_of(slug)) is not None}
    final = final_outcomes(books, ends) if books is not None and opens else {}
    tokens = _tokens(named)
    rows = []
    for row in frame.iter_rows(named=True):
        slug = row["slug"]
        before = (slug.partition("-")[0], ends.get(slug)) in closes
        outcome, source = _SIDES.get(row["outcome"] or ""), row["outcome_source"]
        if source == "next_open_ge_open" and (slug in opens or before):
            outcome, source = final.get(slug), final_book.SOURCE
        made = market_row(
            slug,
            strike_e8=None if slug in opens else row["strike_e8"],
            close_e8=None if before else row["close_e8"],
            outcome=outcome,
            outcome_source=source if outcome else None,
            token_up=tokens.get((slug, "up"), ""),
            token_down=tokens.get((slug, "down"), ""),
        )
        rows.append(made)
    return market_table(rows)


def _tokens(named: list[pl.DataFrame]) -> dict[tuple[str, str], str]:
    """Token ids as the books and samples name them; the market table of this layout has none."""
    found: dict[tuple[str, str], str] = {}
    for frame in named:
        window, token = ("window", "token") if "window" in frame.columns else ("slug", "token_id")
        known = frame.select(pl.col(window), pl.col("outcome").str.to_lowercase(), pl.col(token)).drop_nulls()
        for slug, outcome, token_id in known.unique(maintain_order=True).iter_rows():
            found.setdefault((slug, outcome), token_id)
    return found
