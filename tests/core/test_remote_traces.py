from hypothesis import given
from hypothesis import strategies as st

from common.core.remote.traces import MAX_SIGHTS, MAX_WINDOWS, Traces
from common.messages import WindowView
from common.units import SECOND
from window_bodies import START_S, WINDOW, fill

START_NS = START_S * SECOND


def view(window: str = WINDOW, start_ns: int = START_NS, asset: str = "btc", **changes: object) -> WindowView:
    fields = {
        "window": window, "asset": asset, "start_ns": start_ns, "end_ns": start_ns + 900 * SECOND,
        "strike_e18": None, "strike_source": "", "strike_disputes": 0, "reference_e18": "5", "tradable": True,
        "reference_family": "chainlink", "move_ppm": None, "up_bid4": 5700, "up_ask4": 5800,
        "down_bid4": None, "down_ask4": 4300, "reason": "", "predicted": None, "outcome": None,
    }  # fmt: skip
    return WindowView(**(fields | changes))  # type: ignore[arg-type]


def test_one_sight_a_second_within_the_window_and_a_minute_around_it() -> None:
    traces = Traces()
    for tenth in range(-1000, 10_000):
        traces.see(view(), START_NS + tenth * SECOND // 10)
    (trace,) = traces.windows.values()
    assert 1000 <= len(trace.sights) <= 1140
    assert trace.sights[0].at_ns == START_NS - 60 * SECOND
    assert trace.sights[-1].at_ns <= START_NS + 960 * SECOND
    assert trace.sights[5][1:] == (5, 5700, 5800, None, 4300)


def test_the_strike_and_the_outcome_are_the_newest_known() -> None:
    traces = Traces()
    traces.see(view(), START_NS)
    traces.see(view(strike_e18="7", outcome="up"), START_NS + 1)
    (trace,) = traces.windows.values()
    assert (trace.strike_e18, trace.outcome, len(trace.sights)) == (7, "up", 1)


def test_a_trade_belongs_to_its_window_whichever_comes_first_and_a_failed_one_is_taken_back() -> None:
    traces = Traces()
    traces.note(fill())
    traces.see(view(), START_NS)
    traces.note(fill(trade_id="t2", side="sell"))
    (trace,) = traces.windows.values()
    assert [entry.side for entry in trace.entries.values()] == ["buy", "sell"]
    traces.note(fill(status="failed"))
    assert [entry.side for entry in trace.entries.values()] == ["sell"]


def test_the_window_worth_showing_runs_and_has_our_trades() -> None:
    traces = Traces()
    assert traces.worth_showing(START_NS) is None
    traces.see(view("before", START_NS - 900 * SECOND), START_NS - SECOND)
    traces.see(view(), START_NS + SECOND)
    traces.see(view("eth", asset="eth"), START_NS + SECOND)
    traces.note(fill(window="eth"))
    now = START_NS + 2 * SECOND
    assert [getattr(traces.worth_showing(now, asset), "window", "") for asset in ("", "btc", "sol")] == [
        "eth", WINDOW, "",
    ]  # fmt: skip
    assert getattr(traces.worth_showing(START_NS - 5), "window", "") == "before"


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 1000), st.booleans()), max_size=120))
def test_memory_is_bounded_whatever_comes(events: list[tuple[int, int, bool]]) -> None:
    traces = Traces()
    for number, second, trades in events:
        if trades:
            traces.note(fill(window=f"w{number}"))
        else:
            traces.see(view(f"w{number}"), START_NS + second * SECOND)
    assert len(traces.windows) <= MAX_WINDOWS and len(traces._early) <= MAX_WINDOWS
    assert all(len(trace.sights) <= MAX_SIGHTS for trace in traces.windows.values())
