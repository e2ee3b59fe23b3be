"""Reading a journal beside its executor, or after it: no file is created, changed or locked.

Owns how SQLite is opened for that. Never repairs anything and never brings an older version up to date.
"""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

import msgspec

from common.errors import DependencyMissing, InvariantBroken
from common.store import journal_schema
from common.store.journal import Journal, Recovered, reads_of

TRIES = 5
"""An executor that starts or stops at this very moment changes how its journal must be opened."""

Trace = tuple[tuple[int, int, int] | None, ...]


def read_journal(path: Path) -> Recovered | None:
    """Everything the journal holds at one instant; None when there is none, or nothing in it yet.

    Sees the last commit of a running executor and never delays it. Raises DependencyMissing for a journal of
    another version or that cannot be opened, InvariantBroken for one that is corrupt or none at all.
    """
    for attempt in range(1, TRIES + 1):
        if not path.exists():
            return None
        before = _trace(path)
        try:
            found = _read(path, quiet=_is_quiet(before))
        except DependencyMissing:
            if attempt == TRIES:
                raise
            continue
        except InvariantBroken:
            # Damage stays; what looks like damage while somebody closes the file does not.
            if attempt == TRIES or _trace(path) == before:
                raise
            continue
        # What a writer leaves alone is what was read; beside one, SQLite itself sees to that.
        if not _is_quiet(before) or _trace(path) == before:
            return found
    raise DependencyMissing(
        f"journal: {path} is opened and closed all the time; wait until laggard is up or down"
    )


def _read(path: Path, *, quiet: bool) -> Recovered | None:
    # Without a writer even a read-only connection would make the files of the write-ahead log (and leave them
    # behind, perhaps owned by root); with one, the log is read without a mark in the shared memory.
    how = "immutable=1" if quiet else "readonly_shm=1"
    with reads_of(path):
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&{how}", uri=True, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            # One read transaction: what is written meanwhile is not seen in half of the tables.
            connection.execute("BEGIN")
            if not _has_tables(connection, path):
                return None
            return Journal(path, connection, None).read()
        except (msgspec.MsgspecError, TypeError) as error:
            raise InvariantBroken(
                f"journal: {path} holds a row that cannot be ({error}); nothing was changed: "
                "look into it before trading"
            ) from error
        finally:
            connection.close()


def _has_tables(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether this is a journal that was begun; raises when it is none, corrupt or of another version."""
    damage = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if damage != "ok":
        raise InvariantBroken(
            f"journal: {path} is corrupt ({' '.join(damage.split())}); nothing was changed: "
            "keep it aside, restore a good copy, start again"
        )
    application, version, tables = (
        connection.execute(query).fetchone()[0]
        for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    if not (application or version or tables):
        return False
    if application != journal_schema.APPLICATION_ID:
        raise InvariantBroken(f"journal: {path} is not a laggard journal; move it away, nothing was changed")
    if version != journal_schema.VERSION:
        cure = (
            "start that version"
            if version > journal_schema.VERSION
            else "start the executor once, it brings an older one up to date"
        )
        raise DependencyMissing(
            f"journal: {path} is of version {version}, this laggard reads {journal_schema.VERSION}; {cure}"
        )
    return True


def _trace(path: Path) -> Trace:
    """What shows that somebody wrote or closed the journal: identity, size and time of its files."""
    return tuple(_stamp(path.with_name(path.name + ending)) for ending in ("", "-wal"))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _is_quiet(trace: Trace) -> bool:
    """Nothing is in the write-ahead log: what the journal holds is in its one file."""
    log = trace[1]
    return log is None or not log[1]
