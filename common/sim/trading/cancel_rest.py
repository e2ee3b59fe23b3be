"""Cancels of the simulated venue: of one order, of some, of all, of a market's."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from common.sim.faults import FaultBoard
from common.sim.trading.exchange import Exchange
from common.sim.trading.orders import VenueOrder, may_see
from common.sim.trading.restrictions import cancel_refusal
from common.sim.trading.session import Session, Sessions, unauthorized

_TOO_LATE = "already canceled or matched"
_UNKNOWN = "order not found"
_DELAYED = "order is delayed and can't be canceled"


class CancelRest:
    """The handlers of cancels."""

    def __init__(
        self, exchange: Exchange, sessions: Sessions, board: FaultBoard, now_ns: Callable[[], int]
    ) -> None:
        self._exchange = exchange
        self._sessions = sessions
        self._board = board
        self._now_ns = now_ns

    def routes(self) -> list[web.RouteDef]:
        """Every path; all take and give the same shapes."""
        chosen = {
            "/clob/order": lambda body, _session: [str(body["orderID"])],
            "/clob/orders": lambda body, _session: [str(each) for each in body],
            "/clob/cancel-all": lambda _body, session: self._open(session),
            "/clob/cancel-market-orders": self._of_market,
        }
        return [web.delete(path, self._handler(choose)) for path, choose in chosen.items()]

    def _handler(self, choose: Callable[[Any, Session], list[str]]) -> Any:
        async def handle(request: web.Request) -> web.Response:
            raw = await request.read()
            session = self._sessions.of(request, raw)
            if session is None:
                return unauthorized()
            refusal = cancel_refusal(self._board.venue_mode(), session.signer, self._now_ns())
            if refusal is not None:
                return refusal
            try:
                order_ids = choose(json.loads(raw) if raw else None, session)
            except (ValueError, KeyError, TypeError):
                return web.json_response({"error": "Invalid order payload"}, status=400)
            return web.json_response(self._cancelled(order_ids, session))

        return handle

    def _cancelled(self, order_ids: Iterable[str], session: Session) -> dict[str, Any]:
        done, not_done = [], {}
        for order_id in dict.fromkeys(order_ids):
            order = self._exchange.records.orders.get(order_id.lower())
            if order is None or not may_see(order, session.signer):
                not_done[order_id] = _UNKNOWN
            elif self._exchange.cancel(order):
                done.append(order_id)
            else:
                not_done[order_id] = _DELAYED if order.status in ("DELAYED", "WAITING") else _TOO_LATE
        return {"canceled": done, "not_canceled": not_done}

    def _open(self, session: Session, fits: Callable[[VenueOrder], bool] = lambda _order: True) -> list[str]:
        visible = self._exchange.records.visible_orders(session.signer)
        return [order.order_id for order in visible if order.status == "LIVE" and fits(order)]

    def _of_market(self, body: Any, session: Session) -> list[str]:
        """Of a market and of a token, whichever are named."""
        market, token = body.get("market", ""), body.get("asset_id", "")
        return self._open(
            session,
            lambda order: market in ("", order.market.spec.condition_id) and token in ("", order.sent.token),
        )
