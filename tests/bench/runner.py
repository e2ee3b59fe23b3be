"""Interleaves contenders and loads, round after round, and tells medians of rounds and their ratios.

A sitting is one contender, started anew, in one world of sixteen windows: the first order warms everything
up and is not counted, the other fifteen belong to the loads of that sitting. Prints progress on stderr and
one JSON object on stdout. Run as ``python -m bench.runner``; ``bin/bench tick-to-order`` is for people.
"""

import argparse
import contextlib
import os
import random
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from bench.contender import (
    Contender,
    Running,
    Sitting,
    child_environment,
    end,
    says_ready,
    spawn,
    start,
    start_floor,
    start_signing_floor,
    start_typical,
)
from bench.ours import OURS
from bench.plan import make_plan, write_plan
from bench.world import RESTING_FRAMES, Measure, Measured

from common.runtime.shell import die_with_parent

FRAMES = 2_000
LONGEST_S = 60.0
TICKS_A_S = 16
CONTENDERS = {
    "typical": Contender(
        "typical", start_typical, "asyncio, websockets, httpx, eth-account, coincurve; one process"
    ),
    "ours": OURS,
    "floor": Contender("floor", start_floor, "one process, raw sockets, bytes made beforehand, kept warm"),
    "signing-floor": Contender(
        "signing-floor", start_signing_floor, "the floor with a signature for each order"
    ),
}
DEFAULT = ("typical", "ours", "floor")


@dataclass(frozen=True)
class Load:
    """What a contender is under while ticks fire."""

    name: str
    fires: int
    frames: int = FRAMES
    report: bool = False
    telegram: bool = False
    queued: bool = False


WARM_UP = Load("warm-up", 1)
SITTINGS = (
    (Load("quiet", 3, frames=RESTING_FRAMES), Load("books", 8), Load("telegram", 4, telegram=True)),
    (Load("report", 9, report=True), Load("queued", 6, queued=True)),
)
LOADS = [load.name for sitting in SITTINGS for load in sitting]


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


@dataclass
class Results:
    """All rounds, by contender and load, and what the machine allowed."""

    rounds: dict[tuple[str, str], list[Round]] = field(default_factory=dict)
    priority: str = ""
    cpu_percent: dict[str, list[float]] = field(default_factory=dict)


def run_sitting(contender: Contender, loads: Sequence[Load], seed: int, results: Results) -> None:
    """One contender in one world."""
    with tempfile.TemporaryDirectory(prefix="laggard-bench-") as name, contextlib.ExitStack() as held:
        directory = Path(name)
        listener = held.enter_context(_listener())
        back_port = _free_port() if contender.needs_venue else 0
        plan = make_plan(seed, listener.getsockname()[1], back_port)
        sitting = Sitting(plan, directory)
        write_plan(plan, sitting.plan_file)
        if contender.needs_venue:
            back = spawn(sitting, "venue", "bench.back_office", str(sitting.plan_file), str(back_port))
            held.callback(end, back)
            _await_ready(back)
        world = _start_world(sitting, listener)
        held.callback(end, world)
        running = start(contender, sitting)
        held.callback(running.stop)
        measure(world, running, WARM_UP, results)
        for load in loads:
            results.rounds.setdefault((contender.name, load.name), []).append(
                measure(world, running, load, results)
            )


def measure(world: "subprocess.Popen[bytes]", running: Running, load: Load, results: Results) -> Round:
    """Put one load on, let its ticks fire, take it off again."""
    if load.report:
        running.report("on")
    if load.telegram:
        running.telegram("on")
    began, used = time.monotonic(), running.cpu_s()
    told = _ask(world, running, Measure(load.name, load.fires, load.frames, load.queued))
    seconds = time.monotonic() - began
    if load.name == "books":
        percent = 100 * (running.cpu_s() - used) / seconds
        results.cpu_percent.setdefault(running.contender.name, []).append(percent)
    if load.report:
        running.report("off")
    if load.telegram:
        running.telegram("off")
    results.priority = told.priority
    return Round(
        after_us=[shot.after_ns / 1000 for shot in told.shots if shot.after_ns is not None],
        fired=len(told.shots),
        lost=sum(shot.after_ns is None for shot in told.shots),
        doubled=sum(max(0, shot.orders - 1) for shot in told.shots),
        strays=told.strays,
        ticks=told.ticks,
        frames_per_s=told.book_frames / seconds,
    )


def summary(results: Results, contenders: Sequence[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Everything that is told: medians of rounds, ratios of medians, and what went missing."""
    rows = {
        name: {load: _row(found) for load in LOADS if (found := results.rounds.get((name, load)))}
        for name in contenders
    }
    return {
        "rounds": rounds,
        "seconds": round(seconds, 1),
        "priority": results.priority,
        "about": {name: CONTENDERS[name].about for name in contenders},
        "loads": LOADS,
        "frames": FRAMES,
        "results": rows,
        "cpu_percent": {
            name: round(statistics.median(found), 1) for name, found in results.cpu_percent.items()
        },
        "ratios": _ratios(rows),
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
    for name in rows:
        for key in ("p99_us", "p99_all_us"):
            add(f"{name} report/books {key[:-3]}", (name, "report", key), (name, "books", key))
        add(f"{name} telegram/books p50", (name, "telegram", "p50_us"), (name, "books", "p50_us"))
        add(f"{name} queued/books p50", (name, "queued", "p50_us"), (name, "books", "p50_us"))
    return ratios


def _reasons(rows: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """What must not be: of ours a lost tick or an order too many, of anybody a world without its traffic."""
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


def _ask(world: "subprocess.Popen[bytes]", running: Running, command: Measure) -> Measured:
    assert world.stdin is not None
    assert world.stdout is not None
    world.stdin.write(msgspec.json.encode(command) + b"\n")
    world.stdin.flush()
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        if select.select([world.stdout], [], [], 0.5)[0]:
            line = world.stdout.readline()
            if line:
                return msgspec.json.decode(line, type=Measured)
        if world.poll() is not None:
            log = (running.directory / "world.log").read_text(errors="replace")
            raise RuntimeError(f"the world has ended: {log[-2000:]}")
        if dead := running.dead():
            raise RuntimeError(dead)
    raise RuntimeError(f"no measurement of {running.contender.name} within {LONGEST_S:.0f} s")


def _start_world(sitting: Sitting, listener: socket.socket) -> "subprocess.Popen[bytes]":
    os.set_inheritable(listener.fileno(), True)
    with (sitting.directory / "world.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "bench.world", str(sitting.plan_file), str(listener.fileno())],
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=(listener.fileno(),),
        )


@contextlib.contextmanager
def _listener() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_ready(process: "subprocess.Popen[bytes]") -> None:
    ready = says_ready(process)
    deadline = time.monotonic() + 20
    while ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the simulated venue did not start")
        time.sleep(0.05)


def run(contenders: Sequence[str], rounds: int, sittings: Sequence[Sequence[Load]]) -> dict[str, Any]:
    """All rounds of all contenders; A, B, C, A, B, C."""
    results, began = Results(), time.monotonic()
    seeds = random.Random(time.time_ns())
    for number in range(1, rounds + 1):
        for loads in sittings:
            for name in contenders:
                at_s = time.monotonic() - began
                loaded = ", ".join(load.name for load in loads)
                sys.stderr.write(f"{at_s:6.0f} s  round {number}/{rounds}: {name} ({loaded})\n")
                run_sitting(CONTENDERS[name], loads, seeds.getrandbits(32), results)
    return summary(results, contenders, rounds, time.monotonic() - began)


def main() -> None:
    # Whoever started us may be killed; then everything that was started here must go as well.
    die_with_parent(signal.SIGTERM, os.getppid())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--contenders", default=",".join(DEFAULT), help=", ".join(CONTENDERS))
    chosen = parser.parse_args()
    try:
        told = run(chosen.contenders.split(","), chosen.rounds, SITTINGS)
    except RuntimeError as error:
        sys.exit(str(error))
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")


if __name__ == "__main__":
    main()
