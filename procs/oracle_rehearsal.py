"""What an oracle process rehearses with: a process that publishes nothing, and a price that never was."""

from dataclasses import replace
from typing import Any, cast

from common.feeds.oracle.route import series_key
from common.messages import Envelope, Tick
from common.runtime.publisher import Publisher
from common.runtime.shell import Process
from common.units import E18

REHEARSED = series_key("spot", "btc")


def muted(process: Process) -> Process:
    """The same process with counters, facts and ages of its own, whose ticks are rehearsals."""
    publisher = cast("Publisher", _Muted(process.publisher))
    return replace(process, publisher=publisher, counters={}, facts={}, ages={})


def made_up_tick(observed_ns: int) -> Tick:
    """A price that never was."""
    return Tick(asset="btc", kind="spot", route="rehearsal", observed_ns=observed_ns, e18=str(E18))


class _Muted:
    """As much of a publisher as a feed uses."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.extra_state: Any = tuple

    def publish(self, topic: str, body: Tick, *, ts_event_ns: int, ts_recv_ns: int) -> Envelope:
        return self._publisher.rehearse(topic, body)
