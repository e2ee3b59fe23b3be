"""One trade of a claim altered by one unit: the test that is there for it notices, and no other complains."""

from collections.abc import Callable

import numpy as np
import pytest

from common.research.data.dataset import Dataset
from common.research.falsification import planted
from common.research.falsification.audit import AUDITED, audit, claim, lag_candidate
from common.research.grids.grid import Grid, Reach
from common.research.grids.trades import Rule, Trades

REACH = Reach()
HONEST = lag_candidate(Rule(), REACH)


@pytest.fixture(scope="module")
def told() -> tuple[Dataset, Grid, Trades]:
    """Asks of nine shares: less than the stake would buy, so that what was shown bounds every fill."""
    data = planted.dataset_of(planted.make(planted.World(windows=12, lag_s=20, shown6=9_000_000)))
    return data, *claim(data, HONEST)


def altered(trades: Trades, **changes: int) -> Trades:
    """The first trade with these differences."""
    copy = trades._replace(**{name: getattr(trades, name).copy() for name in changes})
    for name, difference in changes.items():
        getattr(copy, name)[0] += difference
    return copy


def failed(told: tuple[Dataset, Grid, Trades], trades: Trades) -> list[str]:
    data, grid, _trades = told
    return [test.name for test in audit(data, HONEST, REACH, grid, trades) if not test.passed]


def test_the_honest_claim_passes(told: tuple[Dataset, Grid, Trades]) -> None:
    data, grid, trades = told
    tests = audit(data, HONEST, REACH, grid, trades)
    assert [test.name for test in tests] == list(AUDITED)
    assert len(trades.window) >= 10 and all(test.passed for test in tests)
    assert (trades.size6 == 9_000_000).all()


@pytest.mark.parametrize(
    ("alter", "caught_by"),
    [
        (lambda trades: altered(trades, price4=-100), ["fills", "fees"]),
        (lambda trades: altered(trades, cost_usd6=-1, net_usd6=1), ["fills"]),
        (lambda trades: altered(trades, size6=1_000_000), ["fills", "fees"]),
        (lambda trades: altered(trades, fee_usd6=-10, net_usd6=10), ["fees"]),
        (lambda trades: altered(trades, net_usd6=1), ["fees"]),
        (lambda trades: trades.take(np.arange(1, len(trades.window))), ["completeness"]),
        (lambda trades: trades.take(np.r_[0, np.arange(len(trades.window))]), ["completeness"]),
    ],
)
def test_one_unit_is_noticed(
    told: tuple[Dataset, Grid, Trades], alter: Callable[[Trades], Trades], caught_by: list[str]
) -> None:
    assert failed(told, alter(told[2])) == caught_by


def test_an_outcome_that_is_not_the_tables_is_noticed(told: tuple[Dataset, Grid, Trades]) -> None:
    trades = told[2]
    won = trades.won[0]
    paid = int(trades.size6[0])
    other = altered(trades, outcome=1 - 2 * int(trades.outcome[0]), net_usd6=-paid if won else paid)
    assert failed(told, other) == ["completeness"]


def test_a_size_beyond_what_was_shown_is_noticed_where_all_else_fits(
    told: tuple[Dataset, Grid, Trades],
) -> None:
    data, _grid, _trades = told
    blind = HONEST._replace(build=lambda seen: HONEST.build(seen)._replace(fill_size=everything(seen)))
    grid, trades = claim(data, blind)
    assert trades.size6.min() > 9_000_000
    assert [test.name for test in audit(data, blind, REACH, grid, trades) if not test.passed] == ["fills"]


def everything(seen: Dataset) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint32]]":
    from common.research.grids.grid import ANY_SIZE

    grid = HONEST.build(seen)
    return np.where(grid.fill4 > 0, ANY_SIZE, 0).astype(np.uint32)


def test_a_decision_that_was_never_wanted_is_noticed(told: tuple[Dataset, Grid, Trades]) -> None:
    assert "information" in failed(told, altered(told[2], second=-1))
