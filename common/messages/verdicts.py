"""What the strategist says of each window and why, and the wish to buy that it sends to the executor."""

from typing import Literal

import msgspec

from common.messages.body import Basis, Body, Outcome
from common.messages.markets import OutcomeWitness


class Gate(msgspec.Struct, frozen=True):
    """One condition of a decision, as it stood."""

    name: str
    value: str
    threshold: str
    passed: bool


class Verdict(Body, frozen=True, tag="verdict"):
    """Why there is or is no trade in a window now. Topic ``verdict.<window>``."""

    window: str
    asset: str
    decision: Literal["buy_up", "buy_down", "no_trade"]
    gates: tuple[Gate, ...]
    number: int
    """Counts the changes of this window's verdict."""


class WindowView(Body, frozen=True, tag="view"):
    """What the strategist sees of a window. Topic ``view.<window>``."""

    window: str
    asset: str
    start_ns: int
    end_ns: int
    strike_e18: str | None
    strike_source: str
    strike_disputes: int
    """Later, different values for the opening second: counted, never latched."""
    reference_e18: str | None
    reference_family: str
    move_ppm: int | None
    up_bid4: int | None
    up_ask4: int | None
    down_bid4: int | None
    down_ask4: int | None
    tradable: bool
    reason: str
    """Why it is not tradable, or empty."""
    predicted: Outcome | None
    outcome: Outcome | None
    refused: bool = False
    """The venue's half of the passport refuses the window, or it is not its turn by far."""
    strike_obtained_ns: int = 0
    reference_route: str = ""
    basis: Basis = "settlement"
    confidence_ppm: int | None = None
    """How much of the reference is known already rather than estimated: 1000000 once all is averaged."""
    price_to_beat_e18: str | None = None
    closing_e18: str | None = None
    """The settlement stream's value at the closing second, as we received it."""
    witnesses: tuple[OutcomeWitness, ...] = ()


class Submit(Body, frozen=True, tag="submit"):
    """A wish to buy: at most ``stake_usd6`` at no more than ``limit4``. A command to the executor."""

    intent_id: str
    """``<window>/<outcome>/<strategy>``: one intent is one order, however often it is sent."""
    window: str
    asset: str
    token: str
    outcome: Outcome
    strategy: str
    limit4: int
    stake_usd6: int
    decided_ns: int
    decided_mono_ns: int
    cause: str
    """Source, boot and sequence of the message that triggered the decision."""
    verdict_number: int = 0
    basis: Basis = "settlement"


class Why(Body, frozen=True, tag="why?"):
    """Command to the strategist: the verdicts of one window, or of all current ones."""

    window: str | None = None


class WhyReport(Body, frozen=True, tag="why"):
    """Answer to Why, oldest verdict first within a window."""

    verdicts: tuple[Verdict, ...]
    views: tuple[WindowView, ...]
