"""Signed reports: every word is judged, only FrameRefused ever comes out, and an ABI library agrees."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import FrameRefused
from common.feeds.oracle.chainlink_report import MAX_FRAME_BYTES, Report, decode_report, parse_frame, tick_of
from common.feeds.oracle.price_fields import HIGHEST, Control
from common.messages import Tick
from common.units import SECOND
from tests.feeds.signed_reports import (
    BODY,
    BTC,
    NOW_NS,
    NOW_S,
    SPOT_BTC,
    SPOT_ETH,
    TWAP60_BTC,
    envelope,
    full_report,
    hexed,
    message,
    words_of,
)
from tests.feeds.wire import mutilated, text

UINT192 = 1 << 192
E18 = 10**18


def reason_of(frame: object, recv_ns: int | None = NOW_NS) -> str:
    with pytest.raises(FrameRefused) as refused:
        parse_frame(frame if isinstance(frame, str | bytes) else text(frame), recv_ns)
    return refused.value.reason


def reason_with(changes: dict[int, int], feed_id: str = SPOT_BTC, recv_ns: int | None = NOW_NS) -> str:
    """Why a report is refused whose words at these places are others."""
    words = words_of(feed_id)
    for place, value in changes.items():
        words[place] = value
    with pytest.raises(FrameRefused) as refused:
        decode_report(hexed(words), recv_ns)
    return refused.value.reason


def test_a_spot_report_has_a_bid_and_an_ask() -> None:
    assert parse_frame(message(), NOW_NS) == Report(
        feed_id=SPOT_BTC,
        schema=3,
        valid_from_ns=NOW_NS - SECOND,
        observed_ns=NOW_NS,
        expires_ns=NOW_NS + 86_400 * SECOND,
        native_fee=71,
        link_fee=72,
        price18=BTC,
        bid18=BTC - E18,
        ask18=BTC + E18,
    )


def test_a_twap_report_has_a_price_alone() -> None:
    report = parse_frame(message(TWAP60_BTC), NOW_NS)
    assert isinstance(report, Report)
    assert (report.schema, report.price18, report.bid18, report.ask18) == (2, BTC, None, None)


def test_ticks_carry_what_a_report_says() -> None:
    spot, twap = (decode_report(full_report(feed_id), None) for feed_id in (SPOT_BTC, TWAP60_BTC))
    assert tick_of(spot, "spot", "btc") == Tick(
        asset="btc",
        kind="spot",
        route="chainlink",
        observed_ns=NOW_NS,
        e18=str(BTC),
        relay_ns=0,
        backfill=False,
        bid_e18=str(BTC - E18),
        ask_e18=str(BTC + E18),
    )
    late = tick_of(twap, "twap60", "btc", backfill=True)
    assert (late.kind, late.backfill, late.bid_e18, late.ask_e18) == ("twap60", True, None, None)


def test_messages_are_bytes_or_text_and_reports_may_stand_alone() -> None:
    expected = parse_frame(message(), NOW_NS)
    assert parse_frame(message().encode(), NOW_NS) == expected
    assert parse_frame(json.dumps(envelope()), NOW_NS) == expected
    assert parse_frame(b" \n", NOW_NS) == Control("empty")


def test_an_envelope_needs_nothing_but_the_report() -> None:
    assert isinstance(parse_frame(text({"report": {"fullReport": full_report()}}), NOW_NS), Report)
    shouting = {"feedID": SPOT_BTC.upper().replace("0X", "0x"), "fullReport": full_report()}
    assert isinstance(parse_frame(text({"report": shouting}), NOW_NS), Report)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("{", "not-json"),
        ("9" * 5_000, "not-json"),
        ('{"report": 1e999999}', "no-report"),
        ("[" * 50_000, "not-json"),
        (b"\xff\xfe", "not-json"),
        ("[]", "not-an-object"),
        ({}, "no-report"),
        ({"error": "no"}, "no-report"),
        ({"report": None}, "no-report"),
        ({"report": full_report()}, "no-report"),
        ({"report": envelope() | {"fullReport": None}}, "no-report"),
        ({"report": envelope() | {"feedID": SPOT_ETH}}, "envelope"),
        ({"report": envelope() | {"feedID": None}}, "envelope"),
        ({"report": envelope() | {"observationsTimestamp": NOW_S + 1}}, "envelope"),
        ({"report": envelope() | {"observationsTimestamp": str(NOW_S)}}, "envelope"),
        ({"report": envelope() | {"validFromTimestamp": NOW_S}}, "envelope"),
        ({"report": envelope() | {"validFromTimestamp": None}}, "envelope"),
        ({"fullReport": ""}, "hex"),
        ({"fullReport": "0x"}, "hex"),
        ({"fullReport": full_report()[2:]}, "hex"),
        ({"fullReport": full_report()[:-1]}, "hex"),
        ({"fullReport": full_report()[:-2] + "g0"}, "hex"),
        ({"fullReport": full_report()[:-3] + " 00"}, "hex"),
        ({"fullReport": full_report() + "\n"}, "hex"),
        ({"fullReport": full_report()[:-2]}, "layout"),
        ({"fullReport": full_report() + "00"}, "layout"),
        ({"fullReport": "0x" + "00" * 32}, "layout"),
        ({"fullReport": "0x" + "00" * 32 * 6}, "layout"),
    ],
)
def test_what_is_no_report_is_refused_with_its_reason(frame: object, reason: str) -> None:
    assert reason_of(frame) == reason


def test_an_oversized_message_is_refused_unread() -> None:
    assert reason_of(" " * (MAX_FRAME_BYTES + 1)) == "oversized"
    assert parse_frame(" " * MAX_FRAME_BYTES, NOW_NS) == Control("empty")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (3, 32 * 7 + 1),
        (3, 0),
        (3, 32 * 6),
        (3, 1 << 255),
        (3, 32 * 1000),
        (4, 32 * 17 + 16),
        (4, 32 * 1000),
        (5, 32 * 24),
        (5, 1 << 255),
        (7, 0),
        (7, 31),
        (7, 32 * 7),
        (7, 32 * 8),
        (7, 32 * 10),
        (7, 32 * 1000),
        (7, (1 << 256) - 1),
        (17, 2),
        (17, 1 << 250),
        (21, 2),
        (21, 4),
        (BODY + 1, 1 << 32),
        (BODY + 2, 1 << 32),
        (BODY + 3, UINT192),
        (BODY + 4, UINT192),
        (BODY + 5, 1 << 32),
        (BODY + 6, UINT192 + BTC),
        (BODY + 6, 1 << 191),
        (BODY + 7, (1 << 255) + BTC),
        (BODY + 8, -(1 << 191) - 1),
    ],
)
def test_a_word_that_cannot_stand_there_is_refused(place: int, value: int) -> None:
    assert reason_with({place: value}) == "layout"


def test_fields_may_use_all_their_bits() -> None:
    words = words_of()
    for place, value in ((BODY + 1, (1 << 32) - 1), (BODY + 3, UINT192 - 1), (BODY + 5, (1 << 32) - 1)):
        words[place] = value
    assert decode_report(hexed(words), NOW_NS).native_fee == UINT192 - 1


def test_a_report_cut_anywhere_is_refused() -> None:
    words = words_of()
    for length in range(len(words)):
        with pytest.raises(FrameRefused):
            decode_report(hexed(words[:length]), NOW_NS)


def test_the_number_of_signers_varies() -> None:
    for signers in (1, 2, 6, 31):
        assert decode_report(full_report(signers=signers), NOW_NS).price18 == BTC


@pytest.mark.parametrize("prefix", ["0x0000", "0x0001", "0x0004", "0x0009", "0x0300", "0xffff"])
def test_other_schemas_are_refused_by_name(prefix: str) -> None:
    assert reason_with({BODY: int(prefix + SPOT_BTC[6:], 16)}) == "schema"
    assert reason_with({BODY: int(prefix + TWAP60_BTC[6:], 16)}, TWAP60_BTC) == "schema"


def test_a_schema_of_another_length_is_refused() -> None:
    assert reason_with({BODY: int(TWAP60_BTC, 16)}) == "layout"
    assert reason_with({BODY: int(SPOT_BTC, 16)}, TWAP60_BTC) == "layout"


@pytest.mark.parametrize("value", [0, -1, -BTC, HIGHEST, (1 << 191) - 1, -(1 << 191)])
@pytest.mark.parametrize("feed_id", [SPOT_BTC, TWAP60_BTC])
def test_what_is_no_price_is_refused(value: int, feed_id: str) -> None:
    assert reason_with({BODY + 6: value}, feed_id) == "value"


def test_a_bid_or_an_ask_that_is_no_price_is_refused() -> None:
    assert reason_with({BODY + 7: 0}) == "value"
    assert reason_with({BODY + 8: HIGHEST}) == "value"


def test_the_price_lies_between_bid_and_ask() -> None:
    assert reason_with({BODY + 7: BTC + 1}) == "spread"
    assert reason_with({BODY + 8: BTC - 1}) == "spread"
    assert decode_report(full_report(spread=0), NOW_NS).ask18 == BTC


def test_stamps_are_of_this_time_and_not_of_the_future() -> None:
    assert reason_with({BODY + 2: 1_500_000_000}) == "stamp"
    assert reason_with({BODY + 2: 0}) == "stamp"
    assert reason_with({BODY + 2: NOW_S + 6}) == "future"
    assert decode_report(full_report(observed_s=NOW_S + 5), NOW_NS).observed_ns == NOW_NS + 5 * SECOND
    assert decode_report(full_report(observed_s=NOW_S + 6), None).observed_ns == NOW_NS + 6 * SECOND


def test_a_live_report_does_not_expire_before_it_is_made() -> None:
    assert reason_with({BODY + 5: NOW_S - 1}) == "expired"
    words = words_of()
    words[BODY + 5] = NOW_S - 1
    assert decode_report(hexed(words), None).expires_ns == NOW_NS - SECOND
    words[BODY + 5] = NOW_S
    assert decode_report(hexed(words), NOW_NS).expires_ns == NOW_NS


SAMPLES = [
    message(),
    message(TWAP60_BTC),
    text(envelope()),
    text({"report": {"fullReport": "0x" + "0" * 64}}),
]


@given(mutilated(SAMPLES), st.sampled_from([None, NOW_NS]))
def test_a_mutilated_message_is_read_or_refused(frame: str, recv_ns: int | None) -> None:
    _read_or_refused(frame, recv_ns)
    _read_or_refused(frame.encode("utf-8", "surrogatepass"), recv_ns)


_word = st.one_of(
    st.integers(0, 40).map(lambda number: 32 * number),
    st.integers(0, (1 << 256) - 1),
    st.sampled_from(
        [BTC, NOW_S, 1 << 255, (1 << 256) - 1, (1 << 192) - 1, int(SPOT_BTC, 16), int(TWAP60_BTC, 16)]
    ),
)


@given(st.sampled_from([SPOT_BTC, TWAP60_BTC]), st.dictionaries(st.integers(0, 24), _word, max_size=4))
def test_foreign_words_are_refused_or_read_as_an_abi_library_reads_them(
    feed_id: str, changes: dict[int, int]
) -> None:
    abi = pytest.importorskip("eth_abi")
    words = words_of(feed_id)
    for place, value in changes.items():
        if place < len(words):
            words[place] = value
    payload = hexed(words)
    try:
        report = decode_report(payload, None)
    except FrameRefused as refusal:
        assert refusal.reason in {"layout", "schema", "stamp", "value", "spread"}
        return
    _, blob, firsts, seconds, _ = abi.decode(
        ["bytes32[3]", "bytes", "bytes32[]", "bytes32[]", "bytes32"], bytes.fromhex(payload[2:])
    )
    assert len(firsts) == len(seconds)
    prices = ["int192"] * (3 if report.schema == 3 else 1)
    fields = abi.decode(["bytes32", "uint32", "uint32", "uint192", "uint192", "uint32", *prices], blob)
    assert ["0x" + fields[0].hex(), *fields[1:]] == _fields(report)


@given(
    st.sampled_from([SPOT_BTC, TWAP60_BTC]),
    st.tuples(*[st.integers(1_600_000_000, (1 << 32) - 1)] * 3),
    st.tuples(*[st.integers(0, UINT192 - 1)] * 2),
    st.tuples(*[st.integers(1, HIGHEST - 1)] * 3).map(sorted),
    st.integers(0, 20),
)
def test_what_an_abi_library_writes_is_read_back(
    feed_id: str, times: tuple[int, int, int], fees: tuple[int, int], prices: list[int], signers: int
) -> None:
    abi = pytest.importorskip("eth_abi")
    bid, price, ask = prices
    quotes = [price, bid, ask] if feed_id == SPOT_BTC else [price]
    fields = [bytes.fromhex(feed_id[2:]), times[0], times[1], *fees, times[2], *quotes]
    types = ["bytes32", "uint32", "uint32", "uint192", "uint192", "uint32", *["int192"] * len(quotes)]
    blob = abi.encode(types, fields)
    halves = [bytes(31) + bytes([number]) for number in range(signers)]
    payload = abi.encode(
        ["bytes32[3]", "bytes", "bytes32[]", "bytes32[]", "bytes32"],
        [[bytes(32)] * 3, blob, halves, halves, bytes(32)],
    )
    assert _fields(decode_report("0x" + payload.hex(), None)) == [feed_id, *fields[1:]]


def _fields(report: Report) -> list[Any]:
    quotes = [] if report.bid18 is None else [report.bid18, report.ask18]
    times = [at // SECOND for at in (report.valid_from_ns, report.observed_ns, report.expires_ns)]
    fees = [report.native_fee, report.link_fee]
    return [report.feed_id, times[0], times[1], *fees, times[2], report.price18, *quotes]


def _read_or_refused(frame: str | bytes, recv_ns: int | None) -> None:
    try:
        report = parse_frame(frame, recv_ns)
    except FrameRefused as refusal:
        assert refusal.reason.isascii()
        assert len(refusal.reason) < 30
        return
    if isinstance(report, Report):
        assert 0 < report.price18 < HIGHEST
        msgspec.msgpack.encode(tick_of(report, "spot", "btc"))


# --- real reports --------------------------------------------------------------------------------------


def _real(shared_data: Path, name: str) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in (shared_data / "frames" / "chainlink" / name).read_text().splitlines()
    ]


def test_real_reports_decode_to_their_published_values(shared_data: Path) -> None:
    rows = _real(shared_data, "full_reports.jsonl")
    assert len(rows) == 9
    for row in rows:
        report, expected = decode_report(row["fullReport"], None), row["decoded"]
        assert report.schema == expected["schema"]
        assert _fields(report) == [
            expected["feedID"],
            expected["validFromTimestamp"],
            expected["observationsTimestamp"],
            int(expected["nativeFee"]),
            int(expected["linkFee"]),
            expected["expiresAt"],
            *(int(expected[name]) for name in ("benchmarkPrice", "bid", "ask")),
        ]


def test_a_real_report_of_another_schema_is_refused(shared_data: Path) -> None:
    (row,) = _real(shared_data, "full_reports_other_schemas.jsonl")
    assert reason_of({"fullReport": row["fullReport"]}, None) == "schema"


def test_the_synthetic_twap_report_decodes(shared_data: Path) -> None:
    file = shared_data / "frames" / "chainlink" / "SYNTHETIC_v2_twap_report.json"
    document = json.loads(file.read_text())
    report, expected = decode_report(document["fullReport"], None), document["decoded"]
    assert _fields(report) == [
        expected["feedID"],
        expected["validFromTimestamp"],
        expected["observationsTimestamp"],
        int(expected["nativeFee"]),
        int(expected["linkFee"]),
        expected["expiresAt"],
        int(expected["price"]),
    ]
