"""``laggard data``: import, list, verify and fetch, with what each refuses."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from common.research.data import fetch as fetching
from common.research.data.loading import load
from common.sim.script import Listed, Resolved
from procs.cli import data as data_command
from procs.cli.main import laggard, run
from stage import START_S, UP_BOOK, spec, stage

OPEN_MS = 1_770_300_000_000


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    bars = {name: [1.0, 2.0] for name in ("open", "high", "low", "close", "volume")}
    pl.DataFrame({"timestamp": [OPEN_MS, OPEN_MS + 60_000], **bars}).write_parquet(
        folder / "btc_bars.parquet"
    )
    pl.DataFrame({"a": [1]}).write_parquet(folder / "strange.parquet")
    return folder


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_import_tells_each_file_and_writes_what_load_reads(
    recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = recordings.parent / "out"
    assert run(laggard, ["data", "import", str(recordings), str(out), "--json"]) == 0
    found = told(capsys)
    files = {one["file"]: one for one in found["files"]}  # type: ignore[attr-defined]
    assert files["btc_bars.parquet"]["layout"] == "one-minute bars"
    assert "columns: a" in files["strange.parquet"]["refused"]
    assert load(out).digest == found["digest"]
    assert run(laggard, ["data", "import", str(recordings), str(out)]) == 0
    assert "refused: strange.parquet" in capsys.readouterr().out


def test_import_does_not_write_among_other_files(
    recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["data", "import", str(recordings), str(recordings)]) == 69
    assert "choose another" in capsys.readouterr().err


def test_nothing_to_import_is_an_error_with_the_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "strange.parquet")
    assert run(laggard, ["data", "import", str(tmp_path), str(tmp_path / "out")]) == 1
    assert "columns: a" in capsys.readouterr().err


def test_ls_shows_rows_and_digest(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = recordings.parent / "out"
    run(laggard, ["data", "import", str(recordings), str(out)])
    capsys.readouterr()
    assert run(laggard, ["data", "ls", str(out), "--json"]) == 0
    found = told(capsys)
    assert found["rows"] == {"markets": 0, "ticks": 2, "books": 0, "history": 0}
    assert run(laggard, ["data", "ls", str(out)]) == 0
    assert str(found["digest"]) in capsys.readouterr().out


def test_verify_names_the_damaged_file_and_exits_1(
    recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = recordings.parent / "out"
    run(laggard, ["data", "import", str(recordings), str(out)])
    assert run(laggard, ["data", "verify", str(out)]) == 0
    victim = next(out.rglob("part.parquet"))
    victim.write_bytes(victim.read_bytes() + b"x")
    capsys.readouterr()
    assert run(laggard, ["data", "verify", str(out), "--json"]) == 1
    found = told(capsys)
    assert found["whole"] is False
    assert str(victim.relative_to(out)) in found["problems"][0]  # type: ignore[index]


async def test_fetch_asks_the_configured_venue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAGGARD_CONFIG", "/dev/null")
    asked = ["data", "fetch", str(tmp_path / "out"), "--from", "2027-01-15T08:00", "--to", "2027-01-15T08:15"]
    async with stage() as held:
        held.happen(Listed(spec()), UP_BOOK, at_ms=START_S * 1000 + 5_000)
        held.happen(Resolved(spec().slug, "Up"), at_ms=(START_S + 960) * 1000)
        monkeypatch.setenv("LAGGARD_VENUE__GAMMA_URL", f"{held.base}/gamma")
        monkeypatch.setenv("LAGGARD_VENUE__CLOB_URL", f"{held.base}/clob")
        assert await asyncio.to_thread(run, laggard, asked) == 0
    found = load(tmp_path / "out")
    assert found.markets["outcome"].to_list() == ["up"]
    assert found.history["price4"].to_list() == [5_000]


@pytest.mark.parametrize("quiet", [False, True])
async def test_fetch_tells_each_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quiet: bool
) -> None:
    monkeypatch.setenv("LAGGARD_CONFIG", "/dev/null")
    monkeypatch.setattr(fetching, "BACK_OFF_S", 0.001)
    # Nobody listens there, as without a network.
    monkeypatch.setenv("LAGGARD_VENUE__GAMMA_URL", "http://127.0.0.1:9")
    asked = ["data", "fetch", str(tmp_path / "out"), "--from", "2027-01-15T08:00", "--to", "2027-01-15T08:15"]
    assert await asyncio.to_thread(run, laggard, [*["-q"] * quiet, *asked, "--rate", "50"]) == 69
    said = capsys.readouterr().err
    assert said.count(f"of {fetching.TRIES} in ") == (0 if quiet else fetching.TRIES - 1)
    assert "give the same command again" in said


@pytest.mark.parametrize(
    "wrong",
    [
        ["--from", "2026-11-02", "--to", "2026-11-01"],
        ["--from", "2026-11-01", "--to", "2026-11-02", "--assets", "gold"],
        ["--from", "2026-11-01", "--to", "2026-11-02", "--rate", "1000"],
    ],
)
def test_fetch_refuses_what_makes_no_sense(tmp_path: Path, wrong: list[str]) -> None:
    assert run(laggard, ["data", "fetch", str(tmp_path), *wrong]) == 2


def test_without_the_libraries_one_line_says_what_to_install(
    recordings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(data_command, "EXTRAS", ("no_such_library",))
    assert run(laggard, ["data", "ls", str(recordings)]) == 69
    assert "laggard[research]" in capsys.readouterr().err


def test_the_help_loads_no_library_for_studies() -> None:
    code = (
        "import sys; from procs.cli.main import laggard, run; "
        "[run(laggard, [name, '--help']) for name in ('data', 'tape', 'record')]; "
        "sys.exit(bool({'polars', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
