"""RTDS frames: every trap of the wire is told apart, and nothing but FrameRefused ever comes out."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import FrameRefused
from common.feeds.oracle import rtds
from common.feeds.oracle.price_fields import Control
from common.feeds.oracle.rtds import made_up, parse_any, parse_frame, subscriptions
from common.messages import Tick
from common.units import E18, MILLISECOND, SECOND
from tests.feeds.wire import E18_BTC, NOW_MS, NOW_NS, backfill, mutilated, text, update

TWAP60 = "crypto_prices_twap_sixty"


def ticks_of(frame: object, recv_ns: int | None = NOW_NS) -> list[Tick]:
    items = parse_frame(frame if isinstance(frame, str) else text(frame), recv_ns)
    assert all(isinstance(item, Tick) for item in items), items
    return [item for item in items if isinstance(item, Tick)]


def reason_of(frame: object, recv_ns: int | None = NOW_NS) -> str:
    with pytest.raises(FrameRefused) as refused:
        parse_frame(frame if isinstance(frame, str | bytes) else text(frame), recv_ns)
    return refused.value.reason


@pytest.mark.parametrize(
    ("topic", "kind"),
    [("crypto_prices_chainlink", "spot"), ("crypto_prices_twap_thirty", "twap30"), (TWAP60, "twap60")],
)
def test_the_exact_value_of_oracle_topics_is_scaled(topic: str, kind: str) -> None:
    (tick,) = ticks_of(update(topic))
    assert tick == Tick(
        asset="btc",
        kind=kind,  # type: ignore[arg-type]
        route="rtds",
        observed_ns=NOW_NS,
        e18=E18_BTC,
        relay_ns=NOW_NS + 900 * MILLISECOND,
        backfill=False,
    )
    assert tick.value == int(E18_BTC)


def test_the_exact_value_of_the_binance_topic_is_a_plain_decimal() -> None:
    (tick,) = ticks_of(
        update("crypto_prices", symbol="btcusdt", value=79697.73, full_accuracy_value="79697.73000000")
    )
    assert (tick.kind, tick.asset, tick.value) == ("binance", "btc", 79_697_730 * E18 // 1000)


def test_a_chainlink_backfill_under_the_binance_name_is_spot() -> None:
    """Told by the slash in its symbol; its points have no exact value, and come sorted."""
    points = [
        {"timestamp": NOW_MS - 1000, "value": 76248.86816336501},
        {"timestamp": NOW_MS - 3000, "value": 76249},
    ]
    ticks = ticks_of(backfill("crypto_prices", "btc/usd", points))
    assert [(tick.kind, tick.backfill) for tick in ticks] == [("spot", True)] * 2
    assert [tick.observed_ns for tick in ticks] == [NOW_NS - 3 * SECOND, NOW_NS - SECOND]
    assert [tick.value for tick in ticks] == [76249 * E18, 7624886816336501 * E18 // 10**11]


def test_a_binance_backfill_under_its_own_name_is_binance() -> None:
    (tick,) = ticks_of(backfill("crypto_prices", "ethusdt", [{"timestamp": NOW_MS, "value": 3000.5}]))
    assert (tick.kind, tick.asset) == ("binance", "eth")


def test_a_twap_backfill_has_exact_values_and_a_window() -> None:
    point = {"timestamp": NOW_MS, "value": 79639.7958297635, "full_accuracy_value": E18_BTC}
    (tick,) = ticks_of(backfill(TWAP60, "btc/usd", [point], window_s=60))
    assert (tick.kind, tick.value, tick.backfill) == ("twap60", int(E18_BTC), True)
    assert reason_of(backfill(TWAP60, "btc/usd", [point], window_s=30)) == "window"
    assert reason_of(update(window_s=60)) == "window"


def test_an_empty_backfill_is_no_tick() -> None:
    assert ticks_of(backfill(TWAP60, "btc/usd", [])) == []


@pytest.mark.parametrize("frame", ["", "  \n", b""])
def test_an_empty_frame_is_quiet(frame: str | bytes) -> None:
    assert parse_frame(frame, NOW_NS) == (Control("empty"),)


@pytest.mark.parametrize("frame", ["PONG", "pong\n", b"PONG"])
def test_a_pong_is_quiet(frame: str | bytes) -> None:
    assert parse_frame(frame, NOW_NS) == (Control("pong"),)


def test_both_error_envelopes_are_told() -> None:
    first = parse_frame(text({"body": {"message": "no such topic"}, "statusCode": 401}), NOW_NS)
    assert first == (Control("error", "401 no such topic"),)
    second = parse_frame(text({"message": "Invalid request body", "connectionId": "x="}), NOW_NS)
    assert second == (Control("error", "Invalid request body"),)
    assert parse_frame('{"hello":1}', NOW_NS) == (Control("other", "hello"),)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("{", "not-json"),
        ("[" * 100_000, "not-json"),
        ("9" * 5000, "not-json"),
        ("[]", "not-an-object"),
        ("NaN", "not-an-object"),
        (update("crypto_prices_solana"), "unknown-topic"),
        (update("\ud800"), "unknown-topic"),
        (update() | {"topic": ["crypto_prices"]}, "unknown-topic"),
        (update() | {"type": "snapshot"}, "unknown-type"),
        (update() | {"type": ["update"]}, "unknown-type"),
        (update() | {"payload": []}, "payload"),
        (backfill(TWAP60, "btc/usd", []) | {"payload": {"symbol": "btc/usd", "data": {}}}, "payload"),
        (backfill(TWAP60, "btc/usd", [1]), "payload"),
        (update(symbol=7), "symbol"),
        (update(symbol="pepe/usd"), "unknown-symbol"),
        (update(symbol="btc/eur"), "unknown-symbol"),
        (update(symbol="btcusdt"), "unknown-symbol"),
        (update("crypto_prices", symbol="btc"), "unknown-symbol"),
        (update("crypto_prices", symbol="usdt"), "unknown-symbol"),
        (update(timestamp=str(NOW_MS)), "stamp"),
        (update(timestamp=True), "stamp"),
        (update(timestamp=NOW_MS / 1), "stamp"),
        (update(timestamp=NOW_MS // 1000), "stamp"),
        (update(timestamp=NOW_MS * 1000), "stamp"),
        (update(timestamp=10**30), "stamp"),
        (update(timestamp=-NOW_MS), "stamp"),
        (update() | {"timestamp": None}, "stamp"),
        (update(timestamp=NOW_MS + 5001), "future"),
        (update(value=None, full_accuracy_value=None), "value"),
        (update(full_accuracy_value=79639795829763498573824), "value"),
        (update(full_accuracy_value="79639.79"), "value"),
        (update(full_accuracy_value="-" + E18_BTC), "value"),
        (update(full_accuracy_value=""), "value"),
        (update(value=True), "value"),
        (update(value="sNaN"), "value"),
        (update(value="much"), "value"),
        (update(value=[1]), "value"),
        (update(value=float("nan")), "value"),
        (update(value=0, full_accuracy_value=None), "value"),
        (update(value=-5, full_accuracy_value=None), "value"),
        (update(value=1e10, full_accuracy_value=None), "value"),
        (update(value=79739.7958297635), "unit"),
        (update(value=79539.7958297635), "unit"),
        (update(full_accuracy_value=E18_BTC[:-10]), "unit"),
        (update("crypto_prices", symbol="btcusdt", full_accuracy_value=E18_BTC), "value"),
    ],
)
def test_what_is_wrong_is_refused_with_its_reason(frame: object, reason: str) -> None:
    assert reason_of(frame) == reason


def test_the_future_is_judged_by_our_clock_and_only_when_it_is_known() -> None:
    assert ticks_of(update(timestamp=NOW_MS + 5000))
    assert ticks_of(update(timestamp=NOW_MS + 5001), recv_ns=None)


def test_the_relay_may_be_ahead_of_us() -> None:
    assert ticks_of(update() | {"timestamp": NOW_MS + 60_000})


def test_the_display_value_may_differ_by_its_rounding() -> None:
    assert ticks_of(update(value=79639.8))
    assert ticks_of(update(value="79639.7958"))
    assert ticks_of(update(value=None))


@pytest.mark.parametrize("value", ["1e999999999", "1e-999999999", "1e999999999999999", "1e80"])
@pytest.mark.parametrize("form", ['"value":{}', '"value":"{}"', '"full_accuracy_value":"{}"'])
def test_an_enormous_exponent_is_refused_and_not_written_out(value: str, form: str) -> None:
    """Written with all its zeros such a number would fill the memory."""
    payload = f'{{"symbol":"btcusdt","timestamp":{NOW_MS},{form.format(value)}}}'
    frame = f'{{"topic":"crypto_prices","type":"update","timestamp":{NOW_MS},"payload":{payload}}}'
    assert reason_of(frame) == "value"


def test_a_display_value_keeps_its_own_digits() -> None:
    """Read as a binary float the value would end in other digits."""
    frame = text(update(full_accuracy_value=None, value=0)).replace(
        '"value": 0', '"value": 0.1000000000000000001'
    )
    (tick,) = ticks_of(frame)
    assert tick.value == 100_000_000_000_000_000


def test_an_oversized_frame_is_refused_unread() -> None:
    assert reason_of(" " * (rtds.MAX_FRAME_BYTES + 1)) == "oversized"
    assert reason_of(b" " * (rtds.MAX_FRAME_BYTES + 1)) == "oversized"
    assert parse_frame(" " * rtds.MAX_FRAME_BYTES, NOW_NS) == (Control("empty"),)


def test_bytes_that_are_no_text_are_refused() -> None:
    assert reason_of(b"\xff\xfe\x00") == "not-json"


def test_a_subscription_has_one_topic_and_no_filter() -> None:
    messages = [json.loads(message) for message in subscriptions(("spot", "binance"))]
    assert messages == [
        {"action": "subscribe", "subscriptions": [{"topic": topic, "type": "update"}]}
        for topic in ("crypto_prices_chainlink", "crypto_prices")
    ]


SAMPLES = [
    text(frame)
    for frame in (
        update(),
        update("crypto_prices", symbol="btcusdt", full_accuracy_value="79639.79"),
        backfill("crypto_prices", "btc/usd", [{"timestamp": NOW_MS, "value": 76248.8}]),
        backfill(TWAP60, "eth/usd", [{"timestamp": NOW_MS, "full_accuracy_value": "3" * 22}], window_s=60),
        {"body": {"message": "no"}, "statusCode": 401},
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


# --- the prompt reader ---------------------------------------------------------------------------------

EVERYDAY = [
    update(),
    update(TWAP60, symbol="eth/usd", window_s=60),
    update("crypto_prices_twap_thirty", symbol="sol/usd"),
    update("crypto_prices", symbol="btcusdt", full_accuracy_value="79639.79582976"),
    json.loads(made_up(NOW_MS)),
]
ODD_NUMBERS = (
    *("1", "0", "-5", "1e22", "1E400", "79639.8", "79600", "79560.16", "79719.43", "7.96397958297635e4"),
    *(
        "NaN",
        "true",
        "null",
        "[]",
        '"79639.8"',
        "79639." + "7958297635" * 7,
        "01",
        "1_0",
        "[" * 5_000,
        "1e-18",
    ),
    *(str(NOW_MS), f"{NOW_MS}.0", str(NOW_MS + 5_000), str(NOW_MS + 5_001), str(10**30), "60", "60.0", "30"),
)
ODD_TEXTS = (
    *(
        '"79639.8"',
        '"00079639795829763498573824"',
        '"5"',
        '"x"',
        '""',
        '"\\ud800"',
        '"\\u0062tc/usd"',
        '"BTC/USD"',
    ),
    *('"crypto_prices"', '"btcusdt"', '"ethusdt"', '"update"', '"subscribe"', f'"{"9" * 61}"', '"79639.79"'),
)
_FIELD = r'"([a-z_0-9]+)":("[^"]*"|[^,{}]+)'


def meaning(reader: Callable[[str, int | None], object], frame: str, recv_ns: int | None) -> object:
    try:
        return reader(frame, recv_ns)
    except FrameRefused as refusal:
        return refusal.reason, refusal.detail


@st.composite
def odd_frames(draw: st.DrawFn) -> str:
    """An everyday update with a few fields odd, missing, twice or new."""
    frame = json.dumps(draw(st.sampled_from(EVERYDAY)), separators=(",", ":"))
    for _ in range(draw(st.integers(0, 3))):
        fields = list(re.finditer(_FIELD, frame))
        if not fields:
            break
        field = draw(st.sampled_from(fields))
        name = draw(st.sampled_from((field[1], field[1], "window_s", "value", "more")))
        odd = f'"{name}":{draw(st.sampled_from(ODD_NUMBERS + ODD_TEXTS))}'
        new = draw(st.sampled_from((odd, odd, f"{field[0]},{odd}", "", f" {field[0]}\n")))
        frame = frame[: field.start()] + new + frame[field.end() :]
    return frame


@settings(max_examples=400)
@given(odd_frames(), st.sampled_from([None, NOW_NS]))
def test_the_prompt_reader_never_differs_from_the_tolerant_one(frame: str, recv_ns: int | None) -> None:
    assert meaning(parse_frame, frame, recv_ns) == meaning(parse_any, frame, recv_ns)


@given(mutilated(SAMPLES), st.sampled_from([None, NOW_NS]))
def test_nor_does_it_on_a_mutilated_frame(frame: str, recv_ns: int | None) -> None:
    assert meaning(parse_frame, frame, recv_ns) == meaning(parse_any, frame, recv_ns)


@given(st.integers(1, 10**27 + 10), st.sampled_from([1.0, 1.0009, 1.0011, 0.9991, 0.9989]))
def test_nor_on_any_price(value: int, off: float) -> None:
    frame = text(update(full_accuracy_value=str(value), value=value / E18 * off))
    assert meaning(parse_frame, frame, NOW_NS) == meaning(parse_any, frame, NOW_NS)


@pytest.mark.parametrize(
    ("exact", "shown"),
    [
        (E18_BTC, "79639." + "7958297635" * 6),
        (E18_BTC, "[" * 5_000),
        (E18_BTC, "[" * 5_000 + "]" * 5_000),
        (E18_BTC, "79639.7958297635" + " " * rtds.MAX_FRAME_BYTES),
        ("7", "6.9999e-18"),
        ("1" + "0" * 27, "1000000000"),
        ("1" + "0" * 27, "999999999.99"),
        ("0", "0"),
    ],
)
def test_nor_at_the_edges(exact: str, shown: str) -> None:
    frame = text(update(full_accuracy_value=exact)).replace("79639.7958297635", shown)
    assert meaning(parse_frame, frame, NOW_NS) == meaning(parse_any, frame, NOW_NS)


@pytest.mark.parametrize("frame", EVERYDAY)
def test_an_everyday_update_is_read_promptly(frame: object, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = parse_any(text(frame), NOW_NS)
    monkeypatch.setattr(rtds, "parse_any", None)
    assert parse_frame(text(frame), NOW_NS) == expected


# --- recorded frames ---------------------------------------------------------------------------------


@pytest.fixture
def recorded(shared_data: Path) -> Callable[[str], list[str]]:
    def read(name: str) -> list[str]:
        return (shared_data / "frames" / "rtds" / name).read_text().splitlines()

    return read


def with_receive_time(lines: list[str]) -> list[tuple[str, int]]:
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [(row["frame"], row["recv_wall_ts"] * MILLISECOND) for row in rows]


def test_recorded_connection(recorded: Callable[[str], list[str]]) -> None:
    backfills: list[list[Tick]] = []
    updates: list[list[Tick]] = []
    for frame, recv_ns in with_receive_time(recorded("connection_with_full_backfills_2026-04-28.jsonl")):
        ticks = ticks_of(frame, recv_ns)
        (updates if len(ticks) == 1 else backfills).append(ticks)
    assert sorted({tick.asset for ticks in backfills for tick in ticks}) == ["btc", "eth", "sol"]
    assert len(backfills) == 3
    assert len(updates) == 12
    assert {tick.kind for ticks in backfills + updates for tick in ticks} == {"spot"}
    assert all(tick.backfill for ticks in backfills for tick in ticks)
    assert not any(tick.backfill for (tick,) in updates)


def test_recorded_updates(recorded: Callable[[str], list[str]]) -> None:
    rows = with_receive_time(recorded("updates_with_receive_time_2026-04-28.jsonl"))
    assert len([tick for frame, recv_ns in rows for tick in ticks_of(frame, recv_ns)]) == 48
    older = [
        tick
        for frame in recorded("updates_2026-02-23_btc_eth_sol_xrp.jsonl")
        for tick in ticks_of(frame, None)
    ]
    assert len(older) == 23
    assert {tick.asset for tick in older} == {"btc", "eth", "sol", "xrp"}


def test_recorded_updates_are_read_promptly(
    recorded: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = recorded("updates_2026-09-05.jsonl") + recorded("updates_2026-02-23_btc_eth_sol_xrp.jsonl")
    expected = [parse_any(frame, None) for frame in frames]
    monkeypatch.setattr(rtds, "parse_any", None)
    assert [parse_frame(frame, None) for frame in frames] == expected


def test_recorded_kinds(recorded: Callable[[str], list[str]]) -> None:
    ticks = [tick for frame in recorded("updates_2026-09-05.jsonl") for tick in ticks_of(frame, None)]
    assert sorted(tick.kind for tick in ticks) == ["binance", "spot", "twap30", "twap60"]
    assert len({tick.value // (1000 * E18) for tick in ticks}) == 1, "all units agree"


def test_recorded_backfills(recorded: Callable[[str], list[str]]) -> None:
    for name, kind in (
        ("backfill_twap60_2026-09-05_truncated3.json", "twap60"),
        ("nautilus_binance_backfill_truncated3.json", "binance"),
    ):
        ticks = ticks_of("\n".join(recorded(name)), None)
        assert [(tick.kind, tick.backfill) for tick in ticks] == [(kind, True)] * 3


def test_recorded_errors(recorded: Callable[[str], list[str]]) -> None:
    for name in ("error_unknown_topic_401.json", "error_invalid_request_SANITIZED.json"):
        (control,) = parse_frame("\n".join(recorded(name)), NOW_NS)
        assert isinstance(control, Control)
        assert control.kind == "error"
        assert control.text
