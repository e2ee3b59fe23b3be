import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core.portfolio import Exposure, PositionKey, Reservation, apply_fill, exposure, settle
from common.errors import InvariantBroken
from common.messages import Fill, Outcome, PositionState

WINDOW = "btc-updown-15m-1700000000"
END = 1_700_000_900_000_000_000

outcomes: st.SearchStrategy[Outcome] = st.sampled_from(["up", "down"])


def bought(
    trade_id: str = "t1",
    window: str = WINDOW,
    asset: str = "btc",
    outcome: Outcome = "up",
    token: str | None = None,
    size6: int = 10_000_000,
    cost_usd6: int = 6_000_000,
    fee_usd6: int = 168_000,
) -> Fill:
    return Fill(
        trade_id=trade_id,
        order_id="o1",
        window=window,
        asset=asset,
        token=token or f"{window}-{outcome}",
        outcome=outcome,
        price4=6_000,
        size6=size6,
        cost_usd6=cost_usd6,
        fee_usd6=fee_usd6,
        at_ns=1,
    )


def held(*fills: Fill) -> dict[PositionKey, PositionState]:
    positions: dict[PositionKey, PositionState] = {}
    for fill in fills:
        positions = apply_fill(positions, fill, END)
    return positions


def test_fills_of_one_side_add_up() -> None:
    positions = held(bought(), bought("t2", size6=5_000_000, cost_usd6=2_500_000, fee_usd6=87_500))
    (position,) = positions.values()
    assert (position.size6, position.cost_usd6, position.fee_usd6) == (15_000_000, 8_500_000, 255_500)
    assert (position.end_ns, position.settled) == (END, False)


def test_both_sides_of_a_window_are_two_positions() -> None:
    assert set(held(bought(), bought("t2", outcome="down"))) == {(WINDOW, "up"), (WINDOW, "down")}


def test_the_mapping_given_is_left_alone() -> None:
    before = held(bought())
    kept = dict(before)
    apply_fill(before, bought("t2"), END)
    assert before == kept


def test_the_winner_pays_a_dollar_a_share() -> None:
    won = settle(held(bought())[WINDOW, "up"], "up")
    assert (won.payout_usd6, won.pnl_usd6) == (10_000_000, 10_000_000 - 6_000_000 - 168_000)
    assert (won.settled, won.official) == (True, "up")


def test_the_loser_pays_nothing_and_loses_the_fee_too() -> None:
    lost = settle(held(bought())[WINDOW, "up"], "down")
    assert (lost.payout_usd6, lost.pnl_usd6) == (0, -6_168_000)


def test_settling_twice_alike_changes_nothing() -> None:
    once = settle(held(bought())[WINDOW, "up"], "up")
    assert settle(once, "up") == once


def test_a_contradicting_outcome_is_refused() -> None:
    once = settle(held(bought())[WINDOW, "up"], "up")
    with pytest.raises(InvariantBroken, match=r"settled as up.*called down"):
        settle(once, "down")


def test_a_fill_after_the_settlement_is_refused() -> None:
    positions = held(bought())
    positions[WINDOW, "up"] = settle(positions[WINDOW, "up"], "up")
    with pytest.raises(InvariantBroken, match=r"trade t2 .*settled already"):
        apply_fill(positions, bought("t2"), END)


def test_a_fill_of_another_token_is_refused() -> None:
    with pytest.raises(InvariantBroken, match="trade t2 names token 999"):
        apply_fill(held(bought()), bought("t2", token="999"), END)


def test_exposure_counts_positions_and_reservations_and_forgets_the_settled() -> None:
    eth = "eth-updown-15m-1700000000"
    positions = held(
        bought(), bought("t2", window=eth, asset="eth", outcome="down"), bought("t3", outcome="down")
    )
    positions[WINDOW, "down"] = settle(positions[WINDOW, "down"], "up")
    flying = Reservation(intent_id="i1", window=WINDOW, asset="btc", outcome="down", worst_usd6=10_700_000)
    assert exposure(positions.values(), [flying]) == Exposure(
        by_window={WINDOW: 16_868_000, eth: 6_168_000},
        by_asset={"btc": 16_868_000, "eth": 6_168_000},
        by_direction={"up": 6_168_000, "down": 16_868_000},
        held=frozenset({(WINDOW, "up"), (WINDOW, "down"), (eth, "down")}),
    )


fills = st.builds(
    bought,
    window=st.sampled_from(["w1", "w2", "w3"]),
    asset=st.just("btc"),
    outcome=outcomes,
    size6=st.integers(1, 10**9),
    cost_usd6=st.integers(1, 10**9),
    fee_usd6=st.integers(0, 10**7),
)


@given(st.lists(fills, max_size=12), outcomes)
def test_nothing_is_lost_between_fills_positions_and_results(history: list[Fill], official: Outcome) -> None:
    positions = held(*history)
    spent = sum(fill.cost_usd6 + fill.fee_usd6 for fill in history)
    assert sum(exposure(positions.values(), []).by_window.values()) == spent
    ended = [settle(position, official) for position in positions.values()]
    payout = sum(fill.size6 for fill in history if fill.outcome == official)
    assert sum(position.payout_usd6 for position in ended) == payout
    assert sum(position.pnl_usd6 for position in ended) == payout - spent
    assert exposure(ended, []) == Exposure({}, {}, {})


@given(st.lists(fills, max_size=8))
def test_the_order_of_fills_does_not_matter(history: list[Fill]) -> None:
    assert held(*history) == held(*reversed(history))
