"""The executor's state, the facts that change it and the effects it asks for. No rule lives here.

All commits among the effects of one step belong into one transaction, and come before everything else.
"""

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
    books: Books
    posture: PostureState
    posture_saved: bool = True
    """False while the journal could not take it: it is tried again each second."""
    markets: dict[str, MarketState] = {}
    """By window."""
    quotes: dict[str, BookState] = {}
    """By token."""
    incomplete: bool = False
    """Messages of ``books`` are missing and not yet repaired: nothing is decided on what is left."""
    order_times_ns: tuple[int, ...] = ()
    """Monotonic instants of recent orders."""


class VenueFill(msgspec.Struct, frozen=True):
    """One fill as the venue tells it; the cost is without the fee."""

    trade_id: str
    price4: int
    size6: int
    cost_usd6: int
    fee_usd6: int


class Matched(msgspec.Struct, frozen=True):
    """The venue took the order; what it did not fill at once is killed."""

    fills: tuple[VenueFill, ...]


class DefiniteNo(msgspec.Struct, frozen=True):
    """The venue did not take it and never will."""

    code: str
    text: str


class NotSent(msgspec.Struct, frozen=True):
    """It never left this machine."""

    text: str


class Unknown(msgspec.Struct, frozen=True):
    """It may or may not have been taken; the window stays blocked until the venue tells."""

    text: str


VenueAnswer = Matched | DefiniteNo | NotSent | Unknown


class Submitted(msgspec.Struct, frozen=True):
    """A wish reached us; ``order_id`` is what its order would be called."""

    submit: Submit
    request_id: str
    order_id: str


class MarketSeen(msgspec.Struct, frozen=True):
    market: MarketState


class BookSeen(msgspec.Struct, frozen=True):
    book: BookState


class Completeness(msgspec.Struct, frozen=True):
    """Whether messages of ``books`` are known to be missing."""

    incomplete: bool


class Answered(msgspec.Struct, frozen=True):
    """What the venue says became of an order."""

    intent_id: str
    answer: VenueAnswer


class PostureAsked(msgspec.Struct, frozen=True):
    posture: Posture
    reason: str
    who: str
    request_id: str = ""


class Restarted(msgspec.Struct, frozen=True):
    """The first event of every run: orders left working by an earlier one are decided now."""


class SecondPassed(msgspec.Struct, frozen=True):
    """Time for what nobody reports: an unsaved posture, markets of the past."""


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
    | Answered
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


class Place(msgspec.Struct, frozen=True):
    """Send a journalled order to the venue and report its answer."""

    order: Order
    market: MarketState


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
    | Place
    | PublishOrder
    | PublishFill
    | PublishPosition
    | PublishPosture
    | RaiseAlert
    | Accept
    | Refuse
)
