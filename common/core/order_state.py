"""The executor's state, the facts that change it and the effects it asks for. No rule lives here."""

import msgspec

from common.core.ledger import Entry
from common.core.portfolio import PositionKey
from common.core.settings import RiskLimits, StrategySettings
from common.messages import (
    Alert,
    BookState,
    Fill,
    MarketState,
    OrderState,
    PositionState,
    Posture,
    PostureState,
    Submit,
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
    due_mono_ns: int = 0
    """When the venue's taker delay is over; 0 for an order of an earlier run."""


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


class State(msgspec.Struct, frozen=True):
    """Everything the executor knows; ``step`` makes a new one, so that a failed commit leaves the old."""

    strategy: StrategySettings
    limits: RiskLimits
    max_fill_age_ns: int
    books: Books
    posture: PostureState
    markets: dict[str, MarketState]
    """By window."""
    quotes: dict[str, BookState]
    """By token."""
    incomplete: bool = False
    """Messages of ``books`` are missing and not yet repaired: nothing is decided on what is left."""
    order_times_ns: tuple[int, ...] = ()
    """Monotonic instants of recent orders."""


class Submitted(msgspec.Struct, frozen=True):
    submit: Submit
    request_id: str


class MarketSeen(msgspec.Struct, frozen=True):
    market: MarketState


class BookSeen(msgspec.Struct, frozen=True):
    book: BookState


class Completeness(msgspec.Struct, frozen=True):
    """Whether messages of ``books`` are known to be missing."""

    incomplete: bool


class DueReached(msgspec.Struct, frozen=True):
    """The taker delay of this order is over."""

    intent_id: str


class PostureAsked(msgspec.Struct, frozen=True):
    posture: Posture
    reason: str
    who: str
    request_id: str = ""


class Restarted(msgspec.Struct, frozen=True):
    """The first event of every run: orders left working by an earlier one are decided now."""


class SecondPassed(msgspec.Struct, frozen=True):
    """Time for what nobody reports: overdue orders, old markets."""


class JournalFailed(msgspec.Struct, frozen=True):
    """The last commit did not happen; the state before it stands."""

    text: str


class LedgerChecked(msgspec.Struct, frozen=True):
    """The result of proving the books; empty text: in order."""

    text: str


Event = (
    Submitted
    | MarketSeen
    | BookSeen
    | Completeness
    | DueReached
    | PostureAsked
    | Restarted
    | SecondPassed
    | JournalFailed
    | LedgerChecked
)


class CommitIntent(msgspec.Struct, frozen=True):
    """Journal a new order and the answer to its request before anything else happens."""

    order: Order
    request_id: str


class CommitFills(msgspec.Struct, frozen=True):
    """Journal order, fills, position and ledger entries in one transaction."""

    order: Order
    fills: tuple[Fill, ...]
    position: PositionState
    entries: tuple[Entry, ...]


class CommitKill(msgspec.Struct, frozen=True):
    order: Order


class CommitSettlement(msgspec.Struct, frozen=True):
    settlement: Settlement
    entry: Entry


class CommitPosture(msgspec.Struct, frozen=True):
    posture: PostureState
    request_id: str = ""


class ScheduleMatch(msgspec.Struct, frozen=True):
    """Say DueReached at this monotonic instant."""

    intent_id: str
    at_mono_ns: int


class PublishOrder(msgspec.Struct, frozen=True):
    order: OrderState


class PublishFill(msgspec.Struct, frozen=True):
    fill: Fill


class PublishPosition(msgspec.Struct, frozen=True):
    position: PositionState


class PublishPosture(msgspec.Struct, frozen=True):
    posture: PostureState


class RaiseAlert(msgspec.Struct, frozen=True):
    alert: Alert


class Accept(msgspec.Struct, frozen=True):
    """Answer yes; ``repeated`` when the order or change existed already."""

    text: str
    order_id: str = ""
    repeated: bool = False


class Refuse(msgspec.Struct, frozen=True):
    """Answer no."""

    code: str
    text: str


Commit = CommitIntent | CommitFills | CommitKill | CommitSettlement | CommitPosture
Effect = (
    Commit
    | ScheduleMatch
    | PublishOrder
    | PublishFill
    | PublishPosition
    | PublishPosture
    | RaiseAlert
    | Accept
    | Refuse
)
