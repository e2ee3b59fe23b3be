"""What is planted on the EVM node: wallets that obey their owner alone, ids that add up, balances as told."""

import itertools

import pytest

from common.core.redemption.claims import Ledger
from common.sim.evm import plant
from common.sim.evm.node import EvmNode, absent
from common.sim.evm.relayer import RELAY
from common.sim.token_ids import token_of
from common.sim.trading.contracts import KNOWN_CONTRACTS, WalletKind
from common.venue.redeeming import outcomes
from common.venue.redeeming.calldata import Call
from common.venue.redeeming.owner_consent import proxy_data
from evm_stage import (
    HOLDER,
    OTHER_PRIVATE,
    PLACES,
    SIGNER,
    STRANGER,
    account,
    balances,
    chain,
    error,
    held,
    make,
    pay_own_gas,
    redeem,
    refusal,
    relayed,
    topic,
    wallet_of,
)

pytestmark = pytest.mark.skipif(bool(absent()), reason=absent())
ONE_POL = 10**18
RELAYED = topic("TransactionRelayed(address,address,address,bytes4,uint8,uint256)")
NOT_RELAYED = topic("CanRelayFailed(address,address,address,bytes4,uint256)")
UP6, DOWN6 = 12_345_679, 3_000_001


# Wallets.


@pytest.mark.parametrize("ledger", ["v1", "v2"])
@pytest.mark.parametrize("kind", ["eoa", "safe", "proxy"])
async def test_the_owners_transaction_moves_the_wallet(kind: WalletKind, ledger: Ledger) -> None:
    async with chain() as node:
        wallet = await wallet_of(node, kind)
        await node.set_coin(SIGNER, ONE_POL)
        condition = await held(node, wallet, ledger, UP6, 0, (1, 0))
        nonce = int(await node.rpc("eth_getTransactionCount", SIGNER, "latest"), 16)
        assert await pay_own_gas(node, account(kind), redeem(condition, up6=UP6), nonce=nonce)
        assert await balances(node, wallet, condition) == (0, 0, UP6)


@pytest.mark.parametrize("ledger", ["v1", "v2"])
@pytest.mark.parametrize("kind", ["safe", "proxy", "deposit"])
async def test_the_relayer_carries_out_two_conditions_at_once(kind: WalletKind, ledger: Ledger) -> None:
    async with chain() as node:
        wallet = await wallet_of(node, kind)
        first = await held(node, wallet, ledger, UP6, 0, (1, 0), seed=1)
        second = await held(node, wallet, ledger, 0, DOWN6, (0, 1), seed=2)
        calls = redeem(first, up6=UP6) + redeem(second, down6=DOWN6)
        assert len(calls) == 2
        await make(node, RELAY, [relayed(account(kind), calls)])
        assert await balances(node, wallet, first) == (0, 0, UP6 + DOWN6)
        assert await balances(node, wallet, second) == (0, 0, UP6 + DOWN6)


@pytest.mark.parametrize(("kind", "text"), [("safe", "GS013"), ("deposit", error("CallFailed()"))])
async def test_one_unresolved_condition_fails_all_and_uses_no_nonce(kind: WalletKind, text: str) -> None:
    async with chain() as node:
        wallet = await wallet_of(node, kind)
        won = await held(node, wallet, "v1", UP6, 0, (1, 0), seed=1)
        still_open = await held(node, wallet, "v1", DOWN6, 0, seed=2)
        action = relayed(account(kind), redeem(won) + redeem(still_open))
        assert text in await refusal(node, RELAY, action)
        with pytest.raises(RuntimeError, match="failed"):
            await make(node, RELAY, [action])
        assert await balances(node, wallet, won) == (UP6, 0, 0)
        # The nonce is as it was, so what was signed with it is good once both are resolved.
        await plant.resolve(node, still_open, 1, 0)
        await make(node, RELAY, [action])
        assert await plant.collateral(node, wallet) == UP6 + DOWN6


@pytest.mark.parametrize(
    ("kind", "of_nonce", "of_signer"), [("safe", "GS026", "GS026"), ("deposit", "nonce", "signer")]
)
async def test_a_wallet_obeys_its_owner_once(kind: WalletKind, of_nonce: str, of_signer: str) -> None:
    async with chain() as node:
        wallet = await wallet_of(node, kind)
        condition = await held(node, wallet, "v1", UP6, 0, (1, 0))
        calls = redeem(condition)
        assert of_nonce in await refusal(node, RELAY, relayed(account(kind), calls, nonce=1))
        assert of_signer in await refusal(node, RELAY, relayed(account(kind, OTHER_PRIVATE), calls))
        good = relayed(account(kind), calls)
        await make(node, RELAY, [good])
        assert await plant.collateral(node, wallet) == UP6
        assert of_nonce in await refusal(node, RELAY, good)


async def test_a_failed_request_of_a_proxy_succeeds_at_the_hub_and_uses_its_nonce() -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "proxy")
        won = await held(node, wallet, "v1", UP6, 0, (1, 0), seed=1)
        still_open = await held(node, wallet, "v1", DOWN6, 0, seed=2)
        calls = redeem(won) + redeem(still_open)
        assert await _hub_says(node, RELAY, relayed(account("proxy"), calls)) == (RELAYED, 1)
        assert await balances(node, wallet, won) == (UP6, 0, 0)
        await plant.resolve(node, still_open, 1, 0)
        assert await _hub_says(node, RELAY, relayed(account("proxy"), calls)) == (NOT_RELAYED, 2)
        assert await _hub_says(node, RELAY, relayed(account("proxy"), calls, nonce=1)) == (RELAYED, 0)
        assert await plant.collateral(node, wallet) == UP6 + DOWN6


async def test_a_hub_relays_only_what_the_owner_signed_for_this_relay() -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "proxy")
        condition = await held(node, wallet, "v1", UP6, 0, (1, 0))
        good = relayed(account("proxy"), redeem(condition))
        foreign = relayed(account("proxy", OTHER_PRIVATE), redeem(condition))
        # It names the owner as its sender, who did not sign it.
        foreign = foreign._replace(data=foreign.data[:16] + bytes.fromhex(SIGNER[2:]) + foreign.data[36:])
        assert await _hub_says(node, RELAY, foreign) == (NOT_RELAYED, 1)
        assert await _hub_says(node, STRANGER, good) == (NOT_RELAYED, 1)
        assert await balances(node, wallet, condition) == (UP6, 0, 0)
        assert await _hub_says(node, RELAY, good) == (RELAYED, 0)


async def _hub_says(node: EvmNode, sender: str, request: Call) -> tuple[str, int]:
    """Its event and the reason or status in it; the transaction itself succeeds."""
    receipt = await make(node, sender, [request])
    (told,) = [each for each in receipt["logs"] if each["address"] == PLACES.relay_hub.lower()]
    return told["topics"][0], int(told["data"][66:130], 16)


async def test_only_those_in_charge_reach_a_wallet() -> None:
    async with chain() as node:
        for kind in ("proxy", "deposit"):
            await wallet_of(node, kind)
        condition = await held(node, account("deposit").address, "v1", UP6, 0, (1, 0))
        batch = relayed(account("deposit"), redeem(condition))
        assert "operator only" in await refusal(node, STRANGER, batch)
        direct = Call(account("proxy").address, proxy_data([]))
        assert "factory only" in await refusal(node, SIGNER, direct)
        assert "no wallet" in await refusal(node, STRANGER, direct._replace(to=PLACES.proxy_factory))


async def test_a_deposit_wallet_heeds_the_deadline() -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "deposit")
        condition = await held(node, wallet, "v1", UP6, 0, (1, 0))
        now = int((await node.rpc("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
        action = relayed(account("deposit"), redeem(condition), deadline_s=now + 600)
        await node.rpc("evm_increaseTime", 700)
        await node.mine()
        assert "deadline" in await refusal(node, RELAY, action)


async def test_a_safe_is_the_real_one_of_its_owner() -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "safe")
        version = await _asked(node, wallet, plant.call("VERSION()"))
        assert b"1.3.0" in version
        assert (await _asked(node, wallet, plant.call("getOwners()")))[-20:].hex() == SIGNER[2:].lower()
        assert int.from_bytes(await _asked(node, wallet, plant.call("getThreshold()"))) == 1


async def test_a_new_wallet_has_every_approval_and_no_coin() -> None:
    async with chain() as node:
        for kind in ("eoa", "safe", "proxy", "deposit"):
            wallet = await wallet_of(node, kind)
            for ledger, operator in itertools.chain(
                [(PLACES.ctf, each) for each in (PLACES.adapter, PLACES.auto_redeemer)],
                [(PLACES.position_manager, each) for each in (PLACES.router, PLACES.auto_redeemer)],
            ):
                asked = outcomes.ask_approved(ledger, wallet, operator)
                assert outcomes.read_yes(await _asked(node, asked.to, asked.data))
            assert int(await node.rpc("eth_getBalance", wallet, "latest"), 16) == 0


# Contracts, conditions and balances.


async def test_code_is_at_every_address_that_redemption_names() -> None:
    known = {each.lower() for each in KNOWN_CONTRACTS}
    async with chain() as node:
        for place in (getattr(PLACES, name) for name in PLACES.__struct_fields__):
            assert len(await node.rpc("eth_getCode", place, "latest")) > 2, place
            assert place.lower() in known


async def test_ids_are_those_of_the_ledgers() -> None:
    async with chain() as node:
        older = await plant.make_condition(node, "v1", 7)
        newer = await plant.make_condition(node, "v2", 7)
        other = await plant.make_condition(node, "v2", 8)
        assert older.tokens == tuple(str(token_of(int(older.condition_id, 16), each)) for each in (0, 1))
        assert outcomes.condition_of_position(older.tokens[0]) is None
        assert [outcomes.condition_of_position(each) for each in newer.tokens] == [
            (newer.condition_id, 0),
            (newer.condition_id, 1),
        ]
        assert newer.condition_id != other.condition_id


@pytest.mark.parametrize("ledger", ["v1", "v2"])
async def test_balances_are_as_told(ledger: Ledger) -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "proxy")
        condition = await held(node, wallet, ledger, 5, 2)
        await plant.give_shares(node, wallet, condition, 1, 0)
        assert await balances(node, wallet, condition) == (6, 2, 0)
        await plant.set_shares(node, wallet, condition, 0, 4)
        await plant.set_shares(node, wallet, condition, 1, 9)
        assert await balances(node, wallet, condition) == (4, 9, 0)
        await plant.set_shares(node, wallet, condition, 1, 0)
        assert await balances(node, wallet, condition) == (4, 0, 0)
        await plant.mint_collateral(node, wallet, 30)
        await plant.burn_collateral(node, wallet, 10)
        assert await balances(node, wallet, condition) == (4, 0, 20)
        with pytest.raises(RuntimeError, match="failed"):
            await plant.burn_collateral(node, wallet, 21)
        assert await plant.shares(node, HOLDER, condition.tokens[0], ledger) == 0


async def _asked(node: EvmNode, to: str, data: bytes) -> bytes:
    answer = await node.rpc("eth_call", {"to": to, "data": "0x" + data.hex()}, "latest")
    return bytes.fromhex(answer[2:])
