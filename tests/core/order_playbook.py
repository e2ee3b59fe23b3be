"""Conversations with the executor's state machine on a clock that only moves when told."""

from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from common.core import ledger
from common.core.moment import Moment
from common.core.order_effects import (
    Effect,
    Refuse,
)
from common.core.order_events import (
    Answered,
    BookSeen,
    Event,
    MarketSeen,
    Matched,
    Submitted,
)
from common.core.order_flow import step
from common.core.order_state import (
    Books,
    Order,
    State,
    Tally,
)
from common.core.paper_fill import paper_order_id
from common.core.settings import RiskLimits, StrategySettings
from common.core.tally import counted
from common.core.venue_facts import VenueFill
from common.messages import BookState, Outcome, Submit
from common.units import SECOND
from conversation import DOWN, START_S, UP, WINDOW, Conversation, market, posture

BANKROLL = 1_000_000_000
Kind = TypeVar("Kind")

__all__ = ["DOWN", "START_S", "UP", "WINDOW", "Playbook", "fill", "market", "posture"]


def fresh_state() -> State:
    """An account that was just opened."""
    books = Books({}, {}, (), (), (ledger.opening(1, 0, BANKROLL),), BANKROLL)
    return State(StrategySettings(), RiskLimits(), books, posture())


def fill(
    place: int = 0, price4: int = 5_000, size6: int = 10_000_000, intent: str = f"{WINDOW}/up/lag"
) -> VenueFill:
    """One fill of an intent's order: 10 shares at 0.50."""
    cost = -(-price4 * size6 // 10_000)
    return VenueFill(f"{paper_order_id(intent)}-{place}", price4, size6, cost, 100_000)


@dataclass
class Playbook:
    """Says events to the state machine ``at`` a second of the window and keeps what it answers."""

    state: State = field(default_factory=fresh_state)
    second: float = 60.0
    said: list[Effect] = field(default_factory=list)

    @property
    def now(self) -> Moment:
        return Moment(int((START_S + self.second) * SECOND), int((10_000 + self.second) * SECOND))

    def at(self, second: float) -> "Playbook":
        """Move the clock to this second of the window."""
        self.second = second
        return self

    def hear(self, *events: Event) -> list[Effect]:
        """Give these events at one moment; returns the effects they caused."""
        answers: list[Effect] = []
        for event in events:
            self.state, effects = step(self.state, event, self.now)
            answers += effects
            now_ns, books = self.now.wall_ns, self.state.books
            assert counted(self.state.tally, books, now_ns) == counted(Tally(), books, now_ns)
        self.said += answers
        return answers

    def opened(self, **changes: object) -> "Playbook":
        """The window is known and both its books are live now."""
        self.hear(MarketSeen(market(**changes)), BookSeen(self.book("up")), BookSeen(self.book("down")))
        return self

    def book(self, outcome: Outcome, ask4: int = 5_000, **changes: object) -> BookState:
        """A live book stamped now."""
        talk = Conversation()
        talk.second = self.second
        return talk.book(outcome, ask4, **changes)

    def wish(self, outcome: Outcome = "up", **changes: object) -> Submit:
        """An order decided now."""
        plain: dict[str, object] = {
            "intent_id": f"{changes.get('window', WINDOW)}/{outcome}/{changes.get('strategy', 'lag')}",
            "window": WINDOW,
            "asset": "btc",
            "token": UP if outcome == "up" else DOWN,
            "outcome": outcome,
            "strategy": "lag",
            "limit4": 6_100,
            "stake_usd6": 10_000_000,
            "decided_ns": self.now.wall_ns,
            "decided_mono_ns": self.now.mono_ns,
            "cause": "oracle-rtds/b/1",
        }
        return Submit(**{**plain, **changes})  # type: ignore[arg-type]

    def submit(self, outcome: Outcome = "up", **changes: object) -> list[Effect]:
        """Submit a wish; returns the effects."""
        wish = self.wish(outcome, **changes)
        return self.hear(Submitted(wish, f"r-{len(self.said)}", paper_order_id(wish.intent_id)))

    def refusal(self, outcome: Outcome = "up", **changes: object) -> str:
        """Submit a wish that must be refused, changing nothing; returns the code."""
        before = self.state
        (effect,) = self.submit(outcome, **changes)
        assert isinstance(effect, Refuse), effect
        assert self.state is before
        assert effect.text
        return effect.code

    def bought(self) -> "Playbook":
        """The window's one order is placed and matched for 10 shares at 0.50."""
        self.submit()
        self.hear(Answered(f"{WINDOW}/up/lag", Matched((fill(),))))
        return self

    def order(self, outcome: Outcome = "up") -> Order:
        """The order of an outcome as it stands."""
        return self.state.books.orders[f"{WINDOW}/{outcome}/lag"]

    def posed(self, name: str) -> "Playbook":
        """The posture is another one."""
        self.state = msgspec.structs.replace(self.state, posture=posture(name))
        return self

    def got(self, kind: type[Kind]) -> list[Kind]:
        """The effects of one kind so far."""
        return [effect for effect in self.said if isinstance(effect, kind)]
