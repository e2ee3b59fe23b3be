"""Redemption on a real EVM node: every kind of wallet, both ledgers, each route, exact to the unit."""

from pathlib import Path

import pytest

from common.core.redemption.claims import Ledger
from common.messages import Alert
from common.sim.evm import plant
from common.sim.evm.node import absent
from common.sim.trading.contracts import WalletKind
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
