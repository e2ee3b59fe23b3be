"""Real money goes by a supported verdict of present code and configuration, or by a waiver, and says so."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from common.errors import DependencyMissing
from common.research.falsification import verdict
from common.runtime.config import load_config
from procs.cli import up_down
from procs.cli.main import laggard, run

SENTENCE = "I know that nobody has shown an edge and trade anyway."
FINDING = {"result": "supported", "text": "every test was passed", "trades": 5_017}


@pytest.fixture
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A live configuration in a place of its own; starting ends where supervisord would be looked for."""
    directory = tmp_path_factory.mktemp("r")
    file = directory / "config.toml"
    file.write_text('mode = "live"\n[wallet]\nkind = "eoa"\n')
    monkeypatch.setenv("LAGGARD_CONFIG", str(file))
    monkeypatch.setenv("LAGGARD_RUN_DIR", str(directory))
    monkeypatch.setenv("LAGGARD_STATE_DIR", str(directory / "state"))

    def reached(_stack: object) -> int:
        raise DependencyMissing("supervisord would be started now")

    monkeypatch.setattr(up_down, "supervisor_pid", reached)
    return directory / "state"


def judged(state: Path, **changes: Any) -> None:
    config = load_config(None, dict(os.environ))
    verdict.write(
        verdict.verdict_file(config, state), verdict.key_file(state), config, {**FINDING, **changes},
        data_digest="d" * 64, data_name="somewhere", at_ns=time.time_ns(),
    )  # fmt: skip


def test_without_evidence_nothing_starts_and_the_cure_is_named(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["up", "--live"]) == 78
    told = capsys.readouterr().err
    assert "no real money without evidence: there is no verdict" in told
    assert "laggard falsify DATA" in told and "evidence.waiver" in told
    assert not state.exists()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"result": "not supported", "text": "failed: profit"}, "failed: profit"),
        ({"result": "too little data"}, "'too little data'"),
    ],
)
def test_a_verdict_that_says_no_starts_nothing(
    state: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], word: str
) -> None:
    judged(state, **changes)
    assert run(laggard, ["up", "--live"]) == 78
    assert word in capsys.readouterr().err


def test_a_supported_verdict_starts_and_is_shown(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged(state)
    assert run(laggard, ["up", "--live"]) == 69
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("evidence: supported by 5017 trades on somewhere")
    assert told[1:] == ["supervisord would be started now"]


def test_a_verdict_for_another_configuration_starts_nothing(
    state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(state)
    monkeypatch.setenv("LAGGARD_STRATEGY__MAX_PRICE", "0.65")
    assert run(laggard, ["up", "--live"]) == 78
    assert "another configuration" in capsys.readouterr().err


def test_a_verdict_for_other_code_starts_nothing(
    state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(state)
    monkeypatch.setattr(verdict, "code_hash", lambda: "0" * 64)
    assert run(laggard, ["up", "--live"]) == 78
    assert "other code" in capsys.readouterr().err


def test_a_waiver_starts_and_is_shown_each_time(
    state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAGGARD_EVIDENCE__WAIVER", SENTENCE)
    for _ in range(2):
        assert run(laggard, ["up", "--live"]) == 69
        told = capsys.readouterr().err.splitlines()
        assert "WAIVED" in told[0] and SENTENCE in told[0]


def test_paper_trading_asks_for_nothing(
    state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAGGARD_MODE", "paper")
    assert run(laggard, ["up"]) == 69
    assert "evidence" not in capsys.readouterr().err
