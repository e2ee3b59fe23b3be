"""Raw frames of a feed on its own tape, written by a thread so that the feed never waits for the disk.

Never raises into the feed: frames that the disk cannot take, or that come faster than it can, are counted.
"""

import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue

import structlog

from common.errors import DependencyMissing
from common.store.tape import Record
from common.store.tape_writer import RESERVE_BYTES, TapeWriter, leftovers, seal

CAPACITY = 20_000
"""Frames that may wait for the disk; about a minute of a busy feed."""
BATCH = 1_000
GATHER_S = 0.02
"""How long frames are gathered before they are written: the most that a killed process loses. Woken for each
frame, the thread would take the interpreter from the feed just when the next one comes."""
CLOSE_S = 1.0


class RawLog:
    """The raw tape ``<tape_dir>/raw-<source>`` of one feed process."""

    def __init__(
        self, tape_dir: Path, source: str, *, capacity: int = CAPACITY, reserve_bytes: int = RESERVE_BYTES
    ) -> None:
        self.source = source
        self.directory = tape_dir / f"raw-{source}"
        self.overflowed = 0
        """Frames lost because the disk was slower than the feed."""
        self._writer = TapeWriter(self.directory, reserve_bytes=reserve_bytes)
        self._capacity = capacity
        self._waiting: SimpleQueue[Record | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"raw-{source}", daemon=True)
        self._thread.start()

    @property
    def records(self) -> int:
        """Frames on the tape."""
        return self._writer.records

    @property
    def dropped(self) -> int:
        """Frames the disk did not take, and those that came too fast."""
        return self._writer.dropped + self.overflowed

    def append(self, frame: str | bytes, recv_ns: int, mono_ns: int, topic: str = "frame") -> None:
        """Hand over one frame as it was received; returns at once."""
        data = frame.encode() if isinstance(frame, str) else bytes(frame)
        if self._waiting.qsize() >= self._capacity:
            self.overflowed += 1
            return
        self._waiting.put(Record(mono_ns, recv_ns, "raw", self.source, topic, data))

    def close(self) -> None:
        """Write what is waiting and end; gives up after a second."""
        self._waiting.put(None)
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        log = structlog.get_logger()
        for path in leftovers(self.directory):
            self._seal(path)
        while True:
            batch, ended = self._next_batch()
            for record in batch:
                self._writer.append(record)
            was_failing = self._writer.failing
            try:
                finished = self._writer.close() if ended else self._writer.flush()
            except DependencyMissing as error:
                if not was_failing:
                    log.error("raw_tape_failing", problem=str(error))
                finished = None
            if ended:
                return
            if finished is not None:
                self._seal(finished)

    def _next_batch(self) -> tuple[list[Record], bool]:
        """Wait for a frame, gather, then take what is there; whether this is the end."""
        batch: list[Record] = []
        item = self._waiting.get()
        if item is not None and self._waiting.qsize() < BATCH:
            time.sleep(GATHER_S)
        while item is not None:
            batch.append(item)
            if len(batch) >= BATCH:
                return batch, False
            try:
                item = self._waiting.get_nowait()
            except Empty:
                return batch, False
        return batch, True

    def _seal(self, path: Path) -> None:
        try:
            seal(path)
        except DependencyMissing as error:
            structlog.get_logger().warning("raw_tape_not_sealed", problem=str(error))
