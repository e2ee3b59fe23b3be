"""The decision engine as conversations: what it hears, and what it then wants."""

import pytest

from common.core.decision_state import (
    ForgetWindow,
    Incomplete,
    PublishVerdict,
    RaiseAlert,
    SendOrder,
    State,
    SubmitAnswered,
)
from common.core.settings import RiskLimits, StrategySettings
from common.messages import Heartbeat, OrderState, Verdict
from common.units import SECOND
from conversation import DOWN, START_S, UP, WINDOW, Conversation, account, market, posture, tick


def heartbeat() -> Heartbeat:
    return Heartbeat(role="books", pid=1, state="ready", detail="", ages_ms={}, counters={})


def failed(talk: Conversation) -> set[str]:
    """Names of the gates that failed in the last verdict."""
    verdict: Verdict = talk.got(PublishVerdict)[-1].verdict
    return {gate.name for gate in verdict.gates if not gate.passed}


def test_buys_up_when_the_price_has_moved_and_the_book_has_not() -> None:
    talk = Conversation().opened()
    talk.at(31).hear(talk.book("up", 5_000), tick(30, 100_071))
    (order,) = talk.got(SendOrder)
    assert (order.submit.outcome, order.submit.token, order.submit.window) == ("up", UP, WINDOW)
    assert order.submit.limit4 == 6_100  # the highest grid price strictly below 0.62
    assert order.submit.intent_id == f"{WINDOW}/up/lag"


def test_buys_down_when_the_price_has_fallen() -> None:
    talk = Conversation().opened()
    talk.at(31).hear(talk.book("down", 5_000), tick(30, 99_929))
    (order,) = talk.got(SendOrder)
    assert (order.submit.outcome, order.submit.token) == ("down", DOWN)


@pytest.mark.parametrize(
    ("dollars", "at", "ask4", "gate"),
    [
        (100_070, 31, 5_000, "move"),  # exactly 0.07 % is not more than 0.07 %
        (100_200, 600, 5_000, "time left"),  # exactly 300 s left is not more than 300 s
        (100_200, 31, 6_200, "ask"),  # exactly 0.62 is not less than 0.62
    ],
)
def test_every_inequality_is_strict(dollars: float, at: float, ask4: int, gate: str) -> None:
    talk = Conversation().opened()
    talk.second = at
    talk.hear(talk.book("up", ask4), tick(at - 1, dollars))
    assert talk.got(SendOrder) == []
    assert failed(talk) == {gate}


def test_one_entry_per_window_even_when_everything_invites_again() -> None:
    talk = Conversation().opened()
    for second in range(31, 60):
        talk.second = second
        talk.hear(talk.book("up", 5_000), tick(second - 1, 100_300))
    assert len(talk.got(SendOrder)) == 1


def test_unknown_answer_keeps_the_window_closed() -> None:
    talk = Conversation().opened()
    talk.at(31).hear(talk.book("up", 5_000), tick(30, 100_300))
    for second in range(32, 120):
        talk.second = second
        talk.hear(talk.book("up", 5_000), tick(second - 1, 100_300))
    assert len(talk.got(SendOrder)) == 1


def test_definite_no_opens_the_window_again_after_a_pause() -> None:
    talk = Conversation().opened()
    talk.at(31).hear(talk.book("up", 5_000), tick(30, 100_300))
    talk.hear(SubmitAnswered(f"{WINDOW}/up/lag", accepted=False, text="posture"))
    talk.at(32).hear(talk.book("up", 5_000), tick(31, 100_300))
    assert len(talk.got(SendOrder)) == 1
    talk.second = 34
    talk.hear(talk.book("up", 5_000), tick(33, 100_300))
    assert len(talk.got(SendOrder)) == 2


def test_an_order_known_from_before_a_restart_counts_as_entered() -> None:
    talk = Conversation()
    order = OrderState(
        order_id="o", intent_id=f"{WINDOW}/down/lag", window=WINDOW, asset="btc", token=DOWN, outcome="down",
        limit4=6_100, stake_usd6=1, status="killed", reason="", filled_size6=0, cost_usd6=0, fee_usd6=0,
        created_ns=0, updated_ns=0,
    )  # fmt: skip
    talk.at(-10).hear(order)
    talk.opened()
    talk.at(31).hear(talk.book("up", 5_000), tick(30, 100_300))
    assert talk.got(SendOrder) == []


def test_no_strike_no_order() -> None:
    talk = Conversation()
    talk.at(0).hear(posture(), account(), market())
    talk.at(3).hear(tick(1, 100_000, "twap60"), tick(1, 100_000))
    talk.at(31).hear(talk.book("up", 5_000), tick(30, 100_300))
    assert talk.got(SendOrder) == []
    assert "passport" in failed(talk)
    assert "never came" in talk.got(PublishVerdict)[-1].verdict.gates[0].value


def test_strike_is_latched_once_and_a_later_value_alarms() -> None:
    talk = Conversation().opened(strike=100_000)
    talk.at(100).hear(tick(0, 90_000, "twap60"))
    strike = talk.state.windows[WINDOW].strike
    assert strike is not None
    assert strike.value == 100_000 * 10**18
    assert strike.disputes == 1
    assert [alert.alert.code for alert in talk.got(RaiseAlert)] == ["strike-disputed"]


def test_strike_from_history_is_the_first_value_not_the_correction() -> None:
    """The market is heard of only after its opening second was already corrected."""
    talk = Conversation()
    talk.at(2).hear(tick(0, 100_000, "twap60"), tick(0, 90_000, "twap60"))
    talk.at(3).hear(market())
    strike = talk.state.windows[WINDOW].strike
    assert strike is not None
    assert (strike.value, strike.disputes) == (100_000 * 10**18, 1)


def test_spot_tick_never_becomes_the_strike_of_a_twap_window() -> None:
    talk = Conversation()
    talk.at(2).hear(market(), tick(0, 100_000, "spot"), tick(0, 100_000, "twap30"))
    assert talk.state.windows[WINDOW].strike is None


def test_stale_oracle_decides_nothing() -> None:
    talk = Conversation().opened()
    talk.at(31).hear(tick(30, 100_300))
    talk.second = 36
    talk.hear(talk.book("up", 5_000))
    assert talk.got(SendOrder) == []
    assert "oracle age" in failed(talk)


def test_late_burst_of_old_observations_is_old_though_just_received() -> None:
    talk = Conversation().opened()
    talk.second = 60
    talk.hear(talk.book("up", 5_000), tick(30, 100_300), heartbeat())
    assert talk.got(SendOrder) == []
    assert "oracle age" in failed(talk)


def test_silent_book_decides_nothing() -> None:
    talk = Conversation().opened()
    talk.at(31).hear(tick(30, 100_300))  # books were stamped at second 2
    assert talk.got(SendOrder) == []
    assert "book" in failed(talk)


@pytest.mark.parametrize("status", ["waiting", "resync", "closed"])
def test_only_a_live_book_counts(status: str) -> None:
    talk = Conversation().opened()
    talk.second = 31
    talk.hear(talk.book("up", 5_000, status=status), tick(30, 100_300))
    assert talk.got(SendOrder) == []


def test_crossed_book_decides_nothing() -> None:
    talk = Conversation().opened()
    talk.second = 31
    talk.hear(talk.book("up", 5_000, bid4=5_100), tick(30, 100_300))
    assert talk.got(SendOrder) == []


def test_unrepaired_gap_stops_and_its_repair_releases() -> None:
    talk = Conversation().opened()
    talk.second = 31
    talk.hear(Incomplete(frozenset({"books"})), talk.book("up", 5_000), tick(30, 100_300))
    assert failed(talk) == {"input complete"}
    talk.at(32).hear(Incomplete(frozenset()), tick(31, 100_300))
    assert len(talk.got(SendOrder)) == 1


@pytest.mark.parametrize("name", ["no-new-orders", "paused", "halted"])
def test_posture_stops_orders(name: str) -> None:
    talk = Conversation().opened()
    talk.hear(posture(name))
    talk.at(31).hear(talk.book("up", 5_000), tick(30, 100_300))
    assert talk.got(SendOrder) == []
    assert "posture" in failed(talk)


def test_executor_never_heard_of_means_no_order() -> None:
    talk = Conversation()
    talk.at(0).hear(market())
    talk.at(2).hear(tick(0, 100_000, "twap60"), tick(0, 100_000))
    talk.second = 31
    talk.hear(talk.book("up", 5_000), tick(30, 100_300))
    assert talk.got(SendOrder) == []
    assert failed(talk) == {"executor"}


def test_window_a_day_ahead_is_refused_by_its_distance() -> None:
    talk = Conversation()
    talk.at(-85_000).hear(posture(), account(), market())
    assert failed(talk) >= {"passport"}
    assert "neither the current nor the next window" in talk.got(PublishVerdict)[-1].verdict.gates[0].value


def test_refused_market_stays_refused_with_its_reasons() -> None:
    talk = Conversation()
    talk.at(0).hear(posture(), account(), market(refusals=("unknown version 'v9'",)))
    talk.at(31).hear(tick(0, 100_000, "twap60"), tick(30, 100_300), talk.book("up", 5_000))
    assert talk.got(SendOrder) == []
    assert "v9" in talk.got(PublishVerdict)[-1].verdict.gates[0].value


def test_verdict_is_published_only_when_a_gate_turns() -> None:
    talk = Conversation().opened()
    for second in range(10, 20):
        talk.second = second
        talk.hear(tick(second - 1, 100_001 + second))
    assert len(talk.got(PublishVerdict)) <= 2


def test_official_outcome_against_ours_is_counted_and_alarms() -> None:
    talk = Conversation().opened(strike=100_000)
    talk.at(902).hear(tick(900, 100_001, "twap60"))
    talk.at(960).hear(market(closed=True, outcome="down"))
    assert talk.state.counts["outcomes_wrong"] == 1
    assert [alert.alert.code for alert in talk.got(RaiseAlert)] == ["outcome-disputed"]


def test_tie_is_up() -> None:
    talk = Conversation().opened(strike=100_000)
    talk.at(902).hear(tick(900, 100_000, "twap60"))
    talk.at(960).hear(market(closed=True, outcome="up"))
    assert talk.state.counts["outcomes_right"] == 1


def test_official_outcome_is_not_forgotten_by_a_poorer_reading() -> None:
    talk = Conversation().opened()
    talk.at(960).hear(market(closed=True, outcome="up"), market())
    assert talk.state.windows[WINDOW].market.outcome == "up"


def test_old_windows_are_dropped() -> None:
    talk = Conversation().opened()
    talk.at(900 + 901).hear(heartbeat())
    assert talk.state.windows == {}
    assert ForgetWindow(WINDOW) in talk.said
    talk.hear(market())
    assert talk.state.windows == {}, "a republished old window does not come back"


def test_history_informs_but_triggers_nothing() -> None:
    talk = Conversation().opened()
    before = len(talk.said)
    talk.at(400).hear(*(tick(second, 100_300) for second in range(1, 50)))
    assert len(talk.said) == before
    assert talk.state.series["btc"]["spot"]["rtds"].at((START_S + 20) * SECOND) is not None


def test_many_overlapping_windows_are_judged_each_by_its_own_strike_and_book() -> None:
    """Twenty windows of one asset, opened a second apart: every one is entered once, up to the limits."""
    roomy = RiskLimits(
        max_asset_usd6=10**12, max_direction_usd6=10**12, max_daily_loss_usd6=10**12, max_positions=100,
        max_orders_per_minute=100,
    )  # fmt: skip
    talk = Conversation(State(strategy=StrategySettings(), limits=roomy))
    talk.at(0).hear(posture(), account())
    for number in range(20):
        begins = (START_S + number) * SECOND
        talk.hear(
            market(
                window=f"w{number}",
                token_up=f"up{number}",
                token_down=f"down{number}",
                start_ns=begins,
                end_ns=begins + 900 * SECOND,
            )
        )
    talk.at(25).hear(*(tick(second, 100_000, "twap60") for second in range(20)))
    assert {held.strike.observed_ns for held in talk.state.windows.values() if held.strike} == {
        (START_S + number) * SECOND for number in range(20)
    }
    talk.second = 31
    talk.hear(*(talk.book("up", 5_000, token=f"up{n}", window=f"w{n}") for n in range(20)))
    talk.hear(tick(30, 100_300), tick(31, 100_300))
    assert sorted(order.submit.window for order in talk.got(SendOrder)) == sorted(f"w{n}" for n in range(20))
