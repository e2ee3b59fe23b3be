"""What an official outcome makes of what is held: settled once, when nothing of the window is open."""

import msgspec

from common.core import ledger
from common.core.holds import halt
from common.core.moment import Moment
from common.core.order_effects import (
    CommitRedemption,
    CommitSettlement,
    Effect,
    PublishPosition,
    Result,
)
from common.core.order_state import (
    Settlement,
    State,
)
from common.core.order_trades import provisional
from common.core.portfolio import settle
from common.messages import MarketState, Outcome, PositionState

_OUTCOMES: tuple[Outcome, ...] = ("up", "down")


def market_seen(state: State, market: MarketState, moment: Moment) -> Result:
    """Remember the market; settle what is held in it once it has ended and its official outcome is known."""
    held = state.markets.get(market.window)
    if held is not None and held.outcome is not None and market.outcome is None:
        market = msgspec.structs.replace(market, outcome=held.outcome, closed=True)
    if market != held:
        state = msgspec.structs.replace(state, markets={**state.markets, market.window: market})
    if market.outcome is None:
        return state, []
    ended = [
        position
        for outcome in _OUTCOMES
        if (position := state.books.positions.get((market.window, outcome)))
        and moment.wall_ns >= position.end_ns
    ]
    if any(position.settled and position.official != market.outcome for position in ended):
        # An outcome that was paid out and is now another one: stop and let a person look.
        reason = f"{market.window} was settled and is now called {market.outcome}: read its resolution"
        return halt(state, reason, "outcome-contradicted", moment)
    if _undecided(state, market.window):
        return state, []
    commits: list[Effect] = []
    published: list[Effect] = []
    for position in ended:
        if position.settled:
            continue
        books = state.books
        settlement = Settlement(settle(position, market.outcome), moment.wall_ns)
        entry = ledger.settled(
            len(books.entries) + 1,
            moment.wall_ns,
            settlement.position,
            ledger.REDEEMABLE if books.live else ledger.CASH,
        )
        books = msgspec.structs.replace(
            books,
            positions={**books.positions, (position.window, position.outcome): settlement.position},
            settlements=(*books.settlements, settlement),
            entries=(*books.entries, entry),
        )
        state = msgspec.structs.replace(state, books=books)
        commits.append(CommitSettlement(settlement, entry))
        published.append(PublishPosition(settlement.position))
    return state, commits + published


def redeemed(state: State, window: str, outcome: Outcome, evidence: str, moment: Moment) -> Result:
    """The payout of a settled position is in the wallet; told again it changes nothing."""
    books = state.books
    held = books.positions.get((window, outcome))
    if held is None or not held.settled or held.redeemed or not held.payout_usd6 or not books.live:
        return state, []
    position = msgspec.structs.replace(held, redeemed=evidence)
    entry = ledger.redeemed(len(books.entries) + 1, moment.wall_ns, position)
    books = msgspec.structs.replace(
        books,
        positions={**books.positions, (window, outcome): position},
        settlements=tuple(
            msgspec.structs.replace(one, position=position) if one.position == held else one
            for one in books.settlements
        ),
        entries=(*books.entries, entry),
    )
    return msgspec.structs.replace(state, books=books), [
        CommitRedemption(position, entry),
        PublishPosition(position),
    ]


def unredeemed(state: State) -> list[PositionState]:
    """What was won with real money and has not been seen in the wallet."""
    held = state.books.positions.values() if state.books.live else ()
    return [each for each in held if each.settled and each.payout_usd6 and not each.redeemed]


def _undecided(state: State, window: str) -> bool:
    """An order of the window is open, or the chain has not decided one of its trades."""
    return any(
        order.state.status == "working"
        for order in state.books.orders.values()
        if order.state.window == window
    ) or any(fill.window == window for fill in provisional(state.books))
