"""The book watcher: discovers windows, keeps their books, publishes both. Decides nothing.

Windows are published as soon as they are discovered, refused or not, so that everybody can see why one is not
traded; books are kept only for those that could be. A window is followed until its outcome is known.
"""

import asyncio
from collections.abc import Mapping

from common.errors import CallRefused, FeedError, FrameRefused
from common.feeds import clob_market
from common.feeds.book_keeper import BookKeeper
from common.feeds.connection import Link, Silence, keep_connected
from common.feeds.gamma import market_from_gamma, markets_in, slug_parts
from common.feeds.http import HttpSource
from common.messages import Accepted, Answer, Command, FollowWindows, MarketState, Request
from common.runtime.log import Burst
from common.runtime.shell import Process, run
from common.store.raw_frames import RawLog
from common.units import SECOND

ROLE = "books"
FLUSH_S = 0.05
"""Deeper levels are published this often; best prices at once."""
FORGET_AFTER_NS = 15 * 60 * SECOND
PAGE = 100
MAX_PAGES = 10


class Watcher:
    """The windows and books of this process, and the one place where they are published."""

    def __init__(self, process: Process) -> None:
        config = process.config
        self.process = process
        self.gamma = HttpSource(config.venue.gamma_url, process.clock)
        self.clob = HttpSource(config.venue.clob_url, process.clock)
        self.keeper = BookKeeper()
        self.markets: dict[str, MarketState] = {}
        self.clob_facts: dict[str, Mapping[str, object]] = {}
        self.asked_for: set[str] = set()
        """Windows somebody needs the outcome of, though discovery does not list them any more."""
        self.dirty: set[str] = set()
        self.raw = RawLog(process.paths.tape_dir, ROLE)
        self.burst = Burst()
        self.silence = Silence(
            limit_ns=int(config.watch.book_stale_s * SECOND), dead_ns=int(config.watch.book_dead_s * SECOND)
        )
        self.discovery_age = process.watch("discovery", int(config.watch.discovery_stale_s * SECOND))
        self.book_age = process.watch("books", self.silence.limit_ns)
        self.subscribed: set[str] = set()
        self.discovery_trouble = ""
        self.link_up = False
        self.link_text = "not connected yet"
        self.link = Link(
            url=config.venue.clob_ws_url,
            greeting=self._greeting,
            on_frame=self._on_frame,
            silence=self.silence,
            ping=clob_market.PING,
            ping_every_s=10.0,
            max_bytes=clob_market.MAX_FRAME_BYTES,
            on_state=self._on_link,
            on_open=self._on_open,
        )

    # discovery

    async def discover(self) -> None:
        """Look for windows and outcomes until cancelled; every failure is shown and tried again."""
        while True:
            try:
                await self._list_windows()
                await self._follow_windows()
            except FeedError as error:
                self.discovery_trouble = str(error)
                self.process.count("discovery.failed")
            else:
                self.discovery_trouble = ""
                self.discovery_age.touch()
            self._retire()
            await self._subscribe_changes()
            self._show_state()
            await asyncio.sleep(self.process.config.markets.poll_s)

    async def _list_windows(self) -> None:
        """Windows of our assets and cadence that end from now on and open within the look-ahead."""
        markets = self.process.config.markets
        now_s = self.process.clock.wall_ns() // SECOND
        for page in range(MAX_PAGES):
            listing = await self.gamma.get(
                "/events",
                {
                    "tag_slug": "up-or-down",
                    "closed": "false",
                    "end_date_min": _instant(now_s),
                    "end_date_max": _instant(now_s + int(2 * markets.lookahead_s)),
                    "limit": str(PAGE),
                    "offset": str(page * PAGE),
                },
            )
            found = markets_in(listing) if listing is not None else []
            for market, event in found:
                parts = slug_parts(str(market.get("slug", "")))
                if parts and parts.asset in markets.assets and parts.label == markets.cadence:
                    await self._take(market, event)
            if len(found) < PAGE:
                return

    async def _follow_windows(self) -> None:
        """Ask for every ended window whose outcome is still unknown, by name."""
        now = self.process.clock.wall_ns()
        names = {
            name
            for name, market in self.markets.items()
            if market.end_ns <= now and market.outcome is None and not market.refusals
        }
        for name in sorted(names | self.asked_for):
            found = await self.gamma.get(f"/events/slug/{name}", {})
            for market, event in markets_in(found) if found is not None else []:
                if market.get("slug") == name:
                    await self._take(market, event)
            known = self.markets.get(name)
            if known is not None and known.outcome is not None:
                self.asked_for.discard(name)

    async def _take(self, market: Mapping[str, object], event: Mapping[str, object] | None) -> None:
        condition = str(market.get("conditionId", ""))
        if condition and condition not in self.clob_facts:
            facts = await self.clob.get(f"/clob-markets/{_padded(condition)}", {})
            if isinstance(facts, Mapping):
                self.clob_facts[condition] = facts
        try:
            state = market_from_gamma(market, event=event, clob=self.clob_facts.get(condition))
        except FrameRefused as refusal:
            self.process.count(f"refused.{refusal.reason}")
            times = self.burst.note(refusal.reason, self.process.clock.mono_ns())
            if times is not None:
                self.process.log.warning("market_refused", slug=str(market.get("slug"))[:80], why=str(refusal), times=times)
            return
        known = self.markets.get(state.window)
        if known is None:
            self.process.count("windows")
            self.process.log.info("window", window=state.window, refusals=list(state.refusals))
        self.markets[state.window] = state
        if state != known:
            self.process.publisher.publish(f"market.{state.window}", state, keep=True)

    def _retire(self) -> None:
        """Let go of books whose window is over and of windows long past."""
        now = self.process.clock.wall_ns()
        for name, market in list(self.markets.items()):
            tokens = (market.token_up, market.token_down)
            if market.end_ns <= now:
                for token in tokens:
                    self.keeper.drop(token)
                    self.dirty.discard(token)
                    self.process.publisher.forget(f"book.{token}")
            if now - market.end_ns > FORGET_AFTER_NS and name not in self.asked_for:
                del self.markets[name]
                self.clob_facts.pop(market.condition_id, None)
                self.process.publisher.forget(f"market.{name}")

    # books

    async def _subscribe_changes(self) -> None:
        """Follow the books of windows that could be traded, before they open; leave those that ended."""
        now, mono = self.process.clock.wall_ns(), self.process.clock.mono_ns()
        horizon = now + int(self.process.config.markets.lookahead_s * SECOND)
        for market in self.markets.values():
            if market.refusals or not now < market.end_ns or market.start_ns > horizon:
                continue
            for token, outcome in ((market.token_up, "up"), (market.token_down, "down")):
                self.keeper.follow(token, market.window, outcome, market.tick4, mono)  # type: ignore[arg-type]
        self._expect()
        wanted = set(self.keeper.tokens())
        if self.link.socket is None:
            return
        if not self.subscribed and wanted:
            if await self.link.send(clob_market.first_subscription(sorted(wanted))):
                self.subscribed = wanted
            return
        for operation, tokens in (("subscribe", wanted - self.subscribed), ("unsubscribe", self.subscribed - wanted)):
            if tokens:
                await self.link.send(clob_market.later_subscription(operation, sorted(tokens)))  # type: ignore[arg-type]
        self.subscribed = wanted

    def _expect(self) -> None:
        """Only the tokens of running windows must keep talking: before the opening silence is normal."""
        now = self.process.clock.wall_ns()
        running = [
            token
            for market in self.markets.values()
            if market.start_ns <= now < market.end_ns and not market.refusals
            for token in (market.token_up, market.token_down)
        ]
        self.silence.expect(running, self.process.clock.mono_ns())

    def _greeting(self) -> list[str]:
        self.subscribed = set(self.keeper.tokens())
        return [clob_market.first_subscription(sorted(self.subscribed))] if self.subscribed else []

    def _on_open(self) -> None:
        self.dirty |= self.keeper.lost_connection()

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
        before = {}
        try:
            events = clob_market.parse_frame(frame)
            before = {token: self.keeper.best(token) for token in self.keeper.tokens()}
            heard = self.keeper.hear(events, mono_ns)
        except FrameRefused as refusal:
            self.process.count(f"refused.{refusal.reason}")
            times = self.burst.note(refusal.reason, mono_ns)
            if times is not None:
                self.process.log.warning("frame_refused", reason=refusal.reason, detail=refusal.detail, times=times)
            return
        for event in events:
            for token in _tokens_of(event):
                self.silence.heard(token, mono_ns)
                self.book_age.touch()
        for token in heard.changed:
            if self.keeper.best(token) != before.get(token):
                self._publish(token, recv_ns)
            else:
                self.dirty.add(token)
        for token, reason in heard.resync.items():
            self.process.count("resyncs")
            self.process.log.warning("book_resync", token=token[:12], why=reason)
            self.process.spawn(self._ask_again(token), name=f"resync {token[:12]}")

    async def _ask_again(self, token: str) -> None:
        """Subscribing anew is the only way to a new snapshot of one token."""
        await self.link.send(clob_market.later_subscription("unsubscribe", [token]))
        await self.link.send(clob_market.later_subscription("subscribe", [token]))

    async def flush(self) -> None:
        """Publish what changed below the best prices, and freshness, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            for token in list(self.dirty):
                self._publish(token, self.process.clock.wall_ns())

    def _publish(self, token: str, recv_ns: int) -> None:
        self.dirty.discard(token)
        if token not in self.keeper.tokens():
            return
        state = self.keeper.state(token)
        self.process.count("books")
        self.process.publisher.publish(
            f"book.{token}", state, ts_event_ns=state.venue_ns, ts_recv_ns=recv_ns, keep=True
        )

    # what others see and ask

    def _show_state(self) -> None:
        troubles = [text for text in (self.discovery_trouble, "" if self.link_up else self.link_text) if text]
        self.process.set_state("degraded" if troubles else "ready", "; ".join(troubles) or self.link_text)

    def follow(self, command: Command, _request: Request) -> Answer:
        """Somebody needs the outcomes of these windows."""
        assert isinstance(command, FollowWindows)
        for name in command.windows:
            if slug_parts(name) is None:
                raise CallRefused("not-a-window", f"{name[:80]} is no window name")
            known = self.markets.get(name)
            if known is not None and known.outcome is not None:
                self.process.publisher.publish(f"market.{name}", known, keep=True)
            else:
                self.asked_for.add(name)
        return Accepted(text=f"following {len(command.windows)} windows")


def _tokens_of(event: clob_market.MarketEvent) -> list[str]:
    match event:
        case clob_market.PriceChanges():
            return [change.token for change in event.changes]
        case clob_market.BookSnapshot() | clob_market.LastTrade() | clob_market.BestBidAsk():
            return [event.token]
        case _:
            return []


def _instant(seconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _padded(condition: str) -> str:
    """The CLOB knows V2 ids only in their 32-byte form; Gamma gives 31 bytes."""
    return condition.ljust(66, "0")


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
