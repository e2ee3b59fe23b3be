"""The audit of a run: gaps nobody noticed, duplicate orders, unbalanced books, unhandled exceptions.

Computed from what every process counted, from the tapes and from the logs, never from what a process
concludes about itself. Asks nobody; prints nothing.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.messages import SourceCount, StatusReport
from common.runtime.endpoints import ORACLES
from common.store.tape import Hole

FOLLOWS: dict[str, frozenset[str]] = {
    "strategist": frozenset({"books", "executor"}),
    "executor": frozenset({"books"}),
    "recorder": frozenset({*ORACLES, "books", "strategist", "executor", "redeemer", "sentinel"}),
}
"""Whom a process must hear: one that never heard a publisher has no count of it that could be wrong.

The strategist hears the chosen routes; it counts each of them from its start.
"""
TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True, slots=True)
class Lost:
    """Messages that are missing and that nobody reported."""

    subscriber: str
    source: str
    boot: str
    count: int
    how: str


def miscounted(reports: Mapping[str, StatusReport]) -> list[Lost]:
    """Every numbering in which first, last, received and missed do not add up."""
    lost = []
    for role, report in reports.items():
        for seen in report.sources:
            if not seen.received:
                continue
            off = seen.last_seq - seen.first_seq + 1 - seen.received - seen.missed
            if off:
                lost.append(Lost(role, seen.source, seen.boot, abs(off), "the count does not add up"))
    return lost


def tails(published: Mapping[str, tuple[str, int]], reports: Mapping[str, StatusReport]) -> list[Lost]:
    """What subscribers have not seen of what was published up to an earlier look.

    ``published`` maps a publisher to its boot and last number at that look; a subscriber that follows it in
    ``reports`` must have come at least that far.
    """
    lost = []
    for role, report in reports.items():
        followed: dict[str, dict[str, SourceCount]] = {}
        for seen in report.sources:
            followed.setdefault(seen.source, {})[seen.boot] = seen
        for source in FOLLOWS.get(role, frozenset()).union(followed).intersection(published):
            boot, number = published[source]
            boots = followed.get(source, {})
            come_to = boots[boot].last_seq if boot in boots else 0
            if come_to < number:
                lost.append(Lost(role, source, boot, number - come_to, "the tail did not arrive"))
    return lost


def detected(reports: Iterable[StatusReport]) -> int:
    """Messages that subscribers themselves noticed as missing."""
    return sum(seen.missed for report in reports for seen in report.sources)


def tape_losses(holes: Iterable[Hole], recorder: StatusReport | None, restarts: int) -> list[Lost]:
    """Holes on the tape the recorder did not report; one hole for each of its own restarts is its absence."""
    missing: dict[tuple[str, str], list[int]] = {}
    for hole in holes:
        missing.setdefault((hole.source, hole.boot), []).append(hole.missing)
    reported = {(seen.source, seen.boot): seen.missed for seen in (recorder.sources if recorder else ())}
    lost = []
    for (source, boot), counts in missing.items():
        unexplained = sum(sorted(counts, reverse=True)[restarts:]) - reported.get((source, boot), 0)
        if unexplained > 0:
            lost.append(Lost("recorder", source, boot, unexplained, "its tape has a hole it did not report"))
    return lost


@dataclass(frozen=True, slots=True)
class LogMark:
    """How long each log was when the run began."""

    sizes: Mapping[Path, int]


def mark_logs(directory: Path) -> LogMark:
    """Remember where the logs end now."""
    return LogMark({path: path.stat().st_size for path in directory.glob("*.log")})


def count_unhandled(directory: Path, mark: LogMark) -> dict[str, int]:
    """Unhandled exceptions per log since the mark: one for each such event and each raw traceback."""
    counts: dict[str, int] = {}
    for path in sorted(directory.glob("*.log")):
        count = sum(1 for line in _lines_since(path, mark.sizes.get(path, 0)) if _is_unhandled(line))
        if count:
            counts[path.stem] = count
    return counts


def _lines_since(path: Path, offset: int) -> Iterable[str]:
    older = path.with_name(path.name + ".1")
    parts = [(path, offset)]
    if path.stat().st_size < offset:
        # Rotated since the mark: what was written before is in the first backup.
        parts = [(older, offset), (path, 0)] if older.exists() else [(path, 0)]
    for part, start in parts:
        with part.open("rb") as file:
            file.seek(start)
            for line in file:
                yield line.decode("utf-8", "replace")


def _is_unhandled(line: str) -> bool:
    try:
        fields = json.loads(line)
    except ValueError:
        return TRACEBACK in line
    return isinstance(fields, dict) and fields.get("event") == "unhandled_exception"
