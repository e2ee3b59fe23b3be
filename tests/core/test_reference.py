"""The reference price: spot outside the look-back, the average's known part inside, one family at a time."""

import csv
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core.moment import Moment
from common.core.passport import Strike, winner
from common.core.price_buffer import Mean, Observation, PriceBuffer
from common.core.reference import OPEN_SEARCH_NS, Reference, closing_estimate, reference, within_lookback
from common.core.series import Series
from common.core.settings import StrategySettings
from common.messages import MarketState
from common.units import E18, SECOND
from conversation import START_S, market

STRIKE = Strike(100_000 * E18, "twap60", "rtds", START_S * SECOND, START_S * SECOND)
SPOT_WINDOW = market(rule="spot", lookback_s=0)
LENGTH_S, LOOKBACK_S = 900, 60
values = st.integers(1, 10**24)
Flat = Mapping[str, PriceBuffer]
"""Series of which one route brings everything."""


def at(second: float) -> Moment:
    """A second of the window, on the clock on which ``buffer`` receives."""
    return Moment(int((START_S + second) * SECOND), int((10_000 + second) * SECOND))


def buffer(*observations: tuple[float, int]) -> PriceBuffer:
    """Values at seconds of the window, each received a second after its stamp (on its own clock)."""
    made = PriceBuffer(3_600 * SECOND)
    for second, value in observations:
        made.add(int((START_S + second) * SECOND), value, int((10_001 + second) * SECOND))
    return made


def judged(window: MarketState, series: Flat, *families: str, **settings: Any) -> Reference | str:
    """The reference when one route brings everything, at the window's end."""
    chosen = StrategySettings(families=families or ("chainlink",), **settings)
    routed = {kind: {"rtds": held} for kind, held in series.items()}
    return reference(window, STRIKE, routed, chosen, at(LENGTH_S))


def priced(window: MarketState, series: Flat, *families: str) -> Reference:
    found = judged(window, series, *families)
    assert isinstance(found, Reference), found
    return found


def refused(window: MarketState, series: Flat, *families: str) -> str:
    found = judged(window, series, *families)
    assert isinstance(found, str), found
    return found


def test_before_the_look_back_spot_is_the_estimate() -> None:
    for second in (1, 300, LENGTH_S - LOOKBACK_S):
        found = priced(market(), {"spot": buffer((0, 90_000 * E18), (second, 100_071 * E18))})
        assert (found.family, found.base, found.value) == ("chainlink", STRIKE.value, 100_071 * E18)
        assert found.move_ppm == 710
        assert found.observed_ns == (START_S + second) * SECOND
        assert found.mono_ns == (10_001 + second) * SECOND


def test_inside_the_look_back_what_is_averaged_counts_as_it_is() -> None:
    """A quarter of the minute at 100, then spot jumps to 200: a quarter is fixed, the rest is open."""
    steady = [(841 + n, 100) for n in range(14)]
    found = priced(market(), {"spot": buffer(*steady, (855, 200))})
    assert found.value == ((14 * 100 + 200) * 15 // 15 + 200 * 45) // 60


def test_what_lies_before_the_look_back_is_not_averaged() -> None:
    """The span is open at its start: the tick stamped there belongs to the second before."""
    found = priced(market(), {"spot": buffer((800, 10**9), (840, 10**9), (841, 100), (900, 100))})
    assert found.value == 100


def test_what_came_after_the_end_is_not_averaged() -> None:
    inside = [(840 + n, 100) for n in range(1, 61)]
    found = priced(market(), {"spot": buffer(*inside, (901, 10**9), (902, 10**9))})
    assert found.value == 100


def test_when_nothing_came_inside_the_look_back_the_last_price_before_it_stands() -> None:
    assert priced(market(), {"spot": buffer((830, 90), (901, 100))}).value == 90


def test_a_look_back_of_thirty_seconds_is_its_own() -> None:
    half = market(lookback_s=30)
    assert priced(half, {"spot": buffer((841, 100), (870, 300))}).value == 300
    assert priced(half, {"spot": buffer((871, 100), (885, 100), (900, 400))}).value == 200


@given(st.dictionaries(st.integers(841, 899), values, min_size=1, max_size=40), st.booleans())
def test_inside_the_look_back_the_estimate_lies_between_what_was_seen(
    seen: dict[int, int], stale_before: bool
) -> None:
    before = [(839, 10**30)] if stale_before else []
    found = priced(market(), {"spot": buffer(*before, *sorted(seen.items()))})
    assert min(seen.values()) <= found.value <= max(seen.values())


@given(st.dictionaries(st.integers(841, 899), values, max_size=40), values)
def test_with_nothing_remaining_it_is_the_mean(seen: dict[int, int], last: int) -> None:
    found = priced(market(), {"spot": buffer(*sorted({**seen, 900: last}.items()))})
    total, count = sum(seen.values()) + last, len(seen) + 1
    assert found.value == total // count


@given(st.integers(1, LENGTH_S), values)
def test_a_window_settling_on_spot_never_averages(second: int, value: int) -> None:
    series = {"spot": buffer((0.5, 10**30), (second, value))} if second > 1 else {"spot": buffer((1, value))}
    assert priced(SPOT_WINDOW, series).value == value


def test_a_window_settling_on_spot_wants_a_price_since_the_opening() -> None:
    assert "since the opening" in refused(SPOT_WINDOW, {"spot": buffer((0, 1))})


@pytest.mark.parametrize("series", [{}, {"spot": PriceBuffer(SECOND)}])
def test_without_chainlink_spot_there_is_none(series: Flat) -> None:
    assert refused(market(), series) == "no Chainlink spot price yet"


def test_the_average_series_is_never_taken_for_spot() -> None:
    assert "no Chainlink spot" in refused(market(), {"twap60": buffer((10, 1)), "binance": buffer((0, 1))})


@given(values, values, values, values)
def test_families_are_never_mixed(chainlink: int, opening: int, now: int, other: int) -> None:
    """What one family says moves nothing in the other's reference."""
    series: Flat = {"spot": buffer((30, chainlink)), "binance": buffer((0, opening), (30, now))}
    of_chainlink = priced(SPOT_WINDOW, series, "chainlink", "binance")
    assert (of_chainlink.family, of_chainlink.base, of_chainlink.value) == (
        "chainlink",
        STRIKE.value,
        chainlink,
    )
    of_binance = priced(SPOT_WINDOW, series, "binance", "chainlink")
    assert (of_binance.family, of_binance.base, of_binance.value) == ("binance", opening, now)
    changed: Flat = {"spot": buffer((30, other)), "binance": buffer((0, opening), (30, now))}
    assert priced(SPOT_WINDOW, changed, "binance") == of_binance


def test_a_family_that_was_not_asked_for_never_steps_in() -> None:
    full = buffer((0, 1), (30, 1))
    assert "Chainlink" in refused(SPOT_WINDOW, {"binance": full}, "chainlink")
    assert "binance" in refused(SPOT_WINDOW, {"spot": full}, "binance")


def test_the_next_family_steps_in_whole_and_says_so() -> None:
    found = priced(SPOT_WINDOW, {"binance": buffer((0, 100), (30, 101))}, "chainlink", "binance")
    assert (found.family, found.base, found.value) == ("binance", 100, 101)


def test_every_family_that_failed_says_why() -> None:
    assert (
        refused(SPOT_WINDOW, {}, "chainlink", "binance")
        == "no Chainlink spot price yet; no binance price yet"
    )


def test_an_exchange_is_compared_with_its_last_price_at_the_opening() -> None:
    series = {"binance": buffer((-2, 90), (-1, 100), (1, 500), (30, 101))}
    found = priced(SPOT_WINDOW, series, "binance")
    assert (found.base, found.value, found.move_ppm) == (100, 101, 10_000)


def test_without_one_before_the_first_after_the_opening_does() -> None:
    found = priced(SPOT_WINDOW, {"binance": buffer((-60, 90), (2, 100), (30, 101))}, "binance")
    assert found.base == 100


def test_an_opening_price_too_far_away_is_none() -> None:
    away = OPEN_SEARCH_NS / SECOND
    assert priced(SPOT_WINDOW, {"binance": buffer((-away, 100), (30, 101))}, "binance").base == 100
    assert priced(SPOT_WINDOW, {"binance": buffer((away, 100), (30, 101))}, "binance").base == 100
    for second in (-away - 0.001, away + 0.001):
        series = {"binance": buffer((second, 100), (30, 101))}
        assert refused(SPOT_WINDOW, series, "binance") == "no binance price at the opening"


def test_an_exchange_price_from_before_the_opening_is_no_move() -> None:
    assert "since the opening" in refused(SPOT_WINDOW, {"binance": buffer((-1, 100), (0, 101))}, "binance")


def seconds(first: int, last: int, value: int) -> list[tuple[float, int]]:
    return [(second, value) for second in range(first, last + 1)]


def test_an_exchange_in_an_averaging_window_is_measured_against_its_own_average() -> None:
    """Its strike is its mean over the look-back before the opening, held between trades."""
    half = [(second, 100) for second in range(-60, -29, 2)] + [(second, 200) for second in range(-29, 1, 2)]
    series = {"kraken": buffer(*half, (0, 200), (30, 303))}
    found = priced(market(), series, "kraken")
    assert found.base == (100 * 30 + 200 * 30) // 60
    assert (found.value, found.basis) == (303, "proxy, not settlement")


def test_inside_the_look_back_the_exchanges_own_average_counts() -> None:
    opened = seconds(-60, 0, 100)
    series = {"kraken": buffer(*opened, *seconds(836, 870, 100), (870, 200))}
    found = priced(market(), series, "kraken")
    assert found.value == ((29 * 100 + 200) * 30 // 30 + 200 * 30) // 60
    assert found.confidence_ppm == 500_000


def test_an_exchange_that_was_silent_before_the_opening_has_no_strike_there() -> None:
    series = {"kraken": buffer(*seconds(-60, -20, 100), *seconds(-12, 0, 100), (30, 101))}
    assert refused(market(), series, "kraken") == "no kraken price at the opening"


def test_with_real_money_no_exchange_ever_speaks_for_a_window() -> None:
    series = {"kraken": buffer(*seconds(-60, 30, 100))}
    found = judged(market(), series, "kraken", live=True)
    assert found == "kraken does not settle this window: refused in live mode"
    assert isinstance(judged(market(), series, "kraken"), Reference)


def test_only_the_settling_family_is_labelled_settlement() -> None:
    assert priced(market(), {"spot": buffer((30, 1))}).basis == "settlement"
    assert priced(SPOT_WINDOW, {"binance": buffer((0, 1), (30, 1))}, "binance").basis == (
        "proxy, not settlement"
    )


def test_confidence_is_the_share_that_can_change_no_more() -> None:
    assert priced(market(), {"spot": buffer((839, 100))}).confidence_ppm == 0
    assert priced(market(), {"spot": buffer(*seconds(841, 870, 100))}).confidence_ppm == 500_000
    assert priced(market(), {"spot": buffer(*seconds(841, 900, 100))}).confidence_ppm == 1_000_000
    holes = [(second, 100) for second in range(842, 901, 2)]
    assert priced(market(), {"spot": buffer(*holes)}).confidence_ppm == 500_000
    assert priced(SPOT_WINDOW, {"spot": buffer((899, 1))}).confidence_ppm == 0
    assert priced(SPOT_WINDOW, {"spot": buffer((900, 1))}).confidence_ppm == 1_000_000


def test_a_spot_window_ends_with_the_value_of_its_last_second() -> None:
    assert priced(SPOT_WINDOW, {"spot": buffer((899, 1), (900, 2), (901, 3))}).value == 2


def by_routes(second: float, unsound: tuple[str, ...] = (), **routes: PriceBuffer) -> Reference | str:
    """The reference at a second, when these routes bring spot; best first as configured by default."""
    series: Series = {"spot": routes}
    return reference(market(), STRIKE, series, StrategySettings(), at(second), unsound)


def route_of(found: Reference | str) -> str:
    assert isinstance(found, Reference), found
    return found.route


def test_the_best_ranked_route_speaks_while_it_is_fresh() -> None:
    fresh, old = buffer(*seconds(90, 99, 7)), buffer((93, 5))
    fresh.add(int((START_S + 100) * SECOND), 8, int((10_000 + 100) * SECOND))
    assert route_of(by_routes(101, chainlink=fresh, rtds=fresh)) == "chainlink"
    assert route_of(by_routes(101, polybolt=fresh, rtds=fresh)) == "polybolt"
    slower = buffer((97, 5), (98, 6))
    assert route_of(by_routes(101, chainlink=slower, rtds=fresh)) == "chainlink"
    assert route_of(by_routes(101, chainlink=old, rtds=fresh)) == "rtds"
    assert route_of(by_routes(101, ("chainlink",), chainlink=fresh, rtds=fresh)) == "rtds"


def test_when_none_is_fresh_the_freshest_speaks_with_its_age() -> None:
    found = by_routes(101, chainlink=buffer((80, 5)), rtds=buffer((90, 5)))
    assert isinstance(found, Reference)
    assert (found.route, found.observed_ns) == ("rtds", (START_S + 90) * SECOND)


def test_when_every_route_is_unsound_there_is_no_reference() -> None:
    assert by_routes(101, ("rtds",), rtds=buffer((100, 5))) == "no Chainlink spot price yet"


def test_a_value_is_as_old_as_its_first_appearance() -> None:
    """A stuck relay puts new stamps on an old value: its information ages all the same."""
    found = by_routes(120, rtds=buffer((80, 4), *seconds(90, 119, 5)))
    assert isinstance(found, Reference)
    assert (found.observed_ns, found.mono_ns) == ((START_S + 90) * SECOND, (10_001 + 90) * SECOND)
    moving = buffer(*((second, second) for second in range(90, 120)))
    assert route_of(by_routes(120, chainlink=buffer(*seconds(90, 119, 5)), rtds=moving)) == "rtds"


def test_seconds_one_route_missed_are_taken_from_another() -> None:
    """The average is one series, whichever way its observations came."""
    holes = buffer((841, 101), (899, 99), (900, 100))
    whole = buffer(*seconds(841, 870, 400), *seconds(871, 900, 100))
    found = by_routes(901, chainlink=holes, rtds=whole)
    assert isinstance(found, Reference)
    assert (found.route, found.value, found.confidence_ppm) == ("chainlink", 250, 1_000_000)


def test_every_market_of_a_recorded_day_ends_as_the_venue_says(shared_data: Path) -> None:
    """8 June 2026: every market whose closing second was received must be reproduced."""
    ticks = shared_data / "recordings/chainlink_rtds_btc_ticks_2026-06-08.csv.gz"
    received = PriceBuffer(2 * 86_400 * SECOND)
    with gzip.open(ticks, "rt", newline="") as file:
        for row in csv.DictReader(file):
            stamp_ns = int(row["feed_ts_ms"]) * 1_000_000
            received.add(stamp_ns, int(row["full_accuracy_value"]), int(row["recv_ms"]) * 1_000_000)
    markets = shared_data / "recordings/btc_5m_markets_with_outcomes_2026-06-08.jsonl.gz"
    right, abstained = 0, 0
    with gzip.open(markets, "rt") as file:
        for line in file:
            told = json.loads(line)
            start_ns, end_ns = told["start_sec"] * SECOND, told["end_sec"] * SECOND
            official = int(told["strike_value"]) if told["strike_value"] else received.at(start_ns)
            if official is None or received.at(end_ns) is None:
                abstained += 1
                continue
            window = market(rule="spot", lookback_s=0, start_ns=start_ns, end_ns=end_ns)
            strike = Strike(official, "spot", "rtds", start_ns, start_ns)
            then = Moment(end_ns + 5 * SECOND, end_ns + 5 * SECOND)
            series: Series = {"spot": {"rtds": received}}
            found = reference(window, strike, series, StrategySettings(), then)
            assert isinstance(found, Reference), (told["slug"], found)
            assert found.confidence_ppm == 1_000_000
            outcome = "up" if told["outcome_prices"] == ["1", "0"] else "down"
            assert winner(found.base, found.value) == outcome, told["slug"]
            right += 1
    assert (right + abstained, right) >= (292, 279)


@given(
    st.sampled_from([market(), SPOT_WINDOW]),
    st.integers(0, LENGTH_S),
    st.integers(1, 60),
    values,
    st.booleans(),
)
def test_what_is_averaged_counts_within_the_look_back_alone(
    window: MarketState, second: int, count: int, value: int, beat: bool
) -> None:
    """So nothing need be averaged before it: the estimate is the same by whatever was seen."""
    latest = Observation((START_S + second) * SECOND, value, 0)
    seen = Mean(count * (value + 7), count, 0)
    without = closing_estimate(window, latest, Mean(0, 0, 0), beat=beat)
    if within_lookback(window, latest):
        assert window.rule == "twap" and second > LENGTH_S - LOOKBACK_S
    else:
        assert closing_estimate(window, latest, seen, beat=beat) == without
