"""The executor's state: orders, books, pursuits and holds. What changes it is in ``order_events``."""

import msgspec

from common.core.ledger import Entry, Payment
from common.core.portfolio import NOTHING_OPEN, Exposure, PositionKey, Reservation
from common.core.settings import OrderSettings, RiskLimits, StrategySettings
from common.core.venue_facts import OrderPhase
from common.messages import (
    BookState,
    FeeSchedule,
    Fill,
    MarketState,
    OrderState,
    PositionState,
    PostureState,
)


class Order(msgspec.Struct, frozen=True):
    """One order with what is not for publication."""

    state: OrderState
    strategy: str
    worst_usd6: int
    """What it can cost while its fate is open."""
    decided_ns: int
    cause: str
    verdict_number: int
    end_ns: int = 0
    """End of its window."""
    fee: FeeSchedule | None = None
    wire: bytes = b""
    """The signed bytes, all that may ever be sent for it; empty on paper."""
    condition_id: str = ""
    """What the tokens it buys are redeemed by."""


class Settlement(msgspec.Struct, frozen=True):
    """A settled position and when it was booked."""

    position: PositionState
    at_ns: int


class Books(msgspec.Struct, frozen=True):
    """What the executor's decisions rest on; equal to what the journal holds."""

    orders: dict[str, Order]
    """By intent id."""
    positions: dict[PositionKey, PositionState]
    settlements: tuple[Settlement, ...]
    """In the order in which they were booked."""
    fills: tuple[Fill, ...]
    entries: tuple[Entry, ...]
    bankroll_usd6: int
    live: bool = False
    """Real money: a payout is owed until it is seen in the wallet."""
    payments: dict[str, Payment] = {}
    """What came into the wallet for burnt tokens, by its evidence, in the order in which it was booked."""


class Tally(msgspec.Struct, frozen=True):
    """What the risk check needs of the books, each sum beside the part it was made of; see ``tally``."""

    orders: dict[str, Order] = {}
    reservations: tuple[Reservation, ...] = ()
    """Orders whose fate is open, at their worst."""
    positions: dict[PositionKey, PositionState] = {}
    open: Exposure = NOTHING_OPEN
    entries: tuple[Entry, ...] = ()
    cash_usd6: int = 0
    settlements: tuple[Settlement, ...] = ()
    day: int = -1
    """UTC day of ``day_pnl_usd6``, counted from 1970."""
    day_pnl_usd6: int = 0
    loss_streak: int = 0


class Pursuit(msgspec.Struct, frozen=True):
    """What is known of an order that was sent and is not decided; asked for anew after a restart."""

    since_ns: int
    """Monotonic instant since which nothing of it can have been sent by us but what is in flight."""
    in_flight: bool
    """Its request has not come back: that the venue does not know it proves nothing yet."""
    ask_at_ns: int
    unknown: str = ""
    phase: OrderPhase | None = None
    told6: int | None = None
    """Shares matched, by the venue's word."""
    trade_ids: tuple[str, ...] = ()
    asking: bool = False
    asks: int = 0
    absences: int = 0
    """Complete readings in a row that found nothing of it."""
    counted6: int = -1
    """What its trades summed up to in the last complete reading."""


class Hold(msgspec.Struct, frozen=True):
    """Why no new order may begin at present; never durable, its cause is looked at again after a restart."""

    reason: str
    since_ns: int
    until_ns: int | None = None
    """Monotonic instant at which it lifts by itself."""


class State(msgspec.Struct, frozen=True):
    """Everything the executor knows; ``step`` makes a new one, so that a failed commit leaves the old."""

    strategy: StrategySettings
    limits: RiskLimits
    books: Books
    posture: PostureState
    """The latched one, as the journal has it; what is published also counts the holds."""
    posture_saved: bool = True
    """False while the journal could not take it: it is tried again each second."""
    markets: dict[str, MarketState] = {}
    """By window."""
    quotes: dict[str, BookState] = {}
    """By token. Changed in place, for they come by the thousand: no commit and no refusal takes them back."""
    incomplete: bool = False
    """Messages of ``books`` are missing and not yet repaired: nothing is decided on what is left."""
    order_times_ns: tuple[int, ...] = ()
    """Monotonic instants of recent orders."""
    tally: Tally = Tally()
    """Of the books, as far as they are the same still."""
    orders: OrderSettings = OrderSettings()
    pursuits: dict[str, Pursuit] = {}
    """By intent id."""
    holds: dict[str, Hold] = {}
    """By name."""
    catch_up_at_ns: int = 0
    """Monotonic instant of the next reading of trades."""
    foreign_tokens: frozenset[str] = frozenset()
    """Tokens this account has traded without the journal knowing of it, as seen since the start."""
    warned: frozenset[str] = frozenset()
    """Trades and orders of others, and stuck trades, that were told already."""
