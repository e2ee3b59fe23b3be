"""What is done about a silent, looping or dead process: process table and heartbeats in, effects out.

Owns the rules of restart, crash loop and silence. Never reads a clock, never talks to supervisord: every
event brings its instants on the monotonic clock, and the wall clock only for what people read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

SECOND_NS = 1_000_000_000
SILENCE_NS = 5 * SECOND_NS
WARM_UP_NS = 15 * SECOND_NS
MERCY_NS = SECOND_NS // 2
"""From the request for a stack dump to the kill."""
LOOP_SPAN_NS = 60 * SECOND_NS
LOOP_STARTS = 6
"""So many starts within ``LOOP_SPAN_NS``, the first one and those nobody asked for, are a crash loop."""
REVIVE_NS = 60 * SECOND_NS
"""From FATAL to the first revival; each further one waits twice as long as the one before."""
REVIVE_CAP_NS = 600 * SECOND_NS
GOOD_SPAN_NS = 600 * SECOND_NS
"""After running for so long a revived program begins anew with ``REVIVE_NS``."""
OWN_STALL_NS = SECOND_NS
_TIMES_KEPT = 20
_DOUBLINGS = 8

ALIVE = frozenset({"STARTING", "RUNNING"})


@dataclass(frozen=True, slots=True)
class Row:
    """One program in supervisord's process table."""

    name: str
    group: str
    state: str
    pid: int


@dataclass(frozen=True, slots=True)
class Looked:
    """The process table was read."""

    mono_ns: int
    wall_ns: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat came from a process."""

    mono_ns: int
    name: str
    pid: int
    state: str = "ready"
    """What it says of itself."""


@dataclass(frozen=True, slots=True)
class Changed:
    """supervisord announced a program's new state; a hint, the table is the truth."""

    mono_ns: int
    name: str
    state: str


@dataclass(frozen=True, slots=True)
class DumpStacks:
    """Ask the process to write its stacks to its log."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill exactly this process; supervisord starts it again."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the program until a person starts it."""

    name: str


@dataclass(frozen=True, slots=True)
class Revive:
    """Start the program again after supervisord gave up."""

    name: str


@dataclass(frozen=True, slots=True)
class HoldOrders:
    """Tell the executor to take no new orders."""

    reason: str


@dataclass(frozen=True, slots=True)
class Say:
    """Raise an alert; its condition lasts until ``Over`` with the same code."""

    level: Literal["info", "warning", "critical"]
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Over:
    """What an alert told of is over."""

    code: str
    text: str


Effect = DumpStacks | Kill | Stop | Revive | HoldOrders | Say | Over
Event = Looked | Beat | Changed


@dataclass(frozen=True, slots=True)
class Watched:
    """What is known of one program."""

    state: str = ""
    pid: int = 0
    seen_ns: int = 0
    """When this process was first seen."""
    beat_ns: int | None = None
    """Its last heartbeat; None before the first."""
    dumped_ns: int | None = None
    silent: bool = False
    """An alert told of its silence, and it has not beaten since."""
    running_ns: int | None = None
    """Since when this process is RUNNING."""
    ran: bool = False
    """It was reported RUNNING: supervisord's back-off no longer guards it."""
    asked: bool = False
    """Somebody stopped it on purpose."""
    restarts: int = 0
    unexpected: int = 0
    restarted_wall_ns: tuple[int, ...] = ()
    loop_starts_ns: tuple[int, ...] = ()
    looping: bool = False
    given_up_ns: int | None = None
    """When FATAL was last seen to begin or a revival was last tried."""
    revivals: int = 0
    """Tried since it last ran well."""


@dataclass(frozen=True, slots=True)
class Vigil:
    """The whole state of the watch."""

    programs: Mapping[str, Watched] = field(default_factory=dict)
    unwatched: frozenset[str] = frozenset()
    """Programs without heartbeats: only their starts are counted."""
    looked_ns: int | None = None


def step(vigil: Vigil, event: Event) -> tuple[Vigil, tuple[Effect, ...]]:
    """Take one event; returns the next state and what to do now."""
    if isinstance(event, Beat):
        return _heard(vigil, event)
    if isinstance(event, Changed):
        return _announced(vigil, event), ()
    return _looked(vigil, event)


def _put(vigil: Vigil, name: str, watched: Watched) -> Vigil:
    return replace(vigil, programs={**vigil.programs, name: watched})


def _heard(vigil: Vigil, beat: Beat) -> tuple[Vigil, tuple[Effect, ...]]:
    watched = vigil.programs.get(beat.name)
    if watched is None or watched.pid != beat.pid:
        # A beat of a process that is gone, or not yet in the table: it says nothing about the present one.
        return vigil, ()
    over: tuple[Effect, ...] = ()
    if watched.silent:
        over = (Over(f"silent.{beat.name}", f"{beat.name} (pid {beat.pid}) gives signs of life again"),)
    return _put(vigil, beat.name, replace(watched, beat_ns=beat.mono_ns, dumped_ns=None, silent=False)), over


def _announced(vigil: Vigil, changed: Changed) -> Vigil:
    watched = vigil.programs.get(changed.name, Watched())
    if changed.state in ("STOPPING", "STOPPED"):
        watched = replace(watched, asked=True)
    elif changed.state == "RUNNING":
        watched = replace(watched, ran=True)
    return _put(vigil, changed.name, watched)


def _looked(vigil: Vigil, look: Looked) -> tuple[Vigil, tuple[Effect, ...]]:
    if vigil.looked_ns is not None and look.mono_ns - vigil.looked_ns > OWN_STALL_NS:
        # The sentinel itself stood still, so it cannot have heard anybody: everyone gets a new start.
        vigil = _forgive(vigil, look.mono_ns)
    effects: list[Effect] = []
    programs = dict(vigil.programs)
    for row in look.rows:
        watched, wanted = _judge(programs.get(row.name, Watched()), row, look, row.name in vigil.unwatched)
        programs[row.name] = watched
        effects.extend(wanted)
    return replace(vigil, programs=programs, looked_ns=look.mono_ns), tuple(effects)


def _forgive(vigil: Vigil, now_ns: int) -> Vigil:
    programs = {
        name: replace(
            watched,
            seen_ns=now_ns,
            beat_ns=now_ns if watched.beat_ns is not None else None,
            dumped_ns=None,
        )
        for name, watched in vigil.programs.items()
    }
    return replace(vigil, programs=programs)


def _judge(old: Watched, row: Row, look: Looked, unwatched: bool) -> tuple[Watched, Iterable[Effect]]:
    effects: list[Effect] = []
    new = old
    if row.pid and row.pid != old.pid:
        new, wanted = _started(old, row, look)
        effects.extend(wanted)
    running_ns = None
    if row.state == "RUNNING":
        running_ns = look.mono_ns if new.running_ns is None else new.running_ns
    new = replace(new, state=row.state, running_ns=running_ns, ran=new.ran or row.state == "RUNNING")
    if row.state in ("STOPPING", "STOPPED"):
        new = replace(new, asked=True)
    new, wanted = _judge_loop(new, row, look)
    effects.extend(wanted)
    new, wanted = _judge_fatal(new, row, look, entered=old.state != row.state)
    effects.extend(wanted)
    if new.silent and row.state in ("STOPPED", "FATAL"):
        new = replace(new, silent=False)
        effects.append(Over(f"silent.{row.name}", f"{row.name} does not run any more ({row.state})"))
    if row.state in ALIVE and row.pid and not unwatched:
        new, wanted = _judge_silence(new, row, look)
        effects.extend(wanted)
    return new, effects


def _started(old: Watched, row: Row, look: Looked) -> tuple[Watched, Iterable[Effect]]:
    new = replace(
        old,
        pid=row.pid,
        seen_ns=look.mono_ns,
        beat_ns=None,
        dumped_ns=None,
        running_ns=None,
        ran=False,
        asked=False,
    )
    if old.pid == 0:
        return new, ()
    new = replace(
        new,
        restarts=old.restarts + 1,
        restarted_wall_ns=(*old.restarted_wall_ns, look.wall_ns)[-_TIMES_KEPT:],
    )
    if old.asked:
        # A person started it: whatever was wrong before is theirs now.
        over = [Over(f"crash-loop.{row.name}", f"{row.name} was started again")] if old.looping else []
        return replace(new, looping=False, loop_starts_ns=()), over
    # supervisord's own back-off guards a program that never got to RUNNING; nothing guards one that did.
    before = old.loop_starts_ns or (old.seen_ns,)
    starts = (*before, look.mono_ns) if old.ran else old.loop_starts_ns
    return replace(new, unexpected=old.unexpected + 1, loop_starts_ns=starts), ()


def _judge_loop(watched: Watched, row: Row, look: Looked) -> tuple[Watched, Iterable[Effect]]:
    recent = tuple(at for at in watched.loop_starts_ns if look.mono_ns - at < LOOP_SPAN_NS)
    watched = replace(watched, loop_starts_ns=recent)
    if len(recent) < LOOP_STARTS or watched.looping:
        return watched, ()
    text = (
        f"{row.name} was started {len(recent)} times within {LOOP_SPAN_NS // SECOND_NS} s: "
        f"it is stopped and there are no new orders; read its log, cure the cause, start it with "
        f"supervisorctl start {row.group}:{row.name}, then laggard resume"
    )
    return replace(watched, looping=True), (
        Stop(row.name),
        HoldOrders(f"{row.name} is in a crash loop"),
        Say("critical", f"crash-loop.{row.name}", text),
    )


def _judge_fatal(
    watched: Watched, row: Row, look: Looked, *, entered: bool
) -> tuple[Watched, Iterable[Effect]]:
    now = look.mono_ns
    if row.state == "FATAL":
        wait_ns = min(REVIVE_NS << min(watched.revivals, _DOUBLINGS), REVIVE_CAP_NS)
        if entered or watched.given_up_ns is None:
            again = watched.given_up_ns is not None
            text = (
                f"supervisord gave up on {row.name}; its log says why; it is started again "
                f"in {wait_ns // SECOND_NS} s, and if that fails after ever longer waits"
            )
            said = () if again else (Say("critical", f"fatal.{row.name}", text),)
            return replace(watched, given_up_ns=now), said
        if now - watched.given_up_ns < wait_ns:
            return watched, ()
        return replace(watched, given_up_ns=now, revivals=watched.revivals + 1), (Revive(row.name),)
    if watched.running_ns is not None and now - watched.running_ns >= GOOD_SPAN_NS:
        watched = replace(watched, revivals=0)
    if watched.given_up_ns is not None and row.state in ("RUNNING", "STOPPED"):
        how = "runs again" if row.state == "RUNNING" else "was stopped"
        return replace(watched, given_up_ns=None), (Over(f"fatal.{row.name}", f"{row.name} {how}"),)
    return watched, ()


def _judge_silence(watched: Watched, row: Row, look: Looked) -> tuple[Watched, Iterable[Effect]]:
    if watched.dumped_ns is not None:
        if look.mono_ns - watched.dumped_ns < MERCY_NS:
            return watched, ()
        # A new mercy follows, so a kill that did not work is repeated but not at every look.
        return replace(watched, dumped_ns=look.mono_ns), (Kill(row.name, row.pid),)
    if watched.beat_ns is None:
        silent_ns, limit_ns = look.mono_ns - watched.seen_ns, WARM_UP_NS
    else:
        silent_ns, limit_ns = look.mono_ns - watched.beat_ns, SILENCE_NS
    if silent_ns <= limit_ns:
        return watched, ()
    text = (
        f"{row.name} (pid {row.pid}) gave no sign of life for {silent_ns / SECOND_NS:.1f} s: "
        f"its stacks go to its log, then it is killed and started again"
    )
    said = () if watched.silent else (Say("warning", f"silent.{row.name}", text),)
    return replace(watched, dumped_ns=look.mono_ns, silent=True), (DumpStacks(row.name, row.pid), *said)
