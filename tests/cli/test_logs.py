"""Logs: the right lines of the right program, through every rotation, and the trouble of all."""

import itertools
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.loggers import RotatingFileHandler

from procs.cli import log_files, logs
from procs.cli.log_files import Tail, last_lines, readable, rotated, trouble
from procs.cli.main import laggard, run
from procs.cli.stack import Stack

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def log_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stack = Stack(tmp_path / "supervisord.conf")
    stack.log_dir.mkdir(parents=True)
    monkeypatch.setattr(logs, "own_stack", lambda: stack)
    return stack.log_dir


def entry(event: str, level: str = "info", ts: str = "2026-11-26T12:00:00.123456Z", **more: object) -> str:
    return json.dumps({"role": "books", "boot": "b", "event": event, "level": level, "ts": ts, **more})


class Rotating:
    """A log written by supervisord's own handler, as supervisord would."""

    def __init__(self, file: Path, max_bytes: int, backups: int = 3) -> None:
        self.handler = RotatingFileHandler(str(file), maxBytes=max_bytes, backupCount=backups)

    def write(self, text: str) -> None:
        self.handler.stream.write(text.encode())
        self.handler.stream.flush()
        self.handler.doRollover()

    def close(self) -> None:
        self.handler.close()


@given(
    lines=st.lists(st.binary(min_size=1, max_size=30).filter(lambda line: b"\n" not in line), max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=3),
    number=st.integers(0, 45),
    block=st.integers(1, 50),
    ended=st.booleans(),
)
def test_the_last_lines_are_the_same_however_they_were_rotated(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes],
    cuts: list[int],
    number: int,
    block: int,
    ended: bool,
) -> None:
    file = tmp_path_factory.mktemp("logs") / "books.log"
    edges = [0, *sorted(min(cut, len(lines)) for cut in cuts), len(lines)]
    parts = [lines[start:end] for start, end in itertools.pairwise(edges)]
    for age, part in enumerate(reversed(parts)):
        target = file if age == 0 else file.with_name(f"books.log.{age}")
        text = b"".join(line + b"\n" for line in part)
        target.write_bytes(text if ended or age else text.removesuffix(b"\n"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_files, "BLOCK", block)
        assert last_lines(file, number) == (lines[-number:] if number else [])


def test_older_files_are_taken_by_number_and_nothing_else_is(tmp_path: Path) -> None:
    for name in ("a.log", "a.log.1", "a.log.2", "a.log.10", "a.log.old", "b.log"):
        (tmp_path / name).touch()
    assert [path.name for path in rotated(tmp_path / "a.log")] == ["a.log", "a.log.1", "a.log.2", "a.log.10"]


def test_a_follower_loses_nothing_to_rotations(tmp_path: Path) -> None:
    file = tmp_path / "books.log"
    log = Rotating(file, max_bytes=200, backups=50)
    log.write("before\n")
    tail = Tail(file)
    heard: list[bytes] = []
    count = 400

    def write() -> None:
        for number in range(count):
            log.write(f"line {number} of what is written while somebody follows\n")
            if number % 40 == 0:
                time.sleep(0.005)

    writer = threading.Thread(target=write)
    writer.start()
    limit = time.monotonic() + 20
    while len(heard) < count and time.monotonic() < limit:
        heard += tail.lines()
    writer.join()
    heard += tail.lines()
    tail.close()
    log.close()
    assert len(rotated(file)) > 10
    numbers = [int(line.split()[1]) for line in heard]
    # Fifty older files hold more than is written between two looks: each line comes once and in order.
    assert numbers == list(range(count))


def test_a_half_written_line_waits_for_its_end(tmp_path: Path) -> None:
    file = tmp_path / "books.log"
    file.write_text("old\n")
    tail = Tail(file)
    with file.open("a") as log:
        log.write("half")
        log.flush()
        assert tail.lines() == []
        log.write(" and whole\nnext\n")
        log.flush()
        assert tail.lines() == [b"half and whole", b"next"]
    file.write_text("")
    file.write_text("after it was emptied\n")
    assert tail.lines() == [b"after it was emptied"]
    tail.close()


def test_a_log_that_was_cleared_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "books.log"
    file.write_text("old\n")
    tail = Tail(file)
    file.unlink()
    assert tail.lines() == []
    file.write_text("new\n")
    assert tail.lines() == [b"new"]
    tail.close()


def test_a_log_that_comes_later_is_followed_from_its_first_line(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "books.log")
    assert tail.lines() == []
    (tmp_path / "books.log").write_text("first\n")
    assert tail.lines() == [b"first"]
    tail.close()


def test_lines_for_people_and_for_programs(log_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (log_dir / "books.log").write_text(
        entry("state", detail="two words", n=3, empty="") + "\nTraceback (most recent call last):\n"
    )
    assert run(laggard, ["logs", "feeds:books", "-n", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        '12:00:00.123 info     state detail="two words" n=3 empty=""',
        "Traceback (most recent call last):",
    ]
    assert run(laggard, ["logs", "books", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["schema"], shown["kind"], shown["process"]) == (1, "logs", "books")
    assert shown["lines"][0]["detail"] == "two words"
    assert shown["lines"][1] == {"text": "Traceback (most recent call last):"}


def test_an_unknown_program_names_those_there_are(log_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (log_dir / "books.log").touch()
    (log_dir / "executor.log").touch()
    assert run(laggard, ["logs", "bookz"]) == 2
    assert "there are books, executor" in capsys.readouterr().err
    assert run(laggard, ["logs", "../../etc/passwd"]) == 2


def test_without_logs_it_says_how_to_get_them(log_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["logs", "books"]) == 2
    assert "laggard up" in capsys.readouterr().err


@pytest.mark.procs
def test_following_ends_with_ctrl_c(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "supervisord.conf")
    stack.log_dir.mkdir(parents=True)
    file = stack.log_dir / "books.log"
    file.write_text(entry("old") + "\n")
    program = (
        "from pathlib import Path; from procs.cli import logs; from procs.cli.stack import Stack\n"
        f"logs.own_stack = lambda: Stack(Path({str(stack.conf)!r}))\n"
        "from procs.cli.main import main; main(['logs', 'books', '-f', '--json'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as following:
        assert following.stdout is not None
        out = following.stdout.fileno()

        def next_event() -> str:
            assert select.select([out], [], [], 20)[0]
            return str(json.loads(os.read(out, 10_000))["event"])

        assert next_event() == "old"
        with file.open("a") as log:
            log.write(entry("new") + "\n")
        assert next_event() == "new"
        file.rename(stack.log_dir / "books.log.1")
        file.write_text(entry("newer") + "\n")
        assert next_event() == "newer"
        following.send_signal(2)
        assert following.wait(10) == 130


def test_the_trouble_of_all_programs_in_order(log_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (log_dir / "books.log").write_text(
        "\n".join(
            [
                entry("fine", ts="2026-11-26T12:00:01.000000Z"),
                entry("slow", "warning", ts="2026-11-26T12:00:02.000000Z", text="it was slow"),
                "Timeout (0:00:10)!",
                "Thread 0x00007f (most recent call first):",
                "",
            ]
        )
    )
    (log_dir / "executor.log.1").write_text(entry("bad", "error", ts="2026-11-26T12:00:01.500000Z") + "\n")
    (log_dir / "executor.log").write_text(entry("worse", "critical", ts="2026-11-26T12:00:03.000000Z") + "\n")
    assert run(laggard, ["errors", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["errors"]
    assert [(one["program"], one["level"], one["text"]) for one in shown] == [
        ("executor", "error", "bad"),
        ("books", "warning", 'slow text="it was slow"'),
        ("books", "critical", "Timeout (0:00:10)!"),
        ("executor", "critical", "worse"),
    ]
    assert run(laggard, ["errors", "-n", "1"]) == 0
    assert "worse" in capsys.readouterr().out
    assert [one.text for one in trouble(log_dir, 1)] == ["worse"]


def test_no_trouble(log_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (log_dir / "books.log").write_text(entry("fine") + "\n")
    assert run(laggard, ["errors"]) == 0
    assert "no warning and no error" in capsys.readouterr().out


def test_what_is_no_object_is_shown_as_it_is() -> None:
    assert readable(b"[1, 2]") == "[1, 2]"
    assert readable(b"\xff{") == "\ufffd{"


def test_where_there_are_no_logs_nothing_is_said_to_be_well(
    log_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["errors"]) == 0
    assert capsys.readouterr().out.startswith("there are no logs, none yet: laggard up starts")
