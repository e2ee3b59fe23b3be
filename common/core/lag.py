"""The ``lag`` strategy: the published rule as a list of gates, strict inequalities throughout.

Move of the reference from the opening > 0.07 %, time left > 300 s, ask of the side in the move's direction
< 0.62, one entry per window; before that: a complete passport and fresh input. Every gate is always
evaluated where it can be, so that ``why`` can show all of them; ``decide`` says which passed, thousands of
times a second, and ``gates`` puts into words what somebody is to read.
"""

from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from common.core.moment import Moment, input_age_ns
from common.core.reference import Reference
from common.core.settings import StrategySettings
from common.messages import BookState, Gate, MarketState, Outcome
from common.units import SECOND, price4_text

Decision = Literal["buy_up", "buy_down", "no_trade"]
_NAMES = (
    "passport",
    "input complete",
    "oracle routes",
    "one entry per window",
    "oracle age",
    "move",
    "time left",
    "book",
    "ask",
)
"""Of the gates, in their order."""


class Sight(msgspec.Struct, frozen=True):
    """All that the rule looks at in one window at one moment.

    ``passport_gap``, ``unsynced`` and ``contradiction`` (what is wrong with the oracle's routes) are reasons,
    empty when there is none; ``reference`` is a reason when there is no reference.
    """

    market: MarketState
    reference: Reference | str
    up: BookState | None
    down: BookState | None
    passport_gap: str
    entered: bool
    unsynced: str
    contradiction: str


class Ruling(NamedTuple):
    """What the rule says: ``no_trade`` unless every gate passed, and which did, in the order of ``gates``."""

    decision: Decision
    passed: tuple[bool, ...]


def decide(settings: StrategySettings, sight: Sight, moment: Moment) -> Ruling:
    """Judge one window now."""
    reference = sight.reference
    fresh = moved = False
    side = None
    if isinstance(reference, Reference):
        age = input_age_ns(reference.observed_ns, reference.mono_ns, moment)
        fresh = age <= settings.max_tick_age_ns
        moved = abs(reference.move_ppm) > settings.min_move_ppm
        side = side_of(reference)
    sound = cheap = False
    book = _book(sight, side)
    if book is not None:
        sound = not book_fault(book, settings.max_book_age_ns, moment)
        cheap = bool(book.asks) and book.asks[0][0] < settings.max_price4
    passed = (
        not sight.passport_gap,
        not sight.unsynced,
        not sight.contradiction,
        not sight.entered,
        fresh,
        moved,
        sight.market.end_ns - moment.wall_ns > settings.min_time_left_ns,
        sound,
        cheap,
    )
    if side is None or not all(passed):
        return Ruling("no_trade", passed)
    return Ruling("buy_up" if side == "up" else "buy_down", passed)


def gates(
    settings: StrategySettings, sight: Sight, passed: tuple[bool, ...], moment: Moment
) -> tuple[Gate, ...]:
    """What ``decide`` ruled at this moment, in words."""
    age, move = _reference_values(sight.reference, moment)
    book, ask = _book_values(settings, sight, moment)
    values = (
        sight.passport_gap or "complete",
        sight.unsynced or "complete",
        sight.contradiction or "agree",
        "entered" if sight.entered else "none yet",
        age,
        move,
        _seconds(sight.market.end_ns - moment.wall_ns),
        book,
        ask,
    )
    thresholds = _thresholds(
        settings.max_tick_age_ns, settings.min_move_ppm, settings.min_time_left_ns, settings.max_price4
    )
    return tuple(map(Gate, _NAMES, values, thresholds, passed))


def price_cap(settings: StrategySettings, tick4: int) -> int:
    """The highest price on the market's grid that is still less than the rule's limit (1e-4 $)."""
    return (settings.max_price4 - 1) // tick4 * tick4


def side_of(reference: Reference) -> Outcome | None:
    """The side in the move's direction; None when nothing moved."""
    if reference.move_ppm == 0:
        return None
    return "up" if reference.move_ppm > 0 else "down"


def _book(sight: Sight, side: Outcome | None) -> BookState | None:
    return sight.up if side == "up" else sight.down if side == "down" else None


@lru_cache(maxsize=8)
def _thresholds(
    max_tick_age_ns: int, min_move_ppm: int, min_time_left_ns: int, max_price4: int
) -> tuple[str, ...]:
    return (
        "complete",
        "complete",
        "agree",
        "none yet",
        f"<= {_seconds(max_tick_age_ns)}",
        f"> {_percent(min_move_ppm)}",
        f"> {_seconds(min_time_left_ns)}",
        "live",
        f"< {price4_text(max_price4)}",
    )


def _reference_values(reference: Reference | str, moment: Moment) -> tuple[str, str]:
    if isinstance(reference, str):
        return reference, reference
    age = input_age_ns(reference.observed_ns, reference.mono_ns, moment)
    return _seconds(age), _percent(reference.move_ppm)


def _book_values(settings: StrategySettings, sight: Sight, moment: Moment) -> tuple[str, str]:
    side = side_of(sight.reference) if isinstance(sight.reference, Reference) else None
    book = _book(sight, side)
    if book is None:
        reason = "no direction" if side is None else "no book yet"
        return reason, reason
    fault = book_fault(book, settings.max_book_age_ns, moment)
    return fault or "live", price4_text(book.asks[0][0]) if book.asks else "nobody sells"


def book_fault(book: BookState, max_age_ns: int, moment: Moment) -> str:
    """Why this book may not be traded on, or empty."""
    if book.status != "live":
        return f"book is {book.status}"
    age = moment.mono_ns - book.data_mono_ns
    if age > max_age_ns:
        return f"silent for {_seconds(age)}"
    if book.bids and book.asks and book.bids[0][0] >= book.asks[0][0]:
        return "crossed"
    return ""


def _percent(ppm: int) -> str:
    return f"{ppm / 10_000:.4f} %"


def _seconds(ns: int) -> str:
    return f"{ns / SECOND:.1f} s"
