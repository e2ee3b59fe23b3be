"""What the market channel shows while the content or the clock of its books stands still.

Keeps copies of markets as they were when a fault was set; a token stands for its whole market, because one
frame can be about both. Sends nothing.
"""

from dataclasses import replace

from common.sim.faults import Fault, FaultBoard
from common.sim.world import Market, MarketChange, World


class StaleBooks:
    """The faults RepeatValue and FrozenTime on the market channel."""

    def __init__(self, world: World, board: FaultBoard) -> None:
        self._world = world
        self._board = board
        self._held: dict[str, Market] = {}
        self._stopped_ms: dict[str, int] = {}
        board.on_change(self._faults_changed)

    def held(self, change: MarketChange) -> Market | None:
        """The market whose books are sent instead of a change, newly stamped; None: the change is."""
        market = change.market
        if not self._repeats(market):
            return None
        held = self._held.get(market.spec.slug, market)
        self._held[market.spec.slug] = _stamped(held, change.stamp_ms)
        return self._held[market.spec.slug]

    def restamped(self, change: MarketChange) -> MarketChange:
        """The change with the stamp it is sent with."""
        stamp_ms = self._stamp_ms(change.market)
        if stamp_ms is None:
            return change
        return replace(change, market=_stamped(change.market, stamp_ms), stamp_ms=stamp_ms)

    def shown(self, market: Market) -> Market:
        """The market as a new listener is shown it."""
        if self._repeats(market):
            return self._held.get(market.spec.slug, market)
        stamp_ms = self._stamp_ms(market)
        return market if stamp_ms is None else _stamped(market, stamp_ms)

    def _faults_changed(self, _faults: tuple[Fault, ...]) -> None:
        markets = self._world.markets
        self._held = {
            slug: self._held.get(slug) or _stamped(market, _newest_ms(market))
            for slug, market in markets.items()
            if self._repeats(market)
        }
        self._stopped_ms = {
            slug: self._stopped_ms.get(slug, _newest_ms(market))
            for slug, market in markets.items()
            if self._board.stops_time("market", market.tokens)
        }

    def _repeats(self, market: Market) -> bool:
        return self._board.repeats("market", market.tokens)

    def _stamp_ms(self, market: Market) -> int | None:
        """None: the market's clock runs. A market listed later stops at its first stamp."""
        if not self._board.stops_time("market", market.tokens):
            return None
        return self._stopped_ms.setdefault(market.spec.slug, _newest_ms(market))


def _newest_ms(market: Market) -> int:
    """The stamp of the last change of either book."""
    return max(book.stamp_ms for book in market.books.values())


def _stamped(market: Market, stamp_ms: int) -> Market:
    """A copy with both books stamped alike."""
    return replace(
        market, books={token: replace(book, stamp_ms=stamp_ms) for token, book in market.books.items()}
    )
