"""``laggard decode chainlink``: recorded reports, bare or as the stream sends them."""

import json
from pathlib import Path
from typing import Any

import pytest

from procs.cli.main import laggard, run
from tests.feeds.signed_reports import BTC, NOW_NS, NOW_S, TWAP60_BTC, envelope, message

FOREIGN = "0x0003" + "ab" * 30


@pytest.fixture
def decode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def decoded(*lines: str) -> tuple[dict[str, Any], list[str]]:
        """As JSON, and as a person sees it."""
        file = tmp_path / "recording"
        file.write_text("\n".join(lines))
        assert run(laggard, ["decode", "chainlink", str(file), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert run(laggard, ["decode", "chainlink", str(file)]) == 0
        return found, capsys.readouterr().out.splitlines()

    return decoded


def test_reports_bare_and_in_their_envelope(decode: Any) -> None:
    found, shown = decode(message(), json.dumps(envelope(TWAP60_BTC)), json.dumps(envelope(FOREIGN)))
    assert found["counts"] == {"frames": 3, "lines": 3, "report": 3}
    first, second, third = (line["message"] for line in found["lines"])
    assert (first["series"], first["schema"], first["observed_ns"]) == ("spot/btc", 3, NOW_NS)
    # Beyond 64 bits: decimal text.
    assert (first["price18"], first["native_fee"]) == (str(BTC), "71")
    assert (second["series"], second["bid18"]) == ("twap60/btc", None)
    assert (third["series"], third["feed_id"]) == (None, FOREIGN)
    assert shown[0].startswith("1: report spot/btc v3 63517.204518273645546372, bid 63516.2")
    assert shown[2].startswith(f"3: report {FOREIGN} v3 ")


def test_the_receive_time_of_a_wrapper_is_used(decode: Any) -> None:
    late = json.dumps({"recv_ms": NOW_S * 1000 + 1500, "frame": message()})
    early = json.dumps({"recv_ms": (NOW_S - 60) * 1000, "frame": message()})
    found, shown = decode(late, early)
    assert found["counts"]["refused: future"] == 1
    assert shown[0].endswith("received after 1.50 s")


def test_refusals_have_names(decode: Any) -> None:
    other = json.dumps({"fullReport": envelope("0x0009" + "ab" * 30)["fullReport"]})
    found, _ = decode(other, "nonsense", "{}", "")
    counts = found["counts"]
    assert [counts[f"refused: {name}"] for name in ("schema", "not-json", "no-report")] == [1, 1, 1]


def test_lines_of_the_relay_are_another_source(decode: Any) -> None:
    lines = [
        json.dumps({"source": name, "recv_ms": NOW_S * 1000, "payload": message()})
        for name in ("polymarket_rtds_chainlink", "oracle-chainlink", "coinbase")
    ]
    found, _ = decode(*lines)
    assert (found["counts"]["report"], found["counts"]["other source"]) == (1, 2)


def test_every_recorded_report(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = {}
    for file in sorted((shared_data / "frames" / "chainlink").iterdir()):
        assert run(laggard, ["decode", "chainlink", str(file), "--json"]) == 0
        counts[file.name] = json.loads(capsys.readouterr().out)["counts"]
    assert counts["full_reports.jsonl"] == {"frames": 9, "lines": 9, "report": 9}
    assert counts["full_reports_other_schemas.jsonl"] == {"frames": 1, "lines": 1, "refused: schema": 1}
    assert counts["SYNTHETIC_v2_twap_report.json"] == {"frames": 1, "lines": 1, "report": 1}
