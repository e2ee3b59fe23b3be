"""What the engine does with the routes: hears how they are, has each second judged, and lets posture follow.

Diverged or all frozen: no new orders. One asset's trouble holds that asset; the executor's posture follows
when routes contradict each other anywhere, or when nothing moves at all.
"""

from common.core.decision_state import AskPosture, Effect, PublishAudit, State
from common.core.moment import Moment
from common.core.price_buffer import Observation
from common.core.route_audit import (
    HOLD_SECONDS,
    JUDGE_AFTER_NS,
    RouteHealth,
    SeriesId,
    audit_second,
    disagreement,
    judgeable,
    live_routes,
)
from common.core.series import Routes
from common.messages import ExchangeView, Heartbeat, RouteReport, SeriesKind, Tick
from common.units import MILLISECOND, SECOND, move_ppm

WHO = "routes"
"""Who asked, in the posture: what the rule set, only the rule lifts by itself."""
MOST_SECONDS_AT_ONCE = 5
ASK_EVERY_NS = SECOND
ROLE_PREFIX = "oracle-"
_ALL_SOUND: frozenset[str] = frozenset()
EXCHANGES: tuple[SeriesKind, ...] = ("coinbase", "kraken", "binance")


def note_health(state: State, beat: Heartbeat, moment: Moment) -> None:
    """Remember what a route's process says of itself and which series it watches."""
    route = beat.role.removeprefix(ROLE_PREFIX)
    if not beat.role.startswith(ROLE_PREFIX) or route not in state.strategy.routes:
        return
    known = state.routes.health.get(route)
    health = RouteHealth(
        state=beat.state,
        detail=beat.detail,
        series=tuple(sorted(key for key in beat.ages_ms if "/" in key)),
        since_mono_ns=known.since_mono_ns if known is not None else moment.mono_ns,
    )
    state.routes.health[route] = health
    for key in health.series:
        kind, _, asset = key.partition("/")
        if asset and kind in ("spot", "twap30", "twap60"):
            state.routes.watched.add(SeriesId(asset, kind))  # type: ignore[arg-type]


def note_repeat(state: State, tick: Tick, moment: Moment) -> None:
    """A route brought an observation time again that it had brought before."""
    state.routes.repeats[SeriesId(tick.asset, tick.kind), tick.route] = moment.mono_ns


def audit_due(state: State, moment: Moment, effects: list[Effect]) -> None:
    """Judge every oracle second that is due, publish the audits, and let the posture follow."""
    audits = state.routes
    due_ns = (moment.wall_ns - JUDGE_AFTER_NS) // SECOND * SECOND
    if audits.judged_ns - due_ns > MOST_SECONDS_AT_ONCE * SECOND:
        audits.judged_ns = 0  # our clock was set back: go on from where it is now
    if due_ns <= audits.judged_ns:
        return
    # After a pause of our own, seconds long gone are not news.
    first_ns = max(audits.judged_ns + SECOND, due_ns - (MOST_SECONDS_AT_ONCE - 1) * SECOND)
    if not audits.judged_ns:
        first_ns = due_ns
    audits.judged_ns = due_ns
    for second_ns in range(first_ns, due_ns + 1, SECOND):
        for series in sorted(audits.watched):
            routes = state.series.get(series.asset, {}).get(series.kind, {})
            live = live_routes(audits, series, state.strategy.routes)
            live = judgeable(audits, live, routes, second_ns, moment)
            if not live:
                continue
            audit = audit_second(
                audits, series, second_ns, routes, live, state.strategy.max_divergence_ppm, moment
            )
            effects.append(PublishAudit(audit))
    _posture_follows(state, moment, effects)


def contradiction(state: State, asset: str, settling: SeriesKind | None, moment: Moment) -> str:
    """Why the routes forbid an order on this asset now; empty when they do not."""
    audits, known = state.routes, state.series.get(asset, {})
    kinds: tuple[SeriesKind, ...] = ("spot",) if settling in (None, "spot") else ("spot", settling)
    for kind in kinds:
        hold = audits.holds.get(SeriesId(asset, kind)) if audits.holds else None
        if hold is not None:
            return f"{kind} {hold[0]}: {hold[1]}"
        routes = known.get(kind, {})
        if len(routes) < 2:
            continue  # a route alone contradicts nobody
        live = live_routes(audits, SeriesId(asset, kind), state.strategy.routes)
        found = disagreement(routes, live, state.strategy.max_divergence_ppm, moment)
        if found:
            return f"{kind} diverged: {found}"
    return ""


def unsound_routes(state: State) -> frozenset[str]:
    """Routes of which messages are missing and not yet repaired."""
    if not state.incomplete:
        return _ALL_SOUND
    return frozenset(
        source.removeprefix(ROLE_PREFIX) for source in state.incomplete if source.startswith(ROLE_PREFIX)
    )


def route_reports(state: State) -> tuple[RouteReport, ...]:
    """Every configured route as its process last said, best first."""
    unheard = RouteHealth("unheard", "its process has not been heard yet", ())
    return tuple(
        RouteReport(
            route=route,
            rank=rank,
            state=(health := state.routes.health.get(route, unheard)).state,
            detail=health.detail,
            series=health.series,
        )
        for rank, route in enumerate(state.strategy.routes, 1)
    )


def exchange_views(state: State, moment: Moment) -> tuple[ExchangeView, ...]:
    """Every exchange's newest price, by asset and exchange."""
    views = []
    for asset, kinds in sorted(state.series.items()):
        spot = _newest(kinds.get("spot", {}))
        for exchange in EXCHANGES:
            latest = _newest(kinds.get(exchange, {}))
            if latest is not None:
                views.append(
                    ExchangeView(
                        asset=asset,
                        exchange=exchange,
                        e18=str(latest.value),
                        age_ms=(moment.wall_ns - latest.observed_ns) // MILLISECOND,
                        from_spot_ppm=move_ppm(latest.value, spot.value) if spot else None,
                    )
                )
    return tuple(views)


def _newest(routes: Routes) -> Observation | None:
    found = [latest for buffer in routes.values() if (latest := buffer.latest()) is not None]
    return max(found, key=lambda latest: latest.observed_ns, default=None)


def _posture_follows(state: State, moment: Moment, effects: list[Effect]) -> None:
    audits = state.routes
    if state.posture is None or moment.mono_ns - audits.asked_ns < ASK_EVERY_NS:
        return
    reason = _reason_to_hold_all(state)
    held_by_rule = state.posture.who == WHO and state.posture.posture == "no-new-orders"
    if reason and state.posture.posture == "trading":
        audits.asked_ns = moment.mono_ns
        effects.append(AskPosture("no-new-orders", reason))
    elif not reason and held_by_rule and _watched_long_enough(state):
        audits.asked_ns = moment.mono_ns
        effects.append(AskPosture("trading", "the oracle routes agree again"))


def _watched_long_enough(state: State) -> bool:
    """A rule that has just begun to watch has not yet seen that all is well."""
    counts = state.routes.counts.values()
    return bool(counts) and all(sum(count.values()) >= HOLD_SECONDS for count in counts)


def _reason_to_hold_all(state: State) -> str:
    holds = state.routes.holds
    for series, (cause, text) in sorted(holds.items()):
        if cause == "diverged":
            return f"oracle routes contradict each other on {series.asset} {series.kind}: {text}"
    if holds and len(holds) == len(state.routes.newest):
        return "no oracle route moves on any asset"
    return ""
