"""The venue's REST copy of a book: when it counts, and what it does to ours."""

from typing import Any

import pytest

from common.feeds.market.book_keeper import Heard
from common.feeds.market.clob_market import parse_book
from common.feeds.market.market_events import BookSnapshot
from common.units import SECOND
from tests.feeds.kept import Counted, Venue, followed, hear, state
from tests.feeds.wire import (
    DOWN,
    NOW_MS,
    UP,
    book,
    change,
    changes,
    hashed,
    levels,
)


@pytest.fixture
def keeper() -> Counted:
    return followed()


@pytest.fixture
def venue(keeper: Counted) -> Venue:
    """A venue whose two books the keeper has had at instant 1."""
    there = Venue()
    hear(keeper, [there.book(UP), there.book(DOWN)])
    assert keeper.counts == {"proofs.ok": 2}
    keeper.counts.clear()
    return there


def copy_of(frame: dict[str, Any]) -> BookSnapshot:
    return parse_book(frame | {"min_order_size": "5", "neg_risk": False})


def test_a_witness_agrees_only_with_the_same_book_not_older_than_ours(keeper: Counted, venue: Venue) -> None:
    older, same = venue.book(), venue.book(at_ms=NOW_MS + 9)
    assert keeper.compare(copy_of(same)) == keeper.compare(copy_of(older)) == "agreed"
    (frame,) = venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"))
    hear(keeper, frame, 2)
    assert keeper.compare(copy_of(venue.book(at_ms=NOW_MS + 1))) == "agreed"
    assert keeper.compare(copy_of(older)) == "undecided"
    assert keeper.compare(copy_of(same)) == "differs"
    (frame,) = venue.batch(NOW_MS + 2, (UP, "BUY", "0.57", "0"))
    hear(keeper, frame, 3)
    assert keeper.compare(copy_of(older)) == "undecided", "the same levels, from before"


@pytest.mark.parametrize(
    ("copy", "word"),
    [
        (Venue().book(at_ms=NOW_MS + 9) | {"hash": "feed"}, "unproven"),
        (Venue().book(at_ms=NOW_MS + 9) | {"asks": []}, "unproven"),
        (
            hashed(book(at_ms=NOW_MS + 9, bids=levels(("0.01", "5")), asks=levels(("0.99", "5")))),
            "placeholder",
        ),
        (hashed(book("999", at_ms=NOW_MS + 9)), "undecided"),
    ],
)
def test_a_witness_has_to_prove_itself(
    keeper: Counted, venue: Venue, copy: dict[str, Any], word: str
) -> None:
    assert keeper.compare(copy_of(copy)) == word


def test_a_witness_is_held_to_its_own_terms(keeper: Counted, venue: Venue) -> None:
    own = hashed(venue.book() | {"min_order_size": "15", "neg_risk": True})
    assert keeper.compare(parse_book(own)) == "agreed"


def test_an_incomplete_book_is_compared_with_nothing(keeper: Counted) -> None:
    assert keeper.compare(copy_of(Venue().book())) == "undecided"


def test_a_confirmed_silence_makes_the_data_young(keeper: Counted, venue: Venue) -> None:
    assert keeper.unchanged(5 * SECOND + 1, 5 * SECOND) == []
    assert keeper.unchanged(5 * SECOND + 2, 5 * SECOND) == [UP, DOWN]
    keeper.confirm(UP, 5 * SECOND + 2)
    assert state(keeper).data_mono_ns == 5 * SECOND + 2
    assert keeper.unchanged(5 * SECOND + 2, 5 * SECOND) == [DOWN]
    keeper.lost_connection()
    assert keeper.unchanged(60 * SECOND, 5 * SECOND) == [], "what is incomplete is missing, not unchanged"


def test_data_that_changes_nothing_is_no_news(keeper: Counted, venue: Venue) -> None:
    """A feed may repeat an old book with new stamps and right hashes."""
    mono_ns = 0
    for number in range(1, 10):
        mono_ns = number * SECOND
        hear(keeper, venue.book(at_ms=NOW_MS + number), mono_ns)
        (same,) = venue.batch(NOW_MS + number, (UP, "BUY", "0.59", "20.5"))
        hear(keeper, same, mono_ns)
    assert keeper.unchanged(mono_ns, 5 * SECOND) == [UP, DOWN]
    (frame,) = venue.batch(NOW_MS + 10, (UP, "BUY", "0.57", "1"))
    hear(keeper, frame, mono_ns)
    venue.batch(NOW_MS + 11, (DOWN, "BUY", "0.57", "1"))
    hear(keeper, venue.book(DOWN, at_ms=NOW_MS + 11), mono_ns)
    assert keeper.unchanged(mono_ns, 5 * SECOND) == []


def test_a_differing_witness_ends_trust_unless_we_caught_up(keeper: Counted, venue: Venue) -> None:
    venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"))  # on its way to us
    copy = copy_of(venue.book(at_ms=NOW_MS + 1))
    assert keeper.compare(copy) == "differs"
    assert set(keeper.overrule(copy).resync) == {UP}
    assert state(keeper).status == "resync"
    hear(keeper, venue.book(at_ms=NOW_MS + 1), 2)
    assert keeper.overrule(copy) == Heard()
    assert state(keeper).status == "live"


def test_an_old_book_that_comes_again_under_new_stamps_is_still_contradicted(
    keeper: Counted, venue: Venue
) -> None:
    """The copy's stamp is that of a real change; ours only looks younger."""
    other = copy_of(hashed(venue.book(at_ms=NOW_MS + 3, bids=levels(("0.41", "1")))))
    for number in range(1, 9):
        hear(keeper, venue.book(at_ms=NOW_MS + number), number)
    assert keeper.compare(other) == "differs"
    hear(keeper, venue.book(at_ms=NOW_MS + 9), 9)
    assert set(keeper.overrule(other).resync) == {UP}


def test_two_proven_books_of_one_stamp_contradict_each_other(keeper: Counted, venue: Venue) -> None:
    old = venue.book(at_ms=NOW_MS + 1)
    venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"))
    copy = copy_of(venue.book(at_ms=NOW_MS + 1))
    hear(keeper, old, 2)
    assert keeper.compare(copy) == "differs"
    hear(keeper, changes(change(UP, "BUY", "0.56", "1")), 3)
    assert keeper.compare(copy) == "undecided", "ours is not proven itself: more of it may come"


def test_a_snapshot_that_repeats_a_contradicted_book_cures_nothing(keeper: Counted, venue: Venue) -> None:
    repeated = venue.book(at_ms=NOW_MS + 2)
    venue.batch(NOW_MS + 2, (UP, "BUY", "0.57", "1"))
    keeper.overrule(copy_of(venue.book(at_ms=NOW_MS + 2)))
    heard = hear(keeper, repeated, 2)
    assert set(heard.resync) == {UP}
    assert (state(keeper).status, "repeats" in keeper.doubt(UP)) == ("resync", True)
    hear(keeper, venue.book(at_ms=NOW_MS + 2), 3)
    assert state(keeper).status == "live"
    hear(keeper, repeated, 4)
    assert state(keeper).status == "live", "what was wrong once may be right after something else"


def test_a_contradicted_book_that_is_right_again_needs_the_witness(keeper: Counted, venue: Venue) -> None:
    venue.batch(NOW_MS + 2, (UP, "BUY", "0.57", "1"))
    keeper.overrule(copy_of(venue.book(at_ms=NOW_MS + 2)))
    assert keeper.compare(copy_of(venue.book(at_ms=NOW_MS + 2))) == "undecided"
    venue.batch(NOW_MS + 3, (UP, "BUY", "0.57", "0"))
    assert keeper.unchanged(9 * SECOND, 5 * SECOND) == [UP, DOWN]
    assert keeper.compare(copy_of(venue.book(at_ms=NOW_MS + 3))) == "agreed"
    keeper.confirm(UP, 9 * SECOND)
    hear(keeper, venue.book(at_ms=NOW_MS + 3), 9 * SECOND)
    assert state(keeper).status == "live"
