"""``laggard check``: whom it asks, what it prints, and that the process behind it keeps the key to itself."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common.errors import DependencyMissing
from common.messages import CheckResult, ChecksReport, ReadChecks
from procs.cli import check as command
from procs.cli.main import laggard, run
from tests.cli.test_reading import answering

WELL = ChecksReport(at_ns=1, results=(CheckResult("clock", "ok", "within a second"),))
WORRIED = ChecksReport(
    at_ns=1,
    results=(
        CheckResult("disk", "warning", "900 MiB free", "free space"),
        CheckResult("key", "skipped", "paper trading needs no account"),
    ),
)
FAILED = ChecksReport(
    at_ns=1,
    results=(*WORRIED.results, CheckResult("chain", "failed", "says [/x] [red]no[/red]", "mend [it]")),
)


@pytest.fixture
def run_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Short, because unix socket paths are limited; the state is of this test too."""
    directory = tmp_path_factory.mktemp("r")
    monkeypatch.setenv("LAGGARD_RUN_DIR", str(directory))
    monkeypatch.setenv("LAGGARD_STATE_DIR", str(directory / "state"))
    return directory


@pytest.mark.parametrize(("report", "code"), [(WELL, 0), (WORRIED, 0), (FAILED, 1)])
@pytest.mark.parametrize("as_json", [True, False])
def test_the_running_executor_is_asked_and_a_failure_is_the_exit_code(
    run_dir: Path, capsys: pytest.CaptureFixture[str], report: ChecksReport, code: int, as_json: bool
) -> None:
    with answering(run_dir, "executor", ReadChecks, report):
        assert run(laggard, ["check", "--json"] if as_json else ["check"]) == code
    told = capsys.readouterr()
    assert ("1 checks failed: no order would be sent" in told.err) == (code == 1)
    if as_json:
        document = json.loads(told.out)
        assert (document["kind"], document["ok"]) == ("check", code == 0)
        assert document["checks"] == list(msgspec.to_builtins(report.results))
    else:
        assert len(told.out.splitlines()) == 1 + sum(1 + bool(one.fix) for one in report.results)


def test_what_others_said_is_shown_as_it_is_with_its_fix_below(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(run_dir, "executor", ReadChecks, FAILED):
        run(laggard, ["check"])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [
        "disk warning 900 MiB free",
        "-> free space",
        "key - paper trading needs no account",
        "chain FAILED says [/x] [red]no[/red]",
        "-> mend [it]",
    ]


def test_a_file_that_is_named_is_what_is_asked_about(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what the running executor was started with."""
    file = tmp_path / "other.toml"
    file.touch()
    asked: list[tuple[bool, Path | None]] = []

    def run_apart(live: bool, config_file: Path | None) -> ChecksReport:
        asked.append((live, config_file))
        return WORRIED

    monkeypatch.setattr(command, "_run_apart", run_apart)
    with answering(run_dir, "executor", ReadChecks, FAILED):
        assert run(laggard, ["check", "--live", "--config", str(file)]) == 0
        assert asked == [(True, file)]
        assert run(laggard, ["check"]) == 1
        assert asked == [(True, file)]


def test_an_executor_that_has_not_checked_yet_is_not_believed(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_run_apart", lambda _live, _file: FAILED)
    with answering(run_dir, "executor", ReadChecks, ChecksReport(at_ns=0, results=())):
        assert run(laggard, ["check"]) == 1


def child_that(monkeypatch: pytest.MonkeyPatch, code: str) -> list[Sequence[str]]:
    """Run this Python in place of the checks' process; returns how that was to be started."""
    started: list[Sequence[str]] = []
    real = subprocess.run

    def instead(arguments: Sequence[str], **options: Any) -> Any:
        started.append(arguments)
        return real([sys.executable, "-c", code], **options)

    monkeypatch.setattr(command.subprocess, "run", instead)
    return started


@pytest.mark.procs
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('no json')", "without a word"),
        ("import sys; sys.exit('the disk is gone')", "the disk is gone"),
        ("import time; time.sleep(60)", "did not end within 0 s"),
    ],
)
def test_a_process_that_breaks_off_is_one_sentence(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: str, said: str
) -> None:
    monkeypatch.setattr(command, "LIMIT_S", 0.4 if "sleep" in code else 20.0)
    child_that(monkeypatch, code)
    assert run(laggard, ["check"]) == DependencyMissing.exit_code
    assert said in capsys.readouterr().err


def paper_environment(run_dir: Path) -> dict[str, str]:
    """Paper trading of a venue that nobody can reach."""
    nowhere = {
        f"LAGGARD_VENUE__{name}": url
        for name, url in {
            "CLOB_URL": "http://127.0.0.1:1",
            "GAMMA_URL": "http://127.0.0.1:1",
            "DATA_URL": "http://127.0.0.1:1",
            "CLOB_WS_URL": "ws://127.0.0.1:1",
            "CLOB_USER_WS_URL": "ws://127.0.0.1:1",
            "GEOBLOCK_URL": "http://127.0.0.1:1",
            "CHAIN_RPC_URLS": "http://127.0.0.1:1",
        }.items()
    }
    return {**os.environ, **nowhere, "LAGGARD_RUN_DIR": str(run_dir), "LAGGARD_STATE_DIR": str(run_dir / "s")}


@pytest.mark.procs
def test_paper_skips_the_account_and_nothing_of_the_callers_directory_is_imported(
    run_dir: Path, tmp_path: Path
) -> None:
    for name in ("msgspec", "requests", "procs"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('planted')")
    code = "from procs.cli.main import main; main(['check', '--json'])"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env=paper_environment(run_dir),
        capture_output=True,
        timeout=40,
    )
    assert (done.returncode, b"planted" in done.stderr) == (1, False), done.stderr
    states = {one["name"]: one["state"] for one in json.loads(done.stdout)["checks"]}
    skipped = {name for name, state in states.items() if state == "skipped"}
    assert skipped == {
        "key", "chain", "contracts", "balance", "allowance", "approval to sell", "api key", "standing",
        "user channel", "evidence",
    }  # fmt: skip
    assert {name for name, state in states.items() if state == "failed"} == {"clock", "region", "book"}
    assert time.monotonic() - began < 20


DOORS = """
import ctypes, os, resource, runpy, sys
resource.setrlimit(resource.RLIMIT_CORE, (1000, resource.getrlimit(resource.RLIMIT_CORE)[1]))
from common.runtime import config
real = config.load_config
def load_config(*arguments):
    # Before the first key can be read.
    doors = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)[0]
    print(*doors, file=sys.stderr)
    return real(*arguments)
config.load_config = load_config
runpy.run_module("procs.check", run_name="__main__")
"""


@pytest.mark.procs
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's switch is Linux's")
def test_the_process_that_reads_the_key_closes_its_doors_first(run_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", DOORS], env=paper_environment(run_dir), capture_output=True, timeout=40
    )
    assert done.stderr.splitlines()[0] == b"0 0", done.stderr
    assert msgspec.json.decode(done.stdout, type=ChecksReport).results
