"""Where the kill switch's note is left: with the executor that was asked, and with no other."""

from pathlib import Path

import pytest

from common.venue.recovery import read_marker
from procs.cli import kill_switch
from procs.cli.kill_switch import SIGNATURE, leave_kill_switch
from procs.cli.stack import Meeting, Stack, prepare, write_meeting


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """State directories: of the stack that runs from this checkout, and of the one the environment names."""
    running, named = tmp_path / "running", tmp_path / "named"
    for directory in (running, named):
        directory.mkdir(mode=0o700)
    stack = Stack(tmp_path / "supervisord.conf")
    prepare(stack)
    write_meeting(stack, Meeting(str(tmp_path / "run"), str(running), "", "up"))
    monkeypatch.setattr(kill_switch, "own_stack", lambda: stack)
    monkeypatch.setattr(kill_switch, "supervisor_pid", lambda _stack: 1)
    monkeypatch.setenv("LAGGARD_STATE_DIR", str(named))
    return running, named


def test_it_is_left_with_the_stack_that_runs(places: tuple[Path, Path]) -> None:
    running, named = places
    assert leave_kill_switch("fire")
    assert read_marker(running) == f"{SIGNATURE}fire"
    assert read_marker(named) is None


def test_it_is_left_with_the_stack_that_runs_also_where_the_environment_names_it(
    places: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, named = places
    monkeypatch.setenv("LAGGARD_RUN_DIR", str(tmp_path / "run"))
    assert leave_kill_switch("fire")
    assert (read_marker(running), read_marker(named)) == (f"{SIGNATURE}fire", None)


def test_it_is_left_with_the_processes_that_the_environment_names(
    places: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another executor than that of this checkout was asked, and did not answer."""
    running, named = places
    monkeypatch.setenv("LAGGARD_RUN_DIR", str(tmp_path / "another"))
    assert leave_kill_switch("fire")
    assert (read_marker(running), read_marker(named)) == (None, f"{SIGNATURE}fire")


def test_between_two_starts_it_is_left_where_the_last_executor_kept_its_state_as_well(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service has another state directory than the configuration of the person who says halt."""
    last, configured = places
    monkeypatch.setattr(kill_switch, "supervisor_pid", lambda _stack: None)
    assert leave_kill_switch("fire")
    assert (read_marker(last), read_marker(configured)) == (f"{SIGNATURE}fire", f"{SIGNATURE}fire")
