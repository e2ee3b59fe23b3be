"""What counts as well, and with which code a command says so."""

import dataclasses
from pathlib import Path

import msgspec
import pytest

from common.errors import CallTimedOut
from common.messages import StatusReport
from common.runtime.lock import hold_role
from common.runtime.supervisor import ProcessRow
from procs.cli.asking import Place
from procs.cli.stack import Stack
from procs.cli.survey import Seen, Survey, _report, nothing_runs


def row(name: str, group: str, state: str, pid: int = 7) -> ProcessRow:
    return ProcessRow(name, group, state, pid, 0, "Exited too quickly")


def report(pid: int = 7) -> StatusReport:
    return StatusReport(
        role="books",
        pid=pid,
        boot="b",
        state="ready",
        detail="",
        uptime_ms=1,
        published=1,
        sources=(),
        ages_ms={},
        counters={},
        facts={},
    )


def seen(name: str, group: str, state: str, answer: object) -> Seen:
    its_row = row(name, group, state)
    return Seen(its_row, *_report(its_row, answer))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "group", "state", "answer", "well"),
    [
        ("books", "feeds", "RUNNING", report(), True),
        ("books", "feeds", "RUNNING", CallTimedOut("late"), False),
        ("books", "feeds", "STARTING", report(), False),
        ("books", "feeds", "FATAL", None, False),
        ("venue", "sim", "STOPPED", None, True),
        ("venue", "sim", "RUNNING", None, True),
        ("venue", "sim", "FATAL", None, False),
    ],
)
def test_what_counts_as_well(name: str, group: str, state: str, answer: object, well: bool) -> None:
    one = seen(name, group, state, answer)
    assert one.well is well
    assert Survey(1, (one,)).exit_code == (0 if well else 3)


def says(name: str, state: str) -> Seen:
    answer = msgspec.structs.replace(report(), role=name, state=state)
    return Seen(row(name, "core", "RUNNING"), answer, "")


@pytest.mark.parametrize(
    ("changed", "troubles"),
    [
        ({}, ()),
        ({"books": "degraded"}, ("books is degraded",)),
        (
            {"strategist": "degraded", "executor": "degraded"},
            ("strategist is degraded", "executor is degraded"),
        ),
        ({"telegram": "disabled", "redeemer": "disabled", "recorder": "disabled"}, ()),
        ({"oracle-rtds": "degraded"}, ()),
        (
            {"oracle-rtds": "degraded", "oracle-polybolt": "starting"},
            ("no route brings the price that settles",),
        ),
    ],
)
def test_what_stands_between_running_and_trading(changed: dict[str, str], troubles: tuple[str, ...]) -> None:
    states = {
        "oracle-chainlink": "disabled",
        "oracle-polybolt": "ready",
        "oracle-rtds": "ready",
        "oracle-exchange": "ready",
        **dict.fromkeys(("books", "strategist", "executor", "telegram", "redeemer", "recorder"), "ready"),
        **changed,
    }
    found = Survey(1, tuple(says(name, state) for name, state in states.items()))
    assert found.troubles == troubles
    assert found.exit_code == 0, "everything runs and answers, which is all that a start waits for"


def test_nothing_runs_unless_a_role_is_held(tmp_path: Path) -> None:
    place = Place(Stack(tmp_path / "supervisord.conf"), None, tmp_path)
    assert nothing_runs(place, ("executor", "books"))
    assert not list(tmp_path.iterdir()), "looking leaves nothing behind"
    with hold_role(tmp_path, "books"):
        assert not nothing_runs(place, ("executor", "books"))
        assert nothing_runs(place, ("executor",))
    assert nothing_runs(place, ("executor", "books"))
    assert not nothing_runs(dataclasses.replace(place, supervisor=7), ("executor",))


def test_without_supervisord_the_code_is_4() -> None:
    assert Survey(None, ()).exit_code == 4


def test_a_stranger_that_answers_in_its_place_is_told() -> None:
    one = seen("books", "feeds", "RUNNING", report(pid=99))
    assert not one.well
    assert "two stacks share one run directory" in one.silence


def test_a_program_that_does_not_run_says_what_supervisord_knows() -> None:
    assert seen("books", "feeds", "BACKOFF", CallTimedOut("late")).silence == "Exited too quickly"
