"""The order-book socket: its connections, their tokens and what each is sent.

Reads requests and answers in the dialect of `clob_dialect`; keeps no books of its own.
"""

import json
from typing import Any

from aiohttp import web

from common.sim.delivery import Link, Outlet
from common.sim.faults import FaultBoard
from common.sim.market import clob_dialect as dialect
from common.sim.market.stale_books import StaleBooks
from common.sim.world import MarketChange, World


class _Listener:
    """One connection: its tokens, and for each whether it takes the custom frames."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.tokens: dict[str, bool] = {}
        self.custom = False


class MarketChannel:
    """Every connection to ``/ws/market``."""

    def __init__(self, world: World, board: FaultBoard, queue_limit: int) -> None:
        self.outlet = Outlet("market", board, queue_limit)
        self._world = world
        self._board = board
        self._stale = StaleBooks(world, board)
        self._listeners: dict[Link, _Listener] = {}

    def publish(self, change: MarketChange) -> None:
        """Send what happened to one market: trades, then levels, then grid and books, then the outcome."""
        if change.listed:
            for listener in self._listeners.values():
                if listener.custom:
                    self._offer(listener, "new_market", dialect.new_market_frame(change), ())
        market = change.market
        listeners = [
            each for each in self._listeners.values() if not each.tokens.keys().isdisjoint(market.tokens)
        ]
        change = self._stale.restamped(change)
        held = self._stale.held(change)
        if not listeners:
            return
        if held is None:
            self._publish_changes(listeners, change)
        elif change.old_books or change.trades or change.old_tick_size is not None:
            for token in held.tokens:
                self._to_token(listeners, "book", dialect.compact(dialect.book_object(held, token)), token)
        if change.resolved:
            self._publish_outcome(listeners, change)

    def _publish_changes(self, listeners: list[_Listener], change: MarketChange) -> None:
        for trade in change.trades:
            self._to_token(
                listeners, "last_trade_price", dialect.last_trade_price_frame(change, trade), trade.token
            )
        if change.old_tick_size is None:
            self._publish_levels(listeners, change)
        self._publish_books(listeners, change)
        self._publish_tops(listeners, change)

    def _publish_books(self, listeners: list[_Listener], change: MarketChange) -> None:
        market = change.market
        if change.old_tick_size is not None:
            for token in market.tokens:
                frame = dialect.tick_size_change_frame(change, token)
                self._to_token(listeners, "tick_size_change", frame, token)
            for token in market.tokens:
                self._to_token(listeners, "book", dialect.compact(dialect.book_object(market, token)), token)
        elif change.trades:
            for token in market.tokens:
                self._to_token(listeners, "book", dialect.refresh_frame(market, token), token)

    def _publish_levels(self, listeners: list[_Listener], change: MarketChange) -> None:
        entries = [
            entry
            for entry in dialect.price_changes(change)
            if not self._board.frozen("market", (entry["asset_id"],))
        ]
        if entries:
            frame = dialect.price_change_frame(change, entries)
            moved = tuple(change.old_books)
            for listener in listeners:
                self._offer(listener, "price_change", frame, moved, frozen_checked=True)

    def _publish_tops(self, listeners: list[_Listener], change: MarketChange) -> None:
        for token in change.old_books:
            top = dialect.best_bid_ask_frame(change, token)
            if top is not None:
                custom = [each for each in listeners if each.tokens.get(token)]
                self._to_token(custom, "best_bid_ask", top, token)

    def _publish_outcome(self, listeners: list[_Listener], change: MarketChange) -> None:
        frame = dialect.market_resolved_frame(change)
        for listener in listeners:
            if any(listener.tokens.get(token) for token in change.market.tokens):
                self._offer(listener, "market_resolved", frame, change.market.tokens)
            if not any(self._is_live(token) for token in listener.tokens):
                listener.link.close()

    def _is_live(self, token: str) -> bool:
        market = self._world.by_token.get(token)
        return market is None or market.outcome is None

    def _to_token(self, listeners: list[_Listener], label: str, frame: str, token: str) -> None:
        for listener in listeners:
            if token in listener.tokens:
                self._offer(listener, label, frame, (token,))

    def _offer(
        self,
        listener: _Listener,
        label: str,
        frame: str,
        keys: tuple[str, ...],
        *,
        frozen_checked: bool = False,
    ) -> None:
        self.outlet.offer(listener.link, label, frame, keys, frozen_checked=frozen_checked)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Talk to one client until it goes away."""
        return await self.outlet.converse(request, self._join, self._hear, self._listeners.pop)

    def _join(self, link: Link) -> None:
        self._listeners[link] = _Listener(link)

    def _hear(self, link: Link, text: str) -> None:
        listener = self._listeners[link]
        if text == "PING":
            listener.link.push("", "PONG")
            return
        request = _read(text)
        if request is None:
            listener.link.push("", "INVALID OPERATION")
            return
        tokens, subscribe, custom, dump = request
        if not subscribe:
            for token in tokens:
                listener.tokens.pop(token, None)
            return
        listener.custom = listener.custom if custom is None else custom
        fresh = []
        for token in tokens:
            if token not in listener.tokens:
                fresh.append(token)
            listener.tokens[token] = listener.custom
        if dump:
            self._send_initial_books(listener, fresh)

    def _send_initial_books(self, listener: _Listener, tokens: list[str]) -> None:
        if self._board.drops_snapshot("market"):
            return
        books = [
            (self._stale.shown(market), token)
            for token in tokens
            if (market := self._world.by_token.get(token)) is not None
            and market.outcome is None
            and not self._board.frozen("market", (token,))
        ]
        if books:
            frame = dialect.initial_books_frame(books)
            keys = tuple(token for _, token in books)
            self._offer(listener, "book", frame, keys, frozen_checked=True)


def _read(text: str) -> tuple[list[str], bool, bool | None, bool] | None:
    """Tokens, whether to subscribe, the custom flag if named, whether initial books are wanted."""
    try:
        message: Any = json.loads(text)
    except ValueError:
        return None
    if not isinstance(message, dict):
        return None
    tokens = message.get("assets_ids")
    operation = message.get("operation", "subscribe" if message.get("type") == "market" else None)
    if operation not in ("subscribe", "unsubscribe") or not isinstance(tokens, list):
        return None
    custom = message.get("custom_feature_enabled")
    return (
        [token for token in tokens if isinstance(token, str)],
        operation == "subscribe",
        custom if isinstance(custom, bool) else None,
        message.get("initial_dump", True) is not False,
    )
