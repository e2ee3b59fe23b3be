"""``laggard redeem --plan``: looks at the chain, says what would be redeemed. Reads no key, sends nothing."""

from typing import Protocol

from common.core.redemption.gas import GWEI
from common.messages import RedemptionPlan
from common.runtime.config import Config
from common.units import usd6_exact
from common.venue.chain.endpoints import Endpoints
from common.venue.chain.fees import gas_prices
from common.venue.chain.view import ChainView
from common.venue.redeeming.candidates import Due
from common.venue.redeeming.hints import Hint
from common.venue.redeeming.report import plan
from common.venue.redeeming.survey import Surveyor, Wanted


class ReadsChain(Protocol):
    """What a plan needs of a desk, or of the readers alone."""

    @property
    def endpoints(self) -> Endpoints:
        """Of the chain."""

    @property
    def view(self) -> ChainView:
        """Of the chain."""

    @property
    def surveyor(self) -> Surveyor:
        """Of the wallet."""


async def plan_redemption(
    config: Config,
    readers: ReadsChain,
    due: tuple[Due, ...],
    asked: tuple[str, ...],
    hints: tuple[Hint, ...],
    *,
    route: str,
    blocked: str = "",
    losers: bool = False,
) -> RedemptionPlan:
    """What would be done about these conditions, or all that are known of; raises DependencyMissing.

    What a person asks for is redeemed however little it pays.
    """
    windows = {hint.condition_id: hint.slug for hint in hints}
    windows |= {each.condition_id: each.window for each in due}
    names = asked or tuple(windows)
    head = await readers.view.head()
    conditions = await readers.surveyor.conditions(
        tuple(Wanted(each, windows.get(each, "")) for each in names), head
    )
    return plan(
        conditions,
        min_payout_usd6=0 if asked else usd6_exact(config.redeem.min_payout_usd),
        with_losers=losers,
        route=route,
        prices=await gas_prices(readers.endpoints) if route == "own-gas" else None,
        most_fee_wei=config.redeem.max_fee_gwei * GWEI,
        blocked=blocked,
    )
