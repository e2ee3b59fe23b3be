"""What the venue tells a customer: orders, trades, balances, keys and restrictions. Changes nothing.

The official client's paths; every answer is for the holder of a proven API key only.
"""

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

from common.sim.faults import FaultBoard
from common.sim.trading.account_book import COLLATERAL_ASSET
from common.sim.trading.account_dialect import order_body, trade_body
from common.sim.trading.contracts import SPENDERS
from common.sim.trading.exchange import Exchange
from common.sim.trading.orders import VenueOrder, VenueTrade, may_see
from common.sim.trading.session import Session, Sessions, unauthorized
from common.units import SECOND

_END = "LTE="
_ASSET_TYPES = ("COLLATERAL", "CONDITIONAL", "CONDITIONAL-V2")

Handler = Callable[[web.Request, Session], Awaitable[web.Response]]


class AccountRest:
    """The handlers of account reads."""

    def __init__(
        self,
        exchange: Exchange,
        sessions: Sessions,
        board: FaultBoard,
        page_size: int,
        *,
        tells_ended_orders: bool,
    ) -> None:
        self._exchange = exchange
        self._sessions = sessions
        self._board = board
        self._page_size = page_size
        self._tells_ended_orders = tells_ended_orders

    def routes(self) -> list[web.RouteDef]:
        """Every path."""
        return [
            web.get("/clob/data/order/{order_id}", self._proven(self._order)),
            web.get("/clob/data/orders", self._proven(self._orders)),
            web.get("/clob/data/trades", self._proven(self._trades)),
            web.get("/clob/balance-allowance", self._proven(self._balance)),
            web.get("/clob/balance-allowance/update", self._proven(self._balance_update)),
            web.get("/clob/auth/ban-status/closed-only", self._proven(self._closed_only)),
            web.get("/clob/auth/api-keys", self._proven(self._api_keys)),
            web.get("/clob/v1/user/rate-limit-tier", self._proven(self._tier)),
            web.get("/clob/notifications", self._proven(self._notifications)),
            web.get("/geoblock", self._geoblock),
            web.get("/relayer/deployed", self._deployed),
        ]

    def _proven(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            session = self._sessions.of(request)
            return unauthorized() if session is None else await handler(request, session)

        return handle

    async def _order(self, request: web.Request, session: Session) -> web.Response:
        order = self._exchange.records.orders.get(request.match_info["order_id"].lower())
        if order is None or order.status == "WAITING" or not may_see(order, session.signer):
            return _json({"error": "order not found"}, 404)
        if not order.open and not self._tells_ended_orders:
            return _json(None)
        return _json(order_body(order))

    async def _orders(self, request: web.Request, session: Session) -> web.Response:
        visible = self._exchange.records.visible_orders(session.signer)
        found = [order for order in visible if order.open and _order_fits(order, request.query)]
        return self._page(request, [order_body(order) for order in reversed(found)])

    async def _trades(self, request: web.Request, session: Session) -> web.Response:
        try:
            before, after = (_instant(request.query.get(name)) for name in ("before", "after"))
        except ValueError:
            return _json({"error": "Invalid trade params payload"}, 400)
        found = [
            trade
            for trade in self._exchange.records.visible_trades(session.signer)
            if _trade_fits(trade, request.query)
            and (before is None or trade.matched_ns // SECOND < before)
            and (after is None or trade.matched_ns // SECOND > after)
        ]
        return self._page(request, [trade_body(trade) for trade in reversed(found)])

    async def _balance(self, request: web.Request, session: Session) -> web.Response:
        """In base units. At once less what was matched, although the chain follows later."""
        kind = request.query.get("asset_type", "")
        if kind not in _ASSET_TYPES:
            return _json({"error": "Invalid asset type"}, 400)
        try:
            signature_type = int(request.query.get("signature_type", "0"))
        except ValueError:
            return _json({"error": "Invalid signature_type"}, 400)
        account = self._exchange.accounts.of_signer(session.signer, signature_type)
        asset = COLLATERAL_ASSET if kind == "COLLATERAL" else request.query.get("token_id", "")
        balance = 0 if account is None else self._exchange.venue_book.balance(account.address, asset)
        allowance = 0 if account is None else account.allowance_usd6
        return _json({"balance": str(balance), "allowances": {each: str(allowance) for each in SPENDERS}})

    async def _balance_update(self, request: web.Request, session: Session) -> web.Response:
        """The venue would look at the chain anew; here it is never behind."""
        return web.Response(text="", status=200)

    async def _closed_only(self, request: web.Request, session: Session) -> web.Response:
        mode = self._board.venue_mode()
        return _json({"closed_only": mode is not None and mode.mode == "closed_only"})

    async def _api_keys(self, request: web.Request, session: Session) -> web.Response:
        return _json({"apiKeys": self._exchange.accounts.keys_of(session.signer)})

    async def _tier(self, request: web.Request, session: Session) -> web.Response:
        return _json({"tier": "standard"})

    async def _notifications(self, request: web.Request, session: Session) -> web.Response:
        return _json([])

    async def _geoblock(self, request: web.Request) -> web.Response:
        mode = self._board.venue_mode()
        if mode is not None and mode.mode == "geo":
            return _json({"blocked": True, "ip": "203.0.113.42", "country": "US", "region": "NY"})
        return _json({"blocked": False, "ip": "203.0.113.7", "country": "ZA", "region": "GP"})

    async def _deployed(self, request: web.Request) -> web.Response:
        """Whether a wallet contract exists: the accounts' do."""
        account = self._exchange.accounts.of_wallet(request.query.get("address", ""))
        return _json({"deployed": account is not None and account.kind != "eoa"})

    def _page(self, request: web.Request, rows: list[dict[str, Any]]) -> web.Response:
        """One page, newest first; the cursor is an offset in base64, as the venue's are."""
        try:
            start = _offset(request.query.get("next_cursor", ""))
        except ValueError:
            return _json({"error": "next_cursor is not valid"}, 400)
        stop = start + self._page_size
        cursor = base64.b64encode(str(stop).encode()).decode() if stop < len(rows) else _END
        page = rows[start:stop]
        return _json({"limit": self._page_size, "count": len(page), "next_cursor": cursor, "data": page})


def _offset(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        offset = int(base64.b64decode(cursor, validate=True))
    except binascii.Error:
        raise ValueError(cursor) from None
    if offset < 0:
        raise ValueError(cursor)
    return offset


def _instant(text: str | None) -> int | None:
    return None if text is None else int(text)


def _order_fits(order: VenueOrder, query: Mapping[str, str]) -> bool:
    return _fits(
        query,
        (
            ("id", order.order_id),
            ("market", order.market.spec.condition_id),
            ("asset_id", order.sent.token),
        ),
    )


def _trade_fits(trade: VenueTrade, query: Mapping[str, str]) -> bool:
    order = trade.order
    return _fits(
        query,
        (
            ("id", trade.trade_id),
            ("market", order.market.spec.condition_id),
            ("asset_id", order.sent.token),
            ("maker_address", order.account.address),
        ),
    )


def _fits(query: Mapping[str, str], values: Iterable[tuple[str, str]]) -> bool:
    """Whether every filter that is named has this value."""
    return all(name not in query or query[name].lower() == value.lower() for name, value in values)


def _json(body: Any, status: int = 200) -> web.Response:
    text = json.dumps(body, separators=(",", ":"))
    return web.Response(text=text, status=status, content_type="application/json")
