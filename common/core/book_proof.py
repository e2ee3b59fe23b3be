"""One token's book in the wire's own text, and whether the venue's hash proves it.

Pure. Owns the search for the last trade price, which the hash covers and not every frame tells. Never decides
when to verify and never judges prices.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from common.core.book_hash import begin_hash, level_text
from common.core.order_book import Side

Levels = dict[Side, dict[int, str]]
"""By price (1e-4 $), each level as it is hashed."""

BEFORE_ANY_TRADE = ""
GRID = tuple(f"0.{thousandths:03d}" for thousandths in range(1, 1000))
"""Every last trade price there can be: the venue writes three decimals."""
KEPT_TRADES = 8


@dataclass(frozen=True, slots=True)
class Terms:
    """What the hash covers of the market beside its book, as the venue writes it."""

    market: str
    token: str
    min_order_size: str
    tick_size: str
    neg_risk: bool = False
    version: str | None = None
    """Only of markets whose books carry it (v2)."""


class Claim(NamedTuple):
    """The venue's word on a book: its hash at a stamp (milliseconds, the wire's own text)."""

    stamp: str
    hash: str


NO_CLAIM = Claim("", "")


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether the hash matched, and with which last trade price."""

    proven: bool
    last_trade: str
    """The one that matched; of a mismatch the likeliest."""
    searched: bool
    """No known price matched, so that all there are were tried."""
    found: str
    """Our hash with ``last_trade``."""


class LastTrades:
    """The last trade prices one market had, newest first; both of its tokens share them.

    A trade's own frame may come before or after the book that counts it, so older ones are kept.
    """

    def __init__(self) -> None:
        self._known: list[str] = []

    def learn(self, last_trade: str) -> None:
        """This is the newest one (three decimals, or empty)."""
        known = [last_trade, *(price for price in self._known if price != last_trade)]
        self._known = known[:KEPT_TRADES]

    def known(self) -> Sequence[str]:
        """What to try first, the likeliest ahead."""
        return self._known or (BEFORE_ANY_TRADE,)


@dataclass(slots=True)
class WireBook:
    """The resting orders of one token as text, with the claim they should bear out."""

    terms: Terms
    claim: Claim = NO_CLAIM
    levels: Levels = field(default_factory=lambda: {"bid": {}, "ask": {}})

    def change(self, side: Side, price4: int, size6: int, price: str, size: str) -> bool:
        """Set one level's text; size 0 removes it. Says whether the book is another one now."""
        levels = self.levels[side]
        before, after = levels.get(price4), level_text(price, size) if size6 else None
        if after is None:
            levels.pop(price4, None)
        else:
            levels[price4] = after
        return before != after

    def proof(self, last_trades: Sequence[str], *, search: bool = True) -> Proof:
        """Hash the book and compare, trying ``last_trades`` first and then every price there can be.

        The last trade price stands behind the levels in what is hashed: a match proves the whole book,
        whichever price it took. Without ``search`` a mismatch means little: the last trade may be a new one.
        """
        terms = self.terms
        bids, asks = self.levels["bid"], self.levels["ask"]
        begun = begin_hash(
            terms.market,
            terms.token,
            self.claim.stamp,
            [bids[price4] for price4 in sorted(bids)],
            [asks[price4] for price4 in sorted(asks, reverse=True)],
            terms.min_order_size,
            terms.tick_size,
            terms.neg_risk,
        )
        for last_trade in last_trades:
            if begun.with_last_trade(last_trade, terms.version) == self.claim.hash:
                return Proof(True, last_trade, False, self.claim.hash)
        for last_trade in (BEFORE_ANY_TRADE, *GRID) if search else ():
            if begun.with_last_trade(last_trade, terms.version) == self.claim.hash:
                return Proof(True, last_trade, True, self.claim.hash)
        likeliest = next(iter(last_trades), BEFORE_ANY_TRADE)
        return Proof(False, likeliest, search, begun.with_last_trade(likeliest, terms.version))


def level_texts(levels: Iterable[tuple[int, int]], wire: Iterable[tuple[str, str]]) -> dict[int, str]:
    """The texts of one side by price, from its numbers and the wire's text in the same order."""
    return {
        price4: level_text(price, size)
        for (price4, size6), (price, size) in zip(levels, wire, strict=True)
        if size6
    }


def last_trade_text(price4: int) -> str:
    """How books write a traded price: three decimals, cut."""
    return f"{price4 // 10_000}.{price4 % 10_000 // 10:03d}"
