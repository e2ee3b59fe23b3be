"""The audit finds what nobody reported, and only that."""

from pathlib import Path

from common.messages import SourceCount, StatusReport
from common.store.tape import Hole
from procs.cli.audit import (
    count_unhandled,
    detected,
    mark_logs,
    miscounted,
    tails,
    tape_losses,
)


def seen(
    source: str = "books",
    boot: str = "b1",
    *,
    first: int = 1,
    last: int = 10,
    received: int = 10,
    missed: int = 0,
) -> SourceCount:
    return SourceCount(source, boot, first, last, received, missed, 0, 1 if missed else 0)


def report(role: str, *sources: SourceCount) -> StatusReport:
    return StatusReport(
        role=role,
        pid=1,
        boot="x",
        state="ready",
        detail="",
        uptime_ms=0,
        published=0,
        sources=sources,
        ages_ms={},
        counters={},
        facts={},
    )


def test_a_complete_numbering_is_no_loss() -> None:
    assert miscounted({"strategist": report("strategist", seen(first=5, received=6))}) == []


def test_a_reported_gap_is_detected_and_not_a_loss() -> None:
    reports = {"strategist": report("strategist", seen(received=7, missed=3))}
    assert miscounted(reports) == []
    assert detected(reports.values()) == 3


def test_an_unreported_gap_is_a_loss() -> None:
    (lost,) = miscounted({"strategist": report("strategist", seen(received=7))})
    assert (lost.subscriber, lost.source, lost.count) == ("strategist", "books", 3)


def test_a_missing_tail_is_a_loss() -> None:
    reports = {"strategist": report("strategist", seen(last=10))}
    assert tails({"books": ("b1", 10)}, reports) == []
    (lost,) = tails({"books": ("b1", 14)}, reports)
    assert lost.count == 4


def test_a_new_start_nobody_heard_of_is_a_loss() -> None:
    (lost,) = tails({"books": ("b2", 3)}, {"strategist": report("strategist", seen(boot="b1"))})
    assert (lost.boot, lost.count) == ("b2", 3)


def test_a_publisher_that_must_be_followed_and_was_never_heard_is_a_loss() -> None:
    (lost,) = tails({"books": ("b1", 3)}, {"strategist": report("strategist")})
    assert (lost.subscriber, lost.source, lost.count) == ("strategist", "books", 3)


def test_a_reported_hole_on_the_tape_is_no_loss() -> None:
    recorder = report("recorder", seen(received=7, missed=3))
    assert tape_losses([Hole("books", "b1", 4, 3)], recorder, 0) == []


def test_an_unreported_hole_on_the_tape_is_a_loss() -> None:
    recorder = report("recorder", seen())
    (lost,) = tape_losses([Hole("books", "b1", 4, 3)], recorder, 0)
    assert lost.count == 3


def test_the_recorders_own_absence_explains_one_hole_per_restart() -> None:
    recorder = report("recorder", seen())
    holes = [Hole("books", "b1", 4, 30), Hole("books", "b1", 80, 2)]
    assert [one.count for one in tape_losses(holes, recorder, 1)] == [2]


def test_exceptions_are_counted_from_the_mark_on(tmp_path: Path) -> None:
    log = tmp_path / "books.log"
    log.write_text('{"event": "unhandled_exception"}\n')
    mark = mark_logs(tmp_path)
    with log.open("a") as file:
        file.write('{"event": "unhandled_exception", "stack": "Traceback (most recent call last):\\n x"}\n')
        file.write("Traceback (most recent call last):\n  File x\nValueError\n")
        file.write('{"event": "refused", "why": "a Traceback (most recent call last) in a text"}\n')
    assert count_unhandled(tmp_path, mark) == {"books": 2}


def test_a_log_rotated_meanwhile_is_read_whole(tmp_path: Path) -> None:
    log = tmp_path / "books.log"
    log.write_text("old line\n" * 10)
    mark = mark_logs(tmp_path)
    with log.open("a") as file:
        file.write('{"event": "unhandled_exception"}\n')
    log.rename(tmp_path / "books.log.1")
    log.write_text('{"event": "unhandled_exception"}\n')
    assert count_unhandled(tmp_path, mark) == {"books": 2}
