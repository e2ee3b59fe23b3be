"""The executor's state, the facts that change it and the effects it asks for. No rule lives here.

All commits among the effects of one step belong into one transaction, and come before everything else.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from common.core.ledger import Entry
from common.core.portfolio import PositionKey
from common.core.settings import OrderSettings, RiskLimits, StrategySettings
from common.core.venue_facts import OrderNews, OrderPhase, Reading, VenueFill, VenueTrade
from common.messages import (
    Alert,
    BookState,
    FeeSchedule,
    Fill,
    MarketState,
    OrderState,
    Outcome,
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
    end_ns: int = 0
    """End of its window."""
    fee: FeeSchedule | None = None
    wire: bytes = b""
    """The signed bytes, all that may ever be sent for it; empty on paper."""


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
    """By token."""
    incomplete: bool = False
    """Messages of ``books`` are missing and not yet repaired: nothing is decided on what is left."""
    order_times_ns: tuple[int, ...] = ()
    """Monotonic instants of recent orders."""
    orders: OrderSettings = OrderSettings()
    pursuits: dict[str, Pursuit] = {}
    """By intent id."""
    holds: dict[str, Hold] = {}
    """By name."""
    catch_up_at_ns: int = 0
    """Monotonic instant of the next reading of trades."""
    warned: frozenset[str] = frozenset()
    """Trades and orders of others, and stuck trades, that were told already."""


class Matched(msgspec.Struct, frozen=True):
    """The venue took the order and these fills are final; what it did not fill at once is killed."""

    fills: tuple[VenueFill, ...]


class Taken(msgspec.Struct, frozen=True):
    """The venue took the order; its trades are still to come."""

    phase: OrderPhase
    matched6: int | None = None
    """Shares matched at once; None when it did not say."""
    trade_ids: tuple[str, ...] = ()


Consequence = Literal["none", "wait", "check", "stop", "fault"]
"""What a refusal means beyond its order: nothing, wait, check the account, halt, or a mistake of ours."""


class DefiniteNo(msgspec.Struct, frozen=True):
    """The venue did not take it and never will."""

    code: str
    text: str
    consequence: Consequence = "none"
    wait_ns: int = 0


class NotSent(msgspec.Struct, frozen=True):
    """It never left this machine."""

    text: str


class Unknown(msgspec.Struct, frozen=True):
    """It may or may not have been taken; the window stays blocked until the venue tells."""

    text: str


VenueAnswer = Matched | Taken | DefiniteNo | NotSent | Unknown


class Submitted(msgspec.Struct, frozen=True):
    """A wish reached us; ``order_id`` is what its order would be called, ``wire`` what would be sent."""

    submit: Submit
    request_id: str
    order_id: str
    wire: bytes = b""


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


class TradeSeen(msgspec.Struct, frozen=True):
    """The venue tells of a trade, for the first time or again."""

    trade: VenueTrade


class NewsSeen(msgspec.Struct, frozen=True):
    """The venue tells of an order, unasked."""

    news: OrderNews


class ForeignSeen(msgspec.Struct, frozen=True):
    """The account did something that was not our doing."""

    what: str


class LookedUp(msgspec.Struct, frozen=True):
    """What the venue answered when asked for one order."""

    intent_id: str
    reading: Reading


class CaughtUp(msgspec.Struct, frozen=True):
    """The account's trades were read in full and have been told; or could not be, for this reason."""

    problem: str = ""


class HoldAsked(msgspec.Struct, frozen=True):
    """Hold new orders for this reason, at most so long; an empty reason lifts the hold of that name."""

    name: str
    reason: str
    for_ns: int | None = None


class Redeemed(msgspec.Struct, frozen=True):
    """The payout of a settled position is in the wallet; ``evidence`` says what shows it."""

    window: str
    outcome: Outcome
    evidence: str


class PostureAsked(msgspec.Struct, frozen=True):
    posture: Posture
    reason: str
    who: str
    request_id: str = ""


class Restarted(msgspec.Struct, frozen=True):
    """The first event of every run: paper orders left working are killed, sent ones are looked for."""


class SecondPassed(msgspec.Struct, frozen=True):
    """Time for what nobody reports: unsaved postures, open fates, markets of the past."""


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
    | TradeSeen
    | NewsSeen
    | ForeignSeen
    | LookedUp
    | CaughtUp
    | HoldAsked
    | Redeemed
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
    """Journal order, new fills, position and ledger entries in one transaction."""

    order: Order
    fills: tuple[Fill, ...]
    position: PositionState
    entries: tuple[Entry, ...]


class CommitTrade(msgspec.Struct, frozen=True):
    """Journal the new status of a fill, and what unbooking it changes."""

    order: Order
    fill: Fill
    position: PositionState
    entries: tuple[Entry, ...]


class CommitEnd(msgspec.Struct, frozen=True):
    """Journal that a working order is decided; its fills were journalled before."""

    order: Order


class CommitSettlement(msgspec.Struct, frozen=True):
    settlement: Settlement
    entry: Entry


class CommitRedemption(msgspec.Struct, frozen=True):
    position: PositionState
    entry: Entry


class CommitPosture(msgspec.Struct, frozen=True):
    posture: PostureState
    request_id: str = ""


class Place(msgspec.Struct, frozen=True):
    """Send a journalled order to the venue and report its answer."""

    order: Order
    market: MarketState


class LookUp(msgspec.Struct, frozen=True):
    """Ask the venue what became of this order."""

    order: Order


class CatchUp(msgspec.Struct, frozen=True):
    """Read the account's trades since this instant and tell each of them."""

    since_ns: int


class CancelOrder(msgspec.Struct, frozen=True):
    """Take back an order that rests though it must not."""

    order: Order


class CheckAccount(msgspec.Struct, frozen=True):
    """Run the start-up checks now."""


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


Commit = (
    CommitIntent | CommitFills | CommitTrade | CommitEnd | CommitSettlement | CommitRedemption | CommitPosture
)
Effect = (
    Commit
    | Place
    | LookUp
    | CatchUp
    | CancelOrder
    | CheckAccount
    | PublishOrder
    | PublishFill
    | PublishPosition
    | PublishPosture
    | RaiseAlert
    | Accept
    | Refuse
)

Result = tuple[State, list[Effect]]


def commits_first(effects: Iterable[Effect]) -> list[Effect]:
    """The same effects with all commits before the rest, otherwise in their order."""
    listed = list(effects)
    return [e for e in listed if isinstance(e, Commit)] + [e for e in listed if not isinstance(e, Commit)]
