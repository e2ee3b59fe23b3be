"""The route of the owner's own key, which pays gas in the chain's coin: for plain keys, proxies and Safes.

One transaction in flight; a replacement makes the same call with the same nonce. Whatever endpoints answer to
a broadcast, the bytes are out and may be mined: only the chain says what became of them.
"""

from dataclasses import dataclass

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from common.core.redemption.attempts import Attempt, Route, Signed
from common.core.redemption.claims import Claim
from common.core.redemption.gas import GWEI, Offer, cost_wei, first_offer, gas_limit
from common.core.redemption.pursuit import Limits, too_dear
from common.runtime.clock import Clock
from common.venue.chain.broadcast import broadcast
from common.venue.chain.endpoints import Endpoints
from common.venue.chain.fees import NoCoin, estimate, gas_prices
from common.venue.chain.reverts import CallReverted
from common.venue.chain.view import ChainView, Head
from common.venue.clob.order_request import Account
from common.venue.redeeming import outcomes
from common.venue.redeeming.calldata import Call, RedeemContracts, calls_of
from common.venue.redeeming.route import CannotBatch, CannotSend, Sent, Word
from common.venue.redeeming.transactions import own_gas_call, sign_transaction

POL_WEI = 10**18


@dataclass(frozen=True, slots=True)
class OwnGas:
    """Sends as the owner of the wallet."""

    account: Account
    view: ChainView
    endpoints: Endpoints
    contracts: RedeemContracts
    clock: Clock
    name: Route = "own-gas"

    @property
    def sender(self) -> str:
        """The owner's address: its nonce counts."""
        return self.account.signer.address.lower()

    @property
    def most_claims(self) -> int:
        """A plain key makes one call a transaction."""
        return 1 if self.account.kind == "eoa" else 10

    async def nonce(self, block: int) -> int:
        """The owner's transaction count."""
        return await self.view.nonce(self.sender, block)

    async def sign(self, claims: tuple[Claim, ...], nonce: int, head: Head, limits: Limits) -> Signed:
        """Estimate with the fees that are bid, so that a lack of coin shows before anything is signed."""
        prices = await gas_prices(self.endpoints)
        offer = first_offer(prices.base_fee_wei, prices.tip_wei, limits.gas)
        if offer is None:
            price = (prices.base_fee_wei + prices.tip_wei) / GWEI
            raise CannotSend(f"gas costs {price:.0f} gwei now; wait, or raise redeem.max_fee_gwei above that")
        call = await self._call(claims, head)
        try:
            used = await estimate(
                self.endpoints,
                self.sender,
                call.to,
                call.data,
                max_fee_wei=offer.max_fee_wei,
                tip_wei=offer.tip_wei,
            )
        except CallReverted as error:
            raise CannotBatch(f"the whole transaction would revert: {error}") from None
        except NoCoin:
            raise CannotSend(self._no_coin(len(claims), offer)) from None
        gas = gas_limit(used)
        problem = too_dear(gas, offer, limits)
        if problem:
            raise CannotSend(f"{problem}: {cost_wei(gas, offer) / POL_WEI:.4f} POL at most")
        if await self.view.coin_wei(self.sender, head.number) < cost_wei(gas, offer):
            raise CannotSend(self._no_coin(len(claims), offer))
        return self._signed(call, nonce, gas, offer)

    async def renew(self, attempt: Attempt, offer: Offer) -> Signed:
        """The call, gas and nonce of the newest version for a higher bid."""
        fields = TypedTransaction.from_bytes(HexBytes(attempt.newest.payload)).as_dict()
        call = Call("0x" + HexBytes(fields["to"]).hex(), bytes(HexBytes(fields["data"])))
        return self._signed(call, attempt.nonce, attempt.newest.gas, offer)

    async def send(self, attempt: Attempt) -> Sent:
        """The newest version to every endpoint."""
        newest = attempt.newest
        told = await broadcast(self.endpoints, newest.payload, newest.digest)
        match told.kind:
            case "accepted":
                bid = newest.max_fee_wei / GWEI
                return Sent("accepted", f"sent, bidding {bid:.0f} gwei at most; in no block yet")
            case "unknown":
                return Sent("unknown", f"whether anybody took it is not known: {told.text}")
            case "no-coin":
                return Sent("not yet", self._no_coin(len(attempt.claims), Offer(newest.max_fee_wei, 0)))
        return Sent("not yet", f"nobody took it ({told.kind}): {told.text}")

    async def word(self, attempt: Attempt) -> Word:
        """There is no relayer."""
        return Word()

    async def _call(self, claims: tuple[Claim, ...], head: Head) -> Call:
        calls = [call for claim in claims for call in calls_of(claim, self.contracts)]
        safe_nonce = 0
        if self.account.kind == "safe":
            asked = outcomes.ask_wallet_nonce(self.account.address)
            safe_nonce = outcomes.read_number(await self.view.call(asked.to, asked.data, head.number))
        try:
            return own_gas_call(self.account, calls, self.contracts, safe_nonce=safe_nonce)
        except ValueError as error:
            raise CannotBatch(str(error)) from None

    def _signed(self, call: Call, nonce: int, gas: int, offer: Offer) -> Signed:
        raw, tx_hash = sign_transaction(
            self.account.signer,
            chain_id=self.account.chain_id,
            nonce=nonce,
            to=call.to,
            data=call.data,
            gas=gas,
            max_fee_wei=offer.max_fee_wei,
            tip_wei=offer.tip_wei,
        )
        return Signed(
            raw, tx_hash, self.clock.wall_ns(), gas=gas, max_fee_wei=offer.max_fee_wei, tip_wei=offer.tip_wei
        )

    def _no_coin(self, claims: int, offer: Offer) -> str:
        need = 2 * (150_000 + 180_000 * claims) * offer.max_fee_wei / POL_WEI
        return (
            f"{self.account.signer.address} has too little POL for gas; send it about {need:.2f} POL, "
            "the redemption goes on by itself"
        )
