"""The socket of Chainlink Data Streams: its connections, their feeds and origins, and what each is sent.

Everything is in the request that opens it; what a client says later is not heard. Writes the language of
`chainlink_dialect`; its prices come by its own route.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from aiohttp import web

from common.sim.delivery import Link, Outlet
from common.sim.faults import FaultBoard
from common.sim.oracle.chainlink_dialect import (
    KINDS,
    ORIGIN_HEADER,
    refusal_of,
    report_message,
    series_of,
    sim_feed_ids,
)
from common.sim.oracle.oracle_route import OracleRoute
from common.sim.script import Observed
from common.sim.world import Ticked


@dataclass(frozen=True, slots=True)
class _Listener:
    feeds: frozenset[str]
    origin: str


class ChainlinkChannel:
    """Every connection to ``/chainlink/api/v1/ws``, and who may ask for what."""

    def __init__(
        self,
        board: FaultBoard,
        now_ns: Callable[[], int],
        queue_limit: int,
        assets: Iterable[str],
        credentials: Mapping[str, str],
        delay_ms: int = 0,
    ) -> None:
        self._feed_ids = sim_feed_ids(assets)
        self.feeds = series_of(self._feed_ids)
        """Topic and symbol of the script by feed id."""
        self.outlet = Outlet("chainlink", board, queue_limit)
        self.route = OracleRoute("chainlink", board, delay_ms, now_ns, self.publish, self._names)
        self._now_ns = now_ns
        self._credentials = credentials
        self._listeners: dict[Link, _Listener] = {}

    def publish(self, ticked: Ticked) -> None:
        """Send one observation, as a report, to everyone who asked for its feed."""
        observed = ticked.observed
        feed_id = self._feed_of(observed)
        if feed_id is None or not _has_report(observed):
            return
        message = report_message(feed_id, observed)
        keys = self.route.keys(observed)
        for link, listener in self._listeners.items():
            if feed_id in listener.feeds:
                self.outlet.offer(link, KINDS[observed.topic], message, (*keys, listener.origin))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Talk to one client until it goes away."""
        asked = [feed for feed in request.query.get("feedIDs", "").lower().split(",") if feed]
        for refused in (self.refused(request), self.unserved(asked)):
            if refused is not None:
                return refused
        listener = _Listener(frozenset(asked), request.headers.get(ORIGIN_HEADER, ""))

        def join(link: Link) -> None:
            self._listeners[link] = listener

        return await self.outlet.converse(request, join, lambda _link, _text: None, self._listeners.pop)

    def refused(self, request: web.Request) -> web.Response | None:
        """The answer to a request without a body whose signature does not hold; None when it does."""
        refusal = refusal_of(
            request.method,
            request.raw_path,
            b"",
            request.headers,
            self._credentials,
            self._now_ns() // 1_000_000,
        )
        return None if refusal is None else _error(*refusal)

    def unserved(self, feeds: Iterable[str]) -> web.Response | None:
        """The answer to a request for no feed or for one that is not there; None when all are."""
        asked = list(feeds)
        if not asked:
            return _error(400, "no feed id")
        unknown = [feed for feed in asked if feed not in self.feeds]
        return _error(401, f"no access to feed {unknown[0][:80]}") if unknown else None

    def reported(self, feed_id: str) -> list[Observed]:
        """The observations of the last two minutes that have a report, oldest first."""
        return [point for point in self.route.history(*self.feeds[feed_id]) if _has_report(point)]

    def _feed_of(self, observed: Observed) -> str | None:
        kind = KINDS.get(observed.topic)
        return self._feed_ids.get(f"{observed.symbol.removesuffix('/usd')}/{kind}")

    def _names(self, observed: Observed) -> tuple[str, ...]:
        feed_id = self._feed_of(observed)
        return () if feed_id is None else (feed_id,)


def _has_report(observed: Observed) -> bool:
    """Reports say whole seconds; of a recording that is played faster the instants between have none."""
    return observed.observed_ms % 1000 == 0


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)
