"""What a mined transaction did, by its transfers alone: exact money, whatever order, dust and junk."""

import itertools

import msgspec
import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from common.core.redemption.attempts import ClaimEnd, Log, Receipt
from common.core.redemption.claims import Claim, Holding, Ledger
from common.core.redemption.effect import (
    NOT_RELAYED,
    RELAYED,
    TRANSFER,
    TRANSFER_BATCH,
    TRANSFER_SINGLE,
    Places,
    judge,
    took,
)

WALLET = "0x" + "a1" * 20
OTHER = "0x" + "b2" * 20
NOBODY = "0x" + "00" * 20
PLACES = Places(
    collateral="0x" + "c0" * 20, conditional_tokens="0x" + "c1" * 20, position_manager="0x" + "c2" * 20
)
TX = "0x" + "77" * 32


def topic(address: str) -> str:
    return "0x" + address[2:].rjust(64, "0")


def claim(
    up6: int, down6: int = 0, numerators: tuple[int, int] = (1, 0), *, number: int = 1, ledger: Ledger = "v1"
) -> Claim:
    holdings = (Holding(str(number * 10), 0, up6), Holding(str(number * 10 + 1), 1, down6))
    held = tuple(each for each in holdings if each.size6)
    return Claim(f"0x{number:064x}", ledger, held, numerators, sum(numerators))


def single(
    token: str, size6: int, *, ledger: Ledger = "v1", source: str = WALLET, target: str = OTHER, tx: str = TX
) -> Log:
    return Log(
        PLACES.ledger(ledger),
        (TRANSFER_SINGLE, topic(OTHER), topic(source), topic(target)),
        encode(["uint256", "uint256"], [int(token), size6]),
        0,
        tx,
    )


def batch(tokens: dict[str, int], *, ledger: Ledger = "v1") -> Log:
    return Log(
        PLACES.ledger(ledger),
        (TRANSFER_BATCH, topic(OTHER), topic(WALLET), topic(OTHER)),
        encode(["uint256[]", "uint256[]"], [[int(each) for each in tokens], list(tokens.values())]),
        0,
        TX,
    )


def money(usd6: int, *, source: str = NOBODY, target: str = WALLET, contract: str = PLACES.collateral) -> Log:
    return Log(contract, (TRANSFER, topic(source), topic(target)), encode(["uint256"], [usd6]), 0, TX)


def receipt(*logs: Log, ok: bool = True) -> Receipt:
    placed = tuple(msgspec.structs.replace(log, index=place) for place, log in enumerate(logs))
    return Receipt(TX, ok, 90, "0x" + "99" * 32, 21_000, placed)


def logs_of(one: Claim, dust6: int = 0) -> list[Log]:
    """What the venue's contracts emit for a claim; the older ledger's payment has the adapter's dust."""
    tokens = {each.token: each.size6 for each in one.holdings}
    if one.ledger == "v1":
        return [batch(tokens), money(one.payout_usd6 + dust6)]
    found = []
    for each in one.holdings:
        pays = each.size6 * one.numerators[each.outcome_index] // one.denominator
        found += [single(each.token, each.size6, ledger="v2"), *([money(pays)] if pays else [])]
    return found


def judged(*claims: Claim, logs: list[Log]) -> tuple[ClaimEnd, ...]:
    return judge(claims, WALLET, receipt(*logs), PLACES)


def kinds(ends: tuple[ClaimEnd, ...]) -> list[str]:
    return [end.kind for end in ends]


@pytest.mark.parametrize(
    ("told", "signature"),
    [
        (TRANSFER, "Transfer(address,address,uint256)"),
        (TRANSFER_SINGLE, "TransferSingle(address,address,address,uint256,uint256)"),
        (TRANSFER_BATCH, "TransferBatch(address,address,address,uint256[],uint256[])"),
        (RELAYED, "TransactionRelayed(address,address,address,bytes4,uint8,uint256)"),
        (NOT_RELAYED, "CanRelayFailed(address,address,address,bytes4,uint256)"),
    ],
)
def test_topics_are_the_hashes_of_their_events(told: str, signature: str) -> None:
    assert told == "0x" + keccak(text=signature).hex()


def test_a_winner_that_was_burnt_and_paid() -> None:
    one = claim(5_000_000)
    (end,) = judged(one, logs=logs_of(one))
    assert end == ClaimEnd(one.condition_id, "paid", 5_000_000, 0, one.holdings, TX, 1)


@pytest.mark.parametrize(
    ("one", "paid"),
    [
        (claim(50_000), 50_000),
        (claim(1), 1),
        (claim(3, 5, (1, 1)), 3),
        (claim(3, 5, (1, 1), ledger="v2"), 3),
        (claim(7, 9, ledger="v2"), 7),
        (claim(7, 9), 7),
        (claim(0, 9), 0),
        (claim(0, 9, ledger="v2"), 0),
        (claim(1, 0, (1, 1)), 0),
    ],
)
def test_exact_payouts_of_dust_splits_and_losers(one: Claim, paid: int) -> None:
    (end,) = judged(one, logs=logs_of(one))
    assert (end.kind, end.paid_usd6, end.surplus_usd6) == ("paid", paid, 0)
    assert end.burnt == one.holdings
    assert (end.log_index >= 0) == bool(paid)


def test_a_call_that_succeeds_without_effect_is_no_payment() -> None:
    assert kinds(judged(claim(5), logs=[])) == ["kept"]
    assert kinds(judge((claim(5),), WALLET, receipt(*logs_of(claim(5)), ok=False), PLACES)) == ["reverted"]


def test_tokens_gone_and_no_money_or_too_little() -> None:
    one = claim(5_000)
    assert kinds(judged(one, logs=[batch({"10": 5_000})])) == ["zero"]
    (short,) = judged(one, logs=[batch({"10": 5_000}), money(4_999)])
    assert (short.kind, short.paid_usd6) == ("short", 4_999)
    assert short.burnt == one.holdings


def test_less_burnt_than_held_is_no_payment_in_full() -> None:
    assert kinds(judged(claim(5_000), logs=[batch({"10": 4_000}), money(4_000)])) == ["short"]
    both = claim(5, 5, (500_000, 500_000), ledger="v2")
    assert kinds(judged(both, logs=logs_of(both)[:2])) == ["short"]


def test_a_late_trade_that_made_the_balance_larger_is_paid_too() -> None:
    (end,) = judged(claim(5_000), logs=logs_of(claim(6_000)))
    assert (end.kind, end.paid_usd6, end.surplus_usd6) == ("paid", 6_000, 0)
    assert kinds(judged(claim(5_000), logs=[batch({"10": 6_000}), money(5_000)])) == ["short"]


def test_money_of_another_contract_or_for_another_wallet_is_none() -> None:
    one = claim(5_000)
    burnt = batch({"10": 5_000})
    bridged = money(5_000, contract="0x" + "dd" * 20)
    assert kinds(judged(one, logs=[burnt, bridged])) == ["zero"]
    assert kinds(judged(one, logs=[burnt, money(5_000, target=OTHER)])) == ["zero"]
    assert kinds(judged(one, logs=[burnt, money(5_000, source=WALLET, target=OTHER)])) == ["zero"]


def test_what_only_looks_like_a_transfer_of_money_is_none() -> None:
    one = claim(5_000)
    burnt, paid = batch({"10": 5_000}), money(5_000)
    approval = msgspec.structs.replace(paid, topics=("0x" + "8c" * 32, *paid.topics[1:]))
    longer = msgspec.structs.replace(paid, data=paid.data + bytes(32))
    for log in (approval, longer):
        assert kinds(judged(one, logs=[burnt, log])) == ["zero"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(31),
        encode(["uint256"], [10]),
        encode(["uint256", "uint256", "uint256"], [10, 5_000, 0]),
    ],
)
def test_a_transfer_of_tokens_with_the_wrong_words_is_none(data: bytes) -> None:
    broken = msgspec.structs.replace(single("10", 1), data=data)
    assert kinds(judged(claim(5_000), logs=[broken])) == ["kept"]


@pytest.mark.parametrize(
    "words",
    [(64,), (64, 160, 1), (64, 160, 2, 10, 11, 1, 5_000), (2**255, 2**256 - 1, 0, 0), (64, 96, 2**255, 0)],
)
def test_a_transfer_of_several_tokens_with_the_wrong_words_is_none(words: tuple[int, ...]) -> None:
    data = b"".join(each.to_bytes(32) for each in words)
    broken = msgspec.structs.replace(batch({}), data=data)
    assert kinds(judged(claim(5_000), logs=[broken])) == ["kept"]


def test_of_a_batch_only_the_one_that_got_less_is_short() -> None:
    pair = (claim(5_000, number=1), claim(6_000, number=2))
    ends = judged(*pair, logs=[*logs_of(pair[0]), batch({"20": 6_000}), money(5_999)])
    assert [(end.kind, end.paid_usd6) for end in ends] == [("paid", 5_000), ("short", 5_999)]


def test_tokens_of_another_contract_wallet_or_ledger_are_not_ours() -> None:
    one, paid = claim(5_000), money(5_000)
    elsewhere = msgspec.structs.replace(single("10", 5_000), address="0x" + "dd" * 20)
    for log in (single("10", 5_000, source=OTHER), single("10", 5_000, ledger="v2"), elsewhere):
        assert kinds(judged(one, logs=[log, paid])) == ["kept"]


def test_tokens_that_came_back_did_not_leave() -> None:
    back = single("10", 5_000, source=OTHER, target=WALLET)
    assert kinds(judged(claim(5_000), logs=[single("10", 5_000), back])) == ["kept"]
    assert kinds(judged(claim(5_000), logs=[single("10", 5_000, target=WALLET), money(5_000)])) == ["kept"]


def test_dust_of_the_adapter_is_told_apart_from_the_payout() -> None:
    (end,) = judged(claim(5_000), logs=logs_of(claim(5_000), dust6=3))
    assert (end.kind, end.paid_usd6, end.surplus_usd6) == ("paid", 5_003, 3)


def test_money_for_nothing_is_counted_once_with_a_claim_that_was_paid() -> None:
    loser, winner = claim(0, 9, number=1), claim(5_000, number=2)
    ends = judged(loser, winner, logs=[*logs_of(winner), batch({"11": 9}), money(4)])
    assert [(end.kind, end.paid_usd6) for end in ends] == [("paid", 0), ("paid", 5_004)]
    (alone,) = judged(loser, logs=[batch({"11": 9}), money(4)])
    assert (alone.kind, alone.paid_usd6, alone.surplus_usd6) == ("paid", 4, 4)


def test_of_a_foreign_transaction_only_money_that_a_claim_is_owed_counts() -> None:
    ours, theirs = claim(5_000, number=1), claim(9_000, number=2)
    found = receipt(*logs_of(theirs), *logs_of(ours))
    (end,) = judge((ours,), WALLET, found, PLACES, whole=False)
    assert (end.kind, end.paid_usd6, end.log_index) == ("paid", 5_000, 3)
    (loser,) = judge((claim(0, 9),), WALLET, receipt(batch({"11": 9}), money(4)), PLACES, whole=False)
    assert loser.paid_usd6 == 0


def test_equal_amounts_of_a_batch_are_each_told_with_their_own_transfer() -> None:
    pair = (claim(5_000, number=1), claim(5_000, number=2))
    ends = judged(*pair, logs=[*logs_of(pair[0]), *logs_of(pair[1])])
    assert [(end.kind, end.paid_usd6, end.log_index) for end in ends] == [
        ("paid", 5_000, 1),
        ("paid", 5_000, 3),
    ]
    missing = judged(*pair, logs=[*logs_of(pair[0]), batch({"20": 5_000})])
    assert sorted(kinds(missing)) == ["paid", "zero"]


def test_one_of_a_batch_that_was_taken_before_leaves_the_other_paid() -> None:
    pair = (claim(5_000, number=1), claim(6_000, number=2))
    assert kinds(judged(*pair, logs=logs_of(pair[1]))) == ["kept", "paid"]


@pytest.mark.parametrize("paid", list(itertools.permutations((8_003, 10_003, 12_000))))
def test_dust_with_two_claims_makes_none_of_them_short(paid: tuple[int, ...]) -> None:
    claims = (claim(7_000, number=1), claim(10_000, number=2), claim(12_000, number=3))
    burnt = batch({"10": 7_000, "20": 10_000, "30": 12_000})
    ends = judged(*claims, logs=[burnt, *(money(each) for each in paid)])
    assert kinds(ends) == ["paid"] * 3
    assert [end.surplus_usd6 for end in ends] == [1_003, 3, 0]


SIZES = st.integers(0, 40) | st.integers(0, 10**12)
RESULTS = st.sampled_from([(1, 0), (0, 1), (1, 1), (3, 1)])


@st.composite
def claims_of(draw: st.DrawFn) -> list[Claim]:
    found = []
    for number in range(1, draw(st.integers(1, 6)) + 1):
        up6, down6 = draw(SIZES), draw(SIZES)
        ledger: Ledger = draw(st.sampled_from(["v1", "v2"]))
        found.append(claim(up6 or 1, down6, draw(RESULTS), number=number, ledger=ledger))
    return found


@given(claims_of(), st.data())
def test_whatever_the_order_of_logs_each_claim_gets_exactly_its_own(
    claims: list[Claim], data: st.DataObject
) -> None:
    logs = data.draw(st.permutations([log for one in claims for log in logs_of(one)]))
    ends = judged(*claims, logs=logs)
    assert kinds(ends) == ["paid"] * len(claims)
    assert [end.paid_usd6 for end in ends] == [one.payout_usd6 for one in claims]
    assert [end.burnt for end in ends] == [one.holdings for one in claims]
    told = [end.log_index for end in ends if end.log_index >= 0]
    assert len(told) == len(set(told))


@given(claims_of(), st.integers(1, 50), st.data())
def test_dust_never_makes_a_claim_short_and_all_money_is_told(
    claims: list[Claim], dust6: int, data: st.DataObject
) -> None:
    older = [one for one in claims if one.ledger == "v1"]
    lucky = data.draw(st.sampled_from(older)) if older else None
    logs = [log for one in claims for log in logs_of(one, dust6 if one is lucky else 0)]
    ends = judged(*claims, logs=data.draw(st.permutations(logs)))
    assert kinds(ends) == ["paid"] * len(claims)
    surplus = dust6 if lucky is not None else 0
    assert sum(end.surplus_usd6 for end in ends) == surplus
    assert sum(end.paid_usd6 for end in ends) == sum(one.payout_usd6 for one in claims) + surplus


@given(claims_of(), st.data())
def test_without_one_of_its_logs_no_batch_is_paid_in_full(claims: list[Claim], data: st.DataObject) -> None:
    logs = [log for one in claims for log in logs_of(one) if any(log.data[-32:])]
    gone = data.draw(st.integers(0, len(logs) - 1))
    ends = judged(*claims, logs=[log for place, log in enumerate(logs) if place != gone])
    assert set(kinds(ends)) != {"paid"}


EVENTS = st.sampled_from([TRANSFER, TRANSFER_SINGLE, TRANSFER_BATCH, "0x", ""])
ENDS = st.sampled_from([topic(WALLET), topic(WALLET), topic(OTHER), "0x"])
WORDS = st.integers(0, 6) | st.sampled_from([10, 11, 32, 64, 96, 2**255, 2**256 - 1])
JUNK = st.builds(
    Log,
    address=st.sampled_from([*msgspec.structs.astuple(PLACES), ""]),
    topics=st.tuples(EVENTS, ENDS, ENDS, ENDS) | st.tuples(EVENTS, ENDS, ENDS) | st.lists(ENDS).map(tuple),
    data=st.binary(max_size=200)
    | st.lists(WORDS, max_size=9).map(lambda words: b"".join(each.to_bytes(32) for each in words)),
    index=st.integers(0, 5),
)


@given(claims_of(), st.lists(JUNK, max_size=12), st.booleans())
def test_junk_never_crashes_and_never_pays_without_burning(
    claims: list[Claim], logs: list[Log], whole: bool
) -> None:
    ends = judge(tuple(claims), WALLET, receipt(*logs), PLACES, whole=whole)
    for one, end in zip(claims, ends, strict=True):
        took(logs, one, WALLET, PLACES)
        if end.kind == "paid":
            assert {each.token for each in end.burnt} == {each.token for each in one.holdings}
            assert end.paid_usd6 >= one.payout_usd6


def test_who_took_the_tokens_is_told_by_transaction_once_and_in_order() -> None:
    one = claim(5, 5)
    logs = [
        single("10", 2, tx="0xb"),
        single("11", 2, tx="0xb"),
        single("99", 2, tx="0xc"),
        single("10", 2, tx="0xd", ledger="v2"),
        single("10", 2, tx="0xe", source=OTHER, target=WALLET),
        single("10", 3, tx="0xa"),
    ]
    assert took(logs, one, WALLET, PLACES) == ("0xb", "0xa")


@pytest.mark.parametrize(
    ("kind", "data", "failed"),
    [
        pytest.param(RELAYED, bytes(64) + bytes(32), False, id="status 0 is well"),
        pytest.param(RELAYED, bytes(63) + b"\x01" + bytes(32), True, id="another status"),
        pytest.param(NOT_RELAYED, bytes(64), True, id="not carried out at all"),
    ],
)
def test_a_hub_that_reports_a_failure_in_a_good_transaction_is_believed(
    kind: str, data: bytes, failed: bool
) -> None:
    hub = "0x" + "4b" * 20
    claim = Claim("0x" + "c0" * 32, "v1", (Holding("7", 0, 5),), (1, 0), 1)
    receipt = Receipt("0xtx", True, 1, "0xblock", 0, (Log(hub, (kind, "0x", "0x", "0x"), data, 0),))
    places = Places("0x1", "0x2", "0x3", hub)
    (end,) = judge((claim,), "0x" + "aa" * 20, receipt, places)
    assert end.kind == ("reverted" if failed else "kept")
