"""What the grid knows at a second and what an order meets, on tables where the answer is plain."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.core.settings import StrategySettings
from common.messages import FeeSchedule
from common.research.backtesting.story import Assumptions, StandIns, judges_told, tell
from common.research.data.dataset import Dataset, dataset
from common.research.falsification import planted
from common.research.grids.grid import (
    ANY_SIZE,
    DOWN,
    NO_MOVE,
    TODAYS_FEE,
    UNKNOWN,
    Grid,
    NothingToTrade,
    Reach,
    build,
    judged_by,
    later,
    need_tradable,
    reach_of,
    with_oracle_shifted,
)
from common.units import SECOND

START = 1_800_000_000 * SECOND
WINDOW = "btc-updown-15m-1800000000"
STRIKE = 100_000 * 10**8


def at(seconds: float) -> int:
    return START + int(seconds * SECOND)


def tables(
    ticks: list[tuple[float, float, float]] = (),  # type: ignore[assignment]
    asks: list[tuple[float, int | None]] = (),  # type: ignore[assignment]
    kind: str = "spot",
    history: list[tuple[float, int]] = (),  # type: ignore[assignment]
    **market: Any,
) -> Dataset:
    """One window; ticks are (stamp, arrival, move in ppm), asks of the Up token (arrival, price)."""
    plain = {
        "window": WINDOW,
        "asset": "btc",
        "start_ns": START,
        "end_ns": at(20),
        "strike_e8": STRIKE,
        "outcome": "up",
        "fee_rate_ppm": 70_000,
        "fee_exponent": 1,
        "taker_delay_ns": SECOND,
        "era": "fee-spot",
    }
    return dataset(
        "made up",
        markets=pl.DataFrame([{**plain, **market}]),
        ticks=pl.DataFrame(
            [
                {
                    "asset": "btc",
                    "kind": kind,
                    "route": "r",
                    "observed_ns": at(stamp),
                    "at_ns": at(heard),
                    "price_e8": STRIKE + STRIKE * move // 1_000_000,
                }
                for stamp, heard, move in ticks
            ]
        )
        if ticks
        else None,
        books=pl.DataFrame(
            [
                {
                    "window": WINDOW,
                    "asset": "btc",
                    "outcome": "up",
                    "venue_ns": at(heard),
                    "at_ns": at(heard),
                    "ask4": ask,
                    "ask_size6": 5_000_000,
                    "derived": False,
                }
                for heard, ask in asks
            ]
        )
        if asks
        else None,
        history=pl.DataFrame(
            [
                {"window": WINDOW, "outcome": "up", "at_ns": at(heard), "price4": price}
                for heard, price in history
            ]
        )
        if history
        else None,
    )


def moves(grid: Grid) -> list[int | None]:
    return [None if move == NO_MOVE else int(move) for move in grid.move_ppm[0]]


def test_a_price_is_known_from_its_arrival_until_it_is_too_old() -> None:
    grid = build(tables([(0, 1.5, 0), (3, 4.2, 900)]))
    known = moves(grid)
    assert known[:2] == [None, None], "nothing had arrived"
    assert known[2:5] == [0, 0, 0], "the tick of second 3 arrives after second 4"
    assert known[5:9] == [900] * 4
    assert known[9:] == [None] * 11, "older than five seconds by its stamp"


def test_an_old_tick_that_arrives_late_does_not_become_the_newest() -> None:
    grid = build(tables([(0, 0.5, 0), (3, 4.0, 900), (2, 4.5, -500)]))
    assert moves(grid)[4:7] == [900] * 3


def test_the_strike_is_the_tick_of_the_opening_second_and_before_it_nothing_moves() -> None:
    grid = build(tables([(0, 3.5, 100), (1, 1.5, 300)], strike_e8=None))
    assert moves(grid)[:6] == [None, None, None, None, 199, 199]


def test_without_the_tick_of_the_opening_the_tables_strike_counts() -> None:
    assert moves(build(tables([(1, 1.5, 300)])))[2] == 300
    assert set(moves(build(tables([(1, 1.5, 300)], strike_e8=None)))) == {None}


def test_a_twap_window_is_never_opened_by_a_spot_tick() -> None:
    assert set(moves(build(tables([(0, 0.5, 0), (1, 1.5, 300)], era="fee-twap", strike_e8=None)))) == {None}


def test_another_family_speaks_only_when_it_is_asked_and_only_against_itself() -> None:
    data = tables([(-1, -0.5, 5_000), (2, 2.5, 5_900)], kind="binance")
    assert set(moves(build(data))) == {None}
    grid = build(data, Reach(families=("chainlink", "binance")))
    assert moves(grid)[3] == 895, "5900 ppm against 5000 ppm, not against the strike"
    assert grid.proxy[0]


def both(*data: Dataset) -> Dataset:
    """Several one-window tables as one, each an hour after the one before."""
    later = []
    for hours, one in enumerate(data):
        shift = hours * 3_600 * SECOND
        named = pl.lit(f"btc-updown-15m-{1_800_000_000 + hours * 3_600}").alias("window")
        later.append(
            one._replace(
                markets=one.markets.with_columns(named, pl.col("start_ns", "end_ns") + shift),
                ticks=one.ticks.with_columns(pl.col("observed_ns", "at_ns") + shift),
                books=one.books.with_columns(named, pl.col("venue_ns", "at_ns") + shift),
            )
        )
    names = ("markets", "ticks", "books")
    return data[0]._replace(**{name: pl.concat([getattr(one, name) for one in later]) for name in names})


SETTLED = tables([(0, 0.5, 0), (2, 2.5, 900)], asks=[(1, 5_000), (4, 5_100)])
PROXIED = tables([(-1, -0.5, 5_000), (2, 2.5, 5_900)], asks=[(1, 5_000), (4, 5_100)], kind="binance")


def test_a_stand_in_speaks_only_for_windows_without_the_settling_stream() -> None:
    # The settling stream of the second window began after its opening: it has no strike, and no stand-in.
    exchange = tables([(-1, -0.5, 5_000), (2, 2.5, 5_900)], kind="binance").ticks
    late = tables([(8, 8.5, 300)], asks=[(1, 5_000), (4, 5_100)], strike_e8=None)
    data = both(SETTLED, late._replace(ticks=pl.concat([late.ticks, exchange])), PROXIED)
    reach = reach_of(StrategySettings(), data)
    assert reach.stand_ins == StandIns(frozenset({"btc-updown-15m-1800007200"}), ("binance",))
    grid = build(data, reach)
    assert grid.proxy.tolist() == [0, 0, 2]
    assert (grid.move_ppm[0, 3], grid.move_ppm[2, 3]) == (900, 895), "each against its own opening"
    assert set(grid.move_ppm[1].tolist()) == {NO_MOVE}
    assert judged_by(grid, reach) == {"chainlink": 1, "binance": 1}
    assert judges_told(judged_by(grid, reach)) == (
        "1 windows judged by chainlink, 1 windows judged by binance (proxy, not settlement)"
    )


def test_engine_and_grids_let_the_same_stand_ins_judge_the_same_windows() -> None:
    data = both(SETTLED, PROXIED, SETTLED, PROXIED)
    story, reach = tell(data, Assumptions()), reach_of(StrategySettings(), data)
    assert len(story.proxied) == 2 < len(story.markets)
    assert (story.proxied, story.families) == (reach.stand_ins.windows, reach.judges)


def test_a_settling_price_from_before_the_opening_does_not_judge_the_window() -> None:
    old = tables([(-1, -0.5, 900)], asks=[(1, 5_000), (4, 5_100)])
    data = old._replace(ticks=pl.concat([old.ticks, PROXIED.ticks]))
    grid = build(data, reach_of(StrategySettings(), data))
    assert (moves(grid)[3], grid.proxy[0]) == (895, 2)


def test_a_configured_exchange_is_a_proxy_whatever_its_rank() -> None:
    reach = reach_of(StrategySettings(families=("binance", "chainlink")), both(SETTLED, PROXIED))
    grid = build(both(SETTLED, PROXIED), reach)
    assert grid.proxy.tolist() == [0, 1]
    assert judged_by(grid, reach) == {"chainlink": 1, "binance": 1}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (tables([(0, 0.5, 0), (2, 2.5, 900)]), "1 have no book that an order could meet"),
        (tables(asks=[(1, 5_000), (4, 5_100)]), "1 have no price of the asset beside its book"),
        (SETTLED._replace(markets=SETTLED.markets.clear()), "there is no window in it"),
    ],
)
def test_data_that_can_prove_nothing_say_why_and_what_to_do(data: Dataset, why: str) -> None:
    with pytest.raises(NothingToTrade, match=f"made up: .*{why}; name data that hold prices, books"):
        need_tradable(build(data, reach_of(StrategySettings(), data)), data.name)
    need_tradable(build(SETTLED), "made up")


def test_an_order_meets_the_first_book_after_its_delay_and_never_the_one_it_saw() -> None:
    grid = build(tables(asks=[(1, 5_000), (4.5, 5_500), (15, 9_000)]))
    assert grid.ask4[0, 0, :6].tolist() == [0, 5_000, 5_000, 5_000, 5_000, 5_500]
    assert grid.fill4[0, 0, 0] == 5_000, "decided at 0, at the venue at 1"
    assert grid.fill4[0, 0, 1:4].tolist() == [5_500] * 3
    assert grid.fill4[0, 0, 4] == 0, "the next book is ten seconds away"
    assert grid.fill4[0, 0, 10] == 9_000
    assert grid.ask4[0, 0, 15] == 9_000 and grid.ask4[0, 0, 14] == 5_500
    assert (grid.ask4[1] == 0).all(), "nothing is known of the other token"


def test_an_empty_or_crossed_book_offers_nothing() -> None:
    grid = build(tables(asks=[(1, 5_000), (3, None)]))
    assert grid.ask4[0, 0, 2:5].tolist() == [5_000, 0, 0]
    assert grid.fill4[0, 0, 1:3].tolist() == [0, 0]


def test_the_backward_join_is_there_to_be_measured_and_differs() -> None:
    data = tables(asks=[(1, 5_000), (4.5, 5_500), (15, 9_000)])
    flattered = build(data, Reach(join="backward"))
    assert flattered.fill4[0, 0, 1:5].tolist() == [5_000] * 4
    assert flattered.fill4[0, 0, 14] == 5_500


def test_a_sampled_history_is_met_at_its_next_sample() -> None:
    data = tables(history=[(1, 4_000), (9, 7_000)])
    honest, flattered = (build(data, Reach(quotes="history", join=join)) for join in ("honest", "backward"))
    assert (honest.ask4[0, 0, 5], honest.fill4[0, 0, 5], flattered.fill4[0, 0, 5]) == (4_000, 7_000, 4_000)
    assert honest.ask4[1, 0, 5] == 6_000


def test_what_nobody_recorded_is_assumed_against_us() -> None:
    grid = build(tables(fee_rate_ppm=None, fee_exponent=None, taker_delay_ns=None, outcome=None))
    assert grid.fees == (TODAYS_FEE,)
    assert (grid.delay_ns[0], grid.outcome[0]) == (SECOND, UNKNOWN)
    assert build(tables(fee_rate_ppm=0)).fees == (None,)
    assert build(tables(outcome="down", fee_rate_ppm=72_000)).fees == (FeeSchedule(72_000, 1),)
    assert build(tables(outcome="down")).outcome[0] == DOWN


@pytest.mark.parametrize("shown6", [0, 30_000_000])
def test_a_made_up_world_is_the_same_through_its_tables(shown6: int) -> None:
    truth = planted.make(planted.World(windows=20, lag_s=20, shown6=shown6, seed=3))
    direct, built = planted.grid_of(truth), build(planted.dataset_of(truth))
    for name in Grid._fields:
        one, other = getattr(direct, name), getattr(built, name)
        assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other, name
    assert (direct.fill_size.max() == ANY_SIZE) == (shown6 == 0)


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(2, 898), seed=st.integers(0, 1_000))
def test_nothing_that_is_known_depends_on_what_comes_later(cut: int, seed: int) -> None:
    whole = planted.dataset_of(planted.make(planted.World(windows=1, lag_s=5, seed=seed)))
    horizon = planted.FIRST_NS + cut * SECOND
    seen = whole._replace(
        ticks=whole.ticks.filter(pl.col("at_ns") <= horizon),
        books=whole.books.filter(pl.col("at_ns") <= horizon),
    )
    one, other = build(whole), build(seen)
    assert (one.move_ppm[0, : cut + 1] == other.move_ppm[0, : cut + 1]).all()
    assert (one.ask4[:, 0, : cut + 1] == other.ask4[:, 0, : cut + 1]).all()


def test_shifts_move_the_oracle_and_the_orders_and_invent_nothing() -> None:
    grid = planted.grid_of(planted.make(planted.World(windows=3)))
    late = with_oracle_shifted(grid, 60)
    assert (late.move_ppm[:, 60:] == grid.move_ppm[:, :-60]).all() and (
        late.move_ppm[:, :60] == NO_MOVE
    ).all()
    early = with_oracle_shifted(grid, -60)
    assert (early.move_ppm[:, :-60] == grid.move_ppm[:, 60:]).all() and (
        early.move_ppm[:, -60:] == NO_MOVE
    ).all()
    slow = later(grid, 5)
    assert (slow.fill4[..., :-5] == grid.fill4[..., 5:]).all() and not slow.fill4[..., -5:].any()
    assert with_oracle_shifted(grid, 0).move_ppm.tolist() == grid.move_ppm.tolist()
