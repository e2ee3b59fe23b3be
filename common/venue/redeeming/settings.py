"""What the user configured about redemption, in the units of the core."""

import msgspec

from common.core.redemption.gas import GWEI, GasPolicy
from common.core.redemption.pursuit import Pace
from common.runtime.config import Config
from common.units import SECOND, usd6_exact

WEI_OF_MILLIONTH = 10**12


class Settings(msgspec.Struct, frozen=True):
    """Limits and pace."""

    auto: bool
    most: int
    min_payout_usd6: int
    gas: GasPolicy
    pace: Pace


def settings_of(config: Config) -> Settings:
    """The section ``[redeem]``."""
    redeem = config.redeem
    return Settings(
        auto=redeem.auto,
        most=redeem.batch,
        min_payout_usd6=usd6_exact(redeem.min_payout_usd),
        gas=GasPolicy(
            max_fee_wei=redeem.max_fee_gwei * GWEI,
            attempt_wei=usd6_exact(redeem.max_pol_per_transaction) * WEI_OF_MILLIONTH,
            daily_wei=usd6_exact(redeem.max_pol_per_day) * WEI_OF_MILLIONTH,
        ),
        pace=Pace(
            resend_ns=int(redeem.resend_after_s * SECOND),
            stuck_ns=int(redeem.stuck_after_s * SECOND),
            late_ns=int(redeem.late_after_s * SECOND),
            first_pause_ns=int(redeem.retry_after_s * SECOND),
        ),
    )
