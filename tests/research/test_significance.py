"""The statistics against what is known of them: size without an edge, few trades, many trials, power."""

import numpy as np
import pytest

from common.research.falsification.significance import (
    LEAST_CLUSTERS,
    coin_flips,
    normal_quantile,
    power,
    ratio,
    reality_check,
    resamples_for,
    trades_needed,
)

SPENT = np.full(300, 5_500_000)
SIZE = np.full(300, 10_000_000)


def fair_bets(chance: np.random.Generator, edge: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    won = chance.random(300) < 0.55 + edge
    return np.where(won, SIZE, 0) - SPENT, won


@pytest.mark.parametrize("clustered", [False, True])
def test_fair_bets_are_believed_in_one_case_of_twenty(clustered: bool) -> None:
    chance, believed, worlds = np.random.default_rng(1), 0, 120
    for world in range(worlds):
        net, _won = fair_bets(chance)
        cluster = np.arange(300)
        if clustered:
            # Five bets that win and lose together are one piece of evidence.
            net, cluster = np.repeat(net[:60], 5), np.repeat(np.arange(60), 5)
        believed += ratio(net, SPENT, cluster, world, 399).p <= 0.05
    assert believed <= 0.05 * worlds + 2.6 * np.sqrt(worlds * 0.05 * 0.95), f"{believed} of {worlds}"
    assert believed >= 1, "a test that believes nothing has no power either"


def test_bets_that_hang_together_are_not_counted_one_by_one() -> None:
    chance = np.random.default_rng(4)
    net, _won = fair_bets(chance, 0.15)
    net, cluster = np.repeat(net[:30], 10), np.repeat(np.arange(30), 10)
    together, apart = ratio(net, SPENT, cluster, 1), ratio(net, SPENT, np.arange(300), 1)
    assert together.value == apart.value
    assert together.p > apart.p and together.low < apart.low and together.high > apart.high
    assert (together.clusters, apart.clusters) == (30, 300)


def test_the_bounds_hold_the_truth_as_often_as_they_say() -> None:
    chance, inside, worlds = np.random.default_rng(2), 0, 100
    for world in range(worlds):
        net, _won = fair_bets(chance, 0.05)
        found = ratio(net, SPENT, np.arange(300), world, 399)
        inside += found.low <= 0.05 / 0.55 <= found.high
    assert 0.82 <= inside / worlds <= 0.98


@pytest.mark.parametrize("count", [0, 1, LEAST_CLUSTERS - 1])
def test_a_few_trades_prove_nothing_however_good(count: int) -> None:
    found = ratio(np.full(count, 4_500_000), SPENT[:count], np.arange(count), 1)
    assert (found.p, found.low, found.high) == (1.0, float("-inf"), float("inf"))


def test_coins_as_fair_as_the_price_win_as_much_and_no_more() -> None:
    chance = np.random.default_rng(3)
    values = [coin_flips(SIZE, SPENT, fair_bets(chance)[1], world, 199) for world in range(200)]
    assert 0.01 <= np.mean(np.array(values) <= 0.05) <= 0.1
    assert coin_flips(SIZE, SPENT, np.ones(300, bool), 1) == 1 / 2_000
    assert coin_flips(SIZE[:0], SPENT[:0], np.ones(0, bool), 1) == 1.0


def test_the_best_of_many_is_not_taken_for_an_edge_and_a_real_one_is_found() -> None:
    chance, believed = np.random.default_rng(5), 0
    for world in range(40):
        net = chance.normal(0, 1, (60, 100))
        believed += (reality_check(net, np.ones_like(net), np.ones_like(net), world, 299) <= 0.05).any()
    assert believed <= 6, f"{believed} of 40 searches among 100 worthless rules"
    net = chance.normal(0, 1, (60, 100))
    net[:, 7] += 1.0
    p = reality_check(net, np.ones_like(net), np.ones_like(net), 1)
    assert p[7] <= 0.05 and np.argmin(p) == 7


def test_cells_that_hardly_traded_are_not_judged() -> None:
    ones = np.ones((60, 2))
    traded = np.stack([np.ones(60), np.zeros(60)], axis=1)
    assert reality_check(ones, ones, traded, 1).tolist()[1] == 1.0
    assert reality_check(ones[:5], ones[:5], traded[:5], 1).tolist() == [1.0, 1.0]


def test_power_grows_with_the_edge_and_falls_with_the_trials() -> None:
    spent, size, cluster = np.tile(SPENT, 8), np.tile(SIZE, 8), np.arange(2_400)
    small, large = (power(size, spent, cluster, edge, 1, 1) for edge in (0.005, 0.05))
    assert small < 0.3
    assert large > 0.95
    assert power(size, spent, cluster, 0.02, 100, 1) < power(size, spent, cluster, 0.02, 1, 1)
    assert 0.0 <= power(size, spent, cluster, 0.0, 1, 1) <= 0.09
    assert power(SIZE[:5], SPENT[:5], np.arange(5), 0.5, 1, 1) == 0.0


def test_as_many_trades_as_are_said_to_be_needed_have_the_power() -> None:
    count = trades_needed(SIZE, SPENT, 0.04, 1)
    spent, size = np.full(count, SPENT[0]), np.full(count, SIZE[0])
    assert 0.74 <= power(size, spent, np.arange(count), 0.04, 1, 1) <= 0.86


def test_small_numbers() -> None:
    assert abs(normal_quantile(0.95) - 1.6448536) < 1e-6
    assert resamples_for(1) == 1_999 and resamples_for(625) == 24_999
    assert 0.05 * (resamples_for(1_000) + 1) >= 1_000, "a p of 0.05 over a thousand trials can be reached"
