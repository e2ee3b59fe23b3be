"""Stopping the bot needs no set-up that succeeds: what is installed runs when nothing can be downloaded."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("command", "code"), [("halt", 0), ("down", 0), ("status", 0), ("up", 69)])
def test_a_failing_setup_does_not_stand_before_stopping(tmp_path: Path, command: str, code: int) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "bin" / "laggard", tmp_path / "bin" / "laggard")
    setup = tmp_path / "bin" / "setup"
    setup.write_text("#!/bin/sh\nexit 69\n")
    setup.chmod(0o755)
    installed = tmp_path / ".venv" / "bin" / "laggard"
    installed.parent.mkdir(parents=True)
    installed.write_text("#!/bin/sh\nexit 0\n")
    installed.chmod(0o755)
    ran = subprocess.run([tmp_path / "bin" / "laggard", command], check=False, capture_output=True)
    assert ran.returncode == code
