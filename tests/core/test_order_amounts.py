"""Amounts are integers from end to end, equal to the official client's and never dearer than the limit."""

import json
import math
import random
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polymarket._internal.actions.orders.market import (
    _build_protected_market_order_draft,
    validate_market_order_params,
)
from polymarket._internal.actions.orders.market_data import MarketInfo, PlatformFeeInfo
from polymarket._internal.environment import PRODUCTION_CONFIG
from polymarket.errors import UserInputError

from common.core.order_amounts import Amounts, AmountsRefused, buy_amounts, sell_amounts
from common.units import PRICE4_ONE, price4_exact, size6_floor, usd6_exact

TICKS = (1_000, 100, 50, 25, 10, 1)
GRIDS = [(tick4, price4) for tick4 in TICKS for price4 in range(tick4, PRICE4_ONE, tick4)]
"""Every tick with every price on its grid."""
FREE = PlatformFeeInfo(rate=Decimal(0), exponent=Decimal(0))
CONTEXT: Any = SimpleNamespace(
    environment_config=PRODUCTION_CONFIG,
    wallet="0x" + "11" * 20,
    signer=SimpleNamespace(address="0x" + "22" * 20),
)


def theirs(amount6: int, limit4: int, tick4: int, side: str) -> Amounts | None:
    """What the official client would sign for ``amount6`` (dollars or shares); None when it refuses."""
    amount, limit = Decimal(amount6) / 1_000_000, Decimal(limit4) / PRICE4_ONE
    market = MarketInfo(FREE, False, Decimal(tick4) / PRICE4_ONE, frozenset())
    if side == "BUY":
        params = validate_market_order_params(token_id="7", side="BUY", amount=amount, max_price=limit)
    else:
        params = validate_market_order_params(token_id="7", side="SELL", shares=amount, min_price=limit)
    try:
        draft = _build_protected_market_order_draft(
            CONTEXT, params, metadata=market, builder_taker_fee_rate=Decimal(0)
        )
    except UserInputError:
        return None
    return Amounts(draft.offered_amount, draft.requested_amount)


def ours(amount6: int, limit4: int, tick4: int, side: str) -> Amounts | None:
    try:
        return (buy_amounts if side == "BUY" else sell_amounts)(amount6, limit4, tick4)
    except AmountsRefused:
        return None


def test_a_buy_at_every_price_of_every_grid_is_the_official_clients() -> None:
    chance = random.Random(1)
    signed = 0
    for tick4, limit4 in GRIDS:
        stake = int(10 ** chance.uniform(6, 10))
        amounts = ours(stake, limit4, tick4, "BUY")
        assert amounts == theirs(stake, limit4, tick4, "BUY"), (stake, limit4, tick4)
        if amounts is None:
            continue
        signed += 1
        assert stake - 10_000 < amounts.maker6 <= stake  # never more than the stake, and all its cents
        # Never a hair below the limit, where an ask at the limit would stay out of reach, and never at the
        # next price of the finest grid.
        assert amounts.taker6 * limit4 <= amounts.maker6 * PRICE4_ONE < amounts.taker6 * (limit4 + 1)
    assert signed > 0.9 * len(GRIDS)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(GRIDS), st.integers(1_000_000, 5_000_000_000))
def test_a_buy_of_every_stake_is_the_official_clients(grid: tuple[int, int], stake: int) -> None:
    tick4, limit4 = grid
    assert ours(stake, limit4, tick4, "BUY") == theirs(stake, limit4, tick4, "BUY")


def test_a_sale_at_every_price_of_every_grid_is_the_official_clients() -> None:
    chance = random.Random(2)
    for tick4, limit4 in GRIDS[:: 1 + len(GRIDS) // 3_000]:
        size = int(10 ** chance.uniform(4, 10))
        expected = theirs(size, limit4, tick4, "SELL")
        if expected is not None and not expected.taker6:
            expected = None  # the venue refuses what asks for nothing
        assert ours(size, limit4, tick4, "SELL") == expected, (size, limit4, tick4)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(TICKS), st.integers(1, PRICE4_ONE - 1))
def test_we_and_the_official_client_call_the_same_prices_off_the_grid(tick4: int, limit4: int) -> None:
    for side in ("BUY", "SELL"):
        off = limit4 % tick4 != 0
        if off:
            assert theirs(100_000_000, limit4, tick4, side) is None
        try:
            (buy_amounts if side == "BUY" else sell_amounts)(100_000_000, limit4, tick4)
        except AmountsRefused as refused:
            assert (refused.code == "price") == off
        else:
            assert not off


def by_floats(amount_usd: str, price: str) -> tuple[float, Amounts]:
    """The limit and the amounts that floats lead to: the rounding of the client before the present one."""
    limit = math.floor(float(price) * 10**2) / 10**2
    return limit, Amounts(
        int(float(amount_usd) * 1_000_000), math.floor(float(amount_usd) / limit * 1e4) * 100
    )


@pytest.mark.parametrize(
    ("price", "floats_price", "taker"),
    [("0.29", 0.28, 34_482_700), ("0.57", 0.56, 17_543_800), ("0.58", 0.57, 17_241_300)],
)
def test_prices_that_floats_put_one_tick_too_low_are_signed_at_their_own(
    price: str, floats_price: float, taker: int
) -> None:
    # 0.29 * 100 is 28.999... as a float: cut to the grid it becomes 28, and no ask at 0.29 is ever met.
    limit, wrong = by_floats("10", price)
    assert limit == floats_price
    assert wrong.maker6 * PRICE4_ONE // wrong.taker6 == price4_exact(price) - 100
    amounts = buy_amounts(10_000_000, price4_exact(price), 100)
    assert amounts == Amounts(10_000_000, taker)
    assert amounts.maker6 * PRICE4_ONE // amounts.taker6 == price4_exact(price)


def test_floats_go_wrong_at_no_other_cent() -> None:
    wrong = {cents for cents in range(1, 100) if math.floor(float(f"0.{cents:02d}") * 100) != cents}
    assert wrong == {29, 57, 58}


@pytest.mark.parametrize(
    ("stake", "price4", "tick4", "code"),
    [
        (999_999, 5_000, 100, "too-small"),
        (-5_000_000, 5_000, 100, "too-small"),
        (1_009_999, 5_050, 100, "price"),
        (1_000_000, 0, 100, "price"),
        (1_000_000, -100, 100, "price"),
        (1_000_000, 10_000, 100, "price"),
        (1_000_000, 10_100, 100, "price"),
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


def test_a_dollar_is_enough_and_a_cent_less_is_not() -> None:
    assert buy_amounts(1_000_000, 5_000, 100) == Amounts(1_000_000, 2_000_000)
    assert buy_amounts(1_009_999, 5_000, 100) == Amounts(1_000_000, 2_000_000)
    with pytest.raises(AmountsRefused, match=r"0\.99 "):
        buy_amounts(999_999, 5_000, 100)


def test_shares_that_bring_nothing_are_not_sold() -> None:
    with pytest.raises(AmountsRefused):
        sell_amounts(9_999, 5_000, 100)


def test_the_recorded_amounts(shared_data: Path) -> None:
    rows = json.loads((shared_data / "frames/trading/order_amounts.json").read_bytes())
    for row in rows["market"]:
        price4, tick4 = price4_exact(row["price"]), price4_exact(row["tick"])
        if row["side"] == "BUY":
            found = buy_amounts(usd6_exact(row["amount_usd"]), price4, tick4)
        else:
            found = sell_amounts(size6_floor(row["shares"]), price4, tick4)
        assert found == Amounts(int(row["makerAmount"]), int(row["takerAmount"])), row


def test_the_recorded_wrong_amounts_are_what_floats_give_and_not_ours(shared_data: Path) -> None:
    rows = json.loads((shared_data / "frames/trading/order_amounts.json").read_bytes())["bad_float_rows"]
    assert rows
    for row in rows:
        recorded = Amounts(int(row["makerAmount"]), int(row["takerAmount"]))
        assert by_floats(row["amount_usd"], row["price"])[1] == recorded
        assert buy_amounts(usd6_exact(row["amount_usd"]), price4_exact(row["price"]), 100) != recorded
