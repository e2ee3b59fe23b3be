"""Our own tapes as data: ticks, complete books and windows, as they were published when we recorded.

Reads segment by segment, each by itself. Never uses a message at another time than that of our receipt.
"""

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl

from common.messages import BookState, Envelope, MarketState, ResolutionState, Tick
from common.research.data.dataset import BOOKS, LEVELS, TICKS, Dataset, dataset, ordered
from common.research.data.eras import terms_at
from common.research.data.market_rows import market_table
from common.research.data.tape_gaps import Gaps, Numbering, Numbers, holes
from common.store import tape

LOOKED_FOR = (
    "a tape: a directory with segments such as 00000001.tape, a directory of such directories, "
    "or the state directory of a bot"
)

RAW = "raw-"
"""Tapes of this name hold a feed's frames, of which the bus tape has the messages."""
_TOPICS = ("tick.", "market.", "book.", "resolution.")
_E10 = 10**10
_decoder = msgspec.msgpack.Decoder(Envelope)


class Segment(NamedTuple):
    """One segment file of a tape."""

    tape: Path
    number: int


class SegmentRows(NamedTuple):
    """What one segment says; ``markets`` has the newest state of each window, an outcome is never lost."""

    ticks: pl.DataFrame
    books: pl.DataFrame
    markets: list[MarketState]
    resolutions: list[ResolutionState]
    tears: list[tape.Tear]
    numbers: list[Numbers]
    unreadable: int
    """Records whose body no version of laggard we know can read."""


def is_here(data: str | Path) -> bool:
    """Whether the directory holds segments, its own or one level below, or is a state directory with some."""
    return bool(tape.tapes(tape.home(Path(data))))


def read(data: str | Path) -> Dataset:
    """The whole tape in memory; a tear costs the rest of its segment; ``gaps`` tells what is missing."""
    parts = [read_segment(segment) for segment in segments(Path(data))]
    ticks = ordered("ticks", pl.concat([pl.DataFrame(schema=dict(TICKS)), *(part.ticks for part in parts)]))
    books = pl.concat([pl.DataFrame(schema=dict(BOOKS)), *(part.books for part in parts)])
    markets = newest(state for part in parts for state in part.markets)
    resolutions = [state for part in parts for state in part.resolutions]
    return dataset(
        Path(data).name,
        markets=windows(markets, resolutions, ticks),
        ticks=ticks,
        books=books,
        gaps=Gaps(
            tuple(tear for part in parts for tear in part.tears),
            holes(numbers for part in parts for numbers in part.numbers),
        ),
    )


def segments(directory: Path) -> list[Segment]:
    """Every segment of the bus tapes in a directory, in the order in which they are read."""
    buses = [one for one in tape.tapes(tape.home(directory)) if not one.name.startswith(RAW)]
    return [Segment(one, number) for one in buses for number in tape.segments(one)]


def read_segment(segment: Segment) -> SegmentRows:
    """One segment's rows in the order in which they arrived."""
    tears: list[tape.Tear] = []
    ticks: list[tuple[object, ...]] = []
    books = _BookRows()
    markets: dict[str, MarketState] = {}
    resolutions: dict[str, ResolutionState] = {}
    unreadable = 0
    numbering = Numbering()
    for record in numbering.listen(tape.read_segment(segment.tape, segment.number, tears.append)):
        if not record.topic.startswith(_TOPICS):
            continue
        try:
            envelope = _decoder.decode(record.data)
        except msgspec.DecodeError:
            unreadable += 1
            continue
        body = envelope.body
        at_ns = envelope.ts_recv_ns or record.wall_ns
        if isinstance(body, Tick):
            row = (body.asset, body.kind, body.route, body.observed_ns, at_ns, e8_of(body.value))
            ticks.append(row)
        elif isinstance(body, BookState):
            books.add(body, at_ns)
        elif isinstance(body, MarketState):
            _keep(markets, body)
        elif isinstance(body, ResolutionState):
            resolutions[body.condition_id] = body
    return SegmentRows(
        pl.DataFrame(ticks, schema=dict(TICKS), orient="row"),
        books.table(),
        list(markets.values()),
        list(resolutions.values()),
        tears,
        numbering.numbers(),
        unreadable,
    )


def e8_of(e18: int) -> int:
    """1e-18 dollars as 1e-8, to the nearest, a half upwards."""
    return (e18 + _E10 // 2) // _E10


def newest(states: Iterable[MarketState]) -> list[MarketState]:
    """The last state of each window; an outcome once told stays told."""
    kept: dict[str, MarketState] = {}
    for state in states:
        _keep(kept, state)
    return list(kept.values())


def _keep(kept: dict[str, MarketState], state: MarketState) -> None:
    before = kept.get(state.window)
    if state.outcome is None and before is not None and before.outcome is not None:
        state = msgspec.structs.replace(state, outcome=before.outcome)
    kept[state.window] = state


def windows(
    markets: Iterable[MarketState], resolutions: Iterable[ResolutionState], ticks: pl.DataFrame
) -> pl.DataFrame:
    """The market table: strike and close are the settling stream's first received ticks of those seconds."""
    chain = {state.condition_id: state for state in resolutions}
    states = list(markets)
    first = boundary_prices(
        ticks, {instant for state in states for instant in (state.start_ns, state.end_ns)}
    )
    rows: list[dict[str, Any]] = []
    for state in states:
        kind = "spot" if state.rule == "spot" else f"twap{state.lookback_s}"
        outcome, source = _result(state, chain.get(state.condition_id))
        rows.append(
            {
                "window": state.window,
                "asset": state.asset,
                "start_ns": state.start_ns,
                "end_ns": state.end_ns,
                "strike_e8": first.get((state.asset, kind, state.start_ns)),
                "close_e8": first.get((state.asset, kind, state.end_ns)),
                "outcome": outcome,
                "outcome_source": source,
                "fee_rate_ppm": state.fee.rate_ppm if state.fee else 0,
                "fee_exponent": state.fee.exponent if state.fee else 1,
                "taker_delay_ns": state.taker_delay_ns,
                "tick4": state.tick4,
                "min_size6": state.min_size6,
                "era": "fee-twap" if state.rule == "twap" else terms_at(state.start_ns).era,
                "token_up": state.token_up,
                "token_down": state.token_down,
            }
        )
    return market_table(rows)


def boundary_prices(ticks: pl.DataFrame, instants: set[int]) -> dict[tuple[str, str, int], int]:
    """Per asset, kind and instant the first received price stamped with it."""
    stamped = ticks.filter(pl.col("observed_ns").is_in(sorted(instants)))
    first = stamped.sort("at_ns", maintain_order=True).unique(
        ("asset", "kind", "observed_ns"), keep="first", maintain_order=True
    )
    columns = first.select("asset", "kind", "observed_ns", "price_e8")
    return {(asset, kind, stamp): price for asset, kind, stamp, price in columns.iter_rows()}


def _result(state: MarketState, chain: ResolutionState | None) -> tuple[str | None, str | None]:
    if state.outcome is not None:
        return state.outcome, "official"
    if chain is not None:
        up, down = chain.numerators
        return ("split" if up and down else "up" if up else "down"), "chain"
    return None, None


class _BookRows:
    """Books column by column, their levels flat: an object for each level would cost most of the time."""

    def __init__(self) -> None:
        self._rows: list[tuple[object, ...]] = []
        self._last: dict[str, tuple[object, ...]] = {}
        self._sides = {"bids": _Ladders(), "asks": _Ladders()}

    def add(self, book: BookState, at_ns: int) -> None:
        """One state; the same state said again is no news."""
        said = (book.status, book.venue_ns, book.bids, book.asks)
        if self._last.get(book.token) == said:
            return
        self._last[book.token] = said
        known = book.status == "live"
        bid, bid_size = book.bids[0] if known and book.bids else (None, None)
        ask, ask_size = book.asks[0] if known and book.asks else (None, None)
        asset = book.window.partition("-")[0]
        row = (book.window, asset, book.outcome, book.venue_ns or None, at_ns, bid, bid_size, ask, ask_size)
        self._rows.append((*row, False, known))
        self._sides["bids"].add(book.bids if known else ())
        self._sides["asks"].add(book.asks if known else ())

    def table(self) -> pl.DataFrame:
        """The book table; a ladder is null where the book was not live and empty where nobody quotes."""
        top = {name: kind for name, kind in BOOKS.items() if name not in self._sides}
        frame = pl.DataFrame(self._rows, schema={**top, "_known": pl.Boolean}, orient="row")
        frame = frame.with_row_index("_row")
        for side, ladders in self._sides.items():
            empty = pl.when(pl.col("_known")).then(pl.lit([], dtype=LEVELS))
            frame = frame.join(
                ladders.table(side), on="_row", how="left", maintain_order="left"
            ).with_columns(pl.coalesce(pl.col(side), empty).alias(side))
        return frame.select(BOOKS.keys())


class _Ladders:
    """One side of many books: how many levels each has, and all levels behind one another."""

    def __init__(self) -> None:
        self._counts = array("q")
        self._flat = array("q")

    def add(self, levels: Sequence[tuple[int, int]]) -> None:
        """The next book's levels."""
        self._counts.append(len(levels))
        self._flat.extend(chain.from_iterable(levels))

    def table(self, side: str) -> pl.DataFrame:
        """The ladders of the books that have one, by the number of the book."""
        counts = np.frombuffer(self._counts, dtype=np.int64)
        levels = np.frombuffer(self._flat, dtype=np.int64).reshape(-1, 2)
        flat = pl.DataFrame(
            {
                "_row": np.repeat(np.arange(len(counts)), counts),
                "price4": levels[:, 0],
                "size6": levels[:, 1],
            },
            schema={"_row": pl.UInt32, "price4": pl.Int64, "size6": pl.Int64},
        )
        level = pl.struct("price4", "size6").alias(side)
        return flat.group_by("_row", maintain_order=True).agg(level).with_columns(pl.col(side).cast(LEVELS))
