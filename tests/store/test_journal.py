"""The journal keeps everything, twice nothing, and says in one line what is wrong."""

import contextlib
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from common.core import ledger
from common.core.account import broken_sums
from common.core.ledger import Payment
from common.core.moment import Moment
from common.core.order_effects import (
    Commit,
    CommitEnd,
    CommitFills,
    CommitIntent,
    CommitPosture,
    CommitRedemption,
    CommitSettlement,
)
from common.core.order_events import Event, Redeemed, Resolved
from common.core.order_flow import step
from common.core.order_state import (
    Order,
    Settlement,
    State,
)
from common.core.portfolio import PositionKey, apply_fill, settle
from common.core.settings import RiskLimits, StrategySettings
from common.errors import DependencyMissing, InvariantBroken
from common.messages import Accepted, Fill, OrderState, PositionState, PostureState
from common.store import journal_schema
from common.store.intents import Intents
from common.store.journal import Journal, open_journal

WINDOW = "btc-updown-15m-1900000000"
POSTURE = PostureState(posture="trading", reason="first start", who="executor", since_ns=1)


def order(status: str = "working", window: str = WINDOW, **changes: object) -> Order:
    plain: dict[str, object] = {
        "order_id": f"o-{window}",
        "intent_id": f"{window}/up/lag",
        "window": window,
        "asset": "btc",
        "token": "1001",
        "outcome": "up",
        "limit4": 6_100,
        "stake_usd6": 10_000_000,
        "status": status,
        "reason": "",
        "filled_size6": 0,
        "cost_usd6": 0,
        "fee_usd6": 0,
        "created_ns": 100,
        "updated_ns": 100,
    }
    state = OrderState(**{**plain, **changes})  # type: ignore[arg-type]
    return Order(
        state=state, strategy="lag", worst_usd6=10_700_000, decided_ns=99, cause="a/b/1", verdict_number=3
    )


def fill(number: int = 0) -> Fill:
    return Fill(
        trade_id=f"t-{number}",
        order_id=f"o-{WINDOW}",
        window=WINDOW,
        asset="btc",
        token="1001",
        outcome="up",
        price4=5_000,
        size6=4_000_000,
        cost_usd6=2_000_000,
        fee_usd6=70_000,
        at_ns=200 + number,
    )


def held(*fills: Fill) -> PositionState:
    positions: dict[PositionKey, PositionState] = {}
    for one in fills:
        positions = apply_fill(positions, one, 900)
    position: PositionState = positions[WINDOW, "up"]
    return position


def filled(*fills: Fill) -> Order:
    position = held(*fills)
    return order(
        "filled",
        filled_size6=position.size6,
        cost_usd6=position.cost_usd6,
        fee_usd6=position.fee_usd6,
        updated_ns=300,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = open_journal(path, now_wall_ns=0)
    opened.open_account("paper", 1_000_000_000, ledger.opening(1, 1, 1_000_000_000), POSTURE)
    yield opened
    opened.close()


def reopened(journal: Journal) -> Journal:
    journal.close()
    journal.__init__(journal.path, *_parts(open_journal(journal.path, now_wall_ns=0)))  # type: ignore[misc]
    return journal


def _parts(journal: Journal) -> tuple[sqlite3.Connection, int | None, Intents | None]:
    return journal._connection, journal._lock, journal._intents


def commit_all(journal: Journal) -> None:
    fills = (fill(0), fill(1))
    journal.commit(CommitIntent(order(), "r-1"))
    entries = tuple(ledger.bought(2 + n, one) for n, one in enumerate(fills))
    journal.commit(CommitFills(filled(*fills), fills, held(*fills), entries))


def test_a_new_journal_has_no_account(path: Path) -> None:
    journal = open_journal(path, now_wall_ns=0)
    assert journal.read() is None
    journal.close()


def test_the_files_are_for_the_owner_alone(journal: Journal) -> None:
    commit_all(journal)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in journal.path.parent.iterdir()}
    assert len(modes) == 5  # database, write-ahead log, shared memory, lock, intents
    assert set(modes.values()) == {0o600}


def test_everything_comes_back(journal: Journal) -> None:
    commit_all(journal)
    settlement = Settlement(settle(held(fill(0), fill(1)), "up"), 1_000)
    journal.commit(CommitSettlement(settlement, ledger.settled(4, 1_000, settlement.position)))
    journal.commit(CommitPosture(msgspec.structs.replace(POSTURE, posture="paused", since_ns=7), "r-2"))
    found = reopened(journal).read()
    assert found is not None
    books = found.books
    assert books.orders == {f"{WINDOW}/up/lag": filled(fill(0), fill(1))}
    assert books.fills == (fill(0), fill(1))
    assert books.positions == {(WINDOW, "up"): settlement.position}
    assert books.settlements == (settlement,)
    assert [entry.kind for entry in books.entries] == ["opening", "bought", "bought", "settled"]
    assert ledger.difference(books.entries, books.fills, [settlement.position], books.bankroll_usd6).usd6 == 0
    assert found.posture.posture == "paused"
    assert found.mode == "paper"


def test_answers_survive_a_restart_for_a_day(journal: Journal) -> None:
    journal.commit(CommitIntent(order(), "r-1"))
    assert reopened(journal).answer("r-1") == Accepted(order_id=f"o-{WINDOW}")
    assert journal.answer("r-2") is None
    journal.close()
    later = open_journal(journal.path, now_wall_ns=25 * 3600 * 10**9)
    assert later.answer("r-1") is None
    journal.__init__(journal.path, *_parts(later))  # type: ignore[misc]


def snapshot(journal: Journal) -> object:
    return journal.read()


def open_position(journal: Journal) -> PositionState:
    commit_all(journal)
    return held(fill(0), fill(1))


TWICE: list[Callable[[Journal], None]] = [
    lambda j: j.commit(CommitIntent(order(), "r-9")),
    lambda j: j.commit(CommitIntent(order(order_id="other", intent_id=f"{WINDOW}/down/lag"), "r-9")),
    lambda j: j.commit(CommitFills(filled(fill(2)), (fill(2),), held(fill(2)), (ledger.bought(9, fill(2)),))),
    lambda j: j.commit(CommitEnd(order("killed"))),
    lambda j: j.open_account("paper", 5, ledger.opening(9, 1, 5), POSTURE),
]


@pytest.mark.parametrize("again", TWICE)
def test_nothing_happens_twice(journal: Journal, again: Callable[[Journal], None]) -> None:
    commit_all(journal)
    before = snapshot(journal)
    with pytest.raises(InvariantBroken):
        again(journal)
    assert snapshot(journal) == before
    assert journal.duplicate_orders() == 0


def test_a_repeated_trade_id_changes_nothing_at_all(journal: Journal) -> None:
    commit_all(journal)
    other = "eth-updown-15m-1900000000"
    journal.commit(CommitIntent(order(window=other), "r-5"))
    before = snapshot(journal)
    with pytest.raises(InvariantBroken):
        journal.commit(CommitFills(order("filled", window=other), (fill(0),), held(fill(0)), ()))
    assert snapshot(journal) == before


def test_a_position_is_settled_once(journal: Journal) -> None:
    settlement = Settlement(settle(open_position(journal), "up"), 1_000)
    journal.commit(CommitSettlement(settlement, ledger.settled(4, 1_000, settlement.position)))
    before = snapshot(journal)
    with pytest.raises(InvariantBroken, match="not an open position"):
        journal.commit(CommitSettlement(settlement, ledger.settled(5, 1_001, settlement.position)))
    assert snapshot(journal) == before


def test_no_fill_enters_a_settled_position(journal: Journal) -> None:
    settlement = Settlement(settle(open_position(journal), "up"), 1_000)
    journal.commit(CommitSettlement(settlement, ledger.settled(4, 1_000, settlement.position)))
    second = order(order_id="o-2", intent_id=f"{WINDOW}/up/other")
    second = msgspec.structs.replace(second, strategy="other")
    journal.commit(CommitIntent(second, "r-6"))
    before = snapshot(journal)
    late = msgspec.structs.replace(fill(7), order_id="o-2")
    done = msgspec.structs.replace(second, state=msgspec.structs.replace(second.state, status="filled"))
    with pytest.raises(InvariantBroken, match="settled"):
        journal.commit(CommitFills(done, (late,), held(late), (ledger.bought(9, late),)))
    assert snapshot(journal) == before


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM orders",
        "UPDATE fills SET size6 = 1",
        "DELETE FROM fills",
        "UPDATE postures SET posture = 'trading'",
        "UPDATE entry_lines SET amount_usd6 = 0",
        "DELETE FROM entries",
        "UPDATE account SET bankroll_usd6 = 0",
    ],
)
def test_history_cannot_be_rewritten(journal: Journal, statement: str) -> None:
    commit_all(journal)
    with pytest.raises(sqlite3.IntegrityError):
        journal._connection.execute(statement)


def test_a_second_writer_is_refused(journal: Journal) -> None:
    with pytest.raises(DependencyMissing, match="another executor"):
        open_journal(journal.path, now_wall_ns=0)


def test_a_journal_locked_by_another_program_is_refused_and_kept(journal: Journal) -> None:
    other = sqlite3.connect(journal.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DependencyMissing, match="locked"):
        journal.commit(CommitIntent(order(), "r-1"))
    other.execute("ROLLBACK")
    other.close()
    journal.commit(CommitIntent(order(), "r-1"))
    assert journal.answer("r-1") is not None


def test_a_newer_journal_is_refused_and_kept(journal: Journal) -> None:
    commit_all(journal)
    journal._connection.execute(f"PRAGMA user_version = {journal_schema.VERSION + 1}")
    journal.close()
    before = journal.path.read_bytes()
    with pytest.raises(DependencyMissing, match="newer laggard"):
        open_journal(journal.path, now_wall_ns=0)
    assert journal.path.read_bytes() == before
    connection = sqlite3.connect(journal.path)
    connection.execute(f"PRAGMA user_version = {journal_schema.VERSION}")
    connection.close()
    journal.__init__(journal.path, *_parts(open_journal(journal.path, now_wall_ns=0)))  # type: ignore[misc]


def test_a_journal_of_the_first_version_is_brought_up_to_date(path: Path) -> None:
    """What was written before stand-ins existed was judged by the settling stream."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            f"{journal_schema._TABLES}PRAGMA application_id={journal_schema.APPLICATION_ID};"
            "PRAGMA user_version=1;"
            "INSERT INTO orders VALUES ('o', 'i', 'w', 'lag', 'btc', 't', 'up', 1, 1, 1, 'filled', '', 1, 1, "
            "1, 1, 1, 1, '', 0);"
        )
    upgraded = open_journal(path, now_wall_ns=0)
    try:
        rows = upgraded._connection.execute("SELECT basis FROM orders").fetchall()
        version = upgraded._connection.execute("PRAGMA user_version").fetchone()[0]
        assert ([row[0] for row in rows], version) == (["settlement"], journal_schema.VERSION)
    finally:
        upgraded.close()


def test_a_real_journal_of_version_3_is_brought_up_to_date_and_goes_on(path: Path) -> None:
    """Written by that version: one position open, one won, one won and seen as paid out, one lost."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((Path(__file__).parent / "journal_v3.sql").read_text())
    upgraded = open_journal(path, now_wall_ns=0)
    try:
        found = upgraded.read()
        assert found is not None
        books = found.books
        assert broken_sums(books) == ""
        assert books.positions["w3", "up"].redeemed == "no shares of 31 are left in 0xab"
        assert {each.condition_id for each in books.positions.values()} == {""}
        state = State(StrategySettings(live=True), RiskLimits(), books, found.posture)
        moment = Moment(1_900_000_902 * 10**9, 1)

        def hear(event: Event) -> None:
            nonlocal state
            state, effects = step(state, event, moment)
            upgraded.commit(*(effect for effect in effects if isinstance(effect, Commit)))

        hear(Resolved("w1", (1, 1), 2, "0xc1", "block 7"))
        tokens = (("11", 10_000_000), ("21", 10_000_003))
        paid = Payment("0xtx:1", "0xc1", "w1", 15_000_005, 2, tokens)
        hear(Redeemed(paid))
        # What that version booked has no transaction to be known by, and is not paid again.
        hear(Redeemed(Payment("0xtx:9", "0xc3", "w3", 10_000_000, 0, (("31", 10_000_000),))))
        read = upgraded.read()
        assert read is not None
        assert read.books == state.books
        assert broken_sums(read.books) == ""
        held = read.books.positions["w1", "up"]
        assert (held.official, held.payout_usd6, held.condition_id) == ("split", 5_000_000, "0xc1")
        assert list(read.books.payments.values()) == [paid]
        again = CommitRedemption(msgspec.structs.replace(paid, evidence="0xtx:2"), (held,), ())
        with pytest.raises(InvariantBroken, match="not owed to us any more"):
            upgraded.commit(again)
        with pytest.raises(InvariantBroken, match="UNIQUE"):
            upgraded.commit(CommitRedemption(paid, (), ()))
        for statement in ("UPDATE payments SET paid_usd6 = 9", "DELETE FROM payments"):
            with pytest.raises(sqlite3.IntegrityError):
                upgraded._connection.execute(statement)
    finally:
        upgraded.close()


def test_another_programs_database_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(InvariantBroken, match="not a laggard journal"):
        open_journal(path, now_wall_ns=0)


def test_a_file_that_is_no_database_is_refused_and_kept(path: Path) -> None:
    path.write_bytes(b"not a database " * 500)
    with pytest.raises(InvariantBroken) as caught:
        open_journal(path, now_wall_ns=0)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"not a database " * 500


@pytest.mark.parametrize(("place", "rubbish"), [(0, b"\xff" * 64), (8, b"\x00\x01\x00\x02")])
def test_a_corrupt_page_is_found_at_opening(journal: Journal, place: int, rubbish: bytes) -> None:
    for number in range(200):
        journal.commit(CommitPosture(msgspec.structs.replace(POSTURE, reason="x" * 200, since_ns=number)))
    journal._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    journal.close()
    content = bytearray(journal.path.read_bytes())
    # The last page holds rows of postures, which nothing but a whole check reads at opening.
    page = len(content) - 4096 + place
    content[page : page + len(rubbish)] = rubbish
    copy = journal.path.with_name("corrupt.sqlite")
    copy.write_bytes(content)
    with pytest.raises(InvariantBroken) as caught:
        open_journal(copy, now_wall_ns=0)
    assert "\n" not in str(caught.value)
    assert copy.read_bytes() == bytes(content)
    journal.__init__(journal.path, *_parts(open_journal(journal.path, now_wall_ns=0)))  # type: ignore[misc]


def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DependencyMissing, match="state directory"):
        open_journal(tmp_path / "absent" / "journal.sqlite", now_wall_ns=0)


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_journal import POSTURE, order
from common.core import ledger
from common.core.order_effects import (CommitIntent, CommitPosture,)
from common.errors import DependencyMissing
from common.store.journal import open_journal
import msgspec

journal = open_journal(Path({path!r}), now_wall_ns=0)
journal.open_account("paper", 5, ledger.opening(1, 1, 5), POSTURE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
done = 0
try:
    while True:
        journal.commit(CommitPosture(msgspec.structs.replace(POSTURE, reason="x" * 2000, since_ns=done)))
        done += 1
except DependencyMissing as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.commit(CommitIntent(order(), "r-1"))
print(done)
"""


def test_a_full_disk_loses_nothing_and_trading_resumes_with_space(path: Path) -> None:
    script = FULL.format(tests=str(Path(__file__).parent), path=str(path))
    child = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    told, done = child.stdout.strip().splitlines()
    assert "free space" in told
    journal = open_journal(path, now_wall_ns=0)
    kept = journal._connection.execute("SELECT count(*) FROM postures").fetchone()[0]
    assert kept == int(done) + 1
    assert journal.answer("r-1") is not None
    journal.close()


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_journal import POSTURE, commit_all, fill, filled, held, order
from common.core import ledger
from common.core.order_effects import (CommitFills, CommitIntent,)
from common.store.journal import open_journal

journal = open_journal(Path({path!r}), now_wall_ns=0)
journal.open_account("paper", 5, ledger.opening(1, 1, 5), POSTURE)
journal.commit(CommitIntent(order(), "r-1"))
at = int(sys.argv[1])
if at == 0:
    os.kill(os.getpid(), 9)
steps = 0
def trace(statement):
    global steps
    steps += 1
    if steps == at:
        os.kill(os.getpid(), 9)
journal._connection.set_trace_callback(trace)
fills = (fill(0), fill(1))
entries = tuple(ledger.bought(2 + n, one) for n, one in enumerate(fills))
journal.commit(CommitFills(filled(*fills), fills, held(*fills), entries))
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("at", [0, 1, 2, 3, 5, 8, 12, 14, 99])
def test_a_kill_at_any_statement_leaves_all_or_nothing(path: Path, at: int) -> None:
    script = KILLED.format(tests=str(Path(__file__).parent), path=str(path))
    child = subprocess.run(
        [sys.executable, "-c", script, str(at)],
        timeout=60,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert child.returncode == -9
    journal = open_journal(path, now_wall_ns=0)
    found = journal.read()
    assert found is not None
    (only,) = found.books.orders.values()
    counts = (len(found.books.fills), len(found.books.positions), len(found.books.entries))
    assert (only.state.status, counts) in (("working", (0, 0, 1)), ("filled", (2, 1, 3)))
    assert only.state.status == ("filled" if at == 99 else "working")
    journal.close()
