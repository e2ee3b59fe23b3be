"""A public exchange's socket: its connections, what each asked for, and the trades they are sent.

Every price of the script's exchange topic is one trade, and one more at the same price a little later unless
another price came first. Speaks the dialect it is given.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from aiohttp import web

from common.sim.delivery import Link, Outlet
from common.sim.faults import FaultBoard
from common.sim.oracle.exchange_dialect import HEARTBEAT, Dialect, Print, Wish
from common.sim.oracle.oracle_route import OracleRoute
from common.sim.oracle.rtds_dialect import EXCHANGE
from common.sim.world import Ticked

AGAIN_AFTER_MS = 400
_TRADES_KEPT = 50


class ExchangeChannel:
    """Every connection to one exchange."""

    def __init__(
        self,
        dialect: Dialect,
        assets: tuple[str, ...],
        board: FaultBoard,
        now_ns: Callable[[], int],
        queue_limit: int,
    ) -> None:
        self.outlet = Outlet(dialect.name, board, queue_limit)
        self.route = OracleRoute(dialect.name, board, 0, now_ns, self.publish)
        self._dialect = dialect
        self._assets = assets
        self._board = board
        self._now_ns = now_ns
        self._wishes: dict[Link, set[Wish]] = {}
        self._last: dict[str, deque[Print]] = {}

    def publish(self, ticked: Ticked) -> None:
        """Let one price of the script be traded; what is not an exchange's is ignored."""
        observed = ticked.observed
        if observed.topic != EXCHANGE:
            return
        asset = observed.symbol.removesuffix("usdt")
        last = self._last.setdefault(asset, deque(maxlen=_TRADES_KEPT))
        number = last[-1].number + 1 if last else 1
        trade = Print(asset, number, observed.observed_ms, self._dialect.value(observed.value_e18))
        self._print(trade)
        if self._wishes:
            asyncio.get_running_loop().call_later(AGAIN_AFTER_MS / 1000, self._print_again, trade)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Talk to one client until it goes away."""
        return await self.outlet.converse(request, self._join, self._hear, self._wishes.pop)

    def _print_again(self, trade: Print) -> None:
        if self._last[trade.asset][-1] == trade:
            self._print(replace(trade, number=trade.number + 1, at_ms=trade.at_ms + AGAIN_AFTER_MS))

    def _print(self, trade: Print) -> None:
        self._last[trade.asset].append(trade)
        keys = (EXCHANGE, f"{trade.asset}usdt", trade.asset)
        for channel, write in self._dialect.live.items():
            frame = write(trade)
            for link, wishes in self._wishes.items():
                if (channel, trade.asset) not in wishes:
                    continue
                if channel == HEARTBEAT:
                    link.push(channel, frame)
                else:
                    self.outlet.offer(link, channel, frame, keys)

    def _join(self, link: Link) -> None:
        self._wishes[link] = set()
        for frame in self._dialect.greeting:
            link.push("", frame)

    def _hear(self, link: Link, text: str) -> None:
        answer = self._dialect.read(text, self._assets, self._now_ns() // 1_000_000)
        for frame in answer.frames:
            link.push("", frame)
        self._wishes[link].update(answer.wishes)
        if self._board.drops_snapshot(self.outlet.channel):
            return
        for channel, asset in answer.wishes:
            past, trades = self._dialect.past.get(channel), self._last.get(asset)
            if past is not None and trades:
                self.outlet.offer(link, "past", past(list(trades)), (EXCHANGE, f"{asset}usdt", asset))
