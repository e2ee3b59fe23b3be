"""The second step: once, soon, by the asker, on the state shown; what reduces risk is never too late."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core.remote.commands import Asked
from common.core.remote.confirmation import (
    LIFE_NS,
    Basis,
    Confirmation,
    Program,
    Stage,
    buttons,
    digest_of,
    read_press,
    repeats,
    rule,
)
from common.messages import (
    AccountReport,
    AccountState,
    PositionState,
    PostureState,
    RedemptionsReport,
    RedemptionState,
)

ANN, CHAT, T0 = 7, -100, 10**18
ACCOUNT = AccountState(
    mode="paper",
    cash_usd6=1,
    open_cost_usd6=0,
    realized_pnl_usd6=0,
    day="2026-11-26",
    day_pnl_usd6=0,
    fees_usd6=0,
    orders=0,
    fills=0,
    duplicate_orders=0,
    ledger_difference_usd6=0,
)
PAUSED = PostureState(posture="paused", reason="r", who="w", since_ns=5)
HELD = PositionState(
    window="w",
    asset="btc",
    token="1",
    outcome="up",
    size6=5,
    cost_usd6=3,
    fee_usd6=0,
    end_ns=1,
    settled=False,
)
REPORT = AccountReport(account=ACCOUNT, posture=PAUSED, positions=(HELD,), orders=())
WON = RedemptionState(condition_id="0x1", window="w", ledger="v1", status="waiting", payout_usd6=5, at_ns=1)


def held(name: str, stage: Stage = "open") -> Confirmation:
    return Confirmation("n0nce", Asked(name), ANN, CHAT, "d", T0, T0 + LIFE_NS, stage)


def test_the_asker_confirms_in_time() -> None:
    ruling = rule(held("resume"), "confirm", ANN, CHAT, T0 + LIFE_NS)
    assert (ruling.act, ruling.stage) == (True, "used")


@given(
    st.sampled_from(["resume", "flatten", "kill", "pause"]),
    st.sampled_from(["confirm", "cancel"]),
    st.sampled_from(["open", "used", "cancelled", "expired"]),
    st.integers(0, 20),
    st.integers(-110, 20),
    st.integers(-(10**12), 10**12),
)
def test_no_press_acts_that_must_not(
    name: str, press: str, stage: Stage, user: int, chat: int, after_ns: int
) -> None:
    ruling = rule(held(name, stage), press, user, chat, T0 + after_ns)  # type: ignore[arg-type]
    mine = (user, chat) == (ANN, CHAT)
    if ruling.act:
        assert mine and press == "confirm" and stage in ("open", "expired")
        assert name in ("kill", "pause") or (stage == "open" and 0 <= after_ns <= LIFE_NS)
    if not mine:
        assert ruling.text == ""
    if stage in ("used", "cancelled"):
        assert not ruling.act and ruling.stage == stage


@pytest.mark.parametrize("stage", ["open", "expired"])
def test_a_late_press_still_reduces_risk(stage: Stage) -> None:
    assert rule(held("kill", stage), "confirm", ANN, CHAT, T0 + 100 * LIFE_NS).act
    late = rule(held("resume", stage), "confirm", ANN, CHAT, T0 + LIFE_NS + 1)
    assert (late.act, late.stage) == (False, "expired")


def test_a_clock_that_went_back_adds_no_risk() -> None:
    assert not rule(held("resume"), "confirm", ANN, CHAT, T0 - 1).act


def test_saying_it_again() -> None:
    kill = held("kill")
    assert repeats(kill, Asked("kill"), ANN, CHAT, T0 + 1)
    assert not repeats(kill, Asked("pause"), ANN, CHAT, T0 + 1)
    assert not repeats(kill, Asked("kill"), ANN + 1, CHAT, T0 + 1)
    assert not repeats(kill, Asked("kill"), ANN, CHAT + 1, T0 + 1)
    assert not repeats(kill, Asked("kill"), ANN, CHAT, T0 + LIFE_NS + 1)
    assert not repeats(held("kill", "used"), Asked("kill"), ANN, CHAT, T0 + 1)
    assert not repeats(held("resume"), Asked("resume"), ANN, CHAT, T0 + 1)


@pytest.mark.parametrize(
    ("name", "basis", "other"),
    [
        ("resume", REPORT, msgspec.structs.replace(REPORT, positions=())),
        (
            "resume",
            REPORT,
            msgspec.structs.replace(REPORT, posture=msgspec.structs.replace(PAUSED, since_ns=6)),
        ),
        (
            "resume",
            REPORT,
            msgspec.structs.replace(REPORT, account=msgspec.structs.replace(ACCOUNT, loss_streak=1)),
        ),
        (
            "flatten",
            REPORT,
            msgspec.structs.replace(REPORT, positions=(msgspec.structs.replace(HELD, size6=6),)),
        ),
        (
            "redeem",
            RedemptionsReport(redemptions=(WON,)),
            RedemptionsReport(redemptions=(WON, msgspec.structs.replace(WON, condition_id="0x2"))),
        ),
        ("restart", Program("books", "RUNNING", 5), Program("books", "RUNNING", 6)),
        ("stop", Program("books", "RUNNING", 5), Program("books", "FATAL", 0)),
        ("flatten", REPORT, None),
    ],
)
def test_a_digest_tells_what_matters(name: str, basis: Basis, other: Basis) -> None:
    asked = Asked(name)
    assert digest_of(asked, basis) == digest_of(asked, basis)
    assert digest_of(asked, basis) != digest_of(asked, other)


def test_a_digest_leaves_out_what_does_not_matter() -> None:
    richer = msgspec.structs.replace(REPORT, account=msgspec.structs.replace(ACCOUNT, cash_usd6=2))
    assert digest_of(Asked("flatten"), REPORT) == digest_of(Asked("flatten"), richer)
    assert digest_of(Asked("kill"), REPORT) == digest_of(Asked("kill"), None) == ""
    assert digest_of(Asked("redeem", ("0x1",)), None) != digest_of(Asked("redeem", ("all",)), None)


@given(st.text(max_size=70))
def test_a_foreign_button_is_none_of_ours(data: str) -> None:
    found = read_press(data)
    assert found is None or data[:2] in ("c:", "x:")


def test_buttons_carry_what_is_read_back() -> None:
    ((confirm, cancel),) = buttons("n" * 16, Asked("redeem", ("0x" + "a" * 64,)))
    assert read_press(confirm.data) == ("confirm", "n" * 16)
    assert read_press(cancel.data) == ("cancel", "n" * 16)
    assert len(confirm.label) <= 40
