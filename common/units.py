"""Integer units of money, price, size and time, and their conversion from and to the venue's decimal text.

Nothing that becomes an order, a balance or a limit is ever a float. Rounding is in the function's name.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, InvalidOperation
from typing import NewType

Price4 = NewType("Price4", int)
"""Token price in 1e-4 dollars per share: 0.62 is 6200."""
Size6 = NewType("Size6", int)
"""Shares in 1e-6."""
Usd6 = NewType("Usd6", int)
"""Money in 1e-6 dollars."""
Price18 = NewType("Price18", int)
"""Oracle price in 1e-18 dollars."""
Ns = NewType("Ns", int)
"""Nanoseconds: an instant since 1970 (``*_ts_ns``, ``ts_*_ns``), a monotonic reading or a duration."""
Ppm = NewType("Ppm", int)
"""Parts per million: a move of 0.07 % is 700."""

PRICE4_ONE = 10_000
SIZE6_ONE = 1_000_000
USD6_ONE = 1_000_000
E18 = 10**18
SECOND = 1_000_000_000
MILLISECOND = 1_000_000

_MAX_DIGITS = 60
_WIDE = Context(prec=4 * _MAX_DIGITS)
"""No product here needs more digits; the default of 28 rounds what does not fit."""


class NotANumber(ValueError):
    """The text is not a finite decimal number of a sane length."""


def decimal_of(text: str) -> Decimal:
    """Read a finite decimal; raises NotANumber on anything else."""
    if not isinstance(text, str) or not 0 < len(text) <= _MAX_DIGITS:
        raise NotANumber(f"not a decimal number: {str(text)[:40]!r}")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise NotANumber(f"not a decimal number: {text[:40]!r}") from None
    if not value.is_finite() or abs(value.adjusted()) > _MAX_DIGITS:
        raise NotANumber(f"not a finite decimal number: {text[:40]!r}")
    return value


def _exact(text: str, scale: int) -> int:
    scaled = _scaled(text, scale)
    if scaled != scaled.to_integral_value():
        raise NotANumber(f"{text!r} has more decimals than 1/{scale}")
    return int(scaled)


def _scaled(text: str, scale: int) -> Decimal:
    return _WIDE.multiply(decimal_of(text), Decimal(scale))


def _floor(text: str, scale: int) -> int:
    return int(_scaled(text, scale).to_integral_value(rounding=ROUND_FLOOR))


def price4_exact(text: str) -> Price4:
    """Token price from venue text; raises NotANumber when it is finer than 1e-4 or not a number."""
    return Price4(_exact(text, PRICE4_ONE))


def size6_floor(text: str) -> Size6:
    """Shares from venue text, cut to 1e-6."""
    return Size6(_floor(text, SIZE6_ONE))


def usd6_floor(text: str) -> Usd6:
    """Dollars from text, cut to 1e-6."""
    return Usd6(_floor(text, USD6_ONE))


def usd6_exact(text: str) -> Usd6:
    """Dollars from text; raises NotANumber when they are finer than 1e-6 or not a number."""
    return Usd6(_exact(text, USD6_ONE))


def ppm_of_percent_exact(text: str) -> Ppm:
    """A percentage in parts per million, 0.07 is 700; raises NotANumber when finer."""
    return Ppm(_exact(text, 10_000))


def ppm_exact(text: str) -> Ppm:
    """A ratio such as the fee rate 0.07 in parts per million; raises NotANumber when finer."""
    return Ppm(_exact(text, 1_000_000))


def price18_from_plain(text: str) -> Price18:
    """Oracle price from a plain decimal (Binance topic, PolyBolt), cut to 1e-18."""
    return Price18(_floor(text, E18))


def price18_from_e18(text: str) -> Price18:
    """Oracle price from an integer already scaled by 1e18 (RTDS Chainlink and TWAP topics)."""
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        raise NotANumber(f"not an integer scaled by 1e18: {text[:40]!r}")
    return Price18(int(text))


def floor_div(numerator: int, denominator: int) -> int:
    """Division rounded towards minus infinity."""
    return numerator // denominator


def ceil_div(numerator: int, denominator: int) -> int:
    """Division rounded towards plus infinity."""
    return -(-numerator // denominator)


def cost_usd6_ceil(price: Price4, size: Size6) -> Usd6:
    """What a buyer pays for ``size`` shares at ``price``, rounded against the buyer."""
    return Usd6(ceil_div(price * size, PRICE4_ONE))


def move_ppm(value: int, base: int) -> Ppm:
    """Relative move of ``value`` from ``base``, rounded towards zero: a limit is never met by rounding."""
    difference = value - base
    size = abs(difference) * 1_000_000 // base
    return Ppm(size if difference >= 0 else -size)


def seconds_to_ns(text: str) -> Ns:
    """Seconds as decimal text to nanoseconds, rounded up."""
    return Ns(int(_scaled(text, SECOND).to_integral_value(rounding=ROUND_CEILING)))


def price4_text(price: int) -> str:
    """``6200`` to ``0.62``."""
    return _plain(price, 4)


def usd6_text(amount: int, *, places: int = 2) -> str:
    """Money for people, cut (not rounded up) to ``places`` decimals."""
    sign = "-" if amount < 0 else ""
    whole, rest = divmod(abs(amount), USD6_ONE)
    return f"{sign}{whole}.{f'{rest:06d}'[:places]}" if places else f"{sign}{whole}"


def size6_text(size: int) -> str:
    """``20500000`` to ``20.5``."""
    return _plain(size, 6)


def price18_text(value: int, *, places: int = 2) -> str:
    """Oracle price for people, cut to ``places`` decimals."""
    whole, rest = divmod(value, E18)
    return f"{whole}.{f'{rest:018d}'[:places]}"


def _plain(value: int, places: int) -> str:
    text = f"{abs(value):0{places + 1}d}"
    body = f"{text[:-places]}.{text[-places:]}".rstrip("0").rstrip(".")
    return f"-{body}" if value < 0 else body
