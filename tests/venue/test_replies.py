"""Every reply of the venue means one thing, and what is not understood is never a no."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.core.order_events import (
    DefiniteNo,
    Taken,
    Unknown,
)
from common.units import SECOND
from common.venue.clob.replies import POST_ONLY_NS, classify, rate_limit

ID = "0xfeed"

RECORDED: dict[str, tuple[str, str]] = {
    "live": ("taken", "live"),
    "matched_trade_ids_only": ("taken", "matched"),
    "delayed": ("taken", "delayed"),
    "unmatched": ("no", "no-match/none"),
    "batch_post_only_mode": ("no", "post-only/wait"),
    "errorMsg_null": ("taken", "matched"),
    "fak_no_match": ("no", "no-match/none"),
    "balance": ("no", "balance/check"),
    "version": ("no", "version/stop"),
    "marketable_min": ("no", "too-small/fault"),
    "duplicate": ("unknown", ""),
    "deposit_wallet_required": ("no", "wallet/stop"),
    "closed_only": ("no", "closed-only/stop"),
    "geo": ("no", "region/stop"),
    "rate_limited": ("no", "rate-limited/wait"),
    "timed_out": ("unknown", ""),
    "post_only": ("no", "post-only/wait"),
}


def reply(status: int, body: Any, headers: dict[str, str] | None = None) -> Taken | DefiniteNo | Unknown:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify(status, headers or {}, raw, ID)


def named(found: Taken | DefiniteNo | Unknown) -> tuple[str, str]:
    match found:
        case Taken():
            return "taken", found.phase
        case DefiniteNo():
            return "no", f"{found.code}/{found.consequence}"
        case Unknown():
            return "unknown", ""


def test_every_recorded_reply_means_what_it_should(shared_data: Path) -> None:
    cases = json.loads((shared_data / "frames/trading/rest_post_order_responses.json").read_bytes())["cases"]
    assert {case["name"] for case in cases} == set(RECORDED)
    for case in cases:
        order_id = case["body"].get("orderID") or ID
        found = classify(case["http_status"], case["headers"], json.dumps(case["body"]).encode(), order_id)
        assert named(found) == RECORDED[case["name"]], case["name"]


def test_a_match_tells_its_shares_and_trades() -> None:
    body = {"status": "matched", "orderID": ID, "errorMsg": "", "takingAmount": "10.4166", "tradeIDs": ["t1"]}
    assert reply(200, body) == Taken("matched", 10_416_600, ("t1",))
    assert reply(200, {**body, "takingAmount": "many"}) == Taken("matched", None, ("t1",))
    assert reply(200, {**body, "tradeIDs": None, "errorMsg": None}) == Taken("matched", 10_416_600, ())
    assert reply(200, {**body, "status": "delayed"}) == Taken("delayed", None, ("t1",))
    assert reply(200, {**body, "status": "MATCHED", "orderID": ID.upper()}) == Taken(
        "matched", 10_416_600, ("t1",)
    )


@pytest.mark.parametrize(
    "odd", ["0", "-5", "", "1e30", "NaN", "Infinity", 7, 10.5, None, True, ["1"], "9" * 400]
)
def test_an_odd_amount_is_not_told(odd: Any) -> None:
    # Least of all 0: a matched order of no shares would be over, its trades unlooked for.
    assert reply(200, {"status": "matched", "orderID": ID, "takingAmount": odd}) == Taken("matched", None, ())


def test_odd_trade_ids_are_left_out() -> None:
    trades = ["t1", 7, None, "", "t\n2", "\ud800", "x" * 101, ["t3"], "t4"]
    assert reply(200, {"status": "matched", "orderID": ID, "tradeIDs": trades}) == Taken(
        "matched", None, ("t1", "t4")
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"),
        (200, b""),
        (200, b"[]"),
        (200, b"null"),
        (200, {"status": "matched", "orderID": "0xother"}),
        (200, {"status": "new", "orderID": ID}),
        (200, {"orderID": ID}),
        (200, {"status": "new", "orderID": ID, "tradeIDs": ["t1"]}),
        (200, {"status": 7, "orderID": ID}),
        (200, {"errorMsg": "something new", "success": True}),
        (200, {"status": "matched", "orderID": ID, "success": False}),
        (200, {"status": "matched", "orderID": ID, "errorMsg": {"code": 7}}),
        (200, {"status": "matched", "orderID": 7}),
        (200, {"status": "matched", "orderID": ID, "errorMsg": "not enough balance"}),
        (200, {"status": "delayed", "orderID": "", "errorMsg": "not enough balance"}),
        (200, {"status": "", "tradeIDs": ["t1"], "errorMsg": "not enough balance"}),
        (200, {"status": "", "orderID": ID, "errorMsg": "not enough balance"}),
        (200, {"status": "unmatched", "tradeIDs": ["t1"]}),
        (200, {"status": "unmatched", "tradeIDs": [7]}),
        (200, {"status": "unmatched", "takingAmount": "1"}),
        (200, {"status": "unmatched", "orderID": ID}),
        (201, {"status": "matched", "orderID": ID}),
        (400, {"error": "something new"}),
        (400, {"error": "could not run the execution: context canceled"}),
        (400, {"error": "no orders found to match; Context Canceled"}),
        (400, {"error": "no orders found to match", "detail": "context canceled"}),
        (401, b"context canceled"),
        (403, b"context canceled"),
        (404, b"context canceled"),
        (425, b"context canceled"),
        (429, b"context canceled"),
        (503, {"error": "post-only mode", "cause": "context deadline exceeded"}),
        (400, {"error": "order match delayed due to market conditions"}),
        (401, {"error": "ledger: unauthorized"}),
        (404, {"error": "trade not found"}),
        (404, b"404 page not found"),
        (400, {"error": "could not write the orderbook"}),
        (400, {"error": "the allowance service is away"}),
        (400, {"error": "order 0x1 is invalid. Duplicated."}),
        (400, b"\xff\xfe"),
        (408, b""),
        (409, b""),
        (500, {"error": "order timed out"}),
        (500, {"error": "not enough balance"}),
        (502, b"<html>Bad gateway</html>"),
        (503, b""),
        (504, b""),
        (302, b""),
        (200, b"[" * 100_000),
        (200, b'{"a":' * 100_000),
        (200, b"9" * 5_000),
    ],
)
def test_what_is_not_understood_is_unknown(status: int, body: Any) -> None:
    found = reply(status, body)
    assert isinstance(found, Unknown)
    assert found.text
    assert "\n" not in found.text


@pytest.mark.parametrize(
    ("status", "body", "headers", "code", "wait_s"),
    [
        (425, b"", {}, "restarting", 2 + 120),
        (503, {"error": "The matching engine is restarting"}, {}, "restarting", 2 + 120),
        (425, {"error": "engine is restarting"}, {"Retry-After": "7"}, "restarting", 7 + 120),
        (429, {"error": "Too Many Requests"}, {"retry-after": "3"}, "rate-limited", 3),
        (429, b"", {}, "rate-limited", 5),
        (429, {"error": "something new"}, {"RETRY-AFTER": "4"}, "rate-limited", 4),
        (503, {"error": "x", "code": "post_only_mode", "retry_after_seconds": 79}, {}, "post-only", 79),
        (503, {"error": "post-only mode: only cancels"}, {"Retry-After": "5"}, "post-only", 5),
        (503, {"error": "Trading is currently disabled. Check polymarket.com"}, {}, "disabled", 30),
        (
            503,
            {"error": "Trading is currently cancel-only. New orders are not accepted"},
            {},
            "cancel-only",
            30,
        ),
        (200, {"errorMsg": "post-only mode: only", "success": True}, {}, "post-only", 120),
    ],
)
def test_restrictions_are_waited_out(
    status: int, body: Any, headers: dict[str, str], code: str, wait_s: int
) -> None:
    found = reply(status, body, headers)
    assert isinstance(found, DefiniteNo)
    assert (found.code, found.consequence, found.wait_ns) == (code, "wait", wait_s * SECOND)
    assert found.text.endswith(f"; no new orders for {wait_s} s")


@pytest.mark.parametrize("silly", ["-5", "soon", "9" * 12, "1e3", "٣"])
def test_a_silly_retry_after_is_not_believed(silly: str) -> None:
    found = reply(503, {"code": "post_only_mode", "error": "post-only mode"}, {"Retry-After": silly})
    assert isinstance(found, DefiniteNo)
    assert found.wait_ns == POST_ONLY_NS


def test_a_wait_has_an_end() -> None:
    found = reply(429, b"", {"Retry-After": "99999999"})
    assert isinstance(found, DefiniteNo)
    assert found.wait_ns == 3_600 * SECOND


@pytest.mark.parametrize(
    ("status", "body", "code", "consequence", "following"),
    [
        (401, {"error": "Unauthorized/Invalid api key"}, "credentials", "stop", "run laggard check"),
        (401, {"error": "Invalid L1 Request headers"}, "credentials", "stop", "run laggard check"),
        (401, b"", "credentials", "stop", "run laggard check"),
        (
            400,
            {"error": "the order owner has to be the owner of the API KEY"},
            "credentials",
            "stop",
            "check",
        ),
        (
            400,
            {"error": "the order signer address has to be the address of the API KEY"},
            "signature",
            "stop",
            "",
        ),
        (403, b"<html>blocked</html>", "region", "stop", "trading stays off"),
        (400, {"error": "invalid signature"}, "signature", "stop", "run laggard check"),
        (400, {"error": "'0xAB' address banned"}, "banned", "stop", "ask its support"),
        (400, {"error": "'0xAB' address in closed only mode"}, "closed-only", "stop", "ask its support"),
        (400, {"error": "order_version_mismatch"}, "version", "stop", "update laggard"),
        (400, {"error": "not enough balance / allowance"}, "balance", "check", "before the next order"),
        (400, {"error": "price (0.615), breaks minimum tick size rule: 0.01"}, "tick", "fault", "somebody"),
        (
            400,
            {"error": "order 0x1 is invalid. Size (1) lower than the minimum: 5"},
            "too-small",
            "fault",
            "",
        ),
        (400, {"error": "invalid amounts, the buy orders maker amount ..."}, "amounts", "fault", "somebody"),
        (400, {"error": "invalid expiration"}, "expiration", "fault", "somebody"),
        (400, {"error": "Invalid order payload"}, "payload", "fault", "somebody"),
        (404, b"", "request", "fault", "check venue.clob_url"),
        (413, b"", "request", "fault", "check venue.clob_url"),
        (
            400,
            {"error": "the market is not yet ready to process new orders"},
            "market",
            "none",
            "nothing else",
        ),
        (400, {"error": "the orderbook 123 does not exist"}, "market", "none", "nothing else"),
        (404, {"error": "No orderbook exists for the requested token id"}, "market", "none", "nothing else"),
    ],
)
def test_refusals_reach_as_far_as_they_must(
    status: int, body: Any, code: str, consequence: str, following: str
) -> None:
    found = reply(status, body)
    assert isinstance(found, DefiniteNo)
    assert (found.code, found.consequence) == (code, consequence)
    assert following in found.text.partition("; ")[2]


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "order couldn't be fully filled. FOK orders are fully filled or killed."),
        (200, "no orders found to match with FAK order."),
        (425, "no orders found to match with FAK order."),
    ],
)
def test_a_miss_is_normal(status: int, text: str) -> None:
    assert reply(status, {"error": text}) == DefiniteNo("no-match", text)


def test_what_is_shown_is_one_short_line() -> None:
    found = reply(502, b"<html>\n\x00<b>Bad</b>\xff" + b"x" * 1_000_000)
    assert isinstance(found, Unknown)
    assert found.text.startswith("HTTP 502: <html> <b>Bad</b>")
    assert len(found.text) < 200
    assert found.text.isprintable()


@given(st.integers(100, 599), st.binary(max_size=300))
def test_noise_is_never_a_no_where_an_order_may_have_been_taken(status: int, body: bytes) -> None:
    found = classify(status, {}, body, ID)
    if status < 400 or status >= 500 or status in (400, 408, 409, 422):
        assert isinstance(found, Unknown)


WORDS = st.sampled_from(["", "matched", "Delayed", "unmatched", "live", ID, "0x2", "5", "0", "t1", "\ud800"])
TEXTS = st.sampled_from(
    ["not enough balance", "post-only mode", "Duplicated", "no orders found to match", "new"]
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | TEXTS | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["status", "orderID", "errorMsg", "error", "success", "tradeIDs", "takingAmount", "code"]


@given(
    st.sampled_from([200, 201, 307, 400, 401, 403, 404, 425, 429, 500, 503]),
    st.dictionaries(st.sampled_from([*FIELDS, "retry_after_seconds"]), ANY),
    st.dictionaries(st.sampled_from(["Retry-After", "retry-after", "x"]), st.text(max_size=12)),
)
@settings(max_examples=400)
def test_an_answer_of_any_types_is_read_and_never_taken_for_more_than_it_says(
    status: int, body: dict[str, Any], headers: dict[str, str]
) -> None:
    found = reply(status, body, headers)
    said = json.dumps(body).lower()
    if isinstance(found, Taken):
        assert status == 200
        assert body.get("success") is not False
        assert not body.get("errorMsg")
        assert found.matched6 is None or found.matched6 > 0
    else:
        assert found.text.isprintable()
    if isinstance(found, DefiniteNo):
        assert "duplicated" not in said
        assert 0 <= found.wait_ns <= 3_800 * SECOND
        if status == 200:
            assert not body.get("tradeIDs")
            assert not body.get("orderID")
        if status in (200, 400, 503):
            assert any(
                text in said for text in ("balance", "post-only", "no orders found", "unmatched", "code")
            )
        assert status not in (201, 307, 500)


def test_rate_limits_are_shown() -> None:
    headers = {"Poly-RateLimit-Remaining": "-2", "poly-ratelimit-tier": "standard"}
    assert rate_limit(headers) == "remaining -2, tier standard"
    assert rate_limit({"Content-Type": "x"}) == ""


def test_the_shares_of_a_sale_are_what_it_makes_not_what_it_takes() -> None:
    body = {
        "orderID": ID,
        "status": "matched",
        "makingAmount": "9.5",
        "takingAmount": "4.655",
        "success": True,
    }
    raw = json.dumps(body).encode()
    assert classify(200, {}, raw, ID, "sell") == Taken("matched", 9_500_000, ())
    assert classify(200, {}, raw, ID) == Taken("matched", 4_655_000, ())
