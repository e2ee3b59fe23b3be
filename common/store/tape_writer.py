"""Writing a tape: append, hand over, rotate, seal.

Owns the one open segment of a tape directory. Never blocks on anything but the file itself; compressing a
finished segment is ``seal``, which the caller runs where a second of work does no harm.
"""

import gzip
import os
import shutil
import zlib
from pathlib import Path

import msgspec

from common.errors import DependencyMissing
from common.store.tape import (
    FRAME,
    MAGIC,
    MAX_RECORD_BYTES,
    OPEN_SUFFIX,
    SEALED_SUFFIX,
    Record,
    segment_path,
    segments,
)
from common.units import SECOND

SEGMENT_BYTES = 64 * 1024 * 1024
SEGMENT_NS = 3600 * SECOND
RESERVE_BYTES = 256 * 1024 * 1024
"""Recording stops while less than this is free: the rest of the disk belongs to the journal."""
RETRY_NS = SECOND

_encoder = msgspec.msgpack.Encoder()


class TapeWriter:
    """The single writer of one tape directory; always starts a new segment.

    ``append`` only remembers; ``flush`` hands everything remembered to the file in one write and says which
    segment is finished. Every OSError becomes DependencyMissing; what was remembered is then counted in
    ``dropped``, the file ends at its last whole record, and records are dropped for a second before a new
    segment is tried.
    """

    def __init__(
        self,
        directory: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        segment_ns: int = SEGMENT_NS,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        self.directory = directory
        self.records = 0
        self.data_bytes = 0
        self.dropped = 0
        self.segments_started = 0
        self.failing = False
        """The last attempt to write failed: records are being dropped."""
        self._segment_bytes = segment_bytes
        self._segment_ns = segment_ns
        self._reserve_bytes = reserve_bytes
        self._pending = bytearray()
        self._pending_records = 0
        self._first_mono_ns = 0
        self._last_mono_ns = 0
        self._retry_mono_ns = 0
        self._file: int | None = None
        self._path = directory
        self._size = 0

    def append(self, record: Record) -> None:
        """Remember one record; too large, or right after a failure, it is dropped and counted."""
        payload = _encoder.encode(record)
        if len(payload) > MAX_RECORD_BYTES or (self.failing and record.mono_ns < self._retry_mono_ns):
            self.dropped += 1
            return
        self._pending += FRAME.pack(len(payload), zlib.crc32(payload))
        self._pending += payload
        self._pending_records += 1
        self._last_mono_ns = record.mono_ns

    def flush(self) -> Path | None:
        """Hand over what was remembered; returns a segment that is now finished and can be sealed.

        Raises DependencyMissing when the disk is full, below its reserve or not writable.
        """
        if not self._pending_records:
            return None
        pending, count = bytes(self._pending), self._pending_records
        self._pending.clear()
        self._pending_records = 0
        try:
            self._write(pending)
        except OSError as error:
            self.dropped += count
            self.failing = True
            self._retry_mono_ns = self._last_mono_ns + RETRY_NS
            self._abandon()
            raise DependencyMissing(
                f"tape: {self.directory} cannot be written ({error.strerror}); free some space, "
                "recording goes on by itself"
            ) from error
        self.failing = False
        self.records += count
        self.data_bytes += len(pending)
        old = self._last_mono_ns - self._first_mono_ns >= self._segment_ns
        return self._finish() if old or self._size >= self._segment_bytes else None

    def close(self) -> Path | None:
        """Flush and finish; returns the last segment, or None when nothing was written to one."""
        finished = self.flush()
        return self._finish() if self._file is not None else finished

    def _write(self, pending: bytes) -> None:
        if self._file is None:
            self._start()
        assert self._file is not None
        if shutil.disk_usage(self.directory).free < self._reserve_bytes:
            raise OSError(28, "less than the reserve is free")
        written = 0
        while written < len(pending):
            written += os.write(self._file, pending[written:])
        self._size += len(pending)

    def _start(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = (segments(self.directory) or [0])[-1] + 1
        self._path = segment_path(self.directory, number, OPEN_SUFFIX)
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._size = 0
        self._first_mono_ns = self._last_mono_ns
        self.segments_started += 1
        self._size = os.write(self._file, MAGIC)

    def _finish(self) -> Path:
        assert self._file is not None
        try:
            os.fsync(self._file)
        except OSError as error:
            raise DependencyMissing(f"tape: {self._path} cannot be synced ({error.strerror})") from error
        finally:
            os.close(self._file)
            self._file = None
        return self._path

    def _abandon(self) -> None:
        """Cut a half-written record off, so that the segment ends cleanly."""
        if self._file is None:
            return
        try:
            os.ftruncate(self._file, self._size if self._size >= len(MAGIC) else 0)
        except OSError:
            pass  # the reader stops at the tear
        os.close(self._file)
        self._file = None
        if self._size <= len(MAGIC):
            self._path.unlink(missing_ok=True)


def seal(path: Path) -> Path:
    """Compress a finished segment; the sealed file appears whole or not at all, then the plain one goes.

    Blocking, about a second. Raises DependencyMissing when there is no space: the plain segment stays.
    """
    sealed = path.with_name(path.name.removesuffix(OPEN_SUFFIX) + SEALED_SUFFIX)
    part = sealed.with_name(sealed.name + ".part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with path.open("rb") as plain, os.fdopen(descriptor, "wb") as target:
            with gzip.GzipFile(filename="", fileobj=target, mode="wb", compresslevel=6, mtime=0) as packed:
                shutil.copyfileobj(plain, packed, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        part.rename(sealed)
        _sync_directory(path.parent)
        path.unlink()
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DependencyMissing(
            f"tape: {path} cannot be compressed ({error.strerror}); it stays as it is"
        ) from error
    return sealed


def leftovers(directory: Path) -> list[Path]:
    """Segments an earlier writer left unsealed; call before the first ``flush`` of a new writer."""
    if not directory.is_dir():
        return []
    for part in directory.glob(f"*{SEALED_SUFFIX}.part"):
        part.unlink(missing_ok=True)
    return sorted(directory.glob(f"*{OPEN_SUFFIX}"))


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
