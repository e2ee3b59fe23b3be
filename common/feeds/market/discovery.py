"""Which windows there are, on what terms, and how they ended: asks Gamma, the CLOB and the data API.

Every window of our assets and cadence that the venue lists is kept, tradable or not; whether it may be traded
is the passport's word. Each service is asked for itself, one request at a time: one that fails is told and
holds up no other.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import structlog

from common.core.passport import too_far_ahead
from common.core.terms import changed_terms, first_terms
from common.errors import FeedError, FrameRefused
from common.feeds.http import HttpSource
from common.feeds.market.gamma import (
    NOT_AT_CLOB,
    clob_condition_id,
    market_from_gamma,
    markets_in,
    outcome_order,
    slug_parts,
)
from common.feeds.market.hearing import Hearing, asked, due, heard, witnesses
from common.feeds.market.resolutions import MOST_CONDITIONS, payout_outcome, resolution_rows, winner_outcome
from common.messages import MarketState, Outcome, OutcomeSource
from common.runtime.clock import Clock
from common.runtime.log import Burst
from common.units import SECOND

FORGET_AFTER_NS = 15 * 60 * SECOND
WITNESS_AFTER_NS = 30 * SECOND
"""From a window's end until the others are asked although Gamma does not call it closed yet."""
WITNESS_PAUSE_NS = 30 * SECOND
"""A witness that did not answer is left alone for this long: windows and books wait for its time-outs."""
PAGE = 100
MAX_PAGES = 10
CLOB_SILENT = "the order book did not answer when asked for its terms"

_Json = Mapping[str, object]


@dataclass(slots=True)
class _Window:
    """What is known of one window beside its published state."""

    terms: _Json | None = None
    """The order book's own metadata, as last read."""
    order: tuple[Outcome, Outcome] | None = None
    first: MarketState | None = None
    changes: tuple[str, ...] = ()
    hearing: Hearing = field(default_factory=Hearing)


@dataclass(slots=True)
class Discovery:
    """The known windows by name; ``on_change`` is told of every new or changed one.

    ``on_refusal`` is told the reason of each answer that could not be used, ``on_silence`` which service did
    not answer.
    """

    gamma: HttpSource
    clob: HttpSource
    data: HttpSource
    assets: frozenset[str]
    cadence: str
    lookahead_ns: int
    clock: Clock
    log: structlog.typing.FilteringBoundLogger
    on_change: Callable[[MarketState], None]
    on_refusal: Callable[[str], None]
    on_silence: Callable[[str], None]
    markets: dict[str, MarketState] = field(default_factory=dict)
    awaited: set[str] = field(default_factory=set)
    """Windows somebody needs the outcome of, whether the venue still lists them or not."""
    _windows: dict[str, _Window] = field(default_factory=dict)
    _paused_ns: dict[OutcomeSource, int] = field(default_factory=dict)
    _burst: Burst = field(default_factory=Burst)

    async def refresh(self) -> None:
        """Read listings, terms and outstanding outcomes once.

        Raises FeedError, after everything was asked, when Gamma or the order book's terms did not answer:
        trading rests on them. A missing witness is counted and logged only.
        """
        troubles: dict[OutcomeSource, str] = {}
        await self._list(troubles)
        await self._outcomes(troubles)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._payouts(), name="data api")
            if "clob" not in troubles:
                group.create_task(self._winner_flags(), name="winner flags")
        self.awaited -= {name for name, market in self.markets.items() if market.outcome is not None}
        if troubles:
            raise FeedError("; ".join(troubles.values()))

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
        for name in self._windows.keys() - self.markets.keys() - self.awaited:
            del self._windows[name]
        return gone

    async def _list(self, troubles: dict[OutcomeSource, str]) -> None:
        """Windows that end from now on and open within the look-ahead, page by page."""
        now_s = self.clock.wall_ns() // SECOND
        for page in range(MAX_PAGES):
            try:
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
            except FeedError as error:
                self._silent("gamma", error, troubles)
                return
            for market, event in found:
                parts = slug_parts(str(market.get("slug", "")))
                if parts is not None and parts.asset in self.assets and parts.label == self.cadence:
                    await self._take(market, event, troubles)
            if len(found) < PAGE:
                return

    async def _outcomes(self, troubles: dict[OutcomeSource, str]) -> None:
        """Ask Gamma by name for windows that are over, until it told how: closed ones are not listed."""
        for name in self._questions("gamma"):
            self._note_question(name, "gamma")
            try:
                found = _markets_in(await self.gamma.get(f"/events/slug/{name}", {}))
            except FeedError as error:
                self._silent("gamma", error, troubles)
                return
            for market, event in found:
                if market.get("slug") == name:
                    await self._take(market, event, troubles)

    async def _payouts(self) -> None:
        """Ask the data API for the results of windows that are over, several at once."""
        names = [name for name in self._questions("data-api") if self._window(name).order is not None]
        for start in range(0, len(names), MOST_CONDITIONS):
            batch = {name: self.markets[name].condition_id for name in names[start : start + MOST_CONDITIONS]}
            for name in batch:
                self._note_question(name, "data-api")
            try:
                rows = _rows_in(
                    await self.data.get("/v2/resolutions", {"condition": ",".join(batch.values())})
                )
            except FeedError as error:
                self._silent_witness("data-api", error)
                return
            for name, condition in batch.items():
                order = self._window(name).order
                assert order is not None
                try:
                    outcome = payout_outcome(rows.get(condition, []), order)
                except FrameRefused as refusal:
                    self._refuse(refusal, name)
                else:
                    self._hear(name, "data-api", outcome)

    async def _winner_flags(self) -> None:
        """Ask the order book which token won, window by window."""
        for name in self._questions("clob"):
            market = self.markets[name]
            self._note_question(name, "clob")
            try:
                answer = await self.clob.get(f"/markets/{market.condition_id}", {})
            except FeedError as error:
                self._silent_witness("clob", error)
                return
            try:
                outcome = winner_outcome(answer, market)
            except FrameRefused as refusal:
                self._refuse(refusal, name)
            else:
                self._hear(name, "clob", outcome)

    def _questions(self, source: OutcomeSource) -> list[str]:
        """The windows this service is to be asked about now; those not asked for longest come first."""
        wall, mono = self.clock.wall_ns(), self.clock.mono_ns()
        if mono < self._paused_ns.get(source, mono):
            return []
        names = {name for name in self.markets if self._is_over(name, wall)} | self.awaited
        if source != "gamma":
            names = {name for name in names if self._may_testify(name, wall)}
        names = {name for name in names if due(self._window(name).hearing, source, mono)}
        return sorted(names, key=lambda name: (self._window(name).hearing.asked_ns.get(source, -1), name))

    def _is_over(self, name: str, wall_ns: int) -> bool:
        """Whether the window has ended and was one to trade, before its terms changed at the latest."""
        market = self.markets[name]
        return market.end_ns <= wall_ns and (not market.refusals or bool(self._window(name).changes))

    def _may_testify(self, name: str, wall_ns: int) -> bool:
        market = self.markets.get(name)
        if market is None or not market.condition_id:
            return False
        return market.closed or wall_ns >= market.end_ns + WITNESS_AFTER_NS

    async def _take(self, market: _Json, event: _Json | None, troubles: dict[OutcomeSource, str]) -> None:
        name = str(market.get("slug", ""))
        known, window = self.markets.get(name), self._window(name)
        # Grid and acceptance change while a window runs; after its end nothing does.
        if "clob" not in troubles and (
            window.terms is None or known is None or self.clock.wall_ns() < known.end_ns
        ):
            condition = clob_condition_id(str(market.get("conditionId", "")))
            try:
                terms = await self.clob.get(f"/clob-markets/{condition}", {})
            except FeedError as error:
                self._silent("clob", error, troubles)
            else:
                window.terms = terms if isinstance(terms, Mapping) else window.terms
        try:
            state = market_from_gamma(market, event=event, clob=window.terms)
        except FrameRefused as refusal:
            self._refuse(refusal, name)
            return
        if "clob" in troubles:
            refusals = (CLOB_SILENT if why == NOT_AT_CLOB else why for why in state.refusals)
            state = msgspec.structs.replace(state, refusals=tuple(refusals))
        window.order = outcome_order(market)
        self._compare(window, state)
        window.hearing = heard(window.hearing, "gamma", state.outcome, self.clock.mono_ns())
        self._keep(msgspec.structs.replace(state, refusals=state.refusals + window.changes))

    def _compare(self, window: _Window, state: MarketState) -> None:
        """A window whose lasting terms change is refused from then on, even if they change back."""
        if window.changes:
            return
        window.first = first_terms(window.first, state)
        window.changes = tuple(changed_terms(window.first, state))
        if window.changes:
            self._refuse(FrameRefused("changed-terms", "; ".join(window.changes)), state.window)

    def _hear(self, name: str, source: OutcomeSource, outcome: Outcome | None) -> None:
        window = self._window(name)
        window.hearing = heard(window.hearing, source, outcome, self.clock.mono_ns())
        self._keep(self.markets[name])

    def _keep(self, state: MarketState) -> None:
        """Publish a reading with all that is known of its result, if that is news."""
        hearing = self._window(state.window).hearing
        closed = state.closed or hearing.official is not None
        state = msgspec.structs.replace(
            state,
            closed=closed,
            accepting=state.accepting and not closed,
            outcome=hearing.official,
            witnesses=witnesses(hearing),
        )
        known = self.markets.get(state.window)
        if known is None:
            self.log.info("window", window=state.window, refusals=list(state.refusals))
        self.markets[state.window] = state
        if state != known:
            self.on_change(state)

    def _window(self, name: str) -> _Window:
        return self._windows.setdefault(name, _Window())

    def _note_question(self, name: str, source: OutcomeSource) -> None:
        window = self._window(name)
        window.hearing = asked(window.hearing, source, self.clock.mono_ns())

    def _silent(self, source: OutcomeSource, error: FeedError, troubles: dict[OutcomeSource, str]) -> None:
        """Nothing more is asked of a service in a round in which it did not answer, and the round says so."""
        self.on_silence(source)
        troubles.setdefault(source, str(error))

    def _silent_witness(self, source: OutcomeSource, error: FeedError) -> None:
        self.on_silence(source)
        self._paused_ns[source] = self.clock.mono_ns() + WITNESS_PAUSE_NS
        times = self._burst.note(f"silent {source}", self.clock.mono_ns())
        if times is not None:
            self.log.warning("witness_silent", source=source, why=str(error), times=times)

    def _refuse(self, refusal: FrameRefused, name: str) -> None:
        self.on_refusal(refusal.reason)
        times = self._burst.note(refusal.reason, self.clock.mono_ns())
        if times is not None:
            self.log.warning("market_refused", slug=name[:80], why=str(refusal), times=times)


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _markets_in(answer: object) -> list[tuple[_Json, _Json | None]]:
    """The markets of a listing, none for a 404; an answer of another shape is a failed request."""
    try:
        return markets_in(answer) if answer is not None else []
    except FrameRefused as refusal:
        raise FeedError(
            f"Gamma answered with something else than markets ({refusal}); trying again"
        ) from None


def _rows_in(answer: object) -> dict[str, list[_Json]]:
    """The rows of a resolutions answer; an answer of another shape is a failed request."""
    try:
        return resolution_rows(answer)
    except FrameRefused as refusal:
        raise FeedError(
            f"the data API answered with something else than resolutions ({refusal}); trying again"
        ) from None
