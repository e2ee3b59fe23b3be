"""The battery on worlds of which the truth is known: leaks, strategies without sense, a planted edge."""

import math
import os
import re
import sys

import msgspec
import numpy as np
import polars as pl
import pytest

from common.core.settings import StrategySettings
from common.research.falsification import calibration, leaks, planted, significance
from common.research.falsification.audit import AUDITED, audit, claim, lag_candidate
from common.research.falsification.battery import Test as Outcome
from common.research.falsification.battery import clusters
from common.research.falsification.falsify import falsify, falsify_lag, judge
from common.research.grids.grid import Grid, NothingToTrade, Reach, reach_of
from common.research.grids.trades import Rule, Trades, lag_signal, trade

REACH = Reach()
NAMES = [
    "information", "fills", "fees", "completeness", "profit", "trials", "price-matched coin flip",
    "random direction", "reversed direction", "shuffled outcomes", "time-shifted oracle", "latency ladder",
    "doubled fees", "date hold-out", "stale-join flattery",
]  # fmt: skip


def test_all_ten_leaks_are_caught_by_the_test_that_is_there_for_them() -> None:
    found = list(calibration.catch_leaks(windows=120))
    assert [one.name for one in found] == [leak.name for leak in leaks.LEAKS]
    assert len(found) == 10
    assert [one.name for one in found if not one.caught] == []
    # A duplicate adds no profit: it halves what the result seems to be uncertain by.
    idle = [one.name for one in found if not one.claimed > one.honest]
    assert idle == ["duplicated windows"], "a leak that does not flatter proves nothing"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_leaks_are_caught_in_other_worlds_too(seed: int) -> None:
    found = list(calibration.catch_leaks(seed))
    sys.stdout.write(f"{[(one.name, round(one.claimed, 3), one.failed) for one in found]}\n")
    assert [one.name for one in found if not one.caught] == []


def test_without_its_own_test_a_leak_would_be_believed() -> None:
    """The audit is not decoration: the statistics alone call a peek at the outcome an edge."""
    leak = next(leak for leak in leaks.LEAKS if leak.name == "losing windows dropped")
    data = planted.dataset_of(planted.make(leak.world._replace(windows=300, seed=7)))
    finding = falsify(data, leak.plant(data, REACH), REACH)
    failed = {test.name for test in finding.tests if not test.passed}
    assert "completeness" in failed and not failed & {"profit", "price-matched coin flip"}


def test_strategies_without_sense_do_not_pass() -> None:
    found = calibration.without_sense(20, windows=150)
    assert found.supported <= 1
    assert found.profitable <= 5


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_at_most_five_of_a_hundred_strategies_without_sense_pass() -> None:
    found = calibration.without_sense(200)
    sys.stdout.write(f"{found} load {os.getloadavg()[0]:.1f}\n")
    assert found.supported <= 0.05 * found.strategies
    # Two sided: the first gate alone must have the size that it claims.
    assert found.profitable <= 0.05 * found.strategies + 2.6 * math.sqrt(found.strategies * 0.05 * 0.95)


def test_a_planted_edge_is_found() -> None:
    found = calibration.with_edge(2, planted.World(windows=1_200, lag_s=20))
    assert found.supported == found.strategies
    assert found.edge > 0.03


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_a_planted_edge_of_three_cents_is_found_four_times_of_five() -> None:
    found = calibration.with_edge(50, calibration.EDGED)
    sys.stdout.write(f"{found} load {os.getloadavg()[0]:.1f}\n")
    assert 0.02 < found.edge < 0.035
    assert found.supported >= 0.8 * found.strategies


def test_an_honest_claim_on_a_late_book_is_supported_and_every_test_says_why() -> None:
    data = planted.dataset_of(planted.make(planted.World(windows=600, lag_s=40, seed=2)))
    finding = falsify_lag(data, Rule(), REACH)
    assert (finding.result, finding.text) == ("supported", "every test was passed")
    assert [test.name for test in finding.tests] == NAMES
    assert all(test.text for test in finding.tests)
    assert finding.windows == 600 and finding.trades > 500
    assert finding.unsized == finding.trades, "this world tells no sizes"
    by_name = {test.name: test for test in finding.tests}
    assert set(by_name["latency ladder"].parts) == {"0 s", "1 s", "2 s", "5 s", "10 s", "60 s"}
    assert any(name.startswith("day 2026-01-0") for name in by_name["date hold-out"].parts)
    assert {"asset btc", "without the best day"} <= set(by_name["date hold-out"].parts)
    low, high = by_name["profit"].low, by_name["profit"].high
    assert low is not None and high is not None and 0 < low < by_name["profit"].statistic < high


def test_a_fair_book_gives_no_edge_and_the_power_is_told() -> None:
    data = planted.dataset_of(planted.make(planted.World(windows=300)))
    finding = falsify_lag(data, Rule(), REACH)
    assert finding.result == "too little data"
    assert finding.power < 0.8 and f"{finding.power:.0%}" in finding.text
    assert finding.trades_needed is not None and finding.trades_needed > 2_000
    assert all(test.passed for test in finding.tests if test.name in AUDITED)


def test_the_number_of_trials_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "MOST_RESAMPLES", 3_999)
    data = planted.dataset_of(planted.make(planted.World(windows=200, lag_s=40, seed=2)))
    once = falsify_lag(data, Rule(), REACH, trials=1)
    often = falsify_lag(data, Rule(), REACH, trials=2_000)
    assert once.result == "supported"
    assert often.result != "supported"
    assert [test.name for test in often.tests if not test.passed] == ["trials"]


@pytest.mark.parametrize("empty", ["books", "ticks", "markets"])
def test_data_that_can_prove_nothing_are_not_judged_at_all(empty: str) -> None:
    data = planted.dataset_of(planted.make(planted.World(windows=3)))
    with pytest.raises(NothingToTrade, match="made-up world 1: "):
        falsify_lag(data._replace(**{empty: getattr(data, empty).clear()}), Rule(), REACH)


def test_a_rule_that_trades_nothing_passes_and_fails_nothing() -> None:
    data = planted.dataset_of(planted.make(planted.World(windows=3)))
    finding = falsify_lag(data, Rule(move_ppm=900_000), REACH)
    assert (finding.result, finding.trades, finding.power) == ("too little data", 0, 0.0)
    assert finding.trades_needed is None
    assert "nothing to test" in finding.text and "failed" not in finding.text
    assert {test.word for test in finding.tests} == {"no data"}
    written = msgspec.json.decode(msgspec.json.encode(finding))
    assert {test["statistic"] for test in written["tests"]} == {None}


@pytest.mark.parametrize("proxied", [1, 200])
def test_what_a_proxy_judged_in_whole_or_in_part_is_never_supported(proxied: int) -> None:
    data = planted.dataset_of(planted.make(planted.World(windows=200, lag_s=40, seed=2)))
    from_ns = data.markets["start_ns"].sort()[-proxied]
    unsettled = pl.col("observed_ns") >= from_ns
    kind = pl.when(unsettled).then(pl.lit("binance")).otherwise(pl.col("kind")).alias("kind")
    data = data._replace(ticks=data.ticks.with_columns(kind))
    finding = falsify_lag(data, Rule(), reach_of(StrategySettings(), data))
    assert finding.windows == sum(finding.judged.values()) == 200
    assert finding.judged["binance"] == finding.proxied == proxied
    assert 0 < finding.proxies <= proxied
    assert all(test.passed for test in finding.tests), "nothing but the judge speaks against it"
    assert finding.result == "not supported"
    assert f"{proxied} windows were judged by a proxy, which does not settle" in finding.text


def test_open_windows_are_traded_but_prove_nothing() -> None:
    data = planted.dataset_of(planted.make(planted.World(windows=60, lag_s=40)))
    data = data._replace(markets=data.markets.with_columns(pl.lit(None, pl.String).alias("outcome")))
    grid, claimed = claim(data, lag_candidate(Rule(), REACH))
    assert len(claimed.window) > 40 and not len(claimed.settled.window)
    assert all(test.passed for test in audit(data, lag_candidate(Rule(), REACH), REACH, grid, claimed))
    with pytest.raises(NothingToTrade, match="60 have no outcome"):
        falsify_lag(data, Rule(), REACH)


def test_trades_of_one_opening_are_one_cluster_and_of_one_day_where_there_are_many() -> None:
    grid = planted.grid_of(planted.make(planted.World(windows=40 * 96, seconds=900, lag_s=40)))
    days = np.unique(clusters(grid, claim_of(grid)))
    assert len(days) == 40
    short = grid.take(np.arange(200))
    assert len(np.unique(clusters(short, claim_of(short)))) > 100


def claim_of(grid: Grid) -> Trades:
    return trade(grid, lag_signal(Rule()), Rule())


def outcome(name: str, passed: bool, high: float | None = None) -> Outcome:
    return Outcome(name, 0.0, None, None, high, passed, gate=True, text="")


def silent(name: str) -> Outcome:
    return msgspec.structs.replace(outcome(name, False), statistic=math.nan)


@pytest.mark.parametrize(
    ("tests", "power", "result", "word"),
    [
        ((outcome("profit", True),), 0.1, "supported", "passed"),
        ((outcome("fills", False), outcome("profit", True)), 0.99, "not supported", "claim itself"),
        ((outcome("profit", False, 0.2),), 0.5, "too little data", "50%"),
        ((outcome("profit", False, 0.2),), 0.9, "not supported", "failed: profit"),
        ((outcome("profit", False, 0.01),), 0.1, "not supported", "at most \\+1.0%"),
        ((outcome("fills", True), silent("profit")), 0.9, "too little data", "nothing to test"),
        ((outcome("profit", False), silent("fees")), 0.9, "not supported", "failed: profit; no data: fees"),
    ],
)
def test_the_word_and_its_reason(tests: tuple[Outcome, ...], power: float, result: str, word: str) -> None:
    found = judge(tests, power, 0.04)
    assert found[0] == result
    assert re.search(word, found[1])
    by_proxy = judge(tests, power, 0.04, proxied=1)
    assert by_proxy[0] == ("not supported" if result == "supported" else result)
    assert "a proxy, which does not settle" in by_proxy[1]
