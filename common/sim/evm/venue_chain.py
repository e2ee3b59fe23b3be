"""The venue's chain and relayer on a real EVM node: same paths, same wallets, same balances.

Owns the node's life and passes requests on. Of the faults of chain and relayer it plays only that they are
down.
"""

from functools import partial

import aiohttp
from aiohttp import web

from common.errors import DependencyMissing
from common.sim.evm import plant
from common.sim.evm.mirror import Mirror
from common.sim.evm.node import EvmNode
from common.sim.evm.relayer import RelayedWallet, Relayer
from common.sim.evm.relayer_actions import RelayedKind
from common.sim.evm.relayer_auth import Customers
from common.sim.evm.rpc_client import RpcClient
from common.sim.faults import FaultBoard
from common.sim.naming import generated_name, made_up_question
from common.sim.settings import SimSettings
from common.sim.trading.accounts import Account
from common.sim.trading.contracts import (
    COLLATERAL,
    EXCHANGES,
    KNOWN_CONTRACTS,
    LEDGERS,
    SPENDERS,
    WalletKind,
)
from common.sim.trading.exchange import Exchange
from common.sim.world import World

BLOCK_S = 1
_COIN_WEI = 10**18
_STOP = "0x00"
"""Code of contracts that are looked for and never called here."""
_RELAYED: dict[WalletKind, RelayedKind] = {"safe": "SAFE", "proxy": "PROXY", "deposit": "WALLET"}
_PASSED_HEADERS = (
    "Content-Type",
    "RELAYER_API_KEY",
    "RELAYER_API_KEY_ADDRESS",
)
_TIMEOUT = aiohttp.ClientTimeout(total=20)


class VenueChain:
    """One chain, from `open` to `close`."""

    def __init__(self, settings: SimSettings, exchange: Exchange, world: World, board: FaultBoard) -> None:
        self._exchange = exchange
        self._world = world
        self._board = board
        self._settings = settings
        self._node = EvmNode(block_s=BLOCK_S)
        self._endpoint: RpcClient | None = None
        self._relayer: Relayer | None = None
        self._mirror: Mirror | None = None
        self._session: aiohttp.ClientSession | None = None

    def routes(self) -> list[web.RouteDef]:
        """The chain, and the relayer but for its path of deployed wallets, which the account side has."""
        return [
            web.post("/chain", self._chain),
            web.post("/relayer/submit", self._relayed),
            web.get("/relayer/{path:.*}", self._relayed),
        ]

    async def open(self) -> None:
        """Start the node with everybody's wallet and money on it; raises DependencyMissing."""
        await self._node.start()
        try:
            await self._furnish()
        except BaseException:
            await self.close()
            raise

    async def run(self) -> None:
        """Keep both sides the same until cancelled."""
        assert self._mirror is not None
        await self._mirror.run()

    async def close(self) -> None:
        """End the node; a second time changes nothing."""
        relayer, self._relayer = self._relayer, None
        if relayer is not None:
            await relayer.close()
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            await endpoint.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._node.stop()

    async def redeem_for(self, wallet: str, condition_id: str) -> str:
        """Let the venue's own redeemer take a wallet's tokens; the hash of its transaction."""
        assert self._mirror is not None
        return await self._mirror.redeem_for(wallet, condition_id)

    async def _furnish(self) -> None:
        node, accounts = self._node, self._exchange.accounts.all
        await plant.plant(node)
        for contract in KNOWN_CONTRACTS:
            if await node.rpc("eth_getCode", contract, "latest") == "0x":
                await node.rpc("anvil_setCode", contract, _STOP)
        for account in accounts:
            await self._make_wallet(account)
        relayed = [
            RelayedWallet(_RELAYED[each.kind], each.signer, each.address)
            for each in accounts
            if each.kind in _RELAYED
        ]
        self._relayer = Relayer(node.url, Customers(self._settings.relayer_keys), relayed)
        await self._relayer.open()
        self._endpoint = RpcClient(node.url)
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        self._mirror = Mirror(
            node,
            self._world,
            self._exchange.venue_book,
            self._exchange.chain_book,
            (each.address for each in accounts),
            partial(_question, self._settings.seed),
        )
        # The deposits, before anybody can ask.
        await self._mirror.step()

    async def _make_wallet(self, account: Account) -> None:
        await plant.give_wallet(self._node, account.kind, account.signer, account.address)
        if account.kind == "eoa":
            await self._node.set_coin(account.address, _COIN_WEI)
        for spender in SPENDERS:
            approval = plant.call("approve(address,uint256)", spender, account.allowance_usd6)
            await self._node.send_as(account.address, COLLATERAL, approval)
        for version, ledger in LEDGERS.items():
            await plant.approve(self._node, account.address, ledger, EXCHANGES[version].address, True)

    async def _chain(self, request: web.Request) -> web.Response:
        fault = self._board.chain()
        if fault is not None and fault.down:
            return web.Response(status=503, text="no backend is available")
        assert self._endpoint is not None
        try:
            answer = await self._endpoint.post(await request.read())
        except DependencyMissing as error:
            return web.Response(status=502, text=str(error))
        return web.Response(body=answer, content_type="application/json")

    async def _relayed(self, request: web.Request) -> web.Response:
        fault = self._board.relayer()
        if fault is not None and fault.form == "down":
            return web.json_response({"error": "service unavailable"}, status=503)
        assert self._relayer is not None
        assert self._session is not None
        url = self._relayer.url + request.path_qs.removeprefix("/relayer")
        headers = {name: request.headers[name] for name in _PASSED_HEADERS if name in request.headers}
        body = await request.read()
        try:
            async with self._session.request(request.method, url, data=body, headers=headers) as answer:
                told, kind = await answer.read(), answer.content_type
                return web.Response(status=answer.status, body=told, content_type=kind)
        except (aiohttp.ClientError, TimeoutError) as error:
            return web.Response(status=502, text=f"the relayer does not answer: {error!r}")


def _question(seed: int, slug: str) -> bytes:
    return made_up_question(generated_name(seed, slug))
