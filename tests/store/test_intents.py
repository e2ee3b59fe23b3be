"""Intents written ahead: what outlives a process, what is taken in at the next start, what is refused."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.core import ledger
from common.core.order_effects import (
    CommitIntent,
)
from common.errors import DependencyMissing, InvariantBroken
from common.store.intents import Intents
from common.store.journal import Journal, open_journal
from tests.store.test_journal import POSTURE, order, reopened

OTHER = "eth-updown-15m-1900000000"
FIRST, SECOND = CommitIntent(order(), "r-1"), CommitIntent(order(window=OTHER), "r-2")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = open_journal(path, now_wall_ns=0)
    opened.open_account("paper", 1_000_000_000, ledger.opening(1, 1, 1_000_000_000), POSTURE)
    yield opened
    opened.close()


def orders(journal: Journal) -> set[str]:
    found = journal.read()
    assert found is not None
    return {one.state.order_id for one in found.books.orders.values()}


def file_of(journal: Journal) -> Path:
    return journal.path.with_name(journal.path.name + ".intents")


def test_what_was_written_ahead_outlives_a_process_that_could_not_commit(journal: Journal) -> None:
    journal.write_ahead(FIRST)
    journal.write_ahead(SECOND)
    assert orders(journal) == set()
    again = reopened(journal)
    assert orders(again) == {FIRST.order.state.order_id, SECOND.order.state.order_id}
    assert again.answer("r-1") is not None
    assert file_of(again).stat().st_size == 0


def test_the_next_commit_takes_it_in_and_empties_the_file(journal: Journal) -> None:
    journal.write_ahead(FIRST)
    assert file_of(journal).stat().st_size > 0
    journal.commit()
    assert orders(journal) == {FIRST.order.state.order_id}
    assert file_of(journal).stat().st_size == 0


def test_a_commit_that_fails_loses_nothing(journal: Journal) -> None:
    blocker = sqlite3.connect(journal.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    journal.write_ahead(FIRST)
    with pytest.raises(DependencyMissing):
        journal.commit()
    assert file_of(journal).stat().st_size > 0
    blocker.execute("ROLLBACK")
    blocker.close()
    journal.commit()
    assert orders(journal) == {FIRST.order.state.order_id}


def test_the_second_order_of_a_window_is_stopped_before_it_leaves(journal: Journal) -> None:
    """The rows' own guard would only speak when the order is on its way."""
    journal.write_ahead(FIRST)
    twin = CommitIntent(order(order_id="o-twin"), "r-9")
    with pytest.raises(InvariantBroken, match="one order"):
        journal.write_ahead(twin)
    journal.commit()
    with pytest.raises(InvariantBroken, match="one order"):
        journal.write_ahead(twin)
    assert file_of(journal).stat().st_size == 0


def test_the_guard_knows_the_orders_of_earlier_starts(journal: Journal) -> None:
    journal.commit(FIRST)
    again = reopened(journal)
    with pytest.raises(InvariantBroken, match="one order"):
        again.write_ahead(CommitIntent(order(order_id="o-twin"), "r-9"))


def test_a_rehearsal_leaves_no_trace(journal: Journal) -> None:
    journal.rehearse(FIRST)
    assert file_of(journal).stat().st_size == 0
    journal.commit()
    assert orders(journal) == set()
    journal.write_ahead(FIRST)


def test_a_torn_record_was_never_followed_by_an_order(path: Path) -> None:
    intents = Intents(path)
    intents.append(FIRST)
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole + whole[:cut])
        assert intents.read() == [FIRST]
    intents.close()


@pytest.mark.parametrize("place", [4, 8, 40])
def test_a_damaged_record_is_refused_by_name(path: Path, place: int) -> None:
    intents = Intents(path)
    intents.append(FIRST)
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InvariantBroken, match=r"journal\.sqlite is damaged"):
        intents.read()
    intents.close()


def test_what_does_not_fit_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    intents = Intents(path)
    intents.append(FIRST)
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[: len(data) // 2]))
    with pytest.raises(OSError, match="bytes could be written"):
        intents.append(SECOND)
    monkeypatch.undo()
    assert intents.read() == [FIRST]
    intents.close()


def test_a_torn_record_does_not_spoil_the_next_one(journal: Journal) -> None:
    """The process died in the middle of a write; what its successor writes ahead must be readable."""
    journal.write_ahead(FIRST)
    journal.commit()
    whole = file_of(journal)
    other = Intents(whole)
    other.append(SECOND)
    whole.write_bytes(whole.read_bytes()[:-5])
    other.close()
    again = reopened(journal)
    assert orders(again) == {FIRST.order.state.order_id}
    again.write_ahead(SECOND)
    assert orders(reopened(again)) == {FIRST.order.state.order_id, SECOND.order.state.order_id}


def test_a_file_that_cannot_be_emptied_is_no_failure_of_the_commit(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are in: whoever is told of a failure would take the order for not begun."""

    def refuse(_file: int, _length: int) -> None:
        raise OSError("input/output error")

    journal.write_ahead(FIRST)
    monkeypatch.setattr(os, "ftruncate", refuse)
    journal.commit()
    monkeypatch.undo()
    assert file_of(journal).stat().st_size > 0
    assert orders(journal) == orders(reopened(journal)) == {FIRST.order.state.order_id}
    assert file_of(journal).stat().st_size == 0
