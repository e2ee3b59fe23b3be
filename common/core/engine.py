"""The one decision machine of live trading, paper, replay and backtest: ``step(state, event, moment)``.

Events are the bus's own envelopes (so that a recorded bus replays as it was) and two facts only the shell
knows: which sources are incomplete, and what became of a submitted order. Effects are wishes; nothing here
reads a clock, sends, or stores.
"""

from collections.abc import Iterable, Iterator

import msgspec

from common.core import passport
from common.core.decision_state import (
    Effect,
    Event,
    ForgetWindow,
    Incomplete,
    RaiseAlert,
    SendOrder,
    State,
    SubmitAnswered,
    Window,
)
from common.core.evaluation import Outlook, evaluate
from common.core.moment import Moment
from common.core.portfolio import exposure
from common.core.price_buffer import Added, PriceBuffer
from common.core.route_rule import audit_due, note_health, note_repeat
from common.core.series import ranked
from common.core.telling import predicted_outcome, told
from common.messages import (
    AccountState,
    Alert,
    BookState,
    Envelope,
    Heartbeat,
    MarketState,
    OrderState,
    PositionState,
    PostureState,
    Tick,
)
from common.units import SECOND, price18_text

BUFFER_HORIZON_NS = 30 * 60 * SECOND
KEEP_AFTER_END_NS = 15 * 60 * SECOND
RETRY_AFTER_REFUSAL_NS = 2 * SECOND


def step(state: State, event: Event, moment: Moment) -> tuple[State, Iterable[Effect]]:
    """Apply one event at one moment; returns the (same) state and the effects in order, orders first.

    Windows are judged, and what is published of them is made, while the caller goes through the effects, so
    that an order waits neither for other windows nor for words. Go through them once, to the end, before the
    next step.
    """
    if isinstance(event, Envelope):
        return state, _applied(state, event, moment)
    if isinstance(event, Incomplete):
        state.incomplete = event.sources
    else:
        _answered(state, event, moment)
    return state, ()


def _applied(state: State, envelope: Envelope, moment: Moment) -> Iterable[Effect]:
    body = envelope.body
    effects: list[Effect] = []
    touched: Iterable[Window] = ()
    if isinstance(body, BookState):
        state.books[body.token] = body
        touched = _window(state, body.window)
    elif isinstance(body, Tick):
        of_asset = [window for window in state.windows.values() if window.market.asset == body.asset]
        _tick(state, body, of_asset, envelope, moment, effects)
        if moment.wall_ns - body.observed_ns <= state.strategy.max_tick_age_ns:
            touched = of_asset  # history (a snapshot, a backfill) informs decisions and triggers none
    elif isinstance(body, MarketState):
        _market(state, body, moment, effects)
        touched = _window(state, body.window)
    elif isinstance(body, Heartbeat):
        note_health(state, body, moment)
        audit_due(state, moment, effects)
        _drop_old_windows(state, moment, effects)
        touched = list(state.windows.values())
    elif isinstance(body, PostureState):
        state.posture = body
    elif isinstance(body, AccountState):
        state.account = body
    elif isinstance(body, OrderState):
        _order(state, body)
    elif isinstance(body, PositionState):
        state.positions[(body.window, body.outcome)] = body
        state.at_stake = exposure(state.positions.values(), ())
        for window in _window(state, body.window):
            window.entered = True
    return _judged(state, touched, envelope, moment, effects) if touched else effects


def _window(state: State, name: str) -> tuple[Window, ...]:
    held = state.windows.get(name)
    return (held,) if held is not None else ()


def _judged(
    state: State, windows: Iterable[Window], envelope: Envelope, moment: Moment, effects: list[Effect]
) -> Iterator[Effect]:
    """Judge these windows: their orders, then what the step has to say anyway, then what is told of them."""
    outlook, judgements = Outlook(state, moment), []
    for window in windows:
        judgement = evaluate(state, window, outlook, envelope, moment)
        if judgement is None:
            continue
        judgements.append(judgement)
        if judgement.submit is not None:
            yield SendOrder(judgement.submit)
    yield from effects
    yield from told(state, judgements, envelope, moment)


def _tick(
    state: State,
    tick: Tick,
    of_asset: list[Window],
    envelope: Envelope,
    moment: Moment,
    effects: list[Effect],
) -> None:
    routes = state.series.setdefault(tick.asset, {}).setdefault(tick.kind, {})
    buffer = routes.get(tick.route)
    if buffer is None:
        buffer = routes[tick.route] = PriceBuffer(BUFFER_HORIZON_NS)
    value = tick.value
    before = buffer.at(tick.observed_ns)
    added = buffer.add(tick.observed_ns, value, envelope.mono_ns)
    if added is Added.SAME:
        note_repeat(state, tick, moment)
    elif added is Added.CORRECTED and before is not None:
        key = (tick.asset, tick.kind, tick.route, tick.observed_ns)
        if key not in state.first_values:
            state.first_values[key] = msgspec.structs.replace(tick, e18=str(before))
            _bound_first_values(state, tick.observed_ns)
    for window in of_asset:
        market = window.market
        if passport.opens_window(tick, market):
            _latch(state, window, tick, envelope.ts_recv_ns, effects)
        if (
            tick.observed_ns == market.end_ns
            and window.closing is None
            and tick.kind == passport.settlement_kind(market)
        ):
            window.closing = value


def _latch(state: State, window: Window, tick: Tick, obtained_ns: int, effects: list[Effect]) -> None:
    window.strike, disputed = passport.latch(window.strike, tick, obtained_ns)
    if disputed:
        state.counts["strike_disputes"] += 1
        effects.append(
            RaiseAlert(
                Alert(
                    level="warning",
                    code="strike-disputed",
                    text=f"{window.market.window}: the opening second came again with "
                    f"{price18_text(tick.value, places=6)} instead of "
                    f"{price18_text(window.strike.value, places=6)}; the first value stays",
                )
            )
        )


def _market(state: State, market: MarketState, moment: Moment, effects: list[Effect]) -> None:
    window = state.windows.get(market.window)
    if window is None:
        if moment.wall_ns - market.end_ns > KEEP_AFTER_END_NS:
            return
        window = state.windows[market.window] = Window(market)
        state.counts["windows_seen"] += 1
        window.entered = market.window in state.ordered or any(
            name == market.window for name, _ in state.positions
        )
    elif market != window.market:
        window.market = _merged(window.market, market)
    if window.strike is None:
        _latch_from_buffer(state, window, moment, effects)
    if market.outcome is not None and not window.judged:
        _judge(state, window, effects)
    _hear_witnesses(state, window, effects)


def _merged(old: MarketState, new: MarketState) -> MarketState:
    """An outcome once official is never forgotten by a later, poorer reading of the same market."""
    if new.outcome is None and old.outcome is not None:
        return msgspec.structs.replace(new, outcome=old.outcome, closed=True)
    return new


def _latch_from_buffer(state: State, window: Window, moment: Moment, effects: list[Effect]) -> None:
    """For a window that is discovered after its opening: by route, best first, the first value that came."""
    market = window.market
    kind = passport.settlement_kind(market)
    routes = state.series.get(market.asset, {}).get(kind, {}) if kind else {}
    if kind is None:
        return
    for route in ranked(routes, state.strategy.routes):
        value = routes[route].at(market.start_ns)
        if value is not None:
            first = state.first_values.get((market.asset, kind, route, market.start_ns))
            if first is not None:
                _latch(state, window, first, moment.wall_ns, effects)
            tick = Tick(
                asset=market.asset, kind=kind, route=route, observed_ns=market.start_ns, e18=str(value)
            )
            _latch(state, window, tick, moment.wall_ns, effects)
        if window.closing is None:
            window.closing = routes[route].at(market.end_ns)


def _judge(state: State, window: Window, effects: list[Effect]) -> None:
    window.judged = True
    predicted = predicted_outcome(window)
    official = window.market.outcome
    if predicted is None:
        return
    if predicted == official:
        state.counts["outcomes_right"] += 1
        return
    state.counts["outcomes_wrong"] += 1
    effects.append(
        RaiseAlert(
            Alert(
                level="warning",
                code="outcome-disputed",
                text=f"{window.market.window}: the venue says {official}, our ticks say {predicted}",
            )
        )
    )


def _hear_witnesses(state: State, window: Window, effects: list[Effect]) -> None:
    """Compare what the venue's services say: its strike with ours, its outcomes with each other."""
    market, strike = window.market, window.strike
    if not window.witness_judged and strike is not None and market.price_to_beat_e18 is not None:
        window.witness_judged = True
        price_to_beat = int(market.price_to_beat_e18)
        if not passport.contradicted_by(strike, price_to_beat):
            state.counts["strikes_confirmed"] += 1
        else:
            state.counts["strikes_contradicted"] += 1
            text = (
                f"{market.window}: the venue's price to beat is {price18_text(price_to_beat, places=6)}, "
                f"our strike {price18_text(strike.value, places=6)} ({strike.kind} by {strike.route}); "
                "ours stays, check the feed of the opening second"
            )
            effects.append(RaiseAlert(Alert(level="critical", code="strike-contradicted", text=text)))
    told = {witness.outcome for witness in market.witnesses} | ({market.outcome} - {None})
    if len(told) > 1 and not window.contradicted:
        window.contradicted = True
        state.counts["outcomes_contradicted"] += 1
        said = ", ".join(f"{one.source} says {one.outcome}" for one in market.witnesses)
        held = f"it stays {market.outcome}" if market.outcome else "nothing is settled until it agrees"
        text = f"{market.window}: the venue contradicts itself: {said}; {held}"
        effects.append(RaiseAlert(Alert(level="critical", code="outcome-contradicted", text=text)))


def _order(state: State, order: OrderState) -> None:
    state.ordered.add(order.window)
    held = state.windows.get(order.window)
    if held is not None:
        held.entered = True
    if order.status != "working":
        state.in_flight.pop(order.intent_id, None)


def _answered(state: State, event: SubmitAnswered, moment: Moment) -> None:
    """A definite no frees the window after a pause; a yes is followed by the order's own messages."""
    if event.accepted:
        return
    reservation = state.in_flight.pop(event.intent_id, None)
    window = state.windows.get(reservation.window) if reservation else None
    if window is not None:
        window.entered = False
        window.retry_mono_ns = moment.mono_ns + RETRY_AFTER_REFUSAL_NS


def _drop_old_windows(state: State, moment: Moment, effects: list[Effect]) -> None:
    for name, window in list(state.windows.items()):
        if moment.wall_ns - window.market.end_ns > KEEP_AFTER_END_NS:
            del state.windows[name]
            state.ordered.discard(name)
            for token in (window.market.token_up, window.market.token_down):
                state.books.pop(token, None)
            for key in [key for key, held in state.positions.items() if key[0] == name and held.settled]:
                del state.positions[key]
            effects.append(ForgetWindow(name))


def _bound_first_values(state: State, newest_ns: int) -> None:
    for key in [key for key in state.first_values if newest_ns - key[3] > BUFFER_HORIZON_NS]:
        del state.first_values[key]
