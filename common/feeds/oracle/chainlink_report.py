"""Signed reports of Chainlink Data Streams to prices. Pure; the oracles' signatures are not checked.

A report is an ABI tuple: three context words, the report proper, two arrays of signature halves and a word of
their parities. Its own first word is the feed id, whose first two bytes name the schema.
"""

import re
from collections.abc import Mapping

import msgspec

from common.errors import FrameRefused
from common.feeds.oracle.price_fields import HIGHEST, Control, json_object, stamp_ns
from common.messages import RouteName, SeriesKind, Tick
from common.units import SECOND

ROUTE: RouteName = "chainlink"
MAX_FRAME_BYTES = 1 << 16
TWAP_SCHEMA, SPOT_SCHEMA = 2, 3
WORD = 32
_HEAD = 7 * WORD
_LENGTHS = {TWAP_SCHEMA: 7 * WORD, SPOT_SCHEMA: 9 * WORD}
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})+")


class Report(msgspec.Struct, frozen=True):
    """What one report says, checked: prices in 1e-18 dollars, stamps in ns, fees in 1e-18 of their coin."""

    feed_id: str
    """``0x`` and 64 lower-case digits."""
    schema: int
    valid_from_ns: int
    observed_ns: int
    expires_ns: int
    native_fee: int
    link_fee: int
    price18: int
    """The benchmark of a spot report, the mean of a TWAP report."""
    bid18: int | None = None
    ask18: int | None = None
    """Spot reports only."""


def schema_of(feed_id: str) -> int:
    """The schema a feed id (``0x`` and 64 digits) announces."""
    return int(feed_id[2:6], 16)


def tick_of(report: Report, kind: SeriesKind, asset: str, *, backfill: bool = False) -> Tick:
    """The tick of a report, for the series its feed belongs to."""
    return Tick(
        asset=asset,
        kind=kind,
        route=ROUTE,
        observed_ns=report.observed_ns,
        e18=str(report.price18),
        backfill=backfill,
        bid_e18=None if report.bid18 is None else str(report.bid18),
        ask_e18=None if report.ask18 is None else str(report.ask18),
    )


def parse_frame(frame: str | bytes, recv_ns: int | None) -> Report | Control:
    """The report of one message, in ``report`` as the stream sends it or bare as pages hold it.

    Raises FrameRefused with the reason when it is unusable. ``recv_ns`` is our wall clock at receipt; None
    (a recording without it) skips what only a live report must fulfil.
    """
    document = json_object(frame, MAX_FRAME_BYTES)
    if document is None:
        return Control("empty")
    return read_report(document.get("report", document), recv_ns)


def read_report(envelope: object, recv_ns: int | None) -> Report:
    """The report of an envelope, whose own feed id and stamps, where it has them, must be those inside.

    Raises FrameRefused.
    """
    if not isinstance(envelope, Mapping) or not isinstance(envelope.get("fullReport"), str):
        keys = ", ".join(sorted(envelope)) if isinstance(envelope, Mapping) else type(envelope).__name__
        raise FrameRefused("no-report", f"no text named fullReport in {keys[:120]}")
    report = decode_report(envelope["fullReport"], recv_ns)
    outside = envelope.get("feedID", report.feed_id)
    if not isinstance(outside, str) or outside.lower() != report.feed_id:
        raise FrameRefused("envelope", f"feedID {outside!s:.70} around a report of {report.feed_id}")
    for name, inside_ns in (
        ("validFromTimestamp", report.valid_from_ns),
        ("observationsTimestamp", report.observed_ns),
    ):
        stated = envelope.get(name, inside_ns // SECOND)
        if isinstance(stated, bool) or stated != inside_ns // SECOND:
            raise FrameRefused("envelope", f"{name} {stated!s:.30}, inside {inside_ns // SECOND}")
    return report


def decode_report(full_report: str, recv_ns: int | None) -> Report:
    """A ``fullReport`` of schema v2 or v3; raises FrameRefused when it is another or breaks its rules."""
    if not _HEX.fullmatch(full_report):
        raise FrameRefused("hex", f"no bytes in hex: {full_report[:20]!r}")
    payload = bytes.fromhex(full_report[2:])
    if len(payload) % WORD:
        raise FrameRefused("layout", f"{len(payload)} bytes are no whole words")
    body = _body(payload)
    feed_id = "0x" + body[:WORD].hex()
    schema = schema_of(feed_id)
    if schema not in _LENGTHS:
        raise FrameRefused("schema", f"v{schema} of {feed_id}; only v2 and v3 are read")
    if len(body) != _LENGTHS[schema]:
        raise FrameRefused("layout", f"{len(body)} bytes of v{schema}, not {_LENGTHS[schema]}")
    valid_from_s = _unsigned(body, 1, 32, "validFromTimestamp")
    observed_s = _unsigned(body, 2, 32, "observationsTimestamp")
    observed_ns = stamp_ns(observed_s * 1000, "observationsTimestamp", recv_ns)
    expires_s = _unsigned(body, 5, 32, "expiresAt")
    if recv_ns is not None and expires_s < observed_s:
        raise FrameRefused("expired", f"valid until {expires_s}, before its observation at {observed_s}")
    price18, bid18, ask18 = _price(body, 6, "price"), None, None
    if schema == SPOT_SCHEMA:
        bid18, ask18 = _price(body, 7, "bid"), _price(body, 8, "ask")
        if not bid18 <= price18 <= ask18:
            raise FrameRefused("spread", f"bid {bid18}, price {price18}, ask {ask18}")
    return Report(
        feed_id=feed_id,
        schema=schema,
        valid_from_ns=valid_from_s * SECOND,
        observed_ns=observed_ns,
        expires_ns=expires_s * SECOND,
        native_fee=_unsigned(body, 3, 192, "nativeFee"),
        link_fee=_unsigned(body, 4, 192, "linkFee"),
        price18=price18,
        bid18=bid18,
        ask18=ask18,
    )


def _body(payload: bytes) -> bytes:
    """The report proper, after a look at the parts around it: all must lie within the payload."""
    start, size = _part(payload, 3, 1)
    halves = [_part(payload, word, WORD)[1] for word in (4, 5)]
    if halves[0] != halves[1]:
        raise FrameRefused("layout", f"{halves[0]} first and {halves[1]} second halves of signatures")
    if size < WORD:
        raise FrameRefused("layout", f"a report of {size} bytes")
    return payload[start : start + size]


def _part(payload: bytes, word: int, unit: int) -> tuple[int, int]:
    """Where the dynamic part whose offset is in this word begins, and how many units it has.

    Beyond the end there are no words, which read as 0: then the last check refuses.
    """
    offset = _word(payload, word)
    if offset % WORD or offset < _HEAD:
        raise FrameRefused("layout", f"word {word} points to {offset!s:.20} of {len(payload)} bytes")
    size = _word(payload, offset // WORD)
    start = offset + WORD
    if size * unit > len(payload) - start:
        raise FrameRefused("layout", f"{size!s:.20} x {unit} bytes at {start} of {len(payload)}")
    return start, size


def _word(words: bytes, index: int) -> int:
    return int.from_bytes(words[index * WORD : (index + 1) * WORD], "big")


def _unsigned(words: bytes, index: int, bits: int, name: str) -> int:
    value = _word(words, index)
    if value >> bits:
        raise FrameRefused("layout", f"{name} has more than {bits} bits")
    return value


def _price(words: bytes, index: int, name: str) -> int:
    value = int.from_bytes(words[index * WORD : (index + 1) * WORD], "big", signed=True)
    if not -(1 << 191) <= value < 1 << 191:
        raise FrameRefused("layout", f"{name} is no signed number of 192 bits")
    if not 0 < value < HIGHEST:
        raise FrameRefused("value", f"{name} {value} x 1e-18 is no price of these assets")
    return value
