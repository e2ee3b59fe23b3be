"""Generated markets: order, determinism, settlement by their own ticks, and chances for a late book."""

from itertools import pairwise, takewhile

from common.sim.generated import generated_script
from common.sim.script import BookSet, Listed, Observed, Resolved, Step, StrikePublished
from common.sim.settings import SimSettings
from common.units import SECOND

NOW = 1_790_000_000_123_456_789
DEMO = SimSettings(
    window_s=60,
    twap_lookback_s=30,
    book_lag_s=12.0,
    jump_ppm=2_500,
    resolution_delay_s=2.5,
    seed=7,
)
LONG = 400


def played(settings: SimSettings = DEMO, seconds: int = LONG, now_ns: int = NOW) -> list[Step]:
    steps = generated_script(settings, now_ns).steps
    return list(takewhile(lambda step: step.at_ns < now_ns + seconds * SECOND, steps))


def ticks(steps: list[Step], topic: str, symbol: str) -> dict[int, int]:
    return {
        event.observed_ms: event.value_e18
        for _, event in ((step.at_ns, step.event) for step in steps)
        if isinstance(event, Observed) and (event.topic, event.symbol) == (topic, symbol)
    }


def test_steps_come_in_order_and_never_before_the_start() -> None:
    steps = played()
    assert steps[0].at_ns >= NOW
    assert all(a.at_ns <= b.at_ns for a, b in pairwise(steps))


def test_same_seed_and_start_give_the_same_stream_and_another_seed_does_not() -> None:
    assert played(seconds=30) == played(seconds=30)
    other = SimSettings(window_s=60, twap_lookback_s=30, seed=8)
    assert played(other, seconds=30) != played(seconds=30)


def test_windows_are_consecutive_and_the_next_two_are_always_listed() -> None:
    steps = played()
    listed: dict[str, list[tuple[int, int]]] = {}
    for step in steps:
        if isinstance(step.event, Listed):
            spec = step.event.market
            assert spec.slug == f"{spec.asset}-updown-1m-{spec.start_ns // SECOND}"
            assert spec.end_ns - spec.start_ns == 60 * SECOND
            listed.setdefault(spec.asset, []).append((step.at_ns, spec.start_ns))
    assert set(listed) == {"btc", "eth", "sol", "xrp"}
    for windows in listed.values():
        starts = [start for _, start in windows]
        assert starts[0] % SECOND == 0
        assert 4 * SECOND < starts[0] - NOW < 8 * SECOND
        assert [b - a for a, b in pairwise(starts)] == [60 * SECOND] * (len(starts) - 1)
        for (at_ns, _), opening in zip(windows[2:], starts, strict=False):
            assert at_ns <= opening


def test_every_outcome_follows_from_the_ticks_at_the_boundaries() -> None:
    steps = played()
    specs = {s.event.market.slug: s.event.market for s in steps if isinstance(s.event, Listed)}
    strikes = {s.event.slug: s.event.value_e18 for s in steps if isinstance(s.event, StrikePublished)}
    resolved = [(s.at_ns, s.event) for s in steps if isinstance(s.event, Resolved)]
    assert len(resolved) > 15
    for at_ns, event in resolved:
        spec = specs[event.slug]
        series = ticks(steps, "crypto_prices_twap_thirty", f"{spec.asset}/usd")
        opened, closed = series[spec.start_ns // 10**6], series[spec.end_ns // 10**6]
        assert strikes[event.slug] == opened
        assert event.final_e18 == closed
        assert event.outcome == ("Up" if closed >= opened else "Down")
        assert 2 * SECOND < at_ns - spec.end_ns < 3 * SECOND


def test_averages_are_the_mean_of_the_spot_seconds() -> None:
    steps = played(seconds=90)
    spot = ticks(steps, "crypto_prices_chainlink", "eth/usd")
    for topic, lookback in (("crypto_prices_twap_thirty", 30), ("crypto_prices_twap_sixty", 60)):
        series = ticks(steps, topic, "eth/usd")
        stamp = min(spot) + lookback * 1_000
        values = [spot[stamp - back * 1_000] for back in range(lookback)]
        assert series[stamp] == sum(values) // lookback
        assert min(series) == min(spot)


def test_a_spot_rule_settles_on_spot() -> None:
    settings = SimSettings(window_s=10, twap_lookback_s=None, assets=("btc",), resolution_delay_s=1.0)
    steps = played(settings, seconds=40)
    spec = next(s.event.market for s in steps if isinstance(s.event, Listed))
    spot = ticks(steps, "crypto_prices_chainlink", "btc/usd")
    strike = next(s.event for s in steps if isinstance(s.event, StrikePublished))
    assert spec.twap_lookback_s is None
    assert spec.slug.startswith("btc-updown-10s-")
    assert strike.value_e18 == spot[spec.start_ns // 10**6]


def test_the_exchange_leads_the_oracle() -> None:
    delays: dict[str, list[int]] = {}
    for step in played(seconds=60):
        if isinstance(step.event, Observed):
            delays.setdefault(step.event.topic, []).append(step.at_ns // 10**6 - step.event.observed_ms)
    assert max(delays["crypto_prices"]) < 200
    assert 200 < min(delays["crypto_prices_chainlink"]) < max(delays["crypto_prices_chainlink"]) < 700


def test_several_windows_let_a_late_book_be_bought() -> None:
    steps = played(seconds=300)
    specs, series, asks, chances = {}, {}, {}, set()
    for step in steps:
        match step.event:
            case Listed(spec):
                specs[spec.slug] = spec
            case BookSet(token, _, offered) if offered:
                asks[token] = float(offered[-1][0])
            case Observed("crypto_prices_twap_thirty", symbol, stamp, value):
                series[symbol, stamp] = value
                for spec in specs.values():
                    opened = series.get((f"{spec.asset}/usd", spec.start_ns // 10**6))
                    if not symbol.startswith(spec.asset) or opened is None or step.at_ns > spec.end_ns:
                        continue
                    token = spec.token_up if value > opened else spec.token_down
                    if abs(value - opened) * 10_000 > 7 * opened and asks[token] < 0.62:
                        chances.add(spec.slug)
    assert len(chances) >= 3


def test_a_start_in_the_past_goes_on_with_the_same_world() -> None:
    begun = SimSettings(window_s=60, assets=("btc",), starts_at_ns=NOW)
    assert played(begun, 20) == list(
        takewhile(
            lambda step: step.at_ns < NOW + 20 * SECOND,
            generated_script(begun, NOW + 500 * SECOND).steps,
        )
    )
