"""The study says which series speaks, never mixes two, and is careful with what it calls late."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from common.research.data.dataset import Dataset, dataset, select
from common.research.data.loading import load
from common.research.lag.correlation import correlate, step_for
from common.research.lag.event_study import Definition, Prices
from common.research.lag.lag_study import SeriesStudy, quotes_of, study
from common.units import SECOND
from lag_markets import lagging, leaping
from recorded_windows import books, flat, made, market, ticks


def one(data: Dataset) -> SeriesStudy:
    (found,) = study(data).series
    return found


@pytest.mark.parametrize(
    ("late_s", "says"),
    [
        (2, "The book is not late by more than seconds: "),
        (10, "The book is late: "),
        ((1, 1, 10), "Whether the book is late is not settled: "),
    ],
)
def test_the_conclusion_is_one_sentence_with_its_interval(late_s: int | tuple[int, ...], says: str) -> None:
    found = study(lagging(late_s))
    assert found.conclusion.startswith(says)
    assert "95 %: " in found.conclusion and "jumps in 8 openings" in found.conclusion
    assert found.conclusion.count(".") == 1 and found.conclusion.endswith(".")


def test_too_few_jumps_are_told_and_nothing_else() -> None:
    found = study(lagging(2, windows=2))
    assert not found.series[0].enough
    assert found.conclusion.startswith(
        "Nothing can be said about a lag: too few jumps of spot (rtds): 16 in 2"
    )
    nothing = study(dataset("empty"))
    assert nothing.conclusion.startswith("Nothing can be said")


def test_a_book_that_never_follows_has_no_lag_to_speak_of() -> None:
    data = made(
        [market(number) for number in range(8)],
        [row for number in range(8) for row in ticks(leaping(number), number)],
        [row for number in range(8) for row in books(flat(0.5), number)],
    )
    found = study(data)
    assert found.series[0].enough
    assert found.conclusion.startswith("No lag is shown: ")


def test_series_are_never_mixed() -> None:
    alone = lagging(2)
    # An exchange that quotes 30 basis points higher, tick by tick between those of the oracle.
    other = alone.ticks.with_columns(
        kind=pl.lit("binance"), route=pl.lit("poll"), price_e8=(pl.col("price_e8") * 1.003).cast(pl.Int64),
        observed_ns=pl.col("observed_ns") + SECOND // 2, at_ns=pl.col("at_ns") - SECOND // 2,
    )  # fmt: skip
    both = dataset("both", markets=alone.markets, ticks=pl.concat([alone.ticks, other]), books=alone.books)
    spot, binance = study(both).series
    assert (spot.kind, binance.kind) == ("spot", "binance")
    assert spot == one(alone)
    assert binance.jumps == spot.jumps


def test_what_settles_speaks_before_what_has_more_jumps() -> None:
    proxy = lagging(2, windows=12, kind="binance")
    settling = lagging(2, windows=6)
    data = dataset(
        "both", markets=proxy.markets, ticks=pl.concat([proxy.ticks, settling.ticks]), books=proxy.books
    )
    found = study(data)
    assert [series.kind for series in found.series] == ["spot", "binance"]
    assert found.series[0].whole.jumps < found.series[1].whole.jumps


def test_a_series_without_a_book_is_named() -> None:
    data = lagging(2)
    lonely = data.ticks.with_columns(kind=pl.lit("twap60"), asset=pl.lit("eth"))
    found = study(dataset("x", markets=data.markets, ticks=pl.concat([data.ticks, lonely]), books=data.books))
    assert found.left_out == {"twap60 (rtds)": "no book was recorded beside it"}


def test_parts_add_up_to_the_whole() -> None:
    found = one(lagging(2, assets=("btc", "eth")))
    assert set(found.parts) == {"asset", "hour", "era"}
    for parts in found.parts.values():
        assert sum(part.jumps for part in parts.values()) == found.whole.jumps
    assert set(found.parts["asset"]) == {"btc", "eth"}
    assert set(found.parts["era"]) == {"fee-spot"}
    # Eight quarters of an hour; the openings of both assets are the same eight.
    assert len(found.parts["hour"]) in (2, 3)
    assert found.whole.windows == 8


def test_windows_of_one_quarter_of_an_hour_are_one_opening() -> None:
    (quotes,) = quotes_of(made([market()], [], books(flat(0.5))))["btc"]
    later = [quotes._replace(start_ns=quotes.start_ns + minutes * 60 * SECOND) for minutes in (5, 10, 15)]
    assert [each.opening - quotes.opening for each in later] == [0, 0, 1]


def test_ages_and_spacings_are_told() -> None:
    found = one(lagging(2))
    assert found.delivery.median_ns == pytest.approx(1.1 * SECOND)
    assert found.tick_spacing.median_ns == found.quote_spacing.median_ns == SECOND
    # Known at x.1 s, quoted at x.3 s: 0.8 s old, every time.
    assert found.quote_age.median_ns == found.quote_age.p95_ns == pytest.approx(0.8 * SECOND)


def test_another_definition_finds_other_jumps() -> None:
    data = lagging(2)
    (strict,) = study(data, Definition(move_ppm=1_100)).series
    assert strict.jumps == 0
    assert study(data).series[0].jumps > 0


@pytest.mark.parametrize("late_s", [0, 1, 2, 4, 7])
def test_the_correlation_peaks_where_the_book_follows(late_s: int) -> None:
    found = one(lagging(late_s, noise4=20)).correlogram
    assert found is not None and found.strongest is not None
    lag_ns, value = found.strongest
    # On the grid of full seconds a stamp at s is known at s + 2, a book moved at s + late is at s + late + 1.
    assert lag_ns == (late_s - 1) * SECOND
    assert value.low > 0.5
    assert all(abs(each.mean) < 0.2 for lag, each in found.lags if lag != lag_ns)


def test_no_pair_crosses_from_one_window_to_the_next() -> None:
    level = [0.2, 0.8, 0.3, 0.9, 0.1, 0.6]
    data = made(
        [market(number) for number in range(6)],
        [row for number in range(6) for row in ticks(flat(100_000.0 + 500 * number), number)],
        [row for number in range(6) for row in books(flat(level[number]), number)],
    )
    found = one(data).correlogram
    assert found is not None
    assert all(math.isnan(value.mean) for _, value in found.lags if value.mean != 0)


def test_the_grid_is_as_fine_as_the_data() -> None:
    assert step_for(0.02 * SECOND) == SECOND
    assert step_for(1.38 * SECOND) == 1.5 * SECOND
    assert step_for(5.2 * SECOND) == 5 * SECOND
    assert step_for(60 * SECOND) is None


def test_correlation_is_pearsons() -> None:
    chance = np.random.default_rng(3)
    second = np.arange(900, dtype=np.int64) * SECOND
    walk = np.cumsum(chance.standard_normal(900))
    data = made([market()], [], books(flat(0.5)))
    (plain,) = quotes_of(data)["btc"]
    opening = plain.start_ns
    mid = 5_000 + 10 * walk + 5 * chance.standard_normal(900)
    price = Prices(opening + second, opening + second, np.round(1e13 * np.exp(walk / 1e5)).astype(np.int64))
    found = correlate([(price, [plain._replace(at_ns=opening + second, mid4=mid)])], SECOND, 5 * SECOND, 1)
    middle = len(found.lags) // 2
    returns, changes = np.diff(np.log(price.price_e8)), np.diff(mid)
    # The last grid point repeats the last second.
    expected = np.corrcoef(np.append(returns, 0), np.append(changes, 0))[0, 1]
    assert found.lags[middle][1].mean == pytest.approx(expected)
    ahead = np.corrcoef(np.append(returns, 0)[:-1], np.append(changes, 0)[1:])[0, 1]
    assert found.lags[middle + 1] == (SECOND, pytest.approx((-1.0, ahead, 1.0)))


def test_a_recorded_afternoon_shows_what_others_found_in_it(shared_data: Path) -> None:
    """Published: 194 jumps; 2.5 cents at detection, 3.6 after 2 s, 4.4 after 5 s, 4.5 after 55 s; correlation
    0.18 in the same 1.5 s, 0.17 in the next, 0.06 after that.

    That study counted jumps that overlap, and its steps include those from one window to the next, which
    halves the coefficients. The shape is what has to be found again.
    """
    whole = load(shared_data / "normalised", assets=["btc"])
    windows = whole.books.filter(pl.col("derived")).group_by("window").len()["window"]
    polled = whole.ticks.filter(pl.col("kind") == "binance", pl.col("route") == "poll")
    begin, end = 1_770_307_200 * SECOND, 1_770_322_500 * SECOND
    data = select(
        dataset(
            "afternoon", markets=whole.markets.filter(pl.col("window").is_in(windows)), ticks=polled,
            books=whole.books,
        ),
        start_ns=begin, end_ns=end,
    )  # fmt: skip
    found = one(data)
    assert found.enough
    cents = {step.after_ns // SECOND: step.moved_cents.mean for step in found.whole.steps}
    assert cents[0] == pytest.approx(2.5, abs=0.6)
    assert cents[2] == pytest.approx(3.6, abs=0.6)
    assert cents[5] == pytest.approx(4.4, abs=0.6)
    assert cents[55] == pytest.approx(4.5, abs=0.6)
    shares = {step.after_ns // SECOND: step.share for step in found.whole.steps}
    assert shares[2].mean == pytest.approx(0.84, abs=0.08)
    assert shares[2].low > 0.5
    assert found.correlogram is not None
    by_step = {lag / found.correlogram.step_ns: value for lag, value in found.correlogram.lags}
    assert found.correlogram.step_ns == 1.5 * SECOND
    assert by_step[0].mean > by_step[1].mean > 2 * by_step[2].mean > 0
    assert abs(by_step[-1].mean) < 0.05
    assert by_step[1].low > by_step[2].high
    assert found.quote_age.p95_ns < 2 * SECOND
