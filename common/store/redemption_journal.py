"""The redeemer's journal: every try with all its signed bytes, and what was redeemed, in SQLite.

Owns durability and the last guards: one open try for each sender, nothing signed is ever forgotten, what has
ended stays as it ended. Never decides.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import quote

import msgspec

from common.core.redemption.attempts import Attempt, ClaimEnd
from common.errors import DependencyMissing, InvariantBroken
from common.store.database import open_database, take_lock, transaction, translated

VERSION = 1
APPLICATION_ID = 0x4C414752
"""Marks the file as ours, and as another one than the executor's."""
OWNER = "redeemer"

_TABLES = """
CREATE TABLE attempts (
    attempt_id TEXT PRIMARY KEY,
    sender TEXT NOT NULL,
    nonce INTEGER NOT NULL,
    stage TEXT NOT NULL CHECK (stage IN ('signed', 'sent', 'included', 'ended')),
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX one_open_attempt ON attempts (sender) WHERE stage <> 'ended';
CREATE TABLE versions (
    attempt_id TEXT NOT NULL REFERENCES attempts (attempt_id),
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (attempt_id, number)
);
CREATE TABLE steps (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    attempt_id TEXT NOT NULL REFERENCES attempts (attempt_id),
    at_ns INTEGER NOT NULL,
    stage TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE TABLE elsewhere (
    condition_id TEXT PRIMARY KEY,
    window TEXT NOT NULL,
    ledger TEXT NOT NULL,
    payout_usd6 INTEGER NOT NULL,
    at_ns INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE releases (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ns INTEGER NOT NULL,
    who TEXT NOT NULL
);
CREATE TRIGGER ended_stays BEFORE UPDATE ON attempts WHEN OLD.stage = 'ended'
BEGIN SELECT RAISE(ABORT, 'attempts: it has ended'); END;
CREATE TRIGGER sender_stays BEFORE UPDATE ON attempts
WHEN OLD.sender IS NOT NEW.sender OR OLD.nonce IS NOT NEW.nonce
BEGIN SELECT RAISE(ABORT, 'attempts: sender and nonce never change'); END;
""" + "".join(
    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
    f"BEGIN SELECT RAISE(ABORT, '{table}: {verb} is not allowed'); END;\n"
    for table, verb in (
        ("attempts", "DELETE"),
        ("versions", "UPDATE"),
        ("versions", "DELETE"),
        ("steps", "UPDATE"),
        ("steps", "DELETE"),
        ("elsewhere", "UPDATE"),
        ("elsewhere", "DELETE"),
        ("releases", "DELETE"),
    )
)


class Elsewhere(NamedTuple):
    """A condition that somebody else redeemed before we tried."""

    condition_id: str
    window: str
    ledger: Literal["v1", "v2"]
    payout_usd6: int
    at_ns: int
    end: ClaimEnd


class RedemptionJournal:
    """The single writer, or a reader, of one journal file; see ``open_redemptions``, ``read_redemptions``."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int | None) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock

    def close(self) -> None:
        """Release file and lock; everything committed stays."""
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)

    def begin(self, attempt: Attempt) -> None:
        """Write a new try before anything of it is sent; raises InvariantBroken while one is open."""
        with self._write() as connection:
            connection.execute(
                "INSERT INTO attempts (attempt_id, sender, nonce, stage, body) VALUES (?, ?, ?, ?, ?)",
                (attempt.attempt_id, attempt.sender, attempt.nonce, attempt.stage, _packed(attempt)),
            )
            self._add_versions(connection, attempt, 0)
            self._add_step(connection, attempt, attempt.created_ns)

    def change(self, attempt: Attempt, at_ns: int) -> None:
        """Write what has become of a try; raises InvariantBroken when it had ended or would lose bytes."""
        with self._write() as connection:
            rows = connection.execute(
                "SELECT digest, payload FROM versions WHERE attempt_id = ? ORDER BY number",
                (attempt.attempt_id,),
            ).fetchall()
            kept = [(each.digest, each.payload) for each in attempt.versions[: len(rows)]]
            if kept != [tuple(row) for row in rows]:
                raise InvariantBroken(
                    f"journal: {attempt.attempt_id} would forget bytes that were signed; nothing was changed"
                )
            changed = connection.execute(
                "UPDATE attempts SET stage = ?, body = ? WHERE attempt_id = ?",
                (attempt.stage, _packed(attempt), attempt.attempt_id),
            ).rowcount
            if changed != 1:
                raise InvariantBroken(f"journal: {attempt.attempt_id} was never begun")
            self._add_versions(connection, attempt, len(rows))
            self._add_step(connection, attempt, at_ns)

    def note_elsewhere(self, found: Elsewhere) -> None:
        """Write, once, that somebody else redeemed a condition."""
        with self._write() as connection:
            connection.execute(
                "INSERT INTO elsewhere (condition_id, window, ledger, payout_usd6, at_ns, body) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (condition_id) DO NOTHING",
                (*found[:5], msgspec.msgpack.encode(found.end)),
            )

    def release(self, at_ns: int, who: str) -> None:
        """Write that a person has looked at what stopped the redeemer."""
        with self._write() as connection:
            connection.execute("INSERT INTO releases (at_ns, who) VALUES (?, ?)", (at_ns, who))

    def attempts(self) -> tuple[Attempt, ...]:
        """All tries in the order they were begun."""
        with translated(self.path, "read"):
            rows = self._connection.execute("SELECT body FROM attempts ORDER BY rowid").fetchall()
        return tuple(msgspec.msgpack.decode(row[0], type=Attempt) for row in rows)

    def elsewhere(self) -> tuple[Elsewhere, ...]:
        """What others redeemed."""
        with translated(self.path, "read"):
            rows = self._connection.execute("SELECT * FROM elsewhere ORDER BY at_ns").fetchall()
        return tuple(
            Elsewhere(
                row["condition_id"],
                row["window"],
                row["ledger"],
                row["payout_usd6"],
                row["at_ns"],
                msgspec.msgpack.decode(row["body"], type=ClaimEnd),
            )
            for row in rows
        )

    def released_ns(self) -> int:
        """When a person last let the redeemer go on; 0: never."""
        with translated(self.path, "read"):
            row = self._connection.execute("SELECT coalesce(max(at_ns), 0) FROM releases").fetchone()
        return int(row[0])

    def steps(self, attempt_id: str) -> tuple[tuple[int, str, str], ...]:
        """(instant, stage, text) of everything that happened to a try."""
        with translated(self.path, "read"):
            rows = self._connection.execute(
                "SELECT at_ns, stage, text FROM steps WHERE attempt_id = ? ORDER BY number", (attempt_id,)
            ).fetchall()
        return tuple((row[0], row[1], row[2]) for row in rows)

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with translated(self.path, "written"), transaction(self._connection) as connection:
            yield connection

    @staticmethod
    def _add_versions(connection: sqlite3.Connection, attempt: Attempt, known: int) -> None:
        for number, signed in enumerate(attempt.versions[known:], start=known):
            connection.execute(
                "INSERT INTO versions (attempt_id, number, digest, payload) VALUES (?, ?, ?, ?)",
                (attempt.attempt_id, number, signed.digest, signed.payload),
            )

    @staticmethod
    def _add_step(connection: sqlite3.Connection, attempt: Attempt, at_ns: int) -> None:
        connection.execute(
            "INSERT INTO steps (attempt_id, at_ns, stage, text) VALUES (?, ?, ?, ?)",
            (attempt.attempt_id, at_ns, attempt.stage, attempt.text),
        )


def open_redemptions(path: Path) -> RedemptionJournal:
    """Open or make the journal as its only writer, checked from end to end.

    Raises DependencyMissing when another writer holds it, it is of a newer version, unreadable or the disk is
    full; InvariantBroken when it is corrupt or not a journal. Nothing is changed in these cases.
    """
    with translated(path, "opened"):
        lock = take_lock(path, OWNER)
        try:
            connection = open_database(path, lambda opened: _prepare(opened, path))
        except BaseException:
            os.close(lock)
            raise
    return RedemptionJournal(path, connection, lock)


def read_redemptions(path: Path) -> tuple[tuple[Attempt, ...], tuple[Elsewhere, ...]]:
    """Everything in a journal beside its writer, or after it; empty where there is none. Changes no file.

    Raises DependencyMissing for another version or what cannot be opened, InvariantBroken for what is no
    journal or corrupt.
    """
    if not path.exists():
        return (), ()
    with translated(path, "read"):
        # Nothing in the log: all is in the one file, and a reader must not make the others. With a log it is
        # read without a mark in the shared memory.
        log = path.with_name(path.name + "-wal")
        how = "readonly_shm=1" if log.exists() and log.stat().st_size else "immutable=1"
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&{how}", uri=True, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            if _is_empty(connection):
                return (), ()
            _refuse_foreign(connection, path)
            _refuse_version(connection, path)
            journal = RedemptionJournal(path, connection, None)
            return journal.attempts(), journal.elsewhere()
        finally:
            connection.close()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    if _is_empty(connection):
        connection.executescript(
            f"BEGIN IMMEDIATE;{_TABLES}PRAGMA application_id={APPLICATION_ID};"
            f"PRAGMA user_version={VERSION};COMMIT;"
        )
        return
    _refuse_foreign(connection, path)
    _refuse_version(connection, path)


def _is_empty(connection: sqlite3.Connection) -> bool:
    """Just made, by us or by a writer that has not come further yet."""
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return not (tables or _pragma(connection, "application_id") or _pragma(connection, "user_version"))


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise InvariantBroken(
            f"journal: {path} is not a redeemer's journal; move it away, nothing was changed"
        )


def _refuse_version(connection: sqlite3.Connection, path: Path) -> None:
    version = _pragma(connection, "user_version")
    if version != VERSION:
        raise DependencyMissing(
            f"journal: {path} is of version {version}, this laggard knows {VERSION}; start that version, "
            "nothing was changed"
        )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _packed(attempt: Attempt) -> bytes:
    return msgspec.msgpack.encode(attempt)
