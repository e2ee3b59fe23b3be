"""Kelly's stake by hand, never above a cap, never larger for a smaller chance; a fixed stake as ever."""

import math
from statistics import NormalDist

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from common.core.decision_state import PublishVerdict, SendOrder, State, SubmitAnswered
from common.core.matching import worst_case_usd6
from common.core.portfolio import Reservation, exposure
from common.core.reference import Reference
from common.core.risk import RiskBook, Wish, check, first_failed
from common.core.settings import RiskLimits, StrategySettings
from common.core.sizing import YEAR_S, free_cash_usd6, kelly_stake, probability_ppm, room_usd6
from common.messages import FeeSchedule
from common.units import SECOND
from conversation import WINDOW, Conversation, account, market, posture, tick

KELLY = StrategySettings(sizing="kelly", kelly_fraction_ppm=250_000, kelly_max_usd6=1_000_000_000)
FEE = FeeSchedule(rate_ppm=70_000, exponent=1)
DOLLAR = 1_000_000
PLENTY = 10**15
prices = some.integers(1, 9_999)
chances = some.integers(0, 1_000_000)
fees = some.none() | some.builds(
    FeeSchedule, rate_ppm=some.integers(0, 100_000), exponent=some.integers(1, 3)
)
money = some.integers(0, 10**12)


def reference(move_ppm: int, age_s: float = 0) -> Reference:
    return Reference(
        family="chainlink",
        route="rtds",
        basis="settlement",
        base=10**24,
        value=10**24 + move_ppm * 10**18,
        observed_ns=int((1_000 - age_s) * SECOND),
        mono_ns=0,
        move_ppm=move_ppm,
        confidence_ppm=0,
    )


def book(**changes: object) -> RiskBook:
    plain = RiskBook(
        posture="trading",
        open=exposure((), ()),
        reservations=(),
        cash_usd6=1_000 * DOLLAR,
        day_pnl_usd6=0,
        loss_streak=0,
        order_times_ns=(),
    )
    held = changes.pop("positions", ())
    return msgspec.structs.replace(plain, open=exposure(held, ()), **changes)  # type: ignore[arg-type]


def test_by_hand() -> None:
    # Without a fee: f* = (0.6 - 0.5) / 0.5 = 0.2; a quarter of it of 1,000 dollars is 50.
    assert kelly_stake(KELLY, 600_000, 5_000, None, 1_000 * DOLLAR, PLENTY).usd6 == 50 * DOLLAR
    # With 0.0175 fee a share: f* = (0.6 - 0.517501) / 0.482499, a quarter of 1,000 is 42.745; of every
    # 0.517501 paid 0.5 are stake: 41.3001.
    assert kelly_stake(KELLY, 600_000, 5_000, FEE, 1_000 * DOLLAR, PLENTY).usd6 == 41_300_000
    assert kelly_stake(KELLY, 600_000, 5_000, FEE, 1_000 * DOLLAR, PLENTY).usd6 % 10_000 == 0


def test_no_edge_is_no_stake_and_says_so() -> None:
    for chance in (0, 500_000, 517_501):
        stake = kelly_stake(KELLY, chance, 5_000, FEE, 1_000 * DOLLAR, PLENTY)
        assert stake.usd6 == 0
        assert stake.text.startswith("no edge: p ")
    assert kelly_stake(KELLY, 520_000, 5_000, FEE, 10**12, PLENTY).usd6 > 0
    ruinous = FeeSchedule(rate_ppm=2_000_000, exponent=1)
    assert kelly_stake(KELLY, 1_000_000, 5_000, ruinous, PLENTY, PLENTY).usd6 == 0


def test_less_than_the_venue_takes_is_nothing() -> None:
    # f* = 0.2, a quarter is 0.05.
    assert kelly_stake(KELLY, 600_000, 5_000, None, 20 * DOLLAR, PLENTY).usd6 == DOLLAR
    small = kelly_stake(KELLY, 600_000, 5_000, None, 20 * DOLLAR - 1, PLENTY)
    assert small.usd6 == 0
    assert small.text.startswith("0.99 of 0.99 wanted")
    squeezed = kelly_stake(KELLY, 600_000, 5_000, None, 1_000 * DOLLAR, DOLLAR // 2)
    assert squeezed.usd6 == 0
    assert squeezed.text.startswith("0.49 of 50.00 wanted")


def test_the_most_that_was_allowed_includes_the_fee() -> None:
    settings = msgspec.structs.replace(KELLY, kelly_max_usd6=25 * DOLLAR)
    assert kelly_stake(settings, 600_000, 5_000, None, 10**12, PLENTY).usd6 == 25 * DOLLAR
    assert kelly_stake(settings, 600_000, 5_000, FEE, 10**12, PLENTY).usd6 == 24_150_000


def test_what_is_owed_is_not_staked() -> None:
    assert kelly_stake(KELLY, 900_000, 5_000, FEE, -5 * DOLLAR, PLENTY).usd6 == 0
    assert kelly_stake(KELLY, 900_000, 5_000, FEE, 100 * DOLLAR, -1).usd6 == 0


@given(chances, prices, fees, money, some.integers(-(10**9), 10**12), some.integers(0, 10**9))
def test_no_cap_is_ever_exceeded(
    chance: int, price4: int, fee: FeeSchedule | None, cash: int, room: int, most: int
) -> None:
    settings = msgspec.structs.replace(KELLY, kelly_max_usd6=most)
    stake = kelly_stake(settings, chance, price4, fee, cash, room).usd6
    assert stake >= 0
    assert stake % 10_000 == 0
    assert stake == 0 or stake >= DOLLAR
    assert stake <= most
    assert stake <= cash * KELLY.kelly_fraction_ppm // 1_000_000
    assert worst_case_usd6(stake, price4, fee) <= max(0, room)


@given(chances, chances, prices, fees, money, money)
def test_a_smaller_chance_is_never_staked_more(
    one: int, other: int, price4: int, fee: FeeSchedule | None, cash: int, room: int
) -> None:
    less, more = sorted((one, other))
    smaller = kelly_stake(KELLY, less, price4, fee, cash, room).usd6
    assert smaller <= kelly_stake(KELLY, more, price4, fee, cash, room).usd6


@given(chances, prices, fees, money, some.integers(1, 1_000_000), some.integers(1, 1_000_000))
def test_more_of_the_criterion_is_never_staked_less(
    chance: int, price4: int, fee: FeeSchedule | None, cash: int, one: int, other: int
) -> None:
    stakes = [
        kelly_stake(
            msgspec.structs.replace(KELLY, kelly_fraction_ppm=part), chance, price4, fee, cash, PLENTY
        ).usd6
        for part in sorted((one, other))
    ]
    assert stakes[0] <= stakes[1]


amounts = some.integers(0, 200 * DOLLAR)
limits = some.builds(
    RiskLimits,
    max_stake_usd6=amounts,
    max_window_usd6=amounts,
    max_asset_usd6=amounts,
    max_direction_usd6=amounts,
    max_daily_loss_usd6=amounts,
    min_balance_usd6=amounts,
)
reservations = some.lists(
    some.builds(
        Reservation,
        intent_id=some.just("x"),
        window=some.sampled_from(["w", "v"]),
        asset=some.sampled_from(["btc", "eth"]),
        outcome=some.sampled_from(["up", "down"]),
        worst_usd6=some.integers(0, 30 * DOLLAR),
    ),
    max_size=3,
)


@given(limits, reservations, amounts, some.integers(-(10**8), 10**8), prices, fees)
def test_what_fits_into_the_room_is_refused_by_no_money_limit(
    risk: RiskLimits, others: list[Reservation], cash: int, pnl: int, price4: int, fee: FeeSchedule | None
) -> None:
    known = book(reservations=tuple(others), cash_usd6=cash, day_pnl_usd6=pnl)
    room = room_usd6(risk, known, "w", "btc", "up")
    stake = kelly_stake(KELLY, 1_000_000, price4, fee, free_cash_usd6(known), room).usd6
    if stake:
        wish = Wish("w", "btc", "up", stake, price4, worst_case_usd6(stake, price4, fee))
        failed = first_failed(check(risk, known, wish, Conversation().now))
        assert failed is None


@pytest.mark.parametrize(
    "change",
    [
        {"max_stake_usd6": 0},
        {"max_window_usd6": 7},
        {"max_asset_usd6": 7},
        {"max_direction_usd6": 7},
        {"max_daily_loss_usd6": 7},
        {"min_balance_usd6": 10**9 - 7},
    ],
)
def test_each_limit_bounds_the_room(change: dict[str, int]) -> None:
    wide = RiskLimits(10**9, 10**9, 10**9, 10**9, 16, 10**9)
    known = book(reservations=(Reservation("x", "w", "btc", "up", 5),))
    assert room_usd6(wide, known, "w", "btc", "up") == 10**9 - 5
    assert room_usd6(msgspec.structs.replace(wide, **change), known, "w", "btc", "up") == (
        0 if "max_stake_usd6" in change else 2
    )


def test_a_day_s_loss_takes_room_and_a_gain_gives_it() -> None:
    wide = RiskLimits(10**9, 10**9, 10**9, 10**9, 16, max_daily_loss_usd6=1_000)
    assert room_usd6(wide, book(day_pnl_usd6=-400), "w", "btc", "up") == 600
    assert room_usd6(wide, book(day_pnl_usd6=400), "w", "btc", "up") == 1_400


@pytest.mark.parametrize("move", [-2_000, -700, 0, 300, 700, 5_000])
def test_the_model_is_the_normal_distribution(move: int) -> None:
    left_s = 600
    settings = StrategySettings(volatility_ppm=600_000)
    sigma = 0.6 * (left_s / YEAR_S) ** 0.5
    expected = NormalDist(0, sigma).cdf(abs(math.log1p(move / 1_000_000)))
    got = probability_ppm(settings, "btc", reference(move), (1_000 + left_s) * SECOND)
    assert got == math.floor(expected * 1_000_000) >= 500_000


def test_less_time_makes_sure_and_more_volatility_unsure() -> None:
    def chance(left_s: int, asset: str = "btc", age_s: float = 0, move: int = 700) -> int:
        settings = StrategySettings(volatility_by_asset=(("sol", 1_200_000),))
        return probability_ppm(settings, asset, reference(move, age_s), (1_000 + left_s) * SECOND)

    assert chance(300) > chance(600) > chance(600, asset="sol") > 500_000
    assert chance(600, age_s=60) == chance(660)
    assert chance(0) == chance(-5) == 500_000
    assert chance(600, move=900) > chance(600)


# --- the strategist


def talking(**changes: object) -> Conversation:
    settings = msgspec.structs.replace(KELLY, **{"volatility_ppm": 400_000, **changes})
    return Conversation(State(strategy=settings, limits=RiskLimits()))


def kelly_gate(talk: Conversation) -> tuple[str, bool]:
    gates = talk.got(PublishVerdict)[-1].verdict.gates
    return next((gate.value, gate.passed) for gate in gates if gate.name == "Kelly stake")


def test_the_order_is_sized_and_takes_nothing_dearer_than_it_was_sized_for() -> None:
    talk = talking().opened()
    talk.at(31).hear(talk.book("up", 5_000), tick(30, 100_200))
    (order,) = talk.got(SendOrder)
    chance = probability_ppm(
        talk.state.strategy,
        "btc",
        msgspec.structs.replace(reference(2_000), observed_ns=talk.now.wall_ns - SECOND),
        market().end_ns,
    )
    expected = kelly_stake(talk.state.strategy, chance, 5_000, FEE, 1_000 * DOLLAR, 25 * DOLLAR)
    assert order.submit.stake_usd6 == expected.usd6
    assert 20 * DOLLAR < expected.usd6 < 25 * DOLLAR
    assert order.submit.limit4 == 5_000
    assert kelly_gate(talk) == (expected.text, True)


def test_the_down_side_is_sized_by_its_own_ask() -> None:
    talk = talking().opened()
    talk.at(31).hear(talk.book("down", 5_300), tick(30, 99_800))
    (order,) = talk.got(SendOrder)
    assert (order.submit.outcome, order.submit.limit4) == ("down", 5_300)


def test_without_an_edge_there_is_no_order() -> None:
    talk = talking(volatility_ppm=3_000_000).opened()
    talk.at(31).hear(talk.book("up", 5_900), tick(30, 100_080))
    assert talk.got(SendOrder) == []
    value, passed = kelly_gate(talk)
    assert value.startswith("no edge")
    assert not passed


def test_money_in_flight_is_not_staked_again() -> None:
    talk = talking(kelly_max_usd6=10 * DOLLAR).opened()
    talk.hear(account(cash=40 * DOLLAR))
    talk.at(31).hear(talk.book("up", 5_000), tick(30, 100_200))
    (first,) = talk.got(SendOrder)
    other = f"{WINDOW}-other"
    talk.hear(SubmitAnswered(first.submit.intent_id, accepted=False, text=""))
    talk.state.in_flight["elsewhere"] = Reservation("elsewhere", other, "eth", "down", 20 * DOLLAR)
    talk.at(40).hear(talk.book("up", 5_000), tick(39, 100_201))
    _, second = talk.got(SendOrder)
    assert second.submit.stake_usd6 < first.submit.stake_usd6


def test_cash_nobody_told_of_is_not_staked() -> None:
    talk = talking()
    talk.at(0).hear(posture(), market())
    talk.at(2).hear(tick(0, 100_000, "twap60"), tick(0, 100_000))
    talk.at(31).hear(talk.book("up", 5_000), tick(30, 100_200))
    assert talk.got(SendOrder) == []
    gates = {gate.name: gate for gate in talk.got(PublishVerdict)[-1].verdict.gates}
    assert gates["executor"].value == "not heard from yet"
    assert "Kelly stake" not in gates
    talk.hear(account())
    talk.at(32).hear(talk.book("up", 5_000), tick(31, 100_200))
    assert len(talk.got(SendOrder)) == 1


def test_a_fixed_stake_is_as_it_was() -> None:
    talk = Conversation().opened()
    talk.at(31).hear(talk.book("up", 5_000), tick(30, 100_071))
    (order,) = talk.got(SendOrder)
    assert (order.submit.stake_usd6, order.submit.limit4) == (10 * DOLLAR, 6_100)
    assert "Kelly stake" not in {gate.name for gate in talk.got(PublishVerdict)[-1].verdict.gates}


def test_the_same_conversation_ends_in_the_same_orders() -> None:
    def orders() -> list[SendOrder]:
        talk = talking().opened()
        for second in range(31, 60):
            talk.at(second).hear(talk.book("up", 5_000 + second), tick(second - 1, 100_100 + second))
        return talk.got(SendOrder)

    first = orders()
    assert first
    assert first == orders()
