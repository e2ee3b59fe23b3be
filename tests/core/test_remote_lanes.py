import heapq
import itertools
import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.core.remote.lanes import (
    History,
    Limits,
    Waiting,
    ended,
    held,
    is_muted,
    next_letter,
    started,
)
from common.core.remote.letters import LANES, MAX_TEXT, Button, Lane, cut
from common.units import SECOND

LIMITS = Limits()
ANN, BOB = 1001, 1002
GROUP = -100


def sent(history: History, chat_id: int, now_ns: int) -> History:
    return ended(started(history, chat_id), chat_id, now_ns, LIMITS)


def test_the_most_urgent_lane_goes_first_and_within_it_the_oldest() -> None:
    waiting = [Waiting(number, lane, ANN) for number, lane in enumerate(reversed(LANES))]
    order = []
    while waiting:
        chosen = next_letter(waiting, History(), 0, LIMITS)
        assert isinstance(chosen, Waiting)
        order.append(chosen.lane)
        waiting.remove(chosen)
    assert order == list(LANES)
    assert next_letter([Waiting(2, "info", ANN), Waiting(1, "info", ANN)], History(), 0, LIMITS) == (
        1, "info", ANN,
    )  # fmt: skip
    assert next_letter([], History(), 0, LIMITS) is None


def test_a_chat_gets_one_message_a_second_and_others_do_not_wait_for_it() -> None:
    history = sent(History(), ANN, 0)
    assert next_letter([Waiting(1, "critical", ANN)], history, 1, LIMITS) == SECOND
    assert next_letter([Waiting(1, "critical", ANN), Waiting(2, "digest", BOB)], history, 1, LIMITS) == (
        2, "digest", BOB,
    )  # fmt: skip
    assert next_letter([Waiting(1, "critical", ANN)], history, SECOND, LIMITS) == (1, "critical", ANN)


def test_one_request_at_a_time_keeps_a_chat_in_order() -> None:
    history = started(History(), ANN)
    assert next_letter([Waiting(1, "critical", ANN)], history, 5 * SECOND, LIMITS) is None
    assert next_letter([Waiting(1, "critical", ANN), Waiting(2, "info", BOB)], history, 0, LIMITS) == (
        2, "info", BOB,
    )  # fmt: skip


def test_a_chat_that_has_to_wait_holds_up_nobody_else_and_is_never_asked_sooner() -> None:
    history = held(held(History(), ANN, 30 * SECOND), ANN, 5 * SECOND)
    waiting = [Waiting(1, "critical", ANN), Waiting(2, "digest", BOB)]
    assert next_letter(waiting, history, 0, LIMITS) == (2, "digest", BOB)
    assert next_letter(waiting[:1], history, 0, LIMITS) == 30 * SECOND
    assert next_letter(waiting[:1], history, 30 * SECOND, LIMITS) == (1, "critical", ANN)


def test_a_groups_minute_is_never_used_up_by_what_can_wait() -> None:
    history = History()
    for number in range(15):
        assert isinstance(
            next_letter([Waiting(1, "trade", GROUP)], history, number * SECOND, LIMITS), Waiting
        )
        history = sent(history, GROUP, number * SECOND)
    now = 15 * SECOND
    assert next_letter([Waiting(1, "info", GROUP)], history, now, LIMITS) == 63 * SECOND
    assert next_letter([Waiting(1, "trade", GROUP)], history, now, LIMITS) == 60 * SECOND
    for lane in ("reply", "critical"):
        assert isinstance(next_letter([Waiting(1, lane, GROUP)], history, now, LIMITS), Waiting)
    for number in range(15, 20):
        history = sent(history, GROUP, number * SECOND)
    assert next_letter([Waiting(1, "critical", GROUP)], history, 20 * SECOND, LIMITS) == 60 * SECOND


def test_thirty_a_second_over_all_counts_what_is_on_its_way() -> None:
    history = History()
    for chat in range(1, 31):
        history = started(history, chat)
    assert next_letter([Waiting(1, "critical", 99)], history, 0, LIMITS) is None
    for chat in range(1, 31):
        history = ended(history, chat, chat, LIMITS)
    assert next_letter([Waiting(1, "critical", 99)], history, 40, LIMITS) == SECOND + 1


def test_only_what_is_not_urgent_can_be_muted() -> None:
    until: dict[Lane, int] = dict.fromkeys(LANES, 10)
    assert [lane for lane in LANES if is_muted(lane, until, 9)] == ["trade", "info", "digest"]
    assert not any(is_muted(lane, until, 10) for lane in LANES)


def run_day(events: list[tuple[int, Lane, int]], request_ns: list[int], flood_every: int = 0) -> "Run":
    """Play events (instant, lane, chat) through the rules with requests that take so long each."""
    now, history = 0, History()
    future = [(at, number, lane, chat) for number, (at, lane, chat) in enumerate(sorted(events))]
    waiting: list[Waiting] = []
    on_the_way: list[tuple[int, Waiting]] = []
    run = Run()
    place = 0
    while place < len(future) or waiting or on_the_way:
        while place < len(future) and future[place][0] <= now:
            at, number, lane, chat = future[place]
            run.came[number] = at
            waiting.append(Waiting(number, lane, chat))
            place += 1
        while on_the_way and on_the_way[0][0] <= now:
            _, letter = heapq.heappop(on_the_way)
            history = ended(history, letter.chat_id, now, LIMITS)
            run.arrived.append((now, letter))
            if flood_every and len(run.arrived) % flood_every == 0:
                history = held(history, letter.chat_id, now + 7 * SECOND)
        choice = next_letter(waiting, history, now, LIMITS)
        if isinstance(choice, Waiting):
            waiting.remove(choice)
            history = started(history, choice.chat_id)
            run.began.append((now, choice))
            took = request_ns[choice.number % len(request_ns)]
            heapq.heappush(on_the_way, (now + took, choice))
            continue
        instants = [choice] if isinstance(choice, int) else []
        instants += [future[place][0]] if place < len(future) else []
        instants += [on_the_way[0][0]] if on_the_way else []
        if not instants:
            break
        now = max(now + 1, min(instants))
    assert not waiting and not on_the_way
    return run


class Run:
    def __init__(self) -> None:
        self.came: dict[int, int] = {}
        self.began: list[tuple[int, Waiting]] = []
        self.arrived: list[tuple[int, Waiting]] = []

    def check_limits(self) -> None:
        """Wherever within its request Telegram counts a message, the limits hold."""
        began = {letter.number: at for at, letter in self.began}
        by_chat: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for at, letter in self.arrived:
            by_chat[letter.chat_id].append((began[letter.number], at))
        for chat, spans in by_chat.items():
            for (_, before), (after, _) in itertools.pairwise(spans):
                assert after - before >= LIMITS.chat_gap_ns
            if chat < 0:
                for (_, before), (after, _) in zip(spans, spans[LIMITS.group :], strict=False):
                    assert after - before >= LIMITS.group_span_ns
        everything = sorted((at, began[letter.number]) for at, letter in self.arrived)
        for (before, _), (_, after) in zip(everything, everything[LIMITS.overall :], strict=False):
            assert after - before >= LIMITS.overall_span_ns


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 20 * SECOND), st.sampled_from(LANES), st.sampled_from([ANN, BOB, GROUP, GROUP - 1])
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(
    events=EVENTS, took=st.lists(st.integers(1, 3 * SECOND), min_size=1, max_size=5), flood=st.integers(0, 7)
)
def test_whatever_comes_the_limits_hold_and_nothing_is_lost(
    events: list[tuple[int, Lane, int]], took: list[int], flood: int
) -> None:
    run = run_day(events, took, flood)
    run.check_limits()
    assert Counter(letter.number for _, letter in run.arrived) == Counter(range(len(events)))
    for chat in (ANN, BOB, GROUP):
        numbers = [each.number for _, each in run.arrived if each.chat_id == chat and each.lane == "critical"]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize("chat", [ANN, GROUP])
def test_a_thousand_events_a_minute_leave_room_for_the_urgent(chat: int) -> None:
    dice = random.Random(5)
    lanes: list[Lane] = ["trade", "info", "digest"]
    events: list[tuple[int, Lane, int]] = [
        (dice.randrange(60 * SECOND), dice.choice(lanes), chat) for _ in range(1000)
    ]
    urgent = [(at * 15 * SECOND + 7 * SECOND, "critical", chat) for at in range(4)]
    run = run_day([*urgent, *events], [SECOND // 10])  # type: ignore[list-item]
    run.check_limits()
    waits = [at - run.came[letter.number] for at, letter in run.arrived if letter.lane == "critical"]
    assert len(waits) == 4
    assert max(waits) <= 2 * SECOND


def test_a_cut_text_never_exceeds_what_telegram_counts() -> None:
    assert cut("x" * MAX_TEXT, MAX_TEXT) == "x" * MAX_TEXT
    for text in ("x" * 5000, "\N{ROCKET}" * 3000, "x" + "\N{ROCKET}" * 3000):
        short = cut(text, MAX_TEXT)
        assert len(short.encode("utf-16-le")) // 2 <= MAX_TEXT
        assert short.endswith("\N{HORIZONTAL ELLIPSIS}") and text.startswith(short[:-1])


@pytest.mark.parametrize("data", ["", "\N{ROCKET}" * 17])
def test_a_button_carries_no_more_than_telegram_takes(data: str) -> None:
    Button("Yes", "\N{ROCKET}" * 16)
    with pytest.raises(ValueError, match="64 bytes"):
        Button("Yes", data)
