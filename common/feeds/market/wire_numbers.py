"""Prices and sizes of the market channel from the wire's decimal text, quickly: most texts were read before.

Pure. Raises NotANumber for what is no number and FrameRefused for a number that cannot be.
"""

from functools import lru_cache

from common.errors import FrameRefused
from common.units import PRICE4_ONE, price4_exact, size6_floor

MAX_SIZE6 = 10**18
"""A million million shares: beyond it a size is nonsense, and soon no longer fits a message."""
_PLACES = 6
_MAX_PLAIN = 18
_SCALES: tuple[int, ...] = tuple(10 ** (_PLACES - places) for places in range(_PLACES + 1))


def size6_of(text: str) -> int:
    """``size6_floor``, quick for what the venue writes: digits, perhaps a point and up to six more."""
    whole, point, rest = text.partition(".")
    if (
        len(text) <= _MAX_PLAIN
        and len(rest) <= _PLACES
        and text.isascii()
        and whole.isdigit()
        and (rest.isdigit() or not point)
    ):
        return int(whole + rest) * _SCALES[len(rest)]
    return size6_floor(text)


# Both tokens of a market state the same size, and a book repeats most texts of the one before.
_known_price4 = lru_cache(maxsize=4096)(price4_exact)
_known_size6 = lru_cache(maxsize=16_384)(size6_of)


def price4(text: object) -> int:
    """The price of an order."""
    price = _known_price4(plain(text))
    if not 0 < price < PRICE4_ONE:
        raise FrameRefused("price", f"{str(text)[:20]} is not between 0 and 1")
    return price


def last4(text: object) -> int | None:
    """A stated price; None where nothing is written."""
    if text in (None, ""):
        return None
    price = _known_price4(plain(text))
    if not 0 <= price <= PRICE4_ONE:
        raise FrameRefused("price", f"{str(text)[:20]} is not between 0 and 1")
    return price


def best4(text: object) -> int | None:
    """A best price; the venue writes an empty side as "", "0" or "1": no order can rest at either end."""
    price = last4(text)
    return None if price in (0, PRICE4_ONE) else price


def size6(text: object) -> int:
    """The size of an order or of a whole level."""
    size = _known_size6(plain(text))
    if not 0 <= size <= MAX_SIZE6:
        raise FrameRefused("size", f"{str(text)[:20]} is no size of an order")
    return size


def tick4(text: object) -> int:
    """The distance between two prices."""
    tick = price4_exact(plain(text))
    if not 0 < tick < PRICE4_ONE:
        raise FrameRefused("tick", f"{str(text)[:20]} is no tick size")
    return tick


def plain(text: object) -> str:
    """The text itself; raises FrameRefused when it is none."""
    if not isinstance(text, str):
        raise FrameRefused("number", f"{type(text).__name__} where the venue writes text")
    return text
