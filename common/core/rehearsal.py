"""A rehearsal of the decision: a small copy of the state in which every tick fires, for keeping the way warm.

At a few ticks a second caches and predictors forget the hot path between two ticks, and it takes several
times as long. What is decided here is thrown away by its caller; the real state is only read.
"""

import msgspec

from common.core import engine, passport
from common.core.decision_state import Effect, SendOrder, State, Window
from common.core.moment import Moment
from common.messages import (
    SCHEMA,
    BookState,
    Envelope,
    MarketState,
    Outcome,
    PostureState,
    Published,
    Submit,
    Tick,
)
from common.units import SECOND

LASTS_NS = SECOND
"""A copy is made anew after this: its books age, and its ticks pile up."""
SOURCE = "rehearsal"


class Rehearsal(msgspec.Struct):
    """The copy, and what is needed to let it fire again."""

    state: State
    window: Window
    tick: Tick
    made_ns: int


def begin(state: State, moment: Moment) -> Rehearsal | None:
    """Copy one open window with books that are cheap enough; None while there is nothing to rehearse with."""
    markets = [window.market for window in state.windows.values() if _is_open(state, window.market, moment)]
    if not markets or state.account is None or not state.strategy.routes:
        return None
    market = markets[0]
    kind = passport.settlement_kind(market)
    if kind is None:
        return None
    copy = State(strategy=state.strategy, limits=state.limits, routes=state.routes)
    copy.positions, copy.at_stake = dict(state.positions), state.at_stake
    opening = Tick(
        asset=market.asset,
        kind=kind,
        route=state.strategy.routes[0],
        observed_ns=market.start_ns,
        e18=str(1000 * 10**18),
    )
    posture = PostureState(posture="trading", reason="", who=SOURCE, since_ns=moment.wall_ns)
    bodies: list[Published] = [market, state.account, posture, *_books(state, market, moment), opening]
    for body in bodies:
        _hear(copy, body, moment)
    # Whatever a window is settled by, it is judged by spot ticks.
    return Rehearsal(
        copy, copy.windows[market.window], msgspec.structs.replace(opening, kind="spot"), moment.mono_ns
    )


def rehearse(rehearsal: Rehearsal, moment: Moment) -> Submit | None:
    """Let the copy decide on a tick of this moment; the wish that came of it, which must not be sent."""
    state, window = rehearsal.state, rehearsal.window
    window.entered, window.retry_mono_ns = False, 0
    state.in_flight.clear()
    state.order_times_ns = ()
    tick = msgspec.structs.replace(rehearsal.tick, observed_ns=moment.wall_ns, e18=str(1002 * 10**18))
    wishes = [effect.submit for effect in _hear(state, tick, moment) if isinstance(effect, SendOrder)]
    return wishes[0] if wishes else None


def _hear(state: State, body: Published, moment: Moment) -> list[Effect]:
    _, effects = engine.step(state, _envelope(body, moment), moment)
    return list(effects)


def _is_open(state: State, market: MarketState, moment: Moment) -> bool:
    return market.start_ns <= moment.wall_ns < market.end_ns - state.strategy.min_time_left_ns


def _books(state: State, market: MarketState, moment: Moment) -> list[BookState]:
    price4 = state.strategy.max_price4 // market.tick4 * market.tick4 - market.tick4
    sides: tuple[tuple[str, Outcome], ...] = ((market.token_up, "up"), (market.token_down, "down"))
    # Of the size of real ones: walking them is part of the way.
    depth = tuple((price4 + place * market.tick4, 1_000_000_000) for place in range(5))
    return [
        BookState(
            token=token,
            window=market.window,
            outcome=outcome,
            status="live",
            bids=((price4 - market.tick4, 1_000_000_000),),
            asks=depth,
            tick4=market.tick4,
            venue_ns=moment.wall_ns,
            data_mono_ns=moment.mono_ns,
            proven_ns=moment.wall_ns,
        )
        for token, outcome in sides
    ]


def _envelope(body: Published, moment: Moment) -> Envelope:
    return Envelope(
        schema=SCHEMA,
        source=SOURCE,
        boot="",
        seq=0,
        topic="~",
        ts_event_ns=0,
        ts_recv_ns=moment.wall_ns,
        mono_ns=moment.mono_ns,
        cause="",
        body=body,
    )
