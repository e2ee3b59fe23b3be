"""The book watcher: discovers windows, keeps and proves their books, publishes both. Decides nothing.

Windows are published as soon as they are discovered, refused or not, so that everybody can see why one is not
traded; books are kept only for those that could be. A window is followed until its outcome is known.
"""

import asyncio
from collections.abc import Iterable

from common.errors import CallRefused, FeedError, FrameRefused
from common.feeds.connection import Link, Silence, keep_connected
from common.feeds.http import HttpSource
from common.feeds.market import clob_market
from common.feeds.market.book_keeper import UNFINISHED_NS, BookKeeper, Heard
from common.feeds.market.book_witness import BookWitness
from common.feeds.market.discovery import Discovery
from common.feeds.market.gamma import slug_parts
from common.feeds.market.market_events import BookSnapshot, Quiet
from common.messages import Accepted, Answer, Command, FollowWindows, MarketState, Outcome, ProveBook, Request
from common.runtime.canary_way import send_canaries
from common.runtime.log import Burst
from common.runtime.shell import Process, run
from common.store.raw_frames import RawLog
from common.units import SECOND
from procs.book_news import BookNews

ROLE = "books"
FLUSH_S = 0.05
"""Between two looks at books that fell quiet and at what waits to be published."""
CATCH_UP_S = 0.5
"""A change the witness shows may still be on its way to us: frames take tens of milliseconds."""


class Watcher:
    """What this process knows, and where it all comes together."""

    def __init__(self, process: Process) -> None:
        config = process.config
        self.process = process
        self.discovery = Discovery(
            gamma=HttpSource(config.venue.gamma_url, process.clock),
            clob=HttpSource(config.venue.clob_url, process.clock),
            data=HttpSource(config.venue.data_url, process.clock),
            assets=frozenset(config.markets.assets),
            cadence=config.markets.cadence,
            lookahead_ns=int(config.markets.lookahead_s * SECOND),
            clock=process.clock,
            log=process.log,
            on_change=self._publish_market,
            on_refusal=lambda reason: process.count(f"refused.{reason}"),
            on_silence=lambda source: process.count(f"unanswered.{source}"),
        )
        self.keeper = BookKeeper(process.count)
        self.news = BookNews(process, self.keeper)
        self.witness = BookWitness(
            # Its own thread and its own waiting: discovery is never behind it.
            HttpSource(config.venue.clob_url, process.clock),
            self.keeper,
            quiet_ns=int(config.watch.book_quiet_s * SECOND),
        )
        self.silence = Silence(
            limit_ns=int(config.watch.book_stale_s * SECOND), dead_ns=int(config.watch.book_dead_s * SECOND)
        )
        self.link = Link(
            url=config.venue.clob_ws_url,
            greeting=self._greeting,
            on_frame=self._on_frame,
            silence=self.silence,
            ping=clob_market.PING,
            ping_every_s=10.0,
            max_bytes=clob_market.MAX_FRAME_BYTES,
            on_state=self._on_link,
        )
        self.link_up, self.link_text = False, "the market channel is not connected yet"
        self.discovery_trouble = "no windows read yet"
        self.subscribed: set[str] = set()
        self.awaited: set[str] = set()
        """Subscribed tokens without a snapshot at the last round."""
        self.asked_ns: dict[str, int] = {}
        """When a token was last asked for again."""
        self.more: dict[str, asyncio.Event] = {}
        """Set when data of a token comes that somebody waits for."""
        self.raw = RawLog(process.paths.tape_dir, ROLE)
        self.burst = Burst()
        self.discovery_age = process.watch("discovery", int(config.watch.discovery_stale_s * SECOND))
        self.book_age = process.watch("books", self.silence.limit_ns)

    async def discover(self) -> None:
        """Look for windows and outcomes until cancelled; every failure is shown and tried again."""
        while True:
            try:
                await self.discovery.refresh()
            except FeedError as error:
                self.discovery_trouble = str(error)
                self.process.count("discovery.failed")
            else:
                self.discovery_trouble = ""
                self.discovery_age.touch()
            for name in self.discovery.forget_old():
                self.process.publisher.forget(f"market.{name}")
            await self._ask_for_missing()
            await self._follow_books()
            self._show_state()
            await asyncio.sleep(self.process.config.markets.poll_s)

    async def flush(self) -> None:
        """Publish what changed below the best levels, and verify what fell quiet, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            mono_ns, wall_ns = self.process.clock.mono_ns(), self.process.clock.wall_ns()
            self._conclude(self.keeper.settle(mono_ns))
            self.news.publish_deeper(mono_ns, wall_ns)

    def follow(self, command: Command, _request: Request) -> Answer:
        """Somebody needs the outcomes of these windows."""
        assert isinstance(command, FollowWindows)
        for name in command.windows:
            if slug_parts(name) is None:
                raise CallRefused("not-a-window", f"{name[:80]} is no window name")
            known = self.discovery.markets.get(name)
            if known is not None and known.outcome is not None:
                self._publish_market(known)
            else:
                self.discovery.awaited.add(name)
        return Accepted(text=f"following {len(command.windows)} windows")

    async def prove(self, command: Command, _request: Request) -> Answer:
        """Answer whether a book bears out the venue's hash now; waits a little for changes still to come."""
        assert isinstance(command, ProveBook)
        token, clock = command.token, self.process.clock
        deadline_ns = clock.mono_ns() + UNFINISHED_NS
        awaited_ns = 0
        more = self.more[token] = asyncio.Event()
        try:
            while True:
                more.clear()
                asked = self.keeper.prove(token, clock.mono_ns(), awaited_ns)
                self._conclude(asked.heard)
                left_ns = deadline_ns - clock.mono_ns()
                if not asked.unfinished or left_ns <= 0:
                    break
                awaited_ns = awaited_ns or asked.proof.venue_ns
                try:
                    async with asyncio.timeout(left_ns / SECOND):
                        await more.wait()
                except TimeoutError:
                    pass  # no more changes came: the next look is the last
        finally:
            del self.more[token]
        self.process.count("proofs.asked")
        return asked.proof

    async def hear_witness(self) -> None:
        """Look up the books of running windows that bring no news, again and again, until cancelled."""
        while True:
            await asyncio.sleep(self.witness.quiet_ns / SECOND / 5)
            due = self.witness.due(self.silence.spoke, self.process.clock.mono_ns())
            for word in (await self._look_up(due)).values():
                self.process.count(f"witness.{word}")

    async def _look_up(self, tokens: Iterable[str]) -> dict[str, str]:
        """Ask about books, one after the other, and act on the answers; returns what came of each."""
        words: dict[str, str] = {}
        differing: list[BookSnapshot] = []
        for token in tokens:
            told = await self.witness.look_up(token)
            words[token] = told.word
            if told.word == "agreed":
                self._forgive(token)
            elif told.word == "differs" and told.copy is not None:
                differing.append(told.copy)
        if differing:
            await asyncio.sleep(CATCH_UP_S)
        for copy in differing:
            heard = self.keeper.overrule(copy)
            self._conclude(heard)
            words[copy.token] = "differed" if heard.resync else "overtaken"
        return words

    def _forgive(self, token: str) -> None:
        """The venue's copy agrees: the silence of this token is real.

        Only of this token, and only while the witness agrees: on a dead socket the books soon differ, no
        snapshot follows, a book in doubt is forgiven nothing, and the limit runs. That data came over the
        socket is never claimed, or a mute one would not end the process.
        """
        now = self.process.clock.mono_ns()
        self.keeper.confirm(token, now)
        if token in self.silence.spoke:
            self.silence.spoke[token] = now
        self.book_age.touch()
        self.news.dirty.add(token)

    async def _follow_books(self) -> None:
        """Follow the books of windows that could be traded before they open; leave those that ended."""
        live = self.discovery.live()
        mono = self.process.clock.mono_ns()
        sides: dict[str, tuple[MarketState, Outcome]] = {}
        for market in live:
            sides[market.token_up] = (market, "up")
            sides[market.token_down] = (market, "down")
        for token in set(self.keeper.tokens()) - set(sides):
            self.keeper.drop(token)
            self.news.forget(token)
            self.asked_ns.pop(token, None)
        for market, outcome in sides.values():
            self.keeper.follow(market, outcome, mono)
        # Only running windows must keep talking: before the opening silence is normal.
        running = self.discovery.running()
        self.silence.expect((t for market in running for t in (market.token_up, market.token_down)), mono)
        await self._subscribe(set(sides))

    async def _subscribe(self, wanted: set[str]) -> None:
        if self.link.socket is None or wanted == self.subscribed:
            return
        if not self.subscribed:
            await self.link.send(clob_market.first_subscription(sorted(wanted)))
        else:
            if wanted - self.subscribed:
                await self.link.send(
                    clob_market.later_subscription("subscribe", sorted(wanted - self.subscribed))
                )
            if self.subscribed - wanted:
                await self.link.send(
                    clob_market.later_subscription("unsubscribe", sorted(self.subscribed - wanted))
                )
        self.subscribed = wanted

    async def _ask_for_missing(self) -> None:
        """A snapshot that has not come since the last round is asked for again, as often as it takes."""
        overdue = [token for token in self.keeper.incomplete() if token in self.awaited]
        for token in overdue:
            self.process.count("snapshots.asked_again")
            await self._ask_again(token)
        self.awaited = set(self.keeper.incomplete()) & self.subscribed

    async def _ask_again(self, token: str) -> None:
        """Leaving and subscribing anew brings a new snapshot of one token."""
        self.asked_ns[token] = self.process.clock.mono_ns()
        await self.link.send(clob_market.later_subscription("unsubscribe", [token]))
        await self.link.send(clob_market.later_subscription("subscribe", [token]))

    def _greeting(self) -> list[str]:
        self.subscribed = set(self.keeper.tokens())
        return [clob_market.first_subscription(sorted(self.subscribed))] if self.subscribed else []

    def _on_link(self, up: bool, text: str) -> None:
        self.link_up, self.link_text = up, text
        if not up:
            self._conclude(Heard(self.keeper.lost_connection()))
            self.subscribed = set()
        self.process.set_count("reconnects", self.link.reconnects)
        self.process.set_count("zombies", self.link.zombies)
        self._show_state()

    def _on_frame(self, frame: str | bytes, recv_ns: int, mono_ns: int) -> None:
        self.raw.append(frame, recv_ns, mono_ns)
        self.process.count("frames")
        try:
            events = clob_market.parse_frame(frame)
            heard = self.keeper.hear(events, mono_ns, recv_ns)
        except FrameRefused as refusal:
            self.process.count(f"refused.{refusal.reason}")
            times = self.burst.note(refusal.reason, mono_ns)
            if times is not None:
                self.process.log.warning(
                    "frame_refused", reason=refusal.reason, detail=refusal.detail, times=times
                )
            return
        for event in events:
            if isinstance(event, Quiet):
                self.process.count(f"quiet.{event.kind}")
        for token, true_mono_ns in heard.alive.items():
            self.silence.heard(token, true_mono_ns)
            if token in self.more:
                self.more[token].set()
        if heard.alive:
            self.book_age.touch()
        self.news.sort(heard.changed, recv_ns)
        if heard.resync:
            # What nobody may trust any more waits for no other frame.
            self.news.publish()
        else:
            self.news.wake()
        self._doubt(heard)

    def _conclude(self, heard: Heard) -> None:
        """Publish at once what became of books without a frame, whatever it is."""
        self.news.publish_at_once(heard.changed)
        self._doubt(heard)

    def _doubt(self, heard: Heard) -> None:
        """Ask again for what is doubted."""
        for token, reason in heard.resync.items():
            self.process.count("resyncs")
            self.process.log.warning("book_resync", book=token[:12], why=reason)
            self._resync(token)

    def _resync(self, token: str) -> None:
        """Ask again at once, but a token that was asked for lately waits for the next round."""
        now = self.process.clock.mono_ns()
        round_ns = int(self.process.config.markets.poll_s * SECOND)
        if now - self.asked_ns.get(token, -round_ns) >= round_ns:
            self.asked_ns[token] = now
            self.process.spawn(self._ask_again(token), name=f"resync {token[:12]}")
        else:
            self.awaited.add(token)

    def _publish_market(self, market: MarketState) -> None:
        self.process.set_count("windows", len(self.discovery.markets))
        self.process.publisher.publish(f"market.{market.window}", market, keep=True)

    def _show_state(self) -> None:
        troubles = [self.discovery_trouble, "" if self.link_up else self.link_text]
        text = "; ".join(trouble for trouble in troubles if trouble)
        self.process.set_state("degraded" if text else "ready", text or self.link_text)


async def books(process: Process) -> None:
    """Run until cancelled; raises DataStale when the market channel stays mute."""
    watcher = Watcher(process)
    process.responder.on(FollowWindows, watcher.follow)
    process.responder.on(ProveBook, watcher.prove)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(watcher.discover(), name="discovery")
            group.create_task(watcher.flush(), name="flush")
            group.create_task(watcher.news.tell(), name="news")
            group.create_task(watcher.hear_witness(), name="witness")
            group.create_task(send_canaries(process), name="canaries")
            group.create_task(keep_connected(watcher.link, process.clock, process.log), name="market channel")
    finally:
        watcher.witness.source.close()
        watcher.raw.close()


if __name__ == "__main__":
    run(ROLE, books)
