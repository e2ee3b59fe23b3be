"""An oracle process: one route's wire frames become ticks on the bus. Judges no price.

Every route is run by this module; ``common.feeds`` knows how each one talks. It keeps the last 30 minutes in
the order they came and gives them to whoever asks for a snapshot, so that a strategist which starts late
still learns the tick of the opening second. A route without credentials is disabled and says why.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

# First, because its log decides what structlog loads.
from common.runtime.shell import Process, run

# isort: split
from common.core.price_buffer import Added, PriceBuffer
from common.errors import DataStale, FeedError, FeedRefused, FrameRefused
from common.feeds.backoff import Backoff
from common.feeds.connection import Link, Silence, keep_connected
from common.feeds.made_up_wire import made_up_wire
from common.feeds.oracle.price_fields import Control
from common.feeds.oracle.route import Conversation, Disabled, Line, Route, series_key
from common.feeds.oracle.routes import plan_route
from common.messages import Envelope, RouteName, Tick
from common.runtime.canary_way import send_canaries
from common.runtime.log import Burst
from common.store.raw_frames import RawLog
from common.units import MILLISECOND, SECOND
from procs.oracle_rehearsal import REHEARSED, made_up_tick, muted

HISTORY_NS = 30 * 60 * SECOND
FIRST_BACK_FILL_NS = 120 * SECOND
"""How far back a route that can is asked at the start: as far as the others tell by themselves."""
REPEAT_AFTER_NS = 1_500 * MILLISECOND
"""An observation time that comes again after this long is no duplicate but a clock that stands still."""
REPEAT_EVERY_NS = SECOND
_NEWS = (Added.NEW, Added.CORRECTED, Added.LATE)


async def oracle(process: Process, name: RouteName) -> None:
    """Run one route until the process is told to stop; raises DataStale when all of it stays mute."""
    planned = plan_route(name, process.config, process.paths, process.clock)
    if isinstance(planned, Disabled):
        await stay_disabled(process, planned.why)
        return
    for number, note in enumerate(planned.notes, 1):
        process.facts[f"note.{number}"] = note
    raw = RawLog(process.paths.tape_dir, process.role)
    feed = Feed(process, planned, raw.append)
    process.keep_warm(rehearsal(stage(process, planned)))
    process.spawn(send_canaries(process), name="canaries")
    try:
        await feed.run()
    finally:
        raw.close()
    await stay_disabled(process, "; ".join(feed.refused.values()))


async def stay_disabled(process: Process, why: str) -> None:
    """Neither an error nor a crash loop: the process lives, is heard, and says what to mend."""
    process.ages.clear()
    process.set_state("disabled", why)
    await process.stopping.wait()


def stage(process: Process, route: Route) -> "Feed":
    """A feed to rehearse with: one made-up series, and nothing it does is counted, recorded or heeded."""
    line = replace(route.lines[0], watched=(REHEARSED,))
    made_up = Route(route.name, (line,), (REHEARSED,), made_up=route.made_up)
    return Feed(muted(process), made_up, lambda _frame, _recv_ns, _mono_ns: None, keep_ns=SECOND)


def rehearsal(feed: "Feed") -> Callable[[], None]:
    """The way from a frame to a tick on the bus, on a made-up one at each call; needs a running loop."""
    clock, made_up = feed.process.clock, feed.route.made_up
    if made_up is None:
        return lambda: feed.take(made_up_tick(clock.wall_ns()), clock.wall_ns(), clock.mono_ns())
    bring = made_up_wire(feed.opened(feed.route.lines[0]).link, clock)
    return lambda: bring(made_up(clock.wall_ns() // MILLISECOND))


@dataclass(slots=True)
class OpenLine:
    """One connection, what it was promised to bring and what it last brought."""

    line: Line
    link: Link
    conversation: Conversation
    moved: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Newest stamp and value, by series: a line that repeats either brings no news."""
    up: bool = False
    text: str = "not connected yet"


class Feed:
    """A running route: lines in, ticks out."""

    def __init__(
        self,
        process: Process,
        route: Route,
        record: Callable[[str | bytes, int, int], None],
        *,
        keep_ns: int = HISTORY_NS,
    ) -> None:
        self.process = process
        self.route = route
        self.record = record
        self.refused: dict[str, str] = {}
        """Lines that were refused for good, and why."""
        self.lines: list[OpenLine] = []
        self._over = asyncio.Event()
        """Every line was refused for good."""
        self._watch = process.config.watch
        self._history = History(keep_ns)
        self._burst = Burst()
        self._seen = {key: PriceBuffer(keep_ns) for key in route.series}
        self._repeated: dict[str, int] = {}
        self._filling = False
        watched = sorted({key for line in route.lines for key in line.watched})
        limit_ns = int(self._watch.tick_stale_s * SECOND)
        self._ages = {key: process.watch(key, limit_ns) for key in watched}
        process.publisher.extra_state = self._history.envelopes

    async def run(self) -> None:
        """Keep every line connected; returns when all of them were refused for good."""
        refined = await self._refined()
        async with asyncio.TaskGroup() as group:
            self._open(refined or self.route.lines, group)
            if refined is None:
                group.create_task(self._refine_later(group), name="more lines")

    async def _refined(self) -> Sequence[Line] | None:
        """The lines after asking the other end (empty: as planned); None when it did not answer."""
        if self.route.refine is None:
            return ()
        try:
            return await self.route.refine()
        except FeedError as error:
            self.process.log.warning("lines_not_refined", route=self.route.name, why=str(error))
            return None

    async def _refine_later(self, group: asyncio.TaskGroup) -> None:
        """The other end could not be asked at the start: one line must do until it answers."""
        backoff = Backoff(first_s=2.0, cap_s=60.0)
        while not self._over.is_set():
            try:
                async with asyncio.timeout(backoff.next_wait_s()):
                    await self._over.wait()
            except TimeoutError:
                refined = await self._refined()
                if refined is not None:
                    self._open(refined, group)
                    return

    def _open(self, lines: Sequence[Line], group: asyncio.TaskGroup) -> None:
        for line in lines:
            one = self.opened(line)
            self.lines.append(one)
            group.create_task(self._keep(one), name=f"line {line.name}")

    async def _keep(self, one: OpenLine) -> None:
        """One line's whole life. One of several that stays mute is made anew; the last ends the process."""
        while True:
            try:
                await keep_connected(one.link, self.process.clock, self.process.log)
            except FeedRefused as refusal:
                self.refused[one.line.name] = str(refusal)
                one.up, one.text = False, str(refusal)
                self.process.log.error("line_refused", line=one.line.name, why=str(refusal))
                self._show()
                if len(self.refused) == len(self.lines):
                    self._over.set()
                return
            except DataStale:
                if not self._another_speaks(one):
                    raise
                self.process.count("lines_made_anew")

    def _another_speaks(self, one: OpenLine) -> bool:
        """Whether another line brought data lately; that it is connected says nothing."""
        since_ns = self.process.clock.mono_ns() - one.link.silence.dead_ns
        return any(other.link.silence.last_any_ns > since_ns for other in self.lines if other is not one)

    def opened(self, line: Line) -> OpenLine:
        """A line with its link, not connected yet."""
        silence = Silence(
            limit_ns=int(self._watch.tick_stale_s * SECOND), dead_ns=int(self._watch.tick_dead_s * SECOND)
        )
        silence.expect(line.watched, self.process.clock.mono_ns())
        one: OpenLine
        link = Link(
            url=line.url,
            greeting=lambda: self._greet(one),
            on_frame=lambda frame, recv_ns, mono_ns: self._on_frame(one, frame, recv_ns, mono_ns),
            silence=silence,
            ping=line.ping,
            ping_every_s=line.ping_every_s,
            max_bytes=line.max_bytes,
            on_state=lambda up, text: self._on_state(one, up, text),
            headers=line.headers,
            on_refusal=line.on_refusal,
            backoff=line.backoff(),
        )
        one = OpenLine(line, link, line.converse())
        return one

    def _greet(self, one: OpenLine) -> list[str]:
        """A new connection: a new conversation, and whatever the old one missed."""
        one.conversation = one.line.converse()
        if self.route.back_fill is not None and not self._filling:
            self._filling = True
            # Now, before the new connection brings anything: its first tick would hide what came before it.
            self.process.spawn(self._back_fill(self._missed_since()), name="back-fill")
        return one.conversation.opening()

    def _on_frame(self, one: OpenLine, frame: str | bytes, recv_ns: int, mono_ns: int) -> None:
        try:
            self._hear(one, frame, recv_ns, mono_ns)
        finally:
            # Whatever became of the frame it is recorded, but its ticks are out first.
            self.record(frame, recv_ns, mono_ns)
            self.process.count("frames")

    def _hear(self, one: OpenLine, frame: str | bytes, recv_ns: int, mono_ns: int) -> None:
        try:
            items, replies = one.conversation.hear(frame, recv_ns)
        except FrameRefused as refusal:
            self.process.count(f"refused.{refusal.reason}")
            times = self._burst.note(refusal.reason, mono_ns)
            if times is not None:
                self.process.log.warning(
                    "frame_refused", reason=refusal.reason, detail=refusal.detail, times=times
                )
            return
        for text in replies:
            self.process.spawn(self._say(one, text), name="reply")
        for item in items:
            if isinstance(item, Control):
                self._control(item, mono_ns)
            else:
                self.take(item, recv_ns, mono_ns)
                self._live(one, item, mono_ns)

    async def _say(self, one: OpenLine, text: str) -> None:
        await one.link.send(text)

    def _control(self, control: Control, mono_ns: int) -> None:
        self.process.count(f"control.{control.kind}")
        if control.kind == "gap":
            self.process.count("missed", control.missed)
        if control.kind not in ("error", "gap", "other"):
            return
        times = self._burst.note(f"{control.kind} {control.text[:40]}", mono_ns)
        if times is not None:
            self.process.log.warning("venue_says", kind=control.kind, text=control.text, times=times)

    def _live(self, one: OpenLine, tick: Tick, mono_ns: int) -> None:
        """News of a series: a newer stamp with another value. A stuck relay repeats one of the two."""
        key = series_key(tick.kind, tick.asset)
        stamp_ns, value = one.moved.get(key, (0, 0))
        if tick.backfill or tick.observed_ns <= stamp_ns:
            return
        one.moved[key] = (tick.observed_ns, tick.value)
        if tick.value != value:
            one.link.silence.heard(key, mono_ns)

    def take(self, tick: Tick, recv_ns: int, mono_ns: int) -> None:
        """Publish what is new."""
        key = series_key(tick.kind, tick.asset)
        buffer = self._seen.get(key)
        if buffer is None:
            self.process.count("ticks.not_ours")
            return
        added = buffer.add(tick.observed_ns, tick.value, mono_ns)
        if added in _NEWS:
            # First of all: everything below can wait until it is on its way.
            self._history.add(self._publish(tick, recv_ns))
            self.process.count("ticks")
            if added is Added.NEW and not tick.backfill:
                if key in self._ages:
                    self._ages[key].touch()
                self.process.facts[f"lag_ms.{key}"] = str((recv_ns - tick.observed_ns) // MILLISECOND)
        elif added is Added.SAME and not tick.backfill and self._stands_still(key, buffer, tick, mono_ns):
            # Known already and no sign of life; but whoever audits the routes must see a clock that stands.
            self._publish(tick, recv_ns)
        self.process.count(f"ticks.{added.value}")

    def _stands_still(self, key: str, buffer: PriceBuffer, tick: Tick, mono_ns: int) -> bool:
        latest = buffer.latest()
        if latest is None or tick.observed_ns != latest.observed_ns:
            return False
        if mono_ns - latest.mono_ns < REPEAT_AFTER_NS:
            return False
        if mono_ns - self._repeated.get(key, 0) < REPEAT_EVERY_NS:
            return False
        self._repeated[key] = mono_ns
        return True

    def _publish(self, tick: Tick, recv_ns: int) -> Envelope:
        return self.process.publisher.publish(
            f"tick.{tick.asset}.{tick.kind}.{tick.route}",
            tick,
            ts_event_ns=tick.observed_ns,
            ts_recv_ns=recv_ns,
        )

    def _missed_since(self) -> dict[str, int]:
        """From when each series may lack observations."""
        now_ns = self.process.clock.wall_ns()
        since: dict[str, int] = {}
        for key in self.route.series:
            latest = self._seen[key].latest()
            first_ns = latest.observed_ns + SECOND if latest else now_ns - FIRST_BACK_FILL_NS
            since[key] = max(first_ns, now_ns - HISTORY_NS)
        return since

    async def _back_fill(self, since: dict[str, int]) -> None:
        """Ask for the seconds that were missed while no line was open."""
        try:
            await self._fill_in(since)
        finally:
            self._filling = False

    async def _fill_in(self, since: dict[str, int]) -> None:
        back_fill = self.route.back_fill
        assert back_fill is not None
        now_ns = self.process.clock.wall_ns()
        for key, since_ns in since.items():
            if since_ns >= now_ns:
                continue
            try:
                ticks = await back_fill(key, since_ns, now_ns)
            except FeedError as error:
                self.process.count("back_fill.failed")
                self.process.log.warning("back_fill_failed", series=key, why=str(error))
                return
            for tick in ticks:
                self.take(tick, self.process.clock.wall_ns(), self.process.clock.mono_ns())
            self.process.count("back_fill.ticks", len(ticks))

    def _on_state(self, one: OpenLine, up: bool, text: str) -> None:
        one.up, one.text = up, text
        self.process.set_count("reconnects", sum(line.link.reconnects for line in self.lines))
        self.process.set_count("zombies", sum(line.link.zombies for line in self.lines))
        self._show()

    def _show(self) -> None:
        troubles = [one.text for one in self.lines if not one.up]
        if troubles:
            self.process.set_state("degraded", "; ".join(dict.fromkeys(troubles)))
        else:
            self.process.set_state("ready", "; ".join(dict.fromkeys(one.text for one in self.lines)))


class History:
    """The last ticks, in the order in which they came."""

    def __init__(self, keep_ns: int) -> None:
        self._keep_ns = keep_ns
        self._held: deque[Envelope] = deque()

    def add(self, envelope: Envelope) -> None:
        """Keep one more, and let go of what is too old."""
        self._held.append(envelope)
        while envelope.mono_ns - self._held[0].mono_ns > self._keep_ns:
            self._held.popleft()

    def envelopes(self) -> Iterable[Envelope]:
        """All that is kept, oldest first."""
        return self._held


def main() -> None:
    """Run the route named on the command line."""
    names: tuple[RouteName, ...] = get_args(RouteName)
    name = next((known for known in names if sys.argv[1:] == [known]), None)
    if name is None:
        sys.exit(f"usage: python -m procs.oracle {'|'.join(names)}")
    run(f"oracle-{name}", lambda process: oracle(process, name))


if __name__ == "__main__":
    main()
