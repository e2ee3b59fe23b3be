"""What the redeemer says and is asked: results on the chain, and the way of what was won into the wallet."""

from typing import Literal

import msgspec

from common.messages.body import Body

TokenLedger = Literal["v1", "v2"]
"""The contract that keeps a market's tokens: ConditionalTokens or PositionManager."""
RedemptionStatus = Literal["waiting", "under way", "paid", "elsewhere", "failed"]
"""``waiting``: to be redeemed, nothing sent. ``elsewhere``: somebody else's transaction took the tokens."""


class ResolutionState(Body, frozen=True, tag="resolution"):
    """A condition's result as the chain has it, told once it is final. Topic ``resolution.<condition>``."""

    condition_id: str
    """``0x`` and 64 hexadecimal digits in lower case."""
    window: str
    """Empty where nobody told whose condition it is."""
    numerators: tuple[int, int]
    """Up's and Down's share of ``denominator``."""
    denominator: int
    block: int
    """The final block at which it was read."""


class RedemptionState(Body, frozen=True, tag="redemption"):
    """Where the redemption of one condition stands. Topic ``redemption.<condition>``."""

    condition_id: str
    window: str
    """Empty where nobody told whose condition it is."""
    ledger: TokenLedger
    status: RedemptionStatus
    payout_usd6: int
    """What the tokens are worth by the condition's result."""
    at_ns: int
    paid_usd6: int = 0
    """What arrived in the wallet, surplus included; final where the status is paid or elsewhere."""
    surplus_usd6: int = 0
    """What arrived beyond the computed payout: somebody's dust in the contract."""
    tx_hash: str = ""
    log_index: int = -1
    """Of the transfer that brought the money; -1 where there is none."""
    tokens: tuple[tuple[str, int], ...] = ()
    """(token, 1e-6 shares) that left the wallet."""
    route: str = ""
    text: str = ""
    """Why it is where it is, for people."""


class Redeem(Body, frozen=True, tag="redeem"):
    """Command to the redeemer: redeem these conditions now; given again it changes nothing."""

    conditions: tuple[str, ...]
    who: str
    all: bool = False
    """Everything that is worth something, instead of ``conditions``."""
    losers: bool = False
    """Burn tokens that pay nothing as well."""


class ReadRedemptions(Body, frozen=True, tag="redemptions?"):
    """Command to the redeemer: all redemptions that changed since this instant."""

    since_ns: int = 0


class RedemptionsReport(Body, frozen=True, tag="redemptions"):
    """Answer to ReadRedemptions, newest change last."""

    redemptions: tuple[RedemptionState, ...]
    problem: str = ""
    """Why nothing is redeemed at present, or empty."""


class PlanRedemption(Body, frozen=True, tag="plan?"):
    """Command to the redeemer: say what would be redeemed and what it would cost; empty means everything."""

    conditions: tuple[str, ...] = ()
    losers: bool = False
    """Burn tokens that pay nothing as well."""


class PlanLine(msgspec.Struct, frozen=True):
    """What would be done about one condition."""

    condition_id: str
    window: str
    ledger: TokenLedger
    payout_usd6: int
    decision: Literal["redeem", "leave"]
    reason: str = ""
    """Why it is left, or empty."""
    route: str = ""
    gas_wei: int = 0
    """What it costs at the present price of gas; 0 where the relayer pays."""
    max_cost_wei: int = 0
    """The most it can cost."""
    size6: int = 0
    """How many shares are held of it."""


class RedemptionPlan(Body, frozen=True, tag="plan"):
    """Answer to PlanRedemption."""

    lines: tuple[PlanLine, ...]
    problem: str = ""
    """Why the plan is not whole, or empty."""
