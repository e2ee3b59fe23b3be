"""The account and order side of the simulated venue, put together: routes, channel and what comes later."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from common.sim.faults import FaultBoard
from common.sim.settings import SimSettings
from common.sim.trading.account_rest import AccountRest
from common.sim.trading.accounts import Accounts
from common.sim.trading.cancel_rest import CancelRest
from common.sim.trading.chain import Chain
from common.sim.trading.chain_calls import ChainCalls
from common.sim.trading.chain_rpc import ChainRpc
from common.sim.trading.control import told
from common.sim.trading.exchange import Exchange
from common.sim.trading.fault_turns import FaultTurns
from common.sim.trading.market_reads import MarketReads
from common.sim.trading.order_rest import OrderRest
from common.sim.trading.position_rest import PositionRest
from common.sim.trading.relayer import Relayer
from common.sim.trading.relayer_rest import RelayerRest
from common.sim.trading.session import Sessions
from common.sim.trading.trade_life import Timers
from common.sim.trading.user_channel import UserChannel
from common.sim.world import MarketChange, World
from common.units import SECOND

if TYPE_CHECKING:
    from common.sim.evm.venue_chain import VenueChain


class _Routes(Protocol):
    def routes(self) -> list[web.RouteDef]: ...


class VenueTrading:
    """Everything that knows customers."""

    def __init__(
        self,
        settings: SimSettings,
        world: World,
        board: FaultBoard,
        api_keys: dict[str, tuple[str, str]],
        key_owners: dict[str, str],
        queue_limit: int,
        now_ns: Callable[[], int],
    ) -> None:
        turns = FaultTurns(board)
        self._timers = Timers()
        sessions = Sessions(api_keys, key_owners, now_ns)
        self.channel = UserChannel(
            sessions, board, queue_limit, self._timers, now_ns, odd=settings.odd_user_frames
        )
        accounts = Accounts(settings.accounts, key_owners)
        deposits = zip(accounts.all, settings.accounts, strict=True)
        self.exchange = Exchange(
            world,
            accounts,
            turns,
            self._timers,
            {"MINED": settings.mined_after_ms, "CONFIRMED": settings.confirmed_after_ms},
            {account.address: told.usd6 for account, told in deposits},
            self.channel,
            now_ns,
            self._may_sell,
        )
        self.chain = Chain(self.exchange, world, board, self._timers, settings.block_ms, now_ns)
        self._evm = _evm_chain(settings, self.exchange, world, board) if settings.evm else None
        chain_side: tuple[_Routes, ...]
        if self._evm is not None:
            chain_side = (self._evm,)
        else:
            relayer = Relayer(self.chain, accounts, board, now_ns)
            chain_side = (
                ChainRpc(self.chain, ChainCalls(self.exchange, world, self.chain), board),
                RelayerRest(relayer, settings.relayer_keys, accounts, board),
            )
        self._orders = OrderRest(
            self.exchange,
            sessions,
            board,
            turns,
            settings.taker_delay_ms,
            now_ns,
            answers_delayed=settings.answers_delayed,
        )
        self._rest: tuple[_Routes, ...] = (
            self._orders,
            CancelRest(self.exchange, sessions, board, now_ns),
            AccountRest(
                self.exchange,
                sessions,
                board,
                settings.page_size,
                tells_ended_orders=settings.tells_ended_orders,
            ),
            MarketReads(world),
            *chain_side,
            PositionRest(self.exchange, world, self.chain, round(settings.positions_late_s * SECOND), now_ns),
        )

    def routes(self) -> list[web.RouteDef]:
        """Every path of the account and order side."""
        return [
            web.get("/ws/user", self.channel.serve),
            web.get("/control/account", self._account),
            web.post("/control/redeem", self._redeem),
            *(route for rest in self._rest for route in rest.routes()),
        ]

    async def open(self) -> None:
        """Start the EVM node, where there is to be one; raises DependencyMissing."""
        if self._evm is not None:
            await self._evm.open()

    async def run(self) -> None:
        """Keep the EVM node's balances those of the books, where there is one."""
        if self._evm is not None:
            await self._evm.run()

    async def close(self) -> None:
        """End the EVM node."""
        if self._evm is not None:
            await self._evm.close()

    def market_changed(self, change: MarketChange) -> None:
        """Let new levels be bought again."""
        self.exchange.liquidity.market_changed(change)

    def stop(self) -> None:
        """Let go of requests that hang, and of everything that was to happen later."""
        self._orders.stop()
        self._timers.stop()

    def _may_sell(self, wallet: str, version: str) -> bool:
        # On an EVM node every wallet is made with its approvals, and no fault of the chain takes them away.
        return self._evm is not None or self.chain.may_sell(wallet, version)

    async def _account(self, request: web.Request) -> web.Response:
        return web.json_response(told(self.exchange, self.chain))

    async def _redeem(self, request: web.Request) -> web.Response:
        """The venue's own redeemer takes what a wallet holds of a condition in the next block."""
        asked = await request.json()
        wallet, condition = str(asked["wallet"]).lower(), str(asked["condition"]).lower()
        if self._evm is not None:
            return web.json_response({"transaction": await self._evm.redeem_for(wallet, condition)})
        return web.json_response({"transaction": self.chain.redeem_for(wallet, condition).tx_hash})


def _evm_chain(settings: SimSettings, exchange: Exchange, world: World, board: FaultBoard) -> "VenueChain":
    # Only here: it needs what works with real transactions, which a venue without customers does not.
    from common.sim.evm.venue_chain import VenueChain

    return VenueChain(settings, exchange, world, board)
