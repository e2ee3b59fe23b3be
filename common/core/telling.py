"""What is published of judged windows: the verdict where a gate turned, the view when it is due.

Made after the orders of all windows are out: nobody's order waits for these words. Decides nothing.
"""

from collections.abc import Iterable, Iterator

from common.core import lag, passport, risk, sizing
from common.core.decision_state import Effect, PublishVerdict, PublishView, State, Window
from common.core.evaluation import Judgement, Weighed, view_due
from common.core.moment import Moment
from common.core.reference import Reference
from common.messages import Envelope, Gate, Outcome, Verdict, WindowView, envelope_id
from common.units import usd6_text


def told(
    state: State, judgements: Iterable[Judgement], envelope: Envelope, moment: Moment
) -> Iterator[Effect]:
    """What to publish of these judgements, made one by one as it is asked for."""
    for judgement in judgements:
        window = judgement.window
        if judgement.turned:
            yield PublishVerdict(_verdict(state, judgement, moment), envelope_id(envelope))
        if view_due(window, moment):
            view = _view(window, judgement.sight)
            window.view_mono_ns = moment.mono_ns
            if view != window.view:
                window.view = view
                yield PublishView(view)


def predicted_outcome(window: Window) -> Outcome | None:
    """The outcome by our own ticks, or None while one of the two is missing."""
    if window.strike is None or window.closing is None:
        return None
    return passport.winner(window.strike.value, window.closing)


def _verdict(state: State, judgement: Judgement, moment: Moment) -> Verdict:
    market = judgement.window.market
    gates = lag.gates(state.strategy, judgement.sight, judgement.passed, moment)
    if judgement.weighed is not None:
        gates += _weighed_gates(state, judgement.weighed)
    return Verdict(
        window=market.window,
        asset=market.asset,
        decision=judgement.decision,
        gates=gates,
        number=judgement.number,
    )


def _weighed_gates(state: State, weighed: Weighed) -> tuple[Gate, ...]:
    seen, paused = weighed.executor_seen, weighed.paused
    gates: tuple[Gate, ...] = (
        Gate("executor", "known" if seen else "not heard from yet", "known", seen),
        Gate("pause after refusal", "running" if paused else "over", "over", not paused),
    )
    if weighed.stake is not None:
        least = f">= {usd6_text(sizing.MIN_STAKE_USD6)}"
        gates += (Gate("Kelly stake", weighed.stake.text, least, weighed.stake.usd6 > 0),)
    if weighed.figures is not None:
        gates += risk.gates(state.limits, weighed.figures)
    return gates


def _view(window: Window, sight: lag.Sight) -> WindowView:
    market, strike, priced, gap = window.market, window.strike, sight.reference, sight.passport_gap
    known = priced if isinstance(priced, Reference) else None
    up, down = sight.up, sight.down
    return WindowView(
        window=market.window,
        asset=market.asset,
        start_ns=market.start_ns,
        end_ns=market.end_ns,
        strike_e18=str(strike.value) if strike else None,
        strike_source=f"{strike.kind} by {strike.route}" if strike else "",
        strike_disputes=strike.disputes if strike else 0,
        reference_e18=str(known.value) if known else None,
        reference_family=known.family if known else "",
        move_ppm=known.move_ppm if known else None,
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
        reference_route=known.route if known else "",
        basis=known.basis if known else "settlement",
        confidence_ppm=known.confidence_ppm if known else None,
        price_to_beat_e18=market.price_to_beat_e18,
        closing_e18=str(window.closing) if window.closing is not None else None,
        witnesses=market.witnesses,
    )


def _best(levels: tuple[tuple[int, int], ...]) -> int | None:
    return levels[0][0] if levels else None
