"""What the book watcher does about doubt, silence and questions for proof; the test plays its process."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import structlog

from common.core.book_proof import BEFORE_ANY_TRADE
from common.errors import FeedError
from common.feeds.market.book_keeper import SAMPLE_NS, UNFINISHED_NS
from common.messages import BookProof, BookState, ProveBook
from common.runtime.config import Config
from common.runtime.paths import Paths
from common.runtime.shell import Age
from common.units import MILLISECOND, SECOND
from procs.book_news import DEEPER_NS
from procs.books import Watcher
from tests.feeds.kept import market
from tests.feeds.wire import DOWN, NOW_MS, UP, book, change, changes, hashed, levels, text

POLL_NS = 5 * SECOND


@dataclass
class Clock:
    """Monotonic time passes as the test says, and really while it waits."""

    added_ns: int = 0

    def mono_ns(self) -> int:
        return time.monotonic_ns() + self.added_ns

    def wall_ns(self) -> int:
        return NOW_MS * MILLISECOND


@dataclass
class Publisher:
    published: list[BookState] = field(default_factory=list)

    def publish(self, _topic: str, body: BookState, **_more: object) -> None:
        self.published.append(body)

    def forget(self, _topic: str) -> None: ...


@dataclass
class Played:
    """As much of a process as the watcher uses."""

    paths: Paths
    config: Config = field(default_factory=Config)
    clock: Clock = field(default_factory=Clock)
    publisher: Publisher = field(default_factory=Publisher)
    counters: Counter[str] = field(default_factory=Counter)
    facts: dict[str, str] = field(default_factory=dict)
    spawned: list[str] = field(default_factory=list)
    log: Any = field(default_factory=lambda: structlog.wrap_logger(None, [_drop]))

    def watch(self, _name: str, limit_ns: int) -> Age:
        return Age(limit_ns, self.clock, self.clock.mono_ns())

    def count(self, name: str, by: int = 1) -> None:
        self.counters[name] += by

    def set_count(self, name: str, value: int) -> None:
        self.counters[name] = value

    def set_state(self, _state: str, _detail: str = "") -> None: ...

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.spawned.append(name)
        work.close()


def _drop(_logger: object, _method: str, _event: object) -> Any:
    raise structlog.DropEvent


@dataclass
class Copies:
    """The venue's REST books: one answer for every token, or an error."""

    answer: object = None
    asked: list[str] = field(default_factory=list)

    async def get(self, path: str, params: dict[str, str]) -> object:
        assert path == "/book"
        self.asked.append(params["token_id"])
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None: ...


@dataclass
class Socket:
    """An open connection that keeps what is sent."""

    sent: list[str] = field(default_factory=list)

    async def send(self, message: str) -> None:
        self.sent.append(message)


@dataclass
class Set:
    watcher: Watcher
    process: Played
    copies: Copies

    def hear(self, frame: object, after_ns: int = 0) -> None:
        self.process.clock.added_ns += after_ns
        self.watcher._on_frame(text(frame), 1, self.process.clock.mono_ns())
        self.watcher.news.publish()

    def state(self) -> BookState:
        found = self.watcher.keeper.state(UP)
        assert found is not None
        return found

    async def prove(self, token: str = UP) -> BookProof:
        proof = await self.watcher.prove(ProveBook(token=token), None)  # type: ignore[arg-type]
        assert isinstance(proof, BookProof)
        return proof


def whole(token: str = UP, at_ms: int = NOW_MS, *more: tuple[str, str]) -> dict[str, Any]:
    """A book of the venue that proves itself, with more bids if given."""
    bids = levels(*sorted([*more, ("0.58", "100"), ("0.59", "20.5")]))
    return hashed(book(token, at_ms, bids=bids, last_trade_price=BEFORE_ANY_TRADE))


def batch(at_ms: int, *more: tuple[str, str]) -> list[dict[str, Any]]:
    """One frame a bid; all carry the hash of the book after the last."""
    proof = whole(UP, at_ms, *more)["hash"]
    return [changes(change(UP, "BUY", price, size, hash=proof), at_ms=at_ms) for price, size in more]


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Set]:
    """A watcher with both books of a running window, at rest."""
    process = Played(Paths(tmp_path, tmp_path))
    watcher = Watcher(process)  # type: ignore[arg-type]
    copies = Copies()
    watcher.witness.source = copies  # type: ignore[assignment]
    try:
        now = process.clock.mono_ns()
        for outcome in ("up", "down"):
            watcher.keeper.follow(market(), outcome, now)
        watcher.silence.expect((UP, DOWN), now)
        on = Set(watcher, process, copies)
        on.hear([whole(UP), whole(DOWN)])
        assert on.state().status == "live"
        yield on
    finally:
        watcher.raw.close()


WRONG = changes(change(UP, "BUY", "0.58", "7", best_bid="0.60", best_ask="0.61"))


# --- doubt -------------------------------------------------------------------------------------------


def test_doubt_is_published_shown_and_asked_about_at_once(at: Set) -> None:
    at.hear(WRONG)
    assert at.process.spawned == [f"resync {UP}"]
    assert "venue says 6000/6100" in at.process.facts[f"book.{UP}"]
    at.hear(whole(UP, NOW_MS + 1))
    assert [one.status for one in at.process.publisher.published[2:]] == ["resync", "live"]
    assert at.process.facts == {}


def test_a_snapshot_that_never_verifies_is_asked_for_once_a_round(at: Set) -> None:
    bad = whole(UP, NOW_MS + 1) | {"hash": "feed"}
    for _ in range(100):
        at.hear(bad)
    assert at.process.counters["proofs.failed"] == 100
    assert at.process.spawned == [f"resync {UP}"]
    assert at.watcher.awaited == {UP}, "the next round asks"
    assert "hashes to" in at.process.facts[f"book.{UP}"]
    assert len(at.process.publisher.published) == 3, "the same doubt is no news"
    at.hear(bad, after_ns=POLL_NS)
    assert at.process.spawned == [f"resync {UP}"] * 2


async def test_the_next_round_asks_for_what_is_still_in_doubt(at: Set) -> None:
    socket = Socket()
    at.watcher.link.socket = socket  # type: ignore[assignment]
    for _ in range(2):
        at.hear(WRONG | {"timestamp": str(NOW_MS + 1)})
        at.hear(whole(UP, NOW_MS + 1) | {"hash": "feed"})
    await at.watcher._ask_for_missing()
    assert [("unsubscribe" in message, UP in message) for message in socket.sent] == [
        (True, True),
        (False, True),
    ]


def test_a_wrong_book_is_noticed_when_nothing_follows(at: Set) -> None:
    at.hear(changes(change(UP, "BUY", "0.57", "1")))
    at.process.clock.added_ns += SAMPLE_NS + UNFINISHED_NS
    asyncio.run(one_flush(at.watcher))
    assert at.state().status == "resync"
    assert at.process.spawned == [f"resync {UP}"]


async def one_flush(watcher: Watcher) -> None:
    task = asyncio.ensure_future(watcher.flush())
    await asyncio.sleep(0.12)
    assert not task.done()
    task.cancel()


def test_a_window_that_is_left_leaves_nothing_in_the_status(at: Set) -> None:
    at.hear(WRONG)
    asyncio.run(at.watcher._follow_books())
    assert at.watcher.keeper.tokens() == []
    assert at.process.facts == {}


async def test_a_lost_connection_is_published_at_once(at: Set) -> None:
    at.process.publisher.published.clear()
    at.watcher._on_link(False, "the connection broke")
    assert sorted((one.token, one.status) for one in at.process.publisher.published) == [
        (UP, "waiting"),
        (DOWN, "waiting"),
    ]


# --- what is published when ---------------------------------------------------------------------------


@asynccontextmanager
async def telling(watcher: Watcher) -> AsyncIterator[None]:
    """The tasks of the process that publish."""
    tasks = [asyncio.ensure_future(work) for work in (watcher.news.tell(), watcher.flush())]
    await asyncio.sleep(0)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


@pytest.mark.parametrize(("price", "size"), [("0.60", "3"), ("0.59", "7"), ("0.59", "0")])
async def test_a_change_of_the_best_level_is_published_at_once(at: Set, price: str, size: str) -> None:
    published = at.process.publisher.published
    published.clear()
    async with telling(at.watcher):
        frame = changes(change(UP, "BUY", price, size))
        at.watcher._on_frame(text(frame), 1, at.process.clock.mono_ns())
        for _ in range(3):
            await asyncio.sleep(0)
        assert [one.token for one in published] == [UP]
        assert at.watcher.news.dirty == set()


async def test_of_frames_at_hand_only_what_they_came_to_is_published(at: Set) -> None:
    published = at.process.publisher.published
    published.clear()
    async with telling(at.watcher):
        for number in range(1, 51):
            for token in (UP, DOWN):
                frame = changes(change(token, "BUY", "0.59", str(number)), at_ms=NOW_MS + number)
                at.watcher._on_frame(text(frame), 1, at.process.clock.mono_ns())
        await asyncio.sleep(0.01)
        assert sorted((one.token, one.bids[0]) for one in published) == [
            (UP, (5_900, 50_000_000)),
            (DOWN, (5_900, 50_000_000)),
        ]


def test_doubt_waits_for_no_other_frame(at: Set) -> None:
    at.watcher._on_frame(text(WRONG), 1, at.process.clock.mono_ns())
    assert at.process.publisher.published[-1].status == "resync"


async def test_what_lies_deeper_waits_for_its_turn_and_delays_nothing(at: Set) -> None:
    published = at.process.publisher.published
    async with telling(at.watcher):
        await asyncio.sleep(0.06)
        began = time.monotonic_ns()
        sizes = iter(range(1, 10**6))
        told: list[tuple[int, int]] = []
        published.clear()
        while time.monotonic_ns() - began < 800 * MILLISECOND:
            frame = changes(change(UP, "BUY", "0.58", str(next(sizes))))
            at.watcher._on_frame(text(frame), 1, at.process.clock.mono_ns())
            await asyncio.sleep(0.01)
            told += [(time.monotonic_ns(), len(published))] if len(published) > len(told) else []
        gaps = [after - before for (before, _), (after, _) in pairwise(told)]
        assert 2 <= len(published) <= 3
        assert all(gap + 20 * MILLISECOND >= DEEPER_NS for gap in gaps)
        published.clear()
        at.watcher._on_frame(text(changes(change(UP, "BUY", "0.59", "1"))), 1, at.process.clock.mono_ns())
        await asyncio.sleep(0.01)
        (one,) = published
        assert one.bids == ((5_900, 1_000_000), (5_800, (next(sizes) - 1) * 1_000_000)), "with what was due"
        assert at.watcher.news.dirty == set()


async def test_a_token_that_was_left_meanwhile_is_not_published(at: Set) -> None:
    """A look-up takes a while, and windows end."""
    await at.watcher._follow_books()
    at.process.publisher.published.clear()
    at.watcher._forgive(UP)
    await one_flush(at.watcher)
    assert at.process.publisher.published == []


# --- questions for proof -----------------------------------------------------------------------------


async def test_a_book_is_proven_on_demand(at: Set) -> None:
    assert (await at.prove()).proven
    (frame,) = batch(NOW_MS + 1, ("0.57", "1"))
    at.hear(frame)
    at.process.publisher.published.clear()
    proof = await at.prove()
    assert (proof.proven, proof.venue_ns) == (True, (NOW_MS + 1) * MILLISECOND)
    assert [one.proven_ns for one in at.process.publisher.published] == [proof.venue_ns]
    assert not (await at.prove("999")).proven
    assert at.watcher.more == {}


async def test_a_question_waits_for_the_rest_of_a_batch(at: Set) -> None:
    first, second = batch(NOW_MS + 1, ("0.56", "2"), ("0.57", "1"))
    at.hear(first)
    began = time.monotonic()
    asking = asyncio.ensure_future(at.prove())
    await asyncio.sleep(0.02)
    assert not asking.done()
    at.hear(second)
    assert (await asking).proven
    assert time.monotonic() - began < UNFINISHED_NS / SECOND, "answered by the data, not by the limit"


async def test_a_question_is_answered_by_the_stamp_it_was_about(at: Set) -> None:
    """On a busy token the next batch is unfinished again."""
    one, two, three = ("0.55", "1"), ("0.56", "2"), ("0.57", "1")
    first, second = batch(NOW_MS + 1, one, two)
    proof = whole(UP, NOW_MS + 2, one, two, three, ("0.54", "9"))["hash"]
    at.hear(first)
    asking = asyncio.ensure_future(at.prove())
    await asyncio.sleep(0.02)
    at.hear(second)
    at.hear(changes(change(UP, "BUY", *three, hash=proof), at_ms=NOW_MS + 2))
    answer = await asking
    assert (answer.proven, answer.venue_ns) == (True, (NOW_MS + 1) * MILLISECOND)


async def test_a_question_waits_no_longer_than_changes_may_take(at: Set) -> None:
    first, _lost = batch(NOW_MS + 1, ("0.56", "2"), ("0.57", "1"))
    at.hear(first)
    began = time.monotonic()
    proof = await at.prove()
    took = time.monotonic() - began
    assert (proof.proven, at.state().status) == (False, "resync")
    assert UNFINISHED_NS / SECOND <= took < UNFINISHED_NS / SECOND + 0.2
    assert at.process.spawned == [f"resync {UP}"]


async def test_a_question_is_answered_in_time_though_changes_keep_coming(at: Set) -> None:
    frames = batch(NOW_MS + 1, *((f"0.{number}", "1") for number in range(10, 50)))
    at.hear(frames[0])
    began = time.monotonic()
    asking = asyncio.ensure_future(at.prove())
    for frame in frames[1:-1]:
        if asking.done():
            break
        at.hear(frame)
        await asyncio.sleep(0.01)
    proof = await asking
    assert time.monotonic() - began < UNFINISHED_NS / SECOND + 0.2
    assert (proof.proven, at.state().status) == (False, "live"), "nothing is known to be wrong"
    assert "may come" in proof.text


# --- the witness -------------------------------------------------------------------------------------


def quiet(at: Set) -> list[str]:
    at.process.clock.added_ns += at.watcher.witness.quiet_ns + 1
    return at.watcher.witness.due(at.watcher.silence.spoke, at.process.clock.mono_ns())


async def test_an_agreeing_witness_forgives_the_silence_of_its_token_only(at: Set) -> None:
    last_any_ns = at.watcher.silence.last_any_ns
    assert quiet(at) == [UP, DOWN]
    at.copies.answer = whole(UP) | {"min_order_size": "5", "neg_risk": False}
    assert await at.watcher._look_up([UP]) == {UP: "agreed"}
    now = at.process.clock.mono_ns()
    assert now - at.state().data_mono_ns < SECOND
    assert now - at.watcher.silence.spoke[UP] < SECOND
    assert now - at.watcher.silence.spoke[DOWN] > at.watcher.witness.quiet_ns
    assert at.watcher.silence.last_any_ns == last_any_ns, "a mute socket stays a mute socket"
    assert at.watcher.book_age.age_ns() < SECOND
    assert UP in at.watcher.news.dirty
    assert quiet(at) == [UP, DOWN]


async def test_a_token_is_looked_up_at_most_once_in_its_time(at: Set) -> None:
    assert quiet(at) == [UP, DOWN]
    assert at.watcher.witness.due(at.watcher.silence.spoke, at.process.clock.mono_ns()) == []
    assert quiet(at) == [UP, DOWN]
    at.watcher.silence.expect([DOWN], 0)
    assert quiet(at) == [DOWN], "what is not running may be silent"
    at.hear(whole(DOWN, NOW_MS + 1, ("0.57", "1")))
    assert at.watcher.witness.due(at.watcher.silence.spoke, at.process.clock.mono_ns()) == []


async def test_a_differing_witness_brings_doubt_unless_the_change_arrives(at: Set) -> None:
    at.copies.answer = whole(UP, NOW_MS + 1, ("0.57", "1"))
    (frame,) = batch(NOW_MS + 1, ("0.57", "1"))
    looking = asyncio.ensure_future(at.watcher._look_up([UP]))
    await asyncio.sleep(0.02)
    at.hear(frame)
    assert await looking == {UP: "overtaken"}
    assert at.state().status == "live"
    at.copies.answer = whole(UP, NOW_MS + 2, ("0.56", "1"), ("0.57", "1"))
    spoke = at.watcher.silence.spoke[UP]
    assert await at.watcher._look_up([UP]) == {UP: "differed"}
    assert at.state().status == "resync"
    assert at.process.spawned == [f"resync {UP}"]
    assert at.watcher.silence.spoke[UP] == spoke, "the silence runs on"


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (None, "missing"),
        (FeedError("no answer"), "failed"),
        ({"error": "no"}, "refused"),
        ([], "refused"),
        (whole(DOWN), "refused"),
        (whole(UP, NOW_MS + 1) | {"hash": "feed"}, "unproven"),
        (whole(UP, NOW_MS - 1), "undecided"),
        (
            hashed(book(at_ms=NOW_MS + 1, bids=levels(("0.01", "1")), asks=levels(("0.99", "1")))),
            "placeholder",
        ),
    ],
)
async def test_no_other_answer_has_an_effect(at: Set, answer: object, word: str) -> None:
    before, spoke = at.state(), dict(at.watcher.silence.spoke)
    at.copies.answer = answer
    assert await at.watcher._look_up([UP]) == {UP: word}
    assert at.state() == before
    assert at.watcher.silence.spoke == spoke
    assert at.process.spawned == []
