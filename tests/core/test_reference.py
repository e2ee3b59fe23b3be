"""The reference price: spot outside the look-back, the average's known part inside, one family at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core.passport import Strike
from common.core.price_buffer import PriceBuffer
from common.core.reference import OPEN_SEARCH_NS, Reference, Series, reference
from common.messages import MarketState
from common.units import E18, SECOND
from conversation import START_S, market

STRIKE = Strike(100_000 * E18, "twap60", "rtds", START_S * SECOND, START_S * SECOND)
SPOT_WINDOW = market(rule="spot", lookback_s=0)
LENGTH_S, LOOKBACK_S = 900, 60
values = st.integers(1, 10**24)


def buffer(*observations: tuple[float, int]) -> PriceBuffer:
    """Values at seconds of the window, each received a second after its stamp (on its own clock)."""
    made = PriceBuffer(3_600 * SECOND)
    for second, value in observations:
        made.add(int((START_S + second) * SECOND), value, int((10_001 + second) * SECOND))
    return made


def priced(window: MarketState, series: Series, *families: str) -> Reference:
    found = reference(window, STRIKE, series, families or ("chainlink",))
    assert isinstance(found, Reference), found
    return found


def refused(window: MarketState, series: Series, *families: str) -> str:
    found = reference(window, STRIKE, series, families or ("chainlink",))
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


def test_when_nothing_came_inside_the_look_back_there_is_no_average() -> None:
    assert priced(market(), {"spot": buffer((830, 90), (901, 100))}).value == 100


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
def test_without_chainlink_spot_there_is_none(series: Series) -> None:
    assert refused(market(), series) == "no Chainlink spot price yet"


def test_the_average_series_is_never_taken_for_spot() -> None:
    assert "no Chainlink spot" in refused(market(), {"twap60": buffer((10, 1)), "binance": buffer((0, 1))})


@given(values, values, values, values)
def test_families_are_never_mixed(chainlink: int, opening: int, now: int, other: int) -> None:
    """What one family says moves nothing in the other's reference."""
    series: Series = {"spot": buffer((30, chainlink)), "binance": buffer((0, opening), (30, now))}
    of_chainlink = priced(market(), series, "chainlink", "binance")
    assert (of_chainlink.family, of_chainlink.base, of_chainlink.value) == (
        "chainlink",
        STRIKE.value,
        chainlink,
    )
    of_binance = priced(market(), series, "binance", "chainlink")
    assert (of_binance.family, of_binance.base, of_binance.value) == ("binance", opening, now)
    changed: Series = {"spot": buffer((30, other)), "binance": buffer((0, opening), (30, now))}
    assert priced(market(), changed, "binance") == of_binance


def test_a_family_that_was_not_asked_for_never_steps_in() -> None:
    full = buffer((0, 1), (30, 1))
    assert "Chainlink" in refused(market(), {"binance": full}, "chainlink")
    assert "binance" in refused(market(), {"spot": full}, "binance")


def test_the_next_family_steps_in_whole_and_says_so() -> None:
    found = priced(market(), {"binance": buffer((0, 100), (30, 101))}, "chainlink", "binance")
    assert (found.family, found.base, found.value) == ("binance", 100, 101)


def test_every_family_that_failed_says_why() -> None:
    assert (
        refused(market(), {}, "chainlink", "binance") == "no Chainlink spot price yet; no binance price yet"
    )


def test_an_exchange_is_compared_with_its_last_price_at_the_opening() -> None:
    found = priced(market(), {"binance": buffer((-2, 90), (-1, 100), (1, 500), (30, 101))}, "binance")
    assert (found.base, found.value, found.move_ppm) == (100, 101, 10_000)


def test_without_one_before_the_first_after_the_opening_does() -> None:
    found = priced(market(), {"binance": buffer((-60, 90), (2, 100), (30, 101))}, "binance")
    assert found.base == 100


def test_an_opening_price_too_far_away_is_none() -> None:
    away = OPEN_SEARCH_NS / SECOND
    assert priced(market(), {"binance": buffer((-away, 100), (30, 101))}, "binance").base == 100
    assert priced(market(), {"binance": buffer((away, 100), (30, 101))}, "binance").base == 100
    for second in (-away - 0.001, away + 0.001):
        series = {"binance": buffer((second, 100), (30, 101))}
        assert refused(market(), series, "binance") == "no binance price at the opening"


def test_an_exchange_price_from_before_the_opening_is_no_move() -> None:
    assert "since the opening" in refused(market(), {"binance": buffer((-1, 100), (0, 101))}, "binance")
