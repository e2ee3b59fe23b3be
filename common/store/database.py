"""How every journal opens its SQLite file: one writer, durable, checked from end to end, errors in one line.

Knows no tables.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import DependencyMissing, InvariantBroken

_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH}


class WrittenByAnother(DependencyMissing):
    """Another process is the writer of this file."""


def take_lock(path: Path, owner: str) -> int:
    """Be the only writer of this file; the kernel lets go when the process ends.

    Raises WrittenByAnother, which names its pid, when another one writes it.
    """
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # Only for people: between lock and note it may be that of an earlier writer, or nothing.
        pid = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise WrittenByAnother(
            f"journal: {path} is being written by another {owner} (pid {pid}); stop that one first"
        ) from None
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except OSError:
        os.close(lock)
        raise
    return lock


def open_database(path: Path, prepare: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    """Open or make a private, fully durable database for one writer.

    ``prepare`` makes the tables or raises where the database is somebody else's. Raises InvariantBroken when
    it is corrupt.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    os.chmod(path, 0o600)
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    try:
        _configure(connection, path, prepare)
    except BaseException:
        connection.close()
        raise
    return connection


def _configure(
    connection: sqlite3.Connection, path: Path, prepare: Callable[[sqlite3.Connection], None]
) -> None:
    connection.row_factory = sqlite3.Row
    found = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
    if found != ["ok"]:
        raise InvariantBroken(
            f"journal: {path} is corrupt ({' '.join(found[0].split())}); nothing was changed: "
            "keep it aside, restore a good copy, start again"
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # Before the mode is set: that is kept in the file, and would change one that is not ours.
    prepare(connection)
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise DependencyMissing(
            f"journal: {path} is on a file system without shared memory; move the state directory"
        )


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def translated(path: Path, verb: str) -> Iterator[None]:
    """Every SQLite or file error as one line for the person who acts."""
    try:
        yield
    except sqlite3.Error as error:
        # The low byte is the primary code; errors of the Python layer have none.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BROKEN or not code:
            raise InvariantBroken(
                f"journal: {path} could not be {verb} ({error}); nothing was changed: "
                "look into it before going on"
            ) from error
        raise DependencyMissing(
            f"journal: {path} could not be {verb} ({error}); nothing was changed: "
            "check free space, owner and other programs using it"
        ) from error
    except OSError as error:
        raise DependencyMissing(
            f"journal: {path} could not be {verb} ({error.strerror}); check the state directory and its owner"
        ) from error
