"""A dataset as per-second grids: for every window and second what was known then, and what an order met.

Owns the two joins, the only places where times are compared: what is *known* at a second arrived at or before
it; what an order *meets* arrived at or after its taker delay. Decides nothing, prices nothing.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from common.core.reference import OPEN_SEARCH_NS, SETTLING_FAMILY
from common.core.settings import StrategySettings
from common.errors import LaggardError
from common.messages import FeeSchedule
from common.research.backtesting.story import StandIns, stand_ins
from common.research.data.dataset import Dataset
from common.units import MILLISECOND, PRICE4_ONE, SECOND

Array = np.ndarray[Any, np.dtype[Any]]

NO_MOVE = np.iinfo(np.int32).min
"""No reference price, or one too old."""
NO_PRICE = 0
"""Nobody sells, nobody knows, or what is known is too old."""
ANY_SIZE = int(np.iinfo(np.uint32).max)
"""The size was not recorded: it bounds nothing, and the report says so."""
SIZE_STEP6 = 100
"""Sizes are in 1e-4 shares, the venue's own step."""
UP, DOWN, UNKNOWN = 1, 0, -1
TODAYS_FEE = FeeSchedule(rate_ppm=70_000, exponent=1)
STRIKE_KNOWN_NS = 2 * SECOND
"""A strike that only the market table tells is taken as known so long after the opening."""
SAMPLED_NS = 90 * SECOND
"""How old, and how far ahead, a sample of a price history may be."""


class NothingToTrade(LaggardError):
    """No window of the data can be traded again; the text says why and what to do."""


class Reach(NamedTuple):
    """How far a price may be carried; the defaults are the rule's own."""

    families: tuple[str, ...] = (SETTLING_FAMILY,)
    max_tick_age_ns: int = 5 * SECOND
    max_book_age_ns: int = 10 * SECOND
    max_wait_ns: int = 5 * SECOND
    """A book that comes later than this after the taker delay fills nothing."""
    assumed_delay_ns: int = SECOND
    """The taker delay where the data do not know it."""
    join: Literal["honest", "backward"] = "honest"
    """``backward`` fills at the last known price however old: the mistake, made on purpose to measure it."""
    quotes: Literal["books", "history"] = "books"
    stand_ins: StandIns = StandIns()

    @property
    def judges(self) -> tuple[str, ...]:
        """All families that may judge a window, best first."""
        return (*self.families, *(kind for kind in self.stand_ins.kinds if kind not in self.families))


def reach_of(settings: StrategySettings, data: Dataset) -> Reach:
    """As far as the strategy's own settings let a price be carried, with the stand-ins that the data need.

    They are chosen once, from all of the data: whether a stream was recorded is no news of the market.
    """
    rows = data.markets.select("window", "asset", "start_ns", "end_ns").iter_rows()
    found = stand_ins(data.ticks, {window: (asset, start, end) for window, asset, start, end in rows})
    return Reach(settings.families, settings.max_tick_age_ns, settings.max_book_age_ns, stand_ins=found)


class Grid(NamedTuple):
    """Windows in order of (opening, asset), market-major; second t is column t.

    ``ask4`` and ``age_ms`` ([up, down], window, second) are as known at the second; ``fill4`` and
    ``fill_size`` (1e-4 shares) are the best ask that an order decided at that second meets.
    """

    windows: tuple[str, ...]
    assets: tuple[str, ...]
    start_ns: Array
    span_s: Array
    move_ppm: Array
    ask4: Array
    age_ms: Array
    fill4: Array
    fill_size: Array
    outcome: Array
    fee: Array
    """Index into ``fees``."""
    fees: tuple[FeeSchedule | None, ...]
    delay_ns: Array
    proxy: Array
    """Whose move it is: 0 the settling stream's, n that of the n-th of ``Reach.judges``, a proxy."""

    @property
    def days(self) -> Array:
        """Days since 1970 of the openings."""
        return self.start_ns // (86_400 * SECOND)

    @property
    def tradable(self) -> Array:
        """Windows that can prove anything: an outcome, a move at some second, a book that can be met."""
        moved = (self.move_ppm != NO_MOVE).any(axis=1)
        mask: Array = (self.outcome != UNKNOWN) & moved & self.fill4.any(axis=(0, 2))
        return mask

    def take(self, chosen: Array) -> "Grid":
        """The grid of some windows, by mask or index."""
        index = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        by_window = ("start_ns", "span_s", "move_ppm", "outcome", "fee", "delay_ns", "proxy")
        parts: dict[str, Any] = {name: getattr(self, name)[index] for name in by_window}
        for name in ("ask4", "age_ms", "fill4", "fill_size"):
            parts[name] = np.ascontiguousarray(getattr(self, name)[:, index])
        windows = tuple(self.windows[i] for i in index)
        return self._replace(windows=windows, assets=tuple(self.assets[i] for i in index), **parts)


def build(data: Dataset, reach: Reach = Reach()) -> Grid:  # noqa: B008 - an immutable tuple
    """The grids of every window of a dataset; windows without an outcome are kept and settle nothing."""
    markets = data.markets.sort("start_ns", "asset", "window")
    start = markets["start_ns"].to_numpy()
    span = ((markets["end_ns"] - markets["start_ns"]) // SECOND).cast(pl.Int32).to_numpy()
    count, seconds = len(start), int(span.max()) if len(start) else 1
    delay = markets["taker_delay_ns"].fill_null(reach.assumed_delay_ns).to_numpy()
    fee, fees = _fees(markets)
    quotes = np.zeros((2, count, seconds), np.uint16)
    age_ms = np.full((2, count, seconds), np.iinfo(np.uint16).max, np.uint16)
    fill4 = np.zeros((2, count, seconds), np.uint16)
    fill_size = np.zeros((2, count, seconds), np.uint32)
    position = {name: i for i, name in enumerate(markets["window"].to_list())}
    for window, side, at, price, size in _quotes(data, reach.quotes):
        w = position.get(window)
        if w is None:
            continue
        n = int(span[w])
        when = start[w] + np.arange(n, dtype=np.int64) * SECOND
        known, age = _known(at, price, when, _book_age(reach))
        quotes[side, w, :n] = known
        age_ms[side, w, :n] = np.minimum(age // MILLISECOND, np.iinfo(np.uint16).max)
        if reach.join == "backward":
            fill4[side, w, :n] = known
            fill_size[side, w, :n] = np.where(known > 0, ANY_SIZE, 0)
        else:
            met, met_size = _met(at, price, size, when + delay[w], _wait(reach), start[w] + n * SECOND)
            fill4[side, w, :n], fill_size[side, w, :n] = met, met_size
    move, proxy = _moves(data, markets, span, seconds, reach)
    known_outcomes = {"up": UP, "down": DOWN}
    outcome = markets["outcome"].replace_strict(known_outcomes, default=UNKNOWN, return_dtype=pl.Int8)
    return Grid(
        tuple(markets["window"].to_list()), tuple(markets["asset"].to_list()), start, span, move, quotes,
        age_ms, fill4, fill_size, outcome.fill_null(UNKNOWN).to_numpy(), fee, fees, delay, proxy,
    )  # fmt: skip


def judged_by(grid: Grid, reach: Reach) -> dict[str, int]:
    """How many of the tradable windows each family judged; all but the settling one are proxies."""
    names = (SETTLING_FAMILY, *reach.judges)
    counts = np.bincount(grid.proxy[grid.tradable], minlength=len(names)).tolist()
    return {name: count for name, count in zip(names, counts, strict=True) if count}


def need_tradable(grid: Grid, name: str) -> None:
    """Raise NothingToTrade unless at least one window can prove something."""
    if grid.tradable.any():
        return
    without = {
        "no book that an order could meet": grid.fill4.any(axis=(0, 2)),
        "no outcome": grid.outcome != UNKNOWN,
        "no price of the asset beside its book": (grid.move_ppm != NO_MOVE).any(axis=1),
    }
    left, reasons = np.ones(len(grid.windows), bool), []
    for reason, there in without.items():
        if count := int((left & ~there).sum()):
            reasons.append(f"{count} have {reason}")
        left &= there
    why = f"none of its {len(grid.windows)} windows can be traded again: {', '.join(reasons)}"
    raise NothingToTrade(
        f"{name}: {why if reasons else 'there is no window in it'}; "
        "name data that hold prices, books and outcomes of the same windows, as laggard record writes them"
    )


def later(grid: Grid, seconds: int) -> Grid:
    """The same decisions, but every order reaches the venue so many seconds later."""
    return grid._replace(fill4=_shifted(grid.fill4, -seconds, NO_PRICE),
                         fill_size=_shifted(grid.fill_size, -seconds, 0))  # fmt: skip


def with_oracle_shifted(grid: Grid, seconds: int) -> Grid:
    """The oracle heard so many seconds late; with a negative number, that much of the future is known."""
    return grid._replace(move_ppm=_shifted(grid.move_ppm, seconds, NO_MOVE))


def _shifted(values: Array, seconds: int, missing: int) -> Array:
    moved = np.full_like(values, missing)
    if abs(seconds) >= values.shape[-1]:
        return moved
    if seconds > 0:
        moved[..., seconds:] = values[..., :-seconds]
    elif seconds < 0:
        moved[..., :seconds] = values[..., -seconds:]
    else:
        moved[...] = values
    return moved


def _fees(markets: pl.DataFrame) -> tuple[Array, tuple[FeeSchedule | None, ...]]:
    """A fee nobody recorded is today's: assuming none would flatter."""
    found: dict[FeeSchedule | None, int] = {}
    index = []
    for rate, exponent in markets.select("fee_rate_ppm", "fee_exponent").iter_rows():
        fee = TODAYS_FEE if rate is None else FeeSchedule(rate, exponent or 1) if rate else None
        index.append(found.setdefault(fee, len(found)))
    return np.array(index, np.int16), tuple(found)


def _book_age(reach: Reach) -> int:
    return SAMPLED_NS if reach.quotes == "history" or reach.join == "backward" else reach.max_book_age_ns


def _wait(reach: Reach) -> int:
    return SAMPLED_NS if reach.quotes == "history" else reach.max_wait_ns


def _quotes(data: Dataset, table: str) -> Iterator[tuple[str, int, Array, Array, Array]]:
    """Window, side (0 up, 1 down), times, ask (0 none) and size of every token's quotes, in order of time."""
    if table == "history":
        for (window, outcome), rows in data.history.sort("at_ns").group_by("window", "outcome"):
            price = rows["price4"].to_numpy()
            at, size = rows["at_ns"].to_numpy(), np.full(rows.height, ANY_SIZE, np.int64)
            yield str(window), int(outcome == "down"), at, price, size
            yield str(window), int(outcome == "up"), at, PRICE4_ONE - price, size
        return
    crossed = pl.col("bid4").is_not_null() & (pl.col("bid4") >= pl.col("ask4"))
    rows = data.books.filter(pl.col("outcome").is_not_null()).select(
        "window", "outcome", "at_ns",
        pl.when(crossed | pl.col("ask4").is_null()).then(NO_PRICE).otherwise(pl.col("ask4")).alias("price"),
        (pl.col("ask_size6") // SIZE_STEP6).fill_null(ANY_SIZE).clip(0, ANY_SIZE).alias("size"),
    ).sort("window", "outcome", "at_ns", maintain_order=True)  # fmt: skip
    if not rows.height:
        return
    at, price, size = (rows[name].to_numpy() for name in ("at_ns", "price", "size"))
    token = rows.select(pl.struct("window", "outcome").rle_id()).to_series().to_numpy()
    edges = np.flatnonzero(np.diff(token, prepend=-1))
    for first, last in zip(edges, [*edges[1:], len(token)], strict=True):
        window, outcome = rows["window"][int(first)], rows["outcome"][int(first)]
        yield window, int(outcome == "down"), at[first:last], price[first:last], size[first:last]


def _known(at: Array, price: Array, when: Array, max_age_ns: int) -> tuple[Array, Array]:
    """The newest price that had arrived, and how long ago."""
    row = np.searchsorted(at, when, side="right") - 1
    age = when - at[row]
    sound = (row >= 0) & (age <= max_age_ns)
    never = np.iinfo(np.int64).max
    return np.where(sound, price[row], NO_PRICE), np.where(row >= 0, age, never)


def _met(
    at: Array, price: Array, size: Array, when: Array, max_wait_ns: int, end_ns: int
) -> tuple[Array, Array]:
    """The first price that arrived at or after the instant, and its size; none when it came too late."""
    row = np.searchsorted(at, when, side="left")
    there = row < len(at)
    row = np.minimum(row, len(at) - 1)
    sound = there & (at[row] - when <= max_wait_ns) & (at[row] < end_ns) & (price[row] > 0) & (size[row] > 0)
    return np.where(sound, price[row], NO_PRICE), np.where(sound, size[row], 0)


def _moves(
    data: Dataset, markets: pl.DataFrame, span: Array, seconds: int, reach: Reach
) -> tuple[Array, Array]:
    """The move from the opening as known at each second, by the first family that has one for the window."""
    move = np.full((markets.height, seconds), NO_MOVE, np.int32)
    proxy = np.zeros(markets.height, np.int8)
    for (asset,), rows in markets.with_row_index("w").group_by("asset"):
        ticks = data.ticks.filter(pl.col("asset") == asset)
        by_kind = {str(kind): _Series(part) for (kind,), part in ticks.group_by("kind", maintain_order=True)}
        for place, family in enumerate(reach.judges):
            series = by_kind.get("spot" if family == SETTLING_FAMILY else family)
            if series is None:
                continue
            for row in rows.iter_rows(named=True):
                w = row["w"]
                # What of the settling stream is still fresh from before the opening judges nothing.
                proxied = row["window"] in reach.stand_ins.windows
                allowed = family != SETTLING_FAMILY if proxied else place < len(reach.families)
                if not allowed or (move[w] != NO_MOVE).any():
                    continue
                base, base_at = _base(row, family, series, by_kind)
                if base <= 0:
                    continue
                n = int(span[w])
                when = row["start_ns"] + np.arange(n, dtype=np.int64) * SECOND
                value = series.as_known(when, reach.max_tick_age_ns)
                sound = (value > 0) & (when >= base_at)
                move[w, :n] = np.where(sound, _ppm(value, base), NO_MOVE)
                proxy[w] = 0 if family == SETTLING_FAMILY else place + 1
    return move, proxy


class _Series:
    """One kind of price of one asset: its observations in the order in which they became the newest known."""

    def __init__(self, ticks: pl.DataFrame) -> None:
        ordered = ticks.sort("at_ns", maintain_order=True)
        at, observed, price = (ordered[name].to_numpy() for name in ("at_ns", "observed_ns", "price_e8"))
        newest = np.maximum.accumulate(observed)
        news = np.concatenate(([True], observed[1:] > newest[:-1]))
        self._at, self._observed, self._price = at[news], observed[news], price[news]
        stamped = np.argsort(observed, kind="stable")
        self._stamps, self._by_stamp, self._heard = observed[stamped], price[stamped], at[stamped]

    def as_known(self, when: Array, max_age_ns: int) -> Array:
        """The newest price heard by then, 0 where it is too old by its stamp or its arrival."""
        row = np.searchsorted(self._at, when, side="right") - 1
        age = when - np.minimum(self._at[row], self._observed[row])
        return np.where((row >= 0) & (age <= max_age_ns), self._price[row], 0)

    def stamped(self, at_ns: int, within_ns: int = 0) -> tuple[int, int]:
        """Price and arrival of the observation of that instant, or the last before it, or the next; else 0.

        Of an instant heard twice the first hearing counts.
        """
        row = int(np.searchsorted(self._stamps, at_ns, side="left"))
        if row < len(self._stamps) and self._stamps[row] == at_ns:
            return int(self._by_stamp[row]), int(self._heard[row])
        if row and at_ns - self._stamps[row - 1] <= within_ns:
            return int(self._by_stamp[row - 1]), int(self._heard[row - 1])
        if row < len(self._stamps) and self._stamps[row] - at_ns <= within_ns:
            return int(self._by_stamp[row]), int(self._heard[row])
        return 0, 0


def _base(row: dict[str, Any], family: str, series: _Series, by_kind: dict[str, _Series]) -> tuple[int, int]:
    """What the window has to beat, in the family's own prices, and from when on that was known."""
    start, told = row["start_ns"], row["strike_e8"]
    if family != SETTLING_FAMILY:
        return series.stamped(start, OPEN_SEARCH_NS)
    kinds = ("twap60", "twap30") if row["era"] == "fee-twap" else ("spot",)
    stamped = [by_kind[kind].stamped(start) for kind in kinds if kind in by_kind]
    for base, heard in stamped:
        # Two averages in one recording: the one that the market table confirms.
        if base and (told is None or len(stamped) == 1 or abs(base - told) * 1_000_000 <= told):
            return base, heard
    return (told, start + STRIKE_KNOWN_NS) if told else (0, 0)


def _ppm(value: Array, base: int) -> Array:
    """As ``units.move_ppm``: rounded towards zero, so that a limit is never met by rounding."""
    difference = value - base
    size = np.abs(difference) * 1_000_000 // base
    move: Array = np.clip(np.sign(difference) * size, NO_MOVE + 1, np.iinfo(np.int32).max)
    return move
