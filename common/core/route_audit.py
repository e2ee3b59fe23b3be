"""The route audit: every oracle second of every watched series, with all live routes side by side.

A second is judged once, when every healthy route must have brought it. Pure: buffers and instants in, one
audit out. Owns what a state means and when the routes forbid new orders.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from common.core.moment import Moment
from common.core.price_buffer import PriceBuffer
from common.core.series import Routes
from common.messages import RouteAudit, RouteState, RouteView, SeriesKind
from common.units import MILLISECOND, SECOND, price18_text

JUDGE_AFTER_NS = 4 * SECOND
"""99 % of the relay's ticks reach us within 2.3 s of their stamp."""
LATE_NS = 3 * SECOND
HELD_NS = 3 * SECOND
"""One value for this long is called held: 36 times on 8 June 2026, of 84,558 ticks."""
FROZEN_NS = 10 * SECOND
"""The longest such run of that day was seven seconds."""
SPEAKS_NS = 3 * SECOND
WARM_UP_NS = 15 * SECOND
"""A route that was just started is not missed this long, nor ever for the seconds before its first."""
HOLD_SECONDS = 5
"""Seconds in a row without a cause that end a hold."""
SILENT: frozenset[RouteState] = frozenset({"frozen", "missing", "held"})
_BADNESS: tuple[RouteState, ...] = ("agree", "late", "held", "missing", "frozen", "diverged")


class SeriesId(NamedTuple):
    """One series of one asset."""

    asset: str
    kind: SeriesKind


class RouteHealth(msgspec.Struct, frozen=True):
    """What a route's process last said of itself."""

    state: str
    detail: str
    series: tuple[str, ...]
    """The series it watches: ``spot/btc``."""
    since_mono_ns: int = 0
    """When it was first heard."""


@dataclass(slots=True)
class RouteAudits:
    """What the audit remembers between seconds."""

    health: dict[str, RouteHealth] = field(default_factory=dict)
    watched: set[SeriesId] = field(default_factory=set)
    asked_ns: int = 0
    """When (monotonic) another posture was last asked for."""
    judged_ns: int = 0
    """The newest oracle second that was judged."""
    repeats: dict[tuple[SeriesId, str], int] = field(default_factory=dict)
    """When (monotonic) a route last repeated an observation time, by series and route."""
    counts: dict[SeriesId, Counter[str]] = field(default_factory=dict)
    clear: dict[SeriesId, int] = field(default_factory=dict)
    """Judged seconds in a row without a cause to hold."""
    holds: dict[SeriesId, tuple[RouteState, str]] = field(default_factory=dict)
    newest: dict[SeriesId, RouteAudit] = field(default_factory=dict)


def live_routes(audits: RouteAudits, series: SeriesId, order: Sequence[str]) -> list[str]:
    """The routes that should bring this series, best first: a disabled one watches nothing."""
    name = f"{series.kind}/{series.asset}"
    return [
        route for route in order if (health := audits.health.get(route)) is not None and name in health.series
    ]


def judgeable(
    audits: RouteAudits, live: Sequence[str], routes: Routes, second_ns: int, moment: Moment
) -> list[str]:
    """The live routes of which this second may be expected: those that had begun by then."""
    found = []
    for route in live:
        first = routes[route].first_at_or_after(0) if route in routes else None
        young = moment.mono_ns - audits.health[route].since_mono_ns < WARM_UP_NS
        if (first is None and not young) or (first is not None and first.observed_ns <= second_ns):
            found.append(route)
    return found


def judge_second(
    second_ns: int,
    routes: Routes,
    live: Sequence[str],
    repeats: Mapping[str, int],
    max_divergence_ppm: int,
    moment: Moment,
) -> tuple[RouteState, tuple[RouteView, ...]]:
    """The state of each live route in one second, and the worst of them.

    ``repeats`` says when (monotonic) a route last repeated an observation time.
    """
    views = {
        route: _view(route, second_ns, routes.get(route), repeats.get(route, 0), moment) for route in live
    }
    values = {route: int(view.e18) for route, view in views.items() if view.e18 and view.state not in SILENT}
    for route, (state, text) in _off(values, second_ns, routes, max_divergence_ppm).items():
        views[route] = msgspec.structs.replace(views[route], state=state, text=text)
    first = min((view.lag_ms for view in views.values() if view.lag_ms is not None), default=0)
    found = tuple(
        msgspec.structs.replace(view, behind_ms=view.lag_ms - first) if view.lag_ms is not None else view
        for view in views.values()
    )
    return max((view.state for view in found), key=_BADNESS.index, default="missing"), found


def cause_to_hold(views: Sequence[RouteView]) -> tuple[RouteState, str] | None:
    """Why the routes forbid new orders on this second: they contradict each other, or none of them moves."""
    for view in views:
        if view.state == "diverged":
            return "diverged", f"{view.route} {view.text}"
    if views and all(view.state == "frozen" for view in views):
        return "frozen", "no route moves: " + "; ".join(f"{view.route}: {view.text}" for view in views)
    return None


def audit_second(
    audits: RouteAudits,
    series: SeriesId,
    second_ns: int,
    routes: Routes,
    live: Sequence[str],
    max_divergence_ppm: int,
    moment: Moment,
) -> RouteAudit:
    """Judge one second of one series and remember it; returns what is published."""
    repeats = {route: audits.repeats.get((series, route), 0) for route in live}
    state, views = judge_second(second_ns, routes, live, repeats, max_divergence_ppm, moment)
    counts = audits.counts.setdefault(series, Counter())
    counts[state] += 1
    cause = cause_to_hold(views)
    if cause is not None:
        audits.holds[series] = cause
        audits.clear[series] = 0
    elif series in audits.holds:
        audits.clear[series] += 1
        if audits.clear[series] >= HOLD_SECONDS:
            del audits.holds[series]
    hold = audits.holds.get(series)
    audit = RouteAudit(
        asset=series.asset,
        kind=series.kind,
        second_ns=second_ns,
        state=state,
        routes=views,
        seconds=dict(counts),
        hold=f"{hold[0]}: {hold[1]}" if hold else "",
    )
    audits.newest[series] = audit
    return audit


def disagreement(routes: Routes, live: Collection[str], max_divergence_ppm: int, moment: Moment) -> str:
    """Whether the newest second that two live routes share contradicts itself; empty when it does not.

    The judgement of a second comes four seconds later; this is what a decision asks at once.
    """
    known = [(route, routes[route]) for route in live if route in routes]
    seconds = set()
    for _, buffer in known:
        latest = buffer.latest()
        if latest is not None and moment.wall_ns - latest.observed_ns <= FROZEN_NS:
            seconds.add(latest.observed_ns)
    for second_ns in sorted(seconds, reverse=True):
        values = {}
        for route, buffer in known:
            value = buffer.at(second_ns)
            if value is not None:
                values[route] = value
        if len(values) > 1:
            break
    else:
        return ""
    if len(set(values.values())) == 1:
        return ""  # as nearly always
    off = _off(values, second_ns, routes, max_divergence_ppm)
    return "; ".join(f"{route} {text}" for route, (state, text) in off.items() if state == "diverged")


def _view(
    route: str, second_ns: int, buffer: PriceBuffer | None, repeated_mono_ns: int, moment: Moment
) -> RouteView:
    latest = buffer.latest() if buffer else None
    if buffer is None or latest is None:
        return RouteView(route, "missing", None, None, None, "nothing came yet")
    seen = buffer.observation_at(second_ns)
    if seen is None:
        behind_ns = second_ns - latest.observed_ns
        repeats = moment.mono_ns - repeated_mono_ns < SPEAKS_NS
        how = "the observation time repeats" if repeats else "no observation"
        state: RouteState = "frozen" if behind_ns >= FROZEN_NS else "held" if repeats else "missing"
        return RouteView(route, state, None, None, None, f"{how} for {max(0, behind_ns) // SECOND} s")
    lag_ns = moment.wall_ns - (moment.mono_ns - seen.mono_ns) - second_ns
    began = buffer.unchanged_since(second_ns)
    same_ns = second_ns - began.observed_ns if began else 0
    if same_ns >= HELD_NS:
        state, text = "frozen" if same_ns >= FROZEN_NS else "held", f"one value for {same_ns // SECOND} s"
    elif lag_ns > LATE_NS:
        state, text = "late", f"came {lag_ns // MILLISECOND} ms after its stamp"
    else:
        state, text = "agree", ""
    return RouteView(route, state, str(seen.value), max(0, lag_ns // MILLISECOND), None, text)


def _off(
    values: Mapping[str, int], second_ns: int, routes: Routes, max_divergence_ppm: int
) -> dict[str, tuple[RouteState, str]]:
    """The routes whose value of this second is off: contradicting the others, or only standing still.

    Of two routes that differ nobody can say which one lies: both are off.
    """
    repeating = {route for route in values if _repeats(routes[route], second_ns)}
    moving = {route: value for route, value in values.items() if route not in repeating} or dict(values)
    if not values:
        return {}
    ordered = sorted(moving.values())
    middle = ordered[len(ordered) // 2]
    far = {
        route
        for route, value in values.items()
        if abs(value - middle) * 1_000_000 > max_divergence_ppm * middle
    }
    if far & moving.keys() and len(moving) == 2:
        far |= moving.keys()
    return {
        route: ("held", "repeats its value while the others move")
        if route in repeating and len(moving) < len(values)
        else ("diverged", _against(route, values))
        for route in values
        if route in far
    }


def _repeats(buffer: PriceBuffer, second_ns: int) -> bool:
    began = buffer.unchanged_since(second_ns)
    return began is not None and began.observed_ns < second_ns


def _against(route: str, values: Mapping[str, int]) -> str:
    others = ", ".join(price18_text(value, places=6) for name, value in values.items() if name != route)
    return f"says {price18_text(values[route], places=6)}, the others {others}"
