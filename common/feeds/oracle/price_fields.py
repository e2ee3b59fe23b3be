"""What every oracle route has in common, read strictly: frames, values, stamps, and what carries no price.

Pure. Units differ by route (an integer scaled by 1e18, or a plain decimal) and are never guessed: the caller
names the unit, and the rounded ``value`` beside the exact one must agree with it.
"""

import json
from decimal import Decimal, InvalidOperation
from typing import Literal

import msgspec

from common.errors import FrameRefused
from common.units import E18, MILLISECOND, SECOND, NotANumber, price18_from_e18, price18_from_plain

ASSETS = ("btc", "eth", "sol", "xrp", "doge", "bnb", "hype", "zec")
EARLIEST_NS = 1_577_836_800 * SECOND
"""1 January 2020: no stamp of these streams is older."""
FUTURE_NS = 5 * SECOND
"""A stamp further ahead of our clock than this is wrong, or our clock is."""
PARTS_PER_BAND = 1_000
"""``value`` must be within a thousandth of the exact field: a unit mix-up is off by far more."""
HIGHEST = 10**9 * E18
_NO_LOWER = 10**9
"""Below this a display value, cut to 1e-18, may be off by more than its rounding."""
_NO_LONGER = 30
"""Characters of a display value; the longest double takes 24."""

Unit = Literal["e18", "plain"]


class Control(msgspec.Struct, frozen=True, tag_field="t", tag="control"):
    """What a frame says besides prices; ``gap`` is the venue's own word that something did not reach us."""

    kind: Literal["empty", "pong", "ack", "error", "gap", "other"]
    text: str = ""
    missed: int = 0
    """Frames that are known to be missing, for ``gap``."""


def json_object(frame: str | bytes, most: int) -> dict[str, object] | None:
    """The one JSON object of a frame, fractions as Decimal; None when there is no object but white space.

    Raises FrameRefused for anything else, and for a frame of more than ``most`` characters.
    """
    text = frame.decode("utf-8", "replace") if isinstance(frame, bytes) else frame
    if len(text) > most:
        raise FrameRefused("oversized", f"{len(text)} characters")
    if not text.strip():
        return None
    try:
        document = json.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise FrameRefused("not-json", str(error)[:120]) from None
    if not isinstance(document, dict):
        raise FrameRefused("not-an-object", type(document).__name__)
    return document


def exact_value(exact: object, shown: object, unit: Unit) -> int:
    """A price in 1e-18 dollars from its exact field, or from the display value where there is none.

    Raises FrameRefused when it is no price of these assets, or when the two disagree.
    """
    try:
        display = None if shown is None else price18_from_plain(_number_text(shown))
        if exact is None:
            value = display
        elif not isinstance(exact, str):
            raise FrameRefused("value", f"the exact value is {type(exact).__name__}, not text")
        else:
            value = price18_from_plain(exact) if unit == "plain" else price18_from_e18(exact)
    except NotANumber as error:
        raise FrameRefused("value", str(error)) from None
    if value is None:
        raise FrameRefused("value", "no value at all")
    if not 0 < value < HIGHEST:
        raise FrameRefused("value", f"{value} x 1e-18 is no price of these assets")
    if display is not None and abs(display - value) * PARTS_PER_BAND > value:
        raise FrameRefused("unit", f"value {shown!s:.40} and exact value {exact!s:.40} disagree")
    return value


def prompt_value(exact: str, shown: msgspec.Raw, unit: Unit) -> int | None:
    """As ``exact_value`` of two fields that plainly agree, without decimals; None: it must decide.

    ``shown`` is the display value as it stands in the frame.
    """
    if len(shown) > _NO_LONGER:
        return None
    try:
        value = price18_from_plain(exact) if unit == "plain" else price18_from_e18(exact)
        # Half the band: what a double rounds away decides nothing.
        agree = abs(float(shown) * E18 - value) * PARTS_PER_BAND * 2 < value
    except ValueError:
        return None
    return value if agree and _NO_LOWER < value < HIGHEST else None


def stamp_ns(stamp: object, name: str, recv_ns: int | None) -> int:
    """An instant from whole milliseconds; ``recv_ns`` (our clock, None: unknown) refuses the future."""
    if isinstance(stamp, bool) or not isinstance(stamp, int):
        raise FrameRefused("stamp", f"{name} is {type(stamp).__name__}, not a whole number of milliseconds")
    instant_ns = stamp * MILLISECOND
    if not EARLIEST_NS < instant_ns < 2**63:
        raise FrameRefused("stamp", f"{name} {stamp!s:.30} is not milliseconds of this time")
    if recv_ns is not None and instant_ns > recv_ns + FUTURE_NS:
        raise FrameRefused(
            "future", f"{name} {stamp} is ahead of our clock by {(instant_ns - recv_ns) // SECOND} s"
        )
    return instant_ns


def _number_text(shown: object) -> str:
    """The display value's own digits; a JSON number, or text as some relays send it."""
    if isinstance(shown, bool) or not isinstance(shown, int | Decimal | str):
        raise NotANumber(f"value is {type(shown).__name__}")
    try:
        # Not the "f" format: written out, an exponent of a few characters fills the memory.
        return str(Decimal(shown))
    except InvalidOperation:
        raise NotANumber(f"value {str(shown)[:40]!r} is no number") from None
