"""An import that is killed anywhere goes on where it was, to the same bytes as an undisturbed one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from common.research.data import imported
from common.research.data.dataset import DataUnreadable
from common.research.data.loading import load
from common.research.data.recorded import recordings as reading
from common.research.data.recorded.kept_pieces import UNFINISHED
from procs.cli.main import laggard, run

OPEN_MS = 1_770_300_000_000
ASSETS = ("btc", "eth", "sol")
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "recordings"

IMPORT_STEP_BY_STEP = """
import sys
from common.research.data import imported
from procs.cli.main import laggard, run

plain = imported._sync
def step(path):
    # Written under another name, and not yet there.
    print(path, flush=True)
    sys.stdin.readline()
    plain(path)
imported._sync = step
sys.exit(run(laggard, ["data", "import", *sys.argv[1:]]))
"""


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Bars of three assets, and a file nobody reads."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for number, asset in enumerate(ASSETS, 1):
        bars = {name: [float(number), 2.0] for name in ("open", "high", "low", "close", "volume")}
        stamps = [OPEN_MS, OPEN_MS + number * 60_000]
        pl.DataFrame({"timestamp": stamps, **bars}).write_parquet(folder / f"{asset}_bars.parquet")
    pl.DataFrame({"a": [1]}).write_parquet(folder / "strange.parquet")
    return folder


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert run(laggard, ["data", "import", *map(str, arguments), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kill_at(step: int, recordings: Path, out: Path) -> str:
    """Import until the file of this number is about to appear, then kill -9; returns its name."""
    with subprocess.Popen(
        [sys.executable, "-c", IMPORT_STEP_BY_STEP, str(recordings), str(out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for _ in range(step - 1):
            assert child.stdout.readline()
            child.stdin.write("\n")
            child.stdin.flush()
        at = child.stdout.readline().strip()
        os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    return Path(at).name


@pytest.mark.parametrize(
    ("step", "kind", "resumed"),
    [
        (1, ".0001.ticks.parquet.", 0),
        (2, ".0001.json.", 0),
        (3, ".0002.ticks.parquet.", 1),
        (6, ".0003.json.", 2),
        (8, ".part.parquet.", 3),
        (10, ".manifest.json.", 3),
    ],
)
def test_killed_anywhere_it_goes_on_to_the_same_bytes(
    recordings: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    step: int,
    kind: str,
    resumed: int,
) -> None:
    whole = told(capsys, recordings, tmp_path / "whole")
    out = tmp_path / "out"
    assert kill_at(step, recordings, out).startswith(kind)
    with pytest.raises(DataUnreadable, match=r"manifest\.json"):
        load(out)
    again = told(capsys, recordings, out)
    assert sum(one["resumed"] for one in again["files"]) == resumed
    assert again["digest"] == whole["digest"] == load(out).digest
    assert content(out) == content(tmp_path / "whole")
    assert list(imported.verify(out)) == []
    for one in (*whole["files"], *again["files"]):
        one.pop("resumed")
    assert again["files"] == whole["files"]


def interrupted(recordings: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything was read and nothing written."""

    def ends(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(imported, "write", ends)
        assert run(laggard, ["data", "import", str(recordings), str(out)]) == 130
    assert len(list((out / UNFINISHED).glob("*.json"))) == len(ASSETS)


def test_what_was_kept_is_not_read_again_and_goes_when_all_is_written(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    interrupted(recordings, out, monkeypatch)
    read: list[str] = []
    plain = reading._piece

    def counted(path: Path, *others: Any) -> Any:
        read.append(path.name)
        return plain(path, *others)

    monkeypatch.setattr(reading, "_piece", counted)
    assert run(laggard, ["data", "import", str(recordings), str(out)]) == 0
    assert "3 files had been read before" in capsys.readouterr().err
    assert read == ["strange.parquet"]
    assert not (out / UNFINISHED).exists()


@pytest.mark.parametrize("what", ["another value", "another file beside it", "a damaged piece"])
def test_what_was_kept_of_something_else_is_read_again(
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: str,
) -> None:
    out = tmp_path / "out"
    interrupted(recordings, out, monkeypatch)
    bars = pl.read_parquet(recordings / "btc_bars.parquet")
    if what == "another value":
        bars.with_columns(close=pl.lit(7.0)).write_parquet(recordings / "btc_bars.parquet")
    elif what == "another file beside it":
        bars.write_parquet(recordings / "xrp_bars.parquet")
    else:
        piece = next((out / UNFINISHED).glob("0001.*.parquet"))
        piece.write_bytes(piece.read_bytes()[:-1])
    again = told(capsys, recordings, out)
    assert sum(one["resumed"] for one in again["files"]) == (2 if what == "a damaged piece" else 0)
    whole = told(capsys, recordings, tmp_path / "whole")
    assert content(out) == content(tmp_path / "whole")
    assert again["digest"] == whole["digest"]


def test_real_recordings_are_kept_as_they_were_read(tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("the recordings are not beside the checkout (../shared/data)")
    # Every layout is among the small ones.
    folder = tmp_path / "recordings"
    folder.mkdir()
    for path in SHARED.iterdir():
        if path.stat().st_size < 1_000_000:
            (folder / path.name).symlink_to(path)
    once, first = reading.import_recordings(folder, keep_in=tmp_path / UNFINISHED)
    again, second = reading.import_recordings(folder, keep_in=tmp_path / UNFINISHED)
    assert again.digest == once.digest
    assert [one for one in second if one.resumed] == [
        one._replace(resumed=True) for one in first if one.layout
    ]
