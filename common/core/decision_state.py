"""The engine's decision state, the facts that change it and the effects it asks for. No rule lives here."""

from dataclasses import dataclass, field

import msgspec

from common.core import passport
from common.core.portfolio import NOTHING_OPEN, Exposure, Reservation
from common.core.price_buffer import PriceBuffer
from common.core.route_audit import RouteAudits
from common.core.settings import RiskLimits, StrategySettings
from common.messages import (
    AccountState,
    Alert,
    BookState,
    Envelope,
    MarketState,
    PositionState,
    Posture,
    PostureState,
    RouteAudit,
    Submit,
    Tick,
    Verdict,
    WindowView,
)


class Incomplete(msgspec.Struct, frozen=True):
    """These sources have an unrepaired gap: decide nothing on them. An empty set says all is whole again."""

    sources: frozenset[str]


class SubmitAnswered(msgspec.Struct, frozen=True):
    """The executor's definite answer to a submit; silence is no answer and is never reported here."""

    intent_id: str
    accepted: bool
    text: str


class PublishVerdict(msgspec.Struct, frozen=True):
    verdict: Verdict
    cause: str


class PublishView(msgspec.Struct, frozen=True):
    view: WindowView


class SendOrder(msgspec.Struct, frozen=True):
    submit: Submit


class RaiseAlert(msgspec.Struct, frozen=True):
    alert: Alert


class PublishAudit(msgspec.Struct, frozen=True):
    audit: RouteAudit


class AskPosture(msgspec.Struct, frozen=True):
    """The rule of the routes wants another posture; the executor has the last word."""

    posture: Posture
    reason: str


class ForgetWindow(msgspec.Struct, frozen=True):
    window: str


Event = Envelope | Incomplete | SubmitAnswered
Effect = PublishVerdict | PublishView | PublishAudit | SendOrder | AskPosture | RaiseAlert | ForgetWindow


@dataclass(slots=True)
class Window:
    """Everything known about one market window."""

    market: MarketState
    strike: passport.Strike | None = None
    closing: int | None = None
    """Value of the settlement stream stamped at the closing instant, 1e-18 dollars."""
    verdict: tuple[str, str, tuple[bool, ...]] | None = None
    """Decision, gap of the passport and which gates passed, as last told; texts turn no verdict."""
    verdicts: int = 0
    entered: bool = False
    retry_mono_ns: int = 0
    view: WindowView | None = None
    view_mono_ns: int = 0
    judged: bool = False
    """The official outcome has been compared with the predicted one."""
    witness_judged: bool = False
    """The venue's own strike has been compared with ours."""
    contradicted: bool = False
    """The venue's services contradict each other about the outcome; said once."""


@dataclass(slots=True)
class State:
    """The decision state. ``step`` changes it in place and hands it back: never use an older reference."""

    strategy: StrategySettings
    limits: RiskLimits
    windows: dict[str, Window] = field(default_factory=dict)
    books: dict[str, BookState] = field(default_factory=dict)
    series: dict[str, dict[str, dict[str, PriceBuffer]]] = field(default_factory=dict)
    """By asset, kind and route."""
    first_values: dict[tuple[str, str, str, int], Tick] = field(default_factory=dict)
    """First value of every instant that a route corrected later: a strike is the first, not the last."""
    routes: RouteAudits = field(default_factory=RouteAudits)
    incomplete: frozenset[str] = frozenset()
    posture: PostureState | None = None
    account: AccountState | None = None
    positions: dict[tuple[str, str], PositionState] = field(default_factory=dict)
    at_stake: Exposure = NOTHING_OPEN
    """Of the positions, summed as they come: an order waits for no sum."""
    ordered: set[str] = field(default_factory=set)
    """Windows in which the executor has an order, filled or not."""
    in_flight: dict[str, Reservation] = field(default_factory=dict)
    order_times_ns: tuple[int, ...] = ()
    counts: dict[str, int] = field(
        default_factory=lambda: {
            "windows_seen": 0,
            "verdicts": 0,
            "orders_sent": 0,
            "strike_disputes": 0,
            "strikes_confirmed": 0,
            "strikes_contradicted": 0,
            "outcomes_right": 0,
            "outcomes_wrong": 0,
            "outcomes_contradicted": 0,
        }
    )
