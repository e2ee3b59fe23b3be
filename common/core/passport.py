"""The settlement passport of a window: the venue's half plus the strike, and whether it is complete.

The strike is the settlement stream's value stamped exactly at the opening instant and is latched once
(on 8 June 2026 that tick equals the official strike in 284 of 284 markets, one second off gives errors).
"""

import msgspec

from common.core.moment import Moment
from common.messages import MarketState, Outcome, SeriesKind, Tick
from common.units import SECOND

OPENING_GRACE_NS = 10 * SECOND
"""99 % of ticks arrive within 2.3 s of their stamp; one absent for this long is called missing."""

TOO_FAR_AHEAD = "neither the current nor the next window"


class Strike(msgspec.Struct, frozen=True):
    """The latched opening value: 1e-18 dollars, its series and route, and when it was obtained."""

    value: int
    kind: SeriesKind
    route: str
    observed_ns: int
    obtained_ns: int
    disputes: int = 0
    """Later, different values for the same instant."""


def settlement_kind(market: MarketState) -> SeriesKind | None:
    """The one series that settles this market, or None when its rule is not understood."""
    if market.rule == "spot":
        return "spot"
    if market.rule == "twap":
        return {30: "twap30", 60: "twap60"}.get(market.lookback_s)  # type: ignore[return-value]
    return None


def opens_window(tick: Tick, market: MarketState) -> bool:
    """Whether this tick is the market's settlement stream at exactly its opening instant."""
    return (
        tick.asset == market.asset
        and tick.observed_ns == market.start_ns
        and tick.kind == settlement_kind(market)
    )


def latch(strike: Strike | None, tick: Tick, obtained_ns: int) -> tuple[Strike, bool]:
    """Latch once: the first value stays; a different later one only counts. True when it was disputed."""
    if strike is None:
        return Strike(tick.value, tick.kind, tick.route, tick.observed_ns, obtained_ns), False
    if tick.value == strike.value:
        return strike, False
    return msgspec.structs.replace(strike, disputes=strike.disputes + 1), True


def too_far_ahead(market: MarketState, wall_ns: int) -> bool:
    """Whether the window opens more than its own length from now: neither the current nor the next."""
    return market.start_ns - wall_ns > market.end_ns - market.start_ns


def incomplete(market: MarketState, strike: Strike | None, moment: Moment) -> str:
    """Why this window may not be traded now, as one sentence; empty when its passport is complete."""
    opens_in = market.start_ns - moment.wall_ns
    if too_far_ahead(market, moment.wall_ns):
        return TOO_FAR_AHEAD
    if market.refusals:
        return "; ".join(market.refusals)
    if settlement_kind(market) is None:
        return f"settlement rule {market.rule} with look-back {market.lookback_s} s is not understood"
    if market.closed or market.outcome is not None:
        return "the window is closed"
    if moment.wall_ns >= market.end_ns:
        return "the window has ended"
    if not market.accepting:
        return "the venue does not accept orders for it"
    if opens_in > 0:
        return "not open yet"
    if strike is None:
        if opens_in > -OPENING_GRACE_NS:
            return "waiting for the settlement tick of the opening second"
        return "the settlement tick of the opening second never came: no strike"
    return ""


def winner(strike: int, close: int) -> Outcome:
    """Up when the closing value is at or above the strike; a tie goes Up (the venue's rule)."""
    return "up" if close >= strike else "down"
