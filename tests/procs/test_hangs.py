"""Hung processes under a real supervisord: noticed in 10 s, running again in 15 s; the sick hop named.

The processes are the real ones; ``hanging_process`` and ``hang_stage`` break them from outside.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping

import pytest

from hang_stage import Stage, stage, trapped, until
from procs.cli.stack import ROOT, is_alive

pytestmark = [pytest.mark.procs, pytest.mark.alone, pytest.mark.timeout(240)]

NOTICED_S = 10.0
BACK_S = 15.0
NAMED_S = 10.0
LOADING = "import procs.executor, procs.books, procs.strategist"
STOPPED = "SIGSTOP"
SHAPES = (STOPPED, "busy loop", "deadlock", "blocked write", "hang in C")
ONE_EACH = {
    "strategist": "busy loop",
    "executor": "deadlock",
    "oracle-rtds": "blocked write",
    "recorder": "hang in C",
}


@pytest.fixture(autouse=True)
def _no_process_left() -> None:
    """Here processes outlive a test on purpose: the stage ends them all."""


@pytest.fixture(scope="module")
def on() -> Iterator[Stage]:
    with stage(change=trapped) as made:
        yield made


@pytest.fixture(scope="module")
def results() -> Iterator[list[tuple[str, str, float, float]]]:
    """Process, shape, seconds until it was noticed, seconds until it answered again: printed at the end."""
    found: list[tuple[str, str, float, float]] = []
    yield found
    say(f"\n{'process':<18}{'shape':<16}{'noticed s':>10}{'back s':>8}")
    for name, shape, noticed_s, back_s in found:
        say(f"{name:<18}{shape:<16}{noticed_s:>10.1f}{back_s:>8.1f}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def hang(on: Stage, shapes: Mapping[str, str]) -> list[tuple[str, str, float, float]]:
    """Make these processes hang at once; the times of each until it was noticed and until it was back."""
    until(on.all_well, 60, "every process runs", 0.2)
    before = {name: on.table()[name].pid for name in shapes}
    began_wall, began = time.time(), time.monotonic()
    for name, shape in shapes.items():
        if shape == STOPPED:
            os.kill(before[name], signal.SIGSTOP)
        else:
            on.set_trap(name, shape)
    gone: dict[str, float] = {}
    back: dict[str, float] = {}

    def look() -> bool:
        now = time.monotonic() - began
        for name, pid in before.items():
            if name not in gone and not is_alive(pid):
                gone[name] = now
            if name in gone and name not in back:
                report = on.report(name)
                if report is not None and report.pid != pid and report.state != "starting":
                    back[name] = time.monotonic() - began
        return len(back) == len(before)

    try:
        until(look, 4 * BACK_S, f"{sorted(shapes)} run again", 0.1)
    finally:
        for name, pid in before.items():
            if name not in gone and is_alive(pid):
                os.kill(pid, signal.SIGKILL)
    said = {
        line["code"]: line["at"] - began_wall
        for line in on.log("sentinel", "alert")
        if line["at"] >= began_wall
    }
    # Nobody announces the end of the sentinel itself: its guard has noticed when it is gone.
    return [
        (
            name,
            shape,
            gone[name] if name == "sentinel" else said.get(f"silent.{name}", gone[name]),
            back[name],
        )
        for name, shape in shapes.items()
    ]


def judge(found: Iterable[tuple[str, str, float, float]], at_once: int = 1) -> None:
    """Within the limits; where even loading the code takes long, that much later."""
    for name, shape, noticed_s, back_s in found:
        assert noticed_s <= NOTICED_S, f"{name}, {shape}: noticed after {noticed_s:.1f} s"
        late = f"{name}, {shape}: back after {back_s:.1f} s"
        assert back_s <= BACK_S or back_s <= noticed_s + 2 * bare_start_s(at_once), late


def bare_start_s(count: int) -> float:
    """How long this machine now takes to start so many processes that only load the code."""
    began = time.monotonic()
    loading = [subprocess.Popen([sys.executable, "-c", LOADING], cwd=ROOT) for _ in range(count)]
    for process in loading:
        process.wait()
    return time.monotonic() - began


def up_s(on: Stage, name: str) -> float:
    report = on.report(name)
    return report.uptime_ms / 1000 if report is not None else 0.0


def sick(on: Stage, since: float) -> list[str]:
    """What was said of canaries since an instant."""
    return [code for code in on.said(since) if code.startswith("canary.")]


def broken(on: Stage, role: str, what: str, hop: str) -> float:
    """Break a hop, see it named alone and in time, mend it, see the end of it; seconds until it was named."""
    until(on.all_well, 60, "every process runs", 0.2)
    until(lambda: not any(code.startswith("canary.") for code in on.alerts()), 20, "nobody is sick")
    # Whoever came up a moment ago is not judged yet.
    until(lambda: all(up_s(on, name) > 4 for name in ("strategist", "executor", role)), 10, "all settled")
    began = time.time()
    if what == "stop":
        on.order("stopProcess", role)
    else:
        on.set_trap(role, what)
    try:
        took = until(lambda: f"canary.{hop}" in on.alerts(), NAMED_S, f"{hop} is named for {role}: {what}")
        assert sick(on, began) == [f"canary.{hop}"], on.log("sentinel", "alert")[-5:]
    finally:
        if what == "stop":
            on.order("startProcess", role)
        else:
            on.take_away(role)
    until(lambda: f"canary.{hop}" not in on.alerts(), 20, f"{hop} is well again")
    assert sick(on, began) == [f"canary.{hop}", f"canary.{hop}-over"], on.log("sentinel", "alert")[-5:]
    say(f"{role:<14}{what:<18}named {hop:<28}after {took:4.1f} s")
    return took


def test_a_strategist_that_drops_is_named(on: Stage) -> None:
    broken(on, "strategist", "drop", "strategist")


def test_every_stopped_process_is_back(on: Stage, results: list[tuple[str, str, float, float]]) -> None:
    until(on.all_well, 60, "every process runs", 0.2)
    names = on.watched()
    assert names[-1] == "sentinel"
    found = hang(on, dict.fromkeys(names[:-1], STOPPED))
    found += hang(on, {"sentinel": STOPPED})
    results += found
    judge(found, at_once=len(names))


def test_one_process_of_each_shape_is_back(on: Stage, results: list[tuple[str, str, float, float]]) -> None:
    found = hang(on, ONE_EACH)
    results += found
    judge(found, at_once=len(ONE_EACH))
    for name in ONE_EACH:
        until(lambda name=name: f"silent.{name}" not in on.alerts(), 5, "the alert of its silence is over")
        assert f"silent.{name}-over" in on.said(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "what", "hop"),
    [
        ("oracle-rtds", "mute", "oracle-rtds"),
        ("oracle-rtds", "schema", "oracle-rtds"),
        ("oracle-rtds", "topic", "oracle-rtds"),
        ("oracle-rtds", "stop", "oracle-rtds"),
        ("books", "mute", "books"),
        ("strategist", "drop books", "books-to-strategist"),
        ("strategist", "slow oracle-rtds", "oracle-rtds-to-strategist"),
        ("strategist", "slow", "strategist"),
        ("strategist", "schema", "strategist"),
        ("strategist", "topic", "strategist"),
        ("strategist", "stop", "strategist"),
        ("executor", "drop books", "books-to-executor"),
        ("executor", "slow books", "books-to-executor"),
        ("executor", "drop", "executor"),
        ("executor", "slow", "executor"),
        ("executor", "schema", "executor"),
        ("executor", "topic", "executor"),
        ("executor", "stop", "executor"),
    ],
)
def test_each_broken_hop_is_named(on: Stage, role: str, what: str, hop: str) -> None:
    broken(on, role, what, hop)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_process_is_back_from_every_shape(
    on: Stage, results: list[tuple[str, str, float, float]], shape: str
) -> None:
    found: list[tuple[str, str, float, float]] = []
    until(on.all_well, 60, "every process runs", 0.2)
    for name in on.watched():
        found += hang(on, {name: shape})
    results += found
    judge(found)


@pytest.mark.slow
def test_a_supervisord_that_stood_still_costs_nobody_his_life(on: Stage) -> None:
    until(on.all_well, 60, "every process runs", 0.2)
    before = {name: row.pid for name, row in on.table().items()}
    began = time.time()
    os.kill(on.process.pid, signal.SIGSTOP)
    resume = time.monotonic() + 12
    until(lambda: time.monotonic() > resume, 20, "supervisord stands still")
    os.kill(on.process.pid, signal.SIGCONT)
    settled = time.monotonic() + 12
    until(lambda: time.monotonic() > settled, 20, "the sentinel looks again")
    assert {name: row.pid for name, row in on.table().items()} == before
    assert on.said(began) == []
