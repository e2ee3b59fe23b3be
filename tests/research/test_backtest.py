"""The backtest fills where one could have been filled, says what it assumed, and cannot see ahead."""

import random
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.core.fees import taker_fee_usd6
from common.core.settings import RiskLimits, StrategySettings
from common.messages import FeeSchedule
from common.research.backtesting.backtest import Outcome, Plan, run, without_stops
from common.research.backtesting.pricing import FLATTERED, Ages
from common.research.backtesting.results import Trade
from common.research.backtesting.story import Assumptions
from common.research.data.dataset import Dataset
from common.units import MILLISECOND, SECOND
from recorded_windows import OPENS_S, books, flat, jump, made, market, ticks, window

PLAN = Plan(StrategySettings(), without_stops(RiskLimits()))
FEE = FeeSchedule(70_000, 1)


def one_window(ask: float = 0.50, after: float | None = None, **market_changes: Any) -> Dataset:
    """The price jumps 0.2 % at second 100; Up is offered at ``ask``, from second 102 on at ``after``."""
    return made(
        [market(**market_changes)],
        ticks(jump(100, 100_200.0)),
        books(jump(102, after if after is not None else ask, ask)) + books(flat(0.52), outcome="down"),
    )


def only(outcome: Outcome) -> Trade:
    (trade,) = outcome.trades
    return trade


def test_it_is_filled_at_the_first_book_after_the_taker_delay_never_at_the_one_it_saw() -> None:
    # Decided at 101.1 s upon the tick of second 100 and the book of 100.3 s at 0.50; arrives at 101.6 s.
    trade = only(run(one_window(0.50, after=0.57), PLAN))
    assert trade.decided_ns == (OPENS_S + 101) * SECOND + 100 * MILLISECOND
    assert trade.filled_ns == (OPENS_S + 102) * SECOND + 300 * MILLISECOND
    assert (trade.price4, trade.wait_ns, trade.age_ns) == (5_700, 700 * MILLISECOND, 0)


def test_what_it_earns_is_shares_less_cost_less_the_fee_of_its_era() -> None:
    trade = only(run(one_window(0.50), PLAN))
    assert (trade.cost_usd6, trade.size6) == (10_000_000, 20_000_000)
    assert trade.fee_usd6 == taker_fee_usd6(20_000_000, 5_000, FEE) == 350_000
    assert trade.pnl_usd6 == 20_000_000 - 10_000_000 - 350_000
    free = only(run(one_window(0.50, fee_rate_ppm=0), PLAN))
    assert free.pnl_usd6 == 10_000_000
    lost = only(run(one_window(0.50, outcome="down"), PLAN))
    assert (lost.pnl_usd6, lost.won) == (-10_350_000, False)


def test_the_depth_is_walked() -> None:
    levels = [{"price4": 5_000, "size6": 4_000_000}, {"price4": 5_500, "size6": 50_000_000}]
    data = made([market()], ticks(jump(100, 100_200.0)), books(flat(0.50), asks=levels, ask_size6=4_000_000))
    trade = only(run(data, PLAN))
    # 2 $ at 0.50, the other 8 $ at 0.55, shares cut to four decimals.
    assert trade.size6 == 4_000_000 + 14_545_400
    assert trade.cost_usd6 == 2_000_000 + 7_999_970


def test_of_the_top_alone_no_more_is_bought_than_it_shows() -> None:
    data = made([market()], ticks(jump(100, 100_200.0)), books(flat(0.50), ask_size6=8_000_000))
    assert only(run(data, PLAN)).size6 == 8_000_000


def test_the_opening_price_of_a_table_is_not_known_before_its_tick_could_have_come() -> None:
    known = range(1, 900)  # the opening second itself was not recorded as a tick
    data = made([market(strike_e8=100_000 * 10**8)], ticks(flat(100_200.0), seconds=known), books(flat(0.50)))
    start_ns = OPENS_S * SECOND
    assert only(run(data, PLAN)).decided_ns - start_ns == 2_310 * MILLISECOND


def test_progress_is_the_share_of_windows_that_are_over() -> None:
    told: list[float] = []
    run(random_data(1), PLAN, told.append)
    assert told == sorted(told)
    assert 0.0 <= told[0] < told[-1] <= 1.0


def test_a_price_above_the_limit_after_the_delay_buys_nothing() -> None:
    outcome = run(one_window(0.50, after=0.62), PLAN)
    assert outcome.trades == ()
    assert outcome.unfilled.by_code == {"no-match": 1}


def test_no_book_soon_enough_is_no_fill() -> None:
    sparse = [*range(101), *range(140, 900)]
    data = made([market()], ticks(jump(100, 100_200.0)), books(flat(0.50), seconds=sparse))
    outcome = run(data, PLAN)
    assert outcome.trades == ()
    assert outcome.unfilled.by_code == {"price-from-the-future": 1}
    ended = made([market()], ticks(jump(100, 100_200.0)), books(flat(0.50), seconds=range(101)))
    assert run(ended, PLAN).unfilled.by_code == {"price-too-old": 1}


def test_a_book_that_was_old_when_it_came_is_no_fill() -> None:
    rows = books(flat(0.50))
    for row in rows:
        row["venue_ns"] -= 20 * SECOND
    outcome = run(made([market()], ticks(jump(100, 100_200.0)), rows), PLAN)
    assert outcome.trades == ()
    assert outcome.unfilled.by_code == {"price-too-old": 1}


def test_flattery_takes_the_quote_that_was_gone_and_labels_everything() -> None:
    data = one_window(0.50, after=0.57)
    flattered = run(data, PLAN._replace(flatter=True))
    assert only(flattered).price4 == 5_000
    assert only(flattered).wait_ns < 0
    assert flattered.label == FLATTERED
    assert run(data, PLAN).label == ""


def test_latency_meets_the_later_book() -> None:
    trade = only(run(one_window(0.50, after=0.57), PLAN._replace(latency_ns=10 * SECOND)))
    assert trade.filled_ns - trade.decided_ns > 10 * SECOND
    assert only(run(one_window(0.50, after=0.57), PLAN)).price4 == trade.price4 == 5_700


def test_an_unknown_size_is_assumed_and_said_or_not_filled() -> None:
    data = made(
        [market()],
        ticks(jump(100, 100_200.0)),
        books(flat(0.50), ask_size6=None, bid_size6=None, derived=True),
    )
    outcome = run(data, PLAN._replace(assume=Assumptions(size6=5_000_000)))
    assert (only(outcome).size6, only(outcome).size_known, only(outcome).derived) == (5_000_000, False, True)
    assert any("5 shares assumed" in note for note in outcome.notes)
    assert any("1 of 1 fills at a size that was assumed" in note for note in outcome.notes)
    assert run(data, PLAN._replace(assume=Assumptions(size6=0))).trades == ()


def test_an_unknown_delay_is_assumed_long_and_said() -> None:
    outcome = run(one_window(0.50, taker_delay_ns=None), PLAN)
    assert only(outcome).filled_ns >= only(outcome).decided_ns + 500 * MILLISECOND
    assert any("0.5 s assumed" in note for note in outcome.notes)


def test_windows_that_cannot_be_traded_again_are_counted_by_their_reason() -> None:
    history = [
        {"window": window(3), "outcome": "up", "at_ns": 1, "price4": 5_000, "sampled_every_ns": 60 * SECOND}
    ]
    data = made(
        [market(0), market(1, outcome=None), market(2), market(3), market(4), market(5, fee_rate_ppm=None)],
        ticks(jump(100, 100_200.0)),
        [row for number in (0, 1, 4, 5) for row in books(flat(0.50), number)],
        history,
    )
    outcome = run(data, PLAN)
    assert outcome.windows == 1
    assert outcome.left_out == {
        "fee not known": 1,
        "no book recorded": 1,
        "no price of the asset recorded": 1,
        "outcome not known": 1,
        "sampled prices only, nothing to fill at": 1,
    }


def exchange_window(offset: float, jump_to: float, *, kind: str = "binance") -> Dataset:
    """The strike is Chainlink's, from the table; the moves are an exchange's, ``offset`` apart from it."""
    base = 100_000.0 * (1 + offset)
    return made(
        [market(strike_e8=100_000 * 10**8)],
        ticks(jump(100, base * jump_to, base), kind=kind, route="poll"),
        books(flat(0.50)) + books(flat(0.50), outcome="down"),
    )


def test_families_are_never_compared_with_each_other() -> None:
    # Half a percent between two feeds is seven times the rule's threshold, and no signal.
    assert run(exchange_window(0.005, 1.0), PLAN).orders == 0
    trade = only(run(exchange_window(0.005, 1.002), PLAN))
    assert (trade.outcome, trade.basis) == ("up", "proxy, not settlement")
    assert only(run(exchange_window(0.005, 0.998), PLAN)).outcome == "down"


def test_a_proxy_is_said_and_only_used_where_there_is_nothing_else() -> None:
    assert any(
        "1 windows judged by a proxy (binance)" in note for note in run(exchange_window(0, 1.002), PLAN).notes
    )
    both = made(
        [market()],
        ticks(flat(100_000.0)) + ticks(jump(100, 100_200.0), kind="binance", route="poll"),
        books(flat(0.50)),
    )
    outcome = run(both, PLAN)
    assert (outcome.orders, outcome.families) == (0, ("chainlink",))
    wanted = msgspec.structs.replace(PLAN.strategy, families=("binance",))
    assert only(run(both, PLAN._replace(strategy=wanted))).basis == "proxy, not settlement"


def test_beside_a_window_that_needs_a_proxy_another_still_goes_without() -> None:
    # In the second window the settling stream was recorded, only its opening second is missing.
    data = made(
        [market(0), market(1)],
        ticks(flat(100_000.0), 1, seconds=range(60, 900))
        + [row for n in (0, 1) for row in ticks(jump(100, 100_200.0), n, kind="binance", route="poll")],
        books(flat(0.50), 0) + books(flat(0.50), 1),
    )
    outcome = run(data, PLAN)
    assert [one.window for one in outcome.trades] == [window(0)]
    assert outcome.families == ("chainlink", "binance")


def test_without_the_opening_second_there_is_no_trade() -> None:
    seconds = [second for second in range(-5, 900) if second != 0]
    data = made([market()], ticks(jump(100, 100_200.0), seconds=seconds), books(flat(0.50)))
    assert run(data, PLAN).orders == 0


def test_the_loss_limits_stop_it_only_when_they_are_kept() -> None:
    numbers = range(10)
    data = made(
        [market(number, outcome="down") for number in numbers],
        [row for number in numbers for row in ticks(jump(100, 100_200.0), number, seconds=range(120))],
        [row for number in numbers for row in books(flat(0.50), number, seconds=range(120))],
    )
    assert len(run(data, PLAN).trades) == 10
    assert len(run(data, PLAN._replace(limits=RiskLimits())).trades) == 8  # eight losses in a row


def test_a_daily_loss_is_forgotten_at_midnight() -> None:
    numbers = (0, 1, 2, 3, 14, 15, 16, 17)  # the first four before midnight, the others after
    data = made(
        [market(number, outcome="down") for number in numbers],
        [row for number in numbers for row in ticks(jump(100, 100_200.0), number, seconds=range(120))],
        [row for number in numbers for row in books(flat(0.50), number, seconds=range(120))],
    )
    tight = msgspec.structs.replace(PLAN.limits, max_daily_loss_usd6=35_000_000)
    traded = [one.window for one in run(data, PLAN._replace(limits=tight)).trades]
    # Three lost stakes of 10.35 $ leave no room for a fourth, which can cost 10.70 $; each day anew.
    assert traded == [window(number) for number in (0, 1, 2, 14, 15, 16)]


def random_data(seed: int, windows: int = 2) -> Dataset:
    """Walks of price and book that know nothing of each other."""
    chance = random.Random(seed)
    tick_rows, book_rows, markets = [], [], []
    for number in range(windows):
        markets.append(market(number, outcome=chance.choice(["up", "down"])))
        price = 100_000.0
        walk = [price := price * (1 + chance.gauss(0, 0.0002)) for _ in range(905)]
        tick_rows += ticks(lambda second, walk=walk: walk[second + 5], number, seconds=range(900))  # type: ignore[misc]
        for outcome in ("up", "down"):
            asks = [chance.randrange(40, 75) / 100 for _ in range(900)]
            book_rows += books(
                lambda second, asks=asks: asks[second], number, outcome=outcome, seconds=range(0, 900, 3)  # type: ignore[misc]
            )  # fmt: skip
    return made(markets, tick_rows, book_rows)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10**6), st.integers(60, 1_700))
def test_nothing_that_comes_later_changes_what_was_done_before(seed: int, cut_s: int) -> None:
    whole = random_data(seed)
    cut_ns = (OPENS_S + cut_s) * SECOND
    early = whole._replace(
        ticks=whole.ticks.filter(pl.col("at_ns") < cut_ns), books=whole.books.filter(pl.col("at_ns") < cut_ns)
    )

    def done(data: Dataset) -> list[tuple[object, ...]]:
        # An order of the last seconds may have been filled by a book behind the cut.
        return [
            (one.window, one.outcome, one.decided_ns, one.filled_ns, one.cost_usd6, one.fee_usd6)
            for one in run(data, PLAN).trades
            if one.decided_ns < cut_ns - 10 * SECOND
        ]

    assert done(early) == done(whole)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10**6))
def test_outcomes_decide_payouts_and_nothing_else(seed: int) -> None:
    data = random_data(seed)
    flipped = pl.when(pl.col("outcome") == "up").then(pl.lit("down")).otherwise(pl.lit("up"))
    other = data._replace(markets=data.markets.with_columns(flipped.alias("outcome")))
    ours, theirs = run(data, PLAN).trades, run(other, PLAN).trades
    assert [one[:16] for one in ours] == [one[:16] for one in theirs]
    assert all(one.won != two.won for one, two in zip(ours, theirs, strict=True))


def test_the_same_data_and_plan_make_the_same_decisions_and_trades() -> None:
    one, two = run(random_data(5), PLAN), run(random_data(5), PLAN)
    assert one == two
    assert one.trades
    assert run(random_data(6), PLAN).decisions_sha256 != one.decisions_sha256


def test_a_wait_that_is_allowed_longer_is_a_fill_of_its_own_age() -> None:
    sparse = [*range(101), *range(140, 900)]
    data = made([market()], ticks(jump(100, 100_200.0)), books(flat(0.50), seconds=sparse))
    patient = PLAN._replace(ages=Ages(60 * SECOND, 5 * SECOND))
    assert only(run(data, patient)).wait_ns == pytest.approx(38.7 * SECOND, abs=SECOND)
