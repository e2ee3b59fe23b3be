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

from common.core.remote.lanes import MUTABLE, Waiting
from common.core.remote.letters import MAX_CAPTION, MAX_TEXT, Lane, Letter, cut, is_card
from common.errors import DependencyMissing, InvariantBroken
from common.runtime.clock import Clock
from common.store.database import open_database, take_lock, transaction, translated
from common.store.outbox_rows import LEFT_OUT, add, doubt, finish, message_of, wait_again
from common.store.outbox_schema import letter_of, packed, prepare, shows, text_shown
from common.units import SECOND

OWNER = "telegram process"
KEPT_NS = 7 * 86_400 * SECOND
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
                number = add(connection, letter, self._clock.wall_ns())
        except DependencyMissing:
            if letter.lane != "critical":
                raise
            number = min(self._unsaved, default=0) - 1
            self._unsaved[number] = letter
        self.on_put()
        return number

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
            message = message_of(connection, letter) if is_card(letter) else None
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
            finish(connection, number, "sent", message_id)
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
                wait_again(connection, number)
                return True
            if letter.picture:
                plain = msgspec.structs.replace(
                    letter, picture=b"", text=f"{letter.text} (no picture: {text})"
                )
                connection.execute("UPDATE letters SET body = ? WHERE number = ?", (packed(plain), number))
                wait_again(connection, number)
                return True
            finish(connection, number, "refused", text=text)
        return False

    def not_sent(self, dispatch: Dispatch) -> None:
        """It certainly did not arrive: it waits again."""
        if dispatch.number not in self._unsaved:
            with self._write() as connection:
                wait_again(connection, dispatch.number)

    def in_doubt(self, dispatch: Dispatch) -> None:
        """It may have arrived, or not."""
        if dispatch.number not in self._unsaved:
            with self._write() as connection:
                doubt(connection, dispatch.number, self._clock.wall_ns())

    def _recover(self) -> None:
        """What was on its way when the last process ended is in doubt."""
        with self._write() as connection:
            for row in connection.execute("SELECT number FROM letters WHERE state = 'sending'").fetchall():
                doubt(connection, row["number"], self._clock.wall_ns())

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
