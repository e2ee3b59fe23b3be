"""An order book that follows an oracle price late: the generated half of a simulated market.

Probability comes from a normal model of the price that was known some time ago; floats stay inside that
model, the levels are integers and leave as venue text. Knows no clock: the caller says which instant it is.
"""

import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from math import erf, sqrt

from common.sim.script import BookSet, Level, ScriptEvent, TickSizeChanged, Traded
from common.units import SECOND, price4_text, size6_text

YEAR_S = 365.25 * 86_400
ONE_MILLI = 1_000
"""A dollar in the unit of the ladder."""
CENT_MILLI = 10

_NEAR_EXTREME = 0.035
_MODEL_LIMIT = 0.004


@dataclass(slots=True)
class PricePath:
    """Prices (e18) by instant (ns); answers what the newest known price was at an instant."""

    times: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)

    def add(self, at_ns: int, value_e18: int) -> None:
        """Append one price; instants must rise."""
        self.times.append(at_ns)
        self.values.append(value_e18)

    def at(self, at_ns: int) -> int | None:
        """The newest price not after the instant, or None before the first."""
        index = bisect_right(self.times, at_ns)
        return self.values[index - 1] if index else None

    def exactly(self, at_ns: int) -> int | None:
        """The last price stamped at exactly this instant, or None when there is none."""
        index = bisect_right(self.times, at_ns)
        return self.values[index - 1] if index and self.times[index - 1] == at_ns else None


def sigma_per_root_second(volatility_annual: float) -> float:
    """Standard deviation of the log return over one second."""
    return volatility_annual / sqrt(YEAR_S)


def up_probability(price_e18: int, strike_e18: int, remaining_s: float, sigma: float) -> float:
    """Chance that the price ends at or above the strike, under a driftless normal model."""
    spread = max(sigma, 1e-9) * sqrt(max(remaining_s, 1.0))
    move = (price_e18 - strike_e18) / strike_e18
    return 0.5 * (1.0 + erf(move / spread / sqrt(2.0)))


@dataclass(frozen=True, slots=True)
class MadeMarket:
    """The market a book is made for; instants in the time in which ``price_at`` answers."""

    slug: str
    token_up: str
    token_down: str
    start_ns: int
    end_ns: int


class BookMaker:
    """One market's ladder, kept between updates so that most levels stay as they were."""

    def __init__(
        self,
        market: MadeMarket,
        *,
        price_at: Callable[[int], int | None],
        lag_ns: int,
        sigma: float,
        rng: random.Random,
    ) -> None:
        """``price_at`` tells the settlement series (e18) by its stamp; ``sigma`` is per root second."""
        self._market = market
        self._price_at = price_at
        self._lag_ns = lag_ns
        self._sigma = sigma
        self._rng = rng
        self._tick = CENT_MILLI
        self._refines_tick = rng.random() < 0.35
        self._depth = (rng.randint(10, 30), rng.randint(10, 30))
        self._spread_ticks = rng.choice((1, 1, 2, 2, 3))
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}

    def events(self, at_ns: int) -> list[ScriptEvent]:
        """Both tokens' complete books at this instant, with a trade or a finer grid now and then."""
        probability = self.probability(at_ns) + self._rng.gauss(0.0, 0.004)
        probability = min(max(probability, _MODEL_LIMIT), 1.0 - _MODEL_LIMIT)
        events: list[ScriptEvent] = []
        extreme = min(probability, 1.0 - probability) < _NEAR_EXTREME
        if self._refines_tick and self._tick == CENT_MILLI and extreme:
            self._tick = 1
            self._bids.clear()
            self._asks.clear()
            events.append(TickSizeChanged(self._market.slug, "0.001"))
        self._move_to(round(probability * ONE_MILLI))
        events.append(BookSet(self._market.token_up, _rising(self._bids), _falling(self._asks)))
        events.append(
            BookSet(self._market.token_down, _rising(_mirrored(self._asks)), _falling(_mirrored(self._bids)))
        )
        if self._rng.random() < 0.1:
            events.append(self._trade())
        return events

    def probability(self, at_ns: int) -> float:
        """What the late maker believes: even until it can have seen the opening."""
        seen_ns = at_ns - self._lag_ns
        strike, price = self._price_at(self._market.start_ns), self._price_at(seen_ns)
        if seen_ns < self._market.start_ns or strike is None or price is None:
            return 0.5
        return up_probability(price, strike, (self._market.end_ns - seen_ns) / SECOND, self._sigma)

    def _move_to(self, middle: int) -> None:
        if self._rng.random() < 0.05:
            self._spread_ticks = self._rng.choice((1, 1, 2, 2, 3))
        tick, spread = self._tick, self._spread_ticks * self._tick
        best_bid = (middle - spread // 2) // tick * tick
        best_bid = min(max(best_bid, tick), ONE_MILLI - tick - spread)
        self._bids = self._side(self._bids, range(best_bid, 0, -tick)[: self._depth[0]])
        self._asks = self._side(self._asks, range(best_bid + spread, ONE_MILLI, tick)[: self._depth[1]])
        for side in (self._bids, self._asks):
            for price in self._rng.sample(sorted(side), k=min(len(side), self._rng.randint(0, 2))):
                side[price] = self._size(thin=False)

    def _side(self, known: dict[int, int], prices: range) -> dict[int, int]:
        return {price: known.get(price) or self._size(thin=price == prices[0]) for price in prices}

    def _size(self, *, thin: bool) -> int:
        """In hundredths of a share; most orders are whole shares."""
        size = self._rng.randint(500, 6_000 if thin else 20_000)
        return size if self._rng.random() < 0.3 else size // 100 * 100

    def _trade(self) -> Traded:
        buys = self._rng.random() < 0.5
        price = min(self._asks) if buys else max(self._bids)
        size = size6_text(self._rng.randint(5, 40) * 1_000_000)
        side = "BUY" if buys else "SELL"
        if self._rng.random() < 0.5:
            return Traded(self._market.token_up, _price_text(price), size, side)
        mirrored = "SELL" if buys else "BUY"
        return Traded(self._market.token_down, _price_text(ONE_MILLI - price), size, mirrored)


def _mirrored(side: dict[int, int]) -> dict[int, int]:
    return {ONE_MILLI - price: size for price, size in side.items()}


def _price_text(price_milli: int) -> str:
    return price4_text(price_milli * 10)


def _levels(side: dict[int, int], *, falling: bool) -> tuple[Level, ...]:
    ordered = sorted(side.items(), reverse=falling)
    return tuple((_price_text(price), size6_text(size * 10_000)) for price, size in ordered)


def _rising(side: dict[int, int]) -> tuple[Level, ...]:
    return _levels(side, falling=False)


def _falling(side: dict[int, int]) -> tuple[Level, ...]:
    return _levels(side, falling=True)
