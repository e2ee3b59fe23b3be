"""Every way the simulated oracle channels misbehave, PolyBolt and Data Streams included."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from common.feeds.oracle.chainlink_report import decode_report
from oracle_clients import (
    ACCESS,
    FEEDS,
    SPOT_BTC,
    TWAP_BTC,
    binary,
    heard,
    polybolt,
    rest,
    stranger,
    streams,
    subscribe,
)
from stage import LIMIT_S, SPOT, START_S, TWAP, Client, Stage, eventually, observed, stage

E18 = 10**18
TWAP_ID = FEEDS["btc/twap60"]
QUIET_S = 0.15
CHANNELS = ("rtds", "polybolt", "chainlink")
Ticks = list[tuple[int, int]]


async def _listener(venue: Stage, channel: str) -> Client:
    """A client of one channel that gets the averages of btc."""
    match channel:
        case "rtds":
            return await venue.rtds({"topic": TWAP, "type": "update"})
        case "polybolt":
            return await polybolt(venue, TWAP_BTC)
    return await streams(venue, TWAP_ID)


async def _ticks(client: Client, channel: str, number: int) -> Ticks:
    """Seconds after the start, and values, of the next frames."""
    ticks = []
    for _ in range(number):
        if channel == "chainlink":
            found = decode_report(json.loads(await binary(client))["report"]["fullReport"], None)
            ticks.append((found.observed_ns // 10**9 - START_S, found.price18))
            continue
        payload = (await client.json())["payload"]
        value = payload["full_accuracy_value"]
        exact = int(value) if channel == "rtds" else int(value) * E18
        ticks.append((payload["timestamp"] // 1000 - START_S, exact))
    return ticks


@pytest.mark.parametrize("channel", CHANNELS)
def test_freezing_by_the_scripts_name_hits_only_that_channel(channel: str) -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            clients = {name: await _listener(venue, name) for name in CHANNELS}
            for key in ("btc/usd", TWAP, ""):
                await venue.faults({"kind": "freeze", "channel": channel, "key": key})
                venue.happen(observed(0, E18))
                await venue.faults({"kind": "freeze", "channel": channel, "key": "eth/usd"})
                venue.happen(observed(1, E18))
                for name, client in clients.items():
                    if name != channel:
                        assert await _ticks(client, name, 1) == [(0, E18)]
                    assert await _ticks(client, name, 1) == [(1, E18)]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("channel", "key"),
    [("polybolt", "btcusd"), ("polybolt", "price.crypto.twap"), ("chainlink", TWAP_ID)],
)
def test_freezing_by_a_name_of_the_channels_own_wire(channel: str, key: str) -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            client = await _listener(venue, channel)
            await venue.faults({"kind": "freeze", "channel": channel, "key": key})
            venue.happen(observed(0, E18))
            await venue.faults()
            venue.happen(observed(1, E18))
            assert await _ticks(client, channel, 1) == [(1, E18)]

    asyncio.run(scene())


def test_a_polybolt_connection_that_is_subscribed_and_silent() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            venue.happen(observed(0, E18))
            await venue.faults({"kind": "freeze", "channel": "polybolt", "key": "btcusd"})
            client = await polybolt(venue)
            await client.send(subscribe(TWAP_BTC))
            venue.happen(observed(1, E18))
            assert [frame["op"] for frame in await heard(client)] == ["subscribed"]
            await venue.faults()
            venue.happen(observed(2, E18))
            (frame,) = await heard(client)
            assert frame["seq"] == 1

    asyncio.run(scene())


def test_a_dropped_snapshot_leaves_the_updates() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            await venue.faults({"kind": "drop_snapshot", "channel": "polybolt"})
            client = await polybolt(venue)
            await client.send(subscribe(TWAP_BTC))
            assert [frame["op"] for frame in await heard(client)] == ["subscribed"]
            venue.happen(observed(0, E18))
            (frame,) = await heard(client)
            assert "snapshot" not in frame and frame["seq"] == 1

    asyncio.run(scene())


@pytest.mark.parametrize("channel", ["polybolt", "chainlink"])
def test_disconnects_refusals_duplicates_and_held_frames(channel: str) -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            client = await _listener(venue, channel)
            await venue.faults({"kind": "disconnect", "channel": channel})
            assert (await client.message()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            await client.socket.close()
            await venue.faults({"kind": "refuse", "channel": channel, "status": 503, "retry_after_s": 2})
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await _listener(venue, channel)
            assert caught.value.status == 503
            await venue.faults({"kind": "duplicate", "channel": channel})
            client = await _listener(venue, channel)
            await venue.faults(
                {"kind": "duplicate", "channel": channel},
                {"kind": "hold", "channel": channel, "for_ms": 60_000},
            )
            venue.happen(observed(0, E18))
            venue.happen(observed(1, E18))
            await venue.faults()
            venue.happen(observed(2, E18))
            assert [stamp for stamp, _ in await _ticks(client, channel, 5)] == [0, 0, 1, 1, 2]
            await client.socket.close()

    asyncio.run(scene())


def test_spoilt_reports_stay_binary() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            client = await streams(venue, TWAP_ID)
            venue.happen(observed(0, E18))
            whole = await binary(client)
            for form in ("garbage", "truncated"):
                await venue.faults({"kind": "garble", "channel": "chainlink", "form": form})
                venue.happen(observed(0, E18))
                spoilt = await binary(client)
                with pytest.raises(ValueError):
                    json.loads(spoilt)
            assert whole.startswith(spoilt) and len(spoilt) == len(whole) // 2

    asyncio.run(scene())


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_repeated_value_keeps_ticking_with_new_stamps_on_its_channel(channel: str) -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            clients = {name: await _listener(venue, name) for name in CHANNELS}
            venue.happen(observed(0, 5 * E18))
            await venue.faults({"kind": "repeat_value", "channel": channel, "key": "btc/usd"})
            venue.happen(observed(1, 6 * E18))
            venue.happen(observed(2, 7 * E18))
            await venue.faults()
            venue.happen(observed(3, 8 * E18))
            for name, client in clients.items():
                stale = 5 * E18 if name == channel else 0
                wanted = [(0, 5 * E18), (1, stale or 6 * E18), (2, stale or 7 * E18), (3, 8 * E18)]
                assert await _ticks(client, name, 4) == wanted

    asyncio.run(scene())


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_frozen_clock_sends_new_values_with_the_stamp_of_its_beginning(channel: str) -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            clients = {name: await _listener(venue, name) for name in CHANNELS}
            venue.happen(observed(0, 5 * E18))
            await venue.faults({"kind": "frozen_time", "channel": channel})
            venue.happen(observed(1, 6 * E18))
            venue.happen(observed(2, 7 * E18))
            await venue.faults()
            venue.happen(observed(3, 8 * E18))
            for name, client in clients.items():
                stamps = [0, 0, 0, 3] if name == channel else [0, 1, 2, 3]
                values = [5 * E18, 6 * E18, 7 * E18, 8 * E18]
                assert await _ticks(client, name, 4) == list(zip(stamps, values, strict=True))

    asyncio.run(scene())


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("ppm", [250_000, -250_000])
def test_a_wrong_value_is_off_on_its_channel_only(channel: str, ppm: int) -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            clients = {name: await _listener(venue, name) for name in CHANNELS}
            await venue.faults(
                {"kind": "wrong_value", "channel": channel, "key": "btc/usd", "ppm": ppm},
                {"kind": "wrong_value", "channel": channel, "key": "eth/usd", "ppm": 1},
            )
            venue.happen(observed(0, 4 * E18))
            for name, client in clients.items():
                value = 4 * E18 + (E18 * ppm // 250_000 if name == channel else 0)
                assert await _ticks(client, name, 1) == [(0, value)]
            _, body = await rest(venue, "/api/v1/reports/latest", feedID=TWAP_ID)
            told = decode_report(body["report"]["fullReport"], None).price18
            assert (told != 4 * E18) == (channel == "chainlink")

    asyncio.run(scene())


def test_lost_polybolt_frames_leave_a_jump_in_the_numbers() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            client = await polybolt(venue, TWAP_BTC)
            await venue.faults({"kind": "drop_frames", "channel": "polybolt", "every": 3})
            for second in range(6):
                venue.happen(observed(second, E18))
            frames = await heard(client)
            assert [frame["seq"] for frame in frames] == [2, 3, 5, 6]
            assert all("dropped" not in frame for frame in frames)

    asyncio.run(scene())


def test_told_losses_leave_dense_numbers_and_are_counted_in_the_next_frame() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            client = await polybolt(venue, TWAP_BTC)
            await venue.faults({"kind": "drop_frames", "channel": "polybolt", "told": True})
            venue.happen(observed(0, E18))
            venue.happen(observed(1, E18))
            await venue.faults()
            venue.happen(observed(2, E18))
            venue.happen(observed(3, E18))
            first, second = await heard(client)
            assert (first["seq"], first["dropped"], second["seq"]) == (2, 2, 3)
            assert "dropped" not in second and list(first) == [
                "v",
                "channel",
                "seq",
                "ts",
                "dropped",
                "payload",
            ]

    asyncio.run(scene())


@pytest.mark.parametrize("channel", ["rtds", "chainlink"])
def test_lost_frames_elsewhere_are_just_not_there(channel: str) -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            client = await _listener(venue, channel)
            await venue.faults({"kind": "drop_frames", "channel": channel, "every": 2})
            for second in range(5):
                venue.happen(observed(second, E18))
            assert [stamp for stamp, _ in await _ticks(client, channel, 3)] == [0, 2, 4]

    asyncio.run(scene())


def test_the_wrong_provider_serves_its_own_prices_on_both_channels() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            pinned = {"channel": "price.crypto", "filter": {"symbol": "btcusd", "provider": "chainlink"}}
            venue.happen(observed(0, 1_000 * E18), observed(0, 1_000 * E18, SPOT))
            await venue.faults({"kind": "wrong_provider", "key": "btcusd"})
            client = await polybolt(venue)
            await client.send(subscribe(pinned, TWAP_BTC))
            acks_and_snapshots = await heard(client)
            assert [frame.get("provider", "") for frame in acks_and_snapshots[::2]] == ["chainlink", ""]
            venue.happen(observed(1, 1_000 * E18), observed(1, 1_000 * E18, SPOT))
            data = [*acks_and_snapshots[1::2], *await heard(client)]
            assert {frame["payload"]["source"] for frame in data} == {"pyth"}
            assert all(frame["payload"]["value"] != 1_000 for frame in data[2:])
            await venue.faults({"kind": "wrong_provider", "key": "ethusd"})
            venue.happen(observed(2, 1_000 * E18))
            (frame,) = await heard(client)
            assert frame["payload"]["source"] == "chainlink"

    asyncio.run(scene())


async def _socket(venue: Stage, channel: str) -> aiohttp.ClientWebSocketResponse:
    """A bare connection that shows the answers to protocol pings and does not wait long for an ending."""
    timeout = aiohttp.ClientWSTimeout(ws_close=QUIET_S)
    if channel == "chainlink":
        client = await streams(venue, TWAP_ID, timeout=timeout, autoping=False)
    elif channel == "polybolt":
        client = await stranger(venue, timeout=timeout, autoping=False)
    else:
        path = {"rtds": "/rtds", "market": "/ws/market"}[channel]
        client = Client(await venue.session.ws_connect(venue.base + path, timeout=timeout, autoping=False))
    return client.socket


async def _answered(socket: aiohttp.ClientWebSocketResponse, payload: bytes) -> list[Any]:
    """Everything before the answer to a protocol ping, and that."""
    await socket.ping(payload)
    seen = []
    while True:
        message = await asyncio.wait_for(socket.receive(), LIMIT_S)
        seen.append(message.data)
        if message.type is aiohttp.WSMsgType.PONG:
            return seen


@pytest.mark.parametrize(
    ("channel", "text_ping"),
    [
        ("rtds", "nothing the venue understands"),
        ("polybolt", '{"op":"ping"}'),
        ("chainlink", "PING"),
        ("market", "PING"),
    ],
)
def test_a_stalled_channel_says_nothing_at_all_and_stays_open(channel: str, text_ping: str) -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            socket = await _socket(venue, channel)
            assert (await _answered(socket, b"1"))[-1] == b"1"
            await venue.faults({"kind": "stall", "channel": channel})
            await socket.ping(b"2")
            await socket.send_str(text_ping)
            venue.happen(observed(0, E18))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.receive(), QUIET_S)
            assert not socket.closed
            await venue.faults()
            assert await _answered(socket, b"3") == [b"3"]

    asyncio.run(scene())


@pytest.mark.parametrize("channel", [*CHANNELS, "market"])
def test_a_stalled_channel_does_not_answer_an_ending_either(channel: str) -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            outlet: Callable[[], int] = lambda: len(getattr(venue.venue, channel).outlet.links)  # noqa: E731
            polite = await _socket(venue, channel)
            await polite.close()
            assert polite.close_code == 1000
            await eventually(lambda: outlet() == 0)
            left = await _socket(venue, channel)
            await venue.faults({"kind": "stall", "channel": channel})
            await left.close()
            assert left.close_code == 1006
            await eventually(lambda: outlet() == 0)

    asyncio.run(scene())


def test_new_connections_of_a_stalled_channel_open_and_hear_nothing() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            await venue.faults({"kind": "stall", "channel": "rtds"})
            socket = await _socket(venue, "rtds")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.receive(), QUIET_S)
            other = await polybolt(venue, SPOT_BTC)
            venue.happen(observed(0, E18, SPOT))
            assert len(await heard(other)) == 1

    asyncio.run(scene())
