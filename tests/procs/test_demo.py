"""The whole demo as a user runs it, while its processes are killed and its feeds turn into zombies."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.messages import BookState, Snapshot, Status, StatusReport, TakeSnapshot
from common.runtime.supervisor import UNREACHABLE, Fault, process_table, rpc
from procs.cli.asking import ask
from procs.cli.stack import ROOT

pytestmark = [pytest.mark.procs, pytest.mark.alone, pytest.mark.timeout(240)]

SOCKET = ROOT / ".run" / "supervisor.sock"
SECONDS = 75
VICTIMS = ("oracle-rtds", "oracle-chainlink", "books", "strategist", "executor", "recorder", "venue")
RESTART_LIMIT_S = 2.0
ZOMBIE_LIMIT_S = 20.0 + 1.0
"""The demo's tick_stale_s, and a second to notice."""


@pytest.fixture(autouse=True)
def _no_process_left() -> None:
    """The demo ends its own processes; the test asserts that it did."""


class Demo:
    """A running demo and what it says at its end."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.out, self.err = state_dir.parent / "out.json", state_dir.parent / "err.txt"
        command = [sys.executable, "-m", "procs.cli.demo", "--seconds", str(SECONDS), "--json"]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*command, "--state", str(state_dir)],
                cwd=ROOT,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @staticmethod
    def pids() -> dict[str, int]:
        """Live programs by name; empty while supervisord does not answer."""
        try:
            with rpc(SOCKET) as server:
                return {row.name: row.pid for row in process_table(server) if row.pid}
        except (*UNREACHABLE, Fault):
            return {}

    def run_dir(self) -> Path | None:
        """Where the bus is, as the demo tells people."""
        for line in self.err.read_text().splitlines():
            if "sockets in " in line:
                return Path(line.rpartition("sockets in ")[2].strip())
        return None

    def reports(self) -> dict[str, StatusReport]:
        """What every process says of itself now."""
        run_dir = self.run_dir()
        if run_dir is None:
            return {}
        roles = [role for role in VICTIMS if role != "venue"] + ["sentinel"]
        answers = ask(run_dir, {role: Status() for role in roles})
        return {role: answer for role, answer in answers.items() if isinstance(answer, StatusReport)}

    def faults(self, faults: list[dict[str, Any]]) -> None:
        """Let the simulated venue misbehave in exactly these ways."""
        listen = json.loads((self.state_dir / "venue.json").read_text())["listen"]
        request = urllib.request.Request(
            f"http://{listen}/control/faults",
            data=json.dumps(faults).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()

    def result(self) -> dict[str, Any]:
        """The one JSON object of the demo, once it has ended."""
        found: dict[str, Any] = json.loads(self.out.read_text())
        return found


def until(met: Callable[[], bool], limit_s: float, what: str) -> float:
    """Wait for a condition; returns how long it took."""
    began = time.monotonic()
    while not met():
        if time.monotonic() - began > limit_s:
            pytest.fail(f"not within {limit_s} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    if SOCKET.exists() and Demo.pids():
        pytest.skip("laggard is running from this checkout; stop it with `laggard down`")
    running = Demo(tmp_path / "state")
    try:
        until(lambda: len(running.reports()) == len(VICTIMS), 40, "every process answers")
        yield running
    finally:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGINT)
            running.process.wait(60)


def status() -> dict[str, Any]:
    """What ``laggard status --json`` prints beside the running demo."""
    done = subprocess.run(
        [sys.executable, "-m", "procs.cli.main", "status", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def routes_of(kind: str) -> set[str]:
    """The routes whose newest second of this kind was audited."""
    return set(status()["oracles"]["assets"]["btc"].get(kind, {}).get("routes", ()))


def test_no_kill_loses_or_doubles_anything(demo: Demo) -> None:
    until(lambda: demo.reports()["strategist"].counters.get("orders_sent", 0) > 0, 60, "orders flow")
    until(lambda: routes_of("twap60") == {"chainlink", "polybolt", "rtds"}, 20, "every route is audited")
    shown = status()
    assert list(shown["oracles"]["routes"]) == ["chainlink", "polybolt", "rtds"]
    assert shown["processes"]["oracle-exchange"]["state"] == "disabled"
    for victim in VICTIMS:
        before = demo.pids()
        os.kill(before[victim], signal.SIGKILL)
        until(
            lambda victim=victim, old=before[victim]: demo.pids().get(victim, old) != old,  # type: ignore[misc]
            RESTART_LIMIT_S,
            f"{victim} runs again",
        )
    demo.process.wait(SECONDS + 60)
    result = demo.result()
    assert result["reasons"] == [], demo.err.read_text()[-3000:]
    assert demo.process.returncode == 0
    assert {name: result["processes"][name]["restarts"] for name in VICTIMS} == dict.fromkeys(VICTIMS, 1)
    assert result["gaps_undetected"] == result["duplicate_orders"] == result["ledger_difference_usd6"] == 0
    assert result["unhandled_exceptions"] == 0
    assert result["orders_filled"] > 0
    assert result["windows_settled"] > 0


def _lose_the_first_books(demo: Demo) -> None:
    """A market channel that accepts the subscription and sends no book is asked until it does."""

    def live_books() -> int:
        run_dir = demo.run_dir()
        assert run_dir is not None
        answer = ask(run_dir, {"books": TakeSnapshot()})["books"]
        held = answer.envelopes if isinstance(answer, Snapshot) else ()
        return sum(1 for one in held if isinstance(one.body, BookState) and one.body.status == "live")

    until(lambda: live_books() > 0, 10, "books are live")
    demo.faults([{"kind": "drop_snapshot", "channel": "market"}, {"kind": "disconnect", "channel": "market"}])
    until(lambda: live_books() == 0, 10, "no book is live without its snapshot")
    until(
        lambda: demo.reports()["books"].counters.get("snapshots.asked_again", 0) > 0, 10, "books asks again"
    )
    demo.faults([])
    until(lambda: live_books() > 0, 10, "books are live again")


def test_a_zombie_feed_is_found_and_data_flows_again(demo: Demo) -> None:
    """Both sockets stay open and answer every ping, and bring nothing."""

    def counted(name: str) -> int:
        return demo.reports()["oracle-rtds"].counters.get(name, 0)

    until(lambda: counted("ticks") > 0, 10, "ticks come")
    demo.faults([{"kind": "freeze", "channel": "rtds"}])
    took = until(lambda: counted("zombies") > 0, ZOMBIE_LIMIT_S + 2, "the zombie is noticed")
    assert took <= ZOMBIE_LIMIT_S
    demo.faults([])
    ticks = counted("ticks")
    until(lambda: counted("ticks") > ticks, 10, "ticks come again")
    _lose_the_first_books(demo)
    demo.process.send_signal(signal.SIGINT)
    demo.process.wait(60)
    result = demo.result()
    assert result["ended"] == "interrupted"
    assert (
        result["gaps_undetected"] == result["unhandled_exceptions"] == result["ledger_difference_usd6"] == 0
    )
