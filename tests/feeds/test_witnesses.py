"""Three services tell how a window ended: each is asked for itself, and what contradicts is shown."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from aiohttp import web

from common.errors import FeedError
from common.feeds.market.discovery import CLOB_SILENT, WITNESS_AFTER_NS, WITNESS_PAUSE_NS
from common.feeds.market.hearing import FOLLOW_UP_NS, PACE_NS
from common.feeds.market.resolutions import MOST_CONDITIONS
from common.messages import FeeSchedule, MarketState
from common.sim.faults import Http, WrongOutcome
from common.sim.naming import resolution_source
from common.sim.script import MarketSpec, Resolved
from common.units import E18, SECOND
from tests.feeds.discovery_stage import DAY_S, LENGTH_S, START_S, Scene, answered_by, spec, venue

CLOSES = LENGTH_S + 55
KNOWN_TO_ALL = LENGTH_S + 70
GAMMA_DOWN = Http(family="gamma", status=500)
GAMMA_SLUGS_DOWN = Http(family="gamma", status=500, path="/slug/")
DATA_DOWN = Http(family="data", status=500)
FLAGS_DOWN = Http(family="clob", status=500, path="/clob/markets/")
TERMS_DOWN = Http(family="clob", status=500, path="/clob/clob-markets/")


def said(market: MarketState) -> dict[str, str]:
    return {witness.source: witness.outcome for witness in market.witnesses}


async def over(scene: Scene, outcome: str = "Up") -> None:
    """The first window is known, ended and resolved, and everybody who asks now may know it."""
    scene.list_(spec())
    await scene.discovery.refresh()
    scene.at(CLOSES)
    scene.happen(Resolved(spec().slug, outcome, 100_000 * E18))
    scene.at(KNOWN_TO_ALL)


@pytest.mark.parametrize(("outcome", "ours"), [("Up", "up"), ("Down", "down")])
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_all_three_tell_the_outcome(outcome: str, ours: str, version: str) -> None:
    async with venue() as scene:
        scene.list_(spec(version=version))
        await scene.discovery.refresh()
        assert scene.told[-1].version == version
        scene.at(CLOSES)
        scene.happen(Resolved(spec().slug, outcome, 100_000 * E18))
        scene.at(KNOWN_TO_ALL)
        await scene.discovery.refresh()
        assert scene.told[-1].outcome == ours
        assert said(scene.told[-1]) == {"gamma": ours, "data-api": ours, "clob": ours}
        assert (scene.refused, scene.silent) == ([], [])
        # They agree: nobody is asked any more.
        before = scene.asked()
        scene.clock.advance(PACE_NS)
        await scene.discovery.refresh()
        assert scene.asked() == before | {"gamma": before["gamma"] + 1}


async def test_each_service_is_heard_as_soon_as_it_knows() -> None:
    async with venue() as scene:
        scene.list_(spec())
        await scene.discovery.refresh()
        scene.at(CLOSES)
        scene.happen(Resolved(spec().slug, "Up", 100_000 * E18))
        await scene.discovery.refresh()
        assert (scene.told[-1].outcome, said(scene.told[-1])) == ("up", {"gamma": "up"})
        for _ in range(2):
            scene.clock.advance(PACE_NS)
            await scene.discovery.refresh()
        assert said(scene.told[-1]) == {"gamma": "up", "data-api": "up", "clob": "up"}
        assert [len(market.witnesses) for market in scene.told[1:]] == [1, 2, 3]


async def test_the_others_are_asked_only_when_gamma_closed_it_or_half_a_minute_is_over() -> None:
    async with venue() as scene:
        scene.list_(spec())
        await scene.discovery.refresh()
        terms = scene.asked()["clob"]
        scene.at(LENGTH_S + WITNESS_AFTER_NS / SECOND - 1)
        await scene.discovery.refresh()
        assert "data" not in scene.asked()
        assert scene.asked()["clob"] == terms
        scene.at(LENGTH_S + WITNESS_AFTER_NS / SECOND)
        await scene.discovery.refresh()
        assert (scene.asked()["data"], scene.asked()["clob"]) == (1, terms + 1)
        assert scene.told[-1].witnesses == ()


async def test_a_window_gamma_closes_early_is_asked_about_at_once() -> None:
    async with venue() as scene:
        scene.list_(spec())
        await scene.discovery.refresh()
        scene.at(LENGTH_S + 1)
        scene.happen(Resolved(spec().slug, "Up", 100_000 * E18))
        await scene.discovery.refresh()
        assert scene.asked()["data"] == 1


# --- a service that fails ----------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [GAMMA_DOWN, GAMMA_SLUGS_DOWN])
async def test_without_gamma_the_data_api_makes_it_official(gamma: Http) -> None:
    async with venue() as scene:
        await over(scene)
        scene.discovery.awaited.add(spec().slug)
        scene.faults(gamma)
        with pytest.raises(FeedError, match="500"):
            await scene.discovery.refresh()
        market = scene.discovery.markets[spec().slug]
        assert (market.outcome, market.closed, market.accepting) == ("up", True, False)
        assert said(market) == {"data-api": "up", "clob": "up"}
        assert set(scene.silent) == {"gamma"}
        assert scene.discovery.awaited == set()
        # Gamma is still asked for its word.
        scene.faults()
        scene.clock.advance(PACE_NS)
        await scene.discovery.refresh()
        assert said(scene.told[-1]) == {"gamma": "up", "data-api": "up", "clob": "up"}


@pytest.mark.parametrize(
    ("fault", "source", "family", "heard"),
    [
        (DATA_DOWN, "data-api", "data", {"gamma": "up", "clob": "up"}),
        (FLAGS_DOWN, "clob", "clob", {"gamma": "up", "data-api": "up"}),
    ],
)
async def test_a_silent_witness_is_counted_left_alone_for_a_while_and_holds_up_nobody(
    fault: Http, source: str, family: str, heard: dict[str, str]
) -> None:
    async with venue() as scene:
        await over(scene)
        scene.faults(fault)
        await scene.discovery.refresh()
        assert (scene.told[-1].outcome, said(scene.told[-1])) == ("up", heard)
        assert scene.silent == [source]
        scene.faults()
        before = scene.asked()[family]
        scene.clock.advance(WITNESS_PAUSE_NS - 1)
        await scene.discovery.refresh()
        assert scene.asked()[family] == before
        scene.clock.advance(1)
        await scene.discovery.refresh()
        assert said(scene.told[-1]) == heard | {source: "up"}


async def test_terms_that_do_not_come_hold_up_no_outcome() -> None:
    """The order book is down altogether: a window of an earlier run still gets its outcome."""
    async with venue() as scene:
        scene.list_(spec())
        scene.at(CLOSES)
        scene.happen(Resolved(spec().slug, "Down", None))
        scene.at(KNOWN_TO_ALL)
        scene.discovery.awaited.add(spec().slug)
        scene.faults(Http(family="clob", status=500))
        with pytest.raises(FeedError, match="500"):
            await scene.discovery.refresh()
        assert (scene.told[-1].outcome, said(scene.told[-1])) == (
            "down",
            {"gamma": "down", "data-api": "down"},
        )
        assert scene.silent == ["clob"]


async def test_a_silent_order_book_is_asked_once_a_round_and_not_called_ignorant() -> None:
    async with venue() as scene:
        scene.list_(spec(), spec(asset="eth"))
        scene.faults(TERMS_DOWN)
        with pytest.raises(FeedError, match="500"):
            await scene.discovery.refresh()
        assert [market.refusals for market in scene.told] == [(CLOB_SILENT,)] * 2
        assert scene.asked()["clob"] == 1
        scene.faults()
        await scene.discovery.refresh()
        assert [market.refusals for market in scene.told[2:]] == [(), ()]


async def test_news_of_gamma_is_taken_with_the_terms_last_read() -> None:
    async with venue() as scene:
        scene.list_(spec())
        await scene.discovery.refresh()
        assert scene.venue is not None
        market = scene.venue.world.markets[spec().slug]
        market.spec = replace(market.spec, accepting=False)
        scene.faults(TERMS_DOWN)
        with pytest.raises(FeedError, match="500"):
            await scene.discovery.refresh()
        assert (scene.told[-1].accepting, scene.told[-1].refusals) == (False, ())


async def test_a_listing_that_fails_holds_up_no_outcome() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if "/slug/" in request.path:
            return web.json_response(event(spec()))
        return web.Response(status=500) if request.path.startswith("/gamma") else web.Response(status=404)

    async with answered_by(handler) as scene:
        scene.discovery.awaited.add(spec().slug)
        with pytest.raises(FeedError, match="500"):
            await scene.discovery.refresh()
        assert [market.outcome for market in scene.told] == ["up"]


async def test_one_window_with_an_odd_answer_does_not_starve_the_next() -> None:
    odd, fine = spec(), spec(asset="eth")

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path.endswith(odd.slug):
            return web.json_response("maintenance")
        if request.path.endswith(fine.slug):
            return web.json_response(event(fine))
        return web.json_response([]) if request.path.startswith("/gamma") else web.Response(status=404)

    async with answered_by(handler) as scene:
        scene.discovery.awaited |= {odd.slug, fine.slug}
        for _ in range(2):
            with pytest.raises(FeedError, match="something else than markets"):
                await scene.discovery.refresh()
            scene.clock.advance(SECOND)
        assert [market.window for market in scene.told] == [fine.slug]
        assert scene.discovery.awaited == {odd.slug}


# --- services that contradict each other -------------------------------------------------------------


@pytest.mark.parametrize(("family", "source"), [("data", "data-api"), ("clob", "clob")])
async def test_an_official_outcome_stays_and_the_contradiction_is_shown(family: str, source: str) -> None:
    async with venue() as scene:
        await over(scene)
        scene.faults(WrongOutcome(source=family))  # type: ignore[arg-type]
        await scene.discovery.refresh()
        assert scene.told[-1].outcome == "up"
        assert said(scene.told[-1]) == {"gamma": "up", "data-api": "up", "clob": "up"} | {source: "down"}
        # It is asked about until it is gone.
        scene.faults()
        scene.clock.advance(PACE_NS)
        await scene.discovery.refresh()
        assert (scene.told[-1].outcome, set(said(scene.told[-1]).values())) == ("up", {"up"})


async def test_a_contradiction_before_it_is_official_leaves_it_open() -> None:
    async with venue() as scene:
        await over(scene)
        scene.discovery.awaited.add(spec().slug)
        scene.faults(GAMMA_DOWN, DATA_DOWN, WrongOutcome(source="clob"))
        with pytest.raises(FeedError):
            await scene.discovery.refresh()
        assert (scene.told[-1].outcome, said(scene.told[-1])) == (None, {"clob": "down"})
        scene.faults(WrongOutcome(source="clob"))
        scene.clock.advance(WITNESS_PAUSE_NS)
        await scene.discovery.refresh()
        assert (scene.told[-1].outcome, scene.told[-1].closed) == (None, True)
        assert said(scene.told[-1]) == {"gamma": "up", "data-api": "up", "clob": "down"}
        assert scene.discovery.awaited == {spec().slug}
        scene.faults()
        scene.clock.advance(SECOND)
        await scene.discovery.refresh()
        assert scene.told[-1].outcome == "up"
        assert scene.discovery.awaited == set()


async def test_gamma_that_lies_first_is_contradicted_by_both_others() -> None:
    async with venue() as scene:
        await over(scene)
        scene.faults(WrongOutcome(source="gamma"))
        await scene.discovery.refresh()
        assert said(scene.told[-1]) == {"gamma": "down", "data-api": "up", "clob": "up"}
        assert scene.told[-1].outcome == "down"


# --- what does not name a winner ---------------------------------------------------------------------


def event(window: MarketSpec, prices: str = '["1", "0"]') -> dict[str, object]:
    """What Gamma says of a window that is over: just enough for its outcome."""
    market = {
        "slug": window.slug,
        "conditionId": window.condition_id,
        "outcomes": '["Up", "Down"]',
        "clobTokenIds": f'["{window.token_up}", "{window.token_down}"]',
        "outcomePrices": prices,
        "closed": True,
        "eventStartTime": "2030-03-17T17:45:00Z",
        "endDate": "2030-03-17T18:00:00Z",
    }
    return {"slug": window.slug, "id": "1", "markets": [market]}


def resolution(window: MarketSpec, **changes: object) -> dict[str, object]:
    row = {
        "condition_id": window.condition_id,
        "status": "resolved",
        "extended_review": False,
        "was_disputed": False,
        "payouts": [1_000_000, 0],
    }
    return {"data": [row | changes]}


def tokens(window: MarketSpec, up: object, down: object) -> dict[str, object]:
    return {
        "condition_id": window.condition_id,
        "tokens": [
            {"token_id": window.token_up, "outcome": "Up", "winner": up},
            {"token_id": window.token_down, "outcome": "Down", "winner": down},
        ],
    }


def answers(
    counted: Counter[str], prices: str, row: dict[str, object], flags: tuple[object, object]
) -> Callable[[web.Request], web.Response]:
    def answer(request: web.Request) -> web.Response:
        kind = "/".join(request.path.split("/")[1:3])
        counted[kind] += 1
        match kind:
            case "data/v2":
                return web.json_response(resolution(spec(), **row))
            case "clob/markets":
                return web.json_response(tokens(spec(), *flags))
            case "clob/clob-markets":
                return web.json_response({})
        return web.json_response(event(spec(), prices) if "/slug/" in request.path else [])

    return answer


@pytest.mark.parametrize(
    ("row", "flags", "reason"),
    [
        ({"payouts": [500_000, 500_000]}, (False, False), "no-single-winner"),
        ({"was_disputed": True}, (False, False), "disputed"),
        ({"extended_review": True}, (False, False), "extended-review"),
        ({"status": "active"}, (True, True), "winner-flags"),
    ],
)
async def test_a_result_that_names_no_winner_is_refused_by_name_and_stays_open(
    row: dict[str, object], flags: tuple[object, object], reason: str
) -> None:
    answer = answers(Counter(), '["0.5", "0.5"]', row, flags)

    async def handler(request: web.Request) -> web.Response:
        return answer(request)

    async with answered_by(handler) as scene:
        scene.discovery.awaited.add(spec().slug)
        await scene.discovery.refresh()
        assert scene.refused == [reason]
        assert (scene.told[-1].outcome, scene.told[-1].witnesses) == (None, ())
        assert scene.discovery.awaited == {spec().slug}


async def test_the_payouts_order_is_the_markets() -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path.startswith("/data"):
            return web.json_response(resolution(spec()))
        if "/slug/" in request.path:
            body = event(spec(), '["0.5", "0.5"]')
            body["markets"][0]["outcomes"] = '["Down", "Up"]'  # type: ignore[index]
            return web.json_response(body)
        return web.json_response([]) if request.path.startswith("/gamma") else web.Response(status=404)

    async with answered_by(handler) as scene:
        scene.discovery.awaited.add(spec().slug)
        await scene.discovery.refresh()
        assert scene.told[-1].outcome == "down"


async def test_payouts_of_a_market_with_other_outcomes_are_not_asked_for() -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        if "/slug/" in request.path:
            body = event(spec())
            body["markets"][0]["outcomes"] = '["Yes", "No"]'  # type: ignore[index]
            return web.json_response(body)
        return web.json_response([]) if request.path.startswith("/gamma") else web.Response(status=404)

    async with answered_by(handler) as scene:
        scene.discovery.awaited.add(spec().slug)
        await scene.discovery.refresh()
        assert (scene.told[-1].outcome, scene.told[-1].closed) == (None, True)
        assert not [path for path in asked if path.startswith("/data")]


@pytest.mark.parametrize("body", ["null", "[]", '{"error": "x"}', "<html>"])
async def test_an_odd_answer_of_the_data_api_is_a_silent_witness(body: str) -> None:
    async with venue() as scene:
        await over(scene)
        status = web.Response(text=body, content_type="application/json")

        async def handler(_request: web.Request) -> web.Response:
            return status

        async with answered_by(handler) as other:
            scene.discovery.data.close()
            scene.discovery.data = other.discovery.data
            await scene.discovery.refresh()
        assert scene.told[-1].outcome == "up"
        assert scene.silent == ["data-api"]


# --- how often ---------------------------------------------------------------------------------------


async def test_missing_witnesses_are_asked_for_at_a_slow_pace_and_for_ten_minutes() -> None:
    counted: Counter[str] = Counter()
    answer = answers(counted, '["1", "0"]', {"status": "active"}, (False, False))

    async def handler(request: web.Request) -> web.Response:
        return answer(request)

    async with answered_by(handler) as scene:
        scene.discovery.awaited.add(spec().slug)
        await scene.discovery.refresh()
        assert (scene.told[-1].outcome, scene.discovery.awaited) == ("up", set())
        # It is awaited for ever, so that only the follow-up itself can end the questions.
        official_ns = scene.clock.mono_ns()
        asked_at = []
        while scene.clock.mono_ns() <= official_ns + FOLLOW_UP_NS + 3 * PACE_NS:
            scene.discovery.awaited.add(spec().slug)
            before = counted["data/v2"], counted["clob/markets"]
            await scene.discovery.refresh()
            if (counted["data/v2"], counted["clob/markets"]) != before:
                asked_at.append(scene.clock.mono_ns() - official_ns)
            scene.clock.advance(PACE_NS // 2)
        assert asked_at == [n * PACE_NS for n in range(1, FOLLOW_UP_NS // PACE_NS + 1)]
        assert counted["data/v2"] == counted["clob/markets"] == len(asked_at) + 1


async def test_until_it_is_official_they_are_asked_every_round() -> None:
    counted: Counter[str] = Counter()
    answer = answers(counted, '["0.5", "0.5"]', {"status": "active"}, (False, False))

    async def handler(request: web.Request) -> web.Response:
        return answer(request)

    async with answered_by(handler) as scene:
        scene.discovery.awaited.add(spec().slug)
        for _ in range(3):
            await scene.discovery.refresh()
            scene.clock.advance(SECOND)
        assert counted["data/v2"] == counted["clob/markets"] == 3


async def test_many_windows_are_one_question_to_the_data_api() -> None:
    async with venue() as scene:
        many = [spec(START_S - DAY_S + n * LENGTH_S) for n in range(MOST_CONDITIONS + 3)]
        scene.list_(*many)
        for n, window in enumerate(many):
            scene.happen(Resolved(window.slug, "Up" if n % 2 else "Down", None))
        scene.clock.advance(60 * SECOND)
        scene.discovery.awaited |= {window.slug for window in many}
        await scene.discovery.refresh()
        assert scene.asked()["data"] == 2
        for n, window in enumerate(many):
            ours = "up" if n % 2 else "down"
            assert said(scene.discovery.markets[window.slug]) == dict.fromkeys(
                ("gamma", "data-api", "clob"), ours
            )


async def test_a_window_that_was_never_tradable_is_not_asked_about() -> None:
    async with venue() as scene:
        scene.list_(spec(length_s=300))
        await scene.discovery.refresh()
        assert scene.told[0].refusals
        scene.at(KNOWN_TO_ALL)
        await scene.discovery.refresh()
        assert "data" not in scene.asked()


# --- terms that change -------------------------------------------------------------------------------


async def test_a_rule_that_changes_refuses_the_window_from_then_on() -> None:
    async with venue() as scene:
        scene.list_(spec())
        await scene.discovery.refresh()
        assert scene.venue is not None
        market = scene.venue.world.markets[spec().slug]
        market.spec = replace(spec(), twap_lookback_s=30, resolution_source=resolution_source("btc", 30))
        await scene.discovery.refresh()
        why = ("the look-back in seconds changed from 60 to 30",)
        assert (scene.told[-1].refusals, scene.told[-1].lookback_s) == (why, 30)
        assert scene.discovery.live() == []
        market.spec = spec()
        for _ in range(2):
            await scene.discovery.refresh()
        assert (scene.told[-1].refusals, scene.told[-1].lookback_s) == (why, 60)
        assert scene.discovery.live() == []
        assert scene.refused == ["changed-terms"]
        # How it ended is still followed.
        scene.at(CLOSES)
        scene.happen(Resolved(spec().slug, "Up", 100_000 * E18))
        scene.at(KNOWN_TO_ALL)
        await scene.discovery.refresh()
        assert (scene.told[-1].outcome, len(scene.told[-1].witnesses)) == ("up", 3)


async def test_a_fee_that_changes_is_the_new_fee() -> None:
    async with venue() as scene:
        scene.list_(spec())
        await scene.discovery.refresh()
        assert scene.venue is not None
        market = scene.venue.world.markets[spec().slug]
        market.spec = replace(spec(), fee_rate="0.02", taker_delay=False)
        await scene.discovery.refresh()
        assert scene.told[-1].fee == FeeSchedule(rate_ppm=20_000, exponent=1)
        assert scene.told[-1].taker_delay_ns == 0
        assert [market.window for market in scene.discovery.live()] == [spec().slug]
