"""The simulated Data Streams: who is let in, reports as encoded, origins, and the last two minutes."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from common.feeds.oracle.chainlink_report import Report, decode_report, parse_frame
from common.runtime.config_sections import Chainlink
from common.sim.oracle.chainlink_dialect import full_report, report_object, sim_feed_ids
from oracle_clients import ACCESS, CLIENT_ID, FEEDS, binary, report, rest, signed, streams
from stage import EXCHANGE, SPOT, START_S, Client, eventually, observed, stage

E18 = 10**18
SPOT_ID, TWAP_ID = FEEDS["btc/spot"], FEEDS["btc/twap60"]
WS = "/chainlink/api/v1/ws?feedIDs="


async def _refusal(venue: Any, path: str, headers: dict[str, str]) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await venue.session.ws_connect(URL(venue.base + path, encoded=True), headers=headers)
    return caught.value.status


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (dict, 400),
        (lambda: signed(WS + SPOT_ID) | {"X-Authorization-Timestamp": "now"}, 400),
        (lambda: signed(WS + SPOT_ID, client_id="somebody"), 401),
        (lambda: signed(WS + SPOT_ID, secret="wrong"), 401),
        (lambda: signed(WS + SPOT_ID, method="HEAD"), 401),
        (lambda: signed(WS + TWAP_ID), 401),
    ],
)
def test_requests_whose_signature_does_not_hold_are_turned_away(
    made: Callable[[], dict[str, str]], status: int
) -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            assert await _refusal(venue, WS + SPOT_ID, made()) == status

    asyncio.run(scene())


@pytest.mark.parametrize("late_ms", [-6_000, 6_000])
def test_a_clock_more_than_five_seconds_off_is_turned_away(late_ms: int) -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            headers = signed(WS + SPOT_ID, late_ms=late_ms)
            assert await _refusal(venue, WS + SPOT_ID, headers) == 401
            headers = signed(WS + SPOT_ID, late_ms=late_ms // 2)
            await venue.session.ws_connect(venue.base + WS + SPOT_ID, headers=headers)

    asyncio.run(scene())


def test_the_path_is_signed_as_it_was_sent() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            for comma, other in ((",", "%2C"), ("%2C", ","), ("%2c", "%2C")):
                sent, signed_path = (f"{WS}{SPOT_ID}{form}{TWAP_ID}" for form in (comma, other))
                assert await _refusal(venue, sent, signed(signed_path)) == 401
                client = Client(
                    await venue.session.ws_connect(URL(venue.base + sent, encoded=True), headers=signed(sent))
                )
                venue.happen(observed(0, E18), observed(0, E18, SPOT))
                assert {(await report(client))["feedID"] for _ in range(2)} == {SPOT_ID, TWAP_ID}

    asyncio.run(scene())


def test_feeds_that_are_not_there_or_not_named_are_turned_away() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            for asked, status in ((f"{SPOT_ID},{sim_feed_ids(['doge'])['doge/spot']}", 401), ("", 400)):
                assert await _refusal(venue, WS + asked, signed(WS + asked)) == status

    asyncio.run(scene())


def test_only_the_feeds_asked_for_come_and_the_parser_reads_them() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            client = await streams(venue, SPOT_ID, TWAP_ID)
            value = 96_000_123_000_000_000_000_007
            venue.happen(observed(0, value, EXCHANGE, "btcusdt"), observed(0, value, symbol="eth/usd"))
            venue.happen(observed(0, 1, "crypto_prices_twap_thirty"), observed(0, value, SPOT))
            venue.happen(observed(1, value + 1))
            recv_ns = (START_S + 5) * 10**9
            spot, twap = [parse_frame(await binary(client), recv_ns) for _ in range(2)]
            assert isinstance(spot, Report) and isinstance(twap, Report)
            assert (spot.schema, spot.price18, spot.feed_id) == (3, value, SPOT_ID)
            assert spot.bid18 is not None and spot.ask18 is not None and spot.bid18 < value < spot.ask18
            assert (twap.schema, twap.price18, twap.feed_id) == (2, value + 1, TWAP_ID)
            assert twap.observed_ns == (START_S + 1) * 10**9

    asyncio.run(scene())


def test_instants_between_whole_seconds_have_no_report() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            client = await streams(venue, TWAP_ID)
            for quarter in range(8):
                point = observed(0, (quarter + 1) * E18)
                venue.happen(replace(point, observed_ms=START_S * 1000 + quarter * 250))
            found = [await report(client) for _ in range(2)]
            assert [each["observationsTimestamp"] - START_S for each in found] == [0, 1]
            _, page = await rest(venue, "/api/v1/reports/page", feedID=TWAP_ID, startTimestamp="0")
            assert page["reports"] == found

    asyncio.run(scene())


def test_origins_are_told_to_whoever_signs_and_each_can_fail_alone() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            for path in ("/", "/chainlink", "/chainlink/"):
                headers = signed(path, method="HEAD")
                async with venue.session.head(venue.base + path, headers=headers) as answer:
                    assert answer.status == 200
                    assert answer.headers["X-Cll-Available-Origins"] == "{001,002}"
                async with venue.session.head(venue.base + path) as answer:
                    assert answer.status == 400
            first, second = [await streams(venue, TWAP_ID, origin=name) for name in ("001", "002")]
            await venue.faults({"kind": "freeze", "channel": "chainlink", "key": "001"})
            venue.happen(observed(0, E18))
            await venue.faults()
            venue.happen(observed(1, E18))
            assert (await report(first))["observationsTimestamp"] == START_S + 1
            assert (await report(second))["observationsTimestamp"] == START_S

    asyncio.run(scene())


def test_rest_pages_through_the_last_two_minutes() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            for second in range(150):
                venue.happen(observed(second, (second + 1) * E18))
            stamps, start = [], START_S + 40
            while True:
                query = {"feedID": TWAP_ID, "startTimestamp": str(start)}
                status, page = await rest(venue, "/api/v1/reports/page", **query)
                assert status == 200 and len(page["reports"]) <= 60
                if not page["reports"]:
                    break
                stamps += [each["observationsTimestamp"] - START_S for each in page["reports"]]
                start = START_S + stamps[-1] + 1
            assert stamps == list(range(40, 150))
            query = {"feedID": TWAP_ID, "startTimestamp": "0", "limit": "100"}
            assert len((await rest(venue, "/api/v1/reports/page", **query))[1]["reports"]) == 60
            _, page = await rest(venue, "/api/v1/reports/page", **(query | {"limit": "2"}))
            values = [decode_report(each["fullReport"], None).price18 for each in page["reports"]]
            assert values == [31 * E18, 32 * E18]

    asyncio.run(scene())


def test_rest_feeds_latest_and_bulk() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            assert (await rest(venue, "/api/v1/reports/latest", feedID=TWAP_ID))[0] == 404
            for second in range(3):
                venue.happen(observed(second, (second + 1) * E18))
            venue.happen(observed(1, 7 * E18, SPOT))
            _, body = await rest(venue, "/api/v1/feeds")
            assert {entry["feedID"] for entry in body["feeds"]} == set(FEEDS.values())
            _, body = await rest(venue, "/api/v1/reports/latest", feedID=TWAP_ID)
            assert body == {"report": report_object(TWAP_ID, observed(2, 3 * E18))}
            both = f"{SPOT_ID},{TWAP_ID}"
            for second, status, found in ((1, 200, 2), (2, 206, 1), (9, 206, 0)):
                query = {"feedIDs": both, "timestamp": str(START_S + second)}
                answered, body = await rest(venue, "/api/v1/reports/bulk", **query)
                assert (answered, len(body["reports"])) == (status, found)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("latest", {}, 400),
        ("latest", {"feedID": "0x00"}, 401),
        ("page", {"feedID": TWAP_ID, "startTimestamp": "soon"}, 400),
        ("page", {"feedID": TWAP_ID}, 400),
        ("page", {"startTimestamp": "1"}, 400),
        ("bulk", {"feedIDs": TWAP_ID}, 400),
        ("bulk", {"timestamp": "1"}, 400),
    ],
)
def test_rest_refuses_what_it_cannot_answer(path: str, query: dict[str, str], status: int) -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            assert (await rest(venue, f"/api/v1/reports/{path}", **query))[0] == status

    asyncio.run(scene())


def test_rest_demands_a_signature_on_every_path() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            for path in ("feeds", "reports/latest", "reports/page", "reports/bulk"):
                assert (await venue.get(f"/chainlink/api/v1/{path}"))[0] == 400
            wrong = signed("/chainlink/api/v1/feeds", secret="wrong")
            assert (await venue.get("/chainlink/api/v1/feeds", headers=wrong))[0] == 401

    asyncio.run(scene())


def test_nobody_is_let_in_where_the_settings_name_nobody() -> None:
    async def scene() -> None:
        async with stage() as venue:
            assert await _refusal(venue, WS + SPOT_ID, signed(WS + SPOT_ID)) == 401

    asyncio.run(scene())


def test_a_client_that_talks_is_not_heard() -> None:
    async def scene() -> None:
        async with stage(**ACCESS) as venue:
            client = await streams(venue, TWAP_ID)
            await client.send("hello")
            venue.happen(observed(0, E18))
            assert (await report(client))["feedID"] == TWAP_ID
            await client.socket.close()
            await eventually(lambda: not venue.venue.chainlink.outlet.links)

    asyncio.run(scene())


def test_feed_ids_are_the_same_every_time_fit_their_schema_and_the_configuration() -> None:
    assets = ("btc", "eth", "doge")
    feeds = sim_feed_ids(assets)
    assert feeds == sim_feed_ids(list(assets)) and len(set(feeds.values())) == 9
    for name, feed_id in feeds.items():
        assert feed_id[2:6] == ("0003" if name.endswith("/spot") else "0002")
    assert Chainlink(feeds=tuple(f"{name}={feed_id}" for name, feed_id in feeds.items())).feeds


@given(st.integers(1, 9 * 10**8 * E18), st.integers(0, 10**6), st.sampled_from([SPOT_ID, TWAP_ID]))
def test_every_report_decodes_to_its_value(value: int, second: int, feed_id: str) -> None:
    found = decode_report(f"0x{full_report(feed_id, observed(second, value)).hex()}", None)
    assert (found.feed_id, found.price18, found.observed_ns) == (feed_id, value, (START_S + second) * 10**9)


def test_another_decoder_reads_the_reports_too() -> None:
    abi = pytest.importorskip("eth_abi")
    layout = ["bytes32[3]", "bytes", "bytes32[]", "bytes32[]", "bytes32"]
    for feed_id, prices in ((SPOT_ID, 3), (TWAP_ID, 1)):
        value = 77 * E18
        _, blob, rs, ss, _ = abi.decode(layout, full_report(feed_id, observed(0, value)), strict=True)
        kinds = ["bytes32", "uint32", "uint32", "uint192", "uint192", "uint32", *["int192"] * prices]
        raw_id, valid_from, second, _, _, expires, price, *spread = abi.decode(kinds, blob, strict=True)
        assert (f"0x{raw_id.hex()}", valid_from, second, price) == (feed_id, START_S, START_S, value)
        assert expires > second and len(rs) == len(ss) == 2
        assert spread == sorted(spread) and len(spread) == prices - 1


def test_reports_have_the_layout_of_real_ones(shared_data: Path) -> None:
    folder = shared_data / "frames/chainlink"
    real = [
        json.loads(line)["fullReport"] for line in (folder / "full_reports.jsonl").read_text().splitlines()
    ]
    real.append(json.loads((folder / "SYNTHETIC_v2_twap_report.json").read_text())["fullReport"])
    for text in real:
        theirs = bytes.fromhex(text[2:])
        feed_id = "0x" + theirs[8 * 32 : 9 * 32].hex()
        ours = full_report(feed_id, observed(0, E18))
        for number in (3, 4, 7):
            assert _words(ours)[number] == _words(theirs)[number]
        # Two signers, or six with four words more in each list.
        assert len(theirs) - len(ours) in (0, 8 * 32)


def _words(report_bytes: bytes) -> list[bytes]:
    return [report_bytes[at : at + 32] for at in range(0, len(report_bytes), 32)]


def test_client_id_is_part_of_what_is_checked() -> None:
    async def scene() -> None:
        async with stage(chainlink_credentials={CLIENT_ID: "another"}) as venue:
            assert await _refusal(venue, WS + SPOT_ID, signed(WS + SPOT_ID)) == 401

    asyncio.run(scene())
