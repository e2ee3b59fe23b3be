"""Recordings become scripts: tells a file's layout by its content and places it on the run's clock.

Knows which layouts there are; each layout's module knows how to read it. The file's name tells nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from common.sim.recorded.market_lists import OUTCOME_LIST, SUBSCRIBED_LIST
from common.sim.recorded.recorded_books import BOOK_LAG_S
from common.sim.recorded.recorded_frames import FRAME_FORMS, load_frames
from common.sim.recorded.recorded_quotes import COLUMNS as QUOTE_COLUMNS
from common.sim.recorded.recorded_quotes import LAYOUT as QUOTES
from common.sim.recorded.recorded_quotes import load_quotes
from common.sim.recorded.recorded_rows import RecordingUnreadable, columns_of
from common.sim.recorded.recorded_ticks import COLUMNS as TICK_COLUMNS
from common.sim.recorded.recorded_ticks import LAYOUT as TICKS
from common.sim.recorded.recorded_ticks import load_ticks
from common.sim.recorded.recorded_windows import Recorded, length_note
from common.sim.recorded.retime import retime
from common.sim.script import Script, Step
from common.units import SECOND

__all__ = ["RecordingInfo", "RecordingUnreadable", "describe", "recording_script"]

READABLE = (
    f"{QUOTES}: columns {', '.join(sorted(QUOTE_COLUMNS))}",
    f"{TICKS}: columns {', '.join(sorted(TICK_COLUMNS))}",
    "frames: JSON lines with source, recv_wall_ts and payload, with recv_wall_ts and frame, or price frames",
)
_AFTER_LAST_NS = 2 * SECOND
_LONG_WAIT_NS = 30 * SECOND


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """What a recording holds, before anything is played."""

    layout: str
    assets: tuple[str, ...]
    span_s: int
    windows: int
    cadence_s: int
    """Length of a recorded window."""
    book: str
    oracle: str
    twap_lookback_s: int | None
    """None: its windows settle on spot."""
    notes: tuple[str, ...]


def describe(path: Path) -> RecordingInfo:
    """Read the recording and say what it holds; raises RecordingUnreadable."""
    recorded = _load(path, BOOK_LAG_S)
    return RecordingInfo(
        layout=recorded.layout,
        assets=recorded.assets,
        span_s=(recorded.span.last_ns - recorded.span.first_ns) // SECOND,
        windows=len(recorded.windows),
        cadence_s=recorded.span.window_s,
        book=recorded.book,
        oracle=recorded.oracle,
        twap_lookback_s=recorded.windows[0].twap_lookback_s,
        notes=recorded.notes,
    )


def recording_script(
    path: Path,
    speed: float | None,
    now_ns: int,
    *,
    seconds: int | None = None,
    book_lag_s: float = BOOK_LAG_S,
) -> Script:
    """The recording as a script that begins at ``now_ns`` or a little later.

    ``speed`` None: as fast as needed to last about 150 s (``seconds`` less 20), between 1 and 120.
    ``book_lag_s``: recorded seconds by which generated books trail, where books are missing. Raises
    RecordingUnreadable for a file that cannot be played and ConfigError for an impossible speed.
    """
    recorded = _load(path, book_lag_s)
    retimed = retime(recorded.span, speed, now_ns, seconds=seconds)
    ends_ns = retimed.at(recorded.span.last_ns) + _AFTER_LAST_NS
    notes = [*recorded.notes, length_note(recorded.span.window_s, retimed)]
    wait_ns = retimed.at(recorded.span.first_ns) - now_ns
    if wait_ns > _LONG_WAIT_NS:
        notes.append(f"the first recorded instant is played {wait_ns // SECOND} s after the start")
    return Script(
        title=f"recording {path.name}",
        cadence=retimed.label,
        window_s=retimed.label_s,
        assets=recorded.assets,
        steps=_between(now_ns, ends_ns, recorded.steps(retimed, now_ns)),
        ends_ns=ends_ns,
        speed=retimed.speed,
        oracle=recorded.oracle,
        book=recorded.book,
        notes=tuple(notes),
    )


def _between(now_ns: int, ends_ns: int, steps: Iterator[Step]) -> Iterator[Step]:
    """What a recording knows from before the run is there at its start; nothing happens after its end."""
    for step in steps:
        if step.at_ns > ends_ns:
            return
        yield step if step.at_ns >= now_ns else Step(now_ns, step.event)


def _load(path: Path, book_lag_s: float) -> Recorded:
    columns = columns_of(path)
    forms: list[tuple[frozenset[str], Callable[[Path, float], Recorded]]] = [
        (QUOTE_COLUMNS, lambda path, _: load_quotes(path)),
        (TICK_COLUMNS, load_ticks),
        *((form, load_frames) for form in FRAME_FORMS),
    ]
    for form, load in forms:
        if columns >= form:
            return load(path, book_lag_s)
    if columns >= OUTCOME_LIST or columns >= SUBSCRIBED_LIST:
        raise RecordingUnreadable(
            f"{path} is a list of markets; name the recording beside it, the list is then found by itself"
        )
    found = ", ".join(sorted(columns)[:12])
    layouts = "".join(f"\n  {layout}" for layout in READABLE)
    raise RecordingUnreadable(
        f"{path} has an unknown layout (found: {found}); give one of the layouts that can be played:{layouts}"
    )
