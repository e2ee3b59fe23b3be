"""The L2 books of all followed tokens, kept from market-channel events; says which tokens must be asked anew.

Owns when a book is verified: a snapshot at once; changes four times a second for each token and whenever
somebody asks. A match counts at once, a mismatch only when the changes of its stamp are all in. Owns no
connection.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from common.core.book_proof import LastTrades, Proof, last_trade_text
from common.core.order_book import OrderBook
from common.feeds.market.kept_book import Best, KeptBook, likely_trades, new_book, wire_book
from common.feeds.market.market_events import (
    BestBidAsk,
    BookSnapshot,
    LastTrade,
    LevelChange,
    MarketEvent,
    PriceChanges,
    TickSizeChange,
)
from common.messages import BookProof, BookState, MarketState, Outcome
from common.units import MILLISECOND, SECOND

SAMPLE_NS = 250 * MILLISECOND
"""A changing book is verified this often, and no oftener: at an opening hundreds of frames come a second."""
UNFINISHED_NS = 150 * MILLISECOND
"""The changes of one stamp may come in several frames; when none came for this long, all have."""
OVERDUE_NS = 5 * SECOND
"""A book that nothing made us verify for this long is verified as it stands."""

Witness = Literal["agreed", "differs", "undecided", "placeholder", "unproven"]
"""What another service's copy of a book says of ours."""


@dataclass(slots=True)
class Heard:
    """What something meant: tokens whose book changed, and tokens to ask for again, with the reason."""

    changed: set[str] = field(default_factory=set)
    resync: dict[str, str] = field(default_factory=dict)
    alive: dict[str, int] = field(default_factory=dict)
    """Tokens of which data came, whatever it said, and the monotonic instant at which it was true."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The answer to a question for proof, and whether it may still change within ``UNFINISHED_NS``."""

    proof: BookProof
    unfinished: bool = False
    heard: Heard = field(default_factory=Heard)


class BookKeeper:
    """Books by token; a token that is not followed is ignored. ``count`` is told what happened, by name."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._held: dict[str, KeptBook] = {}
        self._of_window: dict[str, list[KeptBook]] = {}
        self._count = count

    def follow(self, market: MarketState, outcome: Outcome, mono_ns: int) -> bool:
        """Keep the book of this market's token for ``outcome``; True when it is new."""
        others = self._of_window.get(market.window, [])
        held = new_book(market, outcome, others[0].trades if others else LastTrades(), mono_ns)
        if self._held.setdefault(held.token, held) is not held:
            return False
        self._of_window[held.window] = [*others, held]
        return True

    def drop(self, token: str) -> None:
        """Forget a token."""
        held = self._held.pop(token, None)
        if held is not None:
            left = [other for other in self._of_window.pop(held.window) if other is not held]
            if left:
                self._of_window[held.window] = left

    def tokens(self) -> list[str]:
        """Every followed token."""
        return list(self._held)

    def incomplete(self) -> list[str]:
        """Tokens whose snapshot is awaited."""
        return [token for token, held in self._held.items() if not held.complete]

    def unchanged(self, mono_ns: int, for_ns: int) -> list[str]:
        """Tokens whose book has not become another one for longer than this, whatever came of them."""
        return [
            token
            for token, held in self._held.items()
            if (held.complete or held.refuted is not None) and mono_ns - held.news_mono_ns > for_ns
        ]

    def lost_connection(self) -> set[str]:
        """Changes may be missing from now on: every book waits for a new snapshot. Returns what changed."""
        changed = {token for token, held in self._held.items() if held.complete}
        for held in self._held.values():
            held.complete, held.missed_ns = False, 0
        return changed

    def hear(self, events: Iterable[MarketEvent], mono_ns: int, recv_ns: int | None = None) -> Heard:
        """Apply the events of one frame in order.

        ``recv_ns`` is our wall clock at receipt: data is as old as its own stamp, so that a burst from the
        past and a clock that stands still are no signs of life. None (a recording without it) trusts stamps.
        """
        heard = Heard()
        for event in events:
            match event:
                case PriceChanges():
                    self._changes(event, mono_ns, recv_ns, heard)
                case BookSnapshot():
                    self._snapshot(event, mono_ns, recv_ns, heard)
                case TickSizeChange():
                    self._regrid(event, mono_ns, heard)
                case LastTrade():
                    self._trade(event, mono_ns, recv_ns, heard)
                case BestBidAsk():
                    self._alive(event.token, _true_at(event.at_ns, mono_ns, recv_ns), heard)
                case _:
                    pass
        return heard

    def settle(self, mono_ns: int) -> Heard:
        """Verify what no newer stamp made us verify; call this several times a second."""
        heard = Heard()
        for held in self._held.values():
            since_ns = mono_ns - held.verified_mono_ns
            finished = mono_ns - held.changed_mono_ns >= UNFINISHED_NS and since_ns >= SAMPLE_NS
            if held.complete and not held.proven and (finished or since_ns >= OVERDUE_NS):
                self._conclude(held, held.attempt(), mono_ns, heard)
        return heard

    def prove(self, token: str, mono_ns: int, awaited_ns: int = 0) -> Asked:
        """Verify one book as it is now.

        An unfinished answer may be asked for again, with its stamp as ``awaited_ns``, once more data of the
        token came or ``UNFINISHED_NS`` passed.
        """
        held = self._held.get(token)
        if held is None:
            return Asked(_proof(token, "nobody follows the book of this token", 0))
        heard = Heard()
        if held.complete and 0 < awaited_ns <= held.proven_ns:
            return Asked(_proof(token, "", held.proven_ns))
        if held.status == "live" and not held.proven:
            attempt = held.attempt()
            if not attempt.proven and mono_ns - held.changed_mono_ns < UNFINISHED_NS:
                held.awaited_ns = held.venue_ns
                return Asked(_proof(token, "more changes of its stamp may come", held.venue_ns), True)
            self._conclude(held, attempt, mono_ns, heard)
        if held.status != "live":
            text = f"the book is {held.status}; {held.doubt or 'no complete book has come yet'}"
            return Asked(_proof(token, text, held.venue_ns), heard=heard)
        return Asked(_proof(token, "", held.proven_ns), heard=heard)

    def compare(self, copy: BookSnapshot) -> Witness:
        """Hold a REST book against ours: it must prove itself, and be no older than ours, to say anything.

        Ours is as old as its last change: a relay may send an old book again and again under new stamps. Two
        books of one stamp that are both proven contradict each other too.
        """
        held = self._held.get(copy.token)
        if held is None or not (held.complete or held.refuted is not None):
            return "undecided"
        book = OrderBook()
        book.replace(copy.bids, copy.asks)
        if book.placeholder:
            return "placeholder"
        wire = wire_book(copy, held.wire.terms)
        if not wire.proof(likely_trades(copy, held.trades)).proven:
            return "unproven"
        if not held.complete:
            return "agreed" if wire.levels == held.refuted else "undecided"
        if copy.at_ns < held.news_ns:
            return "undecided"
        if wire.levels == held.wire.levels:
            return "agreed"
        return "differs" if copy.at_ns > held.news_ns or held.proven else "undecided"

    def confirm(self, token: str, mono_ns: int) -> None:
        """A copy agreed."""
        held = self._held.get(token)
        if held is not None:
            held.confirmed(mono_ns)

    def overrule(self, copy: BookSnapshot) -> Heard:
        """Doubt a book from which a copy differed, unless ours has caught up with it since."""
        heard = Heard()
        held = self._held.get(copy.token)
        if held is not None and held.complete and self.compare(copy) == "differs":
            held.contradicted(f"the venue shows another book of {copy.stamp} elsewhere")
            heard.changed.add(held.token)
            heard.resync[held.token] = held.doubt
        return heard

    def state(self, token: str) -> BookState | None:
        """The book as it is published; None when the token is not followed."""
        held = self._held.get(token)
        return held.published() if held is not None else None

    def doubt(self, token: str) -> str:
        """Why this token's book is not trusted; empty while nothing speaks against it."""
        held = self._held.get(token)
        return held.doubt if held is not None else ""

    def best(self, token: str) -> Best | None:
        """Status and best levels; None when the token is not followed."""
        held = self._held.get(token)
        return held.best if held is not None else None

    def _alive(self, token: str, true_mono_ns: int, heard: Heard) -> KeptBook | None:
        held = self._held.get(token)
        if held is not None:
            held.data_mono_ns = max(held.data_mono_ns, true_mono_ns)
            heard.alive[token] = true_mono_ns
        return held

    def _snapshot(self, event: BookSnapshot, mono_ns: int, recv_ns: int | None, heard: Heard) -> None:
        known = self._held.get(event.token)
        # What answers our own question is as young as the answer; its stamp is that of the last change.
        awaited = known is not None and not known.complete
        true_ns = mono_ns if awaited else _true_at(event.at_ns, mono_ns, recv_ns)
        held = self._alive(event.token, true_ns, heard)
        if held is None:
            return
        if event.at_ns < (held.venue_ns if held.complete else held.missed_ns):
            self._count("snapshots.late")
            if not held.complete:
                # It lacks changes that went by. Said once only: one odd stamp must not block the token.
                held.missed_ns = 0
                self._doubt(held, f"the snapshot of {event.stamp} is older than changes before it", heard)
            return
        proof = held.adopt(event, mono_ns)
        self._counted(proof)
        heard.changed.add(event.token)
        if held.complete:
            heard.resync.pop(event.token, None)
        else:
            heard.resync[event.token] = held.doubt

    def _changes(self, event: PriceChanges, mono_ns: int, recv_ns: int | None, heard: Heard) -> None:
        true_ns = _true_at(event.at_ns, mono_ns, recv_ns)
        for window in {self._held[one.token].window for one in event.changes if one.token in self._held}:
            self._moved_on(window, event.at_ns, mono_ns, heard)
        last: dict[str, tuple[KeptBook, LevelChange]] = {}
        for change in event.changes:
            held = self._alive(change.token, true_ns, heard)
            if held is None:
                continue
            if not held.complete:
                held.missed_ns = max(held.missed_ns, event.at_ns)
                continue
            heard.changed.add(change.token)
            if held.change(change, event.at_ns, event.stamp, mono_ns):
                last[change.token] = held, change
        # The stated best prices are those after the whole frame.
        for held, change in last.values():
            book = held.book
            if not _agrees(book, change):
                stated = f"{change.best_bid4}/{change.best_ask4}"
                why = f"rebuilt best {book.best_bid}/{book.best_ask}, venue says {stated}"
                self._doubt(held, why, heard)
            else:
                self._try(held, mono_ns, heard)

    def _trade(self, event: LastTrade, mono_ns: int, recv_ns: int | None, heard: Heard) -> None:
        held = self._alive(event.token, _true_at(event.at_ns, mono_ns, recv_ns), heard)
        if held is None:
            return
        self._moved_on(held.window, event.at_ns, mono_ns, heard)
        held.trades.learn(last_trade_text(event.price4))
        held.last_trade4 = event.price4
        for one in self._of_window[held.window]:
            self._try(one, mono_ns, heard)

    def _regrid(self, event: TickSizeChange, mono_ns: int, heard: Heard) -> None:
        held = self._alive(event.token, mono_ns, heard)
        if held is None:
            return
        held.regrid(event.new_tick4)
        self._doubt(held, f"the price grid changed to {event.new_tick4}", heard)

    def _moved_on(self, window: str, at_ns: int, mono_ns: int, heard: Heard) -> None:
        """All changes of older stamps are in: verify what they made, before anything newer is applied."""
        for held in self._of_window[window]:
            if held.proven or not held.complete or at_ns <= held.venue_ns:
                continue
            if held.awaited_ns == held.venue_ns or mono_ns - held.verified_mono_ns >= SAMPLE_NS:
                self._conclude(held, held.attempt(), mono_ns, heard)

    def _try(self, held: KeptBook, mono_ns: int, heard: Heard) -> None:
        """Verify a book whose turn it is: a match is a proof, a mismatch nothing while more may come."""
        if held.complete and not held.proven and mono_ns - held.verified_mono_ns >= SAMPLE_NS:
            proof = held.attempt(search=False)
            if proof.proven:
                self._conclude(held, proof, mono_ns, heard)

    def _conclude(self, held: KeptBook, proof: Proof, mono_ns: int, heard: Heard) -> None:
        held.conclude(proof, mono_ns)
        self._counted(proof)
        heard.changed.add(held.token)
        if held.doubt:
            heard.resync[held.token] = held.doubt

    def _doubt(self, held: KeptBook, why: str, heard: Heard) -> None:
        held.doubted(why)
        heard.changed.add(held.token)
        heard.resync[held.token] = why

    def _counted(self, proof: Proof) -> None:
        self._count("proofs.ok" if proof.proven else "proofs.failed")
        if proof.searched:
            self._count("proofs.searched")


def _true_at(stamp_ns: int, mono_ns: int, recv_ns: int | None) -> int:
    """The monotonic instant of a venue stamp; clocks differ a little, and nothing is from the future."""
    return mono_ns - max(0, recv_ns - stamp_ns) if recv_ns is not None else mono_ns


def _agrees(book: OrderBook, change: LevelChange) -> bool:
    if change.best_bid4 is None and change.best_ask4 is None:
        return True  # the venue did not say
    return book.best_bid == change.best_bid4 and book.best_ask == change.best_ask4


def _proof(token: str, text: str, venue_ns: int) -> BookProof:
    return BookProof(token=token, proven=not text, venue_ns=venue_ns, text=text)
