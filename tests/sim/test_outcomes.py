"""How the simulated venue's services tell a result: each in its own time and words, and lying on request."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from common.sim.faults import FaultBoard, WrongOutcome, read_faults
from common.sim.market.data_dialect import MOST_CONDITIONS, asked_conditions, market_with_tokens, resolutions
from common.sim.script import Listed, Resolved
from common.sim.server import Venue
from common.sim.settings import SimSettings
from common.sim.world import Market, World
from stage import DOWN, MARKET, SLUG, START_S, UP, Stage, script, spec, stage

E18 = 10**18
RESOLVED_MS = (START_S + 955) * 1000
DELAY_S = 50.0
DATA_LAG_MS, CLOB_LAG_MS = 1_000, 5_000


class Now:
    """The venue's clock, in milliseconds."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def ns(self) -> int:
        return self.ms * 1_000_000


async def _payouts(venue: Stage, condition: str = MARKET.condition_id) -> list[list[int]]:
    status, body = await venue.get(f"/data/v2/resolutions?condition={condition}")
    assert status == 200
    return [row["payouts"] for row in body["data"]]


async def _flags(venue: Stage) -> dict[str, bool]:
    status, body = await venue.get(f"/clob/markets/{MARKET.condition_id}")
    assert status == 200
    return {token["outcome"]: token["winner"] for token in body["tokens"]}


async def _gamma_prices(venue: Stage) -> list[str]:
    _, event = await venue.get(f"/gamma/events/slug/{SLUG}")
    prices: list[str] = json.loads(event["markets"][0]["outcomePrices"])
    return prices


@pytest.mark.parametrize(
    ("outcome", "payouts", "flags"),
    [
        ("Up", [1_000_000, 0], {"Up": True, "Down": False}),
        ("Down", [0, 1_000_000], {"Up": False, "Down": True}),
    ],
)
def test_the_data_service_knows_after_discovery_and_the_order_book_last(
    outcome: str, payouts: list[int], flags: dict[str, bool]
) -> None:
    async def scene() -> None:
        now = Now(RESOLVED_MS)
        nobody = {"Up": False, "Down": False}
        async with stage(now_ns=now.ns, resolution_delay_s=DELAY_S) as venue:
            venue.open_market()
            assert (await _payouts(venue), await _flags(venue)) == ([], nobody)
            venue.happen(Resolved(SLUG, outcome, 96_000 * E18), at_ms=RESOLVED_MS)
            now.ms = RESOLVED_MS + DATA_LAG_MS - 1
            assert (await _payouts(venue), await _flags(venue)) == ([], nobody)
            now.ms = RESOLVED_MS + DATA_LAG_MS
            assert (await _payouts(venue), await _flags(venue)) == ([payouts], nobody)
            now.ms = RESOLVED_MS + CLOB_LAG_MS - 1
            assert await _flags(venue) == nobody
            now.ms = RESOLVED_MS + CLOB_LAG_MS
            assert (await _payouts(venue), await _flags(venue)) == ([payouts], flags)

    asyncio.run(scene())


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_a_recording_played_faster_tells_results_faster(speed: float) -> None:
    async def scene() -> None:
        now = Now(RESOLVED_MS)
        played = replace(script(), speed=speed)
        served = Venue(SimSettings(listen="127.0.0.1:0", resolution_delay_s=DELAY_S), played, now.ns)
        port = await served.open()
        try:
            async with aiohttp.ClientSession(headers={"User-Agent": "laggard-test"}) as session:
                venue = Stage(served, port, session)
                venue.open_market()
                venue.happen(Resolved(SLUG, "Up", None), at_ms=RESOLVED_MS)
                now.ms = RESOLVED_MS + round(DATA_LAG_MS / speed) - 1
                assert await _payouts(venue) == []
                now.ms += 1
                assert await _payouts(venue) == [[1_000_000, 0]]
        finally:
            await served.close()

    asyncio.run(scene())


def test_several_conditions_are_one_question_and_misses_are_left_out() -> None:
    async def scene() -> None:
        now = Now(RESOLVED_MS + 60_000)
        v2 = spec(
            slug="eth-2", condition_id="0x" + "cd" * 31 + "00", token_up="5", token_down="6", version="v2"
        )
        async with stage(now_ns=now.ns) as venue:
            venue.open_market()
            venue.happen(
                Listed(v2), Resolved(SLUG, "Up", None), Resolved("eth-2", "Down", None), at_ms=RESOLVED_MS
            )
            asked = f"{MARKET.condition_id},0x{'99' * 32},{v2.condition_id}"
            _, body = await venue.get(f"/data/v2/resolutions?condition={asked}")
            told = {row["condition_id"]: row["payouts"] for row in body["data"]}
            assert told == {MARKET.condition_id: [1_000_000, 0], "0x" + "cd" * 31: [0, 1_000_000]}
            assert await _payouts(venue, "0x" + "cd" * 31) == [[0, 1_000_000]]

    asyncio.run(scene())


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"condition": ""},
        {"condition": " , "},
        {"condition_id": "0x1"},
        {"condition": "0x1", "event_id": "7"},
        {"question_id": "0x1"},
        {"condition": ",".join(f"0x{n}" for n in range(MOST_CONDITIONS + 1))},
    ],
)
def test_a_query_that_is_not_one_list_of_conditions_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        asked_conditions(query)

    async def scene() -> None:
        async with stage() as venue:
            assert (await venue.get("/data/v2/resolutions", params=query))[0] == 400

    asyncio.run(scene())


def test_unknown_markets_are_not_found() -> None:
    async def scene() -> None:
        async with stage() as venue:
            assert (await venue.get("/clob/markets/0x1"))[0] == 404
            assert await _payouts(venue, "0x1") == []

    asyncio.run(scene())


def test_one_service_lies_and_the_others_do_not() -> None:
    async def scene() -> None:
        now = Now(RESOLVED_MS + 60_000)
        true = (["1", "0"], [[1_000_000, 0]], {"Up": True, "Down": False})
        lies = (["0", "1"], [[0, 1_000_000]], {"Up": False, "Down": True})
        async with stage(now_ns=now.ns) as venue:
            venue.open_market()
            await venue.faults(
                *({"kind": "wrong_outcome", "source": each} for each in ("gamma", "data", "clob"))
            )
            assert await _gamma_prices(venue) == ["0.5", "0.5"]
            venue.happen(Resolved(SLUG, "Up", None), at_ms=RESOLVED_MS)
            assert (await _gamma_prices(venue), await _payouts(venue), await _flags(venue)) == lies
            for place, source in enumerate(("gamma", "data", "clob")):
                await venue.faults({"kind": "wrong_outcome", "source": source})
                told = (await _gamma_prices(venue), await _payouts(venue), await _flags(venue))
                assert told == tuple(lies[n] if n == place else true[n] for n in range(3))
                _, listed = await venue.get("/gamma/markets?closed=true")
                assert json.loads(listed[0]["outcomePrices"]) == (lies[0] if source == "gamma" else true[0])
            _, state = await venue.get("/control/state")
            assert state["resolved"] == {SLUG: "Up"}

    asyncio.run(scene())


def test_a_lie_of_nobody_is_no_fault() -> None:
    assert read_faults(b'[{"kind": "wrong_outcome", "source": "data"}]') == (WrongOutcome(source="data"),)
    for bad in ('[{"kind": "wrong_outcome", "source": "data-api"}]', '[{"kind": "wrong_outcome"}]'):
        with pytest.raises(ValueError):
            read_faults(bad.encode())
    board = FaultBoard()
    board.replace((WrongOutcome(source="clob"),))
    assert [board.swaps_outcome(each) for each in ("gamma", "data", "clob")] == [False, False, True]


def test_the_data_service_has_the_edge_and_the_faults_of_the_others() -> None:
    async def scene() -> None:
        async with stage() as venue:
            path = f"/data/v2/resolutions?condition={MARKET.condition_id}"
            headers = {"User-Agent": "Python/3.11 aiohttp/3.9"}
            async with venue.session.get(venue.base + path, headers=headers) as answer:
                assert answer.status == 403
            await venue.faults({"kind": "http", "family": "data", "status": 503, "retry_after_s": 4})
            async with venue.session.get(venue.base + path) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "4")
            await venue.faults({"kind": "http", "family": "clob", "status": 503})
            assert await _payouts(venue) == []
            assert (await venue.get("/control/state"))[1]["requests"] == {"data": 3}

    asyncio.run(scene())


# --- the shape of real answers -----------------------------------------------------------------------


def _resolved_market() -> Market:
    world = World()
    world.apply([Listed(MARKET), Resolved(SLUG, "Down", None)], RESOLVED_MS * 1_000_000)
    return world.markets[SLUG]


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shape(inner) for inner in value[:1]]
    return "number" if type(value) in (int, float) else type(value).__name__


def test_resolutions_have_the_real_shape(shared_data: Path) -> None:
    real = json.loads(next((shared_data / "frames/data_api").glob("v2_resolutions_*.json")).read_text())
    ours = resolutions([_resolved_market()])
    assert _shape(ours) == _shape(real)
    assert list(ours["data"][0]) == list(real["data"][0])
    assert len(ours["data"][0]["condition_id"]) == len(real["data"][0]["condition_id"])


def test_markets_with_tokens_hold_a_true_part_of_the_real_ones(shared_data: Path) -> None:
    file = next((shared_data / "frames/clob_rest").glob("*_market_closed_binary_*.json"))
    real = json.loads(file.read_text())
    ours = market_with_tokens(_resolved_market(), flagged=True)
    assert list(ours) == [key for key in real if key in ours]
    assert {key: _shape(real[key]) for key in ours} == _shape(ours)
    assert [token["token_id"] for token in ours["tokens"]] == [UP, DOWN]
