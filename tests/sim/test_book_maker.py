"""The late book: probability, lag, ladders that never cross."""

import random
from collections.abc import Sequence
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from common.sim.book_maker import (
    BookMaker,
    MadeMarket,
    PricePath,
    sigma_per_root_second,
    up_probability,
)
from common.sim.script import BookSet, TickSizeChanged, Traded
from common.units import E18, SECOND

START = 1_800_000_000 * SECOND
MARKET = MadeMarket("btc-updown-1m-1800000000", "111", "222", START, START + 60 * SECOND)
SIGMA = sigma_per_root_second(0.6)


def maker(path: PricePath, *, lag_s: int = 0, seed: int = 1) -> BookMaker:
    return BookMaker(MARKET, price_at=path.at, lag_ns=lag_s * SECOND, sigma=SIGMA, rng=random.Random(seed))


def flat_then_up(jump_s: int) -> PricePath:
    path = PricePath()
    for second in range(-100, 61):
        path.add(START + second * SECOND, 100 * E18 if second < jump_s else 101 * E18)
    return path


def books(events: Sequence[object]) -> dict[str, BookSet]:
    return {event.token: event for event in events if isinstance(event, BookSet)}


def test_a_path_answers_what_was_known() -> None:
    path = PricePath()
    assert path.at(START) is None
    path.add(START, 5)
    assert path.at(START - 1) is None
    assert path.at(START + 1) == 5
    assert path.exactly(START) == 5
    assert path.exactly(START + 1) is None


def test_probability_is_even_at_the_strike_and_rises_with_the_price() -> None:
    assert up_probability(100 * E18, 100 * E18, 30, SIGMA) == 0.5
    assert up_probability(101 * E18, 100 * E18, 30, SIGMA) > 0.99
    assert up_probability(99 * E18, 100 * E18, 30, SIGMA) < 0.01
    assert up_probability(101 * E18, 100 * E18, 1e7, SIGMA) < 0.6


def test_the_book_learns_of_a_jump_only_after_the_lag() -> None:
    late = maker(flat_then_up(10), lag_s=8)
    assert late.probability(START + 17 * SECOND) == 0.5
    assert late.probability(START + 18 * SECOND) > 0.95


def test_the_book_is_even_before_it_can_have_seen_the_opening() -> None:
    path = PricePath()
    path.add(START - 100 * SECOND, 90 * E18)
    path.add(START, 100 * E18)
    assert maker(path, lag_s=5).probability(START + 4 * SECOND) == 0.5


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(-100, 59), min_size=1, max_size=30))
def test_books_never_cross_and_mirror_each_other(seed: int, seconds: list[int]) -> None:
    made = maker(flat_then_up(20), seed=seed)
    for second in sorted(seconds):
        both = books(made.events(START + second * SECOND))
        up, down = both["111"], both["222"]
        for book in (up, down):
            bids, asks = [Decimal(p) for p, _ in book.bids], [Decimal(p) for p, _ in book.asks]
            assert bids == sorted(set(bids))
            assert asks == sorted(set(asks), reverse=True)
            assert 0 < bids[-1] < asks[-1] < 1
            assert all(Decimal(size) >= 5 for _, size in (*book.bids, *book.asks))
        assert [(1 - Decimal(p), s) for p, s in up.asks] == [(Decimal(p), s) for p, s in down.bids]
        assert [(1 - Decimal(p), s) for p, s in up.bids] == [(Decimal(p), s) for p, s in down.asks]


def test_most_levels_stay_between_updates() -> None:
    made = maker(flat_then_up(1_000))
    before = books(made.events(START))["111"]
    after = books(made.events(START + SECOND))["111"]
    assert len(set(before.bids) & set(after.bids)) > len(before.bids) // 2


def test_a_finer_grid_comes_near_an_extreme_and_only_once() -> None:
    changes = []
    for seed in range(20):
        made = maker(flat_then_up(5), seed=seed)
        events = [event for s in range(60) for event in made.events(START + s * SECOND)]
        fine = [event for event in events if isinstance(event, TickSizeChanged)]
        assert len(fine) <= 1
        prices = [p for e in events if isinstance(e, BookSet) for p, _ in (*e.bids, *e.asks)]
        assert any(len(p) > 4 for p in prices) == bool(fine)
        changes.append(len(fine))
    assert 0 < sum(changes) < 20


def test_trades_happen_at_a_best_price() -> None:
    made = maker(flat_then_up(1_000))
    trades = 0
    for second in range(60):
        events = made.events(START + second * SECOND)
        both = books(events)
        for trade in (event for event in events if isinstance(event, Traded)):
            book = both[trade.token]
            assert trade.price == (book.asks if trade.side == "BUY" else book.bids)[-1][0]
            trades += 1
    assert trades
