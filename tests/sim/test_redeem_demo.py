"""A live demo can redeem: its files name relayer, key and chain, a real EVM node where there is one."""

import json
from pathlib import Path

import pytest

from common.runtime.config import load_config
from common.sim.evm import node
from common.sim.settings import load_settings
from procs.cli.demo_config import Plan, generated_plan, recording_plan, with_live_account, write_files

NOW_NS = 1_800_000_000 * 10**9


def paper_plan() -> Plan:
    return generated_plan(60, 7, 8701, NOW_NS, ("chainlink",))


def there_is_a_node(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Or something that looks like one."""
    binary = tmp_path / "anvil"
    binary.touch(mode=0o700)
    patch.setattr(node, "BINARY", binary)


def test_a_live_demo_has_a_key_for_the_relayer(tmp_path: Path) -> None:
    plan = with_live_account(paper_plan())
    config_file, sim_file = write_files(plan, tmp_path)
    config, settings = load_config(config_file, {}), load_settings(sim_file)
    assert config.redeem.relayer_url == "http://127.0.0.1:8701/relayer"
    told = json.loads((tmp_path / "credentials" / "relayer.json").read_text())
    assert settings.relayer_keys == {told["key"]: told["address"]}
    assert told["address"] == settings.accounts[0].signer
    # An earlier demo's key is of no use to one on paper.
    write_files(paper_plan(), tmp_path)
    assert not (tmp_path / "credentials" / "relayer.json").exists()


def test_it_redeems_on_an_evm_node_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there_is_a_node(monkeypatch, tmp_path)
    plan = with_live_account(paper_plan())
    assert load_settings(write_files(plan, tmp_path)[1]).evm
    assert plan.notes[-1] == "redeemed on a real EVM node (anvil)"
    assert not paper_plan().sim.evm


def test_it_redeems_on_the_simulated_chain_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "BINARY", tmp_path / "nothing")
    plan = with_live_account(paper_plan())
    assert not load_settings(write_files(plan, tmp_path)[1]).evm
    assert plan.notes[-1] == f"redeemed on the simulated chain: {node.absent()}"
    assert "bin/setup" in plan.notes[-1]


def test_a_recording_redeems_on_the_simulated_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its conditions are real ones: nobody here can make them on a node."""
    there_is_a_node(monkeypatch, tmp_path)
    rows = ["feed_ts_ms,value,full_accuracy_value,server_ts_ms,recv_ms"]
    for second in range(2400):
        stamp = 1_700_000_100_000 + second * 1000
        rows.append(f"{stamp},50000.0,50000{'0' * 18},{stamp + 1000},{stamp + 1200}")
    recording = tmp_path / "ticks.csv"
    recording.write_text("\n".join(rows) + "\n")
    plan = with_live_account(recording_plan(recording, None, 30.0, 8701, NOW_NS, ("chainlink",)))
    assert not plan.sim.evm
    assert plan.notes[-1].startswith("redeemed on the simulated chain: ")
