"""The user channel: a customer's own orders and trades as they happen. Nothing is told again.

Writes the dialect of `account_dialect`; what happens is decided in the exchange.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import web

from common.sim.delivery import Link, Outlet
from common.sim.faults import FaultBoard
from common.sim.trading.account_dialect import order_frame, trade_frame
from common.sim.trading.odd_frames import frame_text
from common.sim.trading.orders import VenueOrder, VenueTrade, may_see
from common.sim.trading.session import Session, Sessions
from common.sim.trading.trade_life import Timers


class _Listener:
    """One connection: nobody until it has proven who it is."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.markets: set[str] | None = None
        """Condition ids; None is all."""
        self.frames = 0


class UserChannel:
    """Every connection to ``/ws/user``."""

    def __init__(
        self,
        sessions: Sessions,
        board: FaultBoard,
        queue_limit: int,
        timers: Timers,
        now_ns: Callable[[], int],
        *,
        odd: bool,
    ) -> None:
        self.outlet = Outlet("user", board, queue_limit)
        self._sessions = sessions
        self._timers = timers
        self._now_ns = now_ns
        self._odd = odd
        self._listeners: dict[Link, _Listener] = {}
        self._overtaken: dict[str, tuple[VenueOrder, dict[str, Any]]] = {}
        """By order, the event that waits for the one after it."""

    def order_happened(self, order: VenueOrder, kind: str) -> None:
        """Tell one change of an order."""
        self._tell(order, order_frame(order, kind, self._now_ns()), final=order.status == "CANCELED")

    def trade_happened(self, trade: VenueTrade) -> None:
        """Tell one status of a trade."""
        self._tell(trade.order, trade_frame(trade), final=trade.status in ("CONFIRMED", "FAILED"))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Talk to one client until it goes away."""
        return await self.outlet.converse(request, self._join, self._hear, self._listeners.pop)

    def _tell(self, order: VenueOrder, frame: dict[str, Any], *, final: bool) -> None:
        """Tell an event as the order's path wants it told."""
        path = order.path
        if path is None:
            self._send(order, frame)
            return
        if path.lose:
            return
        in_turn = [(order, frame)]
        if path.reorder:
            earlier = self._overtaken.pop(order.order_id, None)
            if earlier is None and not final:
                self._overtaken[order.order_id] = in_turn[0]
                return
            in_turn += [] if earlier is None else [earlier]
        for whose, what in in_turn * (2 if path.double else 1):
            if path.late_ms:
                self._timers.later(path.late_ms, partial(self._send, whose, what))
            else:
                self._send(whose, what)

    def _send(self, order: VenueOrder, frame: dict[str, Any]) -> None:
        market = order.market.spec.condition_id
        for link, listener in self._listeners.items():
            if listener.session is None or not may_see(order, listener.session.signer):
                continue
            if listener.markets is not None and market not in listener.markets:
                continue
            text = frame_text(frame, listener.frames, odd=self._odd)
            listener.frames += 1
            self.outlet.offer(link, frame["event_type"], text, (order.sent.token, order.order_id, market))

    def _join(self, link: Link) -> None:
        self._listeners[link] = _Listener()

    def _hear(self, link: Link, text: str) -> None:
        listener = self._listeners[link]
        if text == "PING":
            link.push("", "PONG")
            return
        message = _read(text)
        if message is None:
            link.push("", "INVALID OPERATION")
        elif listener.session is None:
            self._authenticate(link, listener, message)
        else:
            _change_markets(listener, message)

    def _authenticate(self, link: Link, listener: _Listener, message: dict[str, Any]) -> None:
        """Whoever proves nothing is cut off without a word: clients see code 1006."""
        session = self._sessions.of_frame(message.get("auth")) if message.get("type") == "user" else None
        if session is None:
            link.cut()
            return
        listener.session = session
        listener.markets = set(message.get("markets") or ()) or None


def _change_markets(listener: _Listener, message: dict[str, Any]) -> None:
    """Add or take away markets; whoever listens to all keeps doing so."""
    if listener.markets is None:
        return
    named = set(message.get("markets") or ())
    if message.get("operation") == "subscribe":
        listener.markets |= named
    elif message.get("operation") == "unsubscribe":
        listener.markets -= named


def _read(text: str) -> dict[str, Any] | None:
    try:
        message: Any = json.loads(text)
    except ValueError:
        return None
    if not isinstance(message, dict):
        return None
    markets = message.get("markets")
    listed = isinstance(markets, list) and all(isinstance(each, str) for each in markets)
    return message if markets is None or listed else None
