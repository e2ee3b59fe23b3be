"""What a transaction bids for its block, and how the bid is raised: integers in wei, rounded upwards.

Source of the rules: the chain's nodes take a replacement that bids a tenth more on both fees, and no tip
below 25 gwei; 20 % are taken here.
"""

import msgspec

from common.units import ceil_div

GWEI = 10**9
LEAST_TIP_WEI = 25 * GWEI
RAISE_PERCENT = 20
SPARE_PERCENT = 25
"""On top of what a call was estimated to use."""


class GasPolicy(msgspec.Struct, frozen=True):
    """The user's limits."""

    max_fee_wei: int
    """The most that is ever bid for one unit of gas."""
    attempt_wei: int
    """The most one transaction may cost."""
    daily_wei: int
    """The most that all transactions of a UTC day may cost."""


class Offer(msgspec.Struct, frozen=True):
    """The two fees of EIP-1559, for one unit of gas."""

    max_fee_wei: int
    tip_wei: int


def first_offer(base_fee_wei: int, tip_wei: int, policy: GasPolicy) -> Offer | None:
    """A bid that stays good while the base fee doubles; None when the cap does not even pay for now."""
    tip = max(tip_wei, LEAST_TIP_WEI)
    if base_fee_wei + tip > policy.max_fee_wei:
        return None
    return Offer(min(2 * base_fee_wei + tip, policy.max_fee_wei), tip)


def raised(offer: Offer, base_fee_wei: int, policy: GasPolicy) -> Offer | None:
    """Both fees a fifth higher, more where the base fee has run ahead; None when the cap is in the way."""
    tip = _raise(offer.tip_wei)
    least = _raise(offer.max_fee_wei)
    if least > policy.max_fee_wei:
        return None
    return Offer(min(max(least, 2 * base_fee_wei + tip), policy.max_fee_wei), tip)


def gas_limit(estimate: int) -> int:
    """The gas a call is given: what it was estimated to use and a quarter."""
    return ceil_div(estimate * (100 + SPARE_PERCENT), 100)


def cost_wei(gas: int, offer: Offer) -> int:
    """The most a transaction can cost."""
    return gas * offer.max_fee_wei


def _raise(wei: int) -> int:
    return ceil_div(wei * (100 + RAISE_PERCENT), 100)
