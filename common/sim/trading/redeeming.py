"""What the contracts do when they are called in a transaction: redeem outcome tokens, give approvals.

A run collects money entries and events; nothing has happened until somebody posts them. Knows neither
signatures nor nonces. Source: the venue's contracts, and the adapter as it was tried on a chain.
"""

from collections.abc import Callable

from common.sim.trading import chain_events as events
from common.sim.trading.abi_words import CallReverted, address, array, words_of
from common.sim.trading.account_book import COLLATERAL_ASSET as MONEY
from common.sim.trading.account_book import Entry
from common.sim.trading.contracts import (
    ADAPTER,
    AUTO_REDEEMER,
    BINARY_MODULE,
    COLLATERAL,
    CONDITIONAL_TOKENS,
    POSITION_MANAGER,
    ROUTER,
    USDC_E,
)
from common.sim.world import Market, World

REDEEMED = "redeemed"
"""Who takes redeemed tokens and owes the money paid for them."""
REDEEM_V1, REDEEM_V2, SET_APPROVAL = "01b7037c", "d217a3cc", "a22cb465"
CALLS = {
    (ADAPTER.lower(), REDEEM_V1),
    (CONDITIONAL_TOKENS.lower(), REDEEM_V1),
    (ROUTER.lower(), REDEEM_V2),
    (CONDITIONAL_TOKENS.lower(), SET_APPROVAL),
    (POSITION_MANAGER.lower(), SET_APPROVAL),
}
"""What can be called in a transaction."""
NO_RESULT = "result for condition not received yet"
NO_APPROVAL = "ERC1155: need operator approval for 3rd party transfers."
_PAUSED = "49b8b3ac"
_NOT_RESOLVED = "28acd6be"
_NO_SUCH_OUTCOME = "bdc95715"
_TOO_LITTLE = "f4d678b8"
_NOT_APPROVED_V2 = "4b6e7f18"
_GAS = {REDEEM_V1: 164_000, REDEEM_V2: 60_000, SET_APPROVAL: 28_000}
_GAS_OF_ANY = 74_000

Approval = tuple[str, str, str]
"""Owner, token contract and operator, in lower case."""


class Run:
    """One transaction as it runs; each call sees what those before it did."""

    def __init__(
        self,
        world: World,
        balance: Callable[[str, str], int],
        approved: Callable[[Approval], bool],
        has_code: Callable[[str], bool],
        *,
        paused: bool,
    ) -> None:
        self._world = world
        self._balance = balance
        self._approved = approved
        self._has_code = has_code
        self._paused = paused
        self.entries: list[Entry] = []
        self.events: list[events.Event] = []
        self.approvals: dict[Approval, bool] = {}
        self.gas = _GAS_OF_ANY

    def call(self, sender: str, to: str, data: bytes) -> None:
        """Call a contract; raises CallReverted. A call to nothing succeeds without effect."""
        to, selector = to.lower(), data[:4].hex()
        if not self._has_code(to):
            return
        if (to, selector) not in CALLS:
            raise CallReverted
        words = words_of(data[4:])
        self.gas += _GAS[selector]
        try:
            if selector == SET_APPROVAL:
                self._approve(sender, to, address(words[0]), bool(words[1]))
            elif selector == REDEEM_V2:
                self._redeem_v2(sender, words[0], words[1], words[2], ROUTER.lower())
            elif to == ADAPTER.lower():
                if self._paused:
                    raise CallReverted(selector=_PAUSED)
                self._redeem_v1(sender, words[2], ADAPTER.lower())
            else:
                self._redeem_directly(sender, words)
        except IndexError:
            raise CallReverted from None

    def redeem_for(self, holder: str, market: Market) -> None:
        """What the venue's own redeemer does for a holder: everything held of a market is redeemed."""
        condition, operator = int(market.spec.condition_id, 16), AUTO_REDEEMER.lower()
        if market.spec.version == "v1":
            self._redeem_v1(holder, condition, operator)
            return
        for outcome, token in enumerate(market.tokens):
            if held := self._held(holder, token):
                self._redeem_v2(holder, condition, outcome, held, operator)

    def _redeem_v1(self, holder: str, condition: int, operator: str) -> None:
        """The whole balance of both outcomes, none being no mistake."""
        market = self._market(condition, "v1")
        tokens = () if market is None else market.tokens
        held = [self._held(holder, token) for token in tokens]
        if not self._may_handle(holder, CONDITIONAL_TOKENS, operator):
            raise CallReverted(NO_APPROVAL)
        if market is None or market.outcome is None:
            raise CallReverted(NO_RESULT)
        ids = [int(token) for token in tokens]
        payout = sum(
            amount for amount, name in zip(held, ("Up", "Down"), strict=True) if name == market.outcome
        )
        ctf = CONDITIONAL_TOKENS
        self.events.append(events.transfer_batch(ctf, operator, holder, operator, ids, held))
        self.events += [
            events.transfer_single(ctf, operator, operator, events.NOBODY, token, amount)
            for token, amount in zip(ids, held, strict=True)
            if amount
        ]
        self.events.append(events.transfer(USDC_E, ctf, operator, payout))
        self.events.append(events.payout_redemption(ctf, operator, USDC_E, condition, (1, 2), payout))
        self.events.append(events.transfer(USDC_E, operator, COLLATERAL, payout))
        self.events.append(events.transfer(COLLATERAL, events.NOBODY, holder, payout))
        self._pay(holder, dict(zip(tokens, held, strict=True)), payout)

    def _redeem_v2(self, holder: str, condition: int, outcome: int, amount: int, operator: str) -> None:
        """This amount of this outcome, and no less."""
        market = self._market(condition, "v2")
        if outcome > 1:
            raise CallReverted(selector=_NO_SUCH_OUTCOME)
        if not self._may_handle(holder, POSITION_MANAGER, operator):
            raise CallReverted(selector=_NOT_APPROVED_V2)
        if market is None or self._held(holder, market.tokens[outcome]) < amount:
            raise CallReverted(selector=_TOO_LITTLE)
        if market.outcome is None:
            raise CallReverted(selector=_NOT_RESOLVED)
        token, module = market.tokens[outcome], BINARY_MODULE
        payout = amount if market.outcome == ("Up", "Down")[outcome] else 0
        self.events += [
            events.transfer_single(POSITION_MANAGER, operator, holder, module, int(token), amount),
            events.transfer_single(POSITION_MANAGER, module, module, events.NOBODY, int(token), amount),
        ]
        if payout:
            self.events.append(events.transfer(COLLATERAL, events.NOBODY, holder, payout))
        self.events.append(events.position_redeemed(module, operator, int(token), holder, amount, payout))
        if operator == ROUTER.lower():
            self.events.append(events.router_position_redeemed(ROUTER, holder, int(token), amount))
        self._pay(holder, {token: amount}, payout)

    def _redeem_directly(self, sender: str, words: list[int]) -> None:
        """ConditionalTokens itself: no tokens are made of pUSD, so it pays nothing and burns nothing."""
        market, collateral = self._market(words[2], "v1"), address(words[0])
        if market is None or market.outcome is None:
            raise CallReverted(NO_RESULT)
        if collateral == USDC_E.lower():
            raise CallReverted("not simulated: redeem through the adapter")
        index_sets = array(words, words[3])
        self.events.append(
            events.payout_redemption(CONDITIONAL_TOKENS, sender, collateral, words[2], index_sets, 0)
        )

    def _approve(self, owner: str, tokens: str, operator: str, approved: bool) -> None:
        self.approvals[owner, tokens, operator] = approved
        self.events.append(events.approval_for_all(tokens, owner, operator, approved))

    def _pay(self, holder: str, burnt: dict[str, int], payout: int) -> None:
        self.entries += [Entry(holder, REDEEMED, token, amount) for token, amount in burnt.items() if amount]
        if payout:
            self.entries.append(Entry(REDEEMED, holder, MONEY, payout))

    def _market(self, condition: int, version: str) -> Market | None:
        market = self._world.by_condition.get(f"0x{condition:064x}")
        return market if market is not None and market.spec.version == version else None

    def _held(self, holder: str, asset: str) -> int:
        change = sum(
            entry.amount6 * ((entry.taker == holder) - (entry.giver == holder))
            for entry in self.entries
            if entry.asset == asset
        )
        return self._balance(holder, asset) + change

    def _may_handle(self, owner: str, tokens: str, operator: str) -> bool:
        place = (owner, tokens.lower(), operator)
        return self.approvals[place] if place in self.approvals else self._approved(place)
