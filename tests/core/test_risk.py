"""Every limit of the risk check, from both sides: exactly at it passes, one unit beyond it fails alone."""

from dataclasses import dataclass

import msgspec
import pytest

from common.core.moment import Moment
from common.core.portfolio import Reservation, exposure
from common.core.risk import RiskBook, Wish, check, first_failed
from common.core.settings import RiskLimits
from common.messages import Outcome, PositionState
from common.units import SECOND

NOW = Moment(2_000 * SECOND, 1_000 * SECOND)
LIMITS = RiskLimits(
    max_stake_usd6=10,
    max_window_usd6=100,
    max_asset_usd6=200,
    max_direction_usd6=300,
    max_positions=3,
    max_daily_loss_usd6=1_000,
    max_loss_streak=4,
    max_orders_per_minute=2,
    min_balance_usd6=50,
)
WISH = Wish(window="w1", asset="btc", outcome="up", stake_usd6=10, limit4=6_100, worst_usd6=11)
BOOK = RiskBook(
    posture="trading",
    open=exposure((), ()),
    reservations=(),
    cash_usd6=10_000,
    day_pnl_usd6=0,
    loss_streak=0,
    order_times_ns=(),
)


def position(window: str, asset: str, outcome: Outcome, cost: int, fee: int = 0) -> PositionState:
    return PositionState(
        window=window,
        asset=asset,
        token="1",
        outcome=outcome,
        size6=1,
        cost_usd6=cost,
        fee_usd6=fee,
        end_ns=0,
        settled=False,
    )


def reserved(window: str, asset: str, outcome: Outcome, worst: int) -> Reservation:
    return Reservation(f"{window}/{outcome}/other", window, asset, outcome, worst)


@dataclass(frozen=True)
class Case:
    """What is at stake such that the wish comes out exactly at one limit, and what tips it over."""

    gate: str
    at_limit: RiskBook
    beyond: RiskBook
    wish: Wish = WISH
    wish_beyond: Wish | None = None


def book(**changes: object) -> RiskBook:
    held = changes.pop("positions", ())
    return msgspec.structs.replace(BOOK, open=exposure(held, ()), **changes)  # type: ignore[arg-type]


# The wish of 11 brings each sum exactly to its limit; what weighs on other limits stays away from them.
CASES = [
    Case("posture", book(), book(posture="no-new-orders")),
    Case("stake", book(), book(), wish_beyond=msgspec.structs.replace(WISH, stake_usd6=11)),
    Case(
        "window exposure",
        book(positions=(position("w1", "btc", "down", 80, 9),)),
        book(positions=(position("w1", "btc", "down", 80, 10),)),
    ),
    Case(
        "asset exposure",
        book(positions=(position("w2", "btc", "down", 189),)),
        book(positions=(position("w2", "btc", "down", 190),)),
    ),
    Case(
        "direction exposure",
        book(positions=(position("w2", "eth", "up", 289),)),
        book(positions=(position("w2", "eth", "up", 290),)),
    ),
    Case(
        "positions",
        book(positions=(position("w2", "eth", "down", 1), position("w3", "sol", "down", 1))),
        book(
            positions=(
                position("w2", "eth", "down", 1),
                position("w3", "sol", "down", 1),
                position("w3", "sol", "up", 1),
            )
        ),
    ),
    Case("daily loss", book(day_pnl_usd6=-989), book(day_pnl_usd6=-990)),
    Case("loss streak", book(loss_streak=3), book(loss_streak=4)),
    Case(
        "orders per minute",
        book(order_times_ns=(NOW.mono_ns - 60 * SECOND, NOW.mono_ns)),
        book(order_times_ns=(NOW.mono_ns - 60 * SECOND + 1, NOW.mono_ns)),
    ),
    Case("balance", book(cash_usd6=61), book(cash_usd6=60)),
]


def failed(at_stake: RiskBook, wish: Wish = WISH, limits: RiskLimits = LIMITS) -> list[str]:
    return [gate.name for gate in check(limits, at_stake, wish, NOW) if not gate.passed]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.gate)
def test_exactly_at_the_limit_passes(case: Case) -> None:
    assert failed(case.at_limit, case.wish) == []
    assert first_failed(check(LIMITS, case.at_limit, case.wish, NOW)) is None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.gate)
def test_one_unit_beyond_fails_and_nothing_else_does(case: Case) -> None:
    wish = case.wish_beyond or case.wish
    assert failed(case.beyond, wish) == [case.gate]
    first = first_failed(check(LIMITS, case.beyond, wish, NOW))
    assert first is not None and first.name == case.gate


def test_every_gate_has_its_case() -> None:
    assert [gate.name for gate in check(LIMITS, BOOK, WISH, NOW)] == [case.gate for case in CASES]


@pytest.mark.parametrize("posture", ["no-new-orders", "paused", "halted"])
def test_only_trading_trades(posture: str) -> None:
    assert failed(book(posture=posture)) == ["posture"]


@pytest.mark.parametrize(
    ("gate", "just_fits", "too_much"),
    [
        ("window exposure", reserved("w1", "btc", "down", 89), reserved("w1", "btc", "down", 90)),
        ("asset exposure", reserved("w2", "btc", "down", 189), reserved("w2", "btc", "down", 190)),
        ("direction exposure", reserved("w2", "eth", "up", 289), reserved("w2", "eth", "up", 290)),
    ],
)
def test_what_is_in_flight_counts_at_its_worst(
    gate: str, just_fits: Reservation, too_much: Reservation
) -> None:
    assert failed(book(reservations=(just_fits,))) == []
    assert failed(book(reservations=(too_much,))) == [gate]


def test_what_is_held_and_what_is_in_flight_add_up() -> None:
    held = position("w1", "btc", "up", 40, 4)
    assert failed(book(positions=(held,), reservations=(reserved("w1", "btc", "up", 45),))) == []
    assert failed(book(positions=(held,), reservations=(reserved("w1", "btc", "up", 46),))) == [
        "window exposure"
    ]


def test_in_flight_takes_from_the_balance_and_what_is_held_was_paid_already() -> None:
    held, flying = position("w2", "eth", "down", 70), reserved("w3", "sol", "down", 30)
    assert failed(book(cash_usd6=91, positions=(held,), reservations=(flying,))) == []
    assert failed(book(cash_usd6=90, positions=(held,), reservations=(flying,))) == ["balance"]


def test_the_worst_day_loses_everything_open_and_in_flight_as_well() -> None:
    held, flying = position("w2", "eth", "down", 90, 10), reserved("w3", "sol", "down", 50)
    assert failed(book(day_pnl_usd6=-839, positions=(held,), reservations=(flying,))) == []
    assert failed(book(day_pnl_usd6=-840, positions=(held,), reservations=(flying,))) == ["daily loss"]


def test_a_gain_of_the_day_makes_room() -> None:
    limits = msgspec.structs.replace(LIMITS, max_daily_loss_usd6=0)
    assert failed(book(day_pnl_usd6=11), limits=limits) == []
    assert failed(book(day_pnl_usd6=10), limits=limits) == ["daily loss"]


def test_in_flight_is_a_position_to_be() -> None:
    flying = tuple(reserved(window, "eth", "down", 1) for window in ("w2", "w3", "w4"))
    assert failed(book(reservations=flying[:2])) == []
    assert failed(book(reservations=flying)) == ["positions"]


def test_more_of_the_same_is_no_new_position() -> None:
    same = position("w1", "btc", "up", 1)
    others = (position("w2", "eth", "down", 1), position("w3", "sol", "down", 1))
    assert failed(book(positions=(same, *others), reservations=(reserved("w1", "btc", "up", 1),))) == []


def test_what_is_settled_risks_nothing() -> None:
    settled = tuple(
        msgspec.structs.replace(position(f"w{n}", "btc", "up", 5_000), settled=True) for n in range(5)
    )
    assert failed(book(positions=settled)) == []


def test_the_highest_fee_counts_and_not_the_stake_alone() -> None:
    tight = msgspec.structs.replace(LIMITS, max_window_usd6=10)
    assert failed(BOOK, limits=tight) == ["window exposure"]
    assert failed(BOOK, replace_worst(WISH, 10), tight) == []


def test_all_gates_are_told_even_when_many_fail() -> None:
    everything_wrong = book(
        posture="halted",
        positions=tuple(position(f"w{n}", "btc", "up", 900) for n in range(1, 5)),
        cash_usd6=0,
        loss_streak=9,
        order_times_ns=(NOW.mono_ns,) * 5,
    )
    wish = msgspec.structs.replace(WISH, stake_usd6=500)
    assert failed(everything_wrong, wish) == [case.gate for case in CASES]
    first = first_failed(check(LIMITS, everything_wrong, wish, NOW))
    assert first is not None and first.name == "posture"


def test_a_gate_says_what_was_and_what_may_be() -> None:
    limits = msgspec.structs.replace(LIMITS, max_stake_usd6=25_000_000)
    wish = msgspec.structs.replace(WISH, stake_usd6=25_010_000)
    gate = next(gate for gate in check(limits, BOOK, wish, NOW) if gate.name == "stake")
    assert (gate.value, gate.threshold, gate.passed) == ("25.01", "<= 25.00", False)


def replace_worst(wish: Wish, worst: int) -> Wish:
    return msgspec.structs.replace(wish, worst_usd6=worst)
