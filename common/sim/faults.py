"""How the simulated venue misbehaves on request: faults as data, and the set that holds now.

A fault names a place (a channel or a REST family) and, where it makes sense, one key; an empty key means
everything there. On an oracle channel the key is a topic or symbol of the script (``btc/usd``) or a name from
the channel's own wire (``btcusd``, a feed id, an origin); on the market channel it is a token, on the user
channel a token, an order or a market. Faults of trading have no place: they hit orders as they come.
Applies nothing itself.
"""

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from common.sim.trading.trading_faults import (
    ChainFault,
    OrderReply,
    RelayerFault,
    TradePath,
    VenueMode,
    check_trading,
)

log = logging.getLogger(__name__)

Channel = Literal["rtds", "polybolt", "chainlink", "coinbase", "kraken", "binance", "market", "user"]
OracleChannel = Literal["rtds", "polybolt", "chainlink", "coinbase", "kraken", "binance"]
Family = Literal["clob", "gamma", "data"]


class _Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    pass


class _OnChannel(_Fault, frozen=True, kw_only=True):
    channel: Channel
    key: str = ""


class Freeze(_OnChannel, frozen=True, tag="freeze"):
    """Data stops while the connection lives and pings are answered."""


class Stall(_Fault, frozen=True, tag="stall"):
    """Nothing at all is sent, not even answers to pings of any sort; the connections stay open."""

    channel: Channel


class Disconnect(_Fault, frozen=True, tag="disconnect"):
    """Every connection of the channel ends once, when the fault is set.

    It is cut without a closing handshake, or closed with ``code`` where one is given.
    """

    channel: Channel
    code: int | None = None


class Duplicate(_OnChannel, frozen=True, tag="duplicate"):
    """Every frame is sent twice."""


class Hold(_OnChannel, frozen=True, kw_only=True, tag="hold"):
    """Frames are kept back for this long after the first one held, then come in one burst; and again."""

    for_ms: int


class DropFrames(_Fault, frozen=True, tag="drop_frames"):
    """Every ``every``-th data frame is lost on its way."""

    channel: Channel
    every: int = 1
    told: bool = False
    """PolyBolt only: lost before it was numbered, and told in ``dropped`` of the next frame."""


class DropSnapshot(_Fault, frozen=True, tag="drop_snapshot"):
    """Initial books or backfills are not sent."""

    channel: Channel


class Refuse(_Fault, frozen=True, tag="refuse"):
    """WebSocket handshakes are answered with this HTTP status."""

    channel: Channel
    status: int = 503
    retry_after_s: int | None = None


class Garble(_OnChannel, frozen=True, tag="garble"):
    """Every ``every``-th frame is spoilt: noise, cut in the middle, or padded beyond 5 MB."""

    form: Literal["garbage", "truncated", "oversized"] = "garbage"
    every: int = 1


class RepeatValue(_OnChannel, frozen=True, tag="repeat_value"):
    """New stamps, old content: the value last sent before the fault, or the books as they were then.

    On the market channel a token stands for its whole market, whose books come again at every change.
    """

    channel: Channel = "rtds"


class FrozenTime(_OnChannel, frozen=True, tag="frozen_time"):
    """New content, old stamps: every observation or book has the stamp of the moment the fault was set.

    On the market channel a token stands for its whole market.
    """


class WrongValue(_OnChannel, frozen=True, kw_only=True, tag="wrong_value"):
    """Values are off by this many parts per million, on one channel."""

    channel: OracleChannel
    ppm: int


class WrongProvider(_Fault, frozen=True, tag="wrong_provider"):
    """PolyBolt serves Pyth's prices whatever was asked for."""

    key: str = ""


class WrongOutcome(_Fault, frozen=True, kw_only=True, tag="wrong_outcome"):
    """One REST family tells the other outcome of every window that is resolved."""

    source: Family


class Http(_Fault, frozen=True, tag="http"):
    """A REST family answers late, or with an error; ``path`` narrows it to paths that contain it."""

    family: Family
    status: int | None = None
    retry_after_s: int | None = None
    delay_ms: int = 0
    path: str = ""


Fault = (
    Freeze
    | Stall
    | Disconnect
    | Duplicate
    | Hold
    | DropFrames
    | DropSnapshot
    | Refuse
    | Garble
    | RepeatValue
    | FrozenTime
    | WrongValue
    | WrongProvider
    | WrongOutcome
    | Http
    | OrderReply
    | TradePath
    | VenueMode
    | ChainFault
    | RelayerFault
)
_Placed = TypeVar("_Placed", bound=_OnChannel)


def read_faults(raw: bytes) -> tuple[Fault, ...]:
    """A JSON list of faults; raises ValueError saying what is wrong with it."""
    faults = msgspec.json.decode(raw, type=tuple[Fault, ...])
    for fault in faults:
        if isinstance(fault, Garble | DropFrames) and fault.every < 1:
            raise ValueError("every must be at least 1")
        if isinstance(fault, WrongValue) and fault.ppm <= -1_000_000:
            raise ValueError("ppm must leave a value above zero")
        if isinstance(fault, Disconnect) and fault.code is not None and not 3000 <= fault.code <= 4999:
            raise ValueError("code must be a close code a server may choose, 3000 to 4999")
        if isinstance(fault, Hold) and fault.for_ms < 1:
            raise ValueError("for_ms must be at least 1")
        if isinstance(fault, Http | Refuse) and fault.status is not None and not 400 <= fault.status <= 599:
            raise ValueError("status must be an HTTP error, 400 to 599")
        if isinstance(fault, Http) and fault.delay_ms < 0:
            raise ValueError("delay_ms must not be negative")
        if isinstance(fault, OrderReply | TradePath):
            check_trading(fault)
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
        return self._first(Freeze, channel, keys) is not None

    def stalled(self, channel: Channel) -> bool:
        return any(isinstance(f, Stall) and f.channel == channel for f in self.current)

    def drops_snapshot(self, channel: Channel) -> bool:
        return any(isinstance(f, DropSnapshot) and f.channel == channel for f in self.current)

    def repeats(self, channel: Channel, keys: Iterable[str]) -> bool:
        return self._first(RepeatValue, channel, keys) is not None

    def stops_time(self, channel: Channel, keys: Iterable[str]) -> bool:
        return self._first(FrozenTime, channel, keys) is not None

    def wrong_by_ppm(self, channel: Channel, keys: Iterable[str]) -> int:
        fault = self._first(WrongValue, channel, keys)
        return 0 if fault is None else fault.ppm

    def wrong_provider(self, keys: Iterable[str]) -> bool:
        return any(isinstance(f, WrongProvider) and _hits(f.key, keys) for f in self.current)

    def swaps_outcome(self, source: Family) -> bool:
        return any(isinstance(f, WrongOutcome) and f.source == source for f in self.current)

    def doubled(self, channel: Channel, keys: Iterable[str]) -> bool:
        return self._first(Duplicate, channel, keys) is not None

    def hold(self, channel: Channel, keys: Iterable[str]) -> Hold | None:
        return self._first(Hold, channel, keys)

    def garble(self, channel: Channel, keys: Iterable[str]) -> Garble | None:
        return self._first(Garble, channel, keys)

    def drops(self, channel: Channel) -> DropFrames | None:
        for fault in self.current:
            if isinstance(fault, DropFrames) and fault.channel == channel:
                return fault
        return None

    def refusal(self, channel: Channel) -> Refuse | None:
        for fault in self.current:
            if isinstance(fault, Refuse) and fault.channel == channel:
                return fault
        return None

    def venue_mode(self) -> VenueMode | None:
        return next((fault for fault in self.current if isinstance(fault, VenueMode)), None)

    def chain(self) -> ChainFault | None:
        return next((fault for fault in self.current if isinstance(fault, ChainFault)), None)

    def relayer(self) -> RelayerFault | None:
        return next((fault for fault in self.current if isinstance(fault, RelayerFault)), None)

    def http(self, family: str, path: str) -> Http | None:
        for fault in self.current:
            if isinstance(fault, Http) and fault.family == family and fault.path in path:
                return fault
        return None

    def _first(self, kind: type[_Placed], channel: Channel, keys: Iterable[str]) -> _Placed | None:
        for fault in self.current:
            if isinstance(fault, kind) and fault.channel == channel and _hits(fault.key, keys):
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
