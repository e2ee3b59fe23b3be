"""Batches that fail shrink and wait; what looks wrong stops everything until a person has looked."""

import msgspec
import pytest

from common.core.redemption.attempts import ALARMING, Attempt, ClaimEnd, EndKind, Route, Signed
from common.core.redemption.claims import Claim, Holding
from common.core.redemption.pursuit import Pace
from common.core.redemption.schedule import (
    FAILED,
    LONGEST_PAUSE_NS,
    Batch,
    latched,
    next_batch,
    spent_today_wei,
)
from common.units import SECOND

PACE = Pace()
DAY_NS = 86_400 * SECOND
NOW_NS = 20_000 * DAY_NS


def claim(number: int, dollars: int = 1) -> Claim:
    return Claim(f"0x{number:064x}", "v1", (Holding(str(number), 0, dollars * 10**6),), (1, 0), 1)


def ended(
    claims: list[Claim],
    kind: EndKind,
    at_ns: int,
    *,
    route: Route = "own-gas",
    gas_wei: int = 0,
    text: str = "",
) -> Attempt:
    return Attempt(
        attempt_id=f"0xab/{at_ns}/0",
        route=route,
        wallet="0x" + "a1" * 20,
        sender="0xab",
        nonce=7,
        claims=tuple(claims),
        block=1,
        created_ns=at_ns,
        versions=(Signed(b"", "0x", at_ns),),
        stage="ended",
        ends=tuple(ClaimEnd(each.condition_id, kind, 0, text=text or kind) for each in claims),
        gas_wei=gas_wei,
        ended_ns=at_ns,
    )


def plan(
    claims: list[Claim], history: list[Attempt], now_ns: int, *, most: int = 10, asked: tuple[str, ...] = ()
) -> Batch:
    return next_batch(claims, history, now_ns, most=most, pace=PACE, asked=asked)


def test_the_most_valuable_go_first_and_no_more_than_allowed() -> None:
    claims = [claim(number, dollars) for number, dollars in enumerate((3, 9, 1, 9, 5))]
    batch = plan(claims, [], NOW_NS, most=3).claims
    assert [each.payout_usd6 // 10**6 for each in batch] == [9, 9, 5]
    assert batch == plan(claims[::-1], [], NOW_NS, most=3).claims


@pytest.mark.parametrize("kind", FAILED)
def test_a_failed_batch_is_halved_until_the_bad_one_is_alone(kind: EndKind) -> None:
    bad, claims = claim(3), [claim(number) for number in range(10)]
    history: list[Attempt] = []
    now_ns, left, sizes = NOW_NS, list(claims), []
    for _ in range(40):
        batch = list(plan(left, history, now_ns).claims)
        if bad in batch:
            sizes.append(len(batch))
            history.append(ended(batch, kind, now_ns))
        elif batch:
            left = [each for each in left if each not in batch]
            history.append(ended(batch, "paid", now_ns))
        now_ns += 1000 * SECOND
        if left == [bad]:
            break
    assert left == [bad]
    assert sizes[:4] == [10, 5, 2, 1]


def test_a_failure_waits_twice_as_long_each_time_and_never_above_an_hour() -> None:
    only, history, pauses = claim(1), [], []
    now_ns = NOW_NS
    for _ in range(12):
        history.append(ended([only], "reverted", now_ns))
        pause_ns = next(s for s in range(1, 4000) if plan([only], history, now_ns + s * SECOND).claims)
        assert not plan([only], history, now_ns + pause_ns * SECOND - 1).claims
        pauses.append(pause_ns)
        now_ns += pause_ns * SECOND
    assert pauses[:8] == [30, 60, 120, 240, 480, 960, 1920, 3600]
    assert max(pauses) * SECOND == LONGEST_PAUSE_NS


def test_a_pause_is_told_in_seconds() -> None:
    history = [ended([claim(1)], "refused", NOW_NS)]
    batch = plan([claim(1)], history, NOW_NS + 10 * SECOND)
    assert (batch.claims, batch.text) == ((), "1 failed and are tried again in 21 s or later")
    assert plan([], history, NOW_NS) == Batch(())


def test_the_failure_of_one_never_holds_up_another() -> None:
    history = [ended([claim(1)], "reverted", NOW_NS)]
    assert plan([claim(1), claim(2)], history, NOW_NS).claims == (claim(2),)


def test_what_a_person_asks_for_does_not_wait_and_is_halved_all_the_same() -> None:
    pair = [claim(1), claim(2)]
    history = [ended(pair, "reverted", NOW_NS)]
    asked = tuple(each.condition_id for each in pair)
    assert plan(pair, history, NOW_NS).claims == ()
    assert plan(pair, history, NOW_NS, asked=asked[1:]).claims == (pair[1],)
    assert len(plan(pair, history, NOW_NS, asked=asked).claims) == 1


@pytest.mark.parametrize("kind", ["paid", "elsewhere"])
def test_a_success_forgets_earlier_failures(kind: EndKind) -> None:
    one = claim(1)
    history = [ended([one], "reverted", NOW_NS), ended([one], kind, NOW_NS + 1)]
    assert plan([one, claim(2)], history, NOW_NS + 2).claims == (one, claim(2))
    later = [*history, ended([one], "reverted", NOW_NS + 3)]
    assert plan([one], later, NOW_NS + 2 + 31 * SECOND).claims == (one,)


@pytest.mark.parametrize("kind", ALARMING)
@pytest.mark.parametrize("route", ["own-gas", "relayer"])
def test_wrong_effects_stop_everything_until_released(kind: EndKind, route: Route) -> None:
    history = [ended([claim(1)], kind, NOW_NS, route=route, text="it pays nothing")]
    assert latched(history, 0) == "it pays nothing; look into it, then `laggard redeem --all` lets it go on"
    assert latched(history, NOW_NS - 1)
    assert latched(history, NOW_NS) == ""
    again = [*history, ended([claim(2)], kind, NOW_NS + 1, route=route)]
    assert latched(again, NOW_NS)


def test_one_wrong_effect_among_good_ones_is_enough() -> None:
    good = ended([claim(1), claim(2)], "paid", NOW_NS)
    bad = ClaimEnd(claim(2).condition_id, "kept", 0, text="kept")
    assert latched([msgspec.structs.replace(good, ends=(good.ends[0], bad))], 0)


def test_a_foreign_transaction_of_the_key_stops_but_not_one_of_the_wallet() -> None:
    assert latched([ended([claim(1)], "overtaken", NOW_NS)], 0)
    assert latched([ended([claim(1)], "overtaken", NOW_NS, route="relayer")], 0) == ""


@pytest.mark.parametrize("kind", ["paid", "elsewhere", "reverted", "refused", "expired"])
def test_ordinary_ends_stop_nothing(kind: EndKind) -> None:
    assert latched([ended([claim(1)], kind, NOW_NS)], 0) == ""


def test_gas_is_counted_by_the_day_it_was_spent() -> None:
    history = [
        ended([claim(1)], "paid", NOW_NS - 1, gas_wei=1),
        ended([claim(1)], "reverted", NOW_NS, gas_wei=10),
        ended([claim(1)], "paid", NOW_NS + DAY_NS - 1, gas_wei=100),
        ended([claim(1)], "paid", NOW_NS + DAY_NS, gas_wei=1000),
    ]
    assert spent_today_wei(history, NOW_NS + 5) == 110
    assert spent_today_wei(history, NOW_NS + DAY_NS) == 1000
