"""What counts as well, and with which code a command says so."""

import pytest

from common.errors import CallTimedOut
from common.messages import StatusReport
from common.runtime.supervisor import ProcessRow
from procs.cli.survey import Seen, Survey, _report


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


def test_without_supervisord_the_code_is_4() -> None:
    assert Survey(None, ()).exit_code == 4


def test_a_stranger_that_answers_in_its_place_is_told() -> None:
    one = seen("books", "feeds", "RUNNING", report(pid=99))
    assert not one.well
    assert "two stacks share one run directory" in one.silence


def test_a_program_that_does_not_run_says_what_supervisord_knows() -> None:
    assert seen("books", "feeds", "BACKOFF", CallTimedOut("late")).silence == "Exited too quickly"
