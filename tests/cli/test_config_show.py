"""The configuration as commands show it."""

import json
from pathlib import Path

import pytest

from procs.cli.main import laggard, run


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LAGGARD_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))


def test_values_come_with_their_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "laggard.toml"
    file.write_text('[strategy]\nmax_price = "0.55"\n')
    monkeypatch.setenv("LAGGARD_STRATEGY__STAKE_USD", "7")
    assert run(laggard, ["config", "show", "--config", str(file), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema"] == 1
    assert shown["values"]["strategy.max_price"] == {"value": "0.55", "origin": str(file)}
    assert shown["values"]["strategy.stake_usd"]["origin"] == "environment LAGGARD_STRATEGY__STAKE_USD"
    assert shown["values"]["markets.cadence"] == {"value": "15m", "origin": "default"}


def test_a_password_in_a_url_is_masked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "laggard.toml"
    file.write_text('[venue]\ngamma_url = "https://me:hunter2@example.org/x"\n')
    assert run(laggard, ["config", "show", "--config", str(file)]) == 0
    out = capsys.readouterr().out
    assert "hunter2" not in out
    assert "***@example.org" in out


def test_check_tells_every_problem_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "laggard.toml"
    file.write_text('[strategy]\nmax_price = "1.5"\nmax_prise = "0.6"\n[risk]\nmax_positions = 0\n')
    assert run(laggard, ["config", "check", "--config", str(file)]) == 78
    err = capsys.readouterr().err
    assert err.count("configuration:") == 3
    assert "strategy.max_price" in err and "did you mean" in err and "risk.max_positions" in err


def test_check_of_a_right_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "laggard.toml"
    file.write_text('mode = "paper"\n')
    assert run(laggard, ["config", "check", "--config", str(file)]) == 0
    assert str(file) in capsys.readouterr().out


def test_check_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "laggard.toml"
    file.write_text('mode = "paper"\n')
    assert run(laggard, ["config", "check", "--config", str(file), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["kind"], shown["ok"], shown["origins"]) == ("config-check", True, [str(file)])
    file.write_text('mode = "gamble"\n')
    assert run(laggard, ["config", "check", "--config", str(file), "--json"]) == 78
    shown = json.loads(capsys.readouterr().out)
    assert shown["ok"] is False and "mode" in shown["problems"][0]
