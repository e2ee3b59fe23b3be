"""Prices: what each oracle process hears of them, and how the strategist judges the routes they came by."""

from typing import Literal

import msgspec

from common.messages.body import Body

SeriesKind = Literal["spot", "twap30", "twap60", "binance", "coinbase", "kraken"]
"""``spot`` and the TWAPs are Chainlink's; every exchange is a family of its own."""
RouteName = Literal["chainlink", "polybolt", "rtds", "exchange"]
RouteState = Literal["agree", "late", "held", "frozen", "diverged", "missing"]
"""What one second of one route amounts to beside the others; see ``common.core.route_audit``."""


class Tick(Body, frozen=True, tag="tick"):
    """One observation of one price series. Topic ``tick.<asset>.<kind>.<route>``."""

    asset: str
    kind: SeriesKind
    route: str
    """Which oracle route brought it, a RouteName in live messages."""
    observed_ns: int
    """The oracle's own stamp, on the wall clock."""
    e18: str
    """The value as decimal text of the 1e-18 integer."""
    relay_ns: int = 0
    """When the relay sent it, on its clock; 0 when it does not say."""
    backfill: bool = False
    bid_e18: str | None = None
    """The oracle's own bid and ask, where the route has them."""
    ask_e18: str | None = None

    @property
    def value(self) -> int:
        """The value in 1e-18 dollars."""
        return int(self.e18)


class RouteView(msgspec.Struct, frozen=True):
    """One route in one judged second of one series."""

    route: str
    state: RouteState
    e18: str | None
    """Its value stamped with that second, if it came."""
    lag_ms: int | None
    """From the stamp to our receipt."""
    behind_ms: int | None
    """From the first route's receipt to this one's."""
    text: str = ""


class RouteAudit(Body, frozen=True, tag="routes"):
    """All live routes of one series in one second, side by side. Topic ``oracles.<asset>.<kind>``."""

    asset: str
    kind: SeriesKind
    second_ns: int
    """The oracle second that was judged."""
    state: RouteState
    """That of the worst route; whether it stops orders is in ``hold``."""
    routes: tuple[RouteView, ...]
    seconds: dict[str, int]
    """How many judged seconds had which state, since the start."""
    hold: str = ""
    """Why this series allows no new orders; empty when it does."""


class ReadOracles(Body, frozen=True, tag="oracles?"):
    """Command to the strategist: the newest audit of every series."""


class RouteReport(msgspec.Struct, frozen=True):
    """One configured route, as its process last said."""

    route: str
    rank: int
    state: str
    detail: str
    series: tuple[str, ...]
    """What it carries: ``spot/btc``."""


class ExchangeView(msgspec.Struct, frozen=True):
    """The newest price of one exchange, beside the oracle: early warning, never what settles."""

    asset: str
    exchange: SeriesKind
    e18: str
    age_ms: int
    from_spot_ppm: int | None
    """How far it is from the newest Chainlink spot; a standing offset between the two is normal."""


class OraclesReport(Body, frozen=True, tag="oracles"):
    """Answer to ReadOracles."""

    routes: tuple[RouteReport, ...]
    audits: tuple[RouteAudit, ...]
    exchanges: tuple[ExchangeView, ...] = ()
