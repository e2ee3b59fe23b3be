"""The one decision machine of live trading, paper, replay and backtest: ``step(state, event, moment)``.

Events are the bus's own envelopes (so that a recorded bus replays as it was) and two facts only the shell
knows: which sources are incomplete, and what became of a submitted order. Effects are wishes; nothing here
reads a clock, sends, or stores.
"""

import msgspec

from common.core import passport
from common.core.decision_state import (
    Effect,
    Event,
    ForgetWindow,
    Incomplete,
    RaiseAlert,
    State,
    SubmitAnswered,
    Window,
)
from common.core.evaluation import evaluate, predicted_outcome
from common.core.moment import Moment
from common.core.price_buffer import Added, PriceBuffer
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
    envelope_id,
)
from common.units import SECOND, price18_text

BUFFER_HORIZON_NS = 30 * 60 * SECOND
KEEP_AFTER_END_NS = 15 * 60 * SECOND
RETRY_AFTER_REFUSAL_NS = 2 * SECOND


def step(state: State, event: Event, moment: Moment) -> tuple[State, list[Effect]]:
    """Apply one event at one moment; returns the (same) state and the effects in order."""
    effects: list[Effect] = []
    if isinstance(event, Incomplete):
        state.incomplete = event.sources
    elif isinstance(event, SubmitAnswered):
        _answered(state, event, moment)
    else:
        _apply(state, event, moment, effects)
    return state, effects


def _apply(state: State, envelope: Envelope, moment: Moment, effects: list[Effect]) -> None:
    body = envelope.body
    cause = envelope_id(envelope)
    if isinstance(body, Tick):
        _tick(state, body, envelope, effects)
        if moment.wall_ns - body.observed_ns > state.strategy.max_tick_age_ns:
            return  # history (a snapshot, a backfill) informs decisions and triggers none
        for window in list(state.windows.values()):
            if window.market.asset == body.asset:
                evaluate(state, window, cause, moment, effects)
    elif isinstance(body, BookState):
        state.books[body.token] = body
        held = state.windows.get(body.window)
        if held is not None:
            evaluate(state, held, cause, moment, effects)
    elif isinstance(body, MarketState):
        _market(state, body, moment, effects)
        held = state.windows.get(body.window)
        if held is not None:
            evaluate(state, held, cause, moment, effects)
    elif isinstance(body, Heartbeat):
        _drop_old_windows(state, moment, effects)
        for window in list(state.windows.values()):
            evaluate(state, window, cause, moment, effects)
    elif isinstance(body, PostureState):
        state.posture = body
    elif isinstance(body, AccountState):
        state.account = body
    elif isinstance(body, OrderState):
        _order(state, body)
    elif isinstance(body, PositionState):
        state.positions[(body.window, body.outcome)] = body
        held = state.windows.get(body.window)
        if held is not None:
            held.entered = True


def _tick(state: State, tick: Tick, envelope: Envelope, effects: list[Effect]) -> None:
    kinds = state.series.setdefault(tick.asset, {})
    buffer = kinds.setdefault(tick.kind, PriceBuffer(BUFFER_HORIZON_NS))
    before = buffer.at(tick.observed_ns)
    added = buffer.add(tick.observed_ns, tick.value, envelope.mono_ns)
    key = (tick.asset, tick.kind, tick.observed_ns)
    if added is Added.CORRECTED and before is not None and key not in state.first_values:
        state.first_values[key] = msgspec.structs.replace(tick, e18=str(before))
        _bound_first_values(state, tick.observed_ns)
    for window in state.windows.values():
        if passport.opens_window(tick, window.market):
            _latch(state, window, tick, envelope.ts_recv_ns, effects)
        if (
            tick.asset == window.market.asset
            and tick.observed_ns == window.market.end_ns
            and tick.kind == passport.settlement_kind(window.market)
            and window.closing is None
        ):
            window.closing = tick.value


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


def _merged(old: MarketState, new: MarketState) -> MarketState:
    """An outcome once official is never forgotten by a later, poorer reading of the same market."""
    if new.outcome is None and old.outcome is not None:
        return msgspec.structs.replace(new, outcome=old.outcome, closed=True)
    return new


def _latch_from_buffer(state: State, window: Window, moment: Moment, effects: list[Effect]) -> None:
    market = window.market
    kind = passport.settlement_kind(market)
    buffer = state.series.get(market.asset, {}).get(kind) if kind else None
    if buffer is None or kind is None:
        return
    value = buffer.at(market.start_ns)
    if value is not None:
        latest = Tick(
            asset=market.asset, kind=kind, route="buffer", observed_ns=market.start_ns, e18=str(value)
        )
        first = state.first_values.get((market.asset, kind, market.start_ns))
        if first is not None:
            _latch(state, window, first, moment.wall_ns, effects)
        _latch(state, window, latest, moment.wall_ns, effects)
    if window.closing is None:
        window.closing = buffer.at(market.end_ns)


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
    for key in [key for key in state.first_values if newest_ns - key[2] > BUFFER_HORIZON_NS]:
        del state.first_values[key]
