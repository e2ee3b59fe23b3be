"""Discovery against the simulated venue: which windows there are, on what terms, and how they ended."""

from datetime import datetime

import pytest
from aiohttp import web

from common.errors import FeedError
from common.feeds.market.discovery import FORGET_AFTER_NS, PAGE
from common.messages import FeeSchedule, MarketState
from common.sim.faults import Http
from common.sim.script import Resolved, TickSizeChanged
from common.units import E18, SECOND
from tests.feeds.discovery_stage import (
    DAY_S,
    LENGTH_S,
    START_S,
    answered_by,
    clock_at,
    scene_at,
    spec,
    venue,
)


async def test_a_window_is_found_with_its_terms() -> None:
    async with venue() as scene:
        there = spec()
        scene.list_(there)
        await scene.discovery.refresh()
        (market,) = scene.told
        assert market == MarketState(
            window=there.slug,
            asset="btc",
            condition_id=there.condition_id,
            version="v1",
            token_up=there.token_up,
            token_down=there.token_down,
            rule="twap",
            lookback_s=60,
            start_ns=there.start_ns,
            end_ns=there.end_ns,
            fee=FeeSchedule(rate_ppm=70_000, exponent=1),
            taker_delay_ns=150_000_000,
            tick4=100,
            min_size6=5_000_000,
            accepting=True,
        )
        assert scene.discovery.markets == {there.slug: market}
        assert scene.discovery.live() == scene.discovery.running() == [market]


async def test_what_did_not_change_is_not_told_again() -> None:
    async with venue() as scene:
        scene.list_(spec())
        for _ in range(3):
            await scene.discovery.refresh()
        assert len(scene.told) == 1


async def test_terms_that_change_while_the_window_runs_are_told() -> None:
    async with venue() as scene:
        scene.list_(spec())
        await scene.discovery.refresh()
        scene.happen(TickSizeChanged(spec().slug, "0.001"))
        await scene.discovery.refresh()
        assert [market.tick4 for market in scene.told] == [100, 10]


async def test_other_assets_and_other_cadences_are_ignored() -> None:
    async with venue() as scene:
        ours = [spec(), spec(asset="eth")]
        others = [
            spec(asset="doge"),
            spec(cadence="5m", length_s=300),
            spec(cadence="60s", length_s=60),
            spec(cadence="1h", length_s=3_600),
        ]
        scene.list_(*others, *ours)
        await scene.discovery.refresh()
        assert scene.names() == sorted(each.slug for each in ours)
        assert scene.refused == []


async def test_the_next_window_is_live_before_it_opens() -> None:
    async with venue() as scene:
        current, following = spec(), spec(START_S + LENGTH_S)
        scene.list_(current, following)
        await scene.discovery.refresh()
        assert [market.window for market in scene.discovery.live()] == [current.slug, following.slug]
        assert [market.window for market in scene.discovery.running()] == [current.slug]
        scene.at(LENGTH_S)
        assert [market.window for market in scene.discovery.live()] == [following.slug]
        assert [market.window for market in scene.discovery.running()] == [following.slug]


async def test_a_window_of_tomorrow_is_known_and_not_live() -> None:
    async with venue(lookahead_s=DAY_S) as scene:
        today, tomorrow = spec(), spec(START_S + DAY_S)
        scene.list_(tomorrow, today)
        await scene.discovery.refresh()
        assert scene.names() == sorted((today.slug, tomorrow.slug))
        assert scene.discovery.markets[tomorrow.slug].refusals == ()
        assert [market.window for market in scene.discovery.live()] == [today.slug]
        # It becomes live when it is the next one.
        scene.at(DAY_S - LENGTH_S - 1)
        assert scene.discovery.live() == []
        scene.at(DAY_S - LENGTH_S)
        assert [market.window for market in scene.discovery.live()] == [tomorrow.slug]


async def test_beyond_the_look_ahead_nothing_is_read() -> None:
    async with venue() as scene:
        scene.list_(spec(), spec(START_S + DAY_S))
        await scene.discovery.refresh()
        assert scene.names() == [spec().slug]


async def test_only_open_windows_that_are_not_over_are_asked_for() -> None:
    asked: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        return web.json_response([])

    async with answered_by(handler) as scene:
        await scene.discovery.refresh()
    (query,) = asked
    assert (query["closed"], query["tag_slug"]) == ("false", "up-or-down")
    ends = [datetime.fromisoformat(query[name]).timestamp() for name in ("end_date_min", "end_date_max")]
    assert ends == [START_S + 10, START_S + 10 + 2 * 1_800]


async def test_a_window_that_breaks_a_rule_is_known_with_the_reason_and_not_live() -> None:
    async with venue() as scene:
        lying = spec(length_s=300)
        scene.list_(lying)
        await scene.discovery.refresh()
        assert any("times do not agree" in why for why in scene.told[0].refusals)
        assert scene.discovery.live() == []


async def test_more_windows_than_a_page_holds() -> None:
    async with venue(lookahead_s=2 * DAY_S) as scene:
        many = [spec(START_S + n * LENGTH_S) for n in range(PAGE + 5)]
        scene.list_(*many)
        await scene.discovery.refresh()
        assert len(scene.names()) == PAGE + 5
        assert scene.asked()["gamma"] == 2


@pytest.mark.parametrize(("outcome", "ours"), [("Up", "up"), ("Down", "down")])
async def test_the_outcome_is_followed_after_closing(outcome: str, ours: str) -> None:
    """Closed windows leave the listing, so the outcome is asked for by name, until it is there."""
    async with venue() as scene:
        scene.list_(spec())
        await scene.discovery.refresh()
        scene.at(LENGTH_S + 5)
        await scene.discovery.refresh()
        assert scene.told[-1].outcome is None
        scene.happen(Resolved(spec().slug, outcome, 100_000 * E18))
        scene.at(LENGTH_S + 60)
        await scene.discovery.refresh()
        assert (scene.told[-1].outcome, scene.told[-1].closed) == (ours, True)
        assert scene.told[-1].refusals == ()
        # Known: from now on only the listing is read.
        before, told = scene.asked(), len(scene.told)
        await scene.discovery.refresh()
        assert scene.asked()["gamma"] - before["gamma"] == 1
        assert scene.asked()["clob"] == before["clob"]
        assert len(scene.told) == told


async def test_a_running_window_is_not_asked_for_by_name() -> None:
    async with venue() as scene:
        scene.list_(spec())
        await scene.discovery.refresh()
        assert scene.asked()["gamma"] == 1


async def test_a_window_of_an_earlier_run_is_followed_when_awaited() -> None:
    async with venue() as scene:
        earlier = spec(START_S - 4 * LENGTH_S)
        scene.list_(earlier)
        scene.happen(Resolved(earlier.slug, "Down", 99_000 * E18))
        await scene.discovery.refresh()
        assert scene.told == []
        scene.discovery.awaited.add(earlier.slug)
        await scene.discovery.refresh()
        assert [(market.window, market.outcome) for market in scene.told] == [(earlier.slug, "down")]
        assert scene.discovery.awaited == set()
        assert scene.discovery.live() == []


async def test_an_awaited_window_is_asked_for_until_its_outcome_is_there() -> None:
    async with venue() as scene:
        earlier = spec(START_S - 4 * LENGTH_S)
        scene.list_(earlier)
        scene.discovery.awaited.add(earlier.slug)
        await scene.discovery.refresh()
        assert scene.discovery.awaited == {earlier.slug}
        assert scene.discovery.forget_old() == []
        scene.happen(Resolved(earlier.slug, "Up", None))
        await scene.discovery.refresh()
        assert scene.discovery.awaited == set()
        assert scene.told[-1].outcome == "up"
        assert scene.discovery.forget_old() == [earlier.slug]


async def test_an_awaited_window_the_venue_does_not_know_stays_awaited() -> None:
    async with venue() as scene:
        scene.discovery.awaited.add("btc-updown-15m-1700000100")
        scene.list_(spec())
        await scene.discovery.refresh()
        assert scene.names() == [spec().slug]
        assert scene.discovery.awaited == {"btc-updown-15m-1700000100"}


async def test_old_windows_are_forgotten_unless_somebody_waits() -> None:
    async with venue() as scene:
        scene.list_(spec(), spec(asset="eth"))
        await scene.discovery.refresh()
        scene.discovery.awaited.add(spec(asset="eth").slug)
        scene.at(LENGTH_S + FORGET_AFTER_NS // SECOND)
        assert scene.discovery.forget_old() == []
        scene.clock.advance(1)
        assert scene.discovery.forget_old() == [spec().slug]
        assert scene.names() == [spec(asset="eth").slug]
        scene.discovery.awaited.clear()
        assert scene.discovery.forget_old() == [spec(asset="eth").slug]
        assert scene.discovery._windows == {}


@pytest.mark.parametrize("family", ["gamma", "clob"])
async def test_too_many_requests_are_told_and_waited_out(family: str) -> None:
    async with venue() as scene:
        scene.list_(spec())
        scene.faults(Http(family=family, status=429, retry_after_s=7))  # type: ignore[arg-type]
        with pytest.raises(FeedError, match=r"429.*too many requests.*7 s"):
            await scene.discovery.refresh()
        scene.faults()
        before = scene.asked()[family]
        scene.clock.advance(6 * SECOND)
        with pytest.raises(FeedError, match="asked us to wait"):
            await scene.discovery.refresh()
        assert scene.asked()[family] == before
        scene.clock.advance(SECOND)
        await scene.discovery.refresh()
        assert scene.names() == [spec().slug]


@pytest.mark.parametrize("family", ["gamma", "clob"])
@pytest.mark.parametrize("status", [403, 500, 503])
async def test_a_refusing_venue_is_a_failed_request_and_what_is_known_stays(family: str, status: int) -> None:
    async with venue() as scene:
        scene.list_(spec())
        await scene.discovery.refresh()
        scene.faults(Http(family=family, status=status))  # type: ignore[arg-type]
        with pytest.raises(FeedError, match=str(status)):
            await scene.discovery.refresh()
        assert [market.window for market in scene.discovery.live()] == [spec().slug]


async def test_a_window_the_order_book_does_not_know_yet_is_taken_up_later() -> None:
    async with venue() as scene:
        scene.list_(spec())
        scene.faults(Http(family="clob", status=404))
        await scene.discovery.refresh()
        assert any("not known to the order book yet" in why for why in scene.told[-1].refusals)
        assert scene.discovery.live() == []
        scene.faults()
        await scene.discovery.refresh()
        assert scene.told[-1].refusals == ()
        assert [market.window for market in scene.discovery.live()] == [spec().slug]


async def test_terms_missed_while_it_ran_are_read_after_its_end() -> None:
    async with venue() as scene:
        scene.list_(spec())
        scene.faults(Http(family="clob", status=404))
        await scene.discovery.refresh()
        scene.faults()
        scene.discovery.awaited.add(spec().slug)
        scene.at(LENGTH_S + 5)
        await scene.discovery.refresh()
        assert scene.told[-1].refusals == ()


async def test_an_answer_about_another_window_is_not_taken() -> None:
    other = spec(START_S - 2 * LENGTH_S).slug

    async def handler(request: web.Request) -> web.Response:
        if "/slug/" not in request.path:
            return web.json_response([])
        return web.json_response({"slug": other, "id": "1", "markets": [{"slug": other}]})

    async with answered_by(handler) as scene:
        scene.discovery.awaited.add(spec().slug)
        await scene.discovery.refresh()
        assert scene.told == []


@pytest.mark.parametrize(
    "body",
    ['"maintenance"', "17", "true", '{"error": "try later"}', '["x"]', "[[]]", '{"markets": [1], "id": "1"}'],
)
async def test_an_odd_answer_is_a_failed_request(body: str) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    async with answered_by(handler) as scene:
        with pytest.raises(FeedError) as failed:
            await scene.discovery.refresh()
        assert "something else than markets" in str(failed.value)
        assert "\n" not in str(failed.value)
        assert scene.told == []


@pytest.mark.parametrize("body", ["<html>maintenance</html>", "", '[{"slug": '])
async def test_what_is_no_json_is_a_failed_request(body: str) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(text=body)

    async with answered_by(handler) as scene:
        with pytest.raises(FeedError, match="JSON"):
            await scene.discovery.refresh()


@pytest.mark.parametrize("body", ["[]", "{}", "null", '{"events": []}'])
async def test_an_empty_listing_is_no_window(body: str) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    async with answered_by(handler) as scene:
        if body == "{}":
            with pytest.raises(FeedError):
                await scene.discovery.refresh()
        else:
            await scene.discovery.refresh()
        assert scene.told == []


@pytest.mark.parametrize("terms", ["[]", '"x"', "1", "{}"])
async def test_odd_terms_of_the_order_book_make_no_window_tradable(terms: str) -> None:
    slug = spec().slug

    async def handler(request: web.Request) -> web.Response:
        if request.path.startswith("/clob"):
            return web.Response(text=terms, content_type="application/json")
        return web.json_response([{"slug": slug, "id": "1", "markets": [{"slug": slug}]}])

    async with answered_by(handler) as scene:
        await scene.discovery.refresh()
        (market,) = scene.told
        assert market.refusals
        assert scene.discovery.live() == []


async def test_an_odd_listing_among_good_ones_costs_itself_only() -> None:
    """A listing that names one window twice, strangely, and holds things that are none of ours."""
    slug = spec().slug

    async def handler(request: web.Request) -> web.Response:
        if request.path.startswith("/clob"):
            return web.Response(status=404)
        markets = [{"slug": None}, {"slug": 7, "conditionId": 9}, {"slug": "x" * 500}, {"slug": slug}]
        return web.json_response([{"slug": "e", "id": "1", "markets": markets}])

    async with answered_by(handler) as scene:
        await scene.discovery.refresh()
        assert scene.names() == [slug]


async def test_nobody_there_is_a_failed_request(free_port: int) -> None:
    scene = scene_at(f"http://127.0.0.1:{free_port}", clock_at(10))
    with pytest.raises(FeedError, match="refused"):
        await scene.discovery.refresh()
    scene.close()
