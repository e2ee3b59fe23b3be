"""What is held, what it cost, and what a settlement makes of it.

Pure functions from positions to positions. Never knows cash (that is the ledger's) and never recognises a
repeated fill: callers apply each trade id once.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec

from common.errors import InvariantBroken
from common.messages import Basis, Fill, Official, Outcome, PositionState
from common.units import ceil_div

PositionKey = tuple[str, Outcome]
"""(window, outcome)"""


class Reservation(msgspec.Struct, frozen=True):
    """The worst an order in flight, or of unknown fate, can still cost."""

    intent_id: str
    window: str
    asset: str
    outcome: Outcome
    worst_usd6: int


class Exposure(msgspec.Struct, frozen=True):
    """What is lost (1e-6 $, fees included) if everything that wins together loses."""

    by_window: dict[str, int]
    by_asset: dict[str, int]
    by_direction: dict[Outcome, int]
    held: frozenset[PositionKey] = frozenset()
    """What it is that may lose, each once."""


NOTHING_OPEN = Exposure({}, {}, {})


class Ratio(NamedTuple):
    """One side's share of a dollar in a split."""

    numerator: int
    denominator: int


UNSPLIT = Ratio(0, 0)
"""What stands for the ratio where one side gets everything."""


def apply_fill(
    positions: Mapping[PositionKey, PositionState],
    fill: Fill,
    end_ns: int,
    basis: Basis = "settlement",
    condition_id: str = "",
) -> dict[PositionKey, PositionState]:
    """The positions after one fill; ``end_ns`` is the end of the fill's window, ``basis`` what judged it.

    Raises InvariantBroken when the position is settled, belongs to another token, or has fewer shares than
    are sold.
    """
    key = (fill.window, fill.outcome)
    held = positions.get(key) or empty_position(fill, end_ns, basis, condition_id)
    if held.settled:
        raise InvariantBroken(
            f"trade {fill.trade_id} is of {fill.outcome} in {fill.window}, which is settled already: "
            "compare the journal with the venue's trades before going on"
        )
    if held.token != fill.token:
        raise InvariantBroken(
            f"trade {fill.trade_id} names token {fill.token} for {fill.outcome} in {fill.window}, "
            f"which is held as {held.token}: compare the market's tokens with the venue's"
        )
    if fill.side == "sell" and fill.size6 > held.size6:
        raise InvariantBroken(
            f"trade {fill.trade_id} sells more {fill.outcome} in {fill.window} than is held: "
            "compare the journal with the venue's trades before going on"
        )
    return {**positions, key: _moved(held, fill, 1)}


def released_usd6(position: PositionState, size6: int) -> int:
    """What so many of its shares cost on average, rounded up: no sale shows more profit than it made.

    All of them release all of the cost, so that nothing is left on a position that was sold.
    """
    return max(0, ceil_div(position.cost_usd6 * size6, position.size6)) if position.size6 else 0


def _moved(held: PositionState, fill: Fill, times: Literal[1, -1]) -> PositionState:
    """The position with a fill added (1) or taken out again (-1)."""
    sells = fill.side == "sell"
    size6, cost_usd6 = (-fill.size6, -fill.released_usd6) if sells else (fill.size6, fill.cost_usd6)
    return msgspec.structs.replace(
        held,
        size6=held.size6 + times * size6,
        cost_usd6=held.cost_usd6 + times * cost_usd6,
        fee_usd6=held.fee_usd6 + times * fill.fee_usd6,
        sold6=held.sold6 + times * (fill.size6 if sells else 0),
        realized_usd6=held.realized_usd6 + times * (fill.cost_usd6 - fill.released_usd6 if sells else 0),
    )


def empty_position(
    fill: Fill, end_ns: int, basis: Basis = "settlement", condition_id: str = ""
) -> PositionState:
    """The position a first fill is added to."""
    return PositionState(
        window=fill.window,
        asset=fill.asset,
        token=fill.token,
        outcome=fill.outcome,
        size6=0,
        cost_usd6=0,
        fee_usd6=0,
        end_ns=end_ns,
        settled=False,
        basis=basis,
        condition_id=condition_id,
    )


def take_back(position: PositionState, fill: Fill) -> PositionState:
    """The position without a fill that was part of it and failed on the chain."""
    return _moved(position, fill, -1)


def settle(position: PositionState, official: Official, ratio: Ratio = UNSPLIT) -> PositionState:
    """The position once its result is known: 1 $ a share to the winner, nothing to the loser.

    A split pays its ``ratio``, which nothing else has. Settling twice alike changes nothing; raises
    InvariantBroken when the result contradicts the first one.
    """
    if position.settled:
        if not is_contradicted(position, official, ratio):
            return position
        raise InvariantBroken(
            f"{position.window} was settled as {position.official} and is now called {official}: "
            "read the resolution from the chain before going on"
        )
    ended = msgspec.structs.replace(
        position, settled=True, official=official, numerator=ratio.numerator, denominator=ratio.denominator
    )
    payout = worth_usd6(ended, position.size6)
    result = payout + position.realized_usd6 - position.cost_usd6 - position.fee_usd6
    return msgspec.structs.replace(ended, payout_usd6=payout, pnl_usd6=result)


def is_contradicted(position: PositionState, official: Official, ratio: Ratio = UNSPLIT) -> bool:
    """Whether a settled position was settled by another result than this one."""
    booked = Ratio(position.numerator, position.denominator)
    return position.settled and (position.official, booked) != (official, ratio)


def worth_usd6(position: PositionState, size6: int) -> int:
    """What so many shares of a settled position pay, rounded down as the contracts do."""
    if position.official == "split":
        return size6 * position.numerator // position.denominator
    return size6 if position.official == position.outcome else 0


def exposure(positions: Iterable[PositionState], reservations: Iterable[Reservation]) -> Exposure:
    """Open positions at what they can still lose plus reservations at their worst, summed three ways.

    What sales of a position brought in is no longer at risk, and what they lost is lost until it is settled.
    """
    by_window: defaultdict[str, int] = defaultdict(int)
    by_asset: defaultdict[str, int] = defaultdict(int)
    by_direction: defaultdict[Outcome, int] = defaultdict(int)
    held: set[PositionKey] = set()
    at_risk: list[tuple[PositionState | Reservation, int]] = [
        (p, max(0, p.cost_usd6 + p.fee_usd6 - p.realized_usd6)) for p in positions if not p.settled
    ]
    at_risk += [(r, r.worst_usd6) for r in reservations]
    for each, amount in at_risk:
        by_window[each.window] += amount
        by_asset[each.asset] += amount
        by_direction[each.outcome] += amount
        held.add((each.window, each.outcome))
    return Exposure(dict(by_window), dict(by_asset), dict(by_direction), frozenset(held))
