"""A rehearsal fires whenever it is asked, and the real state never learns of it."""

import pickle

from common.core import rehearsal
from common.core.decision_state import SendOrder
from common.core.moment import Moment
from common.units import MILLISECOND
from conversation import Conversation, tick


def moment_of(talk: Conversation, later_ns: int = 0) -> Moment:
    now = talk.now
    return Moment(now.wall_ns + later_ns, now.mono_ns + later_ns)


def test_it_fires_again_and_again_and_changes_nothing() -> None:
    talk = Conversation().opened()
    talk.second = 31
    before = pickle.dumps(talk.state)
    made = rehearsal.begin(talk.state, moment_of(talk))
    assert made is not None
    for turn in range(50):
        wish = rehearsal.rehearse(made, moment_of(talk, turn * 2 * MILLISECOND))
        assert wish is not None, turn
        assert wish.window == next(iter(talk.state.windows))
    assert pickle.dumps(talk.state) == before
    talk.hear(talk.book("up", 5_000), tick(30, 100_300))
    assert len(talk.got(SendOrder)) == 1


def test_there_is_nothing_to_rehearse_without_an_open_window_or_an_account() -> None:
    assert rehearsal.begin(Conversation().state, Moment(0, 0)) is None
    talk = Conversation().opened()
    talk.second = 700
    assert rehearsal.begin(talk.state, moment_of(talk)) is None
    talk.second = 31
    talk.state.account = None
    assert rehearsal.begin(talk.state, moment_of(talk)) is None
