"""The battery tried on worlds of which the truth is known: what it catches, lets pass and finds.

Owns the three figures by which the battery itself is judged: leaks caught, strategies without sense that
pass, and the power against a planted edge.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from common.research.falsification import leaks, planted
from common.research.falsification.audit import audit, claim
from common.research.falsification.battery import Question, answer, clusters
from common.research.falsification.falsify import WORTH_HAVING, Result, judge
from common.research.falsification.significance import power
from common.research.grids.grid import Grid, Reach, later
from common.research.grids.trades import Rule, Signal, Trades, lag_signal, trade

EDGED = planted.World(windows=5_017, lag_s=10)
"""A book ten seconds late, and as many trades as the published backtest had."""


class Caught(NamedTuple):
    """What became of one planted leak: its claimed and its honest return, and the tests that failed."""

    name: str
    claimed: float
    honest: float
    trades: int
    result: Result
    failed: tuple[str, ...]
    caught: bool
    """Not supported, and by the test that is there for it."""


class Verdicts(NamedTuple):
    """Of so many strategies, how many were supported, and how many passed the first gate alone."""

    strategies: int
    supported: int
    profitable: int
    edge: float
    """Their true edge, $ a share, as all of them together showed it."""
    trades: int
    """Of one, in the mean."""


def catch_leaks(seed: int = 1, windows: int = 400) -> Iterator[Caught]:
    """Put every planted leak to audit and battery."""
    reach = Reach()
    for number, leak in enumerate(leaks.LEAKS):
        truth = planted.make(leak.world._replace(seed=seed * 1_000 + number, windows=windows))
        data = planted.dataset_of(truth)
        candidate = leak.plant(data, reach)
        grid, claimed = claim(data, candidate)
        own = claimed.settled
        honest = planted.grid_of(truth)
        question = Question(
            honest, candidate.signal, candidate.rule, _backward(honest), None, candidate.trials, seed
        )
        tests = (*audit(data, candidate, reach, grid, claimed, seed), *answer(question, claimed))
        result, _text = judge(tests, 0.0, WORTH_HAVING)
        failed = tuple(test.name for test in tests if not test.passed)
        caught = result != "supported" and leak.caught_by in failed
        returned = int(own.net_usd6.sum()) / int(own.spent_usd6.sum())
        yield Caught(
            leak.name,
            returned,
            leaks.honest_return(data, candidate, reach),
            len(own.window),
            result,
            failed,
            caught,
        )


def without_sense(strategies: int, windows: int = 400, seed: int = 1) -> Verdicts:
    """Strategies without an edge where prices are fair and trading is free: the hardest case of no edge.

    Half of them buy at random, half are the rule with random parameters; each has a world of its own.
    """
    chance = np.random.default_rng(seed)

    def next_one(number: int) -> tuple[Grid, Signal, Rule]:
        world = planted.World(windows=windows, seed=seed * 10_000 + number, half_spread4=0, fee=None)
        grid = planted.grid_of(planted.make(world))
        if number % 2:
            return grid, planted.random_signal(number), Rule(price4=10_000)
        rule = Rule(
            int(chance.integers(100, 1_500)), int(chance.integers(0, 600)), int(chance.integers(50, 90)) * 100
        )
        return grid, lag_signal(rule), rule

    return _verdicts(strategies, next_one, seed)


def with_edge(strategies: int, world: planted.World, seed: int = 1) -> Verdicts:
    """The published rule in worlds whose book is late."""

    def next_one(number: int) -> tuple[Grid, Signal, Rule]:
        grid = planted.grid_of(planted.make(world._replace(seed=seed * 10_000 + number)))
        return grid, lag_signal(Rule()), Rule()

    return _verdicts(strategies, next_one, seed)


def _verdicts(strategies: int, next_one: Callable[[int], tuple[Grid, Signal, Rule]], seed: int) -> Verdicts:
    supported = profitable = net = size = trades = 0
    for number in range(strategies):
        grid, signal, rule = next_one(number)
        own = trade(grid, signal, rule)
        tests = tuple(answer(Question(grid, signal, rule, _backward(grid), None, 1, seed + number), own))
        supported += judge(tests, _known_power(grid, own), WORTH_HAVING)[0] == "supported"
        profitable += next(test.passed for test in tests if test.name == "profit")
        net, size, trades = (
            net + int(own.net_usd6.sum()),
            size + int(own.size6.sum()),
            trades + len(own.window),
        )
    return Verdicts(strategies, supported, profitable, net / max(1, size), trades // max(1, strategies))


def _known_power(grid: Grid, own: Trades) -> float:
    return power(own.size6, own.spent_usd6, clusters(grid, own), WORTH_HAVING, 1, 1, worlds=50)


def _backward(grid: Grid) -> Grid:
    """A made-up grid filled at what was known: as its book was before the delay."""
    return later(grid, 0)._replace(fill4=grid.ask4)
