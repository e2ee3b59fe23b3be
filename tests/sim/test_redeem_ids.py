"""Token ids of the older ledger, against other implementations of the hash and ids of real markets."""

import json
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak as other_keccak
from hypothesis import given
from hypothesis import strategies as st

from common.sim.naming import made_up_ids
from common.sim.token_ids import collection_of, keccak, token_of
from common.sim.trading.contracts import USDC_E


@given(st.binary(max_size=400))
def test_the_hash_is_the_chains(data: bytes) -> None:
    assert keccak(data) == other_keccak(data)


@pytest.mark.parametrize("length", [0, 1, 135, 136, 137, 271, 272])
def test_the_hash_at_its_edges(length: int) -> None:
    assert keccak(bytes(length)) == other_keccak(bytes(length))


def test_made_up_ids_are_what_the_contract_would_compute() -> None:
    condition, up, down = made_up_ids("anything")
    for index_set, token in ((1, up), (2, down)):
        collection = collection_of(int(condition, 16), index_set)
        packed = bytes.fromhex(USDC_E[2:]) + encode(["uint256"], [collection])
        assert int(token) == int.from_bytes(other_keccak(packed))
        assert int(token) == token_of(int(condition, 16), index_set - 1)


def test_real_markets_have_the_tokens_computed_here(shared_data: Path) -> None:
    lines = (shared_data / "frames/clob_ws/new_market_updown_2026-04-28.jsonl").read_text().splitlines()
    markets = [json.loads(line) for line in lines]
    assert len(markets) > 10
    for market in markets:
        condition = int(market["market"], 16)
        assert [str(token_of(condition, outcome)) for outcome in (0, 1)] == market["assets_ids"]
