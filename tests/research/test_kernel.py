"""The compiled walk against the core's own rule, second by second, and its sums on any split."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.core import lag
from common.core.matching import walk
from common.core.moment import Moment
from common.core.reference import Reference
from common.core.settings import StrategySettings
from common.errors import LaggardError
from common.messages import BookState, FeeSchedule, MarketState
from common.research.grids import kernel
from common.research.grids.grid import ANY_SIZE, DOWN, NO_MOVE, UNKNOWN, UP, Grid
from common.units import E18, SECOND, SIZE6_ONE

FEES = (FeeSchedule(70_000, 1), FeeSchedule(72_000, 1), FeeSchedule(250_000, 2), None)
BIG6 = 10**15
TICK4 = 10
"""The finest grid: on whole cents nothing would have to be rounded."""


def made_up(chance: np.random.Generator, windows: int, seconds: int) -> Grid:
    """Windows whose every second is another: moves around the limits, books with holes, small sizes."""
    move = chance.integers(-1_200, 1_201, (windows, seconds)).astype(np.int32)
    move[chance.random(move.shape) < 0.1] = NO_MOVE
    ask, fill = (
        (chance.integers(0, 1_000, (2, windows, seconds)) * TICK4).astype(np.uint16) for _ in range(2)
    )
    size = chance.integers(1, 400_000, (2, windows, seconds)).astype(np.uint32)
    size[chance.random(size.shape) < 0.4] = ANY_SIZE
    return Grid(
        tuple(f"btc-updown-15m-{w}" for w in range(windows)), ("btc",) * windows,
        np.arange(windows, dtype=np.int64) * seconds * SECOND,
        chance.integers(seconds // 2, seconds + 1, windows).astype(np.int32), move, ask, np.zeros_like(ask),
        fill, size, chance.choice([UP, DOWN, UNKNOWN], windows).astype(np.int8),
        chance.integers(0, len(FEES), windows).astype(np.int16), FEES, np.zeros(windows, np.int64),
        np.zeros(windows, bool),
    )  # fmt: skip


def sight(grid: Grid, w: int, t: int, at_ns: int) -> lag.Sight:
    """What the engine's rule would look at in this second."""
    move = int(grid.move_ppm[w, t])
    market = MarketState(
        window="w", asset="btc", condition_id="", version="v1", token_up="1", token_down="2", rule="spot",
        lookback_s=0, start_ns=0, end_ns=int(grid.span_s[w]) * SECOND, fee=None, taker_delay_ns=0, tick4=100,
        min_size6=0, accepting=True,
    )  # fmt: skip
    books = [
        BookState(
            token=str(side), window="w", outcome="down" if side else "up", status="live", bids=(),
            asks=((int(ask), BIG6),) if ask else (), tick4=100, venue_ns=at_ns, data_mono_ns=at_ns,
        )
        for side, ask in enumerate(grid.ask4[:, w, t])
    ]  # fmt: skip
    priced: Reference | str = "no price"
    if move != NO_MOVE:
        priced = Reference("chainlink", "rtds", "settlement", E18, E18, at_ns, at_ns, move, 0)
    return lag.Sight(market, priced, books[0], books[1], "", entered=False, unsynced="", contradiction="")


def by_the_core(grid: Grid, cells: kernel.Cells) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Every cell by the live rule and the live matching, one second after the other."""
    sums = np.zeros((len(kernel.FIGURES), *cells.shape), np.int64)
    for place in np.ndindex(*cells.shape):
        move, left, price, stake = (axis[i] for axis, i in zip(cells, place, strict=True))
        rule = StrategySettings(min_move_ppm=move, min_time_left_ns=left * SECOND, max_price4=price)
        for w in np.flatnonzero(grid.outcome != UNKNOWN):
            for t in range(grid.span_s[w]):
                now = Moment(t * SECOND, t * SECOND)
                decision = lag.decide(rule, sight(grid, w, t, t * SECOND), now).decision
                if decision == "no_trade":
                    continue
                side = int(decision == "buy_down")
                offered = int(grid.fill4[side, w, t])
                shown = int(grid.fill_size[side, w, t])
                asks = ((offered, BIG6 if shown == ANY_SIZE else shown * 100),) if offered else ()
                met = walk(asks, lag.price_cap(rule, TICK4), stake, grid.fees[grid.fee[w]]).fills
                if met:
                    won = grid.outcome[w] == (DOWN if side else UP)
                    spent = met[0].cost_usd6 + met[0].fee_usd6
                    earned = (met[0].size6 if won else 0) - spent
                    sums[(slice(None), *place)] += (1, won, met[0].cost_usd6, met[0].fee_usd6, earned)
                    break
    return sums


AXES = st.builds(
    kernel.Cells,
    st.sets(st.integers(0, 1_250), min_size=1, max_size=3).map(lambda axis: tuple(sorted(axis))),
    st.sets(st.integers(0, 30), min_size=1, max_size=3).map(tuple),
    st.sets(st.integers(1, 9_999), min_size=1, max_size=3).map(lambda axis: tuple(sorted(axis))),
    st.sets(st.integers(1_000_000, 100_000_000), min_size=1, max_size=2).map(tuple),
)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), windows=st.integers(1, 6), seconds=st.integers(2, 30), cells=AXES)
def test_every_cell_is_what_the_live_rule_and_the_live_matching_make_of_it(
    seed: int, windows: int, seconds: int, cells: kernel.Cells
) -> None:
    grid = made_up(np.random.default_rng(seed), windows, seconds)
    assert (kernel.totals(grid, cells)[0] == by_the_core(grid, cells)).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 40), max_size=6))
def test_any_split_adds_up_to_the_same_to_the_last_unit(seed: int, cuts: list[int]) -> None:
    grid = made_up(np.random.default_rng(seed), 40, 40)
    edges = sorted({0, 40, *cuts})
    cells = kernel.Cells((0, 300, 700), (0, 10), (3_000, 6_200, 9_000), (1_000_000, 10_000_000))
    blocks = kernel.totals(grid, cells, edges)
    assert len(blocks) == len(edges) - 1
    assert (blocks.sum(axis=0) == kernel.totals(grid, cells)[0]).all()
    for number, (first, last) in enumerate(pairwise(edges)):
        alone = kernel.totals(grid.take(np.arange(first, last)), cells)[0]
        assert (blocks[number] == alone).all()


def test_the_entries_of_one_cell_are_those_that_were_summed() -> None:
    grid = made_up(np.random.default_rng(5), 200, 60)
    found = kernel.entries(grid, 700, 10, 6_200)
    entered = (found.second >= 0) & (grid.outcome != UNKNOWN)
    sums = kernel.totals(grid, kernel.Cells((700,), (10,), (6_200,), (10_000_000,)))[0].reshape(-1)
    assert entered.sum() == sums[0] > 0
    won = entered & (found.side == (grid.outcome == DOWN))
    assert won.sum() == sums[1]


def test_the_limits_themselves_are_not_enough() -> None:
    """A move, a time left and an ask of exactly the limit enter nothing: each must be passed."""
    grid = made_up(np.random.default_rng(1), 1, 10)._replace(
        span_s=np.full(1, 10, np.int32), outcome=np.full(1, UP, np.int8), fee=np.full(1, 3, np.int16)
    )
    grid.move_ppm[:], grid.ask4[:], grid.fill4[:], grid.fill_size[:] = NO_MOVE, 5_000, 5_000, ANY_SIZE
    grid.move_ppm[0, 4] = 700
    cells = kernel.Cells((699, 700), (1, 5, 6), (5_000, 5_010))
    entered = kernel.totals(grid, cells)[0][0, ..., 0]
    assert np.argwhere(entered).tolist() == [[0, 0, 1], [0, 1, 1]], "more than 699, 6 s left > 5, 0.5 < 0.501"


@pytest.mark.parametrize(
    ("cells", "word"),
    [
        (kernel.Cells(moves_ppm=(700, 300)), "rise"),
        (kernel.Cells(prices4=()), "rise"),
        (kernel.Cells(lefts_s=()), "at least one"),
        (kernel.Cells(stakes_usd6=(SIZE6_ONE - 1,)), "less than 1 \\$"),
    ],
)
def test_a_grid_that_cannot_be_walked_is_refused(cells: kernel.Cells, word: str) -> None:
    with pytest.raises(LaggardError, match=word):
        kernel.totals(made_up(np.random.default_rng(1), 2, 5), cells)


def test_a_fee_that_would_overflow_is_refused_and_never_wraps() -> None:
    grid = made_up(np.random.default_rng(1), 2, 5)._replace(
        fees=(FeeSchedule(70_001, 3),), fee=np.zeros(2, int)
    )
    grid.fill4[:] = 3_333
    with pytest.raises(LaggardError, match="too fine"):
        kernel.totals(grid, kernel.Cells(stakes_usd6=(10**9,)))
