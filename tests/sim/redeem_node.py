"""A redeemer's world on a real EVM node: contracts, four wallets, a faulty endpoint, a relayer, and desks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.core.redemption.claims import Ledger
from common.messages import Alert, RedemptionState
from common.runtime.clock import SystemClock
from common.runtime.config import Config, Venue, Wallet
from common.runtime.config import Redeem as RedeemSection
from common.runtime.credentials import Secret, write_credentials
from common.runtime.paths import Paths
from common.sim.evm import plant
from common.sim.evm.node import EvmNode
from common.sim.evm.plant import PlantedCondition
from common.sim.evm.relayer import RelayedWallet, Relayer
from common.sim.evm.relayer_actions import RelayedKind
from common.sim.evm.relayer_auth import Customers
from common.sim.evm.rpc_proxy import RpcProxy
from common.sim.trading.contracts import WalletKind
from common.venue.clob.order_request import Account
from common.venue.redeeming.candidates import Due
from common.venue.redeeming.desk import RedemptionDesk
from common.venue.redeeming.opening import open_desk
from common.venue.redeeming.report import redemptions
from common.venue.signing.order_signature import Signer
from common.venue.signing.wallet import wallets_of

PRIVATE = "0x" + "5c" * 32
SIGNER = Signer(Secret(PRIVATE)).address
RELAYER_KEY = "11111111-2222-3333-4444-555555555555"
ONE_POL = 10**18
LIMIT_S = 20.0
NAMES: dict[str, RelayedKind] = {"safe": "SAFE", "proxy": "PROXY", "deposit": "WALLET"}
QUICK = {
    "poll_s": 0.05,
    "resend_after_s": 0.3,
    "stuck_after_s": 0.6,
    "retry_after_s": 0.1,
    "late_after_s": 2.0,
}


@dataclass
class World:
    """One chain with everything around it."""

    node: EvmNode
    endpoint: RpcProxy
    endpoint_url: str
    relayer: Relayer
    relayer_url: str
    tmp_path: Path

    async def wallet(self, kind: WalletKind) -> str:
        """Make the wallet of the key, with approvals; a plain key gets a coin for gas."""
        address: str = getattr(wallets_of(SIGNER), kind)
        await plant.give_wallet(self.node, kind, SIGNER, address)
        if kind != "deposit":
            await self.node.set_coin(SIGNER, ONE_POL)
        if kind != "eoa":
            self.relayer.add_wallet(RelayedWallet(NAMES[kind], SIGNER, address))
        return address

    async def condition(
        self, ledger: Ledger, seed: int, wallet: str, up6: int, down6: int
    ) -> PlantedCondition:
        """A condition of which the wallet holds this much."""
        made = await plant.make_condition(self.node, ledger, seed)
        await plant.give_shares(self.node, wallet, made, up6, down6)
        return made

    def config(self, kind: WalletKind, wallet: str, **redeem: Any) -> Config:
        """Of a redeemer of this wallet."""
        return Config(
            mode="live",
            venue=Venue(chain_rpc_urls=(self.endpoint_url,), data_url="http://127.0.0.1:9/data"),
            wallet=Wallet(kind=kind, address=wallet),
            redeem=RedeemSection(**({"relayer_url": self.relayer_url} | QUICK | redeem)),
        )

    def paths(self, *, with_relayer: bool) -> Paths:
        """Its state and credentials."""
        credentials = self.tmp_path / "credentials"
        file = credentials / "relayer.json"
        if with_relayer and not file.exists():
            write_credentials(file, {"key": RELAYER_KEY, "address": SIGNER})
        (self.tmp_path / "state").mkdir(exist_ok=True)
        return Paths(self.tmp_path / "state", self.tmp_path / "run", credentials)

    def desk(
        self, kind: WalletKind, wallet: str, told: list[Alert], *, relayed: bool, **redeem: Any
    ) -> RedemptionDesk:
        """A desk on this world; its journal is that of the earlier ones."""
        account = Account(Signer(Secret(PRIVATE)), kind, wallet, False, 137)
        config = self.config(kind, wallet, **redeem)
        return open_desk(config, self.paths(with_relayer=relayed), account, SystemClock(), told.append)


@asynccontextmanager
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A fresh chain with all contracts."""
    async with EvmNode() as node:
        await plant.plant(node)
        endpoint = RpcProxy(node.url)
        relayer = Relayer(node.url, Customers({RELAYER_KEY: SIGNER}))
        try:
            endpoint_url = await endpoint.open()
            relayer_url = await relayer.open()
            yield World(node, endpoint, endpoint_url, relayer, relayer_url, tmp_path)
        finally:
            await endpoint.close()
            await relayer.close()


async def turns_until(
    world: World,
    desk: RedemptionDesk,
    due: tuple[Due, ...],
    enough: Callable[[RedemptionDesk], bool],
    *,
    mining: bool = True,
) -> None:
    """Let the desk work while blocks come, until this is so."""
    async with asyncio.timeout(LIMIT_S):
        while not enough(desk):
            if mining:
                await world.node.mine()
            await desk.turn(due)
            await asyncio.sleep(0.01)


def due_of(*conditions: PlantedCondition) -> tuple[Due, ...]:
    """Positions in these conditions that ended."""
    return tuple(Due(each.condition_id, f"window-{place}", 1, True) for place, each in enumerate(conditions))


def final(desk: RedemptionDesk) -> dict[str, RedemptionState]:
    """What is final, by condition; fails when something is paid twice."""
    found: dict[str, RedemptionState] = {}
    for _, state in redemptions(desk):
        if state.status in ("paid", "elsewhere"):
            assert state.condition_id not in found, f"paid twice: {state}"
            found[state.condition_id] = state
    return found
