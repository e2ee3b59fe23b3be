"""Which order a counted fault hits: keeps the count, from the moment the fault set is replaced."""

from collections import Counter

from common.sim.faults import Fault, FaultBoard
from common.sim.trading.trading_faults import OrderReply, TradePath


class FaultTurns:
    """The faults that come to the end of their ``times``."""

    def __init__(self, board: FaultBoard) -> None:
        self._board = board
        self._used: Counter[int] = Counter()
        board.on_change(self._replaced)

    def order_reply(self) -> OrderReply | None:
        """The bad answer the order asked about now gets; asked once for each."""
        return next(
            (fault for fault in self._left() if isinstance(fault, OrderReply) and self._use(fault)), None
        )

    def trade_path(self) -> TradePath | None:
        """The path of the trades of the order matched now; asked once for each."""
        return next(
            (fault for fault in self._left() if isinstance(fault, TradePath) and self._use(fault)), None
        )

    def _left(self) -> list[OrderReply | TradePath]:
        return [
            fault
            for number, fault in enumerate(self._board.current)
            if isinstance(fault, OrderReply | TradePath)
            and (fault.times == 0 or self._used[number] < fault.times)
        ]

    def _use(self, fault: OrderReply | TradePath) -> bool:
        self._used[self._board.current.index(fault)] += 1
        return True

    def _replaced(self, _faults: tuple[Fault, ...]) -> None:
        self._used.clear()
