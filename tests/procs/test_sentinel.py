"""The sentinel's talks: the listener's protocol, the orders by RPC, what it hears, and its guard."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast
from xmlrpc.client import ServerProxy

import msgspec
import pytest

from common.core.canary import Garbled, Heard
from common.core.vigil import Beat, DumpStacks, Kill, Revive, Stop
from common.messages import SCHEMA, Canary, Envelope, Heartbeat, Published
from procs.sentinel import understood
from procs.sentinel_talk import Order, carry_out, listen


def event(name: str, body: str) -> str:
    return (
        f"ver:3.0 server:laggard serial:1 pool:sentinel poolserial:1 eventname:{name} len:{len(body)}\n{body}"
    )


def hold_a_talk(events: str) -> tuple[list[tuple[str, str]], str, bool]:
    told: list[tuple[str, str]] = []
    ends: list[bool] = []
    answers = io.StringIO()
    listen(
        io.StringIO(events),
        answers,
        lambda name, state: told.append((name, state)),
        lambda: ends.append(True),
    )
    return told, answers.getvalue(), bool(ends)


def test_process_states_are_told_and_every_event_is_acknowledged() -> None:
    told, answers, ended = hold_a_talk(
        event("PROCESS_STATE_EXITED", "processname:books groupname:feeds from_state:RUNNING expected:0 pid:7")
        + event("TICK_5", "when:1800000000")
        + event("PROCESS_STATE_STOPPED", "processname:venue groupname:sim from_state:STOPPING pid:9")
    )
    assert told == [("books", "EXITED"), ("venue", "STOPPED")]
    assert answers == "READY\n" + "RESULT 2\nOKREADY\n" * 3
    assert ended


def test_the_end_of_supervisord_ends_the_talk() -> None:
    told, answers, ended = hold_a_talk("")
    assert (told, answers, ended) == ([], "READY\n", True)


class FakeSupervisor:
    """Remembers what it was asked."""

    def __init__(self, pid: int) -> None:
        self.supervisor = self
        self.pid = pid
        self.asked: list[tuple[Any, ...]] = []

    def getProcessInfo(self, name: str) -> dict[str, object]:  # noqa: N802
        return {"pid": self.pid}

    def signalProcess(self, name: str, number: str) -> None:  # noqa: N802
        self.asked.append(("signal", name, number))

    def stopProcess(self, name: str, wait: bool) -> None:  # noqa: N802
        self.asked.append(("stop", name, wait))

    def startProcess(self, name: str, wait: bool) -> None:  # noqa: N802
        self.asked.append(("start", name, wait))


@pytest.mark.parametrize(
    ("order", "asked"),
    [
        (DumpStacks("books", 7), ("signal", "feeds:books", "USR1")),
        (Kill("books", 7), ("signal", "feeds:books", "KILL")),
        (Stop("books"), ("stop", "feeds:books", False)),
        (Revive("books"), ("start", "feeds:books", False)),
    ],
)
def test_orders_never_wait(order: Order, asked: tuple[object, ...]) -> None:
    server = FakeSupervisor(7)
    carry_out(cast(ServerProxy, server), "feeds:books", order)
    assert server.asked == [asked]


def test_a_successor_is_not_killed_for_its_predecessor() -> None:
    server = FakeSupervisor(8)
    carry_out(cast(ServerProxy, server), "feeds:books", Kill("books", 7))
    assert server.asked == []


def published(body: Published, schema: int = SCHEMA) -> bytes:
    return msgspec.msgpack.encode(
        Envelope(
            schema=schema,
            source="books",
            boot="b",
            seq=1,
            topic="",
            ts_event_ns=0,
            ts_recv_ns=0,
            mono_ns=5,
            cause="",
            body=body,
        )
    )


CANARY = Canary(feed="books", number=3, boot="b")


def test_heartbeats_and_canaries_are_understood() -> None:
    beat = Heartbeat(role="books", pid=7, state="degraded", detail="", ages_ms={}, counters={})
    assert understood(b"health.books", published(beat), 9) == Beat(9, "books", 7, "degraded")
    assert understood(b"canary.books", published(CANARY), 9) == Heard("books", "b", 3, "books", 5)


def test_a_canary_heard_from_the_feed_itself_is_of_that_link() -> None:
    link = msgspec.msgpack.decode(published(CANARY)) | {"source": "executor"}
    heard = understood(b"canary.books.heard", msgspec.msgpack.encode(link), 9)
    assert heard == Heard("books", "b", 3, "books-to-executor", 5)
    came_as_a_wish = understood(b"canary.books", msgspec.msgpack.encode(link), 9)
    assert came_as_a_wish == Heard("books", "b", 3, "executor", 5)


def test_a_canary_of_another_version_is_no_canary() -> None:
    newer = understood(b"canary.books", published(CANARY, SCHEMA + 1), 9)
    assert newer == Garbled("books", f"schema {SCHEMA + 1}, here {SCHEMA}")
    other = msgspec.msgpack.decode(published(CANARY))
    other["body"]["number"] = "three"
    garbled = understood(b"canary.books", msgspec.msgpack.encode(other), 9)
    assert isinstance(garbled, Garbled) and garbled.hop == "books" and "number" in garbled.why
    assert understood(b"health.books", msgspec.msgpack.encode(other), 9) is None
    assert understood(b"canary.books", b"\xc1", 9) is None


GUARDED = """
import sys, time
from procs.sentinel_guard import start_guard
guard = start_guard(3.0, 6.0)
print(guard.pid, flush=True)
until = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    guard.beat()
    time.sleep(0.05)
time.sleep(float(sys.argv[2]))
"""


def guarded(*seconds: str) -> "tuple[subprocess.Popen[str], int]":
    child = subprocess.Popen([sys.executable, "-c", GUARDED, *seconds], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    return child, int(child.stdout.readline())


def ends(pid: int) -> bool:
    limit = time.monotonic() + 5
    while time.monotonic() < limit:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.procs
def test_the_guard_kills_whoever_stops_beating_and_nobody_else() -> None:
    # At once, for their seconds pass together: beats until its end, never, for a while, stopped by a signal.
    well, never, once, stopped = guarded("8", "0"), guarded("0", "60"), guarded("1", "60"), guarded("60", "0")
    os.kill(stopped[0].pid, signal.SIGSTOP)
    for child, guard in (never, once, stopped):
        child.communicate(timeout=30)
        assert child.returncode == -signal.SIGKILL
        assert ends(guard)
    child, guard = well
    child.communicate(timeout=30)
    assert child.returncode == 0
    assert ends(guard)


@pytest.mark.procs
def test_a_dead_guard_harms_nobody_and_a_killed_process_takes_its_guard_along() -> None:
    child, guard = guarded("1", "0")
    os.kill(guard, signal.SIGKILL)
    child.communicate(timeout=30)
    assert child.returncode == 0
    child, guard = guarded("60", "0")
    child.kill()
    child.communicate(timeout=30)
    assert ends(guard)
