"""The L2 books of all followed tokens, kept from market-channel events; says which tokens must be asked anew.

A book that contradicts the venue's own best prices, or whose grid changed, is not shown as live until a
complete new one came. Owns no connection.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from common.core.order_book import OrderBook
from common.feeds.clob_market import (
    BestBidAsk,
    BookSnapshot,
    LastTrade,
    LevelChange,
    MarketEvent,
    PriceChanges,
    TickSizeChange,
)
from common.messages import BookState, BookStatus, Outcome

PUBLISHED_DEPTH = 25
"""Levels a side that are published: far beyond what a stake of this size can reach."""


@dataclass(slots=True)
class KeptBook:
    """One token's book and what is known about it."""

    window: str
    outcome: Outcome
    tick4: int
    book: OrderBook = field(default_factory=OrderBook)
    complete: bool = False
    """A snapshot came and no contradiction or lost connection since."""
    contradicted: bool = False
    venue_ns: int = 0
    data_mono_ns: int = 0
    last_trade4: int | None = None

    @property
    def status(self) -> BookStatus:
        """``live`` is the only one to trade on."""
        if not self.complete:
            return "resync" if self.contradicted else "waiting"
        # 0.01 against 0.99 and nothing else is how a stuck book looks; it prices nothing.
        return "waiting" if self.book.placeholder or self.book.crossed else "live"


@dataclass(slots=True)
class Heard:
    """What one frame meant: tokens whose book changed, and tokens to ask for again, with the reason."""

    changed: set[str] = field(default_factory=set)
    resync: dict[str, str] = field(default_factory=dict)


class BookKeeper:
    """Books by token; a token that is not followed is ignored."""

    def __init__(self) -> None:
        self._held: dict[str, KeptBook] = {}

    def follow(self, token: str, window: str, outcome: Outcome, tick4: int, mono_ns: int) -> bool:
        """Keep this token's book; True when it is new."""
        if token in self._held:
            return False
        self._held[token] = KeptBook(window, outcome, tick4, data_mono_ns=mono_ns)
        return True

    def drop(self, token: str) -> None:
        """Forget a token."""
        self._held.pop(token, None)

    def tokens(self) -> list[str]:
        """Every followed token."""
        return list(self._held)

    def incomplete(self) -> list[str]:
        """Tokens whose snapshot is awaited."""
        return [token for token, held in self._held.items() if not held.complete]

    def lost_connection(self) -> set[str]:
        """Changes may be missing from now on: every book waits for a new snapshot. Returns what changed."""
        changed = {token for token, held in self._held.items() if held.complete}
        for token in changed:
            self._held[token].complete = False
        return changed

    def hear(self, events: Iterable[MarketEvent], mono_ns: int) -> Heard:
        """Apply the events of one frame in order."""
        heard = Heard()
        for event in events:
            match event:
                case BookSnapshot():
                    self._snapshot(event, mono_ns, heard)
                case PriceChanges():
                    self._changes(event, mono_ns, heard)
                case TickSizeChange():
                    self._regrid(event, mono_ns, heard)
                case LastTrade():
                    held = self._alive(event.token, mono_ns)
                    if held is not None:
                        held.last_trade4 = event.price4
                case BestBidAsk():
                    self._alive(event.token, mono_ns)
                case _:
                    pass
        return heard

    def state(self, token: str) -> BookState | None:
        """The book as it is published; None when the token is not followed."""
        held = self._held.get(token)
        if held is None:
            return None
        bids, asks = held.book.levels(PUBLISHED_DEPTH)
        return BookState(
            token=token,
            window=held.window,
            outcome=held.outcome,
            status=held.status,
            bids=bids,
            asks=asks,
            tick4=held.tick4,
            venue_ns=held.venue_ns,
            data_mono_ns=held.data_mono_ns,
            last_trade4=held.last_trade4,
        )

    def best(self, token: str) -> tuple[BookStatus, int | None, int | None] | None:
        """Status and best prices: what decides whether a change is news at once."""
        held = self._held.get(token)
        if held is None:
            return None
        return held.status, held.book.best_bid, held.book.best_ask

    def _alive(self, token: str, mono_ns: int) -> KeptBook | None:
        held = self._held.get(token)
        if held is not None:
            held.data_mono_ns = mono_ns
        return held

    def _snapshot(self, event: BookSnapshot, mono_ns: int, heard: Heard) -> None:
        held = self._alive(event.token, mono_ns)
        if held is None:
            return
        held.book.replace(event.bids, event.asks)
        held.venue_ns = event.at_ns
        held.tick4 = event.tick4 or held.tick4
        held.last_trade4 = event.last_trade4 if event.last_trade4 is not None else held.last_trade4
        held.complete, held.contradicted = True, False
        heard.changed.add(event.token)
        heard.resync.pop(event.token, None)

    def _changes(self, event: PriceChanges, mono_ns: int, heard: Heard) -> None:
        last: dict[str, LevelChange] = {}
        for change in event.changes:
            held = self._alive(change.token, mono_ns)
            if held is None or not held.complete:
                continue
            held.book.change(change.side, change.price4, change.size6)
            held.venue_ns = max(held.venue_ns, event.at_ns)
            last[change.token] = change
            heard.changed.add(change.token)
        # The stated best prices are those after the whole frame.
        for token, change in last.items():
            held = self._held[token]
            if not _agrees(held.book, change):
                held.complete, held.contradicted = False, True
                heard.resync[token] = (
                    f"rebuilt best {held.book.best_bid}/{held.book.best_ask}, "
                    f"venue says {change.best_bid4}/{change.best_ask4}"
                )

    def _regrid(self, event: TickSizeChange, mono_ns: int, heard: Heard) -> None:
        held = self._alive(event.token, mono_ns)
        if held is None:
            return
        held.tick4 = event.new_tick4
        held.book.replace((), ())
        held.complete, held.contradicted = False, True
        heard.changed.add(event.token)
        heard.resync[event.token] = f"the price grid changed to {event.new_tick4}"


def _agrees(book: OrderBook, change: LevelChange) -> bool:
    if change.best_bid4 is None and change.best_ask4 is None:
        return True  # the venue did not say
    return book.best_bid == change.best_bid4 and book.best_ask == change.best_ask4
