"""What the rounds come to: medians of rounds, ratios of medians, and what must not be. Starts nothing."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.loads import FRAMES, LOADS, NEEDED

RESAMPLINGS = 2_000


@dataclass
class Round:
    """One load of one contender in one round."""

    after_us: list[float] = field(default_factory=list)
    fired: int = 0
    lost: int = 0
    doubled: int = 0
    strays: int = 0
    ticks: int = 0
    frames_per_s: float = 0.0
    came: dict[str, int] = field(default_factory=dict)
    """What of the load the contender's chat or reports saw, where that is counted."""


@dataclass
class Results:
    """All rounds, by contender and load, and what the machine allowed."""

    rounds: dict[tuple[str, str], list[Round]] = field(default_factory=dict)
    priority: str = ""
    cpu_percent: dict[str, list[float]] = field(default_factory=dict)


def summary(results: Results, contenders: Sequence[str]) -> dict[str, Any]:
    """Everything that was measured: medians of rounds, ratios of medians, and what must not be."""
    rows = {
        name: {load: _row(found) for load in LOADS if (found := results.rounds.get((name, load)))}
        for name in contenders
    }
    return {
        "priority": results.priority,
        "loads": LOADS,
        "frames": FRAMES,
        "results": rows,
        "cpu_percent": {
            name: round(statistics.median(found), 1) for name, found in results.cpu_percent.items()
        },
        "ratios": _ratios(rows),
        "intervals": {
            f"{name} {load}/books p99": interval
            for name in contenders
            for load in ("report", "telegram")
            if (interval := _interval(results, (name, load), (name, "books")))
        },
        "reasons": _reasons(rows),
    }


def _row(rounds: Sequence[Round]) -> dict[str, Any]:
    """Of one contender and load; the 99th percentile of few orders is the slowest of them."""
    everything = sorted(after for one in rounds for after in one.after_us)
    heard = [sorted(one.after_us) for one in rounds if one.after_us]
    return {
        "p50_us": _median([_quantile(one, 50) for one in heard]),
        "p99_us": _median([_quantile(one, 99) for one in heard]),
        "p50_all_us": _quantile(everything, 50) if everything else None,
        "p99_all_us": _quantile(everything, 99) if everything else None,
        "orders": len(everything),
        "fired": sum(one.fired for one in rounds),
        "lost": sum(one.lost for one in rounds),
        "doubled": sum(one.doubled for one in rounds),
        "strays": sum(one.strays for one in rounds),
        "ticks": sum(one.ticks for one in rounds),
        "frames_per_s": _median([one.frames_per_s for one in rounds]),
        "came": {name: min(one.came[name] for one in rounds) for name in rounds[0].came},
        "rounds_p50_us": [_quantile(one, 50) for one in heard],
        "rounds_p99_us": [_quantile(one, 99) for one in heard],
    }


def _ratios(rows: dict[str, dict[str, dict[str, Any]]]) -> dict[str, float]:
    """Medians of one run over each other; only these travel from machine to machine."""
    ratios: dict[str, float] = {}

    def add(name: str, ours: tuple[str, str, str], peer: tuple[str, str, str]) -> None:
        values = [rows.get(who, {}).get(load, {}).get(key) for who, load, key in (ours, peer)]
        if values[0] and values[1]:
            ratios[name] = round(values[0] / values[1], 4)

    for peer in rows:
        if peer != "ours" and "ours" in rows:
            for load in LOADS:
                for key in ("p50_us", "p99_us"):
                    add(f"ours/{peer} {load} {key[:3]}", ("ours", load, key), (peer, load, key))
    for peer in ("typical", "floor"):
        # What three processes with ZeroMQ between them cannot get below, whatever is in them.
        add(f"bus-floor/{peer} books p50", ("bus-floor", "books", "p50_us"), (peer, "books", "p50_us"))
    for name in rows:
        for key in ("p99_us", "p99_all_us"):
            add(f"{name} report/books {key[:-3]}", (name, "report", key), (name, "books", key))
        for key in ("p50_us", "p99_us", "p99_all_us"):
            add(f"{name} telegram/books {key[:-3]}", (name, "telegram", key), (name, "books", key))
        add(f"{name} queued/books p50", (name, "queued", "p50_us"), (name, "books", "p50_us"))
    return ratios


def _interval(results: Results, above: tuple[str, str], below: tuple[str, str]) -> list[float]:
    """Where nine in ten of the ratio's values are when the rounds are drawn anew; empty for single rounds."""
    slowest = [
        [_quantile(sorted(one.after_us), 99) for one in results.rounds.get(key, ()) if one.after_us]
        for key in (above, below)
    ]
    if min(map(len, slowest)) < 2:
        return []
    dice = random.Random(0)
    drawn = sorted(
        statistics.median(dice.choices(slowest[0], k=len(slowest[0])))
        / statistics.median(dice.choices(slowest[1], k=len(slowest[1])))
        for _ in range(RESAMPLINGS)
    )
    return [round(drawn[RESAMPLINGS * percent // 100], 2) for percent in (5, 95)]


def _reasons(rows: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """What must not be: of ours a lost tick, an order too many, or a load that did not weigh; of anybody a
    world without its traffic.
    """
    reasons = [
        f"ours {load}: {row[what]} {words}"
        for load, row in rows.get("ours", {}).items()
        for what, words in (
            ("lost", "ticks lost"),
            ("doubled", "orders doubled"),
            ("strays", "orders astray"),
        )
        if row[what]
    ]
    reasons += [
        f"ours {load}: in some round {words}"
        for load, what, least, words in NEEDED
        if (came := rows.get("ours", {}).get(load, {}).get("came", {})) and came[what] < least
    ]
    reasons += [
        f"{name} {load}: only {row['frames_per_s']:.0f} book frames a second"
        for name, found in rows.items()
        for load, row in found.items()
        if load in ("books", "report", "telegram") and row["frames_per_s"] < 0.9 * FRAMES
    ]
    return reasons


def _quantile(rising: Sequence[float], percent: int) -> float:
    """The nearest rank."""
    return round(rising[max(0, -(-len(rising) * percent // 100) - 1)], 1)


def _median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 1) if values else None
