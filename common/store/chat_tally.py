"""What came of a conversation, read from the outbox and the command log beside their writer or after it.

Writes nothing. Knows no words of the conversation: letters by state, updates by what became of them.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from common.store.database import translated

OPEN = ("waiting", "sending")
"""States of letters that are still to be sent."""


class ChatTally(NamedTuple):
    """Letters and updates since an instant."""

    letters: Counter[str]
    """How many are in which state; those that wait are counted whatever their age."""
    results: Counter[str]
    """How many updates ended how, in the conversation's own words; ``""``: not ended."""

    @property
    def left(self) -> int:
        """Letters that are still to be sent."""
        return sum(self.letters[state] for state in OPEN)


def read_tally(outbox_file: Path, commands_file: Path, since_ns: int) -> ChatTally:
    """Count what was begun since this wall instant; a file that is not there yet counts as empty.

    Raises DependencyMissing or InvariantBroken when one cannot be read.
    """
    letters: Counter[str] = Counter()
    results: Counter[str] = Counter()
    with _reading(outbox_file) as outbox:
        # An edit is a letter too: each one that was sent is one message made or changed.
        letters.update(
            _counted(
                outbox,
                "SELECT state, count(*) FROM letters WHERE max(begun_ns, put_ns) >= ? "
                "OR state IN ('waiting', 'sending') GROUP BY state",
                since_ns,
            )
        )
    with _reading(commands_file) as commands:
        results.update(
            _counted(
                commands,
                "SELECT CASE ended WHEN 1 THEN result ELSE '' END AS became, count(*) FROM updates "
                "WHERE at_ns >= ? GROUP BY became",
                since_ns,
            )
        )
    return ChatTally(letters, results)


def _counted(connection: sqlite3.Connection | None, query: str, since_ns: int) -> dict[str, int]:
    if connection is None:
        return {}
    return {str(name): int(count) for name, count in connection.execute(query, (since_ns,))}


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """None where there is no file, or no table in it yet."""
    if not path.exists():
        yield None
        return
    where = f"file:{quote(str(path))}?mode=ro"
    with translated(path, "read"), closing(sqlite3.connect(where, uri=True, timeout=1.0)) as connection:
        made = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        yield connection if made else None
