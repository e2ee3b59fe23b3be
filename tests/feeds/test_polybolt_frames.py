"""PolyBolt frames: provider, unit and look-back are pinned, and nothing but FrameRefused ever comes out."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import FrameRefused
from common.feeds.oracle.polybolt_frames import MAX_FRAME, parse_frame
from common.feeds.oracle.price_fields import Control
from common.messages import Tick
from common.units import E18, MILLISECOND, SECOND
from tests.feeds.polybolt_wire import EXACT, envelope, point, snapshot, spot, twap
from tests.feeds.wire import E18_BTC, NOW_MS, NOW_NS, mutilated, text


def items_of(frame: object, recv_ns: int | None = NOW_NS) -> list[Tick | Control]:
    return list(parse_frame(frame if isinstance(frame, str | bytes) else text(frame), recv_ns))


def ticks_of(frame: object, recv_ns: int | None = NOW_NS) -> list[Tick]:
    items = items_of(frame, recv_ns)
    assert all(isinstance(item, Tick) for item in items), items
    return [item for item in items if isinstance(item, Tick)]


def reason_of(frame: object, recv_ns: int | None = NOW_NS) -> str:
    with pytest.raises(FrameRefused) as refused:
        items_of(frame, recv_ns)
    return refused.value.reason


@pytest.mark.parametrize(("frame", "kind"), [(spot(), "spot"), (twap(), "twap60")])
def test_the_exact_value_is_a_plain_decimal_on_both_channels(frame: dict[str, Any], kind: str) -> None:
    (tick,) = ticks_of(frame)
    assert tick == Tick(
        asset="btc",
        kind=kind,  # type: ignore[arg-type]
        route="polybolt",
        observed_ns=NOW_NS,
        e18=E18_BTC,
        relay_ns=NOW_NS + 700 * MILLISECOND,
        backfill=False,
    )


@pytest.mark.parametrize("asset", ["btc", "eth", "sol", "xrp", "doge", "hype", "bnb", "zec"])
def test_every_symbol_has_its_asset(asset: str) -> None:
    (tick,) = ticks_of(twap(symbol=f"{asset}usd"))
    assert tick.asset == asset


def test_a_snapshot_is_backfill_oldest_first() -> None:
    points = [point(NOW_MS - 1000), point(NOW_MS - 3000), point(NOW_MS - 2000)]
    ticks = ticks_of(snapshot(points=points))
    assert [tick.observed_ns for tick in ticks] == [NOW_NS - back * SECOND for back in (3, 2, 1)]
    assert {(tick.kind, tick.backfill, tick.value) for tick in ticks} == {("twap60", True, int(E18_BTC))}


def test_an_empty_snapshot_is_no_tick() -> None:
    assert items_of(snapshot()) == []


@pytest.mark.parametrize("frame", [spot(source="pyth"), twap(source="pyth"), snapshot(source="pyth")])
def test_another_provider_is_refused_on_every_frame(frame: object) -> None:
    assert reason_of(frame) == "provider"


@pytest.mark.parametrize(
    "frame",
    [
        spot(source=None),
        twap(source=None),
        snapshot(source=None),
        spot(source="Chainlink"),
        spot(source=["chainlink"]),
        snapshot(points=[point(), point(source="pyth")]),
    ],
)
def test_a_provider_that_is_not_named_as_ours_is_refused(frame: object) -> None:
    assert reason_of(frame) == "provider"


@pytest.mark.parametrize(
    "frame",
    [
        twap(window_seconds=30),
        twap(window_seconds=None),
        twap(window_seconds="60"),
        twap(window_s=60),
        twap(window_seconds=None, window_s=60),
        spot(window_s=60),
        spot(window_seconds=60),
        snapshot(window_seconds=None),
    ],
)
def test_any_other_look_back_is_refused(frame: object) -> None:
    assert reason_of(frame) == "window"


@pytest.mark.parametrize(
    ("exact", "reason"),
    [
        (E18_BTC, "value"),  # the older socket's unit
        ("796397958297634985", "value"),
        ("79739.795829763498573824", "unit"),
        ("79539.795829763498573824", "unit"),
        ("79639795.8", "unit"),
        (79639.7958, "value"),
        (None, "value"),
        ("", "value"),
        ("-" + EXACT, "value"),
        ("0", "value"),
        ("much", "value"),
        ("1e999999999", "value"),
    ],
)
def test_an_exact_value_that_cannot_be_one_is_refused(exact: object, reason: str) -> None:
    assert reason_of(spot(full_accuracy_value=exact)) == reason
    assert reason_of(snapshot(points=[point(full_accuracy_value=exact)])) == reason


def test_a_scaled_value_of_a_cheap_asset_is_refused_too() -> None:
    assert reason_of(spot(symbol="dogeusd", value=0.2, full_accuracy_value=str(E18 // 5))) == "value"


@pytest.mark.parametrize(("carried", "reason"), [(True, "carried-forward"), ("no", "carried-forward")])
def test_an_older_value_under_a_newer_stamp_is_no_observation(carried: object, reason: str) -> None:
    assert reason_of(spot(is_carried_forward=carried)) == reason
    assert len(ticks_of(spot(is_carried_forward=False, received_at=NOW_MS))) == 1


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("{", "not-json"),
        ("[" * 100_000, "not-json"),
        (b"\xff\xfe", "not-json"),
        ("[]", "not-an-object"),
        ({}, "version"),
        ({"topic": "crypto_prices", "type": "update"}, "version"),
        (spot(frame={"v": 2}), "version"),
        (spot(frame={"v": None}), "version"),
        (spot(frame={"v": True}), "version"),
        (spot(frame={"v": "1"}), "version"),
        (spot(frame={"channel": "price.equity"}), "unknown-channel"),
        (spot(frame={"channel": None}), "unknown-channel"),
        (spot(frame={"channel": ["price.crypto"]}), "unknown-channel"),
        (spot(seq=0), "seq"),
        (spot(seq=-1), "seq"),
        (spot(seq=2**63), "seq"),
        (spot(frame={"seq": None}), "seq"),
        (spot(frame={"seq": True}), "seq"),
        (spot(frame={"seq": "1"}), "seq"),
        (spot(frame={"dropped": -1}), "dropped"),
        (spot(frame={"dropped": True}), "dropped"),
        (spot(frame={"dropped": "3"}), "dropped"),
        (spot(frame={"snapshot": 1}), "snapshot"),
        (spot(frame={"payload": None}), "payload"),
        (spot(frame={"payload": []}), "payload"),
        (spot(frame={"snapshot": True}), "payload"),
        (snapshot(data={}), "payload"),
        (snapshot(points=[1]), "payload"),
        (spot(symbol=None), "unknown-symbol"),
        (spot(symbol="btc/usd"), "unknown-symbol"),
        (spot(symbol="btcusdt"), "unknown-symbol"),
        (spot(symbol="pepeusd"), "unknown-symbol"),
        (spot(symbol=["btcusd"]), "unknown-symbol"),
        (spot(value=None), "value"),
        (spot(frame={"ts": None}), "stamp"),
        (spot(frame={"ts": str(NOW_MS)}), "stamp"),
        (spot(timestamp=None), "stamp"),
        (spot(timestamp=NOW_MS // 1000), "stamp"),
        (spot(timestamp=NOW_MS / 1), "stamp"),
        (spot(timestamp=NOW_MS + 5001), "future"),
        (snapshot(points=[point(NOW_MS + 5001)]), "future"),
        ({"op": 7}, "unknown-op"),
        ({"op": None}, "unknown-op"),
    ],
)
def test_what_is_wrong_is_refused_with_its_reason(frame: object, reason: str) -> None:
    assert reason_of(frame) == reason


def test_the_future_is_judged_by_our_clock_and_only_when_it_is_known() -> None:
    assert ticks_of(spot(timestamp=NOW_MS + 5000))
    assert ticks_of(spot(timestamp=NOW_MS + 5001), recv_ns=None)
    assert ticks_of(spot(frame={"ts": NOW_MS + 60_000})), "the relay may be ahead of us"


def test_an_oversized_frame_is_refused_unread() -> None:
    assert reason_of(" " * (MAX_FRAME + 1)) == "oversized"
    assert items_of(" " * MAX_FRAME) == items_of(b"") == [Control("empty")]


@pytest.mark.parametrize(
    ("frame", "control"),
    [
        ({"op": "authed", "rid": "a1"}, Control("ack", "authed")),
        ({"op": "subscribed", "channel": "price.crypto"}, Control("ack", "subscribed on price.crypto")),
        ({"op": "pong", "rid": "p"}, Control("pong")),
        ({"op": "error", "code": "auth_invalid"}, Control("error", "auth_invalid")),
        (
            {"op": "error", "channel": "price.crypto", "code": "bad_filter"},
            Control("error", "bad_filter on price.crypto"),
        ),
        ({"op": "error"}, Control("error", "None")),
        ({"op": "farewell"}, Control("other", "farewell")),
        ({"op": "subscribed", "provider": "chainlink"}, Control("ack", "subscribed")),
    ],
)
def test_answers_are_told_apart(frame: object, control: Control) -> None:
    assert items_of(frame) == [control]


def test_a_subscription_served_by_another_provider_is_an_error_before_any_price() -> None:
    (control,) = items_of({"op": "subscribed", "channel": "price.crypto", "provider": "pyth"})
    assert isinstance(control, Control)
    assert control.kind == "error"
    assert "pyth" in control.text


def test_dropped_frames_are_a_gap_before_the_tick() -> None:
    gap, tick = items_of(spot(frame={"dropped": 3}))
    assert isinstance(gap, Control) and isinstance(tick, Tick)
    assert (gap.kind, gap.missed) == ("gap", 3)
    assert len(ticks_of(spot(frame={"dropped": 0}))) == 1


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (spot(frame={"region": "eu"}), "region"),
        (spot(mood="good"), "payload.mood"),
        (snapshot(points=[point(), point(mood="good")]), "data.mood"),
    ],
)
def test_a_new_key_is_told_and_refuses_no_price(frame: object, name: str) -> None:
    news, *ticks = items_of(frame)
    assert news == Control("other", f"unknown keys: {name}")
    assert ticks
    assert all(isinstance(tick, Tick) for tick in ticks)


def test_a_nest_too_deep_to_be_told_is_refused() -> None:
    """Reading it and writing it out again reach the limit of depth at different places."""
    nested: list[dict[str, Any]] = [{"op": "NEST"}, {"op": "error", "code": "NEST"}]
    nested += [spot(frame={key: "NEST"}) for key in ("v", "channel", "seq", "dropped", "snapshot")]
    for key in ("symbol", "source", "window_seconds", "timestamp", "value", "full_accuracy_value"):
        payload: dict[str, Any] = {key: "NEST"}
        nested.append(twap(**payload))
    for depth in range(900, 1000):
        for frame in nested:
            _read_or_refused(text(frame).replace('"NEST"', "[" * depth + "]" * depth), NOW_NS)


SAMPLES = [
    text(frame)
    for frame in (
        spot(),
        twap(frame={"dropped": 2}, is_carried_forward=False),
        snapshot(points=[point(), point(NOW_MS - 1000)]),
        envelope(
            "price.crypto", 4, {"symbol": "ethusd", "source": "chainlink", "data": []}, {"snapshot": True}
        ),
        {"op": "subscribed", "channel": "price.crypto", "provider": "chainlink"},
        {"op": "error", "code": "auth_required", "rid": "spot"},
    )
]


@given(mutilated(SAMPLES), st.sampled_from([None, NOW_NS]))
def test_a_mutilated_frame_is_read_or_refused(frame: str, recv_ns: int | None) -> None:
    _read_or_refused(frame, recv_ns)
    _read_or_refused(frame.encode("utf-8", "surrogatepass"), recv_ns)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(frame: bytes) -> None:
    _read_or_refused(frame, None)


def _read_or_refused(frame: str | bytes, recv_ns: int | None) -> None:
    try:
        items = parse_frame(frame, recv_ns)
    except FrameRefused as refusal:
        assert refusal.reason.isascii()
        assert len(refusal.reason) < 30
        return
    for item in items:
        assert isinstance(item, Tick | Control)
        if isinstance(item, Tick):
            assert 0 < item.value < 10**9 * E18
            msgspec.msgpack.encode(item)


# --- the venue's own examples ------------------------------------------------------------------------


def examples(shared_data: Path, name: str) -> list[str]:
    return (shared_data / "frames" / "polybolt" / name).read_text().splitlines()


def test_of_the_documented_examples_only_the_oracle_s_is_a_price(shared_data: Path) -> None:
    pyth_snapshot, pyth_update, average = examples(shared_data, "doc_examples.jsonl")
    assert reason_of(pyth_snapshot, None) == reason_of(pyth_update, None) == "provider"
    (tick,) = ticks_of(average, None)
    assert (tick.kind, tick.asset, tick.backfill) == ("twap60", "btc", False)
    assert 10_000 * E18 < tick.value < 1_000_000 * E18
    ours = pyth_snapshot.replace("pyth", "chainlink")
    assert [tick.backfill for tick in ticks_of(ours, None)] == [True, True]


def test_recorded_answers_are_told_apart(shared_data: Path) -> None:
    controls = [
        item for line in examples(shared_data, "acks_live_verified_shapes.jsonl") for item in items_of(line)
    ]
    assert [control.kind for control in controls if isinstance(control, Control)] == [
        "ack",
        "error",
        "ack",
        "error",
        "pong",
    ]
