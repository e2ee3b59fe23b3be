"""How likely a result is without any edge: clustered bootstrap, price-matched coins, many trials, power.

Owns the statistics of the battery and of the sweep. Trades of one opening (or day) hang together, so whole
clusters are resampled. Never rounds in favour of the strategy: what cannot be judged has the p-value 1.
"""

from math import erf, sqrt
from typing import NamedTuple

import numpy as np

from common.research.grids.grid import Array

LEAST_CLUSTERS = 20
"""Fewer independent pieces of evidence prove nothing."""
RESAMPLES = 1_999
MOST_RESAMPLES = 49_999
_CHUNK_CELLS = 4_000_000


class Ratio(NamedTuple):
    """A return per dollar staked and whether it is more than nothing.

    ``low`` and ``high`` are one-sided 95 % bounds each; ``p`` is the chance of this much or more where the
    truth is zero.
    """

    value: float
    low: float
    high: float
    p: float
    clusters: int


def resamples_for(trials: int) -> int:
    """So many that a p-value of 0.05 over all trials can be reached at all; over 1,250 trials it cannot."""
    return min(MOST_RESAMPLES, max(RESAMPLES, 40 * trials - 1))


def ratio(net: Array, cost: Array, cluster: Array, seed: int, resamples: int = RESAMPLES) -> Ratio:
    """Sum of net by sum of cost, with a studentised cluster bootstrap (P. Hall, 1988; B. Efron, 1981).

    The percentile bootstrap is too sure of itself on the skewed, short samples of this trade; the studentised
    one is not. Fewer than ``LEAST_CLUSTERS`` clusters give p = 1 and an unbounded interval.
    """
    total = float(cost.sum())
    if not total:
        return Ratio(float("nan"), float("-inf"), float("inf"), 1.0, 0)
    _, index = np.unique(cluster, return_inverse=True)
    sums = np.stack([np.bincount(index, weights=each.astype(np.float64)) for each in (net, cost)], axis=1)
    value, count = float(net.sum()) / total, len(sums)
    if count < LEAST_CLUSTERS:
        return Ratio(value, float("-inf"), float("inf"), 1.0, count)
    moments = _moments(sums[:, :1], sums[:, 1:])
    t_observed, error = _studentised(moments.sum(axis=0)[None], np.zeros(1))
    drawn = np.concatenate(
        [
            _studentised(part, np.array([value]))[0][:, 0]
            for part in _resampled(moments, np.random.default_rng(seed), resamples)
        ]
    )
    p = (1 + int((drawn >= t_observed[0, 0]).sum())) / (resamples + 1)
    least, most = np.quantile(drawn, (0.05, 0.95)) * error[0, 0]
    return Ratio(value, value - float(most), value - float(least), p, count)


def reality_check(net: Array, cost: Array, trades: Array, seed: int, resamples: int = RESAMPLES) -> Array:
    """For each cell of [block, cell] sums its p-value, the whole search accounted for.

    The largest studentised mean of all cells under resampling of blocks is what a cell is held against: the
    reality check of H. White (2000) in the studentised, single-step form of J. Romano and M. Wolf (2005).
    Cells with fewer than ``LEAST_CLUSTERS`` trades, and data of fewer blocks, have p = 1.
    """
    judged = np.flatnonzero(trades.sum(axis=0) >= LEAST_CLUSTERS)
    found = np.ones(net.shape[1])
    if not len(judged) or len(net) < LEAST_CLUSTERS:
        return found
    earned, spent = net[:, judged].astype(np.float64), cost[:, judged].astype(np.float64)
    moments = _moments(earned, spent)
    values = earned.sum(axis=0) / spent.sum(axis=0)
    observed, _ = _studentised(moments.sum(axis=0)[None], np.zeros(len(judged)))
    best = np.concatenate(
        [
            _studentised(part, values)[0].max(axis=1)
            for part in _resampled(moments, np.random.default_rng(seed), resamples)
        ]
    )
    best.sort()
    above = len(best) - np.searchsorted(best, observed[0], side="left")
    found[judged] = (1 + above) / (resamples + 1)
    return found


def coin_flips(size6: Array, spent_usd6: Array, won: Array, seed: int, resamples: int = RESAMPLES) -> float:
    """The chance that coins as fair as the price paid, fee included, win as much as the trades did."""
    if not len(size6):
        return 1.0
    fair = np.minimum(1.0, spent_usd6 / size6)
    paid = float((size6 * won).sum())
    chance, above = np.random.default_rng(seed), 0
    rows = max(1, _CHUNK_CELLS // len(size6))
    size = size6.astype(np.float64)
    for start in range(0, resamples, rows):
        flips = chance.random((min(rows, resamples - start), len(size))) < fair
        above += int((flips @ size >= paid - 0.5).sum())
    return (1 + above) / (resamples + 1)


def power(
    size6: Array, spent_usd6: Array, cluster: Array, edge: float, trials: int, seed: int, worlds: int = 400
) -> float:
    """The share of simulated worlds in which this many trades would prove an edge of ``edge`` $ a share.

    In each world every trade wins with the chance that its price implies, plus the edge; proven is what the
    clustered t-statistic puts beyond the normal quantile of 5 % over all trials.
    """
    _, index = np.unique(cluster, return_inverse=True)
    if not len(size6) or index.max() + 1 < LEAST_CLUSTERS:
        return 0.0
    chance, limit = np.random.default_rng(seed), normal_quantile(1 - 0.05 / max(1, trials))
    likely, size = np.minimum(1.0, spent_usd6 / size6 + edge), size6.astype(np.float64)
    cost, proven = np.bincount(index, weights=spent_usd6.astype(np.float64)), 0
    for _ in range(worlds):
        paid = size * (chance.random(len(size)) < likely)
        sums = np.bincount(index, weights=paid - spent_usd6)
        t, _error = _studentised(_moments(sums[:, None], cost[:, None]).sum(axis=0)[None], np.zeros(1))
        proven += bool(t[0, 0] >= limit)
    return proven / worlds


def trades_needed(size6: Array, spent_usd6: Array, edge: float, trials: int) -> int:
    """About how many such trades an edge of ``edge`` $ a share needs to be proven four times of five."""
    if not len(size6):
        return 0
    likely = np.clip(spent_usd6 / size6 + edge, 0.0, 1.0)
    spread = float(np.sqrt((likely * (1 - likely)).mean()))
    return int(np.ceil(((normal_quantile(1 - 0.05 / max(1, trials)) + 0.8416) * spread / edge) ** 2))


def normal_quantile(share: float) -> float:
    """The standard normal quantile, by bisection of the distribution."""
    low, high = -10.0, 10.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if 0.5 * (1 + erf(middle / sqrt(2))) < share else (low, middle)
    return (low + high) / 2


def _moments(net: Array, cost: Array) -> Array:
    """What a ratio and its error are made of, additive over clusters: [cluster, moment, cell]."""
    return np.stack([net, cost, net * net, net * cost, cost * cost], axis=1)


def _studentised(moments: Array, centre: Array) -> tuple[Array, Array]:
    """The distance of the ratio from ``centre`` in its own cluster-robust errors, and the error."""
    net, cost, net2, both, cost2 = (moments[:, number] for number in range(5))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = net / cost
        error = np.sqrt(np.maximum(net2 - 2 * value * both + value * value * cost2, 0.0)) / cost
        t = (value - centre) / error
    # Without spread, or without a trade, there is nothing to be sure of.
    return np.where(np.isfinite(t), t, 0.0), error


def _resampled(moments: Array, chance: np.random.Generator, resamples: int) -> list[Array]:
    """The summed moments of resamples of whole clusters, in parts that fit into memory."""
    count, numbers, cells = moments.shape
    flat = moments.reshape(count, numbers * cells)
    rows = max(1, min(resamples, _CHUNK_CELLS // max(count, numbers * cells)))
    parts = []
    for start in range(0, resamples, rows):
        n = min(rows, resamples - start)
        drawn = chance.integers(0, count, size=(n, count)) + np.arange(n)[:, None] * count
        weights = np.bincount(drawn.ravel(), minlength=n * count).reshape(n, count)
        parts.append((weights.astype(np.float64) @ flat).reshape(n, numbers, cells))
    return parts
