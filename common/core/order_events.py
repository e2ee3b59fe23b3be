"""What can happen to the executor's state: the venue's answers, what was seen or asked, and time."""

from typing import Literal

import msgspec

from common.core.ledger import Payment
from common.core.order_sale import Sale
from common.core.venue_facts import OrderNews, OrderPhase, Reading, VenueFill, VenueTrade
from common.messages import (
    BookState,
    MarketState,
    Posture,
    Submit,
)


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
    """The account did something that was not our doing, as far as the journal knows."""

    what: str
    token: str = ""
    """What was traded; empty where it was no trade."""


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


class Resolved(msgspec.Struct, frozen=True):
    """The chain has the final result of a window's condition."""

    window: str
    numerators: tuple[int, int]
    """Up's and Down's share of ``denominator``."""
    denominator: int
    condition_id: str
    evidence: str
    """Where on the chain it was read."""


class Redeemed(msgspec.Struct, frozen=True):
    """Tokens were burnt, by whomever, and this came into the wallet for them."""

    payment: Payment


class PostureAsked(msgspec.Struct, frozen=True):
    posture: Posture
    reason: str
    who: str
    request_id: str = ""


class RecallAsked(msgspec.Struct, frozen=True):
    """Somebody wants every order back whose fate is open."""


class SaleSigned(msgspec.Struct, frozen=True):
    """A planned sale is ready; ``order_id`` is what its order is called, ``wire`` what would be sent."""

    sale: Sale
    request_id: str
    order_id: str
    wire: bytes = b""


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
    | Resolved
    | Redeemed
    | PostureAsked
    | RecallAsked
    | SaleSigned
    | Restarted
    | SecondPassed
    | JournalFailed
    | LedgerChecked
)
