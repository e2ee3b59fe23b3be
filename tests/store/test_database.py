"""One writer, durable, checked when opened; all or nothing; every error one line with its cure."""

import contextlib
import errno
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import DependencyMissing, InvariantBroken
from common.store.database import open_database, take_lock, transaction, translated

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.sqlite"


def prepare(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS parents (name TEXT PRIMARY KEY)")
    connection.execute("CREATE TABLE IF NOT EXISTS children (parent TEXT REFERENCES parents (name))")


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(open_database(path, prepare)) as opened:
        yield opened


def count(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("SELECT count(*) FROM parents").fetchone()[0]
    return found


def test_a_database_is_private_and_fully_durable(connection: sqlite3.Connection, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert told == ["wal", 2]


def test_one_that_others_could_read_becomes_private(path: Path) -> None:
    path.touch(0o644)
    os.chmod(path, 0o644)
    open_database(path, prepare).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_references_are_checked(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO children VALUES ('nobody')")


def test_what_its_owner_refuses_is_left_as_it_was(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (name TEXT)")
    before = path.read_bytes()

    def refuse(_: sqlite3.Connection) -> None:
        raise InvariantBroken("not ours")

    with pytest.raises(InvariantBroken, match="not ours"):
        open_database(path, refuse)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_damage_is_found_before_anything_is_done(path: Path) -> None:
    with contextlib.closing(open_database(path, prepare)) as connection, transaction(connection):
        connection.executemany("INSERT INTO parents VALUES (?)", [(f"{n:0100d}",) for n in range(1000)])
    whole = bytearray(path.read_bytes())
    whole[8192 : 8192 + 2000] = b"\xff" * 2000
    path.write_bytes(whole)

    def never(_: sqlite3.Connection) -> None:
        raise AssertionError("a damaged database was used")

    with pytest.raises(InvariantBroken, match="is corrupt"):
        open_database(path, never)
    assert path.read_bytes() == bytes(whole)


def test_a_lock_is_for_one_and_ends_with_its_holder(path: Path) -> None:
    lock = take_lock(path, "clerk")
    said = rf"being written by another clerk \(pid {os.getpid()}\); stop"
    with pytest.raises(DependencyMissing, match=said):
        take_lock(path, "clerk")
    os.close(lock)
    os.close(take_lock(path, "clerk"))


HOLDING = """
import sys
from pathlib import Path
from common.store.database import take_lock

take_lock(Path(sys.argv[1]), "clerk")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_holds_no_lock(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(DependencyMissing):
            take_lock(path, "clerk")
        child.kill()
        child.wait(30)
        os.close(take_lock(path, "clerk"))


def test_a_transaction_is_all_or_nothing(connection: sqlite3.Connection) -> None:
    with transaction(connection) as inside:
        inside.execute("INSERT INTO parents VALUES ('a')")
    assert count(connection) == 1
    with pytest.raises(sqlite3.IntegrityError), transaction(connection) as inside:
        inside.executemany("INSERT INTO parents VALUES (?)", [("b",), ("a",)])
    assert count(connection) == 1
    assert not connection.in_transaction


def test_an_error_of_sqlite_says_whether_it_is_ours_or_the_machines(
    connection: sqlite3.Connection, path: Path
) -> None:
    connection.execute("INSERT INTO parents VALUES ('a')")
    with pytest.raises(InvariantBroken, match=r"could not be written .*nothing was changed: look into it"):
        with translated(path, "written"):
            connection.execute("INSERT INTO parents VALUES ('a')")
    with pytest.raises(InvariantBroken, match="look into it"), translated(path, "read"):
        connection.execute("SELECT ?", ())
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        connection.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(DependencyMissing, match="check free space, owner and other programs"):
            with translated(path, "written"), transaction(connection):
                pass
        other.execute("ROLLBACK")


def test_an_error_of_the_file_system_names_file_and_cure(path: Path) -> None:
    with pytest.raises(DependencyMissing, match=r"some\.sqlite could not be opened .*state directory"):
        with translated(path, "opened"):
            raise OSError(errno.EACCES, "Permission denied")
    with pytest.raises(DependencyMissing, match="No such file"), translated(path, "opened"):
        take_lock(path.parent / "nowhere" / "some.sqlite", "clerk")


def test_our_own_errors_pass_as_they_are(path: Path) -> None:
    with pytest.raises(InvariantBroken, match=r"^as it is$"), translated(path, "read"):
        raise InvariantBroken("as it is")
