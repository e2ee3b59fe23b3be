"""The executor's journal: every order, fill, position, posture, ledger entry and answered command, in SQLite.

Owns durability (WAL, synchronous=FULL, one writer) and the last guard against doing something twice: a commit
that would contradict a row already there raises InvariantBroken and changes nothing. Never decides.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from common.core.ledger import Entry, Line
from common.core.order_state import (
    Books,
    Commit,
    CommitEnd,
    CommitFills,
    CommitIntent,
    CommitPosture,
    CommitRedemption,
    CommitSettlement,
    CommitTrade,
    Order,
    Settlement,
)
from common.errors import DependencyMissing, InvariantBroken
from common.messages import Accepted, Answer, FeeSchedule, Fill, OrderState, PositionState, PostureState
from common.store import journal_schema

KEEP_ANSWERS_NS = 24 * 3600 * 1_000_000_000
"""Requests expire after seconds; a day of answers is more than any caller can still repeat."""

_ORDER_FIELDS = OrderState.__struct_fields__
_ORDER_EXTRAS = ("strategy", "worst_usd6", "decided_ns", "cause", "verdict_number", "end_ns", "wire")
_FILL_FIELDS = Fill.__struct_fields__
_POSITION_FIELDS = PositionState.__struct_fields__
_POSTURE_FIELDS = PostureState.__struct_fields__

Row = TypeVar("Row", bound=msgspec.Struct)

_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH}


class Recovered(NamedTuple):
    """Everything the journal holds."""

    mode: str
    books: Books
    posture: PostureState


class Journal:
    """The single writer of one journal file; open it with ``open_journal``."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int | None) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock

    def close(self) -> None:
        """Release file and lock; everything committed stays."""
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)

    def open_account(self, mode: str, bankroll_usd6: int, entry: Entry, posture: PostureState) -> None:
        """Write the first row of everything, once in a journal's life."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO account (only, mode, bankroll_usd6, opened_ns) VALUES (1, ?, ?, ?)",
                (mode, bankroll_usd6, entry.at_ns),
            )
            _insert_entries(connection, (entry,))
            _insert(connection, "postures", _fields(posture, _POSTURE_FIELDS))

    def read(self) -> Recovered | None:
        """All rows, or None when no account was opened yet."""
        with self._translated("read"):
            account = self._connection.execute("SELECT mode, bankroll_usd6 FROM account").fetchone()
            if account is None:
                return None
            orders = [_order(row) for row in self._rows("SELECT * FROM orders ORDER BY created_ns, order_id")]
            positions = self._rows("SELECT * FROM positions ORDER BY settled_ns, window, outcome")
            posture = self._rows("SELECT * FROM postures ORDER BY number DESC LIMIT 1")
            if not posture:
                raise InvariantBroken(f"journal: {self.path} has an account but no posture")
            held = [(_struct(row, PositionState), row["settled_ns"]) for row in positions]
            books = Books(
                orders={order.state.intent_id: order for order in orders},
                positions={(position.window, position.outcome): position for position, _ in held},
                settlements=tuple(
                    Settlement(position, at_ns) for position, at_ns in held if position.settled
                ),
                fills=tuple(
                    _struct(row, Fill) for row in self._rows("SELECT * FROM fills ORDER BY at_ns, rowid")
                ),
                entries=self._entries(),
                bankroll_usd6=account[1],
                live=account[0] == "live",
            )
            return Recovered(account[0], books, _struct(posture[0], PostureState))

    def answer(self, request_id: str) -> Answer | None:
        """What this request was answered, also before a restart."""
        with self._translated("read"):
            row = self._connection.execute(
                "SELECT answer FROM answers WHERE request_id = ?", (request_id,)
            ).fetchone()
        return msgspec.msgpack.decode(row[0], type=Answer) if row else None

    def duplicate_orders(self) -> int:
        """Orders beyond the first of the same window and strategy: must be 0."""
        with self._translated("read"):
            row = self._connection.execute(
                "SELECT coalesce(sum(n - 1), 0) FROM "
                "(SELECT count(*) AS n FROM orders GROUP BY window, strategy)"
            ).fetchone()
        return int(row[0])

    def commit(self, *commits: Commit) -> None:
        """Everything one step decided, in one transaction: all of it or nothing."""
        with self._transaction() as connection:
            for commit in commits:
                match commit:
                    case CommitIntent():
                        _add_order(connection, commit)
                    case CommitFills():
                        _add_fills(connection, commit)
                    case CommitEnd():
                        _finish_order(connection, commit.order)
                    case CommitTrade():
                        _change_fill(connection, commit)
                    case CommitRedemption():
                        _redeem(connection, commit)
                    case CommitSettlement():
                        _settle(connection, commit)
                    case CommitPosture():
                        _add_posture(connection, commit)

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
        with self._translated("written"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def _translated(self, verb: str) -> Iterator[None]:
        with _translated(self.path, verb):
            yield


def open_journal(path: Path, *, now_wall_ns: int) -> Journal:
    """Open or make the journal as its only writer, checked from end to end.

    Raises DependencyMissing when another writer holds it, it is of a newer version, unreadable or the disk is
    full; InvariantBroken when it is corrupt or not a journal. Nothing is changed in these cases.
    """
    with _translated(path, "opened"):
        lock = _take_lock(path)
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            os.chmod(path, 0o600)
            connection = sqlite3.connect(path, timeout=1.0, isolation_level=None)
            try:
                _configure(connection, path)
                connection.execute("DELETE FROM answers WHERE at_ns < ?", (now_wall_ns - KEEP_ANSWERS_NS,))
            except BaseException:
                connection.close()
                raise
        except BaseException:
            os.close(lock)
            raise
        return Journal(path, connection, lock)


def reads_of(path: Path) -> AbstractContextManager[None]:
    """What SQLite says while this journal is read, as one line for the person who acts."""
    return _translated(path, "read")


def _configure(connection: sqlite3.Connection, path: Path) -> None:
    connection.row_factory = sqlite3.Row
    found = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
    if found != ["ok"]:
        raise InvariantBroken(
            f"journal: {path} is corrupt ({' '.join(found[0].split())}); nothing was changed: "
            "keep it aside, restore a good copy, start again"
        )
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise DependencyMissing(
            f"journal: {path} is on a file system without shared memory; move the state directory"
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    journal_schema.prepare(connection, str(path))


def _take_lock(path: Path) -> int:
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise DependencyMissing(
            f"journal: {path} is being written by another executor; stop that one first"
        ) from None
    return lock


@contextmanager
def _translated(path: Path, verb: str) -> Iterator[None]:
    """Every SQLite or file error as one line for the person who acts."""
    try:
        yield
    except sqlite3.Error as error:
        # The low byte is the primary code; errors of the Python layer have none.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BROKEN or not code:
            raise InvariantBroken(
                f"journal: {path} could not be {verb} ({error}); nothing was changed: "
                "look into it before trading"
            ) from error
        raise DependencyMissing(
            f"journal: {path} could not be {verb} ({error}); nothing was changed: "
            "check free space, owner and other programs using it"
        ) from error
    except OSError as error:
        raise DependencyMissing(
            f"journal: {path} could not be {verb} ({error.strerror}); check the state directory and its owner"
        ) from error


def _add_order(connection: sqlite3.Connection, commit: CommitIntent) -> None:
    state = commit.order.state
    fee = msgspec.msgpack.encode(commit.order.fee)
    row = _fields(state, _ORDER_FIELDS) | _fields(commit.order, _ORDER_EXTRAS) | {"fee": fee}
    _insert(connection, "orders", row)
    _insert_answer(connection, commit.request_id, Accepted(order_id=state.order_id), state.created_ns)


def _add_fills(connection: sqlite3.Connection, commit: CommitFills) -> None:
    # A live order may trade after it was taken for decided; a paper order cannot.
    _update_order(connection, commit.order, " AND (status = 'working' OR wire <> x'')")
    for fill in commit.fills:
        _insert(connection, "fills", _fields(fill, _FILL_FIELDS))
    position = commit.position
    changed = connection.execute(
        f"INSERT INTO positions ({', '.join(_POSITION_FIELDS)}) VALUES ({_marks(_POSITION_FIELDS)}) "
        "ON CONFLICT (window, outcome) DO UPDATE SET size6 = excluded.size6, "
        "cost_usd6 = excluded.cost_usd6, fee_usd6 = excluded.fee_usd6 WHERE settled = 0",
        tuple(_fields(position, _POSITION_FIELDS).values()),
    ).rowcount
    if changed != 1:
        raise InvariantBroken(f"journal: {position.window} {position.outcome} is settled; no fill can follow")
    _insert_entries(connection, commit.entries)


def _change_fill(connection: sqlite3.Connection, commit: CommitTrade) -> None:
    fill, position = commit.fill, commit.position
    changed = connection.execute(
        "UPDATE fills SET status = ? WHERE trade_id = ?", (fill.status, fill.trade_id)
    ).rowcount
    if commit.entries:
        _update_order(connection, commit.order)
        changed += connection.execute(
            "UPDATE positions SET size6 = ?, cost_usd6 = ?, fee_usd6 = ? "
            "WHERE window = ? AND outcome = ? AND settled = 0",
            (position.size6, position.cost_usd6, position.fee_usd6, position.window, position.outcome),
        ).rowcount
        _insert_entries(connection, commit.entries)
    if changed != 1 + bool(commit.entries):
        raise InvariantBroken(f"journal: trade {fill.trade_id} or its open position is not there")


def _finish_order(connection: sqlite3.Connection, order: Order) -> None:
    _update_order(connection, order, " AND status = 'working'")


def _update_order(connection: sqlite3.Connection, order: Order, condition: str = "") -> None:
    state = order.state
    changed = connection.execute(
        "UPDATE orders SET status = ?, reason = ?, filled_size6 = ?, cost_usd6 = ?, fee_usd6 = ?, "
        f"updated_ns = ? WHERE order_id = ?{condition}",
        (
            state.status,
            state.reason,
            state.filled_size6,
            state.cost_usd6,
            state.fee_usd6,
            state.updated_ns,
            state.order_id,
        ),
    ).rowcount
    if changed != 1:
        raise InvariantBroken(f"journal: order {state.order_id} is not working; its end was decided before")


def _settle(connection: sqlite3.Connection, commit: CommitSettlement) -> None:
    position = commit.settlement.position
    changed = connection.execute(
        "UPDATE positions SET settled = 1, official = ?, payout_usd6 = ?, pnl_usd6 = ?, settled_ns = ? "
        "WHERE window = ? AND outcome = ? AND settled = 0",
        (
            position.official,
            position.payout_usd6,
            position.pnl_usd6,
            commit.settlement.at_ns,
            position.window,
            position.outcome,
        ),
    ).rowcount
    if changed != 1:
        raise InvariantBroken(f"journal: {position.window} {position.outcome} is not an open position")
    _insert_entries(connection, (commit.entry,))


def _redeem(connection: sqlite3.Connection, commit: CommitRedemption) -> None:
    position = commit.position
    changed = connection.execute(
        "UPDATE positions SET redeemed = ? "
        "WHERE window = ? AND outcome = ? AND settled = 1 AND redeemed = ''",
        (position.redeemed, position.window, position.outcome),
    ).rowcount
    if changed != 1:
        raise InvariantBroken(f"journal: {position.window} {position.outcome} is not owed to us any more")
    _insert_entries(connection, (commit.entry,))


def _add_posture(connection: sqlite3.Connection, commit: CommitPosture) -> None:
    posture = commit.posture
    _insert(connection, "postures", _fields(posture, _POSTURE_FIELDS))
    if commit.request_id:
        _insert_answer(connection, commit.request_id, Accepted(text=posture.posture), posture.since_ns)


def _fields(struct: msgspec.Struct, names: Iterable[str]) -> dict[str, object]:
    return {name: getattr(struct, name) for name in names}


def _marks(names: Iterable[str]) -> str:
    return ", ".join("?" for _ in names)


def _insert(connection: sqlite3.Connection, table: str, values: dict[str, object]) -> None:
    connection.execute(
        f"INSERT INTO {table} ({', '.join(values)}) VALUES ({_marks(values)})", tuple(values.values())
    )


def _insert_entries(connection: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    for entry in entries:
        _insert(connection, "entries", _fields(entry, ("number", "at_ns", "kind", "evidence", "memo")))
        for place, line in enumerate(entry.lines):
            values = {"entry": entry.number, "position": place}
            _insert(connection, "entry_lines", values | _fields(line, ("account", "amount_usd6")))


def _insert_answer(connection: sqlite3.Connection, request_id: str, answer: Answer, at_ns: int) -> None:
    _insert(
        connection,
        "answers",
        {"request_id": request_id, "answer": msgspec.msgpack.encode(answer), "at_ns": at_ns},
    )


def _struct(row: sqlite3.Row, kind: type[Row]) -> Row:
    # SQLite has no booleans; everything else comes back as it went in.
    known = {name: row[name] for name in kind.__struct_fields__}
    return msgspec.convert(known, kind, strict=False)


def _order(row: sqlite3.Row) -> Order:
    return Order(
        state=_struct(row, OrderState),
        strategy=row["strategy"],
        worst_usd6=row["worst_usd6"],
        decided_ns=row["decided_ns"],
        cause=row["cause"],
        verdict_number=row["verdict_number"],
        end_ns=row["end_ns"],
        fee=msgspec.msgpack.decode(row["fee"], type=FeeSchedule | None),
        wire=row["wire"],
    )
