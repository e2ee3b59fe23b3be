"""One way from the oracle to its clients: when an observation gets there, as what, and what is remembered.

The script says when an observation leaves the oracle; every route is later by a delay of its own. Faults in
what is said are applied here, so that a backfill tells what the clients were told. Owns no socket.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable

from common.sim.faults import FaultBoard, OracleChannel
from common.sim.oracle.rtds_dialect import EXCHANGE
from common.sim.script import Observed
from common.sim.world import Ticked

HISTORY_MS = 120_000
_PPM = 1_000_000
_MILLISECOND = 1_000_000


class OracleRoute:
    """The observations of one channel, from the script to the moment they are sent."""

    def __init__(
        self,
        channel: OracleChannel,
        board: FaultBoard,
        delay_ms: int,
        now_ns: Callable[[], int],
        publish: Callable[[Ticked], None],
        names: Callable[[Observed], tuple[str, ...]] = lambda _observed: (),
    ) -> None:
        """``names`` are what the channel's own wire calls an observation, for the keys of faults."""
        self._channel: OracleChannel = channel
        self._board = board
        self._delay_ms = delay_ms
        self._now_ns = now_ns
        self._publish = publish
        self._names = names
        self._under_way: list[tuple[int, int, Ticked]] = []
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._values: dict[tuple[str, str], int] = {}
        self._stamps: dict[tuple[str, str], int] = {}
        self._history: dict[tuple[str, str], deque[Observed]] = {}

    def keys(self, observed: Observed) -> tuple[str, ...]:
        """Everything a fault may call this observation."""
        return observed.topic, observed.symbol, *self._names(observed)

    def carry(self, ticked: Ticked) -> None:
        """Let an observation set out; needs a running loop when the route has a delay.

        Prices of an exchange come as early on every route.
        """
        if not self._delay_ms or ticked.observed.topic == EXCHANGE:
            self._arrive(ticked)
            return
        self._number += 1
        later = Ticked(ticked.observed, ticked.emitted_ms + self._delay_ms)
        heapq.heappush(self._under_way, (later.emitted_ms, self._number, later))
        self._deliver()

    def stop(self) -> None:
        """Let nothing arrive any more."""
        self._under_way.clear()
        if self._timer is not None:
            self._timer.cancel()

    def history(self, topic: str, symbol: str, newest: int | None = None) -> list[Observed]:
        """What was told of one symbol in the last two minutes, oldest first; the ``newest`` points or all."""
        points = list(self._history.get((topic, symbol), ()))
        return points if newest is None else points[-newest:]

    def _deliver(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now_ns = self._now_ns()
        while self._under_way and self._under_way[0][0] * _MILLISECOND <= now_ns:
            self._arrive(heapq.heappop(self._under_way)[2])
        if self._under_way:
            wait_s = (self._under_way[0][0] * _MILLISECOND - now_ns) / 1e9
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._deliver)

    def _arrive(self, ticked: Ticked) -> None:
        said = self._as_said(ticked.observed)
        points = self._history.setdefault((said.topic, said.symbol), deque())
        if points and points[-1].observed_ms == said.observed_ms:
            points.pop()
        points.append(said)
        while points[0].observed_ms <= said.observed_ms - HISTORY_MS:
            points.popleft()
        self._publish(Ticked(said, ticked.emitted_ms))

    def _as_said(self, observed: Observed) -> Observed:
        series, keys = (observed.topic, observed.symbol), self.keys(observed)
        if series not in self._values or not self._board.repeats(self._channel, keys):
            self._values[series] = observed.value_e18
        if series not in self._stamps or not self._board.stops_time(self._channel, keys):
            self._stamps[series] = observed.observed_ms
        value = self._values[series]
        value += value * self._board.wrong_by_ppm(self._channel, keys) // _PPM
        return Observed(observed.topic, observed.symbol, self._stamps[series], value, observed.window_s)
