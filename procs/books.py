"""The book watcher: discovers windows, keeps their books, publishes both. Decides nothing.

Windows are published as soon as they are discovered, refused or not, so that everybody can see why one is not
traded; books are kept only for those that could be. A window is followed until its outcome is known.
"""

import asyncio
from collections.abc import Iterable

from common.errors import CallRefused, FeedError, FrameRefused
from common.feeds import clob_market
from common.feeds.book_keeper import BookKeeper
from common.feeds.connection import Link, Silence, keep_connected
from common.feeds.discovery import Discovery
from common.feeds.gamma import slug_parts
from common.feeds.http import HttpSource
from common.messages import Accepted, Answer, Command, FollowWindows, MarketState, Outcome, Request
from common.runtime.log import Burst
from common.runtime.shell import Process, run
from common.store.raw_frames import RawLog
from common.units import SECOND

ROLE = "books"
FLUSH_S = 0.05
"""Deeper levels are published this often; best prices at once."""


class Watcher:
    """What this process knows, and the one place where it is published."""

    def __init__(self, process: Process) -> None:
        config = process.config
        self.process = process
        self.discovery = Discovery(
            gamma=HttpSource(config.venue.gamma_url, process.clock),
            clob=HttpSource(config.venue.clob_url, process.clock),
            assets=frozenset(config.markets.assets),
            cadence=config.markets.cadence,
            lookahead_ns=int(config.markets.lookahead_s * SECOND),
            clock=process.clock,
            log=process.log,
            on_change=self._publish_market,
            on_refusal=lambda reason: process.count(f"refused.{reason}"),
        )
        self.keeper = BookKeeper()
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
        self.dirty: set[str] = set()
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
        """Publish what changed below the best prices until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            for token in list(self.dirty):
                self._publish_book(token, self.process.clock.wall_ns())

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
            self.dirty.discard(token)
            self.process.publisher.forget(f"book.{token}")
        for token, (market, outcome) in sides.items():
            self.keeper.follow(token, market.window, outcome, market.tick4, mono)
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
        await self.link.send(clob_market.later_subscription("unsubscribe", [token]))
        await self.link.send(clob_market.later_subscription("subscribe", [token]))

    def _greeting(self) -> list[str]:
        self.subscribed = set(self.keeper.tokens())
        return [clob_market.first_subscription(sorted(self.subscribed))] if self.subscribed else []

    def _on_link(self, up: bool, text: str) -> None:
        self.link_up, self.link_text = up, text
        if not up:
            self.dirty |= self.keeper.lost_connection()
            self.subscribed = set()
        self.process.set_count("reconnects", self.link.reconnects)
        self.process.set_count("zombies", self.link.zombies)
        self._show_state()

    def _on_frame(self, frame: str | bytes, recv_ns: int, mono_ns: int) -> None:
        self.raw.append(frame, recv_ns, mono_ns)
        self.process.count("frames")
        try:
            events = clob_market.parse_frame(frame)
            tokens = {token for event in events for token in _tokens_of(event)}
            before = {token: self.keeper.best(token) for token in tokens}
            heard = self.keeper.hear(events, mono_ns)
        except FrameRefused as refusal:
            self.process.count(f"refused.{refusal.reason}")
            times = self.burst.note(refusal.reason, mono_ns)
            if times is not None:
                self.process.log.warning(
                    "frame_refused", reason=refusal.reason, detail=refusal.detail, times=times
                )
            return
        for event in events:
            if isinstance(event, clob_market.Quiet):
                self.process.count(f"quiet.{event.kind}")
        for token in tokens:
            self.silence.heard(token, mono_ns)
            self.book_age.touch()
        for token in heard.changed:
            if self.keeper.best(token) == before[token]:
                self.dirty.add(token)
            else:
                self._publish_book(token, recv_ns)
        for token, reason in heard.resync.items():
            self.process.count("resyncs")
            self.process.log.warning("book_resync", book=token[:12], why=reason)
            self.process.spawn(self._ask_again(token), name=f"resync {token[:12]}")

    def _publish_book(self, token: str, recv_ns: int) -> None:
        self.dirty.discard(token)
        state = self.keeper.state(token)
        if state is None:
            return
        self.process.count("books")
        self.process.publisher.publish(
            f"book.{token}", state, ts_event_ns=state.venue_ns, ts_recv_ns=recv_ns, keep=True
        )

    def _publish_market(self, market: MarketState) -> None:
        self.process.set_count("windows", len(self.discovery.markets))
        self.process.publisher.publish(f"market.{market.window}", market, keep=True)

    def _show_state(self) -> None:
        troubles = [self.discovery_trouble, "" if self.link_up else self.link_text]
        text = "; ".join(trouble for trouble in troubles if trouble)
        self.process.set_state("degraded" if text else "ready", text or self.link_text)


def _tokens_of(event: clob_market.MarketEvent) -> Iterable[str]:
    match event:
        case clob_market.PriceChanges():
            return [change.token for change in event.changes]
        case clob_market.BookSnapshot() | clob_market.LastTrade() | clob_market.BestBidAsk():
            return [event.token]
        case clob_market.TickSizeChange():
            return [event.token]
        case _:
            return []


async def books(process: Process) -> None:
    """Run until cancelled; raises DataStale when the market channel stays mute."""
    watcher = Watcher(process)
    process.responder.on(FollowWindows, watcher.follow)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(watcher.discover(), name="discovery")
            group.create_task(watcher.flush(), name="flush")
            group.create_task(keep_connected(watcher.link, process.clock, process.log), name="market channel")
    finally:
        watcher.raw.close()


if __name__ == "__main__":
    run(ROLE, books)
