"""When books are verified by the venue's hash, and what a mismatch does."""

from typing import Any

import msgspec
import pytest

from common.feeds.market.book_keeper import OVERDUE_NS, SAMPLE_NS, UNFINISHED_NS, Heard
from common.units import MILLISECOND, SECOND
from tests.feeds.kept import Counted, Venue, followed, hear, market, state
from tests.feeds.wire import (
    DOWN,
    NOW_MS,
    NOW_NS,
    UP,
    book,
    change,
    changes,
    hashed,
    levels,
    one_token,
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


# --- snapshots ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoilt",
    [
        {"hash": "0" * 40},
        {"hash": None},
        {"bids": levels(("0.58", "100"), ("0.59", "20.6"))},
        {"asks": levels(("0.61", "10"))},
        {"timestamp": str(NOW_MS + 1)},
        {"market": "0xother"},
        {"tick_size": "0.001"},
    ],
)
def test_a_snapshot_that_does_not_verify_moves_nothing(keeper: Counted, spoilt: dict[str, Any]) -> None:
    venue = Venue()
    hear(keeper, venue.book())
    before = state(keeper)
    venue.batch(NOW_MS + 5, (UP, "BUY", "0.595", "1"))
    frame = venue.book(at_ms=NOW_MS + 5) | spoilt
    heard = hear(keeper, {key: value for key, value in frame.items() if value is not None}, 2)
    assert (heard.changed, set(heard.resync)) == ({UP}, {UP})
    assert keeper.doubt(UP) == heard.resync[UP]
    after = state(keeper)
    assert after.status == "resync"
    assert (after.bids, after.venue_ns, after.tick4) == (before.bids, before.venue_ns, before.tick4)
    assert (keeper.counts["proofs.ok"], keeper.counts["proofs.failed"]) == (1, 1)
    hear(keeper, venue.book(at_ms=NOW_MS + 5), 3)
    assert (state(keeper).status, keeper.doubt(UP)) == ("live", "")


def test_a_mismatch_tells_both_hashes(keeper: Counted) -> None:
    right = Venue().book()
    heard = hear(keeper, right | {"hash": "beef"})
    assert right["hash"] in heard.resync[UP]
    assert "beef" in heard.resync[UP]


def test_a_refresh_is_verified_with_the_known_grid_and_last_trade(keeper: Counted) -> None:
    venue = Venue(last_trade="0.123")
    hear(keeper, venue.book())
    hear(keeper, venue.refresh(at_ms=NOW_MS + 1))
    assert (state(keeper).status, state(keeper).tick4, state(keeper).last_trade4) == ("live", 100, 1230)
    assert keeper.counts == {"proofs.ok": 2}


def test_the_metadata_of_the_market_fills_in_what_no_frame_says() -> None:
    keeper = followed(msgspec.structs.replace(market(version="v2", tick4=10), min_size6=15_000_000))
    told = book(tick_size="0.001", last_trade_price="", version="v2", min_order_size="15")
    frame = hashed(told)
    for key in ("tick_size", "version", "min_order_size"):
        del frame[key]
    hear(keeper, frame)
    assert state(keeper).status == "live"


def test_a_version_on_the_wire_is_part_of_the_hash(keeper: Counted) -> None:
    hear(keeper, hashed(book(version="v2")))
    assert state(keeper).status == "live"


def test_a_snapshot_older_than_the_book_changes_nothing(keeper: Counted, venue: Venue) -> None:
    older = venue.book()
    (frame,) = venue.batch(NOW_MS + 5, (UP, "BUY", "0.59", "1"))
    hear(keeper, frame)
    assert hear(keeper, older, 2) == Heard(alive={UP: 2})
    assert state(keeper).bids[0] == (5900, 1_000_000)
    assert keeper.counts == {"snapshots.late": 1}
    assert state(keeper).data_mono_ns == 2


def test_a_snapshot_older_than_changes_that_were_missed_is_no_complete_book(keeper: Counted) -> None:
    venue = Venue()
    older = venue.book()
    (frame,) = venue.batch(NOW_MS + 5, (UP, "BUY", "0.59", "1"))
    hear(keeper, frame)
    heard = hear(keeper, older)
    assert set(heard.resync) == {UP}
    assert (state(keeper).status, keeper.counts["snapshots.late"]) == ("resync", 1)
    hear(keeper, older)
    assert state(keeper).status == "live", "one odd stamp does not block a token for good"


def test_a_lost_connection_forgets_what_was_missed(keeper: Counted) -> None:
    venue = Venue()
    hear(keeper, changes(change(UP, "BUY", "0.59", "1"), at_ms=NOW_MS + 5))
    keeper.lost_connection()
    hear(keeper, venue.book())
    assert state(keeper).status == "live"


# --- changes -----------------------------------------------------------------------------------------


def test_changes_are_proven_as_soon_as_those_of_their_stamp_are_in(keeper: Counted, venue: Venue) -> None:
    first, second = venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"), (UP, "BUY", "0.56", "2"))
    later = SAMPLE_NS + 1
    assert hear(keeper, first, later).resync == {}
    assert keeper.counts == {}, "between the frames of one stamp the book is not what the hash says"
    assert (state(keeper).status, state(keeper).proven_ns) == ("live", NOW_NS)
    assert hear(keeper, second, later).resync == {}
    assert keeper.counts == {"proofs.ok": 1}
    assert state(keeper).proven_ns == state(keeper).venue_ns == NOW_NS + MILLISECOND


def test_changes_are_verified_when_their_stamp_moves_on_and_before_anything_newer(
    keeper: Counted, venue: Venue
) -> None:
    venue.last_trade = "0.333"  # nobody told us
    (first,) = venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"))
    (second,) = venue.batch(NOW_MS + 2, (UP, "BUY", "0.55", "3"))
    later = SAMPLE_NS + 1
    assert hear(keeper, first, later).resync == {}
    assert keeper.counts == {}, "not searched before the trade's own frame had its time"
    assert state(keeper).proven_ns == NOW_NS
    assert hear(keeper, second, later).resync == {}
    assert keeper.counts == {"proofs.ok": 1, "proofs.searched": 1}
    assert state(keeper).proven_ns == NOW_NS + MILLISECOND
    assert state(keeper).venue_ns == NOW_NS + 2 * MILLISECOND


@pytest.mark.parametrize("lost", [0, 1])
def test_a_missed_change_is_noticed_when_the_stamp_moves_on(keeper: Counted, venue: Venue, lost: int) -> None:
    frames = venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"), (UP, "BUY", "0.56", "2"))
    del frames[lost]
    hear(keeper, frames[0], SAMPLE_NS)
    (frame,) = venue.batch(NOW_MS + 2, (UP, "BUY", "0.55", "3"))
    heard = hear(keeper, frame, SAMPLE_NS + 1)
    assert set(heard.resync) == {UP}
    assert UP in heard.changed
    assert (state(keeper).status, keeper.counts["proofs.failed"]) == ("resync", 1)
    assert 5500 not in dict(state(keeper).bids), "nothing is applied to a book in doubt"
    hear(keeper, venue.book(at_ms=NOW_MS + 2), SAMPLE_NS + 2)
    assert state(keeper).status == "live"


def test_the_other_token_and_a_trade_move_the_stamp_on_too(keeper: Counted, venue: Venue) -> None:
    (frame,) = venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"))
    hear(keeper, frame, SAMPLE_NS)
    (frame,) = venue.batch(NOW_MS + 2, (DOWN, "BUY", "0.57", "1"))
    hear(keeper, frame, SAMPLE_NS + 1)
    assert state(keeper).proven_ns == NOW_NS + MILLISECOND
    trade = one_token("last_trade_price", price="0.61", size="1", timestamp=str(NOW_MS + 3))
    hear(keeper, trade, SAMPLE_NS + 2)
    assert state(keeper, DOWN).proven_ns == NOW_NS + 2 * MILLISECOND
    assert keeper.counts == {"proofs.ok": 2}, "each before the trade that its hash does not count"


def test_the_first_change_after_a_silence_is_proven_with_its_frame(keeper: Counted, venue: Venue) -> None:
    for number in (1, 2):
        (frame,) = venue.batch(NOW_MS + number * 60_000, (UP, "BUY", "0.59", str(number)))
        assert hear(keeper, frame, number * 60 * SECOND) == Heard({UP}, {}, {UP: number * 60 * SECOND})
        assert state(keeper).proven_ns == state(keeper).venue_ns == NOW_NS + number * 60 * SECOND


def test_what_is_not_proven_of_a_busy_book_is_young(keeper: Counted, venue: Venue) -> None:
    """Whoever holds it to the age of its proof need not ask, whatever the frames of a stamp are."""
    for number in range(1, 200):
        batch = venue.batch(
            NOW_MS + number * 10, (UP, "BUY", "0.57", str(number)), (UP, "BUY", "0.56", str(number))
        )
        for frame in batch:
            hear(keeper, frame, 1 + number * 10 * MILLISECOND)
            unproven_ns = state(keeper).venue_ns - state(keeper).proven_ns
            assert 0 <= unproven_ns <= SAMPLE_NS + 10 * MILLISECOND
    assert keeper.counts == {"proofs.ok": 7}, "two seconds"


def test_a_busy_book_is_verified_four_times_a_second(keeper: Counted, venue: Venue) -> None:
    begins = SAMPLE_NS + 1
    for number in range(1, 101):
        (frame,) = venue.batch(NOW_MS + number, (UP, "BUY", "0.57", str(number)))
        hear(keeper, frame, begins + (number - 1) * 25 * MILLISECOND)
    assert keeper.counts["proofs.ok"] == 10, "one hundred changes in 2.5 s"
    assert not keeper.counts["proofs.failed"]


def test_a_wrong_book_is_noticed_at_the_next_sample_at_the_latest(keeper: Counted, venue: Venue) -> None:
    venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"))  # it never comes
    resyncs = []
    for number in range(2, 60):
        (frame,) = venue.batch(NOW_MS + number, (UP, "BUY", "0.56", str(number)))
        mono_ns = 1 + number * 25 * MILLISECOND
        resyncs += [mono_ns for _ in hear(keeper, frame, mono_ns).resync]
    (noticed,) = resyncs
    assert SAMPLE_NS <= noticed <= SAMPLE_NS + 50 * MILLISECOND


def test_a_late_change_is_covered_by_the_newest_hash(keeper: Counted, venue: Venue) -> None:
    (late,) = venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"))
    (newest,) = venue.batch(NOW_MS + 2, (UP, "BUY", "0.60", "2"))
    late["price_changes"][0] |= {"best_bid": "0.59", "best_ask": "0.61"}  # as it was then
    hear(keeper, newest, SAMPLE_NS)
    assert hear(keeper, late, SAMPLE_NS).resync == {}
    assert keeper.prove(UP, SAMPLE_NS).proof.proven
    assert state(keeper).proven_ns == NOW_NS + 2 * MILLISECOND


def test_a_repeated_old_change_that_undoes_a_newer_one_is_noticed(keeper: Counted, venue: Venue) -> None:
    (first,) = venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"))
    (second,) = venue.batch(NOW_MS + 2, (UP, "BUY", "0.57", "2"))
    for frame in (first, second):
        hear(keeper, frame, 2)
    assert keeper.prove(UP, 2).proof.proven
    hear(keeper, first, 3)
    assert not keeper.prove(UP, 3 + UNFINISHED_NS).proof.proven
    assert state(keeper).status == "resync"


# --- the last trade price ----------------------------------------------------------------------------


@pytest.mark.parametrize("told", ["before", "after", "never"])
def test_a_trade_is_counted_whenever_its_own_frame_comes(keeper: Counted, venue: Venue, told: str) -> None:
    trade = one_token("last_trade_price", price="0.61", size="5", timestamp=str(NOW_MS + 1))
    venue.last_trade = "0.610"
    (frame,) = venue.batch(NOW_MS + 1, (UP, "SELL", "0.61", "5"))
    if told == "before":
        hear(keeper, trade, SAMPLE_NS)
    hear(keeper, frame, SAMPLE_NS)
    assert keeper.prove(UP, SAMPLE_NS).proof.proven
    assert keeper.counts["proofs.searched"] == (told != "before")
    if told == "after":
        hear(keeper, trade, SAMPLE_NS)
    assert state(keeper).last_trade4 == 6100


def test_a_trade_told_after_its_changes_proves_them_at_once(keeper: Counted, venue: Venue) -> None:
    venue.last_trade = "0.610"
    frames = venue.batch(NOW_MS + 1, (UP, "SELL", "0.61", "5"), (DOWN, "BUY", "0.39", "5"))
    for frame in frames:
        hear(keeper, frame, 2 * SAMPLE_NS)
    assert keeper.counts == {}
    trade = one_token("last_trade_price", price="0.61", size="5", timestamp=str(NOW_MS + 1))
    assert hear(keeper, trade, 2 * SAMPLE_NS).changed == {UP, DOWN}
    assert state(keeper).proven_ns == state(keeper, DOWN).proven_ns == NOW_NS + MILLISECOND
    assert keeper.counts == {"proofs.ok": 2}


def test_a_trade_printed_ahead_of_the_book_that_counts_it_needs_no_search(
    keeper: Counted, venue: Venue
) -> None:
    hear(keeper, one_token("last_trade_price", price="0.61", size="5", timestamp=str(NOW_MS + 9)), 2)
    (frame,) = venue.batch(NOW_MS + 8, (UP, "BUY", "0.57", "1"))
    hear(keeper, frame, 3)
    assert keeper.prove(UP, 3).proof.proven
    assert keeper.counts == {"proofs.ok": 1}
    assert state(keeper).last_trade4 == 6100, "an older match takes back no newer trade"


def test_what_one_token_taught_the_other_knows(keeper: Counted, venue: Venue) -> None:
    venue.last_trade = "0.333"
    for frame in venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"), (DOWN, "BUY", "0.57", "1")):
        hear(keeper, frame, 2)
    assert keeper.prove(UP, 2).proof.proven
    assert keeper.prove(DOWN, 2).proof.proven
    assert keeper.counts == {"proofs.ok": 2, "proofs.searched": 1}


# --- quiet books -------------------------------------------------------------------------------------


def test_a_quiet_book_is_verified_without_a_newer_stamp(keeper: Counted, venue: Venue) -> None:
    (frame,) = venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"))
    hear(keeper, frame, SAMPLE_NS)
    assert keeper.settle(SAMPLE_NS + UNFINISHED_NS - 1) == Heard()
    assert state(keeper).proven_ns == NOW_NS
    assert keeper.settle(SAMPLE_NS + UNFINISHED_NS) == Heard({UP})
    assert state(keeper).proven_ns == NOW_NS + MILLISECOND
    assert keeper.settle(SAMPLE_NS + UNFINISHED_NS) == Heard(), "proven is proven"
    assert keeper.counts == {"proofs.ok": 1}


def test_a_quiet_book_is_verified_no_oftener(keeper: Counted, venue: Venue) -> None:
    (frame,) = venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"))
    hear(keeper, frame, 2)
    assert keeper.settle(SAMPLE_NS) == Heard()
    assert keeper.settle(SAMPLE_NS + 1) == Heard({UP})


def test_a_quiet_wrong_book_is_asked_for_again(keeper: Counted, venue: Venue) -> None:
    hear(keeper, changes(change(UP, "BUY", "0.57", "1")), 2)
    assert set(keeper.settle(2 * SAMPLE_NS).resync) == {UP}
    assert state(keeper).status == "resync"
    assert keeper.settle(4 * SAMPLE_NS) == Heard()


def test_a_stamp_of_the_far_future_does_not_end_verification(keeper: Counted, venue: Venue) -> None:
    """No newer stamp follows it, and on a busy token there is no quiet."""
    hear(keeper, changes(change(UP, "BUY", "0.57", "1"), at_ms=NOW_MS * 2), 2)
    resyncs = []
    for number in range(1, 70):
        mono_ns = 1 + number * 100 * MILLISECOND
        (frame,) = venue.batch(NOW_MS + number, (UP, "BUY", "0.56", str(number)))
        hear(keeper, frame, mono_ns)
        resyncs += [mono_ns for _ in keeper.settle(mono_ns).resync]
    assert resyncs == [1 + OVERDUE_NS]


# --- on demand ---------------------------------------------------------------------------------------


def test_an_unchanged_proven_book_is_proven_from_memory(keeper: Counted, venue: Venue) -> None:
    for mono_ns in (2, 100 * SECOND):
        asked = keeper.prove(UP, mono_ns)
        assert (asked.proof.proven, asked.proof.venue_ns, asked.unfinished) == (True, NOW_NS, False)
    assert keeper.counts == {}


def test_a_changed_book_is_verified_at_once_on_demand(keeper: Counted, venue: Venue) -> None:
    (frame,) = venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"))
    hear(keeper, frame, 2)
    asked = keeper.prove(UP, 2)
    assert (asked.proof.proven, asked.proof.venue_ns) == (True, NOW_NS + MILLISECOND)
    assert asked.heard.changed == {UP}
    assert keeper.counts == {"proofs.ok": 1}


def test_a_batch_in_the_middle_is_not_yet_wrong(keeper: Counted, venue: Venue) -> None:
    first, second = venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"), (UP, "BUY", "0.56", "2"))
    hear(keeper, first, 2)
    asked = keeper.prove(UP, 3)
    assert (asked.proof.proven, asked.unfinished, asked.heard) == (False, True, Heard())
    assert asked.proof.venue_ns == NOW_NS + MILLISECOND
    assert (state(keeper).status, keeper.counts) == ("live", {})
    hear(keeper, second, 4)
    assert keeper.prove(UP, 5, asked.proof.venue_ns).proof.proven


def test_who_waits_is_answered_by_the_stamp_that_was_finished_since(keeper: Counted, venue: Venue) -> None:
    """The next batch may be unfinished again, and so on: a busy token would never be proven."""
    first, second = venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"), (UP, "BUY", "0.56", "2"))
    hear(keeper, first, 2)
    awaited_ns = keeper.prove(UP, 3).proof.venue_ns
    third, _never = venue.batch(NOW_MS + 2, (UP, "BUY", "0.55", "1"), (UP, "BUY", "0.54", "2"))
    for frame in (second, third):
        hear(keeper, frame, 4)
    asked = keeper.prove(UP, 5, awaited_ns)
    assert (asked.proof.proven, asked.proof.venue_ns) == (True, awaited_ns), "out of the samples' turn"
    assert keeper.prove(UP, 5).unfinished, "who asks now asks about the newest"
    assert keeper.counts == {"proofs.ok": 1}


def test_when_no_more_changes_came_a_mismatch_is_one(keeper: Counted, venue: Venue) -> None:
    first, _lost = venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"), (UP, "BUY", "0.56", "2"))
    hear(keeper, first, 2)
    assert keeper.prove(UP, 1 + UNFINISHED_NS).unfinished
    asked = keeper.prove(UP, 2 + UNFINISHED_NS, NOW_NS + MILLISECOND)
    assert (asked.proof.proven, asked.unfinished, set(asked.heard.resync)) == (False, False, {UP})
    assert "resync" in asked.proof.text
    assert "hashes to" in asked.proof.text
    assert keeper.counts["proofs.failed"] == 1


def test_a_stamp_that_moved_on_from_a_wrong_book_is_no_proof(keeper: Counted, venue: Venue) -> None:
    first, _lost = venue.batch(NOW_MS + 1, (UP, "BUY", "0.57", "1"), (UP, "BUY", "0.56", "2"))
    (third,) = venue.batch(NOW_MS + 2, (UP, "BUY", "0.55", "1"))
    hear(keeper, first, 2)
    awaited_ns = keeper.prove(UP, 3).proof.venue_ns
    assert set(hear(keeper, third, 4).resync) == {UP}
    asked = keeper.prove(UP, 5, awaited_ns)
    assert (asked.proof.proven, asked.unfinished) == (False, False)


def test_what_is_not_live_is_not_proven(keeper: Counted) -> None:
    assert "nobody follows" in keeper.prove("999", 1).proof.text
    assert "waiting" in keeper.prove(UP, 1).proof.text
    hear(keeper, hashed(book(bids=levels(("0.01", "5")), asks=levels(("0.99", "5")))))
    asked = keeper.prove(UP, 1)
    assert (asked.proof.proven, asked.unfinished) == (False, False), "proven or not, it prices nothing"
    hear(keeper, Venue().book(at_ms=NOW_MS + 1))
    assert keeper.prove(UP, 1).proof.proven
    keeper.lost_connection()
    assert not keeper.prove(UP, 1).proof.proven
    assert not keeper.prove(UP, 1, NOW_NS).proof.proven, "whatever was proven before"
