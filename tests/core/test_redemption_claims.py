"""What is redeemed of a condition, and what it pays: every case of both ledgers, and in general."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core.redemption.claims import Claim, Condition, Holding, Ledger, Left, claim_of, payout_usd6

UP_WINS = (1, 0)
SPLIT = (1, 1)


def condition(
    up6: int,
    down6: int,
    numerators: tuple[int, int] = UP_WINS,
    *,
    ledger: Ledger = "v1",
    resolved: bool = True,
) -> Condition:
    return Condition(
        condition_id="0x" + "c0" * 32,
        ledger=ledger,
        holdings=(Holding("11", 0, up6), Holding("12", 1, down6)),
        numerators=numerators if resolved else (0, 0),
        denominator=sum(numerators) if resolved else 0,
        window="btc-updown-15m-1900000000",
    )


def claimed(found: Claim | Left) -> Claim:
    assert isinstance(found, Claim)
    return found


def reason(found: Claim | Left) -> str:
    assert isinstance(found, Left)
    assert found.text
    return found.reason


def test_a_winner_pays_one_dollar_a_share() -> None:
    claim = claimed(claim_of(condition(5_000_000, 0)))
    assert claim.payout_usd6 == 5_000_000
    assert claim.holdings == (Holding("11", 0, 5_000_000),)
    assert claim.name == "btc-updown-15m-1900000000"
    assert msgspec.structs.replace(claim, window="").name == claim.condition_id


@pytest.mark.parametrize(
    ("up6", "down6", "pays"), [(3, 0, 1), (3, 3, 2), (1, 1, 0), (1, 2, 1), (5_000_001, 5_000_001, 5_000_000)]
)
def test_each_outcome_of_a_split_is_rounded_down_by_itself(up6: int, down6: int, pays: int) -> None:
    holdings = (Holding("11", 0, up6), Holding("12", 1, down6))
    assert payout_usd6(holdings, SPLIT, 2) == pays


def test_the_smallest_holdings_are_redeemed_too() -> None:
    assert claimed(claim_of(condition(50_000, 0))).payout_usd6 == 50_000
    assert claimed(claim_of(condition(1, 0))).payout_usd6 == 1


def test_the_older_ledger_takes_worthless_tokens_along() -> None:
    claim = claimed(claim_of(condition(7, 9)))
    assert [each.size6 for each in claim.holdings] == [7, 9]
    assert claim.payout_usd6 == 7


def test_the_newer_ledger_leaves_worthless_tokens_unless_asked() -> None:
    both = condition(7, 9, (1_000_000, 0), ledger="v2")
    assert [each.token for each in claimed(claim_of(both)).holdings] == ["11"]
    assert [each.token for each in claimed(claim_of(both, with_losers=True)).holdings] == ["11", "12"]


@pytest.mark.parametrize("ledger", ["v1", "v2"])
def test_what_is_left_and_why(ledger: Ledger) -> None:
    assert reason(claim_of(condition(0, 0, ledger=ledger))) == "nothing held"
    assert reason(claim_of(condition(5, 0, ledger=ledger, resolved=False))) == "unresolved"
    assert reason(claim_of(condition(0, 5, ledger=ledger))) == "lost"
    assert reason(claim_of(condition(1, 0, SPLIT, ledger=ledger))) == "lost"
    assert reason(claim_of(condition(99, 0, ledger=ledger), min_payout_usd6=100)) == "below minimum"
    assert claimed(claim_of(condition(100, 0, ledger=ledger), min_payout_usd6=100)).payout_usd6 == 100
    burning = claimed(claim_of(condition(0, 5, ledger=ledger), with_losers=True))
    assert (burning.payout_usd6, burning.holdings) == (0, (Holding("12", 1, 5),))


def test_losers_of_an_open_condition_are_never_burnt() -> None:
    assert reason(claim_of(condition(5, 5, resolved=False), with_losers=True)) == "unresolved"


@given(
    st.sampled_from(["v1", "v2"]),
    st.integers(0, 10**13),
    st.integers(0, 10**13),
    st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
    st.booleans(),
    st.integers(0, 10**7),
)
def test_a_claim_never_misses_or_invents_money(
    ledger: Ledger, up6: int, down6: int, numerators: tuple[int, int], losers: bool, least: int
) -> None:
    found = condition(up6, down6, numerators, ledger=ledger, resolved=sum(numerators) > 0)
    decided = claim_of(found, min_payout_usd6=least, with_losers=losers)
    worth = payout_usd6(found.holdings, found.numerators, found.denominator) if found.denominator else 0
    if isinstance(decided, Left):
        assert worth < max(least, 1) or not found.denominator
        return
    assert found.denominator
    assert decided.payout_usd6 == worth
    assert worth >= least
    assert decided.holdings
    assert set(decided.holdings) <= set(found.holdings)
    assert all(each.size6 for each in decided.holdings)
