"""Orders and trades of the account, read from our own side, tolerantly and without a guess."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core.account_frames import read_order, read_trade
from common.core.venue_facts import OrderNews, VenueTrade
from common.errors import FrameRefused
from common.units import SECOND, size6_text

OURS = "0xours"


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
    found = read_trade(raw(**changes), is_ours)
    assert found is not None
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
        None,
    ],
)
def test_makers_that_do_not_add_up_leave_the_trades_own_price(makers: Any) -> None:
    found = trade(maker_orders=makers)
    assert (found.price4, found.cost_usd6) == (5_200, 5_200_000)


def test_our_order_may_have_been_the_maker() -> None:
    found = read_trade(raw(taker_order_id="0xother", maker_orders=[maker("up", "0.5", "3", OURS)]), is_ours)
    assert found is not None
    assert (found.maker, found.order_id, found.size6, found.price4) == (True, OURS, 3_000_000, 5_000)
    assert found.trade_id != "t1"


def test_what_is_nobodys_we_know_is_not_ours() -> None:
    assert read_trade(raw(taker_order_id="0xother"), is_ours) is None


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


@pytest.mark.parametrize(
    "stamp", ["1725868859", "1725868859000", 1725868859, "2024-09-09T08:00:59Z", "2024-09-09T08:00:59+00:00"]
)
def test_instants_in_every_form(stamp: Any) -> None:
    assert trade(match_time=stamp).at_ns == 1725868859 * SECOND


def test_an_instant_that_is_none_is_not_known() -> None:
    assert trade(match_time="soon").at_ns == 0
    assert trade(match_time=None, matchtime="1725868859").at_ns == 1725868859 * SECOND


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "SETTLED"},
        {"status": None},
        {"id": ""},
        {"id": 7},
        {"price": "1"},
        {"price": "0"},
        {"price": "cheap"},
        {"size": "-1"},
        {"size": None},
    ],
)
def test_what_is_not_understood_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(FrameRefused):
        read_trade(raw(**changes), is_ours)


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
    ],
)
def test_an_orders_record(changes: dict[str, Any], expected: tuple[str, int | None]) -> None:
    news = read_order({"id": OURS, **changes})
    assert (news.phase, news.matched6) == expected


def test_an_order_of_no_known_status_is_refused() -> None:
    for bad in ({"id": OURS, "status": "THINKING"}, {"status": "LIVE"}, {"id": OURS, "status": None}):
        with pytest.raises(FrameRefused):
            read_order(bad)


def test_the_captured_frames(shared_data: Path) -> None:
    events = json.loads((shared_data / "frames/trading/ws_user_events.json").read_bytes())["events"]
    read: dict[str, VenueTrade | OrderNews | None] = {}
    for event in events:
        payload = event["payload"]
        if payload.get("type") == "TRADE":
            read[event["name"]] = read_trade(payload, lambda one, p=payload: one == p["taker_order_id"])
        else:
            read[event["name"]] = read_order(payload)
    crossed = read["user_trade1"]
    assert isinstance(crossed, VenueTrade)
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
    found = read_trade(row, lambda one: one == row["taker_order_id"])
    assert found is not None
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


@given(st.dictionaries(st.sampled_from([*raw(), "type", "size_matched"]), JSON))
def test_noise_is_refused_or_read_and_never_raises_anything_else(document: dict[str, Any]) -> None:
    for read in (lambda: read_trade(raw() | document, is_ours), lambda: read_order(document)):
        try:
            read()
        except FrameRefused as refusal:
            assert refusal.reason
