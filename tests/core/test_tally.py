"""The running sums: never other than what a walk through the books finds, and made before an order asks."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core import ledger
from common.core.account import DAY_NS, account_state, utc_day
from common.core.order_events import (
    Answered,
    MarketSeen,
    Matched,
    NotSent,
    SecondPassed,
)
from common.core.order_state import (
    Settlement,
    Tally,
)
from common.core.tally import counted
from common.messages import Fill, Outcome, PositionState
from order_playbook import START_S, WINDOW, Playbook, fill, fresh_state, market

INTENT = f"{WINDOW}/up/lag"


def position(number: int, pnl: int, *, settled: bool) -> PositionState:
    return PositionState(
        window=f"w{number}", asset="btc", token="1", outcome="up", size6=abs(pnl), cost_usd6=10 + number,
        fee_usd6=1, end_ns=0, settled=settled, pnl_usd6=pnl,
    )  # fmt: skip


def bought(number: int, cost: int, window: str = "w0", outcome: Outcome = "up") -> ledger.Entry:
    made = Fill(
        trade_id=f"t{number}", order_id="o", window=window, asset="btc", token="1", outcome=outcome,
        price4=5_000, size6=1, cost_usd6=cost, fee_usd6=1, at_ns=0,
    )  # fmt: skip
    return ledger.bought(number, made)


results = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), max_size=6)


@given(st.lists(st.tuples(results, st.lists(st.integers(1, 9), max_size=3), st.integers(0, 3)), max_size=6))
def test_however_the_books_come_to_be_the_sums_are_those_of_a_walk(
    stages: list[tuple[list[tuple[int, int]], list[int], int]],
) -> None:
    """Each stage books results and purchases, on some day of four; the walk is the published account's."""
    books, tally = fresh_state().books, Tally()
    for settled, costs, day in stages:
        first = len(books.settlements)
        new = [
            Settlement(position(first + place, pnl, settled=True), on * DAY_NS + place)
            for place, (pnl, on) in enumerate(settled)
        ]
        entries = [bought(len(books.entries) + place, cost) for place, cost in enumerate(costs, 1)]
        held = position(1_000 + len(books.positions), 0, settled=False)
        books = msgspec.structs.replace(
            books,
            positions={**books.positions, (held.window, held.outcome): held},
            settlements=(*books.settlements, *new),
            entries=(*books.entries, *entries),
        )
        tally = counted(tally, books, day * DAY_NS)
        account = account_state(books, "paper", day * DAY_NS, duplicate_orders=0)
        assert tally.cash_usd6 == account.cash_usd6
        that_day = [one.position.pnl_usd6 for one in books.settlements if utc_day(one.at_ns) == account.day]
        assert tally.day_pnl_usd6 == account.day_pnl_usd6 == sum(that_day)
        assert tally.loss_streak == account.loss_streak
        assert sum(tally.open.by_window.values()) == account.open_cost_usd6


def test_a_ledger_that_is_another_one_is_summed_anew() -> None:
    books = fresh_state().books
    known = counted(Tally(), msgspec.structs.replace(books, entries=(*books.entries, bought(2, 5))), 0)
    other = msgspec.structs.replace(books, entries=(books.entries[0], bought(2, 8), bought(3, 1)))
    assert counted(known, other, 0).cash_usd6 == books.bankroll_usd6 - 11
    assert counted(known, books, 0).cash_usd6 == books.bankroll_usd6


def test_a_new_day_begins_with_nothing_lost() -> None:
    lost = Settlement(position(1, -5, settled=True), DAY_NS - 1)
    books = msgspec.structs.replace(fresh_state().books, settlements=(lost,))
    evening = counted(Tally(), books, DAY_NS - 1)
    assert (evening.day_pnl_usd6, evening.loss_streak) == (-5, 1)
    assert (counted(evening, books, DAY_NS).day_pnl_usd6, evening.loss_streak) == (0, 1)


@pytest.mark.parametrize("answer", [Matched((fill(),)), NotSent("no route")])
def test_the_next_order_finds_the_sums_made(answer: Any) -> None:
    play = Playbook().opened()

    def made() -> bool:
        return counted(play.state.tally, play.state.books, play.now.wall_ns) is play.state.tally

    play.submit()
    assert made()
    play.hear(Answered(INTENT, answer))
    assert made()
    play.at(901).hear(MarketSeen(market(outcome="up")))
    assert made()
    play.at(86_400 - START_S % 86_400)
    assert not made(), "another day"
    play.hear(SecondPassed())
    assert made()
