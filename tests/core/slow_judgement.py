"""The judgement of a window in its plainest form: every gate in words, every sum anew, one window at a time.

What ``common.core.evaluation`` and ``telling`` do fast is the same as this.
"""

from typing import Any

import msgspec

from common.core import passport, sizing
from common.core.decision_state import Effect, PublishVerdict, PublishView, SendOrder, State, Window
from common.core.lag import book_fault, price_cap
from common.core.matching import worst_case_usd6
from common.core.moment import Moment, input_age_ns
from common.core.portfolio import Reservation, exposure
from common.core.reference import Reference, reference
from common.core.risk import RiskBook, Wish
from common.core.route_audit import FROZEN_NS, SeriesId, _off, live_routes
from common.core.series import Routes
from common.core.telling import predicted_outcome
from common.messages import Envelope, Gate, Submit, Verdict, WindowView, envelope_id
from common.units import MILLISECOND, SECOND, price4_text, usd6_text


def judged(
    state: State, windows: Any, envelope: Envelope, moment: Moment, effects: list[Effect]
) -> list[Effect]:
    """All windows one after the other; the order of each follows its verdict and its view."""
    for window in windows:
        evaluate(state, window, envelope_id(envelope), moment, effects)
    return effects


def orders_first(effects: list[Effect]) -> list[Effect]:
    return sorted(effects, key=lambda effect: not isinstance(effect, SendOrder))


def evaluate(state: State, window: Window, cause: str, moment: Moment, effects: list[Effect]) -> None:
    market = window.market
    if passport.awaits_strike(market, window.strike, moment):
        priced: Reference | str = "no strike"
    else:
        unsound = [
            source.removeprefix("oracle-") for source in state.incomplete if source.startswith("oracle-")
        ]
        series = state.series.get(market.asset, {})
        priced = reference(market, window.strike, series, state.strategy, moment, unsound)
    gap = passport.untradable(market, moment)
    if not gap and not (isinstance(priced, Reference) and priced.basis != "settlement"):
        gap = passport.strike_gap(market, window.strike, moment)
    decision, gates = _decide(state, window, priced, gap, moment)
    submit = None
    if decision != "no_trade" and isinstance(priced, Reference):
        submit, more = _wish(state, window, decision, priced, cause, moment)
        gates += more
        if submit is None:
            decision = "no_trade"
    shape: Any = (decision, gap, tuple((gate.name, gate.passed) for gate in gates))
    if shape != window.verdict:
        window.verdict = shape
        window.verdicts += 1
        state.counts["verdicts"] += 1
        verdict = Verdict(
            window=market.window, asset=market.asset, decision=decision, gates=gates, number=window.verdicts
        )
        effects.append(PublishVerdict(verdict, cause))
    if window.view is None or moment.mono_ns - window.view_mono_ns >= 250 * MILLISECOND:
        view = _view(state, window, priced, gap)
        window.view_mono_ns = moment.mono_ns
        if view != window.view:
            window.view = view
            effects.append(PublishView(view))
    if submit is not None:
        window.entered = True
        state.order_times_ns = (*state.order_times_ns[-99:], moment.mono_ns)
        worst = worst_case_usd6(submit.stake_usd6, submit.limit4, market.fee)
        state.in_flight[submit.intent_id] = Reservation(
            submit.intent_id, market.window, market.asset, submit.outcome, worst
        )
        state.counts["orders_sent"] += 1
        effects.append(SendOrder(msgspec.structs.replace(submit, verdict_number=window.verdicts)))


def _decide(
    state: State, window: Window, priced: Reference | str, gap: str, moment: Moment
) -> tuple[Any, tuple[Gate, ...]]:
    settings, market = state.strategy, window.market
    settling = {f"oracle-{route}" for route in settings.routes}
    missing = {source for source in state.incomplete if not source.startswith("oracle-")}
    if settling <= state.incomplete:
        missing |= settling
    unsynced = f"gap not repaired: {', '.join(sorted(missing))}" if missing else ""
    entered = "entered" if window.entered else "none yet"
    against = _contradiction(state, market.asset, passport.settlement_kind(market), moment)
    gates = [
        Gate("passport", gap or "complete", "complete", not gap),
        Gate("input complete", unsynced or "complete", "complete", not unsynced),
        Gate("oracle routes", against or "agree", "agree", not against),
        Gate("one entry per window", entered, "none yet", not window.entered),
    ]
    oldest = f"<= {_seconds(settings.max_tick_age_ns)}"
    least = f"> {settings.min_move_ppm / 10_000:.4f} %"
    side = None
    if isinstance(priced, str):
        gates += [Gate("oracle age", priced, oldest, False), Gate("move", priced, least, False)]
    else:
        age = input_age_ns(priced.observed_ns, priced.mono_ns, moment)
        move = priced.move_ppm
        gates += [
            Gate("oracle age", _seconds(age), oldest, age <= settings.max_tick_age_ns),
            Gate("move", f"{move / 10_000:.4f} %", least, abs(move) > settings.min_move_ppm),
        ]
        side = "up" if move > 0 else "down" if move < 0 else None
    left = market.end_ns - moment.wall_ns
    least_left = settings.min_time_left_ns
    gates.append(Gate("time left", _seconds(left), f"> {_seconds(least_left)}", left > least_left))
    limit = f"< {price4_text(settings.max_price4)}"
    book = state.books.get(market.token_up if side == "up" else market.token_down) if side else None
    if book is None:
        reason = "no direction" if side is None else "no book yet"
        gates += [Gate("book", reason, "live", False), Gate("ask", reason, limit, False)]
    else:
        fault = book_fault(book, settings.max_book_age_ns, moment)
        ask = book.asks[0][0] if book.asks else None
        text = "nobody sells" if ask is None else price4_text(ask)
        gates += [
            Gate("book", fault or "live", "live", not fault),
            Gate("ask", text, limit, ask is not None and ask < settings.max_price4),
        ]
    if side is None or not all(gate.passed for gate in gates):
        return "no_trade", tuple(gates)
    return ("buy_up" if side == "up" else "buy_down"), tuple(gates)


def _contradiction(state: State, asset: str, settling: Any, moment: Moment) -> str:
    for kind in ("spot", settling):
        if kind is None:
            continue
        hold = state.routes.holds.get(SeriesId(asset, kind))
        if hold is not None:
            return f"{kind} {hold[0]}: {hold[1]}"
        live = live_routes(state.routes, SeriesId(asset, kind), state.strategy.routes)
        routes = state.series.get(asset, {}).get(kind, {})
        found = slow_disagreement(routes, live, state.strategy.max_divergence_ppm, moment)
        if found:
            return f"{kind} diverged: {found}"
    return ""


def slow_disagreement(routes: Routes, live: list[str], max_divergence_ppm: int, moment: Moment) -> str:
    newest: dict[int, dict[str, int]] = {}
    for route in sorted(routes):
        latest = routes[route].latest()
        if route not in live or latest is None or moment.wall_ns - latest.observed_ns > FROZEN_NS:
            continue
        for other in live:
            value = routes[other].at(latest.observed_ns) if other in routes else None
            if value is not None:
                newest.setdefault(latest.observed_ns, {})[other] = value
    shared = [second for second, values in newest.items() if len(values) > 1]
    if not shared:
        return ""
    off = _off(newest[max(shared)], max(shared), routes, max_divergence_ppm)
    return "; ".join(f"{route} {text}" for route, (state, text) in off.items() if state == "diverged")


def _wish(
    state: State, window: Window, decision: str, priced: Reference, cause: str, moment: Moment
) -> tuple[Submit | None, tuple[Gate, ...]]:
    market = window.market
    seen = state.posture is not None and state.account is not None
    over = moment.mono_ns >= window.retry_mono_ns
    gates: tuple[Gate, ...] = (
        Gate("executor", "known" if seen else "not heard from yet", "known", seen),
        Gate("pause after refusal", "over" if over else "running", "over", over),
    )
    if state.posture is None or state.account is None or not over:
        return None, gates
    book = RiskBook(
        posture=state.posture.posture,
        open=exposure(state.positions.values(), ()),
        reservations=tuple(state.in_flight.values()),
        cash_usd6=state.account.cash_usd6,
        day_pnl_usd6=state.account.day_pnl_usd6,
        loss_streak=state.account.loss_streak,
        order_times_ns=state.order_times_ns,
    )
    outcome: Any = "up" if decision == "buy_up" else "down"
    token = market.token_up if outcome == "up" else market.token_down
    stake, limit4 = state.strategy.stake_usd6, price_cap(state.strategy, market.tick4)
    if state.strategy.sizing == "kelly":
        limit4 = state.books[token].asks[0][0]
        sized = sizing.kelly_stake(
            state.strategy,
            sizing.probability_ppm(state.strategy, market.asset, priced, market.end_ns),
            limit4,
            market.fee,
            sizing.free_cash_usd6(book),
            sizing.room_usd6(state.limits, book, market.window, market.asset, outcome),
        )
        stake = sized.usd6
        least = f">= {usd6_text(sizing.MIN_STAKE_USD6)}"
        gates += (Gate("Kelly stake", sized.text, least, stake > 0),)
    worst = worst_case_usd6(stake, limit4, market.fee)
    wish = Wish(market.window, market.asset, outcome, stake, limit4, worst)
    gates += risk_gates(state, book, wish, moment)
    if not all(gate.passed for gate in gates):
        return None, gates
    return (
        Submit(
            intent_id=f"{market.window}/{outcome}/{state.strategy.name}",
            window=market.window,
            asset=market.asset,
            token=token,
            outcome=outcome,
            strategy=state.strategy.name,
            limit4=limit4,
            stake_usd6=stake,
            decided_ns=moment.wall_ns,
            decided_mono_ns=moment.mono_ns,
            cause=cause,
            basis=priced.basis,
        ),
        gates,
    )


def risk_gates(state: State, book: RiskBook, wish: Wish, moment: Moment) -> tuple[Gate, ...]:
    limits = state.limits
    at_risk = exposure(state.positions.values(), book.reservations)
    worst = wish.worst_usd6
    reserved = sum(one.worst_usd6 for one in book.reservations)
    held = {(p.window, p.outcome) for p in state.positions.values() if not p.settled}
    held |= {(r.window, r.outcome) for r in book.reservations} | {(wish.window, wish.outcome)}
    recent = sum(1 for at in book.order_times_ns if moment.mono_ns - at < 60 * SECOND) + 1
    worst_day = book.day_pnl_usd6 - sum(at_risk.by_direction.values()) - worst
    rest, least = book.cash_usd6 - reserved - worst, limits.min_balance_usd6

    def at_most(name: str, amount: int, limit: int) -> Gate:
        return Gate(name, usd6_text(amount), f"<= {usd6_text(limit)}", amount <= limit)

    return (
        Gate("posture", book.posture, "trading", book.posture == "trading"),
        at_most("stake", wish.stake_usd6, limits.max_stake_usd6),
        at_most("window exposure", at_risk.by_window.get(wish.window, 0) + worst, limits.max_window_usd6),
        at_most("asset exposure", at_risk.by_asset.get(wish.asset, 0) + worst, limits.max_asset_usd6),
        at_most(
            "direction exposure", at_risk.by_direction.get(wish.outcome, 0) + worst, limits.max_direction_usd6
        ),
        Gate("positions", str(len(held)), f"<= {limits.max_positions}", len(held) <= limits.max_positions),
        Gate(
            "daily loss",
            f"worst case {usd6_text(worst_day)}",
            f">= -{usd6_text(limits.max_daily_loss_usd6)}",
            worst_day >= -limits.max_daily_loss_usd6,
        ),
        Gate(
            "loss streak",
            str(book.loss_streak),
            f"< {limits.max_loss_streak}",
            book.loss_streak < limits.max_loss_streak,
        ),
        Gate(
            "orders per minute",
            str(recent),
            f"<= {limits.max_orders_per_minute}",
            recent <= limits.max_orders_per_minute,
        ),
        Gate("balance", usd6_text(rest), f">= {usd6_text(least)}", rest >= least),
    )


def _view(state: State, window: Window, priced: Reference | str, gap: str) -> WindowView:
    market, strike = window.market, window.strike
    best: dict[str, Any] = {}
    for side, token in (("up", market.token_up), ("down", market.token_down)):
        book = state.books.get(token)
        best[f"{side}_bid4"] = book.bids[0][0] if book and book.bids else None
        best[f"{side}_ask4"] = book.asks[0][0] if book and book.asks else None
    told: dict[str, Any] = {}
    if isinstance(priced, Reference):
        told = {
            "reference_family": priced.family,
            "reference_route": priced.route,
            "basis": priced.basis,
            "confidence_ppm": priced.confidence_ppm,
        }
    else:
        told = {"reference_family": ""}
    return WindowView(
        window=market.window,
        asset=market.asset,
        start_ns=market.start_ns,
        end_ns=market.end_ns,
        strike_e18=str(strike.value) if strike else None,
        strike_source=f"{strike.kind} by {strike.route}" if strike else "",
        strike_disputes=strike.disputes if strike else 0,
        strike_obtained_ns=strike.obtained_ns if strike else 0,
        reference_e18=str(priced.value) if isinstance(priced, Reference) else None,
        move_ppm=priced.move_ppm if isinstance(priced, Reference) else None,
        **best,
        **told,
        tradable=not gap,
        reason=gap,
        predicted=predicted_outcome(window),
        outcome=market.outcome,
        refused=bool(market.refusals) or gap == passport.TOO_FAR_AHEAD,
        price_to_beat_e18=market.price_to_beat_e18,
        closing_e18=str(window.closing) if window.closing is not None else None,
        witnesses=market.witnesses,
    )


def _seconds(ns: int) -> str:
    return f"{ns / SECOND:.1f} s"
