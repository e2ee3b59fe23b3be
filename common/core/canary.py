"""Which hop of the way feed -> strategist -> executor, or books -> executor, is sick: canaries came late.

Owns that rule and the end of what it said. Never reads a clock or a socket, never restarts anything: what it
names is told to people. A process that hangs as a whole is the business of ``common.core.vigil``.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from common.core.vigil import ALIVE, OWN_STALL_NS, SECOND_NS, Beat, Looked, Over, Row, Say

PERIOD_NS = 5 * SECOND_NS
LATE_NS = 3 * SECOND_NS
"""A canary this long at one hop is late; a hop is named at the latest this long after a whole period."""
SETTLE_NS = 2 * SECOND_NS
"""A process that came up later than this before a canary may have missed it."""
DOWN_NS = 5 * SECOND_NS
"""A restart takes less: what is down for longer is named."""
START_NS = 20 * SECOND_NS
"""The same for a process that is still starting: a live executor first reads its account."""
WAY = ("strategist", "executor")
"""Who passes a canary on, in this order."""
LINKS = (("books", "executor"),)
"""Who hears a feed itself, beside the way: the executor judges an order by books it has heard."""
UP = frozenset({"ready", "degraded"})
_FRESH_NS = PERIOD_NS + LATE_NS + SECOND_NS
"""Within this the next canary of a feed has come and can be judged; a feed without one is silent."""
_FLIGHTS_KEPT = 4
_LINK = "-to-"


@dataclass(frozen=True, slots=True)
class Heard:
    """A canary was heard from the feed it began in, or from a hop it came to."""

    feed: str
    boot: str
    number: int
    hop: str
    """The process; where it heard the feed itself instead, the name of that link."""
    sent_ns: int
    """When that process published it."""


@dataclass(frozen=True, slots=True)
class Garbled:
    """What a process published as a canary cannot be read."""

    hop: str
    why: str


Event = Looked | Beat | Heard | Garbled
Effect = Say | Over


@dataclass(frozen=True, slots=True)
class Standing:
    """One process on the way."""

    state: str = ""
    """As supervisord last said."""
    pid: int = 0
    up_ns: int | None = None
    """Since when its heartbeats say that it works; None while they do not."""
    down_ns: int | None = None
    """Since when it does not; None before it was ever seen."""
    proved: bool = False
    """It worked once: from then on it is missed."""


@dataclass(frozen=True, slots=True)
class Flight:
    """One canary: when each process published it."""

    boot: str
    number: int
    sent_ns: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Canaries:
    """Everything known of the way."""

    feeds: Collection[str]
    standings: Mapping[str, Standing] = field(default_factory=dict)
    flights: Mapping[str, tuple[Flight, ...]] = field(default_factory=dict)
    """By feed, the newest last."""
    garbled: Mapping[str, str] = field(default_factory=dict)
    """By process, what was wrong with its last canary."""
    sick: Mapping[str, str] = field(default_factory=dict)
    """By hop, what was said of it."""
    looked_ns: int | None = None


def link(feed: str, hop: str) -> str:
    """The name of the link between a feed and a process that hears it."""
    return f"{feed}{_LINK}{hop}"


def step(canaries: Canaries, event: Event) -> tuple[Canaries, tuple[Effect, ...]]:
    """Take one event; returns the next state and what to say now."""
    if isinstance(event, Heard):
        return _heard(canaries, event), ()
    if isinstance(event, Garbled):
        return _unread(canaries, event), ()
    if isinstance(event, Beat):
        return _beaten(canaries, event), ()
    return _looked(canaries, event)


def _heard(canaries: Canaries, heard: Heard) -> Canaries:
    flights = canaries.flights.get(heard.feed, ())
    for place, flight in enumerate(flights):
        if (flight.boot, flight.number) == (heard.boot, heard.number):
            # Of a canary told twice, as after a snapshot, the first time counts.
            seen = replace(flight, sent_ns={heard.hop: heard.sent_ns, **flight.sent_ns})
            flights = (*flights[:place], seen, *flights[place + 1 :])
            break
    else:
        flights = (*flights, Flight(heard.boot, heard.number, {heard.hop: heard.sent_ns}))[-_FLIGHTS_KEPT:]
    garbled = {hop: said for hop, said in canaries.garbled.items() if hop != heard.hop}
    return replace(canaries, flights={**canaries.flights, heard.feed: flights}, garbled=garbled)


def _unread(canaries: Canaries, garbled: Garbled) -> Canaries:
    standings, hop = dict(canaries.standings), garbled.hop
    if hop in standings and standings[hop].up_ns is not None:
        # What came to it until now may have passed it: that proves nothing.
        standings[hop] = replace(standings[hop], up_ns=canaries.looked_ns)
    return replace(canaries, garbled={**canaries.garbled, hop: garbled.why}, standings=standings)


def _beaten(canaries: Canaries, beat: Beat) -> Canaries:
    old = canaries.standings.get(beat.name)
    if old is None or old.pid != beat.pid:
        return canaries  # of a process that is gone, or not yet in the table
    if beat.state in UP:
        new = old if old.up_ns is not None else replace(old, up_ns=beat.mono_ns, down_ns=None, proved=True)
    else:
        new = replace(old, up_ns=None, down_ns=old.down_ns if old.up_ns is None else beat.mono_ns)
        if beat.state == "disabled":
            new = replace(new, proved=False)
    return replace(canaries, standings={**canaries.standings, beat.name: new})


def _looked(canaries: Canaries, look: Looked) -> tuple[Canaries, tuple[Effect, ...]]:
    now = look.mono_ns
    if canaries.looked_ns is not None and now - canaries.looked_ns > OWN_STALL_NS:
        # Whoever stood still has heard nothing: the canaries of that time prove nothing.
        standings = {
            name: replace(one, up_ns=now if one.up_ns is not None else None)
            for name, one in canaries.standings.items()
        }
        canaries = replace(canaries, flights={}, standings=standings)
    seen = {*canaries.feeds, *WAY}
    standings = {
        **canaries.standings,
        **{
            row.name: _stood(canaries.standings.get(row.name), row, now)
            for row in look.rows
            if row.name in seen
        },
    }
    canaries = replace(canaries, standings=standings, looked_ns=now)
    sick = dict(_sick(canaries, now))
    effects: list[Effect] = [
        Say("warning", f"canary.{hop}", text) for hop, text in sick.items() if hop not in canaries.sick
    ]
    effects += [
        Over(f"canary.{hop}", f"canaries pass {_spoken(hop)} again")
        for hop in canaries.sick
        if hop not in sick
    ]
    return replace(canaries, sick=sick), tuple(effects)


def _stood(old: Standing | None, row: Row, now: int) -> Standing:
    if old is None:
        return Standing(row.state, row.pid, down_ns=now)
    if row.pid != old.pid or row.state not in ALIVE:
        down_ns = now if old.down_ns is None or (row.pid and row.pid != old.pid) else old.down_ns
        return replace(old, state=row.state, pid=row.pid, up_ns=None, down_ns=down_ns)
    return replace(old, state=row.state)


def _sick(canaries: Canaries, now: int) -> Iterable[tuple[str, str]]:
    """Every hop that is sick now, and why; behind a sick one nothing can be said."""
    standings = canaries.standings
    for feed in canaries.feeds:
        why = _missing(standings.get(feed), now) or _silent(canaries, feed, now)
        if why:
            yield feed, f"{feed} {why}"
    before, judged = "", dict[str, tuple[_Crossing, ...]]()
    for hop in WAY:
        why = _missing(standings.get(hop), now)
        if why:
            yield hop, f"{hop} {why}: no canary passes it"
            return
        if hop in canaries.garbled:
            yield hop, f"{hop} {_unreadable(canaries.garbled[hop])}"
            return
        judged = {
            feed: crossings
            for feed, flights in canaries.flights.items()
            if feed not in canaries.garbled
            and (crossings := tuple(_crossings(standings, flights, (before or feed, hop), hop, now)))
            and now - crossings[-1].came_ns <= _FRESH_NS
        }
        late = [feed for feed in sorted(judged) if not judged[feed][-1].in_time]
        if late and len(late) == len(judged):
            yield (
                hop,
                (
                    f"{hop} did not pass on a canary of {', '.join(late)} within {LATE_NS / SECOND_NS:g} s: "
                    f"it is slow, or stuck in its work; its log and laggard status say more"
                ),
            )
            return
        for feed in late:
            if _others_cross(judged, late, judged[feed][-1].came_ns):
                yield (
                    link(feed, hop),
                    (
                        f"the canary of {feed} did not come through {hop} within {LATE_NS / SECOND_NS:g} s, "
                        f"those of other feeds before and after it did: what it publishes is lost or late"
                    ),
                )
        before = hop
    for feed, hop in LINKS:
        # Only here is it known that the process itself is well: every canary of the way came through it.
        told = link(feed, hop)
        crossings = tuple(_crossings(standings, canaries.flights.get(feed, ()), (feed, hop), told, now))
        if (
            crossings
            and now - crossings[-1].came_ns <= _FRESH_NS
            and not crossings[-1].in_time
            and _others_cross(judged, (), crossings[-1].came_ns)
        ):
            yield (
                told,
                (
                    f"{hop} did not hear the canary of {feed} itself within {LATE_NS / SECOND_NS:g} s, "
                    f"though canaries come to it by others: its subscription is dead or late; restart {hop}"
                ),
            )


@dataclass(frozen=True, slots=True)
class _Crossing:
    """One canary at one hop."""

    came_ns: int
    in_time: bool


def _crossings(
    standings: Mapping[str, Standing], flights: tuple[Flight, ...], ends: tuple[str, str], told: str, now: int
) -> Iterable[_Crossing]:
    """The canaries of one feed whose crossing from one process to the next can be judged by now, newest last.

    ``told`` is the name under which the second one tells of it.
    """
    before, hop = ends
    first, second = standings.get(before), standings.get(hop)
    if first is None or second is None or first.up_ns is None or second.up_ns is None:
        return
    for flight in flights:
        came_ns, passed_ns = flight.sent_ns.get(before), flight.sent_ns.get(told)
        # One on its way during a restart proves nothing.
        if came_ns is None or came_ns < first.up_ns or came_ns < second.up_ns + SETTLE_NS:
            continue
        if passed_ns is not None:
            yield _Crossing(came_ns, passed_ns - came_ns <= LATE_NS)
        elif now - came_ns > LATE_NS:
            yield _Crossing(came_ns, in_time=False)


def _others_cross(judged: Mapping[str, tuple[_Crossing, ...]], late: Collection[str], at_ns: int) -> bool:
    """Whether the last canary of other feeds before an instant and the first one after it both got through.

    Not so while the hop itself breaks or recovers.
    """
    others = sorted(
        (crossing.came_ns, crossing.in_time)
        for feed in judged
        if feed not in late
        for crossing in judged[feed]
    )
    earlier = [in_time for came_ns, in_time in others if came_ns <= at_ns]
    later = [in_time for came_ns, in_time in others if came_ns > at_ns]
    return bool(earlier and later) and earlier[-1] and later[0]


def _missing(standing: Standing | None, now: int) -> str:
    """Why a process that is needed does not work; empty when it does, or was not missed for long enough."""
    if standing is None or standing.down_ns is None or not standing.proved:
        return ""
    down_ns = now - standing.down_ns
    if standing.state in ALIVE:
        return "is still starting" if down_ns > START_NS else ""
    return f"does not run ({standing.state})" if down_ns > DOWN_NS else ""


def _silent(canaries: Canaries, feed: str, now: int) -> str:
    """Why a running feed is sick: nobody can read its canary, or none was heard from itself."""
    standing = canaries.standings.get(feed)
    if standing is None or standing.up_ns is None:
        return ""
    if feed in canaries.garbled:
        return _unreadable(canaries.garbled[feed])
    flights = canaries.flights.get(feed, ())
    newest_ns = max((flight.sent_ns[feed] for flight in flights if feed in flight.sent_ns), default=0)
    if now - max(newest_ns, standing.up_ns) <= PERIOD_NS + LATE_NS:
        return ""
    if any(hop in flight.sent_ns and feed not in flight.sent_ns for flight in flights for hop in WAY):
        return "is heard under a wrong topic: its canary comes to others, but not to the sentinel"
    return "sends no canary: it is slow, or stuck in its work"


def _unreadable(why: str) -> str:
    return f"publishes what this version cannot read ({why}); restart all processes"


def _spoken(hop: str) -> str:
    return hop.replace(_LINK, " to ")
