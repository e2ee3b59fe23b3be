"""Books whose content or clock stands still, and frames that get lost, seen from the client."""

import asyncio
import json
from typing import Any

from common.core.book_hash import book_hash
from common.sim.script import BookSet, Listed, Resolved, TickSizeChanged, Traded
from stage import DOWN, MARKET, SLUG, START_S, UP, UP_BOOK, spec, stage


def _moved(turn: int) -> BookSet:
    return BookSet(UP, (("0.4", str(turn)),), UP_BOOK.asks)


def _proves_itself(book: dict[str, Any], last_trade: str = "") -> bool:
    levels = [[(level["price"], level["size"]) for level in book[side]] for side in ("bids", "asks")]
    proof = book_hash(
        MARKET.condition_id, book["asset_id"], book["timestamp"], *levels, "5", "0.01", False, last_trade
    )
    return bool(proof == book["hash"])


def test_repeated_books_come_with_new_stamps_and_right_hashes_at_every_change() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            client = await venue.market(UP, DOWN)
            first = await client.json()
            await venue.faults({"kind": "repeat_value", "channel": "market", "key": UP})
            now_ms = START_S * 1000
            venue.happen(_moved(1), at_ms=now_ms + 1)
            venue.happen(Traded(DOWN, "0.5", "7", "BUY"), at_ms=now_ms + 2)
            venue.happen(TickSizeChanged(SLUG, "0.001"), at_ms=now_ms + 3)
            late = await venue.market(UP)
            (shown,) = await late.json()
            frames = [json.loads(text) for text in await client.pong()]
            assert {frame["event_type"] for frame in frames} == {"book"}
            stamps = [str(now_ms + step) for step in (1, 1, 2, 2, 3, 3)]
            assert [frame["timestamp"] for frame in frames] == stamps
            for frame in (*frames, shown):
                (same,) = [book for book in first if book["asset_id"] == frame["asset_id"]]
                assert (frame["bids"], frame["asks"]) == (same["bids"], same["asks"])
                assert _proves_itself(frame)
            await venue.faults()
            venue.happen(_moved(2), at_ms=now_ms + 4)
            assert (await client.json())["event_type"] == "price_change"

    asyncio.run(scene())


def test_repeating_one_market_leaves_the_others_and_an_outcome_is_still_told() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            other = spec(slug="btc-2", condition_id="0x2", token_up="5", token_down="6")
            venue.happen(Listed(other), BookSet("5", (("0.4", "1"),), ()))
            client = await venue.market(UP, "5", custom=True)
            await client.text()
            await venue.faults({"kind": "repeat_value", "channel": "market", "key": DOWN})
            venue.happen(BookSet("5", (("0.3", "1"),), ()), at_ms=START_S * 1000 + 1)
            venue.happen(_moved(1), at_ms=START_S * 1000 + 1)
            venue.happen(Resolved(SLUG, "Up"), at_ms=START_S * 1000 + 2)
            kinds = [json.loads(text)["event_type"] for text in await client.pong()]
            assert kinds == ["price_change", "book", "market_resolved"]

    asyncio.run(scene())


def test_a_market_listed_while_books_repeat_repeats_its_first_books() -> None:
    async def scene() -> None:
        async with stage() as venue:
            await venue.faults({"kind": "repeat_value", "channel": "market"})
            venue.open_market()
            client = await venue.market(UP)
            (book,) = await client.json()
            venue.happen(_moved(1), at_ms=START_S * 1000 + 1)
            again = await client.json()
            assert (again["event_type"], again["bids"]) == ("book", book["bids"]) and book["bids"]

    asyncio.run(scene())


def test_a_frozen_market_clock_sends_new_books_with_old_stamps_and_right_hashes() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            now_ms = START_S * 1000
            venue.happen(_moved(1), at_ms=now_ms + 1)
            client = await venue.market(UP, custom=False)
            await client.text()
            await venue.faults({"kind": "frozen_time", "channel": "market", "key": DOWN})
            venue.happen(_moved(2), at_ms=now_ms + 2)
            venue.happen(_moved(3), Traded(UP, "0.5", "1", "BUY"), at_ms=now_ms + 3)
            frames = [json.loads(text) for text in await client.pong()]
            kinds = ["price_change", "last_trade_price", "price_change", "book"]
            assert [frame["event_type"] for frame in frames] == kinds
            assert {frame["timestamp"] for frame in frames} == {str(now_ms + 1)}
            assert frames[-1]["bids"] == [{"price": "0.4", "size": "3"}]
            assert _proves_itself(frames[-1], "0.500")
            proof = frames[-2]["price_changes"][-1]["hash"]
            assert proof == frames[-1]["hash"]
            (shown,) = await (await venue.market(UP)).json()
            assert shown["timestamp"] == str(now_ms + 1) and _proves_itself(shown, "0.500")
            await venue.faults()
            venue.happen(_moved(4), at_ms=now_ms + 4)
            assert (await client.json())["timestamp"] == str(now_ms + 4)

    asyncio.run(scene())


def test_lost_changes_of_a_book_are_noticed_by_the_next_hash_only() -> None:
    async def scene() -> None:
        async with stage() as venue:
            venue.open_market()
            client = await venue.market(UP, custom=False)
            await client.text()
            await venue.faults({"kind": "drop_frames", "channel": "market", "every": 2})
            for turn in range(1, 5):
                venue.happen(_moved(turn), at_ms=START_S * 1000 + turn)
            sizes = [
                entry["size"]
                for text in await client.pong()
                for entry in json.loads(text)["price_changes"]
                if entry["price"] == "0.4"
            ]
            assert sizes == ["1", "3"]

    asyncio.run(scene())
