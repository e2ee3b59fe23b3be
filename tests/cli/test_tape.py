"""``laggard tape``: lists, gap reports with their exit code, export with its resumption."""

import json
from pathlib import Path

import msgspec
import pytest

from common.messages import SCHEMA, Alert, Envelope, Tick
from common.research.data.loading import load
from common.research.data.tape_gaps import Gaps
from common.store.tape import Hole, Record
from common.store.tape_writer import TapeWriter, seal
from common.units import SECOND
from procs.cli.main import laggard, run
from procs.cli.tape_words import gap_fields, tell_gaps

START = 1_795_737_600 * SECOND


def said(
    seq: int, at_s: float, *, boot: str = "b1", source: str = "oracle-rtds", tick: bool = True
) -> Record:
    at_ns = START + int(at_s * SECOND)
    body: Tick | Alert = Alert(level="info", code="x", text="")
    if tick:
        body = Tick(asset="btc", kind="spot", route="rtds", observed_ns=at_ns, e18=str(10**18 * seq))
    envelope = Envelope(
        schema=SCHEMA,
        source=source,
        boot=boot,
        seq=seq,
        topic="tick.btc.spot.rtds" if tick else "alert.x",
        ts_event_ns=0,
        ts_recv_ns=at_ns,
        mono_ns=at_ns,
        cause="",
        body=body,
    )
    return Record(at_ns, at_ns, "bus", source, envelope.topic, msgspec.msgpack.encode(envelope))


@pytest.fixture
def tapes(tmp_path: Path) -> Path:
    """A silence of 20 s, three missing numbers, one restart."""
    writer = TapeWriter(tmp_path / "tapes" / "bus")
    for record in (
        said(1, 0),
        said(2, 1),
        said(6, 2),
        said(7, 22),
        said(1, 23, boot="b2"),
        said(1, 23, source="books", tick=False),
        said(2, 24, source="books", tick=False),
    ):
        writer.append(record)
    writer.close()
    return tmp_path / "tapes"


def torn(tapes: Path) -> Path:
    path = tapes / "bus" / "00000001.tape"
    path.write_bytes(path.read_bytes()[:-3])
    return tapes


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_ls_names_every_tape(tapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["tape", "ls", str(tapes), "--json"]) == 0
    (one,) = told(capsys)["tapes"]  # type: ignore[misc]
    assert (one["name"], one["segments"], one["open_segments"]) == ("bus", 1, 1)


def test_verify_reports_silences_holes_and_restarts(tapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["tape", "verify", str(tapes), "--json"]) == 0
    found = told(capsys)
    assert (found["whole"], found["records"], found["missing"]) == (True, 7, 3)
    assert found["restarts"] == {"oracle-rtds": 1}
    (silence,) = found["silences"]  # type: ignore[misc]
    assert (silence["stream"], silence["length_ns"]) == ("tick.btc.spot.rtds", 20 * SECOND)
    assert [hole["after_seq"] for hole in found["holes"]] == [2]  # type: ignore[attr-defined]
    names = {stream["name"]: stream["records"] for stream in found["streams"]}  # type: ignore[attr-defined]
    assert names == {"tick.btc.spot.rtds": 5, "books": 2}


def test_a_longer_patience_hears_no_silence(tapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["tape", "verify", str(tapes), "--silence", "30", "--json"]) == 0
    assert told(capsys)["silences"] == []


def test_a_tear_is_told_and_is_the_exit_code(tapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["tape", "verify", str(torn(tapes))]) == 1
    out = capsys.readouterr().out
    assert "tear" in out
    assert "1 tears" in out
    assert "20 s" in out


def test_export_writes_data_and_goes_on_with_resume(tapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tapes.parent / "out"
    assert run(laggard, ["tape", "export", str(tapes), "--parquet", str(out), "--json"]) == 0
    first = told(capsys)
    assert first["rows"]["ticks"] == 5  # type: ignore[index]
    assert load(out).digest == first["digest"] == load(tapes).digest
    assert run(laggard, ["tape", "export", str(tapes), "--parquet", str(out)]) == 69
    assert "--resume" in capsys.readouterr().err
    assert run(laggard, ["tape", "export", str(tapes), "--parquet", str(out), "--resume", "--json"]) == 0
    again = told(capsys)
    assert (again["resumed"], again["digest"]) == (1, first["digest"])


def test_a_torn_tape_is_exported_to_its_tear_and_said_so(
    tapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tapes.parent / "out"
    assert run(laggard, ["tape", "export", str(torn(tapes)), "--parquet", str(out)]) == 1
    assert "torn" in capsys.readouterr().err
    assert load(out).ticks.height == 5


def test_a_cut_sealed_segment_does_not_lose_nothing(tapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sealed = seal(tapes / "bus" / "00000001.tape")
    sealed.write_bytes(sealed.read_bytes()[:150])
    assert run(laggard, ["tape", "verify", str(tapes)]) == 1
    assert "cut off; what followed is not there" in capsys.readouterr().out
    assert run(laggard, ["tape", "export", str(tapes), "--parquet", str(tapes.parent / "out")]) == 1
    assert "cut off; what followed is not there" in capsys.readouterr().err


def test_a_state_directory_stands_for_its_tapes_everywhere(
    tapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, out = tapes.parent, tapes.parent / "out"
    assert run(laggard, ["tape", "ls", str(state), "--json"]) == 0
    assert [one["name"] for one in told(capsys)["tapes"]] == ["bus"]  # type: ignore[attr-defined]
    assert run(laggard, ["tape", "verify", str(state), "--json"]) == 0
    assert told(capsys)["records"] == 7
    assert run(laggard, ["tape", "export", str(state), "--parquet", str(out), "--json"]) == 0
    exported = told(capsys)
    assert run(laggard, ["data", "ls", str(state), "--json"]) == 0
    assert told(capsys)["digest"] == exported["digest"] == load(tapes).digest


def test_no_tape_says_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["tape", "ls", str(tmp_path)]) == 69
    assert "laggard record" in capsys.readouterr().err


def test_without_a_name_the_configured_tapes_are_meant(
    tapes: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAGGARD_STATE_DIR", str(tapes.parent))
    assert run(laggard, ["tape", "ls", "--json"]) == 0
    assert told(capsys)["directory"] == str(tapes)


def test_a_stream_that_fell_silent_for_good_is_told(tapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = TapeWriter(tapes / "bus")
    writer.append(said(3, 60, source="books", tick=False))
    writer.close()
    assert run(laggard, ["tape", "verify", str(tapes)]) == 0
    out = capsys.readouterr().out
    assert "tick.btc.spot.rtds after 00:00:23, to the end" in out
    assert "37 s" in out


def test_a_new_start_whose_beginning_is_not_there_is_a_hole(
    tapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = TapeWriter(tapes / "bus")
    writer.append(said(6, 25, boot="b3"))
    writer.close()
    assert run(laggard, ["tape", "verify", str(tapes), "--json"]) == 0
    found = told(capsys)
    assert (found["missing"], found["restarts"]) == (8, {"oracle-rtds": 2})
    assert run(laggard, ["tape", "verify", str(tapes)]) == 0
    assert "oracle-rtds at its start" in capsys.readouterr().out


def test_many_holes_are_summed_up_and_none_is_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    gaps = Gaps(holes=tuple(Hole("books", "b1", after, 2) for after in range(10, 80, 10)))
    tell_gaps(gaps)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "hole: books after number 10, 2 messages"
    assert lines[5:] == ["and 2 more holes, 14 messages missing in all; --json has all"]
    assert len(gap_fields(gaps)["holes"]) == 7  # type: ignore[arg-type]
