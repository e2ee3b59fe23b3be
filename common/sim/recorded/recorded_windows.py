"""Windows of a recording and the part of their life that is the same in every layout.

Says when a window is listed, when its strike and outcome become visible. Reads no file.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from common.sim.naming import made_up_ids, question_of, resolution_source, window_label, window_slug
from common.sim.recorded.retime import Retime, Span
from common.sim.script import Listed, MarketSpec, Resolved, Step, StrikePublished
from common.units import SECOND

RESOLUTION_DELAY_S = 20
"""Recorded seconds from a window's end to its outcome."""
LISTED_AHEAD = 2
DEFAULT_FEE_RATE = "0.07"


@dataclass(frozen=True, slots=True)
class RecordedWindow:
    """One window in recorded time with what the recording knows of it."""

    asset: str
    start_ns: int
    end_ns: int
    condition_id: str
    token_up: str
    token_down: str
    outcome: str | None = None
    strike_e18: int | None = None
    """Published by the venue after the end; None: never."""
    final_e18: int | None = None
    fee_rate: str = DEFAULT_FEE_RATE
    fee_exponent: int = 1
    tick_size: str = "0.01"
    min_size: str = "5"
    version: str = "v1"
    twap_lookback_s: int | None = None
    source: str = ""
    question: str = ""
    known_ns: int | None = None
    """Recorded instant at which it became visible; None: two windows ahead of its opening."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording that has been read: what it holds, and its steps once it is placed on a run's clock."""

    layout: str
    assets: tuple[str, ...]
    span: Span
    windows: tuple[RecordedWindow, ...]
    book: str
    oracle: str
    notes: tuple[str, ...]
    steps: Callable[[Retime, int], Iterator[Step]]
    """Called with the map and the start of the run (ns)."""


def made_up_window(asset: str, start_ns: int, window_s: int) -> RecordedWindow:
    """A window whose identifiers the recording does not tell."""
    start_s = start_ns // SECOND
    condition_id, token_up, token_down = made_up_ids(f"recorded:{window_slug(asset, window_s, start_s)}")
    end_ns = start_ns + window_s * SECOND
    return RecordedWindow(asset, start_ns, end_ns, condition_id, token_up, token_down)


def grid_windows(asset: str, first_ns: int, last_ns: int, window_s: int) -> list[RecordedWindow]:
    """The windows on the unix grid that overlap the span."""
    length_ns = window_s * SECOND
    first = first_ns // length_ns
    return [
        made_up_window(asset, index * length_ns, window_s)
        for index in range(first, max(first, (last_ns - 1) // length_ns) + 1)
    ]


def by_boundary(strike_e18: int | None, close_e18: int | None) -> str | None:
    """The rule of the venue: Up when the close is not below the open; None when one is missing."""
    if strike_e18 is None or close_e18 is None:
        return None
    return "Up" if close_e18 >= strike_e18 else "Down"


def listed_ns(window: RecordedWindow, retimed: Retime, now_ns: int) -> int:
    """When discovery shows the window: as recorded, else so that the next two are always visible."""
    if window.known_ns is not None:
        return max(now_ns, retimed.at(window.known_ns))
    ahead_ns = LISTED_AHEAD * (window.end_ns - window.start_ns)
    return max(now_ns, retimed.at(window.start_ns - ahead_ns))


def spec_of(window: RecordedWindow, retimed: Retime, now_ns: int) -> MarketSpec:
    """The window as the venue lists it in the run."""
    start_ns, end_ns = retimed.at(window.start_ns), retimed.at(window.end_ns)
    return MarketSpec(
        slug=retimed.slug(window.asset, window.start_ns),
        asset=window.asset,
        condition_id=window.condition_id,
        token_up=window.token_up,
        token_down=window.token_down,
        start_ns=start_ns,
        end_ns=end_ns,
        listed_ns=listed_ns(window, retimed, now_ns),
        version=window.version,
        resolution_source=window.source or resolution_source(window.asset, window.twap_lookback_s),
        twap_lookback_s=window.twap_lookback_s,
        fee_rate=window.fee_rate,
        fee_exponent=window.fee_exponent,
        tick_size=window.tick_size,
        min_size=window.min_size,
        question=window.question or question_of(window.asset, start_ns // SECOND, end_ns // SECOND),
    )


def lifecycle(windows: tuple[RecordedWindow, ...], retimed: Retime, now_ns: int) -> Iterator[Step]:
    """Listing, published strike and outcome of every window, in order of time."""
    steps = []
    for window in windows:
        spec = spec_of(window, retimed, now_ns)
        steps.append(Step(spec.listed_ns, Listed(spec)))
        resolved_ns = retimed.at(window.end_ns + RESOLUTION_DELAY_S * SECOND)
        if window.strike_e18 is not None:
            steps.append(Step(resolved_ns, StrikePublished(spec.slug, window.strike_e18)))
        if window.outcome is not None:
            steps.append(Step(resolved_ns, Resolved(spec.slug, window.outcome, window.final_e18)))
    return iter(sorted(steps, key=lambda step: step.at_ns))


def last_instant_ns(last_row_ns: int, windows: tuple[RecordedWindow, ...]) -> int:
    """When nothing more happens: after the last row and the last outcome."""
    ends = [window.end_ns for window in windows if window.outcome is not None]
    return max([last_row_ns, *(end_ns + RESOLUTION_DELAY_S * SECOND for end_ns in ends)])


def length_note(window_s: int, retimed: Retime) -> str:
    """How the played windows relate to the recorded ones."""
    return (
        f"windows of {window_label(window_s)} are played as {retimed.label}, "
        f"{retimed.speed:.4g} recorded seconds in one"
    )
