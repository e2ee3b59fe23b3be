"""Live orders as conversations: none lost, none doubled, none of unknown fate without saying so."""

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.core.account import account_state, broken_sums, cash_usd6, reservations
from common.core.holds import shown_posture
from common.core.ledger import Payment
from common.core.order_effects import (
    CancelOrder,
    CatchUp,
    CheckAccount,
    CommitFills,
    CommitIntent,
    CommitTrade,
    Effect,
    LookUp,
    Place,
    RaiseAlert,
    Refuse,
)
from common.core.order_events import (
    Answered,
    BookSeen,
    CaughtUp,
    DefiniteNo,
    ForeignSeen,
    HoldAsked,
    LookedUp,
    MarketSeen,
    NewsSeen,
    NotSent,
    PostureAsked,
    Redeemed,
    Restarted,
    SecondPassed,
    Submitted,
    Taken,
    TradeSeen,
    Unknown,
    VenueAnswer,
)
from common.core.order_flow import step
from common.core.order_state import (
    State,
)
from common.core.venue_facts import Absent, Found, OrderNews, Reading, TradeStatus, Unread, VenueTrade
from common.messages import Outcome
from common.units import SECOND
from order_playbook import BANKROLL, DOWN, UP, WINDOW, Playbook, market

INTENT = f"{WINDOW}/up/lag"
ORDER_ID = "0xfeed"


class Live(Playbook):
    """A playbook whose account is real money: orders are signed and pursued."""

    def __init__(self) -> None:
        super().__init__()
        strategy = msgspec.structs.replace(self.state.strategy, live=True)
        books = msgspec.structs.replace(self.state.books, live=True)
        self.state = msgspec.structs.replace(self.state, strategy=strategy, books=books)

    def submit(self, outcome: Outcome = "up", **changes: object) -> list[Effect]:
        wish = self.wish(outcome, **changes)
        return self.hear(Submitted(wish, f"r-{len(self.said)}", ORDER_ID, b"signed bytes"))

    def answer(self, answer: VenueAnswer) -> list[Effect]:
        return self.hear(Answered(INTENT, answer))

    def read(self, reading: Reading) -> list[Effect]:
        return self.hear(LookedUp(INTENT, reading))

    def passed(self, seconds: float) -> list[Effect]:
        """That much later the clock's second is told."""
        return self.at(self.second + seconds).hear(SecondPassed())

    @property
    def status(self) -> str:
        return self.order().state.status


def live() -> Live:
    """An order is on its way."""
    play = Live()
    play.opened()
    play.submit()
    return play


def trade(
    number: int = 1,
    status: TradeStatus = "matched",
    size6: int = 10_000_000,
    price4: int = 5_000,
    order_id: str = ORDER_ID,
    **changes: object,
) -> VenueTrade:
    cost = -(-size6 * price4 // 10_000)
    plain = VenueTrade(f"t-{number}", order_id, status, price4, size6, cost)
    return msgspec.structs.replace(plain, **changes)


def news(phase: str, matched6: int | None = None, trade_ids: tuple[str, ...] = ()) -> OrderNews:
    return OrderNews(ORDER_ID, phase, matched6, trade_ids)  # type: ignore[arg-type]


def names(effects: list[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def test_the_signed_bytes_are_journalled_before_they_are_sent() -> None:
    play = Live()
    play.opened()
    effects = play.submit()
    assert names(effects) == ["CommitIntent", "PublishOrder", "Place", "Accept"]
    commit = effects[0]
    assert isinstance(commit, CommitIntent)
    assert (commit.order.wire, commit.order.state.order_id) == (b"signed bytes", ORDER_ID)
    assert commit.order.end_ns == market().end_ns
    assert commit.order.fee == market().fee


def test_matched_is_booked_by_its_trades_not_by_the_reply() -> None:
    play = live()
    play.answer(Taken("matched", 19_000_000, ("t-1", "t-2")))
    assert play.status == "working"
    assert len(reservations(play.state.books)) == 1
    play.hear(TradeSeen(trade(1)))
    assert (play.status, play.order().state.filled_size6) == ("working", 10_000_000)
    effects = play.hear(TradeSeen(trade(2, size6=9_000_000)))
    assert names(effects)[:2] == ["CommitFills", "CommitEnd"]
    assert (play.status, play.order().state.filled_size6) == ("partial", 19_000_000)
    assert play.state.pursuits == {}
    assert reservations(play.state.books) == ()
    assert broken_sums(play.state.books) == ""


def test_trades_that_come_before_the_reply_are_booked_and_finished_by_it() -> None:
    play = live()
    play.hear(TradeSeen(trade(1)))
    assert play.status == "working"
    play.answer(Taken("matched", 10_000_000, ("t-1",)))
    assert play.status == "partial"


def test_a_reply_without_amounts_waits_for_every_trade_it_names() -> None:
    play = live()
    play.answer(Taken("matched", None, ("t-1", "t-2")))
    play.hear(TradeSeen(trade(1)))
    assert play.status == "working"
    play.hear(TradeSeen(trade(2)))
    assert play.status == "filled"


def test_a_stake_spent_but_for_dust_is_filled() -> None:
    play = live()
    play.hear(TradeSeen(trade(1, size6=16_390_000, price4=6_100)))
    play.answer(Taken("matched", 16_393_400))
    assert play.status == "filled"


def test_a_trade_told_twice_and_backwards_is_booked_once() -> None:
    play = live()
    play.answer(Taken("matched", 10_000_000))
    for status in ("mined", "matched", "mined", "retrying", "confirmed", "mined", "confirmed"):
        play.hear(TradeSeen(trade(1, status)))
    (fill,) = play.state.books.fills
    assert fill.status == "confirmed"
    assert len(play.got(CommitFills)) == 1
    assert len(play.got(CommitTrade)) == 1
    assert cash_usd6(play.state.books) == BANKROLL - 5_000_000 - fill.fee_usd6


def test_retrying_becomes_confirmed_without_booking_again() -> None:
    play = live()
    play.answer(Taken("matched", 10_000_000))
    for status in ("matched", "retrying", "mined", "confirmed"):
        play.hear(TradeSeen(trade(1, status)))
    assert [commit.fill.status for commit in play.got(CommitTrade)] == ["retrying", "mined", "confirmed"]
    assert len(play.state.books.entries) == 2


def test_a_failed_trade_is_unbooked_to_the_last_unit() -> None:
    play = live()
    play.answer(Taken("matched", 20_000_000))
    play.hear(TradeSeen(trade(1)), TradeSeen(trade(2)))
    assert play.status == "filled"
    effects = play.hear(TradeSeen(trade(2, "failed")))
    assert names(effects)[0] == "CommitTrade"
    (position,) = play.state.books.positions.values()
    assert (position.size6, position.cost_usd6) == (10_000_000, 5_000_000)
    play.hear(TradeSeen(trade(1, "failed")))
    (position,) = play.state.books.positions.values()
    assert (position.size6, position.cost_usd6, position.fee_usd6) == (0, 0, 0)
    assert cash_usd6(play.state.books) == BANKROLL
    assert (play.status, play.order().state.reason) == ("killed", "its trades failed on chain")
    assert broken_sums(play.state.books) == ""
    account = account_state(play.state.books, "live", play.now.wall_ns, duplicate_orders=0)
    assert (account.fees_usd6, account.provisional_fills) == (0, 0)


def test_a_trade_first_heard_of_as_failed_leaves_nothing() -> None:
    play = live()
    play.answer(Taken("matched", 10_000_000))
    play.hear(TradeSeen(trade(1, "failed")))
    assert cash_usd6(play.state.books) == BANKROLL
    assert play.status == "killed"
    assert broken_sums(play.state.books) == ""


@pytest.mark.parametrize(("first", "then"), [("confirmed", "failed"), ("failed", "confirmed")])
def test_a_final_trade_that_changes_halts(first: TradeStatus, then: TradeStatus) -> None:
    play = live()
    play.answer(Taken("matched", 10_000_000))
    play.hear(TradeSeen(trade(1, first)))
    before = play.state.books
    play.hear(TradeSeen(trade(1, then)))
    assert play.state.posture.posture == "halted"
    assert play.state.books == before


@pytest.mark.parametrize("bad", [trade(1, price4=6_200), trade(1, size6=21_000_000)])
def test_more_or_dearer_than_signed_is_booked_and_halts(bad: VenueTrade) -> None:
    play = live()
    play.hear(TradeSeen(bad))
    assert play.state.posture.posture == "halted"
    assert len(play.state.books.fills) == 1
    assert broken_sums(play.state.books) == ""


def test_a_maker_pays_no_fee() -> None:
    play = live()
    play.hear(TradeSeen(trade(1, maker=True)))
    assert play.order().state.fee_usd6 == 0
    play.hear(TradeSeen(trade(2)))
    assert play.order().state.fee_usd6 == 175_000


def test_somebody_elses_doings_are_told_once_and_not_booked() -> None:
    play = live()
    for _ in range(2):
        play.hear(TradeSeen(trade(9, order_id="0xother")), ForeignSeen("order 0xabc"))
    assert [alert.alert.code for alert in play.got(RaiseAlert)] == ["foreign-activity"] * 2
    assert play.state.books.fills == ()


def test_a_window_somebody_else_has_traded_is_left_alone() -> None:
    """It may have been our own order, whose intent a power cut took."""
    for token in (UP, DOWN):
        play = Playbook().opened()
        play.hear(ForeignSeen("trade t of order 0xother", "4711"), ForeignSeen("order 0xabc"))
        assert not isinstance(play.submit()[0], Refuse)
        play = Playbook().opened()
        play.hear(ForeignSeen("trade t of order 0xother", token))
        assert play.refusal() == "foreign"


def test_unknown_is_asked_for_at_once_and_again_with_longer_pauses() -> None:
    play = live()
    effects = play.answer(Unknown("timed out"))
    assert isinstance(effects[-1], LookUp)
    asked: list[float] = [play.second]
    while play.second < asked[0] + 40:
        if play.state.pursuits[INTENT].asking:
            play.read(Unread("HTTP 502"))
        if any(isinstance(effect, LookUp) for effect in play.passed(1)):
            asked.append(play.second)
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert gaps == sorted(gaps)
    assert (gaps[0], gaps[-1]) == (2, 10)
    assert play.status == "working"


def test_one_question_at_a_time() -> None:
    play = live()
    play.answer(Unknown("reset"))
    assert not [e for _ in range(20) for e in play.passed(1) if isinstance(e, LookUp)]


def test_an_order_without_an_answer_is_asked_for() -> None:
    play = live()
    assert not [e for e in play.passed(1) if isinstance(e, LookUp)]
    assert [type(e) for e in play.passed(1) if isinstance(e, LookUp)] == [LookUp]


def test_an_unknown_fate_holds_new_orders_after_ten_seconds_and_lifts_itself() -> None:
    play = live()
    play.answer(Unknown("reset"))
    play.passed(9)
    assert shown_posture(play.state).posture == "trading"
    play.passed(1)
    shown = shown_posture(play.state)
    assert (shown.posture, shown.who) == ("no-new-orders", "orders")
    assert [alert.alert.level for alert in play.got(RaiseAlert)] == ["warning", "critical"]
    assert play.state.posture.posture == "trading"
    play.read(Found(news("matched", 10_000_000), (trade(1, "confirmed"),)))
    play.passed(1)
    assert shown_posture(play.state).posture == "trading"
    assert play.status == "partial"


def test_an_order_that_is_silent_though_it_was_answered_holds_too() -> None:
    play = live()
    play.answer(Taken("matched", 10_000_000, ("t-1",)))
    play.passed(10)
    assert shown_posture(play.state).posture == "no-new-orders"


def test_a_window_of_unknown_fate_stays_blocked() -> None:
    play = live()
    play.answer(Unknown("reset"))
    play.hear(BookSeen(play.book("down")))
    assert play.refusal("down") == "already-entered"


def test_absence_is_believed_late_and_only_when_told_twice() -> None:
    play = live()
    play.answer(Unknown("reset"))
    for _ in range(6):
        play.read(Absent())
        play.passed(4)
    assert play.status == "working"
    play.passed(6)
    play.read(Absent())
    assert play.status == "killed"
    assert "absent" in play.order().state.reason
    assert play.state.pursuits == {}

    once = live()
    once.answer(Unknown("reset"))
    once.passed(40)
    once.read(Absent())
    assert once.status == "working"
    once.read(Absent())
    assert once.status == "killed"


@pytest.mark.parametrize("between", [Unread("502"), None])
def test_what_is_in_flight_or_unread_is_not_absent(between: Reading | None) -> None:
    play = live()
    for _ in range(8):
        play.passed(10)
        play.read(between or Absent())
    assert play.status == "working"


def test_absence_does_not_undo_what_the_venue_said() -> None:
    play = live()
    play.answer(Taken("matched", 10_000_000))
    for _ in range(8):
        play.passed(10)
        play.read(Absent())
    assert play.status == "working"
    assert shown_posture(play.state).posture == "no-new-orders"


def test_a_delayed_order_that_vanished_is_absent_in_the_end() -> None:
    play = live()
    play.answer(Taken("delayed"))
    for _ in range(4):
        play.passed(10)
        play.read(Absent())
    assert play.status == "killed"


def test_an_order_taken_for_dead_that_trades_after_all_is_booked_and_told() -> None:
    play = live()
    play.answer(Unknown("reset"))
    play.passed(40)
    play.read(Absent())
    play.read(Absent())
    assert play.status == "killed"
    play.hear(TradeSeen(trade(1)))
    assert (play.status, play.order().state.filled_size6) == ("partial", 10_000_000)
    assert "order-came-back" in [alert.alert.code for alert in play.got(RaiseAlert)]
    assert broken_sums(play.state.books) == ""


def test_found_with_trades_but_no_record_ends_when_seen_twice_alike() -> None:
    play = live()
    play.answer(Unknown("reset"))
    play.read(Found(None, (trade(1),)))
    assert play.status == "working"
    play.read(Found(None, (trade(1), trade(2, size6=1_000_000))))
    assert play.status == "working"
    play.read(Found(None, (trade(1), trade(2, size6=1_000_000))))
    assert (play.status, play.order().state.filled_size6) == ("partial", 11_000_000)


def test_a_record_ahead_of_its_trades_waits_for_them() -> None:
    play = live()
    play.answer(Unknown("reset"))
    for _ in range(3):
        play.read(Found(news("matched", 10_000_000), ()))
    assert play.status == "working"
    assert "its trades show 0" in play.order().state.unknown
    play.read(Found(news("matched", 10_000_000), (trade(1),)))
    assert play.status == "partial"


def test_a_record_that_ended_with_nothing_kills() -> None:
    play = live()
    play.answer(Unknown("context canceled"))
    play.read(Found(news("ended"), ()))
    assert play.status == "working"
    play.read(Found(news("ended"), ()))
    assert (play.status, play.order().state.reason) == ("killed", "the venue matched nothing")


def test_an_order_that_rests_is_cancelled() -> None:
    play = live()
    effects = play.answer(Taken("live"))
    assert [type(e) for e in effects if isinstance(e, CancelOrder)] == [CancelOrder]
    play.hear(NewsSeen(news("ended", 0)))
    assert play.status == "killed"


def test_an_order_that_rested_ends_by_the_trade_the_venue_names() -> None:
    """The venue names the trade; what an order of ours that rested had of it has the order in its id."""
    play = live()
    play.answer(Taken("live"))
    made = trade(1, "mined", maker=True, trade_id=f"t-1/{ORDER_ID}")
    play.hear(TradeSeen(made), NewsSeen(news("matched", 10_000_000, ("t-1", "t-2"))))
    assert play.status == "working"
    second = trade(2, "mined", size6=1_000_000, maker=True, trade_id=f"t-2/{ORDER_ID}")
    play.hear(TradeSeen(second))
    assert (play.status, play.order().state.filled_size6) == ("partial", 11_000_000)
    assert play.state.pursuits == {}


def test_late_news_never_reopens_what_can_fill_no_more() -> None:
    play = live()
    play.answer(Taken("matched", 10_000_000))
    play.hear(NewsSeen(news("live", 0)))
    assert not play.got(CancelOrder)
    play.hear(TradeSeen(trade(1)))
    assert play.status == "partial"
    assert play.hear(NewsSeen(news("live", 0))) == []


def test_a_definite_no_after_a_trade_is_not_definite() -> None:
    play = live()
    play.hear(TradeSeen(trade(1)))
    play.answer(DefiniteNo("no-match", "none"))
    assert play.status == "working"
    assert "it has trades" in play.order().state.unknown


@pytest.mark.parametrize(
    ("no", "posture", "code"),
    [
        (DefiniteNo("no-match", ""), "trading", None),
        (DefiniteNo("restarting", "425", "wait", 5 * SECOND), "no-new-orders", None),
        (DefiniteNo("balance", "0", "check"), "no-new-orders", "order-refused"),
        (DefiniteNo("region", "403", "stop"), "halted", "venue-refuses"),
        (DefiniteNo("tick", "off", "fault"), "no-new-orders", "order-fault"),
    ],
)
def test_a_refusal_has_its_consequence(no: DefiniteNo, posture: str, code: str | None) -> None:
    play = live()
    play.answer(no)
    assert play.status == "killed"
    assert shown_posture(play.state).posture == posture
    assert [alert.alert.code for alert in play.got(RaiseAlert)] == ([code] if code else [])
    assert bool(play.got(CheckAccount)) == (no.consequence == "check")
    latched = no.consequence in ("stop", "fault")
    assert (play.state.posture.posture != "trading") == latched


def test_a_wait_lifts_itself_and_never_shortens() -> None:
    play = live()
    play.answer(DefiniteNo("restarting", "", "wait", 20 * SECOND))
    play.hear(HoldAsked("venue", "rate limited", 5 * SECOND))
    play.hear(BookSeen(play.book("up")))
    play.passed(19)
    play.hear(BookSeen(play.book("up")))
    assert play.refusal(strategy="other") == "hold"
    play.passed(1)
    assert play.submit(strategy="other") != []


def test_a_latched_posture_outlives_every_hold() -> None:
    play = live()
    play.hear(PostureAsked("paused", "lunch", "operator"), HoldAsked("checks", "clock off by 9 s"))
    assert shown_posture(play.state).who == "operator"
    play.hear(HoldAsked("checks", ""))
    assert shown_posture(play.state).posture == "paused"


def test_a_restart_pursues_what_was_sent_and_holds_until_the_account_was_read() -> None:
    play = live()
    play.state = msgspec.structs.replace(play.state, pursuits={})
    effects = play.hear(Restarted())
    assert names(effects) == ["PublishPosture", "CatchUp", "LookUp"]
    assert play.status == "working"
    assert shown_posture(play.state).posture == "no-new-orders"
    play.hear(CaughtUp("HTTP 502"))
    assert "HTTP 502" in shown_posture(play.state).reason
    play.hear(CaughtUp())
    assert shown_posture(play.state).posture == "trading"
    play.passed(10)
    assert shown_posture(play.state).who == "orders"


def test_trades_that_are_not_final_are_read_until_they_are() -> None:
    play = live()
    play.answer(Taken("matched", 10_000_000))
    play.hear(TradeSeen(trade(1)))
    assert [e for e in play.passed(1) if isinstance(e, CatchUp)]
    assert not [e for e in play.passed(5) if isinstance(e, CatchUp)]
    assert [e for e in play.passed(5) if isinstance(e, CatchUp)]
    play.hear(TradeSeen(trade(1, "confirmed")))
    assert not [e for e in play.passed(60) if isinstance(e, CatchUp)]


def test_a_trade_that_stays_open_is_told_once() -> None:
    play = live()
    play.answer(Taken("matched", 10_000_000))
    play.hear(TradeSeen(trade(1)))
    for _ in range(10):
        play.passed(60)
    assert [alert.alert.code for alert in play.got(RaiseAlert)] == ["trade-stuck"]


def test_a_window_is_settled_when_the_chain_has_decided_its_trades() -> None:
    play = live()
    play.answer(Taken("matched", 10_000_000))
    play.hear(TradeSeen(trade(1)))
    assert play.at(901).hear(MarketSeen(market(outcome="up"))) == []
    play.hear(TradeSeen(trade(1, "confirmed")))
    play.hear(MarketSeen(market(outcome="up")))
    (position,) = play.state.books.positions.values()
    assert position.settled
    assert cash_usd6(play.state.books) == BANKROLL - 5_000_000 - 175_000
    assert account_state(play.state.books, "live", 0, duplicate_orders=0).redeemable_usd6 == 10_000_000
    paid = Redeemed(Payment("0xtx:1", "0xc0", WINDOW, 10_000_000, 0, ((position.token, 10_000_000),)))
    play.hear(paid, paid)
    assert cash_usd6(play.state.books) == BANKROLL + 5_000_000 - 175_000
    assert account_state(play.state.books, "live", 0, duplicate_orders=0).redeemable_usd6 == 0
    assert broken_sums(play.state.books) == ""


def test_a_trade_after_the_settlement_halts_and_is_not_booked() -> None:
    play = live()
    play.answer(Taken("matched", 10_000_000))
    play.hear(TradeSeen(trade(1, "confirmed")))
    play.at(901).hear(MarketSeen(market(outcome="up")))
    play.hear(TradeSeen(trade(2)))
    assert play.state.posture.posture == "halted"
    assert broken_sums(play.state.books) == ""


@pytest.mark.parametrize("answer", [NotSent("no connection"), DefiniteNo("no-match", "")])
def test_an_ended_order_is_not_pursued(answer: VenueAnswer) -> None:
    play = live()
    play.answer(answer)
    assert play.state.pursuits == {}
    assert not [e for _ in range(5) for e in play.passed(10) if isinstance(e, LookUp)]


REPLIES: dict[str, VenueAnswer] = {
    "matched": Taken("matched", 10_000_000),
    "matched, no sizes": Taken("matched", None, ("t-1",)),
    "delayed": Taken("delayed"),
    "live": Taken("live"),
    "no": DefiniteNo("no-match", ""),
    "wait": DefiniteNo("restarting", "", "wait", 9 * SECOND),
    "not sent": NotSent(""),
    "unknown": Unknown("reset"),
}
READINGS: dict[str, Reading] = {
    "absent": Absent(),
    "unread": Unread("502"),
    "record": Found(news("matched", 10_000_000), ()),
    "record and trade": Found(news("matched", 10_000_000), (trade(1, "mined"),)),
    "trade alone": Found(None, (trade(1),)),
    "ended": Found(news("ended", 0), ()),
}
EVENT = st.one_of(
    st.sampled_from([("reply", name) for name in REPLIES]),
    st.sampled_from([("reading", name) for name in READINGS]),
    st.tuples(st.just("trade"), st.sampled_from(["matched", "mined", "retrying", "confirmed", "failed"])),
    st.sampled_from([("submit", "up"), ("second", ""), ("restart", ""), ("caught up", ""), ("outcome", "")]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(EVENT, st.sampled_from([0, 1, 3, 12, 40])), max_size=30))
def test_whatever_the_venue_says_nothing_is_lost_doubled_or_left_unsaid(
    story: list[tuple[tuple[str, str], int]],
) -> None:
    play = live()
    seen: set[str] = set()
    for (what, how), wait in story:
        play.at(play.second + wait)
        match what:
            case "reply":
                play.answer(REPLIES[how])
            case "reading":
                play.read(READINGS[how])
                seen |= {"t-1"} if "trade" in how else set()
            case "trade":
                play.hear(TradeSeen(trade(1, how)))  # type: ignore[arg-type]
                seen.add("t-1")
            case "submit":
                play.submit()
            case "restart":
                play.state = rebooted(play.state)
                play.hear(Restarted())
            case "caught up":
                play.hear(CaughtUp())
            case "outcome":
                play.hear(MarketSeen(market(outcome="up")))
        play.hear(SecondPassed())
        books = play.state.books
        assert broken_sums(books) == ""
        late = "trade-after-settlement" in [alert.alert.code for alert in play.got(RaiseAlert)]
        assert late or {fill.trade_id for fill in books.fills} == seen
        is_open = play.status == "working"
        assert is_open == (INTENT in play.state.pursuits) == bool(reservations(books))
        if is_open:
            age_ns = play.now.mono_ns - play.state.pursuits[INTENT].since_ns
            assert age_ns < 10 * SECOND or shown_posture(play.state).posture != "trading"
    assert len(play.got(Place)) == len(play.got(CommitIntent)) == 1
    assert len([fill for commit in play.got(CommitFills) for fill in commit.fills]) == len(seen) or late
    assert all(refusal.text for refusal in play.got(Refuse))


def rebooted(state: State) -> State:
    """What a new process knows: the journal, and nothing of what was going on."""
    plain = State(state.strategy, state.limits, state.books, state.posture)
    return msgspec.structs.replace(plain, markets=state.markets, quotes=state.quotes)


def test_a_failed_step_changes_nothing() -> None:
    play = live()
    before = play.state
    step(play.state, TradeSeen(trade(1)), play.now)
    assert play.state is before
    assert play.state.books.positions.get((WINDOW, "up")) is None
    assert play.order().state.token == UP


def test_absence_counts_from_when_nothing_can_be_under_way_any_more() -> None:
    play = live()
    play.passed(25)
    play.answer(Unknown("no answer"))
    for _ in range(3):
        play.passed(5)
        play.read(Absent())
    assert play.status == "working"


def test_what_was_matched_never_becomes_less() -> None:
    play = live()
    play.answer(Taken("matched", 10_000_000))
    play.hear(NewsSeen(news("matched", 4_000_000)), TradeSeen(trade(1, size6=4_000_000)))
    assert play.status == "working"


def test_one_reading_without_a_record_does_not_end_an_order_that_may_rest() -> None:
    play = live()
    play.answer(Unknown("reset"))
    play.read(Found(None, (trade(1),)))
    assert CancelOrder in map(type, play.hear(NewsSeen(news("live", 10_000_000))))


def test_an_old_order_found_open_at_a_start_holds_at_once() -> None:
    play = live()
    play.at(play.second + 60)
    play.state = rebooted(play.state)
    (catch_up,) = [e for e in play.hear(Restarted()) if isinstance(e, CatchUp)]
    assert catch_up.since_ns == play.order().state.created_ns - 120 * SECOND
    play.hear(CaughtUp())
    assert shown_posture(play.state).who == "orders"


def test_a_failed_trade_does_not_bring_a_dead_order_back() -> None:
    play = live()
    play.answer(DefiniteNo("no-match", "nothing there"))
    play.hear(TradeSeen(trade(1, "failed")))
    assert (play.status, play.order().state.reason) == ("killed", "no-match: nothing there")


def test_a_fault_does_not_loosen_what_halted() -> None:
    play = live()
    play.hear(PostureAsked("halted", "lunch", "operator"))
    play.answer(DefiniteNo("tick", "off", "fault"))
    assert (play.state.posture.posture, play.state.posture.who) == ("halted", "operator")
