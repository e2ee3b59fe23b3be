"""Redemption on a real EVM node: every kind of wallet, both ledgers, each route, exact to the unit."""

from pathlib import Path

import pytest

from common.core.redemption.claims import Ledger
from common.messages import Alert
from common.sim.evm import plant
from common.sim.evm.node import absent
from common.sim.evm.rpc_faults import HoldSends
from common.sim.trading.contracts import (
    ADAPTER,
    CONDITIONAL_TOKENS,
    POSITION_MANAGER,
    ROUTER,
    WalletKind,
)
from redeem_node import due_of, final, turns_until, world

pytestmark = pytest.mark.skipif(bool(absent()), reason=absent())
ROUTES = [
    ("eoa", False),
    ("proxy", False),
    ("proxy", True),
    ("safe", False),
    ("safe", True),
    ("deposit", True),
]


@pytest.mark.parametrize("ledger", ["v1", "v2"])
@pytest.mark.parametrize(("kind", "relayed"), ROUTES)
async def test_a_wallet_is_paid_exactly(
    tmp_path: Path, kind: WalletKind, relayed: bool, ledger: Ledger
) -> None:
    told: list[Alert] = []
    async with world(tmp_path) as made:
        wallet = await made.wallet(kind)
        won = await made.condition(ledger, 1, wallet, 12_345_678, 0)
        other = await made.condition(ledger, 2, wallet, 0, 50_001)
        lost = await made.condition(ledger, 3, wallet, 7, 0)
        desk = made.desk(kind, wallet, told, relayed=relayed)
        due = due_of(won, other, lost)
        await turns_until(made, desk, due, lambda each: len(each.left) == 3)
        await plant.resolve(made.node, won, 1, 0)
        await plant.resolve(made.node, other, 0, 1)
        await plant.resolve(made.node, lost, 0, 1)
        await turns_until(made, desk, due, lambda each: len(final(each)) == 2)
        for _ in range(3):
            await desk.turn(due)
        assert await plant.collateral(made.node, wallet) == 12_345_678 + 50_001
        assert {state.paid_usd6 for state in final(desk).values()} == {12_345_678, 50_001}
        assert desk.left[lost.condition_id].reason == "lost"
        assert desk.route.name == ("relayer" if relayed else "own-gas")
        # A plain key needs a transaction for each; every other wallet takes both in one.
        assert len(desk.attempts) == (2 if kind == "eoa" else 1)
        desk.journal.close()
    assert {alert.code for alert in told} == {"redemption-paid"}


@pytest.mark.parametrize("ledger", ["v1", "v2"])
async def test_a_missing_approval_is_named_with_its_cure(tmp_path: Path, ledger: Ledger) -> None:
    async with world(tmp_path) as made:
        wallet = await made.wallet("safe")
        won = await made.condition(ledger, 1, wallet, 5_000_000, 0)
        holder, operator = (CONDITIONAL_TOKENS, ADAPTER) if ledger == "v1" else (POSITION_MANAGER, ROUTER)
        await plant.approve(made.node, wallet, holder, operator, False)
        await plant.resolve(made.node, won, 1, 0)
        desk = made.desk("safe", wallet, [], relayed=True)
        await turns_until(made, desk, due_of(won), lambda each: "never approved redemption" in each.problem)
        assert not desk.attempts
        await plant.approve(made.node, wallet, holder, operator, True)
        await turns_until(made, desk, due_of(won), lambda each: len(final(each)) == 1)
        desk.journal.close()


async def test_an_address_without_a_contract_stops_everything_by_name(tmp_path: Path) -> None:
    told: list[Alert] = []
    async with world(tmp_path) as made:
        wallet = await made.wallet("safe")
        won = await made.condition("v1", 1, wallet, 5_000_000, 0)
        await plant.resolve(made.node, won, 1, 0)
        nowhere = "0x" + "12" * 20
        desk = made.desk("safe", wallet, told, relayed=True, contracts={"adapter": nowhere})
        await turns_until(made, desk, due_of(won), lambda each: nowhere in each.problem)
        assert "redeem.contracts.adapter" in desk.problem
        assert not desk.attempts
        desk.journal.close()
    assert [alert.level for alert in told] == ["critical"]


async def test_a_batch_of_ten_of_both_ledgers_is_one_transaction(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        wallet = await made.wallet("deposit")
        won = [
            await made.condition("v1" if seed % 2 else "v2", seed, wallet, 1_000_000 + seed, 0)
            for seed in range(12)
        ]
        for each in won:
            await plant.resolve(made.node, each, 1, 0)
        await plant.leave_dust(made.node, 7)
        desk = made.desk("deposit", wallet, [], relayed=True)
        await turns_until(made, desk, due_of(*won), lambda each: len(final(each)) == 12)
        assert await plant.collateral(made.node, wallet) == 12_000_000 + sum(range(12)) + 7
        assert [len(each.claims) for each in desk.attempts] == [10, 2]
        # Whoever comes first gets what somebody left in the adapter; it is told apart.
        assert sum(state.surplus_usd6 for state in final(desk).values()) == 7
        desk.journal.close()


async def test_a_used_nonce_that_is_called_free_stops_before_anything_is_signed(
    tmp_path: Path,
) -> None:
    """Endpoints that are behind, or a chain that forgot a final block."""
    async with world(tmp_path) as made:
        wallet = await made.wallet("eoa")
        won = await made.condition("v1", 1, wallet, 5_000_000, 0)
        await plant.resolve(made.node, won, 1, 0)
        await made.node.mine(3)
        before = await made.node.rpc("evm_snapshot")
        desk = made.desk("eoa", wallet, [], relayed=False)
        await turns_until(made, desk, due_of(won), lambda each: len(final(each)) == 1)
        await made.node.rpc("evm_revert", before)
        await turns_until(made, desk, due_of(won), lambda each: "endpoints are behind" in each.problem)
        assert len(desk.attempts) == 1
        desk.journal.close()


async def test_an_open_try_of_another_route_is_left_to_that_route(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        wallet = await made.wallet("safe")
        won = await made.condition("v1", 1, wallet, 5_000_000, 0)
        await plant.resolve(made.node, won, 1, 0)
        made.endpoint.set_faults(HoldSends(method="eth_sendRawTransaction"))
        desk = made.desk("safe", wallet, [], relayed=False)
        await turns_until(made, desk, due_of(won), lambda each: bool(each.attempts))
        desk.journal.close()
        other = made.desk("safe", wallet, [], relayed=True)
        await turns_until(made, other, due_of(won), lambda each: "set redeem.route" in each.problem)
        assert [each.stage for each in other.attempts] != ["ended"]
        other.journal.close()
        made.endpoint.set_faults()
        await made.endpoint.release()
        back = made.desk("safe", wallet, [], relayed=False, route="own-gas")
        await turns_until(made, back, due_of(won), lambda each: len(final(each)) == 1)
        back.journal.close()


async def test_a_transaction_dearer_than_the_users_limit_is_not_signed(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        wallet = await made.wallet("eoa")
        won = await made.condition("v1", 1, wallet, 5_000_000, 0)
        await plant.resolve(made.node, won, 1, 0)
        desk = made.desk("eoa", wallet, [], relayed=False, max_pol_per_transaction="0.000001")
        await turns_until(
            made, desk, due_of(won), lambda each: "redeem.max_pol_per_transaction" in each.problem
        )
        assert not desk.attempts
        desk.journal.close()
