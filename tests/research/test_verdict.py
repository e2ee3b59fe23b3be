"""The verdict file: whole, bound to code, configuration and data; and what real money may go by."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

import common
from common.errors import ConfigError
from common.research.falsification import trials, verdict
from common.runtime.config import Config, load_config

SENTENCE = "I know that nobody has shown an edge and trade anyway."
FINDING = {
    "result": "supported", "text": "every test was passed", "trades": 5_017, "net_usd6": 12,
    "tests": [{"name": "profit", "statistic": 0.1, "low": float("-inf"), "high": float("nan")}],
}  # fmt: skip


def config(**environment: str) -> Config:
    return load_config(None, {"LAGGARD_CONFIG": os.devnull, **environment})


def made(directory: Path, at: Config | None = None, **changes: Any) -> dict[str, Any]:
    return verdict.write(
        directory / "verdict.json", verdict.key_file(directory), at or config(), {**FINDING, **changes},
        data_digest="d" * 64, data_name="somewhere", at_ns=1_767_225_600_000_000_000,
    )  # fmt: skip


def checked(directory: Path, at: Config | None = None) -> tuple[dict[str, Any] | None, str]:
    return verdict.verify(directory / "verdict.json", verdict.key_file(directory), at or config())


def test_what_was_written_is_what_is_read_and_it_names_all_it_depends_on(tmp_path: Path) -> None:
    written = made(tmp_path)
    found, why = checked(tmp_path)
    assert why == ""
    assert found == {name: value for name, value in written.items() if name != "signature"}
    assert (found["code"], found["config"], found["data"]) == (
        verdict.code_hash(), verdict.config_hash(config()), "d" * 64,
    )  # fmt: skip
    assert found["versions"]["python"]
    assert found["tests"][0]["low"] is None, "JSON has no infinity"
    assert (tmp_path / "verdict.key").stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["verdict.json", "verdict.key"]


def test_the_key_is_in_no_verdict(tmp_path: Path) -> None:
    made(tmp_path)
    key = (tmp_path / "verdict.key").read_bytes()
    text = (tmp_path / "verdict.json").read_bytes()
    assert key not in text and key.hex().encode() not in text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("result", "supported "), ("trades", 5_018), ("data", "e" * 64), ("code", "0" * 64),
        ("config", "0" * 64), ("at_ns", 1), ("text", ""), ("tests", []),
    ],
)  # fmt: skip
def test_every_altered_field_is_noticed(tmp_path: Path, field: str, value: Any) -> None:
    made(tmp_path)
    file = tmp_path / "verdict.json"
    content = json.loads(file.read_text())
    content[field] = value
    file.write_text(json.dumps(content))
    found, why = checked(tmp_path)
    assert found is None and "altered" in why


def test_a_field_that_was_added_or_a_signature_that_is_gone_is_noticed(tmp_path: Path) -> None:
    made(tmp_path)
    file = tmp_path / "verdict.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "more": 1}))
    assert "altered" in checked(tmp_path)[1]
    del content["signature"]
    file.write_text(json.dumps(content))
    assert "altered" in checked(tmp_path)[1]


def test_another_layout_of_the_same_content_is_the_same_verdict(tmp_path: Path) -> None:
    made(tmp_path)
    file = tmp_path / "verdict.json"
    file.write_text(json.dumps(dict(sorted(json.loads(file.read_text()).items(), reverse=True))))
    assert checked(tmp_path)[1] == ""


def test_another_machines_key_does_not_fit(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "verdict.key").unlink()
    assert "not made on this machine" in checked(tmp_path)[1]
    assert not (tmp_path / "verdict.key").exists(), "verifying makes no key"
    (tmp_path / "verdict.key").write_bytes(b"k" * 32)
    (tmp_path / "verdict.key").chmod(0o600)
    assert "signature does not fit" in checked(tmp_path)[1]


def test_a_key_that_others_can_read_signs_nothing(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "verdict.key").chmod(0o644)
    with pytest.raises(ConfigError, match="read by others"):
        checked(tmp_path)
    with pytest.raises(ConfigError, match="read by others"):
        made(tmp_path)


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'{"kind": "other"}', b"\xff\xfe", b"null"])
def test_what_is_no_verdict_is_told_and_never_thrown(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "verdict.json").write_bytes(text)
    found, why = checked(tmp_path)
    assert found is None and "is not a verdict" in why


def test_no_file_another_schema_and_a_directory(tmp_path: Path) -> None:
    assert "there is no verdict" in checked(tmp_path)[1]
    (tmp_path / "verdict.json").write_text('{"kind": "verdict", "schema": 99}')
    assert "schema 99" in checked(tmp_path)[1]
    (tmp_path / "verdict.json").unlink()
    (tmp_path / "verdict.json").mkdir()
    assert "cannot be read" in checked(tmp_path)[1]


@pytest.mark.parametrize(
    "change",
    [
        {"LAGGARD_STRATEGY__MAX_PRICE": "0.63"},
        {"LAGGARD_STRATEGY__MIN_MOVE_PERCENT": "0.08"},
        {"LAGGARD_STRATEGY__MIN_TIME_LEFT_S": "299"},
        {"LAGGARD_STRATEGY__STAKE_USD": "11"},
        {"LAGGARD_STRATEGY__FAMILIES": "chainlink,binance"},
        {"LAGGARD_MARKETS__ASSETS": "btc"},
    ],
)
def test_a_verdict_of_another_rule_or_market_does_not_speak_for_this_one(
    tmp_path: Path, change: dict[str, str]
) -> None:
    made(tmp_path)
    found, why = checked(tmp_path, config(**change))
    assert found is None and "another configuration" in why


def test_what_does_not_change_decisions_leaves_the_verdict(tmp_path: Path) -> None:
    made(tmp_path)
    assert checked(tmp_path, config(LAGGARD_LOG__LEVEL="debug", LAGGARD_RISK__MAX_POSITIONS="3"))[1] == ""


def test_every_changed_source_of_the_core_makes_the_verdict_one_of_other_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "common"
    shutil.copytree(Path(common.__file__).parent, root, ignore=shutil.ignore_patterns("sim", "__pycache__"))
    before = verdict.code_hash()
    monkeypatch.setattr(common, "__file__", str(root / "__init__.py"))
    assert verdict.code_hash() == before, "the place has no part in it"
    made(tmp_path)
    judged = [
        "core/lag.py", "core/redemption/gas.py", "units.py", "messages/orders.py", "research/grids/walk.py",
    ]  # fmt: skip
    for name in judged:
        file = root / name
        text = file.read_bytes()
        file.write_bytes(text + b"\n")
        assert "other code" in checked(tmp_path)[1], name
        file.write_bytes(text)
        assert checked(tmp_path)[1] == ""
    (root / "core" / "new.py").touch()
    assert "other code" in checked(tmp_path)[1]
    (root / "core" / "new.py").unlink()
    (root / "venue" / "new.py").touch()
    assert checked(tmp_path)[1] == ""


def test_every_module_that_judges_exists() -> None:
    room = Path(verdict.__file__).parents[1]
    assert [name for name in verdict.JUDGING if not (room / f"{name}.py").exists()] == []


def test_a_supported_verdict_speaks_before_a_waiver(tmp_path: Path) -> None:
    made(tmp_path)
    found = verdict.evidence(config(LAGGARD_EVIDENCE__WAIVER=SENTENCE), tmp_path)
    assert found.by == "verdict"
    assert "5017 trades on somewhere" in found.text and "01 January 2026" in found.text


@pytest.mark.parametrize("result", ["not supported", "too little data"])
def test_a_verdict_that_says_no_is_no_evidence(tmp_path: Path, result: str) -> None:
    made(tmp_path, result=result, text="failed: profit")
    found = verdict.evidence(config(), tmp_path)
    assert found.by == "nothing"
    assert result in found.text and "failed: profit" in found.text
    assert "laggard falsify" in found.fix and "evidence.waiver" in found.fix


def test_a_waiver_is_shown_in_full_with_what_it_waives(tmp_path: Path) -> None:
    found = verdict.evidence(config(LAGGARD_EVIDENCE__WAIVER=SENTENCE), tmp_path)
    assert found.by == "waiver"
    assert "WAIVED" in found.text and SENTENCE in found.text and "there is no verdict" in found.text


@pytest.mark.parametrize("waiver", ["yes", "true", "I waive it", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"])
def test_a_waiver_has_to_be_a_sentence(waiver: str) -> None:
    with pytest.raises(ConfigError, match="sentence of your own"):
        config(LAGGARD_EVIDENCE__WAIVER=waiver)


def test_a_named_file_is_the_one_that_counts(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    made(tmp_path)
    shutil.move(tmp_path / "verdict.json", tmp_path / "elsewhere" / "v.json")
    named = config(LAGGARD_EVIDENCE__VERDICT=str(tmp_path / "elsewhere" / "v.json"))
    assert verdict.evidence(named, tmp_path).by == "verdict"
    assert verdict.evidence(config(), tmp_path).by == "nothing"


def test_as_a_check(tmp_path: Path) -> None:
    live = {
        "LAGGARD_MODE": "live", "LAGGARD_WALLET__KIND": "eoa", "LAGGARD_WALLET__ADDRESS": "0x" + "11" * 20,
    }  # fmt: skip
    assert verdict.evidence_check(config(), tmp_path).state == "skipped"
    failed = verdict.evidence_check(config(**live), tmp_path)
    assert failed.state == "failed" and failed.fix
    waived = verdict.evidence_check(config(**live, LAGGARD_EVIDENCE__WAIVER=SENTENCE), tmp_path)
    assert waived.state == "warning" and waived.fix
    made(tmp_path, config(**live))
    assert verdict.evidence_check(config(**live), tmp_path).state == "ok"


def test_a_verdict_made_on_paper_speaks_for_the_same_rule_with_real_money(tmp_path: Path) -> None:
    made(tmp_path, config())
    live = config(LAGGARD_MODE="live", LAGGARD_WALLET__KIND="eoa")
    assert verdict.evidence(live, tmp_path).by == "verdict"


def test_the_ledger_of_trials_counts_different_rules_once(tmp_path: Path) -> None:
    directory = tmp_path / "trials"
    assert trials.tried(directory, "a" * 64) == frozenset()
    assert trials.remember(directory, "a" * 64, [(700, 300, 6_200)]) == 1
    assert trials.remember(directory, "a" * 64, [(700, 300, 6_200), (700, 300, 6_300)]) == 2
    assert trials.remember(directory, "b" * 64, [(700, 300, 6_200)]) == 1
    assert trials.tried(directory, "a" * 64) == {(700, 300, 6_200), (700, 300, 6_300)}
    (directory / ("a" * 32 + ".json")).write_bytes(b"[[1,")
    assert trials.remember(directory, "a" * 64, [(1, 2, 3)]) == 1


def test_nothing_that_is_written_loads_a_slow_library() -> None:
    """``laggard up`` and ``laggard check`` ask for the evidence: they must not wait for polars or numba."""
    slow = "{'numpy', 'polars', 'numba'} & set(sys.modules)"
    code = f"import sys; import common.research.falsification.verdict; print(sorted({slow}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_form_is_one_that_a_person_can_read(tmp_path: Path) -> None:
    made(tmp_path)
    text = (tmp_path / "verdict.json").read_text()
    assert len(text.splitlines()) > 10
    assert msgspec.json.decode(text.encode())["kind"] == "verdict"
