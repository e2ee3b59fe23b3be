"""Hourly and daily digests: trades, results, fees, posture, feeds and gaps of a span of time.

Computed from what is, not from what was counted: a restart changes no figure of the money. Sends nothing.
"""

from dataclasses import dataclass, field

from common.core.remote.wording import dollars, lasted, utc_date, utc_minute
from common.messages import (
    AccountState,
    Heartbeat,
    OrderState,
    PositionState,
    PostureState,
    ProcessState,
)
from common.units import MILLISECOND, SECOND

HOUR_NS = 3600 * SECOND
DAY_NS = 24 * HOUR_NS
KEPT_NS = 2 * DAY_NS
_BEAT_GAP_NS = SECOND
"""A process without a sign of life for longer was not well in between."""


@dataclass(slots=True)
class Health:
    """How long a process was well."""

    since_ns: int
    heard_ns: int
    state: ProcessState
    well_ns: int = 0


@dataclass(slots=True)
class Tally:
    """What the digests are made of."""

    orders: dict[str, OrderState] = field(default_factory=dict)
    positions: dict[tuple[str, str], PositionState] = field(default_factory=dict)
    account: AccountState | None = None
    posture: PostureState | None = None
    health: dict[str, Health] = field(default_factory=dict)


def take(tally: Tally, body: object, mono_ns: int) -> None:
    """Take one message of the bus."""
    match body:
        case OrderState():
            tally.orders[body.order_id or body.intent_id] = body
        case PositionState():
            tally.positions[body.window, body.outcome] = body
        case AccountState():
            tally.account = body
        case PostureState():
            tally.posture = body
        case Heartbeat():
            _beat(tally, body, mono_ns)


def forget(tally: Tally, wall_ns: int) -> None:
    """Drop what no digest will ask for any more."""
    tally.orders = {key: each for key, each in tally.orders.items() if each.created_ns > wall_ns - KEPT_NS}
    tally.positions = {
        key: each
        for key, each in tally.positions.items()
        if not each.settled or each.end_ns > wall_ns - KEPT_NS
    }


@dataclass(frozen=True, slots=True)
class Span:
    """What a digest covers, and what others counted in it."""

    from_ns: int
    to_ns: int
    gaps: int = 0
    lost: int = 0
    """Messages of the bus that never came."""
    raised: int = 0
    open_alarms: tuple[str, ...] = ()
    short_holds: int = 0


def text_of(tally: Tally, span: Span) -> str:
    """The digest of a span."""
    whole_day = span.to_ns - span.from_ns >= DAY_NS
    when = (
        f"Day {utc_date(span.from_ns)} UTC"
        if whole_day and span.from_ns % DAY_NS == 0
        else f"{utc_minute(span.from_ns)}-{utc_minute(span.to_ns)} UTC"
    )
    account, posture = tally.account, tally.posture
    head = [when, account.mode if account else "", posture.posture if posture else "posture unknown"]
    lines = [", ".join(part for part in head if part)]
    lines += _money_lines(tally, span)
    if posture is not None and posture.posture != "trading":
        lines.append(f"{posture.posture} for {lasted(span.to_ns - posture.since_ns)}: {posture.reason}")
    lines += _health_lines(tally)
    counts = [f"alarms {span.raised}", f"gaps {span.gaps}"]
    counts += [f"messages lost {span.lost}"] * (span.lost > 0)
    counts += [f"short holds {span.short_holds}"] * (span.short_holds > 0)
    lines.append(", ".join(counts))
    if span.open_alarms:
        lines.append(f"open: {', '.join(span.open_alarms)}")
    return "\n".join(lines)


def new_span(tally: Tally) -> None:
    """Begin to measure the health of the processes anew."""
    for health in tally.health.values():
        health.since_ns, health.well_ns = health.heard_ns, 0


def _money_lines(tally: Tally, span: Span) -> list[str]:
    traded = [
        each
        for each in tally.orders.values()
        if span.from_ns <= each.created_ns < span.to_ns and each.filled_size6
    ]
    settled = [
        each
        for each in tally.positions.values()
        if each.settled and span.from_ns <= each.end_ns < span.to_ns and (each.size6 or each.sold6)
    ]
    won = sum(each.pnl_usd6 > 0 for each in settled)
    lines = [f"trades {len(traded)}, fees {dollars(sum(each.fee_usd6 for each in traded))}"]
    if settled:
        pnl = dollars(sum(each.pnl_usd6 for each in settled), signed=True)
        lines.append(f"settled {len(settled)}: won {won}, lost {len(settled) - won}, profit {pnl}")
    open_now = sum(bool(each.size6) for each in tally.positions.values() if not each.settled)
    if tally.account is not None:
        account = tally.account
        # At midnight the account counts the new day already, which is not what this tells of.
        is_its_day = account.day == utc_date(span.to_ns - 1)
        day = f"day {dollars(account.day_pnl_usd6, signed=True)}, " if is_its_day else ""
        lines.append(f"{day}cash {dollars(account.cash_usd6)}, {open_now} open")
        if account.ledger_difference_usd6:
            lines.append(f"THE LEDGER IS OFF BY {account.ledger_difference_usd6} millionths of a dollar")
    return lines


def _health_lines(tally: Tally) -> list[str]:
    parts = []
    for role, health in sorted(tally.health.items()):
        if health.state == "disabled":
            continue
        seen_ns = health.heard_ns - health.since_ns
        if seen_ns > MILLISECOND:
            permille = min(1000, health.well_ns * 1000 // seen_ns)
            if permille < 1000:
                parts.append(f"{role} {permille // 10}.{permille % 10} %")
    return [f"not always well: {', '.join(parts)}"] if parts else ["all processes well"]


def _beat(tally: Tally, beat: Heartbeat, mono_ns: int) -> None:
    health = tally.health.get(beat.role)
    if health is None:
        tally.health[beat.role] = Health(mono_ns, mono_ns, beat.state)
        return
    passed_ns = mono_ns - health.heard_ns
    if passed_ns <= _BEAT_GAP_NS and health.state in ("ready", "disabled"):
        health.well_ns += passed_ns
    health.heard_ns, health.state = mono_ns, beat.state
