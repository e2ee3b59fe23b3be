"""The executor's money, what it may do, and what it is told and asked beside ``Submit``."""

from typing import Literal

import msgspec

from common.messages.body import Body
from common.messages.orders import OrderState, PositionState

Posture = Literal["trading", "no-new-orders", "paused", "halted"]
CheckState = Literal["ok", "warning", "failed", "skipped"]


class PostureState(Body, frozen=True, tag="posture"):
    """What the executor is allowed to do, durable. Topic ``posture.executor``."""

    posture: Posture
    reason: str
    who: str
    since_ns: int


class AccountState(Body, frozen=True, tag="account"):
    """The executor's money, from its ledger. Topic ``account.executor``."""

    mode: str
    cash_usd6: int
    open_cost_usd6: int
    realized_pnl_usd6: int
    day: str
    """UTC day of ``day_pnl_usd6``: ``2026-11-24``."""
    day_pnl_usd6: int
    fees_usd6: int
    orders: int
    fills: int
    duplicate_orders: int
    ledger_difference_usd6: int
    """What the ledger and an independent sum over orders, fills and payouts differ by: must be 0."""
    loss_streak: int = 0
    redeemable_usd6: int = 0
    """Won and not yet in the wallet."""
    unknown_orders: int = 0
    provisional_fills: int = 0
    """Matched, but not yet final on the chain."""


class SetPosture(Body, frozen=True, tag="set-posture"):
    """Command to the executor: change what it may do."""

    posture: Posture
    reason: str
    who: str


class CancelAll(Body, frozen=True, tag="cancel-all"):
    """Command to the executor: take back each order that rests or whose fate is open; harmless repeated."""

    who: str


class Flatten(Body, frozen=True, tag="flatten"):
    """Command to the executor: no new orders, take back what rests, sell what is held and can be sold."""

    who: str
    reason: str = ""


class ReadAccount(Body, frozen=True, tag="account?"):
    """Command to the executor: positions, recent orders and the account."""


class AccountReport(Body, frozen=True, tag="account-report"):
    """Answer to ReadAccount."""

    account: AccountState
    posture: PostureState
    positions: tuple[PositionState, ...]
    orders: tuple[OrderState, ...]


class ReadChecks(Body, frozen=True, tag="checks?"):
    """Command to the executor: the start-up checks; ``anew`` runs them first."""

    anew: bool = False


class CheckResult(msgspec.Struct, frozen=True):
    """One start-up check: what was found, in one line, and the one thing that mends it."""

    name: str
    state: CheckState
    text: str
    fix: str = ""


class ChecksReport(Body, frozen=True, tag="checks"):
    """Answer to ReadChecks."""

    at_ns: int
    """Wall instant at which they ended; 0 while they have not."""
    results: tuple[CheckResult, ...]


class ReadWallet(Body, frozen=True, tag="wallet?"):
    """Command to the executor, which alone has the keys: ask the venue for the account's balance."""


class WalletReport(Body, frozen=True, tag="wallet"):
    """Answer to ReadWallet."""

    balance_usd6: int | None
    """Collateral by the venue's word; None where it could not be asked, as on paper."""
    text: str = ""
    address: str = ""
    """The wallet that holds the money."""
