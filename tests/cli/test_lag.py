"""``laggard lag`` measures, says when it cannot, and writes what it found in every form."""

import json
from pathlib import Path
from typing import Any

import pytest

from common.research.data import dataset as datasets
from common.research.data import loading
from common.research.data.dataset import Dataset
from common.units import SECOND
from lag_markets import lagging
from procs.cli.main import laggard, run


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    found = lagging(2, assets=("btc", "eth"))
    # The path that is named stands for this dataset; how data are read is another room's matter.
    monkeypatch.setattr(loading, "load", lambda _path, assets=None: datasets.select(found, assets=assets))
    return found


def told(capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    assert run(laggard, ["lag", "DATA", *options, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_tells_every_share_with_its_interval(data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys)
    assert (found["kind"], found["schema"]) == ("lag", 1)
    assert found["data_digest"] == data.digest
    assert found["conclusion"].startswith("The book is not late")
    (series,) = found["series"]
    assert (series["kind"], series["route"], series["settles"], series["enough"]) == (
        "spot",
        "rtds",
        True,
        True,
    )
    steps = series["all"]["steps"]
    assert [step["after_ns"] // SECOND for step in steps] == [0, 1, 2, 5, 10, 30, 55]
    for step in steps:
        assert set(step["share"]) == set(step["moved_cents"]) == {"low", "mean", "high"}
    assert set(series["by_asset"]) == {"btc", "eth"}
    assert {"by_hour", "by_era"} <= set(series)
    assert series["quote_age"]["median_ns"] > 0
    lags = series["correlation"]["lags"]
    assert [lags[0]["lag_ns"], lags[-1]["lag_ns"]] == [-10 * SECOND, 10 * SECOND]


def test_it_prints_the_same_for_people(data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["lag", "DATA"]) == 0
    shown = capsys.readouterr().out
    assert "spot (rtds) (settles), btc, eth" in shown
    assert "60 s, final" in shown
    assert "age of quotes used 0.80 (0.80)" in shown
    assert shown.strip().splitlines()[-1].startswith("The book is not late by more than seconds: ")


def test_too_few_jumps_exit_1(data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["lag", "DATA", "--move", "50"]) == 1
    shown = capsys.readouterr().out
    assert "too few jumps" in shown
    assert "0 jumps of 50 bp in 3 s" in shown
    assert run(laggard, ["lag", "DATA", "--assets", "sol"]) == 1


def test_the_definition_is_chosen_and_told(data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "--move", "9.5", "--within", "2", "--max-age", "1.5", "--assets", "ETH")
    how = found["definition"]
    assert (how["move_ppm"], how["within_ns"], how["max_age_ns"]) == (950, 2 * SECOND, 3 * SECOND // 2)
    assert found["series"][0]["assets"] == ["eth"]


@pytest.mark.parametrize("option", ["--move", "--within", "--max-age"])
def test_nothing_is_no_definition(data: Dataset, option: str) -> None:
    assert run(laggard, ["lag", "DATA", option, "0"]) == 2


def test_page_and_plots_are_written_beside_it(
    data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, plots = tmp_path / "lag.html", tmp_path / "plots"
    found = told(capsys, "--html", str(page), "--png", str(plots))
    assert "repricing was done" in page.read_text()
    assert found["data_digest"] in page.read_text()
    assert sorted(file.name for file in plots.iterdir()) == [
        "correlation-spot-rtds.png",
        "reaction-spot-rtds.png",
    ]


def test_without_the_libraries_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("procs.cli.data.EXTRAS", ("polars", "no_such_library"))
    assert run(laggard, ["lag", "DATA"]) == 69
    assert "pip install 'laggard[research]'" in capsys.readouterr().err
