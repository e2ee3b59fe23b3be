"""What a running route does with what its lines bring; the test plays its process."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from common.errors import FeedRefused
from common.feeds.oracle import rtds
from common.feeds.oracle.route import Line, Route
from common.feeds.oracle.rtds import Conversation
from common.messages import Tick
from common.runtime.config import Config
from common.runtime.paths import Paths
from common.runtime.shell import Age, Process
from common.units import E18, MILLISECOND, SECOND
from procs.oracle import REPEAT_AFTER_NS, Feed, OpenLine, rehearsal, stage
from procs.oracle_rehearsal import REHEARSED
from tests.feeds.wire import text, update

NOW_S = 1_900_000_000
SERIES = ("spot/btc", "spot/eth")


@dataclass
class Clock:
    second: float = 0.0

    def mono_ns(self) -> int:
        return int((10_000 + self.second) * SECOND)

    def wall_ns(self) -> int:
        return int((NOW_S + self.second) * SECOND)


@dataclass
class Played:
    """As much of a process as a feed uses; what it spawns waits for the test."""

    paths: Paths
    role: str = "oracle-chainlink"
    config: Config = field(default_factory=Config)
    clock: Clock = field(default_factory=Clock)
    counters: Counter[str] = field(default_factory=Counter)
    facts: dict[str, str] = field(default_factory=dict)
    published: list[Tick] = field(default_factory=list)
    recorded: list[tuple[str | bytes, int]] = field(default_factory=list)
    """Frames, and how many ticks were out when each was recorded."""
    spawned: list[Coroutine[Any, Any, None]] = field(default_factory=list)
    log: Any = field(default_factory=structlog.get_logger)

    @property
    def publisher(self) -> Any:
        return SimpleNamespace(publish=self.publish, extra_state=None)

    def publish(self, _topic: str, body: Tick, **_more: object) -> Any:
        self.published.append(body)
        return SimpleNamespace(mono_ns=self.clock.mono_ns())

    def record(self, frame: str | bytes, _recv_ns: int, _mono_ns: int) -> None:
        self.recorded.append((frame, len(self.published)))

    def watch(self, _name: str, limit_ns: int) -> Age:
        return Age(limit_ns, self.clock, self.clock.mono_ns())

    def count(self, name: str, by: int = 1) -> None:
        self.counters[name] += by

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.spawned.append(work)


@dataclass
class Scene:
    process: Played
    feed: Feed
    line: OpenLine
    asked: list[tuple[str, int, int]]

    def at(self, second: float) -> "Scene":
        self.process.clock.second = second
        return self

    def bring(self, second: int, dollars: int, asset: str = "btc") -> None:
        stamp_ns = (NOW_S + second) * SECOND
        tick = Tick(asset=asset, kind="spot", route="chainlink", observed_ns=stamp_ns, e18=str(dollars * E18))
        clock = self.process.clock
        self.feed.take(tick, clock.wall_ns(), clock.mono_ns())
        self.feed._live(self.line, tick, clock.mono_ns())

    def silent_s(self, key: str = "spot/btc") -> float:
        return (self.process.clock.mono_ns() - self.line.link.silence.spoke[key]) / SECOND


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    asked: list[tuple[str, int, int]] = []

    async def back_fill(key: str, from_ns: int, to_ns: int) -> list[Tick]:
        asked.append((key, from_ns // SECOND - NOW_S, to_ns // SECOND - NOW_S))
        return []

    line = Line("one", "ws://127.0.0.1:9", lambda: Conversation(()), SERIES)
    process = Played(Paths(tmp_path, tmp_path))
    feed = Feed(process, Route("chainlink", (line,), SERIES, back_fill), process.record)  # type: ignore[arg-type]
    try:
        yield Scene(process, feed, feed.opened(line), asked)
    finally:
        for work in process.spawned:
            work.close()


def test_only_a_newer_stamp_with_another_value_is_a_sign_of_life(scene: Scene) -> None:
    scene.at(1).bring(0, 100)
    assert scene.silent_s() == 0
    scene.at(5).bring(4, 100)
    assert scene.silent_s() == 4, "the old value under a new stamp"
    scene.at(6).bring(4, 101)
    assert scene.silent_s() == 5, "another value under an old stamp"
    scene.at(7).bring(6, 101)
    assert scene.silent_s() == 0


def test_a_clock_that_stands_still_is_told_at_most_once_a_second_and_a_duplicate_never(scene: Scene) -> None:
    scene.at(1).bring(0, 100)
    scene.at(1 + (REPEAT_AFTER_NS - 1) / SECOND).bring(0, 100)
    assert len(scene.process.published) == 1
    for tenth in range(30, 50):
        scene.at(tenth / 10).bring(0, 100)
    assert len(scene.process.published) == 1 + 2
    assert scene.process.counters["ticks"] == 1


def test_what_the_route_does_not_carry_is_counted_and_not_published(scene: Scene) -> None:
    scene.at(1).bring(0, 100, "doge")
    assert (scene.process.published, scene.process.counters["ticks.not_ours"]) == ([], 1)


def test_a_new_connection_hides_no_second_that_came_before_it(scene: Scene) -> None:
    """What is missing is noted before anything arrives, however long the questions take."""
    for asset in ("btc", "eth"):
        scene.at(1).bring(0, 100, asset)
    scene.at(30)
    scene.feed._greet(scene.line)
    for asset in ("btc", "eth"):
        scene.at(31).bring(30, 101, asset)
    asyncio.run(scene.process.spawned.pop())
    assert scene.asked == [("spot/btc", 1, 31), ("spot/eth", 1, 31)]


def test_several_lines_that_open_at_once_ask_once(scene: Scene) -> None:
    scene.at(30)
    for _ in range(3):
        scene.feed._greet(scene.line)
    assert len(scene.process.spawned) == 1
    asyncio.run(scene.process.spawned.pop())
    scene.feed._greet(scene.line)
    assert len(scene.process.spawned) == 1


def test_a_tick_is_out_before_its_frame_is_recorded_and_every_frame_is_recorded(scene: Scene) -> None:
    one, clock = scene.line, scene.at(1).process.clock
    frames = [
        text(update(timestamp=clock.wall_ns() // MILLISECOND)),
        "no price",
        text(update(timestamp=clock.wall_ns() // MILLISECOND + 1)),
    ]
    for frame in frames:
        one.link.on_frame(frame, clock.wall_ns(), clock.mono_ns())
    one.conversation = Refusing()
    with pytest.raises(FeedRefused):
        one.link.on_frame("the last", clock.wall_ns(), clock.mono_ns())
    assert scene.process.recorded == [(frames[0], 1), ("no price", 1), (frames[2], 2), ("the last", 2)]
    assert scene.process.counters["frames"] == 4
    assert scene.process.counters["refused.not-json"] == 1


class Refusing(Conversation):
    def __init__(self) -> None:
        super().__init__(())

    def hear(self, frame: str | bytes, recv_ns: int) -> Any:
        raise FeedRefused("not you")


# --- rehearsal -----------------------------------------------------------------------------------------


class Rehearsed:
    """A publisher that hears rehearsals, and to which nothing else may come."""

    def __init__(self) -> None:
        self.bodies: list[Tick] = []

    def rehearse(self, _topic: str, body: Tick) -> SimpleNamespace:
        self.bodies.append(body)
        return SimpleNamespace(mono_ns=body.observed_ns)


@pytest.mark.parametrize("made_up", [rtds.made_up, None])
async def test_a_rehearsal_goes_all_the_way_and_leaves_nothing_behind(
    tmp_path: Path, made_up: Callable[[int], str] | None
) -> None:
    publisher = Rehearsed()
    process = Process(
        "oracle-rtds",
        Config(),
        Paths(tmp_path, tmp_path),
        clock := Clock(),
        structlog.get_logger(),
        None,  # type: ignore[arg-type]
        publisher,  # type: ignore[arg-type]
        *(None,) * 3,  # type: ignore[arg-type]
    )
    line = Line("one", "ws://127.0.0.1:9", lambda: Conversation(("spot",)), SERIES)
    route = Route("rtds", (line,), SERIES, made_up=made_up)
    feed = stage(process, route)
    rehearse = rehearsal(feed)
    for _ in range(5_000):
        clock.second += 0.002
        rehearse()
    assert len(publisher.bodies) == 5_000
    newest_ns = publisher.bodies[-1].observed_ns
    assert newest_ns // MILLISECOND == clock.wall_ns() // MILLISECOND
    assert (process.counters, process.facts, process.ages) == ({}, {}, {})
    assert os.listdir(tmp_path) == []
    kept = (len(feed._seen[REHEARSED]), len(list(feed._history.envelopes())))
    assert max(kept) < 600, "what is kept must not grow for as long as the process runs"
