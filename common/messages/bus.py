"""The whole bus at a glance: what may be published, commanded and answered, and what carries it.

A kind that stands in none of the three unions cannot travel.
"""

import msgspec

from common.messages.account import (
    AccountReport,
    AccountState,
    CancelAll,
    ChecksReport,
    Flatten,
    PostureState,
    ReadAccount,
    ReadChecks,
    ReadWallet,
    SetPosture,
    WalletReport,
)
from common.messages.body import Body
from common.messages.markets import BookProof, BookState, FollowWindows, MarketState, ProveBook
from common.messages.oracles import OraclesReport, ReadOracles, RouteAudit, Tick
from common.messages.orders import Fill, OrderState, PositionState
from common.messages.processes import (
    Accepted,
    Alert,
    Canary,
    Heartbeat,
    Refused,
    Status,
    StatusReport,
    TakeSnapshot,
)
from common.messages.redemptions import (
    PlanRedemption,
    ReadRedemptions,
    Redeem,
    RedemptionPlan,
    RedemptionsReport,
    RedemptionState,
    ResolutionState,
)
from common.messages.verdicts import Submit, Verdict, Why, WhyReport, WindowView

SCHEMA = 3


class Snapshot(Body, frozen=True, tag="snapshot"):
    """Answer to TakeSnapshot: the messages that make up the state up to ``seq``."""

    boot: str
    seq: int
    envelopes: tuple["Envelope", ...]


Published = (
    Tick
    | MarketState
    | BookState
    | Verdict
    | WindowView
    | RouteAudit
    | OrderState
    | Fill
    | PositionState
    | PostureState
    | AccountState
    | ResolutionState
    | RedemptionState
    | Heartbeat
    | Alert
    | Canary
)
Command = (
    Status
    | TakeSnapshot
    | Why
    | FollowWindows
    | SetPosture
    | CancelAll
    | Flatten
    | ReadAccount
    | ReadOracles
    | ProveBook
    | ReadChecks
    | ReadWallet
    | Redeem
    | ReadRedemptions
    | PlanRedemption
    | Submit
    | Canary
)
Answer = (
    StatusReport
    | Snapshot
    | WhyReport
    | AccountReport
    | OraclesReport
    | BookProof
    | ChecksReport
    | WalletReport
    | RedemptionsReport
    | RedemptionPlan
    | Accepted
    | Refused
)


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A published message with its origin and its three times."""

    schema: int
    source: str
    """Role of the publisher: ``oracle-rtds``."""
    boot: str
    """Random per start of the publisher."""
    seq: int
    """1, 2, 3 … per (source, boot), over all topics."""
    topic: str
    ts_event_ns: int
    """Wall clock of whoever made the fact (oracle, venue); 0 when it is our own."""
    ts_recv_ns: int
    """Our wall clock when the fact reached us."""
    mono_ns: int
    """Our monotonic clock when it was published."""
    cause: str
    """``source/boot/seq`` of the message that led to this one, or empty."""
    body: Published


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A command on the wire; refused by the callee once ``expires_mono_ns`` has passed."""

    schema: int
    id: str
    caller: str
    expires_mono_ns: int
    body: Command


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the request with the same id."""

    schema: int
    id: str
    body: Answer


def envelope_id(envelope: Envelope) -> str:
    """The form in which another message names this one as its cause."""
    return f"{envelope.source}/{envelope.boot}/{envelope.seq}"
