"""The port of whoever sends a redemption: the owner's key with its own gas, or the venue's relayer.

What it makes is journalled before it is sent; what became of it is decided by the chain alone.
"""

from typing import Literal, NamedTuple, Protocol

from common.core.redemption.attempts import Attempt, RelayerWord, Route, Signed
from common.core.redemption.claims import Claim
from common.core.redemption.gas import Offer
from common.core.redemption.pursuit import Limits
from common.errors import LaggardError
from common.venue.chain.view import Head


class CannotSend(LaggardError):
    """Nothing was signed: why, and what to do."""


class CannotBatch(CannotSend):
    """These claims do not go together; fewer of them may."""


class Sent(NamedTuple):
    """What is known after the bytes went out; anything but ``refused`` may still happen."""

    kind: Literal["accepted", "not yet", "unknown", "refused"]
    text: str
    transaction_id: str = ""
    wait_s: float = 0.0


class Word(NamedTuple):
    """What the relayer says of an action, and by which name it knows it."""

    word: RelayerWord | None = None
    found_id: str = ""


class SendRoute(Protocol):
    """How redemptions of one wallet are sent."""

    @property
    def name(self) -> Route:
        """Which of the two."""

    @property
    def sender(self) -> str:
        """Whose nonce counts, lower case."""

    @property
    def most_claims(self) -> int:
        """In one transaction."""

    async def nonce(self, block: int) -> int:
        """The sender's next nonce at a block."""

    async def sign(self, claims: tuple[Claim, ...], nonce: int, head: Head, limits: Limits) -> Signed:
        """Sign what redeems these claims, after a dry-run of the whole; raises CannotSend."""

    async def renew(self, attempt: Attempt, offer: Offer) -> Signed:
        """Sign the same call with the same nonce for a higher bid."""

    async def send(self, attempt: Attempt) -> Sent:
        """Let the newest version go out, once."""

    async def word(self, attempt: Attempt) -> Word:
        """What the relayer says of it; nothing where there is none."""
