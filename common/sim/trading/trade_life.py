"""A trade from its match to its end: money moves at the venue at once, on the chain when it is mined.

Owns the timers and the two books' agreement. A failed trade gives everything back.
"""

import asyncio
import hashlib
from collections.abc import Callable

from common.sim.trading.account_book import AccountBook, reversed_entries
from common.sim.trading.orders import VenueTrade
from common.sim.trading.trading_faults import TradePath, TradeStep


class Timers:
    """What is to happen later, unless the venue closes before."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.TimerHandle] = set()

    def later(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Do this so many milliseconds from now."""

        def act() -> None:
            self._waiting.discard(handle)
            action()

        handle = asyncio.get_running_loop().call_later(delay_ms / 1000, act)
        self._waiting.add(handle)

    def stop(self) -> None:
        """Nothing more happens."""
        for handle in self._waiting:
            handle.cancel()
        self._waiting.clear()


class TradeLife:
    """Takes every trade along its path; ``tell`` gets each change of status, the match included."""

    def __init__(
        self,
        venue_book: AccountBook,
        chain_book: AccountBook,
        timers: Timers,
        usual_delays_ms: dict[TradeStep, int],
        tell: Callable[[VenueTrade], None],
        now_ns: Callable[[], int],
    ) -> None:
        self._venue_book = venue_book
        self._chain_book = chain_book
        self._timers = timers
        self._usual_delays_ms = usual_delays_ms
        self._tell = tell
        self._now_ns = now_ns

    def begin(self, trade: VenueTrade) -> None:
        """Move the money of a trade that was just matched, and let it go its way."""
        self._venue_book.post(trade.entries)
        self._tell(trade)
        path = trade.order.path or TradePath()
        delays = dict(enumerate(path.delays_ms))
        steps = [
            (delays.get(number, self._usual_delays_ms.get(status, 0)), status)
            for number, status in enumerate(path.statuses)
        ]
        self._wait(trade, steps)

    def _wait(self, trade: VenueTrade, steps: list[tuple[int, TradeStep]]) -> None:
        if steps:
            (delay_ms, status), rest = steps[0], steps[1:]
            self._timers.later(delay_ms, lambda: self._take(trade, status, rest))

    def _take(self, trade: VenueTrade, status: TradeStep, rest: list[tuple[int, TradeStep]]) -> None:
        trade.status = status
        trade.updated_ns = self._now_ns()
        if status in ("MINED", "CONFIRMED") and not trade.on_chain:
            self._chain_book.post(trade.entries)
            trade.on_chain = True
            trade.transaction = "0x" + hashlib.sha256(trade.trade_id.encode()).hexdigest()
        elif status == "FAILED":
            undone = reversed_entries(trade.entries)
            self._venue_book.post(undone)
            if trade.on_chain:
                self._chain_book.post(undone)
                trade.on_chain = False
        self._tell(trade)
        self._wait(trade, rest)
