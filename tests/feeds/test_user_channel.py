"""The user channel over a real socket: what it tells, what it counts, and when it says it is back."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog
from websockets.asyncio.server import ServerConnection, serve

from common.core.order_events import (
    ForeignSeen,
    NewsSeen,
    TradeSeen,
)
from common.errors import FeedRefused, FrameRefused
from common.feeds.account.user_channel import AccountEvent, hear, user_link
from common.feeds.backoff import Backoff
from common.feeds.connection import keep_connected
from common.runtime.clock import SystemClock
from common.runtime.credentials import Secret
from trading_stage import floor

OURS = "0xours"
TRADE = {
    "event_type": "trade",
    "id": "t1",
    "taker_order_id": OURS,
    "status": "MATCHED",
    "size": "10",
    "price": "0.5",
}
MAKER = {"order_id": "0xm", "asset_id": "up", "price": "0.5", "matched_amount": "5"}
MADE = {"order_id": OURS}
ORDER = {"event_type": "order", "id": OURS, "status": "MATCHED", "size_matched": "10", "type": "UPDATE"}


def is_ours(order_id: str) -> bool:
    return order_id == OURS


def kinds(frame: str | bytes) -> list[str]:
    heard = hear(frame, is_ours)
    return [type(event).__name__ for event in heard.events] + [refusal.reason for refusal in heard.refused]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ("PONG", []),
        (b"pong", []),
        ("", []),
        (json.dumps(TRADE), ["TradeSeen"]),
        (json.dumps([TRADE, ORDER]), ["TradeSeen", "NewsSeen"]),
        (json.dumps(TRADE | {"event_type": None, "type": "TRADE"}), ["TradeSeen"]),
        (json.dumps(TRADE | {"taker_order_id": "0xother"}), ["ForeignSeen"]),
        (json.dumps(ORDER | {"id": "0xother"}), ["ForeignSeen"]),
        ("{", ["not-json"]),
        ("[" * 100_000, ["not-json"]),
        ("7", ["not-an-object"]),
        (json.dumps([TRADE, {"event_type": "gift"}, ORDER]), ["TradeSeen", "NewsSeen", "unknown-event"]),
        (json.dumps([TRADE | {"status": "?"}, ORDER]), ["NewsSeen", "unknown-trade-status"]),
        ("{}", ["unknown-event"]),
        ("[]", []),
        ("INVALID OPERATION", ["not-json"]),
        (b"\xff", ["not-json"]),
        (json.dumps(TRADE | {"event_type": "TRADE"}), ["TradeSeen"]),
        (json.dumps({key: TRADE[key] for key in TRADE if key != "event_type"}), ["TradeSeen"]),
        (json.dumps({key: ORDER[key] for key in ORDER if key != "event_type"}), ["NewsSeen"]),
        (json.dumps(TRADE | {"price": 0.5, "size": 10}), ["TradeSeen"]),
        (json.dumps(TRADE | {"event_type": ["trade"]}), ["unknown-event"]),
        (json.dumps({"error": "unauthorized"}), ["unknown-event"]),
        (json.dumps([[TRADE]]), ["not-an-object"]),
        (json.dumps(TRADE | {"maker_orders": [MAKER, MAKER]}), ["TradeSeen"]),
        (json.dumps(TRADE | {"maker_orders": [MAKER]}), ["TradeSeen", "makers-do-not-add-up"]),
        (json.dumps(TRADE | {"taker_order_id": "0xo", "maker_orders": [MAKER | MADE]}), ["TradeSeen"]),
    ],
)
def test_a_frame_tells_what_can_be_used_of_it(frame: str | bytes, expected: list[str]) -> None:
    assert kinds(frame) == expected


@pytest.mark.parametrize(
    ("frame", "alive"),
    [
        ("PONG", True),
        (json.dumps(TRADE), True),
        (json.dumps(TRADE | {"status": "?"}), True),
        ("", False),
        ("[]", False),
        ("INVALID OPERATION", False),
        (json.dumps({"error": "unauthorized"}), False),
    ],
)
def test_only_a_pong_or_an_event_shows_that_the_channel_lives(frame: str, alive: bool) -> None:
    assert hear(frame, is_ours).alive is alive


def test_the_captured_frames_are_events(shared_data: Path) -> None:
    events = json.loads((shared_data / "frames/trading/ws_user_events.json").read_bytes())["events"]
    payloads = [event["payload"] for event in events]
    mine = {payload.get("taker_order_id") or payload["id"] for payload in payloads}
    for frames in ([json.dumps(payload) for payload in payloads], [json.dumps(payloads)]):
        heard = [hear(frame, mine.__contains__) for frame in frames]
        seen = [type(event) for each in heard for event in each.events]
        assert (seen.count(NewsSeen), seen.count(TradeSeen), seen.count(ForeignSeen)) == (4, 3, 0)
        assert not any(each.refused for each in heard)


@dataclass
class Heard:
    events: list[AccountEvent] = field(default_factory=list)
    refused: list[FrameRefused] = field(default_factory=list)
    states: list[tuple[bool, str]] = field(default_factory=list)
    greetings: list[Any] = field(default_factory=list)
    alive: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    """What was logged."""
    ended: "asyncio.Future[None] | None" = None

    def live(self) -> None:
        self.alive += 1


@asynccontextmanager
async def channel(
    script: Callable[[ServerConnection], Any], *, refuse: int | None = None
) -> AsyncIterator[Heard]:
    heard = Heard()

    async def handle(socket: ServerConnection) -> None:
        heard.greetings.append(json.loads(await socket.recv()))
        await script(socket)

    def door(connection: ServerConnection, _request: Any) -> Any:
        return connection.respond(refuse, "no") if refuse else None

    async with serve(handle, "127.0.0.1", 0, process_request=door) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        clock = SystemClock()
        link = user_link(
            f"ws://127.0.0.1:{port}/ws/user",
            Secret("key"),
            Secret("secret"),
            Secret("phrase"),
            mono_ns=clock.mono_ns(),
            on_event=heard.events.append,
            on_refused=heard.refused.append,
            on_state=lambda up, text: heard.states.append((up, text)),
            is_ours=is_ours,
            on_alive=heard.live,
            ping_s=0.05,
        )
        link.backoff = Backoff(first_s=0.02)
        with structlog.testing.capture_logs() as heard.lines:
            heard.ended = asyncio.ensure_future(keep_connected(link, clock, structlog.get_logger()))
            try:
                yield heard
            finally:
                heard.ended.cancel()
                await asyncio.gather(heard.ended, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_it_greets_tells_and_says_each_time_that_it_is_back() -> None:
    async def script(socket: ServerConnection) -> None:
        assert await socket.recv() == "PING"
        await socket.send(json.dumps([TRADE, ORDER]))
        await socket.send("what?")
        if len(heard.greetings) == 1:
            socket.transport.abort()
        await socket.wait_closed()

    async with channel(script) as heard:
        await until(lambda: len(heard.states) >= 3 and len(heard.events) >= 2 and heard.refused)
        assert heard.greetings[0] == {
            "type": "user",
            "auth": {"apiKey": "key", "secret": "secret", "passphrase": "phrase"},
        }
        assert [up for up, _ in heard.states][:3] == [True, False, True]
        assert {type(event) for event in heard.events} == {TradeSeen, NewsSeen}
        assert not any(isinstance(event, ForeignSeen) for event in heard.events)
        assert heard.alive >= 2
        shown = f"{heard.states} {heard.lines}"
        assert heard.lines
        assert "secret" not in shown
        assert "phrase" not in shown


async def test_it_is_not_up_before_the_venue_has_answered() -> None:
    answer = asyncio.Event()

    async def script(socket: ServerConnection) -> None:
        await socket.send("INVALID OPERATION")
        await answer.wait()
        await socket.send("PONG")
        await socket.wait_closed()

    async with channel(script) as heard:
        await until(lambda: heard.refused)
        assert heard.states == []
        assert heard.alive == 0
        answer.set()
        await until(lambda: heard.states)
        assert heard.states[0][0] is True
        await until(lambda: heard.alive)
        assert len(heard.states) == 1


@pytest.mark.parametrize("how", ["cut", "closed", "complaint"])
async def test_ends_without_a_word_mean_that_our_credentials_are_refused(how: str) -> None:
    async def script(socket: ServerConnection) -> None:
        if how == "complaint":
            await socket.send(json.dumps({"error": "unauthorized"}))
        if how == "cut":
            socket.transport.abort()
        else:
            await socket.close(4001, "no")

    async with channel(script) as heard:
        assert heard.ended is not None
        async with asyncio.timeout(10):
            with pytest.raises(FeedRefused, match=r"ends the user channel right after our .* clob\.json"):
                await heard.ended
        assert len(heard.greetings) == 3
        assert [up for up, _ in heard.states] == [False, False, False]


@pytest.mark.parametrize("odd", [False, True])
async def test_the_simulated_venue_is_heard_and_lets_only_its_own_in(odd: bool) -> None:
    async with floor(odd_user_frames=odd) as at:
        trader = await at.trader()
        known = trader.credentials
        heard = Heard()
        clock = SystemClock()
        url = at.venue.base.replace("http", "ws") + "/ws/user"

        async def listen(secret: str) -> None:
            link = user_link(
                url,
                Secret(known.key),
                Secret(secret),
                Secret(known.passphrase),
                mono_ns=clock.mono_ns(),
                on_event=heard.events.append,
                on_refused=heard.refused.append,
                on_state=lambda up, text: heard.states.append((up, text)),
                is_ours=lambda _order_id: True,
            )
            link.backoff = Backoff(first_s=0.02)
            await keep_connected(link, clock, structlog.get_logger())

        with pytest.raises(FeedRefused, match="right after our credentials"):
            await listen("wrong")
        assert not any(up for up, _ in heard.states)
        heard.states.clear()
        listening = asyncio.ensure_future(listen(known.secret))
        try:
            await until(lambda: heard.states)
            assert heard.states[0][0] is True
            ours = {(await at.bought(trader)).order_id, (await at.bought(trader, "2", "0.61")).order_id}
            confirmed = lambda: [  # noqa: E731
                event.trade
                for event in heard.events
                if isinstance(event, TradeSeen)
                and event.trade.status == "confirmed"
                and not event.trade.maker
            ]
            await until(lambda: {one.order_id for one in confirmed()} == ours)
            truth = {one["id"]: one for one in (await at.truth())["orders"]}
            trades = {one["id"]: one for order in truth.values() for one in order["trades"]}
            for one in confirmed():
                told = trades[one.trade_id]
                assert (one.price4, one.size6, one.cost_usd6) == (
                    told["price4"],
                    told["size6"],
                    told["cost_usd6"],
                )
            assert not heard.refused
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def test_an_answer_between_shows_that_the_credentials_are_good() -> None:
    async def script(socket: ServerConnection) -> None:
        if len(heard.greetings) in (3, 6):
            await socket.send("PONG")
        socket.transport.abort() if len(heard.greetings) < 7 else await socket.wait_closed()

    async with channel(script) as heard:
        assert heard.ended is not None
        await until(lambda: len(heard.greetings) == 7)
        assert not heard.ended.done()


@pytest.mark.parametrize("status", [401, 403])
async def test_a_door_that_is_shut_is_not_blamed_on_the_credentials(status: int) -> None:
    async def script(socket: ServerConnection) -> None:
        raise AssertionError

    async with channel(script, refuse=status) as heard:
        assert heard.ended is not None
        async with asyncio.timeout(10):
            with pytest.raises(FeedRefused, match=r"venue\.clob_user_ws_url"):
                await heard.ended
        assert heard.greetings == []


async def test_a_channel_that_answers_no_ping_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.feeds.account.user_channel.PONG_LIMIT_S", 0.4)
    answered = []

    async def script(socket: ServerConnection) -> None:
        async for frame in socket:
            if len(heard.greetings) > 1:
                answered.append(frame)
                await socket.send("PONG")

    async with channel(script) as heard:
        await until(lambda: len(answered) > 12)
        assert len(heard.greetings) == 2
        assert "silent" in heard.states[0][1]
        assert heard.states[1][0] is True


async def test_silence_is_no_word_about_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.feeds.account.user_channel.PONG_LIMIT_S", 0.1)

    async def script(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with channel(script) as heard:
        assert heard.ended is not None
        await until(lambda: len(heard.greetings) == 5)
        assert not heard.ended.done()
