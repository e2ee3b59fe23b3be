"""The planted contracts do what the venue's do, the odd cases included, and are what their source says."""

import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from common.core.redemption.claims import Ledger
from common.sim.evm import plant
from common.sim.evm.node import MODULES, EvmNode, absent
from common.sim.trading.contracts import (
    ADAPTER,
    AUTO_REDEEMER,
    BINARY_MODULE,
    CONDITIONAL_TOKENS,
    POSITION_MANAGER,
    ROUTER,
    USDC_E,
)
from common.venue.redeeming import outcomes
from common.venue.redeeming.calldata import Call, short_condition
from evm_stage import (
    HOLDER,
    PLACES,
    STRANGER,
    balances,
    chain,
    error,
    held,
    make,
    redeem,
    refusal,
    topic,
    wallet_of,
)

pytestmark = pytest.mark.skipif(bool(absent()), reason=absent())
UP6, DOWN6 = 12_345_679, 3_000_001
REDEEM = "redeemPositions(address,bytes32,bytes32,uint256[])"


def padded(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")


async def ask(node: EvmNode, call: Call) -> bytes:
    answer = await node.rpc("eth_call", {"to": call.to, "data": "0x" + call.data.hex()}, "latest")
    return bytes.fromhex(answer[2:])


# The older ledger.


@pytest.mark.parametrize(
    ("result", "paid"),
    [((1, 0), UP6), ((0, 1), DOWN6), ((1, 1), UP6 // 2 + DOWN6 // 2), ((1, 2), UP6 // 3 + DOWN6 * 2 // 3)],
)
async def test_the_adapter_takes_both_outcomes_and_pays_each_rounded_down(
    result: tuple[int, int], paid: int
) -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "safe")
        condition = await held(node, wallet, "v1", UP6, DOWN6, result)
        await make(node, wallet, redeem(condition))
        assert await balances(node, wallet, condition) == (0, 0, paid)
        # A second time succeeds and changes nothing.
        await make(node, wallet, redeem(condition))
        assert await balances(node, wallet, condition) == (0, 0, paid)


async def test_an_unresolved_condition_reverts_and_loses_nothing() -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "safe")
        condition = await held(node, wallet, "v1", UP6, DOWN6)
        (call,) = redeem(condition)
        assert "result for condition not received yet" in await refusal(node, wallet, call)
        with pytest.raises(RuntimeError, match="failed"):
            await make(node, wallet, [call])
        assert await balances(node, wallet, condition) == (UP6, DOWN6, 0)


async def test_the_adapter_needs_approval() -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "safe")
        condition = await held(node, wallet, "v1", UP6, 0, (1, 0))
        await plant.approve(node, wallet, CONDITIONAL_TOKENS, ADAPTER, False)
        (call,) = redeem(condition)
        text = await refusal(node, wallet, call)
        assert "ERC1155: need operator approval for 3rd party transfers." in text
        await plant.approve(node, wallet, CONDITIONAL_TOKENS, ADAPTER, True)
        await make(node, wallet, [call])
        assert await balances(node, wallet, condition) == (0, 0, UP6)


async def test_losing_tokens_are_burnt_for_nothing() -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "safe")
        condition = await held(node, wallet, "v1", 0, DOWN6, (1, 0))
        await make(node, wallet, redeem(condition))
        assert await balances(node, wallet, condition) == (0, 0, 0)


async def test_a_paused_adapter_reverts_with_its_selector() -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "safe")
        condition = await held(node, wallet, "v1", UP6, 0, (1, 0))
        (call,) = redeem(condition)
        await plant.pause_adapter(node, True)
        assert (await refusal(node, wallet, call)).endswith(" 0x49b8b3ac")
        await plant.pause_adapter(node, False)
        await make(node, wallet, [call])
        assert await balances(node, wallet, condition) == (0, 0, UP6)


async def test_conditional_tokens_themselves_keep_the_tokens_or_pay_the_older_dollar() -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "safe")
        condition = await held(node, wallet, "v1", UP6, DOWN6, (1, 0))
        (call,) = redeem(condition)
        await make(node, wallet, [Call(CONDITIONAL_TOKENS, call.data)])
        assert await balances(node, wallet, condition) == (UP6, DOWN6, 0)
        arguments = USDC_E, bytes(32), bytes.fromhex(condition.condition_id[2:]), [1, 2]
        await make(node, wallet, [Call(CONDITIONAL_TOKENS, plant.call(REDEEM, *arguments))])
        assert await balances(node, wallet, condition) == (0, 0, 0)
        old = await ask(node, Call(USDC_E, plant.call("balanceOf(address)", wallet)))
        assert outcomes.read_number(old) == UP6


async def test_the_adapter_heeds_nothing_but_the_condition() -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "safe")
        condition = await held(node, wallet, "v1", UP6, DOWN6, (0, 1))
        arguments = STRANGER, b"\x07" * 32, bytes.fromhex(condition.condition_id[2:]), [1]
        await make(node, wallet, [Call(ADAPTER, plant.call(REDEEM, *arguments))])
        assert await balances(node, wallet, condition) == (0, 0, DOWN6)


async def test_what_lies_in_the_adapter_is_paid_to_the_next_caller() -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "safe")
        condition = await held(node, wallet, "v1", UP6, 0, (1, 0))
        await plant.leave_dust(node, 3)
        await make(node, wallet, redeem(condition))
        assert await balances(node, wallet, condition) == (0, 0, UP6 + 3)


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("KeepingAdapter", (UP6, DOWN6, 0)),
        ("TakingAdapter", (0, 0, 0)),
        ("ShortAdapter", (0, 0, UP6 - 1)),
        ("CollateralAdapter", (0, 0, UP6)),
    ],
)
async def test_wrong_adapters_succeed(kind: plant.AdapterKind, left: tuple[int, int, int]) -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "safe")
        condition = await held(node, wallet, "v1", UP6, DOWN6, (1, 0))
        await plant.set_adapter(node, kind)
        receipt = await make(node, wallet, redeem(condition))
        assert receipt["status"] == "0x1"
        assert await balances(node, wallet, condition) == left


async def test_the_ledger_names_the_adapter_as_redeemer_and_the_money_names_the_wallet() -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "safe")
        condition = await held(node, wallet, "v1", UP6, 0, (1, 0))
        receipt = await make(node, wallet, redeem(condition))
        by_topic = {each["topics"][0]: each for each in receipt["logs"]}
        redeemed = by_topic[topic("PayoutRedemption(address,address,bytes32,bytes32,uint256[],uint256)")]
        assert redeemed["topics"][1] == padded(ADAPTER)
        paid = [
            each
            for each in receipt["logs"]
            if each["topics"][0] == topic("Transfer(address,address,uint256)")
            and each["topics"][2] == padded(wallet)
        ]
        assert [(each["address"], int(each["data"], 16)) for each in paid] == [
            (PLACES.collateral.lower(), UP6)
        ]


# The newer ledger.


async def test_the_router_pays_the_amount_it_is_told_and_a_loser_nothing() -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "safe")
        condition = await held(node, wallet, "v2", UP6, DOWN6, (1, 0))
        await make(node, wallet, redeem(condition, up6=UP6 - 5))
        assert await balances(node, wallet, condition) == (5, DOWN6, UP6 - 5)
        receipt = await make(node, wallet, redeem(condition, up6=5, down6=DOWN6))
        assert await balances(node, wallet, condition) == (0, 0, UP6)
        events = {each["topics"][0]: each for each in receipt["logs"]}
        told = events[topic("PositionRedeemed(address,uint256,address,uint256,uint256)")]
        assert told["address"] == BINARY_MODULE.lower()
        assert told["topics"][1:] == [
            padded(ROUTER),
            f"0x{int(condition.tokens[1]):064x}",
            padded(wallet),
        ]
        assert told["data"] == f"0x{DOWN6:064x}{0:064x}"


async def test_the_newer_ledger_says_what_it_will_pay() -> None:
    async with chain() as node:
        condition = await held(node, HOLDER, "v2", UP6, 0)
        up, down = condition.tokens
        payout = outcomes.ask_payout(PLACES, up, UP6)
        result = outcomes.ask_result(PLACES, condition.condition_id)
        assert outcomes.read_result(await ask(node, result)) == ((0, 0), 0)
        assert error("ConditionNotResolved()") in await refusal(node, HOLDER, payout)
        await plant.resolve(node, condition, 1, 3)
        assert outcomes.read_result(await ask(node, result)) == ((250_000, 750_000), 1_000_000)
        assert outcomes.read_number(await ask(node, payout)) == UP6 // 4
        assert outcomes.read_number(await ask(node, outcomes.ask_payout(PLACES, down, 10))) == 7


async def test_what_the_router_refuses() -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "safe")
        condition = await held(node, wallet, "v2", UP6, 0)
        (call,) = redeem(condition, up6=UP6)
        assert error("ConditionNotResolved()") in await refusal(node, wallet, call)
        await plant.resolve(node, condition, 1, 0)
        (too_much,) = redeem(condition, up6=UP6 + 1)
        assert error("InsufficientBalance()") in await refusal(node, wallet, too_much)
        short = short_condition(condition.condition_id)
        third = Call(ROUTER, plant.call("redeem(bytes31,uint256,uint256)", short, 2, 1))
        assert error("InvalidOutcome()") in await refusal(node, wallet, third)
        await plant.approve(node, wallet, POSITION_MANAGER, ROUTER, False)
        assert error("NotApproved()") in await refusal(node, wallet, call)
        await plant.approve(node, wallet, POSITION_MANAGER, ROUTER, True)
        await make(node, wallet, [call])
        assert error("InsufficientBalance()") in await refusal(node, wallet, call)


async def test_tokens_of_the_newer_ledger_move_only_with_their_holder() -> None:
    async with chain() as node:
        condition = await held(node, HOLDER, "v2", UP6, 0)
        transfer = "safeTransferFrom(address,address,uint256,uint256,bytes)"
        up = int(condition.tokens[0])
        call = Call(POSITION_MANAGER, plant.call(transfer, HOLDER, STRANGER, up, UP6, b""))
        assert error("NotApproved()") in await refusal(node, STRANGER, call)
        too_much = Call(POSITION_MANAGER, plant.call(transfer, HOLDER, STRANGER, up, UP6 + 1, b""))
        assert error("InsufficientBalance()") in await refusal(node, HOLDER, too_much)


@pytest.mark.parametrize("ledger", ["v1", "v2"])
async def test_a_result_is_written_once(ledger: Ledger) -> None:
    async with chain() as node:
        condition = await held(node, HOLDER, ledger, UP6, 0, (1, 0))
        with pytest.raises(RuntimeError, match="failed"):
            await plant.resolve(node, condition, 0, 1)


@pytest.mark.parametrize("ledger", ["v1", "v2"])
async def test_the_venues_redeemer_pays_the_holder_who_approved_it(ledger: Ledger) -> None:
    async with chain() as node:
        wallet = await wallet_of(node, "safe")
        condition = await held(node, wallet, ledger, UP6, DOWN6, (0, 1))
        place = CONDITIONAL_TOKENS if ledger == "v1" else POSITION_MANAGER
        await plant.approve(node, wallet, place, AUTO_REDEEMER, False)
        with pytest.raises(RuntimeError, match="failed"):
            await plant.auto_redeem(node, wallet, condition)
        assert await balances(node, wallet, condition) == (UP6, DOWN6, 0)
        await plant.approve(node, wallet, place, AUTO_REDEEMER, True)
        await plant.auto_redeem(node, wallet, condition)
        assert await balances(node, wallet, condition) == (0, 0, DOWN6)


# What is planted.


def test_the_stand_ins_are_what_their_source_compiles_to() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("recompiling needs node on PATH")
    assert (MODULES / "solc").is_dir(), "the compiler is missing: run bin/setup with npm on PATH"
    place = Path(str(files("common.sim.evm")))
    command = [node, str(place / "contracts" / "compile.js"), str(MODULES)]
    compiled = subprocess.run(command, capture_output=True, check=True, timeout=50).stdout
    assert compiled == (place / "contracts.json").read_bytes(), (
        "common/sim/evm/contracts.json is not of its source: run compile.js as its first line says"
    )
