"""What people asked for from afar: every update that was heard, once, and every confirmation, in SQLite.

Owns the guard that nothing is acted on twice: an update is committed here before anybody acts on it. Never
decides, and keeps nothing of strangers.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from common.core.remote.authority import Arrival
from common.core.remote.confirmation import Confirmation, Stage
from common.errors import DependencyMissing
from common.store.database import open_database, take_lock, transaction, translated
from common.units import SECOND

VERSION = 1
APPLICATION_ID = 0x4C414743
"""Marks the file as ours, and as another one than the journals."""
OWNER = "telegram"
KEPT_NS = 30 * 86_400 * SECOND
"""Telegram itself forgets an update after a day; the rest is for people who look back."""

_TABLES = """
CREATE TABLE updates (
    update_id INTEGER PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0 CHECK (ended IN (0, 1)),
    result TEXT NOT NULL DEFAULT '',
    body BLOB NOT NULL
);
CREATE TABLE confirmations (
    nonce TEXT PRIMARY KEY,
    asked_ns INTEGER NOT NULL,
    stage TEXT NOT NULL CHECK (stage IN ('open', 'used', 'cancelled', 'expired')),
    body BLOB NOT NULL
);
CREATE TRIGGER used_stays BEFORE UPDATE ON confirmations WHEN OLD.stage IN ('used', 'cancelled')
BEGIN SELECT RAISE(ABORT, 'confirmations: it was settled'); END;
CREATE TRIGGER ended_stays BEFORE UPDATE ON updates WHEN OLD.ended = 1
BEGIN SELECT RAISE(ABORT, 'updates: it has ended'); END;
"""


class CommandLog:
    """The single writer of one file; see ``open_command_log``."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock

    def close(self) -> None:
        """Release file and lock; everything committed stays."""
        self._connection.close()
        os.close(self._lock)

    def take(self, arrivals: Iterable[Arrival], now_ns: int) -> frozenset[int]:
        """Commit these updates; returns the ids that were not known, and only those may be acted on.

        Known means by its id and not by its order: Telegram numbers anew after a week without news.
        """
        fresh = set()
        with self._write() as connection:
            for arrival in arrivals:
                row = (arrival.update_id, now_ns, msgspec.msgpack.encode(arrival))
                done = connection.execute(
                    "INSERT INTO updates (update_id, at_ns, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    row,
                )
                if done.rowcount:
                    fresh.add(arrival.update_id)
        return frozenset(fresh)

    def end(self, update_id: int, result: str) -> None:
        """Note what became of an update; it is not looked at again."""
        with self._write() as connection:
            connection.execute(
                "UPDATE updates SET ended = 1, result = ? WHERE update_id = ? AND ended = 0",
                (result, update_id),
            )

    def unended(self) -> tuple[Arrival, ...]:
        """Updates that were taken and not ended when the process died, in their order."""
        with translated(self.path, "read"):
            rows = self._connection.execute(
                "SELECT body FROM updates WHERE ended = 0 ORDER BY update_id"
            ).fetchall()
        return tuple(msgspec.msgpack.decode(row["body"], type=Arrival) for row in rows)

    def result_of(self, update_id: int) -> str | None:
        """What became of an update; None while it has not ended, or was never taken."""
        with translated(self.path, "read"):
            row = self._connection.execute(
                "SELECT result FROM updates WHERE update_id = ? AND ended = 1", (update_id,)
            ).fetchone()
        return None if row is None else str(row["result"])

    def ask(self, confirmation: Confirmation) -> None:
        """Keep a confirmation before its buttons are shown."""
        with self._write() as connection:
            connection.execute(
                "INSERT INTO confirmations VALUES (?, ?, ?, ?)",
                (
                    confirmation.nonce,
                    confirmation.asked_ns,
                    confirmation.stage,
                    msgspec.msgpack.encode(confirmation),
                ),
            )

    def find(self, nonce: str) -> Confirmation | None:
        """The confirmation of a button; None where there is none."""
        with translated(self.path, "read"):
            row = self._connection.execute(
                "SELECT stage, body FROM confirmations WHERE nonce = ?", (nonce,)
            ).fetchone()
        return None if row is None else _confirmation(row)

    def open_ones(self) -> tuple[Confirmation, ...]:
        """All that still wait for their button, oldest first."""
        with translated(self.path, "read"):
            rows = self._connection.execute(
                "SELECT stage, body FROM confirmations WHERE stage = 'open' ORDER BY asked_ns, nonce"
            ).fetchall()
        return tuple(_confirmation(row) for row in rows)

    def settle(self, nonce: str, stage: Stage) -> bool:
        """Move a confirmation on; True for the one call that did: whoever gets True for ``used`` may act."""
        before = "('open')" if stage == "expired" else "('open', 'expired')"
        with self._write() as connection:
            done = connection.execute(
                f"UPDATE confirmations SET stage = ? WHERE nonce = ? AND stage IN {before}", (stage, nonce)
            )
        return done.rowcount == 1

    def prune(self, now_ns: int) -> None:
        """Forget what is a month old."""
        with self._write() as connection:
            oldest = (now_ns - KEPT_NS,)
            connection.execute("DELETE FROM updates WHERE at_ns < ? AND ended = 1", oldest)
            connection.execute("DELETE FROM confirmations WHERE asked_ns < ?", oldest)

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with translated(self.path, "written"), transaction(self._connection) as connection:
            yield connection


def _confirmation(row: sqlite3.Row) -> Confirmation:
    held = msgspec.msgpack.decode(row["body"], type=Confirmation)
    return msgspec.structs.replace(held, stage=row["stage"])


def open_command_log(path: Path) -> CommandLog:
    """Open or make the file as its single writer; raises DependencyMissing or InvariantBroken."""
    with translated(path, "opened"):
        lock = take_lock(path, OWNER)
        try:
            return CommandLog(path, open_database(path, _prepare), lock)
        except BaseException:
            os.close(lock)
            raise


def _prepare(connection: sqlite3.Connection) -> None:
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not (application_id or version or tables):
        connection.executescript(
            f"BEGIN IMMEDIATE;{_TABLES}PRAGMA application_id={APPLICATION_ID};"
            f"PRAGMA user_version={VERSION};COMMIT;"
        )
    elif (application_id, version) != (APPLICATION_ID, VERSION):
        raise DependencyMissing(
            "journal: commands.sqlite is of another program or version; move it away, then a new one is made"
        )
