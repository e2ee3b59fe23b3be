"""The legacy price socket: its connections, their subscriptions and what each is sent.

Reads requests and answers them in the dialect of `rtds_dialect`; its prices come by its own route.
"""

import base64
import hashlib
from collections.abc import Callable

from aiohttp import web

from common.sim.delivery import Link, Outlet
from common.sim.faults import FaultBoard
from common.sim.oracle.oracle_route import OracleRoute
from common.sim.oracle.rtds_dialect import (
    Refusal,
    Wish,
    backfill_frame,
    backfill_points,
    read_request,
    update_body,
    update_frame,
)
from common.sim.world import Ticked

_QUIET_AFTER_NS = 300 * 1_000_000_000
_PING_ANSWERS = (None, "", "PONG")


class _Listener:
    """One connection's side of the conversation."""

    def __init__(self, link: Link, number: int, now_ns: int) -> None:
        self.link = link
        self.connection_id = _token(f"connection {number}", 11)
        self.wants: set[tuple[str, str | None]] = set()
        self.pings = 0
        self.requests = 0
        self.pinged_ns = now_ns


class RtdsChannel:
    """Every connection to ``/rtds``."""

    def __init__(
        self, board: FaultBoard, now_ns: Callable[[], int], queue_limit: int, delay_ms: int = 0
    ) -> None:
        self.outlet = Outlet("rtds", board, queue_limit)
        self.route = OracleRoute("rtds", board, delay_ms, now_ns, self.publish)
        self._board = board
        self._now_ns = now_ns
        self._listeners: dict[Link, _Listener] = {}
        self._number = 0

    def publish(self, ticked: Ticked) -> None:
        """Send one observation to everyone who wants it; goes quiet on clients that stopped pinging."""
        observed = ticked.observed
        body = update_body(observed, ticked.emitted_ms)
        keys = (observed.topic, observed.symbol)
        quiet_before = self._now_ns() - _QUIET_AFTER_NS
        for listener in self._listeners.values():
            if listener.wants.isdisjoint(((observed.topic, None), keys)) or listener.pinged_ns < quiet_before:
                continue
            self.outlet.offer(listener.link, observed.topic, update_frame(listener.connection_id, body), keys)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Talk to one client until it goes away."""
        return await self.outlet.converse(request, self._join, self._hear, self._listeners.pop)

    def _join(self, link: Link) -> None:
        self._number += 1
        self._listeners[link] = _Listener(link, self._number, self._now_ns())
        link.push("", "")

    def _hear(self, link: Link, text: str) -> None:
        listener = self._listeners[link]
        if text == "PING":
            listener.pinged_ns = self._now_ns()
            answer = _PING_ANSWERS[listener.pings % len(_PING_ANSWERS)]
            listener.pings += 1
            if answer is not None:
                listener.link.push("", answer)
            return
        listener.requests += 1
        request_id = _token(f"{listener.connection_id} request {listener.requests}", 11)
        request = read_request(text, listener.connection_id, request_id)
        if isinstance(request, Refusal):
            listener.link.push("refusal", request.frame)
            return
        for wish in request.wishes:
            if request.subscribe:
                self._grant(listener, wish)
            else:
                listener.wants.discard((wish.topic, wish.symbol))

    def _grant(self, listener: _Listener, wish: Wish) -> None:
        if wish.dead:
            return
        if wish.symbol is not None and not self._board.drops_snapshot("rtds"):
            points = self.route.history(wish.topic, wish.symbol, backfill_points(wish.topic))
            if points:
                frame = backfill_frame(points, self._now_ns() // 1_000_000)
                self.outlet.offer(listener.link, "backfill", frame, (wish.topic, wish.symbol))
        if not wish.muted:
            listener.wants.add((wish.topic, wish.symbol))


def _token(seed: str, size: int) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(seed.encode()).digest()[:size]).decode()
