"""What a market of a given day charged, how long it held a taker, and what it settled on.

Only for recordings that do not say so themselves: a market's own values always win. What is not known of a
period is None, never a guess.
"""

from bisect import bisect_right
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from common.units import MILLISECOND, SECOND

T = TypeVar("T")

USUAL_TICK4 = 100
USUAL_MIN_SIZE6 = 5_000_000


class Terms(NamedTuple):
    """What is known of the markets that opened at one instant."""

    era: str
    """``no-fee-spot``, ``fee-spot`` or ``fee-twap``."""
    fee_rate_ppm: int
    fee_exponent: int
    taker_delay_ns: int | None


def _ns(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * SECOND


_ERAS: tuple[tuple[int, str], ...] = (
    (0, "no-fee-spot"),
    (_ns(2026, 1, 5), "fee-spot"),
    (_ns(2026, 8, 7), "fee-twap"),
)
_FEES: tuple[tuple[int, tuple[int, int]], ...] = (
    (0, (0, 1)),
    # The first curve is described twice: 1.56 cents a share at most, about 3 % of the stake at 0.50. Both are
    # shares x 0.25 x (p(1-p))^2.
    (_ns(2026, 1, 5), (250_000, 2)),
    (_ns(2026, 3, 30), (72_000, 1)),
    (_ns(2026, 5, 22), (70_000, 1)),
)
"""Announcements of 5 January and 30 March 2026; 0.072 in market objects of April, 0.07 seen by 22 May."""
_DELAYS: tuple[tuple[int, int | None], ...] = (
    (0, None),
    (_ns(2025, 11, 14), 500 * MILLISECOND),
    # Removed on 18 February; it was back by June, and nobody wrote down since when.
    (_ns(2026, 2, 18), None),
    (_ns(2026, 6, 1), 250 * MILLISECOND),
    (_ns(2026, 8, 17), 50 * MILLISECOND),
    (_ns(2026, 9, 4), 150 * MILLISECOND),
)


def terms_at(start_ns: int) -> Terms:
    """The terms of a crypto Up/Down market that opens then."""
    return Terms(_at(_ERAS, start_ns), *_at(_FEES, start_ns), _at(_DELAYS, start_ns))


def _at(steps: tuple[tuple[int, T], ...], at_ns: int) -> T:
    return steps[bisect_right([since for since, _ in steps], at_ns) - 1][1]
