"""Ten ways to fool oneself, planted on purpose: each a backtest with one well-known mistake.

Owns the mistakes and the name of the test that has to catch each. A battery that misses one is worth nothing.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import polars as pl

from common.messages import FeeSchedule
from common.research.data.dataset import Dataset
from common.research.falsification import planted
from common.research.falsification.audit import Candidate, honestly, lag_candidate
from common.research.falsification.planted import World
from common.research.grids.grid import DOWN, NO_MOVE, UNKNOWN, UP, Array, Grid, Reach, build
from common.research.grids.trades import BUY_DOWN, BUY_UP, Rule, Trades, known_only, lag_signal
from common.units import SECOND

AHEAD_S = 30
TRIED = 200
_SAMPLED_S = 60


class Leak(NamedTuple):
    """One mistake: the world in which it pays, the candidate that makes it, and the test that must fail."""

    name: str
    world: World
    plant: Callable[[Dataset, Reach], Candidate]
    caught_by: str


def _peek(_data: Dataset, reach: Reach) -> Candidate:
    """The side that wins is bought."""

    def wants(grid: Grid) -> Array:
        wanted = np.zeros(grid.move_ppm.shape, np.int8)
        wanted[grid.outcome == UP, 60:] = BUY_UP
        wanted[grid.outcome == DOWN, 60:] = BUY_DOWN
        return wanted

    return lag_candidate(Rule(), reach)._replace(signal=wants)


def _future_book(_data: Dataset, reach: Reach) -> Candidate:
    """The side whose ask will be dearer in half a minute is bought."""

    def wants(grid: Grid) -> Array:
        wanted = np.zeros(grid.move_ppm.shape, np.int8)
        for side, wish in ((0, BUY_UP), (1, BUY_DOWN)):
            ask = grid.ask4[side].astype(np.int64)
            dearer = (ask[:, AHEAD_S:] >= ask[:, :-AHEAD_S] + 600) & (ask[:, :-AHEAD_S] > 0)
            wanted[:, :-AHEAD_S][dearer] = wish
        return wanted

    return lag_candidate(Rule(), reach)._replace(signal=wants)


def _future_oracle(_data: Dataset, reach: Reach) -> Candidate:
    """The oracle is joined half a minute too early."""
    sooner = pl.col("at_ns") - AHEAD_S * SECOND
    return lag_candidate(Rule(), reach)._replace(
        build=lambda seen: build(seen._replace(ticks=seen.ticks.with_columns(sooner.alias("at_ns"))), reach)
    )


def _future_strike(_data: Dataset, reach: Reach) -> Candidate:
    """The opening price is replaced by a later one, and moves away from it are faded."""

    def late(seen: Dataset) -> Grid:
        grid = build(seen, reach)
        move = grid.move_ppm.copy()
        at = min(400, move.shape[1] - 1)
        later = np.where(move[:, at] == NO_MOVE, 0, move[:, at])[:, None]
        return grid._replace(move_ppm=np.where(move == NO_MOVE, NO_MOVE, later - move).astype(np.int32))

    return lag_candidate(Rule(), reach)._replace(build=late)


def _stale_join(_data: Dataset, reach: Reach) -> Candidate:
    """Quotes sampled once a minute, joined backwards: an order fills at a price from before its decision."""
    minute = pl.col("venue_ns") % (_SAMPLED_S * SECOND) < SECOND
    return lag_candidate(Rule(), reach)._replace(
        build=lambda seen: build(
            seen._replace(books=seen.books.filter(minute)), reach._replace(join="backward")
        )
    )


def _no_fee(_data: Dataset, reach: Reach) -> Candidate:
    def settle(grid: Grid, wanted: Array, rule: Rule) -> Trades:
        return honestly(grid._replace(fees=(None,) * len(grid.fees)), wanted, rule)

    return lag_candidate(Rule(), reach)._replace(settle=settle)


def _at_mid(_data: Dataset, reach: Reach) -> Candidate:
    def settle(grid: Grid, wanted: Array, rule: Rule) -> Trades:
        lower = np.where(grid.fill4 > 300, grid.fill4 - 300, grid.fill4).astype(np.uint16)
        return honestly(grid._replace(fill4=lower), wanted, rule)

    return lag_candidate(Rule(), reach)._replace(settle=settle)


def _survivors(_data: Dataset, reach: Reach) -> Candidate:
    """Every third losing window has no row in the table of results."""

    def settle(grid: Grid, wanted: Array, rule: Rule) -> Trades:
        made = honestly(grid, wanted, rule)
        return made.take(made.won | (made.outcome == UNKNOWN) | (made.window % 3 > 0))

    return lag_candidate(Rule(), reach)._replace(settle=settle)


def _selected(data: Dataset, reach: Reach) -> Candidate:
    """The best of many strategies without sense, chosen on the data it is then shown on."""
    grid, rule = build(data, reach), Rule(price4=10_000)

    def earned(seed: int) -> int:
        return int(honestly(grid, planted.random_signal(seed)(grid), rule).net_usd6.sum())

    best = planted.random_signal(max(range(TRIED), key=earned))
    return lag_candidate(rule, reach, trials=TRIED)._replace(signal=best)


def _doubled(_data: Dataset, reach: Reach) -> Candidate:
    """A join that matches twice: every trade counts as two."""

    def settle(grid: Grid, wanted: Array, rule: Rule) -> Trades:
        made = honestly(grid, wanted, rule)
        return Trades(*(np.concatenate([column, column]) for column in made))

    return lag_candidate(Rule(), reach)._replace(settle=settle)


FAIR = World(half_spread4=0, fee=None)
DEAR = World(half_spread4=0, lag_s=2, fee=FeeSchedule(70_000, 1))
WIDE = World(half_spread4=300, lag_s=10, fee=None)

LEAKS = (
    Leak("outcome peek", World(), _peek, "information"),
    Leak("future book", World(), _future_book, "information"),
    Leak("future oracle", World(), _future_oracle, "information"),
    Leak("strike from the future", World(), _future_strike, "information"),
    Leak("stale ask join", World(), _stale_join, "fills"),
    Leak("fee omitted", DEAR, _no_fee, "fees"),
    Leak("filled at mid", WIDE, _at_mid, "fills"),
    Leak("losing windows dropped", World(), _survivors, "completeness"),
    Leak("selection over many trials", FAIR, _selected, "trials"),
    Leak("duplicated windows", World(), _doubled, "completeness"),
)


def honest_return(data: Dataset, candidate: Candidate, reach: Reach) -> float:
    """What the candidate's rule earns a dollar when it sees and meets only what it could have."""
    grid = build(data, reach)
    made = honestly(grid, lag_signal(candidate.rule)(known_only(grid)), candidate.rule).settled
    spent = int(made.spent_usd6.sum())
    return int(made.net_usd6.sum()) / spent if spent else 0.0
