"""Orders on the grid: what a signal may see, what it meets and is paid, beside the core's matching."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from common.core.matching import walk
from common.core.settings import StrategySettings
from common.messages import FeeSchedule
from common.research.falsification import planted
from common.research.grids import kernel
from common.research.grids.grid import ANY_SIZE, DOWN, UNKNOWN, UP, Grid, Reach, reach_of
from common.research.grids.kernel import Entries
from common.research.grids.trades import (
    Rule,
    execute,
    known_only,
    lag_signal,
    rule_of,
    settle,
    trade,
)
from common.units import SECOND

WORLD = planted.World(windows=120, lag_s=10, shown6=7_770_000, seed=9)


def grid() -> Grid:
    return planted.grid_of(planted.make(WORLD))


@settings(max_examples=25, deadline=None)
@given(
    move=st.integers(0, 2_000),
    left=st.integers(0, 899),
    price=st.integers(1_000, 9_999),
    seed=st.integers(0, 99),
)
def test_the_signal_and_the_compiled_walk_are_one_rule(move: int, left: int, price: int, seed: int) -> None:
    made = planted.grid_of(planted.make(planted.World(windows=12, lag_s=10, seed=seed)))
    wanted = lag_signal(Rule(move, left, price))(known_only(made))
    one, other = execute(made, wanted, price), kernel.entries(made, move, left, price)
    assert (one.second == other.second).all()
    assert (one.side == other.side)[one.second >= 0].all()


def test_trades_add_up_to_the_kernels_cell() -> None:
    made = grid()
    done = trade(made, lag_signal(Rule()), Rule()).settled
    sums = kernel.totals(made, kernel.Cells())[0].reshape(-1)
    columns = (done.won, done.cost_usd6, done.fee_usd6, done.net_usd6)
    assert sums.tolist() == [len(done.window), *(int(column.sum()) for column in columns)]
    assert len(done.window) > 50


@settings(max_examples=60, deadline=None)
@given(
    price=st.integers(1, 99).map(lambda cents: cents * 100),
    shown=st.one_of(st.just(ANY_SIZE), st.integers(1, 10**6)),
    stake=st.integers(1_000_000, 10**8),
    fee=st.sampled_from([None, FeeSchedule(70_000, 1), FeeSchedule(250_000, 2)]),
    outcome=st.sampled_from([UP, DOWN, UNKNOWN]),
)
def test_every_trade_is_what_the_live_matching_makes_of_its_level(
    price: int, shown: int, stake: int, fee: FeeSchedule | None, outcome: int
) -> None:
    made = grid().take(np.arange(1))._replace(fees=(fee,), outcome=np.array([outcome], np.int8))
    made.fill4[0, 0, 5], made.fill_size[0, 0, 5] = price, shown
    done = settle(made, Entries(np.array([5], np.int32), np.zeros(1, np.int8)), stake)
    size6 = 10**15 if shown == ANY_SIZE else shown * 100
    (met,) = walk([(price, size6)], price, stake, fee).fills
    assert (done.size6[0], done.cost_usd6[0], done.fee_usd6[0]) == (met.size6, met.cost_usd6, met.fee_usd6)
    paid = met.size6 if outcome == UP else 0
    assert done.net_usd6[0] == paid - met.cost_usd6 - met.fee_usd6


def test_a_signal_sees_neither_fills_nor_outcomes() -> None:
    seen = known_only(grid())
    assert not seen.fill4.any() and not seen.fill_size.any() and (seen.outcome == UNKNOWN).all()


def test_an_order_that_meets_a_dearer_ask_is_killed_and_tried_again() -> None:
    made = grid().take(np.arange(1))
    wanted = np.zeros(made.move_ppm.shape, np.int8)
    wanted[0, 10:20] = 1
    made.fill4[0, 0, 10:13], made.fill4[0, 0, 13] = 6_200, 6_100
    found = execute(made, wanted, 6_200)
    assert (found.second[0], found.side[0]) == (13, 0)
    made.fill4[0, 0, 10:20] = 0
    assert execute(made, wanted, 6_200).second[0] == -1


def test_the_configured_rule_in_the_grids_own_units() -> None:
    rule = StrategySettings(min_move_ppm=500, min_time_left_ns=SECOND * 601 // 2, max_price4=6_000)
    assert rule_of(rule) == Rule(500, 300, 6_000, 10_000_000)
    assert reach_of(rule, planted.dataset_of(planted.make(planted.World(windows=2)))) == Reach()
