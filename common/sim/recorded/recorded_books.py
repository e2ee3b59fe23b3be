"""Generated books for recordings that have prices but no books.

Each window gets a ladder that follows the recorded settlement price late. Reads no file.
"""

import heapq
import random
from collections.abc import Iterator, Mapping

from common.sim.book_maker import BookMaker, MadeMarket, PricePath, sigma_per_root_second
from common.sim.recorded.recorded_windows import RecordedWindow, listed_ns
from common.sim.recorded.retime import Retime
from common.sim.script import Step
from common.units import SECOND

BOOK_LAG_S = 55.0
"""Recorded seconds by which a generated book trails, unless told otherwise."""
VOLATILITY_ANNUAL = 0.6

_SHORTEST_NS = SECOND * 35 // 100
_PLAYED_PER_SECOND = 10
_BEFORE_OPENING = 10
"""Before its opening a book moves this many times more slowly."""


def generated_book_steps(
    windows: tuple[RecordedWindow, ...],
    prices: Mapping[str, PricePath],
    retimed: Retime,
    now_ns: int,
    lag_s: float,
    until_ns: int,
) -> Iterator[Step]:
    """Books of every window from its listing to its end, or to the end of the prices at ``until_ns``.

    ``prices`` by asset and ``until_ns`` in recorded time. At most three updates in a recorded second
    and ten in a played one per market.
    """
    stop_ns = retimed.at(until_ns)
    streams = [
        _window_steps(window, prices[window.asset], retimed, now_ns, lag_s, stop_ns) for window in windows
    ]
    return heapq.merge(*streams, key=lambda step: step.at_ns)


def book_note(lag_s: float) -> str:
    """Says plainly where the books come from."""
    return f"no books were recorded: generated ones follow the recorded price {lag_s:g} recorded seconds late"


def _window_steps(
    window: RecordedWindow, prices: PricePath, retimed: Retime, now_ns: int, lag_s: float, stop_ns: int
) -> Iterator[Step]:
    rng = random.Random(f"{window.asset}:{window.start_ns}")
    slug = retimed.slug(window.asset, window.start_ns)
    maker = BookMaker(
        MadeMarket(slug, window.token_up, window.token_down, window.start_ns, window.end_ns),
        price_at=prices.at,
        lag_ns=round(lag_s * SECOND),
        sigma=sigma_per_root_second(VOLATILITY_ANNUAL),
        rng=rng,
    )
    opens_ns, ends_ns = retimed.at(window.start_ns), min(retimed.at(window.end_ns), stop_ns)
    interval_ns = max(retimed.at(window.start_ns + _SHORTEST_NS) - opens_ns, SECOND // _PLAYED_PER_SECOND)
    at_ns = listed_ns(window, retimed, now_ns)
    while at_ns < ends_ns:
        recorded_ns = window.start_ns + (at_ns - opens_ns) * retimed.window_s // retimed.label_s
        for event in maker.events(recorded_ns):
            yield Step(at_ns, event)
        slower = 1 if at_ns >= opens_ns else _BEFORE_OPENING
        at_ns += slower * interval_ns * rng.randint(70, 130) // 100
