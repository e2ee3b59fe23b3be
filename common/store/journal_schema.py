"""The tables of the journal and their version. Never reads or writes rows."""

import sqlite3

from common.errors import DependencyMissing, InvariantBroken

VERSION = 5
APPLICATION_ID = 0x4C414747
"""Marks the file as ours, so that no other database is ever taken for a journal."""

_TABLES = """
CREATE TABLE account (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    mode TEXT NOT NULL,
    bankroll_usd6 INTEGER NOT NULL,
    opened_ns INTEGER NOT NULL
);
CREATE TABLE orders (
    order_id TEXT PRIMARY KEY,
    intent_id TEXT NOT NULL UNIQUE,
    window TEXT NOT NULL,
    strategy TEXT NOT NULL,
    asset TEXT NOT NULL,
    token TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('up', 'down')),
    limit4 INTEGER NOT NULL,
    stake_usd6 INTEGER NOT NULL,
    worst_usd6 INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('working', 'filled', 'partial', 'killed')),
    reason TEXT NOT NULL,
    filled_size6 INTEGER NOT NULL,
    cost_usd6 INTEGER NOT NULL,
    fee_usd6 INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL,
    decided_ns INTEGER NOT NULL,
    cause TEXT NOT NULL,
    verdict_number INTEGER NOT NULL,
    UNIQUE (window, strategy)
);
CREATE TABLE fills (
    trade_id TEXT PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders (order_id),
    window TEXT NOT NULL,
    asset TEXT NOT NULL,
    token TEXT NOT NULL,
    outcome TEXT NOT NULL,
    price4 INTEGER NOT NULL,
    size6 INTEGER NOT NULL CHECK (size6 > 0),
    cost_usd6 INTEGER NOT NULL,
    fee_usd6 INTEGER NOT NULL,
    at_ns INTEGER NOT NULL
);
CREATE TABLE positions (
    window TEXT NOT NULL,
    asset TEXT NOT NULL,
    token TEXT NOT NULL,
    outcome TEXT NOT NULL,
    size6 INTEGER NOT NULL,
    cost_usd6 INTEGER NOT NULL,
    fee_usd6 INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    settled INTEGER NOT NULL CHECK (settled IN (0, 1)),
    official TEXT,
    payout_usd6 INTEGER NOT NULL,
    pnl_usd6 INTEGER NOT NULL,
    settled_ns INTEGER,
    PRIMARY KEY (window, outcome),
    CHECK (settled = (official IS NOT NULL) AND settled = (settled_ns IS NOT NULL))
);
CREATE TABLE postures (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    posture TEXT NOT NULL,
    reason TEXT NOT NULL,
    who TEXT NOT NULL,
    since_ns INTEGER NOT NULL
);
CREATE TABLE entries (
    number INTEGER PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    kind TEXT NOT NULL,
    evidence TEXT NOT NULL,
    memo TEXT NOT NULL,
    UNIQUE (kind, evidence)
);
CREATE TABLE entry_lines (
    entry INTEGER NOT NULL REFERENCES entries (number),
    position INTEGER NOT NULL,
    account TEXT NOT NULL,
    amount_usd6 INTEGER NOT NULL,
    PRIMARY KEY (entry, position)
);
CREATE TABLE answers (
    request_id TEXT PRIMARY KEY,
    answer BLOB NOT NULL,
    at_ns INTEGER NOT NULL
);
"""
_OF_A_FILL = (
    "trade_id",
    "order_id",
    "window",
    "asset",
    "token",
    "outcome",
    "price4",
    "size6",
    "cost_usd6",
    "fee_usd6",
    "at_ns",
)
"""What of a fill never changes; only its way onto the chain does."""


def _guard(table: str, verb: str) -> str:
    return (
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table}: {verb} is not allowed'); END;\n"
    )


_STEPS = {
    # What a trade was judged by: since version 2 a stand-in for the settling stream may trade on paper.
    1: "".join(
        f"ALTER TABLE {table} ADD COLUMN basis TEXT NOT NULL DEFAULT 'settlement';\n"
        for table in ("orders", "positions")
    ),
    # Live orders: the signed bytes, what their fees and settlement need, the way of a trade onto the chain.
    2: (
        "ALTER TABLE orders ADD COLUMN unknown TEXT NOT NULL DEFAULT '';\n"
        "ALTER TABLE orders ADD COLUMN end_ns INTEGER NOT NULL DEFAULT 0;\n"
        "ALTER TABLE orders ADD COLUMN fee BLOB NOT NULL DEFAULT x'c0';\n"
        "ALTER TABLE orders ADD COLUMN wire BLOB NOT NULL DEFAULT x'';\n"
        "ALTER TABLE fills ADD COLUMN status TEXT NOT NULL DEFAULT 'confirmed';\n"
        "ALTER TABLE positions ADD COLUMN redeemed TEXT NOT NULL DEFAULT '';\n"
        "DROP TRIGGER IF EXISTS fills_no_update;\n"
        "CREATE TRIGGER fills_only_status BEFORE UPDATE ON fills WHEN "
        + " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in _OF_A_FILL)
        + " OR OLD.status IN ('confirmed', 'failed') "
        "BEGIN SELECT RAISE(ABORT, 'fills: UPDATE is not allowed'); END;\n"
    ),
    # Redemption: what tokens are redeemed by, results that pay both sides, and what came in for them.
    3: (
        "ALTER TABLE orders ADD COLUMN condition_id TEXT NOT NULL DEFAULT '';\n"
        "ALTER TABLE positions ADD COLUMN condition_id TEXT NOT NULL DEFAULT '';\n"
        "ALTER TABLE positions ADD COLUMN numerator INTEGER NOT NULL DEFAULT 0;\n"
        "ALTER TABLE positions ADD COLUMN denominator INTEGER NOT NULL DEFAULT 0 "
        "CHECK ((denominator > 0) = (official IS 'split'));\n"
        "CREATE TABLE payments (\n"
        "    evidence TEXT PRIMARY KEY,\n"
        "    condition_id TEXT NOT NULL,\n"
        "    window TEXT NOT NULL,\n"
        "    paid_usd6 INTEGER NOT NULL CHECK (paid_usd6 > 0),\n"
        "    surplus_usd6 INTEGER NOT NULL CHECK (surplus_usd6 BETWEEN 0 AND paid_usd6),\n"
        "    tokens BLOB NOT NULL,\n"
        "    elsewhere INTEGER NOT NULL CHECK (elsewhere IN (0, 1))\n"
        ");\n" + _guard("payments", "UPDATE") + _guard("payments", "DELETE")
    ),
    # Sales: of a sale's fill as of a buy's nothing but the status ever changes.
    4: (
        "ALTER TABLE orders ADD COLUMN side TEXT NOT NULL DEFAULT 'buy' CHECK (side IN ('buy', 'sell'));\n"
        "ALTER TABLE orders ADD COLUMN size6 INTEGER NOT NULL DEFAULT 0 "
        "CHECK ((side = 'sell') = (size6 > 0));\n"
        "ALTER TABLE fills ADD COLUMN side TEXT NOT NULL DEFAULT 'buy' CHECK (side IN ('buy', 'sell'));\n"
        "ALTER TABLE fills ADD COLUMN released_usd6 INTEGER NOT NULL DEFAULT 0 "
        "CHECK (released_usd6 >= 0 AND (side = 'sell' OR released_usd6 = 0));\n"
        "ALTER TABLE positions ADD COLUMN sold6 INTEGER NOT NULL DEFAULT 0 CHECK (sold6 >= 0);\n"
        "ALTER TABLE positions ADD COLUMN realized_usd6 INTEGER NOT NULL DEFAULT 0;\n"
        "CREATE TRIGGER fills_only_status_of_sales BEFORE UPDATE ON fills "
        "WHEN OLD.side IS NOT NEW.side OR OLD.released_usd6 IS NOT NEW.released_usd6 "
        "BEGIN SELECT RAISE(ABORT, 'fills: UPDATE is not allowed'); END;\n"
    ),
}
"""What turns the tables of each earlier version into those of the next."""

_APPEND_ONLY = ("account", "postures", "entries", "entry_lines")
_NEVER_DELETED = (*_APPEND_ONLY, "orders", "positions", "fills")


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """Make the tables in an empty database, bring an older version up to date, refuse everything else.

    Raises DependencyMissing for a newer version and InvariantBroken for a database that is not a journal.
    """
    version = _pragma(connection, "user_version")
    application = _pragma(connection, "application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application == APPLICATION_ID and version == VERSION:
        return
    if application == APPLICATION_ID and version > VERSION:
        raise DependencyMissing(
            f"journal: {path} was written by a newer laggard (schema {version}, this one knows {VERSION}); "
            "start that version, nothing was changed"
        )
    if application == APPLICATION_ID and version in _STEPS:
        _apply(connection, "".join(_STEPS[step] for step in range(version, VERSION)))
        return
    if application or version or tables:
        raise InvariantBroken(f"journal: {path} is not a laggard journal; move it away, nothing was changed")
    script = _TABLES + "".join(_STEPS.values())
    script += "".join(_guard(table, "UPDATE") for table in _APPEND_ONLY)
    script += "".join(_guard(table, "DELETE") for table in _NEVER_DELETED)
    _apply(connection, script)


def _apply(connection: sqlite3.Connection, script: str) -> None:
    """One transaction: a crash half-way leaves what was there before, never half a journal."""
    connection.executescript(
        f"BEGIN IMMEDIATE;{script}PRAGMA application_id={APPLICATION_ID};"
        f"PRAGMA user_version={VERSION};COMMIT;"
    )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
