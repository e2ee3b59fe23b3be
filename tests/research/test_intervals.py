"""Intervals: exact where a closed form exists, seeded, and covering the truth as often as they claim."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.research.intervals import bootstrap_mean, wilson, wilson_all


def test_wilson_is_the_published_formula() -> None:
    # 7 of 10: solved by hand from the score equation with z = 1.96.
    low, mean, high = wilson(7, 10)
    assert (round(low, 4), mean, round(high, 4)) == (0.3968, 0.7, 0.8922)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_its_share_and_stays_within_bounds(pair: tuple[int, int]) -> None:
    k, n = pair
    low, mean, high = wilson(k, n)
    assert 0.0 <= low <= mean + 1e-12
    assert mean - 1e-12 <= high <= 1.0


def test_wilson_of_nothing_is_not_a_number() -> None:
    assert all(math.isnan(part) for part in wilson(0, 0))


def test_many_shares_at_once_are_the_single_ones() -> None:
    low, _, high = wilson_all([0, 3, 9], [4, 9, 9])
    assert [(low[i], high[i]) for i in range(3)] == [
        (wilson(k, n).low, wilson(k, n).high) for k, n in ((0, 4), (3, 9), (9, 9))
    ]


def test_a_bootstrap_repeats_itself_and_changes_with_its_seed() -> None:
    values = np.random.default_rng(1).normal(size=50)
    assert bootstrap_mean(values, 7) == bootstrap_mean(values, 7)
    assert bootstrap_mean(values, 7) != bootstrap_mean(values, 8)


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    covered = 0
    for trial in range(300):
        low, _, high = bootstrap_mean(generator.normal(0.3, 1.0, size=60), trial, 800)
        covered += low <= 0.3 <= high
    assert 0.90 <= covered / 300 <= 0.98


def test_values_that_hang_together_widen_the_interval() -> None:
    days = np.repeat(np.arange(10), 20)
    values = np.random.default_rng(5).normal(size=10)[days]
    alone, grouped = bootstrap_mean(values, 1), bootstrap_mean(values, 1, groups=days)
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)
    assert grouped.mean == alone.mean


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.7]])
def test_one_group_says_nothing_about_its_spread(values: list[float]) -> None:
    low, _, high = bootstrap_mean(values, 1, groups=["a"] * len(values))
    assert (low, high) == (-math.inf, math.inf)


def test_nothing_observed_is_not_zero() -> None:
    assert all(math.isnan(part) for part in bootstrap_mean([], 1))
