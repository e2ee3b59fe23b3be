"""The chain of the simulated venue: what a trader reads of it over JSON-RPC, and how it can be wrong."""

from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak
from polymarket._internal.wallet import get_deposit_wallet_factory_beacon

from common.sim.script import Resolved
from common.sim.settings import SimAccount
from common.sim.trading.contracts import (
    COLLATERAL,
    CONDITIONAL_TOKENS,
    DEPOSIT_BEACON,
    DEPOSIT_FACTORY,
    EXCHANGES,
    KNOWN_CONTRACTS,
    POSITION_MANAGER,
)
from trading_stage import CONDITION, DOWN, MARKET, SIGNER, UP, USD6, WALLETS, Floor, played

NOBODY = "0x" + "99" * 20
WALLET = WALLETS["deposit"]


async def rpc(venue: Floor, method: str, *params: Any) -> Any:
    status, body = await venue.venue.post(
        "/chain", {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
    )
    assert (status, body["id"]) == (200, 7)
    return body.get("result", body.get("error"))


async def call(venue: Floor, to: str, function: str, *values: Any, gives: str = "uint256") -> Any:
    kinds = function[function.index("(") + 1 : -1]
    data = keccak(function.encode())[:4] + encode(kinds.split(",") if kinds else (), values)
    result = await rpc(venue, "eth_call", {"to": to, "data": "0x" + data.hex()}, "latest")
    if isinstance(result, dict):
        return result
    return decode((gives,), bytes.fromhex(result[2:]))[0] if result != "0x" else None


REVERTED = {"code": 3, "message": "execution reverted"}


def test_the_chain_tells_its_id_its_blocks_and_its_contracts() -> None:
    async def scene(venue: Floor) -> None:
        assert await rpc(venue, "eth_chainId") == "0x89"
        assert int(await rpc(venue, "eth_blockNumber"), 16) > 80_000_000
        for contract in (*KNOWN_CONTRACTS, *(WALLETS[kind] for kind in ("proxy", "safe", "deposit"))):
            assert len(await rpc(venue, "eth_getCode", contract, "latest")) > 2, contract
        for address in (NOBODY, SIGNER):
            assert await rpc(venue, "eth_getCode", address, "latest") == "0x"
        assert int(await rpc(venue, "eth_getBalance", SIGNER, "latest"), 16) == 10**18
        assert await rpc(venue, "eth_getBalance", WALLET, "latest") == "0x0"
        assert (await rpc(venue, "eth_sendRawTransaction", "0x00"))["code"] == -32000
        assert (await rpc(venue, "eth_getCode"))["code"] == -32602

    played(scene)


def test_balances_are_those_of_mined_trades() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        assert await call(venue, COLLATERAL, "decimals()") == 6
        assert await call(venue, COLLATERAL, "balanceOf(address)", WALLET) == USD6
        assert await call(venue, COLLATERAL, "balanceOf(address)", NOBODY) == 0
        await venue.venue.faults({"kind": "trade_path", "delays_ms": [60]})
        await venue.bought(client)
        assert await call(venue, COLLATERAL, "balanceOf(address)", WALLET) == USD6
        assert await call(venue, CONDITIONAL_TOKENS, "balanceOf(address,uint256)", WALLET, int(UP)) == 0
        await venue.until(lambda truth: {t["status"] for t in truth["orders"][0]["trades"]} == {"CONFIRMED"})
        assert await call(venue, COLLATERAL, "balanceOf(address)", WALLET) == (await venue.holdings())[0]
        held = await call(venue, CONDITIONAL_TOKENS, "balanceOf(address,uint256)", WALLET, int(UP))
        assert held == 9_923_077
        batch = "balanceOfBatch(address[],uint256[])"
        owners, ids = [WALLET, WALLET, NOBODY], [int(UP), int(DOWN), int(UP)]
        told = await call(venue, CONDITIONAL_TOKENS, batch, owners, ids, gives="uint256[]")
        assert told == (9_923_077, 0, 0)
        assert await call(venue, CONDITIONAL_TOKENS, batch, owners, ids[:2], gives="uint256[]") == REVERTED

    played(scene)


def test_allowances_and_approvals() -> None:
    accounts = (SimAccount(signer=SIGNER, address=WALLET, allowance_usd6=77),)

    async def scene(venue: Floor) -> None:
        allowance = "allowance(address,address)"
        for exchange in EXCHANGES.values():
            assert await call(venue, COLLATERAL, allowance, WALLET, exchange.address) == 77
        assert await call(venue, COLLATERAL, allowance, WALLET, NOBODY) == 0
        assert await call(venue, COLLATERAL, allowance, NOBODY, EXCHANGES["v1"].address) == 0
        approved = "isApprovedForAll(address,address)"
        for tokens in (CONDITIONAL_TOKENS, POSITION_MANAGER):
            assert await call(venue, tokens, approved, WALLET, EXCHANGES["v1"].address, gives="bool") is True
            assert await call(venue, tokens, approved, NOBODY, EXCHANGES["v1"].address, gives="bool") is False
        mine, other = (EXCHANGES[version].address for version in ("v1", "v2"))
        await venue.venue.faults({"kind": "chain", "approvals_missing": [mine]})
        assert await call(venue, CONDITIONAL_TOKENS, approved, WALLET, mine, gives="bool") is False
        assert await call(venue, POSITION_MANAGER, approved, WALLET, other, gives="bool") is True

    played(scene, accounts=accounts)


@pytest.mark.parametrize("outcome", ["Up", "Down"])
def test_payouts_are_known_once_a_market_is_resolved(outcome: str) -> None:
    condition = bytes.fromhex(CONDITION[2:])

    async def scene(venue: Floor) -> None:
        numerators = "payoutNumerators(bytes32,uint256)"
        assert await call(venue, CONDITIONAL_TOKENS, "payoutDenominator(bytes32)", condition) == 0
        assert await call(venue, CONDITIONAL_TOKENS, numerators, condition, 0) == REVERTED
        venue.venue.happen(Resolved(MARKET.slug, outcome))
        assert await call(venue, CONDITIONAL_TOKENS, "payoutDenominator(bytes32)", condition) == 1
        paid = [await call(venue, CONDITIONAL_TOKENS, numerators, condition, side) for side in (0, 1)]
        assert paid == ([1, 0] if outcome == "Up" else [0, 1])
        assert await call(venue, CONDITIONAL_TOKENS, numerators, condition, 2) == REVERTED

    played(scene)


def test_what_no_contract_has_reverts_and_nothing_answers_with_nothing() -> None:
    async def scene(venue: Floor) -> None:
        for contract in (COLLATERAL, CONDITIONAL_TOKENS, DEPOSIT_FACTORY, EXCHANGES["v1"].address):
            assert await call(venue, contract, "nothing()") == REVERTED
        assert await call(venue, NOBODY, "balanceOf(address)", WALLET) is None
        odd = {"to": COLLATERAL, "data": "0x70a0823101"}
        assert await rpc(venue, "eth_call", odd, "latest") == REVERTED

    played(scene)


def test_the_official_client_reads_this_chain() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        chain = client._ctx.rpc
        assert await chain.eth_chain_id() == 137
        assert await get_deposit_wallet_factory_beacon(chain, DEPOSIT_FACTORY) == DEPOSIT_BEACON
        balance = keccak(b"balanceOf(address)")[:4] + encode(("address",), (WALLET,))
        asked = [(COLLATERAL, "0x" + balance.hex())] * 3
        assert [int(each, 16) for each in await chain.eth_call_batch(asked)] == [USD6] * 3

    played(scene)


def test_a_batch_is_answered_one_by_one_and_nonsense_is_named() -> None:
    async def scene(venue: Floor) -> None:
        asked = [
            {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []},
            {"jsonrpc": "2.0", "id": 2, "method": "eth_none", "params": []},
            7,
        ]
        _, body = await venue.venue.post("/chain", asked)
        assert [each.get("result") for each in body] == ["0x89", None, None]
        assert [each["id"] for each in body] == [1, 2, None]
        assert [each["error"]["code"] for each in body[1:]] == [-32601, -32600]
        async with venue.venue.session.post(venue.venue.base + "/chain", data="{") as answer:
            assert (await answer.json())["error"]["code"] == -32700

    played(scene)


def test_the_chain_can_be_another_or_down_or_without_contracts() -> None:
    async def scene(venue: Floor) -> None:
        await venue.venue.faults({"kind": "chain", "chain_id": 80_002})
        assert await rpc(venue, "eth_chainId") == hex(80_002)
        await venue.venue.faults({"kind": "chain", "code_missing": [COLLATERAL, WALLET.lower()]})
        assert await rpc(venue, "eth_getCode", COLLATERAL, "latest") == "0x"
        assert await rpc(venue, "eth_getCode", WALLET, "latest") == "0x"
        assert await rpc(venue, "eth_getCode", CONDITIONAL_TOKENS, "latest") != "0x"
        assert await call(venue, COLLATERAL, "balanceOf(address)", WALLET) is None
        assert await rpc(venue, "eth_chainId") == "0x89"
        await venue.venue.faults({"kind": "chain", "down": True})
        async with venue.venue.session.post(venue.venue.base + "/chain", json={}) as answer:
            assert answer.status == 503
        await venue.venue.faults()
        assert await rpc(venue, "eth_chainId") == "0x89"

    played(scene)
