"""The executor's journal: every order, fill, position, posture, ledger entry and answered command, in SQLite.

Owns durability (WAL, synchronous=FULL, one writer; an intent is written ahead before its order leaves) and
the last guard against doing something twice: a commit that would contradict a row already there raises
InvariantBroken and changes nothing. Never decides.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from common.core.ledger import Entry, Line
from common.core.order_effects import (
    Commit,
    CommitIntent,
    CommitPosture,
)
from common.core.order_state import (
    Books,
    Settlement,
)
from common.errors import InvariantBroken
from common.messages import Answer, Fill, PositionState, PostureState
from common.store import journal_schema
from common.store.database import open_database, take_lock, transaction, translated
from common.store.intents import Intents
from common.store.journal_rows import read_order, read_payment, read_struct, write, write_entries

OWNER = "executor"
KEEP_ANSWERS_NS = 24 * 3600 * 1_000_000_000
"""Requests expire after seconds; a day of answers is more than any caller can still repeat."""


class Recovered(NamedTuple):
    """Everything the journal holds."""

    mode: str
    books: Books
    posture: PostureState


class Journal:
    """The single writer of one journal file; open it with ``open_journal``."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, lock: int | None, intents: Intents | None = None
    ) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock
        self._intents = intents
        self._ahead: list[CommitIntent] = []
        """Written ahead and in no table yet."""
        self._begun: set[tuple[str, str]] = set()
        """Window and strategy of every order: the guard of the tables comes too late for what was sent."""
        if intents is not None:
            self._take_in(intents)

    def close(self) -> None:
        """Release files and lock; everything committed stays."""
        self._connection.close()
        if self._intents is not None:
            self._intents.close()
        if self._lock is not None:
            os.close(self._lock)

    def open_account(self, mode: str, bankroll_usd6: int, entry: Entry, posture: PostureState) -> None:
        """Write the first row of everything, once in a journal's life."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO account (only, mode, bankroll_usd6, opened_ns) VALUES (1, ?, ?, ?)",
                (mode, bankroll_usd6, entry.at_ns),
            )
            write_entries(connection, (entry,))
            write(connection, CommitPosture(posture))

    def read(self) -> Recovered | None:
        """All rows, or None when no account was opened yet."""
        with translated(self.path, "read"):
            account = self._connection.execute("SELECT mode, bankroll_usd6 FROM account").fetchone()
            if account is None:
                return None
            orders = [
                read_order(row) for row in self._rows("SELECT * FROM orders ORDER BY created_ns, order_id")
            ]
            positions = self._rows("SELECT * FROM positions ORDER BY settled_ns, window, outcome")
            payments = self._rows("SELECT * FROM payments ORDER BY rowid")
            posture = self._rows("SELECT * FROM postures ORDER BY number DESC LIMIT 1")
            if not posture:
                raise InvariantBroken(f"journal: {self.path} has an account but no posture")
            held = [(read_struct(row, PositionState), row["settled_ns"]) for row in positions]
            books = Books(
                orders={order.state.intent_id: order for order in orders},
                positions={(position.window, position.outcome): position for position, _ in held},
                settlements=tuple(
                    Settlement(position, at_ns) for position, at_ns in held if position.settled
                ),
                fills=tuple(
                    read_struct(row, Fill) for row in self._rows("SELECT * FROM fills ORDER BY at_ns, rowid")
                ),
                entries=self._entries(),
                bankroll_usd6=account[1],
                live=account[0] == "live",
                payments={row["evidence"]: read_payment(row) for row in payments},
            )
            return Recovered(account[0], books, read_struct(posture[0], PostureState))

    def answer(self, request_id: str) -> Answer | None:
        """What this request was answered, also before a restart."""
        with translated(self.path, "read"):
            row = self._connection.execute(
                "SELECT answer FROM answers WHERE request_id = ?", (request_id,)
            ).fetchone()
        return msgspec.msgpack.decode(row[0], type=Answer) if row else None

    def duplicate_orders(self) -> int:
        """Orders beyond the first of the same window and strategy: must be 0."""
        with translated(self.path, "read"):
            row = self._connection.execute(
                "SELECT coalesce(sum(n - 1), 0) FROM "
                "(SELECT count(*) AS n FROM orders GROUP BY window, strategy)"
            ).fetchone()
        return int(row[0])

    def write_ahead(self, commit: CommitIntent) -> None:
        """Let an intent outlive this process before its order leaves; the next ``commit`` is of it as well.

        Raises DependencyMissing when it could not be written, InvariantBroken for the second order of a
        window and strategy; nothing was written then.
        """
        assert self._intents is not None
        entry = (commit.order.state.window, commit.order.strategy)
        if entry in self._begun:
            raise InvariantBroken(f"journal: {entry[1]} has had its one order in {entry[0]}")
        with translated(self._intents.path, "written"):
            self._intents.append(commit)
        self._begun.add(entry)
        self._ahead.append(commit)

    def rehearse(self, commit: CommitIntent) -> None:
        """Do what ``write_ahead`` does, without effect."""
        if self._intents is not None:
            self._intents.rehearse(commit)

    def commit(self, *commits: Commit) -> None:
        """Everything one step decided and what was written ahead, in one transaction: all or nothing."""
        ahead = tuple(self._ahead)
        with self._transaction() as connection:
            for commit in (*ahead, *commits):
                write(connection, commit)
        self._begun.update(
            (commit.order.state.window, commit.order.strategy)
            for commit in commits
            if isinstance(commit, CommitIntent)
        )
        if ahead and self._intents is not None:
            self._ahead.clear()
            # It is committed: what stays in the file is known by the tables at the next start.
            with suppress(OSError):
                self._intents.clear()

    def _take_in(self, intents: Intents) -> None:
        """What an earlier process wrote ahead and could not commit."""
        rows = self._rows("SELECT order_id, window, strategy FROM orders")
        known = {row["order_id"] for row in rows}
        self._begun = {(row["window"], row["strategy"]) for row in rows}
        ahead = intents.read()
        if ahead:
            self.commit(*(commit for commit in ahead if commit.order.state.order_id not in known))
        # Also where there is nothing but a torn record: behind it the next one could not be read.
        intents.clear()

    def _entries(self) -> tuple[Entry, ...]:
        lines: dict[int, list[Line]] = {}
        for row in self._rows("SELECT * FROM entry_lines ORDER BY entry, position"):
            lines.setdefault(row["entry"], []).append(Line(row["account"], row["amount_usd6"]))
        return tuple(
            Entry(
                number=row["number"],
                at_ns=row["at_ns"],
                kind=row["kind"],
                lines=tuple(lines.get(row["number"], ())),
                evidence=row["evidence"],
                memo=row["memo"],
            )
            for row in self._rows("SELECT * FROM entries ORDER BY number")
        )

    def _rows(self, query: str) -> list[sqlite3.Row]:
        return self._connection.execute(query).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with translated(self.path, "written"), transaction(self._connection) as connection:
            yield connection


def open_journal(path: Path, *, now_wall_ns: int) -> Journal:
    """Open or make the journal as its only writer, checked from end to end.

    Raises DependencyMissing when another writer holds it, it is of a newer version, unreadable or the disk is
    full; InvariantBroken when it is corrupt or not a journal. Nothing is changed in these cases.
    """
    with translated(path, "opened"):
        lock = take_lock(path, OWNER)
        try:
            connection = open_database(path, lambda opened: journal_schema.prepare(opened, str(path)))
            try:
                connection.execute("DELETE FROM answers WHERE at_ns < ?", (now_wall_ns - KEEP_ANSWERS_NS,))
            except BaseException:
                connection.close()
                raise
        except BaseException:
            os.close(lock)
            raise
        try:
            return Journal(path, connection, lock, Intents(path.with_name(path.name + ".intents")))
        except BaseException:
            connection.close()
            os.close(lock)
            raise


def reads_of(path: Path) -> AbstractContextManager[None]:
    """What SQLite says while this journal is read, as one line for the person who acts."""
    return translated(path, "read")
