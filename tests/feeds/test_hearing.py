"""The hearing of one result: official once, never withdrawn, and every contradiction in sight."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.feeds.market.hearing import (
    FOLLOW_UP_NS,
    PACE_NS,
    SOURCES,
    Hearing,
    asked,
    contradicted,
    due,
    heard,
    witnesses,
)
from common.messages import Outcome, OutcomeSource, OutcomeWitness

AT = 1_000


def after(*words: tuple[OutcomeSource, Outcome | None]) -> Hearing:
    hearing = Hearing()
    for source, outcome in words:
        hearing = heard(hearing, source, outcome, AT)
    return hearing


def whom(hearing: Hearing, mono_ns: int) -> list[str]:
    return [source for source in SOURCES if due(hearing, source, mono_ns)]


@pytest.mark.parametrize(
    ("words", "official"),
    [
        ([], None),
        ([("gamma", None), ("data-api", None)], None),
        ([("gamma", "up")], "up"),
        ([("data-api", "down")], "down"),
        ([("clob", "up")], None),
        ([("clob", "up"), ("gamma", "up")], "up"),
        ([("clob", "up"), ("gamma", "down")], None),
        ([("clob", "up"), ("data-api", "down"), ("gamma", "down")], None),
        ([("clob", "up"), ("gamma", "down"), ("clob", "down")], "down"),
        ([("gamma", "up"), ("data-api", "down")], "up"),
        ([("gamma", "up"), ("gamma", "down")], "up"),
    ],
)
def test_gamma_or_the_data_api_make_it_official_unless_somebody_contradicts(
    words: list[tuple[OutcomeSource, Outcome | None]], official: str | None
) -> None:
    assert after(*words).official == official


def test_who_said_what_is_listed_in_a_fixed_order() -> None:
    assert witnesses(after(("clob", "up"), ("gamma", "up"))) == (
        OutcomeWitness("gamma", "up"),
        OutcomeWitness("clob", "up"),
    )


def test_a_new_word_replaces_the_old_one_and_silence_does_not() -> None:
    hearing = after(("clob", "up"), ("clob", None))
    assert witnesses(hearing) == (OutcomeWitness("clob", "up"),)
    assert witnesses(heard(hearing, "clob", "down", AT)) == (OutcomeWitness("clob", "down"),)


def test_a_service_that_takes_back_the_official_outcome_contradicts_it() -> None:
    assert contradicted(after(("gamma", "up"), ("gamma", "down")))


def test_all_are_asked_each_round_until_it_is_official() -> None:
    hearing = asked(Hearing(), "gamma", AT)
    assert whom(hearing, AT) == list(SOURCES)
    assert whom(after(("clob", "up")), AT) == ["gamma", "data-api"]


def test_an_official_outcome_is_followed_up_at_a_slow_pace_and_not_for_ever() -> None:
    hearing = asked(after(("gamma", "up")), "clob", AT)
    assert whom(hearing, AT) == ["data-api"]
    assert whom(hearing, AT + PACE_NS - 1) == ["data-api"]
    assert whom(hearing, AT + PACE_NS) == ["data-api", "clob"]
    assert whom(hearing, AT + FOLLOW_UP_NS) == ["data-api", "clob"]
    assert whom(hearing, AT + FOLLOW_UP_NS + 1) == []


def test_a_confirmation_does_not_prolong_the_follow_up() -> None:
    hearing = heard(after(("gamma", "up")), "data-api", "up", AT + PACE_NS)
    assert whom(hearing, AT + FOLLOW_UP_NS) == ["clob"]
    assert whom(hearing, AT + FOLLOW_UP_NS + 1) == []


def test_nobody_is_asked_once_all_three_agree() -> None:
    assert whom(after(("gamma", "up"), ("data-api", "up"), ("clob", "up")), AT + PACE_NS) == []


def test_a_contradiction_is_asked_about_until_it_is_gone() -> None:
    open_one = after(("clob", "up"), ("gamma", "down"), ("data-api", "down"))
    assert whom(open_one, AT) == list(SOURCES)
    official = after(("gamma", "up"), ("data-api", "up"), ("clob", "down"))
    assert whom(official, AT + 1) == list(SOURCES)
    assert whom(heard(official, "clob", "up", AT), AT + 1) == []


_WORDS = st.lists(st.tuples(st.sampled_from(SOURCES), st.sampled_from(["up", "down", None])), max_size=12)


@given(_WORDS)
def test_whatever_is_said_the_official_outcome_never_changes(
    words: list[tuple[OutcomeSource, Outcome | None]],
) -> None:
    hearing, official = Hearing(), None
    for source, outcome in words:
        hearing = heard(hearing, source, outcome, AT)
        assert official in (None, hearing.official)
        if official is None and hearing.official is not None:
            assert not contradicted(hearing)
            assert {"gamma", "data-api"} & set(hearing.said)
        official = hearing.official
        told = {witness.outcome for witness in witnesses(hearing)}
        assert contradicted(hearing) == (len(told | ({official} - {None})) > 1)
