"""Sums of trades by hand: drawdown, losing runs, breakdowns, calibration and the cut by date."""

import math

import pytest

from common.research.backtesting.results import (
    LEAST_OPENINGS,
    Trade,
    broken_down,
    calibration,
    fill_ages,
    split_by_date,
    summarise,
    unfilled,
)
from common.units import SECOND

DAY_S = 86_400
START_S = 20_600 * DAY_S


def trade(at_s: int, won: bool, price4: int = 5_000, asset: str = "btc", fee_usd6: int = 0) -> Trade:
    """Ten dollars on one side."""
    size6 = 10_000_000 * 10_000 // price4
    return Trade(
        window=f"{asset}-{at_s}",
        asset=asset,
        era="fee-spot",
        start_ns=(START_S + at_s) * SECOND,
        outcome="up",
        basis="settlement",
        decided_ns=0,
        filled_ns=0,
        wait_ns=0,
        age_ns=0,
        size_known=True,
        derived=False,
        price4=price4,
        size6=size6,
        cost_usd6=10_000_000,
        fee_usd6=fee_usd6,
        payout_usd6=size6 if won else 0,
    )


def test_drawdown_is_the_deepest_fall_and_the_run_the_longest_row_of_losses() -> None:
    outcomes = [True, True, False, False, False, True, False]
    found = summarise([trade(900 * i, won) for i, won in enumerate(outcomes)], resamples=100)
    assert (found.trades, found.wins, found.pnl_usd6) == (7, 3, -10_000_000)
    assert (found.drawdown_usd6, found.losing_run) == (30_000_000, 3)
    assert found.win_rate.mean == 3 / 7
    assert found.return_per_stake.mean == pytest.approx(-1 / 7)


def test_the_order_of_windows_counts_not_that_of_the_list() -> None:
    trades = [trade(900 * i, won) for i, won in enumerate([False, True, False])]
    assert summarise(trades, resamples=100) == summarise(trades[::-1], resamples=100)
    assert summarise(trades, resamples=100).losing_run == 1


def test_a_return_is_of_all_that_was_paid() -> None:
    assert trade(0, won=True, fee_usd6=350_000).stake_return == pytest.approx(9.65 / 10.35)


def test_few_openings_have_no_interval_that_could_be_mistaken_for_certainty() -> None:
    two_losses = summarise([trade(0, won=False), trade(900, won=False)], resamples=100)
    assert (two_losses.return_per_stake.low, two_losses.return_per_stake.high) == (-math.inf, math.inf)
    # Four assets that open together are one opening.
    together = [trade(0, won=True, asset=asset) for asset in ("btc", "eth", "sol", "xrp")]
    assert math.isinf(summarise(together, resamples=100).profit_per_trade_usd.high)
    enough = [trade(900 * i, won=i % 2 == 0) for i in range(LEAST_OPENINGS)]
    assert math.isfinite(summarise(enough, resamples=100).profit_per_trade_usd.high)


def test_what_opens_together_is_drawn_together() -> None:
    alone = [trade(900 * i, won=i % 2 == 0) for i in range(20)]
    fourfold = [one._replace(asset=asset) for one in alone for asset in ("btc", "eth", "sol", "xrp")]
    one, four = summarise(alone).return_per_stake, summarise(fourfold).return_per_stake
    # Four times the trades, and not a bit more information.
    assert four == one


def test_waits_and_ages_are_told_of_all_fills() -> None:
    trades = [trade(900 * i, won=True)._replace(wait_ns=i, age_ns=100 - i) for i in range(100)]
    assert fill_ages(trades) == (50, 95, 100, 51, 96)
    unstamped = [one._replace(age_ns=None) for one in trades]
    assert fill_ages(unstamped) == (50, 95, 0, None, None)
    assert fill_ages([]) is None


def test_no_trades_are_no_numbers() -> None:
    found = summarise([])
    assert (found.trades, found.pnl_usd6, found.losing_run) == (0, 0, 0)
    assert math.isnan(found.return_per_stake.mean)


def test_breakdowns_hold_every_trade_once() -> None:
    trades = [trade(1_800 * i, won=i % 3 == 0, asset=("btc", "eth")[i % 2]) for i in range(60)]
    for by in ("asset", "basis", "era", "day", "hour"):
        parts = broken_down(trades, by)
        assert sum(one.trades for one in parts.values()) == 60
        assert sum(one.pnl_usd6 for one in parts.values()) == sum(one.pnl_usd6 for one in trades)
    assert list(broken_down(trades, "day")) == ["2026-05-27", "2026-05-28"]
    assert "01:00" in broken_down(trades, "hour")


def test_calibration_puts_the_price_beside_what_it_won() -> None:
    trades = [trade(900 * i, won=i < 6, price4=4_500 + 10 * i) for i in range(10)]
    (bucket,) = calibration(trades)
    assert (bucket.from4, bucket.to4, bucket.trades, bucket.wins) == (4_500, 5_000, 10, 6)
    assert bucket.paid_share == pytest.approx(0.4545)
    assert bucket.won_share.low < 0.6 < bucket.won_share.high


def test_the_cut_is_a_midnight_and_does_not_depend_on_the_trades() -> None:
    openings = [(START_S + 900 * i) * SECOND for i in range(10 * 96)]
    trades = [trade(900 * i, won=True) for i in range(10 * 96)]
    split = split_by_date(trades, openings, 60)
    assert split.cut_ns == (START_S + 6 * DAY_S) * SECOND
    assert (split.first.trades, split.second.trades) == (576, 384)
    assert split_by_date(trades[:3], openings, 60).cut_ns == split.cut_ns


def test_of_few_days_the_cut_is_by_windows() -> None:
    openings = [(START_S + 900 * i) * SECOND for i in range(20)]
    split = split_by_date([trade(900 * i, won=True) for i in range(20)], openings, 60)
    assert (split.first.trades, split.second.trades) == (12, 8)
    assert split_by_date([], [], 60).cut_ns == 0


def test_unfilled_orders_are_counted_by_code() -> None:
    assert unfilled(["no-match: x", "no-match: y", "stale-book: z"]) == (3, {"no-match": 2, "stale-book": 1})
