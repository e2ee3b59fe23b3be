"""Waits between attempts: they grow, end at a cap, differ, and only real data makes them short again."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.feeds.backoff import CAP_S, FIRST_S, PROVEN_AFTER_S, Backoff


@given(st.integers(0, 2**32))
def test_waits_grow_to_the_cap_and_never_beyond(seed: int) -> None:
    backoff = Backoff(Random(seed))
    ceiling = FIRST_S
    for _ in range(40):
        assert ceiling / 2 <= backoff.next_wait_s() <= ceiling
        ceiling = min(CAP_S, ceiling * 2)
    assert ceiling == CAP_S


def test_clients_spread_out() -> None:
    assert len({Backoff(Random(seed)).next_wait_s() for seed in range(10)}) == 10


@pytest.mark.parametrize(
    ("for_s", "again_short"), [(PROVEN_AFTER_S, True), (PROVEN_AFTER_S - 0.1, False), (-3, False)]
)
def test_only_lasting_data_makes_waits_short_again(for_s: float, again_short: bool) -> None:
    backoff = Backoff(Random(1))
    for _ in range(10):
        backoff.next_wait_s()
    backoff.delivered(for_s)
    assert (backoff.next_wait_s() <= FIRST_S) is again_short


def test_what_the_other_end_asks_for_is_the_least() -> None:
    backoff = Backoff(Random(1))
    assert backoff.next_wait_s(at_least_s=17) == 17
    assert backoff.next_wait_s(at_least_s=0.01) > 0.01
