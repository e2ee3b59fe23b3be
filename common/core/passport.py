"""The settlement passport of a window: the venue's half plus the strike, and whether it is complete.

The strike is the settlement stream's value stamped exactly at the opening instant and is latched once
(on 8 June 2026 that tick equals the official strike in 284 of 284 markets, one second off gives errors).
"""

import msgspec

from common.core.moment import Moment
from common.core.series import same_value
from common.messages import MarketState, Outcome, SeriesKind, Tick
from common.units import SECOND

OPENING_GRACE_NS = 10 * SECOND
"""99 % of ticks arrive within 2.3 s of their stamp; one absent for this long is called missing."""

WITNESS_PARTS = 10**7
"""The venue's strike agrees with ours when they differ by less than a ten-millionth."""

_TWAP_KINDS: dict[int, SeriesKind] = {30: "twap30", 60: "twap60"}
TOO_FAR_AHEAD = "neither the current nor the next window"


class Strike(msgspec.Struct, frozen=True):
    """The latched opening value: 1e-18 dollars, its series and route, and when it was obtained."""

    value: int
    kind: SeriesKind
    route: str
    observed_ns: int
    obtained_ns: int
    disputed: tuple[int, ...] = ()
    """Later, different values for the same instant, each once: every route may bring the same wrong one."""

    @property
    def disputes(self) -> int:
        """How many other values there were."""
        return len(self.disputed)


def settlement_kind(market: MarketState) -> SeriesKind | None:
    """The one series that settles this market, or None when its rule is not understood."""
    if market.rule == "spot":
        return "spot"
    if market.rule == "twap":
        return _TWAP_KINDS.get(market.lookback_s)
    return None


def opens_window(tick: Tick, market: MarketState) -> bool:
    """Whether this tick is the market's settlement stream at exactly its opening instant."""
    return (
        tick.asset == market.asset
        and tick.observed_ns == market.start_ns
        and tick.kind == settlement_kind(market)
    )


def latch(strike: Strike | None, tick: Tick, obtained_ns: int) -> tuple[Strike, bool]:
    """Latch once: the first value stays; a different later one only counts. True when it is a new dispute."""
    if strike is None:
        return Strike(tick.value, tick.kind, tick.route, tick.observed_ns, obtained_ns), False
    if any(same_value(tick.value, known) for known in (strike.value, *strike.disputed)):
        return strike, False
    return msgspec.structs.replace(strike, disputed=(*strike.disputed, tick.value)), True


def too_far_ahead(market: MarketState, wall_ns: int) -> bool:
    """Whether the window opens more than its own length from now: neither the current nor the next."""
    return market.start_ns - wall_ns > market.end_ns - market.start_ns


def untradable(market: MarketState, moment: Moment) -> str:
    """Why the venue's half of the passport, or the hour, forbids trading; empty when neither does."""
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
    if moment.wall_ns < market.start_ns:
        return "not open yet"
    return ""


def strike_gap(market: MarketState, strike: Strike | None, moment: Moment) -> str:
    """Why there is no strike, as one sentence; empty when there is one."""
    if strike is not None:
        return ""
    if awaits_strike(market, strike, moment):
        return "waiting for the settlement tick of the opening second"
    return "the settlement tick of the opening second never came: no strike"


def awaits_strike(market: MarketState, strike: Strike | None, moment: Moment) -> bool:
    """Whether the settlement tick of the opening second may still come."""
    return strike is None and moment.wall_ns - market.start_ns < OPENING_GRACE_NS


def incomplete(market: MarketState, strike: Strike | None, moment: Moment) -> str:
    """Why this window may not be traded now, as one sentence; empty when its passport is complete."""
    return untradable(market, moment) or strike_gap(market, strike, moment)


def contradicted_by(strike: Strike, price_to_beat: int) -> bool:
    """Whether the venue's own strike is another value than ours.

    It is published rounded; two neighbouring seconds differ by far more than ``WITNESS_PARTS`` allows.
    """
    return abs(strike.value - price_to_beat) * WITNESS_PARTS > strike.value


def winner(strike: int, close: int) -> Outcome:
    """Up when the closing value is at or above the strike; a tie goes Up (the venue's rule)."""
    return "up" if close >= strike else "down"
