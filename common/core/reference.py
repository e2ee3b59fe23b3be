"""The reference price: the best estimate of a window's closing value, and its move from the window's opening.

A family of series is only ever compared with itself: Chainlink with Chainlink, Binance with Binance. The two
differ by more than the signal.
"""

from collections.abc import Mapping

import msgspec

from common.core.passport import Strike
from common.core.price_buffer import PriceBuffer
from common.messages import MarketState
from common.units import SECOND, move_ppm

Series = Mapping[str, PriceBuffer]
"""The series of one asset by kind."""

OPEN_SEARCH_NS = 5 * SECOND
"""How far from the opening an exchange's own opening price may lie."""


class Reference(msgspec.Struct, frozen=True):
    """An estimate of the closing value (1e-18 dollars) beside the value it has to beat."""

    family: str
    base: int
    value: int
    observed_ns: int
    """Stamp of the newest observation in it."""
    mono_ns: int
    """When that observation reached us."""
    move_ppm: int


def reference(
    market: MarketState, strike: Strike, series: Series, families: tuple[str, ...]
) -> Reference | str:
    """The reference by the first family that can price this window, or why none can."""
    reasons = []
    for family in families:
        found = (
            _chainlink(market, strike, series) if family == "chainlink" else _exchange(market, series, family)
        )
        if isinstance(found, Reference):
            return found
        reasons.append(found)
    return "; ".join(reasons)


def _chainlink(market: MarketState, strike: Strike, series: Series) -> Reference | str:
    """Spot while more than the look-back remains; inside it, what is already averaged counts as it is."""
    buffer = series.get("spot")
    latest = buffer.latest() if buffer else None
    if buffer is None or latest is None:
        return "no Chainlink spot price yet"
    if latest.observed_ns <= market.start_ns and market.rule == "spot":
        return "no Chainlink spot price since the opening"
    value = latest.value
    if market.rule == "twap":
        lookback = market.lookback_s * SECOND
        averaging_from = market.end_ns - lookback
        remaining = max(0, market.end_ns - latest.observed_ns)
        if remaining < lookback:
            # Prices go on after the end; the average does not.
            seen = buffer.mean(averaging_from, min(latest.observed_ns, market.end_ns))
            if seen.count:
                done = lookback - remaining
                value = (seen.total * done // seen.count + latest.value * remaining) // lookback
    return _made("chainlink", strike.value, value, latest.observed_ns, latest.mono_ns)


def _exchange(market: MarketState, series: Series, family: str) -> Reference | str:
    """An exchange's own price now against its own price at the opening."""
    buffer = series.get(family)
    latest = buffer.latest() if buffer else None
    if buffer is None or latest is None:
        return f"no {family} price yet"
    opening = buffer.as_of(market.start_ns)
    if opening is None or market.start_ns - opening.observed_ns > OPEN_SEARCH_NS:
        opening = buffer.first_at_or_after(market.start_ns)
        if opening is None or opening.observed_ns - market.start_ns > OPEN_SEARCH_NS:
            return f"no {family} price at the opening"
    if latest.observed_ns <= market.start_ns:
        return f"no {family} price since the opening"
    return _made(family, opening.value, latest.value, latest.observed_ns, latest.mono_ns)


def _made(family: str, base: int, value: int, observed_ns: int, mono_ns: int) -> Reference:
    return Reference(family, base, value, observed_ns, mono_ns, move_ppm(value, base))
