"""The REST service of Chainlink Data Streams: its feeds, and the reports of the last two minutes.

Answers from what its channel's route remembers; every request must be signed.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from common.sim.oracle.chainlink_channel import ChainlinkChannel
from common.sim.oracle.chainlink_dialect import ORIGINS, ORIGINS_HEADER, report_object

LONGEST_PAGE = 60

Handler = Callable[[web.Request], Awaitable[web.Response]]


class ChainlinkRest:
    """The handlers of ``/chainlink``, and of the paths at which its socket names its origins."""

    def __init__(self, channel: ChainlinkChannel) -> None:
        self._channel = channel

    def routes(self) -> list[web.RouteDef]:
        """Every path; the official client asks for the origins at the root of the socket's host."""
        return [
            web.head("/", self._signed(self._origins)),
            web.head("/chainlink", self._signed(self._origins)),
            web.head("/chainlink/", self._signed(self._origins)),
            web.get("/chainlink/api/v1/feeds", self._signed(self._feeds)),
            web.get("/chainlink/api/v1/reports/latest", self._signed(self._latest)),
            web.get("/chainlink/api/v1/reports/page", self._signed(self._page)),
            web.get("/chainlink/api/v1/reports/bulk", self._signed(self._bulk)),
        ]

    def _signed(self, handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.Response:
            refused = self._channel.refused(request)
            return await handler(request) if refused is None else refused

        return checked

    async def _origins(self, request: web.Request) -> web.Response:
        return web.Response(headers={ORIGINS_HEADER: "{" + ",".join(ORIGINS) + "}"})

    async def _feeds(self, request: web.Request) -> web.Response:
        return web.json_response({"feeds": [{"feedID": feed_id} for feed_id in self._channel.feeds]})

    async def _latest(self, request: web.Request) -> web.Response:
        feed_id = request.query.get("feedID", "").lower()
        refused = self._channel.unserved([feed_id] if feed_id else [])
        if refused is not None:
            return refused
        points = self._channel.reported(feed_id)
        if not points:
            return web.json_response({"error": "no report yet"}, status=404)
        return web.json_response({"report": report_object(feed_id, points[-1])})

    async def _page(self, request: web.Request) -> web.Response:
        feed_id, start = request.query.get("feedID", "").lower(), request.query.get("startTimestamp", "")
        limit = request.query.get("limit", str(LONGEST_PAGE))
        refused = self._channel.unserved([feed_id] if feed_id else [])
        if refused is not None:
            return refused
        if not start.isdecimal() or not limit.isdecimal():
            return web.json_response({"error": "startTimestamp or limit is no number"}, status=400)
        points = [
            point for point in self._channel.reported(feed_id) if point.observed_ms >= int(start) * 1000
        ]
        page = points[: min(int(limit), LONGEST_PAGE)]
        return web.json_response({"reports": [report_object(feed_id, point) for point in page]})

    async def _bulk(self, request: web.Request) -> web.Response:
        asked = [feed for feed in request.query.get("feedIDs", "").lower().split(",") if feed]
        stamp = request.query.get("timestamp", "")
        refused = self._channel.unserved(asked)
        if refused is not None:
            return refused
        if not stamp.isdecimal():
            return web.json_response({"error": "timestamp is no number"}, status=400)
        reports = [
            report_object(feed_id, point)
            for feed_id in asked
            for point in self._channel.reported(feed_id)
            if point.observed_ms // 1000 == int(stamp)
        ]
        return web.json_response({"reports": reports}, status=200 if len(reports) == len(asked) else 206)
