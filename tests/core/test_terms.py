"""Which terms of a window must stay: each change is named, and what may change is not."""

import msgspec
import pytest

from common.core.terms import changed_terms, first_terms
from common.messages import FeeSchedule, MarketState
from conversation import market

FIRST = market(condition_id="0x" + "1a" * 32, token_up="11", token_down="22", rule="twap", lookback_s=60)


def changed(**fields: object) -> MarketState:
    return msgspec.structs.replace(FIRST, **fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"condition_id": "0x" + "2b" * 32}, "condition id changed from 0x1a1a1a1a...1a1a1a to 0x2b2b2b2b"),
        ({"version": "v2"}, "protocol version changed from v1 to v2"),
        ({"rule": "spot", "lookback_s": 0}, "settlement rule changed from twap to spot"),
        ({"lookback_s": 30}, "look-back in seconds changed from 60 to 30"),
        ({"start_ns": FIRST.start_ns + 1}, "opening instant changed"),
        ({"end_ns": FIRST.end_ns - 1}, "closing instant changed"),
        ({"token_up": "33"}, "token of Up changed from 11 to 33"),
        ({"token_down": "33"}, "token of Down changed from 22 to 33"),
    ],
)
def test_a_lasting_term_that_changes_is_named(fields: dict[str, object], words: str) -> None:
    (change,) = changed_terms(FIRST, changed(**fields))
    assert words in change


def test_tokens_that_change_places_are_both_named() -> None:
    assert len(changed_terms(FIRST, changed(token_up="22", token_down="11"))) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tick4": 10},
        {"accepting": False},
        {"closed": True, "outcome": "up"},
        {"fee": FeeSchedule(rate_ppm=20_000, exponent=2)},
        {"fee": None},
        {"taker_delay_ns": 0},
        {"min_size6": 1},
        {"price_to_beat_e18": "1"},
        {"refusals": ("something else",)},
    ],
)
def test_what_may_change_is_no_refusal(fields: dict[str, object]) -> None:
    assert changed_terms(FIRST, changed(**fields)) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"rule": "unknown", "lookback_s": 0},
        {"version": "unknown", "token_up": "", "token_down": ""},
        {"condition_id": ""},
        {"start_ns": 0},
        {"end_ns": 0},
    ],
)
def test_a_term_that_one_reading_lacks_is_no_change_either_way(fields: dict[str, object]) -> None:
    """Such a reading is refused for itself, and what it lacks is learnt from a better one."""
    poor = changed(**fields)
    assert changed_terms(FIRST, poor) == []
    assert changed_terms(poor, FIRST) == []
    learnt = first_terms(first_terms(None, poor), FIRST)
    assert changed_terms(learnt, changed(token_up="33")) == ["the token of Up changed from 11 to 33"]
    assert changed_terms(learnt, changed(rule="spot", lookback_s=0)) == [
        "the settlement rule changed from twap to spot"
    ]


def test_the_first_value_stays_the_one_that_counts() -> None:
    moved = changed(token_up="33", end_ns=FIRST.end_ns + 1)
    assert first_terms(FIRST, moved) == FIRST
    assert changed_terms(first_terms(FIRST, moved), FIRST) == []
