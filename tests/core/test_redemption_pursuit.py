"""Tries as conversations with a chain and a relayer: paid once, and never called paid without the money."""

from typing import NoReturn

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core.redemption.attempts import (
    Attempt,
    Inclusion,
    Receipt,
    RelayerState,
    RelayerWord,
    Route,
    Signed,
)
from common.core.redemption.claims import Claim
from common.core.redemption.gas import GWEI, GasPolicy, Offer
from common.core.redemption.pursuit import (
    DEADLINE_MARGIN_S,
    Adopt,
    Finish,
    Include,
    Limits,
    Renew,
    Send,
    Sight,
    Wait,
    next_move,
    taken_by,
    too_dear,
)
from common.units import SECOND
from redemption_world import (
    BLOCK_S,
    FINAL,
    GAS_WEI,
    LIMITS,
    OWNER,
    PACE,
    PLACES,
    START_S,
    WALLET,
    Chain,
    Desk,
    Killed,
    Transaction,
    begun,
    burning,
    claim,
    placed,
)

AUTO = "0x" + "ee" * 20
"""The venue's own redeemer."""


def own_gas(*claims: Claim) -> Desk:
    claims = claims or (claim(),)
    return Desk(begun(*claims), Chain(*claims))


def relayed(*claims: Claim, deadline_s: int = 0) -> Desk:
    claims = claims or (claim(),)
    desk = Desk(begun(*claims, route="relayer", deadline_s=deadline_s), Chain(*claims))
    desk.on_send = lambda _: "r-1"
    return desk


def kinds(move: Finish) -> list[str]:
    return [end.kind for end in move.ends]


def killed(_: Signed) -> NoReturn:
    raise Killed


# The owner's own gas.


def test_sent_mined_final_and_paid() -> None:
    desk = own_gas()
    assert desk.turn() == Send()
    assert desk.turn() == Wait("sent")
    desk.chain.mine(desk.transaction())
    assert isinstance(desk.turn(), Wait)
    assert desk.attempt.stage == "included"
    assert desk.attempt.inclusion == Inclusion("0xsigned1", 2, "0xb2f0", True)
    desk.chain.mine()
    assert desk.turn() == Wait("in block 2, 1 blocks from final")
    desk.chain.mine()
    move = desk.finish()
    assert (kinds(move), move.gas_wei) == (["paid"], GAS_WEI)
    assert (move.ends[0].paid_usd6, move.ends[0].tx_hash) == (5_000_000, "0xsigned1")
    assert len(desk.sent) == 1


def test_killed_before_it_was_sent() -> None:
    desk = own_gas()
    again = Desk(desk.attempt, desk.chain, desk.now_ns + 3600 * SECOND)
    assert again.turn() == Send()
    assert again.sent == [desk.attempt.newest]


def test_killed_after_it_was_sent_and_mined_meanwhile() -> None:
    desk = own_gas()
    desk.on_send = killed
    with pytest.raises(Killed):
        desk.turn()
    assert desk.attempt.sent_ns == 0
    desk.chain.mine(desk.transaction(), then=FINAL)
    again = Desk(desk.attempt, desk.chain, desk.now_ns + 10 * SECOND)
    assert kinds(again.finish()) == ["paid"]
    assert again.sent == []


def test_killed_after_it_was_sent_and_not_mined_yet_sends_the_same_bytes() -> None:
    desk = own_gas()
    desk.on_send = killed
    with pytest.raises(Killed):
        desk.turn()
    desk.on_send = lambda _: ""
    assert desk.after(10) == Send()
    assert desk.sent == [desk.attempt.versions[0]] * 2


def test_the_same_bytes_go_out_again_at_a_steady_pace() -> None:
    desk = own_gas()
    desk.turn()
    assert isinstance(desk.after(14.9), Wait)
    assert desk.after(0.1) == Send()
    assert isinstance(desk.after(14.9), Wait)
    assert set(desk.sent) == {desk.attempt.versions[0]}


def test_a_stuck_one_is_replaced_under_its_nonce_and_the_old_one_may_still_win() -> None:
    desk = own_gas()
    desk.turn()
    desk.after(75)
    assert desk.attempt.newest.digest == "0xsigned1"
    assert desk.after(0.001) == Send()
    assert isinstance(desk.moves[-2], Renew)
    first, second = desk.attempt.versions
    assert second.max_fee_wei * 10 >= first.max_fee_wei * 12
    assert second.tip_wei * 10 >= first.tip_wei * 12
    assert desk.sent[-1] == second
    desk.chain.mine(desk.transaction(0), then=FINAL)
    move = desk.finish()
    assert (kinds(move), move.ends[0].tx_hash) == (["paid"], "0xsigned1")


def test_bids_end_at_every_limit_and_the_bytes_keep_going_out() -> None:
    desk = own_gas()
    for _ in range(100):
        desk.after(20)
    assert max(each.max_fee_wei for each in desk.attempt.versions) <= LIMITS.gas.max_fee_wei
    assert len(desk.attempt.versions) < 12
    assert desk.sent[-1] == desk.attempt.newest
    move = desk.after(1)
    assert isinstance(move, Wait)
    assert move.late
    assert "redeem.max_fee_gwei" in move.text


@pytest.mark.parametrize(
    ("policy", "spent_wei", "named"),
    [
        (GasPolicy(500 * GWEI, 25 * 10**15, 10**18), 0, "redeem.max_pol_per_transaction"),
        (GasPolicy(500 * GWEI, 10**18, 10**18), 10**18 - 25 * 10**15, "redeem.max_pol_per_day"),
    ],
)
def test_a_replacement_never_costs_more_than_the_user_allows(
    policy: GasPolicy, spent_wei: int, named: str
) -> None:
    desk = own_gas()
    desk.turn()
    limits = Limits(policy, spent_wei)
    assert too_dear(250_000, Offer(100 * GWEI, 0), limits) == ""
    assert named in too_dear(250_000, Offer(100 * GWEI + 1, 0), limits)
    desk.change(sent_ns=desk.now_ns + 76 * SECOND)
    move = next_move(
        desk.attempt, desk.look(), desk.now_ns + 76 * SECOND, limits=limits, pace=PACE, places=PLACES
    )
    assert isinstance(move, Wait)
    assert named in move.text


def test_a_reorganization_takes_it_out_and_it_goes_out_again() -> None:
    desk = own_gas()
    desk.turn()
    desk.chain.mine(desk.transaction(), then=1)
    desk.turn()
    assert desk.attempt.stage == "included"
    desk.chain.reorganize(2)
    assert desk.turn() == Send()
    assert (desk.attempt.inclusion, desk.attempt.stage) == (None, "sent")
    assert desk.sent == [desk.attempt.versions[0]] * 2
    desk.chain.mine(desk.transaction(), then=FINAL)
    assert kinds(desk.finish()) == ["paid"]
    assert desk.attempt.inclusion is not None
    assert desk.attempt.inclusion.block == 4


def test_the_same_transaction_in_another_block_is_noted_before_it_ends() -> None:
    desk = own_gas()
    desk.turn()
    desk.chain.mine(desk.transaction())
    desk.turn()
    desk.chain.reorganize(1, empty=0)
    desk.chain.mine(desk.transaction(), then=FINAL)
    assert kinds(desk.finish()) == ["paid"]
    assert desk.moves[-2] == Include(Inclusion("0xsigned1", 2, "0xb2f1", True), "in block 2")


def test_endpoints_that_are_behind_are_no_reorganization() -> None:
    desk = own_gas()
    desk.turn()
    desk.chain.mine(desk.transaction(), then=1)
    desk.turn()
    included = desk.attempt.inclusion
    desk.lag = 2
    move = desk.after(100)
    assert isinstance(move, Wait)
    assert "behind" in move.text
    assert (desk.attempt.inclusion, len(desk.sent)) == (included, 1)
    desk.lag = 0
    desk.chain.mine()
    assert kinds(desk.finish()) == ["paid"]


def test_a_lagging_head_shows_the_nonce_used_and_nothing_goes_out() -> None:
    desk = own_gas()
    desk.turn()
    desk.chain.mine(Transaction("0xforeign", OWNER, 0))
    for _ in range(3):
        assert desk.after(100) == Wait("nonce 0 is used; its block is not final yet")
    assert len(desk.sent) == 1
    desk.chain.reorganize(1)
    assert desk.turn() == Send()


def test_a_foreign_transaction_with_its_nonce_and_the_tokens_still_here() -> None:
    desk = own_gas()
    desk.turn()
    desk.chain.mine(Transaction("0xforeign", OWNER, 0), then=FINAL)
    move = desk.finish()
    assert (kinds(move), move.gas_wei, move.ends[0].paid_usd6) == (["overtaken"], 0, 0)
    assert "nonce 0" in move.text


def test_a_foreign_transaction_with_its_nonce_that_took_the_tokens() -> None:
    desk = own_gas()
    desk.turn()
    desk.chain.mine(Transaction("0xforeign", OWNER, 0, desk.attempt.claims), then=FINAL)
    move = desk.finish()
    (end,) = move.ends
    assert (end.kind, end.paid_usd6, end.tx_hash) == ("elsewhere", 5_000_000, "0xforeign")
    assert "not ours" in end.text


def test_the_other_transaction_is_waited_for_until_it_is_final_and_told_as_late() -> None:
    desk = own_gas()
    desk.turn()
    desk.chain.mine(Transaction("0xforeign", OWNER, 0), then=FINAL)
    desk.chain.mine(Transaction("0xauto", AUTO, 0, desk.attempt.claims))
    move = desk.turn()
    assert isinstance(move, Wait)
    assert not move.late
    late = desk.after(601)
    assert isinstance(late, Wait)
    assert late.late
    desk.chain.mine(then=1)
    assert kinds(desk.finish()) == ["elsewhere"]


def test_the_venue_was_first_on_the_older_ledger() -> None:
    desk = own_gas()
    desk.turn()
    desk.chain.mine(Transaction("0xauto", AUTO, 0, desk.attempt.claims))
    desk.chain.mine(desk.transaction(), then=FINAL)
    move = desk.finish()
    (end,) = move.ends
    assert (end.kind, end.paid_usd6, end.tx_hash, move.gas_wei) == ("elsewhere", 5_000_000, "0xauto", GAS_WEI)
    assert desk.attempt.inclusion is not None
    assert desk.attempt.inclusion.ok


def test_the_venue_was_first_on_the_newer_ledger() -> None:
    desk = own_gas(claim(ledger="v2"))
    desk.turn()
    desk.chain.mine(Transaction("0xauto", AUTO, 0, desk.attempt.claims))
    desk.chain.mine(desk.transaction(), then=FINAL)
    move = desk.finish()
    assert (kinds(move), move.gas_wei) == (["elsewhere"], GAS_WEI)
    assert desk.attempt.inclusion is not None
    assert not desk.attempt.inclusion.ok


def test_the_venue_was_first_with_one_of_a_batch() -> None:
    pair = (claim(1), claim(2))
    older = own_gas(*pair)
    older.turn()
    older.chain.mine(Transaction("0xauto", AUTO, 0, pair[:1]))
    older.chain.mine(older.transaction(), then=FINAL)
    assert kinds(older.finish()) == ["elsewhere", "paid"]

    newer_pair = (claim(1, ledger="v2"), claim(2, ledger="v2"))
    newer = own_gas(*newer_pair)
    newer.turn()
    newer.chain.mine(Transaction("0xauto", AUTO, 0, newer_pair[:1]))
    newer.chain.mine(newer.transaction(), then=FINAL)
    assert kinds(newer.finish()) == ["elsewhere", "reverted"]


def test_two_claims_of_one_foreign_transaction_are_not_told_the_same_money() -> None:
    pair = (claim(1), claim(2))
    desk = own_gas(*pair)
    desk.turn()
    desk.chain.mine(Transaction("0xauto", AUTO, 0, pair))
    desk.chain.mine(desk.transaction(), then=FINAL)
    ends = desk.finish().ends
    assert [end.paid_usd6 for end in ends] == [5_000_000] * 2
    assert len({end.log_index for end in ends}) == 2


def test_mined_without_effect_and_the_tokens_still_here() -> None:
    desk = own_gas()
    desk.turn()
    desk.chain.mine(desk.transaction(fails=True), then=FINAL)
    move = desk.finish()
    assert (kinds(move), move.gas_wei) == (["reverted"], GAS_WEI)


def test_mined_well_and_nothing_burnt() -> None:
    desk = own_gas()
    desk.turn()
    desk.chain.mine(Transaction("0xsigned1", OWNER, 0), then=FINAL)
    assert kinds(desk.finish()) == ["kept"]


def test_tokens_burnt_and_no_money() -> None:
    desk = own_gas()
    desk.turn()
    desk.chain.mine(desk.transaction(pays=False), then=FINAL)
    assert kinds(desk.finish()) == ["zero"]


def test_our_own_transaction_found_only_by_what_it_took_is_ours() -> None:
    desk = own_gas()
    desk.turn()
    desk.chain.mine(desk.transaction(), then=FINAL)
    sight = desk.look()
    hidden = msgspec.structs.replace(sight, receipts=(), takers=sight.receipts)
    move = next_move(desk.attempt, hidden, desk.now_ns, limits=LIMITS, pace=PACE, places=PLACES)
    assert isinstance(move, Include)


# Through the relayer.


def test_relayed_mined_and_paid_by_the_hash_it_told() -> None:
    desk = relayed()
    assert desk.turn() == Send()
    assert desk.attempt.transaction_id == "r-1"
    desk.says("new")
    assert desk.turn() == Wait("the relayer has it (new); the chain does not show it yet")
    desk.chain.mine(desk.transaction(), then=FINAL)
    desk.says("mined", tx_hash="0xrelayed")
    move = desk.finish()
    assert (kinds(move), move.gas_wei, move.ends[0].tx_hash) == (["paid"], 0, "0xrelayed")


def test_an_answer_that_was_lost_is_found_in_the_list_and_adopted() -> None:
    desk = relayed()
    desk.on_send = lambda _: ""
    desk.turn()
    assert isinstance(desk.turn(), Wait)
    desk.found_id = "r-9"
    assert isinstance(desk.turn(), Wait)
    assert Adopt("r-9") in desk.moves
    assert (desk.attempt.transaction_id, len(desk.sent)) == ("r-9", 1)


def test_killed_while_the_relayer_answered_adopts_and_does_not_send_again() -> None:
    desk = relayed()
    desk.on_send = killed
    with pytest.raises(Killed):
        desk.turn()
    desk.on_send = lambda _: "r-2"
    desk.found_id = "r-1"
    desk.says("new")
    assert isinstance(desk.after(5), Wait)
    assert (desk.attempt.transaction_id, len(desk.sent)) == ("r-1", 1)
    assert desk.after(600) == Send()


def test_an_answer_that_was_lost_and_is_in_no_list_sends_the_same_bytes() -> None:
    desk = relayed()
    desk.on_send = lambda _: ""
    desk.turn()
    assert isinstance(desk.after(14), Wait)
    assert desk.after(1) == Send()
    assert set(desk.sent) == {desk.attempt.newest}


@pytest.mark.parametrize("state", ["failed", "invalid"])
def test_the_relayer_gives_up_while_the_nonce_is_free(state: RelayerState) -> None:
    desk = relayed()
    desk.turn()
    desk.says(state, error="zero balance")
    move = desk.finish()
    assert (kinds(move), move.text) == (["refused"], f"the relayer says {state}: zero balance")


def test_what_the_relayer_says_counts_for_nothing_once_the_nonce_is_used() -> None:
    desk = relayed()
    desk.turn()
    desk.chain.mine(desk.transaction())
    desk.says("failed")
    assert isinstance(desk.turn(), Wait)
    desk.chain.mine(then=1)
    move = desk.finish()
    (end,) = move.ends
    assert (end.kind, end.tx_hash, end.paid_usd6) == ("paid", "0xrelayed", 5_000_000)
    assert "not ours" not in move.text


def test_mined_then_failed_waits_for_the_chain() -> None:
    desk = relayed()
    desk.turn()
    desk.chain.mine(desk.transaction())
    desk.says("mined", tx_hash="0xrelayed")
    desk.turn()
    assert desk.attempt.stage == "included"
    desk.says("failed", tx_hash="0xrelayed")
    assert isinstance(desk.turn(), Wait)
    desk.chain.mine(then=1)
    assert kinds(desk.finish()) == ["paid"]


def test_mined_then_out_of_the_chain_then_failed() -> None:
    desk = relayed()
    desk.turn()
    desk.chain.mine(desk.transaction())
    desk.says("mined", tx_hash="0xrelayed")
    desk.turn()
    desk.chain.reorganize(1)
    assert desk.turn() == Send()
    desk.says("failed", tx_hash="0xrelayed")
    assert kinds(desk.finish()) == ["refused"]


def test_confirmed_without_a_hash_is_known_by_the_nonce_and_what_it_did() -> None:
    desk = relayed()
    desk.turn()
    desk.says("confirmed")
    assert isinstance(desk.turn(), Wait)
    desk.chain.mine(desk.transaction(), then=FINAL)
    assert kinds(desk.finish()) == ["paid"]


def test_confirmed_without_effect_on_the_chain_is_never_paid() -> None:
    desk = relayed()
    desk.turn()
    desk.says("confirmed", tx_hash="0xlie")
    for _ in range(5):
        assert isinstance(desk.after(60), Wait | Send)
    assert set(desk.sent) == {desk.attempt.versions[0]}
    desk.chain.mine(Transaction("0xother", WALLET, 0), then=FINAL)
    assert kinds(desk.finish()) == ["overtaken"]


@pytest.mark.parametrize(("size6", "pays"), [(4_000_000, True), (None, False)])
def test_the_wallets_nonce_used_and_less_than_all_that_is_due_is_not_paid(
    size6: int | None, pays: bool
) -> None:
    one = claim()
    desk = relayed(one)
    desk.turn()
    desk.chain.mine(desk.transaction(), then=FINAL)
    taker = placed("0xrelayed", True, 2, burning(one, pays=pays, size6=size6))
    sight = msgspec.structs.replace(desk.look(), takers=(taker,))
    move = next_move(desk.attempt, sight, desk.now_ns, limits=LIMITS, pace=PACE, places=PLACES)
    assert isinstance(move, Finish)
    assert kinds(move) == ["elsewhere"]


@pytest.mark.parametrize("gives_up", ["failed", "deadline"])
def test_the_venue_was_first_while_the_relayer_was_idle(gives_up: str) -> None:
    desk = relayed(claim(ledger="v2"), deadline_s=START_S + 600)
    desk.turn()
    if gives_up == "deadline":
        desk.chain.mine(then=400)
    else:
        desk.says("failed", error="it would revert")
    desk.chain.mine(Transaction("0xauto", AUTO, 0, desk.attempt.claims))
    # Gone, and not final: whose it was is not known yet.
    assert isinstance(desk.turn(), Wait)
    desk.chain.mine(then=FINAL - 1)
    (end,) = desk.finish().ends
    assert (end.kind, end.tx_hash, end.paid_usd6) == ("elsewhere", "0xauto", 5_000_000)


def test_a_relayer_that_never_does_it_is_told_as_late_and_gets_the_same_bytes() -> None:
    desk = relayed()
    desk.turn()
    assert desk.after(599) == Wait("the relayer has it (silent); the chain does not show it yet")
    assert desk.after(1) == Send()
    move = desk.after(1)
    assert isinstance(move, Wait)
    assert move.late
    assert set(desk.sent) == {desk.attempt.newest}


@pytest.mark.parametrize(("state", "patience_s"), [("mined", 60), ("confirmed", 60), ("executed", 600)])
def test_what_it_calls_mined_and_the_chain_does_not_have_goes_out_again_sooner(
    state: RelayerState, patience_s: int
) -> None:
    desk = relayed()
    desk.turn()
    desk.says(state, tx_hash="0xrelayed")
    assert isinstance(desk.after(patience_s - 0.1), Wait)
    assert desk.after(0.1) == Send()
    assert set(desk.sent) == {desk.attempt.newest}


def test_a_deadline_counts_by_the_chains_final_clock_alone() -> None:
    desk = relayed(deadline_s=START_S + 600)
    desk.turn()
    # Our own clock may be far ahead.
    desk.after(590)
    blocks = (600 + DEADLINE_MARGIN_S) // BLOCK_S + FINAL
    desk.chain.mine(then=blocks - desk.chain.head - 1)
    assert isinstance(desk.after(9000), Wait | Send)
    desk.chain.mine()
    assert kinds(desk.finish()) == ["expired"]


def test_executed_in_time_and_seen_after_its_deadline() -> None:
    desk = relayed(deadline_s=START_S + 600)
    desk.turn()
    desk.chain.mine(desk.transaction(), then=1000)
    assert kinds(desk.finish()) == ["paid"]


def test_without_a_deadline_nothing_expires() -> None:
    desk = relayed()
    desk.turn()
    desk.chain.mine(then=100_000 // BLOCK_S)
    assert isinstance(desk.turn(), Wait)


def test_somebody_who_moved_the_tokens_away_brought_no_money() -> None:
    one = claim()
    taker = placed("0xaway", True, 5, burning(one, pays=False))
    end = taken_by(one, WALLET, (taker,), PLACES)
    assert end is not None
    assert (end.kind, end.paid_usd6) == ("elsewhere", 0)
    assert "no money" in end.text
    # Asked when nothing is held any more, so that what was held is known by its burning alone.
    later = msgspec.structs.replace(
        one, holdings=tuple(msgspec.structs.replace(each, size6=0) for each in one.holdings)
    )
    assert taken_by(later, WALLET, (taker,), PLACES) == end
    assert taken_by(claim(2), WALLET, (taker,), PLACES) is None


def test_of_two_that_took_tokens_the_first_is_told() -> None:
    one = claim()
    takers = (placed("0xfirst", True, 5, burning(one)), placed("0xsecond", True, 6, burning(one)))
    end = taken_by(one, WALLET, takers, PLACES)
    assert end is not None
    assert end.tx_hash == "0xfirst"


# Whatever is seen, in whatever order.

HASHES = ("0xsigned1", "0xsigned2", "0xrelayed", "0xauto")
HEIGHTS = st.integers(0, 40)


@st.composite
def mined(draw: st.DrawFn, claims: tuple[Claim, ...]) -> Receipt:
    """A transaction that did anything at all to the claims, right or wrong."""
    logs = []
    for one in claims:
        if draw(st.booleans()):
            size6 = draw(st.sampled_from([None, None, 1, one.holdings[0].size6 - 1]))
            logs += burning(one, pays=draw(st.sampled_from([True, True, False])), size6=size6)
    tx_hash, block, ok = draw(st.sampled_from(HASHES)), draw(HEIGHTS), draw(st.booleans())
    block_hash = draw(st.sampled_from(["0xb1", "0xb2"]))
    return placed(tx_hash, ok, block, logs if ok else [], block_hash)


@st.composite
def sights(draw: st.DrawFn, claims: tuple[Claim, ...]) -> Sight:
    head = draw(HEIGHTS)
    final = max(0, head - draw(st.integers(0, 5)))
    nonce = draw(st.integers(0, 2))
    states = st.sampled_from(["new", "executed", "mined", "confirmed", "failed", "invalid"])
    words = st.builds(RelayerWord, st.just("r-1"), states, st.sampled_from(["", "0xrelayed"]))
    seen = draw(st.lists(mined(claims), max_size=3))
    return Sight(
        head=head,
        finalized=final,
        chain_s=START_S + draw(st.integers(0, 1000)),
        nonce=nonce,
        final_nonce=draw(st.integers(0, nonce)),
        held={each.token: draw(st.sampled_from([0, each.size6])) for one in claims for each in one.holdings},
        receipts=tuple(each for each in seen[:2] if each.block <= head),
        takers=tuple(each for each in seen[1:] if each.block <= final and each.ok),
        base_fee_wei=draw(st.integers(0, 600)) * GWEI,
        word=draw(st.none() | words),
        found_id=draw(st.sampled_from(["", "r-1"])),
    )


def brought(receipt: Receipt, one: Claim) -> tuple[bool, int]:
    """Whether all of a claim was burnt in a transaction, and all the money that it brought."""
    moved = [log for log in receipt.logs if log.address == PLACES.ledger(one.ledger)]
    burnt6 = {str(int.from_bytes(log.data[:32])): int.from_bytes(log.data[32:]) for log in moved}
    money6 = sum(int.from_bytes(log.data) for log in receipt.logs if log.address == PLACES.collateral)
    return all(burnt6.get(each.token, 0) >= each.size6 for each in one.holdings), money6


def proves(sight: Sight, attempt: Attempt, ends: list[str]) -> bool:
    """Whether one final transaction burnt all of these claims and brought what they pay together."""
    takers = sight.takers if attempt.route == "relayer" else ()
    own = [each for each in sight.takers if each.tx_hash in {v.digest for v in attempt.versions}]
    claims = [one for one in attempt.claims if one.condition_id in ends]
    for receipt in (*sight.receipts, *takers, *own):
        found = [brought(receipt, one) for one in claims]
        enough = all(money6 >= sum(one.payout_usd6 for one in claims) for _, money6 in found)
        if receipt.ok and receipt.block <= sight.finalized and enough and all(all_of for all_of, _ in found):
            return True
    return False


ROUTES: st.SearchStrategy[Route] = st.sampled_from(["own-gas", "relayer"])


@given(st.data(), ROUTES)
def test_whatever_is_seen_paid_means_a_final_transaction_that_paid(data: st.DataObject, route: Route) -> None:
    claims = (claim(1), claim(2, 7_000_000, ledger="v2"))[: data.draw(st.integers(1, 2))]
    deadline_s = START_S + 600 if route == "relayer" else 0
    desk = Desk(begun(*claims, route=route, deadline_s=deadline_s), Chain(*claims))
    for _ in range(data.draw(st.integers(1, 12))):
        sight = data.draw(sights(claims))
        desk.now_ns += data.draw(st.integers(0, 400)) * SECOND
        before = desk.attempt
        move = next_move(before, sight, desk.now_ns, limits=LIMITS, pace=PACE, places=PLACES)
        desk.apply(move)
        assert desk.attempt.versions[: len(before.versions)] == before.versions
        match move:
            case Send() | Renew():
                assert not sight.receipts
                assert sight.nonce <= before.nonce
            case Include(inclusion):
                assert inclusion != before.inclusion
            case Finish(ends):
                assert [end.condition_id for end in ends] == [one.condition_id for one in claims]
                by_transaction: dict[str, list[str]] = {}
                for end in ends:
                    if end.kind == "paid":
                        by_transaction.setdefault(end.tx_hash, []).append(end.condition_id)
                for paid in by_transaction.values():
                    assert proves(sight, before, paid)
                for one, end in zip(claims, ends, strict=True):
                    assert end.kind != "paid" or end.paid_usd6 >= one.payout_usd6
                return
        assert desk.attempt.newest.max_fee_wei <= LIMITS.gas.max_fee_wei


EVENTS = (
    "turn",
    "turn",
    "turn",
    "mine",
    "mine",
    "ours",
    "old",
    "auto",
    "foreign",
    "reorg",
    "kill",
    "lag",
    "wait",
)


@given(ROUTES, st.sampled_from(["v1", "v2"]), st.lists(st.sampled_from(EVENTS), max_size=40), st.data())
def test_whatever_happens_a_claim_is_paid_once_and_its_try_ends(
    route: Route, ledger: str, events: list[str], data: st.DataObject
) -> None:
    one = claim(ledger="v2" if ledger == "v2" else "v1")
    desk = Desk(begun(one, route=route), Chain(one))
    desk.on_send = lambda _: "r-1" if route == "relayer" else ""
    autos = 0
    for event in [*events, *["lag0", "ours", "mine", "mine", "mine", "turn", "turn"]]:
        attempt, chain = desk.attempt, desk.chain
        free = chain.nonce(attempt.sender, chain.head) == attempt.nonce
        if attempt.stage == "ended":
            break
        match event:
            case "turn":
                desk.turn()
            case "wait":
                desk.after(data.draw(st.integers(1, 700)))
            case "mine":
                chain.mine()
            case "ours" | "old" if free and (desk.sent or event == "ours"):
                chain.mine(desk.transaction(0 if event == "old" else -1))
            case "foreign" if free:
                chain.mine(Transaction("0xforeign", attempt.sender, attempt.nonce))
            case "auto":
                chain.mine(Transaction(f"0xauto{autos}", f"{AUTO}{autos}", 0, (one,)))
                autos += 1
            case "reorg" if chain.head - FINAL > 0:
                # Nothing that anybody called final is ever undone.
                chain.reorganize(data.draw(st.integers(1, min(FINAL, chain.head - 1))))
            case "kill":
                desk = Desk(attempt, chain, desk.now_ns, on_send=desk.on_send, sent=desk.sent)
            case "lag" | "lag0":
                desk.lag = 1 if event == "lag" and chain.head > 2 else 0
    assert desk.attempt.stage == "ended"
    (end,) = desk.attempt.ends
    gone = not any(desk.chain.held(desk.chain.head - FINAL).values())
    takers = [each.tx_hash for each, receipt in desk.chain.receipts(desk.chain.head - FINAL) if receipt.logs]
    if end.kind in ("paid", "elsewhere"):
        assert gone
        assert takers == [end.tx_hash]
        assert end.paid_usd6 == one.payout_usd6
        ours = end.tx_hash in {each.digest for each in desk.attempt.versions} | {"0xrelayed"}
        assert ours == (end.kind == "paid") or route == "relayer"
    else:
        assert end.kind in ("overtaken", "reverted", "kept")
        assert end.paid_usd6 == 0
