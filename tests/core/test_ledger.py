from typing import NamedTuple

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from common.core import ledger
from common.core.ledger import Difference, Entry, Line
from common.core.portfolio import PositionKey, apply_fill, settle
from common.errors import InvariantBroken
from common.messages import Fill, Outcome, PositionState

BANKROLL = 1_000_000_000


class History(NamedTuple):
    """A run of the account: what was booked, and the facts it rests on."""

    entries: list[Entry]
    fills: list[Fill]
    settlements: list[PositionState]

    def difference(self) -> Difference:
        return ledger.difference(self.entries, self.fills, self.settlements, BANKROLL)


def bought(
    number: int = 1,
    window: str = "w1",
    outcome: Outcome = "up",
    size6: int = 10_000_000,
    cost_usd6: int = 6_000_000,
    fee_usd6: int = 168_000,
) -> Fill:
    return Fill(
        trade_id=f"t{number}",
        order_id=f"o{number}",
        window=window,
        asset="btc",
        token=f"{window}-{outcome}",
        outcome=outcome,
        price4=6_000,
        size6=size6,
        cost_usd6=cost_usd6,
        fee_usd6=fee_usd6,
        at_ns=number,
    )


def booked(fills: list[Fill], officials: dict[str, Outcome]) -> History:
    """Book every fill, settling each window of ``officials`` right after its last fill."""
    entries = [ledger.opening(1, 0, BANKROLL)]
    settlements: list[PositionState] = []
    positions: dict[PositionKey, PositionState] = {}
    for index, fill in enumerate(fills):
        positions = apply_fill(positions, fill, 100)
        entries.append(ledger.bought(len(entries) + 1, fill))
        if fill.window not in officials or any(later.window == fill.window for later in fills[index + 1 :]):
            continue
        for key, position in positions.items():
            if key[0] == fill.window:
                settlements.append(settle(position, officials[fill.window]))
                entries.append(ledger.settled(len(entries) + 1, 101, settlements[-1]))
    return History(entries, fills, settlements)


outcomes: st.SearchStrategy[Outcome] = st.sampled_from(["up", "down"])
windows = st.sampled_from(["w1", "w2", "w3", "w4"])
rows = st.tuples(windows, outcomes, st.integers(1, 10**9), st.integers(1, 10**9), st.integers(0, 10**7))
histories = st.builds(
    lambda drawn, officials: booked([bought(n, *row) for n, row in enumerate(drawn)], officials),
    st.lists(rows, min_size=1, max_size=12),
    st.dictionaries(windows, outcomes),
)


def test_a_won_trade_in_the_books() -> None:
    history = booked([bought()], {"w1": "up"})
    assert ledger.balances(history.entries) == {
        "cash": BANKROLL - 6_168_000 + 10_000_000,
        "capital": -BANKROLL,
        "positions:w1:up": 0,
        "fees": 168_000,
        "pnl": -4_000_000,
    }
    assert history.difference() == Difference(0)


def test_a_lost_trade_in_the_books() -> None:
    history = booked([bought()], {"w1": "down"})
    assert ledger.balances(history.entries)["cash"] == BANKROLL - 6_168_000
    assert ledger.balances(history.entries)["pnl"] == 6_000_000
    assert history.difference() == Difference(0)


def test_an_open_trade_is_carried_at_cost() -> None:
    assert ledger.balances(booked([bought()], {}).entries)["positions:w1:up"] == 6_000_000


def test_an_entry_out_of_balance_cannot_be_made() -> None:
    with pytest.raises(InvariantBroken, match=r"entry 7 \(bought, t9\) is out of balance by -1"):
        Entry(7, 0, "bought", (Line("cash", -5), Line("fees", 4)), "t9")


def test_an_entry_spoilt_in_storage_cannot_be_read() -> None:
    packed = msgspec.json.encode(ledger.bought(3, bought()))
    assert msgspec.json.decode(packed, type=Entry) == ledger.bought(3, bought())
    with pytest.raises(InvariantBroken, match="entry 3"):
        msgspec.json.decode(packed.replace(b":168000", b":168001"), type=Entry)


def test_an_open_position_cannot_be_booked_as_settled() -> None:
    position = apply_fill({}, bought(), 100)["w1", "up"]
    with pytest.raises(InvariantBroken, match="positions:w1:up"):
        ledger.settled(2, 0, position)


def test_a_payout_the_shares_do_not_justify_is_named() -> None:
    fill = bought()
    paid_short = msgspec.structs.replace(
        settle(apply_fill({}, fill, 100)["w1", "up"], "up"), payout_usd6=9_999_999
    )
    entries = [ledger.opening(1, 0, BANKROLL), ledger.bought(2, fill), ledger.settled(3, 101, paid_short)]
    assert ledger.difference(entries, [fill], [paid_short], BANKROLL) == Difference(
        -1, "cash", 3, "positions:w1:up"
    )


def test_a_position_added_up_wrongly_is_named() -> None:
    fill = bought()
    position = settle(apply_fill({}, fill, 100)["w1", "up"], "down")
    too_dear = msgspec.structs.replace(position, cost_usd6=position.cost_usd6 + 1)
    entries = [ledger.opening(1, 0, BANKROLL), ledger.bought(2, fill), ledger.settled(3, 101, too_dear)]
    found = ledger.difference(entries, [fill], [too_dear], BANKROLL)
    assert (found.account, found.usd6, found.entry_number) == ("positions:w1:up", -1, 3)


def test_a_wrong_bankroll_is_named() -> None:
    entries = [ledger.opening(1, 0, BANKROLL - 1)]
    assert ledger.difference(entries, [], [], BANKROLL) == Difference(-1, "cash", 1, "bankroll")


def test_a_ledger_that_was_never_opened_is_named() -> None:
    assert ledger.difference([], [], [], BANKROLL) == Difference(-BANKROLL, "cash", None, "bankroll")


@given(histories)
def test_any_honest_history_proves(history: History) -> None:
    assert history.difference() == Difference(0)
    sums = ledger.balances(history.entries)
    assert sum(sums.values()) == 0
    results = sum(position.payout_usd6 - position.cost_usd6 for position in history.settlements)
    assert sums.get("pnl", 0) == -results
    open_cost = sum(amount for account, amount in sums.items() if account.startswith("positions:"))
    assert sums["cash"] == BANKROLL + results - sums["fees"] - open_cost


@given(histories, st.data())
def test_a_unit_moved_between_two_lines_is_found(history: History, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(history.entries) - 1))
    entry = history.entries[index]
    taken, given_to = data.draw(st.permutations(range(len(entry.lines))).map(lambda order: order[:2]))
    lines = list(entry.lines)
    lines[taken] = Line(lines[taken].account, lines[taken].amount_usd6 - 1)
    lines[given_to] = Line(lines[given_to].account, lines[given_to].amount_usd6 + 1)
    history.entries[index] = msgspec.structs.replace(entry, lines=tuple(lines))
    found = history.difference()
    assert found.entry_number == entry.number
    assert (found.account, found.usd6) in {(lines[taken].account, -1), (lines[given_to].account, 1)}


@given(histories, st.data())
def test_a_unit_on_one_line_makes_the_entry_impossible(history: History, data: st.DataObject) -> None:
    entry = data.draw(st.sampled_from(history.entries))
    index = data.draw(st.integers(0, len(entry.lines) - 1))
    lines = list(entry.lines)
    lines[index] = Line(lines[index].account, lines[index].amount_usd6 + data.draw(st.sampled_from([-1, 1])))
    with pytest.raises(InvariantBroken, match=f"entry {entry.number} "):
        msgspec.structs.replace(entry, lines=tuple(lines))


@given(histories, st.data(), st.sampled_from(["cost_usd6", "fee_usd6"]))
def test_a_unit_on_a_fill_names_the_entry_that_booked_it(
    history: History, data: st.DataObject, field: str
) -> None:
    index = data.draw(st.integers(0, len(history.fills) - 1))
    fill = history.fills[index]
    history.fills[index] = msgspec.structs.replace(fill, **{field: getattr(fill, field) + 1})
    found = history.difference()
    (entry,) = [entry for entry in history.entries if entry.evidence == fill.trade_id]
    assert abs(found.usd6) == 1
    assert found.entry_number == entry.number


@given(histories, st.data())
def test_a_share_on_a_fill_names_the_settlement_that_paid_it(history: History, data: st.DataObject) -> None:
    won = [position for position in history.settlements if position.official == position.outcome]
    assume(won)
    position = data.draw(st.sampled_from(won))
    account = ledger.position_account(position.window, position.outcome)
    index = next(
        n
        for n, fill in enumerate(history.fills)
        if ledger.position_account(fill.window, fill.outcome) == account
    )
    fill = history.fills[index]
    history.fills[index] = msgspec.structs.replace(fill, size6=fill.size6 + 1)
    (entry,) = [entry for entry in history.entries if entry.evidence == account]
    assert history.difference() == Difference(-1, "cash", entry.number, account)


@given(histories, st.data())
def test_a_dropped_entry_is_named_by_its_evidence(history: History, data: st.DataObject) -> None:
    entry = history.entries.pop(data.draw(st.integers(0, len(history.entries) - 1)))
    found = history.difference()
    assert found.usd6 != 0
    assert (found.entry_number, found.evidence) == (None, entry.evidence)


@given(histories, st.data())
def test_an_entry_booked_twice_is_named(history: History, data: st.DataObject) -> None:
    entry = data.draw(st.sampled_from(history.entries))
    number = len(history.entries) + 1
    history.entries.append(msgspec.structs.replace(entry, number=number))
    found = history.difference()
    assert found.usd6 != 0
    assert (found.entry_number, found.evidence) == (number, entry.evidence)
