"""Prices with their age: ``price_at`` is the only way a study gets one, and it raises rather than mislead.

An order can only take a quote that is there when it arrives. Joining the last quote from *before* a decision
takes one that is gone: on one-minute samples, 51 s old in the median, that alone makes a loss look like a
third of the stake won. Here such a join does not exist unless it is asked for by its name, and then whatever
comes of it says so.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from common.errors import LaggardError
from common.units import SECOND

FLATTERED = "FLATTERED: stale prices"
"""The label that everything made of stale prices carries."""
MAX_CLOCK_LEAD_NS = SECOND
"""Recorders' clocks run up to 0.15 s behind the venue's; more than this is no matter of clocks."""


class NoPrice(LaggardError):
    """There is no price that may be used at that instant."""


class PriceTooOld(NoPrice):
    """The price there is, is older than allowed, or there is none any more."""


class PriceFromTheFuture(NoPrice):
    """The next price came later than an order would have waited, or bears a stamp from after it came."""


class Ages(NamedTuple):
    """What may pass between an instant and the price that is used for it."""

    max_wait_ns: int
    """From the instant at which a price is wanted to our receipt of the one that is used."""
    max_age_ns: int
    """From the venue's own stamp of that price to our receipt of it."""


class Priced(NamedTuple):
    """Which price it is, and how it lies in time."""

    row: int
    """Where it is in the sequence asked."""
    at_ns: int
    """When we received it."""
    wait_ns: int
    """From the instant asked for to it; negative where it was older, which only a flattered one can be."""
    age_ns: int | None
    """Its own age at its receipt, by the venue's stamp; None where that was not recorded."""
    label: str = ""
    """FLATTERED, or empty."""


def price_at(
    at_ns: Sequence[int],
    venue_ns: Sequence[int | None],
    wanted_ns: int,
    ages: Ages,
    *,
    flatter: bool = False,
) -> Priced:
    """The first price received at or after ``wanted_ns``; ``at_ns`` is sorted, ``venue_ns`` may hold None.

    Raises PriceFromTheFuture when it came later than ``ages`` allow or is stamped after its receipt, and
    PriceTooOld when it was older than allowed on its arrival, or when none came any more. ``flatter`` gives
    the last price at or before ``wanted_ns`` instead, however old, and labels it.
    """
    if flatter:
        index = bisect_right(at_ns, wanted_ns) - 1
        if index < 0:
            raise PriceFromTheFuture("there is no price yet: the first one comes later")
        return _priced(at_ns, venue_ns, index, wanted_ns, FLATTERED)
    index = bisect_left(at_ns, wanted_ns)
    if index == len(at_ns):
        last = f": the last one is {_seconds(wanted_ns - at_ns[-1])} old" if at_ns else ""
        raise PriceTooOld(f"no price came any more{last}")
    found = _priced(at_ns, venue_ns, index, wanted_ns, "")
    if found.wait_ns > ages.max_wait_ns:
        raise PriceFromTheFuture(
            f"the next price came {_seconds(found.wait_ns)} later, more than {_seconds(ages.max_wait_ns)}"
        )
    age_ns = found.age_ns or 0
    if age_ns < -MAX_CLOCK_LEAD_NS:
        raise PriceFromTheFuture(f"the price is stamped {_seconds(-age_ns)} after its own receipt")
    if age_ns > ages.max_age_ns:
        raise PriceTooOld(
            f"the price was {_seconds(age_ns)} old when it came, more than {_seconds(ages.max_age_ns)}"
        )
    return found


def _priced(
    at_ns: Sequence[int], venue_ns: Sequence[int | None], index: int, wanted_ns: int, label: str
) -> Priced:
    received, stamped = at_ns[index], venue_ns[index]
    return Priced(
        index, received, received - wanted_ns, received - stamped if stamped is not None else None, label
    )


def _seconds(ns: int) -> str:
    return f"{ns / SECOND:.1f} s"
