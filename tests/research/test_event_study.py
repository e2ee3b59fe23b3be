"""Jumps are found by their definition, and a book that is late by a known time is found to be that late."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.research.data.dataset import Dataset, dataset
from common.research.lag.event_study import (
    Definition,
    Jumps,
    Prices,
    Quotes,
    Sightings,
    as_of,
    find_jumps,
    line_up,
    path,
    react,
)
from common.research.lag.lag_study import quotes_of, study
from common.units import SECOND
from lag_markets import lagging
from recorded_windows import OPENS_S, flat, jump, made, market, ticks
from recorded_windows import books as books_of

HOW = Definition()


def prices(values: list[float], *, every_s: float = 1.0, late_s: float = 0.0) -> Prices:
    stamps = np.array([round(number * every_s * SECOND) for number in range(len(values))], np.int64)
    return Prices(stamps, stamps + round(late_s * SECOND), np.array([round(each * 1e8) for each in values]))


def test_a_jump_counts_from_its_receipt_and_from_the_price_it_left() -> None:
    found = find_jumps(prices([100.0] * 5 + [100.03, 100.07, 100.07], late_s=1.5), HOW)
    assert found.at_ns.tolist() == [int(7.5 * SECOND)]
    assert found.move_ppm.tolist() == [pytest.approx(700)]
    # Of three equal prices within reach the nearest one is left: the move had not begun before.
    assert found.base_ns.tolist() == [4 * SECOND]
    assert find_jumps(prices([100.0] * 5 + [100.03, 100.069, 100.069]), HOW).at_ns.tolist() == []


def test_a_slow_move_is_no_jump_and_a_fall_has_a_sign() -> None:
    assert not len(find_jumps(prices([100.0, 100.02, 100.04, 100.06, 100.08, 100.10]), HOW).at_ns)
    (fall,) = find_jumps(prices([100.0, 99.9]), HOW).move_ppm
    assert fall == pytest.approx(-1000)


def test_a_jump_before_the_last_is_over_is_the_same_event() -> None:
    calm = [100.1] * 30
    found = find_jumps(prices([100.0, 100.1, *calm, 100.3, *calm, 100.5]), HOW)
    assert found.at_ns.tolist() == [1 * SECOND, 63 * SECOND]
    # Two more ticks at 100.1 within reach of 100.0, the one at 100.3, three within reach of that one.
    assert found.overlapping == 6


@given(st.lists(st.integers(99_700, 100_300), min_size=2, max_size=60), st.integers(1, 4))
def test_jumps_are_exactly_those_of_the_definition(values: list[int], within_s: int) -> None:
    how = HOW._replace(within_ns=within_s * SECOND, final_ns=10 * SECOND)
    series = prices([float(each) for each in values])
    expected: list[int] = []
    for now in range(len(values)):
        before = values[max(0, now - within_s) : now]
        moved = any(abs(values[now] / old - 1) * 1e6 >= 700 - 1e-6 for old in before)
        if moved and (not expected or now - expected[-1] >= 10):
            expected.append(now)
    found = find_jumps(series, how)
    assert (found.at_ns // SECOND).tolist() == expected
    assert (found.base_ns < found.at_ns).all()


@given(
    st.lists(st.integers(0, 60), max_size=20).map(sorted),
    st.lists(st.integers(0, 80), min_size=1, max_size=9),
)
def test_as_of_knows_nothing_received_later_and_nothing_too_old(known: list[int], when: list[int]) -> None:
    values = np.arange(len(known), dtype=np.float64)
    found, age = as_of(np.array(known, np.int64), values, np.array(when, np.int64), 5)
    for instant, value, old in zip(when, found, age, strict=True):
        usable = [number for number, at in enumerate(known) if at <= instant]
        if usable and instant - known[usable[-1]] <= 5:
            assert value == usable[-1]
            assert old == instant - known[usable[-1]]
        else:
            assert math.isnan(value) and math.isnan(old)


def test_a_row_without_a_price_is_unknown_and_not_the_price_before_it() -> None:
    found, age = as_of(np.array([0, 1]), np.array([5.0, np.nan]), np.array([2]), 5)
    assert math.isnan(found[0]) and math.isnan(age[0])


def reaction(late_s: int, **changes: Any) -> dict[float, tuple[float, float]]:
    (series,) = study(lagging(late_s, **changes)).series
    return {step.after_ns / SECOND: (step.moved_cents.mean, step.share.mean) for step in series.whole.steps}


@pytest.mark.parametrize(
    ("late_s", "done_at"),
    # Ticks come 1.1 s after their stamp, books 0.3 s after the second: late_s - 0.8 s after it is known.
    [(0, 0), (1, 1), (2, 2), (5, 5), (10, 10), (30, 30), (55, 55)],
)
def test_a_book_that_is_late_by_a_known_time_is_found_to_be_so(late_s: int, done_at: int) -> None:
    found = reaction(late_s)
    for after, (cents, share) in found.items():
        assert share == pytest.approx(1.0 if after >= done_at else 0.0, abs=1e-6)
        assert cents == pytest.approx(5.0 * (after >= done_at), abs=0.06)


def test_what_came_later_changes_nothing_before() -> None:
    data = lagging(1)
    (series,) = study(data).series
    (price,) = (Prices(*(data.ticks[name].to_numpy() for name in ("observed_ns", "at_ns", "price_e8"))),)
    leaps = find_jumps(price, HOW)
    windows = quotes_of(data)["btc"]
    seen, _ = line_up(price, leaps, windows, HOW)
    first = Jumps(leaps.base_ns[:1], leaps.at_ns[:1], leaps.move_ppm[:1], 0)
    spoiled = [
        one._replace(mid4=np.where(one.at_ns > leaps.at_ns[0] + 2 * SECOND, one.mid4 + 777, one.mid4))
        for one in windows
    ]
    changed, _ = line_up(price, first, spoiled, HOW)
    place = list(HOW.offsets_ns).index(2 * SECOND)
    assert changed.moved4[0, : place + 1].tolist() == seen.moved4[0, : place + 1].tolist()
    assert (changed.moved4[0, place + 1 :] != seen.moved4[0, place + 1 :]).all()
    assert series.whole.jumps == len(seen.window)


def test_a_jump_without_a_young_quote_at_any_horizon_is_left_out_and_counted() -> None:
    paused = [second for second in range(900) if not 120 <= second < 135]
    data = made([market()], ticks(jump(100, 100_200.0)), books_of(flat(0.5), seconds=paused))
    (series,) = study(data).series
    assert (series.jumps, series.unseen, series.unquoted, series.whole.jumps) == (1, 0, 1, 0)
    brief = [second for second in range(900) if not 128 <= second < 133]
    (series,) = study(
        made([market()], ticks(jump(100, 100_200.0)), books_of(flat(0.5), seconds=brief))
    ).series
    assert (series.unquoted, series.whole.jumps) == (0, 1)


def test_a_window_has_to_be_open_from_before_the_jump_to_the_end() -> None:
    for second, seen in ((5, 1), (0, 0), (830, 1), (840, 0)):
        data = made([market()], ticks(jump(second, 100_200.0)), books_of(flat(0.5)))
        (series,) = study(data).series
        assert (series.jumps, series.whole.jumps, series.unseen) == (1, seen, 1 - seen)


def test_history_received_at_once_is_no_jump() -> None:
    late = ticks(jump(100, 100_200.0), seconds=range(60, 160))
    connected = (OPENS_S + 160) * SECOND
    for row in late:
        row["at_ns"] = connected
    data = made([market()], late + ticks(flat(100_200.0), seconds=range(160, 900)), books_of(flat(0.5)))
    (series,) = study(data).series
    assert series.jumps == 0


def test_only_downs_book_shows_the_mid_from_the_other_side() -> None:
    up = made([market()], [], books_of(flat(0.40)))
    down = made([market()], [], books_of(flat(0.40), outcome="down"))
    assert quotes_of(up)["btc"][0].mid4[0] == 3900
    assert quotes_of(down)["btc"][0].mid4[0] == 6100


def sightings(moved: list[float], cluster: list[int]) -> Sightings:
    """As if each jump had moved the mid by so much at once."""
    count, offsets = len(moved), len(HOW.offsets_ns)
    names = np.full(count, "x")
    wide = np.tile(np.array(moved)[:, None], (1, offsets))
    whole = np.array(cluster, np.int64)
    ones = np.ones(count)
    return Sightings(names, names, names, whole, whole, 700 * ones, wide, wide, wide, np.zeros(count))


def test_what_opens_together_is_one_piece_of_evidence() -> None:
    moved, opened = [100.0, 300.0, -100.0, 500.0, 200.0, 700.0], list(range(6))
    once = react(sightings(moved, opened), HOW, 1)
    often = react(sightings(moved * 10, opened * 10), HOW, 1)
    assert often.final_cents == pytest.approx(once.final_cents)
    assert (often.jumps, often.windows) == (60, 6)
    apart = react(sightings(moved * 10, list(range(60))), HOW, 1)
    assert apart.final_cents.high - apart.final_cents.low < 0.5 * (
        often.final_cents.high - often.final_cents.low
    )


def test_no_share_is_told_of_a_move_that_may_be_none() -> None:
    found = react(sightings([100.0, -100.0, 120.0, -90.0, 10.0, -5.0], list(range(6))), HOW, 1)
    assert all(math.isnan(step.share.mean) for step in found.steps)
    few = react(sightings([100.0, 110.0], [1, 2]), HOW, 1)
    assert few.final_cents.low == float("-inf")
    assert math.isnan(few.steps[0].share.mean)
    assert not few.enough


def test_intervals_are_the_same_with_the_same_seed_and_hold_the_truth() -> None:
    held = 0
    for seed in range(40):
        chance = np.random.default_rng(seed)
        sample = sightings((200 + 150 * chance.standard_normal(25)).tolist(), list(range(25)))
        found = react(sample, HOW, 1)
        held += found.final_cents.low <= 2.0 <= found.final_cents.high
    assert held >= 34
    assert react(sample, HOW, 1) == found != react(sample, HOW, 2)


def test_the_path_shows_a_book_that_leads() -> None:
    data: Dataset = lagging(0)
    (series,) = study(data).series
    by_second = {offset / SECOND: (moved.mean, reference) for offset, moved, reference in series.path}
    # The book moves 0.8 s before the jump can be known, the reference when it can.
    assert by_second[-1][0] == pytest.approx(0.0, abs=0.05)
    assert by_second[0][0] == pytest.approx(5.0, abs=0.05)
    assert by_second[-1][1] == pytest.approx(0.0, abs=1)
    assert by_second[0][1] == pytest.approx(1000, rel=0.01)


def test_nothing_seen_is_nothing_said() -> None:
    data = dataset("empty")
    assert study(data).series == ()
    empty, lacking = line_up(prices([1.0, 2.0]), find_jumps(prices([1.0, 2.0]), HOW), [], HOW)
    assert (len(empty.window), lacking) == (0, 0)
    assert math.isnan(react(empty, HOW, 1).final_cents.mean)
    assert math.isnan(path(empty, HOW, 1)[0][1].mean)
    quotes = Quotes("w", "btc", "e", 0, 1, np.zeros(0, np.int64), np.zeros(0))
    assert np.isnan(as_of(quotes.at_ns, quotes.mid4, np.array([1]), 5)[0]).all()
