"""``laggard report`` measures, trades and tests in one go, and its page opens with what came of it."""

import json
from pathlib import Path

import polars as pl
import pytest

from common.research.data import dataset as datasets
from common.research.data import loading
from common.research.data.dataset import Dataset
from lag_markets import lagging
from procs.cli.main import laggard, run


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    config = tmp_path / "config.toml"
    config.write_text(f'[paths]\nstate_dir = "{tmp_path / "state"}"\n')
    monkeypatch.setenv("LAGGARD_CONFIG", str(config))
    found = lagging(2)
    monkeypatch.setattr(loading, "load", lambda _path, assets=None: datasets.select(found, assets=assets))
    return found


def test_the_page_holds_everything_and_opens_with_the_conclusion(
    data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, plots = tmp_path / "report.html", tmp_path / "plots"
    assert run(laggard, ["report", "DATA", "--out", str(page), "--png", str(plots), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    text = page.read_text()
    assert told["conclusion"].startswith("No edge shown: 8 trades")
    assert "falsification says: " in told["conclusion"]
    assert f'<p id="conclusion">{told["conclusion"].replace(chr(39), "&#x27;")}</p>' in text
    for name in ("data hash", "code hash", "config hash", "windows"):
        assert told["facts"][name] in text
    assert told["facts"]["data hash"] == data.digest
    titles = ("Lag of the book", "The rule on paper", "Falsification", "Method: lag", "Limits: lag")
    assert [text.index(f"<h2>{title}") for title in titles] == sorted(
        text.index(f"<h2>{title}") for title in titles
    )
    assert {Path(file).name for file in told["pngs"]} == {file.name for file in plots.iterdir()}
    assert len(told["pngs"]) >= 5
    # That the rule was tried on these data counts against the next one.
    assert list((tmp_path / "state" / "trials").iterdir())


def test_the_lag_alone_trades_nothing_and_tries_nothing(
    data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    assert run(laggard, ["report", "DATA", "--out", str(page), "--no-backtest", "--no-falsify"]) == 0
    assert capsys.readouterr().out.startswith("The book is not late")
    assert "The rule on paper" not in page.read_text()
    assert not (tmp_path / "state").exists()


def test_data_that_can_prove_nothing_say_so_in_place_of_the_tests(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = data._replace(markets=data.markets.with_columns(pl.lit(None, pl.String).alias("outcome")))
    monkeypatch.setattr(loading, "load", lambda _path, assets=None: datasets.select(blind, assets=assets))
    page = tmp_path / "report.html"
    assert run(laggard, ["report", "DATA", "--out", str(page)]) == 0
    assert "Nothing to test." in page.read_text() and "have no outcome" in page.read_text()
    assert not (tmp_path / "state" / "trials").exists()


def test_a_report_needs_a_file(data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["report", "DATA"]) == 2
    assert "--out" in capsys.readouterr().err
