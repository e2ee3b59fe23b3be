"""One token's book as market-channel events leave it: numbers, the wire's text, and how far it is trusted.

It is trusted from a snapshot that bears out its own hash until something speaks against it. Knows no other
token and no clock; when to verify is its keeper's business.
"""

from dataclasses import dataclass, field, replace

from common.core.book_proof import Claim, LastTrades, Levels, Proof, Terms, WireBook, level_texts
from common.core.order_book import Level, OrderBook
from common.feeds.market.market_events import BookSnapshot, LevelChange
from common.messages import BookState, BookStatus, MarketState, Outcome
from common.units import price4_exact, price4_text, size6_text

PUBLISHED_DEPTH = 25
"""Levels a side that are published: far beyond what a stake of this size can reach."""
NEVER_NS = -(10**18)

Best = tuple[BookStatus, Level | None, Level | None]
"""What decides whether a change is news at once: whether the book can be traded on, and its best levels."""


@dataclass(slots=True)
class KeptBook:
    """One token's book and what is known about it."""

    window: str
    outcome: Outcome
    tick4: int
    wire: WireBook
    trades: LastTrades
    """Shared with the other token of the window."""
    book: OrderBook = field(default_factory=OrderBook)
    complete: bool = False
    """A proven snapshot came, and no contradiction or lost connection since."""
    doubt: str = ""
    """Why it is not trusted; empty while nothing speaks against it."""
    proven: bool = False
    """The book as it is now bore out the venue's hash."""
    awaited_ns: int = 0
    """The stamp somebody asked about while its changes may still have been coming."""
    venue_ns: int = 0
    proven_ns: int = 0
    missed_ns: int = 0
    """The newest stamp whose changes found no complete book."""
    refuted: Levels | None = None
    """What the venue's other service contradicted: a snapshot that repeats it cures nothing."""
    verified_mono_ns: int = NEVER_NS
    changed_mono_ns: int = NEVER_NS
    news_mono_ns: int = 0
    """When the levels last became others, or were confirmed."""
    news_ns: int = 0
    """The venue's stamp of the last change that made the levels others."""
    data_mono_ns: int = 0
    last_trade4: int | None = None

    @property
    def token(self) -> str:
        """Whose book it is."""
        return self.wire.terms.token

    @property
    def status(self) -> BookStatus:
        """``live`` is the only one to trade on."""
        if not self.complete:
            return "resync" if self.doubt else "waiting"
        # 0.01 against 0.99 and nothing else is how a stuck book looks; it prices nothing.
        return "waiting" if self.book.placeholder or self.book.crossed else "live"

    @property
    def best(self) -> Best:
        """Status and best levels."""
        return self.status, *self.book.best

    def published(self) -> BookState:
        """The book for everybody."""
        bids, asks = self.book.levels(PUBLISHED_DEPTH)
        return BookState(
            token=self.token,
            window=self.window,
            outcome=self.outcome,
            status=self.status,
            bids=bids,
            asks=asks,
            tick4=self.tick4,
            venue_ns=self.venue_ns,
            data_mono_ns=self.data_mono_ns,
            last_trade4=self.last_trade4,
            proven_ns=self.proven_ns,
        )

    def doubted(self, why: str) -> None:
        """Trust ends until a snapshot proves itself."""
        self.complete, self.doubt = False, why

    def adopt(self, snapshot: BookSnapshot, mono_ns: int) -> Proof:
        """Become this book if it bears out its own hash and is not refuted; else doubt what is held."""
        wire = wire_book(snapshot, self.wire.terms)
        proof = wire.proof(likely_trades(snapshot, self.trades))
        self.verified_mono_ns = mono_ns
        if not proof.proven:
            self.doubted(f"the snapshot {_mismatch(wire.claim, proof)}")
            return proof
        if wire.levels == self.refuted:
            self.doubted(f"the snapshot of {wire.claim.stamp} repeats a book that the venue contradicted")
            return proof
        if wire.levels != self.wire.levels:
            self.news_mono_ns, self.news_ns = mono_ns, snapshot.at_ns
        self.book.replace(snapshot.bids, snapshot.asks)
        self.wire, self.tick4 = wire, snapshot.tick4 or self.tick4
        self._learn(proof)
        self.venue_ns = self.proven_ns = snapshot.at_ns
        self.complete, self.proven, self.doubt, self.missed_ns = True, True, "", 0
        self.refuted = None
        return proof

    def change(self, change: LevelChange, at_ns: int, stamp: str, mono_ns: int) -> bool:
        """Apply one level's new size; False when newer changes are in already.

        What comes late is covered by the newest hash, so that one stays the claim.
        """
        side, price4, size6 = change.side, change.price4, change.size6
        self.book.change(side, price4, size6)
        self.proven, self.changed_mono_ns = False, mono_ns
        if self.wire.change(side, price4, size6, change.wire_price, change.wire_size):
            self.news_mono_ns, self.news_ns = mono_ns, max(self.news_ns, at_ns)
        if at_ns < self.venue_ns:
            return False
        self.venue_ns, self.wire.claim = at_ns, Claim(stamp, change.hash)
        return True

    def attempt(self, *, search: bool = True) -> Proof:
        """Hold the book as it is against the newest hash; nothing follows from it yet."""
        return self.wire.proof(self.trades.known(), search=search)

    def conclude(self, proof: Proof, mono_ns: int) -> None:
        """Believe an attempt: all changes of its stamp had come."""
        self.verified_mono_ns = mono_ns
        if not proof.proven:
            self.doubted(f"the rebuilt book {_mismatch(self.wire.claim, proof)}")
            return
        self.proven, self.proven_ns = True, self.venue_ns
        if proof.searched:
            self._learn(proof)

    def confirmed(self, mono_ns: int) -> None:
        """The venue shows the same levels elsewhere: they are as young as that answer."""
        self.data_mono_ns = self.news_mono_ns = mono_ns
        self.refuted = None

    def contradicted(self, why: str) -> None:
        """The venue shows other levels elsewhere."""
        self.refuted = self.wire.levels
        self.doubted(why)

    def regrid(self, tick4: int) -> None:
        """Drop the book: it was on another price grid."""
        self.tick4 = tick4
        self.wire = WireBook(replace(self.wire.terms, tick_size=price4_text(tick4)))
        self.book.replace((), ())

    def _learn(self, proof: Proof) -> None:
        self.trades.learn(proof.last_trade)
        self.last_trade4 = price4_exact(proof.last_trade) if proof.last_trade else None


def new_book(market: MarketState, outcome: Outcome, trades: LastTrades, mono_ns: int) -> KeptBook:
    """A token's book before its first snapshot."""
    terms = Terms(
        market=market.condition_id,
        token=market.token_up if outcome == "up" else market.token_down,
        min_order_size=size6_text(market.min_size6),
        tick_size=price4_text(market.tick4),
        version=_hashed_version(market.version),
    )
    wire = WireBook(terms)
    return KeptBook(market.window, outcome, market.tick4, wire, trades, data_mono_ns=mono_ns)


def wire_book(snapshot: BookSnapshot, known: Terms) -> WireBook:
    """The text of a complete book; what its frame leaves out is as it was known."""
    terms = Terms(
        market=snapshot.market,
        token=snapshot.token,
        min_order_size=snapshot.min_order_size or known.min_order_size,
        tick_size=snapshot.wire_tick or known.tick_size,
        neg_risk=snapshot.neg_risk,
        version=_hashed_version(snapshot.version) or known.version,
    )
    bids = level_texts(snapshot.bids, snapshot.wire_bids)
    asks = level_texts(snapshot.asks, snapshot.wire_asks)
    return WireBook(terms, Claim(snapshot.stamp, snapshot.hash), {"bid": bids, "ask": asks})


def likely_trades(snapshot: BookSnapshot, trades: LastTrades) -> tuple[str, ...]:
    """The last trade prices to try on a complete book: its own first."""
    stated = () if snapshot.wire_last_trade is None else (snapshot.wire_last_trade,)
    return (*stated, *trades.known())


def _hashed_version(version: str) -> str | None:
    return None if version == "v1" else version


def _mismatch(claim: Claim, proof: Proof) -> str:
    return f"of {claim.stamp} hashes to {proof.found}, the venue says {claim.hash or 'nothing'}"
