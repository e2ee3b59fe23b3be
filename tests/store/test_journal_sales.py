"""A sale comes back from the journal as it was booked, and a journal from before there were sales goes on."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from common.core import ledger
from common.core.account import broken_sums
from common.core.moment import Moment
from common.core.order_effects import Commit, CommitIntent
from common.core.order_events import (
    Answered,
    BookSeen,
    Event,
    MarketSeen,
    SaleSigned,
    Submitted,
    Taken,
    TradeSeen,
)
from common.core.order_flow import step
from common.core.order_sale import Sale, planned
from common.core.order_state import Books, State
from common.core.settings import RiskLimits, StrategySettings
from common.core.venue_facts import VenueTrade
from common.errors import InvariantBroken
from common.messages import BookState, MarketState, PostureState, Submit, TradeStatus
from common.store import journal_schema
from common.store.journal import Journal, open_journal

BANKROLL = 1_000_000_000
NOW = Moment(1_900_000_060 * 10**9, 10**12)
WINDOW = "btc-updown-15m-1900000000"
POSTURE = PostureState(posture="trading", reason="first start", who="executor", since_ns=1)


VERSION_4 = f"""
INSERT INTO account VALUES (1, 'live', {BANKROLL}, 1);
INSERT INTO postures VALUES (1, 'no-new-orders', 'x', 'y', 1);
INSERT INTO orders (order_id, intent_id, window, strategy, asset, token, outcome, limit4, stake_usd6,
    worst_usd6, status, reason, filled_size6, cost_usd6, fee_usd6, created_ns, updated_ns, decided_ns, cause,
    verdict_number, wire)
    VALUES ('0xbuy', '{WINDOW}/up/lag', '{WINDOW}', 'lag', 'btc', '1', 'up', 6000, 10000000, 10000000,
    'filled', '', 10000000, 5000000, 0, 1, 1, 1, '', 0, x'01');
INSERT INTO fills (trade_id, order_id, window, asset, token, outcome, price4, size6, cost_usd6, fee_usd6,
    at_ns) VALUES ('t-1', '0xbuy', '{WINDOW}', 'btc', '1', 'up', 5000, 10000000, 5000000, 0, 1);
INSERT INTO positions (window, asset, token, outcome, size6, cost_usd6, fee_usd6, end_ns, settled,
    payout_usd6, pnl_usd6)
    VALUES ('{WINDOW}', 'btc', '1', 'up', 10000000, 5000000, 0, {NOW.wall_ns + 10**12}, 0, 0, 0);
INSERT INTO entries VALUES (1, 1, 'opening', 'bankroll', ''), (2, 1, 'bought', 't-1', '0xbuy');
INSERT INTO entry_lines VALUES (1, 0, 'cash', {BANKROLL}), (1, 1, 'capital', -{BANKROLL}),
    (2, 0, 'positions:{WINDOW}:up', 5000000), (2, 1, 'fees', 0), (2, 2, 'cash', -5000000);
"""


class Account:
    """A state kept equal to its journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        found = journal.read()
        assert found is not None
        self.state = State(StrategySettings(), RiskLimits(), found.books, found.posture)

    def hear(self, *events: Event) -> None:
        for event in events:
            self.state, effects = step(self.state, event, NOW)
            self.journal.commit(*(effect for effect in effects if isinstance(effect, Commit)))
            assert self.read() == self.state.books

    def read(self) -> Books:
        found = self.journal.read()
        assert found is not None
        assert broken_sums(found.books) == ""
        assert self.journal.duplicate_orders() == 0
        return found.books

    def opened(self) -> "Account":
        """The window is known, and its Up book is live."""
        market = MarketState(
            window=WINDOW, asset="btc", condition_id="0xc0", version="v1", token_up="1", token_down="2",
            rule="twap", lookback_s=60, start_ns=NOW.wall_ns - 1, end_ns=NOW.wall_ns + 600 * 10**9, fee=None,
            taker_delay_ns=0, tick4=100, min_size6=1_000_000, accepting=True,
        )  # fmt: skip
        book = BookState(
            token="1", window=WINDOW, outcome="up", status="live", bids=((4_900, 10**9),),
            asks=((5_000, 10**9),), tick4=100, venue_ns=NOW.wall_ns, data_mono_ns=NOW.mono_ns,
        )  # fmt: skip
        self.hear(MarketSeen(market), BookSeen(book))
        return self

    def bought(self) -> "Account":
        """10 shares at 0.50, confirmed."""
        self.opened()
        wish = Submit(
            intent_id=f"{WINDOW}/up/lag", window=WINDOW, asset="btc", token="1", outcome="up", strategy="lag",
            limit4=6_000, stake_usd6=10_000_000, decided_ns=NOW.wall_ns, decided_mono_ns=NOW.mono_ns,
            cause="",
        )  # fmt: skip
        self.hear(
            Submitted(wish, "r-1", "0xbuy", b"signed"),
            Answered(wish.intent_id, Taken("matched", 10_000_000)),
            TradeSeen(VenueTrade("t-1", "0xbuy", "confirmed", 5_000, 10_000_000, 5_000_000)),
        )
        self.state = msgspec.structs.replace(
            self.state, posture=msgspec.structs.replace(POSTURE, posture="no-new-orders")
        )
        return self

    def signed(self) -> SaleSigned:
        plan = planned(self.state, self.state.books.positions[WINDOW, "up"], {}, NOW)
        assert isinstance(plan, Sale), plan
        return SaleSigned(plan, "f-1", f"0x{plan.strategy}", b"signed sale")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = open_journal(tmp_path / "journal.sqlite", now_wall_ns=0)
    opened.open_account("live", BANKROLL, ledger.opening(1, 1, BANKROLL), POSTURE)
    yield opened
    opened.close()


def sold(status: TradeStatus = "matched") -> TradeSeen:
    """6 of the 10 shares at 0.49."""
    return TradeSeen(VenueTrade("t-2", "0xflatten/1", status, 4_900, 6_000_000, 2_940_000))


@pytest.mark.parametrize("ways", [("matched", "mined", "confirmed"), ("matched", "failed"), ("failed",)])
def test_a_sale_comes_back_as_it_was_booked(journal: Journal, ways: tuple[TradeStatus, ...]) -> None:
    account = Account(journal).bought()
    account.hear(account.signed())
    for status in ways:
        account.hear(sold(status))
    position = account.read().positions[WINDOW, "up"]
    assert position.sold6 == (0 if "failed" in ways else 6_000_000)


def test_a_sale_that_was_written_ahead_is_there_at_the_next_start(journal: Journal) -> None:
    account = Account(journal).bought()
    _, effects = step(account.state, account.signed(), NOW)
    (intent,) = [effect for effect in effects if isinstance(effect, CommitIntent)]
    journal.write_ahead(intent)
    journal._connection.close()
    assert journal._intents is not None
    journal._intents.close()
    assert journal._lock is not None
    os.close(journal._lock)
    again = open_journal(journal.path, now_wall_ns=0)
    try:
        found = again.read()
        assert found is not None
        order = found.books.orders[f"{WINDOW}/up/flatten/1"]
        assert (order.state.side, order.state.size6, order.wire) == ("sell", 10_000_000, b"signed sale")
        with pytest.raises(InvariantBroken, match="one order"):
            again.write_ahead(intent)
    finally:
        journal.__init__(journal.path, again._connection, again._lock, again._intents)  # type: ignore[misc]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE fills SET released_usd6 = 1", "UPDATE fills SET side = 'buy'", "UPDATE orders SET size6 = -1"],
)
def test_the_history_of_a_sale_cannot_be_rewritten(journal: Journal, statement: str) -> None:
    account = Account(journal).bought()
    account.hear(account.signed(), sold())
    with pytest.raises(sqlite3.IntegrityError):
        journal._connection.execute(statement)


def test_a_journal_of_version_4_is_brought_up_to_date_and_sells(tmp_path: Path) -> None:
    """The tables as that version made them, with a position that is open."""
    path = tmp_path / "journal.sqlite"
    steps = "".join(journal_schema._STEPS[number] for number in (1, 2, 3))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            f"{journal_schema._TABLES}{steps}PRAGMA application_id={journal_schema.APPLICATION_ID};"
            f"PRAGMA user_version=4;{VERSION_4}"
        )
    upgraded = open_journal(path, now_wall_ns=0)
    try:
        account = Account(upgraded)
        books = account.read()
        assert books.orders[f"{WINDOW}/up/lag"].state.side == "buy"
        assert [fill.side for fill in books.fills] == ["buy"]
        account.opened().hear(account.signed(), sold())
        assert account.read().positions[WINDOW, "up"].size6 == 4_000_000
    finally:
        upgraded.close()
