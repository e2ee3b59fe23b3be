"""Conversations with the engine: events in, effects out, on a clock that only moves when told."""

from dataclasses import dataclass, field
from typing import TypeVar

from common.core import engine
from common.core.decision_state import Effect, Event, State
from common.core.moment import Moment
from common.core.settings import RiskLimits, StrategySettings
from common.messages import (
    SCHEMA,
    AccountState,
    BookState,
    Envelope,
    FeeSchedule,
    MarketState,
    Outcome,
    PostureState,
    Published,
    SeriesKind,
    Tick,
)
from common.units import E18, SECOND

START_S = 1_900_000_000
WINDOW = f"btc-updown-15m-{START_S}"
UP, DOWN = "1001", "1002"

Kind = TypeVar("Kind")


def market(**changes: object) -> MarketState:
    """A tradable 15-minute BTC window settling on the 60 s TWAP."""
    plain: dict[str, object] = {
        "window": WINDOW,
        "asset": "btc",
        "condition_id": "0xc0",
        "version": "v1",
        "token_up": UP,
        "token_down": DOWN,
        "rule": "twap",
        "lookback_s": 60,
        "start_ns": START_S * SECOND,
        "end_ns": (START_S + 900) * SECOND,
        "fee": FeeSchedule(rate_ppm=70_000, exponent=1),
        "taker_delay_ns": 150_000_000,
        "tick4": 100,
        "min_size6": 5_000_000,
        "accepting": True,
    }
    return MarketState(**{**plain, **changes})  # type: ignore[arg-type]


def tick(second: float, dollars: float, kind: SeriesKind = "spot", asset: str = "btc") -> Tick:
    """A tick ``second`` seconds after the window's opening."""
    return Tick(
        asset=asset,
        kind=kind,
        route="rtds",
        observed_ns=int((START_S + second) * SECOND),
        e18=str(int(dollars * 1_000_000) * (E18 // 1_000_000)),
    )


@dataclass
class Conversation:
    """Says events to the engine ``at`` a second of the window and keeps what it answers."""

    state: State = field(default_factory=lambda: State(strategy=StrategySettings(), limits=RiskLimits()))
    second: float = 0.0
    seq: int = 0
    said: list[Effect] = field(default_factory=list)

    @property
    def now(self) -> Moment:
        return Moment(int((START_S + self.second) * SECOND), int((10_000 + self.second) * SECOND))

    def at(self, second: float) -> "Conversation":
        """Move the clock to this second of the window."""
        self.second = second
        return self

    def hear(self, *events: Event | Published) -> list[Effect]:
        """Give these events at one moment; returns the effects they caused."""
        answers: list[Effect] = []
        for said in events:
            event = self.envelope(said) if isinstance(said, Published) else said
            _, effects = engine.step(self.state, event, self.now)
            answers += effects
        self.said += answers
        return answers

    def envelope(self, body: Published) -> Envelope:
        self.seq += 1
        return Envelope(
            schema=SCHEMA,
            source="test",
            boot="b",
            seq=self.seq,
            topic="",
            ts_event_ns=0,
            ts_recv_ns=self.now.wall_ns,
            mono_ns=self.now.mono_ns,
            cause="",
            body=body,
        )

    def book(self, outcome: Outcome, ask4: int, bid4: int | None = None, **changes: object) -> BookState:
        """A live book of one side of the window, a hundred shares a level, stamped now."""
        plain: dict[str, object] = {
            "token": UP if outcome == "up" else DOWN,
            "window": WINDOW,
            "outcome": outcome,
            "status": "live",
            "bids": ((bid4 if bid4 is not None else ask4 - 100, 100_000_000),),
            "asks": ((ask4, 100_000_000),),
            "tick4": 100,
            "venue_ns": self.now.wall_ns,
            "data_mono_ns": self.now.mono_ns,
        }
        return BookState(**{**plain, **changes})  # type: ignore[arg-type]

    def opened(self, strike: float = 100_000.0) -> "Conversation":
        """The window is open, its strike latched, the executor known, both books at 0.50."""
        self.at(0).hear(posture(), account(), market())
        self.at(2).hear(tick(0, strike, "twap60"), tick(0, strike))
        self.hear(self.book("up", 5_000), self.book("down", 5_100))
        self.said.clear()
        return self

    def got(self, kind: type[Kind]) -> list[Kind]:
        """The effects of one kind so far."""
        return [effect for effect in self.said if isinstance(effect, kind)]


def posture(name: str = "trading") -> PostureState:
    return PostureState(posture=name, reason="start", who="test", since_ns=0)  # type: ignore[arg-type]


def account(cash: int = 1_000_000_000, **changes: object) -> AccountState:
    plain: dict[str, object] = {
        "mode": "paper",
        "cash_usd6": cash,
        "open_cost_usd6": 0,
        "realized_pnl_usd6": 0,
        "day": "2030-03-17",
        "day_pnl_usd6": 0,
        "fees_usd6": 0,
        "orders": 0,
        "fills": 0,
        "duplicate_orders": 0,
        "ledger_difference_usd6": 0,
    }
    return AccountState(**{**plain, **changes})  # type: ignore[arg-type]
