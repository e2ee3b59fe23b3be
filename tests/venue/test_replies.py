"""Every reply of the venue means one thing, and what is not understood is never a no."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core.order_state import DefiniteNo, Taken, Unknown
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
        (200, {"status": 7, "orderID": ID}),
        (200, {"errorMsg": "something new", "success": True}),
        (400, {"error": "something new"}),
        (400, {"error": "could not run the execution: context canceled"}),
        (400, {"error": "no orders found; context canceled"}),
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
        (425, {"error": "engine is restarting"}, {"Retry-After": "7"}, "restarting", 7 + 120),
        (429, {"error": "Too Many Requests"}, {"retry-after": "3"}, "rate-limited", 3),
        (429, b"", {}, "rate-limited", 5),
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
    ("status", "body", "consequence"),
    [
        (401, {"error": "Unauthorized/Invalid api key"}, "stop"),
        (401, b"", "stop"),
        (403, b"<html>blocked</html>", "stop"),
        (400, {"error": "invalid signature"}, "stop"),
        (400, {"error": "price (0.615), breaks minimum tick size rule: 0.01"}, "fault"),
        (
            400,
            {"error": "invalid amounts, the buy orders maker amount supports a max accuracy of 2"},
            "fault",
        ),
        (404, b"", "fault"),
        (400, {"error": "the market is not yet ready to process new orders"}, "none"),
    ],
)
def test_refusals_reach_as_far_as_they_must(status: int, body: Any, consequence: str) -> None:
    found = reply(status, body)
    assert isinstance(found, DefiniteNo)
    assert found.consequence == consequence


@given(st.integers(100, 599), st.binary(max_size=300))
def test_noise_is_never_a_no_where_an_order_may_have_been_taken(status: int, body: bytes) -> None:
    found = classify(status, {}, body, ID)
    if status < 400 or status >= 500 or status in (400, 408, 409, 422):
        assert isinstance(found, Unknown)


def test_rate_limits_are_shown() -> None:
    headers = {"Poly-RateLimit-Remaining": "-2", "poly-ratelimit-tier": "standard"}
    assert rate_limit(headers) == "remaining -2, tier standard"
    assert rate_limit({"Content-Type": "x"}) == ""
