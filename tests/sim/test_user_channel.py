"""The user channel: who hears what, in which shape, and how it can tell too little or too much."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from polymarket.errors import RequestRejectedError
from polymarket.models.clob.user_events import parse_user_events
from polymarket.streams import UserSpec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from stage import LIMIT_S
from trading_stage import CONDITION, DOWN, SESSION_PRIVATE, UP, Floor, payload, played

PATH = {"kind": "trade_path"}


class Ear:
    """One connection to the user channel."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def text(self) -> str:
        return str(await asyncio.wait_for(self.socket.recv(), LIMIT_S))

    async def event(self) -> dict[str, Any]:
        """The next event, whether it came in an array or not."""
        told = json.loads(await self.text())
        return dict(told[0] if isinstance(told, list) else told)

    async def until(self, fits: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Every event up to the first that fits."""
        seen = [await self.event()]
        while not fits(seen[-1]):
            seen.append(await self.event())
        return seen

    async def pong(self) -> list[dict[str, Any]]:
        """Everything told before the answer to a ping."""
        await self.socket.send("PING")
        seen = []
        while (text := await self.text()) != "PONG":
            told = json.loads(text)
            seen += told if isinstance(told, list) else [told]
        return seen


def credentials(client: Any) -> dict[str, str]:
    key = client.credentials
    return {"apiKey": key.key, "secret": key.secret, "passphrase": key.passphrase}


@asynccontextmanager
async def ear(venue: Floor, client: Any, **hello: Any) -> AsyncIterator[Ear]:
    address = venue.venue.base.replace("http", "ws") + "/ws/user"
    async with connect(address, proxy=None) as socket:
        await socket.send(json.dumps({"type": "user", "auth": credentials(client)} | hello))
        heard = Ear(socket)
        await heard.pong()
        yield heard


def confirmed(event: dict[str, Any]) -> bool:
    return event.get("status") == "CONFIRMED"


def brief(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] if event["type"] != "TRADE" else event["status"] for event in events]


def test_an_order_and_its_trade_are_told_as_they_go() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        async with ear(venue, client) as heard:
            answer = await venue.bought(client, "1")
            events = await heard.until(confirmed)
        assert brief(events) == ["UPDATE", "MATCHED", "MINED", "CONFIRMED"]
        order, trades = events[0], events[1:]
        assert (order["id"], order["status"], order["size_matched"]) == (answer.order_id, "MATCHED", "2")
        assert order["associate_trades"] == list(answer.trade_ids)
        assert {trade["id"] for trade in trades} == set(answer.trade_ids)
        assert [bool(trade["transaction_hash"]) for trade in trades] == [False, True, True]
        assert trades[0]["owner"] == client.credentials.key
        maker = trades[0]["maker_orders"][0]
        assert (maker["asset_id"], maker["price"], maker["matched_amount"]) == (UP, "0.5", "2")
        assert parse_user_events(events)[1] == 0

    played(scene)


def test_the_shapes_are_the_captured_ones(shared_data: Any) -> None:
    captured = {
        event["name"]: event["payload"]
        for event in json.loads((shared_data / "frames/trading/ws_user_events.json").read_text())["events"]
    }
    rest = json.loads((shared_data / "frames/trading/rest_other.json").read_text())

    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        async with ear(venue, client) as heard:
            await venue.bought(client, "1")
            order, *trades = await heard.until(confirmed)
            with pytest.raises(RequestRejectedError):
                await venue.bought(client, "1.01", "0.45")
            killed = await heard.event()
        assert order.keys() - {"event_type"} == captured["ws_user_order_update"].keys()
        for trade in trades:
            assert trade.keys() == captured["user_trade1"].keys()
            assert (
                trade["maker_orders"][0].keys() - {"side"}
                == captured["user_trade1"]["maker_orders"][0].keys()
            )
        # As captured: dollars for a size, and gaps.
        example = captured["fok_buy_killed_size_is_pusd"]
        assert killed.keys() == example.keys()
        same = ("original_size", "size_matched", "outcome", "created_at", "type", "expiration")
        assert {name: killed[name] for name in same} == {name: example[name] for name in same}
        assert killed["status"].startswith("CANCELED_no orders found to match with FAK order")
        assert (
            parse_user_events(killed)[1] == 1
        )  # The official client drops it, as it drops the captured one.
        _, trades_page, _ = await venue.send(client, None, "GET", "/data/trades")
        assert trades_page["data"][0].keys() == rest["trades_page"]["data"][0].keys()
        assert rest["trades_page"].keys() <= trades_page.keys()
        assert trades_page["data"][0]["status"] == "TRADE_STATUS_CONFIRMED"
        path = f"/data/order/{trades_page['data'][0]['taker_order_id']}"
        _, told, _ = await venue.send(client, None, "GET", path)
        assert told.keys() == rest["open_order"].keys()
        _, cancelled, _ = await venue.send(client, {"orderID": told["id"]}, "DELETE")
        assert cancelled.keys() == rest["cancel_partial"].keys()
        assert list(cancelled["not_canceled"].values()) == list(
            rest["cancel_partial"]["not_canceled"].values()
        )

    played(scene)


def test_odd_frames_are_as_odd_as_the_captured_ones() -> None:
    async def scene(venue: Floor) -> list[Any]:
        client = await venue.trader()
        raw = []
        async with ear(venue, client) as heard:
            for _ in range(8):
                await venue.bought(client, "1")
            while len(raw) < 32:
                raw.append(json.loads(await heard.text()))
        return raw

    raw = played(scene, odd_user_frames=True)
    assert [isinstance(each, list) for each in raw] == [number % 2 == 1 for number in range(32)]
    events = [each[0] if isinstance(each, list) else each for each in raw]
    trades = [event for event in events if event["type"] == "TRADE"]
    orders = [event for event in events if event["type"] != "TRADE"]
    assert any("event_type" not in event for event in orders)
    assert any("event_type" not in event for event in trades)
    assert any("matchtime" in trade for trade in trades)
    assert any("T" in trade.get("match_time", "") for trade in trades)
    assert {len(trade["timestamp"]) for trade in trades} == {10, 13}
    assert any("transaction_hash" not in trade for trade in trades)
    assert {len(order["created_at"]) for order in orders} == {10, 13}
    assert not any("side" in trade["maker_orders"][0] for trade in trades)
    assert len({trade["id"] for trade in trades}) == 8


def test_makers_may_be_on_the_other_token() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        await venue.venue.faults(PATH | {"other_token": True})
        async with ear(venue, client) as heard:
            await venue.bought(client, "1")
            trade = (await heard.until(confirmed))[-1]
        maker = trade["maker_orders"][0]
        assert (trade["asset_id"], trade["price"], trade["outcome"]) == (UP, "0.5", "Up")
        assert (maker["asset_id"], maker["price"], maker["outcome"]) == (DOWN, "0.5", "Down")
        venue.ask(("0.52", "100"))
        async with ear(venue, client) as heard:
            await venue.bought(client, "1")
            trade = (await heard.until(confirmed))[-1]
        assert (trade["price"], trade["maker_orders"][0]["price"]) == ("0.52", "0.48")

    played(scene)


def test_a_held_order_is_told_before_it_fills() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        await venue.venue.faults({"kind": "order_reply", "form": "live", "taken": False, "times": 1})
        async with ear(venue, client) as heard:
            resting = await venue.bought(client, "1")
            placed = await heard.event()
            assert (placed["type"], placed["status"], placed["size_matched"]) == ("PLACEMENT", "LIVE", "0")
            await client.cancel_order(order_id=resting.order_id)
            cancelled = await heard.event()
            assert (cancelled["type"], cancelled["status"]) == ("CANCELLATION", "CANCELED")
            assert cancelled["original_size"] == "1.8181"

    played(scene)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ({}, ["UPDATE", "MATCHED", "MINED", "CONFIRMED"]),
        ({"lose": True}, []),
        ({"double": True}, ["UPDATE"] * 2 + ["MATCHED"] * 2 + ["MINED"] * 2 + ["CONFIRMED"] * 2),
        ({"reorder": True}, ["MATCHED", "UPDATE", "CONFIRMED", "MINED"]),
        ({"reorder": True, "statuses": ["CONFIRMED"]}, ["MATCHED", "UPDATE", "CONFIRMED"]),
        ({"late_ms": 150}, ["UPDATE", "MATCHED", "MINED", "CONFIRMED"]),
        ({"statuses": ["RETRYING", "FAILED"]}, ["UPDATE", "MATCHED", "RETRYING", "FAILED"]),
    ],
    ids=str,
)
def test_an_orders_events_may_be_lost_doubled_turned_round_or_late(
    path: dict[str, Any], told: list[str]
) -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        await venue.venue.faults(PATH | path | {"times": 1})
        final = {"CONFIRMED", "FAILED"}
        async with ear(venue, client) as heard:
            answer = await venue.bought(client, "1")
            await venue.until(lambda truth: {t["status"] for t in truth["orders"][0]["trades"]} <= final)
            if path.get("late_ms"):
                assert brief(await heard.pong()) in ([], told[:2])
                seen = await heard.until(confirmed)
            else:
                seen = await heard.pong()
            # What the channel did not tell, the account reads do.
            trades = [trade async for trade in client.list_account_trades().iter_items()]
            assert {trade.id for trade in trades} == set(answer.trade_ids)
            # The next order is told well again.
            await venue.bought(client, "1")
            after = await heard.until(confirmed)
        assert brief(after) == ["UPDATE", "MATCHED", "MINED", "CONFIRMED"]
        if not path.get("late_ms"):
            assert brief(seen) == told

    played(scene)


def test_late_means_late() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        await venue.venue.faults(PATH | {"late_ms": 200})
        loop = asyncio.get_running_loop()
        async with ear(venue, client) as heard:
            begun = loop.time()
            await venue.bought(client, "1")
            await heard.event()
            assert loop.time() - begun >= 0.2

    played(scene)


@pytest.mark.parametrize(
    "hello",
    [
        {"auth": {}},
        {"auth": None},
        {"auth": {"apiKey": "k"}},
        {"type": "market"},
        {"spoil": "secret"},
        {"spoil": "passphrase"},
        {"spoil": "apiKey"},
    ],
    ids=str,
)
def test_whoever_proves_nothing_is_cut_off(hello: dict[str, Any]) -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        first = {"type": "user", "auth": credentials(client)} | hello
        if spoil := first.pop("spoil", None):
            first["auth"][spoil] += "x"
        async with connect(venue.venue.base.replace("http", "ws") + "/ws/user", proxy=None) as socket:
            await socket.send(json.dumps(first))
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), LIMIT_S)
        assert closed.value.rcvd is None  # No closing handshake: clients see code 1006.

    played(scene)


def test_pings_are_answered_before_the_proof_and_nothing_is_told_without_it() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        async with connect(venue.venue.base.replace("http", "ws") + "/ws/user", proxy=None) as socket:
            heard = Ear(socket)
            assert await heard.pong() == []
            await socket.send("hello?")
            assert await heard.text() == "INVALID OPERATION"
            await venue.bought(client, "1")
            assert await heard.pong() == []

    played(scene)


def test_markets_choose_what_is_told() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        async with ear(venue, client, markets=["0x" + "9" * 64]) as heard:
            await venue.bought(client, "1")
            assert await heard.pong() == []
            await heard.socket.send(json.dumps({"operation": "subscribe", "markets": [CONDITION]}))
            await heard.pong()
            await venue.bought(client, "1")
            await heard.until(confirmed)
            await heard.socket.send(json.dumps({"operation": "unsubscribe", "markets": [CONDITION]}))
            await heard.pong()
            await venue.bought(client, "1")
            assert await heard.pong() == []

    played(scene)


def test_owners_hear_everything_of_their_wallet_and_session_keys_only_their_own() -> None:
    async def scene(venue: Floor) -> None:
        owner, session = await venue.trader(), await venue.trader(private=SESSION_PRIVATE)
        async with ear(venue, owner) as all_of_it, ear(venue, session) as own:
            mine = await venue.bought(owner, "1")
            theirs = await venue.bought(session, "1")
            both = await all_of_it.until(lambda e: confirmed(e) and e["taker_order_id"] == theirs.order_id)
            one = await own.until(confirmed)
        ids = lambda events: {event.get("taker_order_id", event["id"]) for event in events}  # noqa: E731
        assert ids(both) == {mine.order_id, theirs.order_id}
        assert ids(one) == {theirs.order_id}

    played(scene)


def test_nothing_is_told_again_after_a_reconnect() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        async with ear(venue, client) as heard:
            await venue.bought(client, "1")
            await heard.until(confirmed)
        async with ear(venue, client) as heard:
            assert await heard.pong() == []

    played(scene)


def test_the_channel_has_the_faults_of_channels() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        channel = {"channel": "user"}
        async with ear(venue, client) as heard:
            await venue.venue.faults({"kind": "freeze", **channel})
            await venue.bought(client, "1")
            assert await heard.pong() == []
            await venue.venue.faults({"kind": "drop_frames", **channel})
            await venue.bought(client, "1")
            assert await heard.pong() == []
            await venue.venue.faults({"kind": "duplicate", "key": UP, **channel})
            order = payload(await venue.signed(client, "1"), client.credentials.key)
            await venue.send(client, order)
            assert brief(await heard.pong())[-2:] == ["MATCHED", "MATCHED"]
            await venue.venue.faults({"kind": "disconnect", **channel})
            with pytest.raises(ConnectionClosed):
                await heard.until(lambda _event: False)
            await venue.venue.faults({"kind": "refuse", "status": 503, **channel})
            with pytest.raises(InvalidStatus):
                async with ear(venue, client):
                    pass
        _, state = await venue.venue.get("/control/state")
        assert state["connections"]["user"] == 0
        assert state["frames"]["user"]["trade"] >= 2

    played(scene, mined_after_ms=5_000)


def test_the_official_clients_stream_hears_trades() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        async with asyncio.timeout(LIMIT_S):
            handle = await client.subscribe(UserSpec())
            async with handle:
                while not any(each.session for each in venue.venue.venue.trading.channel._listeners.values()):
                    await asyncio.sleep(0.005)
                answer = await venue.bought(client, "1")
                async for event in handle:
                    if event.type == "trade" and event.payload.status == "CONFIRMED":
                        assert event.payload.taker_order_id == answer.order_id
                        break

    played(scene)
