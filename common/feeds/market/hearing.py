"""Who said what of one window's result, what of it is official, and whom to ask again.

Pure: the shell brings the answers and the time. An outcome that became official stays; a service that then
says otherwise is shown beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from common.messages import Outcome, OutcomeSource, OutcomeWitness
from common.units import SECOND

SOURCES: tuple[OutcomeSource, ...] = ("gamma", "data-api", "clob")
DECIDING: tuple[OutcomeSource, ...] = ("gamma", "data-api")
"""Who makes an outcome official. The CLOB's flags come minutes later and only confirm."""
FOLLOW_UP_NS = 10 * 60 * SECOND
"""How long an official outcome is still held against the services that have not spoken."""
PACE_NS = 10 * SECOND
"""Between two questions to one service about a window whose outcome is official."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """The state of one window's result; instants are monotonic."""

    said: Mapping[OutcomeSource, Outcome] = field(default_factory=dict)
    asked_ns: Mapping[OutcomeSource, int] = field(default_factory=dict)
    official: Outcome | None = None
    official_ns: int = 0


def asked(hearing: Hearing, source: OutcomeSource, mono_ns: int) -> Hearing:
    """Note the question."""
    return replace(hearing, asked_ns={**hearing.asked_ns, source: mono_ns})


def heard(hearing: Hearing, source: OutcomeSource, outcome: Outcome | None, mono_ns: int) -> Hearing:
    """Note the answer: a new word replaces the old one, no word leaves it."""
    if outcome is None or hearing.said.get(source) == outcome:
        return hearing
    hearing = replace(hearing, said={**hearing.said, source: outcome})
    if hearing.official is None and not contradicted(hearing) and any(s in hearing.said for s in DECIDING):
        hearing = replace(hearing, official=outcome, official_ns=mono_ns)
    return hearing


def contradicted(hearing: Hearing) -> bool:
    """Whether two services, or one and the official outcome, say different things."""
    return len({*hearing.said.values(), hearing.official} - {None}) > 1


def due(hearing: Hearing, source: OutcomeSource, mono_ns: int) -> bool:
    """Whether this service is to be asked now: it has not spoken, or there is a contradiction to resolve."""
    if source in hearing.said and not contradicted(hearing):
        return False
    if hearing.official is None:
        return True
    last = hearing.asked_ns.get(source)
    return mono_ns - hearing.official_ns <= FOLLOW_UP_NS and (last is None or mono_ns - last >= PACE_NS)


def witnesses(hearing: Hearing) -> tuple[OutcomeWitness, ...]:
    """Who said what, in a fixed order."""
    return tuple(OutcomeWitness(source, hearing.said[source]) for source in SOURCES if source in hearing.said)
