"""The command line itself: fast help, exit codes, one line per error."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from common.errors import CallTimedOut, ConfigError, DependencyMissing
from procs.cli.main import COMMANDS, laggard, run

ROOT = Path(__file__).resolve().parents[2]


def test_help_lists_every_command_and_loads_none() -> None:
    program = (
        "import sys; from procs.cli.main import main\n"
        "try: main(['--help'])\n"
        "finally: print(sorted(m for m in sys.modules if m in ('zmq', 'rich', 'structlog', 'pydantic')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    for name in COMMANDS:
        assert f"  {name} " in done.stdout
    assert done.stdout.rstrip().endswith("[]")


def test_help_speaks_of_real_money_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "on paper or live" in told
    assert "init Write a first configuration; make a reader key, a trading key." in told


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, [name, "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["sell-everything"]) == 2
    assert "sell-everything" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError(["a is wrong", "b is wrong"]), 78, "b is wrong"),
        (DependencyMissing("the disk is full; free some space"), 69, "free some space"),
        (CallTimedOut("no answer"), 1, "no answer"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_become_a_line_and_a_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def fail() -> None:
        raise error

    assert run(fail, []) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "Traceback" not in captured.err


def test_a_command_decides_its_own_code() -> None:
    @click.command()
    def degraded() -> int:
        return 3

    assert run(degraded, []) == 3
