"""The route of the venue's relayer, which pays the gas: for Safes, proxies and deposit wallets.

The owner's signature names the wallet's next nonce, so of everything that was ever signed for one nonce only
one thing can happen, however often it is submitted. The nonce is the chain's; the relayer's may be stale.
"""

from dataclasses import dataclass

from common.core.redemption.attempts import Attempt, Route, Signed
from common.core.redemption.claims import Claim
from common.core.redemption.gas import Offer, gas_limit
from common.core.redemption.pursuit import Limits
from common.errors import DependencyMissing
from common.runtime.clock import Clock
from common.units import SECOND
from common.venue.chain.endpoints import Endpoints
from common.venue.chain.fees import NoCoin, estimate
from common.venue.chain.reverts import CallReverted
from common.venue.chain.view import ChainView, Head
from common.venue.clob.order_request import Account
from common.venue.redeeming import outcomes
from common.venue.redeeming.actions import RelayInfo, relayed_action
from common.venue.redeeming.calldata import Call, RedeemContracts, calls_of
from common.venue.redeeming.owner_consent import proxy_data
from common.venue.redeeming.relayer_api import Declined, RelayerApi, Submitted, Unclear
from common.venue.redeeming.route import CannotBatch, CannotSend, Sent, Word

DEADLINE_S = 600
"""As the official client's."""
_GAS_PER_CLAIM = 300_000
"""For a proxy whose call nobody can estimate."""
METADATA = "redeem"


@dataclass(frozen=True, slots=True)
class Relayed:
    """Sends through the relayer, signed by the owner of the wallet."""

    account: Account
    view: ChainView
    endpoints: Endpoints
    contracts: RedeemContracts
    api: RelayerApi
    clock: Clock
    name: Route = "relayer"
    most_claims: int = 10

    @property
    def sender(self) -> str:
        """Whose nonce counts: the wallet's own, and for a proxy its owner's at the hub."""
        account = self.account
        return (account.signer.address if account.kind == "proxy" else account.address).lower()

    async def nonce(self, block: int) -> int:
        """The next nonce by the wallet's contract, or the hub's."""
        asked = (
            outcomes.ask_hub_nonce(self.contracts, self.account.signer.address)
            if self.account.kind == "proxy"
            else outcomes.ask_wallet_nonce(self.account.address)
        )
        return outcomes.read_number(await self.view.call(asked.to, asked.data, block))

    async def sign(self, claims: tuple[Claim, ...], nonce: int, head: Head, limits: Limits) -> Signed:
        """Sign what the wallet is to do; its calls were dry-run one by one."""
        calls = [call for claim in claims for call in calls_of(claim, self.contracts)]
        account = self.account
        deadline_s, relay, gas = 0, None, 0
        if account.kind == "deposit":
            chain_s = await self.view.block_time_s(head.number)
            deadline_s = max(chain_s, self.clock.wall_ns() // SECOND) + DEADLINE_S
        elif account.kind == "proxy":
            told = await self._relay()
            relay = RelayInfo(told.address, nonce)
            gas = await self._proxy_gas(calls, len(claims))
        action = relayed_action(
            account,
            calls,
            self.contracts,
            nonce=nonce,
            deadline_s=deadline_s,
            relay=relay,
            gas_limit=gas,
            metadata=METADATA,
        )
        return Signed(action.body, action.digest, self.clock.wall_ns(), deadline_s=deadline_s)

    async def renew(self, attempt: Attempt, offer: Offer) -> Signed:
        """The relayer chooses its own bid; nothing is ever signed anew."""
        raise AssertionError("a relayed action has no bid to raise")

    async def send(self, attempt: Attempt) -> Sent:
        """Submit the signed body as it is."""
        told = await self.api.submit(attempt.newest.payload)
        match told:
            case Submitted():
                return Sent("accepted", "the relayer has it", told.transaction_id)
            case Unclear():
                return Sent("unknown", f"whether the relayer has it is not known: {told.text}")
            case Declined():
                text = f"the relayer declines ({told.kind}): {told.text}"
                if told.kind in ("unauthorised", "blocked", "invalid"):
                    return Sent("refused", text)
                return Sent("not yet", text, wait_s=told.wait_s)

    async def word(self, attempt: Attempt) -> Word:
        """What it says of our action; looked for in its list where its answer was lost."""
        try:
            if attempt.transaction_id:
                return Word(await self.api.word(attempt.transaction_id))
            for listed in await self.api.recent():
                # A wallet's action for one nonce may be the same bytes as one that failed before.
                over = listed.word.state in ("failed", "invalid")
                if listed.is_of(attempt.newest.payload) and not over:
                    return Word(found_id=listed.transaction_id)
        except DependencyMissing:
            # A hint less; the chain decides.
            return Word()
        return Word()

    async def _relay(self) -> RelayInfo:
        try:
            return await self.api.relay_info(self.account.signer.address)
        except DependencyMissing as error:
            raise CannotSend(f"the relayer does not say who carries requests: {error}") from None

    async def _proxy_gas(self, calls: list[Call], claims: int) -> int:
        try:
            used = await estimate(
                self.endpoints,
                self.account.signer.address,
                self.contracts.proxy_factory,
                proxy_data(calls),
                max_fee_wei=0,
                tip_wei=0,
            )
        except CallReverted as error:
            raise CannotBatch(f"the whole request would revert: {error}") from None
        except (NoCoin, DependencyMissing):
            return _GAS_PER_CLAIM * claims
        return gas_limit(used)
