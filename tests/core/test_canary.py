"""Conversations with the watch over the canaries: which hop is broken on the left, which one it names."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.core.canary import LATE_NS, PERIOD_NS, Canaries, Effect, Garbled, Heard, step
from common.core.vigil import Beat, Looked, Over, Row, Say

SECOND = 1_000_000_000
FEEDS = ("oracle-chainlink", "oracle-rtds", "books")
LIMIT_S = 10
"""A broken hop is named within this."""
LOOK = SECOND // 8
LINK = "books-to-executor"
"""The executor hears books itself, beside the way."""

Delay = int | None
"""How long a canary takes to a hop; None: it never comes."""


@dataclass
class Way:
    """A whole stack in virtual time: canaries fly, processes beat, the table is read eight times a second."""

    canaries: Canaries = field(default_factory=lambda: Canaries(feeds=FEEDS))
    now: int = 1000 * SECOND
    delays: dict[tuple[str, str], Delay] = field(default_factory=dict)
    """By (feed, hop) or ("", hop)."""
    mute: set[str] = field(default_factory=set)
    """Their own canaries do not reach the sentinel."""
    garbled: set[str] = field(default_factory=set)
    down: set[str] = field(default_factory=set)
    states: dict[str, str] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*FEEDS, "strategist", "executor"), 1))
    offsets: dict[str, int] = field(
        default_factory=lambda: {feed: n * PERIOD_NS // 3 for n, feed in enumerate(FEEDS)}
    )
    due: list[tuple[int, Heard | Garbled]] = field(default_factory=list)
    number: int = 0

    def delay(self, feed: str, hop: str) -> Delay:
        return self.delays.get((feed, hop), self.delays.get(("", hop), SECOND // 1000))

    def fly(self, feed: str) -> None:
        if feed in self.down or self.states.get(feed) == "disabled" or self.delay(feed, feed) is None:
            return
        self.number += 1
        heard_ns = self.delay(feed, LINK)
        if (
            feed == "books"
            and heard_ns is not None
            and not {"executor"} & (self.down | self.mute | self.garbled)
        ):
            at = self.now + heard_ns
            self.due.append((at, Heard(feed, str(self.pids[feed]), self.number, LINK, at)))
        at = self.now
        for hop in (feed, "strategist", "executor"):
            took = self.delay(feed, hop)
            if took is None or hop in self.down:
                return
            at += took
            if hop in self.garbled:
                self.due.append((at, Garbled(hop, "schema 3, here 2")))
                return
            if hop not in self.mute:
                self.due.append((at, Heard(feed, str(self.pids[feed]), self.number, hop, at)))

    def run(self, seconds: float) -> list[Effect]:
        effects: list[Effect] = []
        for _ in range(int(seconds * SECOND) // LOOK):
            before, self.now = self.now, self.now + LOOK
            for feed, offset in self.offsets.items():
                if (before - offset) // PERIOD_NS != (self.now - offset) // PERIOD_NS:
                    self.fly(feed)
            arrived = sorted((item for item in self.due if item[0] <= self.now), key=lambda item: item[0])
            self.due = [item for item in self.due if item[0] > self.now]
            for _, heard in arrived:
                effects += self.tell(heard)
            for name, pid in self.pids.items():
                if name not in self.down:
                    effects += self.tell(Beat(self.now, name, pid, self.states.get(name, "ready")))
            effects += self.look()
        return effects

    def look(self) -> Iterable[Effect]:
        rows = tuple(
            Row(name, "g", "STOPPED" if name in self.down else "RUNNING", 0 if name in self.down else pid)
            for name, pid in self.pids.items()
        )
        return self.tell(Looked(self.now, self.now, rows))

    def tell(self, event: Looked | Beat | Heard | Garbled) -> Iterable[Effect]:
        self.canaries, effects = step(self.canaries, event)
        return effects


def said(effects: Iterable[Effect]) -> list[str]:
    return [effect.code if isinstance(effect, Say) else f"over {effect.code}" for effect in effects]


def flying() -> Way:
    way = Way()
    assert way.run(30) == []
    return way


BREAKS: dict[str, tuple[Callable[[Way], object], str]] = {
    "a feed sends nothing": (
        lambda way: way.delays.update({("oracle-rtds", "oracle-rtds"): None}),
        "oracle-rtds",
    ),
    "a feed is stopped": (lambda way: way.down.add("oracle-rtds"), "oracle-rtds"),
    "a feed speaks another schema": (lambda way: way.garbled.add("oracle-rtds"), "oracle-rtds"),
    "a feed's topic is wrong": (lambda way: way.mute.add("oracle-rtds"), "oracle-rtds"),
    "one feed does not arrive": (
        lambda way: way.delays.update({("oracle-rtds", "strategist"): None}),
        "oracle-rtds-to-strategist",
    ),
    "one feed arrives late": (
        lambda way: way.delays.update({("books", "strategist"): 4 * SECOND}),
        "books-to-strategist",
    ),
    "the strategist drops": (lambda way: way.delays.update({("", "strategist"): None}), "strategist"),
    "the strategist is slow": (lambda way: way.delays.update({("", "strategist"): 4 * SECOND}), "strategist"),
    "the strategist is stopped": (lambda way: way.down.add("strategist"), "strategist"),
    "the strategist speaks another schema": (lambda way: way.garbled.add("strategist"), "strategist"),
    "the strategist's topic is wrong": (lambda way: way.mute.add("strategist"), "strategist"),
    "the executor drops": (
        lambda way: way.delays.update({("", "executor"): None, ("", LINK): None}),
        "executor",
    ),
    "the executor is slow": (
        lambda way: way.delays.update({("", "executor"): 4 * SECOND, ("", LINK): 4 * SECOND}),
        "executor",
    ),
    "the executor drops wishes alone": (
        lambda way: way.delays.update({("", "executor"): None}),
        "executor",
    ),
    "the executor does not hear books": (lambda way: way.delays.update({("", LINK): None}), LINK),
    "the executor hears books late": (lambda way: way.delays.update({("", LINK): 4 * SECOND}), LINK),
    "the executor is stopped": (lambda way: way.down.add("executor"), "executor"),
    "the executor speaks another schema": (lambda way: way.garbled.add("executor"), "executor"),
    "the executor's topic is wrong": (lambda way: way.mute.add("executor"), "executor"),
}


@pytest.mark.parametrize("what", BREAKS)
@pytest.mark.parametrize("at", [0.0, 1.3, 2.5, 4.9])
def test_the_right_hop_is_named_in_time_and_cleared_once_it_works(what: str, at: float) -> None:
    broken, hop = BREAKS[what]
    way = flying()
    assert way.run(at) == []
    well = (dict(way.delays), set(way.mute), set(way.garbled), set(way.down))
    broken(way)
    first = way.run(LIMIT_S)
    assert said(first) == [f"canary.{hop}"], first
    assert said(way.run(30)) == []
    way.delays, way.mute, way.garbled, way.down = well
    assert said(way.run(LIMIT_S + 2)) == [f"over canary.{hop}"]
    assert way.run(20) == []


@settings(deadline=None, max_examples=25)
@given(
    jitter=st.lists(st.integers(0, LATE_NS * 9 // 10), min_size=7, max_size=7),
    offsets=st.permutations(range(5)),
)
def test_whatever_comes_in_time_accuses_nobody(jitter: list[int], offsets: list[int]) -> None:
    way = Way(offsets={feed: offsets[n] * SECOND for n, feed in enumerate(FEEDS)})
    for n, feed in enumerate(FEEDS):
        way.delays[feed, "strategist"], way.delays[feed, "executor"] = jitter[n], jitter[3 + n]
    way.delays["", LINK] = jitter[6]
    assert way.run(40) == []


@settings(deadline=None, max_examples=25)
@given(
    offsets=st.lists(st.integers(0, PERIOD_NS - 1), min_size=3, max_size=3),
    at=st.integers(0, PERIOD_NS),
    hop=st.sampled_from(["strategist", "executor"]),
)
def test_a_broken_hop_is_never_taken_for_a_link(offsets: list[int], at: int, hop: str) -> None:
    way = Way(offsets=dict(zip(FEEDS, offsets, strict=True)))
    assert way.run(20 + at / SECOND) == []
    # What drops drops all: also what an executor hears of books.
    lost = {("", hop), ("", LINK)} if hop == "executor" else {("", hop)}
    way.delays.update(dict.fromkeys(lost))
    assert said(way.run(LIMIT_S)) == [f"canary.{hop}"]
    for one in lost:
        del way.delays[one]
    assert said(way.run(LIMIT_S)) == [f"over canary.{hop}"]


@pytest.mark.parametrize("name", [*FEEDS, "strategist", "executor"])
@pytest.mark.parametrize("gone_s", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("at", [0.1, 1.6, 3.2])
def test_a_restart_accuses_nobody(name: str, gone_s: float, at: float) -> None:
    way = flying()
    assert way.run(at) == []
    way.down.add(name)
    assert way.run(gone_s) == []
    way.down.remove(name)
    way.pids[name] += 1
    assert way.run(30) == []


def test_a_disabled_feed_and_one_that_never_ran_are_not_missed() -> None:
    way = Way(down={"books"})
    way.states["oracle-chainlink"] = "disabled"
    assert way.run(60) == []
    way.states["oracle-rtds"] = "disabled"
    assert way.run(60) == []


def test_a_process_that_starts_for_long_is_named() -> None:
    way = flying()
    way.states["executor"] = "starting"
    way.delays["", "executor"] = None
    assert said(way.run(19)) == []
    assert said(way.run(3)) == ["canary.executor"]


def test_the_sentinels_own_stall_accuses_nobody() -> None:
    way = flying()
    way.now += 60 * SECOND
    assert way.run(30) == []


def test_an_unknown_processs_beat_changes_nothing() -> None:
    way = flying()
    before = way.canaries
    assert way.tell(Beat(way.now, "recorder", 1)) == ()
    assert way.tell(Beat(way.now, "books", 99)) == ()
    assert way.canaries == before


def test_what_is_over_says_so() -> None:
    way = flying()
    way.down.add("executor")
    (named,) = way.run(LIMIT_S)
    assert isinstance(named, Say) and named.level == "warning" and "STOPPED" in named.text
    way.down.clear()
    way.pids["executor"] += 1
    (over,) = way.run(LIMIT_S)
    assert isinstance(over, Over) and over.code == named.code


def test_a_canary_that_was_lost_with_its_feed_accuses_nobody() -> None:
    way = flying()
    # It leaves, the sentinel hears it, and its process is killed before anybody else does.
    way.delays["oracle-rtds", "strategist"] = None
    number = way.canaries.flights["oracle-rtds"][-1].number
    while way.canaries.flights["oracle-rtds"][-1].number == number:
        assert way.run(LOOK / SECOND) == []
    del way.delays["oracle-rtds", "strategist"]
    way.pids["oracle-rtds"] += 1
    assert way.run(30) == []


def test_behind_a_stopped_strategist_a_dead_link_waits_for_its_name() -> None:
    way = flying()
    way.down.add("strategist")
    assert said(way.run(LIMIT_S)) == ["canary.strategist"]
    way.delays["", LINK] = None
    assert way.run(20) == []
    way.down.clear()
    way.pids["strategist"] += 1
    assert said(way.run(2 * LIMIT_S)) == ["over canary.strategist", f"canary.{LINK}"]


def test_of_a_feed_that_sends_nothing_any_more_no_link_is_sick() -> None:
    way = flying()
    way.delays["", LINK] = None
    assert said(way.run(LIMIT_S)) == [f"canary.{LINK}"]
    way.delays["books", "books"] = None
    assert set(said(way.run(LIMIT_S))) == {"canary.books", f"over canary.{LINK}"}
    assert way.run(20) == []


def test_of_a_feed_nobody_can_read_no_link_is_sick() -> None:
    way = flying()
    way.delays["", LINK] = None
    assert said(way.run(LIMIT_S)) == [f"canary.{LINK}"]
    way.garbled.add("books")
    first: list[Effect] = []
    while not first:
        first += way.run(LOOK / SECOND)
    assert said(first) == ["canary.books", f"over canary.{LINK}"]


def test_of_a_canary_told_twice_the_first_time_counts() -> None:
    way = flying()
    (newest,) = way.canaries.flights["books"][-1:]
    again = Heard("books", newest.boot, newest.number, LINK, newest.sent_ns[LINK] + 4 * SECOND)
    way.tell(again)
    assert way.run(30) == []


def test_a_feed_that_fell_silent_does_not_vouch_for_the_strategist() -> None:
    way = flying()
    way.delays["oracle-rtds", "oracle-rtds"] = None
    assert said(way.run(LIMIT_S)) == ["canary.oracle-rtds"]
    way.delays["", "strategist"] = None
    assert said(way.run(LIMIT_S)) == ["canary.strategist"]
    assert said(way.run(20)) == []


@pytest.mark.parametrize("name", ["oracle-rtds", "strategist", "executor"])
def test_one_unreadable_canary_is_told_of_and_nothing_follows_from_it(name: str) -> None:
    way = flying()
    way.garbled.add(name)
    first: list[Effect] = []
    while not first:
        first += way.run(LOOK / SECOND)
    assert said(first) == [f"canary.{name}"]
    way.garbled.clear()
    assert said(way.run(30)) == [f"over canary.{name}"]
