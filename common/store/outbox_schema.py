"""The outbox's tables, its version, and letters as bytes."""

import sqlite3
from pathlib import Path

import msgspec

from common.core.remote.letters import Letter
from common.errors import DependencyMissing, InvariantBroken

VERSION = 1
APPLICATION_ID = 0x4C41474F
"""Marks the file as ours, and as an outbox."""

_TABLES = """
CREATE TABLE letters (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    lane TEXT NOT NULL,
    chat_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('waiting', 'sending', 'sent', 'refused', 'left out', 'in doubt', 'muted')),
    put_ns INTEGER NOT NULL,
    begun_ns INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    repeated INTEGER NOT NULL DEFAULT 0,
    message_id INTEGER NOT NULL DEFAULT 0,
    text TEXT NOT NULL DEFAULT '',
    body BLOB NOT NULL
);
CREATE INDEX open_letters ON letters (chat_id, lane, number) WHERE state IN ('waiting', 'sending');
CREATE INDEX begun_letters ON letters (begun_ns);
CREATE TABLE messages (
    chat_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    message_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    shows BLOB NOT NULL,
    at_ns INTEGER NOT NULL,
    PRIMARY KEY (chat_id, key)
);
CREATE TABLE left_out (
    chat_id INTEGER NOT NULL,
    lane TEXT NOT NULL,
    letters INTEGER NOT NULL,
    PRIMARY KEY (chat_id, lane)
);
CREATE TABLE mutes (lane TEXT PRIMARY KEY, until_ns INTEGER NOT NULL);
"""


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file; raises where it is not an outbox, or one of another version."""
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    found = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    if not tables and found == (0, 0):
        connection.executescript(
            f"BEGIN IMMEDIATE;{_TABLES}PRAGMA application_id={APPLICATION_ID};"
            f"PRAGMA user_version={VERSION};COMMIT;"
        )
    elif found[0] != APPLICATION_ID:
        raise InvariantBroken(f"outbox: {path} is not an outbox; move it away, nothing was changed")
    elif found[1] != VERSION:
        raise DependencyMissing(
            f"outbox: {path} is of version {found[1]}, this laggard knows {VERSION}; start that version, "
            "nothing was changed"
        )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def packed(letter: Letter) -> bytes:
    """A letter as it is kept."""
    return msgspec.msgpack.encode(letter)


def letter_of(body: bytes) -> Letter:
    """The letter that was kept."""
    return msgspec.msgpack.decode(body, type=Letter)


def shows(letter: Letter) -> bytes:
    """What a message of this letter shows, to tell whether an edit would change it."""
    return msgspec.msgpack.encode((letter.text, letter.buttons))


def text_shown(shown: bytes) -> str:
    """The text of what a message shows."""
    text, _buttons = msgspec.msgpack.decode(shown, type=tuple[str, list[msgspec.Raw]])
    return text
