"""The simulated dialects against the shape of real frames: keys, their order, and types."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.sim.market import clob_dialect, gamma_dialect
from common.sim.oracle import rtds_dialect
from common.sim.script import (
    BookSet,
    Listed,
    Observed,
    Resolved,
    ScriptEvent,
    StrikePublished,
    TickSizeChanged,
    Traded,
)
from common.sim.world import Market, MarketChange, World
from stage import (
    DOWN,
    DOWN_BOOK,
    EXCHANGE,
    MARKET,
    SLUG,
    SPOT,
    START_S,
    TWAP,
    UP,
    UP_BOOK,
    observed,
    spec,
)

E18 = 10**18
NOW_MS = START_S * 1000


def _world(*events: ScriptEvent, market: Any = MARKET) -> World:
    world = World()
    world.apply([Listed(market), UP_BOOK, DOWN_BOOK, *events], NOW_MS * 1_000_000)
    return world


def _market(*events: ScriptEvent, market: Any = MARKET) -> Market:
    return _world(*events, market=market).markets[market.slug]


def _change(*events: ScriptEvent) -> MarketChange:
    (change,) = _world().apply(events, (NOW_MS + 7) * 1_000_000)
    assert isinstance(change, MarketChange)
    return change


# Real frames.


def _lines(shared: Path, name: str) -> list[str]:
    return [line for line in (shared / "frames" / name).read_text().splitlines() if line]


def _rtds_frames(shared: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in (
        "connection_with_full_backfills_2026-04-28.jsonl",
        "updates_with_receive_time_2026-04-28.jsonl",
    ):
        for line in _lines(shared, f"rtds/{name}"):
            text = json.loads(line)["frame"]
            yield text, json.loads(text)
    for name in ("updates_2026-09-05.jsonl", "backfill_twap60_2026-09-05_truncated3.json"):
        for text in _lines(shared, f"rtds/{name}"):
            yield text, json.loads(text)


def _same_shape(ours: Any, real: Any, where: str = "") -> None:
    """Same keys in the same order, same JSON types, all the way down; of lists the first entries."""
    number = (int, float)
    both_numbers = isinstance(ours, number) and isinstance(real, number)
    assert both_numbers or type(ours) is type(real), where
    if isinstance(real, dict):
        assert list(ours) == list(real), where
        for key in real:
            _same_shape(ours[key], real[key], f"{where}.{key}")
    if isinstance(real, list) and real and ours:
        _same_shape(ours[0], real[0], f"{where}[0]")


def test_rtds_frames_are_rewritten_byte_for_byte(shared_data: Path) -> None:
    """Every real frame, read and written again, is the same text; spot backfills lack the exact values."""
    seen = set()
    for text, frame in _rtds_frames(shared_data):
        payload, topic = frame["payload"], frame["topic"]
        if frame["type"] == "update":
            exact = payload["full_accuracy_value"]
            value = int(exact) if topic != EXCHANGE else int(exact.replace(".", "")) * 10**10
            point = Observed(topic, payload["symbol"], payload["timestamp"], value, payload.get("window_s"))
            body = rtds_dialect.update_body(point, frame["timestamp"])
            ours = rtds_dialect.update_frame(frame["connection_id"], body)
        else:
            topic = SPOT if "/" in payload["symbol"] and topic == EXCHANGE else topic
            points = [
                Observed(
                    topic,
                    payload["symbol"],
                    point["timestamp"],
                    int(point.get("full_accuracy_value", 0)) or round(point["value"] * 10**9) * 10**9,
                    payload.get("window_s"),
                )
                for point in payload["data"]
            ]
            ours = rtds_dialect.backfill_frame(points, frame["timestamp"])
        seen.add((topic, frame["type"]))
        if topic == SPOT and frame["type"] == "subscribe":
            _same_shape(json.loads(ours), frame)
        else:
            assert ours == text
    assert len(seen) == 6


def test_rtds_refusals(shared_data: Path) -> None:
    unknown = (shared_data / "frames/rtds/error_unknown_topic_401.json").read_text().strip()
    assert rtds_dialect.unknown_topic_frame("definitely_not_a_topic", "update") == unknown
    invalid = json.loads((shared_data / "frames/rtds/error_invalid_request_SANITIZED.json").read_text())
    _same_shape(json.loads(rtds_dialect.invalid_request_frame("a=", "b=")), invalid)


def test_initial_books(shared_data: Path) -> None:
    for line in _lines(shared_data, "clob_ws/initial_book_arrays_2026-04.jsonl"):
        for real in json.loads(line):
            ours = clob_dialect.book_object(_market(), UP)
            _same_shape(ours, real)
    (real,) = json.loads(_lines(shared_data, "clob_ws/book_v2_array_frame_2026-10-05.json")[0])
    _same_shape(clob_dialect.book_object(_market(market=spec(version="v2")), UP), real)


def test_refresh(shared_data: Path) -> None:
    real = json.loads(_lines(shared_data, "clob_ws/book_refresh_without_tick_2026-04-13.jsonl")[0])
    _same_shape(json.loads(clob_dialect.refresh_frame(_market(), UP)), real)


def test_price_change(shared_data: Path) -> None:
    change = _change(BookSet(UP, (("0.4", "1"),), UP_BOOK.asks))
    ours = clob_dialect.price_change_frame(change, clob_dialect.price_changes(change))
    for line in _lines(shared_data, "clob_ws/book_then_price_changes_2026-04_hash_chain.jsonl"):
        for text in json.loads(line)["price_change_frames"]:
            _same_shape(json.loads(ours), json.loads(text))
            assert clob_dialect.spaced(json.loads(text)) == text


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("best_bid_ask_2026-08.json", "best_bid_ask"),
        ("last_trade_price_2026-08.json", "last_trade_price"),
        ("market_resolved_SANITIZED_2026-08.json", "market_resolved"),
    ],
)
def test_single_frames(shared_data: Path, name: str, ours: str) -> None:
    real = _lines(shared_data, f"clob_ws/{name}")[0]
    frame = _single(ours)
    _same_shape(json.loads(frame), json.loads(real))
    assert clob_dialect.compact(json.loads(real)) == real


def _single(kind: str) -> str:
    if kind == "best_bid_ask":
        frame = clob_dialect.best_bid_ask_frame(_change(BookSet(UP, (("0.4", "1"),), UP_BOOK.asks)), UP)
        assert frame is not None
        return frame
    if kind == "last_trade_price":
        change = _change(Traded(UP, "0.5", "2", "SELL"))
        return clob_dialect.last_trade_price_frame(change, change.trades[0])
    return clob_dialect.market_resolved_frame(_change(Resolved(SLUG, "Up")))


def test_tick_size_change(shared_data: Path) -> None:
    real = json.loads((shared_data / "frames/clob_ws/nautilus_tick_size_change_2025-02.json").read_text())
    ours = json.loads(clob_dialect.tick_size_change_frame(_change(TickSizeChanged(SLUG, "0.001")), UP))
    assert sorted(ours) == sorted(real) and {type(value) for value in ours.values()} == {str}
    assert (ours["old_tick_size"], ours["new_tick_size"]) == ("0.01", "0.001")


def test_new_market(shared_data: Path) -> None:
    (change,) = World().apply([Listed(MARKET)], NOW_MS * 1_000_000)
    assert isinstance(change, MarketChange)
    ours = clob_dialect.new_market_frame(change)
    for text in _lines(shared_data, "clob_ws/new_market_updown_2026-04-28.jsonl"):
        _same_shape(json.loads(ours), json.loads(text))
        assert clob_dialect.spaced(json.loads(text)) == text


def test_rest_bodies(shared_data: Path) -> None:
    for line in _lines(shared_data, "clob_rest/books_2026-04_hash_verified.jsonl"):
        _same_shape(clob_dialect.rest_book(_market(), UP), json.loads(line))
    ours = clob_dialect.rest_market(_market(), 150)
    assert ours.pop("itodems") == 150
    real = _lines(shared_data, "clob_rest/clob-markets_v1_btc-updown-15m-1791241200.json")[0]
    _same_shape(ours, json.loads(real))


def test_gamma_events_and_markets_hold_a_true_part_of_the_real_ones(shared_data: Path) -> None:
    page = json.loads((shared_data / "frames/gamma/events_keyset_series10192_2026-10-05.json").read_text())
    real = page["events"][0]
    ours = gamma_dialect.event_object(_market(Traded(UP, "0.5", "1", "BUY")), "15m")
    _part_of(ours, real, "event")
    assert ours["series"][0]["id"] == real["series"][0]["id"]
    trimmed = "market_btc-updown-5m-1787414400_twap_trimmed_2026-08.json"
    everything_kept = json.loads((shared_data / "frames/gamma" / trimmed).read_text())
    missing = set(everything_kept) - set(ours["markets"][0]) - {"questionID"}
    assert missing == set()


def test_resolved_gamma_markets(shared_data: Path) -> None:
    for line in _lines(shared_data, "gamma/markets_resolved_btc-5m_2026-06-08.jsonl"):
        real = json.loads(line)
        outcome = "Up" if json.loads(real["outcomePrices"])[0] == "1" else "Down"
        market = _market(Resolved(SLUG, outcome), market=spec(twap_lookback_s=None))
        ours = gamma_dialect.market_object(market, "5m")
        for key in (
            "closed",
            "outcomePrices",
            "outcomes",
            "acceptingOrders",
            "umaResolutionStatus",
            "feeSchedule",
        ):
            assert ours[key] == real[key]
        assert len(ours["closedTime"]) == len(real["closedTime"])
        assert set(ours) - set(real) == {"version"}


def _part_of(ours: Any, real: Any, where: str) -> None:
    """Every key of ours is real, of the real type, and in the real order."""
    if isinstance(ours, dict):
        assert list(ours) == [key for key in real if key in ours], where
        for key in ours:
            _part_of(ours[key], real[key], f"{where}.{key}")
        return
    number = (int, float)
    assert type(ours) is type(real) or (isinstance(ours, number) and isinstance(real, number)), where
    if isinstance(ours, list):
        _part_of(ours[0], real[0], f"{where}[0]")


# Rules that need no recorded frame.


@pytest.mark.parametrize(
    ("topic", "value", "exact", "number"),
    [
        (SPOT, 76_211_800_165_600_190_000_000, "76211800165600190000000", "76211.80016560019"),
        (SPOT, 2 * E18, "2000000000000000000", "2"),
        (EXCHANGE, 79_697_730_000_000_000_000_000, "79697.73000000", "79697.73"),
        (TWAP, 1_340_195_036_309_738_400, "1340195036309738400", "1.3401950363097384"),
    ],
)
def test_rtds_values(topic: str, value: int, exact: str, number: str) -> None:
    frame = rtds_dialect.update_frame("c=", rtds_dialect.update_body(observed(0, value, topic), NOW_MS))
    assert f'"full_accuracy_value":"{exact}"' in frame and f'"value":{number}' in frame
    assert list(json.loads(frame)) == ["connection_id", "payload", "timestamp", "topic", "type"]
    assert ("window_s" in json.loads(frame)["payload"]) == (topic == TWAP)


@pytest.mark.parametrize(
    ("filters", "wish"),
    [
        ("", rtds_dialect.Wish(TWAP)),
        ('{"symbol":"btc/usd"}', rtds_dialect.Wish(TWAP, "btc/usd")),
        ('{"symbol": "btc/usd"}', rtds_dialect.Wish(TWAP, "btc/usd", muted=True)),
        ("btc/usd,eth/usd", rtds_dialect.Wish(TWAP, dead=True)),
    ],
)
def test_rtds_filters(filters: str, wish: rtds_dialect.Wish) -> None:
    entry = {"topic": TWAP, "type": "update", "filters": filters}
    text = json.dumps({"action": "subscribe", "subscriptions": [entry]})
    assert rtds_dialect.read_request(text, "c", "r") == rtds_dialect.Request(True, (wish,))


@pytest.mark.parametrize("filters", ['["btc/usd"]', '{"symbol":["btc/usd"]}', "{}", 3])
def test_rtds_filters_of_other_forms_are_refused(filters: Any) -> None:
    entry = {"topic": TWAP, "type": "update", "filters": filters}
    answer = rtds_dialect.read_request(
        json.dumps({"action": "subscribe", "subscriptions": [entry]}), "c", "r"
    )
    assert isinstance(answer, rtds_dialect.Refusal) and json.loads(answer.frame)["statusCode"] == 400


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '{"op":"auth"}',
        '{"action":"subscribe"}',
        '{"action":"subscribe","subscriptions":[1]}',
    ],
)
def test_rtds_malformed_requests(text: str) -> None:
    answer = rtds_dialect.read_request(text, "c", "r")
    assert isinstance(answer, rtds_dialect.Refusal)
    assert json.loads(answer.frame) == {
        "message": "Invalid request body",
        "connectionId": "c",
        "requestId": "r",
    }


def test_changes_of_one_millisecond_become_one_frame_with_the_final_hash() -> None:
    change = _change(
        BookSet(UP, (("0.4", "10"),), UP_BOOK.asks),
        BookSet(UP, (("0.4", "10"), ("0.48", "3")), UP_BOOK.asks),
        BookSet(DOWN, DOWN_BOOK.bids, (("0.6", "10"), ("0.52", "3"))),
    )
    entries = clob_dialect.price_changes(change)
    assert [(entry["asset_id"], entry["price"], entry["size"], entry["side"]) for entry in entries] == [
        (UP, "0.49", "0", "BUY"),
        (UP, "0.48", "3", "BUY"),
        (DOWN, "0.51", "0", "SELL"),
        (DOWN, "0.52", "3", "SELL"),
    ]
    assert {entry["hash"] for entry in entries[:2]} == {clob_dialect.hash_of(change.market, UP)}
    assert (entries[0]["best_bid"], entries[0]["best_ask"]) == ("0.48", "0.51")


def test_last_trade_is_the_markets_and_has_three_decimals() -> None:
    market = _market(Traded(UP, "0.5", "1", "BUY"), Traded(DOWN, "0.41", "1", "SELL"))
    assert {clob_dialect.book_object(market, token)["last_trade_price"] for token in (UP, DOWN)} == {"0.410"}


@pytest.mark.parametrize(
    ("at_ns", "text"),
    [
        (1_791_241_200 * 10**9, "2026-10-05T23:00:00Z"),
        (1_791_241_200 * 10**9 + 486_981_000, "2026-10-05T23:00:00.486981Z"),
        (1_791_241_200 * 10**9 + 500_000_000, "2026-10-05T23:00:00.5Z"),
    ],
)
def test_gamma_instants_have_fractions_only_when_needed(at_ns: int, text: str) -> None:
    assert gamma_dialect.iso(at_ns) == text


def test_gamma_v2_market_names_positions_and_a_shorter_condition() -> None:
    market = _market(market=spec(version="v2", condition_id="0x" + "ab" * 31 + "00"))
    ours = gamma_dialect.market_object(market, "15m")
    assert ours["clobTokenIds"] is None and ours["positionIds"] == [UP, DOWN] and ours["version"] == "v2"
    assert ours["conditionId"] == "0x" + "ab" * 31
    assert clob_dialect.rest_market(market, 0)["c"] == "0x" + "ab" * 31 + "00"


def test_gamma_market_fields() -> None:
    ours = gamma_dialect.market_object(_market(StrikePublished(SLUG, 5 * E18)), "15m")
    assert ours["outcomes"] == '["Up", "Down"]' and ours["clobTokenIds"] == '["1111", "2222"]'
    assert ours["outcomePrices"] == '["0.5", "0.5"]'
    assert ours["eventStartTime"] == gamma_dialect.iso(MARKET.start_ns)
    assert ours["cryptoMarketConfig"]["twapLookbackSeconds"] == 60
    spot = gamma_dialect.market_object(_market(market=spec(twap_lookback_s=None)), "15m")
    assert "cryptoMarketConfig" not in spot


def test_world_drops_events_of_unknown_markets() -> None:
    assert list(_world(Resolved("unknown", "Up"), BookSet("9", (), ())).markets) == [SLUG]
