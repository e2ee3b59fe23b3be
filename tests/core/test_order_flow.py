"""The executor's state machine as conversations: one intent one order, one entry a window, one settlement."""

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.core.account import account_state, broken_sums, cash_usd6, loss_streak, reservations
from common.core.order_effects import (
    Accept,
    CommitEnd,
    CommitFills,
    CommitIntent,
    CommitPosture,
    CommitSettlement,
    Place,
    PublishFill,
    PublishOrder,
    PublishPosition,
    PublishPosture,
    RaiseAlert,
    Refuse,
)
from common.core.order_events import (
    Answered,
    BookSeen,
    Completeness,
    DefiniteNo,
    JournalFailed,
    LedgerChecked,
    MarketSeen,
    Matched,
    NotSent,
    PostureAsked,
    Restarted,
    SecondPassed,
    Taken,
    Unknown,
    VenueAnswer,
)
from common.core.order_flow import followed_windows
from common.core.order_state import (
    Settlement,
)
from common.errors import InvariantBroken
from common.messages import Outcome, Posture
from common.units import SECOND
from order_playbook import BANKROLL, DOWN, START_S, UP, WINDOW, Playbook, fill, market

INTENT = f"{WINDOW}/up/lag"


def kinds(effects: list[object]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def test_a_wish_becomes_one_order_committed_before_anything_else() -> None:
    play = Playbook().opened()
    effects = play.submit()
    assert kinds([*effects]) == ["CommitIntent", "PublishOrder", "Place", "Accept"]
    commit = effects[0]
    assert isinstance(commit, CommitIntent)
    assert commit.order.state.status == "working"
    assert commit.order == play.order()
    (reserved,) = reservations(play.state.books)
    assert reserved.worst_usd6 == commit.order.worst_usd6 > 10_000_000
    assert cash_usd6(play.state.books) == BANKROLL


def test_the_same_intent_is_the_same_order_however_often_and_late() -> None:
    play = Playbook().opened()
    play.submit()
    order_id = play.order().state.order_id
    before = play.state
    for second in (60.1, 61, 900, 5_000):
        wish = msgspec.structs.replace(play.wish(), decided_mono_ns=0)
        play.at(second)
        from_now = play.submit(limit4=5_000, stake_usd6=1, decided_mono_ns=wish.decided_mono_ns)
        assert from_now == [Accept("working", order_id, repeated=True)]
    assert play.state is before


def test_a_killed_intent_is_answered_with_its_end_and_not_tried_again() -> None:
    play = Playbook().opened()
    play.submit()
    play.hear(Answered(INTENT, DefiniteNo("no-match", "nothing there")))
    (answer,) = play.submit()
    assert isinstance(answer, Accept)
    assert (answer.repeated, answer.text) == (True, "killed: no-match: nothing there")


def test_one_entry_per_window_and_strategy() -> None:
    play = Playbook().opened()
    play.submit()
    assert play.refusal("down") == "already-entered"
    play.hear(Answered(INTENT, DefiniteNo("no-match", "")))
    assert play.refusal("down") == "already-entered"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"intent_id": "other"}, "malformed"),
        ({"stake_usd6": 0}, "malformed"),
        ({"limit4": -100}, "malformed"),
        ({"decided_mono_ns": 10_058 * SECOND - 1}, "expired"),
        ({"decided_mono_ns": 10_061 * SECOND}, "expired"),
        ({"window": "btc-updown-15m-7"}, "unknown-window"),
        ({"token": DOWN}, "wrong-token"),
        ({"asset": "eth"}, "wrong-token"),
        ({"limit4": 6_200}, "price"),
        ({"limit4": 6_150}, "price"),
        ({"stake_usd6": 25_000_001}, "risk"),
    ],
)
def test_what_is_wrong_with_a_wish_is_said(changes: dict[str, object], code: str) -> None:
    assert Playbook().opened().refusal(**changes) == code


def test_a_wish_at_the_end_of_its_life_is_still_good() -> None:
    play = Playbook().opened()
    assert kinds([*play.submit(decided_mono_ns=10_058 * SECOND)])[0] == "CommitIntent"


@pytest.mark.parametrize("name", ["no-new-orders", "paused", "halted"])
def test_only_the_trading_posture_trades(name: str) -> None:
    assert Playbook().opened().posed(name).refusal() == "posture"


@pytest.mark.parametrize(
    "changes",
    [
        {"refusals": ("fee unknown",)},
        {"rule": "unknown"},
        {"closed": True},
        {"accepting": False},
        {"taker_delay_ns": None},
        {"end_ns": (START_S + 60) * SECOND},
        {"start_ns": (START_S + 61) * SECOND},
    ],
)
def test_the_venues_half_of_the_passport_is_checked_again(changes: dict[str, object]) -> None:
    assert Playbook().opened(**changes).refusal() == "passport"


def test_an_order_needs_a_live_complete_and_fresh_book() -> None:
    play = Playbook().opened()
    play.at(70.001)
    assert play.refusal() == "stale-book"
    play.hear(BookSeen(play.book("up", status="resync")))
    assert play.refusal() == "stale-book"
    play.hear(BookSeen(play.book("up", window="another")))
    assert play.refusal() == "stale-book"
    play.hear(BookSeen(play.book("up")), Completeness(incomplete=True))
    assert play.refusal() == "stale-book"
    play.hear(Completeness(incomplete=False))
    assert kinds([*play.submit()])[0] == "CommitIntent"


def test_no_book_no_order() -> None:
    play = Playbook()
    play.hear(MarketSeen(market()))
    assert play.refusal() == "stale-book"


def test_an_older_book_never_replaces_a_newer_one() -> None:
    play = Playbook().opened()
    old = play.book("up", 4_000)
    play.at(61).hear(BookSeen(play.book("up", 5_500)), BookSeen(old))
    assert play.state.quotes[UP].asks[0][0] == 5_500


def test_orders_in_flight_count_at_their_worst() -> None:
    play = Playbook()
    limits = msgspec.structs.replace(play.state.limits, max_asset_usd6=21_000_000)
    play.state = msgspec.structs.replace(play.state, limits=limits)
    other = "btc-updown-15m-8"
    play.opened().hear(
        MarketSeen(market(window=other, token_up="u8", token_down="d8")),
        BookSeen(play.book("up", token="u8", window=other)),
    )
    play.submit()
    assert play.refusal(window=other, token="u8") == "risk"
    play.hear(Answered(INTENT, NotSent("no route")))
    assert kinds([*play.submit(window=other, token="u8")])[0] == "CommitIntent"


def test_the_order_rate_counts_accepted_orders_only() -> None:
    play = Playbook().opened()
    limits = msgspec.structs.replace(play.state.limits, max_orders_per_minute=1)
    play.state = msgspec.structs.replace(play.state, limits=limits)
    play.refusal(token=DOWN)
    play.submit()
    play.hear(Answered(INTENT, NotSent("")))
    assert play.refusal(strategy="other") == "risk"
    play.at(121).hear(BookSeen(play.book("up")))
    assert kinds([*play.submit(strategy="other")])[0] == "CommitIntent"


def test_fills_change_order_position_and_ledger_in_one_commit() -> None:
    play = Playbook().opened()
    play.submit()
    effects = play.hear(Answered(INTENT, Matched((fill(0), fill(1, 6_100, 1_000_000)))))
    assert kinds([*effects]) == [
        "CommitFills",
        "PublishFill",
        "PublishFill",
        "PublishOrder",
        "PublishPosition",
    ]
    commit = effects[0]
    assert isinstance(commit, CommitFills)
    assert [entry.number for entry in commit.entries] == [2, 3]
    assert (commit.position.size6, commit.position.cost_usd6) == (11_000_000, 5_610_000)
    assert (commit.order.state.status, commit.order.state.cost_usd6) == ("partial", 5_610_000)
    assert cash_usd6(play.state.books) == BANKROLL - 5_610_000 - 200_000
    assert reservations(play.state.books) == ()
    assert broken_sums(play.state.books) == ""


def test_an_order_filled_to_the_last_lot_is_filled() -> None:
    play = Playbook().opened()
    play.submit()
    play.hear(Answered(INTENT, Matched((fill(0, 6_100, 16_393_400),))))
    assert (play.order().state.status, play.order().state.reason) == ("filled", "")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (DefiniteNo("no-match", "nothing at 0.61"), "no-match: nothing at 0.61"),
        (NotSent("no route"), "not sent: no route"),
        (Matched(()), "the venue matched nothing"),
    ],
)
def test_a_no_kills_and_releases_the_money(answer: VenueAnswer, reason: str) -> None:
    play = Playbook().opened()
    play.submit()
    assert kinds([*play.hear(Answered(INTENT, answer))]) == ["CommitEnd", "PublishOrder"]
    assert (play.order().state.status, play.order().state.reason) == ("killed", reason)
    assert reservations(play.state.books) == ()
    assert cash_usd6(play.state.books) == BANKROLL


def test_unknown_is_not_failed() -> None:
    play = Playbook().opened()
    play.submit()
    effects = play.hear(Answered(INTENT, Unknown("timed out")))
    assert kinds([*effects]) == ["PublishOrder", "RaiseAlert", "LookUp"]
    assert (play.order().state.status, play.order().state.unknown) == ("working", "timed out")
    assert len(reservations(play.state.books)) == 1


@pytest.mark.parametrize(
    "again", [Matched((fill(),)), DefiniteNo("no-match", ""), Unknown(""), Taken("matched")]
)
def test_a_decided_order_is_not_decided_again(again: VenueAnswer) -> None:
    play = Playbook().opened().bought()
    before = play.state
    assert play.hear(Answered(INTENT, again)) == []
    assert play.state is before


@pytest.mark.parametrize("bad", [fill(0, 6_200), fill(0, 5_000, 20_000_200)])
def test_more_or_dearer_than_asked_stops_everything(bad: object) -> None:
    play = Playbook().opened()
    play.submit()
    with pytest.raises(InvariantBroken, match="more, or dearer"):
        play.hear(Answered(INTENT, Matched((bad,))))  # type: ignore[arg-type]


def test_an_answer_to_an_order_never_sent_stops_everything() -> None:
    with pytest.raises(InvariantBroken, match="never sent"):
        Playbook().hear(Answered("x", NotSent("")))


@pytest.mark.parametrize(("outcome", "payout"), [("up", 10_000_000), ("down", 0)])
def test_a_position_is_settled_once_when_it_ended_and_the_outcome_is_official(
    outcome: Outcome, payout: int
) -> None:
    play = Playbook().opened().bought()
    assert play.at(899).hear(MarketSeen(market(outcome=outcome))) == []
    assert followed_windows(play.state, play.now) == ()
    play.at(901)
    assert followed_windows(play.state, play.now) == (WINDOW,)
    assert play.hear(MarketSeen(market())) != []  # the outcome heard early is not forgotten
    commit, published = play.said[-2:]
    assert isinstance(commit, CommitSettlement)
    assert isinstance(published, PublishPosition)
    assert published.position.payout_usd6 == payout
    assert published.position.pnl_usd6 == payout - 5_000_000 - 100_000
    assert play.at(903).hear(MarketSeen(market(outcome=outcome))) == []
    assert followed_windows(play.state, play.now) == ()
    assert broken_sums(play.state.books) == ""
    assert cash_usd6(play.state.books) == BANKROLL - 5_100_000 + payout


def test_a_window_with_an_order_in_flight_is_not_settled_yet() -> None:
    play = Playbook().opened().bought()
    play.submit(strategy="other")
    play.at(901)
    assert play.hear(MarketSeen(market(outcome="up"))) == []
    play.hear(Answered(f"{WINDOW}/up/other", DefiniteNo("ended", "")))
    assert kinds([*play.hear(MarketSeen(market(outcome="up")))]) == ["CommitSettlement", "PublishPosition"]


def test_an_outcome_that_changes_after_the_payout_halts_once() -> None:
    play = Playbook().opened().bought()
    play.at(901).hear(MarketSeen(market(outcome="up")))
    effects = play.hear(MarketSeen(market(outcome="down")))
    assert kinds([*effects]) == ["CommitPosture", "PublishPosture", "RaiseAlert"]
    assert play.state.posture.posture == "halted"
    assert play.hear(MarketSeen(market(outcome="down"))) == []
    assert broken_sums(play.state.books) == ""


def test_a_restart_kills_what_was_working_exactly_once() -> None:
    play = Playbook().opened()
    play.submit()
    assert kinds([*play.hear(Restarted())]) == ["CommitEnd", "PublishOrder"]
    assert play.order().state.reason == "executor restarted before the match"
    assert play.hear(Restarted()) == []
    assert cash_usd6(play.state.books) == BANKROLL


def test_a_posture_is_committed_with_who_and_why() -> None:
    play = Playbook()
    effects = play.hear(PostureAsked("paused", "lunch", "operator", "r-1"))
    assert kinds([*effects]) == ["CommitPosture", "PublishPosture", "Accept"]
    commit = effects[0]
    assert isinstance(commit, CommitPosture)
    assert (commit.posture.who, commit.posture.reason, commit.request_id) == ("operator", "lunch", "r-1")
    assert commit.posture.since_ns == play.now.wall_ns
    assert play.hear(PostureAsked("paused", "lunch", "operator", "r-2")) == [Accept("paused", repeated=True)]


@pytest.mark.parametrize(
    ("strict", "weaker"), [("halted", "paused"), ("halted", "no-new-orders"), ("paused", "no-new-orders")]
)
def test_only_a_resume_makes_a_posture_less_strict(strict: Posture, weaker: Posture) -> None:
    play = Playbook().opened()
    play.hear(PostureAsked(strict, "kill", "operator", "r-1"))
    assert play.hear(PostureAsked(weaker, "late", "telegram:42", "r-2")) == [Accept(strict, repeated=True)]
    assert (play.state.posture.posture, play.state.posture.reason) == (strict, "kill")
    play.hear(PostureAsked("trading", "looked", "operator", "r-3"))
    assert play.state.posture.posture == "trading"


def test_a_failing_journal_halts_until_it_can_be_written() -> None:
    play = Playbook().opened()
    assert kinds([*play.hear(JournalFailed("disk is full"))]) == ["PublishPosture", "RaiseAlert"]
    assert play.hear(JournalFailed("disk is full")) == []
    assert play.refusal() == "posture"
    (commit,) = play.hear(SecondPassed())
    assert isinstance(commit, CommitPosture)
    assert commit.posture.posture == "halted"
    assert play.hear(SecondPassed()) == []
    assert play.state.posture.posture == "halted"


def test_a_difference_in_the_books_halts_and_keeps_halting() -> None:
    play = Playbook()
    assert play.hear(LedgerChecked("")) == []
    effects = play.hear(LedgerChecked("entry 3 is off"))
    assert kinds([*effects]) == ["CommitPosture", "PublishPosture", "RaiseAlert"]
    assert play.hear(LedgerChecked("entry 3 is off")) == []
    play.hear(PostureAsked("trading", "again", "operator"))
    play.hear(LedgerChecked("entry 3 is off"))
    assert play.state.posture.posture == "halted"


def test_markets_of_the_past_are_forgotten_unless_something_is_open() -> None:
    play = Playbook().opened().bought()
    play.at(900 + 3_601).hear(SecondPassed())
    assert WINDOW in play.state.markets
    play.hear(MarketSeen(market(outcome="up")), SecondPassed())
    assert play.state.markets == {}
    assert play.state.quotes == {}


def test_streak_and_day_count_from_what_was_booked() -> None:
    play = Playbook().opened().bought()
    play.at(901).hear(MarketSeen(market(outcome="down")))
    (lost,) = play.state.books.settlements
    won = Settlement(msgspec.structs.replace(lost.position, pnl_usd6=3), lost.at_ns)
    assert [loss_streak(s) for s in ((lost,), (lost, lost), (lost, won), (won, lost))] == [1, 2, 0, 1]
    books = play.state.books
    account = account_state(books, "paper", play.now.wall_ns, duplicate_orders=0)
    assert (account.day_pnl_usd6, account.realized_pnl_usd6, account.loss_streak) == (
        -5_100_000,
        -5_100_000,
        1,
    )
    tomorrow = account_state(books, "paper", play.now.wall_ns + 86_400 * SECOND, duplicate_orders=0)
    assert (tomorrow.day_pnl_usd6, tomorrow.realized_pnl_usd6, tomorrow.loss_streak) == (0, -5_100_000, 1)


@pytest.mark.parametrize("part", ["orders", "positions", "fills", "entries"])
def test_books_with_a_part_missing_do_not_add_up(part: str) -> None:
    books = Playbook().opened().bought().state.books
    assert broken_sums(books) == ""
    less: object = {} if part in ("orders", "positions") else getattr(books, part)[:-1]
    assert broken_sums(msgspec.structs.replace(books, **{part: less})) != ""


EVENTS = st.sampled_from(
    [
        "submit",
        "submit down",
        "match",
        "no",
        "outcome",
        "second",
        "restart",
        "book",
        "halt",
        "trade",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.sampled_from([0, 1, 30, 300])), max_size=25))
def test_whatever_happens_the_books_add_up_and_nothing_happens_twice(
    story: list[tuple[str, int]],
) -> None:
    play = Playbook().opened()
    for what, wait in story:
        play.at(play.second + wait)
        match what:
            case "submit":
                play.submit()
            case "submit down":
                play.submit("down")
            case "match" | "no" if INTENT in play.state.books.orders:
                answers = {"match": Matched((fill(),)), "no": DefiniteNo("no", "")}
                play.hear(Answered(INTENT, answers[what]))
            case "outcome":
                play.hear(MarketSeen(market(outcome="up")))
            case "second":
                play.hear(SecondPassed(), LedgerChecked(broken_sums(play.state.books)))
            case "restart":
                play.hear(Restarted())
            case "book":
                play.hear(MarketSeen(market()), BookSeen(play.book("up")), BookSeen(play.book("down")))
            case "halt" | "trade":
                play.hear(PostureAsked("halted" if what == "halt" else "trading", "", "operator"))
        assert broken_sums(play.state.books) == ""
    assert len(play.got(CommitIntent)) == len(play.got(Place)) == len(play.state.books.orders) <= 1
    ends = len(play.got(CommitFills)) + len(play.got(CommitEnd))
    assert ends == sum(order.state.status != "working" for order in play.state.books.orders.values())
    assert len(play.got(CommitSettlement)) == len(play.state.books.settlements) <= 1
    assert len(play.got(PublishFill)) == len(play.state.books.fills)
    assert not play.got(RaiseAlert)
    assert len(play.got(PublishOrder)) == len(play.state.books.orders) + ends
    assert len(play.got(PublishPosture)) == len(play.got(CommitPosture))
    assert all(refusal.text for refusal in play.got(Refuse))


def test_the_sentinel_never_loosens_what_a_person_decided_and_outlasts_the_routes() -> None:
    book = Playbook()

    def ask(wanted: str, who: str) -> tuple[str, str]:
        book.hear(PostureAsked(wanted, "why", who))  # type: ignore[arg-type]
        return book.state.posture.posture, book.state.posture.who

    for strict in ("halted", "paused", "no-new-orders"):
        assert ask("trading", "cli:me") == ("trading", "cli:me")
        assert ask(strict, "telegram:1") == (strict, "telegram:1")
        assert ask("no-new-orders", "sentinel") == (strict, "telegram:1")
    assert ask("trading", "cli:me") == ("trading", "cli:me")
    assert ask("no-new-orders", "routes") == ("no-new-orders", "routes")
    assert ask("no-new-orders", "sentinel") == ("no-new-orders", "sentinel")
    assert ask("trading", "routes") == ("no-new-orders", "sentinel"), "a crash loop is for a person to end"


def test_the_rule_of_the_routes_tightens_and_lifts_only_its_own() -> None:
    book = Playbook()

    def ask(wanted: str, who: str) -> bool:
        effects = book.hear(PostureAsked(wanted, "why", who))  # type: ignore[arg-type]
        return not any(isinstance(effect, Refuse) for effect in effects)

    assert not ask("trading", "routes")
    assert ask("no-new-orders", "routes")
    assert ask("trading", "routes")
    for posture_now in ("no-new-orders", "paused", "halted"):
        assert ask(posture_now, "operator")
        assert not ask("trading", "routes")
        assert not ask("no-new-orders", "routes")
        assert book.state.posture.posture == posture_now
    assert ask("trading", "operator")
    assert not ask("halted", "routes")


def test_a_stand_in_is_labelled_to_the_end_and_refused_with_real_money() -> None:
    play = Playbook().opened()
    play.submit(basis="proxy, not settlement")
    play.hear(Answered(INTENT, Matched((fill(),))))
    (position,) = play.state.books.positions.values()
    assert play.order().state.basis == position.basis == "proxy, not settlement"

    live = Playbook().opened()
    with_money = msgspec.structs.replace(live.state.strategy, live=True)
    live.state = msgspec.structs.replace(live.state, strategy=with_money)
    assert live.refusal(basis="proxy, not settlement") == "proxy"
    assert kinds([*live.submit()])[0] == "CommitIntent"


names = st.sampled_from(["w", "w/up", "w/up/lag", "up/w"])
strategies = st.sampled_from(["lag", "up/lag", "lag/down/lag"])
sides: st.SearchStrategy[Outcome] = st.sampled_from(["up", "down"])


@example(known=[("w", "up", "up/lag")], window="w/up", outcome="down", strategy="lag")
@given(st.lists(st.tuples(names, sides, strategies), max_size=4, unique=True), names, sides, strategies)
def test_entered_is_found_by_name_as_by_looking_at_every_order(
    known: list[tuple[str, Outcome, str]], window: str, outcome: Outcome, strategy: str
) -> None:
    play = Playbook()
    template = Playbook().opened()
    template.submit()
    plain = template.order()
    orders = {}
    for held, side, by in known:
        intent_id = f"{held}/{side}/{by}"
        state = msgspec.structs.replace(plain.state, window=held, outcome=side, intent_id=intent_id)
        orders[intent_id] = msgspec.structs.replace(plain, state=state, strategy=by)
    books = msgspec.structs.replace(play.state.books, orders=orders)
    play.state = msgspec.structs.replace(play.state, books=books)
    looked = any((o.state.window, o.strategy) == (window, strategy) for o in orders.values())
    wish = play.wish(outcome, window=window, strategy=strategy)
    if wish.intent_id not in orders:
        code = play.refusal(outcome, window=window, strategy=strategy)
        assert (code == "already-entered") == looked
