"""How wide an answer is: bootstrap intervals of means and Wilson intervals of shares.

Owns no data and knows no market. Never states a figure without both ends.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

Z_95 = 1.959963984540054
"""Standard normal quantile of a two-sided interval of 95 %."""
RESAMPLES = 10_000
_CHUNK_CELLS = 4_000_000
"""Resampled values held at once: 32 MB."""


class Interval(NamedTuple):
    """An estimate between its two ends; NaN throughout where nothing was observed."""

    low: float
    mean: float
    high: float


NOTHING = Interval(float("nan"), float("nan"), float("nan"))


def bootstrap_mean(
    values: ArrayLike, seed: int, n: int = RESAMPLES, *, groups: ArrayLike | None = None, level: float = 0.95
) -> Interval:
    """The mean and its percentile bootstrap interval from ``n`` resamples (B. Efron, 1979).

    ``groups`` (one label a value) draws whole groups, such as days, where values of one group hang together;
    the mean of a resample is then the sum of its values by their number. The same seed gives the same ends.
    One value, or one group, has no spread to resample: its ends are infinite.
    """
    sample = np.asarray(values, dtype=np.float64).ravel()
    if not len(sample):
        return NOTHING
    sums: Floats = sample
    counts: Floats = np.ones(len(sample))
    if groups is not None:
        _, index = np.unique(np.asarray(groups).ravel(), return_inverse=True)
        sums = np.asarray(np.bincount(index, weights=sample), dtype=np.float64)
        counts = np.asarray(np.bincount(index), dtype=np.float64)
    mean = float(sample.mean())
    if len(sums) == 1:
        return Interval(float("-inf"), mean, float("inf"))
    means = _resampled(sums, counts, np.random.default_rng(seed), n)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), mean, float(high))


def _resampled(sums: Floats, counts: Floats, generator: np.random.Generator, n: int) -> Floats:
    rows = max(1, _CHUNK_CELLS // len(sums))
    means = np.empty(n)
    for start in range(0, n, rows):
        count = min(rows, n - start)
        drawn = generator.integers(0, len(sums), size=(count, len(sums)))
        means[start : start + count] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return means


def wilson(k: ArrayLike, n: ArrayLike, z: float = Z_95) -> Interval:
    """The share ``k`` of ``n`` with its score interval (E. B. Wilson, 1927); never outside 0 to 1."""
    low, mean, high = wilson_all(k, n, z)
    return Interval(float(low), float(mean), float(high))


def wilson_all(k: ArrayLike, n: ArrayLike, z: float = Z_95) -> tuple[Floats, Floats, Floats]:
    """``wilson`` of many shares at once: arrays of low, mean and high; NaN where ``n`` is 0."""
    hits, total = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = hits / total
        spread = 1 + z * z / total
        middle = (share + z * z / (2 * total)) / spread
        half = z / spread * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    low = np.where(total > 0, np.clip(middle - half, 0.0, 1.0), np.nan)
    high = np.where(total > 0, np.clip(middle + half, 0.0, 1.0), np.nan)
    return low, share, high
