"""Market-channel frames and REST books: every form of the wire; nothing but FrameRefused ever comes out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core.book_hash import book_hash
from common.errors import FrameRefused
from common.feeds.market import clob_market
from common.feeds.market.clob_market import parse_book, parse_frame
from common.feeds.market.market_events import (
    BestBidAsk,
    BookSnapshot,
    LastTrade,
    LevelChange,
    MarketEvent,
    MarketResolved,
    NewMarket,
    PriceChanges,
    Quiet,
    TickSizeChange,
)
from common.units import MILLISECOND
from tests.feeds.wire import (
    DOWN,
    NOW_MS,
    NOW_NS,
    UP,
    book,
    change,
    changes,
    levels,
    mutilated,
    one_token,
    text,
)


def events_of(frame: object) -> tuple[MarketEvent, ...]:
    return parse_frame(text(frame))


def book_of(frame: object) -> BookSnapshot:
    (event,) = events_of(frame)
    assert isinstance(event, BookSnapshot)
    return event


def change_of(frame: object) -> LevelChange:
    (event,) = events_of(frame)
    assert isinstance(event, PriceChanges)
    return event.changes[-1]


def reason_of(frame: object) -> str:
    with pytest.raises(FrameRefused) as refused:
        parse_frame(frame if isinstance(frame, str | bytes) else text(frame))
    return refused.value.reason


def test_a_book() -> None:
    assert book_of(book()) == BookSnapshot(
        market="0xmarket",
        token=UP,
        at_ns=NOW_NS,
        stamp=str(NOW_MS),
        hash="feed",
        bids=((5800, 100_000_000), (5900, 20_500_000)),
        asks=((6200, 300_000_000), (6100, 10_000_000)),
        wire_bids=(("0.58", "100"), ("0.59", "20.5")),
        wire_asks=(("0.62", "300"), ("0.61", "10")),
        tick4=100,
        wire_tick="0.01",
        last_trade4=6000,
        wire_last_trade="0.600",
        version="v1",
    )


def test_an_array_of_books_one_of_them_empty() -> None:
    empty = book(DOWN, bids=[], asks=[], last_trade_price="", version="v2", tick_size="0.001")
    first, second = events_of([book(), empty])
    assert isinstance(first, BookSnapshot)
    assert isinstance(second, BookSnapshot)
    assert (first.token, second.token) == (UP, DOWN)
    assert (second.bids, second.asks, second.last_trade4) == ((), (), None)
    assert (second.version, second.tick4) == ("v2", 10)


def test_a_refresh_without_tick_and_last_trade_and_a_rest_book_without_type() -> None:
    refresh = book_of(book(tick_size=None, last_trade_price=None))
    assert (refresh.tick4, refresh.wire_tick) == (None, None)
    assert (refresh.last_trade4, refresh.wire_last_trade) == (None, None)
    assert book_of(book(last_trade_price="")).wire_last_trade == "", (
        "before the first trade is something else"
    )
    rest = book(event_type=None, min_order_size="15", neg_risk=True)
    assert book_of(rest) == parse_book(rest)
    assert (parse_book(rest).min_order_size, parse_book(rest).neg_risk) == ("15", True)


@pytest.mark.parametrize("answer", [None, [], "book", 7, {}, book(bids=None), book(tick_size="nan")])
def test_a_rest_answer_that_is_no_book_is_refused(answer: object) -> None:
    with pytest.raises(FrameRefused):
        parse_book(answer)


def test_the_type_may_stand_anywhere() -> None:
    frame = book()
    first = {"event_type": frame.pop("event_type")} | frame
    assert book_of(first) == book_of(book())


def test_changes_mix_both_tokens_and_zero_removes() -> None:
    (event,) = events_of(
        changes(
            change(UP, "BUY", "0.59", "0", best_bid="0.58", best_ask="0.61"),
            change(DOWN, "SELL", "0.41", "12.5", best_bid="0.39", best_ask="0.41"),
        )
    )
    assert event == PriceChanges(
        market="0xmarket",
        at_ns=NOW_NS + MILLISECOND,
        stamp=str(NOW_MS + 1),
        changes=(
            LevelChange(UP, "bid", 5900, 0, "0.59", "0", "feed", 5800, 6100),
            LevelChange(DOWN, "ask", 4100, 12_500_000, "0.41", "12.5", "feed", 3900, 4100),
        ),
    )


@pytest.mark.parametrize("nothing", [None, "", "0", "1", "0.0", "1.00"])
def test_an_empty_side_is_no_price_however_it_is_written(nothing: str | None) -> None:
    one = change_of(changes(change(UP, "BUY", "0.5", "1", best_bid=nothing, best_ask=nothing)))
    assert (one.best_bid4, one.best_ask4) == (None, None)
    (event,) = events_of(one_token("best_bid_ask", best_bid=nothing, best_ask=nothing))
    assert event == BestBidAsk("0xmarket", UP, NOW_NS, None, None)


def test_one_sided_best_prices() -> None:
    (event,) = events_of(one_token("best_bid_ask", best_bid="0.999"))
    assert event == BestBidAsk("0xmarket", UP, NOW_NS, 9990, None)


def test_a_printed_trade_and_a_changed_grid() -> None:
    frame = one_token("last_trade_price", price="0.585", size="2.46", side="SELL", fee_rate_bps="0")
    (trade,) = events_of(frame)
    assert trade == LastTrade("0xmarket", UP, NOW_NS, 5850, 2_460_000, "SELL")
    (grid,) = events_of(one_token("tick_size_change", old_tick_size="0.01", new_tick_size="0.001"))
    assert grid == TickSizeChange("0xmarket", UP, NOW_NS, 100, 10)
    (grid,) = events_of(one_token("tick_size_change", new_tick_size="0.001"))
    assert grid == TickSizeChange("0xmarket", UP, NOW_NS, None, 10)


def test_broadcasts_about_markets_nobody_asked_for() -> None:
    base = {"market": "0xother", "timestamp": "1"}
    (new,) = events_of(base | {"event_type": "new_market", "slug": "other", "clob_token_ids": ["7", "8"]})
    assert new == NewMarket("0xother", "other", ("7", "8"))
    (new,) = events_of(base | {"event_type": "new_market", "assets_ids": None})
    assert new == NewMarket("0xother", "", ())
    resolved = base | {"event_type": "market_resolved", "assets_ids": ["7"], "winning_asset_id": "7"}
    for name, outcome in (("Up", "up"), ("DOWN", "down"), ("Yes", None)):
        (event,) = events_of(resolved | {"winning_outcome": name})
        assert event == MarketResolved("0xother", ("7",), "7", outcome)  # type: ignore[arg-type]


@pytest.mark.parametrize("frame", ["PONG", "pong\n", b"PONG"])
def test_a_pong_is_quiet(frame: str | bytes) -> None:
    assert parse_frame(frame) == (Quiet("pong"),)


def test_empty_frames_and_messages_for_people_are_quiet() -> None:
    assert parse_frame("") == parse_frame(b" \n") == (Quiet("empty"),)
    assert parse_frame("[]") == ()
    assert events_of({"error": "no such asset"}) == (Quiet("other", "no such asset"),)
    assert events_of({"message": "hello"}) == (Quiet("other", "hello"),)


def test_one_unusable_element_costs_only_itself() -> None:
    read, refused = events_of([book(DOWN, version="v9"), book(UP)])
    assert isinstance(read, BookSnapshot)
    assert read.token == UP
    assert isinstance(refused, Quiet)
    assert refused.kind == "refused"
    assert "unknown-version" in refused.text
    assert reason_of([book(version="v9"), book(market=7)]) == "unknown-version"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("{", "not-json"),
        ("[" * 100_000, "not-json"),
        (b"\xff\xfe", "not-json"),
        ("[1]", "not-an-object"),
        ("null", "not-an-object"),
        ({"a": 1}, "no-event-type"),
        ({"bids": []}, "no-event-type"),
        (one_token("novelty"), "unknown-event-type"),
        (one_token("book") | {"event_type": ["book"]}, "unknown-event-type"),
        (book(version="v3"), "unknown-version"),
        (book(version=2), "unknown-version"),
        (book(version=["v1"]), "unknown-version"),
        (book(market=None), "market"),
        (book(asset_id=""), "asset_id"),
        (book(asset_id=1001), "asset_id"),
        (book(hash=5), "hash"),
        (book(timestamp=None), "timestamp"),
        (book(timestamp=1), "timestamp"),
        (book(timestamp="-1"), "timestamp"),
        (book(timestamp="1e12"), "timestamp"),
        (book(timestamp="١"), "timestamp"),
        (book(timestamp="9999999999999"), "timestamp"),
        (book(timestamp="9" * 5000), "timestamp"),
        (book(bids=None), "bids"),
        (book(asks={}), "asks"),
        (book(bids=[1]), "bids"),
        (book(bids=[{"price": 0.5, "size": "1"}]), "bids"),
        (book(bids=[{"price": "0.5"}]), "bids"),
        (book(asks=levels(("0.5", "1"), ("0.50", "2"))), "asks"),
        (book(bids=levels(("0", "1"))), "price"),
        (book(bids=levels(("1", "1"))), "price"),
        (book(bids=levels(("-0.5", "1"))), "price"),
        (book(bids=levels(("0.50001", "1"))), "number"),
        (book(bids=levels(("half", "1"))), "number"),
        (book(bids=levels(("nan", "1"))), "number"),
        (book(bids=levels(("1e999999999999", "1"))), "number"),
        (book(bids=levels(("0.5", "-1"))), "size"),
        (book(bids=levels(("0.5", "1e50"))), "size"),
        (book(bids=levels(("0.5", "inf"))), "number"),
        (book(tick_size="0"), "tick"),
        (book(tick_size=0.01), "number"),
        (book(last_trade_price="1e50"), "price"),
        (book(last_trade_price="-0.1"), "price"),
        (book(last_trade_price=0.5), "number"),
        (changes() | {"price_changes": {}}, "price_changes"),
        (changes() | {"price_changes": [1]}, "price_changes"),
        (changes(change(UP, "buy", "0.5", "1")), "side"),
        (changes(change(UP, "BUY", "0.5", "-1")), "size"),
        (changes(change(UP, "BUY", "0.5", "1", best_bid="-0.1")), "price"),
        (changes(change(UP, "BUY", "0.5", "1", best_ask="1.1")), "price"),
        (changes(change(UP, "BUY", "0.5", "1", best_ask=0.6)), "number"),
        (changes(change("", "BUY", "0.5", "1")), "asset_id"),
        (one_token("last_trade_price", price="0.5"), "number"),
        (one_token("tick_size_change", new_tick_size="1"), "tick"),
        (one_token("tick_size_change"), "number"),
        ({"event_type": "new_market", "market": "0x", "assets_ids": "71"}, "assets_ids"),
        ({"event_type": "market_resolved", "market": "0x", "assets_ids": [7]}, "assets_ids"),
    ],
)
def test_what_is_wrong_is_refused_with_its_reason(frame: object, reason: str) -> None:
    assert reason_of(frame) == reason


def test_an_oversized_frame_is_refused_unread() -> None:
    assert reason_of(" " * (clob_market.MAX_FRAME_BYTES + 1)) == "oversized"


def test_subscriptions() -> None:
    assert json.loads(clob_market.first_subscription([UP, DOWN])) == {
        "assets_ids": [UP, DOWN],
        "type": "market",
        "custom_feature_enabled": True,
    }
    later = json.loads(clob_market.later_subscription("unsubscribe", [UP]))
    assert later == {"operation": "unsubscribe", "assets_ids": [UP], "custom_feature_enabled": True}


SAMPLES = [
    text(frame)
    for frame in (
        book(),
        [book(), book(DOWN, bids=[], asks=[], version="v2")],
        changes(change(UP, "BUY", "0.59", "0", best_bid="0.58", best_ask="0.61")),
        one_token("last_trade_price", price="0.585", size="2.46", side="SELL"),
        one_token("best_bid_ask", best_bid="0.5", best_ask="0.6"),
        one_token("tick_size_change", old_tick_size="0.01", new_tick_size="0.001"),
        {"event_type": "new_market", "market": "0x", "slug": "s", "assets_ids": ["7"]},
        {"event_type": "market_resolved", "market": "0x", "winning_outcome": "Up", "assets_ids": ["7"]},
        {"error": "no"},
    )
]


@given(mutilated(SAMPLES))
def test_a_mutilated_frame_is_read_or_refused(frame: str) -> None:
    _read_or_refused(frame)
    _read_or_refused(frame.encode("utf-8", "surrogatepass"))


# --- the quick way -----------------------------------------------------------------------------------

CHANGES = [
    text(changes(*entries))
    for entries in (
        [change(UP, "BUY", "0.59", "0", best_bid="0.58", best_ask="0.61")],
        [change(UP, "SELL", "0.6", "1.5"), change(DOWN, "BUY", "0.4", "1.5", best_bid="", best_ask="1")],
        [change(UP, "BUY", "0.5", "1") | {"fee": {"deep": [1, None, "x"]}}],
        [],
    )
]


def _said(frame: str) -> tuple[MarketEvent, ...] | str:
    try:
        return parse_frame(frame)
    except FrameRefused as refusal:
        return refusal.reason


@given(mutilated(CHANGES))
def test_a_price_change_alone_says_what_it_says_in_a_list(frame: str) -> None:
    """Alone it may be read the quick way, in a list it never is."""
    try:
        document = json.loads(frame)
    except (ValueError, RecursionError):
        assert _said(frame) in ("not-json", (Quiet("empty"),))
        return
    if not isinstance(document, list):
        assert _said(frame) == _said(f"[{frame}]")


PLAIN = changes(change(UP, "BUY", "0.5", "1"))


@pytest.mark.parametrize(
    "odd",
    [
        changes(change(UP, "BUY", "0.5", "1"), change(DOWN, "buy", "0.5", "1")),
        changes(change("", "BUY", "0.5", "1")),
        changes(change(UP, "BUY", "1", "1")),
        changes(change(UP, "BUY", "half", "1")),
        changes(change(UP, "BUY", "0.5", "-1")),
        changes(change(UP, "BUY", "0.5", "1", best_bid="1.1")),
        changes(change(UP, "BUY", "0.5", "1", best_ask=0.5)),
        changes(change(UP, "BUY", "0.5", "1", hash=None)),
        PLAIN | {"market": ""},
        PLAIN | {"market": "\ud800"},
        PLAIN | {"timestamp": "-1"},
        PLAIN | {"timestamp": 1},
        PLAIN | {"price_changes": {}},
        PLAIN | {"event_type": "book"},
        PLAIN | {"more": float("nan")},
    ],
)
@pytest.mark.parametrize("escaped", [True, False])
def test_whatever_is_odd_in_a_price_change_is_looked_at_closely(odd: dict[str, Any], escaped: bool) -> None:
    frame = json.dumps(odd, ensure_ascii=escaped)
    assert _said(frame) == _said(f"[{frame}]")


def test_a_price_change_with_more_in_it_than_can_be_read_is_refused() -> None:
    frame = text(PLAIN).replace("{", '{"more": ' + "[" * 100_000 + "]" * 100_000 + ", ", 1)
    assert _said(frame) == "not-json"


@pytest.mark.parametrize("frame", CHANGES)
def test_a_price_change_without_anything_odd_is_read_the_quick_way(
    frame: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = parse_frame(f"[{frame}]")
    monkeypatch.setattr(clob_market, "_event", None)
    assert parse_frame(frame) == parse_frame(frame.encode()) == expected


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(frame: bytes) -> None:
    _read_or_refused(frame)


def _read_or_refused(frame: str | bytes) -> None:
    try:
        events = parse_frame(frame)
    except FrameRefused as refusal:
        assert refusal.reason.isascii()
        assert len(refusal.reason) < 30
        return
    for event in events:
        for number in _integers(event):
            assert 0 <= number < 2**63, "does not fit a message"


def _integers(value: Any) -> list[int]:
    if isinstance(value, int):
        return [value]
    inner = msgspec.structs.astuple(value) if isinstance(value, msgspec.Struct) else value
    return [number for part in inner for number in _integers(part)] if isinstance(inner, tuple) else []


# --- recorded frames ---------------------------------------------------------------------------------


@pytest.fixture
def recorded(shared_data: Path) -> Callable[[str], list[str]]:
    def read(name: str) -> list[str]:
        content = (shared_data / "frames" / name).read_text()
        return content.splitlines() if name.endswith(".jsonl") else [content]

    return read


@pytest.mark.parametrize(
    ("name", "kind", "frames"),
    [
        ("clob_ws/book_frames_with_last_trade_2026-04-13.jsonl", BookSnapshot, 7),
        ("clob_ws/book_refresh_without_tick_2026-04-13.jsonl", BookSnapshot, 4),
        ("clob_ws/initial_book_arrays_2026-04.jsonl", BookSnapshot, None),
        ("clob_ws/book_v2_array_frame_2026-10-05.json", BookSnapshot, 1),
        ("clob_ws/new_market_updown_2026-04-28.jsonl", NewMarket, 17),
        ("clob_ws/new_market_2026-10-05_unrelated_market.json", NewMarket, 1),
        ("clob_ws/best_bid_ask_2026-08.json", BestBidAsk, 1),
        ("clob_ws/last_trade_price_2026-08.json", LastTrade, 1),
        ("clob_ws/nautilus_last_trade_price_2024-08.json", LastTrade, 1),
        ("clob_ws/nautilus_tick_size_change_2025-02.json", TickSizeChange, 1),
        ("clob_ws/nautilus_price_change_v2_DOC.json", PriceChanges, 1),
        ("clob_ws/market_resolved_SANITIZED_2026-08.json", MarketResolved, 1),
        ("clob_rest/books_2026-04_hash_verified.jsonl", BookSnapshot, 8),
    ],
)
def test_recorded_frames(
    recorded: Callable[[str], list[str]], name: str, kind: type, frames: int | None
) -> None:
    lines = recorded(name)
    assert frames in (None, len(lines))
    events = [event for line in lines for event in parse_frame(line)]
    assert events
    assert {type(event) for event in events} == {kind}


def test_recorded_arrays_hold_six_books(recorded: Callable[[str], list[str]]) -> None:
    arrays = [parse_frame(line) for line in recorded("clob_ws/initial_book_arrays_2026-04.jsonl")]
    books = [event for array in arrays for event in array if isinstance(event, BookSnapshot)]
    assert {len(array) for array in arrays} == {6}
    assert {one.tick4 for one in books} == {100, 10}
    assert {one.last_trade4 is None for one in books} == {True, False}
    assert any(bool(one.bids) != bool(one.asks) for one in books)


def test_recorded_connection_of_version_two(recorded: Callable[[str], list[str]]) -> None:
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in recorded("clob_ws/connection_v2_canary_2026-10-05.jsonl")
    ]
    frames = [row["data"] for row in rows if row["dir"] == "recv"]
    events = [event for frame in frames for event in parse_frame(frame)]
    assert {type(event) for event in events} == {BookSnapshot, Quiet, NewMarket}
    (first,) = [event for event in events if isinstance(event, BookSnapshot)]
    assert (first.version, first.bids, first.asks, first.last_trade4) == ("v2", (), (), None)
    assert all(event.kind == "pong" for event in events if isinstance(event, Quiet))


def test_the_wire_text_of_recorded_books_proves_their_hash(recorded: Callable[[str], list[str]]) -> None:
    for line in recorded("clob_rest/books_2026-04_hash_verified.jsonl"):
        (event,) = parse_frame(line)
        body = json.loads(line)
        assert isinstance(event, BookSnapshot)
        assert event.hash == book_hash(
            event.market,
            event.token,
            str(event.at_ns // MILLISECOND),
            event.wire_bids,
            event.wire_asks,
            body["min_order_size"],
            body["tick_size"],
            body["neg_risk"],
            body["last_trade_price"],
        )
