"""Integer units: exact where the name says so, else cut or raised in the direction the name says."""

import sys
from decimal import Decimal, getcontext, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import units
from common.units import E18, NotANumber

getters = pytest.mark.parametrize(
    "read",
    [
        units.price4_exact,
        units.size6_floor,
        units.usd6_floor,
        units.ppm_exact,
        units.usd6_exact,
        units.ppm_of_percent_exact,
        units.price18_from_plain,
        units.price18_from_e18,
        units.seconds_to_ns,
        units.decimal_of,
    ],
)


@getters
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "abc",
        "nan",
        "NaN",
        "sNaN",
        "inf",
        "-Infinity",
        "1e999999999999",
        "1e-99999999",
        "0x10",
        "1" * 61,
        "١٢e",
    ],
)
def test_what_is_no_finite_decimal_is_refused(read: object, text: str) -> None:
    with pytest.raises(NotANumber):
        read(text)  # type: ignore[operator]


@given(st.text(max_size=80))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    for read in (units.price4_exact, units.size6_floor, units.price18_from_plain, units.price18_from_e18):
        try:
            assert isinstance(read(text), int)
        except NotANumber:
            pass


@given(st.integers(-(10**9), 10**9))
def test_prices_come_back_from_their_text(price: int) -> None:
    assert units.price4_exact(units.price4_text(price)) == price


@given(st.integers(-(10**18), 10**18))
def test_sizes_come_back_from_their_text(size: int) -> None:
    assert units.size6_floor(units.size6_text(size)) == size


@given(st.integers(-(10**18), 10**18))
def test_money_comes_back_from_its_full_text(amount: int) -> None:
    assert units.usd6_floor(units.usd6_text(amount, places=6)) == amount


@given(st.integers(0, 10**27))
def test_oracle_prices_come_back_from_both_texts(value: int) -> None:
    assert units.price18_from_e18(str(value)) == value
    assert units.price18_from_plain(units.price18_text(value, places=18)) == value


decimals = st.builds(
    lambda whole, digits: f"{whole}.{digits}",
    st.integers(-(10**8), 10**8),
    st.text("0123456789", min_size=1, max_size=45),
)


@given(decimals)
def test_cutting_goes_down_and_by_less_than_one_unit(text: str) -> None:
    true = Fraction(text)
    for read, scale in (
        (units.size6_floor, 10**6),
        (units.usd6_floor, 10**6),
        (units.price18_from_plain, E18),
    ):
        assert 0 <= true * scale - read(text) < 1


@given(decimals)
def test_seconds_go_up_and_by_less_than_one_nanosecond(text: str) -> None:
    assert 0 <= units.seconds_to_ns(text) - Fraction(text) * units.SECOND < 1


@given(decimals)
def test_exact_is_exact_or_refused(text: str) -> None:
    for read, scale in (
        (units.price4_exact, 10**4),
        (units.ppm_exact, 10**6),
        (units.usd6_exact, 10**6),
        (units.ppm_of_percent_exact, 10**4),
    ):
        scaled = Fraction(text) * scale
        if scaled.denominator == 1:
            assert read(text) == scaled
        else:
            with pytest.raises(NotANumber):
                read(text)


def test_no_rounding_hides_beyond_the_usual_precision() -> None:
    """Arithmetic at 28 digits would call the first exact and raise the others by a unit."""
    with pytest.raises(NotANumber):
        units.price4_exact("0.62" + "0" * 40 + "1")
    assert units.usd6_floor("0." + "9" * 40) == 999_999
    assert units.price18_from_plain("79639." + "9" * 40) == 79_640 * E18 - 1
    assert units.seconds_to_ns("1" + "." + "0" * 40 + "1") == units.SECOND + 1


def test_the_surrounding_decimal_context_does_not_matter() -> None:
    with localcontext() as context:
        context.prec = 3
        assert units.price18_from_plain("79639.7958297635") == 79_639_795_829_763_500_000_000
        assert units.ppm_exact("0.001234") == 1234
    assert getcontext().prec == 28


def test_the_rule_of_the_bot_in_integers() -> None:
    assert units.price4_exact("0.62") == 6200
    assert units.price4_exact("6.2e-1") == 6200
    assert units.ppm_exact("0.0007") == 700


@pytest.mark.parametrize("text", ["1.5", "-1", "+1", "1e3", "1_000", "٣"])
def test_a_scaled_price_is_digits_only(text: str) -> None:
    with pytest.raises(NotANumber):
        units.price18_from_e18(text)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**20))
def test_division_is_directed(numerator: int, denominator: int) -> None:
    true = Fraction(numerator, denominator)
    assert 0 <= true - units.floor_div(numerator, denominator) < 1
    assert 0 <= units.ceil_div(numerator, denominator) - true < 1


@given(st.integers(0, 10_000), st.integers(0, 10**15))
def test_a_buyer_never_pays_too_little(price: int, size: int) -> None:
    cost = units.cost_usd6_ceil(units.Price4(price), units.Size6(size))
    assert 0 <= cost - Fraction(price * size, 10**4) < 1


@given(st.integers(1, 10**27), st.integers(1, 10**27))
def test_a_move_is_never_overstated_and_knows_its_direction(value: int, base: int) -> None:
    move = units.move_ppm(value, base)
    true = Fraction(value - base, base) * 10**6
    assert abs(move) <= abs(true) < abs(move) + 1
    assert move * true >= 0


def test_a_move_just_below_the_limit_is_below_it() -> None:
    base = 100_000 * E18
    assert units.move_ppm(base + base * 7 // 10_000, base) == 700
    assert units.move_ppm(base + base * 7 // 10_000 - 1, base) == 699
    assert units.move_ppm(base - base * 7 // 10_000 + 1, base) == -699


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (units.price4_text(6200), "0.62"),
        (units.price4_text(0), "0"),
        (units.price4_text(10_000), "1"),
        (units.price4_text(-1), "-0.0001"),
        (units.size6_text(20_500_000), "20.5"),
        (units.size6_text(100_000_000), "100"),
        (units.usd6_text(1_999_999), "1.99"),
        (units.usd6_text(-1_999_999), "-1.99"),
        (units.usd6_text(1_999_999, places=0), "1"),
        (units.usd6_text(-5), "-0.00"),
        (units.price18_text(79_639_795 * E18 // 1000), "79639.79"),
    ],
)
def test_texts_for_people(shown: str, text: str) -> None:
    assert shown == text


def test_an_absurdly_long_number_in_a_message_is_cut() -> None:
    with pytest.raises(NotANumber) as refused:
        units.decimal_of("9" * 100_000)
    assert len(str(refused.value)) < 100
    assert sys.get_int_max_str_digits()
    assert isinstance(units.decimal_of("1.5"), Decimal)
