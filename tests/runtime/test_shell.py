"""The process shell as real processes: exit codes, a clean end, the loop guard, one failure told once."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.peers import LIMIT_S, kill, start

pytestmark = pytest.mark.procs

PROLOGUE = """
import asyncio, sys, time
from common.errors import *
from common.runtime.shell import Process, run
"""
WAITING = (
    PROLOGUE
    + """
async def body(process):
    process.watch("input", 1_000_000_000)
    process.set_state("ready")
    await process.stopping.wait()
run("executor", body)
"""
)
Children = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def child(run_dir: Path) -> Iterator[Children]:
    """Starts children in this run directory and leaves none behind."""
    started: list[subprocess.Popen[str]] = []
    (run_dir / "empty.toml").write_text("")

    def make(code: str, *arguments: str, **more: str) -> "subprocess.Popen[str]":
        env = {name: value for name, value in os.environ.items() if not name.startswith("LAGGARD_")}
        env |= {"LAGGARD_STATE_DIR": str(run_dir / "s"), "LAGGARD_RUN_DIR": str(run_dir / "r")}
        env |= {"LAGGARD_CONFIG": str(run_dir / "empty.toml")}
        process = start(code, *arguments, env=env | more)
        started.append(process)
        return process

    yield make
    for process in started:
        kill(process)


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def until_event(process: "subprocess.Popen[str]", event: str, **fields: str) -> dict[str, Any]:
    """The log line that says ``event``; the child's own end or pytest's limit ends the wait."""
    assert process.stdout is not None
    for line in process.stdout:
        found = json.loads(line) if line.startswith("{") else {}
        if found.get("event") == event and fields.items() <= found.items():
            return dict(found)
    raise AssertionError(f"ended without {event}: {process.stderr.read() if process.stderr else ''}")


def body_that(statement: str) -> str:
    return PROLOGUE + f"async def body(process):\n    {statement}\nrun('executor', body)\n"


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("return", 0),
        ("raise DependencyMissing('no disk')", 69),
        ("raise InvariantBroken('sum')", 70),
        ("raise DataStale('silent')", 75),
        ("raise ConfigError(['wrong'])", 78),
    ],
)
def test_exit_codes(child: Children, statement: str, code: int) -> None:
    process = child(body_that(statement))
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code, output


def test_a_wrong_configuration_ends_with_78_and_tells_every_problem(child: Children) -> None:
    process = child(WAITING, LAGGARD_STRATEGY__MAX_PRICE="7", LAGGARD_TYPO="1")
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 78
    told = [line["problem"] for line in lines_of(output)]
    assert len(told) == 2
    assert any("strategy.max_price" in problem for problem in told)
    assert any("LAGGARD_TYPO" in problem for problem in told)


def test_a_second_instance_ends_with_69_and_harms_nobody(child: Children) -> None:
    first = child(WAITING)
    until_event(first, "state", state="ready")
    second = child(WAITING)
    output, _ = second.communicate(timeout=LIMIT_S)
    assert second.returncode == 69
    assert f"pid {first.pid}" in output
    assert first.poll() is None


def test_a_run_directory_that_cannot_be_used_ends_with_69(child: Children, run_dir: Path) -> None:
    (run_dir / "file").write_text("")
    for unusable in (run_dir / "file", run_dir / ("x" * 120)):
        process = child(WAITING, LAGGARD_RUN_DIR=str(unusable))
        output, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 69
        (told,) = lines_of(output)
        assert told["event"] == "cannot_start"
        assert str(unusable) in told["problem"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_willing_body_cleanly(child: Children, number: int) -> None:
    process = child(WAITING)
    until_event(process, "state", state="ready")
    began = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert time.monotonic() - began < 2


def test_a_signal_ends_a_body_that_does_not_look(child: Children) -> None:
    code = (
        PROLOGUE
        + """
async def forever():
    await asyncio.sleep(3600)
async def body(process):
    process.spawn(forever(), "forever")
    process.set_state("ready")
    try:
        await asyncio.sleep(3600)
    finally:
        process.log.info("cleaned")
run("executor", body)
"""
    )
    process = child(code)
    until_event(process, "state", state="ready")
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert time.monotonic() - began < 2
    assert any(line["event"] == "cleaned" for line in lines_of(output))


def test_a_hung_loop_is_killed_with_a_traceback(child: Children) -> None:
    code = (
        PROLOGUE
        + """
def stuck_here():
    while True:
        pass
async def body(process):
    process.set_state("ready")
    await asyncio.sleep(0.3)
    stuck_here()
run("executor", body, hang_limit_s=0.7)
"""
    )
    process = child(code)
    output, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1
    assert "Timeout" in output + errors
    assert "stuck_here" in output + errors


def test_a_living_loop_is_not_killed(child: Children) -> None:
    code = (
        PROLOGUE
        + """
async def body(process):
    await asyncio.sleep(1.5)
run("executor", body, hang_limit_s=0.7)
"""
    )
    process = child(code)
    process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0


def test_a_rehearsal_that_fails_ends_the_rehearsals_and_nothing_else(child: Children, run_dir: Path) -> None:
    code = (
        PROLOGUE
        + """
turns = []
def rehearse():
    turns.append(1)
    if len(turns) == 3:
        raise KeyError("only made up")
async def body(process):
    process.keep_warm(rehearse)
    while "rehearsals_failed" not in process.counters:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    process.log.info("seen", turns=len(turns), failed=process.counters["rehearsals_failed"])
run("executor", body)
"""
    )
    config = run_dir / "live.toml"
    config.write_text('mode = "live"\n[wallet]\nkind = "eoa"\naddress = "0x' + "11" * 20 + '"\n')
    process = child(code, LAGGARD_CONFIG=str(config))
    out, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, out
    told = {line["event"]: line for line in lines_of(out)}
    assert "only made up" in told["rehearsals_ended"]["problem"]
    assert (told["seen"]["turns"], told["seen"]["failed"]) == (3, 1)


@pytest.mark.parametrize("where", ["body", "spawned"])
def test_an_unhandled_exception_is_logged_once(child: Children, where: str) -> None:
    body = "    await fail()\n" if where == "body" else (
        "    process.spawn(fail(), 'fail')\n    await process.stopping.wait()\n"
    )  # fmt: skip
    code = PROLOGUE + "async def fail():\n    raise KeyError('lost')\nasync def body(process):\n" + body
    process = child(code + "run('executor', body)\n")
    output, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode not in (0, 69, 75, 78)
    told = [line for line in lines_of(output) if line["event"] == "unhandled_exception"]
    assert len(told) == 1
    assert "lost" in json.dumps(told[0])
    assert "in fail" in json.dumps(told[0])
    assert "Traceback" not in errors


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the parent-death signal is Linux's")
def test_a_dead_parent_takes_the_child_with_it(child: Children, run_dir: Path) -> None:
    parent_code = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
time.sleep(60)
"""
    parent = child(parent_code, WAITING)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    socket = run_dir / "r" / "executor.pub"
    _wait_for(socket.exists)
    kill(parent)
    _wait_for(lambda: not _lives(pid))


def test_a_dump_of_all_stacks_leaves_the_process_alive(child: Children) -> None:
    process = child(WAITING)
    until_event(process, "state", state="ready")
    process.send_signal(signal.SIGUSR1)
    told = until_event(process, "stacks")
    assert told["state"] == "ready"
    assert any("in body" in stack for stack in told["tasks"])
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, output


def test_it_beats_and_answers(child: Children, run_dir: Path) -> None:
    import asyncio

    from common.messages import Heartbeat, Status, StatusReport
    from common.runtime.calls import call
    from common.runtime.clock import SystemClock
    from common.runtime.subscriber import Subscriber
    from tests.runtime.peers import context, receive_until

    process = child(WAITING)
    until_event(process, "state", state="ready")

    async def play() -> None:
        async with context() as ctx:
            subscriber = Subscriber(ctx, run_dir / "r", "sentinel", ["executor"], SystemClock())
            heard = await receive_until(subscriber, lambda heard: len(heard) >= 5)
            bodies = [e.body for e in heard]
            assert all(isinstance(beat, Heartbeat) for beat in bodies)
            assert heard[0].topic == "health.executor"
            spread = heard[4].mono_ns - heard[0].mono_ns
            assert spread < 2_000_000_000
            report = await call(ctx, run_dir / "r", "executor", "test", Status(), clock=SystemClock())
            assert isinstance(report, StatusReport)
            assert (report.pid, report.state, report.boot) == (process.pid, "ready", heard[0].boot)
            assert "input" in report.ages_ms
            subscriber.close()

    asyncio.run(play())


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)
