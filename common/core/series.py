"""The price series of one asset, by kind and route, and which route speaks for a series now.

Routes bring the same observations by different ways. They are kept apart, so that a route that lies or sleeps
spoils nothing but itself.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from common.core.moment import Moment, input_age_ns
from common.core.price_buffer import Observation, PriceBuffer

Routes = Mapping[str, PriceBuffer]
"""One series, by route."""
Series = Mapping[str, Routes]
"""The series of one asset, by kind."""

SAME_PARTS = 10**9
"""Routes write one value with 8 to 18 decimals: what differs by less than a billionth is the same value."""


def same_value(one: int, other: int) -> bool:
    """Whether two routes brought the same value."""
    return abs(one - other) * SAME_PARTS <= max(one, other)


def ranked(routes: Routes, order: Sequence[str]) -> Iterator[str]:
    """The routes that brought anything, best first; those without a rank come last, by name."""
    for route in order:
        if route in routes:
            yield route
    yield from sorted(route for route in routes if route not in order)


class Speaker(NamedTuple):
    """The route that speaks for a series, and the newest information it has."""

    route: str
    news: Observation


def speaker(
    routes: Routes, order: Sequence[str], max_age_ns: int, moment: Moment, unsound: Collection[str]
) -> Speaker | None:
    """The best-ranked sound route whose newest information is young enough, else the freshest sound one."""
    freshest, least = None, 0
    for route in ranked(routes, order):
        news = None if route in unsound else newest_information(routes[route])
        if news is None:
            continue
        age = input_age_ns(news.observed_ns, news.mono_ns, moment)
        if age <= max_age_ns:
            return Speaker(route, news)
        if freshest is None or age < least:
            freshest, least = Speaker(route, news), age
    return freshest


def newest_information(buffer: PriceBuffer) -> Observation | None:
    """The observation with which the present value began.

    A stuck relay repeats its last value under new stamps; the real streams were never seen to repeat one for
    more than seven seconds (84,558 ticks of 8 June 2026). A value is as old as its first appearance.
    """
    return buffer.began()
