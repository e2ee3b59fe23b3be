"""What the executor's state machine asks for: what is committed, sent, published and answered.

All commits among the effects of one step belong into one transaction, and come before everything else.
"""

from collections.abc import Iterable

import msgspec

from common.core.ledger import Entry, Payment
from common.core.order_state import Order, Settlement, State
from common.messages import (
    Alert,
    Fill,
    MarketState,
    OrderState,
    PositionState,
    PostureState,
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
    """Journal a payment, the positions it paid and its ledger entries in one transaction."""

    payment: Payment
    positions: tuple[PositionState, ...]
    entries: tuple[Entry, ...]


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
