"""The only way to a price: forward in time, of a known age, or loudly labelled."""

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.research.backtesting.pricing import (
    FLATTERED,
    Ages,
    NoPrice,
    PriceFromTheFuture,
    PriceTooOld,
    price_at,
)
from common.units import MILLISECOND, SECOND

AGES = Ages(max_wait_ns=5 * SECOND, max_age_ns=2 * SECOND)
AT = [10 * SECOND, 20 * SECOND, 30 * SECOND]


def test_the_price_is_the_first_that_came_after_and_says_how_long_it_was_waited_for() -> None:
    found = price_at(AT, AT, 17 * SECOND, AGES)
    assert (found.row, found.at_ns, found.wait_ns, found.age_ns, found.label) == (1, AT[1], 3 * SECOND, 0, "")


def test_a_price_of_the_very_instant_is_taken() -> None:
    assert price_at(AT, AT, AT[0], AGES).row == 0


def test_the_last_price_before_is_not_to_be_had() -> None:
    # 1 ns after the first quote: that one is gone, and the next is too far away.
    with pytest.raises(PriceFromTheFuture, match=r"10\.0 s later"):
        price_at(AT, AT, AT[0] + 1, AGES)


def test_when_nothing_comes_any_more_the_last_one_is_too_old() -> None:
    with pytest.raises(PriceTooOld, match=r"the last one is 1\.0 s old"):
        price_at(AT, AT, 31 * SECOND, AGES)


def test_a_quote_that_was_old_on_its_arrival_raises() -> None:
    with pytest.raises(PriceTooOld, match=r"3\.0 s old when it came"):
        price_at(AT, [7 * SECOND, None, None], 9 * SECOND, AGES)


def test_a_quote_stamped_after_its_own_receipt_raises_but_clocks_may_differ_a_little() -> None:
    with pytest.raises(PriceFromTheFuture, match="after its own receipt"):
        price_at(AT, [12 * SECOND, None, None], 9 * SECOND, AGES)
    assert (
        price_at(AT, [AT[0] + 140 * MILLISECOND, None, None], 9 * SECOND, AGES).age_ns == -140 * MILLISECOND
    )


def test_only_who_asks_to_be_flattered_looks_back_and_the_price_says_so() -> None:
    found = price_at(AT, AT, 29 * SECOND, AGES, flatter=True)
    assert (found.row, found.wait_ns, found.label) == (1, -9 * SECOND, FLATTERED)


def test_there_is_nothing_before_the_first_price() -> None:
    with pytest.raises(PriceFromTheFuture):
        price_at(AT, AT, 1, AGES, flatter=True)


@given(st.lists(st.integers(0, 10**12), max_size=30).map(sorted), st.integers(0, 10**12))
def test_no_price_is_ever_older_than_the_order_or_beyond_its_ages(at_ns: list[int], wanted: int) -> None:
    try:
        found = price_at(at_ns, [None] * len(at_ns), wanted, AGES)
    except NoPrice:
        later = [at for at in at_ns if at >= wanted]
        assert not later or later[0] - wanted > AGES.max_wait_ns
    else:
        assert wanted <= found.at_ns <= wanted + AGES.max_wait_ns
        assert found.row == bisect_left(at_ns, wanted)
        assert not found.label
