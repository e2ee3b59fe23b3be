"""What a running route does with what its lines bring; the test plays its process."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from common.feeds.oracle.route import Line, Route
from common.feeds.oracle.rtds import Conversation
from common.messages import Tick
from common.runtime.config import Config
from common.runtime.paths import Paths
from common.runtime.shell import Age
from common.units import E18, SECOND
from procs.oracle import REPEAT_AFTER_NS, Feed, OpenLine

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
    spawned: list[Coroutine[Any, Any, None]] = field(default_factory=list)
    log: Any = field(default_factory=structlog.get_logger)

    @property
    def publisher(self) -> Any:
        return SimpleNamespace(publish=self.publish, extra_state=None)

    def publish(self, _topic: str, body: Tick, **_more: object) -> Any:
        self.published.append(body)
        return SimpleNamespace(mono_ns=self.clock.mono_ns())

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
        self.feed._live(self.line, tick, clock.mono_ns())
        self.feed._take(tick, clock.wall_ns(), clock.mono_ns())

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
    feed = Feed(process, Route("chainlink", (line,), SERIES, back_fill))  # type: ignore[arg-type]
    try:
        yield Scene(process, feed, feed._opened(line), asked)
    finally:
        feed.raw.close()
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
    asyncio.run(scene.process.spawned.pop())  # type: ignore[arg-type]
    assert scene.asked == [("spot/btc", 1, 31), ("spot/eth", 1, 31)]


def test_several_lines_that_open_at_once_ask_once(scene: Scene) -> None:
    scene.at(30)
    for _ in range(3):
        scene.feed._greet(scene.line)
    assert len(scene.process.spawned) == 1
    asyncio.run(scene.process.spawned.pop())  # type: ignore[arg-type]
    scene.feed._greet(scene.line)
    assert len(scene.process.spawned) == 1
