"""The route audit: seven ways in which a route goes wrong, each named, and the posture that follows."""

import csv
import gzip
import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path as FilePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core.decision_state import AskPosture, PublishAudit, PublishVerdict, SendOrder
from common.core.moment import Moment
from common.core.price_buffer import PriceBuffer
from common.core.route_audit import (
    FROZEN_NS,
    HOLD_SECONDS,
    JUDGE_AFTER_NS,
    RouteAudits,
    SeriesId,
    audit_second,
    disagreement,
    judge_second,
)
from common.messages import Heartbeat, RouteState, RouteView, Tick
from common.units import E18, SECOND
from conversation import START_S, Conversation, account, market, posture
from slow_judgement import slow_disagreement

ORDER = ("chainlink", "polybolt", "rtds")
LIMIT_PPM = 50
Point = tuple[int, int, float]
"""Second, value, and how many seconds after its stamp it came."""
Path = Callable[[int], int]


def walk(seed: int = 1) -> Path:
    """A price that moves every second by more than the limit."""
    rng, values = random.Random(seed), {0: 60_000 * E18}
    for second in range(1, 400):
        values[second] = values[second - 1] + rng.choice((-1, 1)) * rng.randint(4, 9) * E18
    return lambda second: values[second]


def held(points: list[Point]) -> PriceBuffer:
    """What a route brought, in the order of its stamps; both clocks agree in these tests."""
    made = PriceBuffer(3_600 * SECOND)
    for second, value, lag in points:
        made.add(second * SECOND, value, int((second + lag) * SECOND))
    return made


def healthy(path: Path, last: int, lag: float = 0.5) -> list[Point]:
    return [(second, path(second), lag) for second in range(last + 1)]


def judged(
    second: int, routes: Mapping[str, PriceBuffer], live: tuple[str, ...] = ORDER, **repeats: float
) -> tuple[RouteState, dict[str, RouteView]]:
    """One second, judged when it is due."""
    now = second * SECOND + JUDGE_AFTER_NS
    at_ns = {route: int(when * SECOND) for route, when in repeats.items()}
    state, views = judge_second(second * SECOND, routes, live, at_ns, LIMIT_PPM, Moment(now, now))
    return state, {view.route: view for view in views}


def three(bad: list[Point], last: int) -> dict[str, PriceBuffer]:
    """Two healthy routes, and rtds as given."""
    path = walk()
    return {
        "chainlink": held(healthy(path, last, 0.3)),
        "polybolt": held(healthy(path, last, 0.6)),
        "rtds": held(bad),
    }


def test_healthy_routes_agree_with_their_lags_side_by_side() -> None:
    state, views = judged(100, three(healthy(walk(), 100, 1.25), 100))
    assert state == "agree"
    assert {route: view.lag_ms for route, view in views.items()} == {
        "chainlink": 300,
        "polybolt": 600,
        "rtds": 1250,
    }
    assert {route: view.behind_ms for route, view in views.items()} == {
        "chainlink": 0,
        "polybolt": 300,
        "rtds": 950,
    }
    assert views["rtds"].e18 == str(walk()(100))


def test_a_value_written_with_fewer_decimals_agrees() -> None:
    rounded = [(second, value // 10**12 * 10**12, lag) for second, value, lag in healthy(walk(), 100)]
    assert judged(100, three(rounded, 100))[0] == "agree"


def stalled(path: Path, last: int) -> list[Point]:
    return healthy(path, last - 30)


def one_second_lost(path: Path, last: int) -> list[Point]:
    return [point for point in healthy(path, last) if point[0] != last]


def value_repeats(path: Path, last: int, since: int) -> list[Point]:
    return [(second, path(min(second, last - since)), 1.0) for second in range(last + 1)]


def late(path: Path, last: int) -> list[Point]:
    return [(second, path(second), 3.5 if second == last else 1.0) for second in range(last + 1)]


def wrong(path: Path, last: int) -> list[Point]:
    return [(second, path(second) + path(second) // 10_000, 1.0) for second in range(last + 1)]


SHAPES: dict[str, tuple[Callable[[Path, int], list[Point]], RouteState]] = {
    "stalled for half a minute": (stalled, "frozen"),
    "one second lost": (one_second_lost, "missing"),
    "one value for four seconds": (lambda path, last: value_repeats(path, last, 4), "held"),
    "one value for one second": (lambda path, last: value_repeats(path, last, 1), "held"),
    "one value for twenty seconds": (lambda path, last: value_repeats(path, last, 20), "frozen"),
    "late": (late, "late"),
    "off by a ten-thousandth": (wrong, "diverged"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_is_named_and_the_others_stay_well(shape: str) -> None:
    make, expected = SHAPES[shape]
    state, views = judged(100, three(make(walk(), 100), 100))
    assert (views["rtds"].state, state) == (expected, expected)
    assert views["chainlink"].state == views["polybolt"].state == "agree"
    assert views["rtds"].text


def test_the_classification_holds_on_generated_paths() -> None:
    """Of 7 shapes on 60 paths each, at least 99 % are called what they are."""
    right = Counter[str]()
    for seed in range(60):
        path = walk(seed)
        for shape, (make, expected) in SHAPES.items():
            second = 60 + seed * 5
            routes = {
                "chainlink": held(healthy(path, second, 0.3)),
                "polybolt": held(healthy(path, second, 0.6)),
                "rtds": held(make(path, second)),
            }
            right[shape] += judged(second, routes)[1]["rtds"].state == expected
    assert sum(right.values()) >= 0.99 * 60 * len(SHAPES), right


def test_a_clock_that_stands_still_is_held_then_frozen() -> None:
    stuck = healthy(walk(), 96)
    assert judged(100, three(stuck, 100), rtds=103)[1]["rtds"].state == "held"
    assert judged(100, three(stuck, 100))[1]["rtds"].state == "missing"
    assert judged(100, three(healthy(walk(), 90), 100), rtds=103)[1]["rtds"].state == "frozen"


def test_a_route_that_never_spoke_is_missing() -> None:
    assert judged(100, {}, ("rtds",))[0] == "missing"


def test_of_two_routes_that_differ_both_are_doubted() -> None:
    routes = {"chainlink": held(healthy(walk(), 100)), "rtds": held(wrong(walk(), 100))}
    _, views = judged(100, routes, ("chainlink", "rtds"))
    assert {view.state for view in views.values()} == {"diverged"}


def test_a_route_that_stands_still_beside_one_that_moves_is_no_contradiction() -> None:
    routes = {"chainlink": held(healthy(walk(), 100)), "rtds": held(value_repeats(walk(), 100, 1))}
    _, views = judged(100, routes, ("chainlink", "rtds"))
    assert (views["chainlink"].state, views["rtds"].state) == ("agree", "held")


@pytest.mark.parametrize(("ppm", "state"), [(49, "agree"), (51, "diverged")])
def test_the_limit_is_what_is_configured(ppm: int, state: str) -> None:
    path = walk()
    near = [(second, path(second) + path(second) * ppm // 1_000_000, 1.0) for second in range(101)]
    assert judged(100, three(near, 100))[1]["rtds"].state == state


def test_a_contradiction_is_seen_at_once_on_the_newest_shared_second() -> None:
    now = Moment(101 * SECOND, 101 * SECOND)
    path = walk()
    right, off = held(healthy(path, 100)), held(wrong(path, 99))
    assert "chainlink says" in disagreement({"chainlink": right, "rtds": off}, ORDER, LIMIT_PPM, now)
    assert not disagreement({"chainlink": right, "rtds": off}, ("chainlink",), LIMIT_PPM, now)
    assert not disagreement({"chainlink": right, "rtds": held(healthy(path, 99))}, ORDER, LIMIT_PPM, now)
    long_after = Moment(100 * SECOND + 2 * FROZEN_NS, 0)
    assert not disagreement({"chainlink": right, "rtds": off}, ORDER, LIMIT_PPM, long_after)


class Trio:
    """An engine that hears three routes second by second."""

    def __init__(self) -> None:
        self.talk = Conversation()
        self.path = walk()
        self.talk.at(0).hear(posture(), account(), market())

    def beat(self, route: str, state: str = "ready") -> None:
        ages = {} if state == "disabled" else {"spot/btc": 0, "twap60/btc": 0}
        self.talk.hear(
            Heartbeat(
                role=f"oracle-{route}",
                pid=1,
                state=state,  # type: ignore[arg-type]
                detail="",
                ages_ms=ages,
                counters={},
            )
        )

    def second(
        self, second: int, values: Mapping[str, int | None], *, other: Mapping[str, int] | None = None
    ) -> None:
        """Everybody's ticks of one second, a second after it, then heartbeats; ``other``: the TWAP's."""
        self.talk.at(second + 1)
        for route in values:
            for kind, told in (("spot", values), ("twap60", other or values)):
                value = told[route]
                if value is not None:
                    stamp_ns = (START_S + second) * SECOND
                    tick = Tick(asset="btc", kind=kind, route=route, observed_ns=stamp_ns, e18=str(value))
                    self.talk.hear(tick)
        for route in values:
            self.beat(route)

    def run(self, first: int, last: int, **offsets: int) -> None:
        for second in range(first, last + 1):
            right = self.path(second)
            self.second(second, {route: right + offsets.get(route, 0) for route in ORDER})

    def audits(self) -> list[PublishAudit]:
        return self.talk.got(PublishAudit)

    def asked(self) -> list[str]:
        return [effect.posture for effect in self.talk.got(AskPosture)]


def test_every_second_is_judged_once_for_every_series() -> None:
    trio = Trio()
    trio.run(0, 60)
    spot = [effect.audit for effect in trio.audits() if effect.audit.kind == "spot"]
    stamps = [audit.second_ns for audit in spot]
    assert stamps == list(range(stamps[0], stamps[-1] + 1, SECOND))
    assert len(stamps) >= 57
    well = sum(audit.state == "agree" for audit in spot[5:])
    assert well == len(spot[5:])
    assert spot[-1].seconds["agree"] >= 50
    assert not trio.asked()


def test_a_clock_that_is_set_back_stops_no_audit() -> None:
    """It was an hour ahead for a moment; what it judged then is no reason to judge nothing for an hour."""
    trio = Trio()
    trio.run(0, 20)
    trio.talk.at(3_600)
    trio.beat("rtds")
    before = len(trio.audits())
    trio.run(21, 40)
    stamps = {effect.audit.second_ns // SECOND - START_S for effect in trio.audits()[before:]}
    assert stamps >= set(range(30, 36))


def test_a_disabled_route_is_not_missed() -> None:
    trio = Trio()
    trio.beat("polybolt", "disabled")
    for second in range(20):
        trio.second(second, {"chainlink": trio.path(second), "rtds": trio.path(second)})
    assert {view.route for view in trio.audits()[-1].audit.routes} == {"chainlink", "rtds"}
    assert trio.audits()[-1].audit.state == "agree"


def entering(trio: Trio, second: int, move: int = 100) -> None:
    """Books that invite, and a move of the price that would be bought."""
    talk = trio.talk
    talk.at(second + 1).hear(talk.book("up", 5_000), talk.book("down", 5_100))
    steady = trio.path(second - 1)
    trio.path = lambda _second: steady + move * E18


def test_no_order_while_routes_contradict_each_other_and_the_posture_follows() -> None:
    trio = Trio()
    trio.run(0, 30)
    trio.run(31, 40, rtds=60_000 * E18 // 5_000)
    assert trio.asked()[:1] == ["no-new-orders"]
    entering(trio, 41)
    trio.run(41, 44, rtds=60_000 * E18 // 5_000)
    assert not trio.talk.got(SendOrder)
    gates = {gate.name: gate for gate in trio.talk.got(PublishVerdict)[-1].verdict.gates}
    assert gates["move"].passed
    assert not gates["oracle routes"].passed
    assert "diverged" in gates["oracle routes"].value


def test_without_the_contradiction_the_same_market_is_bought() -> None:
    trio = Trio()
    trio.run(0, 40)
    entering(trio, 41)
    trio.run(41, 44)
    assert trio.talk.got(SendOrder)


def test_the_rule_lifts_only_what_it_set_and_only_after_it_watched() -> None:
    trio = Trio()
    trio.run(0, 20)
    trio.run(21, 30, rtds=60_000 * E18 // 5_000)
    assert trio.asked()[-1] == "no-new-orders"
    by_rule = posture("no-new-orders")
    trio.talk.hear(type(by_rule)(posture="no-new-orders", reason="", who="routes", since_ns=0))
    trio.run(31, 36)
    assert trio.asked()[-1] == "no-new-orders"
    trio.run(37, 50)
    assert trio.asked()[-1] == "trading"

    other = Trio()
    other.talk.hear(posture("no-new-orders"))
    other.run(0, 30)
    assert not other.asked()


def test_one_contradicted_series_holds_all_new_orders() -> None:
    trio = Trio()
    trio.run(0, 20)
    for second in range(21, 30):
        right = dict.fromkeys(ORDER, trio.path(second))
        trio.second(second, right | {"rtds": right["rtds"] + 12 * E18}, other=right)
    assert {series.kind for series in trio.talk.state.routes.holds} == {"spot"}
    assert trio.asked()[:1] == ["no-new-orders"]


def test_one_frozen_series_holds_its_asset_and_no_more() -> None:
    trio = Trio()
    trio.run(0, 20)
    for second in range(21, 45):
        trio.second(second, dict.fromkeys(ORDER), other=dict.fromkeys(ORDER, trio.path(second)))
    assert {series.kind for series in trio.talk.state.routes.holds} == {"spot"}
    assert not trio.asked()
    trio.talk.hear(trio.talk.book("up", 5_000))
    gates = {gate.name: gate for gate in trio.talk.got(PublishVerdict)[-1].verdict.gates}
    assert gates["oracle routes"].value.startswith("spot frozen")


def test_after_a_restart_the_rule_watches_before_it_lifts() -> None:
    """The posture is the rule's own, from before; that all is well has to be seen first."""
    trio = Trio()
    held = posture("no-new-orders")
    trio.talk.hear(type(held)(posture="no-new-orders", reason="", who="routes", since_ns=0))
    trio.run(0, 6)
    assert 0 < len(trio.audits()) <= 2 * HOLD_SECONDS
    assert not trio.asked()
    trio.run(7, 12)
    assert trio.asked()[:1] == ["trading"]


def test_when_nothing_moves_on_any_route_no_new_orders() -> None:
    trio = Trio()
    trio.run(0, 20)
    for second in range(21, 40):
        trio.second(second, dict.fromkeys(ORDER))
    assert trio.asked()[:1] == ["no-new-orders"]
    assert "frozen" in trio.audits()[-1].audit.hold


def test_one_frozen_route_of_three_holds_nothing() -> None:
    trio = Trio()
    trio.run(0, 20)
    for second in range(21, 45):
        value = trio.path(second)
        trio.second(second, {"chainlink": value, "polybolt": value, "rtds": None})
    audit = trio.audits()[-1].audit
    assert (audit.state, audit.hold) == ("frozen", "")
    assert not trio.asked()


def test_a_route_is_not_missed_before_it_had_time_to_begin() -> None:
    """It counts from its first second, or once it has been silent for too long after its start."""
    trio = Trio()
    for second in range(30):
        value = trio.path(second)
        late = value if second >= 10 else None
        trio.second(second, {"chainlink": value, "rtds": late, "polybolt": None})
    spot = [effect.audit for effect in trio.audits() if effect.audit.kind == "spot"]
    judged_of = {
        route: [
            (audit.second_ns // SECOND - START_S)
            for audit in spot
            if any(view.route == route for view in audit.routes)
        ]
        for route in ORDER
    }
    assert judged_of["rtds"][0] == 10
    assert 11 <= judged_of["polybolt"][0] <= 13
    assert {view.state for audit in spot for view in audit.routes if view.route == "polybolt"} == {"missing"}


def test_a_recorded_day_holds_orders_only_in_its_real_silences(shared_data: FilePath) -> None:
    """8 June 2026 as two routes, the relay and one a second faster: they never contradict each other."""
    arrivals: list[tuple[int, str, int, int]] = []
    with gzip.open(
        shared_data / "recordings/chainlink_rtds_btc_ticks_2026-06-08.csv.gz", "rt", newline=""
    ) as file:
        for row in csv.DictReader(file):
            stamp_ns, value = int(row["feed_ts_ms"]) * 1_000_000, int(row["full_accuracy_value"])
            received_ns = int(row["recv_ms"]) * 1_000_000
            arrivals.append((received_ns, "rtds", stamp_ns, value))
            arrivals.append((received_ns - SECOND, "chainlink", stamp_ns, value))
    arrivals.sort()
    routes = {"chainlink": PriceBuffer(600 * SECOND), "rtds": PriceBuffer(600 * SECOND)}
    audits, series, states = RouteAudits(), SeriesId("btc", "spot"), Counter[str]()
    place = newest = silent = episodes = held_seconds = 0
    was_silent = False
    first, last = (pick(stamp for _, _, stamp, _ in arrivals) // SECOND for pick in (min, max))
    for second in range(first, last + 1):
        now_ns = second * SECOND + JUDGE_AFTER_NS
        while place < len(arrivals) and arrivals[place][0] <= now_ns:
            received_ns, route, stamp_ns, value = arrivals[place]
            routes[route].add(stamp_ns, value, received_ns)
            newest, place = max(newest, stamp_ns // SECOND), place + 1
        audit = audit_second(
            audits, series, second * SECOND, routes, tuple(routes), LIMIT_PPM, Moment(now_ns, now_ns)
        )
        states[audit.state] += 1
        held_seconds += bool(audit.hold)
        is_silent = second - newest >= FROZEN_NS // SECOND
        silent, episodes = silent + is_silent, episodes + (is_silent and not was_silent)
        was_silent = is_silent
    assert states["diverged"] == 0
    assert states["agree"] >= 0.96 * sum(states.values()), states
    assert silent > 0
    assert silent <= held_seconds <= silent + HOLD_SECONDS * episodes


points = st.lists(
    st.tuples(st.integers(0, 14), st.sampled_from([60_000, 60_002, 60_100, 60_200])), max_size=8
)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys((*ORDER, "other"), points)),
    st.sets(st.sampled_from(ORDER)),
    st.integers(8, 26),
)
def test_a_disagreement_is_found_as_by_laying_all_seconds_side_by_side(
    brought: dict[str, list[tuple[int, int]]], watching: set[str], second: int
) -> None:
    routes = {route: held([(at, value * E18, 0.5) for at, value in seen]) for route, seen in brought.items()}
    live = [route for route in ORDER if route in watching]
    now = Moment(second * SECOND, second * SECOND)
    assert disagreement(routes, live, LIMIT_PPM, now) == slow_disagreement(routes, live, LIMIT_PPM, now)
