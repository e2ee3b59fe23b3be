import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from common.core.order_book import OrderBook, Side
from common.errors import FrameRefused

sides: st.SearchStrategy[Side] = st.sampled_from(["bid", "ask"])
# Few distinct prices, so that histories meet the same level again and again.
prices = st.integers(1, 30) | st.integers(1, 9_999)
sizes = st.just(0) | st.integers(0, 10**9)
level_lists = st.lists(st.tuples(prices, sizes), max_size=15)


def book(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> OrderBook:
    made = OrderBook()
    made.replace(bids, asks)
    return made


def test_an_empty_book_has_no_best() -> None:
    empty = OrderBook()
    assert (empty.best_bid, empty.best_ask) == (None, None)
    assert empty.best == (None, None)
    assert empty.levels() == ((), ())
    assert not empty.crossed
    assert not empty.placeholder


def test_the_best_comes_first_though_the_venue_lists_it_last() -> None:
    made = book([(4_000, 1), (5_000, 2), (5_900, 3)], [(9_000, 4), (7_000, 5), (6_100, 6)])
    assert (made.best_bid, made.best_ask) == (5_900, 6_100)
    assert made.levels(2) == (((5_900, 3), (5_000, 2)), ((6_100, 6), (7_000, 5)))


def test_a_depth_beyond_the_book_gives_all_of_it_and_zero_none() -> None:
    made = book([(4_000, 1)], [(6_000, 1), (6_100, 1)])
    assert made.levels(10) == made.levels() == (((4_000, 1),), ((6_000, 1), (6_100, 1)))
    assert made.levels(0) == ((), ())


def test_removing_the_best_uncovers_the_next() -> None:
    made = book([(4_000, 1), (5_000, 2)], [(6_000, 1), (6_100, 1)])
    made.change("bid", 5_000, 0)
    made.change("ask", 6_000, 0)
    assert (made.best_bid, made.best_ask) == (4_000, 6_100)


def test_a_change_is_the_new_total_not_a_difference() -> None:
    made = book([(4_000, 10)], [])
    made.change("bid", 4_000, 3)
    assert made.levels() == (((4_000, 3),), ())


def test_removing_what_is_not_there_changes_nothing() -> None:
    made = book([(4_000, 10)], [])
    made.change("bid", 3_000, 0)
    made.change("ask", 4_000, 0)
    assert made.levels() == (((4_000, 10),), ())


def test_touching_sides_are_crossed() -> None:
    assert book([(5_000, 1)], [(5_000, 1)]).crossed
    assert book([(5_100, 1)], [(5_000, 1)]).crossed
    assert not book([(4_900, 1)], [(5_000, 1)]).crossed
    assert not book([(5_100, 1)], []).crossed


@pytest.mark.parametrize(
    ("bids", "asks", "expected"),
    [
        ([100], [9_900], True),
        ([10], [9_990], True),
        ([10, 100], [9_900, 9_990], True),
        ([100, 200], [9_900], False),
        ([50, 100], [9_900], False),
        ([100], [9_900, 9_950], False),
        ([100], [9_800, 9_900], False),
        ([100], [], False),
        ([], [9_900], False),
        ([9_900], [9_990], False),
    ],
)
def test_a_book_of_only_the_outermost_prices_is_a_placeholder(
    bids: list[int], asks: list[int], expected: bool
) -> None:
    made = book([(price, 1) for price in bids], [(price, 1) for price in asks])
    assert made.placeholder is expected


@pytest.mark.parametrize(
    ("price4", "size6", "reason"),
    [(0, 1, "book_price"), (10_000, 1, "book_price"), (-100, 1, "book_price"), (5_000, -1, "book_size")],
)
def test_an_impossible_level_is_refused_and_the_book_stays(price4: int, size6: int, reason: str) -> None:
    made = book([(4_000, 1)], [(6_000, 1)])
    before = made.levels()
    with pytest.raises(FrameRefused) as refused:
        made.change("bid", price4, size6)
    assert refused.value.reason == reason
    with pytest.raises(FrameRefused) as refused:
        made.replace([(3_000, 1)], [(7_000, 1), (price4, size6)])
    assert refused.value.reason == reason
    assert made.levels() == before


class NaiveBook(RuleBasedStateMachine):
    """The book against two dicts that are sorted afresh at every look."""

    def __init__(self) -> None:
        super().__init__()
        self.book = OrderBook()
        self.model: dict[Side, dict[int, int]] = {"bid": {}, "ask": {}}

    @rule(bids=level_lists, asks=level_lists)
    def replace(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        self.book.replace(bids, asks)
        self.model = {"bid": dict(bids), "ask": dict(asks)}

    @rule(side=sides, price4=prices, size6=sizes)
    def change(self, side: Side, price4: int, size6: int) -> None:
        self.book.change(side, price4, size6)
        self.model[side][price4] = size6

    @rule(depth=st.integers(0, 6))
    def look(self, depth: int) -> None:
        bids, asks = self.expected()
        assert self.book.levels(depth) == (tuple(bids[:depth]), tuple(asks[:depth]))

    @invariant()
    def agrees(self) -> None:
        bids, asks = self.expected()
        assert self.book.levels() == (tuple(bids), tuple(asks))
        assert self.book.best_bid == (bids[0][0] if bids else None)
        assert self.book.best_ask == (asks[0][0] if asks else None)
        assert self.book.best == (bids[0] if bids else None, asks[0] if asks else None)
        assert self.book.crossed == bool(bids and asks and bids[0][0] >= asks[0][0])

    def expected(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        live = {side: [level for level in levels.items() if level[1]] for side, levels in self.model.items()}
        return sorted(live["bid"], reverse=True), sorted(live["ask"])


TestNaiveBook = NaiveBook.TestCase
