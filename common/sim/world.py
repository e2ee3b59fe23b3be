"""The state of the simulated venue: markets, books and outcomes.

Scripted events go in, a description of what changed comes out. Owns no socket, no clock and no wire format.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from common.sim.script import (
    BookSet,
    Level,
    Listed,
    MarketSpec,
    Observed,
    Resolved,
    ScriptEvent,
    StrikePublished,
    TickSizeChanged,
    Traded,
)

log = logging.getLogger(__name__)

_MARKETS_KEPT = 5_000
_FIRST_MARKET_ID = 2_100_000
_FIRST_EVENT_ID = 430_000


@dataclass(frozen=True, slots=True)
class Book:
    """One token's book, best level last on both sides, stamped with its last change."""

    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()
    stamp_ms: int = 0

    @property
    def best_bid(self) -> str | None:
        return self.bids[-1][0] if self.bids else None

    @property
    def best_ask(self) -> str | None:
        return self.asks[-1][0] if self.asks else None


@dataclass(slots=True, eq=False)
class Market:
    """One window as the venue knows it now."""

    spec: MarketSpec
    number: int
    tick_size: str
    updated_ns: int
    books: dict[str, Book]
    last_trade_price: str = ""
    """Three decimals, of whichever token traded last; both books carry it."""
    strike_e18: int | None = None
    final_e18: int | None = None
    outcome: str | None = None
    resolved_ns: int | None = None

    @property
    def market_id(self) -> str:
        return str(_FIRST_MARKET_ID + self.number)

    @property
    def event_id(self) -> str:
        return str(_FIRST_EVENT_ID + self.number)

    @property
    def tokens(self) -> tuple[str, str]:
        return self.spec.token_up, self.spec.token_down


@dataclass(frozen=True, slots=True)
class Ticked:
    """An observation set out to the clients at ``emitted_ms``."""

    observed: Observed
    emitted_ms: int


@dataclass(slots=True)
class MarketChange:
    """Everything that happened to one market within one millisecond."""

    market: Market
    stamp_ms: int
    listed: bool = False
    trades: list[Traded] = field(default_factory=list)
    old_tick_size: str | None = None
    old_books: dict[str, Book] = field(default_factory=dict)
    """The books before this millisecond, of the tokens whose books were set in it."""
    resolved: bool = False


Change = Ticked | MarketChange


class World:
    """What a visitor of the venue could learn now."""

    def __init__(self) -> None:
        self.markets: dict[str, Market] = {}
        self.by_condition: dict[str, Market] = {}
        self.by_token: dict[str, Market] = {}
        self._listed = 0

    def apply(self, events: Iterable[ScriptEvent], at_ns: int) -> list[Change]:
        """Let events of one millisecond happen; the changes of each market are merged into one."""
        stamp_ms = at_ns // 1_000_000
        ticks: list[Change] = []
        touched: dict[str, MarketChange] = {}
        for event in events:
            if isinstance(event, Observed):
                ticks.append(Ticked(event, stamp_ms))
                continue
            if isinstance(event, Listed):
                self._list(event.market, at_ns)
            market = self._market_of(event)
            if market is None:
                log.warning("scripted event for an unknown market is dropped: %s", event)
                continue
            change = touched.setdefault(market.spec.slug, MarketChange(market, stamp_ms))
            market.updated_ns = at_ns
            _happen(event, market, change, at_ns)
        return [*ticks, *touched.values()]

    def live_markets(self) -> Iterator[Market]:
        """Markets without an outcome, in the order of their listing."""
        return (market for market in self.markets.values() if market.outcome is None)

    def _list(self, spec: MarketSpec, at_ns: int) -> None:
        if spec.slug in self.markets:
            return
        self._listed += 1
        stamp_ms = at_ns // 1_000_000
        books = {token: Book(stamp_ms=stamp_ms) for token in (spec.token_up, spec.token_down)}
        market = Market(spec, self._listed, spec.tick_size, at_ns, books)
        self.markets[spec.slug] = market
        self.by_condition[spec.condition_id] = market
        for token in market.tokens:
            self.by_token[token] = market
        if len(self.markets) > _MARKETS_KEPT:
            self._forget(next(iter(self.markets.values())))

    def _forget(self, market: Market) -> None:
        del self.markets[market.spec.slug]
        self.by_condition.pop(market.spec.condition_id, None)
        for token in market.tokens:
            self.by_token.pop(token, None)

    def _market_of(self, event: ScriptEvent) -> Market | None:
        match event:
            case Listed(market):
                return self.markets.get(market.slug)
            case BookSet(token=token) | Traded(token=token):
                return self.by_token.get(token)
            case TickSizeChanged(slug=slug) | StrikePublished(slug=slug) | Resolved(slug=slug):
                return self.markets.get(slug)
        return None


def _happen(event: ScriptEvent, market: Market, change: MarketChange, at_ns: int) -> None:
    stamp_ms = at_ns // 1_000_000
    match event:
        case Listed():
            change.listed = True
        case BookSet(token, bids, asks):
            old = market.books[token]
            if (bids, asks) != (old.bids, old.asks):
                change.old_books.setdefault(token, old)
                market.books[token] = Book(bids, asks, stamp_ms)
        case Traded():
            change.trades.append(event)
            market.last_trade_price = three_decimals(event.price)
            _restamp(market, stamp_ms)
        case TickSizeChanged(new_tick_size=new):
            if new != market.tick_size:
                change.old_tick_size = change.old_tick_size or market.tick_size
                market.tick_size = new
                _restamp(market, stamp_ms)
        case StrikePublished(value_e18=value):
            market.strike_e18 = value
        case Resolved(outcome=outcome, final_e18=final):
            market.outcome = outcome
            market.final_e18 = final
            market.resolved_ns = at_ns
            change.resolved = True


def _restamp(market: Market, stamp_ms: int) -> None:
    """The hash of both books changes with the last trade and the grid, so does their stamp."""
    for token, book in market.books.items():
        market.books[token] = Book(book.bids, book.asks, stamp_ms)


def three_decimals(price: str) -> str:
    """``0.5`` to ``0.500``: how the venue writes the last trade price inside books."""
    whole, _, decimals = price.partition(".")
    return f"{whole}.{decimals:0<3}"
