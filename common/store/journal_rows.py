"""How each commit of the executor becomes rows, and rows become what they were: one function for each.

Every change of a row names what it must have been; where it was not, InvariantBroken ends the transaction.
Opens nothing, begins and ends no transaction.
"""

import sqlite3
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from common.core.ledger import Entry, Payment
from common.core.order_effects import (
    Commit,
    CommitEnd,
    CommitFills,
    CommitIntent,
    CommitPosture,
    CommitRedemption,
    CommitSettlement,
    CommitTrade,
)
from common.core.order_state import (
    Order,
)
from common.errors import InvariantBroken
from common.messages import Accepted, Answer, FeeSchedule, Fill, OrderState, PositionState, PostureState

_ORDER_FIELDS = OrderState.__struct_fields__
_ORDER_EXTRAS = (
    "strategy",
    "worst_usd6",
    "decided_ns",
    "cause",
    "verdict_number",
    "end_ns",
    "wire",
    "condition_id",
)
_FILL_FIELDS = Fill.__struct_fields__
_POSITION_FIELDS = PositionState.__struct_fields__
_POSTURE_FIELDS = PostureState.__struct_fields__

Row = TypeVar("Row", bound=msgspec.Struct)


def write(connection: sqlite3.Connection, commit: Commit) -> None:
    """Write what one commit says, within the transaction of its caller."""
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
        "cost_usd6 = excluded.cost_usd6, fee_usd6 = excluded.fee_usd6, sold6 = excluded.sold6, "
        "realized_usd6 = excluded.realized_usd6 WHERE settled = 0",
        tuple(_fields(position, _POSITION_FIELDS).values()),
    ).rowcount
    if changed != 1:
        raise InvariantBroken(f"journal: {position.window} {position.outcome} is settled; no fill can follow")
    write_entries(connection, commit.entries)


def _change_fill(connection: sqlite3.Connection, commit: CommitTrade) -> None:
    fill, position = commit.fill, commit.position
    changed = connection.execute(
        "UPDATE fills SET status = ? WHERE trade_id = ?", (fill.status, fill.trade_id)
    ).rowcount
    if commit.entries:
        _update_order(connection, commit.order)
        changed += connection.execute(
            "UPDATE positions SET size6 = ?, cost_usd6 = ?, fee_usd6 = ?, sold6 = ?, realized_usd6 = ? "
            "WHERE window = ? AND outcome = ? AND settled = 0",
            (
                position.size6,
                position.cost_usd6,
                position.fee_usd6,
                position.sold6,
                position.realized_usd6,
                position.window,
                position.outcome,
            ),
        ).rowcount
        write_entries(connection, commit.entries)
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
        "UPDATE positions SET settled = 1, official = ?, payout_usd6 = ?, pnl_usd6 = ?, settled_ns = ?, "
        "numerator = ?, denominator = ?, condition_id = ? WHERE window = ? AND outcome = ? AND settled = 0",
        (
            position.official,
            position.payout_usd6,
            position.pnl_usd6,
            commit.settlement.at_ns,
            position.numerator,
            position.denominator,
            position.condition_id,
            position.window,
            position.outcome,
        ),
    ).rowcount
    if changed != 1:
        raise InvariantBroken(f"journal: {position.window} {position.outcome} is not an open position")
    write_entries(connection, (commit.entry,))


def _redeem(connection: sqlite3.Connection, commit: CommitRedemption) -> None:
    payment = commit.payment
    row = _fields(payment, Payment.__struct_fields__) | {"tokens": msgspec.msgpack.encode(payment.tokens)}
    _insert(connection, "payments", row)
    for position in commit.positions:
        changed = connection.execute(
            "UPDATE positions SET redeemed = ? "
            "WHERE window = ? AND outcome = ? AND settled = 1 AND redeemed = ''",
            (position.redeemed, position.window, position.outcome),
        ).rowcount
        if changed != 1:
            raise InvariantBroken(f"journal: {position.window} {position.outcome} is not owed to us any more")
    write_entries(connection, commit.entries)


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


def write_entries(connection: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Append ledger entries and their lines."""
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


def read_struct(row: sqlite3.Row, kind: type[Row]) -> Row:
    """One row as the struct it was written from."""
    # SQLite has no booleans; everything else comes back as it went in.
    known = {name: row[name] for name in kind.__struct_fields__}
    return msgspec.convert(known, kind, strict=False)


def read_order(row: sqlite3.Row) -> Order:
    """One order with what is not for publication."""
    return Order(
        state=read_struct(row, OrderState),
        strategy=row["strategy"],
        worst_usd6=row["worst_usd6"],
        decided_ns=row["decided_ns"],
        cause=row["cause"],
        verdict_number=row["verdict_number"],
        end_ns=row["end_ns"],
        fee=msgspec.msgpack.decode(row["fee"], type=FeeSchedule | None),
        wire=row["wire"],
        condition_id=row["condition_id"],
    )


def read_payment(row: sqlite3.Row) -> Payment:
    """One payment."""
    known = {name: row[name] for name in Payment.__struct_fields__}
    return msgspec.convert(known | {"tokens": msgspec.msgpack.decode(row["tokens"])}, Payment, strict=False)
