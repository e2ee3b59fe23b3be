"""One try to redeem: which claims, by which nonce, every version that was signed, and how it ended.

At most one of all tries with one nonce of one sender can ever happen, and a try is over only when its nonce
is used or its deadline has passed. So nothing is paid twice and nothing signed is forgotten.
"""

from typing import Literal

import msgspec

from common.core.redemption.claims import Claim, Holding

Route = Literal["own-gas", "relayer"]
Stage = Literal["signed", "sent", "included", "ended"]
EndKind = Literal[
    "paid",
    "elsewhere",
    "reverted",
    "zero",
    "kept",
    "short",
    "overtaken",
    "refused",
    "expired",
]
"""``paid``: in full by us. ``elsewhere``: somebody else took the tokens first. ``reverted``: mined without
effect. ``zero``: tokens gone and no money. ``kept``: mined well and nothing burnt. ``short``: less money than
computed. ``overtaken``: the nonce was used by something else, the tokens are here. ``refused``: never
accepted. ``expired``: its deadline passed unused."""
ALARMING: tuple[EndKind, ...] = ("zero", "kept", "short")
"""The contracts are not what they were taken for: nothing is sent by itself any more."""


class Signed(msgspec.Struct, frozen=True):
    """One version of a try, exactly as it goes out."""

    payload: bytes
    """The raw transaction, or the JSON body for the relayer."""
    digest: str
    """``0x`` and 64 digits: the transaction's hash, or of a relayed action what the owner signed."""
    at_ns: int
    gas: int = 0
    max_fee_wei: int = 0
    tip_wei: int = 0
    deadline_s: int = 0
    """Second since 1970 after which the wallet refuses it; 0: never."""


class Inclusion(msgspec.Struct, frozen=True):
    """The block our transaction is in, for now."""

    tx_hash: str
    block: int
    block_hash: str
    ok: bool


class ClaimEnd(msgspec.Struct, frozen=True):
    """What became of one claim."""

    condition_id: str
    kind: EndKind
    paid_usd6: int
    """What arrived, surplus included."""
    surplus_usd6: int = 0
    """What arrived beyond the computed payout: somebody's dust in the adapter."""
    burnt: tuple[Holding, ...] = ()
    """What left the wallet."""
    tx_hash: str = ""
    log_index: int = -1
    """Of the transfer that brought the money; -1 where there is none."""
    text: str = ""


class Attempt(msgspec.Struct, frozen=True):
    """A try as the journal has it."""

    attempt_id: str
    """``<sender>/<nonce>/<number>``"""
    route: Route
    wallet: str
    """Who holds the tokens, lower case."""
    sender: str
    """Whose nonce it uses, lower case: the paying key's address, or the wallet when relayed."""
    nonce: int
    claims: tuple[Claim, ...]
    block: int
    """The newest block when the balances were read."""
    created_ns: int
    versions: tuple[Signed, ...]
    stage: Stage = "signed"
    sent_ns: int = 0
    """When its newest version last went out; 0: never, as far as is known."""
    first_sent_ns: int = 0
    """When it went out for the first time."""
    transaction_id: str = ""
    """The relayer's name for it."""
    inclusion: Inclusion | None = None
    ends: tuple[ClaimEnd, ...] = ()
    """One for each claim once it has ended."""
    gas_wei: int = 0
    """What it cost in the chain's coin."""
    ended_ns: int = 0
    text: str = ""
    """Why it is where it is, for people."""

    @property
    def payout_usd6(self) -> int:
        """What all its claims pay together."""
        return sum(claim.payout_usd6 for claim in self.claims)

    @property
    def newest(self) -> Signed:
        """The version that counts; earlier ones may still happen in its place."""
        return self.versions[-1]


class Log(msgspec.Struct, frozen=True):
    """One event of a transaction; addresses and topics in lower case."""

    address: str
    topics: tuple[str, ...]
    data: bytes
    index: int
    tx_hash: str = ""
    block: int = 0


class Receipt(msgspec.Struct, frozen=True):
    """What the chain says of a mined transaction."""

    tx_hash: str
    ok: bool
    block: int
    block_hash: str
    gas_wei: int
    """Gas used times its price."""
    logs: tuple[Log, ...]


RelayerState = Literal["new", "executed", "mined", "confirmed", "failed", "invalid"]


class RelayerWord(msgspec.Struct, frozen=True):
    """What the relayer says of an action; a hint, never the truth about money."""

    transaction_id: str
    state: RelayerState
    tx_hash: str = ""
    error: str = ""
