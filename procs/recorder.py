"""The recorder process: every message of every publisher on one tape, in the order it was heard.

Never stands in the way of trading: when the disk cannot take more it says so once, drops, and goes on
by itself when there is space.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import msgspec

from common.errors import DependencyMissing
from common.messages import Alert, Envelope, SourceCount
from common.runtime.endpoints import ROLES
from common.runtime.metrics import Metrics, serve
from common.runtime.shell import Process, run
from common.store.tape import Record
from common.store.tape_writer import TapeWriter, leftovers, seal
from common.units import SECOND

ROLE = "recorder"
NOT_RECORDED = {ROLE, "venue"}
TAPE = "bus"


async def recorder(process: Process) -> None:
    """Record until the process is told to stop."""
    directory = process.paths.tape_dir / TAPE
    for path in leftovers(directory):
        process.spawn(compress(process, path), name=f"seal {path.name}")
    writer = TapeWriter(directory)
    subscriber = process.subscribe(*(role for role in ROLES if role not in NOT_RECORDED))
    heard = process.watch("bus", int(process.config.watch.tick_stale_s * SECOND))
    metrics = open_metrics(process)
    process.set_state("ready")
    fronts: dict[tuple[str, str], int] = {}
    try:
        while not process.stopping.is_set():
            envelopes = await subscriber.receive()
            heard.touch()
            live = live_ranges(fronts, subscriber.counts())
            for envelope in envelopes:
                writer.append(as_record(process, envelope, live))
                metrics.take(envelope)
            write(process, writer)
            report(process, writer, sum(count.missed for count in subscriber.counts()))
    finally:
        try:
            writer.close()
        except DependencyMissing as error:
            process.log.error("recording_failed", problem=str(error))


def open_metrics(process: Process) -> Metrics:
    """The figures of all processes, served where that is configured; what stands in the way is only told."""
    metrics = Metrics(process.clock.mono_ns, process.heartbeat)
    listen = process.config.metrics.listen
    if listen:
        try:
            serve(metrics, listen)
        except DependencyMissing as error:
            tell(process, Alert(level="warning", code="metrics-failed", text=str(error)))
            process.facts["metrics"] = str(error)
        else:
            process.facts["metrics"] = f"served on http://{listen}/metrics"
    return metrics


def live_ranges(
    fronts: dict[tuple[str, str], int], counts: Iterable[SourceCount]
) -> dict[tuple[str, str], range]:
    """Per start of a publisher the numbers that can have been heard live since the last call."""
    ranges = {}
    for count in counts:
        key = (count.source, count.boot)
        ranges[key] = range(max(count.first_seq, fronts.get(key, 0) + 1), count.last_seq + 1)
        fronts[key] = count.last_seq
    return ranges


def as_record(process: Process, envelope: Envelope, live: dict[tuple[str, str], range]) -> Record:
    """One message as it goes on the tape; outside the live numbers it came in a snapshot."""
    return Record(
        mono_ns=process.clock.mono_ns(),
        wall_ns=process.clock.wall_ns(),
        kind="bus" if envelope.seq in live.get((envelope.source, envelope.boot), ()) else "state",
        source=envelope.source,
        topic=envelope.topic,
        data=msgspec.msgpack.encode(envelope),
    )


def write(process: Process, writer: TapeWriter) -> None:
    """Hand over to the disk; says once when it fails and once when it works again."""
    was_failing = writer.failing
    try:
        finished = writer.flush()
    except DependencyMissing as error:
        if not was_failing:
            tell(process, Alert(level="warning", code="recording-failed", text=str(error)))
            process.set_state("degraded", str(error))
        return
    if was_failing and not writer.failing:
        text = f"recording goes on; {writer.dropped} messages were lost"
        tell(process, Alert(level="info", code="recording-resumed", text=text))
        process.set_state("ready")
    if finished is not None:
        process.spawn(compress(process, finished), name=f"seal {finished.name}")


def tell(process: Process, alert: Alert) -> None:
    """Say it in the log and on the bus."""
    process.log.warning(alert.code, text=alert.text)
    process.publisher.publish(f"alert.{alert.code}", alert)


def report(process: Process, writer: TapeWriter, missed: int) -> None:
    """Figures for the status."""
    process.set_count("records", writer.records)
    process.set_count("bytes", writer.data_bytes)
    process.set_count("segments", writer.segments_started)
    process.set_count("dropped", writer.dropped)
    process.set_count("holes", missed)


async def compress(process: Process, path: Path) -> None:
    """Seal a finished segment beside the running process; an unsealed one stays readable."""
    try:
        await asyncio.to_thread(seal, path)
    except DependencyMissing as error:
        process.log.warning("segment_not_sealed", problem=str(error))


if __name__ == "__main__":
    run(ROLE, recorder)
