"""``POST /order`` of the simulated venue, and every way in which its answer can go wrong.

An order is carried out before its answer misbehaves, or not at all, as the fault says; never in between.
"""

import asyncio
import json
from collections.abc import Callable

from aiohttp import web

from common.sim.faults import FaultBoard
from common.sim.trading.account_dialect import posted
from common.sim.trading.exchange import Exchange
from common.sim.trading.fault_turns import FaultTurns
from common.sim.trading.order_payload import Refused, read_order
from common.sim.trading.orders import VenueOrder
from common.sim.trading.restrictions import Buckets, order_refusal
from common.sim.trading.session import Sessions, unauthorized
from common.sim.trading.trading_faults import OrderReply

_GONE_POLL_S = 0.02


class OrderRest:
    """The handler of orders."""

    def __init__(
        self,
        exchange: Exchange,
        sessions: Sessions,
        board: FaultBoard,
        turns: FaultTurns,
        taker_delay_ms: int,
        now_ns: Callable[[], int],
        *,
        answers_delayed: bool,
    ) -> None:
        self._exchange = exchange
        self._sessions = sessions
        self._board = board
        self._turns = turns
        self._taker_delay_ms = taker_delay_ms
        self._answers_delayed = answers_delayed
        self._now_ns = now_ns
        self._buckets = Buckets()
        self._closing = False

    def routes(self) -> list[web.RouteDef]:
        """The one path."""
        return [web.post("/clob/order", self._post)]

    def stop(self) -> None:
        """Let go of every request that waits for nothing."""
        self._closing = True

    async def _post(self, request: web.Request) -> web.StreamResponse:
        came_ns = self._now_ns()
        body = await request.read()
        self._exchange.records.received += 1
        session = self._sessions.of(request, body)
        if session is None:
            return unauthorized()
        mode = self._board.venue_mode()
        if mode is not None:
            return order_refusal(mode, session.signer, self._now_ns())
        fault = self._turns.order_reply()
        headers = self._buckets.headers(session.signer, self._now_ns())
        if fault is not None and not fault.taken and fault.form not in ("delayed", "live"):
            return await self._misbehave(request, fault, "{}", headers)
        try:
            order = self._exchange.admit(read_order(body), session.api_key, came_ns)
            answer = await self._carried_out(order, fault)
        except Refused as refused:
            told = {"error": refused.text} | ({"orderID": refused.order_id} if refused.order_id else {})
            status, text = refused.status, json.dumps(told, separators=(",", ":"))
        else:
            status, text = 200, answer
        if fault is not None and fault.form not in ("delayed", "live"):
            return await self._misbehave(request, fault, text, headers)
        return web.Response(text=text, status=status, headers=headers, content_type="application/json")

    async def _carried_out(self, order: VenueOrder, fault: OrderReply | None) -> str:
        """The good answer to an order, once it has met the book or waits for it; raises Refused."""
        delay_ms = self._taker_delay_ms if order.market.spec.taker_delay else 0
        if fault is not None and fault.form in ("delayed", "live"):
            self._exchange.hold(order, fault.form, delay_ms + fault.after_ms, fills=fault.taken)
        elif self._answers_delayed and delay_ms:
            self._exchange.hold(order, "delayed", delay_ms, fills=True)
        else:
            if delay_ms:
                await asyncio.sleep(delay_ms / 1000)
            self._exchange.execute(order)
            if order.status == "CANCELED":
                raise Refused(400, order.ended_text, order.order_id)
        return json.dumps(posted(order), separators=(",", ":"))

    async def _misbehave(
        self, request: web.Request, fault: OrderReply, good: str, headers: dict[str, str]
    ) -> web.StreamResponse:
        """Answer as the fault wants; ``good`` is what should have been answered."""
        if fault.form == "timeout":
            await self._outwait(request, fault.after_ms)
            _hang_up(request)
            return web.Response()
        await asyncio.sleep(fault.after_ms / 1000)
        if fault.form == "reset":
            _hang_up(request)
            return web.Response()
        if fault.form == "garbage":
            text = fault.body or good[: len(good) // 2]
            return web.Response(text=text, headers=headers, content_type="application/json")
        if fault.retry_after_s is not None:
            headers = headers | {"Retry-After": str(fault.retry_after_s)}
        text = fault.body or json.dumps({"error": "order timed out"})
        kind = "application/json" if text.startswith("{") else "text/html"
        return web.Response(text=text, status=fault.status, headers=headers, content_type=kind)

    async def _outwait(self, request: web.Request, after_ms: int) -> None:
        """Wait until the client gives up, or for so long where a time is given."""
        waited_ms = 0.0
        while not self._closing and request.transport is not None and not request.transport.is_closing():
            if after_ms and waited_ms >= after_ms:
                return
            await asyncio.sleep(_GONE_POLL_S)
            waited_ms += _GONE_POLL_S * 1000


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
