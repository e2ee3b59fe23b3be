"""The proof of the money: zero after any history, and any single unit that is off is named."""

import random
from collections import Counter
from dataclasses import dataclass, field

import msgspec
import pytest

from common.core import ledger
from common.core.account import cash_usd6
from common.core.ledger import Line
from common.core.money_proof import ProofLine, WalletFacts, prove, tokens_to_read
from common.core.order_flow import step
from common.core.order_state import (
    Answered,
    Books,
    BookSeen,
    DefiniteNo,
    MarketSeen,
    Redeemed,
    State,
    Submitted,
    Taken,
    TradeSeen,
    Unknown,
)
from common.core.settings import RiskLimits, StrategySettings
from common.core.venue_facts import TradeStatus, VenueTrade
from common.units import SECOND
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


WAYS: tuple[list[TradeStatus], ...] = (
    ["matched"],
    ["matched", "mined"],
    ["matched", "mined", "confirmed"],
    ["matched", "failed"],
    ["confirmed"],
)


@dataclass
class Wallet:
    """What the chain would hold, kept by what is mined alone."""

    usd6: int = BANKROLL * 100
    shares6: Counter[str] = field(default_factory=Counter)

    def facts(self, books: Books) -> WalletFacts:
        tokens = tokens_to_read(books)
        return WalletFacts(self.usd6, self.usd6, {token: self.shares6[token] for token in tokens})


def history(trades: int, seed: int) -> tuple[State, Wallet]:
    """Windows one after the other: partial fills, failures, unknown fates, settlements and redemptions."""
    dice = random.Random(seed)
    wallet = Wallet()
    play = Playbook()
    bankroll = wallet.usd6
    books = Books({}, {}, (), (), (ledger.opening(1, 0, bankroll),), bankroll, live=True)
    play.state = State(StrategySettings(live=True), LIMITS, books, posture())
    number = 0
    while number < trades:
        number += 1
        name, token = f"btc-updown-15m-{number}", f"{number}1"
        play.at(60)
        play.hear(MarketSeen(market(window=name, token_up=token, token_down=f"{number}2")))
        play.hear(BookSeen(play.book("up", token=token, window=name)))
        order_id, intent = f"0x{number}", f"{name}/up/lag"
        play.hear(Submitted(play.wish(window=name, token=token), f"r{number}", order_id, b"wire"))
        kind = dice.random()
        if kind < 0.1:
            play.hear(Answered(intent, DefiniteNo("no-match", "")))
            continue
        if kind < 0.2:
            play.hear(Answered(intent, Unknown("reset")))
        told6 = 0
        for part in range(dice.randint(1, 3)):
            number += part > 0
            told6 += trade(play, wallet, dice, order_id, f"t{number}-{part}", token)
        if kind >= 0.2:
            play.hear(Answered(intent, Taken("matched", told6)))
        play.at(901)
        outcome = dice.choice(("up", "down"))
        play.hear(MarketSeen(market(window=name, token_up=token, token_down=f"{number}2", outcome=outcome)))
        held = play.state.books.positions.get((name, "up"))
        if held is not None and held.payout_usd6 and dice.random() < 0.7:
            wallet.usd6 += wallet.shares6.pop(token)
            play.hear(Redeemed(name, "up", f"0xredeemed{number}"))
    return play.state, wallet


def trade(play: Playbook, wallet: Wallet, dice: random.Random, order_id: str, name: str, token: str) -> int:
    """One trade of an order on its way, up to some point of it; returns its shares."""
    price4, size6 = dice.choice((5_000, 5_300, 6_100)), dice.randint(1, 5_000_000)
    cost6 = price4 * size6 // 10_000
    way: list[TradeStatus] = dice.choice(
        (
            ["matched"],
            ["matched", "mined"],
            ["matched", "mined", "confirmed"],
            ["matched", "failed"],
            ["confirmed"],
        )
    )
    for status in way:
        play.hear(TradeSeen(VenueTrade(name, order_id, status, price4, size6, cost6)))
    if way[-1] in ("mined", "confirmed"):
        fill = next(each for each in play.state.books.fills if each.trade_id == name)
        wallet.usd6 -= fill.cost_usd6 + fill.fee_usd6
        wallet.shares6[token] += size6
    return size6


def wrong(books: Books, wallet: WalletFacts) -> list[ProofLine]:
    return [line for line in prove(books, wallet) if line.off]


@pytest.mark.parametrize("seed", range(8))
def test_any_history_is_proven(seed: int) -> None:
    state, wallet = history(40, seed)
    assert wrong(state.books, wallet.facts(state.books)) == []
    assert len(state.books.fills) > 30


def test_a_thousand_trades_with_failures_and_late_settlements() -> None:
    state, wallet = history(1_000, 99)
    books = state.books
    assert len(books.fills) >= 900
    assert sum(fill.status == "failed" for fill in books.fills) > 50
    assert sum(bool(p.redeemed) for p in books.positions.values()) > 40
    assert wrong(books, wallet.facts(books)) == []


STATE, WALLET = history(80, 7)
BOOKS = STATE.books
FACTS = WALLET.facts(BOOKS)


def test_one_unit_in_any_fill_is_named() -> None:
    for place, fill in enumerate(BOOKS.fills):
        for name in ("cost_usd6", "fee_usd6", "size6"):
            off = msgspec.structs.replace(fill, **{name: getattr(fill, name) + 1})
            fills = (*BOOKS.fills[:place], off, *BOOKS.fills[place + 1 :])
            found = wrong(msgspec.structs.replace(BOOKS, fills=fills), FACTS)
            if fill.status == "failed" and name == "size6":
                continue  # a failed trade's size is nobody's
            assert found, (fill, name)
            assert found[0].name == "books"
            assert found[0].text


def test_one_unit_in_any_ledger_line_is_named_with_its_evidence() -> None:
    for place, entry in enumerate(BOOKS.entries):
        first, second, *rest = entry.lines
        lines = (
            Line(first.account, first.amount_usd6 + 1),
            Line(second.account, second.amount_usd6 - 1),
            *rest,
        )
        entries = (
            *BOOKS.entries[:place],
            msgspec.structs.replace(entry, lines=lines),
            *BOOKS.entries[place + 1 :],
        )
        (line, *_) = wrong(msgspec.structs.replace(BOOKS, entries=entries), FACTS)
        assert line.name == "books"
        assert entry.evidence in line.text
        assert f"entry {entry.number}" in line.text


def test_one_unit_in_any_position_is_named() -> None:
    for key, position in BOOKS.positions.items():
        for name in ("cost_usd6", "fee_usd6", "size6"):
            off = msgspec.structs.replace(position, **{name: getattr(position, name) + 1})
            found = wrong(msgspec.structs.replace(BOOKS, positions={**BOOKS.positions, key: off}), FACTS)
            assert found[0].name == "books"
            assert position.window in found[0].text


def test_one_unit_on_the_chain_is_named() -> None:
    (line, *_) = wrong(BOOKS, msgspec.structs.replace(FACTS, chain_usd6=FACTS.chain_usd6 + 1))
    assert (line.name, line.off) == ("cash", 1)
    assert "transfer" in line.text
    for token in FACTS.shares6:
        shares = {**FACTS.shares6, token: FACTS.shares6[token] + 1}
        (line,) = wrong(BOOKS, msgspec.structs.replace(FACTS, shares6=shares))
        assert line.off == 1
        assert token in line.evidence


def test_the_venues_word_may_follow_the_match_or_the_chain_and_nothing_else() -> None:
    cash = cash_usd6(BOOKS)
    for venue in (cash, FACTS.chain_usd6):
        assert wrong(BOOKS, msgspec.structs.replace(FACTS, venue_usd6=venue)) == []
    (line,) = wrong(BOOKS, msgspec.structs.replace(FACTS, venue_usd6=cash - 1))
    assert (line.name, line.off) == ("venue", -1)


def test_a_difference_is_explained_by_the_facts_that_make_it() -> None:
    chain = FACTS.chain_usd6
    assert chain is not None
    paid = next(p for p in BOOKS.positions.values() if p.payout_usd6 and not p.redeemed)
    gone = {**FACTS.shares6, paid.token: 0}
    changed = WalletFacts(chain + paid.payout_usd6, None, gone)
    found = {line.name: line.text for line in wrong(BOOKS, changed)}
    assert "was paid out and is not booked" in found["cash"]
    assert "redeemed" in found[f"shares {paid.window} up"]
    fill = next(f for f in BOOKS.fills if f.status == "confirmed" and f.fee_usd6)
    doubled = WalletFacts(chain - fill.cost_usd6 - fill.fee_usd6, None, {})
    assert f"{fill.trade_id} happened twice" in wrong(BOOKS, doubled)[0].text
    both = WalletFacts(chain + paid.payout_usd6 - fill.cost_usd6 - fill.fee_usd6, None, {})
    text = wrong(BOOKS, both)[0].text
    assert " and " in text or "transfer" not in text


def test_what_a_state_machine_step_changes_stays_proven() -> None:
    play = Playbook()
    state, _ = step(STATE, MarketSeen(market(window="other")), play.now)
    assert prove(state.books) == prove(BOOKS)
    assert play.now.wall_ns > SECOND
