"""The sentinel's two talks with supervisord: the listener's protocol and the orders by RPC."""

import io
from typing import Any, cast
from xmlrpc.client import ServerProxy

import pytest

from common.core.vigil import DumpStacks, Kill, Revive, Stop
from procs.sentinel import Order, carry_out, listen


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
