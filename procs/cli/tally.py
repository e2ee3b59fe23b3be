"""An independent witness of a run: counts what passed on the bus, each fact once however often it came.

Owns only sets of what it has seen. Judges nothing.
"""

from dataclasses import dataclass, field

from common.messages import Envelope, Fill, MarketState, OrderState, PositionState, Tick, Verdict, WindowView


@dataclass(slots=True)
class Tally:
    """Distinct facts heard so far."""

    ticks: set[tuple[str, str, str, int]] = field(default_factory=set)
    windows: set[str] = field(default_factory=set)
    outcomes: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    verdicts: set[tuple[str, str, int]] = field(default_factory=set)
    decisions: set[str] = field(default_factory=set)
    """Windows with at least one verdict to buy."""
    orders: dict[str, OrderState] = field(default_factory=dict)
    fills: set[str] = field(default_factory=set)
    positions: dict[tuple[str, str], PositionState] = field(default_factory=dict)


def count(tally: Tally, envelope: Envelope) -> None:
    """Take one message into account."""
    match envelope.body:
        case Tick() as tick:
            tally.ticks.add((tick.asset, tick.kind, tick.route, tick.observed_ns))
        case MarketState() as market:
            tally.windows.add(market.window)
            if market.outcome is not None:
                tally.outcomes[market.window] = market.outcome
        case WindowView() as view:
            if view.refused:
                tally.refused[view.window] = view.reason
            else:
                tally.refused.pop(view.window, None)
        case Verdict() as verdict:
            tally.verdicts.add((verdict.window, envelope.boot, verdict.number))
            if verdict.decision != "no_trade":
                tally.decisions.add(verdict.window)
        case OrderState() as order:
            tally.orders[order.order_id] = order
        case Fill() as fill:
            tally.fills.add(fill.trade_id)
        case PositionState() as position:
            tally.positions[position.window, position.outcome] = position
        case _:
            pass


def settled_windows(tally: Tally) -> set[str]:
    """Windows whose official outcome was seen, or whose position is settled."""
    return set(tally.outcomes) | {window for (window, _), held in tally.positions.items() if held.settled}
