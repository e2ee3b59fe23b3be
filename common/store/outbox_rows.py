"""What becomes of a letter, as rows of the outbox: kept, replaced, doubted, left out, done with.

Opens nothing, begins and ends no transaction: each function is a part of its caller's.
"""

import sqlite3

import msgspec

from common.core.remote.lanes import is_muted
from common.core.remote.letters import LANES, Lane, Letter, is_card, merged
from common.store.outbox_schema import letter_of, packed, shows

MOST_WAITING: dict[Lane, int] = {"reply": 20, "trade": 40, "info": 30, "digest": 4}
"""Of one chat; beyond it the oldest is left out. What is critical is never left out."""
LEFT_OUT = "left-out"
"""The key of the letter that says how many were left out."""


def add(connection: sqlite3.Connection, letter: Letter, now_ns: int) -> int:
    """Keep a letter, in place of one of its key that waits; the number of the row that stands for it."""
    if is_card(letter):
        waiting = connection.execute(
            "SELECT number, body FROM letters WHERE chat_id = ? AND key = ? AND state = 'waiting' "
            "AND lane <> 'critical'",
            (letter.chat_id, letter.key),
        ).fetchone()
        if waiting is not None:
            both = merged(letter_of(waiting["body"]), letter)
            connection.execute(
                "UPDATE letters SET lane = ?, body = ? WHERE number = ?",
                (both.lane, packed(both), waiting["number"]),
            )
            return int(waiting["number"])
        shown = message_of(connection, letter)
        if shown is not None and shown["shows"] == shows(letter):
            return int(shown["number"])
    state = "muted" if is_muted(letter.lane, _mutes(connection), now_ns) else "waiting"
    number = connection.execute(
        "INSERT INTO letters (lane, chat_id, key, state, put_ns, body) VALUES (?, ?, ?, ?, ?, ?)",
        (letter.lane, letter.chat_id, letter.key, state, now_ns, packed(letter)),
    ).lastrowid
    if state == "waiting" and letter.lane != "critical":
        _keep_bound(connection, letter.lane, letter.chat_id, now_ns)
    return int(number or 0)


def doubt(connection: sqlite3.Connection, number: int, now_ns: int) -> None:
    """Nobody knows whether it arrived: it waits again, or is left out."""
    row = connection.execute("SELECT * FROM letters WHERE number = ?", (number,)).fetchone()
    letter = letter_of(row["body"])
    if row["lane"] == "critical":
        connection.execute("UPDATE letters SET repeated = 1 WHERE number = ?", (number,))
        wait_again(connection, number)
    elif letter.key == LEFT_OUT or (is_card(letter) and message_of(connection, letter) is not None):
        wait_again(connection, number)
    else:
        _leave_out(connection, number, row["lane"], row["chat_id"], "in doubt", now_ns)


def wait_again(connection: sqlite3.Connection, number: int) -> None:
    """It certainly did not arrive; it is sent later, unless a newer one of its key waits."""
    row = connection.execute("SELECT * FROM letters WHERE number = ?", (number,)).fetchone()
    letter = letter_of(row["body"])
    newer = None
    if is_card(letter) and letter.key != LEFT_OUT:
        newer = connection.execute(
            "SELECT number FROM letters WHERE chat_id = ? AND key = ? AND state = 'waiting'",
            (letter.chat_id, letter.key),
        ).fetchone()
    # A later letter of the key says all that this one said.
    state = "waiting" if newer is None else "left out"
    connection.execute("UPDATE letters SET state = ? WHERE number = ?", (state, number))


def finish(
    connection: sqlite3.Connection, number: int, state: str, message_id: int = 0, text: str = ""
) -> None:
    """It is done with; its picture is kept no longer."""
    row = connection.execute("SELECT body FROM letters WHERE number = ?", (number,)).fetchone()
    kept = msgspec.structs.replace(letter_of(row["body"]), picture=b"")
    connection.execute(
        "UPDATE letters SET state = ?, message_id = ?, text = ?, body = ? WHERE number = ?",
        (state, message_id, text, packed(kept), number),
    )


def message_of(connection: sqlite3.Connection, letter: Letter) -> sqlite3.Row | None:
    """The message in the chat that shows letters of this key; None while there is none."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM messages WHERE chat_id = ? AND key = ?", (letter.chat_id, letter.key)
    ).fetchone()
    return row


def _keep_bound(connection: sqlite3.Connection, lane: Lane, chat_id: int, now_ns: int) -> None:
    """Leave out the oldest of a lane that is full."""
    surplus = connection.execute(
        "SELECT number FROM letters WHERE chat_id = ? AND lane = ? AND state = 'waiting' AND key <> ? "
        "ORDER BY number DESC LIMIT -1 OFFSET ?",
        (chat_id, lane, LEFT_OUT, MOST_WAITING[lane]),
    ).fetchall()
    for row in surplus:
        _leave_out(connection, row["number"], lane, chat_id, "left out", now_ns)


def _leave_out(
    connection: sqlite3.Connection, number: int, lane: Lane, chat_id: int, state: str, now_ns: int
) -> None:
    """Never send this one; a letter says how many there were."""
    finish(connection, number, state)
    connection.execute(
        "INSERT INTO left_out (chat_id, lane, letters) VALUES (?, ?, 1) "
        "ON CONFLICT (chat_id, lane) DO UPDATE SET letters = letters + 1",
        (chat_id, lane),
    )
    rows = connection.execute("SELECT lane, letters FROM left_out WHERE chat_id = ?", (chat_id,))
    counts = {row["lane"]: int(row["letters"]) for row in rows}
    parts = ", ".join(f"{counts[each]} {each}" for each in LANES if each in counts)
    text = (
        f"{sum(counts.values())} messages were left out ({parts}): more than this chat may get, "
        "or no answer whether they arrived. /status shows how things are now."
    )
    add(connection, Letter(lane="info", chat_id=chat_id, text=text, key=LEFT_OUT), now_ns)


def _mutes(connection: sqlite3.Connection) -> dict[Lane, int]:
    return {row["lane"]: row["until_ns"] for row in connection.execute("SELECT * FROM mutes")}
