"""Which windows there are: asks Gamma for them and the CLOB for their terms, until their outcome is known.

Every window of our assets and cadence that the venue lists is kept, tradable or not; whether it may be traded
is the passport's word.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from common.core.passport import too_far_ahead
from common.errors import FeedError, FrameRefused
from common.feeds.gamma import clob_condition_id, market_from_gamma, markets_in, slug_parts
from common.feeds.http import HttpSource
from common.messages import MarketState
from common.runtime.clock import Clock
from common.runtime.log import Burst
from common.units import SECOND

FORGET_AFTER_NS = 15 * 60 * SECOND
PAGE = 100
MAX_PAGES = 10


@dataclass(slots=True)
class Discovery:
    """The known windows by name; ``on_change`` is told of every new or changed one."""

    gamma: HttpSource
    clob: HttpSource
    assets: frozenset[str]
    cadence: str
    lookahead_ns: int
    clock: Clock
    log: structlog.typing.FilteringBoundLogger
    on_change: Callable[[MarketState], None]
    on_refusal: Callable[[str], None]
    markets: dict[str, MarketState] = field(default_factory=dict)
    awaited: set[str] = field(default_factory=set)
    """Windows somebody needs the outcome of, whether the venue still lists them or not."""
    _terms: dict[str, Mapping[str, object]] = field(default_factory=dict)
    _burst: Burst = field(default_factory=Burst)

    async def refresh(self) -> None:
        """Read listings and outstanding outcomes once; raises FeedError when the venue does not answer."""
        await self._list()
        await self._outcomes()

    def live(self) -> list[MarketState]:
        """Windows whose book is worth keeping: not over, not refused, the current or the next one."""
        now = self.clock.wall_ns()
        return [
            market
            for market in self.markets.values()
            if not market.refusals and now < market.end_ns and not too_far_ahead(market, now)
        ]

    def running(self) -> list[MarketState]:
        """Live windows that are open."""
        now = self.clock.wall_ns()
        return [market for market in self.live() if market.start_ns <= now]

    def forget_old(self) -> list[str]:
        """Let go of windows long over that nobody waits for; returns their names."""
        now = self.clock.wall_ns()
        gone = [
            name
            for name, market in self.markets.items()
            if now - market.end_ns > FORGET_AFTER_NS and name not in self.awaited
        ]
        for name in gone:
            del self.markets[name]
            self._terms.pop(name, None)
        return gone

    async def _list(self) -> None:
        """Windows that end from now on and open within the look-ahead, page by page."""
        now_s = self.clock.wall_ns() // SECOND
        for page in range(MAX_PAGES):
            listing = await self.gamma.get(
                "/events",
                {
                    "tag_slug": "up-or-down",
                    "closed": "false",
                    "end_date_min": _instant(now_s),
                    # A window that opens within the look-ahead ends within twice of it.
                    "end_date_max": _instant(now_s + 2 * self.lookahead_ns // SECOND),
                    "limit": str(PAGE),
                    "offset": str(page * PAGE),
                },
            )
            found = _markets_in(listing)
            for market, event in found:
                parts = slug_parts(str(market.get("slug", "")))
                if parts is not None and parts.asset in self.assets and parts.label == self.cadence:
                    await self._take(market, event)
            if len(found) < PAGE:
                return

    async def _outcomes(self) -> None:
        """Ask by name for every window that is over and has no outcome yet: closed ones are not listed."""
        now = self.clock.wall_ns()
        over = {
            name
            for name, market in self.markets.items()
            if market.end_ns <= now and market.outcome is None and not market.refusals
        }
        for name in sorted(over | self.awaited):
            found = await self.gamma.get(f"/events/slug/{name}", {})
            for market, event in _markets_in(found):
                if market.get("slug") == name:
                    await self._take(market, event)
            known = self.markets.get(name)
            if known is not None and known.outcome is not None:
                self.awaited.discard(name)

    async def _take(self, market: Mapping[str, object], event: Mapping[str, object] | None) -> None:
        name = str(market.get("slug", ""))
        known = self.markets.get(name)
        # Grid and acceptance change while a window runs; after its end nothing does.
        if name not in self._terms or known is None or self.clock.wall_ns() < known.end_ns:
            condition = clob_condition_id(str(market.get("conditionId", "")))
            terms = await self.clob.get(f"/clob-markets/{condition}", {})
            if isinstance(terms, Mapping):
                self._terms[name] = terms
        try:
            state = market_from_gamma(market, event=event, clob=self._terms.get(name))
        except FrameRefused as refusal:
            self.on_refusal(refusal.reason)
            times = self._burst.note(refusal.reason, self.clock.mono_ns())
            if times is not None:
                self.log.warning("market_refused", slug=name[:80], why=str(refusal), times=times)
            return
        if known is None:
            self.log.info("window", window=state.window, refusals=list(state.refusals))
        self.markets[state.window] = state
        if state != known:
            self.on_change(state)


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _markets_in(answer: object) -> list[tuple[Mapping[str, object], Mapping[str, object] | None]]:
    """The markets of a listing, none for a 404; an answer of another shape is a failed request."""
    try:
        return markets_in(answer) if answer is not None else []
    except FrameRefused as refusal:
        raise FeedError(
            f"Gamma answered with something else than markets ({refusal}); trying again"
        ) from None
