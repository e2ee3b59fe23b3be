"""Reading a journal beside its executor, or after it, leaves no trace and says in one line what is wrong."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.core import ledger
from common.core.order_effects import (
    CommitPosture,
)
from common.errors import DependencyMissing, InvariantBroken
from common.messages import PostureState
from common.store import journal_read, journal_schema
from common.store.journal import Journal, open_journal
from common.store.journal_read import read_journal

ROOT = Path(__file__).resolve().parents[2]
POSTURE = PostureState(posture="trading", reason="first start", who="executor", since_ns=1)
BANKROLL = 1_000_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The journal of an account that was opened, left in order."""
    path = tmp_path / "journal-live.sqlite"
    journal = open_journal(path, now_wall_ns=1)
    journal.open_account("live", BANKROLL, ledger.opening(1, 1, BANKROLL), POSTURE)
    journal.close()
    return path


def traces(path: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file beside the journal, with its content."""
    found = {}
    for each in path.parent.iterdir():
        facts = each.stat()
        found[each.name] = (facts.st_ino, facts.st_mtime_ns, each.read_bytes())
    return found


WRITER = """
    import sys
    from pathlib import Path
    from common.core.order_effects import (CommitPosture,)
    from common.messages import PostureState
    from common.store.journal import Journal, open_journal
    path, mode = Path(sys.argv[1]), sys.argv[2]
    number = 0
    while True:
        journal = open_journal(path, now_wall_ns=1)
        for _ in range(3):
            number += 1
            posture = PostureState(posture="halted", reason=f"{number}", who="test", since_ns=number)
            journal.commit(CommitPosture(posture))
        if mode == "reopening":
            print(number, flush=True)
            journal.close()
            continue
        while mode == "writing":
            number += 1
            posture = PostureState(posture="halted", reason=f"{number}", who="test", since_ns=number)
            journal.commit(CommitPosture(posture))
            print(number, flush=True)
        print(number, flush=True)
        sys.stdin.read()
"""


@contextmanager
def writer(path: Path, mode: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the journal open, after its first commits."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(path), mode],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()
        process.stdin.close()


def drain(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    process.stdout.readline()


def reason(path: Path) -> str:
    found = read_journal(path)
    assert found is not None
    return found.posture.reason


def test_a_journal_left_in_order_is_read_without_making_a_file(file: Path) -> None:
    before = traces(file)
    assert set(before) == {file.name, file.name + ".lock", file.name + ".intents"}
    found = read_journal(file)
    assert found is not None
    assert (found.mode, found.books.bankroll_usd6, found.posture) == ("live", BANKROLL, POSTURE)
    assert traces(file) == before


def test_a_directory_nobody_may_write_to_is_read(file: Path) -> None:
    file.chmod(0o400)
    file.parent.chmod(0o500)
    try:
        assert read_journal(file) is not None
    finally:
        file.parent.chmod(0o700)


def test_the_last_commit_of_a_running_executor_is_read_without_a_mark(file: Path) -> None:
    with writer(file, "idle") as process:
        before = traces(file)
        assert before[file.name + "-wal"][2]
        assert reason(file) == "3"
        assert traces(file) == before
        # It crashes: what it committed is still there, and reading repairs nothing.
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert reason(file) == "3"
        assert traces(file) == before
    assert open_journal(file, now_wall_ns=1).read() == read_journal(file)


def test_reading_beside_a_busy_executor_goes_only_forward(file: Path) -> None:
    with writer(file, "writing") as process:
        last = 0
        for _ in range(60):
            now = int(reason(file))
            assert now >= last
            last = now
            drain(process)
        assert process.poll() is None


def test_an_executor_that_opens_and_closes_disturbs_no_reading(file: Path) -> None:
    with writer(file, "reopening") as process:
        last = 0
        for _ in range(60):
            now = int(reason(file))
            assert now >= last
            last = now
            drain(process)
        assert process.poll() is None
    assert last > 3


def test_a_log_without_a_frame_and_without_a_reader_is_no_executor(file: Path) -> None:
    # What older readers left behind.
    file.with_name(file.name + "-wal").touch()
    before = traces(file)
    assert read_journal(file) is not None
    assert traces(file) == before


def test_a_change_in_mid_reading_is_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = journal_read._read, []

    def meddling(path: Path, *, quiet: bool) -> object:
        calls.append(quiet)
        found = original(path, quiet=quiet)
        if len(calls) == 1:
            os.utime(path)
        return found

    monkeypatch.setattr(journal_read, "_read", meddling)
    assert read_journal(file) is not None
    assert calls == [True, True]
    monkeypatch.setattr(journal_read, "_read", lambda path, quiet: os.utime(path))
    with pytest.raises(DependencyMissing, match="opened and closed all the time"):
        read_journal(file)


@pytest.mark.parametrize(
    ("error", "meddle", "readings"),
    [(DependencyMissing, False, 2), (InvariantBroken, True, 2), (InvariantBroken, False, 1)],
)
def test_what_fails_while_somebody_closes_the_file_is_tried_again(
    file: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception], meddle: bool, readings: int
) -> None:
    original, calls = journal_read._read, []

    def failing(path: Path, *, quiet: bool) -> object:
        calls.append(quiet)
        if len(calls) > 1:
            return original(path, quiet=quiet)
        if meddle:
            os.utime(path)
        raise error("once")

    monkeypatch.setattr(journal_read, "_read", failing)
    if readings > 1:
        assert read_journal(file) is not None
    else:
        with pytest.raises(error):
            read_journal(file)
    assert len(calls) == readings


def test_what_fails_for_good_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []

    def failing(path: Path, *, quiet: bool) -> object:
        calls.append(quiet)
        os.utime(path, ns=(len(calls), len(calls)))
        raise InvariantBroken("broken") if kind == "broken" else DependencyMissing("closed")

    monkeypatch.setattr(journal_read, "_read", failing)
    for kind in ("broken", "closed"):
        with pytest.raises((InvariantBroken, DependencyMissing), match=kind):
            read_journal(file)
    assert len(calls) == 2 * journal_read.TRIES


def test_a_commit_in_mid_reading_is_seen_whole_or_not_at_all(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(file, now_wall_ns=1)
    journal.commit(CommitPosture(POSTURE))
    original = Journal._entries

    def late(self: Journal) -> object:
        other = sqlite3.connect(file)
        other.execute(
            "INSERT INTO entries (number, at_ns, kind, evidence, memo) VALUES (2, 2, 'bought', 't', '')"
        )
        other.commit()
        other.close()
        return original(self)

    monkeypatch.setattr(Journal, "_entries", late)
    found = read_journal(file)
    monkeypatch.undo()
    assert found is not None
    assert len(found.books.entries) == 1
    after = read_journal(file)
    assert after is not None
    assert len(after.books.entries) == 2
    journal.close()


def test_no_journal_and_one_that_was_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    assert read_journal(path) is None
    assert list(tmp_path.iterdir()) == []
    path.touch()
    assert read_journal(path) is None
    path.unlink()
    open_journal(path, now_wall_ns=1).close()
    assert read_journal(path) is None


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (journal_schema.VERSION - 1, "start the executor once"),
        (journal_schema.VERSION + 1, "start that version"),
    ],
)
def test_another_version_is_named_with_its_cure(file: Path, version: int, said: str) -> None:
    other = sqlite3.connect(file)
    other.execute(f"PRAGMA user_version = {version}")
    other.close()
    with pytest.raises(DependencyMissing, match=f"version {version}.*{said}"):
        read_journal(file)


def test_another_database_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE diary (day)")
    other.close()
    with pytest.raises(InvariantBroken, match="not a laggard journal"):
        read_journal(path)
    path.write_bytes(b"this is no database " * 100)
    with pytest.raises(InvariantBroken, match="nothing was changed"):
        read_journal(path)


def test_damage_is_told_and_not_mended(file: Path) -> None:
    whole = file.read_bytes()
    for place in (5 * 4096, 17 * 4096):
        damaged = bytearray(whole)
        damaged[place : place + 4096] = b"\xa5" * 4096
        file.write_bytes(damaged)
        before = traces(file)
        with pytest.raises(InvariantBroken, match="nothing was changed"):
            read_journal(file)
        assert traces(file) == before
    file.write_bytes(whole[: len(whole) - 4096])
    with pytest.raises(InvariantBroken, match="nothing was changed"):
        read_journal(file)


def test_a_row_that_cannot_be_is_told(file: Path) -> None:
    other = sqlite3.connect(file)
    other.execute("INSERT INTO postures (posture, reason, who, since_ns) VALUES ('dancing', '', '', 1)")
    other.commit()
    other.close()
    with pytest.raises(InvariantBroken, match=r"a row that cannot be.*dancing"):
        read_journal(file)


def test_a_ledger_entry_out_of_balance_is_told_with_its_evidence(file: Path) -> None:
    other = sqlite3.connect(file)
    other.execute("DROP TRIGGER entry_lines_no_update")
    other.execute("UPDATE entry_lines SET amount_usd6 = amount_usd6 + 1 WHERE position = 0")
    other.commit()
    other.close()
    with pytest.raises(InvariantBroken, match=r"entry 1 \(opening, bankroll\) is out of balance by 1"):
        read_journal(file)


def test_a_file_that_may_not_be_read(file: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    file.chmod(0o000)
    with pytest.raises(DependencyMissing, match="could not be read"):
        read_journal(file)
