"""Markets that never were: an endless seeded stream of prices, books and outcomes.

The same settings and start give the same stream. Owns no socket and no clock, and imitates no particular day.
"""

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from math import exp

from common.sim.book_maker import BookMaker, MadeMarket, sigma_per_root_second
from common.sim.naming import (
    generated_name,
    made_up_ids,
    question_of,
    resolution_source,
    window_label,
    window_slug,
)
from common.sim.script import (
    Listed,
    MarketSpec,
    Observed,
    Resolved,
    Script,
    ScriptEvent,
    Step,
    StrikePublished,
)
from common.sim.settings import SimSettings
from common.units import MILLISECOND, SECOND

FIRST_OPENING_S = 5
"""Whole seconds from the start to the first opening."""
LISTED_AHEAD = 2
"""How many windows after the current one discovery always shows."""
ROUTE_DELAYS_MS = {"chainlink": 0, "polybolt": 300, "rtds": 700}
"""Steps are a quarter of a second or more behind the oracle's stamp; the relay was measured at a second."""
TWAP_TOPICS = {30: "crypto_prices_twap_thirty", 60: "crypto_prices_twap_sixty"}

_START_PRICES = {"btc": 96_000.0, "eth": 3_200.0, "sol": 180.0, "xrp": 2.4}
_OTHER_START_PRICE = 100.0
_VALUE_UNIT = 10**10
_HISTORY_MARGIN_S = 30


def generated_script(settings: SimSettings, now_ns: int) -> Script:
    """The generated world of these settings.

    It begins at ``starts_at_ns`` of the settings, else now; if that is past, so are its first steps.
    """
    start_ns = now_ns if settings.starts_at_ns is None else settings.starts_at_ns
    return Script(
        title=f"generated {window_label(settings.window_s)} markets, seed {settings.seed}",
        cadence=window_label(settings.window_s),
        window_s=settings.window_s,
        assets=settings.assets,
        steps=_steps(settings, start_ns),
        ends_ns=None,
        notes=("prices, books and outcomes are generated from the seed; nothing here happened",),
        route_delays_ms=ROUTE_DELAYS_MS,
    )


def _steps(settings: SimSettings, start_ns: int) -> Iterator[Step]:
    """Second by second: whatever a second causes later waits on a heap until its instant is due."""
    first_second = -(-start_ns // SECOND)
    worlds = [_AssetWorld(settings, asset, start_ns, first_second) for asset in settings.assets]
    waiting: list[tuple[int, int, ScriptEvent]] = []
    number = 0
    second = first_second
    while True:
        for world in worlds:
            for at_ns, event in world.second(second):
                number += 1
                heapq.heappush(waiting, (max(at_ns, start_ns), number, event))
        second += 1
        while waiting and waiting[0][0] < second * SECOND:
            at_ns, _, event = heapq.heappop(waiting)
            yield Step(at_ns, event)


@dataclass(slots=True)
class _Window:
    spec: MarketSpec
    start_s: int
    end_s: int
    book: BookMaker


class _AssetWorld:
    """One asset's price path and windows; every call moves it on by one second."""

    def __init__(self, settings: SimSettings, asset: str, start_ns: int, first_second: int) -> None:
        self._settings = settings
        self._asset = asset
        self._start_ns = start_ns
        self._first_opening = first_second + FIRST_OPENING_S
        self._rng = random.Random(f"{settings.seed}:{asset}:{start_ns}")
        self._price = _START_PRICES.get(asset, _OTHER_START_PRICE) * exp(self._rng.gauss(0.0, 0.02))
        self._sigma = sigma_per_root_second(settings.volatility_annual)
        self._lag_ns = round(settings.book_lag_s * SECOND)
        self._lookback_s = settings.twap_lookback_s
        self._spot: dict[int, int] = {}
        self._series: dict[int, int] = {}
        self._jumps: dict[int, float] = {}
        self._windows: list[_Window] = []
        self._listed = 0
        self._history_s = max(60, self._lookback_s or 0) + int(settings.book_lag_s) + _HISTORY_MARGIN_S
        self._oldest = first_second - self._history_s
        for past in range(self._oldest, first_second):
            self._advance(past)

    def second(self, second: int) -> Iterator[tuple[int, ScriptEvent]]:
        """Everything this second starts, with the instants at which it happens."""
        yield from self._list_windows(second)
        self._advance(second)
        yield from self._observations(second)
        for window in self._windows:
            yield from self._book_events(window, second)
            if second == window.end_s:
                yield from self._settlement(window)
        self._windows = [window for window in self._windows if second < window.end_s]

    def _advance(self, second: int) -> None:
        self._price *= exp(self._rng.gauss(0.0, self._sigma) + self._jumps.pop(second, 0.0))
        self._spot[second] = round(self._price * 1e8) * _VALUE_UNIT
        self._series[second] = self._mean(second, self._lookback_s or 1)
        keep_from = second - self._settings.window_s - self._history_s - 2
        self._spot.pop(keep_from, None)
        self._series.pop(keep_from, None)

    def _mean(self, second: int, lookback_s: int) -> int:
        seconds = range(max(second - lookback_s + 1, self._oldest), second + 1)
        return sum(self._spot[past] for past in seconds) // len(seconds)

    def _observations(self, second: int) -> Iterator[tuple[int, ScriptEvent]]:
        stamp_ms, pair, spot = second * 1000, f"{self._asset}/usd", self._spot[second]
        exchange = spot + spot * self._rng.randint(-20, 20) // 1_000_000
        exchange -= exchange % _VALUE_UNIT
        yield (
            second * SECOND + self._rng.randint(130, 170) * MILLISECOND,
            Observed("crypto_prices", f"{self._asset}usdt", stamp_ms, exchange),
        )
        relayed_ms = self._rng.randint(950, 1_300)
        sent = second * SECOND + (relayed_ms - ROUTE_DELAYS_MS["rtds"]) * MILLISECOND
        yield sent, Observed("crypto_prices_chainlink", pair, stamp_ms, spot)
        for lookback_s, topic in TWAP_TOPICS.items():
            sent += self._rng.randint(5, 40) * MILLISECOND
            mean = self._mean(second, lookback_s)
            yield sent, Observed(topic, pair, stamp_ms, mean, window_s=lookback_s)

    def _list_windows(self, second: int) -> Iterator[tuple[int, ScriptEvent]]:
        window_s = self._settings.window_s
        while self._first_opening + (self._listed - LISTED_AHEAD) * window_s - 1 <= second or (
            self._listed <= LISTED_AHEAD
        ):
            start_s = self._first_opening + self._listed * window_s
            self._plan_jumps(start_s)
            window = self._new_window(start_s, max(second * SECOND, self._start_ns))
            self._windows.append(window)
            self._listed += 1
            yield window.spec.listed_ns, Listed(window.spec)
            for event in window.book.events(window.spec.listed_ns):
                yield window.spec.listed_ns, event

    def _plan_jumps(self, start_s: int) -> None:
        """Sudden moves fall into the first half of a window, where a late book can still be bought."""
        window_s = self._settings.window_s
        arrival = self._rng.expovariate(1.0)
        while arrival < self._settings.jumps_per_window:
            second = start_s + max(1, int(window_s * self._rng.uniform(0.06, 0.5)))
            size = self._settings.jump_ppm / 1_000_000 * self._rng.uniform(0.6, 1.6)
            self._jumps[second] = self._jumps.get(second, 0.0) + self._rng.choice((-size, size))
            arrival += self._rng.expovariate(1.0)

    def _new_window(self, start_s: int, listed_ns: int) -> _Window:
        end_s = start_s + self._settings.window_s
        slug = window_slug(self._asset, self._settings.window_s, start_s)
        condition_id, token_up, token_down = made_up_ids(generated_name(self._settings.seed, slug))
        spec = MarketSpec(
            slug=slug,
            asset=self._asset,
            condition_id=condition_id,
            token_up=token_up,
            token_down=token_down,
            start_ns=start_s * SECOND,
            end_ns=end_s * SECOND,
            listed_ns=listed_ns,
            resolution_source=resolution_source(self._asset, self._lookback_s),
            twap_lookback_s=self._lookback_s,
            question=question_of(self._asset, start_s, end_s),
        )
        book = BookMaker(
            MadeMarket(slug, token_up, token_down, spec.start_ns, spec.end_ns),
            price_at=lambda at_ns: self._series.get(at_ns // SECOND),
            lag_ns=self._lag_ns,
            sigma=self._sigma,
            rng=random.Random(f"{self._settings.seed}:{slug}:book"),
        )
        return _Window(spec, start_s, end_s, book)

    def _book_events(self, window: _Window, second: int) -> Iterator[tuple[int, ScriptEvent]]:
        """About ``book_updates_per_s`` once open; before that a rare flicker around even."""
        if second >= window.end_s:
            return
        mean = self._settings.book_updates_per_s
        updates = (
            self._rng.randint(mean - 1, mean + 1)
            if second >= window.start_s
            else int(self._rng.random() < 0.4)
        )
        instants = sorted(second * SECOND + self._rng.randrange(SECOND) for _ in range(updates))
        for at_ns in instants:
            for event in window.book.events(at_ns):
                yield at_ns, event

    def _settlement(self, window: _Window) -> Iterator[tuple[int, ScriptEvent]]:
        opened, closed = self._series[window.start_s], self._series[window.end_s]
        delay_ns = round(self._settings.resolution_delay_s * SECOND * self._rng.uniform(0.9, 1.1))
        slug, end_ns = window.spec.slug, window.spec.end_ns
        yield end_ns + delay_ns * 3 // 4, StrikePublished(slug, opened)
        yield end_ns + delay_ns, Resolved(slug, "Up" if closed >= opened else "Down", closed)
