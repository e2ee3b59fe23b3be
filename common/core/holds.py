"""Holds: reasons why no new order may begin at present, beside the latched posture, and how both show.

A hold lifts by itself when its cause is gone and is never stored; a posture stays until somebody changes it.
"""

import msgspec

from common.core.moment import Moment
from common.core.order_effects import (
    CommitPosture,
    Effect,
    PublishPosture,
    RaiseAlert,
    Result,
)
from common.core.order_state import (
    Hold,
    State,
)
from common.messages import Alert, Posture, PostureState

OWN_NAME = "executor"
STRICTNESS: tuple[Posture, ...] = ("trading", "no-new-orders", "paused", "halted")
"""Each forbids what the ones before it forbid."""
VENUE_HOLD = "venue"
"""While the venue told us to wait."""


def shown_posture(state: State) -> PostureState:
    """What the executor may do now: the latched posture, or no new orders while it is held."""
    latched = state.posture
    if latched.posture != "trading" or not state.holds:
        return latched
    name, first = min(state.holds.items(), key=lambda item: item[1].since_ns)
    reason = "; ".join(hold.reason for _, hold in sorted(state.holds.items()))
    return PostureState(posture="no-new-orders", reason=reason, who=name, since_ns=first.since_ns)


def hold(state: State, name: str, reason: str, moment: Moment, *, for_ns: int | None = None) -> Result:
    """Hold new orders under this name, or lift it with an empty reason; a shorter hold never shortens."""
    held = state.holds.get(name)
    until_ns = None if for_ns is None else moment.mono_ns + for_ns
    if held is not None and reason:
        if held.until_ns is not None and until_ns is not None:
            until_ns = max(until_ns, held.until_ns)
        changed = Hold(reason, held.since_ns, until_ns)
    else:
        changed = Hold(reason, moment.wall_ns, until_ns)
    holds = {key: each for key, each in state.holds.items() if key != name}
    if reason:
        holds[name] = changed
    return _with_holds(state, holds)


def expire(state: State, moment: Moment) -> Result:
    """Lift the holds whose time is over."""
    return _with_holds(
        state,
        {
            name: each
            for name, each in state.holds.items()
            if each.until_ns is None or moment.mono_ns < each.until_ns
        },
    )


def halt(state: State, reason: str, code: str, moment: Moment, *, saved: bool = True) -> Result:
    """Halt on our own account; said once, however often the cause is met."""
    posture = PostureState(posture="halted", reason=reason, who=OWN_NAME, since_ns=moment.wall_ns)
    return _latch(state, posture, code, saved)


def stop_orders(state: State, reason: str, code: str, moment: Moment) -> Result:
    """Take no new orders until somebody has looked; a posture that allows even less stays."""
    if state.posture.posture != "trading":
        return state, []
    posture = PostureState(posture="no-new-orders", reason=reason, who=OWN_NAME, since_ns=moment.wall_ns)
    return _latch(state, posture, code, saved=True)


def _latch(state: State, posture: PostureState, code: str, saved: bool) -> Result:
    if state.posture.posture == posture.posture:
        return state, []
    effects: list[Effect] = [CommitPosture(posture)] if saved else []
    effects += [
        PublishPosture(posture),
        RaiseAlert(Alert(level="critical", code=code, text=f"{posture.posture}: {posture.reason}")),
    ]
    return msgspec.structs.replace(state, posture=posture, posture_saved=saved), effects


def _with_holds(state: State, holds: dict[str, Hold]) -> Result:
    if holds == state.holds:
        return state, []
    before = shown_posture(state)
    state = msgspec.structs.replace(state, holds=holds)
    after = shown_posture(state)
    return state, [] if after == before else [PublishPosture(after)]
