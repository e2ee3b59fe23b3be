"""An oracle process: one route's wire frames become ticks on the bus. Judges no price.

It keeps the last 30 minutes in the order they came and gives them to whoever asks for a snapshot, so that a
strategist which starts late still learns the tick of the opening second.
"""

import sys
from collections import deque
from collections.abc import Iterable

# First, because its log decides what structlog loads.
from common.runtime.shell import Process, run

# isort: split
from common.core.price_buffer import Added, PriceBuffer
from common.errors import FrameRefused
from common.feeds import rtds
from common.feeds.connection import Link, Silence, keep_connected
from common.messages import Envelope, Tick
from common.runtime.log import Burst
from common.store.raw_frames import RawLog
from common.units import SECOND

HISTORY_NS = 30 * 60 * SECOND


async def oracle_rtds(process: Process) -> None:
    """Run the RTDS route until cancelled; raises DataStale when it stays mute."""
    config, log = process.config, process.log
    assets = set(config.markets.assets)
    watched = [f"{kind}/{asset}" for kind in config.oracles.watched for asset in sorted(assets)]
    silence = Silence(
        limit_ns=int(config.watch.tick_stale_s * SECOND), dead_ns=int(config.watch.tick_dead_s * SECOND)
    )
    silence.expect(watched, process.clock.mono_ns())
    ages = {key: process.watch(key, silence.limit_ns) for key in watched}
    history = History()
    process.publisher.extra_state = history.envelopes
    raw = RawLog(process.paths.tape_dir, process.role)
    burst = Burst()
    seen: dict[str, PriceBuffer] = {}

    def on_frame(frame: str | bytes, recv_ns: int, mono_ns: int) -> None:
        raw.append(frame, recv_ns, mono_ns)
        process.count("frames")
        try:
            items = rtds.parse_frame(frame, recv_ns)
        except FrameRefused as refusal:
            process.count(f"refused.{refusal.reason}")
            times = burst.note(refusal.reason, mono_ns)
            if times is not None:
                log.warning("frame_refused", reason=refusal.reason, detail=refusal.detail, times=times)
            return
        for item in items:
            if isinstance(item, rtds.Control):
                process.count(f"control.{item.kind}")
                if item.kind == "error":
                    log.warning("venue_error", text=item.text)
            elif item.asset in assets:
                take(item, recv_ns, mono_ns)

    def take(tick: Tick, recv_ns: int, mono_ns: int) -> None:
        key = f"{tick.kind}/{tick.asset}"
        added = seen.setdefault(key, PriceBuffer(HISTORY_NS)).add(tick.observed_ns, tick.value, mono_ns)
        process.count(f"ticks.{added.value}")
        if added in (Added.SAME, Added.TOO_OLD):
            return  # known already: a repeated value is no sign of life
        process.count("ticks")
        if added is Added.NEW and not tick.backfill:
            silence.heard(key, mono_ns)
            if key in ages:
                ages[key].touch()
            process.facts[f"lag_ms.{key}"] = str((recv_ns - tick.observed_ns) // 1_000_000)
        history.add(
            process.publisher.publish(
                f"tick.{tick.asset}.{tick.kind}.{tick.route}",
                tick,
                ts_event_ns=tick.observed_ns,
                ts_recv_ns=recv_ns,
            )
        )

    def on_state(up: bool, text: str) -> None:
        process.set_state("ready" if up else "degraded", text)
        process.set_count("reconnects", link.reconnects)
        process.set_count("zombies", link.zombies)

    link = Link(
        url=config.venue.rtds_url,
        greeting=lambda: rtds.subscriptions(config.oracles.kinds),
        on_frame=on_frame,
        silence=silence,
        ping=rtds.PING,
        ping_every_s=5.0,
        max_bytes=rtds.MAX_FRAME_BYTES,
        on_state=on_state,
    )
    try:
        await keep_connected(link, process.clock, log)
    finally:
        raw.close()


class History:
    """The ticks of the last half hour, in the order in which they came."""

    def __init__(self) -> None:
        self._held: deque[Envelope] = deque()

    def add(self, envelope: Envelope) -> None:
        """Keep one more, and let go of what is too old."""
        self._held.append(envelope)
        while envelope.mono_ns - self._held[0].mono_ns > HISTORY_NS:
            self._held.popleft()

    def envelopes(self) -> Iterable[Envelope]:
        """All that is kept, oldest first."""
        return self._held


ROUTES = {"rtds": oracle_rtds}


def main() -> None:
    """Run the route named on the command line."""
    route = sys.argv[1] if len(sys.argv) == 2 else ""
    if route not in ROUTES:
        sys.exit(f"usage: python -m procs.oracle {'|'.join(ROUTES)}")
    run(f"oracle-{route}", ROUTES[route])


if __name__ == "__main__":
    main()
