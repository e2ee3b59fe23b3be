"""``laggard backtest`` says what it found, how wide that is, and when it is flattered."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from common.research.backtesting.pricing import FLATTERED
from common.research.data import dataset as datasets
from common.research.data import imported, loading
from common.research.data.dataset import Dataset
from common.units import SECOND
from procs.cli.backtest import conclusion
from procs.cli.main import laggard, run
from recorded_windows import OPENS_S, books, flat, jump, made, market, ticks, window
from taped_conversation import records, write_tape

LOAD = loading.load


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Six traded windows of two assets, and one that has sampled prices only."""
    config = tmp_path / "config.toml"
    config.write_text("")
    monkeypatch.setenv("LAGGARD_CONFIG", str(config))
    pairs = [(number, asset) for number in range(3) for asset in ("btc", "eth")]
    history = [
        {
            "window": window(9), "outcome": "up", "at_ns": (OPENS_S + 8_100 + 60 * minute + 9) * SECOND,
            "price4": 5_000 if minute < 3 else 5_900, "sampled_every_ns": 60 * SECOND,
        }
        for minute in range(15)
    ]  # fmt: skip
    found = made(
        [market(n, asset, outcome="up" if n else "down") for n, asset in pairs] + [market(9)],
        [row for n, asset in pairs for row in ticks(jump(30, 100_200.0), n, asset=asset, seconds=range(60))]
        + ticks(jump(180, 100_200.0), 9, kind="binance", seconds=range(0, 900, 60)),
        [row for n, asset in pairs for row in books(flat(0.50), n, asset=asset, seconds=range(60))],
        history,
    )
    # The path that is named stands for this dataset; how data are read is another room's matter.
    monkeypatch.setattr(loading, "load", lambda _path, assets=None: datasets.select(found, assets=assets))
    return found


def told(capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    assert run(laggard, ["backtest", "DATA", *options, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_tells_every_part_with_its_interval(data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys)
    assert found["label"] == ""
    assert found["data_digest"] == data.digest
    whole = found["all"]
    assert (whole["trades"], whole["wins"]) == (6, 4)
    assert set(whole["return_per_stake"]) == {"low", "mean", "high"}
    assert set(found["by_asset"]) == {"btc", "eth"}
    for by in ("basis", "era", "day", "hour"):
        assert sum(part["trades"] for part in found[f"by_{by}"].values()) == 6
    split = found["split"]
    assert split["first"]["trades"] + split["second"]["trades"] == 6
    assert found["left_out"] == {"sampled prices only, nothing to fill at": 1}
    assert found["joins"] == []


def test_the_stale_join_is_refused_unless_it_is_asked_for_and_then_labelled_everywhere(
    data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["backtest", "DATA"]) == 0
    shown = capsys.readouterr().out
    assert "1 windows are refused" in shown
    assert "--flatter" in shown
    assert FLATTERED not in shown
    found = told(capsys, "--flatter")
    figures = [found["all"], *found["by_day"].values(), *found["trades"], *found["calibration"]]
    assert {part["label"] for part in [found, *figures]} == {FLATTERED}
    (join,) = found["joins"]
    assert join["backward"]["label"] == FLATTERED
    assert join["forward"]["label"] != FLATTERED
    assert run(laggard, ["backtest", "DATA", "--flatter"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(FLATTERED)
    assert f"{FLATTERED}: no evidence of anything." in shown


def test_assets_are_chosen(data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(told(capsys, "--assets", "ETH")["by_asset"]) == {"eth"}


def test_nothing_to_trade_exits_1(data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["backtest", "DATA", "--assets", "sol"]) == 1
    assert "No trade: nothing can be said." in capsys.readouterr().out


def test_a_size_that_is_none_is_a_usage_error(data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["backtest", "DATA", "--assume-size", "many"]) == 2
    assert "--assume-size" in capsys.readouterr().err


def test_few_trades_are_never_called_an_edge(data: Dataset) -> None:
    from common.core.settings import RiskLimits, StrategySettings
    from common.research.backtesting.backtest import Plan, without_stops
    from common.research.backtesting.backtest import run as trade
    from common.research.backtesting.results import summarise

    trades = trade(data, Plan(StrategySettings(), without_stops(RiskLimits()))).trades
    winners = [one for one in trades if one.won]
    lucky = [one._replace(start_ns=one.start_ns + i * SECOND) for i in range(5) for one in winners]
    assert "too few" in conclusion(summarise(lucky, resamples=200), "")
    assert "an edge" in conclusion(summarise(lucky * 2, resamples=200), "")


@pytest.mark.parametrize("assets", ["foo", "btc,foo", "btc,"])
def test_an_asset_that_is_not_there_is_an_error_and_not_an_empty_answer(
    data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    assets: str,
) -> None:
    imported.write(data, tmp_path / "data", source="made by hand", licence="none")
    monkeypatch.setattr(loading, "load", LOAD)
    assert run(laggard, ["backtest", str(tmp_path / "data"), "--assets", assets]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "it has btc, eth" in said.err
    assert run(laggard, ["backtest", str(tmp_path / "data"), "--assets", "BTC, eth"]) == 0


@pytest.fixture
def taped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tape that lacks three messages of books, in a folder of its own."""
    config = tmp_path / "config.toml"
    config.write_text("")
    monkeypatch.setenv("LAGGARD_CONFIG", str(config))
    lost = {one.data for one in [one for one in records() if one.source == "books"][40:43]}
    return write_tape(tmp_path / "tape", [one for one in records() if one.data not in lost])


def test_what_a_tape_lacks_is_told_in_the_words_of_tape_verify(
    taped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["backtest", str(taped)]) == 0
    assert capsys.readouterr().err == "hole: books after number 40, 3 messages\n"
    path = taped / "00000001.tape"
    path.write_bytes(path.read_bytes()[:-3])
    assert run(laggard, ["-q", "backtest", str(taped)]) == 1
    shown = capsys.readouterr()
    tear, hole = shown.err.splitlines()
    assert "cut in a record at byte" in tear
    assert hole == "hole: books after number 40, 3 messages"
    assert "backtest" in shown.out
    assert run(laggard, ["tape", "verify", str(taped), "--json"]) == 1
    verified = json.loads(capsys.readouterr().out)
    assert run(laggard, ["backtest", str(taped), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    for key in ("tears", "holes", "missing"):
        assert told[key] == verified[key]
        assert told[key]


@pytest.mark.parametrize("command", [["lag"], ["sweep"], ["falsify"], ["report", "--out", "page.html"]])
def test_every_study_tells_what_a_tape_lacks(
    taped: Path,
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    run(laggard, [*command, str(taped), "-q"])
    assert "hole: books after number 40, 3 messages" in capsys.readouterr().err
    if command[0] == "report":
        page = (tmp_path / "page.html").read_text()
        assert re.search(r"known to be missing.{0,80}3 messages", page, re.DOTALL)


def test_an_export_of_a_torn_tape_still_says_so(
    taped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = taped / "00000001.tape"
    path.write_bytes(path.read_bytes()[:-3])
    out = tmp_path / "out"
    assert run(laggard, ["tape", "export", str(taped), "--parquet", str(out)]) == 1
    capsys.readouterr()
    assert run(laggard, ["backtest", str(taped), "--json"]) == 1
    directly = json.loads(capsys.readouterr().out)
    assert run(laggard, ["backtest", str(out), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["tears"], told["holes"]) == (directly["tears"], directly["holes"])
    assert told["data_digest"] == directly["data_digest"]
    assert run(laggard, ["data", "ls", str(out)]) == 0
    assert len(capsys.readouterr().err.splitlines()) == 2
