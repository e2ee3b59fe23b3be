"""Does the book follow the reference, or the other way round: cross-correlation on one grid of time.

Owns the grid. Both series are sampled as they were known at each instant, and pairs never cross a window.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from common.research.intervals import NOTHING, Floats, Interval
from common.research.lag.event_study import LEAST_WINDOWS, RESAMPLES, Prices, Quotes, as_of
from common.units import MILLISECOND, SECOND

STEPS_NS = tuple(milliseconds * MILLISECOND for milliseconds in (1_000, 1_500, 2_000, 3_000, 5_000, 10_000))
MAX_LAG_NS = 10 * SECOND


class Correlogram(NamedTuple):
    """Correlation of mid changes with reference returns, for each lag of the book behind the reference."""

    step_ns: int
    pairs: int
    """Steps of which both changes are known, at lag zero."""
    windows: int
    lags: tuple[tuple[int, Interval], ...]
    """(lag in nanoseconds, correlation); at a positive lag the book moves later than the reference."""

    @property
    def strongest(self) -> tuple[int, Interval] | None:
        """The lag of the largest correlation; None without any."""
        known = [one for one in self.lags if np.isfinite(one[1].mean)]
        return max(known, key=lambda one: one[1].mean) if known else None


def step_for(spacing_ns: float) -> int | None:
    """The finest grid that most steps of a series of this spacing can fill; None when there is none."""
    return next((step for step in STEPS_NS if step >= 0.95 * spacing_ns), None)


def correlate(
    pairs: Sequence[tuple[Prices, Sequence[Quotes]]], step_ns: int, max_age_ns: int, seed: int
) -> Correlogram:
    """Cross-correlate each price with the windows beside it, up to ten seconds each way.

    A value older than ``max_age_ns`` and than two steps is unknown. Whole openings are resampled for the 95 %
    intervals.
    """
    max_age_ns = max(max_age_ns, 2 * step_ns)
    reach = MAX_LAG_NS // step_ns
    lags = range(-reach, reach + 1)
    sums: dict[int, Floats] = {}
    for prices, windows in pairs:
        for quotes in windows:
            found = _window_sums(prices, quotes, step_ns, lags, max_age_ns)
            if found is not None:
                sums[quotes.opening] = sums.get(quotes.opening, 0.0) + found
    clusters = np.stack(list(sums.values())) if sums else np.zeros((0, len(lags), 6))
    found_all = _intervals(clusters, seed)
    return Correlogram(
        step_ns,
        int(clusters[:, reach, 0].sum()),
        len(clusters),
        tuple((lag * step_ns, found) for lag, found in zip(lags, found_all, strict=True)),
    )


def _window_sums(prices: Prices, quotes: Quotes, step_ns: int, lags: range, max_age_ns: int) -> Floats | None:
    """[lag, moment] of one window: number, sums, squares and product; None when nothing pairs."""
    grid = np.arange(quotes.start_ns, quotes.end_ns + 1, step_ns)
    price, _ = as_of(prices.at_ns, np.log(prices.price_e8), grid, max_age_ns)
    mid, _ = as_of(quotes.at_ns, quotes.mid4, grid, max_age_ns)
    returns, changes = np.diff(price), np.diff(mid)
    found = np.zeros((len(lags), 6))
    for row, lag in enumerate(lags):
        cut = len(returns) - abs(lag)
        if cut <= 0:
            continue
        first = returns[:cut] if lag >= 0 else returns[-lag:]
        later = changes[lag:] if lag >= 0 else changes[:cut]
        both = np.isfinite(first) & np.isfinite(later)
        x, y = first[both], later[both]
        found[row] = (len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum())
    return found if found[:, 0].any() else None


def _intervals(clusters: Floats, seed: int) -> list[Interval]:
    count, lags = clusters.shape[:2]
    if not count:
        return [NOTHING] * lags
    whole = _coefficients(clusters.sum(axis=0))
    if count < LEAST_WINDOWS:
        return [Interval(-1.0, float(value), 1.0) for value in whole]
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    drawn = _coefficients((weights @ clusters.reshape(count, -1)).reshape(RESAMPLES, lags, 6))
    low, high = np.nanquantile(np.where(np.isfinite(drawn), drawn, 0.0), (0.025, 0.975), axis=0)
    return [Interval(float(a), float(b), float(c)) for a, b, c in zip(low, whole, high, strict=True)]


def _coefficients(sums: Floats) -> Floats:
    """Pearson's coefficient from [..., moment]; NaN where one side never moved."""
    n, x, y, xx, yy, xy = (sums[..., number] for number in range(6))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = (n * xy - x * y) / np.sqrt((n * xx - x * x) * (n * yy - y * y))
    return found
