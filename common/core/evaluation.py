"""Judging one window: strategy and risk, on figures alone. Sends nothing, words nothing.

What is published of a judgement is made in ``telling``, after the orders of all windows are out.
"""

from typing import NamedTuple

from common.core import lag, passport, risk, route_rule, sizing
from common.core.decision_state import State, Window
from common.core.matching import worst_case_usd6
from common.core.moment import Moment
from common.core.portfolio import Reservation
from common.core.reference import Reference, reference
from common.messages import Envelope, Outcome, SeriesKind, Submit, envelope_id
from common.units import MILLISECOND, SECOND

VIEW_EVERY_NS = 250 * MILLISECOND
"""A window is shown this often at most."""
MINUTE_NS = 60 * SECOND
"""Orders are counted by the minute; what is older weighs on nothing."""


class Outlook:
    """What all windows of one step have in common, found once."""

    __slots__ = ("_contradictions", "_moment", "_state", "unsound", "unsynced")

    def __init__(self, state: State, moment: Moment) -> None:
        self._state, self._moment = state, moment
        self._contradictions: dict[tuple[str, SeriesKind | None], str] = {}
        self.unsound = route_rule.unsound_routes(state)
        self.unsynced = _unsynced(state)

    def contradiction(self, asset: str, settling: SeriesKind | None) -> str:
        """Why the oracle's routes forbid an order on this asset; empty when they do not."""
        key = (asset, settling)
        found = self._contradictions.get(key)
        if found is None:
            found = route_rule.contradiction(self._state, asset, settling, self._moment)
            self._contradictions[key] = found
        return found


class Weighed(NamedTuple):
    """What became of the strategy's wish: everything after the rule itself, as far as it was asked."""

    executor_seen: bool
    paused: bool
    """After a refusal."""
    stake: sizing.Stake | None
    """Kelly's, where it sizes the order."""
    figures: risk.Figures | None
    """What the limits were held against; None when it did not come to that."""
    passed: tuple[bool, ...]
    wish: risk.Wish | None
    """What may be ordered, if anything."""


class Judgement(NamedTuple):
    """One window judged, with all that is needed to say why."""

    window: Window
    sight: lag.Sight
    passed: tuple[bool, ...]
    """By the gates of the rule."""
    decision: lag.Decision
    weighed: Weighed | None
    turned: bool
    """The decision or a gate is another than before: the verdict of this number is to be told."""
    number: int
    submit: Submit | None


def evaluate(
    state: State, window: Window, outlook: Outlook, envelope: Envelope, moment: Moment
) -> Judgement | None:
    """Judge one window now and let the state follow; None when there is nothing to order or to tell."""
    market = window.market
    if passport.awaits_strike(market, window.strike, moment):
        # Until it is certain that the strike never came, no stand-in speaks for the window.
        priced: Reference | str = "no strike"
    else:
        series = state.series.get(market.asset, {})
        priced = reference(market, window.strike, series, state.strategy, moment, outlook.unsound)
    gap = passport.untradable(market, moment)
    if not gap and not (isinstance(priced, Reference) and priced.basis != "settlement"):
        gap = passport.strike_gap(market, window.strike, moment)
    sight = lag.Sight(
        market,
        priced,
        state.books.get(market.token_up),
        state.books.get(market.token_down),
        gap,
        window.entered,
        outlook.unsynced,
        outlook.contradiction(market.asset, passport.settlement_kind(market)),
    )
    decision, passed = lag.decide(state.strategy, sight, moment)
    weighed, submit, shape = None, None, passed
    if decision != "no_trade" and isinstance(priced, Reference):
        outcome: Outcome = "up" if decision == "buy_up" else "down"
        weighed = _weigh(state, window, outcome, priced, moment)
        if weighed.wish is None:
            decision = "no_trade"
        shape += weighed.passed
    turned = window.verdict != (decision, gap, shape)
    if turned:
        window.verdict = (decision, gap, shape)
        window.verdicts += 1
        state.counts["verdicts"] += 1
    if weighed is not None and weighed.wish is not None and isinstance(priced, Reference):
        submit = _order(state, window, weighed.wish, priced, envelope_id(envelope), moment)
    elif not turned and not view_due(window, moment):
        return None
    return Judgement(window, sight, passed, decision, weighed, turned, window.verdicts, submit)


def view_due(window: Window, moment: Moment) -> bool:
    """Whether it is time to look whether the window's view is another one."""
    return window.view is None or moment.mono_ns - window.view_mono_ns >= VIEW_EVERY_NS


def _weigh(state: State, window: Window, outcome: Outcome, priced: Reference, moment: Moment) -> Weighed:
    """The order the strategy wants, held against risk and the executor's known state."""
    market, strategy = window.market, state.strategy
    paused = moment.mono_ns < window.retry_mono_ns
    if state.posture is None or state.account is None or paused:
        seen = state.posture is not None and state.account is not None
        return Weighed(seen, paused, None, None, (seen, not paused), None)
    book = risk.RiskBook(
        state.posture.posture,
        state.at_stake,
        state.in_flight.values(),
        state.account.cash_usd6,
        state.account.day_pnl_usd6,
        state.account.loss_streak,
        state.order_times_ns,
    )
    staked, stake, limit4 = None, strategy.stake_usd6, lag.price_cap(strategy, market.tick4)
    passed: tuple[bool, ...] = (True, True)
    if strategy.sizing == "kelly":
        # Kelly's stake is right at one price: the order takes nothing dearer.
        limit4 = state.books[market.token_up if outcome == "up" else market.token_down].asks[0][0]
        staked = _kelly(state, window, outcome, priced, book, limit4)
        stake = staked.usd6
        passed += (stake > 0,)
    worst = worst_case_usd6(stake, limit4, market.fee)
    wish = risk.Wish(market.window, market.asset, outcome, stake, limit4, worst)
    figures = risk.weigh(book, wish, moment)
    passed += risk.passed(state.limits, figures)
    return Weighed(True, False, staked, figures, passed, wish if all(passed) else None)


def _order(
    state: State, window: Window, wish: risk.Wish, priced: Reference, cause: str, moment: Moment
) -> Submit:
    """The order, in flight from now on."""
    market, strategy = window.market, state.strategy
    submit = Submit(
        intent_id=f"{wish.window}/{wish.outcome}/{strategy.name}",
        window=wish.window,
        asset=wish.asset,
        token=market.token_up if wish.outcome == "up" else market.token_down,
        outcome=wish.outcome,
        strategy=strategy.name,
        limit4=wish.limit4,
        stake_usd6=wish.stake_usd6,
        decided_ns=moment.wall_ns,
        decided_mono_ns=moment.mono_ns,
        cause=cause,
        verdict_number=window.verdicts,
        basis=priced.basis,
    )
    window.entered = True
    recent = [at for at in state.order_times_ns if moment.mono_ns - at < MINUTE_NS]
    state.order_times_ns = (*recent, moment.mono_ns)
    state.in_flight[submit.intent_id] = Reservation(
        submit.intent_id, wish.window, wish.asset, wish.outcome, wish.worst_usd6
    )
    state.counts["orders_sent"] += 1
    return submit


def _kelly(
    state: State, window: Window, outcome: Outcome, priced: Reference, book: risk.RiskBook, limit4: int
) -> sizing.Stake:
    market = window.market
    return sizing.kelly_stake(
        state.strategy,
        sizing.probability_ppm(state.strategy, market.asset, priced, market.end_ns),
        limit4,
        market.fee,
        sizing.free_cash_usd6(book),
        sizing.room_usd6(state.limits, book, market.window, market.asset, outcome),
    )


def _unsynced(state: State) -> str:
    """Sources without which nothing is decided: one route may have a gap while another is whole."""
    if not state.incomplete:
        return ""
    settling = {f"{route_rule.ROLE_PREFIX}{route}" for route in state.strategy.routes}
    missing = {source for source in state.incomplete if not source.startswith(route_rule.ROLE_PREFIX)}
    if settling <= state.incomplete:
        missing |= settling
    return f"gap not repaired: {', '.join(sorted(missing))}" if missing else ""
