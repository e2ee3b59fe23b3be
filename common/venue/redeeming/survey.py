"""What a wallet can redeem, decided on the chain: results, tokens and balances of named conditions.

A result counts once its block is final; balances are those of the newest block. A token is taken for a
condition's only when the older ledger's own arithmetic, or the newer ledger's id, says so.
"""

import asyncio
from typing import NamedTuple

from common.core.redemption.claims import Condition, Holding, Ledger
from common.venue.chain.view import ChainView, Head
from common.venue.redeeming import outcomes
from common.venue.redeeming.calldata import Call, RedeemContracts
from common.venue.redeeming.outcomes import Outcome

_CONTRACTS: dict[Ledger, tuple[str, ...]] = {
    "v1": ("ctf", "adapter", "collateral"),
    "v2": ("position_manager", "router", "binary_module", "collateral"),
}
_BOTH: tuple[Outcome, Outcome] = (0, 1)


class Wanted(NamedTuple):
    """A condition to look at, and whose window it is if anybody said."""

    condition_id: str
    window: str = ""


def ledger_of(condition_id: str) -> Ledger:
    """Which ledger a condition is of: ids of the newer have a form that hashes of the older never have."""
    try:
        outcomes.position_of(condition_id, 0)
    except ValueError:
        return "v1"
    return "v2"


class Surveyor:
    """Reads of one wallet; remembers which tokens belong to which condition, which never changes."""

    def __init__(self, view: ChainView, contracts: RedeemContracts, wallet: str) -> None:
        self._view = view
        self._contracts = contracts
        self._wallet = wallet
        self._tokens: dict[str, tuple[str, str]] = {}
        self._seen: set[str] = set()
        """Contracts that are there."""

    async def conditions(self, wanted: tuple[Wanted, ...], head: Head) -> tuple[Condition, ...]:
        """What the chain says of each; raises DependencyMissing."""
        return tuple(await asyncio.gather(*(self._condition(one, head) for one in wanted)))

    async def tokens(self, condition_id: str, block: int) -> tuple[str, str]:
        """The tokens of Up and Down."""
        known = self._tokens.get(condition_id)
        if known is None:
            if ledger_of(condition_id) == "v2":
                known = (outcomes.position_of(condition_id, 0), outcomes.position_of(condition_id, 1))
            else:
                up, down = await asyncio.gather(
                    *(self._v1_token(condition_id, each, block) for each in _BOTH)
                )
                known = (up, down)
            self._tokens[condition_id] = known
        return known

    async def approved(self, ledger: Ledger, block: int) -> bool:
        """Whether the contract that redeems may take the wallet's tokens."""
        contracts = self._contracts
        holder, operator = (
            (contracts.ctf, contracts.adapter)
            if ledger == "v1"
            else (contracts.position_manager, contracts.router)
        )
        asked = outcomes.ask_approved(holder, self._wallet, operator)
        return outcomes.read_yes(await self._ask(asked, block))

    async def missing_contract(self, ledger: Ledger, block: int) -> str:
        """Which contract of a ledger's redemption is not there, with what to do; empty when all are."""
        contracts = self._contracts
        names = _CONTRACTS[ledger]
        for name in names:
            address: str = getattr(contracts, name)
            if address in self._seen:
                continue
            if not await self._view.has_code(address, block):
                return f"there is no contract at {address}: mend redeem.contracts.{name}"
            self._seen.add(address)
        return ""

    async def held(self, condition_id: str, block: int) -> tuple[Holding, Holding]:
        """What the wallet has of both outcomes."""
        contracts = self._contracts
        contract = contracts.ctf if ledger_of(condition_id) == "v1" else contracts.position_manager
        tokens = await self.tokens(condition_id, block)
        up, down = await asyncio.gather(
            *(self._number(outcomes.ask_balance(contract, self._wallet, token), block) for token in tokens)
        )
        return Holding(tokens[0], 0, up), Holding(tokens[1], 1, down)

    async def _condition(self, wanted: Wanted, head: Head) -> Condition:
        condition_id = wanted.condition_id.lower()
        (numerators, denominator), holdings = await asyncio.gather(
            self._result(condition_id, head.finalized), self.held(condition_id, head.number)
        )
        ledger = ledger_of(condition_id)
        return Condition(condition_id, ledger, holdings, numerators, denominator, wanted.window)

    async def _result(self, condition_id: str, block: int) -> tuple[tuple[int, int], int]:
        contracts = self._contracts
        if ledger_of(condition_id) == "v2":
            return outcomes.read_result(await self._ask(outcomes.ask_result(contracts, condition_id), block))
        denominator = await self._number(outcomes.ask_denominator(contracts, condition_id), block)
        if not denominator:
            return (0, 0), 0
        up, down = await asyncio.gather(
            *(self._number(outcomes.ask_numerator(contracts, condition_id, each), block) for each in _BOTH)
        )
        return (up, down), denominator

    async def _v1_token(self, condition_id: str, outcome: Outcome, block: int) -> str:
        asked = outcomes.ask_collection(self._contracts, condition_id, outcome)
        return outcomes.v1_token(outcomes.read_collection(await self._ask(asked, block)))

    async def _number(self, call: Call, block: int) -> int:
        return outcomes.read_number(await self._ask(call, block))

    async def _ask(self, call: Call, block: int) -> bytes:
        return await self._view.call(call.to, call.data, block)
