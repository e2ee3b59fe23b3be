"""The simulated PolyBolt socket: who is let in, what is answered, and what its envelopes hold."""

import asyncio
import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.feeds.oracle.polybolt_frames import parse_frame
from common.messages import Tick
from common.sim.oracle import polybolt_dialect as dialect
from common.sim.script import Step
from oracle_clients import (
    ACCESS,
    API_KEY,
    PASSPHRASE,
    SECRET,
    SPOT_BTC,
    TWAP_BTC,
    auth,
    heard,
    polybolt,
    stranger,
    subscribe,
)
from stage import EXCHANGE, SPOT, START_S, Client, observed, stage

E18 = 10**18


async def _closing(client: Client) -> tuple[list[Any], int]:
    """Everything before the end, and the code it ends with."""
    frames = []
    while (message := await client.message()).type is aiohttp.WSMsgType.TEXT:
        frames.append(json.loads(message.data))
    assert message.type is aiohttp.WSMsgType.CLOSE, message
    return frames, int(message.data)


def test_credentials_of_the_settings_and_keys_made_while_it_runs_are_let_in() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            await polybolt(venue)
            venue.venue.api_keys["made-later"] = ("a", "b")
            client = await stranger(venue)
            await client.send(auth("a", "made-later", "b"))
            assert await client.json() == {"op": "authed", "rid": "a1"}
        assert list(ACCESS["polybolt_credentials"]) == [API_KEY]

    asyncio.run(scene())


@pytest.mark.parametrize(
    "trio",
    [("wrong", API_KEY, PASSPHRASE), (SECRET, "unknown", PASSPHRASE), (SECRET, API_KEY, "wrong")],
)
def test_wrong_credentials_are_told_and_end_the_connection(trio: tuple[str, str, str]) -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            client = await stranger(venue)
            await client.send(auth(*trio))
            refusal = [{"op": "error", "rid": "a1", "code": "auth_invalid"}]
            assert await _closing(client) == (refusal, 4001)

    asyncio.run(scene())


def test_subscribing_too_early_is_refused_and_the_connection_stays() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            client = await stranger(venue)
            await client.send(subscribe(SPOT_BTC, TWAP_BTC))
            assert await heard(client) == [
                {"op": "error", "channel": channel, "rid": "s1", "code": "auth_required"}
                for channel in ("price.crypto", "price.crypto.twap")
            ]
            venue.happen(observed(0, E18))
            await client.send(auth())
            await client.send(subscribe(TWAP_BTC))
            assert [frame.get("op", "data") for frame in await heard(client)] == [
                "authed",
                "subscribed",
                "data",
            ]

    asyncio.run(scene())


def test_a_new_subscription_gets_two_minutes_and_a_repeated_one_only_its_answer() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            for second in range(150):
                venue.happen(observed(second, (100 + second) * E18))
            client = await polybolt(venue)
            await client.send(subscribe(TWAP_BTC, SPOT_BTC))
            ack, snapshot, _, empty = await heard(client)
            assert ack == {"op": "subscribed", "channel": "price.crypto.twap", "rid": "s1"}
            points = snapshot["payload"].pop("data")
            assert snapshot["payload"] == {"symbol": "btcusd", "window_seconds": 60, "source": "chainlink"}
            assert snapshot["snapshot"] is True and abs(snapshot["ts"] / 1000 - time.time()) < 5
            assert [point["timestamp"] // 1000 - START_S for point in points] == list(range(30, 150))
            assert points[-1]["full_accuracy_value"] == "249"
            assert empty["payload"] == {"symbol": "btcusd", "source": "chainlink", "data": []}
            await client.send(subscribe(TWAP_BTC, rid="again"))
            assert await heard(client) == [ack | {"rid": "again"}]

    asyncio.run(scene())


def test_updates_hold_the_exact_decimal_their_stamp_and_their_source() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            client = await polybolt(venue, SPOT_BTC, TWAP_BTC)
            venue.happen(observed(0, 96_000_123_000_000_000_000_001, SPOT), at_ms=START_S * 1000 + 600)
            venue.happen(observed(0, 95_999 * E18), at_ms=START_S * 1000 + 601)
            venue.happen(observed(0, 95_000 * E18, "crypto_prices_twap_thirty"))
            venue.happen(observed(0, 95_000 * E18, EXCHANGE, "btcusdt"), observed(0, E18, symbol="eth/usd"))
            spot, twap = await heard(client)
            assert spot == {
                "v": 1,
                "channel": "price.crypto",
                "seq": 2,
                "ts": START_S * 1000 + 600,
                "payload": {
                    "symbol": "btcusd",
                    "value": 96000.123,
                    "full_accuracy_value": "96000.123000000000000001",
                    "timestamp": START_S * 1000,
                    "source": "chainlink",
                },
            }
            assert twap["payload"]["full_accuracy_value"] == "95999"
            assert twap["payload"]["window_seconds"] == 60

    asyncio.run(scene())


def test_frames_are_numbered_by_channel_and_anew_on_every_connection() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            for _ in range(2):
                client = await polybolt(venue, SPOT_BTC, TWAP_BTC)
                for second in range(3):
                    venue.happen(observed(second, E18), observed(second, E18, SPOT))
                numbers: dict[str, list[int]] = {}
                for frame in await heard(client):
                    numbers.setdefault(frame["channel"], []).append(frame["seq"])
                assert numbers == {"price.crypto": [2, 3, 4], "price.crypto.twap": [2, 3, 4]}

    asyncio.run(scene())


def test_pyth_serves_other_prices_to_those_who_ask_for_them() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            pyth = {"channel": "price.crypto", "filter": {"symbol": "btcusd", "provider": "pyth"}}
            venue.happen(observed(0, 96_000 * E18, SPOT))
            client = await polybolt(venue)
            await client.send(subscribe(pyth))
            ack, snapshot = await heard(client)
            assert ack["provider"] == "pyth" and snapshot["payload"]["source"] == "pyth"
            for second in range(1, 50):
                venue.happen(observed(second, 96_000 * E18, SPOT))
            for frame in await heard(client):
                assert frame["payload"]["source"] == "pyth"
                assert len(frame["payload"]["full_accuracy_value"].partition(".")[2]) == 8
                exact = Decimal(frame["payload"]["full_accuracy_value"])
                assert Decimal("0.9") < abs(exact / 96_000 - 1) * 10**6 < Decimal("30.1")

    asyncio.run(scene())


def test_averages_have_one_provider_and_one_window_that_carries_data() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            venue.happen(observed(0, E18))
            client = await polybolt(venue)
            for wanted in ({"window_seconds": 60, "provider": "pyth"}, {"window_seconds": 30}):
                wish = {"channel": "price.crypto.twap", "filter": {"symbol": "BTCUSD"} | wanted}
                await client.send(subscribe(wish))
            _, full, _, empty = await heard(client)
            assert len(full["payload"]["data"]) == 1 and full["payload"]["source"] == "chainlink"
            assert empty["payload"]["data"] == [] and empty["payload"]["window_seconds"] == 30
            venue.happen(observed(1, E18), observed(1, E18, "crypto_prices_twap_thirty"))
            (update,) = await heard(client)
            assert update["payload"]["window_seconds"] == 60

    asyncio.run(scene())


def test_unsubscribing_stops_a_subscription_in_both_forms_of_the_request() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            client = await polybolt(venue, SPOT_BTC, TWAP_BTC)
            await client.send({"op": "unsubscribe", "subscriptions": [SPOT_BTC]})
            await client.send({"op": "unsubscribe", "rid": "u2"} | TWAP_BTC)
            assert await heard(client) == [
                {"op": "unsubscribed", "channel": "price.crypto"},
                {"op": "unsubscribed", "channel": "price.crypto.twap", "rid": "u2"},
            ]
            venue.happen(observed(0, E18), observed(0, E18, SPOT))
            assert await heard(client) == []

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("request_text", "code"),
    [
        ("PING", "bad_op"),
        ("[" * 60_000, "bad_op"),
        ("[]", "bad_op"),
        ('{"op":"dance","rid":"r"}', "bad_op"),
        ('{"op":"auth","auth":{"apiKey":"a","secret":1,"passphrase":"c"}}', "bad_op"),
        ('{"op":"subscribe","subscriptions":[]}', "bad_op"),
        ('{"op":"subscribe","subscriptions":["btcusd"]}', "bad_op"),
        ('{"op":"subscribe","channel":"crypto_prices","filter":{}}', "bad_channel"),
        ('{"op":"subscribe","channel":["price.crypto"],"filter":{}}', "bad_channel"),
        ('{"op":"subscribe","channel":"price.crypto","filter":"{}"}', "bad_filter"),
        (
            '{"op":"subscribe","channel":"price.crypto","filter":{"symbol":"btcusd","provider":1}}',
            "bad_filter",
        ),
        ('{"op":"subscribe","channel":"price.crypto.twap","filter":{"symbol":"btcusd"}}', "bad_filter"),
    ],
)
def test_what_makes_no_sense_is_answered_with_its_code(request_text: str, code: str) -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            client = await polybolt(venue)
            await client.send(request_text)
            (answer,) = await heard(client)
            assert (answer["op"], answer["code"]) == ("error", code)

    asyncio.run(scene())


def test_the_sixty_fifth_subscription_ends_the_connection() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            client = await polybolt(venue)
            wishes = [
                {"channel": "price.crypto", "filter": {"symbol": f"coin{number}usd"}} for number in range(65)
            ]
            await client.send(subscribe(*wishes[:64]))
            await client.send(subscribe(wishes[0]))
            acks = [frame for frame in await heard(client) if "op" in frame]
            assert [ack["op"] for ack in acks] == ["subscribed"] * 65
            await client.send(subscribe(wishes[64]))
            error = {"op": "error", "channel": "price.crypto", "rid": "s1", "code": "sub_limit"}
            assert await _closing(client) == ([error], 4008)

    asyncio.run(scene())


def test_requests_attempts_and_sizes_beyond_the_limits_end_the_connection() -> None:
    async def scene() -> None:
        now = [START_S * 10**9]
        async with stage(now_ns=lambda: now[0], **ACCESS) as venue:
            client = await polybolt(venue)
            for _ in range(20):
                await client.send(subscribe(SPOT_BTC))
            await heard(client)
            now[0] += 10**9
            await client.send(subscribe(SPOT_BTC))
            assert all(frame.get("op", "subscribed") == "subscribed" for frame in await heard(client))
            for _ in range(20):
                await client.send(subscribe(SPOT_BTC))
            frames, code = await _closing(client)
            assert code == 4008 and frames[-1]["code"] == "rate_limited"

            client = await polybolt(venue)
            for _ in range(8):
                await client.send(auth())
            frames, code = await _closing(client)
            assert code == 4008 and frames[-1]["code"] == "auth_attempts"

            client = await polybolt(venue)
            await client.send(" " * (64 * 1024 + 1))
            assert await _closing(client) == ([], 4008)

    asyncio.run(scene())


def test_a_scripted_delay_keeps_prices_from_updates_and_snapshots_until_they_are_due() -> None:
    async def scene() -> None:
        now = [START_S * 10**9]
        async with stage(now_ns=lambda: now[0], delays={"polybolt": 300}, **ACCESS) as venue:
            client = await polybolt(venue, TWAP_BTC)
            venue.happen(observed(0, 1 * E18), at_ms=START_S * 1000)
            late = await polybolt(venue)
            await late.send(subscribe(TWAP_BTC))
            assert (await heard(late))[1]["payload"]["data"] == [] and await heard(client) == []
            now[0] += 300_000_000
            venue.happen(observed(1, 2 * E18), at_ms=START_S * 1000 + 1000)
            (update,) = await heard(client)
            assert (update["payload"]["value"], update["ts"]) == (1, START_S * 1000 + 300)

    asyncio.run(scene())


def test_the_projects_own_parser_reads_what_is_sent() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            venue.happen(observed(0, 3 * E18 + 1), observed(0, 4 * E18, SPOT))
            client = await polybolt(venue)
            await client.send(subscribe(SPOT_BTC, TWAP_BTC))
            venue_frames = await heard(client)
            venue.happen(observed(1, 5 * E18), observed(1, 6 * E18, SPOT))
            items = [
                item
                for frame in (*venue_frames, *await heard(client))
                for item in parse_frame(json.dumps(frame), (START_S + 5) * 10**9)
            ]
            ticks = [item for item in items if isinstance(item, Tick)]
            found = [(tick.kind, tick.value, tick.backfill) for tick in ticks]
            assert found == [
                ("spot", 4 * E18, True),
                ("twap60", 3 * E18 + 1, True),
                ("twap60", 5 * E18, False),
                ("spot", 6 * E18, False),
            ]
            assert len(items) - len(ticks) == 2

    asyncio.run(scene())


@given(st.integers(1, 10**9 * E18), st.sampled_from(["chainlink", "pyth"]))
def test_exact_values_are_plain_decimals_of_at_most_eighteen_places(value: int, provider: Any) -> None:
    point = observed(0, value)
    payload = json.loads(dialect.update_frame("price.crypto.twap", 1, 2, point, provider))["payload"]
    exact = payload["full_accuracy_value"]
    assert "E" not in exact.upper() and len(exact.partition(".")[2]) <= 18
    assert Decimal(exact) * E18 == dialect.price_of(point, provider)
    assert payload["value"] == pytest.approx(float(Decimal(exact)))


def _lines(shared: Path, name: str) -> Iterator[dict[str, Any]]:
    for line in (shared / "frames/polybolt" / name).read_text().splitlines():
        yield json.loads(line)


def _shape(value: Any) -> Any:
    """Keys in order and JSON types; of a list its first entry."""
    if isinstance(value, dict):
        return [(key, _shape(entry)) for key, entry in value.items()]
    return [_shape(value[0])] if isinstance(value, list) else type(value)


def test_envelopes_have_the_shape_of_the_documented_ones(shared_data: Path) -> None:
    for real in _lines(shared_data, "doc_examples.jsonl"):
        payload = real["payload"]
        subscription = dialect.Subscription(
            real["channel"], payload["symbol"], payload.get("window_seconds"), payload["source"]
        )
        series = subscription.series
        assert series is not None
        points = [
            observed(0, 0, *series)
            if "data" not in payload
            else observed(point["timestamp"] // 1000 - START_S, int(Decimal(point["value"]) * E18), *series)
            for point in payload.get("data", [payload])
        ]
        if real.get("snapshot"):
            ours = dialect.snapshot_frame(subscription, real["seq"], real["ts"], points, payload["source"])
        else:
            ours = dialect.update_frame(
                real["channel"], real["seq"], real["ts"], points[0], payload["source"]
            )
        assert _shape(json.loads(ours)) == _shape(real)


def test_answers_are_the_real_ones(shared_data: Path) -> None:
    seen = set()
    for real in _lines(shared_data, "acks_live_verified_shapes.jsonl"):
        seen.add(real["op"])
        if real["op"] == "error":
            ours = dialect.error(dialect.Refused(real["code"], real.get("channel")), real["rid"])
        else:
            ours = dialect.ack(real["op"], real["rid"], real.get("channel"))
        assert list(json.loads(ours).items()) == list(real.items())
    assert len(seen) == 4


def test_past_prices_are_in_the_first_snapshot() -> None:
    async def scene() -> None:
        past_ns = time.time_ns() - 5 * 10**9
        async with stage([Step(past_ns, observed(0, E18))], delays={"polybolt": 300}, **ACCESS) as venue:
            client = await polybolt(venue)
            await client.send(subscribe(TWAP_BTC))
            assert len((await heard(client))[1]["payload"]["data"]) == 1

    asyncio.run(scene())
