"""A paper order fills only where a real one could have."""

import pytest

from common.core.order_events import (
    DefiniteNo,
    Matched,
)
from common.core.paper_fill import decide, paper_order_id
from common.messages import BookState, MarketState, OrderState
from common.units import SECOND
from order_playbook import WINDOW, Playbook, market


def order() -> OrderState:
    play = Playbook().opened()
    play.submit()
    return play.order().state


def judged(
    play: Playbook,
    book: BookState | None,
    held: MarketState | None = None,
    *,
    incomplete: bool = False,
) -> Matched | DefiniteNo:
    return decide(
        order(),
        held or market(),
        book,
        incomplete=incomplete,
        max_age_ns=5 * SECOND,
        moment=play.now,
    )


def test_walks_the_book_as_it_stands() -> None:
    play = Playbook()
    asks = ((5_000, 7_000_000), (5_100, 100_000_000), (6_200, 1_000_000))
    answer = judged(play, play.book("up", asks=asks))
    assert isinstance(answer, Matched)
    assert [(fill.price4, fill.size6) for fill in answer.fills] == [(5_000, 7_000_000), (5_100, 12_745_000)]
    assert [fill.trade_id for fill in answer.fills] == [f"{order().order_id}-0", f"{order().order_id}-1"]
    assert all(fill.fee_usd6 > 0 for fill in answer.fills)
    assert judged(play, play.book("up", asks=asks)) == answer


def test_the_order_id_is_the_intents() -> None:
    assert paper_order_id("a") == paper_order_id("a") != paper_order_id("b")
    assert order().order_id == paper_order_id(f"{WINDOW}/up/lag")


def test_a_book_exactly_at_the_limit_of_age_still_counts_and_an_older_one_never() -> None:
    play = Playbook()
    book = play.book("up")
    play.at(65)
    assert isinstance(judged(play, book), Matched)
    play.at(65.001)
    answer = judged(play, book)
    assert isinstance(answer, DefiniteNo)
    assert answer.code == "stale-book"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"end_ns": Playbook().now.wall_ns}, "ended"),
        ({"accepting": False}, "not-accepting"),
        ({"closed": True}, "not-accepting"),
        ({"outcome": "up"}, "not-accepting"),
    ],
)
def test_a_market_that_no_longer_trades_kills(changes: dict[str, object], code: str) -> None:
    play = Playbook()
    answer = judged(play, play.book("up"), market(**changes))
    assert isinstance(answer, DefiniteNo)
    assert answer.code == code


@pytest.mark.parametrize("status", ["waiting", "resync", "closed"])
def test_a_book_that_is_not_live_kills(status: str) -> None:
    play = Playbook()
    answer = judged(play, play.book("up", status=status))
    assert isinstance(answer, DefiniteNo)
    assert (answer.code, status in answer.text) == ("book-not-live", True)


def test_missing_messages_or_no_book_kill() -> None:
    play = Playbook()
    codes = []
    for answer in (judged(play, play.book("up"), incomplete=True), judged(play, None)):
        assert isinstance(answer, DefiniteNo)
        codes.append(answer.code)
    assert codes == ["incomplete", "no-book"]


def test_a_book_that_moved_away_during_the_delay_kills_and_says_where_it_is() -> None:
    play = Playbook()
    answer = judged(play, play.book("up", 6_200))
    assert answer == DefiniteNo("no-match", "nothing at or below 0.61 (best ask 0.62)")
    assert judged(play, play.book("up", asks=())) == DefiniteNo(
        "no-match", "nothing at or below 0.61 (no asks)"
    )
