"""What a broken-off run and a kill switch leave for the next start, and who takes it away again."""

import os
from pathlib import Path

import pytest

from common.venue.recovery import KILL_SWITCH, MARKER, leave_marker, lift_kill_switch, read_marker


def test_a_kill_switch_is_lifted_and_the_disk_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_marker(tmp_path, f"{KILL_SWITCH}fire")
    synced: list[tuple[str, bool]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), (tmp_path / MARKER).exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert lift_kill_switch(tmp_path) == ""
    assert read_marker(tmp_path) is None
    assert synced == [(str(tmp_path.resolve()), False)]
    # A start that met the note has removed it, perhaps from memory only.
    assert lift_kill_switch(tmp_path) == ""
    assert len(synced) == 2


@pytest.mark.parametrize(
    "reason", ["the books do not add up", "", f"before the {KILL_SWITCH}", "kill switch"]
)
def test_what_an_executor_left_stays(tmp_path: Path, reason: str) -> None:
    leave_marker(tmp_path, reason)
    assert lift_kill_switch(tmp_path) == ""
    assert read_marker(tmp_path) == reason


def test_a_note_that_cannot_be_removed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_marker(tmp_path, f"{KILL_SWITCH}fire")

    def unlink(_file: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", unlink)
    problem = lift_kill_switch(tmp_path)
    assert "Read-only file system" in problem
    assert "the next start begins halted" in problem
    assert lift_kill_switch(tmp_path / "gone").startswith("the note of the kill switch stays (")
