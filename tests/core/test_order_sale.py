"""What is held is sold once, no more than was confirmed, not below the limit, or it says why it stays."""

import random
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.core.account import account_state, broken_sums, cash_usd6
from common.core.ledger import CASH, FEES, PNL, balances, position_account
from common.core.order_effects import CommitIntent, Effect, Place, RaiseAlert, Refuse
from common.core.order_events import (
    Answered,
    BookSeen,
    DefiniteNo,
    ForeignSeen,
    HoldAsked,
    MarketSeen,
    Matched,
    NotSent,
    SaleSigned,
    Submitted,
    Taken,
    TradeSeen,
    Unknown,
)
from common.core.order_flow import step
from common.core.order_sale import Kept, Sale, held, planned, sale_limit4, told, told_kept
from common.core.paper_fill import decide, paper_order_id
from common.core.venue_facts import TradeStatus, VenueFill, VenueTrade
from common.messages import Outcome, Submit
from common.units import PRICE4_ONE
from order_playbook import BANKROLL, DOWN, UP, WINDOW, Playbook, fill, market

INTENT = f"{WINDOW}/up/lag"
FIRST = f"{WINDOW}/up/flatten/1"


class Seller(Playbook):
    """A playbook that can sell."""

    def plan(self, outcome: Outcome = "up", unproven: dict[str, str] | None = None) -> Sale | Kept:
        return planned(self.state, self.state.books.positions[WINDOW, outcome], unproven or {}, self.now)

    def why(self) -> str:
        plan = self.plan()
        assert isinstance(plan, Kept), plan
        assert plan.why in told_kept(plan)
        return plan.why

    def sell(self, wire: bytes = b"", plan: Sale | None = None) -> list[Effect]:
        sale = plan or self.plan()
        assert isinstance(sale, Sale), sale
        return self.hear(SaleSigned(sale, f"f-{len(self.said)}", paper_order_id(sale.intent_id), wire))

    def matched(self, intent: str = FIRST) -> "Seller":
        """The paper venue's answer on the books as they are."""
        order = self.state.books.orders[intent].state
        quote = self.state.quotes[order.token]
        answer = decide(
            order, self.state.markets[WINDOW], quote, incomplete=False, max_age_ns=10**10, moment=self.now
        )
        self.hear(Answered(intent, answer))
        return self

    def bids(self, *bids: tuple[int, int]) -> "Seller":
        self.hear(BookSeen(self.book("up", bids=bids)))
        return self


def holding() -> Seller:
    """10 shares at 0.50 are held, bids are 100 shares at 0.49, and no new orders are allowed."""
    play = Seller()
    play.opened().bought().posed("no-new-orders")
    return play


def test_a_sale_is_written_ahead_sent_and_booked_with_its_result() -> None:
    play = holding()
    effects = play.sell()
    assert [type(effect).__name__ for effect in effects] == [
        "CommitIntent",
        "PublishOrder",
        "Place",
        "Accept",
    ]
    order = play.state.books.orders[FIRST].state
    assert (order.side, order.size6, order.limit4, order.stake_usd6) == ("sell", 10_000_000, 4_900, 0)
    play.matched()
    order = play.state.books.orders[FIRST].state
    fee = 174_930  # 10 x 0.07 x 0.49 x 0.51
    assert (order.status, order.filled_size6, order.cost_usd6, order.fee_usd6) == (
        "filled",
        10_000_000,
        4_900_000,
        fee,
    )
    position = play.state.books.positions[WINDOW, "up"]
    assert (position.size6, position.cost_usd6, position.sold6) == (0, 0, 10_000_000)
    assert position.realized_usd6 == -100_000
    money = balances(play.state.books.entries)
    assert money[CASH] == BANKROLL - 5_000_000 - 100_000 + 4_900_000 - fee
    assert (money[PNL], money[FEES], money[position_account(WINDOW, "up")]) == (100_000, 100_000 + fee, 0)
    assert broken_sums(play.state.books) == ""
    account = account_state(play.state.books, "paper", play.now.wall_ns, duplicate_orders=0)
    assert account.realized_pnl_usd6 == -100_000
    assert account.cash_usd6 + account.open_cost_usd6 == BANKROLL + account.realized_pnl_usd6


def test_what_was_sold_settles_with_the_result_of_its_sale() -> None:
    play = holding()
    play.sell()
    play.matched().at(901).hear(MarketSeen(market(outcome="up", closed=True)))
    position = play.state.books.positions[WINDOW, "up"]
    assert (position.settled, position.payout_usd6) == (True, 0)
    assert position.pnl_usd6 == -100_000 - position.fee_usd6 == cash_usd6(play.state.books) - BANKROLL
    account = account_state(play.state.books, "paper", play.now.wall_ns, duplicate_orders=0)
    assert (account.realized_pnl_usd6, account.loss_streak) == (position.pnl_usd6, 1)
    assert broken_sums(play.state.books) == ""


def test_a_part_is_sold_at_average_cost_rounded_against_us_and_the_rest_stays() -> None:
    play = Seller()
    play.opened().submit()
    play.hear(Answered(INTENT, Matched((fill(0, 3_333, 10_000_000), fill(1, 5_000, 5_000_000)))))
    play.posed("no-new-orders")
    play.bids((4_900, 7_000_000))
    plan = play.plan()
    assert isinstance(plan, Sale)
    assert "the bids within the limit take 7, the rest stays" in told(plan)
    play.sell()
    play.matched()
    order, position = play.state.books.orders[FIRST].state, play.state.books.positions[WINDOW, "up"]
    assert (order.status, order.reason) == ("partial", "no more at or above the limit")
    assert (position.size6, position.sold6) == (8_000_000, 7_000_000)
    released = -(-(3_333_000 + 2_500_000) * 7 // 15)
    assert position.cost_usd6 == 5_833_000 - released
    assert position.realized_usd6 == 3_430_000 - released
    # What may still be lost: the cost of the rest, all fees, and what the sale has lost already.
    lost = position.cost_usd6 + position.fee_usd6 - position.realized_usd6
    assert play.state.tally.open.by_window[WINDOW] == lost


def test_the_rest_can_be_sold_afterwards_under_the_next_number() -> None:
    play = holding()
    play.bids((4_900, 7_000_000)).sell()
    play.matched()
    # The rest of 3 shares is below the venue's least.
    assert play.why() == "3 shares are below the venue's least"
    play.hear(MarketSeen(market(min_size6=1_000_000)))
    play.sell()
    assert f"{WINDOW}/up/flatten/2" in play.state.books.orders


@pytest.mark.parametrize("wire", [b"", b"signed"])
def test_while_the_fate_of_a_sale_is_open_its_token_is_not_sold_again(wire: bytes) -> None:
    play = holding()
    plan = play.plan()
    play.sell(wire)
    assert play.why() == f"the fate of {FIRST} is open"
    assert isinstance(plan, Sale)
    (refused,) = play.sell(wire, plan)
    assert isinstance(refused, Refuse)
    assert refused.code == "changed"
    play.hear(Answered(FIRST, NotSent("no way out")))
    assert play.state.books.orders[FIRST].state.status == "killed"
    assert isinstance(play.plan(), Sale)


def test_an_order_of_open_fate_blocks_the_sale_of_its_token_alone() -> None:
    play = holding()
    play.posed("trading").submit(strategy="other")
    play.posed("no-new-orders")
    assert play.why() == f"the fate of {WINDOW}/up/other is open"
    play.hear(Answered(f"{WINDOW}/up/other", DefiniteNo("no-match", "nothing")))
    play.posed("trading").submit("down")
    play.posed("no-new-orders")
    assert isinstance(play.plan(), Sale)


def test_shares_that_are_not_confirmed_stay() -> None:
    play = Seller()
    play.opened()
    play.hear(
        Submitted(play.wish(), "r", "0xfeed", b"signed"), Answered(INTENT, Taken("matched", 16_000_000))
    )
    play.hear(TradeSeen(VenueTrade("t-1", "0xfeed", "matched", 5_000, 10_000_000, 5_000_000)))
    play.hear(TradeSeen(VenueTrade("t-2", "0xfeed", "mined", 5_000, 6_000_000, 3_000_000)))
    play.posed("no-new-orders")
    assert play.why() == "16 shares are matched and the chain has not confirmed them yet"
    play.hear(TradeSeen(VenueTrade("t-2", "0xfeed", "confirmed", 5_000, 6_000_000, 3_000_000)))
    plan = play.plan()
    assert isinstance(plan, Sale)
    assert plan.size6 == 6_000_000
    assert "10 shares are not confirmed yet and stay" in told(plan)


def test_nothing_is_sold_while_new_orders_are_allowed() -> None:
    play = holding()
    before = play.posed("trading").state
    (refused,) = play.sell()
    assert isinstance(refused, Refuse)
    assert refused.code == "posture"
    assert play.state is before


@pytest.mark.parametrize("name", ["no-new-orders", "paused", "halted"])
def test_every_other_posture_lets_a_person_sell(name: str) -> None:
    play = holding()
    play.posed(name)
    assert any(isinstance(effect, Place) for effect in play.sell())


def spoiled(play: Seller, how: str) -> str:
    """Why nothing is sold once this is so."""
    talk: dict[str, Any] = {
        "not-accepting": MarketSeen(market(accepting=False)),
        "closed": MarketSeen(market(closed=True)),
        "resync": BookSeen(play.book("up", status="resync")),
        "no bids": BookSeen(play.book("up", bids=())),
        "off the grid": BookSeen(play.book("up", bids=((50, 10**9),))),
        "least": MarketSeen(market(min_size6=10_000_001)),
        "foreign": ForeignSeen("trade t-9", UP),
        "venue": HoldAsked("venue", "post-only: wait", 10**9),
    }
    if how == "ended":
        play.at(900)
    elif how == "old":
        play.at(71)
    else:
        play.hear(talk[how])
    return play.why()


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("ended", "its window has ended"),
        ("old", "its book is 11000 ms old"),
        ("not-accepting", "the venue takes no orders of its window"),
        ("closed", "the venue takes no orders of its window"),
        ("resync", "its book is resync"),
        ("no bids", "nobody bids for it"),
        ("off the grid", "nobody bids on the venue's grid"),
        ("least", "10 shares are below the venue's least"),
        ("foreign", "it was traded with this account by somebody else"),
        ("venue", "the venue takes no orders at present: post-only: wait"),
    ],
)
def test_what_cannot_be_sold_says_why_and_stays(how: str, why: str) -> None:
    assert spoiled(holding(), how).startswith(why)


def test_a_hold_that_is_not_the_venues_does_not_keep_anybody_in() -> None:
    play = holding()
    play.hear(HoldAsked("account", "the user channel is down"), HoldAsked("orders", "2 unknown"))
    assert isinstance(play.plan(), Sale)


def test_a_book_that_is_not_proven_is_not_sold_on() -> None:
    plan = holding().plan(unproven={UP: "it hashes to another"})
    assert isinstance(plan, Kept)
    assert plan.why == "its book is not proven: it hashes to another"


def test_a_planned_sale_is_void_once_its_bids_have_moved() -> None:
    play = holding()
    plan = play.plan()
    assert isinstance(plan, Sale)
    (refused,) = play.bids((4_800, 10**9)).sell(plan=plan)
    assert isinstance(refused, Refuse)
    assert refused.code == "changed"


def test_no_wish_can_take_the_name_of_a_sale() -> None:
    assert Seller().opened().refusal(strategy="flatten/1") == "malformed"


@pytest.mark.parametrize(
    "bad", [VenueFill("t", 4_800, 10**7, 4_800_000, 0), VenueFill("t", 4_900, 10**7 + 1, 4_900_000, 0)]
)
def test_more_or_cheaper_than_was_signed_stops_everything(bad: VenueFill) -> None:
    play = holding()
    play.sell()
    with pytest.raises(Exception, match="more, or cheaper"):
        play.hear(Answered(FIRST, Matched((bad,))))


def test_a_live_sale_that_fails_on_chain_is_unbooked_and_can_be_sold_again() -> None:
    play = holding()
    play.sell(b"signed")
    before = play.state.books.positions[WINDOW, "up"]
    play.hear(Answered(FIRST, Taken("matched", 10_000_000)))
    sold = VenueTrade("t-1", paper_order_id(FIRST), "matched", 4_900, 10_000_000, 4_900_000)
    play.hear(TradeSeen(sold))
    assert play.state.books.positions[WINDOW, "up"].size6 == 0
    assert play.state.books.orders[FIRST].state.status == "filled"
    play.hear(TradeSeen(msgspec.structs.replace(sold, status="failed")))
    assert play.state.books.positions[WINDOW, "up"] == before
    assert play.state.books.orders[FIRST].state.status == "killed"
    assert "its shares never went" in play.got(RaiseAlert)[-1].alert.text
    assert broken_sums(play.state.books) == ""
    again = play.plan()
    assert isinstance(again, Sale)
    assert (again.size6, again.intent_id) == (10_000_000, f"{WINDOW}/up/flatten/2")


def test_a_trade_that_sells_more_than_is_held_halts_and_is_not_booked() -> None:
    play = holding()
    play.sell(b"signed")
    books = play.state.books
    play.hear(TradeSeen(VenueTrade("t-1", paper_order_id(FIRST), "matched", 4_900, 10_000_001, 4_900_000)))
    assert play.state.posture.posture == "halted"
    assert play.state.books.fills == books.fills


levels = st.dictionaries(st.integers(1, 9_999), st.integers(1, 10**9), max_size=10).map(
    lambda found: tuple(found.items())
)


@given(levels, st.integers(1, 10**10), st.integers(0, 9_999), st.sampled_from([1, 10, 25, 50, 100, 1_000]))
def test_a_limit_is_on_the_grid_within_the_bound_and_no_lower_than_needed(
    bids: tuple[tuple[int, int], ...], size6: int, slippage4: int, tick4: int
) -> None:
    limit4 = sale_limit4(bids, size6, slippage4, tick4)
    if limit4 is None:
        best = max(bids, default=(0, 0))[0]
        assert not bids or best < tick4 or slippage4 < tick4
        return
    best = max(bids)[0]
    assert limit4 % tick4 == 0
    assert tick4 <= limit4 <= PRICE4_ONE - tick4
    assert limit4 >= best - slippage4
    better = sum(
        shown6 for price4, shown6 in bids if min(price4 // tick4 * tick4, PRICE4_ONE - tick4) > limit4
    )
    assert better < size6


ACTIONS = ("buy", "buy down", "sell", "sell down", "match", "confirm", "fail", "no", "unknown", "bids")
OFTEN = (3, 1, 8, 3, 12, 8, 2, 2, 1, 4)


def trades_of(play: Seller, status: TradeStatus) -> Iterable[TradeSeen]:
    """Every trade that is not final yet takes this step."""
    return [
        TradeSeen(VenueTrade(f.trade_id, f.order_id, status, f.price4, f.size6, f.cost_usd6))
        for f in play.state.books.fills
        if f.status not in ("confirmed", "failed")
    ]


def act(play: Seller, action: str, chance: int) -> None:
    """One thing happens, as live."""
    outcome: Outcome = "down" if "down" in action else "up"
    working = [order for order in play.state.books.orders.values() if order.state.status == "working"]
    if action.startswith("buy"):
        wish: Submit = play.posed("trading").wish(
            outcome, strategy=f"s{len(play.said)}", stake_usd6=2_000_000
        )
        play.hear(Submitted(wish, wish.intent_id, wish.intent_id, b"signed"))
        play.posed("no-new-orders")
    elif action.startswith("sell"):
        if (WINDOW, outcome) in play.state.books.positions:
            plan = play.plan(outcome)
            if isinstance(plan, Sale):
                play.hear(SaleSigned(plan, "f", plan.intent_id, b"signed"))
    elif action in ("confirm", "fail"):
        play.hear(*trades_of(play, "confirmed" if action == "confirm" else "failed"))
    elif action == "bids":
        play.bids((4_900 - chance % 7 * 100, chance % 13 * 1_000_000 + 10_000))
    elif working:
        order = working[chance % len(working)].state
        if action == "match":
            size6 = 4_000_000 if order.side == "buy" else max(10_000, order.size6 * (chance % 4) // 3)
            size6 -= order.filled_size6
            price4 = 5_000 if order.side == "buy" else order.limit4
            if size6 > 0:
                trade_id = f"t-{len(play.said)}"
                cost = size6 * price4 // PRICE4_ONE
                play.hear(
                    Answered(order.intent_id, Taken("delayed")),
                    TradeSeen(VenueTrade(trade_id, order.order_id, "matched", price4, size6, cost)),
                    Answered(order.intent_id, Taken("matched", size6, (trade_id,))),
                )
        elif action == "no":
            play.hear(Answered(order.intent_id, DefiniteNo("no-match", "nothing")))
        elif action == "unknown":
            play.hear(Answered(order.intent_id, Unknown("lost")))


SALES: dict[str, int] = {"confirmed": 0, "failed": 0, "matched": 0}


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9))
def however_it_goes(seed: int) -> None:
    """One long story; what is true at every step of it."""
    chance = random.Random(seed)
    story = [(action, chance.randrange(1_000)) for action in chance.choices(ACTIONS, OFTEN, k=60)]
    judge(story)


def test_however_it_goes_never_more_is_sold_than_was_confirmed_and_every_cent_is_booked() -> None:
    SALES.update(confirmed=0, failed=0, matched=0)
    however_it_goes()
    assert all(count > 20 for count in SALES.values()), SALES  # else the stories tell nothing of sales


def judge(story: list[tuple[str, int]]) -> None:
    play = Seller()
    play.opened(min_size6=1_000_000)
    for action, chance in story:
        act(play, action, chance)
        books = play.state.books
        assert broken_sums(books) == ""
        for token in (UP, DOWN):
            fills = [f for f in books.fills if f.token == token and f.status != "failed"]
            confirmed6 = sum(f.size6 for f in fills if f.side == "buy" and f.status == "confirmed")
            sold6 = sum(f.size6 for f in fills if f.side == "sell")
            selling6 = sum(
                o.state.size6 - o.state.filled_size6
                for o in books.orders.values()
                if o.state.side == "sell" and o.state.status == "working" and o.state.token == token
            )
            assert sold6 + selling6 <= confirmed6
        account = account_state(books, "live", play.now.wall_ns, duplicate_orders=0)
        assert account.cash_usd6 + account.open_cost_usd6 == BANKROLL + account.realized_pnl_usd6
    for fill_ in play.state.books.fills:
        if fill_.side == "sell":
            SALES[fill_.status] = SALES.get(fill_.status, 0) + 1
    sales = [effect.order.strategy for effect in play.got(CommitIntent) if effect.order.state.side == "sell"]
    assert len(sales) == len(set(sales))
    assert not {held_.token for held_ in held(play.state)} - {UP, DOWN}
    replayed = step(play.state, MarketSeen(market(outcome="up", closed=True)), play.at(901).now)[0]
    assert broken_sums(replayed.books) == ""
