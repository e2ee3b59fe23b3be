"""The redeemer's journal loses nothing that was signed, lets one write, and keeps what has ended."""

import contextlib
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from common.core.redemption.attempts import Attempt, ClaimEnd, Inclusion, Signed
from common.core.redemption.claims import Claim, Holding
from common.errors import DependencyMissing, InvariantBroken
from common.store.redemption_journal import (
    APPLICATION_ID,
    VERSION,
    Elsewhere,
    RedemptionJournal,
    open_redemptions,
    read_redemptions,
)

REPOSITORY = Path(__file__).resolve().parents[2]
CLAIM = Claim("0x" + "c0" * 32, "v1", (Holding("11", 0, 5_000_000),), (1, 0), 1, "btc-updown-15m-1900000000")
END = ClaimEnd(CLAIM.condition_id, "paid", 5_000_000, 3, CLAIM.holdings, "0xhash", 4)
FOREIGN = Elsewhere(CLAIM.condition_id, CLAIM.window, "v1", 5_000_000, 9, END)


def signed(number: int = 1) -> Signed:
    return Signed(b"raw %d" % number, f"0x{number:064x}", number, 250_000, 10**11, 25 * 10**9)


def begun(nonce: int = 7, sender: str = "0xab", number: int = 0) -> Attempt:
    return Attempt(
        attempt_id=f"{sender}/{nonce}/{number}",
        route="own-gas",
        wallet="0x" + "a1" * 20,
        sender=sender,
        nonce=nonce,
        claims=(CLAIM,),
        block=100,
        created_ns=1,
        versions=(signed(),),
        text="signed",
    )


def sent(attempt: Attempt) -> Attempt:
    return msgspec.structs.replace(attempt, stage="sent", sent_ns=5, first_sent_ns=5, text="sent")


def renewed(attempt: Attempt) -> Attempt:
    number = len(attempt.versions) + 1
    return msgspec.structs.replace(attempt, versions=(*attempt.versions, signed(number)), text="stuck")


def included(attempt: Attempt) -> Attempt:
    inclusion = Inclusion("0xhash", 101, "0xb1", True)
    return msgspec.structs.replace(attempt, stage="included", inclusion=inclusion, text="in block 101")


def ended(attempt: Attempt) -> Attempt:
    return msgspec.structs.replace(attempt, stage="ended", ends=(END,), gas_wei=9, ended_ns=8, text="paid")


def life(nonce: int = 7) -> list[Attempt]:
    """Every state of a try, in order."""
    states = [begun(nonce)]
    for become in (sent, renewed, sent, included, ended):
        states.append(become(states[-1]))
    return states


def write(journal: RedemptionJournal, states: list[Attempt]) -> None:
    for place, state in enumerate(states):
        if place:
            journal.change(state, place)
        else:
            journal.begin(state)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "redemptions.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[RedemptionJournal]:
    opened = open_redemptions(path)
    yield opened
    opened.close()


def kept_versions(path: Path) -> list[tuple[str, bytes]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT digest, payload FROM versions ORDER BY attempt_id, number")
        return [(row[0], row[1]) for row in found]


def test_everything_comes_back_as_it_was_written(path: Path) -> None:
    journal = open_redemptions(path)
    write(journal, life(7))
    write(journal, life(8)[:3])
    journal.note_elsewhere(FOREIGN)
    journal.release(3, "cli")
    journal.release(5, "telegram")
    journal.close()
    again = open_redemptions(path)
    assert again.attempts() == (life(7)[-1], life(8)[2])
    assert again.elsewhere() == (FOREIGN,)
    assert again.released_ns() == 5
    assert [(stage, text) for _, stage, text in again.steps("0xab/7/0")] == [
        (state.stage, state.text) for state in life(7)
    ]
    again.close()


def test_an_empty_journal(journal: RedemptionJournal) -> None:
    assert (journal.attempts(), journal.elsewhere(), journal.released_ns()) == ((), (), 0)


def test_the_file_is_for_its_owner_alone(journal: RedemptionJournal, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_one_open_try_for_a_sender(journal: RedemptionJournal) -> None:
    first = begun(7)
    journal.begin(first)
    for second in (begun(8), begun(7, number=1)):
        with pytest.raises(InvariantBroken):
            journal.begin(second)
    journal.begin(begun(7, sender="0xcd"))
    assert len(journal.attempts()) == 2
    journal.change(ended(first), 9)
    journal.begin(begun(8))
    assert [each.nonce for each in journal.attempts()] == [7, 7, 8]


def test_no_try_is_begun_twice(journal: RedemptionJournal) -> None:
    write(journal, life(7))
    with pytest.raises(InvariantBroken):
        journal.begin(begun(7))


def test_what_was_never_begun_cannot_change(journal: RedemptionJournal) -> None:
    with pytest.raises(InvariantBroken, match="never begun"):
        journal.change(sent(begun()), 1)
    assert journal.steps("0xab/7/0") == ()


@pytest.mark.parametrize("become", [sent, included, ended, renewed])
def test_what_has_ended_never_changes(
    journal: RedemptionJournal, become: Callable[[Attempt], Attempt]
) -> None:
    write(journal, life())
    before = journal.steps("0xab/7/0")
    with pytest.raises(InvariantBroken, match="it has ended"):
        journal.change(become(life()[-1]), 99)
    assert journal.attempts() == (life()[-1],)
    assert journal.steps("0xab/7/0") == before


def test_sender_and_nonce_never_change(journal: RedemptionJournal) -> None:
    journal.begin(begun())
    for column, value in (("sender", "'0xcd'"), ("nonce", "8")):
        with pytest.raises(sqlite3.IntegrityError, match="never change"):
            journal._connection.execute(f"UPDATE attempts SET {column} = {value}")


@pytest.mark.parametrize("versions", [(), (signed(1),), (signed(2), signed(1)), (signed(1), signed(3))])
def test_signed_bytes_are_never_forgotten(
    journal: RedemptionJournal, path: Path, versions: tuple[Signed, ...]
) -> None:
    attempt = renewed(begun())
    journal.begin(begun())
    journal.change(attempt, 2)
    with pytest.raises(InvariantBroken, match="would forget bytes"):
        journal.change(msgspec.structs.replace(attempt, versions=versions), 3)
    assert journal.attempts() == (attempt,)
    assert len(journal.steps(attempt.attempt_id)) == 2
    assert kept_versions(path) == [(each.digest, each.payload) for each in attempt.versions]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM attempts",
        "DELETE FROM versions",
        "UPDATE versions SET payload = x'00'",
        "DELETE FROM steps",
        "UPDATE steps SET text = ''",
        "DELETE FROM elsewhere",
        "UPDATE elsewhere SET payout_usd6 = 0",
        "DELETE FROM releases",
    ],
)
def test_the_tables_themselves_refuse_to_forget(journal: RedemptionJournal, statement: str) -> None:
    write(journal, life())
    journal.note_elsewhere(FOREIGN)
    journal.release(1, "cli")
    with pytest.raises(sqlite3.IntegrityError, match="is not allowed"):
        journal._connection.execute(statement)


def test_who_redeemed_a_condition_is_written_once(journal: RedemptionJournal) -> None:
    journal.note_elsewhere(FOREIGN)
    journal.note_elsewhere(FOREIGN._replace(payout_usd6=0, at_ns=99))
    assert journal.elsewhere() == (FOREIGN,)


def test_a_second_writer_is_refused_and_the_next_one_is_not(path: Path) -> None:
    journal = open_redemptions(path)
    with pytest.raises(DependencyMissing, match=r"another redeemer \(pid [0-9]+\); stop that one first"):
        open_redemptions(path)
    journal.close()
    open_redemptions(path).close()


def test_a_journal_of_a_newer_version_is_left_alone(path: Path) -> None:
    open_redemptions(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(DependencyMissing, match=f"of version {VERSION + 1}"):
        open_redemptions(path)
    with pytest.raises(DependencyMissing, match=f"of version {VERSION + 1}"):
        read_redemptions(path)
    assert path.read_bytes() == before


def foreign_database(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE accounts (name TEXT)")
        connection.commit()


def executors_journal(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders (name TEXT)")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID - 11}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


def some_text(path: Path) -> None:
    path.write_text("a letter to the editor, long enough to be no database header at all" * 20)


@pytest.mark.parametrize("make", [foreign_database, executors_journal, some_text])
def test_a_file_that_is_no_journal_is_left_alone(path: Path, make: Callable[[Path], None]) -> None:
    make(path)
    before = path.read_bytes()
    with pytest.raises(InvariantBroken, match="nothing was changed"):
        open_redemptions(path)
    assert path.read_bytes() == before
    with pytest.raises(InvariantBroken, match="nothing was changed"):
        read_redemptions(path)
    assert path.read_bytes() == before


def test_after_a_refusal_the_file_is_free_again(path: Path) -> None:
    some_text(path)
    for _ in range(2):
        with pytest.raises(InvariantBroken):
            open_redemptions(path)
    path.unlink()
    open_redemptions(path).close()


def files(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.parent.iterdir()}


def kept_files(path: Path) -> dict[str, bytes]:
    """Without the shared memory: two connections of one process have it together."""
    return {name: content for name, content in files(path).items() if not name.endswith("-shm")}


def test_reading_makes_no_file_where_there_is_none(path: Path) -> None:
    assert read_redemptions(path) == ((), ())
    assert not path.exists()


def test_reading_what_a_writer_has_only_just_made(path: Path) -> None:
    path.touch()
    assert read_redemptions(path) == ((), ())
    assert files(path) == {path.name: b""}


def test_reading_after_the_writer_changes_nothing(path: Path) -> None:
    journal = open_redemptions(path)
    write(journal, life())
    journal.close()
    before = files(path)
    assert read_redemptions(path) == ((life()[-1],), ())
    assert files(path) == before


def test_reading_beside_an_empty_log_makes_no_shared_memory(path: Path) -> None:
    journal = open_redemptions(path)
    write(journal, life())
    journal.close()
    path.with_name(path.name + "-wal").touch()
    before = files(path)
    assert read_redemptions(path) == ((life()[-1],), ())
    assert files(path) == before


def test_reading_beside_the_writer_sees_each_commit_and_delays_none(
    journal: RedemptionJournal, path: Path
) -> None:
    assert read_redemptions(path) == ((), ())
    for place, state in enumerate(life()):
        write(journal, [state]) if not place else journal.change(state, place)
        before = kept_files(path)
        assert read_redemptions(path) == ((state,), ())
        assert kept_files(path) == before
    journal.note_elsewhere(FOREIGN)
    assert read_redemptions(path)[1] == (FOREIGN,)


def test_reading_while_a_commit_is_under_way_shows_the_one_before(
    journal: RedemptionJournal, path: Path
) -> None:
    journal.begin(begun())
    with journal._write() as connection:
        connection.execute("UPDATE attempts SET stage = 'sent', body = x'00'")
        assert read_redemptions(path) == ((begun(),), ())


KILLED = """
import os, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import test_redemption_journal as told
from common.store.redemption_journal import open_redemptions

at = int(sys.argv[2])
journal = open_redemptions(Path(sys.argv[1]))
statements = 0
def trace(_):
    global statements
    statements += 1
    if statements == at:
        os.kill(os.getpid(), 9)
journal._connection.set_trace_callback(trace)
for nonce in (7, 8):
    states = told.life(nonce)
    journal.begin(states[0])
    print(nonce, 0, flush=True)
    for place, state in enumerate(states[1:], start=1):
        journal.change(state, place)
        print(nonce, place, flush=True)
print("statements", statements, flush=True)
os.kill(os.getpid(), 9)
"""


def killed_at(path: Path, statement: int) -> list[str]:
    """What a writer had committed by its own account when it was killed at this statement."""
    child = subprocess.run(
        [sys.executable, "-c", KILLED.format(tests=str(Path(__file__).parent)), str(path), str(statement)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=REPOSITORY,
    )
    assert child.returncode == -9, child.stderr
    return child.stdout.splitlines()


@pytest.mark.parametrize("statement", [1, 2, 4, 6, 7, 9, 12, 13, 16, 20, 31, 33, 36, 10_000])
def test_a_kill_at_any_statement_leaves_a_whole_try(path: Path, statement: int) -> None:
    told = [line for line in killed_at(path, statement) if not line.startswith("statements")]
    journal = open_redemptions(path)
    found = journal.attempts()
    states = [(attempt.nonce, life(attempt.nonce).index(attempt)) for attempt in found]
    everything = [(nonce, place) for nonce in (7, 8) for place in range(len(life()))]
    # What it said is there; at most the commit it was killed in may be there as well.
    done = everything.index(states[-1]) + 1 if states else 0
    assert len(told) <= done <= len(told) + 1
    assert states == [max(each for each in everything[:done] if each[0] == nonce) for nonce, _ in states]
    assert kept_versions(path) == [(v.digest, v.payload) for attempt in found for v in attempt.versions]
    assert sum(attempt.stage != "ended" for attempt in found) <= 1
    # And it goes on from there.
    for nonce, place in everything[done:]:
        state = life(nonce)[place]
        journal.change(state, place) if place else journal.begin(state)
    assert journal.attempts() == (life(7)[-1], life(8)[-1])
    journal.close()


def test_reading_after_a_killed_writer_changes_nothing_and_sees_every_commit(path: Path) -> None:
    killed_at(path, 10_000)
    before = files(path)
    assert read_redemptions(path)[0] == (life(7)[-1], life(8)[-1])
    assert files(path) == before
