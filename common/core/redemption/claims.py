"""What a wallet holds in a condition that was resolved, what it is worth, and whether it is to be redeemed.

Two ledgers hold outcome tokens: ConditionalTokens (``v1``) and PositionManager (``v2``). Everything here was
read from the chain; the venue's services only hint at where to look.
"""

from typing import Literal

import msgspec

Ledger = Literal["v1", "v2"]
OUTCOMES = ("up", "down")


class Holding(msgspec.Struct, frozen=True):
    """A balance of one outcome token."""

    token: str
    """The ERC-1155 id as decimal text."""
    outcome_index: int
    """0 is up, 1 is down."""
    size6: int


class Condition(msgspec.Struct, frozen=True):
    """One condition as the chain has it, and what one wallet holds in it."""

    condition_id: str
    """``0x`` and 64 hexadecimal digits in lower case; the 31 bytes of a v2 condition end with a zero byte."""
    ledger: Ledger
    holdings: tuple[Holding, ...]
    """Both outcomes, by index; empty balances included."""
    numerators: tuple[int, int] = (0, 0)
    denominator: int = 0
    """0: not resolved yet."""
    window: str = ""
    """The slug of the market; empty where nobody told it."""


class Claim(msgspec.Struct, frozen=True):
    """A resolved condition and exactly what is to be redeemed of it."""

    condition_id: str
    ledger: Ledger
    holdings: tuple[Holding, ...]
    """Only what is held; at least one."""
    numerators: tuple[int, int]
    denominator: int
    window: str = ""

    @property
    def payout_usd6(self) -> int:
        """What the contracts pay: each outcome rounded down by itself."""
        return payout_usd6(self.holdings, self.numerators, self.denominator)

    @property
    def name(self) -> str:
        """The window, or the condition of one that is not ours."""
        return self.window or self.condition_id


class Left(msgspec.Struct, frozen=True):
    """A condition that is not redeemed now, and why, for people."""

    condition_id: str
    window: str
    reason: Literal["unresolved", "nothing held", "lost", "below minimum", "under way", "refused"]
    text: str


def payout_usd6(holdings: tuple[Holding, ...], numerators: tuple[int, int], denominator: int) -> int:
    """Payout of these holdings in 1e-6 $, each outcome rounded down by itself as ConditionalTokens does."""
    return sum(each.size6 * numerators[each.outcome_index] // denominator for each in holdings)


def claim_of(condition: Condition, *, min_payout_usd6: int = 0, with_losers: bool = False) -> Claim | Left:
    """What there is to redeem in a condition; ``with_losers`` also burns tokens that pay nothing.

    A claim of the newer ledger names outcomes one by one, so its worthless ones are left out of it; the older
    one takes whatever is held.
    """

    def left(reason: Literal["unresolved", "nothing held", "lost", "below minimum"], text: str) -> Left:
        return Left(condition.condition_id, condition.window, reason, text)

    held = tuple(each for each in condition.holdings if each.size6)
    if not held:
        return left("nothing held", "the wallet holds nothing of it")
    if not condition.denominator:
        return left("unresolved", "its result is not on the chain yet")
    if condition.ledger == "v2" and not with_losers:
        held = tuple(each for each in held if condition.numerators[each.outcome_index]) or held
    claim = Claim(
        condition.condition_id,
        condition.ledger,
        held,
        condition.numerators,
        condition.denominator,
        condition.window,
    )
    if not claim.payout_usd6 and not with_losers:
        return left("lost", "what is held of it pays nothing; --losers burns it")
    if claim.payout_usd6 < min_payout_usd6:
        return left("below minimum", "it pays less than redeem.min_payout_usd")
    return claim
