"""Intents on their way into the journal: a file beside it, appended by one write before an order leaves.

A commit waits for the disk, a thousand times as long as an order takes to be made; what is written here has
left the process, outlives its death, and is taken into the journal by the next commit or the next start. Only
a machine that loses its power within that instant can lose it. Never decides.
"""

import errno
import os
import zlib
from pathlib import Path

import msgspec

from common.core.order_effects import (
    CommitIntent,
)
from common.errors import DependencyMissing, InvariantBroken

_HEAD = 8
"""Length and CRC-32 of what follows, four bytes each."""


class Intents:
    """The file of one journal; its single writer is the journal's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._encoder = msgspec.msgpack.Encoder()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size
        self._nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def append(self, commit: CommitIntent) -> None:
        """Let one intent outlive this process; raises OSError, and then nothing of it is there."""
        record = self._record(commit)
        end, written = self._size, 0
        try:
            written = os.write(self._file, record)
        finally:
            if written != len(record):
                os.ftruncate(self._file, end)
        self._size = end + written if written == len(record) else end
        if written != len(record):
            raise OSError(
                errno.ENOSPC, f"only {written} of {len(record)} bytes could be written; free some space"
            )

    def rehearse(self, commit: CommitIntent) -> None:
        """Make the record and let the kernel throw it away."""
        os.write(self._nowhere, self._record(commit))

    def _record(self, commit: CommitIntent) -> bytes:
        payload = self._encoder.encode(commit)
        return len(payload).to_bytes(4, "big") + zlib.crc32(payload).to_bytes(4, "big") + payload

    def read(self) -> list[CommitIntent]:
        """Every whole record; a torn one at the end was never followed by an order."""
        data = Path(self.path).read_bytes()
        found = []
        while len(data) >= _HEAD:
            length = int.from_bytes(data[:4], "big")
            payload = data[_HEAD : _HEAD + length]
            if len(payload) < length:
                break
            if zlib.crc32(payload) != int.from_bytes(data[4:_HEAD], "big"):
                raise InvariantBroken(
                    f"journal: {self.path} is damaged; an order may have been sent that the journal does not "
                    "know: look at the account's orders, then move this file away"
                )
            try:
                found.append(msgspec.msgpack.decode(payload, type=CommitIntent))
            except msgspec.DecodeError as error:
                raise DependencyMissing(
                    f"journal: {self.path} was written by another version ({error}); start that one once"
                ) from error
            data = data[_HEAD + length :]
        return found

    def clear(self) -> None:
        """All of it is in the journal now."""
        os.ftruncate(self._file, 0)
        self._size = 0

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)
        os.close(self._nowhere)
