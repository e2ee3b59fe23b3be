"""What a stale join makes of sampled prices: the same rule, the same windows, two ways to join prices.

Backwards takes the last sample from before the signal, which nobody could still trade at; forwards takes the
next one. Neither can be filled, for a sample is a middle without a book: this is a study of a mistake.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

import polars as pl

from common.core.fees import taker_fee_usd6
from common.core.settings import StrategySettings
from common.messages import FeeSchedule, Outcome
from common.research.backtesting.pricing import FLATTERED, Ages, NoPrice, Priced, price_at
from common.research.backtesting.results import SEED
from common.research.data.dataset import Dataset
from common.research.intervals import Interval, bootstrap_mean
from common.units import PRICE4_ONE, SECOND, SIZE6_ONE, move_ppm

STUDY = "sampled prices, no book: nothing here could have been filled"
FIRST_QUOTE_AGES = Ages(max_wait_ns=60 * SECOND, max_age_ns=60 * SECOND)
"""Samples come by the minute, so the next one may be a minute away."""
_OPENING_NS = 5 * SECOND


class Join(NamedTuple):
    """What the rule seems to earn with one way of joining."""

    name: str
    label: str
    trades: int
    wins: int
    return_per_stake: Interval
    median_age_s: float
    """Of the price that was used, at the signal; negative: it came that much later."""


class Flattery(NamedTuple):
    """Both joins, side by side."""

    windows: int
    family: str
    """Whose move was judged, against its own value at the opening."""
    backward: Join
    forward: Join


class _Bought(NamedTuple):
    start_ns: int
    won: bool
    stake_return: float
    age_ns: int


def study(data: Dataset, settings: StrategySettings) -> tuple[Flattery, ...]:
    """Both joins of every price family that covers windows with sampled prices; empty where there is none."""
    sampled = {str(name): frame for (name,), frame in data.history.group_by(["window"], maintain_order=True)}
    markets = [
        row
        for row in data.markets.iter_rows(named=True)
        if row["window"] in sampled and row["outcome"] in ("up", "down")
    ]
    assets = {row["asset"] for row in markets}
    ticks = data.ticks.filter(pl.col("asset").is_in(sorted(assets)))
    found = []
    for (kind,), of_kind in sorted(ticks.group_by(["kind"]), key=lambda one: str(one[0])):
        series = {
            str(asset): frame.sort("observed_ns")
            for (asset,), frame in of_kind.group_by(["asset"], maintain_order=True)
        }
        joins = [
            _join(name, markets, series, sampled, settings, flatter)
            for name, flatter in (("backward", True), ("forward", False))
        ]
        if any(join.trades for join in joins):
            found.append(Flattery(len(markets), str(kind), *joins))
    return tuple(found)


def _join(
    name: str,
    markets: Iterable[Mapping[str, Any]],
    series: Mapping[str, pl.DataFrame],
    sampled: Mapping[str, pl.DataFrame],
    settings: StrategySettings,
    flatter: bool,
) -> Join:
    bought = []
    for market in markets:
        if market["asset"] in series:
            one = _first_trade(market, series[market["asset"]], sampled[market["window"]], settings, flatter)
            bought += [one] if one is not None else []
    ages = sorted(one.age_ns for one in bought)
    return Join(
        name,
        FLATTERED if flatter else STUDY,
        len(bought),
        sum(one.won for one in bought),
        bootstrap_mean([one.stake_return for one in bought], SEED, groups=[one.start_ns for one in bought]),
        ages[len(ages) // 2] / SECOND if ages else 0.0,
    )


def _first_trade(
    market: Mapping[str, Any],
    ticks: pl.DataFrame,
    samples: pl.DataFrame,
    settings: StrategySettings,
    flatter: bool,
) -> _Bought | None:
    """The rule's one entry in a window, at the price this join finds for it."""
    start_ns, end_ns = market["start_ns"], market["end_ns"]
    stamps = ticks["observed_ns"]
    first = int(stamps.search_sorted(start_ns, side="left"))
    last = int(stamps.search_sorted(end_ns - settings.min_time_left_ns, side="left"))
    if first >= len(stamps) or stamps[first] - start_ns > _OPENING_NS:
        return None
    span = ticks.slice(first, max(0, last - first))
    base = int(ticks["price_e8"][first])
    side = samples.filter(pl.col("outcome") == "up")
    at_ns, prices = side["at_ns"].to_list(), side["price4"].to_list()
    for signal_ns, price_e8 in span.select("at_ns", "price_e8").iter_rows():
        move = move_ppm(price_e8, base)
        if abs(move) <= settings.min_move_ppm:
            continue
        try:
            found = price_at(at_ns, at_ns, signal_ns, FIRST_QUOTE_AGES, flatter=flatter)
        except NoPrice:
            continue
        outcome: Outcome = "up" if move > 0 else "down"
        price4 = prices[found.row] if outcome == "up" else PRICE4_ONE - prices[found.row]
        if not 0 < price4 < settings.max_price4 or at_ns[found.row] >= end_ns:
            continue
        return _bought(market, outcome, price4, found)
    return None


def _bought(market: Mapping[str, Any], outcome: Outcome, price4: int, found: Priced) -> _Bought:
    rate = market["fee_rate_ppm"]
    fee = FeeSchedule(rate, market["fee_exponent"] or 1) if rate else None
    cost = price4 * SIZE6_ONE // PRICE4_ONE + taker_fee_usd6(SIZE6_ONE, price4, fee)
    won = cast("str", market["outcome"]) == outcome
    return _Bought(market["start_ns"], won, (SIZE6_ONE * won - cost) / cost, -found.wait_ns)
