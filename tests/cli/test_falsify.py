"""``laggard falsify``: what it prints, signs and counts."""

import json
import re
from pathlib import Path

import pytest

from common.research.data import dataset as datasets
from common.research.data import loading
from common.research.falsification import planted, verdict
from common.runtime.config import load_config
from procs.cli.main import laggard, run

SHARED = Path(__file__).parents[3] / "shared" / "data" / "normalised"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config.toml").touch()
    monkeypatch.setenv("LAGGARD_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("LAGGARD_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def late(monkeypatch: pytest.MonkeyPatch, lag_s: int, windows: int) -> datasets.Dataset:
    found = planted.dataset_of(planted.make(planted.World(windows=windows, lag_s=lag_s, seed=2)))
    monkeypatch.setattr(loading, "load", lambda _path, assets=None: datasets.select(found, assets=assets))
    return found


def test_a_late_book_is_supported_and_then_real_money_may_go_by_it(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = late(monkeypatch, 40, 600)
    assert run(laggard, ["falsify", "somewhere"]) == 0
    told = capsys.readouterr().out
    for word in ("information", "latency ladder", "supported: every test was passed", "power", "signed:"):
        assert word in told
    assert "taken as large enough" in told
    assert verdict.evidence(load_config(), state).by == "verdict"
    content = json.loads((state / "verdict.json").read_text())
    assert (content["data"], content["result"], content["trials"]) == (data.digest, "supported", 1)
    assert len(content["tests"]) == 15


def test_a_fair_book_is_not_and_says_how_little_is_known(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    late(monkeypatch, 0, 100)
    assert run(laggard, ["falsify", "somewhere", "--json", "--out", str(state / "other.json")]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["result"]) == ("falsify", "too little data")
    assert 0 <= told["power"] < 0.8 and told["trades_needed"] > 1_000
    assert told["file"] == str(state / "other.json")
    assert verdict.evidence(load_config(), state).by == "nothing", "another place is not the configured one"


def test_rules_that_were_tried_before_count(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    late(monkeypatch, 0, 40)
    run(laggard, ["sweep", "somewhere"])
    capsys.readouterr()
    run(laggard, ["falsify", "somewhere", "--json"])
    assert json.loads(capsys.readouterr().out)["trials"] == 125
    run(laggard, ["falsify", "somewhere", "--json", "--trials", "1000"])
    assert json.loads(capsys.readouterr().out)["trials"] == 1_000


def test_without_a_window_to_judge_nothing_is_signed_or_counted_and_it_says_why(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    late(monkeypatch, 40, 40)
    assert run(laggard, ["falsify", "somewhere", "--assets", "eth", "--json"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[-1].startswith("made-up world 2: there is no window in it; name data that")
    assert not (state / "verdict.json").exists() and not (state / "trials").exists()


def test_a_rule_without_a_trade_prints_no_data_and_no_line_of_the_table_is_longer_than_100(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    late(monkeypatch, 0, 40)
    monkeypatch.setenv("LAGGARD_STRATEGY__MIN_MOVE_PERCENT", "40")
    assert run(laggard, ["falsify", "somewhere"]) == 1
    told = capsys.readouterr().out
    assert "nan" not in told and "inf" not in told.replace("information", "") and "FAILED" not in told
    table, sentences = told.split("40 windows judged by chainlink")
    assert table.count("no data") == 15 and not re.search(r"\d\.\d{4}", table)
    assert max(len(line.rstrip()) for line in table.splitlines()) <= 100
    assert "nothing to test" in sentences


def test_without_data_it_is_a_usage_error(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["falsify"]) == 2
    assert "DATA" in capsys.readouterr().err


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings are not beside the checkout")
def test_the_visible_recordings_are_too_little_and_show_no_profit(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["falsify", str(SHARED), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["result"] == "too little data"
    assert told["proxies"] == told["trades"] > 5
    assert told["judged"].keys() == {"binance", "site-delayed"}
    assert sum(told["judged"].values()) == told["windows"]
    assert "judged by a proxy, which does not settle" in told["text"]
    by_name = {test["name"]: test for test in told["tests"]}
    assert all(by_name[name]["passed"] for name in ("information", "fills", "fees", "completeness"))
    assert not by_name["profit"]["passed"]
    flattery = by_name["stale-join flattery"]["parts"]
    assert flattery["sampled backward"] > 0.2 > flattery["sampled forward"], (
        "a third of the stake, out of nothing"
    )
