"""The reference price: the best estimate of a window's closing value, and its move from the window's opening.

A family of series is only ever compared with itself: Chainlink with Chainlink, an exchange with itself. They
differ by more than the signal. Only Chainlink settles; an exchange is a stand-in for paper trading.
"""

from collections.abc import Collection

import msgspec

from common.core.moment import Moment
from common.core.passport import Strike
from common.core.price_buffer import Mean, Observation, PriceBuffer
from common.core.series import Routes, Series, speaker
from common.core.settings import StrategySettings
from common.messages import Basis, MarketState
from common.units import SECOND, move_ppm

SETTLING_FAMILY = "chainlink"
OPEN_SEARCH_NS = 5 * SECOND
"""How far from the opening an exchange's own opening price may lie, and how long its last trade holds."""
KNOWN_PPM = 1_000_000
_NOTHING_AVERAGED = Mean(0, 0, 0)


class Reference(msgspec.Struct, frozen=True):
    """An estimate of the closing value (1e-18 dollars) beside the value it has to beat."""

    family: str
    route: str
    basis: Basis
    base: int
    value: int
    observed_ns: int
    """Stamp of the newest information in it."""
    mono_ns: int
    """When that information reached us."""
    move_ppm: int
    confidence_ppm: int
    """The share of the closing value that is observed already and can change no more."""


class Estimate(msgspec.Struct, frozen=True):
    """A closing value, and the share of it that is known."""

    value: int
    known_ppm: int


def reference(
    market: MarketState,
    strike: Strike | None,
    series: Series,
    settings: StrategySettings,
    moment: Moment,
    unsound: Collection[str] = (),
) -> Reference | str:
    """The reference by the first family that can price this window, or why none can.

    ``unsound`` routes (a gap not repaired) are passed over. In live mode nothing but the settling family is
    ever used: an exchange does not settle a window.
    """
    reasons = []
    for family in settings.families:
        if family == SETTLING_FAMILY:
            found = _settling(market, strike, series.get("spot", {}), settings, moment, unsound)
        elif settings.live:
            found = f"{family} does not settle this window: refused in live mode"
        else:
            found = _stand_in(market, series.get(family, {}), family, settings, moment, unsound)
        if isinstance(found, Reference):
            return found
        reasons.append(found)
    return "; ".join(reasons)


def closing_estimate(
    market: MarketState, latest: Observation, averaged: Mean, *, beat: bool = True
) -> Estimate:
    """The closing value as estimated at ``latest``, the newest observation not after the end.

    Spot while more than the look-back remains. Inside it ``averaged`` (the observations from its start to
    ``latest``) counts as it is, and the newest price stands for the rest. ``beat``: the series has one
    observation a second, so a second without one is not known.
    """
    if market.rule != "twap":
        return Estimate(latest.value, KNOWN_PPM if latest.observed_ns >= market.end_ns else 0)
    lookback = market.lookback_s * SECOND
    remaining = max(0, market.end_ns - latest.observed_ns)
    if remaining >= lookback or not averaged.count:
        return Estimate(latest.value, 0)
    done = lookback - remaining
    value = (averaged.total * done // averaged.count + latest.value * remaining) // lookback
    seconds = max(1, averaged.count + averaged.missing)
    known = done * KNOWN_PPM // lookback
    return Estimate(value, known * averaged.count // seconds if beat else known)


def within_lookback(market: MarketState, latest: Observation) -> bool:
    """Whether a part of the closing average can be known; before that nothing is summed."""
    return market.rule == "twap" and market.end_ns - latest.observed_ns < market.lookback_s * SECOND


def _settling(
    market: MarketState,
    strike: Strike | None,
    routes: Routes,
    settings: StrategySettings,
    moment: Moment,
    unsound: Collection[str],
) -> Reference | str:
    if strike is None:
        return "no strike"
    speaking = speaker(routes, settings.routes, settings.max_tick_age_ns, moment, unsound)
    if speaking is None:
        return "no Chainlink spot price yet"
    route, news = speaking
    latest = routes[route].as_of(market.end_ns)
    if latest is None:
        return "no Chainlink spot price yet"
    if latest.observed_ns <= market.start_ns and market.rule == "spot":
        return "no Chainlink spot price since the opening"
    averaged = _NOTHING_AVERAGED
    if within_lookback(market, latest):
        averaged = _most_complete(market, routes, route, latest, unsound)
    estimate = closing_estimate(market, latest, averaged)
    return _made(SETTLING_FAMILY, route, strike.value, estimate, news)


def _most_complete(
    market: MarketState, routes: Routes, chosen: str, latest: Observation, unsound: Collection[str]
) -> Mean:
    """The averaged part by whichever route missed least of it; the chosen one where they are equal."""
    means = [
        _averaged(market, routes[route], latest)
        for route in (chosen, *sorted(routes))
        if route not in unsound
    ]
    return max(means, key=lambda mean: mean.count)


def _averaged(market: MarketState, buffer: PriceBuffer, latest: Observation) -> Mean:
    return buffer.mean(market.end_ns - market.lookback_s * SECOND, latest.observed_ns)


def _stand_in(
    market: MarketState,
    routes: Routes,
    family: str,
    settings: StrategySettings,
    moment: Moment,
    unsound: Collection[str],
) -> Reference | str:
    """An exchange's own price now against its own price, or its own average, at the opening."""
    speaking = speaker(routes, settings.routes, settings.max_tick_age_ns, moment, unsound)
    if speaking is None:
        return f"no {family} price yet"
    buffer = routes[speaking.route]
    latest = buffer.as_of(market.end_ns)
    if latest is None:
        return f"no {family} price yet"
    base = _opening(market, buffer)
    if base is None:
        return f"no {family} price at the opening"
    if latest.observed_ns <= market.start_ns:
        return f"no {family} price since the opening"
    averaged = _NOTHING_AVERAGED
    if within_lookback(market, latest):
        averaged = buffer.held_mean(
            market.end_ns - market.lookback_s * SECOND, latest.observed_ns, OPEN_SEARCH_NS
        )
    estimate = closing_estimate(market, latest, averaged, beat=False)
    newest = buffer.latest()
    return _made(family, speaking.route, base, estimate, newest or latest)


def _opening(market: MarketState, buffer: PriceBuffer) -> int | None:
    """The exchange's strike by the market's own rule: a price for spot, the average before it for a TWAP."""
    if market.rule == "twap":
        mean = buffer.held_mean(market.start_ns - market.lookback_s * SECOND, market.start_ns, OPEN_SEARCH_NS)
        return mean.total // mean.count if not mean.missing and mean.count else None
    opening = buffer.as_of(market.start_ns)
    if opening is None or market.start_ns - opening.observed_ns > OPEN_SEARCH_NS:
        opening = buffer.first_at_or_after(market.start_ns)
        if opening is None or opening.observed_ns - market.start_ns > OPEN_SEARCH_NS:
            return None
    return opening.value


def _made(family: str, route: str, base: int, estimate: Estimate, news: Observation) -> Reference:
    return Reference(
        family,
        route,
        "settlement" if family == SETTLING_FAMILY else "proxy, not settlement",
        base,
        estimate.value,
        news.observed_ns,
        news.mono_ns,
        move_ppm(estimate.value, base),
        estimate.known_ppm,
    )
