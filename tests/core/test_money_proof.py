"""The proof of the money: zero after any history, and any single unit that is off is named."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
import pytest

from common.core import ledger
from common.core.account import cash_usd6
from common.core.ledger import Line, Payment
from common.core.money_clues import PAIRED, gained6, spent_usd6
from common.core.money_proof import (
    REDEEMED_READ,
    Proof,
    ProofLine,
    WalletFacts,
    prove,
    tokens_to_read,
)
from common.core.order_effects import Refuse
from common.core.order_events import (
    Answered,
    BookSeen,
    DefiniteNo,
    MarketSeen,
    Redeemed,
    Resolved,
    Submitted,
    Taken,
    TradeSeen,
    Unknown,
)
from common.core.order_state import (
    Books,
    State,
)
from common.core.portfolio import worth_usd6
from common.core.settings import RiskLimits, StrategySettings
from common.core.venue_facts import TradeStatus, VenueTrade
from common.messages import Fill, Outcome, PositionState
from order_playbook import BANKROLL, Playbook, market, posture

MUCH = 10**15
LIMITS = RiskLimits(
    max_asset_usd6=MUCH,
    max_direction_usd6=MUCH,
    max_positions=10**6,
    max_daily_loss_usd6=MUCH,
    max_loss_streak=10**6,
    max_orders_per_minute=10**6,
)
WAYS: tuple[tuple[int, list[TradeStatus]], ...] = (
    (4, ["matched"]),
    (3, ["retrying"]),
    (6, ["matched", "mined"]),
    (45, ["matched", "mined", "confirmed"]),
    (15, ["matched", "failed"]),
    (27, ["confirmed"]),
)
"""How trades go, and of how many in a hundred."""
MINED = ("mined", "confirmed")
SPLITS = ((1, 1), (1, 2), (700_000, 300_000), (0, 5), (5, 0))
"""Results of the chain; the last two are wins of one side."""


@dataclass
class Wallet:
    """What the chain would hold, kept by what is mined alone."""

    usd6: int = BANKROLL * 100
    shares6: Counter[str] = field(default_factory=Counter)

    def facts(self, books: Books) -> WalletFacts:
        tokens = tokens_to_read(books)
        return WalletFacts(self.usd6, self.usd6, {token: self.shares6[token] for token in tokens})


class History(Playbook):
    """An account of real money and its wallet, window after window; ``both`` buys both sides of some."""

    def __init__(self, seed: int, *, both: bool = False) -> None:
        super().__init__()
        self.both = both
        self.dice = random.Random(seed)
        self.wallet = Wallet()
        bankroll = self.wallet.usd6
        books = Books({}, {}, (), (), (ledger.opening(1, 0, bankroll),), bankroll, live=True)
        self.state = State(StrategySettings(live=True), LIMITS, books, posture())
        self.number = 0

    @property
    def books(self) -> Books:
        return self.state.books

    @property
    def facts(self) -> WalletFacts:
        return self.wallet.facts(self.books)

    def window(self) -> None:
        """One window from its order to its end: partial fills, failures, unknown fates, redemptions."""
        self.number += 1
        name, token, dice = f"btc-updown-15m-{self.number}", f"{self.number}1", self.dice
        listed = {"window": name, "token_up": token, "token_down": f"{self.number}2"}
        self.at(60).hear(MarketSeen(market(**listed)), BookSeen(self.book("up", token=token, window=name)))
        if not self.buy(name, "up", token, "lag"):
            if dice.random() < 0.5:
                self.pay("", ((f"{self.number}9", 5),), dice.randint(1, 10**7))
            return
        if self.both and dice.random() < 0.5:
            down = f"{self.number}2"
            self.hear(BookSeen(self.book("down", token=down, window=name)))
            self.buy(name, "down", down, "other")
        self.before_the_end(name, token)
        if dice.random() < 0.6:
            self.at(901).hear(MarketSeen(market(**listed, outcome=dice.choice(("up", "down")))))
        else:
            numerators = dice.choice(SPLITS)
            self.at(901).hear(Resolved(name, numerators, sum(numerators), "0xc0", "block 7"))
        if dice.random() < 0.7:
            self.redeem(name)

    def before_the_end(self, name: str, token: str) -> None:
        """What happens to what is held while its window is open."""

    def buy(self, name: str, outcome: Outcome, token: str, strategy: str) -> bool:
        """One order and its trades; whether there were any."""
        dice, intent = self.dice, f"{name}/{outcome}/{strategy}"
        order_id = f"0x{self.number}" + ("" if outcome == "up" else "-down")
        wish = self.wish(outcome, window=name, token=token, strategy=strategy)
        answers = self.hear(Submitted(wish, f"r-{order_id}", order_id, b"wire"))
        if any(isinstance(answer, Refuse) for answer in answers):
            return False
        kind = dice.random()
        if kind < 0.1:
            self.hear(Answered(intent, DefiniteNo("no-match", "")))
            return False
        if kind < 0.2:
            self.hear(Answered(intent, Unknown("reset")))
        parts = range(dice.randint(1, 3))
        mark = f"t{order_id.removeprefix('0x')}"
        told6 = sum(self.trade(order_id, f"{mark}-{part}", token) for part in parts)
        if kind >= 0.2:
            self.hear(Answered(intent, Taken("matched", told6)))
        return True

    def trade(self, order_id: str, name: str, token: str) -> int:
        """One trade of an order, up to some point of its way; returns its shares."""
        dice = self.dice
        price4, size6 = dice.choice((5_000, 5_300, 6_100)), dice.randint(1, 5_000_000)
        (way,) = dice.choices([way for _, way in WAYS], [weight for weight, _ in WAYS])
        for status in way:
            cost = price4 * size6 // 10_000
            self.hear(TradeSeen(VenueTrade(name, order_id, status, price4, size6, cost)))
        if way[-1] in MINED:
            self.mine(next(each for each in self.books.fills if each.trade_id == name))
        return size6

    def mine(self, fill: Fill) -> None:
        self.wallet.usd6 -= spent_usd6(fill)
        self.wallet.shares6[fill.token] += gained6(fill)

    def redeem(self, name: str) -> None:
        """Pay out what a window's positions won: by us or others, with dust, with shares bought by hand."""
        dice = self.dice
        positions = [each for each in self.books.positions.values() if each.window == name]
        won = [each for each in positions if each.payout_usd6]
        if not won or not all(each.settled for each in positions):
            return
        by_hand = {each.token: dice.choice((0, 0, 0, dice.randint(1, 10**6))) for each in won}
        tokens = tuple((each.token, self.wallet.shares6.pop(each.token, 0)) for each in positions)
        paid = sum(worth_usd6(each, each.size6 + by_hand[each.token]) for each in won)
        burnt = tuple((token, size6 + by_hand.get(token, 0)) for token, size6 in tokens)
        self.pay(name, burnt, paid, surplus=dice.choice((0, 0, dice.randint(1, 9))))

    def pay(self, name: str, tokens: tuple[tuple[str, int], ...], paid: int, surplus: int = 0) -> None:
        """Money comes in for tokens, and is booked."""
        payment = Payment(
            evidence=f"0x{self.number:064x}:{self.dice.randint(0, 400)}",
            condition_id=f"0xc{self.number}",
            window=name,
            paid_usd6=paid + surplus,
            surplus_usd6=surplus,
            tokens=tokens,
            elsewhere=self.dice.random() < 0.3,
        )
        self.wallet.usd6 += payment.paid_usd6
        self.hear(Redeemed(payment), Redeemed(payment))


def history(trades: int, seed: int, *, both: bool = False) -> History:
    """As many trades, and what became of them."""
    made = History(seed, both=both)
    while len(made.books.fills) < trades:
        made.window()
    return made


@pytest.mark.parametrize("seed", range(16))
def test_any_history_is_proven(seed: int) -> None:
    made = history(60, seed, both=seed % 2 == 1)
    proof = prove(made.books, made.facts)
    assert proof.wrong == ()
    assert (proof.ok, proof.difference_usd6) == (True, 0)
    assert {line.name.split()[0] for line in proof.lines} == {"books", "cash", "venue", "shares"}


@cache
def long_history() -> History:
    """More trades than are ever paired; not to be changed."""
    return history(1_000, 99)


def test_a_thousand_trades_are_proven_in_time() -> None:
    made = long_history()
    books = made.books
    assert {fill.status for fill in books.fills} == {way[-1] for _, way in WAYS}
    assert sum(bool(held.redeemed) for held in books.positions.values()) > 40
    begun = time.monotonic()
    assert prove(books, made.facts).ok
    off = msgspec.structs.replace(made.facts, chain_usd6=made.wallet.usd6 + 1)
    assert prove(books, off).wrong[-1].name == "cash"
    assert time.monotonic() - begun < 2


MADE = history(80, 7)
BOOKS = MADE.books
FACTS = MADE.facts
assert FACTS.chain_usd6 is not None
CHAIN = FACTS.chain_usd6
Injected = Iterator[tuple[Books, WalletFacts, str, str]]
"""Books and wallet, the name of the line that must be off, and what its evidence or text must name."""


def changed(thing: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(thing, **fields)


def swapped(things: tuple[Any, ...], place: int, thing: Any) -> tuple[Any, ...]:
    return (*things[:place], thing, *things[place + 1 :])


def in_fills(name: str, by: int) -> Injected:
    for place, fill in enumerate(BOOKS.fills):
        if fill.status == "failed" and name == "size6":
            continue  # a failed trade's size is nobody's
        fills = swapped(BOOKS.fills, place, changed(fill, **{name: getattr(fill, name) + by}))
        # Its order and its position tell its sum, the ledger the trade itself: but shares are not in it.
        line = "books ledger" if name != "size6" else f"books position {fill.window} up"
        yield changed(BOOKS, fills=fills), FACTS, line, fill.trade_id


def in_orders(name: str, by: int) -> Injected:
    for key, order in BOOKS.orders.items():
        state = changed(order.state, **{name: getattr(order.state, name) + by})
        orders = {**BOOKS.orders, key: changed(order, state=state)}
        trades = [fill.trade_id for fill in BOOKS.fills if fill.order_id == state.order_id]
        evidence = trades[0] if trades else "no trade"
        yield changed(BOOKS, orders=orders), FACTS, f"books order {state.order_id}", evidence


def in_positions(name: str, by: int) -> Injected:
    for key, held in BOOKS.positions.items():
        off = changed(held, **{name: getattr(held, name) + by})
        trade = next(fill.trade_id for fill in BOOKS.fills if fill.window == held.window)
        positions = {**BOOKS.positions, key: off}
        yield changed(BOOKS, positions=positions), FACTS, f"books position {held.window} up", trade


def in_line_pairs(first: int, second: int, by: int) -> Injected:
    for place, entry in enumerate(BOOKS.entries):
        if max(first, second) >= len(entry.lines):
            continue
        lines = list(entry.lines)
        for at, amount in ((first, by), (second, -by)):
            lines[at] = Line(lines[at].account, lines[at].amount_usd6 + amount)
        entries = swapped(BOOKS.entries, place, changed(entry, lines=tuple(lines)))
        named = f"entry {entry.number} ({entry.evidence})"
        yield changed(BOOKS, entries=entries), FACTS, "books ledger", named


def in_payments(name: str, by: int) -> Injected:
    for evidence, payment in BOOKS.payments.items():
        if name == "surplus_usd6" and all(each.redeemed != evidence for each in BOOKS.positions.values()):
            continue  # all of it is from outside, whatever it is for
        off = changed(payment, **{name: getattr(payment, name) + by})
        yield changed(BOOKS, payments={**BOOKS.payments, evidence: off}), FACTS, "books ledger", evidence


def in_missing_entries(_: str, by: int) -> Injected:
    for place, entry in enumerate(BOOKS.entries):
        if not any(line.amount_usd6 for line in entry.lines):
            continue  # all trades of the position failed: it says nothing
        entries = BOOKS.entries[:place] + BOOKS.entries[place + 1 :]
        if by > 0:
            entries = (*BOOKS.entries, changed(entry, number=len(BOOKS.entries) + 1))
        yield changed(BOOKS, entries=entries), FACTS, "books ledger", entry.evidence


def in_bankroll(_: str, by: int) -> Injected:
    yield changed(BOOKS, bankroll_usd6=BOOKS.bankroll_usd6 + by), FACTS, "books ledger", "entry 1 (bankroll)"


def in_chain(_: str, by: int) -> Injected:
    yield BOOKS, changed(FACTS, chain_usd6=CHAIN + by), "cash", "transfer"


def in_venue(_: str, by: int) -> Injected:
    yield BOOKS, changed(FACTS, venue_usd6=CHAIN + by), "venue", "copy"


def in_tokens(_: str, by: int) -> Injected:
    for token, found in FACTS.shares6.items():
        wallet = changed(FACTS, shares6={**FACTS.shares6, token: found + by})
        held = next(each for each in BOOKS.positions.values() if each.token == token)
        yield BOOKS, wallet, f"shares {held.window} up", token


PLACES: dict[str, Callable[[int], Injected]] = {
    **{
        f"fill {name}": lambda by, name=name: in_fills(name, by)
        for name in ("cost_usd6", "fee_usd6", "size6")
    },
    **{
        f"order {name}": lambda by, name=name: in_orders(name, by)
        for name in ("cost_usd6", "fee_usd6", "filled_size6")
    },
    **{
        f"position {name}": lambda by, name=name: in_positions(name, by)
        for name in ("cost_usd6", "fee_usd6", "size6", "payout_usd6", "pnl_usd6")
    },
    **{
        f"payment {name}": lambda by, name=name: in_payments(name, by)
        for name in ("paid_usd6", "surplus_usd6")
    },
    **{
        f"entry lines {one} and {two}": lambda by, one=one, two=two: in_line_pairs(one, two, by)
        for one, two in ((0, 1), (0, 2), (1, 2))
    },
    "entry missing or doubled": lambda by: in_missing_entries("", by),
    "bankroll": lambda by: in_bankroll("", by),
    "cash on the chain": lambda by: in_chain("", by),
    "the venue's word": lambda by: in_venue("", by),
    "token balance": lambda by: in_tokens("", by),
}


@pytest.mark.parametrize("by", [1, -1])
@pytest.mark.parametrize("place", PLACES)
def test_one_unit_in_any_place_is_named(place: str, by: int) -> None:
    count = 0
    for books, wallet, name, evidence in PLACES[place](by):
        count += 1
        proof = prove(books, wallet)
        assert not proof.ok
        assert proof.difference_usd6 >= 1
        line = next(each for each in reversed(proof.wrong) if each.name.startswith(name))
        assert evidence in line.evidence + line.text, (place, line)
        assert line.text
        assert proof.wrong[-1].name.split()[0] == name.split()[0]
        if "entry missing" not in place:
            assert abs(line.off) == 1, (place, line)
    assert count


def text_of(proof: Proof, name: str) -> str:
    (line,) = (line for line in proof.lines if line.name == name)
    return line.text


def line_of(proof: Proof, name: str) -> ProofLine:
    (line,) = (line for line in proof.lines if line.name == name)
    return line


def owed() -> list[PositionState]:
    return [held for held in BOOKS.positions.values() if held.payout_usd6 and not held.redeemed]


def test_fills_without_their_order_or_position_are_named() -> None:
    fill = next(each for each in BOOKS.fills if each.status == "confirmed")
    orders = {key: each for key, each in BOOKS.orders.items() if each.state.order_id != fill.order_id}
    assert any(f"order {fill.order_id} " in line.name for line in prove(changed(BOOKS, orders=orders)).wrong)
    positions = {key: each for key, each in BOOKS.positions.items() if each.window != fill.window}
    proof = prove(changed(BOOKS, positions=positions), changed(FACTS, chain_usd6=CHAIN + 7))
    assert any(f"position {fill.window} up" in line.name for line in proof.wrong)


def test_books_are_named_last_and_cash_before_what_hangs_on_it() -> None:
    token = next(iter(FACTS.shares6))
    shares = {**FACTS.shares6, token: FACTS.shares6[token] + 1}
    wallet = WalletFacts(CHAIN + 1, CHAIN + 9, shares)
    assert [line.name.split()[0] for line in prove(BOOKS, wallet).wrong] == ["venue", "shares", "cash"]
    broken = changed(BOOKS, bankroll_usd6=1)
    assert prove(broken, wallet).wrong[-1].name == "books ledger"
    # A wrong fill breaks all three sums; the ledger's names the trade itself.
    fill = BOOKS.fills[5]
    fills = swapped(BOOKS.fills, 5, changed(fill, cost_usd6=fill.cost_usd6 + 1))
    proof = prove(changed(BOOKS, fills=fills), wallet)
    assert [line.name.split()[1] for line in proof.wrong if line.name.startswith("books")] == [
        "order",
        "position",
        "ledger",
    ]
    assert proof.wrong[-1].name == "books ledger"
    assert fill.trade_id in proof.wrong[-1].text
    # Without a wallet the books stand alone.
    assert {line.name.split()[0] for line in prove(BOOKS).lines} == {"books"}


def test_the_venues_word_may_follow_the_match_or_the_chain_and_nothing_else() -> None:
    cash = cash_usd6(BOOKS)
    assert cash != CHAIN
    for venue in (cash, CHAIN):
        assert prove(BOOKS, changed(FACTS, venue_usd6=venue)).ok
    line = prove(BOOKS, changed(FACTS, venue_usd6=cash - 1)).wrong[-1]
    assert (line.name, line.off) == ("venue", cash - 1 - CHAIN)
    # It is held against the chain, not against the books that the chain contradicts.
    proof = prove(BOOKS, changed(FACTS, chain_usd6=CHAIN + 5, venue_usd6=CHAIN + 5))
    assert [line.name for line in proof.wrong] == ["cash"]
    assert prove(BOOKS, WalletFacts(None, CHAIN, {})).ok


@pytest.mark.parametrize("count", [1, 3])
def test_redemptions_that_are_not_booked_explain_cash_and_shares(count: int) -> None:
    gone = owed()[:count]
    assert len(gone) == count
    paid = sum(held.payout_usd6 for held in gone)
    shares = {**FACTS.shares6, **{held.token: 0 for held in gone}}
    proof = prove(BOOKS, WalletFacts(CHAIN + paid, CHAIN + paid, shares))
    assert not proof.ok
    assert proof.difference_usd6 == 0
    cash = line_of(proof, "cash")
    assert cash.off == paid
    for held in gone:
        dollars = f"{held.payout_usd6 // 10**6}.{held.payout_usd6 % 10**6:06d} $"
        said = f"{held.window} up was redeemed and is not booked yet ({dollars})"
        assert said in cash.text
        assert said in text_of(proof, f"shares {held.window} up")
    assert "the running redeemer and executor book it" in cash.text


def test_a_part_that_was_redeemed_explains_as_much() -> None:
    held = owed()[0]
    part = worth_usd6(held, held.size6 - 3)
    proof = prove(BOOKS, WalletFacts(CHAIN + part, None, {**FACTS.shares6, held.token: 3}))
    assert proof.difference_usd6 == 0
    assert f"shares of {held.window} up was redeemed" in text_of(proof, "cash")


def test_shares_that_are_gone_without_money_were_not_redeemed() -> None:
    held = owed()[0]
    proof = prove(BOOKS, changed(FACTS, shares6={**FACTS.shares6, held.token: 0}))
    (line,) = proof.wrong
    assert line.unexplained == -held.size6
    assert "no payout came for them" in line.text


def test_more_shares_than_were_ever_bought_are_no_redemption() -> None:
    held = owed()[0]
    proof = prove(BOOKS, changed(FACTS, shares6={**FACTS.shares6, held.token: held.size6 + 4}))
    (line,) = proof.wrong
    assert (line.off, line.unexplained) == (4, 4)
    assert "compare its trades" in line.text


def test_a_redemption_that_was_booked_and_did_not_happen() -> None:
    newest = [one.position for one in BOOKS.settlements if one.position.redeemed][-1]
    assert newest.token in FACTS.shares6
    wallet = WalletFacts(CHAIN - newest.payout_usd6, None, {**FACTS.shares6, newest.token: newest.size6})
    proof = prove(BOOKS, wallet)
    assert proof.difference_usd6 == 0
    said = f"{newest.window} up is booked as redeemed ({newest.redeemed}) and was not paid out"
    assert said in text_of(proof, "cash")
    assert said in text_of(proof, f"shares {newest.window} up")


def test_tokens_that_lost_and_old_redemptions_are_not_asked_for() -> None:
    made = long_history()
    books = made.books
    asked = set(tokens_to_read(books))
    redeemed = [one.position.token for one in books.settlements if one.position.redeemed]
    assert len(redeemed) > REDEEMED_READ
    for held in books.positions.values():
        if held.redeemed:
            assert (held.token in asked) == (held.token in redeemed[-REDEEMED_READ:])
        else:
            assert (held.token in asked) == (not held.settled or held.payout_usd6 > 0)
    # Shares of what lost are worth nothing, however many there are.
    lost = next(held for held in books.positions.values() if held.settled and not held.payout_usd6)
    facts = made.facts
    assert prove(books, changed(facts, shares6={**facts.shares6, lost.token: 5})).ok
    old = next(held for held in books.positions.values() if held.redeemed)
    assert old.token not in asked
    proof = prove(books, changed(facts, chain_usd6=made.wallet.usd6 - old.payout_usd6))
    assert f"{old.window} up is booked as redeemed" in text_of(proof, "cash")


@pytest.mark.parametrize("together", [False, True])
def test_what_the_chain_has_mined_before_its_news_came(together: bool) -> None:
    made = History(1)
    for number in (1, 2):
        listed = {"window": f"w{number}", "token_up": f"{number}1", "token_down": f"{number}2"}
        made.at(60).hear(MarketSeen(market(**listed)))
        made.hear(BookSeen(made.book("up", token=f"{number}1", window=f"w{number}")))
        wish = made.wish(window=f"w{number}", token=f"{number}1")
        made.hear(Submitted(wish, f"r{number}", f"0x{number}", b"wire"))
        for part in (1, 2):
            size6 = 1_000_003 * number + part
            name = f"t{number}-{part}"
            made.hear(TradeSeen(VenueTrade(name, f"0x{number}", "matched", 5_000, size6, size6 // 2)))
    assert prove(made.books, made.facts).ok
    early = [fill for fill in made.books.fills if fill.window == "w1"][: 1 + together]
    for fill in early:
        made.mine(fill)
    proof = prove(made.books, made.facts)
    assert not proof.ok
    assert proof.difference_usd6 == 0
    for name in ("cash", "shares w1 up"):
        said = text_of(proof, name)
        assert "on the chain already" in said
        assert "look again in a minute" in said
        assert all(fill.trade_id in said for fill in early)


def lost_trade(status: str) -> Fill:
    """A trade whose token is not read any more, so that cash alone tells of it."""
    return next(
        fill
        for fill in BOOKS.fills
        if fill.status == status and fill.fee_usd6 and fill.token not in FACTS.shares6
    )


def test_a_trade_or_a_fee_too_many_or_too_few_is_named() -> None:
    fill = lost_trade("confirmed")
    spent = spent_usd6(fill)
    for off, said in (
        (spent, "did not happen"),
        (-spent, "happened twice"),
        (fill.fee_usd6, "cost no fee"),
        (-fill.fee_usd6, "cost its fee twice"),
    ):
        proof = prove(BOOKS, changed(FACTS, chain_usd6=CHAIN + off, venue_usd6=None))
        assert f"trade {fill.trade_id} {said}" in text_of(proof, "cash")
        assert proof.difference_usd6 == 0
    failed = lost_trade("failed")
    proof = prove(BOOKS, changed(FACTS, chain_usd6=CHAIN - spent_usd6(failed), venue_usd6=None))
    assert f"trade {failed.trade_id} was taken for failed and happened" in text_of(proof, "cash")


def test_a_token_that_is_right_refutes_what_moves_it() -> None:
    fill = next(each for each in BOOKS.fills if each.status in MINED and each.token in FACTS.shares6)
    off = -spent_usd6(fill)
    told = prove(BOOKS, changed(FACTS, chain_usd6=CHAIN + off, venue_usd6=None))
    assert "happened twice" not in text_of(told, "cash")
    assert told.difference_usd6 == -off
    doubled = {**FACTS.shares6, fill.token: FACTS.shares6[fill.token] + fill.size6}
    borne_out = prove(BOOKS, WalletFacts(CHAIN + off, None, doubled))
    assert f"trade {fill.trade_id} happened twice" in text_of(borne_out, "cash")
    assert borne_out.difference_usd6 == 0


def test_two_facts_are_named_together() -> None:
    held, fill = owed()[0], lost_trade("confirmed")
    off = held.payout_usd6 - spent_usd6(fill)
    shares = {token: found for token, found in FACTS.shares6.items() if token != held.token}
    said = text_of(prove(BOOKS, WalletFacts(CHAIN + off, None, shares)), "cash")
    assert f"{held.window} up was redeemed" in said
    assert f"trade {fill.trade_id} happened twice" in said
    # The same where the token shows the redemption, and the trade is what is left.
    proof = prove(BOOKS, WalletFacts(CHAIN + off, None, {**shares, held.token: 0}))
    assert text_of(proof, "cash").count(", and ") == 1
    assert proof.difference_usd6 == 0


def test_two_trades_never_explain_a_difference_by_cancelling_each_other() -> None:
    one, other = [
        fill
        for fill in BOOKS.fills
        if fill.status == "confirmed" and fill.token not in FACTS.shares6 and spent_usd6(fill) > 1_000_000
    ][:2]
    off = spent_usd6(one) - spent_usd6(other)
    proof = prove(BOOKS, WalletFacts(CHAIN + off, None, FACTS.shares6))
    assert "transfer" in text_of(proof, "cash")
    both = spent_usd6(one) + spent_usd6(other)
    said = text_of(prove(BOOKS, WalletFacts(CHAIN + both, None, FACTS.shares6)), "cash")
    assert f"trade {one.trade_id} did not happen" in said
    assert f"trade {other.trade_id} did not happen" in said


def test_a_payout_is_found_however_long_ago_it_was() -> None:
    made = long_history()
    assert len(made.books.positions) > PAIRED
    held = next(each for each in made.books.positions.values() if each.payout_usd6 and not each.redeemed)
    proof = prove(made.books, WalletFacts(made.wallet.usd6 + held.payout_usd6, None, {}))
    assert f"{held.window} up was redeemed" in text_of(proof, "cash")
    assert proof.difference_usd6 == 0


def test_alike_trades_are_counted() -> None:
    made = History(2)
    for number in (1, 2, 3):
        listed = {"window": f"w{number}", "token_up": f"{number}1", "token_down": f"{number}2"}
        made.at(60).hear(MarketSeen(market(**listed)))
        made.hear(BookSeen(made.book("up", token=f"{number}1", window=f"w{number}")))
        wish = made.wish(window=f"w{number}", token=f"{number}1")
        made.hear(Submitted(wish, f"r{number}", f"0x{number}", b"wire"))
        told = VenueTrade(f"t{number}", f"0x{number}", "confirmed", 5_000, 1_000_000, 500_000)
        made.hear(TradeSeen(told), Answered(f"w{number}/up/lag", Taken("matched", 1_000_000)))
        made.mine(made.books.fills[-1])
        made.at(901).hear(MarketSeen(market(**listed, outcome="down")))
    spent = spent_usd6(made.books.fills[0])
    said = text_of(prove(made.books, WalletFacts(made.wallet.usd6 - spent, None, {})), "cash")
    assert said.startswith("trade t3 happened twice (or one of 2 alike); compare it")


def test_money_from_outside_keeps_its_amount_beside_what_is_known() -> None:
    held = owed()[0]
    shares = {**FACTS.shares6, held.token: 0}
    proof = prove(BOOKS, WalletFacts(CHAIN + held.payout_usd6 - 123_456_789_012, None, shares))
    said = text_of(proof, "cash")
    assert f"{held.window} up was redeemed" in said
    assert "a transfer from the wallet of 123456.789012 $ from outside" in said
    assert proof.difference_usd6 == 123_456_789_012
