"""Recorded files to wire frames: which text of which line was a frame, of which source, received when.

Owns every wrapper recorders put around a frame. Looks into a frame only to tell it from a wrapper.
"""

import gzip
import json
import sys
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from common.errors import LaggardError
from common.units import MILLISECOND, SECOND

Source = Literal["rtds", "clob-market", "gamma", "chainlink", "polybolt"]
MAX_BYTES = 1 << 30

_RAW_KEYS: dict[str, frozenset[str]] = {
    "rtds": frozenset({"topic", "statusCode", "connectionId"}),
    "clob-market": frozenset({"event_type", "bids", "price_changes"}),
    "gamma": frozenset({"conditionId", "clobTokenIds", "positionIds", "markets", "events"}),
    "chainlink": frozenset({"report", "fullReport"}),
    "polybolt": frozenset({"v", "op"}),
}
_FRAME_KEYS = ("frame", "payload", "raw", "data", "message", "msg", "text", "body", "response", "book")
_TIME_KEYS = (
    "recv_wall_ns",
    "recv_ns",
    "ts_recv_ns",
    "recv_wall_ts",
    "recv_wall_ms",
    "recv_ms",
    "recv_ts",
    "received_ms",
    "received_at",
    "wall_ns",
    "t",
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS = msgspec.json.Encoder(decimal_format="number")


class UnreadableFileError(LaggardError):
    """The file cannot be read at all."""


class Recorded(NamedTuple):
    """One frame of a file; ``frame`` is None where the line belongs to another source or direction."""

    line: int
    frame: str | None
    recv_ns: int | None
    """Our wall clock at receipt; None where the recording does not say."""


def read_text(name: str) -> str:
    """The whole file, unpacked when it is gzip; ``-`` is standard input. Raises UnreadableFileError."""
    try:
        packed = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        if packed[:2] == b"\x1f\x8b":
            packed = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UnreadableFileError(f"cannot read {name}: {reason}") from None
    if len(packed) > MAX_BYTES:
        raise UnreadableFileError(f"{name} is larger than {MAX_BYTES >> 20} MiB unpacked; split it by lines")
    return packed.decode("utf-8-sig", "replace")


def recorded_frames(source: Source, text: str) -> Iterator[Recorded]:
    """Every frame of a file in its order: one document over several lines, or one frame or wrapper a line."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    if len(lines) > 1:
        whole = _parsed(text)
        if isinstance(whole, Mapping | list):
            yield from _document(source, text, whole)
            return
    for number, line in enumerate(lines, 1):
        yield from _unwrap(source, number, line.rstrip("\r"), _parsed(line))


def _document(source: Source, text: str, whole: object) -> Iterator[Recorded]:
    # A list of objects is one frame where the source sends arrays, and a list of frames elsewhere.
    if isinstance(whole, list) and (
        source in ("rtds", "polybolt") or any(_wraps(source, item) for item in whole)
    ):
        for item in whole:
            yield from _unwrap(source, 1, _text_of(item), item)
    else:
        yield from _unwrap(source, 1, text, whole)


def _unwrap(source: Source, number: int, line: str, value: object) -> Iterator[Recorded]:
    if isinstance(value, str):
        yield Recorded(number, value, None)
        return
    if not isinstance(value, Mapping) or not _wraps(source, value):
        yield Recorded(number, line, None)
        return
    recv_ns = _receipt(value)
    if not _ours(source, value):
        yield Recorded(number, None, recv_ns)
        return
    for key in _FRAME_KEYS:
        if key in value:
            yield Recorded(number, _text_of(value[key]), recv_ns)
            return
    for inner in _frames_of(value):
        yield Recorded(number, _text_of(inner), recv_ns)


def _wraps(source: Source, value: object) -> bool:
    """Whether this object is a recorder's wrapper rather than a frame."""
    if not isinstance(value, Mapping) or _RAW_KEYS[source] & set(value):
        return False
    if _frames_of(value):
        return True
    inner = next((value[key] for key in _FRAME_KEYS if key in value), None)
    if isinstance(inner, str):
        # An error envelope carries its text under one of these names, too; a wrapper says more than that.
        return bool(set(value) & {*_TIME_KEYS, "source", "dir", "direction"}) or _looks_like_frame(inner)
    # A page of discovery also holds its list under ``data``.
    return isinstance(inner, Mapping) or (isinstance(inner, list) and source != "gamma")


def _looks_like_frame(text: str) -> bool:
    return text.strip() in ("", "PONG") or text.lstrip()[:1] in ("{", "[")


def _frames_of(value: Mapping[str, object]) -> list[object]:
    """A record of a sequence: a first frame, and the ones after it."""
    found = [inner for key, inner in value.items() if key.endswith("_frame") and not isinstance(inner, list)]
    for key, inner in value.items():
        if (key == "frames" or key.endswith("_frames")) and isinstance(inner, list):
            found += inner
    return found if all(isinstance(inner, str | Mapping) for inner in found) else []


def _ours(source: Source, value: Mapping[str, object]) -> bool:
    direction = value.get("dir", value.get("direction", "recv"))
    if direction not in ("recv", "in", "received"):
        return False
    named = value.get("source")
    if not isinstance(named, str):
        return True
    if source == "chainlink" and ("rtds" in named.lower() or "polybolt" in named.lower()):
        return False  # a relay's topic of that name
    return ("clob" if source == "clob-market" else source) in named.lower()


def _receipt(value: Mapping[str, object]) -> int | None:
    for key in _TIME_KEYS:
        at_ns = _instant_ns(value.get(key))
        if at_ns is not None:
            return at_ns
    return None


def _instant_ns(value: object) -> int | None:
    """Nanoseconds of a stamp in s, ms, µs or ns, told apart by size, or of ISO text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    if not isinstance(value, int | Decimal) or not 10**8 < value < 2**63:
        return None
    for ceiling, unit in ((10**11, SECOND), (10**14, MILLISECOND), (10**17, 1000)):
        if value < ceiling:
            return int(value * unit)
    return int(value)


def _parsed(text: str) -> object:
    try:
        document: object = json.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    return document


def _text_of(value: object) -> str:
    """A frame that was recorded as text, or as the object it parsed to."""
    if isinstance(value, str):
        return value
    try:
        return _NUMBERS.encode(value).decode()
    except ValueError:
        # Half a character, as only an escape can write it, cannot stand in text; the rest can be judged.
        return json.dumps(value, default=str)
