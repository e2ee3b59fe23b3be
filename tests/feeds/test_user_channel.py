"""The user channel over a real socket: what it tells, what it counts, and when it says it is back."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from websockets.asyncio.server import ServerConnection, serve

from common.core.order_state import ForeignSeen, NewsSeen, TradeSeen
from common.errors import FrameRefused
from common.feeds.account.user_channel import AccountEvent, hear, user_link
from common.feeds.connection import keep_connected
from common.runtime.clock import SystemClock
from common.runtime.credentials import Secret

OURS = "0xours"
TRADE = {
    "event_type": "trade",
    "id": "t1",
    "taker_order_id": OURS,
    "status": "MATCHED",
    "size": "10",
    "price": "0.5",
}
ORDER = {"event_type": "order", "id": OURS, "status": "MATCHED", "size_matched": "10", "type": "UPDATE"}


def is_ours(order_id: str) -> bool:
    return order_id == OURS


def kinds(frame: str | bytes) -> list[str]:
    events, refused = hear(frame, is_ours)
    return [type(event).__name__ for event in events] + [refusal.reason for refusal in refused]


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
    ],
)
def test_a_frame_tells_what_can_be_used_of_it(frame: str | bytes, expected: list[str]) -> None:
    assert kinds(frame) == expected


@dataclass
class Heard:
    events: list[AccountEvent] = field(default_factory=list)
    refused: list[FrameRefused] = field(default_factory=list)
    states: list[tuple[bool, str]] = field(default_factory=list)
    greetings: list[Any] = field(default_factory=list)


@asynccontextmanager
async def channel(script: Callable[[ServerConnection], Any]) -> AsyncIterator[Heard]:
    heard = Heard()

    async def handle(socket: ServerConnection) -> None:
        heard.greetings.append(json.loads(await socket.recv()))
        await script(socket)

    async with serve(handle, "127.0.0.1", 0) as server:
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
            ping_s=0.05,
        )
        task = asyncio.ensure_future(keep_connected(link, clock, structlog.get_logger()))
        try:
            yield heard
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_it_greets_tells_and_says_each_time_that_it_is_back() -> None:
    async def script(socket: ServerConnection) -> None:
        await socket.send(json.dumps([TRADE, ORDER]))
        await socket.send("what?")
        if len(heard.greetings) == 1:
            socket.transport.abort()
        await socket.wait_closed()

    async with channel(script) as heard:
        await until(lambda: len(heard.greetings) == 2 and len(heard.events) >= 2 and heard.refused)
        assert heard.greetings[0] == {
            "type": "user",
            "auth": {"apiKey": "key", "secret": "secret", "passphrase": "phrase"},
        }
        assert [up for up, _ in heard.states][:3] == [True, False, True]
        assert {type(event) for event in heard.events} == {TradeSeen, NewsSeen}
        assert not any(isinstance(event, ForeignSeen) for event in heard.events)
        assert all("secret" not in text and "phrase" not in text for _, text in heard.states)


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
        assert "silent" in heard.states[1][1]
