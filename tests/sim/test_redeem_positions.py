"""What the simulated data service tells of positions in resolved markets."""

import time
from typing import Any

from polymarket._internal.data_envelope import parse_data_page
from polymarket.models.data.portfolio import Position

from common.sim.script import Resolved
from common.sim.settings import SimSettings, problems_in
from common.sim.trading.contracts import ADAPTER
from redeem_stage import (
    EOA,
    NEW_CONDITION,
    NEW_DOWN,
    NEW_MARKET,
    NEW_UP,
    give,
    receipt_of,
    redeem_v1,
    scene_of,
    send,
)
from trading_stage import DOWN, MARKET, UP, Floor

PATH = f"/data/v2/positions?user={EOA}&status=REDEEMABLE"


def settle(venue: Floor, seconds_ago: int = 10) -> None:
    at_ms = (int(time.time()) - seconds_ago) * 1000
    resolved = (Resolved(each.slug, "Up") for each in (MARKET, NEW_MARKET))
    venue.venue.happen(*resolved, at_ms=at_ms)


async def rows(venue: Floor, more: str = "", path: str = PATH) -> list[Any]:
    status, body = await venue.venue.get(path + more)
    assert status == 200, body
    return list(body["data"])


def test_winners_and_losers_are_redeemable_once_resolved() -> None:
    async def scene(venue: Floor) -> None:
        for token, size6 in ((UP, 7_100_001), (DOWN, 2_000_000), (NEW_DOWN, 3_000_000)):
            give(venue, EOA, token, size6)
        assert await rows(venue) == []
        settle(venue)
        found = await rows(venue)
        fields = "token_id", "current_size", "current_value", "outcome_index", "status", "redeemable"
        assert [tuple(each[name] for name in fields) for each in found] == [
            (UP, 7.100001, 7.100001, 0, "REDEEMABLE", True),
            (DOWN, 2.0, 0.0, 1, "REDEEMABLE", True),
            (NEW_DOWN, 3.0, 0.0, 1, "REDEEMABLE", True),
        ]
        assert found[2]["condition_id"] == NEW_CONDITION
        _, page = await venue.venue.get(PATH)
        parsed = parse_data_page(page, Position.parse_response_list)
        assert [each.asset_id for each in parsed.items] == [UP, DOWN, NEW_DOWN]
        lost = await rows(venue, path=PATH + "_LOST")
        assert [each["token_id"] for each in lost] == [DOWN, NEW_DOWN]
        assert await rows(venue, path=PATH.replace(EOA, "0x" + "99" * 20)) == []

    scene_of(scene, positions_late_s=0)


def test_dust_is_hidden_unless_asked_for_and_pages_follow_each_other() -> None:
    async def scene(venue: Floor) -> None:
        for token, size6 in ((UP, 99_999), (DOWN, 100_000), (NEW_UP, 1), (NEW_DOWN, 5)):
            give(venue, EOA, token, size6)
        settle(venue)
        assert [each["token_id"] for each in await rows(venue)] == [DOWN]
        every, query = [], "&filter_type=TOKENS&filter_amount=0&limit=3"
        status, page = await venue.venue.get(PATH + query)
        every += page["data"]
        assert (status, len(every), page["pagination"]["has_more"]) == (200, 3, True)
        _, page = await venue.venue.get(f"{PATH}{query}&cursor={page['pagination']['next_cursor']}")
        every += page["data"]
        assert page["pagination"] == {"has_more": False, "next_cursor": None}
        assert [each["token_id"] for each in every] == [UP, DOWN, NEW_UP, NEW_DOWN]

    scene_of(scene, positions_late_s=0)


def test_positions_are_behind_the_chain() -> None:
    async def scene(venue: Floor) -> None:
        give(venue, EOA, UP, 7_000_000)
        settle(venue, seconds_ago=10)
        assert await rows(venue) == []
        settle(venue, seconds_ago=1000)
        assert len(await rows(venue)) == 1
        receipt = await receipt_of(venue, await send(venue, ADAPTER, redeem_v1()))
        assert receipt["status"] == "0x1"
        assert len(await rows(venue)) == 1

    scene_of(scene, positions_late_s=100)


def test_what_is_gone_is_told_no_more() -> None:
    async def scene(venue: Floor) -> None:
        give(venue, EOA, UP, 7_000_000)
        settle(venue)
        await receipt_of(venue, await send(venue, ADAPTER, redeem_v1()))
        assert await rows(venue) == []

    scene_of(scene, positions_late_s=0)


def test_bad_questions_are_refused() -> None:
    async def scene(venue: Floor) -> None:
        for more in ("&limit=x", "&cursor=%25", "&filter_amount=x", "&filter_type=CASH"):
            assert (await venue.venue.get(PATH + more))[0] == 400
        for path in ("/data/v2/positions?status=REDEEMABLE", f"/data/v2/positions?user={EOA}&status=OPEN"):
            assert (await venue.venue.get(path))[0] == 400

    scene_of(scene)


def test_settings_that_cannot_be() -> None:
    assert problems_in(SimSettings(block_ms=1, positions_late_s=0)) == []
    assert len(problems_in(SimSettings(block_ms=0))) == 1
    assert len(problems_in(SimSettings(positions_late_s=-1))) == 1
