"""Every message between laggard's processes, declared once: by who speaks, here under one name.

Wire form is msgpack maps; each body carries its tag in ``t``. A reader ignores fields it does not know; a
field may be added with a default, anything else raises SCHEMA. Oracle prices exceed 64 bits and travel as
decimal text of the 1e-18 integer.
"""

from common.messages.account import (
    AccountReport,
    AccountState,
    CancelAll,
    CheckResult,
    ChecksReport,
    CheckState,
    Flatten,
    Posture,
    PostureState,
    ReadAccount,
    ReadChecks,
    ReadWallet,
    SetPosture,
    WalletReport,
)
from common.messages.body import Basis, Body, Outcome
from common.messages.bus import (
    SCHEMA,
    Answer,
    Command,
    Envelope,
    Published,
    Reply,
    Request,
    Snapshot,
    envelope_id,
)
from common.messages.markets import (
    BookProof,
    BookState,
    BookStatus,
    FeeSchedule,
    FollowWindows,
    MarketState,
    OutcomeSource,
    OutcomeWitness,
    ProveBook,
)
from common.messages.oracles import (
    ExchangeView,
    OraclesReport,
    ReadOracles,
    RouteAudit,
    RouteName,
    RouteReport,
    RouteState,
    RouteView,
    SeriesKind,
    Tick,
)
from common.messages.orders import Fill, Official, OrderState, OrderStatus, PositionState, Side, TradeStatus
from common.messages.processes import (
    Accepted,
    Alert,
    Canary,
    Heartbeat,
    ProcessState,
    Refused,
    SourceCount,
    Status,
    StatusReport,
    TakeSnapshot,
)
from common.messages.redemptions import (
    PlanLine,
    PlanRedemption,
    ReadRedemptions,
    Redeem,
    RedemptionPlan,
    RedemptionsReport,
    RedemptionState,
    RedemptionStatus,
    ResolutionState,
    TokenLedger,
)
from common.messages.verdicts import Gate, Submit, Verdict, Why, WhyReport, WindowView

__all__ = [
    "SCHEMA", "Accepted", "AccountReport", "AccountState", "Alert", "Answer", "Basis", "Body", "BookProof",
    "BookState", "BookStatus", "Canary", "CancelAll", "CheckResult", "CheckState", "ChecksReport",
    "Command", "Envelope", "ExchangeView", "FeeSchedule", "Fill", "Flatten", "FollowWindows", "Gate",
    "Heartbeat", "MarketState", "Official", "OraclesReport", "OrderState", "OrderStatus", "Outcome",
    "OutcomeSource", "OutcomeWitness", "PlanLine", "PlanRedemption", "PositionState", "Posture",
    "PostureState", "ProcessState", "ProveBook", "Published", "ReadAccount", "ReadChecks", "ReadOracles",
    "ReadRedemptions", "ReadWallet", "Redeem", "RedemptionPlan", "RedemptionState", "RedemptionStatus",
    "RedemptionsReport", "Refused", "Reply", "Request", "ResolutionState", "RouteAudit", "RouteName",
    "RouteReport", "RouteState", "RouteView", "SeriesKind", "SetPosture", "Side", "Snapshot", "SourceCount",
    "Status", "StatusReport", "Submit", "TakeSnapshot", "Tick", "TokenLedger", "TradeStatus", "Verdict",
    "WalletReport", "Why", "WhyReport", "WindowView", "envelope_id",
]  # fmt: skip
