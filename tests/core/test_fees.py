import json
from fractions import Fraction
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from common.core.fees import max_fee_usd6, taker_fee_usd6
from common.messages import FeeSchedule
from common.units import ppm_exact, price4_exact, size6_floor, usd6_floor

CRYPTO = FeeSchedule(rate_ppm=70_000, exponent=1)

schedules = st.builds(FeeSchedule, rate_ppm=st.integers(0, 250_000), exponent=st.integers(0, 4))
prices = st.integers(1, 9_999)
sizes = st.integers(0, 10**12)


def test_the_fee_of_a_hundred_shares_at_one_half() -> None:
    assert taker_fee_usd6(100_000_000, 5_000, CRYPTO) == 1_750_000


def test_the_sixth_decimal_is_cut_not_rounded() -> None:
    # 3 x 0.07 x 0.33 x 0.67 = 0.046431
    assert taker_fee_usd6(3_000_000, 3_300, CRYPTO) == 46_430
    # 9 x 0.07 x 0.37 x 0.63 = 0.146853; 1 x 0.07 x 0.11 x 0.89 = 0.006853
    assert taker_fee_usd6(9_000_000, 3_700, CRYPTO) == 146_850
    # 11 x 0.07 x 0.47 x 0.53 = 0.191807: half-up would give 0.19181
    assert taker_fee_usd6(11_000_000, 4_700, CRYPTO) == 191_800


def test_a_free_market_costs_nothing() -> None:
    assert taker_fee_usd6(100_000_000, 5_000, None) == 0
    assert max_fee_usd6(100_000_000, 5_000, None) == 0


def test_fees_of_real_chain_events_are_reproduced(shared_data: Path) -> None:
    frames = shared_data / "frames/trading/taker_fee_onchain.json"
    vectors = json.loads(frames.read_bytes())["vectors"]
    assert vectors
    for vector in vectors:
        shares = vector["taker_amount_filled" if vector["side"] == "BUY" else "maker_amount_filled"]
        fee = FeeSchedule(rate_ppm=ppm_exact(vector["fee_rate"]), exponent=1)
        assert taker_fee_usd6(shares, price4_exact(vector["price"]), fee) == vector["fee"], vector


def test_fees_of_the_real_activity_feed_are_reproduced(shared_data: Path) -> None:
    vectors = json.loads((shared_data / "frames/trading/taker_fee_activity_feed.json").read_bytes())[
        "vectors"
    ]
    assert vectors
    for vector in vectors:
        fee = FeeSchedule(rate_ppm=ppm_exact(vector["rate"]), exponent=1)
        found = taker_fee_usd6(size6_floor(vector["shares"]), price4_exact(vector["price"]), fee)
        assert found == usd6_floor(vector["fee"]), vector


@given(sizes, prices, schedules)
def test_the_fee_is_the_formula_cut_to_five_decimals(size6: int, price4: int, fee: FeeSchedule) -> None:
    price = Fraction(price4, 10_000)
    exact = Fraction(size6, 10**6) * Fraction(fee.rate_ppm, 10**6) * (price * (1 - price)) ** fee.exponent
    assert taker_fee_usd6(size6, price4, fee) == (exact * 10**5).__floor__() * 10


@given(st.integers(0, 10**9), prices, st.data(), schedules)
def test_no_way_to_spend_a_stake_costs_more_than_the_bound(
    stake_usd6: int, limit4: int, data: st.DataObject, fee: FeeSchedule
) -> None:
    bound = max_fee_usd6(stake_usd6, limit4, fee)
    left, paid = stake_usd6, 0
    for price4 in data.draw(st.lists(st.integers(1, limit4), max_size=5)):
        spent = data.draw(st.integers(0, left))
        left -= spent
        paid += taker_fee_usd6(spent * 10_000 // price4, price4, fee)
    assert paid <= bound


@given(st.integers(10**6, 10**9), prices, schedules)
def test_the_bound_is_reached_at_some_price(stake_usd6: int, limit4: int, fee: FeeSchedule) -> None:
    bound = max_fee_usd6(stake_usd6, limit4, fee)
    candidates = {1, limit4} | {
        min(limit4, max(1, 10_000 * (e - 1) // (2 * e - 1) + shift)) for e in (2, 3, 4) for shift in (0, 1)
    }
    best = max(taker_fee_usd6(stake_usd6 * 10_000 // price4, price4, fee) for price4 in candidates)
    assert 0 <= bound - best <= 20
