"""``laggard replay`` and ``laggard why --summary`` on a tape made beforehand."""

import hashlib
import json
from pathlib import Path

import pytest

from common.store.tape_writer import seal
from procs.cli.main import laggard, run
from taped_conversation import LATER, WINDOW, records, write_tape


@pytest.fixture
def tape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    config = tmp_path / "config.toml"
    config.write_text("")
    monkeypatch.setenv("LAGGARD_CONFIG", str(config))
    return write_tape(tmp_path / "tapes" / "bus")


def test_it_prints_the_digest_of_the_log_it_wrote(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "decisions.jsonl"
    assert run(laggard, ["replay", str(tape), "--out", str(out), "--check", "--speed", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert out.read_bytes().count(b"\n") == told["decisions"] + 1
    assert (told["orders"], told["tears"]) == (1, [])
    assert told["check"]["agreed"] == told["check"]["live"] == told["verdicts"] > 0
    assert told["events_per_s"] > 0
    assert told["speed"]["step_per_s"] > 0
    assert run(laggard, ["replay", str(tape), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == told["sha256"]


def test_another_configuration_decides_otherwise(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.toml"
    other.write_text('[strategy]\nmax_price = "0.30"\n')
    assert run(laggard, ["replay", str(tape), "--config", str(other), "--check"]) == 1
    said = capsys.readouterr().out
    assert "verdicts published then" in said
    assert "published [" in said
    assert WINDOW in said


def test_verdicts_that_do_not_agree_may_be_of_another_configuration(
    tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["replay", str(tape), "--check"]) == 0
    assert "--config" not in capsys.readouterr().err
    monkeypatch.setenv("LAGGARD_STRATEGY__MAX_PRICE", "0.30")
    assert run(laggard, ["replay", str(tape), "--check"]) == 1
    assert "the configuration may differ from the one of that run" in capsys.readouterr().err


def test_a_torn_tape_is_replayed_to_its_tear_and_fails(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tape / "00000001.tape"
    sealed = seal(path)
    sealed.write_bytes(sealed.read_bytes()[: sealed.stat().st_size // 4])
    out = tmp_path / "decisions.jsonl"
    assert run(laggard, ["-q", "replay", str(tmp_path), "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert "cut off; what followed is not there" in said.err
    assert "messages heard" in said.out
    assert run(laggard, ["replay", str(tape), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["events"] > 0
    assert told["tears"][0]["lost_bytes"] is None


def test_a_strategist_that_was_started_anew_is_told(
    tmp_path: Path, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reborn = write_tape(tmp_path / "other", records(reborn_at=415))
    assert run(laggard, ["replay", str(reborn), "--check"]) == 0
    assert "the strategist began anew" in capsys.readouterr().out


def test_a_tape_without_a_window_is_one_sentence(
    tmp_path: Path, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = write_tape(tmp_path / "other", [one for one in records() if one.source == "oracle-rtds"])
    assert run(laggard, ["why", "--summary", str(silent)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "no window is on this tape" in line


def test_a_tape_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["replay", str(tmp_path / "none")]) == 69
    said = capsys.readouterr()
    assert said.out == ""
    assert "there is no tape in" in said.err
    assert "Traceback" not in said.err


def test_the_summary_says_what_refused_every_window_and_what_that_cost(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["why", "--summary", "--state", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["without_verdict"] == []
    (ask,) = [gate for gate in told["gates"] if gate["gate"] == "ask"]
    assert (ask["windows"], ask["alone"], ask["judged"]) == (1, 1, 1)
    assert ask["net_usd6"] == told["windows"][1]["net_usd6"] > 0
    assert run(laggard, ["why", "--summary", str(tape)]) == 0
    shown = capsys.readouterr().out
    assert f"{LATER}  up" in shown
    assert "0 without a verdict" in shown


def test_by_default_it_is_the_tape_of_the_own_state_directory(
    tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAGGARD_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("procs.cli.why_summary.supervisor_pid", lambda _stack: None)
    assert run(laggard, ["why", "--summary"]) == 0
    assert str(tmp_path) in capsys.readouterr().out


def test_a_window_nobody_judged_fails(tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unjudged = [one for one in records() if one.topic != f"verdict.{LATER}"]
    assert run(laggard, ["why", "--summary", str(write_tape(tmp_path / "other", unjudged))]) == 1
    assert f"never judged: {LATER}" in capsys.readouterr().out


def test_a_state_directory_without_a_summary_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["why", "--state", str(tmp_path)]) == 2
    assert "--summary" in capsys.readouterr().err


def cut(tape: Path) -> Path:
    """The recorder was killed in the middle of the last record."""
    path = tape / "00000001.tape"
    path.write_bytes(path.read_bytes()[:-3])
    return tape


def test_the_summary_of_a_torn_tape_says_so_as_replay_does_and_fails(
    tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["why", "--summary", str(tape)]) == 0
    assert capsys.readouterr().err == ""
    assert run(laggard, ["replay", str(cut(tape))]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert "cut in a record at byte" in said
    assert run(laggard, ["-q", "why", "--summary", str(tape)]) == 1
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [said]
    assert LATER in shown.out
    assert run(laggard, ["replay", str(tape), "--json"]) == 1
    replayed = json.loads(capsys.readouterr().out)
    assert run(laggard, ["why", "--summary", str(tape), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["tears"] == replayed["tears"] != []
    assert (told["missing"], told["holes"]) == (0, [])


def test_the_summary_tells_the_holes_that_verify_tells(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    books = [one for one in records() if one.source == "books"]
    lost = {one.data for one in books[40:43]}
    holed = write_tape(tmp_path / "other", [one for one in records() if one.data not in lost])
    assert run(laggard, ["why", "--summary", str(holed)]) == 0
    assert capsys.readouterr().err == "hole: books after number 40, 3 messages\n"
    assert run(laggard, ["tape", "verify", str(holed), "--json"]) == 0
    verified = json.loads(capsys.readouterr().out)
    assert run(laggard, ["why", "--summary", str(holed), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["missing"] == verified["missing"] == 3
    assert told["holes"] == verified["holes"]
