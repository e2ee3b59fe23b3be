"""A bid stays under every limit of the user, and a replacement is one that nodes take."""

from hypothesis import given
from hypothesis import strategies as st

from common.core.redemption.gas import (
    GWEI,
    LEAST_TIP_WEI,
    GasPolicy,
    Offer,
    cost_wei,
    first_offer,
    gas_limit,
    raised,
)

CAP = 500 * GWEI
POLICY = GasPolicy(max_fee_wei=CAP, attempt_wei=10**18, daily_wei=10**19)
FEES = st.integers(0, 2_000 * GWEI)


def test_the_first_bid_lets_the_base_fee_double() -> None:
    assert first_offer(100 * GWEI, 30 * GWEI, POLICY) == Offer(230 * GWEI, 30 * GWEI)


def test_a_tip_is_never_below_what_nodes_take() -> None:
    assert first_offer(100 * GWEI, 0, POLICY) == Offer(225 * GWEI, LEAST_TIP_WEI)


def test_the_cap_cuts_what_is_spare_but_not_what_is_needed_now() -> None:
    assert first_offer(400 * GWEI, 30 * GWEI, POLICY) == Offer(CAP, 30 * GWEI)
    assert first_offer(470 * GWEI, 30 * GWEI, POLICY) == Offer(CAP, 30 * GWEI)
    assert first_offer(470 * GWEI + 1, 30 * GWEI, POLICY) is None


def test_a_replacement_follows_a_base_fee_that_ran_ahead() -> None:
    assert raised(Offer(100 * GWEI, 30 * GWEI), 10 * GWEI, POLICY) == Offer(120 * GWEI, 36 * GWEI)
    assert raised(Offer(100 * GWEI, 30 * GWEI), 200 * GWEI, POLICY) == Offer(436 * GWEI, 36 * GWEI)
    assert raised(Offer(100 * GWEI, 30 * GWEI), 400 * GWEI, POLICY) == Offer(CAP, 36 * GWEI)


def test_a_replacement_that_bids_too_little_more_is_not_made() -> None:
    assert raised(Offer(CAP * 5 // 6, 30 * GWEI), 0, POLICY) == Offer(CAP, 36 * GWEI)
    assert raised(Offer(CAP * 5 // 6 + 1, 30 * GWEI), 0, POLICY) is None


@given(FEES, FEES, FEES, st.integers(1, 2_000 * GWEI))
def test_every_bid_is_under_the_cap_and_every_raise_is_a_fifth(
    base_wei: int, tip_wei: int, later_base_wei: int, cap_wei: int
) -> None:
    policy = GasPolicy(cap_wei, 10**18, 10**19)
    offer = first_offer(base_wei, tip_wei, policy)
    if offer is None:
        assert base_wei + max(tip_wei, LEAST_TIP_WEI) > cap_wei
        return
    for _ in range(100):
        assert max(offer.tip_wei, base_wei) <= offer.max_fee_wei <= cap_wei
        higher = raised(offer, later_base_wei, policy)
        if higher is None:
            break
        assert higher.max_fee_wei * 10 >= offer.max_fee_wei * 12
        assert higher.tip_wei * 10 >= offer.tip_wei * 12
        offer = higher
    else:
        raise AssertionError("bids have no end")
    assert offer.max_fee_wei * 12 > cap_wei * 10 - 12


@given(st.integers(1, 30_000_000))
def test_a_call_gets_a_quarter_more_gas_rounded_upwards(estimate: int) -> None:
    assert estimate * 5 <= gas_limit(estimate) * 4 < estimate * 5 + 4


def test_what_a_transaction_may_cost_is_counted_at_the_full_bid() -> None:
    assert cost_wei(250_000, Offer(100 * GWEI, 25 * GWEI)) == 25 * 10**15
