"""Several routes to one price, stand-ins for paper trading, and the venue as a witness: as conversations."""

import msgspec
import pytest

from common.core.decision_state import Incomplete, PublishVerdict, PublishView, RaiseAlert, SendOrder, State
from common.core.settings import RiskLimits, StrategySettings
from common.messages import MarketState, Outcome, OutcomeSource, OutcomeWitness, SeriesKind, Tick, WindowView
from common.units import E18, SECOND
from conversation import START_S, Conversation, account, market, posture, tick

STRIKE = 100_000


def by(route: str, second: float, dollars: float, kind: SeriesKind = "spot", *, off_e18: int = 0) -> Tick:
    """A tick of one route."""
    made = tick(second, dollars, kind)
    return msgspec.structs.replace(made, route=route, e18=str(made.value + off_e18))


def gates(talk: Conversation) -> dict[str, tuple[bool, str]]:
    verdict = talk.got(PublishVerdict)[-1].verdict
    return {gate.name: (gate.passed, gate.value) for gate in verdict.gates}


def view(talk: Conversation) -> WindowView:
    return talk.got(PublishView)[-1].view


def settings(**changes: object) -> Conversation:
    chosen = StrategySettings(**changes)  # type: ignore[arg-type]
    return Conversation(State(strategy=chosen, limits=RiskLimits()))


def alerts(talk: Conversation) -> list[str]:
    return [effect.alert.code for effect in talk.got(RaiseAlert)]


def opened_by(*routes: str) -> Conversation:
    """The window is open and every route brought the opening second."""
    talk = Conversation()
    talk.at(0).hear(posture(), account(), market())
    talk.at(2).hear(*(by(route, 0, STRIKE, "twap60") for route in routes))
    talk.hear(talk.book("up", 5_000), talk.book("down", 5_100))
    return talk


def test_the_first_route_latches_the_strike_and_the_others_agree_with_it() -> None:
    talk = opened_by("chainlink", "polybolt", "rtds")
    strike = talk.state.windows[market().window].strike
    assert strike is not None
    assert (strike.route, strike.disputes) == ("chainlink", 0)


def test_a_route_that_writes_fewer_decimals_disputes_nothing() -> None:
    talk = opened_by("chainlink")
    talk.hear(by("polybolt", 0, STRIKE, "twap60", off_e18=-(10**9)))
    assert talk.state.counts["strike_disputes"] == 0
    talk.hear(by("rtds", 0, STRIKE + 1, "twap60"))
    assert talk.state.counts["strike_disputes"] == 1
    strike = talk.state.windows[market().window].strike
    assert strike is not None
    assert strike.value == STRIKE * E18
    assert alerts(talk) == ["strike-disputed"]


def test_a_route_with_a_gap_is_passed_over_while_another_is_whole() -> None:
    talk = opened_by("chainlink", "rtds")
    talk.at(31).hear(Incomplete(frozenset({"oracle-chainlink"})), talk.book("up", 5_000))
    talk.at(31.3).hear(by("chainlink", 30, STRIKE))
    talk.at(31.7).hear(by("rtds", 30, STRIKE + 200))
    (order,) = talk.got(SendOrder)
    assert order.submit.basis == "settlement"
    assert view(talk).reference_route == "rtds"


def test_when_every_route_has_a_gap_nothing_is_decided() -> None:
    talk = opened_by("chainlink", "rtds")
    every = frozenset(f"oracle-{route}" for route in talk.state.strategy.routes)
    talk.at(31).hear(Incomplete(every))
    talk.hear(talk.book("up", 5_000), by("rtds", 30, STRIKE + 200))
    assert not talk.got(SendOrder)
    assert not gates(talk)["input complete"][0]


def test_a_gap_of_the_exchanges_stops_nothing() -> None:
    talk = opened_by("rtds")
    talk.at(31).hear(Incomplete(frozenset({"oracle-exchange"})))
    talk.hear(talk.book("up", 5_000), by("rtds", 30, STRIKE + 200))
    assert talk.got(SendOrder)


def test_a_gap_of_the_books_stops_everything() -> None:
    talk = opened_by("rtds")
    talk.at(31).hear(Incomplete(frozenset({"books"})))
    talk.hear(talk.book("up", 5_000), by("rtds", 30, STRIKE + 200))
    assert not talk.got(SendOrder)


def test_a_value_that_only_gets_new_stamps_grows_old() -> None:
    """The relay ticks on with one value: after five seconds it decides nothing any more."""
    talk = opened_by("rtds")
    for second in range(20, 31):
        talk.at(second + 1).hear(by("rtds", second, STRIKE + 60))
    talk.hear(talk.book("up", 5_000))
    assert not gates(talk)["oracle age"][0]


def proxied(until: int = 12, **changes: object) -> Conversation:
    """Chainlink says nothing at all; Coinbase trades every second from a minute before the opening."""
    talk = settings(families=("chainlink", "coinbase"), **changes)
    talk.at(-61).hear(posture(), account(), market())
    for second in range(-60, until):
        talk.at(second + 0.2).hear(by("exchange", second, STRIKE, "coinbase"))
    return talk


def test_without_its_strike_a_window_may_be_judged_by_a_stand_in_on_paper() -> None:
    talk = proxied()
    talk.hear(talk.book("up", 5_000), talk.book("down", 5_100))
    talk.at(31).hear(talk.book("up", 5_000), by("exchange", 30.5, STRIKE + 200, "coinbase"))
    (order,) = talk.got(SendOrder)
    assert order.submit.basis == "proxy, not settlement"
    assert view(talk).basis == "proxy, not settlement"
    assert view(talk).strike_e18 is None


def test_no_stand_in_speaks_while_the_strike_may_still_come() -> None:
    talk = proxied(until=8)
    talk.at(9).hear(talk.book("up", 5_000), by("exchange", 8.9, STRIKE + 200, "coinbase"))
    assert not talk.got(SendOrder)
    talk.at(10.1).hear(talk.book("up", 5_000), by("exchange", 10, STRIKE + 200, "coinbase"))
    assert talk.got(SendOrder)


def test_with_real_money_a_stand_in_is_refused() -> None:
    talk = proxied(live=True)
    talk.hear(talk.book("up", 5_000), talk.book("down", 5_100))
    talk.at(31).hear(talk.book("up", 5_000), by("exchange", 30.5, STRIKE + 200, "coinbase"))
    assert not talk.got(SendOrder)
    assert "refused in live mode" in gates(talk)["move"][1]
    assert "no strike" in gates(talk)["passport"][1]


def test_a_stand_in_predicts_no_settlement() -> None:
    talk = proxied()
    talk.at(905).hear(by("exchange", 900, STRIKE + 200, "coinbase"))
    talk.hear(market(closed=True, outcome="up"))
    assert talk.state.counts["outcomes_right"] == talk.state.counts["outcomes_wrong"] == 0


@pytest.mark.parametrize(
    ("price_to_beat", "confirmed", "contradicted"),
    [(STRIKE * E18, 1, 0), (STRIKE * E18 + 5 * E18 // 1000, 1, 0), ((STRIKE + 1) * E18, 0, 1)],
)
def test_the_venues_own_strike_is_a_witness(price_to_beat: int, confirmed: int, contradicted: int) -> None:
    talk = opened_by("rtds")
    for _ in range(2):
        talk.at(961).hear(market(price_to_beat_e18=str(price_to_beat), closed=True))
    counts = talk.state.counts
    assert (counts["strikes_confirmed"], counts["strikes_contradicted"]) == (confirmed, contradicted)
    assert alerts(talk) == ["strike-contradicted"] * contradicted
    strike = talk.state.windows[market().window].strike
    assert strike is not None
    assert strike.value == STRIKE * E18


def told(outcome: Outcome | None, **witnesses: Outcome) -> MarketState:
    names: dict[str, OutcomeSource] = {"gamma": "gamma", "data": "data-api", "clob": "clob"}
    said = tuple(OutcomeWitness(names[name], found) for name, found in witnesses.items())
    return market(outcome=outcome, closed=True, witnesses=said)


def test_services_that_agree_raise_no_alarm() -> None:
    talk = opened_by("rtds")
    talk.at(905).hear(by("rtds", 900, STRIKE + 1, "twap60"))
    talk.at(960).hear(told("up", gamma="up", data="up", clob="up"))
    assert talk.state.counts["outcomes_right"] == 1
    assert not alerts(talk)
    assert {one.source for one in view(talk).witnesses} == {"gamma", "data-api", "clob"}
    assert view(talk).closing_e18 == str((STRIKE + 1) * E18)


def test_services_that_contradict_each_other_alarm_once() -> None:
    talk = opened_by("rtds")
    for _ in range(3):
        talk.at(960).hear(told(None, gamma="up", data="down"))
    assert alerts(talk) == ["outcome-contradicted"]
    assert talk.state.counts["outcomes_contradicted"] == 1


def test_an_official_outcome_that_is_contradicted_later_alarms() -> None:
    talk = opened_by("rtds")
    talk.at(960).hear(told("up", gamma="up"))
    talk.at(970).hear(told("up", gamma="up", clob="down"))
    assert alerts(talk)[-1] == "outcome-contradicted"


def test_a_strike_found_late_is_the_best_routes_first_value() -> None:
    """The window is discovered after its opening: what the routes brought is still known."""
    talk = Conversation()
    talk.at(2).hear(by("rtds", 0, STRIKE + 3, "twap60"), by("chainlink", 0, STRIKE, "twap60"))
    talk.at(3).hear(by("chainlink", 0, STRIKE + 5, "twap60"))
    talk.at(20).hear(posture(), account(), market())
    strike = talk.state.windows[market().window].strike
    assert strike is not None
    assert (strike.route, strike.value) == ("chainlink", STRIKE * E18)
    assert strike.disputes == 2
    assert strike.observed_ns == START_S * SECOND
