"""The ``lag`` strategy: the published rule as a list of gates, strict inequalities throughout.

Move of the reference from the opening > 0.07 %, time left > 300 s, ask of the side in the move's direction
< 0.62, one entry per window; before that: a complete passport and fresh input. Every gate is always
evaluated where it can be, so that ``why`` can show all of them.
"""

from typing import Literal

from common.core.moment import Moment, input_age_ns
from common.core.reference import Reference
from common.core.settings import StrategySettings
from common.messages import BookState, Gate, MarketState, Outcome
from common.units import SECOND, price4_text

Decision = Literal["buy_up", "buy_down", "no_trade"]


def decide(
    settings: StrategySettings,
    market: MarketState,
    reference: Reference | str,
    books: dict[Outcome, BookState | None],
    *,
    passport_gap: str,
    entered: bool,
    unsynced: str,
    contradiction: str,
    moment: Moment,
) -> tuple[Decision, tuple[Gate, ...]]:
    """Judge one window now; ``no_trade`` unless every gate passed.

    ``passport_gap``, ``unsynced`` and ``contradiction`` (what is wrong with the oracle's routes) are reasons,
    empty when there is none; ``reference`` is a reason when there is no reference.
    """
    gates = [
        Gate("passport", passport_gap or "complete", "complete", not passport_gap),
        Gate("input complete", unsynced or "complete", "complete", not unsynced),
        Gate("oracle routes", contradiction or "agree", "agree", not contradiction),
        Gate("one entry per window", "entered" if entered else "none yet", "none yet", not entered),
    ]
    gates += _reference_gates(settings, market, reference, moment)
    side: Outcome | None = None
    if isinstance(reference, Reference) and reference.move_ppm != 0:
        side = "up" if reference.move_ppm > 0 else "down"
    gates += _book_gates(settings, books.get(side) if side else None, side, moment)
    if side is None or not all(gate.passed for gate in gates):
        return "no_trade", tuple(gates)
    return ("buy_up" if side == "up" else "buy_down"), tuple(gates)


def price_cap(settings: StrategySettings, tick4: int) -> int:
    """The highest price on the market's grid that is still less than the rule's limit (1e-4 $)."""
    return (settings.max_price4 - 1) // tick4 * tick4


def _reference_gates(
    settings: StrategySettings, market: MarketState, reference: Reference | str, moment: Moment
) -> list[Gate]:
    left = market.end_ns - moment.wall_ns
    time_gate = Gate(
        "time left",
        _seconds(left),
        f"> {_seconds(settings.min_time_left_ns)}",
        left > settings.min_time_left_ns,
    )
    least = f"> {_percent(settings.min_move_ppm)}"
    if isinstance(reference, str):
        return [
            Gate("oracle age", reference, f"<= {_seconds(settings.max_tick_age_ns)}", False),
            Gate("move", reference, least, False),
            time_gate,
        ]
    age = input_age_ns(reference.observed_ns, reference.mono_ns, moment)
    return [
        Gate(
            "oracle age",
            _seconds(age),
            f"<= {_seconds(settings.max_tick_age_ns)}",
            age <= settings.max_tick_age_ns,
        ),
        Gate("move", _percent(reference.move_ppm), least, abs(reference.move_ppm) > settings.min_move_ppm),
        time_gate,
    ]


def _book_gates(
    settings: StrategySettings, book: BookState | None, side: Outcome | None, moment: Moment
) -> list[Gate]:
    limit = f"< {price4_text(settings.max_price4)}"
    if book is None:
        reason = "no direction" if side is None else "no book yet"
        return [Gate("book", reason, "live", False), Gate("ask", reason, limit, False)]
    state = book_fault(book, settings.max_book_age_ns, moment)
    ask = book.asks[0][0] if book.asks else None
    return [
        Gate("book", state or "live", "live", not state),
        Gate(
            "ask",
            price4_text(ask) if ask is not None else "nobody sells",
            limit,
            ask is not None and ask < settings.max_price4,
        ),
    ]


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
