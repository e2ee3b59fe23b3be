"""Conversations with the vigil: what happened on the left, what it wants done on the right."""

from collections.abc import Iterable
from itertools import pairwise

import pytest

from common.core.vigil import (
    Beat,
    Changed,
    DumpStacks,
    Effect,
    Event,
    HoldOrders,
    Kill,
    Looked,
    Over,
    Revive,
    Row,
    Say,
    Stop,
    Vigil,
    step,
)

SECOND = 1_000_000_000


class Conversation:
    """Feeds events at instants in seconds and keeps what came back."""

    def __init__(self, unwatched: frozenset[str] = frozenset()) -> None:
        self.vigil = Vigil(unwatched=unwatched)

    def tell(self, event: Event) -> tuple[Effect, ...]:
        self.vigil, effects = step(self.vigil, event)
        return effects

    def look(self, at: float, *rows: Row) -> tuple[Effect, ...]:
        return self.tell(Looked(int(at * SECOND), 10**18 + int(at * SECOND), rows))

    def beat(self, at: float, pid: int, name: str = "books") -> tuple[Effect, ...]:
        return self.tell(Beat(int(at * SECOND), name, pid))

    def watch(self, start: float, end: float, *rows: Row, beats: bool = True) -> list[Effect]:
        """Look five times a second; every row's process beats unless told otherwise."""
        effects: list[Effect] = []
        for tick in range(int(start * 5), int(end * 5) + 1):
            if beats:
                for row in rows:
                    self.beat(tick / 5, row.pid, row.name)
            effects.extend(self.look(tick / 5, *rows))
        return effects


def running(pid: int, name: str = "books", state: str = "RUNNING") -> Row:
    return Row(name, "feeds", state, pid)


def kinds(effects: Iterable[Effect]) -> list[type]:
    return [type(effect) for effect in effects]


def test_a_beating_process_is_left_alone() -> None:
    talk = Conversation()
    assert talk.watch(0, 30, running(7)) == []


def test_silence_after_the_first_beat_dumps_then_kills() -> None:
    talk = Conversation()
    assert talk.watch(0, 5, running(7)) == []
    effects = talk.watch(5.2, 10, running(7), beats=False)
    assert effects == []
    effects = talk.watch(10.2, 11, running(7), beats=False)
    assert effects[0] == DumpStacks("books", 7)
    assert isinstance(effects[1], Say) and effects[1].code == "silent.books"
    assert effects[2] == Kill("books", 7)
    assert kinds(effects) == [DumpStacks, Say, Kill]


def test_a_beat_between_dump_and_kill_saves_the_process() -> None:
    talk = Conversation()
    talk.watch(0, 1, running(7))
    assert DumpStacks in kinds(talk.watch(1.2, 6.2, running(7), beats=False))
    assert kinds(talk.beat(6.3, 7)) == [Over]
    assert talk.watch(6.4, 8, running(7), beats=False) == []


def test_an_alert_of_silence_is_over_once_the_successor_beats() -> None:
    talk = Conversation()
    talk.watch(0, 1, running(7))
    told = [effect for effect in talk.watch(1.2, 9, running(7), beats=False) if isinstance(effect, Say)]
    assert [one.code for one in told] == ["silent.books"]
    assert talk.look(9.2, running(8)) == ()
    assert talk.beat(9.3, 7) == ()
    (over,) = talk.beat(9.4, 8)
    assert isinstance(over, Over) and over.code == "silent.books"
    assert talk.beat(9.5, 8) == ()


@pytest.mark.parametrize("state", ["STOPPED", "FATAL"])
def test_an_alert_of_silence_is_over_when_the_program_is(state: str) -> None:
    talk = Conversation()
    talk.watch(0, 1, running(7))
    talk.watch(1.2, 9, running(7), beats=False)
    overs = [e for e in talk.watch(9.2, 10, running(0, state=state), beats=False) if isinstance(e, Over)]
    assert [over.code for over in overs] == ["silent.books"]


def test_a_process_that_never_beats_has_the_warm_up() -> None:
    talk = Conversation()
    assert talk.watch(0, 15, running(7), beats=False) == []
    assert kinds(talk.watch(15.2, 16, running(7), beats=False)) == [DumpStacks, Say, Kill]


def test_beats_of_a_dead_process_do_not_vouch_for_its_successor() -> None:
    talk = Conversation()
    talk.watch(0, 1, running(7))
    talk.look(1.2, running(8))
    effects: list[Effect] = []
    for tick in range(7, 90):
        talk.beat(tick / 5, 7)
        effects.extend(talk.look(tick / 5, running(8)))
    assert kinds(effects)[:1] == [DumpStacks]


def test_the_sentinels_own_stall_kills_nobody() -> None:
    talk = Conversation()
    talk.watch(0, 2, running(7), running(9, "executor"))
    assert talk.look(60, running(7), running(9, "executor")) == ()
    assert talk.watch(60.2, 62, running(7), running(9, "executor"), beats=False) == []


def test_an_unwatched_program_may_be_silent() -> None:
    talk = Conversation(unwatched=frozenset({"sentinel"}))
    assert talk.watch(0, 40, running(7, "sentinel"), beats=False) == []


def test_a_stopped_program_may_be_silent() -> None:
    talk = Conversation()
    talk.watch(0, 2, running(7))
    assert talk.watch(2.2, 30, running(0, state="STOPPED"), beats=False) == []


def test_restarts_are_counted_with_their_times() -> None:
    talk = Conversation()
    talk.watch(0, 4, running(7))
    talk.watch(4.2, 8, running(8))
    books = talk.vigil.programs["books"]
    assert (books.restarts, books.unexpected) == (1, 1)
    assert books.restarted_wall_ns == (10**18 + int(4.2 * SECOND),)


def test_a_requested_restart_is_not_unexpected() -> None:
    talk = Conversation()
    talk.watch(0, 4, running(7))
    talk.tell(Changed(4 * SECOND, "books", "STOPPED"))
    talk.watch(4.2, 8, running(8))
    books = talk.vigil.programs["books"]
    assert (books.restarts, books.unexpected) == (1, 0)


def crash(talk: Conversation, times: int, life: float) -> list[Effect]:
    effects: list[Effect] = []
    for number in range(times + 1):
        effects.extend(talk.watch(number * life, (number + 1) * life - 0.2, running(100 + number)))
    return effects


def test_five_starts_in_a_minute_are_tolerated() -> None:
    assert crash(Conversation(), 4, 4.0) == []


def test_the_sixth_stops_the_program_and_holds_orders_once() -> None:
    effects = crash(Conversation(), 5, 4.0)
    assert kinds(effects) == [Stop, HoldOrders, Say]
    assert effects[0] == Stop("books")


def test_slow_crashes_are_no_loop() -> None:
    assert crash(Conversation(), 12, 12.0) == []


def test_back_off_of_supervisord_is_no_loop() -> None:
    talk = Conversation()
    effects: list[Effect] = []
    for number in range(12):
        effects.extend(talk.watch(number * 2.0, number * 2.0 + 0.4, running(100 + number, state="STARTING")))
        effects.extend(talk.watch(number * 2.0 + 0.6, number * 2.0 + 1.8, running(0, state="BACKOFF")))
    assert effects == []
    assert talk.vigil.programs["books"].unexpected == 11


def test_a_loop_ends_when_a_person_starts_the_program() -> None:
    talk = Conversation()
    crash(talk, 5, 4.0)
    talk.watch(32, 34, running(0, state="STOPPED"))
    effects = talk.watch(34.2, 40, running(200))
    assert [e.code for e in effects if isinstance(e, Over)] == ["crash-loop.books"] and len(effects) == 1
    assert not talk.vigil.programs["books"].looping


def fail_until_fatal(talk: Conversation, start: float, end: float) -> list[tuple[float, Effect]]:
    """FATAL from the start on; each revival tries for ten seconds and fails."""
    told: list[tuple[float, Effect]] = []
    at, failing_until = start, start
    while at < end:
        state = "BACKOFF" if at < failing_until else "FATAL"
        for effect in talk.look(at, running(0, state=state)):
            told.append((at, effect))
            if isinstance(effect, Revive):
                failing_until = at + 10
        at += 0.5
    return told


def test_fatal_is_told_once_and_revived_after_ever_longer_waits() -> None:
    talk = Conversation()
    told = fail_until_fatal(talk, 0, 4000)
    assert kinds(effect for _, effect in told) == [Say] + [Revive] * (len(told) - 1)
    revived = [at for at, effect in told if isinstance(effect, Revive)]
    # Ten seconds pass until it is FATAL again, then the wait begins.
    assert revived[0] == 60
    waits = [later - earlier for earlier, later in pairwise(revived)]
    assert waits[:6] == [130, 250, 490, 610, 610, 610]
    effects = talk.watch(4000, 4010, running(5))
    assert [effect.code for effect in effects if isinstance(effect, Over)] == ["fatal.books"]


@pytest.mark.parametrize(("ran_s", "wait_s"), [(30, 240), (650, 60)])
def test_only_a_good_span_lets_the_waits_begin_anew(ran_s: int, wait_s: int) -> None:
    talk = Conversation()
    fail_until_fatal(talk, 0, 200)
    talk.watch(200, 200 + ran_s, running(5))
    told = fail_until_fatal(talk, 201 + ran_s, 201 + ran_s + 300)
    revived = [at for at, effect in told if isinstance(effect, Revive)]
    assert revived[0] == 201 + ran_s + wait_s


def test_a_revival_that_did_not_work_is_not_repeated_at_each_look() -> None:
    talk = Conversation()
    assert kinds(talk.watch(0, 170, running(0, state="FATAL"), beats=False)) == [Say, Revive]


def test_a_program_given_up_and_then_stopped_by_a_person_is_left_alone() -> None:
    talk = Conversation()
    talk.watch(0, 30, running(0, state="FATAL"), beats=False)
    assert kinds(talk.watch(30.2, 700, running(0, state="STOPPED"), beats=False)) == [Over]


@pytest.mark.parametrize("state", ["STARTING", "RUNNING"])
def test_a_kill_that_did_not_work_is_repeated(state: str) -> None:
    talk = Conversation()
    talk.watch(0, 1, running(7, state=state))
    effects = talk.watch(1.2, 8, running(7, state=state), beats=False)
    assert kinds(effects).count(Kill) >= 2
