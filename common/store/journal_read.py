"""Reading a journal beside its executor: nothing is created, changed or locked."""

import sqlite3
from pathlib import Path
from urllib.parse import quote

from common.errors import DependencyMissing
from common.store import journal_schema
from common.store.journal import Journal, Recovered, reads_of


def read_journal(path: Path) -> Recovered | None:
    """Everything the journal holds at one instant; None when there is none, or nothing in it yet.

    Raises DependencyMissing for one of another version, InvariantBroken for one that is corrupt or none.
    """
    if not path.exists():
        return None
    with reads_of(path):
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != journal_schema.VERSION:
                raise DependencyMissing(
                    f"journal: {path} is of version {version}, this laggard reads {journal_schema.VERSION}; "
                    "start the executor once, it brings an older one up to date"
                )
            # One read transaction: what is written meanwhile is not seen in half of the tables.
            connection.execute("BEGIN")
            return Journal(path, connection, None).read()
        finally:
            connection.close()
