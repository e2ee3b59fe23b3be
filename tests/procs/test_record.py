"""``laggard record`` with real processes against the simulated venue: it records and leaves nothing."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.research.data.loading import load
from common.runtime.endpoints import ROLES
from common.runtime.lock import hold_role
from common.store import tape
from procs.cli.demo_config import generated_plan, write_files
from procs.cli.demo_stage import free_port
from procs.cli.record import GROUPS, only
from procs.cli.stack import ROOT, is_alive

LIMIT_S = 60.0


def test_only_the_feeds_and_the_recorder_are_started() -> None:
    made = only((ROOT / "supervisord.conf").read_text(), GROUPS)
    programs = {line for line in made.splitlines() if line.startswith("[program:")}
    assert programs == {
        f"[program:{name}]"
        for name in (
            "oracle-chainlink",
            "oracle-polybolt",
            "oracle-rtds",
            "oracle-exchange",
            "books",
            "recorder",
        )
    }
    assert "eventlistener" not in made
    assert "[supervisord]" in made
    assert "[group:core]" not in made


@pytest.fixture
def base() -> Iterator[Path]:
    # Not pytest's own directory: its path leaves no room for socket names.
    with tempfile.TemporaryDirectory(prefix="lg-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def venue(base: Path) -> Iterator[Path]:
    """A simulated venue of its own; gives the configuration that points to it."""
    home = base / "venue"
    home.mkdir()
    config_file, sim_file = write_files(generated_plan(150, 1, free_port(), time.time_ns(), ("rtds",)), home)
    run_dir = base / "venue-run"
    run_dir.mkdir(mode=0o700)
    environment = clean() | {
        "LAGGARD_SIM": str(sim_file),
        "LAGGARD_CONFIG": str(config_file),
        "LAGGARD_STATE_DIR": str(home),
        "LAGGARD_RUN_DIR": str(run_dir),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "procs.venue"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield config_file
    finally:
        process.terminate()
        process.wait(20)


def clean() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("LAGGARD_")}


def start(config: Path, state: Path, *more: str) -> "subprocess.Popen[str]":
    command = [
        sys.executable,
        "-m",
        "procs.cli.main",
        "record",
        "--config",
        str(config),
        "--state",
        str(state),
    ]
    return subprocess.Popen(
        [*command, *more], cwd=ROOT, env=clean(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def nothing_is_left(state: Path) -> None:
    pid_file = state / "record" / ".run" / "supervisord.pid"
    assert not pid_file.exists() or not is_alive(int(pid_file.read_text()))
    for role in ROLES:
        with hold_role(state / "run", role):
            pass


def until_ticks(process: "subprocess.Popen[str]", state: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not any(one.topic.startswith("tick.") for one in tape.read(state / "tapes" / "bus")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.procs
@pytest.mark.alone
@pytest.mark.timeout(120)
def test_it_records_for_as_long_as_wanted_and_says_what(base: Path, venue: Path) -> None:
    state = base / "state"
    process = start(venue, state, "--seconds", "8", "--json")
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    found = json.loads(out)
    assert found["ticks"] > 0, err
    assert found["books"] > 0, err
    assert found["lost"] == 0
    made = load(state / "tapes")
    assert made.ticks.height > 0
    assert made.books["bid4"].drop_nulls().len() > 0
    assert made.markets.height > 0
    assert tape.verify(state / "tapes").tears == ()
    nothing_is_left(state)


@pytest.mark.procs
@pytest.mark.alone
@pytest.mark.timeout(120)
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_told_to_and_leaves_nothing(base: Path, venue: Path, number: signal.Signals) -> None:
    state = base / "state"
    process = start(venue, state)
    until_ticks(process, state)
    process.send_signal(number)
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    assert " ticks" in out
    nothing_is_left(state)


@pytest.mark.procs
@pytest.mark.alone
@pytest.mark.timeout(120)
def test_beside_a_running_bot_it_refuses(base: Path, venue: Path) -> None:
    state = base / "state"
    (state / "run").mkdir(parents=True, mode=0o700)
    with hold_role(state / "run", "books"):
        process = start(venue, state, "--seconds", "5")
        _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 69
    assert "a running bot records by itself" in err


@pytest.mark.procs
@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_killed_it_takes_its_processes_with_it(base: Path, venue: Path) -> None:
    state = base / "state"
    process = start(venue, state)
    until_ticks(process, state)
    supervisor = int((state / "record" / ".run" / "supervisord.pid").read_text())
    process.kill()
    process.communicate()
    deadline = time.monotonic() + LIMIT_S
    while is_alive(supervisor):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    nothing_is_left(state)
    assert tape.verify(state / "tapes").tears == ()
