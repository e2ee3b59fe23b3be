"""When an observation gets to the clients of one route, and what is remembered of it."""

import asyncio

from common.sim.faults import FaultBoard, FrozenTime, RepeatValue, WrongValue
from common.sim.generated import ROUTE_DELAYS_MS, generated_script
from common.sim.oracle.oracle_route import OracleRoute
from common.sim.script import Observed
from common.sim.settings import SimSettings
from common.sim.world import Ticked
from stage import EXCHANGE, SPOT, START_S, TWAP, eventually, observed

MS = 1_000_000
NOW_MS = START_S * 1000


class _Way:
    """A route whose clock stands still, and what came out of it."""

    def __init__(self, delay_ms: int = 0) -> None:
        self.now_ms = NOW_MS
        self.board = FaultBoard()
        self.out: list[Ticked] = []
        self.route = OracleRoute(
            "polybolt", self.board, delay_ms, lambda: self.now_ms * MS, self.out.append, lambda _: ("own",)
        )

    def carry(self, point: Observed, at_ms: int) -> None:
        self.route.carry(Ticked(point, at_ms))

    @property
    def stamps(self) -> list[int]:
        return [ticked.observed.observed_ms // 1000 - START_S for ticked in self.out]


def test_without_a_delay_an_observation_arrives_at_its_own_instant() -> None:
    way = _Way()
    way.carry(observed(0, 7), NOW_MS + 900)
    assert way.out == [Ticked(observed(0, 7), NOW_MS + 900)]


def test_a_delayed_observation_arrives_later_and_says_when_it_left() -> None:
    async def scene() -> None:
        way = _Way(300)
        way.carry(observed(0, 7), NOW_MS)
        way.now_ms += 299
        way.carry(observed(1, 8), NOW_MS + 299)
        assert way.out == [] and way.route.history(TWAP, "btc/usd") == []
        way.now_ms += 1
        way.carry(observed(2, 9), NOW_MS + 300)
        assert way.out == [Ticked(observed(0, 7), NOW_MS + 300)]
        assert way.route.history(TWAP, "btc/usd") == [observed(0, 7)]
        way.now_ms += 10_000
        way.carry(observed(3, 9), NOW_MS + 9_000)
        assert way.stamps == [0, 1, 2, 3]
        way.route.stop()

    asyncio.run(scene())


def test_a_delayed_observation_arrives_by_itself_and_never_after_the_end() -> None:
    async def scene() -> None:
        way = _Way(20)
        way.carry(observed(0, 7), NOW_MS)
        way.now_ms += 20
        await eventually(lambda: len(way.out) == 1)
        way.carry(observed(1, 7), NOW_MS + 20)
        way.route.stop()
        way.now_ms += 1_000
        way.carry(observed(2, 7), NOW_MS)
        assert way.stamps == [0, 2]

    asyncio.run(scene())


def test_observations_of_one_instant_keep_their_order() -> None:
    async def scene() -> None:
        way = _Way(100)
        symbols = [f"{letter}/usd" for letter in "zyxwvutsrqponm"]
        for symbol in symbols:
            way.carry(observed(0, 7, symbol=symbol), NOW_MS)
        way.now_ms += 100
        way.carry(observed(0, 7, symbol="last/usd"), NOW_MS)
        assert [ticked.observed.symbol for ticked in way.out] == [*symbols, "last/usd"]

    asyncio.run(scene())


def test_prices_of_an_exchange_are_early_on_every_route() -> None:
    way = _Way(300)
    way.carry(observed(0, 7, EXCHANGE, "btcusdt"), NOW_MS)
    assert len(way.out) == 1


def test_history_is_two_minutes_of_each_series_and_a_correction_replaces_its_second() -> None:
    way = _Way()
    for second in range(200):
        way.carry(observed(second, second + 1), NOW_MS)
        way.carry(observed(second, 5, SPOT), NOW_MS)
    way.carry(observed(199, 777), NOW_MS)
    points = way.route.history(TWAP, "btc/usd")
    assert len(points) == 120 and points[-1].observed_ms == (START_S + 199) * 1000
    assert [point.value_e18 for point in points[-2:]] == [199, 777]
    assert [point.value_e18 for point in way.route.history(TWAP, "btc/usd", 2)] == [199, 777]
    assert way.route.history(TWAP, "eth/usd") == []


def test_history_tells_what_the_clients_were_told() -> None:
    way = _Way()
    way.carry(observed(0, 1_000_000), NOW_MS)
    way.board.replace((WrongValue(channel="polybolt", ppm=-20),))
    way.carry(observed(1, 1_000_000), NOW_MS)
    way.board.replace((RepeatValue(channel="polybolt", key="own"),))
    way.carry(observed(2, 3_000_000), NOW_MS)
    way.board.replace(())
    way.carry(observed(3, 4_000_000), NOW_MS)
    assert [point.value_e18 for point in way.route.history(TWAP, "btc/usd")] == [
        1_000_000,
        999_980,
        1_000_000,
        4_000_000,
    ]


def test_a_frozen_clock_never_makes_the_history_grow() -> None:
    way = _Way()
    way.carry(observed(0, 1), NOW_MS)
    way.board.replace((FrozenTime(channel="polybolt"),))
    for second in range(1, 500):
        way.carry(observed(second, second), NOW_MS)
    assert way.stamps == [0] * 500
    (point,) = way.route.history(TWAP, "btc/usd")
    assert point.value_e18 == 499
    way.board.replace(())
    way.carry(observed(500, 1), NOW_MS)
    assert way.stamps[-1] == 500


def test_faults_of_another_channel_change_nothing() -> None:
    way = _Way()
    way.carry(observed(0, 1_000_000), NOW_MS)
    way.board.replace(
        (RepeatValue(channel="rtds"), FrozenTime(channel="chainlink"), WrongValue(channel="rtds", ppm=9))
    )
    way.carry(observed(1, 2_000_000), NOW_MS)
    assert way.out[-1].observed == observed(1, 2_000_000)


def test_generated_observations_reach_each_route_at_its_measured_age() -> None:
    now_ns = START_S * 10**9
    ages: dict[str, list[int]] = {channel: [] for channel in ROUTE_DELAYS_MS}
    script = generated_script(SimSettings(assets=("btc",), window_s=60), now_ns)
    for step in script.steps:
        if step.at_ns > now_ns + 60 * 10**9:
            break
        if isinstance(step.event, Observed) and step.event.topic == SPOT:
            for channel, delay_ms in script.route_delays_ms.items():
                ages[channel].append(step.at_ns // MS + delay_ms - step.event.observed_ms)
    assert min(ages["chainlink"]) >= 250 and max(ages["chainlink"]) <= 600
    assert min(ages["polybolt"]) >= 550 and max(ages["polybolt"]) <= 900
    assert min(ages["rtds"]) >= 950 and max(ages["rtds"]) <= 1_300
