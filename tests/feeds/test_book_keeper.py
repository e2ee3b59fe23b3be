"""Kept books: only a complete, uncontradicted, sane book is live; doubt asks for a new one.

How a book is proven by the venue's hash is in test_book_proving.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.feeds.market.book_keeper import BookKeeper, Heard
from common.feeds.market.clob_market import parse_frame
from common.feeds.market.kept_book import PUBLISHED_DEPTH
from common.feeds.market.market_events import LevelChange, PriceChanges
from common.messages import BookState
from common.units import MILLISECOND, SECOND, price4_text, size6_text
from tests.feeds import wire
from tests.feeds.kept import MARKET, WINDOW, followed
from tests.feeds.wire import DOWN, NOW_MS, NOW_NS, UP, change, changes, hashed, levels, one_token, text


@pytest.fixture
def keeper() -> BookKeeper:
    return followed()


def book(token: str = UP, **more: Any) -> dict[str, Any]:
    """A complete book that bears out its hash."""
    return hashed(wire.book(token, **more))


def hear(keeper: BookKeeper, frame: object, mono_ns: int = 1) -> Heard:
    return keeper.hear(parse_frame(text(frame)), mono_ns)


def state(keeper: BookKeeper, token: str = UP) -> BookState:
    found = keeper.state(token)
    assert found is not None
    return found


def status(keeper: BookKeeper, token: str = UP) -> str:
    return state(keeper, token).status


def test_a_book_waits_for_its_first_snapshot(keeper: BookKeeper) -> None:
    assert state(keeper).status == "waiting"
    heard = hear(keeper, changes(change(UP, "BUY", "0.5", "1", best_bid="0.5", best_ask="0.6")))
    assert (heard.changed, heard.resync) == (set(), {})
    assert state(keeper).bids == ()
    assert keeper.best(UP) == ("waiting", None, None)


def test_a_snapshot_makes_it_live(keeper: BookKeeper) -> None:
    heard = hear(keeper, book(), mono_ns=7)
    assert (heard.changed, heard.resync) == ({UP}, {})
    assert state(keeper) == BookState(
        token=UP,
        window=WINDOW,
        outcome="up",
        status="live",
        bids=((5900, 20_500_000), (5800, 100_000_000)),
        asks=((6100, 10_000_000), (6200, 300_000_000)),
        tick4=100,
        venue_ns=NOW_NS,
        data_mono_ns=7,
        last_trade4=6000,
        proven_ns=NOW_NS,
    )
    assert keeper.best(UP) == ("live", (5900, 20_500_000), (6100, 10_000_000))
    assert state(keeper, DOWN).status == "waiting"


def test_changes_of_both_tokens_in_one_frame(keeper: BookKeeper) -> None:
    hear(keeper, [book(UP), book(DOWN)])
    heard = hear(
        keeper,
        changes(
            change(UP, "BUY", "0.59", "0", best_bid="0.58", best_ask="0.61"),
            change(DOWN, "SELL", "0.60", "4", best_bid="0.59", best_ask="0.60"),
        ),
        mono_ns=9,
    )
    assert (heard.changed, heard.resync) == ({UP, DOWN}, {})
    assert keeper.best(UP) == ("live", (5800, 100_000_000), (6100, 10_000_000))
    assert keeper.best(DOWN) == ("live", (5900, 20_500_000), (6000, 4_000_000))
    assert state(keeper).venue_ns == NOW_NS + 1_000_000
    assert state(keeper).data_mono_ns == 9


def test_stated_best_prices_hold_after_the_whole_frame(keeper: BookKeeper) -> None:
    """Between the changes of one frame the book is not what the venue states yet."""
    hear(keeper, book())
    after = {"best_bid": "0.60", "best_ask": "0.62"}
    heard = hear(
        keeper, changes(change(UP, "SELL", "0.61", "0", **after), change(UP, "BUY", "0.60", "5", **after))
    )
    assert heard.resync == {}
    assert keeper.best(UP) == ("live", (6000, 5_000_000), (6200, 300_000_000))


def test_a_contradiction_ends_trust_until_a_new_book(keeper: BookKeeper) -> None:
    hear(keeper, [book(UP), book(DOWN)])
    heard = hear(keeper, changes(change(UP, "BUY", "0.57", "1", best_bid="0.60", best_ask="0.61")))
    assert heard.changed == {UP}
    assert set(heard.resync) == {UP}
    assert "5900" in heard.resync[UP]
    assert "6000" in heard.resync[UP]
    assert (status(keeper), status(keeper, DOWN)) == ("resync", "live")
    heard = hear(keeper, changes(change(UP, "BUY", "0.57", "0", best_bid="0.59", best_ask="0.61")))
    assert (heard.changed, heard.resync) == (set(), {}), "asked for once, and no change cures it"
    assert status(keeper) == "resync"
    hear(keeper, book(at_ms=NOW_MS + 1))
    assert status(keeper) == "live"


@pytest.mark.parametrize(
    ("best_bid", "best_ask", "agrees"),
    [
        ("0.59", "0.61", True),
        ("0.59", "0.62", False),
        ("0.58", "0.61", False),
        (None, None, True),
        ("0", "0.61", False),
        ("0.59", "1", False),
    ],
)
def test_both_best_prices_count(
    keeper: BookKeeper, best_bid: str | None, best_ask: str | None, agrees: bool
) -> None:
    hear(keeper, book())
    heard = hear(keeper, changes(change(UP, "BUY", "0.57", "1", best_bid=best_bid, best_ask=best_ask)))
    assert (not heard.resync) is agrees


def test_an_emptied_side_agrees_with_no_price(keeper: BookKeeper) -> None:
    hear(keeper, book(asks=levels(("0.61", "10"))))
    heard = hear(keeper, changes(change(UP, "SELL", "0.61", "0", best_bid="0.59", best_ask="1")))
    assert heard.resync == {}
    assert keeper.best(UP) == ("live", (5900, 20_500_000), None)


def test_a_contradiction_and_its_cure_in_one_frame_ask_for_nothing(keeper: BookKeeper) -> None:
    hear(keeper, book())
    heard = hear(keeper, [changes(change(UP, "BUY", "0.57", "1", best_bid="0.6", best_ask="0.61")), book()])
    assert heard.resync == {}
    assert status(keeper) == "live"


def test_a_new_grid_voids_the_book(keeper: BookKeeper) -> None:
    hear(keeper, book())
    heard = hear(keeper, one_token("tick_size_change", old_tick_size="0.01", new_tick_size="0.001"))
    assert heard.changed == {UP}
    assert set(heard.resync) == {UP}
    assert (status(keeper), state(keeper).tick4, state(keeper).bids) == ("resync", 10, ())
    hear(keeper, hashed(wire.book(tick_size=None), tick="0.001"))
    assert (status(keeper), state(keeper).tick4) == ("live", 10)


@pytest.mark.parametrize(("bid", "ask"), [("0.01", "0.99"), ("0.001", "0.999")])
def test_a_placeholder_is_never_live(keeper: BookKeeper, bid: str, ask: str) -> None:
    hear(keeper, book(bids=levels((bid, "5")), asks=levels((ask, "5"))))
    assert status(keeper) == "waiting"
    hear(keeper, changes(change(UP, "BUY", "0.5", "1", best_bid="0.5", best_ask=ask)))
    assert status(keeper) == "live"


@pytest.mark.parametrize("bid", ["0.61", "0.7"])
def test_a_crossed_book_is_never_live(keeper: BookKeeper, bid: str) -> None:
    hear(keeper, book(bids=levels((bid, "5"))))
    assert status(keeper) == "waiting"
    hear(keeper, changes(change(UP, "BUY", bid, "0", best_bid="", best_ask="0.61")))
    assert status(keeper) == "live"


def test_a_lost_connection_voids_every_book(keeper: BookKeeper) -> None:
    hear(keeper, book())
    assert keeper.lost_connection() == {UP}
    assert status(keeper) == "waiting"
    assert keeper.lost_connection() == set()
    heard = hear(keeper, changes(change(UP, "BUY", "0.60", "1", best_bid="0.60", best_ask="0.61")))
    assert heard.changed == set()
    assert state(keeper).bids[0][0] == 5900
    hear(keeper, book(at_ms=NOW_MS + 1))
    assert status(keeper) == "live"


def test_only_data_of_the_token_makes_it_young(keeper: BookKeeper) -> None:
    hear(keeper, [book(UP), book(DOWN)], mono_ns=1)
    young: list[dict[str, Any]] = [
        one_token("last_trade_price", price="0.585", size="1"),
        one_token("best_bid_ask", best_bid="0.59", best_ask="0.61"),
        changes(change(UP, "BUY", "0.3", "1", best_bid="0.59", best_ask="0.61")),
    ]
    for number, frame in enumerate(young, 2):
        hear(keeper, frame, mono_ns=number)
        assert state(keeper).data_mono_ns == number
    hear(keeper, {"event_type": "new_market", "market": "0x", "assets_ids": [UP]}, mono_ns=99)
    assert keeper.hear(parse_frame("PONG"), 99) == Heard()
    assert state(keeper).data_mono_ns == 4
    assert state(keeper, DOWN).data_mono_ns == 1
    assert state(keeper).last_trade4 == 5850


def test_the_instant_of_the_venue_never_goes_back_by_a_change(keeper: BookKeeper) -> None:
    hear(keeper, book())
    hear(keeper, changes(change(UP, "BUY", "0.3", "1"), at_ms=NOW_MS - 5))
    assert state(keeper).venue_ns == NOW_NS


def test_a_token_nobody_follows_is_ignored(keeper: BookKeeper) -> None:
    frames: list[dict[str, Any]] = [
        book("999"),
        changes(change("999", "BUY", "0.5", "1", best_bid="0.1", best_ask="0.2")),
        one_token("tick_size_change", new_tick_size="0.001", asset_id="999"),
        one_token("last_trade_price", price="0.5", size="1", asset_id="999"),
        one_token("best_bid_ask", asset_id="999"),
    ]
    for frame in frames:
        assert hear(keeper, frame) == Heard()
    assert keeper.state("999") is None
    assert keeper.best("999") is None


def test_following_twice_keeps_the_book_and_dropping_forgets_it(keeper: BookKeeper) -> None:
    hear(keeper, book())
    assert not keeper.follow(MARKET, "up", 5)
    assert status(keeper) == "live"
    keeper.drop(UP)
    keeper.drop(UP)
    assert keeper.tokens() == [DOWN]
    assert keeper.follow(MARKET, "up", 5)
    assert (status(keeper), state(keeper).data_mono_ns) == ("waiting", 5)


def test_windows_of_their_own_are_kept_apart(keeper: BookKeeper) -> None:
    """What moves one window on says nothing of another, and a window may come back."""
    other = msgspec.structs.replace(MARKET, window="eth-updown-15m-1", token_up="3", token_down="4")
    keeper.follow(other, "up", 0)
    keeper.follow(other, "down", 0)
    hear(keeper, [book(UP), book(DOWN), book("3")])
    hear(keeper, changes(change("3", "BUY", "0.57", "1")), 2)
    moved = changes(change(UP, "BUY", "0.57", "1"), at_ms=NOW_MS + 2)
    assert hear(keeper, moved, 3 * SECOND).resync == {}
    assert status(keeper, "3") == "live", "its stamp has not moved on"
    moved = changes(change("4", "BUY", "0.57", "1"), at_ms=NOW_MS + 2)
    assert set(hear(keeper, moved, 3 * SECOND).resync) == {"3"}
    for token in ("3", "4"):
        keeper.drop(token)
    hear(keeper, moved, 3 * SECOND)
    assert keeper.follow(other, "up", 5)
    hear(keeper, book("3"), 4 * SECOND)
    assert status(keeper, "3") == "live"


def test_a_published_book_is_bounded_and_shows_the_best(keeper: BookKeeper) -> None:
    many = [(f"0.{number:03d}", "1") for number in range(100, 400)]
    hear(keeper, book(bids=levels(*many), asks=[]))
    bids = state(keeper).bids
    assert len(bids) == PUBLISHED_DEPTH
    assert bids[0][0] == 3990
    msgspec.msgpack.encode(state(keeper))


# --- against a naive model ---------------------------------------------------------------------------

Side = Literal["bid", "ask"]
prices = st.integers(1, 6)
sizes = st.integers(0, 3)


@dataclass
class Naive:
    """A book as two dictionaries, every question answered by looking at all of it."""

    trusted: bool = False
    doubted: bool = False
    sides: dict[Side, dict[int, int]] = field(default_factory=lambda: {"bid": {}, "ask": {}})

    def best(self) -> tuple[int | None, int | None]:
        bids = [price for price, size in self.sides["bid"].items() if size]
        asks = [price for price, size in self.sides["ask"].items() if size]
        return max(bids, default=None), min(asks, default=None)

    def status(self) -> str:
        bid, ask = self.best()
        if not self.trusted:
            return "resync" if self.doubted else "waiting"
        return "waiting" if bid is not None and ask is not None and bid >= ask else "live"


steps = st.one_of(
    st.tuples(st.just("snapshot"), st.dictionaries(prices, sizes), st.dictionaries(prices, sizes)),
    st.tuples(
        st.just("changes"),
        st.lists(st.tuples(st.sampled_from(["bid", "ask"]), prices, sizes), min_size=1, max_size=4),
        st.sampled_from(["true", "true", "true", "silent", "false"]),
    ),
    st.tuples(st.just("lost")),
)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from([UP, DOWN]), steps), max_size=25))
def test_it_agrees_with_a_naive_model(story: list[tuple[str, Any]]) -> None:
    keeper = followed()
    models = {UP: Naive(), DOWN: Naive()}
    for token, step in story:
        model = models[token]
        match step:
            case ("snapshot", bids, asks):
                model.sides = {"bid": dict(bids), "ask": dict(asks)}
                model.trusted, model.doubted = True, False
                hear(keeper, _snapshot(token, bids, asks))
            case ("changes", entries, truth):
                was_trusted = model.trusted
                if was_trusted:
                    for side, price, size in entries:
                        model.sides[side][price] = size
                bid, ask = model.best()
                stated = (None, None) if truth == "silent" else (bid, ask)
                if truth == "false":
                    stated = (9000 if bid is None else bid * 1000 + 1, ask)
                    model.doubted |= model.trusted
                    model.trusted = False
                scaled = [
                    None if price is None else price if price >= 1000 else price * 1000 for price in stated
                ]
                entry = [
                    LevelChange(token, side, price * 1000, size, "", "", "", scaled[0], scaled[1])
                    for side, price, size in entries
                ]
                asked = set(keeper.hear([PriceChanges("0x", NOW_NS, "", tuple(entry))], 1).resync)
                assert asked == ({token} if was_trusted and truth == "false" else set())
            case _:
                keeper.lost_connection()
                for every in models.values():
                    every.trusted = False
        for name, each in models.items():
            found = keeper.best(name)
            assert found is not None
            status, *best = found
            assert best == [
                None if price is None else (price * 1000, each.sides[side][price])
                for side, price in zip(("bid", "ask"), each.best(), strict=True)
            ]
            assert status == each.status()


def _snapshot(token: str, bids: dict[int, int], asks: dict[int, int]) -> dict[str, Any]:
    sides = [
        levels(*[(price4_text(price * 1000), size6_text(size)) for price, size in sorted(side) if size])
        for side in (bids.items(), asks.items())
    ]
    return book(token, bids=sides[0], asks=sides[1][::-1])


def told(keeper: BookKeeper, frame: object, mono_ns: int, late_ns: int) -> Heard:
    """A frame that reaches us this long after its own stamp."""
    events = parse_frame(text(frame))
    return keeper.hear(events, mono_ns, NOW_NS + MILLISECOND + late_ns)


@pytest.mark.parametrize("late_ns", [-SECOND, 0, SECOND, 60 * SECOND])
def test_data_is_as_old_as_its_own_stamp(keeper: BookKeeper, late_ns: int) -> None:
    """A burst from the past, or a clock that stands still: the book changes, but does not grow younger."""
    hear(keeper, book(), mono_ns=100 * SECOND)
    true_ns = 130 * SECOND - max(0, late_ns)
    frame = changes(change(UP, "BUY", "0.59", "7"), at_ms=NOW_MS + 1)
    heard = told(keeper, frame, 130 * SECOND, late_ns)
    assert (heard.changed, heard.alive) == ({UP}, {UP: true_ns})
    assert state(keeper).data_mono_ns == max(100 * SECOND, true_ns)
    trade = one_token("last_trade_price", price="0.6", size="1", side="BUY", timestamp=str(NOW_MS + 1))
    assert told(keeper, trade, 130 * SECOND, late_ns).alive == {UP: true_ns}


def test_the_answer_to_our_own_question_is_young_whatever_its_stamp(keeper: BookKeeper) -> None:
    """A quiet book's snapshot carries the stamp of its last change; the same book again does not."""
    told(keeper, book(at_ms=NOW_MS + 1), 105 * SECOND, 60 * SECOND)
    assert state(keeper).data_mono_ns == 105 * SECOND
    told(keeper, book(at_ms=NOW_MS + 1), 109 * SECOND, 60 * SECOND)
    assert state(keeper).data_mono_ns == 105 * SECOND
