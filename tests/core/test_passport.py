"""The passport: one strike, latched once, from one series at one instant, and every reason not to trade."""

import csv
import gzip
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core.moment import Moment
from common.core.passport import (
    OPENING_GRACE_NS,
    TOO_FAR_AHEAD,
    Strike,
    incomplete,
    latch,
    opens_window,
    settlement_kind,
    too_far_ahead,
    winner,
)
from common.messages import MarketState, SeriesKind, Tick
from common.units import E18, SECOND
from conversation import START_S, market, tick

STRIKE = Strike(100_000 * E18, "twap60", "rtds", START_S * SECOND, START_S * SECOND)


def moment(second: float) -> Moment:
    return Moment(int((START_S + second) * SECOND), 0)


@pytest.mark.parametrize(
    ("rule", "lookback_s", "kind"),
    [
        ("spot", 0, "spot"),
        ("twap", 30, "twap30"),
        ("twap", 60, "twap60"),
        ("twap", 45, None),
        ("twap", 0, None),
        ("unknown", 60, None),
    ],
)
def test_one_series_settles(rule: str, lookback_s: int, kind: SeriesKind | None) -> None:
    assert settlement_kind(market(rule=rule, lookback_s=lookback_s)) == kind


@pytest.mark.parametrize(
    ("candidate", "opens"),
    [
        (tick(0, 1, "twap60"), True),
        (tick(0, 1, "twap30"), False),
        (tick(0, 1, "spot"), False),
        (tick(0, 1, "binance"), False),
        (tick(-1, 1, "twap60"), False),
        (tick(1, 1, "twap60"), False),
        (tick(0.001, 1, "twap60"), False),
        (tick(0, 1, "twap60", "eth"), False),
    ],
)
def test_only_the_settlement_series_at_exactly_the_opening_opens(candidate: Tick, opens: bool) -> None:
    assert opens_window(candidate, market()) is opens


def test_nothing_opens_a_window_whose_rule_is_not_understood() -> None:
    for kind in ("spot", "twap30", "twap60", "binance"):
        assert not opens_window(tick(0, 1, kind), market(rule="unknown"))  # type: ignore[arg-type]


def test_a_latched_strike_remembers_where_it_came_from() -> None:
    strike, disputed = latch(None, tick(0, 100_000, "twap60"), 77)
    assert strike == Strike(100_000 * E18, "twap60", "rtds", START_S * SECOND, 77)
    assert not disputed


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12))
def test_the_first_value_stays_whatever_comes(dollars: list[int]) -> None:
    strike: Strike | None = None
    for number, value in enumerate(dollars):
        strike, disputed = latch(strike, tick(0, value, "twap60"), number)
        assert disputed is (value not in dollars[:number] and number > 0)
        assert (strike.value, strike.obtained_ns) == (dollars[0] * E18, 0)
        assert strike.disputes == len(set(dollars[: number + 1])) - 1


@pytest.mark.parametrize(("close", "outcome"), [(99, "down"), (100, "up"), (101, "up")])
def test_a_tie_goes_up(close: int, outcome: str) -> None:
    assert winner(100, close) == outcome


def test_a_complete_passport_has_no_gap() -> None:
    assert incomplete(market(), STRIKE, moment(0)) == ""
    assert incomplete(market(), STRIKE, moment(899.999)) == ""


@pytest.mark.parametrize(
    ("changes", "second", "why"),
    [
        ({"refusals": ("no fee", "no grid")}, 10, "no fee; no grid"),
        ({"rule": "unknown"}, 10, "not understood"),
        ({"lookback_s": 45}, 10, "look-back 45 s is not understood"),
        ({"closed": True}, 10, "the window is closed"),
        ({"outcome": "up"}, 10, "the window is closed"),
        ({}, 900, "the window has ended"),
        ({"accepting": False}, 10, "does not accept orders"),
        ({}, -0.001, "not open yet"),
        ({}, -900, "not open yet"),
        ({}, -901, TOO_FAR_AHEAD),
        ({}, -86_400, TOO_FAR_AHEAD),
    ],
)
def test_each_gap_is_told_though_there_is_a_strike(
    changes: dict[str, object], second: float, why: str
) -> None:
    assert why in incomplete(market(**changes), STRIKE, moment(second))


def test_a_missing_strike_is_waited_for_and_then_given_up() -> None:
    grace_s = OPENING_GRACE_NS / SECOND
    assert "waiting for the settlement tick" in incomplete(market(), None, moment(0))
    assert "waiting for the settlement tick" in incomplete(market(), None, moment(grace_s - 0.001))
    assert "never came" in incomplete(market(), None, moment(grace_s))
    assert "never came" in incomplete(market(), None, moment(800))


def test_too_far_ahead_is_neither_the_current_nor_the_next_window() -> None:
    start_ns = market().start_ns
    assert not too_far_ahead(market(), start_ns + 10 * SECOND)
    assert not too_far_ahead(market(), start_ns - 900 * SECOND)
    assert too_far_ahead(market(), start_ns - 900 * SECOND - 1)


def test_recorded_ticks_at_both_boundaries_give_every_official_outcome(shared_data: Path) -> None:
    """A whole day: strike from the tick stamped exactly at the opening, close from the one at the end."""
    recordings = shared_data / "recordings"
    ticks_file = recordings / "chainlink_rtds_btc_ticks_2026-06-08.csv.gz"
    markets_file = recordings / "btc_5m_markets_with_outcomes_2026-06-08.jsonl.gz"
    for file in (ticks_file, markets_file):
        if not file.is_file():
            pytest.skip(f"{file.name} is not among the recorded data")
    ticks = _ticks(ticks_file)
    judged = 0
    with gzip.open(markets_file, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            window = _window(record)
            opening, closing = ticks.get(window.start_ns), ticks.get(window.end_ns)
            if not record["resolved"] or opening is None or closing is None:
                continue
            assert opens_window(opening, window)
            assert not opens_window(closing, window)
            strike, _ = latch(None, opening, 0)
            official = {("1", "0"): "up", ("0", "1"): "down"}[tuple(record["outcome_prices"])]
            assert winner(strike.value, closing.value) == official, window.window
            if record["strike_value"] not in (None, "", "0"):
                assert strike.value == int(record["strike_value"]), window.window
            judged += 1
    assert judged > 250


def _ticks(file: Path) -> dict[int, Tick]:
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        found = [
            Tick(
                asset="btc",
                kind="spot",
                route="rtds",
                observed_ns=int(row["feed_ts_ms"]) * 1_000_000,
                e18=row["full_accuracy_value"],
            )
            for row in csv.DictReader(text)
        ]
    return {each.observed_ns: each for each in found}


def _window(record: dict[str, object]) -> MarketState:
    return msgspec.structs.replace(
        market(rule="spot", lookback_s=0),
        window=str(record["slug"]),
        start_ns=int(str(record["start_sec"])) * SECOND,
        end_ns=int(str(record["end_sec"])) * SECOND,
    )
