"""Keeps an EVM node and the venue's books the same: trades go to the node, redemptions come back.

One step after another, so that what differs on the node is what a redemption did. Decides no trade.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from common.sim.evm import plant
from common.sim.evm.node import EvmNode
from common.sim.evm.plant import PlantedCondition
from common.sim.trading.account_book import COLLATERAL_ASSET as MONEY
from common.sim.trading.account_book import AccountBook, Entry
from common.sim.trading.redeeming import REDEEMED
from common.sim.world import Market, World

POLL_S = 0.1
_PAYOUTS = {"Up": (1, 0), "Down": (0, 1)}
log = logging.getLogger(__name__)


class Mirror:
    """The wallets' balances on both sides."""

    def __init__(
        self,
        node: EvmNode,
        world: World,
        venue_book: AccountBook,
        chain_book: AccountBook,
        wallets: Iterable[str],
        question: Callable[[str], bytes],
    ) -> None:
        """``question`` gives what the oracle is asked for a market, by its slug."""
        self._node = node
        self._world = world
        self._venue_book = venue_book
        self._chain_book = chain_book
        self._wallets = tuple(wallets)
        self._question = question
        self._there: dict[tuple[str, str], int] = {}
        """By wallet and asset what the node holds, as far as was seen or done here."""
        self._made: dict[str, PlantedCondition] = {}
        """By token."""
        self._resolved: set[str] = set()
        """Conditions whose result is on the node."""
        self._seen_block = -1
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Step after step, until cancelled; raises DependencyMissing when the node has ended."""
        while True:
            await self.step()
            await asyncio.sleep(POLL_S)

    async def step(self) -> None:
        """Bring both sides together once."""
        async with self._turn:
            await self._take_redemptions()
            # Shares come before the result: a resolved condition without them would look redeemed.
            await self._carry_trades()
            await self._carry_results()

    async def redeem_for(self, wallet: str, condition_id: str) -> str:
        """Let the venue's own redeemer take a wallet's tokens of a condition; the hash of its transaction.

        Raises KeyError for a condition nobody holds.
        """
        made = {each.condition_id: each for each in self._made.values()}
        async with self._turn:
            return await plant.auto_redeem(self._node, wallet, made[condition_id])

    async def _take_redemptions(self) -> None:
        """Post what has left the wallets on the node, and what was paid for it."""
        block = await self._node.head()
        if block == self._seen_block:
            return
        for wallet in self._wallets:
            entries: list[Entry] = []
            for (holder, asset), before in self._there.items():
                if holder != wallet:
                    continue
                # All at one block: tokens gone and money not yet there would be two redemptions.
                change = await self._held(wallet, asset, hex(block)) - before
                if asset == MONEY and change:
                    entries.append(Entry(REDEEMED, wallet, MONEY, change))
                elif change:
                    entries.append(Entry(wallet, REDEEMED, asset, -change))
            if not entries:
                continue
            for book in (self._venue_book, self._chain_book):
                book.post(entries)
            for entry in entries:
                sign = 1 if entry.asset == MONEY else -1
                self._there[wallet, entry.asset] += sign * entry.amount6
            log.info("redeemed on the EVM node by block %d: %d entries of %s", block, len(entries), wallet)
        self._seen_block = block

    async def _carry_trades(self) -> None:
        """Give the node's wallets what mined trades gave and took."""
        for wallet in self._wallets:
            known = {asset for holder, asset in self._there if holder == wallet}
            for asset in sorted({MONEY, *self._chain_book.tokens(wallet), *known}):
                more = self._chain_book.balance(wallet, asset) - self._there.get((wallet, asset), 0)
                if not more:
                    continue
                if asset == MONEY:
                    await self._carry_money(wallet, more)
                else:
                    await self._carry_shares(wallet, asset, more)
                self._there[wallet, asset] = self._there.get((wallet, asset), 0) + more

    async def _carry_money(self, wallet: str, more6: int) -> None:
        if more6 > 0:
            await plant.mint_collateral(self._node, wallet, more6)
        else:
            await plant.burn_collateral(self._node, wallet, -more6)

    async def _carry_shares(self, wallet: str, token: str, more6: int) -> None:
        made = self._made.get(token) or await self._make(self._world.by_token[token])
        outcome = made.tokens.index(token)
        if more6 > 0:
            up6, down6 = (more6, 0) if outcome == 0 else (0, more6)
            await plant.give_shares(self._node, wallet, made, up6, down6)
        else:
            left6 = self._there[wallet, token] + more6
            await plant.set_shares(self._node, wallet, made, 0 if outcome == 0 else 1, left6)

    async def _make(self, market: Market) -> PlantedCondition:
        """Its condition on the node, which has to be the one the venue lists."""
        spec = market.spec
        if spec.version == "v2":
            made = PlantedCondition(spec.condition_id, "v2", market.tokens, b"")
        else:
            made = await plant.prepare_condition(self._node, self._question(spec.slug))
        if (made.condition_id, made.tokens) != (spec.condition_id, market.tokens):
            raise RuntimeError(f"the node has other ids for {spec.slug} than the venue; see sim/naming")
        self._made |= dict.fromkeys(market.tokens, made)
        return made

    async def _carry_results(self) -> None:
        for token, made in tuple(self._made.items()):
            market = self._world.by_token.get(token)
            if made.condition_id in self._resolved or market is None or market.outcome is None:
                continue
            await plant.resolve(self._node, made, *_PAYOUTS[market.outcome])
            self._resolved.add(made.condition_id)

    async def _held(self, wallet: str, asset: str, block: str) -> int:
        if asset == MONEY:
            return await plant.collateral(self._node, wallet, block)
        return await plant.shares(self._node, wallet, asset, self._made[asset].ledger, block)
