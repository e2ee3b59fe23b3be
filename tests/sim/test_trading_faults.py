"""Every way in which an order's answer, its trades or the whole venue can go wrong."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from polymarket.errors import RateLimitError, RequestRejectedError, TransportError, UnexpectedResponseError

from common.sim.faults import read_faults
from trading_stage import SESSION_PRIVATE, UP, USD6, Floor, payload, played

REPLY = {"kind": "order_reply"}
PATH = {"kind": "trade_path"}
TOTAL_5 = 5_000_000 + 140_000 + 33_600
"""What 5 $ cost with their fees."""

TAKEN = {UP: 9_923_077}
_502 = "<html>502 Bad Gateway</html>"
CASES: dict[str, tuple[dict[str, Any] | None, Any, dict[str, int]]] = {
    "matched": (None, "matched", TAKEN),
    "delayed, then filled": ({"form": "delayed", "after_ms": 20}, "delayed", TAKEN),
    "time-out, taken": ({"form": "timeout", "after_ms": 40}, TransportError, TAKEN),
    "time-out, not taken": ({"form": "timeout", "after_ms": 40, "taken": False}, TransportError, {}),
    "reset, taken": ({"form": "reset"}, TransportError, TAKEN),
    "reset, not taken": ({"form": "reset", "taken": False}, TransportError, {}),
    "500 order timed out": ({"form": "http", "taken": False}, (500, "order timed out"), {}),
    "502, taken": ({"form": "http", "status": 502, "body": _502}, (502, "status 502"), TAKEN),
    "unparsable 200, taken": ({"form": "garbage"}, UnexpectedResponseError, TAKEN),
    "400 context canceled, taken": (
        {"form": "http", "status": 400, "body": '{"error":"post: context canceled"}'},
        (400, "post: context canceled"),
        TAKEN,
    ),
    "live, then filled": ({"form": "live", "after_ms": 20}, "live", TAKEN),
    "delayed, then killed": ({"form": "delayed", "after_ms": 20, "taken": False}, "delayed", {}),
}


@pytest.mark.parametrize("name", CASES)
def test_an_answer_goes_wrong_and_the_order_is_done_once_or_not_at_all(name: str) -> None:
    fault, expected, tokens = CASES[name]

    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        if fault is not None:
            await venue.venue.faults(REPLY | fault | {"times": 1})
        order = await venue.signed(client)
        if isinstance(expected, str):
            answer = await client.post_order(order)
            assert answer.status == expected
        elif isinstance(expected, tuple):
            with pytest.raises(RequestRejectedError, match=expected[1]) as refused:
                await client.post_order(order)
            assert refused.value.status == expected[0]
        else:
            with pytest.raises(expected):
                await client.post_order(order)
        waits = fault is not None and fault["form"] in ("delayed", "live")
        if waits:
            ended = ("MATCHED", "CANCELED")
            await venue.until(lambda truth: truth["orders"][0]["status"] in ended)
        assert await venue.holdings() == (USD6 - (TOTAL_5 if tokens else 0), tokens)
        truth = await venue.truth()
        assert truth["received"] == 1
        assert len(truth["executed"]) == (1 if tokens else 0)
        assert len(truth["orders"]) == (1 if tokens or waits else 0)
        # The fault is used up; the same bytes again: taken once, whatever was answered.
        if truth["orders"]:
            with pytest.raises(RequestRejectedError, match="Duplicated"):
                await client.post_order(order)
        else:
            assert (await client.post_order(order)).status == "matched"
        if name != "delayed, then killed":
            assert await venue.holdings() == (USD6 - TOTAL_5, TAKEN)
            assert len((await venue.truth())["executed"]) == 1

    played(scene)


def test_partial_fills_and_no_match_are_the_books_doing() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        assert (await venue.bought(client, "50", "0.51")).taking_amount == 8
        with pytest.raises(RequestRejectedError, match="no orders found to match"):
            await venue.bought(client, "50", "0.51")

    played(scene)


def test_a_counted_fault_hits_so_many_orders() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        refuse = REPLY | {"form": "http", "taken": False}
        await venue.venue.faults(refuse | {"times": 2}, refuse | {"status": 502, "times": 1})
        seen = []
        for _ in range(4):
            try:
                seen.append((await venue.bought(client, "1")).status)
            except RequestRejectedError as error:
                seen.append(error.status)
        assert seen == [500, 500, 502, "matched"]
        await venue.venue.faults(refuse | {"times": 1})
        with pytest.raises(RequestRejectedError):
            await venue.bought(client, "1")
        await venue.venue.faults(refuse)
        for _ in range(3):
            with pytest.raises(RequestRejectedError):
                await venue.bought(client, "1")
        # Reading an account is not an order.
        assert await client.get_closed_only_mode() is False

    played(scene)


def test_an_answer_in_time_is_not_a_time_out() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        await venue.venue.faults(REPLY | {"form": "http", "status": 503, "retry_after_s": 7, "after_ms": 60})
        order = await venue.signed(client)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        status, _, headers = await venue.send(client, payload(order, client.credentials.key))
        assert (status, headers["Retry-After"]) == (503, "7")
        assert loop.time() - begun >= 0.06

    played(scene)


def test_a_time_out_lasts_until_the_client_gives_up() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        await venue.venue.faults(REPLY | {"form": "timeout"})
        order = await venue.signed(client)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await venue.send(client, payload(order, client.credentials.key))
        assert (await venue.holdings())[1] == TAKEN
        # Another one hangs while the venue closes: it must not keep it from closing.
        async with asyncio.TaskGroup() as tasks:
            hanging = tasks.create_task(_hang(venue, client))
            await venue.until(lambda truth: truth["received"] == 2)
            venue.venue.venue.trading.stop()
        assert hanging.result() is True

    played(scene)


async def _hang(venue: Floor, client: Any) -> bool:
    try:
        order = await venue.signed(client, "1")
        await venue.send(client, payload(order, client.credentials.key))
    except aiohttp.ClientError:
        return True
    return False


def test_a_resting_order_is_read_listed_and_cancelled() -> None:
    async def scene(venue: Floor) -> None:
        client, other = await venue.trader(), await venue.trader("safe")
        await venue.venue.faults(REPLY | {"form": "live", "taken": False})
        first, second, third, fourth = [await venue.bought(client, "1") for _ in range(4)]
        theirs = await venue.bought(other, "1")
        assert {first.status, theirs.status} == {"live"}
        told = await client.get_order(order_id=first.order_id)
        assert (told.status, told.size_matched, told.order_type) == ("LIVE", 0, "FAK")
        orders = [order async for order in client.list_open_orders().iter_items()]
        assert len(orders) == 5
        (one,) = [order async for order in client.list_open_orders(id=second.order_id).iter_items()]
        assert one.id == second.order_id
        answer = await client.cancel_order(order_id=first.order_id)
        assert (answer.canceled, answer.not_canceled) == ((first.order_id,), {})
        answer = await client.cancel_orders(order_ids=[first.order_id, second.order_id, "0x" + "1" * 64])
        assert answer.canceled == (second.order_id,)
        assert answer.not_canceled == {
            first.order_id: "already canceled or matched",
            "0x" + "1" * 64: "order not found",
        }
        answer = await client.cancel_market_orders(market="0x" + "9" * 64)
        assert answer.canceled == ()
        answer = await client.cancel_market_orders(asset_id=UP)
        assert answer.canceled == (third.order_id, fourth.order_id, theirs.order_id)
        fifth = await venue.bought(client, "1")
        session = await venue.trader(private=SESSION_PRIVATE)
        answer = await session.cancel_order(order_id=fifth.order_id)
        assert answer.not_canceled == {fifth.order_id: "order not found"}
        assert (await session.cancel_all()).canceled == ()
        answer = await client.cancel_all()
        assert (answer.canceled, answer.not_canceled) == ((fifth.order_id,), {})
        truth = await venue.truth()
        assert {order["status"] for order in truth["orders"]} == {"CANCELED"}
        assert [account["reserved_usd6"] for account in truth["accounts"]] == [0, 0, 0, 0]
        assert truth["executed"] == []

    played(scene)


def test_a_cancelled_order_fills_no_more_and_a_delayed_one_cannot_be_cancelled() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        await venue.venue.faults(REPLY | {"form": "live", "after_ms": 60})
        live = await venue.bought(client, "1")
        assert (await client.cancel_order(order_id=live.order_id)).canceled == (live.order_id,)
        await venue.venue.faults(REPLY | {"form": "delayed", "after_ms": 60})
        delayed = await venue.bought(client, "1")
        assert delayed.status == "delayed"
        assert (await client.get_order(order_id=delayed.order_id)).status == "DELAYED"
        answer = await client.cancel_order(order_id=delayed.order_id)
        assert "delayed" in answer.not_canceled[delayed.order_id]
        truth = await venue.until(lambda truth: truth["orders"][1]["status"] == "MATCHED")
        assert truth["orders"][0]["matched6"] == 0
        assert truth["executed"] == [delayed.order_id]

    played(scene)


def test_held_orders_may_be_answered_at_once() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        answer = await venue.bought(client)
        assert answer.status == "delayed"
        assert answer.trade_ids == ()
        await venue.until(lambda truth: truth["orders"][0]["status"] == "MATCHED")
        trades = [trade async for trade in client.list_account_trades().iter_items()]
        assert {trade.taker_order_id for trade in trades} == {answer.order_id}

    played(scene, answers_delayed=True, taker_delay_ms=60)


MODES: dict[str, tuple[int, str, bool]] = {
    "restart": (425, "restarting", False),
    "post_only": (503, "post-only mode: only post-only orders and cancels are allowed", True),
    "disabled": (503, "Trading is currently disabled. Check polymarket.com for updates", False),
    "cancel_only": (503, "Trading is currently cancel-only", True),
    "closed_only": (400, "' address in closed only mode", True),
    "geo": (403, "Trading restricted in your region", True),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_venue_that_takes_no_orders_says_so(mode: str) -> None:
    status, text, cancels = MODES[mode]

    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        order = await venue.signed(client)
        await venue.venue.faults({"kind": "venue_mode", "mode": mode, "retry_after_s": 79})
        with pytest.raises(RequestRejectedError, match=text) as refused:
            await client.post_order(order)
        assert refused.value.status == status
        if status in (425, 503):
            assert refused.value.retry_after == 79
        restriction = {"restart": "restarting", "post_only": "post_only", "cancel_only": "cancel_only"}
        assert refused.value.restriction == restriction.get(mode)
        assert refused.value.code == ("post_only_mode" if mode == "post_only" else None)
        assert await client.get_closed_only_mode() is (mode == "closed_only")
        _, geoblock = await venue.venue.get("/geoblock")
        assert geoblock["blocked"] is (mode == "geo")
        assert set(geoblock) == {"blocked", "ip", "country", "region"}
        if cancels:
            assert (await client.cancel_all()).canceled == ()
        else:
            with pytest.raises(RequestRejectedError):
                await client.cancel_all()
        # Over, the same bytes are good: nothing was taken meanwhile.
        await venue.venue.faults()
        assert (await client.post_order(order)).status == "matched"

    played(scene)


def test_the_bodies_of_restrictions_are_the_recorded_ones(shared_data: Any) -> None:
    recorded = json.loads((shared_data / "frames/trading/rest_post_order_responses.json").read_text())
    cases = {case["name"]: case for case in recorded["cases"]}

    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        order = payload(await venue.signed(client), client.credentials.key)
        for mode, wait_s in (("geo", None), ("rate_limited", 3), ("post_only", 79)):
            await venue.venue.faults({"kind": "venue_mode", "mode": mode, "retry_after_s": wait_s})
            status, body, headers = await venue.send(client, order)
            case = cases[mode]
            assert (status, body) == (case["http_status"], case["body"])
            fixed = {name: text for name, text in case["headers"].items() if name != "Poly-RateLimit-Reset"}
            assert fixed.items() <= headers.items()
        await venue.venue.faults()
        status, body, _ = await venue.send(client, order)
        assert body.keys() == cases["matched_trade_ids_only"]["body"].keys()
        status, body, _ = await venue.send(client, order)
        assert body["error"] == cases["duplicate"]["body"]["error"].replace("0x1", body["error"][6:72])
        poor = payload(await venue.signed(client, "5", "0.45"), client.credentials.key)
        status, body, _ = await venue.send(client, poor)
        assert body["error"] == cases["fak_no_match"]["body"]["error"]
        assert body.keys() == cases["fak_no_match"]["body"].keys()

    played(scene)


def test_rate_limits_are_told_with_every_order_and_refuse_on_request() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        order = payload(await venue.signed(client, "1"), client.credentials.key)
        _, _, headers = await venue.send(client, order)
        assert int(headers["Poly-RateLimit-Remaining"]) == 59
        assert headers["Poly-RateLimit-Tier"] == "standard"
        await venue.venue.faults({"kind": "venue_mode", "mode": "rate_limited", "retry_after_s": 3})
        with pytest.raises(RateLimitError) as refused:
            await venue.bought(client, "1")
        assert refused.value.retry_after == 3
        assert refused.value.rate_limit.remaining == -2
        status, body, _ = await venue.send(client, None, "GET", "/v1/user/rate-limit-tier")
        assert (status, body) == (200, {"tier": "standard"})

    played(scene)


def test_a_failed_trade_gives_everything_back() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        await venue.venue.faults(PATH | {"statuses": ["MINED", "RETRYING", "FAILED"], "times": 1})
        answer = await venue.bought(client)
        assert await venue.holdings() == (USD6 - TOTAL_5, TAKEN)
        failed = lambda truth: {t["status"] for t in truth["orders"][0]["trades"]} == {"FAILED"}  # noqa: E731
        await venue.until(failed)
        for view in ("venue", "chain"):
            assert await venue.holdings(view=view) == (USD6, {})
        trades = [trade async for trade in client.list_account_trades().iter_items()]
        assert {trade.status for trade in trades} == {"FAILED"}
        assert {trade.id for trade in trades} == set(answer.trade_ids)
        await venue.bought(client, "1")
        await venue.until(lambda truth: truth["orders"][1]["trades"][0]["status"] == "CONFIRMED")

    played(scene)


def test_the_chain_follows_when_a_trade_is_mined() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        await venue.venue.faults(PATH | {"delays_ms": [80, 80], "times": 1})
        await venue.bought(client)
        before = await venue.truth()
        assert {trade["status"] for trade in before["orders"][0]["trades"]} == {"MATCHED"}
        assert {trade["transaction"] for trade in before["orders"][0]["trades"]} == {""}
        assert await venue.holdings(view="chain") == (USD6, {})
        mined = await venue.until(lambda truth: truth["orders"][0]["trades"][0]["status"] != "MATCHED")
        assert mined["orders"][0]["trades"][0]["status"] == "MINED"
        assert mined["orders"][0]["trades"][0]["transaction"].startswith("0x")
        truth = await venue.until(lambda truth: truth["orders"][0]["trades"][1]["status"] == "CONFIRMED")
        assert await venue.holdings(view="chain") == (USD6 - TOTAL_5, TAKEN)
        assert (
            truth["orders"][0]["trades"][0]["transaction"] != truth["orders"][0]["trades"][1]["transaction"]
        )
        assert set(truth["sums"]["venue"].values()) == set(truth["sums"]["chain"].values()) == {0}

    played(scene)


def test_a_retried_trade_is_confirmed_in_the_end() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        await venue.venue.faults(PATH | {"statuses": ["RETRYING", "CONFIRMED"], "delays_ms": [60, 20]})
        await venue.bought(client)
        retrying = await venue.until(lambda truth: truth["orders"][0]["trades"][0]["status"] != "MATCHED")
        assert retrying["orders"][0]["trades"][0]["status"] == "RETRYING"
        assert await venue.holdings(view="chain") == (USD6, {})
        await venue.until(lambda truth: truth["orders"][0]["trades"][1]["status"] == "CONFIRMED")
        assert await venue.holdings(view="chain") == (USD6 - TOTAL_5, TAKEN)

    played(scene)


def test_dust_is_a_trade_of_its_own_and_costs_nothing_extra() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        await venue.venue.faults(PATH | {"dust6": 3, "times": 1})
        answer = await venue.bought(client)
        assert len(answer.trade_ids) == 3
        (order,) = (await venue.truth())["orders"]
        assert [trade["size6"] for trade in order["trades"]] == [8_000_000, 1_923_074, 3]
        assert order["trades"][2]["cost_usd6"] == 1
        assert order["trades"][2]["fee_usd6"] == 0
        assert (await venue.holdings())[1] == TAKEN

    played(scene)


@pytest.mark.parametrize(
    "text",
    [
        '[{"kind": "order_reply"}]',
        '[{"kind": "order_reply", "form": "maybe"}]',
        '[{"kind": "order_reply", "form": "http", "status": 199}]',
        '[{"kind": "order_reply", "form": "http", "status": 600}]',
        '[{"kind": "order_reply", "form": "reset", "times": -1}]',
        '[{"kind": "order_reply", "form": "reset", "after_ms": -1}]',
        '[{"kind": "trade_path", "statuses": []}]',
        '[{"kind": "trade_path", "statuses": ["MINED"]}]',
        '[{"kind": "trade_path", "statuses": ["FAILED", "CONFIRMED"]}]',
        '[{"kind": "trade_path", "delays_ms": [-1]}]',
        '[{"kind": "trade_path", "late_ms": -1}]',
        '[{"kind": "trade_path", "dust6": 10001}]',
        '[{"kind": "trade_path", "times": -1}]',
        '[{"kind": "venue_mode", "mode": "asleep"}]',
        '[{"kind": "chain", "up": true}]',
    ],
)
def test_impossible_faults_of_trading_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_faults(text.encode())
