"""Taking back asks for every order whose fate is open, changes no posture, and is harmless when repeated."""

import pytest

from common.core.order_effects import Accept, CancelOrder, CommitPosture, Effect, LookUp, Place
from common.core.order_events import Answered, NewsSeen, RecallAsked, Restarted, Submitted, Taken, Unknown
from common.core.venue_facts import OrderNews
from order_playbook import WINDOW, Playbook

INTENT = f"{WINDOW}/up/lag"


def sent() -> Playbook:
    """A live order on its way."""
    play = Playbook().opened()
    play.hear(Submitted(play.wish(), "r-1", "0xfeed", b"signed"))
    return play


def kinds(effects: list[Effect], *wanted: type) -> list[str]:
    return [type(effect).__name__ for effect in effects if isinstance(effect, wanted)]


def text(effects: list[Effect]) -> str:
    (answer,) = [effect for effect in effects if isinstance(effect, Accept)]
    return answer.text


def test_without_an_open_order_nothing_rests_and_nothing_is_done() -> None:
    play = Playbook().opened()
    assert play.hear(RecallAsked()) == [Accept("nothing rests")]
    before = play.bought().state
    assert play.hear(RecallAsked()) == [Accept("nothing rests")]
    assert play.state is before


@pytest.mark.parametrize("phase", ["live", "delayed"])
def test_a_resting_order_is_cancelled_and_looked_for_at_once(phase: str) -> None:
    play = sent()
    play.hear(Answered(INTENT, Taken(phase)))  # type: ignore[arg-type]
    effects = play.hear(RecallAsked())
    assert kinds(effects, CancelOrder, LookUp, Place) == ["CancelOrder", "LookUp"]
    assert text(effects) == f"1 order asked back: {INTENT}; their fate is looked up"
    assert play.order().state.status == "working"
    assert play.state.posture.posture == "trading"
    assert not kinds(effects, CommitPosture)


def test_repeated_it_cancels_again_and_asks_nothing_twice() -> None:
    play = sent()
    play.hear(Answered(INTENT, Taken("live")), RecallAsked())
    assert kinds(play.hear(RecallAsked()), CancelOrder, LookUp) == ["CancelOrder"]
    play.hear(NewsSeen(OrderNews("0xfeed", "ended", 0)))
    assert play.order().state.status == "killed"
    assert text(play.hear(RecallAsked())) == "nothing rests"


def test_an_order_of_unknown_fate_is_asked_back_and_stays_pursued() -> None:
    play = sent()
    play.hear(Answered(INTENT, Unknown("no answer within 10 s")))
    effects = play.hear(RecallAsked())
    assert kinds(effects, CancelOrder) == ["CancelOrder"]
    assert "unknown: no answer within 10 s" in text(effects)
    assert play.state.pursuits[INTENT].unknown
    assert play.order().state.status == "working"


def test_one_whose_request_is_under_way_is_asked_back_and_not_taken_for_absent() -> None:
    play = sent()
    effects = play.hear(RecallAsked())
    # That the venue does not know it yet proves nothing: it is asked for when its answer is due.
    assert kinds(effects, CancelOrder, LookUp) == ["CancelOrder"]
    assert play.state.pursuits[INTENT].in_flight


def test_after_a_restart_what_was_left_open_is_asked_back() -> None:
    play = sent()
    play.hear(Restarted())
    assert kinds(play.hear(RecallAsked()), CancelOrder) == ["CancelOrder"]


def test_of_many_orders_the_first_are_named() -> None:
    play = Playbook().opened()
    for number in range(10):
        wish = play.wish(strategy=f"s{number}", stake_usd6=1_000_000)
        play.hear(Submitted(wish, f"r-{number}", f"0x{number}", b"signed"))
    said = text(play.hear(RecallAsked()))
    assert said.startswith("10 orders asked back: ")
    assert "and 2 more" in said
