"""Results and payments as conversations: each booked once, whoever tells it, in whatever order it comes."""

import msgspec
import pytest

from common.core import ledger
from common.core.account import account_state, broken_sums, cash_usd6
from common.core.ledger import Payment
from common.core.money_proof import PAYMENTS_SHOWN, Proof, ProofLine, WalletFacts, prove
from common.core.order_effects import CommitRedemption, CommitSettlement, PublishPosition, RaiseAlert
from common.core.order_events import (
    Answered,
    Event,
    MarketSeen,
    Redeemed,
    Resolved,
    Submitted,
    Taken,
    TradeSeen,
)
from common.core.order_state import State
from common.core.settings import RiskLimits, StrategySettings
from common.core.venue_facts import VenueTrade
from common.messages import Official, Outcome, PositionState
from order_playbook import BANKROLL, DOWN, UP, WINDOW, Playbook, market, posture

CONDITION = "0x" + "c1" * 32
TX = "0x" + "ab" * 32
SIZE6 = 10_000_001
"""An odd number of base units: half of it is rounded down."""
SPENT = 5_000_000 + 175_000


def live() -> Playbook:
    play = Playbook()
    books = msgspec.structs.replace(play.state.books, live=True)
    limits = RiskLimits(max_positions=50, max_direction_usd6=10**12, max_asset_usd6=10**12)
    play.state = State(StrategySettings(live=True), limits, books, posture())
    return play.opened(condition_id=CONDITION)


def bought(*outcomes: Outcome, play: Playbook | None = None) -> Playbook:
    """A live account that holds ten shares, and one unit, of each."""
    play = play or live()
    for outcome in outcomes:
        strategy = "lag" if outcome == "up" else "other"
        wish = play.wish(outcome, strategy=strategy)
        play.hear(Submitted(wish, f"r-{outcome}", f"0x{outcome}", b"wire"))
        trade = VenueTrade(f"t-{outcome}", f"0x{outcome}", "confirmed", 5_000, SIZE6, 5_000_000)
        play.hear(TradeSeen(trade), Answered(wish.intent_id, Taken("matched", SIZE6)))
    return play


def told(numerators: tuple[int, int], denominator: int = 0) -> Resolved:
    return Resolved(WINDOW, numerators, denominator or sum(numerators), CONDITION, "block 7")


def payment(
    paid: int, tokens: dict[str, int], *, index: int = 3, surplus: int = 0, **changes: object
) -> Event:
    plain = Payment(f"{TX}:{index}", CONDITION, WINDOW, paid, surplus, tuple(tokens.items()))
    return Redeemed(msgspec.structs.replace(plain, **changes))


def position(play: Playbook, outcome: Outcome = "up") -> PositionState:
    held: PositionState = play.state.books.positions[WINDOW, outcome]
    return held


def alerts(play: Playbook) -> list[str]:
    return [said.alert.code for said in play.got(RaiseAlert)]


def proven(play: Playbook, chain_usd6: int, shares6: dict[str, int] | None = None) -> Proof:
    proof = prove(play.state.books, WalletFacts(chain_usd6, chain_usd6, shares6 or {}))
    assert proof.wrong == ()
    assert broken_sums(play.state.books) == ""
    return proof


def line(proof: Proof, name: str) -> ProofLine:
    (found,) = (each for each in proof.lines if each.name == name)
    return found


def test_a_position_knows_its_condition_from_its_first_fill() -> None:
    play = live()
    play.submit("up")
    play.state = msgspec.structs.replace(play.state, markets={})
    trade = VenueTrade("t", play.order().state.order_id, "confirmed", 5_000, SIZE6, 5_000_000)
    play.hear(TradeSeen(trade))
    assert position(play).condition_id == CONDITION
    paper = Playbook().opened(condition_id=CONDITION).bought()
    assert position(paper).condition_id == CONDITION


@pytest.mark.parametrize(
    ("numerators", "official", "payout"),
    [
        ((1, 0), "up", SIZE6),
        ((0, 1), "down", 0),
        ((1_000_000, 0), "up", SIZE6),
        ((1, 1), "split", 5_000_000),
        ((1, 2), "split", SIZE6 // 3),
        ((700_000, 300_000), "split", 7_000_000),
    ],
)
def test_the_chain_settles_what_the_venue_has_not(
    numerators: tuple[int, int], official: Official, payout: int
) -> None:
    play = bought("up")
    assert play.at(899).hear(told(numerators)) == [], "before the end"
    effects = play.at(901).hear(told(numerators))
    assert [type(effect) for effect in effects] == [CommitSettlement, PublishPosition]
    held = position(play)
    assert (held.settled, held.official, held.payout_usd6) == (True, official, payout)
    assert held.pnl_usd6 == payout - SPENT
    assert "block 7" in play.state.books.entries[-1].memo
    assert play.hear(told(numerators)) == [], "told again"
    account = account_state(play.state.books, "live", play.now.wall_ns, duplicate_orders=0)
    assert (account.redeemable_usd6, account.realized_pnl_usd6) == (payout, payout - SPENT)
    assert (account.day_pnl_usd6, account.loss_streak) == (payout - SPENT, int(payout < SPENT))
    proven(play, BANKROLL - SPENT, {UP: SIZE6})


def test_on_paper_a_split_is_cash_at_once() -> None:
    play = Playbook().opened().bought()
    cash = cash_usd6(play.state.books)
    play.at(901).hear(told((1, 1)))
    assert cash_usd6(play.state.books) == cash + 5_000_000
    assert broken_sums(play.state.books) == ""


def test_nothing_is_settled_by_the_chain_while_a_trade_is_open() -> None:
    play = live()
    play.submit("up")
    order_id = play.order().state.order_id
    play.hear(TradeSeen(VenueTrade("t", order_id, "mined", 5_000, SIZE6, 5_000_000)))
    assert play.at(901).hear(told((1, 0))) == []
    play.hear(TradeSeen(VenueTrade("t", order_id, "confirmed", 5_000, SIZE6, 5_000_000)))
    play.hear(Answered(f"{WINDOW}/up/lag", Taken("matched", SIZE6)))
    play.hear(told((1, 0)))
    assert position(play).settled


@pytest.mark.parametrize("by_chain", [False, True])
def test_chain_and_venue_may_settle_in_either_order(by_chain: bool) -> None:
    play = bought("up").at(901)
    words: list[Event] = [MarketSeen(market(outcome="up")), told((1, 0))]
    for event in reversed(words) if by_chain else words:
        play.hear(event)
    assert len(play.got(CommitSettlement)) == 1
    assert play.state.posture.posture == "trading"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (MarketSeen(market(outcome="up")), told((0, 1))),
        (MarketSeen(market(outcome="up")), told((1, 1))),
        (told((0, 1)), MarketSeen(market(outcome="up"))),
        (told((1, 1)), MarketSeen(market(outcome="up"))),
        (told((1, 1)), told((1, 2))),
    ],
)
def test_a_result_that_contradicts_the_first_halts_and_changes_nothing(first: Event, second: Event) -> None:
    play = bought("up").at(901)
    play.hear(first)
    books = play.state.books
    play.hear(second, second)
    assert play.state.posture.posture == "halted"
    assert alerts(play) == ["outcome-contradicted"]
    assert play.state.books == books


@pytest.mark.parametrize(("numerators", "denominator"), [((1, 1), 1), ((0, 0), 1), ((2, -1), 1), ((0, 0), 0)])
def test_a_result_that_no_condition_has_halts(numerators: tuple[int, int], denominator: int) -> None:
    play = bought("up").at(901)
    result = msgspec.structs.replace(told((1, 0)), numerators=numerators, denominator=denominator)
    play.hear(result)
    assert alerts(play) == ["resolution-impossible"]
    assert not position(play).settled
    # Of a window we hold nothing of it is not ours to judge.
    other = live()
    assert other.hear(result) == []


def test_a_win_is_paid_and_proven() -> None:
    play = bought("up").at(901)
    play.hear(told((1, 0)))
    effects = play.hear(payment(SIZE6, {UP: SIZE6}))
    assert [type(effect) for effect in effects] == [CommitRedemption, PublishPosition]
    assert position(play).redeemed == f"{TX}:3"
    assert play.state.books.entries[-1].evidence == f"{TX}:3"
    before = play.state
    assert play.hear(payment(SIZE6, {UP: SIZE6})) == []
    assert play.state is before
    proof = proven(play, BANKROLL - SPENT + SIZE6, {UP: 0})
    told_of = line(proof, f"books redeemed {WINDOW}")
    assert (told_of.expected, told_of.evidence) == (SIZE6, f"{TX}:3")
    account = account_state(play.state.books, "live", 0, duplicate_orders=0)
    assert (account.redeemable_usd6, account.cash_usd6) == (0, BANKROLL - SPENT + SIZE6)
    # Tokens that are still there, or money that is not, are named by what was booked.
    wrong = prove(play.state.books, WalletFacts(BANKROLL - SPENT, None, {UP: SIZE6}))
    assert f"booked as redeemed ({TX}:3)" in line(wrong, "cash").text


def test_a_payment_waits_for_its_settlement() -> None:
    play = bought("up").at(901)
    paid = payment(SIZE6, {UP: SIZE6})
    assert play.hear(paid) == []
    play.hear(told((1, 0)), paid)
    proven(play, BANKROLL - SPENT + SIZE6)


def test_both_sides_of_a_split_paid_by_one_log_are_one_entry() -> None:
    play = bought("up", "down").at(901)
    play.hear(told((1, 1)))
    assert len(play.got(CommitSettlement)) == 2
    half = SIZE6 // 2
    play.hear(payment(2 * half, {UP: SIZE6, DOWN: SIZE6}))
    (commit,) = play.got(CommitRedemption)
    assert [each.outcome for each in commit.positions] == ["up", "down"]
    assert [entry.kind for entry in commit.entries] == ["redeemed"]
    assert position(play, "up").redeemed == position(play, "down").redeemed == f"{TX}:3"
    proven(play, BANKROLL - 2 * SPENT + 2 * half, {UP: 0, DOWN: 0})


def test_sides_of_a_split_paid_by_two_logs_are_two_payments() -> None:
    play = bought("up", "down").at(901)
    play.hear(told((1, 2)))
    play.hear(payment(SIZE6 // 3, {UP: SIZE6}))
    assert not position(play, "down").redeemed
    play.hear(payment(2 * SIZE6 // 3, {DOWN: SIZE6}, index=5))
    assert [position(play, side).redeemed for side in ("up", "down")] == [f"{TX}:3", f"{TX}:5"]
    proven(play, BANKROLL - 2 * SPENT + SIZE6 // 3 + 2 * SIZE6 // 3)


def test_what_somebody_else_redeemed_is_booked_and_said() -> None:
    play = bought("up").at(901)
    play.hear(told((1, 0)), payment(SIZE6, {UP: SIZE6}, elsewhere=True))
    proof = proven(play, BANKROLL - SPENT + SIZE6)
    assert line(proof, f"books redeemed {WINDOW}").evidence == f"{TX}:3; redeemed by somebody else"


def test_dust_is_a_gain_of_no_position() -> None:
    play = bought("up").at(901)
    play.hear(told((1, 0)), payment(SIZE6 + 7, {UP: SIZE6}, surplus=7))
    assert ledger.balances(play.state.books.entries)["pnl"] == 5_000_000 - SIZE6 - 7
    assert position(play).pnl_usd6 == SIZE6 - SPENT
    proof = proven(play, BANKROLL - SPENT + SIZE6 + 7)
    shown = line(proof, f"books redeemed {WINDOW}").evidence
    assert shown == f"{TX}:3; 0.000007 $ more than the tokens are worth"


def test_shares_bought_by_hand_are_found() -> None:
    play = bought("up").at(901)
    play.hear(told((1, 1)))
    both = (SIZE6 + 3) // 2 + 400
    play.hear(payment(both, {UP: SIZE6 + 3, DOWN: 800}))
    (commit,) = play.got(CommitRedemption)
    assert [entry.kind for entry in commit.entries] == ["redeemed", "found"]
    assert {entry.evidence for entry in commit.entries} == {f"{TX}:3"}
    outside = both - SIZE6 // 2
    assert ledger.balances(play.state.books.entries)["capital"] == -BANKROLL - outside
    proof = proven(play, BANKROLL - SPENT + both)
    assert "for shares that are not in the books" in line(proof, f"books redeemed {WINDOW}").evidence


def test_a_redemption_of_nothing_of_ours_is_found_whole() -> None:
    play = live()
    play.hear(payment(1_234_567, {"77": 1_234_560}, surplus=7, window=""))
    (commit,) = play.got(CommitRedemption)
    assert commit.positions == ()
    assert [entry.kind for entry in commit.entries] == ["found"]
    proof = proven(play, BANKROLL + 1_234_567)
    shown = line(proof, f"books redeemed {CONDITION}").evidence
    assert shown == f"{TX}:3; 1.234567 $ for shares that are not in the books"


def test_a_loser_that_was_burnt_is_no_payment() -> None:
    play = bought("up").at(901)
    play.hear(told((0, 1)))
    assert play.hear(payment(0, {UP: SIZE6}, index=-1)) == []
    # Beside the winner, which somebody bought by hand, it changes nothing either.
    play.hear(payment(50, {UP: SIZE6, DOWN: 50}))
    assert position(play).redeemed == ""
    proven(play, BANKROLL - SPENT + 50)


@pytest.mark.parametrize(
    "short",
    [
        payment(SIZE6 - 1, {UP: SIZE6}),
        payment(SIZE6 + 1, {UP: SIZE6}, surplus=2),
        payment(SIZE6, {UP: SIZE6 - 1}),
        payment(0, {UP: SIZE6}, index=-1, elsewhere=True),
    ],
)
def test_less_than_is_owed_is_told_once_and_stays_owed(short: Event) -> None:
    play = bought("up").at(901)
    play.hear(told((1, 0)))
    books = play.state.books
    play.hear(short, short)
    assert play.state.books is books
    assert alerts(play) == ["redemption-short"]
    play.hear(payment(SIZE6, {UP: SIZE6}, index=9))
    proven(play, BANKROLL - SPENT + SIZE6)


def test_tokens_that_come_after_the_redemption_are_found() -> None:
    play = bought("up").at(901)
    play.hear(told((1, 0)), payment(SIZE6, {UP: SIZE6}), payment(40, {UP: 40}, index=9))
    assert [entry.kind for entry in play.state.books.entries][-2:] == ["redeemed", "found"]
    assert position(play).redeemed == f"{TX}:3"
    proven(play, BANKROLL - SPENT + SIZE6 + 40)


def test_paper_knows_no_payments() -> None:
    play = Playbook().opened().bought().at(901)
    play.hear(told((1, 0)))
    assert play.hear(payment(10_000_000, {UP: 10_000_000})) == []


def test_only_the_newest_payments_have_a_line_unless_they_are_wrong() -> None:
    play = live()
    for index in range(PAYMENTS_SHOWN + 2):
        play.hear(payment(5, {"77": 5}, index=index, window=f"w{index}"))
    names = [each.name for each in prove(play.state.books).lines]
    assert "books redeemed w1" not in names
    assert [f"books redeemed w{index}" in names for index in (2, 3)] == [True, True]
    payments = dict(play.state.books.payments)
    payments[f"{TX}:1"] = msgspec.structs.replace(payments[f"{TX}:1"], paid_usd6=6)
    wrong = prove(msgspec.structs.replace(play.state.books, payments=payments)).wrong
    assert [each.name for each in wrong] == ["books redeemed w1", "books ledger"]
    assert f"{TX}:1" in wrong[-1].text
