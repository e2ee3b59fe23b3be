"""What the data API and the order book say of a result: one winner, none yet, or a named refusal."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import FeedError, FrameRefused
from common.feeds.http import parse_json
from common.feeds.market.resolutions import PAYOUT_ONE, payout_outcome, resolution_rows, winner_outcome
from common.messages import MarketState, Outcome
from tests.feeds.wire import mutilated

CONDITION = "0x" + "5c" * 32
SHORT = "0x" + "5c" * 31
UP, DOWN = "731", "732"
USUAL: tuple[Outcome, Outcome] = ("up", "down")
TURNED: tuple[Outcome, Outcome] = ("down", "up")
GONE = "gone"
Json = dict[str, Any]

MARKET = MarketState(
    window="btc-updown-15m-1800000000",
    asset="btc",
    condition_id=CONDITION,
    version="v1",
    token_up=UP,
    token_down=DOWN,
    rule="twap",
    lookback_s=60,
    start_ns=0,
    end_ns=1,
    fee=None,
    taker_delay_ns=None,
    tick4=100,
    min_size6=5_000_000,
    accepting=False,
)


def row(**changes: Any) -> Json:
    body: Json = {
        "condition_id": CONDITION,
        "status": "resolved",
        "extended_review": False,
        "was_disputed": False,
        "new_version_q": False,
        "transaction_hash": "0x" + "77" * 32,
        "log_index": "12",
        "last_update_timestamp": "2027-01-15T08:16:01Z",
        "payouts": [PAYOUT_ONE, 0],
        "resolution_source": "reported",
        "resolved_block": 99_000_001,
        "resolved_at": "2027-01-15T08:16:01Z",
    }
    return {name: value for name, value in (body | changes).items() if value != GONE}


def token(token_id: str, outcome: str, winner: object) -> Json:
    body = {"outcome": outcome, "price": 0.5, "token_id": token_id, "winner": winner}
    return {name: value for name, value in body.items() if value != GONE}


def answer(*tokens: object, **changes: Any) -> Json:
    body = {"condition_id": CONDITION, "closed": True, "market_slug": MARKET.window, "tokens": list(tokens)}
    return {name: value for name, value in (body | changes).items() if value != GONE}


def reason_of(call: Any, *arguments: Any) -> str:
    with pytest.raises(FrameRefused) as refused:
        call(*arguments)
    return refused.value.reason


# --- the data API ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payouts", "order", "outcome"),
    [
        ([PAYOUT_ONE, 0], USUAL, "up"),
        ([0, PAYOUT_ONE], USUAL, "down"),
        ([PAYOUT_ONE, 0], TURNED, "down"),
        ([0, PAYOUT_ONE], TURNED, "up"),
        (["1000000", "0"], USUAL, "up"),
        ([Decimal("1000000.0"), Decimal(0)], USUAL, "up"),
    ],
)
def test_payouts_follow_the_order_of_the_outcomes(
    payouts: list[object], order: tuple[Outcome, Outcome], outcome: str
) -> None:
    assert payout_outcome([row(payouts=payouts)], order) == outcome


@pytest.mark.parametrize("status", ["active", "posed", "inactive", "RESOLVED", "resolved_later"])
def test_before_the_status_is_resolved_there_is_no_outcome(status: str) -> None:
    assert payout_outcome([row(status=status)], USUAL) is None


def test_a_condition_without_a_row_is_not_resolved_yet() -> None:
    assert payout_outcome([], USUAL) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"payouts": [500_000, 500_000]}, "no-single-winner"),
        ({"payouts": [999_999, 1]}, "no-single-winner"),
        ({"payouts": [PAYOUT_ONE, PAYOUT_ONE]}, "no-single-winner"),
        ({"payouts": [0, 0]}, "no-single-winner"),
        ({"payouts": [1, 0]}, "no-single-winner"),
        ({"payouts": [PAYOUT_ONE]}, "no-single-winner"),
        ({"payouts": [PAYOUT_ONE, 0, 0]}, "no-single-winner"),
        ({"payouts": [True, False]}, "no-single-winner"),
        ({"payouts": None}, "no-single-winner"),
        ({"payouts": GONE}, "no-single-winner"),
        ({"was_disputed": True}, "disputed"),
        ({"was_disputed": "true"}, "disputed"),
        ({"extended_review": True}, "extended-review"),
        ({"extended_review": True, "status": "active"}, "extended-review"),
        ({"status": GONE}, "not-resolutions"),
        ({"status": 1}, "not-resolutions"),
    ],
)
def test_a_result_that_is_not_one_settled_winner_is_refused(changes: Json, reason: str) -> None:
    assert reason_of(payout_outcome, [row(**changes)], USUAL) == reason


def test_flags_that_are_absent_hold_nothing_back() -> None:
    assert payout_outcome([row(was_disputed=GONE, extended_review=None)], USUAL) == "up"


def test_rows_of_one_condition_must_agree() -> None:
    assert payout_outcome([row(), row(log_index="13")], USUAL) == "up"
    assert reason_of(payout_outcome, [row(), row(payouts=[0, PAYOUT_ONE])], USUAL) == "resolutions-differ"
    assert reason_of(payout_outcome, [row(), row(status="active")], USUAL) == "resolutions-differ"


def test_rows_are_found_by_the_order_books_form_of_the_condition_id() -> None:
    other = row(condition_id="0x" + "00" * 32)
    short = row(condition_id=SHORT.upper().replace("0X", "0x"))
    rows = resolution_rows({"data": [row(), other, short, row(condition_id=7)]})
    assert rows == {CONDITION: [row()], other["condition_id"]: [other], SHORT + "00": [short]}


@pytest.mark.parametrize("payload", [None, [], [row()], "x", 7, {}, {"data": None}, {"data": [1]}])
def test_what_holds_no_rows_is_refused(payload: object) -> None:
    assert reason_of(resolution_rows, payload) == "not-resolutions"


# --- the order book ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("up", "down", "outcome"), [(True, False, "up"), (False, True, "down"), (False, False, None)]
)
def test_the_flagged_token_is_the_winner(up: bool, down: bool, outcome: str | None) -> None:
    for tokens in (
        [token(UP, "Up", up), token(DOWN, "Down", down)],
        [token(DOWN, "Down", down), token(UP, "Up", up)],
    ):
        assert winner_outcome(answer(*tokens), MARKET) == outcome


def test_a_padded_condition_id_is_the_markets() -> None:
    v2 = msgspec.structs.replace(MARKET, condition_id=SHORT + "00", version="v2")
    told = [token(UP, "Up", True), token(DOWN, "Down", False)]
    assert winner_outcome(answer(*told, condition_id=SHORT + "00"), v2) == "up"
    assert winner_outcome(answer(*told, condition_id=SHORT), v2) == "up"
    assert reason_of(winner_outcome, answer(*told), v2) == "another-market"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(None, "unknown-market", id="404"),
        pytest.param([], "not-a-market", id="a list"),
        pytest.param("x", "not-a-market", id="text"),
        pytest.param({}, "another-market", id="nothing"),
        pytest.param(answer(condition_id=7), "another-market", id="condition is a number"),
        pytest.param(answer(tokens=None), "not-a-market", id="no tokens"),
        pytest.param(answer(1, 2), "not-a-market", id="tokens are numbers"),
        pytest.param(answer(), "other-tokens", id="no token at all"),
        pytest.param(answer(token(UP, "Up", True)), "other-tokens", id="one token"),
        pytest.param(
            answer(token(UP, "Down", True), token(DOWN, "Up", False)), "other-tokens", id="outcomes swapped"
        ),
        pytest.param(
            answer(token(UP, "Up", True), token("9", "Down", False)), "other-tokens", id="a foreign token"
        ),
        pytest.param(
            answer(token(UP, "Up", False), token(UP, "Up", True)), "other-tokens", id="one token twice"
        ),
        pytest.param(
            answer(token(UP, "Up", False), token(UP, "Up", True), token(DOWN, "Down", False)),
            "other-tokens",
            id="one token twice beside the other",
        ),
        pytest.param(
            answer(token([UP], "Up", True), token(DOWN, "Down", False)),
            "other-tokens",
            id="a list as token",  # type: ignore[arg-type]
        ),
        pytest.param(
            answer(token(UP, "Yes", True), token(DOWN, "No", False)), "other-tokens", id="yes and no"
        ),
        pytest.param(
            answer(token(UP, "Up", True), token(DOWN, "Down", False), token("9", "Draw", False)),
            "other-tokens",
            id="a third token",
        ),
        pytest.param(
            answer(token(UP, "Up", True), token(DOWN, "Down", True)), "winner-flags", id="two winners"
        ),
        pytest.param(
            answer(token(UP, "Up", 1), token(DOWN, "Down", False)), "winner-flags", id="a number as flag"
        ),
        pytest.param(
            answer(token(UP, "Up", True), token(DOWN, "Down", GONE)), "winner-flags", id="a flag is absent"
        ),
    ],
)
def test_flags_of_another_shape_or_market_are_refused(payload: object, reason: str) -> None:
    assert reason_of(winner_outcome, payload, MARKET) == reason


# --- any bytes ---------------------------------------------------------------------------------------


@given(mutilated([json.dumps({"data": [row()]}), json.dumps({"data": [row(), row(payouts=[0, 1])]})]))
def test_mutilated_resolutions_are_read_or_refused(text: str) -> None:
    try:
        rows = resolution_rows(parse_json(text, "here"))
        outcome = payout_outcome(rows.get(CONDITION, []), USUAL)
    except (FeedError, FrameRefused):
        return
    assert outcome in ("up", None)


@given(mutilated([json.dumps(answer(token(UP, "Up", False), token(DOWN, "Down", True)))]))
def test_mutilated_flags_are_read_or_refused(text: str) -> None:
    try:
        outcome = winner_outcome(parse_json(text, "here"), MARKET)
    except (FeedError, FrameRefused):
        return
    assert outcome in ("up", "down", None)


@given(st.sampled_from(sorted(row())), st.none() | st.booleans() | st.integers() | st.text(max_size=9))
def test_no_single_odd_field_makes_the_loser_the_winner(name: str, value: object) -> None:
    try:
        outcome = payout_outcome([row(**{name: value})], USUAL)
    except FrameRefused:
        return
    assert outcome in ("up", None)


# --- recorded frames ---------------------------------------------------------------------------------


def test_recorded_resolutions(shared_data: Path) -> None:
    file = next((shared_data / "frames/data_api").glob("v2_resolutions_*.json"))
    ((condition, rows),) = resolution_rows(parse_json(file.read_text(), "here")).items()
    assert len(condition) == 66
    assert payout_outcome(rows, USUAL) == "down"


def test_recorded_winner_flags_of_another_kind_of_market(shared_data: Path) -> None:
    """Yes and No are not ours, even where the ids are: the flags are there and are not read."""
    file = next((shared_data / "frames/clob_rest").glob("*_market_closed_binary_*.json"))
    real = parse_json(file.read_text(), "here")
    assert isinstance(real, dict)
    yes, no = (entry["token_id"] for entry in real["tokens"])
    theirs = msgspec.structs.replace(MARKET, condition_id=real["condition_id"], token_up=yes, token_down=no)
    assert reason_of(winner_outcome, real, theirs) == "other-tokens"
    renamed = real | {
        "tokens": [real["tokens"][0] | {"outcome": "Up"}, real["tokens"][1] | {"outcome": "Down"}]
    }
    assert winner_outcome(renamed, theirs) == "up"
