"""A live demo can redeem: its configuration names the relayer, and its venue knows the key."""

import json
from pathlib import Path

from common.runtime.config import load_config
from common.sim.settings import load_settings
from procs.cli.demo_config import generated_plan, with_live_account, write_files


def test_a_live_demo_has_a_key_for_the_relayer(tmp_path: Path) -> None:
    plan = with_live_account(generated_plan(60, 7, 8701, 1_800_000_000 * 10**9, ("chainlink",)))
    config_file, sim_file = write_files(plan, tmp_path)
    config, settings = load_config(config_file, {}), load_settings(sim_file)
    assert config.redeem.relayer_url == "http://127.0.0.1:8701/relayer"
    told = json.loads((tmp_path / "credentials" / "relayer.json").read_text())
    assert settings.relayer_keys == {told["api_key"]: told["address"]}
    assert told["address"] == settings.accounts[0].signer
    # An earlier demo's key is of no use to one on paper.
    write_files(generated_plan(60, 7, 8701, 1_800_000_000 * 10**9, ("chainlink",)), tmp_path)
    assert not (tmp_path / "credentials" / "relayer.json").exists()
