"""The time map: whole-second windows on their own grid, exact openings, sensible automatic speeds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ConfigError
from common.sim.recorded.retime import LEAD_S, Span, retime
from common.units import SECOND

OPENING = 1_700_000_100 * SECOND
NOW = 1_790_000_000_123_456_789


def span(first_s: int, last_s: int, window_s: int = 900) -> Span:
    return Span(OPENING + first_s * SECOND, OPENING + last_s * SECOND, OPENING, window_s)


@given(
    st.sampled_from([60, 300, 900]),
    st.floats(0.5, 200),
    st.integers(0, 890),
    st.integers(1, 90_000),
    st.integers(0, 10**12),
)
def test_openings_are_whole_seconds_and_data_begins_after_the_start(
    window_s: int, speed: float, first_s: int, length_s: int, later_ns: int
) -> None:
    now_ns = NOW + later_ns
    placed = retime(span(first_s, first_s + length_s, window_s), speed, now_ns)
    for index in range(-3, 100):
        assert placed.at(OPENING + index * window_s * SECOND) % SECOND == 0
    wait_ns = placed.at(OPENING + first_s * SECOND) - now_ns
    assert LEAD_S * SECOND <= wait_ns <= (LEAD_S + 1) * SECOND
    assert placed.slug("btc", OPENING).endswith(f"-{placed.label}-{placed.at(OPENING) // SECOND}")


def test_speed_one_keeps_the_label_and_sixty_gives_fifteen_seconds() -> None:
    assert retime(span(0, 9_000), 1.0, NOW).label == "15m"
    sixty = retime(span(0, 9_000), 60.0, NOW)
    assert (sixty.label, sixty.speed) == ("15s", 60.0)


def test_stamps_beside_an_opening_stay_apart_from_it() -> None:
    placed = retime(span(0, 90_000), 120.0, NOW)
    opening_ms = OPENING // 10**6
    around = [placed.stamp_ms(opening_ms + offset * 1_000) for offset in range(-5, 6)]
    assert len(set(around)) == 11
    assert around[5] * 10**6 == placed.at(OPENING)


def test_automatic_speed_makes_a_recording_last_about_the_target() -> None:
    for seconds, target in ((None, 150), (300, 280)):
        placed = retime(span(700, 14_000), None, NOW, seconds=seconds)
        assert abs(13_300 / placed.speed - target) < 0.1 * target


def test_automatic_speed_is_bounded_and_never_waits_long() -> None:
    assert retime(span(0, 86_400, 300), None, NOW).speed <= 120
    for later_s in range(0, 900, 37):
        now_ns = NOW + later_s * SECOND
        placed = retime(span(400, 420), None, now_ns)
        assert placed.speed >= 1
        assert placed.at(OPENING + 400 * SECOND) - now_ns <= (LEAD_S + 1) * SECOND


@pytest.mark.parametrize("speed", [0.0, -1.0, 1e6, float("nan")])
def test_an_impossible_speed_is_refused(speed: float) -> None:
    with pytest.raises(ConfigError, match="speed"):
        retime(span(0, 900), speed, NOW)
