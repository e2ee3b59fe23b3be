"""What is alarmed, and when it is over: alerts, heartbeats and posture in, words for people out.

Owns what is open at present. An alarm is told once, however often it comes, and its end is told as well.
Reads no clock and sends nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from common.core.moment import Moment
from common.core.remote.advice import ADVICE, ENDED_BY, advice_for, family_of, process_of
from common.core.remote.letters import Lane
from common.core.remote.wording import lasted, utc_time
from common.messages import AccountState, Alert, Heartbeat, PostureState, ProcessState
from common.units import SECOND

SAME_NS = 600 * SECOND
"""The same words about an event are not repeated within this."""
FAMILY_NS = 60 * SECOND
"""Warnings of one kind: one letter within this, then the number of the others. What is critical is told."""
SILENT_NS = 15 * SECOND
"""Without a heartbeat; the sentinel acts long before."""
DEGRADED_NS = 60 * SECOND
HEARD_NS = 2 * SECOND
WELL_NS = 20 * SECOND
"""A process must be well for so long before its alarm is over."""
OWN_STALL_NS = 3 * SECOND
HOLD_NS = 3 * SECOND
"""A hold that lifts by itself sooner is only counted."""
HOLD_GAP_NS = 60 * SECOND
"""Between two letters about holds; a latched posture is told at once."""
_WELL: frozenset[ProcessState] = frozenset({"ready", "disabled", "stopping"})
_LATCHED = frozenset({"paused", "halted"})
_BY_PEOPLE = ("telegram", "cli")
_VITAL = frozenset({"books", "strategist", "executor"})
"""Without one of these nothing is traded, or nothing watched that was."""


class Say(NamedTuple):
    """Something to tell."""

    lane: Lane
    text: str
    sound: bool = False


@dataclass(slots=True)
class Open:
    """An alarm that is not over."""

    code: str
    level: Literal["warning", "critical"]
    since: Moment
    text: str
    told_ns: int
    times: int = 1
    is_new: bool = False
    """Something critical was said under this code that was not told yet."""


@dataclass(slots=True)
class Beaten:
    """What is known of a process by its heartbeats."""

    heard_ns: int
    state: ProcessState
    detail: str
    since_ns: int
    """When this state began."""


@dataclass(slots=True)
class Held:
    """Warnings of one kind that were not told by themselves."""

    told_ns: int
    more: int = 0
    last: str = ""


@dataclass(slots=True)
class Alarms:
    """Everything known; ``take`` and ``tick`` change it."""

    open: dict[str, Open] = field(default_factory=dict)
    processes: dict[str, Beaten] = field(default_factory=dict)
    posture: PostureState | None = None
    """As it is."""
    told: PostureState | None = None
    """As it was last told."""
    pending: list[PostureState] = field(default_factory=list)
    """Changes from or to a latched posture that the next tick tells."""
    posture_ns: int = 0
    """When the posture last changed."""
    posture_turns: int = 0
    """Changes since it was last told."""
    turns_counted: int = 0
    """Of them, those of short holds."""
    hold_told_ns: int | None = None
    short_holds: int = 0
    raised: int = 0
    """Alarms and events since the digest last asked."""
    recent: dict[tuple[str, str], int] = field(default_factory=dict)
    families: dict[str, Held] = field(default_factory=dict)
    ticked_ns: int | None = None


def take(alarms: Alarms, body: object, now: Moment) -> list[Say]:
    """Take one message of the bus; returns what to tell at once."""
    match body:
        case Alert():
            return _alert(alarms, body, now)
        case Heartbeat():
            _beat(alarms, body, now)
        case PostureState():
            _posture(alarms, body, now)
        case AccountState():
            quiet = {"orders"} if not body.unknown_orders else set()
            quiet |= {"trades"} if not body.provisional_fills else set()
            return _end_where(alarms, now, quiet, "none is left")
    return []


def tick(alarms: Alarms, now: Moment) -> list[Say]:
    """Look at what only time tells; call this about once a second."""
    said: list[Say] = []
    if alarms.ticked_ns is not None and now.mono_ns - alarms.ticked_ns > OWN_STALL_NS:
        # Whoever stood still has heard nobody: everyone gets a new start.
        for process in alarms.processes.values():
            process.heard_ns = now.mono_ns
    alarms.ticked_ns = now.mono_ns
    for role, process in alarms.processes.items():
        said += _judge(alarms, role, process, now)
    said += _tell_posture(alarms, now)
    for each in alarms.open.values():
        if each.is_new and now.mono_ns - each.told_ns >= FAMILY_NS:
            each.is_new, each.told_ns = False, now.mono_ns
            said.append(Say("critical", _words(each.code, each.level, each.text, now), sound=True))
    for family, held in list(alarms.families.items()):
        if now.mono_ns - held.told_ns < FAMILY_NS:
            continue
        if held.more:
            said.append(Say("info", f"{held.more} more of {family} within a minute, the last: {held.last}"))
            alarms.families[family] = Held(now.mono_ns)
        else:
            del alarms.families[family]
    alarms.recent = {key: at for key, at in alarms.recent.items() if now.mono_ns - at < SAME_NS}
    return said


def _alert(alarms: Alarms, alert: Alert, now: Moment) -> list[Say]:
    ended = ENDED_BY.get(alert.code) or alert.code.removesuffix("-over")
    if alert.level == "info":
        if ended in alarms.open:
            return [_end(alarms, ended, now, alert.text)]
        if family_of(ended) in ADVICE:
            return []  # the end of what was never told
        return _limited(alarms, alert.code, f"{utc_time(now.wall_ns)} {alert.text}", now)
    if advice_for(alert.code).ends == "never":
        return _event(alarms, alert, now)
    return _raise(alarms, alert.code, alert.level, alert.text, now)


def _raise(
    alarms: Alarms, code: str, level: Literal["warning", "critical"], text: str, now: Moment
) -> list[Say]:
    """Open an alarm; one that is open is only counted, unless it became critical or says something new."""
    known = alarms.open.get(code)
    if known is not None and (known.level == "critical" or level == "warning"):
        known.times += 1
        known.is_new |= level == "critical" and text != known.text
        known.text = text
        return []
    times = 1 if known is None else known.times + 1
    alarms.open[code] = Open(code, level, now if known is None else known.since, text, now.mono_ns, times)
    alarms.raised += 1
    words = _words(code, level, text, now)
    return [Say("critical", words, sound=True)] if level == "critical" else [Say("info", words)]


def _event(alarms: Alarms, alert: Alert, now: Moment) -> list[Say]:
    """Something that happened and has no end: told once for the same words."""
    key = (alert.code, alert.text)
    if key in alarms.recent:
        return []
    alarms.recent[key] = now.mono_ns
    alarms.raised += 1
    words = _words(alert.code, alert.level, alert.text, now)
    if alert.level == "critical":
        return [Say("critical", words, sound=True)]
    return _limited(alarms, family_of(alert.code), words, now)


def _limited(alarms: Alarms, family: str, words: str, now: Moment) -> list[Say]:
    held = alarms.families.get(family)
    if held is not None and now.mono_ns - held.told_ns < FAMILY_NS:
        held.more += 1
        held.last = words
        return []
    alarms.families[family] = Held(now.mono_ns)
    return [Say("info", words)]


def _end(alarms: Alarms, code: str, now: Moment, how: str) -> Say:
    """Tell that an alarm is over, in the lane in which it was told."""
    over = alarms.open.pop(code)
    often = f", told {over.times} times" if over.times > 1 else ""
    text = (
        f"\N{LARGE GREEN CIRCLE} over: {code}, {utc_time(now.wall_ns)} UTC\n"
        f"{how}\nIt lasted {lasted(now.mono_ns - over.since.mono_ns)}{often}."
    )
    return Say("critical" if over.level == "critical" else "info", text)


def _end_where(alarms: Alarms, now: Moment, endings: Iterable[str], how: str) -> list[Say]:
    codes = [code for code in alarms.open if advice_for(code).ends in endings]
    return [_end(alarms, code, now, how) for code in codes]


def _beat(alarms: Alarms, beat: Heartbeat, now: Moment) -> None:
    known = alarms.processes.get(beat.role)
    if known is None or known.state != beat.state:
        alarms.processes[beat.role] = Beaten(now.mono_ns, beat.state, beat.detail, now.mono_ns)
        return
    if now.mono_ns - known.heard_ns > SILENT_NS:
        known.since_ns = now.mono_ns  # well again only from here on
    known.heard_ns, known.detail = now.mono_ns, beat.detail


def _judge(alarms: Alarms, role: str, process: Beaten, now: Moment) -> list[Say]:
    silent_ns = now.mono_ns - process.heard_ns
    if silent_ns > SILENT_NS:
        if process.state == "stopping" or f"no-sign.{role}" in alarms.open:
            return []
        text = f"{role} has given no sign of life for {silent_ns // SECOND} s"
        return _raise(alarms, f"no-sign.{role}", "critical" if role in _VITAL else "warning", text, now)
    stood_ns = now.mono_ns - process.since_ns
    if process.state in _WELL and silent_ns <= HEARD_NS:
        return [
            _end(alarms, code, now, f"{role} is {process.state} again")
            for code in _of_process(alarms, role)
            if now.mono_ns - max(process.since_ns, alarms.open[code].since.mono_ns) >= WELL_NS
        ]
    said = []
    if f"no-sign.{role}" in alarms.open:
        said.append(_end(alarms, f"no-sign.{role}", now, f"{role} gives signs of life again"))
    if process.state == "degraded" and stood_ns >= DEGRADED_NS and f"degraded.{role}" not in alarms.open:
        said += _raise(alarms, f"degraded.{role}", "warning", f"{role}: {process.detail}", now)
    return said


def _of_process(alarms: Alarms, role: str) -> list[str]:
    return [code for code in alarms.open if advice_for(code).ends == "process" and process_of(code) == role]


def _posture(alarms: Alarms, posture: PostureState, now: Moment) -> None:
    before, alarms.posture = alarms.posture, posture
    if before is None:
        alarms.posture_ns, alarms.told = now.mono_ns, posture
        if posture.posture != "trading":
            alarms.pending.append(posture)
        return
    if (before.posture, before.reason, before.who) == (posture.posture, posture.reason, posture.who):
        return
    if before.posture != posture.posture:
        alarms.posture_ns = now.mono_ns
        alarms.posture_turns += 1
    ends_alarms = posture.posture == "trading" and _ended_by_trading(alarms)
    if ends_alarms or not _LATCHED.isdisjoint((before.posture, posture.posture)):
        alarms.pending.append(posture)


def _tell_posture(alarms: Alarms, now: Moment) -> list[Say]:
    """Every change from or to a latched posture, and holds that have stood for a moment."""
    said = [_posture_words(alarms, each) for each in alarms.pending if not _explained(alarms, each)]
    if alarms.pending:
        alarms.told = alarms.pending[-1]
        alarms.pending.clear()
    posture, told = alarms.posture, alarms.told
    if posture is None or told is None or now.mono_ns - alarms.posture_ns < HOLD_NS:
        return said
    if posture.posture == told.posture:
        # It came and went unsaid; only the digest counts it.
        alarms.short_holds += (alarms.posture_turns - alarms.turns_counted) // 2
        alarms.turns_counted = alarms.posture_turns
    elif _explained(alarms, posture):
        alarms.told = posture
    elif alarms.hold_told_ns is None or now.mono_ns - alarms.hold_told_ns >= HOLD_GAP_NS:
        alarms.hold_told_ns = now.mono_ns
        said.append(_posture_words(alarms, posture))
    return said


def _ended_by_trading(alarms: Alarms) -> list[str]:
    return [code for code in alarms.open if advice_for(code).ends == "posture"]


def _explained(alarms: Alarms, posture: PostureState) -> bool:
    """Whether an alarm has told of this posture, and better: with what to do about its cause."""
    text = f"{posture.posture}: {posture.reason}"
    return any(alarms.open[code].text == text for code in _ended_by_trading(alarms))


def _posture_words(alarms: Alarms, posture: PostureState) -> Say:
    notes = ""
    if alarms.posture_turns > 1:
        notes = f"\nIt changed {alarms.posture_turns} times since the last message."
    alarms.told, alarms.posture_turns, alarms.turns_counted = posture, 0, 0
    who = f" ({posture.who})" if posture.who else ""
    since = utc_time(posture.since_ns)
    if posture.posture == "trading":
        if over := _ended_by_trading(alarms):
            notes += f"\nover: {', '.join(over)}"
            for code in over:
                del alarms.open[code]
        return Say(
            "critical", f"\N{LARGE GREEN CIRCLE} trading since {since} UTC{who}\n{posture.reason}{notes}"
        )
    what = {
        "paused": "Done: no new orders, what is held stays. You can: /resume.",
        "halted": "Done: nothing is sent any more. You can: /why, /errors, laggard prove, then /resume.",
        "no-new-orders": "Done: no new orders; unless somebody set this, it lifts by itself with its cause. "
        "You can: /status, /feeds.",
    }[posture.posture]
    text = f"\N{LARGE RED CIRCLE} {posture.posture} since {since} UTC{who}\n{posture.reason}{notes}\n{what}"
    sound = posture.posture in _LATCHED and not posture.who.startswith(_BY_PEOPLE)
    return Say("critical", text, sound=sound)


def _words(code: str, level: str, text: str, now: Moment) -> str:
    advice = advice_for(code)
    sign = "\N{LARGE RED CIRCLE}" if level == "critical" else "\N{LARGE YELLOW CIRCLE}"
    name = process_of(code)
    do = advice.do.replace("NAME", name) if name else advice.do
    return f"{sign} {code}, {utc_time(now.wall_ns)} UTC\n{text}\nDone: {advice.did}\nYou can: {do}"
