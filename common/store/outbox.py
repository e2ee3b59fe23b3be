"""The outbox: every letter to a person, on disk before anything else happens to it, until Telegram has it.

Owns what waits, what was sent as which message, what had to be left out. Decides no order and sends nothing.

A letter whose fate is unknown (no answer came, or the process died in between) is sent again only in the
critical lane, marked as repeated: an alarm twice is better than none. One that edits a message is repeated as
well, since that changes nothing; any other is left out and counted, because a second trade or answer would
be read as a second event.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from common.core.remote.lanes import MUTABLE, Waiting, is_muted
from common.core.remote.letters import (
    LANES,
    MAX_CAPTION,
    MAX_TEXT,
    Lane,
    Letter,
    cut,
    is_card,
    merged,
)
from common.errors import DependencyMissing, InvariantBroken
from common.runtime.clock import Clock
from common.store.database import open_database, take_lock, transaction, translated
from common.store.outbox_schema import letter_of, packed, prepare, shows, text_shown
from common.units import SECOND

OWNER = "telegram process"
MOST_WAITING: dict[Lane, int] = {"reply": 20, "trade": 40, "info": 30, "digest": 4}
"""Of one chat; beyond it the oldest is left out. What is critical is never left out."""
KEPT_NS = 7 * 86_400 * SECOND
LEFT_OUT = "left-out"
"""The key of the letter that says how many were left out."""
REPEATED = "(repeated) "
_PRUNE_EVERY = 200


class Dispatch(NamedTuple):
    """A letter on its way."""

    number: int
    letter: Letter
    message_id: int
    """The message it edits; 0: it becomes one."""


class Outbox:
    """The single writer of one outbox; see ``open_outbox``."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int, clock: Clock) -> None:
        self.path = path
        self.on_put: Callable[[], None] = lambda: None
        """Called when there may be something new to send."""
        self._connection = connection
        self._lock = lock
        self._clock = clock
        self._unsaved: dict[int, Letter] = {}
        self._finished = 0

    def close(self) -> None:
        """Release file and lock; everything committed stays."""
        self._connection.close()
        os.close(self._lock)

    # Putting.

    def put(self, letter: Letter) -> int:
        """Keep a letter until it is sent, durable when this returns its number.

        One that waits is replaced by a later one of its key; what a message shows already is not sent again.
        Where nothing can be written a critical letter is kept in memory alone (its number is negative), any
        other raises DependencyMissing.
        """
        most = MAX_CAPTION if letter.picture else MAX_TEXT - len(REPEATED)
        letter = msgspec.structs.replace(letter, text=cut(letter.text, most))
        try:
            with self._write() as connection:
                number = self._put(connection, letter)
        except DependencyMissing:
            if letter.lane != "critical":
                raise
            number = min(self._unsaved, default=0) - 1
            self._unsaved[number] = letter
        self.on_put()
        return number

    def _put(self, connection: sqlite3.Connection, letter: Letter) -> int:
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
            shown = self._message(connection, letter)
            if shown is not None and shown["shows"] == shows(letter):
                return int(shown["number"])
        now_ns = self._clock.wall_ns()
        state = "muted" if is_muted(letter.lane, self._mutes(connection), now_ns) else "waiting"
        number = connection.execute(
            "INSERT INTO letters (lane, chat_id, key, state, put_ns, body) VALUES (?, ?, ?, ?, ?, ?)",
            (letter.lane, letter.chat_id, letter.key, state, now_ns, packed(letter)),
        ).lastrowid
        if state == "waiting" and letter.lane != "critical":
            self._keep_bound(connection, letter.lane, letter.chat_id)
        return int(number or 0)

    def _keep_bound(self, connection: sqlite3.Connection, lane: Lane, chat_id: int) -> None:
        """Leave out the oldest of a lane that is full."""
        surplus = connection.execute(
            "SELECT number FROM letters WHERE chat_id = ? AND lane = ? AND state = 'waiting' AND key <> ? "
            "ORDER BY number DESC LIMIT -1 OFFSET ?",
            (chat_id, lane, LEFT_OUT, MOST_WAITING[lane]),
        ).fetchall()
        for row in surplus:
            self._leave_out(connection, row["number"], lane, chat_id, "left out")

    def _leave_out(
        self, connection: sqlite3.Connection, number: int, lane: Lane, chat_id: int, state: str
    ) -> None:
        """Never send this one; a letter says how many there were."""
        self._finish(connection, number, state)
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
        self._put(connection, Letter(lane="info", chat_id=chat_id, text=text, key=LEFT_OUT))

    def mute(self, lane: Lane, until_wall_ns: int) -> None:
        """Send nothing of a lane until then; what comes meanwhile is not kept for later.

        Raises ValueError for a lane that cannot be muted.
        """
        if lane not in MUTABLE:
            raise ValueError(f"the lane {lane} cannot be muted; these can: {', '.join(MUTABLE)}")
        with self._write() as connection:
            connection.execute(
                "INSERT INTO mutes (lane, until_ns) VALUES (?, ?) "
                "ON CONFLICT (lane) DO UPDATE SET until_ns = excluded.until_ns",
                (lane, until_wall_ns),
            )
            if until_wall_ns > self._clock.wall_ns():
                connection.execute(
                    "UPDATE letters SET state = 'muted' WHERE lane = ? AND state = 'waiting'", (lane,)
                )

    # Sending.

    def waiting(self) -> list[Waiting]:
        """What wants to go out, oldest first."""
        with translated(self.path, "read"):
            rows = self._connection.execute(
                "SELECT number, lane, chat_id FROM letters WHERE state = 'waiting' ORDER BY number"
            ).fetchall()
        unsaved = [Waiting(number, each.lane, each.chat_id) for number, each in self._unsaved.items()]
        return [*unsaved, *(Waiting(row["number"], row["lane"], row["chat_id"]) for row in rows)]

    def begin(self, number: int) -> Dispatch:
        """Note, before the request leaves, that this one is on its way."""
        if number in self._unsaved:
            return Dispatch(number, self._unsaved[number], 0)
        with self._write() as connection:
            row = connection.execute("SELECT * FROM letters WHERE number = ?", (number,)).fetchone()
            if row is None or row["state"] != "waiting":
                raise InvariantBroken(f"outbox: letter {number} does not wait to be sent")
            connection.execute(
                "UPDATE letters SET state = 'sending', tries = tries + 1, begun_ns = ? WHERE number = ?",
                (self._clock.wall_ns(), number),
            )
            letter = letter_of(row["body"])
            message = self._message(connection, letter) if is_card(letter) else None
            if letter.key == LEFT_OUT:
                # From here on what is left out is counted for the next one.
                connection.execute("DELETE FROM left_out WHERE chat_id = ?", (letter.chat_id,))
        if row["repeated"]:
            letter = msgspec.structs.replace(letter, text=REPEATED + letter.text)
        return Dispatch(number, letter, message["message_id"] if message is not None else 0)

    def sent(self, dispatch: Dispatch, message_id: int) -> None:
        """Telegram has it, as this message."""
        number, letter = dispatch.number, dispatch.letter
        if self._unsaved.pop(number, None) is not None:
            return
        with self._write() as connection:
            self._finish(connection, number, "sent", message_id)
            if is_card(letter) and letter.key != LEFT_OUT:
                connection.execute(
                    "INSERT OR REPLACE INTO messages (chat_id, key, message_id, number, shows, at_ns) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        letter.chat_id, letter.key, message_id, number, shows(letter),
                        self._clock.wall_ns(),
                    ),
                )  # fmt: skip
        self._finished += 1
        if self._finished % _PRUNE_EVERY == 0:
            self.prune()

    def refused(self, dispatch: Dispatch, text: str) -> bool:
        """Telegram will not take it; whether it is tried as a new message, or without its picture."""
        number, letter = dispatch.number, dispatch.letter
        if number in self._unsaved:
            del self._unsaved[number]
            return False
        with self._write() as connection:
            if dispatch.message_id:
                connection.execute(
                    "DELETE FROM messages WHERE chat_id = ? AND key = ?", (letter.chat_id, letter.key)
                )
                self._wait_again(connection, number)
                return True
            if letter.picture:
                plain = msgspec.structs.replace(
                    letter, picture=b"", text=f"{letter.text} (no picture: {text})"
                )
                connection.execute("UPDATE letters SET body = ? WHERE number = ?", (packed(plain), number))
                self._wait_again(connection, number)
                return True
            self._finish(connection, number, "refused", text=text)
        return False

    def not_sent(self, dispatch: Dispatch) -> None:
        """It certainly did not arrive: it waits again."""
        if dispatch.number not in self._unsaved:
            with self._write() as connection:
                self._wait_again(connection, dispatch.number)

    def in_doubt(self, dispatch: Dispatch) -> None:
        """It may have arrived, or not."""
        if dispatch.number not in self._unsaved:
            with self._write() as connection:
                self._doubt(connection, dispatch.number)

    def _doubt(self, connection: sqlite3.Connection, number: int) -> None:
        row = connection.execute("SELECT * FROM letters WHERE number = ?", (number,)).fetchone()
        letter = letter_of(row["body"])
        if row["lane"] == "critical":
            connection.execute("UPDATE letters SET repeated = 1 WHERE number = ?", (number,))
            self._wait_again(connection, number)
        elif letter.key == LEFT_OUT or (is_card(letter) and self._message(connection, letter) is not None):
            self._wait_again(connection, number)
        else:
            self._leave_out(connection, number, row["lane"], row["chat_id"], "in doubt")

    def _wait_again(self, connection: sqlite3.Connection, number: int) -> None:
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

    def _recover(self) -> None:
        """What was on its way when the last process ended is in doubt."""
        with self._write() as connection:
            for row in connection.execute("SELECT number FROM letters WHERE state = 'sending'").fetchall():
                self._doubt(connection, row["number"])

    # Reading.

    def begun_since(self, wall_ns: int) -> list[tuple[int, int]]:
        """(chat, instant) of every letter that went out since then, oldest first."""
        with translated(self.path, "read"):
            rows = self._connection.execute(
                "SELECT chat_id, begun_ns FROM letters WHERE begun_ns > ? ORDER BY begun_ns", (wall_ns,)
            ).fetchall()
        return [(row["chat_id"], row["begun_ns"]) for row in rows]

    def is_shown(self, chat_id: int, key: str) -> bool:
        """Whether a message of this key is, or soon will be, in the chat."""
        with translated(self.path, "read"):
            found = self._connection.execute(
                "SELECT EXISTS (SELECT 1 FROM messages WHERE chat_id = :chat AND key = :key) "
                "OR EXISTS (SELECT 1 FROM letters WHERE chat_id = :chat AND key = :key "
                "AND state IN ('waiting', 'sending'))",
                {"chat": chat_id, "key": key},
            ).fetchone()[0]
        return bool(found)

    def newest_text(self, chat_id: int, key: str) -> str:
        """What the message of this key says, or will say once what waits is sent; empty without one."""
        names = {"chat": chat_id, "key": key}
        with translated(self.path, "read"):
            waiting = self._connection.execute(
                "SELECT body FROM letters WHERE chat_id = :chat AND key = :key "
                "AND state IN ('waiting', 'sending') ORDER BY number DESC",
                names,
            ).fetchone()
            message = self._connection.execute(
                "SELECT shows FROM messages WHERE chat_id = :chat AND key = :key", names
            ).fetchone()
        if waiting is not None:
            return letter_of(waiting["body"]).text
        return text_shown(message["shows"]) if message is not None else ""

    def counts(self) -> dict[str, int]:
        """How many letters are in which state, of those still kept."""
        with translated(self.path, "read"):
            rows = self._connection.execute("SELECT state, count(*) FROM letters GROUP BY state").fetchall()
        return {row[0]: row[1] for row in rows}

    def prune(self) -> None:
        """Forget what was finished long ago."""
        before_ns = self._clock.wall_ns() - KEPT_NS
        with self._write() as connection:
            connection.execute(
                "DELETE FROM letters WHERE put_ns < ? AND state NOT IN ('waiting', 'sending')", (before_ns,)
            )
            connection.execute("DELETE FROM messages WHERE at_ns < ?", (before_ns,))

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with translated(self.path, "written"), transaction(self._connection) as connection:
            yield connection

    @staticmethod
    def _message(connection: sqlite3.Connection, letter: Letter) -> sqlite3.Row | None:
        row: sqlite3.Row | None = connection.execute(
            "SELECT * FROM messages WHERE chat_id = ? AND key = ?", (letter.chat_id, letter.key)
        ).fetchone()
        return row

    @staticmethod
    def _mutes(connection: sqlite3.Connection) -> dict[Lane, int]:
        return {row["lane"]: row["until_ns"] for row in connection.execute("SELECT * FROM mutes")}

    @staticmethod
    def _finish(
        connection: sqlite3.Connection, number: int, state: str, message_id: int = 0, text: str = ""
    ) -> None:
        row = connection.execute("SELECT body FROM letters WHERE number = ?", (number,)).fetchone()
        kept = msgspec.structs.replace(letter_of(row["body"]), picture=b"")
        connection.execute(
            "UPDATE letters SET state = ?, message_id = ?, text = ?, body = ? WHERE number = ?",
            (state, message_id, text, packed(kept), number),
        )


def open_outbox(path: Path, clock: Clock) -> Outbox:
    """Open or make the outbox as its only writer; what was on its way at the last end is put in doubt.

    Raises DependencyMissing when another process writes it, it is of a newer version, unreadable or the disk
    is full; InvariantBroken when it is corrupt or not an outbox.
    """
    with translated(path, "opened"):
        lock = take_lock(path, OWNER)
        try:
            connection = open_database(path, lambda opened: prepare(opened, path))
        except BaseException:
            os.close(lock)
            raise
    outbox = Outbox(path, connection, lock, clock)
    try:
        outbox._recover()  # noqa: SLF001 - part of opening
        outbox.prune()
    except BaseException:
        outbox.close()
        raise
    return outbox
