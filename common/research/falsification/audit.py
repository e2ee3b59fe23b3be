"""The audit of a claim: whether the trades of a backtest could have happened, and all of them are told.

Owns the tests that need no statistics: information, fills, fees, completeness. They look each claimed trade
up in the tables anew, and ask the strategy again with everything after its decision taken away.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import polars as pl

from common.core.fees import taker_fee_usd6
from common.research.data.dataset import Dataset
from common.research.falsification.battery import Test
from common.research.grids.grid import ANY_SIZE, DOWN, SIZE_STEP6, UNKNOWN, Array, Grid, Reach, build
from common.research.grids.trades import Rule, Signal, Trades, execute, known_only, lag_signal, settle
from common.units import PRICE4_ONE, SECOND, Price4, Size6, cost_usd6_ceil

AUDITED = ("information", "fills", "fees", "completeness")
SAMPLED = 60
"""Trades whose decision is asked for again, each with its own horizon."""
BEFORE_NS = 120 * SECOND
"""How much of the oracle before the opening a strategy is left."""


class Candidate(NamedTuple):
    """A strategy with the pipeline that backtests it: what knows, what wants, what books the trades."""

    name: str
    build: Callable[[Dataset], Grid]
    signal: Signal
    settle: Callable[[Grid, Array, Rule], Trades]
    rule: Rule
    trials: int = 1


def lag_candidate(rule: Rule, reach: Reach, trials: int = 1) -> Candidate:
    """The published rule, told honestly."""
    return Candidate("lag", lambda data: build(data, reach), lag_signal(rule), honestly, rule, trials)


def honestly(grid: Grid, wanted: Array, rule: Rule) -> Trades:
    """Every first order that meets a book, settled as the venue would."""
    return settle(grid, execute(grid, wanted, rule.price4), rule.stake_usd6)


def claim(data: Dataset, candidate: Candidate) -> tuple[Grid, Trades]:
    """What the candidate's own pipeline says it did."""
    grid = candidate.build(data)
    return grid, candidate.settle(grid, candidate.signal(grid), candidate.rule)


def audit(
    data: Dataset, candidate: Candidate, reach: Reach, grid: Grid, claimed: Trades, seed: int = 1
) -> list[Test]:
    """The four tests on what was claimed."""
    wanted = candidate.signal(known_only(grid))
    return [
        _information(data, candidate, grid, claimed, seed),
        _fills(data, candidate.rule, reach, grid, claimed),
        _fees(grid, claimed),
        _completeness(data, reach, candidate.rule, wanted, claimed),
    ]


def _test(name: str, wrong: int, looked_at: int, text: str) -> Test:
    share = wrong / looked_at if looked_at else 0.0
    return Test(
        name, share, None, None, None, wrong == 0, gate=True, text=f"{text}: {wrong} of {looked_at} do not"
    )


def _information(data: Dataset, candidate: Candidate, grid: Grid, claimed: Trades, seed: int) -> Test:
    """Whatever was wanted up to a decision must be wanted without anything that came after it."""
    count = len(claimed.window)
    chosen = np.random.default_rng(seed).permutation(count)[:SAMPLED]
    whole = candidate.signal(grid)
    named = pl.col("window").is_in([grid.windows[w] for w in claimed.window[chosen]])
    # The few windows that are looked at, before each is cut down further.
    few = data._replace(
        markets=data.markets.filter(named), books=data.books.filter(named), history=data.history.filter(named)
    )
    wrong = 0
    for i in chosen:
        w, t = int(claimed.window[i]), int(claimed.second[i])
        seen = candidate.build(_until(few, grid.windows[w], int(grid.start_ns[w]) + t * SECOND))
        again = candidate.signal(seen)
        same = len(again) == 1 and np.array_equal(again[0, : t + 1], whole[w, : t + 1])
        wrong += not (same and whole[w, t] == claimed.side[i] + 1)
    return _test(
        "information", wrong, len(chosen), "decisions stay the same when everything after them is taken away"
    )


def _until(data: Dataset, window: str, horizon_ns: int) -> Dataset:
    """One window as it was known at an instant: nothing that arrived later, and no outcome."""
    market = data.markets.filter(pl.col("window") == window)
    asset, start = market["asset"][0], market["start_ns"][0]
    known = pl.col("at_ns") <= horizon_ns
    return data._replace(
        markets=market.with_columns(
            pl.lit(None, pl.Int64).alias("close_e8"), pl.lit(None, pl.String).alias("outcome")
        ),
        ticks=data.ticks.filter((pl.col("asset") == asset) & known & (pl.col("at_ns") >= start - BEFORE_NS)),
        books=data.books.filter((pl.col("window") == window) & known),
        history=data.history.filter((pl.col("window") == window) & known),
    )


def _fills(data: Dataset, rule: Rule, reach: Reach, grid: Grid, claimed: Trades) -> Test:
    """Price, size and cost of every trade against the first book that came after its taker delay."""
    names = sorted({grid.windows[w] for w in claimed.window})
    books = {
        key: (part["at_ns"].to_list(), part["ask4"].to_list(), part["ask_size6"].to_list())
        for key, part in data.books.filter(pl.col("window").is_in(names))
        .sort("at_ns", maintain_order=True)
        .partition_by("window", "outcome", as_dict=True)
        .items()
    }
    wrong = 0
    for w, t, side, price4, size6, cost in zip(*(column.tolist() for column in claimed[:6]), strict=True):
        at, asks, sizes = books.get((grid.windows[w], "down" if side else "up"), ([], [], []))
        arrival = int(grid.start_ns[w]) + t * SECOND + int(grid.delay_ns[w])
        row = bisect_left(at, arrival)
        if row == len(at) or at[row] - arrival > reach.max_wait_ns or asks[row] != price4:
            wrong += 1
            continue
        most = rule.stake_usd6 * PRICE4_ONE // price4
        shown = ANY_SIZE * SIZE_STEP6 if sizes[row] is None else sizes[row]
        honest = min(most, shown) // SIZE_STEP6 * SIZE_STEP6
        wrong += size6 != honest or cost != cost_usd6_ceil(Price4(price4), Size6(size6))
    return _test("fills", wrong, len(claimed.window),
                 "fills are at the first ask after the taker delay and within what it showed")  # fmt: skip


def _fees(grid: Grid, claimed: Trades) -> Test:
    """Every fee by the venue's formula, and every net by the outcome."""
    wrong = 0
    for w, side, price4, size6, cost, fee, net, outcome in zip(
        *(column.tolist() for column in claimed[:1] + claimed[2:]), strict=True
    ):
        due = taker_fee_usd6(size6, price4, grid.fees[grid.fee[w]])
        paid = size6 if outcome != UNKNOWN and side == (outcome == DOWN) else 0
        wrong += fee != due or net != paid - cost - due
    return _test(
        "fees", wrong, len(claimed.window), "trades bear their market's fee and pay what their side won"
    )


def _completeness(data: Dataset, reach: Reach, rule: Rule, wanted: Array, claimed: Trades) -> Test:
    """Every window in which the strategy's order met a book is told, once, with the table's outcome."""
    honest = build(data, reach)
    found = execute(honest, wanted, rule.price4) if len(wanted) == len(honest.windows) else None
    if found is None:
        return _test("completeness", len(wanted), len(wanted), "windows of the data are all there, each once")
    expected = {int(w): int(honest.outcome[w]) for w in np.flatnonzero(found.second >= 0)}
    told = dict(zip(claimed.window.tolist(), claimed.outcome.tolist(), strict=True))
    wrong = len(claimed.window) - len(told)
    wrong += sum(told.get(w) != outcome for w, outcome in expected.items())
    wrong += len(told.keys() - expected.keys())
    return _test("completeness", wrong, max(len(expected), len(claimed.window)),
                 "windows in which an order met a book are told, once each, with their outcome")  # fmt: skip
