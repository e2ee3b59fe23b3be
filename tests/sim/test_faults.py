"""Every way the simulated venue misbehaves, seen from the client's side."""

import asyncio
import json
import os
import time
from pathlib import Path

import aiohttp
import pytest

from common.sim.faults import FaultBoard, FaultFile, Freeze, Hold, read_faults
from common.sim.script import BookSet
from stage import DOWN, DOWN_BOOK, LIMIT_S, START_S, TWAP, UP, UP_BOOK, eventually, observed, stage

E18 = 10**18
WISH = {"topic": TWAP, "type": "update"}
BTC_ONLY = {"topic": TWAP, "type": "update", "filters": '{"symbol":"btc/usd"}'}


def _moved(turn: int, token: str = UP) -> BookSet:
    return BookSet(token, (("0.4", str(turn)),), UP_BOOK.asks)


def test_freezing_one_symbol_leaves_the_others_flowing() -> None:
    async def scene() -> None:
        async with stage() as venue:
            client = await venue.rtds(WISH)
            await venue.faults({"kind": "freeze", "channel": "rtds", "key": "btc/usd"})
            venue.happen(observed(0, E18), observed(0, E18, symbol="eth/usd"))
            assert [json.loads(text)["payload"]["symbol"] for text in await client.sync()] == ["eth/usd"]
            await venue.faults()
            venue.happen(observed(1, E18))
            assert len(await client.sync()) == 1

    asyncio.run(scene())


def test_freezing_one_token_takes_it_out_of_shared_frames() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            client = await venue.market(UP, DOWN, custom=False)
            await client.text()
            await venue.faults({"kind": "freeze", "channel": "market", "key": UP})
            venue.happen(_moved(1), _moved(1, DOWN), at_ms=START_S * 1000 + 1)
            (frame,) = [json.loads(text) for text in await client.pong()]
            assert {entry["asset_id"] for entry in frame["price_changes"]} == {DOWN}

    asyncio.run(scene())


def test_frozen_channel_still_answers_pings() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            client = await venue.market(UP)
            await client.text()
            await venue.faults({"kind": "freeze", "channel": "market"})
            venue.happen(_moved(1), at_ms=START_S * 1000 + 1)
            assert await client.pong() == []

    asyncio.run(scene())


def test_disconnect_cuts_every_connection_of_its_channel_and_lets_new_ones_in() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            prices, books = await venue.rtds(WISH), await venue.market(UP)
            await books.text()
            await venue.faults({"kind": "disconnect", "channel": "rtds"})
            last = await prices.message()
            assert last.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            assert prices.socket.close_code != 1000
            assert await books.pong() == []
            venue.happen(observed(0, E18))
            again = await venue.rtds(WISH)
            venue.happen(observed(1, E18))
            assert len(await again.sync()) == 1

    asyncio.run(scene())


def test_duplicates() -> None:
    async def scene() -> None:
        async with stage() as venue:
            client = await venue.rtds(WISH)
            await venue.faults({"kind": "duplicate", "channel": "rtds"})
            venue.happen(observed(0, E18))
            first, second = await client.sync()
            assert first == second

    asyncio.run(scene())


def test_held_frames_come_late_in_one_burst_and_in_order() -> None:
    async def scene() -> None:
        async with stage() as venue:
            client = await venue.rtds(WISH)
            await venue.faults({"kind": "hold", "channel": "rtds", "for_ms": 150})
            began = time.monotonic()
            for second in range(3):
                venue.happen(observed(second, E18))
            stamps = [(await client.json())["payload"]["timestamp"] for _ in range(3)]
            assert stamps == [(START_S + second) * 1000 for second in range(3)]
            assert time.monotonic() - began >= 0.14

    asyncio.run(scene())


def test_ending_a_hold_releases_what_was_held() -> None:
    async def scene() -> None:
        async with stage() as venue:
            client = await venue.rtds(WISH)
            await venue.faults({"kind": "hold", "channel": "rtds", "for_ms": 60_000})
            venue.happen(observed(0, E18))
            assert await client.sync() == []
            await venue.faults()
            assert len(await client.sync()) == 1

    asyncio.run(scene())


def test_dropped_snapshots() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            venue.happen(observed(0, E18))
            await venue.faults(
                *({"kind": "drop_snapshot", "channel": channel} for channel in ("rtds", "market"))
            )
            books = await venue.market(UP)
            assert await books.pong() == []
            prices = await venue.rtds()
            await prices.send({"action": "subscribe", "subscriptions": [BTC_ONLY]})
            assert await prices.sync() == []

    asyncio.run(scene())


def test_refused_handshakes() -> None:
    async def scene() -> None:
        async with stage() as venue:
            refusal = {"kind": "refuse", "channel": "market", "status": 429, "retry_after_s": 3}
            await venue.faults(refusal)
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await venue.market(UP)
            assert caught.value.status == 429
            assert caught.value.headers is not None and caught.value.headers["Retry-After"] == "3"
            await venue.rtds(WISH)

    asyncio.run(scene())


@pytest.mark.parametrize("form", ["garbage", "truncated"])
def test_spoilt_frames(form: str) -> None:
    async def scene() -> None:
        async with stage() as venue:
            client = await venue.rtds(WISH)
            await venue.faults({"kind": "garble", "channel": "rtds", "form": form, "every": 2})
            for second in range(4):
                venue.happen(observed(second, E18))
            readable = [_is_json(text) for text in await client.sync()]
            assert readable == [True, False, True, False]

    asyncio.run(scene())


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_oversized_frames_exceed_common_limits() -> None:
    async def scene() -> None:
        async with stage() as venue:
            client = await venue.rtds(WISH)
            await venue.faults({"kind": "garble", "channel": "rtds", "form": "oversized"})
            venue.happen(observed(0, E18))
            async with asyncio.timeout(LIMIT_S):
                message = await client.socket.receive()
            assert message.type in (aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE)

    asyncio.run(scene())


def test_repeated_value_keeps_ticking_with_new_stamps() -> None:
    async def scene() -> None:
        async with stage() as venue:
            client = await venue.rtds(WISH)
            venue.happen(observed(0, 5 * E18), observed(0, 7 * E18, symbol="eth/usd"))
            await venue.faults({"kind": "repeat_value", "key": "btc/usd"})
            venue.happen(observed(1, 6 * E18), observed(1, 8 * E18, symbol="eth/usd"))
            payloads = [json.loads(text)["payload"] for text in await client.sync()]
            assert [payload["value"] for payload in payloads] == [5, 7, 5, 8]
            assert payloads[2]["timestamp"] == payloads[0]["timestamp"] + 1000

    asyncio.run(scene())


def test_rest_faults_hit_one_family_and_path() -> None:
    async def scene() -> None:
        async with stage() as venue:
            await venue.faults(
                {"kind": "http", "family": "clob", "status": 429, "retry_after_s": 2, "path": "time"},
                {"kind": "http", "family": "gamma", "delay_ms": 120},
            )
            async with venue.session.get(venue.base + "/clob/time") as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (429, "2")
            assert (await venue.post("/clob/books", []))[0] == 200
            began = time.monotonic()
            assert (await venue.get("/gamma/events"))[0] == 200
            assert time.monotonic() - began >= 0.11

    asyncio.run(scene())


def test_faults_are_shown_replaced_and_refused_when_malformed() -> None:
    async def scene() -> None:
        async with stage() as venue:
            fault = {"kind": "freeze", "channel": "rtds", "key": ""}
            await venue.faults(fault)
            assert (await venue.get("/control/faults"))[1] == [fault]
            for bad in (
                [{"kind": "sabotage"}],
                {"kind": "freeze"},
                [{"kind": "hold", "channel": "rtds", "for_ms": 0}],
            ):
                assert (await venue.post("/control/faults", bad))[0] == 400
            assert (await venue.get("/control/state"))[1]["faults"] == [fault]
            await venue.faults()
            assert (await venue.get("/control/faults"))[1] == []

    asyncio.run(scene())


def test_fault_file_is_followed_while_the_venue_runs(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"

    async def scene() -> None:
        path.write_text('[{"kind": "freeze", "channel": "rtds"}]')
        async with stage(faults_file=str(path)) as venue:
            board = venue.venue.board
            assert board.current == (Freeze(channel="rtds"),)
            fresh = tmp_path / "fresh.json"
            fresh.write_text('[{"kind": "hold", "channel": "market", "for_ms": 9}]')
            os.replace(fresh, path)
            await eventually(lambda: board.current == (Hold(channel="market", for_ms=9),))

    asyncio.run(scene())


def test_bad_fault_file_changes_nothing_and_a_vanished_one_clears(tmp_path: Path) -> None:
    path, board = tmp_path / "faults.json", FaultBoard()
    fault_file = FaultFile(path, board)
    fault_file.look()
    path.write_text('[{"kind": "freeze", "channel": "rtds"}]')
    fault_file.look()
    assert board.current == (Freeze(channel="rtds"),)
    path.write_text("not json")
    fault_file.look()
    assert board.current == (Freeze(channel="rtds"),)
    path.unlink()
    fault_file.look()
    assert not board.current


@pytest.mark.parametrize(
    "text",
    [
        '[{"kind": "garble", "channel": "rtds", "every": 0}]',
        '[{"kind": "disconnect", "channel": "rtds", "code": 1006}]',
        '[{"kind": "http", "family": "clob", "status": 200}]',
        '[{"kind": "http", "family": "clob", "delay_ms": -1}]',
        '[{"kind": "freeze", "channel": "nowhere"}]',
        '[{"kind": "drop_frames", "channel": "rtds", "every": 0}]',
        '[{"kind": "wrong_value", "channel": "rtds", "ppm": -1000000}]',
        '[{"kind": "wrong_value", "channel": "market", "ppm": 1}]',
        '[{"kind": "wrong_value", "channel": "rtds"}]',
        '[{"kind": "freeze", "channel": "rtds", "token": "1"}]',
    ],
)
def test_impossible_faults_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_faults(text.encode())


def test_books_after_a_thaw_no_longer_prove_themselves() -> None:
    """A silent freeze must be detectable: the client missed a change and the next hash says so."""

    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            client = await venue.market(UP, custom=False)
            (book,) = await client.json()
            await venue.faults({"kind": "freeze", "channel": "market", "key": UP})
            venue.happen(BookSet(UP, (), UP_BOOK.asks), DOWN_BOOK, at_ms=START_S * 1000 + 1)
            await venue.faults()
            venue.happen(BookSet(UP, (), ()), at_ms=START_S * 1000 + 2)
            entries = (await client.json())["price_changes"]
            assert {entry["side"] for entry in entries} == {"SELL"} and len(book["bids"]) == 2

    asyncio.run(scene())
