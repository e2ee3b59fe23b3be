"""The proof of the money once shares are sold: zero after any history, and a unit that is off is named."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core import ledger
from common.core.account import broken_sums, cash_usd6
from common.core.fees import taker_fee_usd6
from common.core.ledger import balances
from common.core.matching import Taken, walk_down
from common.core.money_proof import prove
from common.core.order_events import Answered, BookSeen, SaleSigned, TradeSeen, Unknown
from common.core.order_events import Taken as TakenByVenue
from common.core.order_sale import Sale, planned
from common.core.order_state import Books
from common.core.portfolio import apply_fill, released_usd6, take_back
from common.core.venue_facts import VenueTrade
from common.errors import InvariantBroken
from common.messages import FeeSchedule, Fill
from test_money_proof import MINED, WAYS, History


class Seller(History):
    """A history in which half of what is held is sold before its window ends."""

    def before_the_end(self, name: str, token: str) -> None:
        dice = self.dice
        position = self.books.positions.get((name, "up"))
        if position is None or dice.random() < 0.3:
            return
        self.hear(BookSeen(self.book("up", token=token, window=name, bids=((4_700, 10**9), (4_100, 10**9)))))
        wide = msgspec.structs.replace(self.state.markets[name], min_size6=10_000)
        self.state = msgspec.structs.replace(self.state, markets={**self.state.markets, name: wide})
        self.posed("no-new-orders")
        plan = planned(self.state, position, {}, self.now)
        if isinstance(plan, Sale):
            order_id = f"0xsale{self.number}"
            self.hear(SaleSigned(plan, f"f-{self.number}", order_id, b"wire"))
            if dice.random() < 0.2:
                self.hear(Answered(plan.intent_id, Unknown("reset")))
            size6 = dice.randint(1, plan.size6)
            (way,) = dice.choices([way for _, way in WAYS], [weight for weight, _ in WAYS])
            for status in way:
                trade = VenueTrade(f"s{self.number}", order_id, status, 4_700, size6, 4_700 * size6 // 10_000)
                self.hear(TradeSeen(trade))
            if way[-1] in MINED:
                self.mine(next(each for each in self.books.fills if each.trade_id == f"s{self.number}"))
            self.hear(Answered(plan.intent_id, TakenByVenue("matched", size6, (f"s{self.number}",))))
        self.posed("trading")


def history(trades: int, seed: int) -> Seller:
    made = Seller(seed)
    while len(made.books.fills) < trades:
        made.window()
    return made


@pytest.mark.parametrize("seed", range(12))
def test_any_history_with_sales_is_proven(seed: int) -> None:
    made = history(60, seed)
    proof = prove(made.books, made.facts)
    assert proof.wrong == ()
    assert (proof.ok, proof.difference_usd6) == (True, 0)
    sold = [fill for fill in made.books.fills if fill.side == "sell"]
    assert len(sold) > 5
    assert broken_sums(made.books) == ""
    results = sum(one.pnl_usd6 if one.settled else one.realized_usd6 for one in made.books.positions.values())
    fees_open = sum(one.fee_usd6 for one in made.books.positions.values() if not one.settled)
    money = balances(made.books.entries)
    outside = -money["capital"] - made.books.bankroll_usd6
    paid = balances(entry for entry in made.books.entries if entry.kind == "redeemed")
    cost = sum(one.cost_usd6 for one in made.books.positions.values() if not one.settled)
    free = cash_usd6(made.books) + money.get("redeemable", 0) - outside + paid.get("pnl", 0)
    assert free + cost + fees_open == made.books.bankroll_usd6 + results


MADE = history(80, 3)
BOOKS = MADE.books
SALES = [place for place, fill in enumerate(BOOKS.fills) if fill.side == "sell"]


def of_fills(name: str, by: int) -> Iterator[Books]:
    for place in SALES:
        fill = BOOKS.fills[place]
        if fill.status == "failed" and name == "size6":
            continue
        off = msgspec.structs.replace(fill, **{name: getattr(fill, name) + by})
        fills = (*BOOKS.fills[:place], off, *BOOKS.fills[place + 1 :])
        yield msgspec.structs.replace(BOOKS, fills=fills)


def of_positions(name: str, by: int) -> Iterator[Books]:
    for key, held in BOOKS.positions.items():
        off = msgspec.structs.replace(held, **{name: getattr(held, name) + by})
        yield msgspec.structs.replace(BOOKS, positions={**BOOKS.positions, key: off})


def of_entries(_name: str, by: int) -> Iterator[Books]:
    for place, entry in enumerate(BOOKS.entries):
        if entry.kind != "sold":
            continue
        lines = list(entry.lines)
        for at, amount in ((0, by), (2, -by)):
            lines[at] = ledger.Line(lines[at].account, lines[at].amount_usd6 + amount)
        off = msgspec.structs.replace(entry, lines=tuple(lines))
        entries = (*BOOKS.entries[:place], off, *BOOKS.entries[place + 1 :])
        yield msgspec.structs.replace(BOOKS, entries=entries)
        yield msgspec.structs.replace(BOOKS, entries=BOOKS.entries[:place] + BOOKS.entries[place + 1 :])


@pytest.mark.parametrize("by", [1, -1])
@pytest.mark.parametrize(
    ("injected", "name"),
    [
        (of_fills, "size6"),
        (of_fills, "cost_usd6"),
        (of_fills, "fee_usd6"),
        (of_fills, "released_usd6"),
        (of_positions, "sold6"),
        (of_positions, "realized_usd6"),
        (of_entries, ""),
    ],
)
def test_a_unit_that_is_off_anywhere_in_a_sale_is_named(
    injected: Callable[[str, int], Iterator[Books]], name: str, by: int
) -> None:
    count = 0
    for books in injected(name, by):
        count += 1
        proof = prove(books, MADE.facts)
        assert proof.wrong, (name, by)
        assert proof.wrong[-1].name.startswith("books")
        assert broken_sums(books)
    assert count > 5


def test_a_sale_that_did_not_happen_is_named_as_what_explains_the_wallet() -> None:
    sale = next(BOOKS.fills[place] for place in SALES if BOOKS.fills[place].status == "confirmed")
    held = BOOKS.positions[sale.window, sale.outcome]
    facts = MADE.facts
    assert facts.chain_usd6 is not None
    chain = facts.chain_usd6 - (sale.cost_usd6 - sale.fee_usd6)
    shares = {**facts.shares6}
    if held.token in shares and not held.redeemed:
        shares[held.token] += sale.size6
    proof = prove(BOOKS, msgspec.structs.replace(facts, chain_usd6=chain, venue_usd6=chain, shares6=shares))
    (cash,) = [line for line in proof.lines if line.name == "cash"]
    assert cash.off == -(sale.cost_usd6 - sale.fee_usd6)
    assert not cash.unexplained


bids = st.dictionaries(st.integers(1, 9_999), st.integers(1, 10**9), max_size=12).map(
    lambda levels: tuple(levels.items())
)


@given(bids, st.integers(1, 9_999), st.integers(0, 10**9))
def test_a_walk_down_sells_best_first_no_more_than_is_shown_or_offered_and_rounds_against_us(
    levels: tuple[tuple[int, int], ...], limit4: int, size6: int
) -> None:
    taken = walk_down(levels, limit4, size6, None)
    shown = dict(levels)
    assert sum(one.size6 for one in taken) <= size6
    assert [one.price4 for one in taken] == sorted((one.price4 for one in taken), reverse=True)
    for one in taken:
        assert limit4 <= one.price4
        assert 0 < one.size6 <= shown[one.price4]
        assert one.cost_usd6 * 10_000 <= one.price4 * one.size6 < (one.cost_usd6 + 1) * 10_000
    left6 = size6 - sum(one.size6 for one in taken)
    if left6 >= 100:  # everything that could be taken was
        got = {one.price4: one.size6 for one in taken}
        assert all(price4 < limit4 or there6 - got.get(price4, 0) < 100 for price4, there6 in levels)


def test_a_sale_pays_its_fee_out_of_what_it_brings() -> None:
    fee = FeeSchedule(rate_ppm=70_000, exponent=1)
    (one,) = walk_down(((4_900, 10**9),), 4_900, 10_000_000, fee)
    assert one == Taken(4_900, 10_000_000, 4_900_000, taker_fee_usd6(10_000_000, 4_900, fee))


def bought(size6: int, cost_usd6: int) -> Fill:
    return Fill(
        trade_id="b", order_id="o", window="w", asset="btc", token="1", outcome="up", price4=1, size6=size6,
        cost_usd6=cost_usd6, fee_usd6=1, at_ns=0,
    )  # fmt: skip


@given(st.integers(1, 10**9), st.integers(0, 10**9), st.lists(st.integers(1, 10**9), max_size=6))
def test_sold_in_any_parts_a_position_releases_all_its_cost_and_no_part_too_little(
    size6: int, cost: int, parts: list[int]
) -> None:
    positions: Any = apply_fill({}, bought(size6, cost), 100)
    start, sold = positions["w", "up"], []
    for number, part in enumerate([*parts, size6]):
        held = positions["w", "up"]
        part6 = min(part, held.size6)
        if not part6:
            break
        released = released_usd6(held, part6)
        assert released * held.size6 >= held.cost_usd6 * part6
        fill = msgspec.structs.replace(
            bought(part6, 7), trade_id=f"s{number}", side="sell", released_usd6=released
        )
        sold.append(fill)
        positions = apply_fill(positions, fill, 100)
    held = positions["w", "up"]
    assert (held.size6, held.cost_usd6, held.sold6) == (0, 0, size6)
    assert held.realized_usd6 == 7 * len(sold) - cost
    for fill in sold:
        held = take_back(held, fill)
    assert held == start
    with pytest.raises(InvariantBroken, match="sells more"):
        apply_fill({("w", "up"): start}, msgspec.structs.replace(bought(size6 + 1, 0), side="sell"), 100)
