"""``laggard decode polybolt``: recorded frames, bare, wrapped or in a list."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from procs.cli.main import laggard, run
from tests.feeds.polybolt_wire import point, snapshot, spot, twap
from tests.feeds.wire import NOW_MS, mutilated

FRAMES = [json.dumps(frame) for frame in (spot(), twap(2), snapshot(3, [point()]), {"op": "pong"})]


@pytest.fixture
def decode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def decoded(text: str) -> tuple[dict[str, int], list[str]]:
        """The counts of the JSON form, and what a person sees."""
        file = tmp_path / "recording"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        assert run(laggard, ["decode", "polybolt", str(file), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert run(laggard, ["decode", "polybolt", str(file)]) == 0
        return found["counts"], capsys.readouterr().out.splitlines()

    return decoded


def test_frames_answers_and_refusals_a_line_each(decode: Any) -> None:
    counts, shown = decode("\n".join([*FRAMES, json.dumps(spot(source="pyth"))]))
    assert counts == {"frames": 5, "lines": 5, "tick": 3, "pong": 1, "refused: provider": 1}
    assert shown[0].startswith("1: tick btc spot 79639.795829763498573824 of ")
    assert shown[1].startswith("2: tick btc twap60 ")
    assert shown[2].endswith(" backfill")
    assert shown[4] == "5: refused: provider: a price of pyth, not of chainlink"


def test_refused_credentials_in_a_recording_are_a_line_like_any_other(decode: Any) -> None:
    counts, _ = decode('{"op":"error","rid":"a1","code":"auth_invalid"}')
    assert counts == {"frames": 1, "lines": 1, "error": 1}


def test_a_pretty_printed_list_is_its_frames(decode: Any) -> None:
    counts, _ = decode(json.dumps([spot(), twap()], indent=2))
    assert counts == {"frames": 2, "lines": 1, "tick": 2}


def test_the_receive_time_of_a_wrapper_is_used(decode: Any) -> None:
    late, early = ({"recv_ms": NOW_MS + wait_ms, "frame": FRAMES[0]} for wait_ms in (1500, -60_000))
    counts, shown = decode(json.dumps(late) + "\n" + json.dumps(early))
    assert (counts["tick"], counts["refused: future"]) == (1, 1)
    assert "received after 1.50 s" in shown[0]


def test_lines_of_other_sources_are_counted_not_decoded(decode: Any) -> None:
    lines = [
        json.dumps({"source": name, "recv_ms": NOW_MS, "payload": FRAMES[0]})
        for name in ("oracle-polybolt", "oracle-rtds", "polymarket_clob", "oracle-chainlink")
    ]
    counts, _ = decode("\n".join(lines))
    assert (counts["tick"], counts["other source"]) == (1, 3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(mutilated(FRAMES))
def test_a_mutilated_line_is_a_result(decode: Any, line: str) -> None:
    counts, _ = decode("\n".join([line.replace("\n", " "), FRAMES[0], FRAMES[0]]))
    assert counts["lines"] == 3
    assert counts["tick"] >= 2
