"""A stale join earns out of nothing; the same prices joined forwards do not."""

import random

from common.core.settings import StrategySettings
from common.research.backtesting.flattery import study
from common.research.backtesting.pricing import FLATTERED
from common.research.data.dataset import Dataset
from common.units import SECOND
from recorded_windows import OPENS_S, made, market, ticks, window


def efficient_market(seed: int, windows: int = 60) -> Dataset:
    """A price moves each minute; samples, 9 s later, know all of it, and win as often as they say."""
    chance = random.Random(seed)
    markets, tick_rows, history = [], [], []
    for number in range(windows):
        moves = [0.0]
        for _ in range(14):
            moves.append(moves[-1] + chance.choice([-0.0012, 0.0012]))
        prices = [100_000 * (1 + move) for move in moves]
        worth = [min(0.95, max(0.05, 0.5 + 80 * move)) for move in moves]
        won = chance.random() < worth[-1]
        markets.append(market(number, outcome="up" if won else "down", fee_rate_ppm=0))

        def price(second: int, prices: list[float] = prices) -> float:
            return prices[second // 60]

        rows = ticks(price, number, kind="binance", seconds=range(0, 900, 60))
        tick_rows += [row | {"at_ns": row["observed_ns"]} for row in rows]
        start_ns = (OPENS_S + 900 * number) * SECOND
        history += [
            {
                "window": window(number),
                "outcome": "up",
                "at_ns": start_ns + (60 * minute + 9) * SECOND,
                "price4": round(10_000 * worth[minute]),
                "sampled_every_ns": 60 * SECOND,
            }
            for minute in range(15)
        ]
    return made(markets, tick_rows, [], history)


def test_the_backward_join_buys_at_prices_51_s_old_and_says_so() -> None:
    (found,) = study(efficient_market(1), StrategySettings())
    assert found.backward.label == FLATTERED
    assert found.backward.median_age_s == 51.0
    assert found.forward.label != FLATTERED
    assert found.forward.median_age_s == -9.0
    assert found.family == "binance"


def test_in_a_market_without_an_edge_only_the_stale_join_finds_one() -> None:
    (found,) = study(efficient_market(2, windows=800), StrategySettings())
    assert found.backward.return_per_stake.low > 0
    assert found.forward.return_per_stake.low < 0 < found.forward.return_per_stake.high


def test_without_sampled_prices_there_is_no_study() -> None:
    data = efficient_market(1)
    assert study(data._replace(history=data.history.clear()), StrategySettings()) == ()
