"""The executor's intake: which books count as proven, and that a rehearsal is nothing but a rehearsal."""

import asyncio
import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from common.core.order_effects import CommitIntent
from common.messages import Accepted, Answer, BookState, Request, Submit
from common.venue.intake import PROVEN_NS, Intake, proven_of_late
from common.venue.port import Prepared
from order_playbook import Playbook

NOW_NS = 1_900_000_000_000_000_000


class Desk:
    """As much of a desk as an intake uses; whatever must not happen in a rehearsal is not here."""

    def __init__(self) -> None:
        self.talk = Playbook().opened()
        self.decided: list[Any] = []
        self.rehearsed: list[CommitIntent] = []
        self.made = 0
        self.process = SimpleNamespace(stopping=asyncio.Event())
        self.venue = SimpleNamespace(prepare=self._prepared, rehearse=self._prepared)
        self.journal = SimpleNamespace(rehearse=self.rehearsed.append)

    @property
    def state(self) -> Any:
        return self.talk.state

    def moment(self) -> Any:
        return self.talk.now

    def decide(self, event: Any) -> Answer:
        self.decided.append(event)
        return Accepted()

    def _prepared(self, _submit: Submit, _market: Any) -> Prepared:
        self.made += 1
        return Prepared("0x1", b"signed")


def request(submit: Submit) -> Request:
    return Request(schema=1, id="r", caller="test", expires_mono_ns=0, body=submit)


def test_a_rehearsal_makes_an_order_and_changes_nothing() -> None:
    desk = Desk()
    intake = Intake(desk)  # type: ignore[arg-type]
    before = pickle.dumps(desk.state)
    for turn in range(1, 4):
        intake.rehearse()
        assert desk.made == len(desk.rehearsed) == turn
    assert pickle.dumps(desk.state) == before
    assert desk.decided == []
    assert {commit.order.strategy for commit in desk.rehearsed} == {"rehearsal"}


def test_without_a_window_there_is_nothing_to_rehearse() -> None:
    desk = Desk()
    desk.talk = Playbook()
    Intake(desk).rehearse()  # type: ignore[arg-type]
    assert desk.made == 0


@pytest.mark.parametrize(
    ("proven_ns", "venue_ns", "is_proven"),
    [
        (NOW_NS, NOW_NS, True),
        (NOW_NS, NOW_NS + PROVEN_NS, True),
        (NOW_NS, NOW_NS + PROVEN_NS + 1, False),
        (0, 0, False),  # never proven, and the venue's stamp is missing as well
        (0, NOW_NS, False),
    ],
)
def test_a_book_proven_of_late_is_not_asked_for(proven_ns: int, venue_ns: int, is_proven: bool) -> None:
    desk = Desk()
    book = desk.talk.book("up", proven_ns=proven_ns, venue_ns=venue_ns)
    assert proven_of_late(book) == is_proven
    desk.state.quotes[book.token] = book
    wish = desk.talk.wish()
    answer = Intake(desk).submit(wish, request(wish))  # type: ignore[arg-type]
    if is_proven:
        assert answer == Accepted()
        assert [event.order_id for event in desk.decided] == ["0x1"]
    else:
        assert asyncio.iscoroutine(answer)
        answer.close()
        assert desk.decided == []


def test_a_book_that_is_not_there_is_not_proven() -> None:
    nothing: BookState | None = None
    assert not proven_of_late(nothing)
