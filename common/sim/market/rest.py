"""The venue's HTTP side: order-book, discovery and data paths over the world's state.

Answers from state only; never changes it. Faults and the edge's dislike of Python are one middleware.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from common.sim.delivery import refused
from common.sim.faults import Family, FaultBoard
from common.sim.market import clob_dialect, data_dialect, gamma_dialect
from common.sim.world import Market, World

_FAMILIES = ("clob", "gamma", "data")
_OFFICIAL_READS = (
    "/clob/book",
    "/clob/clob-markets/",
    "/clob/markets-by-token/",
    "/clob/neg-risk",
    "/clob/tick-size",
    "/clob/time",
)
_KEYSET_MOST = 100
_LIST_MOST = 500
_KEYSET_SCHEMA = "https://gamma-api.polymarket.com/schemas/EventsKeysetListResponse.json"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def edge(board: FaultBoard, counted: Counter[str]) -> Any:
    """Middleware: refuses default Python clients, counts requests and applies REST faults."""

    @web.middleware
    async def pass_edge(request: web.Request, handler: Handler) -> web.StreamResponse:
        family = request.path.split("/", 2)[1]
        if family not in _FAMILIES:
            return await handler(request)
        counted[family] += 1
        if _is_unwanted(request):
            return web.Response(
                status=403, text="<html><title>403 Forbidden</title></html>", content_type="text/html"
            )
        fault = board.http(family, request.path)
        if fault is not None:
            await asyncio.sleep(fault.delay_ms / 1000)
            if fault.status is not None:
                return refused(fault.status, fault.retry_after_s)
        return await handler(request)

    return pass_edge


def _is_unwanted(request: web.Request) -> bool:
    """Whether the edge takes a client for a script: by its name, unless it is the official client's.

    That one is let through where it shows credentials or reads what an order is made from.
    """
    agent = request.headers.get("User-Agent", "").lower()
    if not agent.startswith("python"):
        return False
    proven = any(name.upper().startswith("POLY_") for name in request.headers)
    official = proven or request.path.startswith(_OFFICIAL_READS)
    return not (agent.startswith("python-httpx/") and official)


class Rest:
    """The handlers of ``/clob``, ``/gamma`` and ``/data``."""

    def __init__(
        self,
        world: World,
        board: FaultBoard,
        cadence: str,
        taker_delay_ms: int,
        resolution_delay_ns: int,
        now_ns: Callable[[], int],
    ) -> None:
        self._world = world
        self._board = board
        self._cadence = cadence
        self._taker_delay_ms = taker_delay_ms
        self._resolution_delay_ns = resolution_delay_ns
        self._now_ns = now_ns

    def routes(self) -> list[web.RouteDef]:
        """Every path of all families."""
        return [
            web.get("/clob/time", self._time),
            web.get("/clob/book", self._book),
            web.post("/clob/books", self._books),
            web.get("/clob/clob-markets/{condition_id}", self._clob_market),
            web.get("/clob/markets/{condition_id}", self._market_with_tokens),
            web.get("/gamma/events", self._events),
            web.get("/gamma/events/keyset", self._events_keyset),
            web.get("/gamma/events/slug/{slug}", self._event_by_slug),
            web.get("/gamma/markets", self._markets),
            web.get("/data/v2/resolutions", self._resolutions),
        ]

    async def _time(self, request: web.Request) -> web.Response:
        return web.json_response(self._now_ns() // 1_000_000_000)

    async def _book(self, request: web.Request) -> web.Response:
        market = self._open_market(request.query.get("token_id", ""))
        if market is None:
            return _json({"error": "No orderbook exists for the requested token id"}, 404)
        return _json(clob_dialect.rest_book(market, request.query["token_id"]))

    async def _books(self, request: web.Request) -> web.Response:
        try:
            asked = [entry["token_id"] for entry in json.loads(await request.read())]
        except (ValueError, KeyError, TypeError):
            return _json({"error": "Invalid payload"}, 400)
        found = [(market, token) for token in asked if (market := self._open_market(token)) is not None]
        return _json([clob_dialect.rest_book(market, token) for market, token in found])

    async def _clob_market(self, request: web.Request) -> web.Response:
        market = self._world.by_condition.get(request.match_info["condition_id"])
        if market is None:
            return _json({"error": "market not found"}, 404)
        return _json(clob_dialect.rest_market(market, self._taker_delay_ms))

    async def _market_with_tokens(self, request: web.Request) -> web.Response:
        market = self._world.by_condition.get(request.match_info["condition_id"])
        if market is None:
            return _json({"error": "market not found"}, 404)
        flagged = self._is_past(data_dialect.winner_known_ns(market, self._resolution_delay_ns))
        return _json(data_dialect.market_with_tokens(self._told(market, "clob"), flagged=flagged))

    async def _resolutions(self, request: web.Request) -> web.Response:
        try:
            asked = data_dialect.asked_conditions(request.query)
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        # A v2 condition is known by its id with and without the padding byte.
        found = [
            self._world.by_condition.get(each) or self._world.by_condition.get(each + "00") for each in asked
        ]
        resolved = [
            self._told(market, "data")
            for market in found
            if market is not None
            and self._is_past(data_dialect.payouts_known_ns(market, self._resolution_delay_ns))
        ]
        return _json(data_dialect.resolutions(resolved))

    async def _events(self, request: web.Request) -> web.Response:
        try:
            start, stop = _page(request)
            chosen = gamma_dialect.select(self._world.markets.values(), request.query, self._cadence)
        except ValueError as error:
            return _json({"type": "validation error", "error": str(error)}, 422)
        return _json([self._event(market) for market in chosen[start:stop]])

    async def _events_keyset(self, request: web.Request) -> web.Response:
        try:
            limit = min(int(request.query.get("limit", "20")), _KEYSET_MOST)
            cursor = request.query.get("after_cursor")
            after = gamma_dialect.read_cursor(cursor) if cursor else 0
            chosen = gamma_dialect.select(self._world.markets.values(), request.query, self._cadence)
        except ValueError as error:
            return _json({"type": "validation error", "error": str(error)}, 422)
        rest = [market for market in chosen if market.number > after]
        page = rest[: max(limit, 1)]
        body: dict[str, Any] = {
            "$schema": _KEYSET_SCHEMA,
            "events": [self._event(market) for market in page],
        }
        if len(rest) > len(page):
            body["next_cursor"] = gamma_dialect.cursor_after(page[-1])
        return _json(body)

    async def _event_by_slug(self, request: web.Request) -> web.Response:
        market = self._world.markets.get(request.match_info["slug"])
        if market is None:
            return _json({"type": "not found error", "error": "slug not found"}, 404)
        return _json(self._event(market))

    async def _markets(self, request: web.Request) -> web.Response:
        try:
            start, stop = _page(request)
            chosen = gamma_dialect.select(self._world.markets.values(), request.query, self._cadence)
        except ValueError as error:
            return _json({"type": "validation error", "error": str(error)}, 422)
        told = [self._told(market, "gamma") for market in chosen[start:stop]]
        return _json([gamma_dialect.market_object(market, self._cadence) for market in told])

    def _event(self, market: Market) -> dict[str, Any]:
        return gamma_dialect.event_object(self._told(market, "gamma"), self._cadence)

    def _told(self, market: Market, source: Family) -> Market:
        """The market as this family tells it: with the other outcome while it is made to lie."""
        if market.outcome is None or not self._board.swaps_outcome(source):
            return market
        return replace(market, outcome="Down" if market.outcome == "Up" else "Up")

    def _is_past(self, known_ns: int | None) -> bool:
        return known_ns is not None and known_ns <= self._now_ns()

    def _open_market(self, token: str) -> Market | None:
        market = self._world.by_token.get(token)
        return market if market is not None and market.outcome is None else None


def _page(request: web.Request) -> tuple[int, int]:
    start = max(int(request.query.get("offset", "0")), 0)
    return start, start + min(max(int(request.query.get("limit", "20")), 0), _LIST_MOST)


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(text=clob_dialect.compact(body), status=status, content_type="application/json")
