import random
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from common.core.fees import taker_fee_usd6
from common.core.matching import Taken, walk, worst_case_usd6
from common.messages import FeeSchedule

CRYPTO = FeeSchedule(rate_ppm=70_000, exponent=1)

books = st.dictionaries(st.integers(1, 9_999), st.integers(1, 10**9), max_size=12).map(
    lambda levels: tuple(sorted(levels.items()))
)
schedules = st.none() | st.builds(FeeSchedule, rate_ppm=st.integers(0, 250_000), exponent=st.integers(0, 3))
limits = st.integers(1, 9_999)
stakes = st.integers(0, 10**9)


def test_levels_are_taken_best_first_until_the_stake_is_spent() -> None:
    asks = ((5_000, 10_000_000), (5_500, 10_000_000), (6_000, 10_000_000))
    result = walk(asks, 6_000, 10_000_000, CRYPTO)
    assert result.fills == (
        Taken(5_000, 10_000_000, 5_000_000, 175_000),
        # 5 $ left buy 9.0909 shares (four decimals), which cost 4.999995 $
        Taken(5_500, 9_090_900, 4_999_995, 157_490),
    )
    assert result.unfilled_usd6 == 5


def test_the_cap_stops_the_walk_and_the_rest_is_killed() -> None:
    result = walk(((5_000, 4_000_000), (6_200, 50_000_000)), 6_100, 10_000_000, None)
    assert result.fills == (Taken(5_000, 4_000_000, 2_000_000, 0),)
    assert result.unfilled_usd6 == 8_000_000


def test_a_level_at_the_cap_is_taken() -> None:
    assert walk(((6_100, 2_000_000),), 6_100, 10_000_000, None).fills == (
        Taken(6_100, 2_000_000, 1_220_000, 0),
    )


def test_cost_is_rounded_against_us() -> None:
    # 0.0003 shares at 0.0001 $ are worth 0.00000003 $
    result = walk(((1, 300),), 6_000, 1_000_000, None)
    assert result.fills == (Taken(1, 300, 1, 0),)


def test_a_stake_below_the_least_order_buys_nothing() -> None:
    asks = ((5_000, 10_000_000),)
    assert walk(asks, 6_000, 999_999, CRYPTO) == ((), 999_999)
    assert walk(asks, 6_000, 1_000_000, CRYPTO).fills


def test_dust_on_a_level_does_not_hide_the_next_one() -> None:
    result = walk(((4_900, 99), (5_000, 10_000_000)), 6_000, 1_000_000, None)
    assert [fill.price4 for fill in result.fills] == [5_000]


def test_an_empty_side_gives_no_fill() -> None:
    assert walk((), 6_000, 5_000_000, CRYPTO) == ((), 5_000_000)


@given(books, limits, stakes, schedules, st.sampled_from([1, 10, 100, 10_000]))
def test_no_walk_takes_more_than_it_may(
    asks: tuple[tuple[int, int], ...], limit4: int, stake_usd6: int, fee: FeeSchedule | None, step: int
) -> None:
    fills, unfilled = walk(asks, limit4, stake_usd6, fee, size_step6=step)
    shown = dict(asks)
    assert sum(fill.cost_usd6 for fill in fills) + unfilled == stake_usd6
    assert unfilled >= 0
    assert [fill.price4 for fill in fills] == sorted({fill.price4 for fill in fills})
    for fill in fills:
        assert fill.price4 <= limit4
        assert 0 < fill.size6 <= shown[fill.price4]
        assert fill.size6 % step == 0
        assert 0 <= fill.cost_usd6 - Fraction(fill.price4 * fill.size6, 10_000) < 1
        assert fill.fee_usd6 == taker_fee_usd6(fill.size6, fill.price4, fee)
    spent = stake_usd6 - unfilled
    assert spent + sum(fill.fee_usd6 for fill in fills) <= worst_case_usd6(stake_usd6, limit4, fee)


@given(books, limits, st.integers(10**6, 10**9))
def test_what_is_left_could_not_have_bought_a_step_more(
    asks: tuple[tuple[int, int], ...], limit4: int, stake_usd6: int
) -> None:
    fills, unfilled = walk(asks, limit4, stake_usd6, None)
    taken = {fill.price4: fill.size6 for fill in fills}
    for price4, shown6 in asks:
        if price4 <= limit4 and shown6 - taken.get(price4, 0) >= 100:
            assert unfilled < Fraction(price4 * 100, 10_000)


@given(books, limits, stakes, st.randoms(use_true_random=False))
def test_the_order_of_the_levels_does_not_matter(
    asks: tuple[tuple[int, int], ...], limit4: int, stake_usd6: int, shuffle: random.Random
) -> None:
    mixed = list(asks)
    shuffle.shuffle(mixed)
    assert walk(mixed, limit4, stake_usd6, CRYPTO) == walk(asks, limit4, stake_usd6, CRYPTO)
