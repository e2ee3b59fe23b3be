"""Amounts are integers from end to end, equal to the official client's and never dearer than the limit."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polymarket._internal.actions.orders.market import _compute_market_order_amounts

from common.core.order_amounts import Amounts, AmountsRefused, buy_amounts, sell_amounts
from common.units import PRICE4_ONE, price4_exact, size6_floor, usd6_exact

TICKS = (1_000, 100, 50, 25, 10, 1)


@st.composite
def priced(draw: st.DrawFn) -> tuple[int, int]:
    """A tick and a price on its grid."""
    tick = draw(st.sampled_from(TICKS))
    return tick, tick * draw(st.integers(1, PRICE4_ONE // tick - 1))


def theirs(amount6: int, price4: int, tick4: int, side: str) -> Amounts:
    """What the official client computes."""
    found = _compute_market_order_amounts(
        amount=Decimal(amount6) / 1_000_000,
        price=Decimal(price4) / PRICE4_ONE,
        side=side,  # type: ignore[arg-type]
        tick_size=Decimal(tick4) / PRICE4_ONE,
    )
    return Amounts(*found)


@settings(max_examples=2_000, deadline=None)
@given(priced(), st.integers(1_000_000, 5_000_000_000))
def test_a_buy_is_signed_as_the_official_client_signs_it(grid: tuple[int, int], stake: int) -> None:
    tick4, price4 = grid
    try:
        ours = buy_amounts(stake, price4, tick4)
    except AmountsRefused as refused:
        assert refused.code == "too-coarse"
        maker, taker = theirs(stake, price4, tick4, "BUY")
        assert maker * PRICE4_ONE >= taker * (price4 + 1)
        return
    assert ours == theirs(stake, price4, tick4, "BUY")
    assert ours.maker6 <= stake
    assert ours.maker6 * PRICE4_ONE >= ours.taker6 * price4  # never a hair below the limit
    assert ours.maker6 * PRICE4_ONE < ours.taker6 * (price4 + 1)  # and never at the next price


@settings(max_examples=1_000, deadline=None)
@given(priced(), st.integers(1_000_000, 5_000_000_000))
def test_a_sale_is_signed_as_the_official_client_signs_it(grid: tuple[int, int], size6: int) -> None:
    tick4, price4 = grid
    try:
        assert sell_amounts(size6, price4, tick4) == theirs(size6, price4, tick4, "SELL")
    except AmountsRefused:
        assert theirs(size6, price4, tick4, "SELL").taker6 == 0


@pytest.mark.parametrize(
    ("price", "taker"), [("0.29", 34_482_700), ("0.57", 17_543_800), ("0.58", 17_241_300)]
)
def test_prices_that_floats_put_one_tick_too_low_are_signed_at_their_own(price: str, taker: int) -> None:
    # 0.29 / 0.01 is 28.999... as a float: cut to the grid it becomes 0.28.
    assert int(float(price) * 100) != round(float(price) * 100)
    amounts = buy_amounts(10_000_000, price4_exact(price), 100)
    assert amounts == Amounts(10_000_000, taker)
    assert amounts.maker6 * PRICE4_ONE // amounts.taker6 == price4_exact(price)


@pytest.mark.parametrize(
    ("stake", "price4", "tick4", "code"),
    [
        (999_999, 5_000, 100, "too-small"),
        (1_009_999, 5_050, 100, "price"),
        (1_000_000, 0, 100, "price"),
        (1_000_000, 10_000, 100, "price"),
        (1_000_000, 9_950, 100, "price"),
        (1_000_000, 5_000, 20, "tick"),
        (1_000_000, 5_000, 0, "tick"),
        (1_000_000, 6_000, 1_000, "too-coarse"),
    ],
)
def test_what_the_venue_would_not_take_is_refused(stake: int, price4: int, tick4: int, code: str) -> None:
    with pytest.raises(AmountsRefused) as refused:
        buy_amounts(stake, price4, tick4)
    assert refused.value.code == code
    assert str(refused.value)


def test_the_recorded_amounts(shared_data: Path) -> None:
    rows = json.loads((shared_data / "frames/trading/order_amounts.json").read_bytes())
    for row in rows["market"]:
        price4, tick4 = price4_exact(row["price"]), price4_exact(row["tick"])
        if row["side"] == "BUY":
            found = buy_amounts(usd6_exact(row["amount_usd"]), price4, tick4)
        else:
            found = sell_amounts(size6_floor(row["shares"]), price4, tick4)
        assert found == Amounts(int(row["makerAmount"]), int(row["takerAmount"])), row
    for row in rows["bad_float_rows"]:
        found = buy_amounts(usd6_exact(row["amount_usd"]), price4_exact(row["price"]), 100)
        assert found.taker6 != int(row["takerAmount"])
