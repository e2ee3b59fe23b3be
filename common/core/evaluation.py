"""Judging one window: strategy, risk, and what is published of it. Sends nothing; appends effects."""

import msgspec

from common.core import lag, passport, risk, route_rule, sizing
from common.core.decision_state import Effect, PublishVerdict, PublishView, SendOrder, State, Window
from common.core.matching import worst_case_usd6
from common.core.moment import Moment
from common.core.portfolio import Reservation
from common.core.reference import Reference, reference
from common.messages import BookState, Gate, Outcome, Submit, Verdict, WindowView
from common.units import MILLISECOND, usd6_text

VIEW_EVERY_NS = 250 * MILLISECOND


def evaluate(state: State, window: Window, cause: str, moment: Moment, effects: list[Effect]) -> None:
    """Judge one window now and append what follows: verdict, view, order."""
    market = window.market
    series = state.series.get(market.asset, {})
    if passport.awaits_strike(market, window.strike, moment):
        # Until it is certain that the strike never came, no stand-in speaks for the window.
        priced: Reference | str = "no strike"
    else:
        priced = reference(
            market, window.strike, series, state.strategy, moment, route_rule.unsound_routes(state)
        )
    gap = passport.untradable(market, moment)
    if not gap and not (isinstance(priced, Reference) and priced.basis != "settlement"):
        gap = passport.strike_gap(market, window.strike, moment)
    books: dict[Outcome, BookState | None] = {
        "up": state.books.get(market.token_up),
        "down": state.books.get(market.token_down),
    }
    decision, gates = lag.decide(
        state.strategy,
        market,
        priced,
        books,
        passport_gap=gap,
        entered=window.entered,
        unsynced=_unsynced(state),
        contradiction=route_rule.contradiction(state, market.asset, passport.settlement_kind(market), moment),
        moment=moment,
    )
    submit = None
    if decision != "no_trade" and isinstance(priced, Reference):
        submit, risk_gates = _wish(state, window, decision, priced, cause, moment)
        gates += risk_gates
        if submit is None:
            decision = "no_trade"
    _publish_verdict(state, window, decision, gap, gates, cause, effects)
    _publish_view(window, priced, books, gap, moment, effects)
    if submit is not None:
        window.entered = True
        state.order_times_ns = (*state.order_times_ns[-99:], moment.mono_ns)
        state.in_flight[submit.intent_id] = Reservation(
            intent_id=submit.intent_id,
            window=market.window,
            asset=market.asset,
            outcome=submit.outcome,
            worst_usd6=worst_case_usd6(submit.stake_usd6, submit.limit4, market.fee),
        )
        state.counts["orders_sent"] += 1
        effects.append(SendOrder(msgspec.structs.replace(submit, verdict_number=window.verdicts)))


def _wish(
    state: State, window: Window, decision: lag.Decision, priced: Reference, cause: str, moment: Moment
) -> tuple[Submit | None, tuple[Gate, ...]]:
    """The order the strategy wants, if risk and the executor's known state allow it."""
    market = window.market
    outcome: Outcome = "up" if decision == "buy_up" else "down"
    executor_seen = state.posture is not None and state.account is not None
    gates: tuple[Gate, ...] = (
        Gate("executor", "known" if executor_seen else "not heard from yet", "known", executor_seen),
        Gate(
            "pause after refusal",
            "over" if moment.mono_ns >= window.retry_mono_ns else "running",
            "over",
            moment.mono_ns >= window.retry_mono_ns,
        ),
    )
    if state.posture is None or state.account is None or moment.mono_ns < window.retry_mono_ns:
        return None, gates
    book = risk.RiskBook(
        posture=state.posture.posture,
        positions=tuple(state.positions.values()),
        reservations=tuple(state.in_flight.values()),
        cash_usd6=state.account.cash_usd6,
        day_pnl_usd6=state.account.day_pnl_usd6,
        loss_streak=state.account.loss_streak,
        order_times_ns=state.order_times_ns,
    )
    stake, limit4 = state.strategy.stake_usd6, lag.price_cap(state.strategy, market.tick4)
    if state.strategy.sizing == "kelly":
        # Kelly's stake is right at one price: the order takes nothing dearer.
        limit4 = state.books[market.token_up if outcome == "up" else market.token_down].asks[0][0]
        sized = _kelly(state, window, outcome, priced, book, limit4)
        stake = sized.usd6
        least = f">= {usd6_text(sizing.MIN_STAKE_USD6)}"
        gates += (Gate("Kelly stake", sized.text, least, stake > 0),)
    wish = risk.Wish(
        window=market.window,
        asset=market.asset,
        outcome=outcome,
        stake_usd6=stake,
        limit4=limit4,
        worst_usd6=worst_case_usd6(stake, limit4, market.fee),
    )
    gates += risk.check(state.limits, book, wish, moment)
    if risk.first_failed(gates) is not None:
        return None, gates
    return (
        Submit(
            intent_id=f"{market.window}/{outcome}/{state.strategy.name}",
            window=market.window,
            asset=market.asset,
            token=market.token_up if outcome == "up" else market.token_down,
            outcome=outcome,
            strategy=state.strategy.name,
            limit4=wish.limit4,
            stake_usd6=stake,
            decided_ns=moment.wall_ns,
            decided_mono_ns=moment.mono_ns,
            cause=cause,
            basis=priced.basis,
        ),
        gates,
    )


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


def _publish_verdict(
    state: State,
    window: Window,
    decision: lag.Decision,
    gap: str,
    gates: tuple[Gate, ...],
    cause: str,
    effects: list[Effect],
) -> None:
    shape = (decision, gap, tuple((gate.name, gate.passed) for gate in gates))
    if shape == window.verdict:
        return
    window.verdict = shape
    window.verdicts += 1
    state.counts["verdicts"] += 1
    verdict = Verdict(
        window=window.market.window,
        asset=window.market.asset,
        decision=decision,
        gates=gates,
        number=window.verdicts,
    )
    effects.append(PublishVerdict(verdict, cause))


def _publish_view(
    window: Window,
    priced: Reference | str,
    books: dict[Outcome, BookState | None],
    gap: str,
    moment: Moment,
    effects: list[Effect],
) -> None:
    if window.view is not None and moment.mono_ns - window.view_mono_ns < VIEW_EVERY_NS:
        return
    market, strike = window.market, window.strike
    up, down = books["up"], books["down"]
    view = WindowView(
        window=market.window,
        asset=market.asset,
        start_ns=market.start_ns,
        end_ns=market.end_ns,
        strike_e18=str(strike.value) if strike else None,
        strike_source=f"{strike.kind} by {strike.route}" if strike else "",
        strike_disputes=strike.disputes if strike else 0,
        reference_e18=str(priced.value) if isinstance(priced, Reference) else None,
        reference_family=priced.family if isinstance(priced, Reference) else "",
        move_ppm=priced.move_ppm if isinstance(priced, Reference) else None,
        up_bid4=_best(up.bids if up else ()),
        up_ask4=_best(up.asks if up else ()),
        down_bid4=_best(down.bids if down else ()),
        down_ask4=_best(down.asks if down else ()),
        tradable=not gap,
        reason=gap,
        predicted=predicted_outcome(window),
        outcome=market.outcome,
        refused=bool(market.refusals) or gap == passport.TOO_FAR_AHEAD,
        strike_obtained_ns=strike.obtained_ns if strike else 0,
        reference_route=priced.route if isinstance(priced, Reference) else "",
        basis=priced.basis if isinstance(priced, Reference) else "settlement",
        confidence_ppm=priced.confidence_ppm if isinstance(priced, Reference) else None,
        price_to_beat_e18=market.price_to_beat_e18,
        closing_e18=str(window.closing) if window.closing is not None else None,
        witnesses=market.witnesses,
    )
    window.view_mono_ns = moment.mono_ns
    if view != window.view:
        window.view = view
        effects.append(PublishView(view))


def _unsynced(state: State) -> str:
    """Sources without which nothing is decided: one route may have a gap while another is whole."""
    settling = {f"{route_rule.ROLE_PREFIX}{route}" for route in state.strategy.routes}
    missing = {source for source in state.incomplete if not source.startswith(route_rule.ROLE_PREFIX)}
    if settling <= state.incomplete:
        missing |= settling
    return f"gap not repaired: {', '.join(sorted(missing))}" if missing else ""


def _best(levels: tuple[tuple[int, int], ...]) -> int | None:
    return levels[0][0] if levels else None


def predicted_outcome(window: Window) -> Outcome | None:
    """The outcome by our own ticks, or None while one of the two is missing."""
    if window.strike is None or window.closing is None:
        return None
    return passport.winner(window.strike.value, window.closing)
