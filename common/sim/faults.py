"""How the simulated venue misbehaves on request: faults as data, and the set that holds now.

A fault names a place (a channel or a REST family) and, where it makes sense, one key: a topic, a symbol or a
token; an empty key means everything there. Applies nothing itself.
"""

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import msgspec

log = logging.getLogger(__name__)

Channel = Literal["rtds", "market"]
Family = Literal["clob", "gamma"]


class _Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    pass


class Freeze(_Fault, frozen=True, tag="freeze"):
    """Data stops while the connection lives and pings are answered."""

    channel: Channel
    key: str = ""


class Disconnect(_Fault, frozen=True, tag="disconnect"):
    """Every connection of the channel is cut once, without a closing handshake, when the fault is set."""

    channel: Channel


class Duplicate(_Fault, frozen=True, tag="duplicate"):
    """Every frame is sent twice."""

    channel: Channel
    key: str = ""


class Hold(_Fault, frozen=True, tag="hold"):
    """Frames are kept back for this long after the first one held, then come in one burst; and again."""

    channel: Channel
    for_ms: int
    key: str = ""


class DropSnapshot(_Fault, frozen=True, tag="drop_snapshot"):
    """Initial books or backfills are not sent."""

    channel: Channel


class Refuse(_Fault, frozen=True, tag="refuse"):
    """WebSocket handshakes are answered with this HTTP status."""

    channel: Channel
    status: int = 503
    retry_after_s: int | None = None


class Garble(_Fault, frozen=True, tag="garble"):
    """Every ``every``-th frame is spoilt: noise, cut in the middle, or padded beyond 5 MB."""

    channel: Channel
    form: Literal["garbage", "truncated", "oversized"] = "garbage"
    every: int = 1
    key: str = ""


class RepeatValue(_Fault, frozen=True, tag="repeat_value"):
    """The price socket keeps ticking with the value it last sent before the fault."""

    key: str = ""


class Http(_Fault, frozen=True, tag="http"):
    """A REST family answers late, or with an error; ``path`` narrows it to paths that contain it."""

    family: Family
    status: int | None = None
    retry_after_s: int | None = None
    delay_ms: int = 0
    path: str = ""


Fault = Freeze | Disconnect | Duplicate | Hold | DropSnapshot | Refuse | Garble | RepeatValue | Http


def read_faults(raw: bytes) -> tuple[Fault, ...]:
    """A JSON list of faults; raises ValueError saying what is wrong with it."""
    faults = msgspec.json.decode(raw, type=tuple[Fault, ...])
    for fault in faults:
        if isinstance(fault, Garble) and fault.every < 1:
            raise ValueError("every must be at least 1")
        if isinstance(fault, Hold) and fault.for_ms < 1:
            raise ValueError("for_ms must be at least 1")
        if isinstance(fault, Http | Refuse) and fault.status is not None and not 400 <= fault.status <= 599:
            raise ValueError("status must be an HTTP error, 400 to 599")
        if isinstance(fault, Http) and fault.delay_ms < 0:
            raise ValueError("delay_ms must not be negative")
    return faults


class FaultBoard:
    """The faults that hold now; listeners are told of every replacement, after it."""

    def __init__(self) -> None:
        self.current: tuple[Fault, ...] = ()
        self._listeners: list[Callable[[tuple[Fault, ...]], None]] = []

    def on_change(self, listener: Callable[[tuple[Fault, ...]], None]) -> None:
        """Have ``listener`` called with each new set."""
        self._listeners.append(listener)

    def replace(self, faults: tuple[Fault, ...]) -> None:
        """Put this set in the place of the current one."""
        self.current = faults
        log.info("faults are now %s", msgspec.json.encode(faults).decode())
        for listener in self._listeners:
            listener(faults)

    def frozen(self, channel: Channel, keys: Iterable[str]) -> bool:
        return any(
            isinstance(f, Freeze) and f.channel == channel and _hits(f.key, keys) for f in self.current
        )

    def drops_snapshot(self, channel: Channel) -> bool:
        return any(isinstance(f, DropSnapshot) and f.channel == channel for f in self.current)

    def repeats(self, keys: Iterable[str]) -> bool:
        return any(isinstance(f, RepeatValue) and _hits(f.key, keys) for f in self.current)

    def doubled(self, channel: Channel, keys: Iterable[str]) -> bool:
        return any(
            isinstance(f, Duplicate) and f.channel == channel and _hits(f.key, keys) for f in self.current
        )

    def hold(self, channel: Channel, keys: Iterable[str]) -> Hold | None:
        for fault in self.current:
            if isinstance(fault, Hold) and fault.channel == channel and _hits(fault.key, keys):
                return fault
        return None

    def garble(self, channel: Channel, keys: Iterable[str]) -> Garble | None:
        for fault in self.current:
            if isinstance(fault, Garble) and fault.channel == channel and _hits(fault.key, keys):
                return fault
        return None

    def refusal(self, channel: Channel) -> Refuse | None:
        for fault in self.current:
            if isinstance(fault, Refuse) and fault.channel == channel:
                return fault
        return None

    def http(self, family: str, path: str) -> Http | None:
        for fault in self.current:
            if isinstance(fault, Http) and fault.family == family and fault.path in path:
                return fault
        return None


class FaultFile:
    """A JSON file whose content becomes the fault set each time the file changes."""

    def __init__(self, path: Path, board: FaultBoard) -> None:
        self._path = path
        self._board = board
        self._seen: tuple[int, int, int] | None = None

    def look(self) -> None:
        """Read the file when new or changed; a bad one changes nothing, a vanished one clears the set."""
        try:
            status = os.stat(self._path)
            mark = (status.st_mtime_ns, status.st_size, status.st_ino)
            if mark == self._seen:
                return
            raw = self._path.read_bytes()
        except FileNotFoundError:
            if self._seen is not None:
                self._seen = None
                self._board.replace(())
            return
        except OSError as error:
            log.error(
                "cannot read the fault file %s: %s; its faults stay as they were", self._path, error.strerror
            )
            return
        self._seen = mark
        try:
            faults = read_faults(raw)
        except ValueError as error:
            log.error(
                "fault file %s is not a list of faults: %s; correct it and save again", self._path, error
            )
            return
        self._board.replace(faults)


def _hits(key: str, keys: Iterable[str]) -> bool:
    return not key or key in keys
