"""On recorded markets the naive rule earns nothing that can be told from zero; only a stale join pretends to.

No figure is a target. The trades are held against a second calculation that shares no code with the engine.
"""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from common.core.settings import RiskLimits, StrategySettings
from common.research.backtesting.backtest import Outcome, Plan, run, without_stops
from common.research.backtesting.flattery import study
from common.research.backtesting.results import summarise
from common.research.data.dataset import Dataset
from common.research.data.loading import load
from common.units import SECOND

RULE = StrategySettings()


@pytest.fixture(scope="module")
def data(shared_data: Path) -> Dataset:
    return load(shared_data / "normalised")


@pytest.fixture(scope="module")
def outcome(data: Dataset) -> Outcome:
    return run(data, Plan(RULE, without_stops(RiskLimits())))


def test_the_naive_rule_is_about_nothing_or_less_with_an_interval_tens_of_points_wide(
    outcome: Outcome,
) -> None:
    found = summarise(outcome.trades)
    assert found.trades >= 7
    assert found.return_per_stake.low < 0
    assert found.return_per_stake.mean < 0.10
    assert found.return_per_stake.high - found.return_per_stake.low > 0.20
    assert outcome.label == ""


def test_every_fill_came_after_its_order_and_says_how_old_it_was(outcome: Outcome) -> None:
    for one in outcome.trades:
        assert one.filled_ns > one.decided_ns
        assert 0 <= one.wait_ns <= 5 * SECOND
        assert one.basis == "proxy, not settlement"  # none of these windows has its settling stream


def test_sampled_prices_are_refused(outcome: Outcome) -> None:
    assert outcome.left_out["sampled prices only, nothing to fill at"] > 200


def test_only_the_stale_join_makes_a_profit_of_sampled_prices(data: Dataset) -> None:
    (found,) = study(data, RULE)
    assert found.backward.median_age_s > 40
    assert found.forward.median_age_s < 0
    assert found.backward.return_per_stake.low > 0
    assert found.forward.return_per_stake.low < 0 < found.forward.return_per_stake.high
    assert found.backward.return_per_stake.mean - found.forward.return_per_stake.mean > 0.2


def test_a_second_calculation_finds_the_same_trades(data: Dataset, outcome: Outcome) -> None:
    expected = {}
    binance = data.ticks.filter(pl.col("kind") == "binance").sort("at_ns")
    for market in data.markets.iter_rows(named=True):
        rows = data.books.filter(pl.col("window") == market["window"]).sort("at_ns", maintain_order=True)
        near = binance.filter(
            (pl.col("at_ns") >= market["start_ns"] - 5 * SECOND) & (pl.col("at_ns") <= market["end_ns"])
        )
        bought = _naive(market, rows, near) if rows.height and near.height and market["outcome"] else None
        if bought is not None:
            expected[market["window"]] = bought
    found = {
        one.window: (one.outcome, one.price4, one.won)
        for one in outcome.trades
        if _judged_by_binance(data, one.window)
    }
    assert found == expected
    assert len(found) >= 7


def _judged_by_binance(data: Dataset, window: str) -> bool:
    market = data.markets.row(by_predicate=pl.col("window") == window, named=True)
    inside = (pl.col("at_ns") >= market["start_ns"]) & (pl.col("at_ns") <= market["end_ns"])
    return bool(data.ticks.filter(inside & (pl.col("kind") == "binance")).height)


def _naive(market: dict[str, Any], books: pl.DataFrame, ticks: pl.DataFrame) -> tuple[str, int, bool] | None:
    """The rule in one loop: at every tick or quote the newest of both, then the first quote 0.5 s later."""
    start_ns, end_ns = market["start_ns"], market["end_ns"]
    moments = sorted({*ticks["at_ns"].to_list(), *books["at_ns"].to_list()})
    quotes: dict[str, list[tuple[int, int | None]]] = {"up": [], "down": []}
    for side, at_ns, ask4 in books.select("outcome", "at_ns", "ask4").iter_rows():
        quotes[side].append((at_ns, ask4))
    prices = list(ticks.select("at_ns", "price_e8").iter_rows())
    before = [price for at_ns, price in prices if at_ns <= start_ns]
    after = [price for at_ns, price in prices if start_ns < at_ns <= start_ns + 5 * SECOND]
    if not before and not after:
        return None
    base = before[-1] if before else after[0]
    # What came at one instant came in some order: books first, then ticks.
    steps = [(at_ns, at_ns - behind) for at_ns in moments for behind in (1, 0)]
    for now, ticks_until in steps:
        if not start_ns < now < end_ns - 300 * SECOND:
            continue
        known = [(at_ns, price) for at_ns, price in prices if at_ns <= ticks_until]
        if not known or known[-1][0] <= start_ns:
            continue
        price = known[-1][1]
        began = next(known[i][0] for i in range(len(known) - 1, -1, -1) if i == 0 or known[i - 1][1] != price)
        if now - began > 5 * SECOND or abs(price - base) * 1_000_000 // base <= 700:
            continue
        side = "up" if price > base else "down"
        seen = [(at_ns, ask4) for at_ns, ask4 in quotes[side] if at_ns <= now]
        if not seen or now - seen[-1][0] > 10 * SECOND or seen[-1][1] is None or seen[-1][1] >= 6_200:
            continue
        met = next(((at, ask4) for at, ask4 in quotes[side] if at >= now + SECOND // 2), None)
        if met is None or met[0] > now + 5.5 * SECOND or met[1] is None or met[1] > 6_100:
            return None  # the one entry of this window was an order that bought nothing
        return side, met[1], market["outcome"] == side
    return None
