"""The log of commands: an update counts once, a confirmation is used once, both outlive the process."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from common.core.remote.authority import Arrival
from common.core.remote.commands import Asked
from common.core.remote.confirmation import Confirmation
from common.errors import DependencyMissing, InvariantBroken
from common.store.command_log import KEPT_NS, open_command_log

NOW = 10**18


def arrival(number: int) -> Arrival:
    return Arrival(number, "message", user_id=7, chat_id=7, private=True, text="/kill", sent_s=5)


def confirmation(nonce: str = "n") -> Confirmation:
    return Confirmation(nonce, Asked("resume"), 7, 7, "d", NOW, NOW + 30)


def test_an_update_is_taken_once(tmp_path: Path) -> None:
    path = tmp_path / "commands.sqlite"
    log = open_command_log(path)
    assert log.take([arrival(5), arrival(6), arrival(5)], NOW) == {5, 6}
    assert log.take([arrival(6), arrival(7)], NOW) == {7}
    log.close()
    log = open_command_log(path)
    assert log.take([arrival(5), arrival(6), arrival(7)], NOW) == frozenset()
    # A lower number is no older one: Telegram numbers anew after a week without news.
    assert log.take([arrival(2)], NOW) == {2}
    log.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_taken_and_not_ended_is_found_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "commands.sqlite"
    log = open_command_log(path)
    log.take([arrival(9), arrival(8)], NOW)
    log.end(9, "done")
    log.end(9, "again")
    log.close()
    log = open_command_log(path)
    assert log.unended() == (arrival(8),)
    assert log.result_of(9) == "done"
    assert log.result_of(8) is None
    log.close()


def test_a_kill_of_the_process_loses_nothing_that_was_taken(tmp_path: Path) -> None:
    path = tmp_path / "commands.sqlite"
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from common.core.remote.authority import Arrival\n"
        "from common.store.command_log import open_command_log\n"
        "log = open_command_log(Path(sys.argv[1]))\n"
        "log.take([Arrival(1, 'message', 7, 7, True, '/kill')], 1)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -signal.SIGKILL
    log = open_command_log(path)
    assert [one.update_id for one in log.unended()] == [1]
    assert log.take([arrival(1)], NOW) == frozenset()
    log.close()


def test_a_confirmation_is_used_once(tmp_path: Path) -> None:
    log = open_command_log(tmp_path / "commands.sqlite")
    log.ask(confirmation())
    assert log.find("n") == confirmation()
    assert log.find("m") is None
    assert log.open_ones() == (confirmation(),)
    assert [log.settle("n", "used") for _ in range(3)] == [True, False, False]
    assert not log.settle("n", "cancelled")
    assert not log.settle("n", "expired")
    found = log.find("n")
    assert found is not None and found.stage == "used"
    assert log.open_ones() == ()
    log.close()


def test_an_expired_confirmation_can_still_be_used_where_the_caller_lets_it(tmp_path: Path) -> None:
    log = open_command_log(tmp_path / "commands.sqlite")
    log.ask(confirmation())
    assert log.settle("n", "expired")
    assert not log.settle("n", "expired")
    assert log.settle("n", "used")
    log.close()


def test_what_was_settled_cannot_be_taken_back_even_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "commands.sqlite"
    log = open_command_log(path)
    log.ask(confirmation())
    log.settle("n", "used")
    log.take([arrival(1)], NOW)
    log.end(1, "done")
    log.close()
    connection = sqlite3.connect(path)
    for statement in ("UPDATE confirmations SET stage = 'open'", "UPDATE updates SET ended = 0"):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
    connection.close()


def test_a_month_old_is_forgotten(tmp_path: Path) -> None:
    log = open_command_log(tmp_path / "commands.sqlite")
    log.take([arrival(1), arrival(2)], NOW)
    log.end(1, "done")
    log.ask(confirmation())
    log.prune(NOW + KEPT_NS + 1)
    assert log.result_of(1) is None
    assert [one.update_id for one in log.unended()] == [2]
    assert log.find("n") is None
    log.close()


def test_there_is_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "commands.sqlite"
    log = open_command_log(path)
    with pytest.raises(DependencyMissing, match=f"another telegram \\(pid {os.getpid()}\\)"):
        open_command_log(path)
    log.close()


def test_another_ones_file_and_a_broken_one_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "commands.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(DependencyMissing, match="move it away"):
        open_command_log(path)
    path.write_bytes(b"no database" * 200)
    with pytest.raises(InvariantBroken):
        open_command_log(path)


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    log = open_command_log(tmp_path / "commands.sqlite")
    log._connection.execute("PRAGMA max_page_count = 1")
    log._connection.execute("PRAGMA query_only = 1")
    with pytest.raises(DependencyMissing, match="could not be written"):
        log.take([arrival(1)], NOW)
    log.close()
