"""Orders and trades of the account, read from our own side, tolerantly and without a guess."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.core.account_frames import foreign_trade, makers_differ, read_json, read_order, read_trades
from common.core.venue_facts import OrderNews, VenueTrade
from common.errors import FrameRefused
from common.units import SECOND, size6_text

OURS = "0xours"
UPDATE = {"type": "UPDATE", "order_type": "GTC", "original_size": "20"}


def is_ours(order_id: str) -> bool:
    return order_id == OURS


def raw(**changes: Any) -> dict[str, Any]:
    plain = {
        "id": "t1",
        "taker_order_id": OURS,
        "asset_id": "up",
        "status": "MATCHED",
        "size": "10",
        "price": "0.52",
        "match_time": "1725868859",
        "maker_orders": [],
        "trader_side": "TAKER",
    }
    return plain | changes


def maker(token: str, price: str, size: str, order_id: str = "0xm") -> dict[str, Any]:
    return {"order_id": order_id, "asset_id": token, "price": price, "matched_amount": size}


def trade(**changes: Any) -> VenueTrade:
    (found,) = read_trades(raw(**changes), is_ours)
    return found


def test_a_trade_is_read_from_our_side() -> None:
    assert trade() == VenueTrade(
        "t1", OURS, "matched", 5_200, 10_000_000, 5_200_000, False, 1725868859 * SECOND
    )


def test_a_maker_on_the_other_token_stands_for_the_rest_of_a_dollar() -> None:
    found = trade(maker_orders=[maker("down", "0.48", "4"), maker("up", "0.52", "6")])
    assert (found.price4, found.cost_usd6) == (5_200, 5_200_000)
    dearer = trade(maker_orders=[maker("down", "0.40", "4"), maker("up", "0.52", "6")])
    assert dearer.cost_usd6 == 2_400_000 + 3_120_000
    assert dearer.price4 == 5_520


@pytest.mark.parametrize(
    "makers",
    [
        [maker("up", "0.4", "9")],
        [maker("up", "?", "10")],
        [maker("up", "0.4", "")],
        ["nothing"],
        "nothing",
        7,
        None,
    ],
)
def test_makers_that_do_not_add_up_leave_the_trades_own_price(makers: Any) -> None:
    found = trade(maker_orders=makers)
    assert (found.price4, found.cost_usd6) == (5_200, 5_200_000)


def test_makers_that_do_not_add_up_are_told() -> None:
    told = makers_differ(raw(maker_orders=[maker("up", "0.4", "9")]))
    assert told == "trade t1: its makers show 9 of 10 shares; its own price counts"
    assert makers_differ(raw(maker_orders=[maker("up", "0.4", "9"), maker("up", "0.4", "1")])) == ""
    assert makers_differ(raw(maker_orders=[])) == ""
    # After a maker that is not understood nothing is certain, whatever the rest adds up to.
    assert "9 of 10" in makers_differ(
        raw(maker_orders=[maker("up", "0.4", "9"), maker("up", "?", "1"), maker("up", "0.4", "1")])
    )


def test_a_maker_of_nothing_changes_nothing() -> None:
    found = trade(maker_orders=[maker("up", "0.9", "0"), maker("up", "0.4", "10")])
    assert (found.price4, found.cost_usd6) == (4_000, 4_000_000)


def test_a_price_finer_than_we_count_costs_what_it_costs() -> None:
    found = trade(price="0.51234567")
    assert (found.price4, found.cost_usd6) == (5_124, 5_123_456)
    mixed = trade(maker_orders=[maker("down", "0.48765433", "5"), maker("up", "0.512", "5")])
    assert (mixed.price4, mixed.cost_usd6) == (5_122, 2_561_728 + 2_560_000)


def test_our_order_may_have_been_the_maker() -> None:
    (found,) = read_trades(
        raw(taker_order_id="0xother", maker_orders=[maker("up", "0.5", "3", OURS)]), is_ours
    )
    assert (found.maker, found.order_id, found.size6, found.price4) == (True, OURS, 3_000_000, 5_000)
    assert found.trade_id == f"t1/{OURS}"


def test_a_match_may_have_filled_several_of_our_orders() -> None:
    both = (OURS, "0xours2")
    makers = [maker("up", "0.5", "3", OURS), maker("down", "0.5", "2"), maker("up", "0.4", "5", "0xOURS2")]
    found = read_trades(raw(taker_order_id="0xother", maker_orders=makers), both.__contains__)
    assert [(one.trade_id, one.order_id, one.size6) for one in found] == [
        (f"t1/{OURS}", OURS, 3_000_000),
        ("t1/0xours2", "0xours2", 5_000_000),
    ]


def test_an_order_id_is_ours_in_any_case() -> None:
    assert trade(taker_order_id=OURS.upper()).order_id == OURS
    assert read_order({"id": OURS.upper(), "status": "LIVE"}).order_id == OURS


@pytest.mark.parametrize("odd", [{}, {"status": "SETTLED"}, {"id": None}, {"price": "?"}, {"size": "0"}])
def test_what_is_nobodys_we_know_is_not_ours_and_not_judged(odd: dict[str, Any]) -> None:
    assert read_trades(raw(taker_order_id="0xother", **odd), is_ours) == ()


def test_no_order_id_is_nobodys() -> None:
    nameless = raw(taker_order_id="", maker_orders=[maker("up", "0.5", "3", "")])
    assert read_trades(nameless, lambda _one: True) == ()
    assert read_trades(raw(taker_order_id=None), lambda _one: True) == ()


def test_what_foreign_trade_others_is_named_fit_for_a_terminal() -> None:
    assert foreign_trade(raw(id="t\x1b[2J1\n")).what == f"trade t [2J1  of order {OURS}"
    assert foreign_trade(raw(asset_id="77")).token == "77"
    for none in ("", "x7", None, "\u0667"):
        assert foreign_trade(raw(asset_id=none)).token == ""
    assert read_order({"id": OURS, "status": "CANCELED_no\x1bway"}).text == "CANCELED_no way"


def test_fractions_of_a_document_stay_the_text_they_are() -> None:
    assert read_json(b'{"price": 0.30000000000000001, "size": 1096.87, "n": 3}') == {
        "price": "0.30000000000000001",
        "size": "1096.87",
        "n": 3,
    }


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"size": Infinity}', b"\xff\xfe{", "[" * 100_000])
def test_what_is_no_document_is_refused(text: str | bytes) -> None:
    with pytest.raises(FrameRefused, match="not-json"):
        read_json(text)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("TRADE_STATUS_CONFIRMED", "confirmed"),
        ("MATCHED_NOT_BROADCASTED", "matched"),
        ("TRADE_STATUS_MATCHED_NOT_BROADCASTED", "matched"),
        ("mined", "mined"),
        ("RETRYING", "retrying"),
        ("FAILED", "failed"),
    ],
)
def test_every_state_in_both_spellings(said: str, status: str) -> None:
    assert trade(status=said).status == status


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The local time of this host is not UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "stamp",
    [
        "1725868859",
        "1725868859000",
        1725868859,
        "2024-09-09T08:00:59Z",
        "2024-09-09T10:00:59+02:00",
        "2024-09-09T08:00:59",
        "2024-09-09 08:00:59",
    ],
)
def test_instants_in_every_form(stamp: Any, far_east: None) -> None:
    assert trade(match_time=stamp).at_ns == 1725868859 * SECOND


def test_the_fraction_of_an_instant_is_kept() -> None:
    for stamp in ("1725868859250", "2024-09-09T08:00:59.25Z"):
        assert trade(match_time=stamp).at_ns == 1725868859_250_000_000


@pytest.mark.parametrize("stamp", ["soon", "-5", "12", "1725868859000000000", "0001-01-01T00:00:00Z", "inf"])
def test_an_instant_that_is_none_is_not_known(stamp: str) -> None:
    assert trade(match_time=stamp).at_ns == 0


def test_the_instant_may_have_another_name() -> None:
    assert trade(match_time=None, matchtime="1725868859").at_ns == 1725868859 * SECOND
    assert trade(match_time="", timestamp="1725868859000").at_ns == 1725868859 * SECOND


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "SETTLED"},
        {"status": None},
        {"id": ""},
        {"id": 7},
        {"price": "1"},
        {"price": "0.99999"},
        {"price": "0"},
        {"price": "cheap"},
        {"price": 0.52},
        {"price": True},
        {"size": "-1"},
        {"size": None},
        {"size": "0"},
        {"size": "0", "maker_orders": [maker("up", "0.4", "0"), maker("up", "0.5", "0")]},
    ],
)
def test_what_is_not_understood_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(FrameRefused):
        read_trades(raw(**changes), is_ours)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "LIVE", "size_matched": "0"}, ("live", 0)),
        ({"status": "MATCHED", "size_matched": "10.4166"}, ("matched", 10_416_600)),
        ({"status": "ORDER_STATUS_MATCHED", "size_matched": "1"}, ("matched", 1_000_000)),
        ({"status": "INVALID", "size_matched": "0"}, ("ended", 0)),
        ({"status": "CANCELED_order couldn't be fully filled.", "size_matched": ""}, ("ended", None)),
        ({"status": "odd", "type": "CANCELLATION"}, ("ended", None)),
        ({"type": "PLACEMENT"}, ("live", None)),
        ({"status": "delayed"}, ("delayed", None)),
        ({"status": "ORDER_STATUS_CANCELED", "size_matched": "2"}, ("ended", 2_000_000)),
        ({"status": "ORDER_STATUS_CANCELED_MARKET_RESOLVED"}, ("ended", None)),
        ({"status": "CANCELLED"}, ("ended", None)),
        (UPDATE | {"size_matched": "5"}, ("live", 5_000_000)),
        (UPDATE | {"size_matched": "20.0"}, ("matched", 20_000_000)),
        (UPDATE | {"size_matched": "20", "status": "LIVE"}, ("matched", 20_000_000)),
        (UPDATE | {"size_matched": "20", "original_size": ""} | {"status": "LIVE"}, ("live", 20_000_000)),
        (UPDATE | {"size_matched": "0", "original_size": "0", "status": "LIVE"}, ("live", 0)),
        # The size of a market buy may be dollars.
        (UPDATE | {"size_matched": "20", "status": "LIVE", "order_type": "FAK"}, ("live", 20_000_000)),
        (UPDATE | {"size_matched": "20", "status": "LIVE", "order_type": "FOK"}, ("live", 20_000_000)),
    ],
)
def test_an_orders_record(changes: dict[str, Any], expected: tuple[str, int | None]) -> None:
    news = read_order({"id": OURS, **changes})
    assert (news.phase, news.matched6) == expected


@pytest.mark.parametrize(
    ("listed", "expected"), [(["t1", 7, "t2"], ("t1", "t2")), (7, ()), ("t1", ()), (None, ())]
)
def test_the_trades_a_record_names(listed: Any, expected: tuple[str, ...]) -> None:
    assert read_order({"id": OURS, "status": "MATCHED", "associate_trades": listed}).trade_ids == expected


def test_an_order_of_no_known_status_is_refused() -> None:
    for bad in (
        {"id": OURS, "status": "THINKING"},
        {"id": OURS, "status": "THINKING", "type": "PLACEMENT"},
        {"status": "LIVE"},
        {"id": OURS, "status": None},
        {"id": OURS, "type": "GIFT"},
        {"id": OURS} | UPDATE,
        {"id": OURS} | UPDATE | {"order_type": "FAK", "size_matched": "20"},
        {"id": OURS, "status": "LIVE", "size_matched": "many"},
        {"id": OURS, "status": "LIVE", "size_matched": 0.5},
    ):
        with pytest.raises(FrameRefused):
            read_order(bad)


def test_the_captured_frames(shared_data: Path) -> None:
    events = json.loads((shared_data / "frames/trading/ws_user_events.json").read_bytes())["events"]
    read: dict[str, VenueTrade | OrderNews | None] = {}
    for event in events:
        payload = event["payload"]
        if payload.get("type") == "TRADE":
            (read[event["name"]],) = read_trades(payload, lambda one, p=payload: one == p["taker_order_id"])
        else:
            read[event["name"]] = read_order(payload)
    crossed = read["user_trade1"]
    assert isinstance(crossed, VenueTrade)
    assert makers_differ(next(each["payload"] for each in events if each["name"] == "user_trade1")) == ""
    assert (crossed.size6, crossed.price4, crossed.status) == (1_096_870_000, 5_180, "mined")
    killed = read["fok_buy_killed_size_is_pusd"]
    assert isinstance(killed, OrderNews)
    assert (killed.phase, killed.matched6) == ("ended", None)
    invalid = read["venue_cancel_invalid"]
    assert isinstance(invalid, OrderNews)
    assert (invalid.phase, invalid.matched6) == ("ended", 0)
    placed, updated = read["ws_user_order_placement"], read["ws_user_order_update"]
    assert isinstance(placed, OrderNews)
    assert isinstance(updated, OrderNews)
    assert (placed.phase, updated.phase, updated.matched6) == ("live", "live", 25_000_000)
    last = read["ws_user_trade"]
    assert isinstance(last, VenueTrade)
    assert (last.status, last.size6, last.at_ns) == ("confirmed", 25_000_000, 1704067200 * SECOND)


def test_the_captured_records(shared_data: Path) -> None:
    rest = json.loads((shared_data / "frames/trading/rest_other.json").read_bytes())
    (row,) = rest["trades_page"]["data"]
    (found,) = read_trades(row, lambda one: one == row["taker_order_id"])
    assert (found.status, found.size6, found.price4) == ("mined", 10_000_000, 5_000)
    news = read_order(rest["open_order"])
    assert (news.phase, news.matched6, news.trade_ids) == ("live", 25_000_000, ("0xabc001",))


def test_the_cost_of_a_fill_is_what_the_chain_took(shared_data: Path) -> None:
    fills = json.loads((shared_data / "frames/trading/taker_fee_onchain.json").read_bytes())["vectors"]
    buys = [fill for fill in fills if fill["side"] == "BUY"]
    assert len(buys) == 5
    for fill in buys:
        found = trade(size=size6_text(fill["taker_amount_filled"]), price=fill["price"])
        assert found.cost_usd6 == fill["maker_amount_filled"], fill


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(st.text(max_size=6), PLAIN, max_size=3)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*raw(), "type", "size_matched"]), JSON))
def test_noise_is_refused_or_read_and_never_raises_anything_else(document: dict[str, Any]) -> None:
    odd = raw() | document
    for read in (lambda: read_trades(odd, is_ours), lambda: makers_differ(odd), lambda: read_order(odd)):
        try:
            read()
        except FrameRefused as refusal:
            assert refusal.reason
