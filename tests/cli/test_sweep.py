"""``laggard sweep``: what it reads, prints and remembers."""

import json
from pathlib import Path

import polars as pl
import pytest

from common.research.data import dataset as datasets
from common.research.data import loading
from common.research.falsification import planted, trials
from procs.cli.main import laggard, run

AXES = ["--grid", "move=0.03,0.07", "--grid", "left=300", "--grid", "price=0.62", "--grid", "stake=5,10"]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> datasets.Dataset:
    """A small late world in place of whatever path is named."""
    (tmp_path / "config.toml").touch()
    monkeypatch.setenv("LAGGARD_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("LAGGARD_STATE_DIR", str(tmp_path / "state"))
    found = planted.dataset_of(planted.make(planted.World(windows=60, lag_s=30)))
    monkeypatch.setattr(loading, "load", lambda _path, assets=None: datasets.select(found, assets=assets))
    return found


def test_the_table_shows_every_figure_beside_what_is_held_out(
    data: datasets.Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["sweep", "somewhere", *AXES]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert "held out" in lines[0] and "p, all" in lines[0]
    assert len([line for line in lines if line.lstrip().startswith("0.0")]) == 4
    assert "4 cells on 60 windows" in told.out and "2 rules were tried on these data so far" in told.out
    assert "60 windows, 4 cells" in told.err


def test_as_json_it_is_one_object_and_the_trials_add_up(
    data: datasets.Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["sweep", "somewhere", *AXES, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["kind"], first["windows"], first["tried"]) == ("sweep", 60, 2)
    assert first["digest"] == data.digest
    assert len(first["cells"]) == 4
    assert {"trades", "net_usd6", "held_net_usd6", "p"} <= first["cells"][0].keys()
    assert run(laggard, ["sweep", "somewhere", "--grid", "move=0.07,0.1", *AXES[2:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tried"] == 3
    assert (1_000, 300, 6_200) in trials.tried(tmp_path / "state" / "trials", data.digest)


def test_data_without_a_window_that_can_be_traded_exit_1_and_say_why(
    data: datasets.Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["sweep", "somewhere", "--assets", "eth", *AXES]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[-1].startswith("made-up world 1: there is no window in it; name data that")
    assert not (tmp_path / "state" / "trials").exists(), "nothing was tried"


def test_windows_without_the_settling_stream_are_swept_by_a_labelled_proxy(
    data: datasets.Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = data._replace(ticks=data.ticks.with_columns(pl.lit("binance").alias("kind")))
    monkeypatch.setattr(loading, "load", lambda _path, assets=None: datasets.select(moved, assets=assets))
    assert run(laggard, ["sweep", "somewhere", *AXES]) == 0
    assert "60 windows judged by binance (proxy, not settlement)" in capsys.readouterr().out
    assert run(laggard, ["sweep", "somewhere", *AXES, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["judged"] == {"binance": 60}


@pytest.mark.parametrize(
    "axis", ["move", "speed=1", "move=", "move=x", "price=0.123456", "left=1.5", "stake=1.0000001"]
)
def test_an_axis_that_cannot_be_read_is_a_usage_error(
    data: datasets.Dataset, capsys: pytest.CaptureFixture[str], axis: str
) -> None:
    assert run(laggard, ["sweep", "somewhere", "--grid", axis]) == 2
    assert "--grid" in capsys.readouterr().err


def test_no_data_is_a_usage_error_and_a_stake_below_a_dollar_a_refusal(
    data: datasets.Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["sweep"]) == 2
    assert run(laggard, ["sweep", "somewhere", "--grid", "stake=0.5"]) == 1
    assert "less than 1 $" in capsys.readouterr().err


def test_the_speed_is_told_with_its_floor_and_the_load(
    data: datasets.Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["sweep", "somewhere", "--speed", *AXES, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["points"] == 60 * 900
    assert told["seconds"] > 0 and told["floor_seconds"] > 0 and "load" in told
    assert run(laggard, ["sweep", "somewhere", "--speed", *AXES]) == 0
    assert "floor: read the columns once" in capsys.readouterr().out


@pytest.mark.timeout(60)
def test_a_scheduler_that_is_not_there_is_in_the_way(
    data: datasets.Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from common.research.grids import cluster

    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    assert run(laggard, ["sweep", "somewhere", "--scheduler", "tcp://127.0.0.1:9", *AXES]) == 69
    assert "no Dask scheduler answers" in capsys.readouterr().err
