"""Interleaves contenders and loads, round after round, and tells medians of rounds and their ratios.

A sitting is one contender, started anew, in one world. Prints progress on stderr and one JSON object on
stdout. Run as ``python -m bench.runner``; ``bin/bench tick-to-order`` is for people.
"""

import argparse
import contextlib
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
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
    start_bus_floor,
    start_floor,
    start_signing_floor,
    start_typical,
)
from bench.figures import Results, Round, summary
from bench.loads import LOADS, SITTINGS, WARM_UP, Load
from bench.ours import OURS
from bench.plan import make_plan, write_plan
from bench.world import Measure, Measured

from common.runtime.shell import die_with_parent

LONGEST_S = 60.0
CONTENDERS = {
    "typical": Contender(
        "typical", start_typical, "asyncio, websockets, httpx, eth-account, coincurve; one process"
    ),
    "ours": OURS,
    "floor": Contender("floor", start_floor, "one process, raw sockets, bytes made beforehand, kept warm"),
    "signing-floor": Contender(
        "signing-floor", start_signing_floor, "the floor with a signature for each order"
    ),
    "bus-floor": Contender(
        "bus-floor", start_bus_floor, "the floor in three processes, two bare ZeroMQ hops between them"
    ),
    "signing-bus-floor": Contender(
        "signing-bus-floor",
        partial(start_bus_floor, sign=True),
        "the bus floor with a signature for each order",
    ),
}
DEFAULT = ("typical", "ours", "floor", "bus-floor")


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
    came = {}
    if load.report:
        came = running.report("off")
    if load.telegram:
        came = running.telegram("off")
    results.priority = told.priority
    return Round(
        after_us=[shot.after_ns / 1000 for shot in told.shots if shot.after_ns is not None],
        fired=len(told.shots),
        lost=sum(shot.after_ns is None for shot in told.shots),
        doubled=sum(max(0, shot.orders - 1) for shot in told.shots),
        strays=told.strays,
        ticks=told.ticks,
        frames_per_s=told.book_frames / seconds,
        came=came,
    )


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
    return {
        "rounds": rounds,
        "seconds": round(time.monotonic() - began, 1),
        "about": {name: CONTENDERS[name].about for name in contenders},
        **summary(results, contenders),
    }


def main() -> None:
    # Whoever started us may be killed; then everything that was started here must go as well.
    die_with_parent(signal.SIGTERM, os.getppid())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--contenders", default=",".join(DEFAULT), help=", ".join(CONTENDERS))
    parser.add_argument("--loads", default=",".join(LOADS), help="only the sittings with one of these")
    chosen = parser.parse_args()
    wanted = chosen.loads.split(",")
    sittings = [one for one in SITTINGS if any(load.name in wanted for load in one)]
    try:
        told = run(chosen.contenders.split(","), chosen.rounds, sittings)
    except RuntimeError as error:
        sys.exit(str(error))
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")


if __name__ == "__main__":
    main()
