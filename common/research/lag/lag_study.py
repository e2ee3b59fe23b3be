"""The lag study: how late the book is behind each reference price, and one sentence that says so.

Owns which series are looked at, what is enough to speak, and the conclusion. Each series of prices (kind and
route) is a study of its own: they differ from each other by more than what is looked for.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import polars as pl

from common.research.data.dataset import Dataset
from common.research.intervals import Interval
from common.research.lag.correlation import Correlogram, correlate, step_for
from common.research.lag.event_study import (
    LEAST_JUMPS,
    LEAST_WINDOWS,
    Definition,
    Ints,
    Prices,
    Quotes,
    Reaction,
    Sightings,
    Step,
    find_jumps,
    joined,
    line_up,
    path,
    react,
)
from common.units import SECOND

SEED = 20_260_205


class Spread(NamedTuple):
    """Median and 95th percentile, in nanoseconds; NaN where nothing was observed."""

    median_ns: float
    p95_ns: float


class SeriesStudy(NamedTuple):
    """One series of reference prices and the books beside it."""

    kind: str
    route: str
    assets: tuple[str, ...]
    ticks: int
    delivery: Spread
    """From a price's stamp to its receipt."""
    tick_spacing: Spread
    quote_spacing: Spread
    quote_age: Spread
    """Of the quotes that were looked at, since their receipt."""
    jumps: int
    overlapping: int
    """Left out: another jump was not over yet."""
    unseen: int
    """Left out: no window was open from before the jump to the end."""
    unquoted: int
    """Left out: in an open window, but without a quote young enough at every instant looked at."""
    whole: Reaction
    parts: Mapping[str, Mapping[str, Reaction]]
    """By ``asset``, ``hour`` (UTC) and ``era``."""
    path: tuple[tuple[int, Interval, float], ...]
    correlogram: Correlogram | None

    @property
    def name(self) -> str:
        """Kind and route as people read them."""
        return series_name(self.kind, self.route)

    @property
    def enough(self) -> bool:
        """Whether there are jumps and windows enough to say anything."""
        return self.whole.enough

    @property
    def settling(self) -> bool:
        """Whether windows settle by this kind of price; every other is a stand-in."""
        return self.kind == "spot" or self.kind.startswith("twap")


class LagStudy(NamedTuple):
    """The lag as far as these data show it."""

    data: str
    data_digest: str
    definition: Definition
    series: tuple[SeriesStudy, ...]
    """Best first: what settles before what does not, more jumps before fewer."""
    left_out: Mapping[str, str]
    """Series that could not be studied, with the reason."""
    conclusion: str


_PARTS: Mapping[str, Callable[[Sightings, int], str]] = {
    "asset": lambda seen, row: str(seen.asset[row]),
    "hour": lambda seen, row: datetime.fromtimestamp(int(seen.at_ns[row]) // SECOND, UTC).strftime("%H:00"),
    "era": lambda seen, row: str(seen.era[row]),
}


def study(data: Dataset, definition: Definition | None = None, seed: int = SEED) -> LagStudy:
    """Study every series of the data against the books of the same asset at the same time."""
    how = definition or Definition()
    windows = quotes_of(data)
    found, left_out = [], {}
    for (kind, route), ticks in _series(data.ticks):
        pairs = [
            (prices, _beside(prices, windows[asset]))
            for asset, prices in _by_asset(ticks, how.max_age_ns).items()
            if windows.get(asset)
        ]
        pairs = [(prices, near) for prices, near in pairs if near]
        if pairs:
            found.append(_study_series(kind, route, ticks, pairs, how, seed))
        else:
            left_out[series_name(kind, route)] = "no book was recorded beside it"
    found.sort(key=lambda one: (one.enough, one.settling, one.whole.jumps), reverse=True)
    return LagStudy(data.name, data.digest, how, tuple(found), left_out, conclude(found))


def conclude(series: Sequence[SeriesStudy]) -> str:
    """What may be said, in one sentence; the first series speaks."""
    if not series:
        return "Nothing can be said about a lag: no price was recorded beside a book."
    best = series[0]
    if not best.enough:
        return (
            f"Nothing can be said about a lag: too few jumps of {best.name}: {best.whole.jumps} in "
            f"{best.whole.windows} openings, {LEAST_JUMPS} in {LEAST_WINDOWS} is the least."
        )
    step = soonest(best.whole)
    if not np.isfinite(step.share.mean):
        return (
            f"No lag is shown: after {best.whole.jumps} jumps of {best.name} the book's move cannot be told "
            f"from nothing ({best.whole.final_cents.mean:+.1f} cents)."
        )
    told = f"{share_done(best)}, over {best.whole.jumps} jumps in {best.whole.windows} openings"
    if step.share.low > 0.5:
        return f"The book is not late by more than seconds: {told}."
    if step.share.high < 0.5:
        return f"The book is late: {told}."
    return f"Whether the book is late is not settled: {told}."


def soonest(found: Reaction) -> Step:
    """The repricing after two seconds, about what a trader who hears of a jump needs to be filled."""
    return min(found.steps, key=lambda step: abs(step.after_ns - 2 * SECOND))


def share_done(one: SeriesStudy) -> str:
    """How much of the repricing was done by then, as a clause."""
    step = soonest(one.whole)
    share = Interval(*(100 * value for value in step.share))
    done = (
        f"{share.mean:.0f} % of the book's repricing was done (95 %: {share.low:.0f} to {share.high:.0f} %)"
    )
    return f"{step.after_ns / SECOND:g} s after a jump of {one.name} could be known, {done}"


def series_name(kind: str, route: str) -> str:
    """A series as people read it."""
    return f"{kind} ({route})"


def quotes_of(data: Dataset) -> dict[str, list[Quotes]]:
    """The mids of each asset's windows; from the Down token's book where Up's was not recorded."""
    markets = {row["window"]: row for row in data.markets.iter_rows(named=True)}
    found: dict[str, list[Quotes]] = {}
    mid = (pl.col("bid4") + pl.col("ask4")).cast(pl.Float64) / 2
    known = data.books.filter(pl.col("window").is_in(list(markets)), pl.col("outcome").is_not_null())
    shown = known.select(
        "window", "outcome", "at_ns",
        mid=pl.when(pl.col("outcome") == "up").then(mid).otherwise(10_000 - mid).fill_null(float("nan")),
    )  # fmt: skip
    for (name,), both in shown.partition_by("window", as_dict=True, maintain_order=True).items():
        up = both.filter(pl.col("outcome") == "up")
        rows, market = up if up.height else both, markets[name]
        quotes = Quotes(
            str(name), market["asset"], market["era"] or "unknown", market["start_ns"], market["end_ns"],
            rows["at_ns"].to_numpy(), rows["mid"].to_numpy(),
        )  # fmt: skip
        found.setdefault(market["asset"], []).append(quotes)
    return found


def _series(ticks: pl.DataFrame) -> list[tuple[tuple[str, str], pl.DataFrame]]:
    parts = ticks.partition_by("kind", "route", as_dict=True, maintain_order=True)
    return [((str(kind), str(route)), parts[kind, route]) for kind, route in sorted(parts, key=str)]


def _by_asset(ticks: pl.DataFrame, max_age_ns: int) -> dict[str, Prices]:
    """History that a relay sends on subscription, and what overtook it, was no news when it came."""
    prompt = (pl.col("at_ns") - pl.col("observed_ns") <= max_age_ns) & (
        pl.col("observed_ns") >= pl.col("observed_ns").cum_max().over("asset")
    )
    return {
        str(asset): Prices(*(part[name].to_numpy() for name in ("observed_ns", "at_ns", "price_e8")))
        for (asset,), part in ticks.filter(prompt).partition_by("asset", as_dict=True).items()
    }


def _beside(prices: Prices, windows: list[Quotes]) -> list[Quotes]:
    """Windows that the prices reach into."""
    return [one for one in windows if len(_within(prices, one))]


def _within(prices: Prices, quotes: Quotes) -> Ints:
    first, last = np.searchsorted(prices.at_ns, (quotes.start_ns, quotes.end_ns))
    return prices.at_ns[first:last]


def _study_series(
    kind: str,
    route: str,
    ticks: pl.DataFrame,
    pairs: list[tuple[Prices, list[Quotes]]],
    how: Definition,
    seed: int,
) -> SeriesStudy:
    parts, jumps, overlapping, unquoted, met = [], 0, 0, 0, 0
    for prices, windows in pairs:
        leaps = find_jumps(prices, how)
        seen, lacking = line_up(prices, leaps, windows, how)
        parts.append(seen)
        jumps += len(leaps.at_ns)
        overlapping += leaps.overlapping
        unquoted += lacking
        met += _met(leaps.base_ns, leaps.at_ns + how.final_ns, windows)
    everything = joined(parts, len(how.offsets_ns))
    quote_gaps = [np.diff(quotes.at_ns) for _, windows in pairs for quotes in windows]
    tick_gaps = [np.diff(_within(prices, quotes)) for prices, windows in pairs for quotes in windows]
    spacing = _spread(np.concatenate(quote_gaps)), _spread(np.concatenate(tick_gaps))
    step = step_for(max(one.median_ns for one in spacing))
    return SeriesStudy(
        kind,
        route,
        tuple(sorted({quotes.asset for _, windows in pairs for quotes in windows})),
        sum(len(prices.at_ns) for prices, _ in pairs),
        _spread((ticks["at_ns"] - ticks["observed_ns"]).to_numpy()),
        spacing[1],
        spacing[0],
        _spread(everything.age_ns[np.isfinite(everything.age_ns)]),
        jumps,
        overlapping,
        jumps - met,
        unquoted,
        react(everything, how, seed),
        {by: _parts(everything, key, how, seed) for by, key in _PARTS.items()},
        path(everything, how, seed),
        correlate(pairs, step, how.max_age_ns, seed) if step is not None else None,
    )


def _met(base_ns: np.ndarray, end_ns: np.ndarray, windows: list[Quotes]) -> int:
    """How many spans lie within at least one window."""
    inside = np.zeros(len(base_ns), bool)
    for one in windows:
        inside |= (base_ns >= one.start_ns) & (end_ns <= one.end_ns)
    return int(inside.sum())


def _parts(
    seen: Sightings, key: Callable[[Sightings, int], str], how: Definition, seed: int
) -> dict[str, Reaction]:
    names = np.array([key(seen, row) for row in range(len(seen.window))])
    return {str(name): react(seen.take(names == name), how, seed) for name in sorted(set(names))}


def _spread(values: np.ndarray) -> Spread:
    if not len(values):
        return Spread(float("nan"), float("nan"))
    median, p95 = np.quantile(values, (0.5, 0.95))
    return Spread(float(median), float(p95))
