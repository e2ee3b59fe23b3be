"""Layout ``frames``: unmodified wire frames with their receive times, one JSON line each.

Prices, books and trades are taken from the frames; windows from the market list beside the file, else from
the unix grid. Frames of other sources are counted, not played.
"""

import heapq
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec

from common.sim.book_maker import PricePath
from common.sim.recorded.frame_books import BookEvent, FrameBooks, GridChanged, Won
from common.sim.recorded.frame_prices import SPOT_TOPIC, FramePrices, Observation
from common.sim.recorded.market_lists import subscribed_list_of
from common.sim.recorded.recorded_books import BOOK_LAG_S, book_note, generated_book_steps
from common.sim.recorded.recorded_rows import (
    RecordingUnreadable,
    Row,
    instant_ms_cell,
    rows_of,
    tally_notes,
    within_reach,
)
from common.sim.recorded.recorded_ticks import GRID_WINDOW_S, settled_by_ticks
from common.sim.recorded.recorded_windows import (
    Recorded,
    RecordedWindow,
    grid_windows,
    last_instant_ns,
    lifecycle,
)
from common.sim.recorded.retime import Retime, Span
from common.sim.script import Observed, Resolved, ScriptEvent, Step, TickSizeChanged
from common.units import MILLISECOND, SECOND

LAYOUT = "frames"
FRAME_FORMS = (
    frozenset({"source", "recv_wall_ts", "payload"}),
    frozenset({"recv_wall_ts", "frame"}),
    frozenset({"topic", "type", "timestamp", "payload"}),
)


def load_frames(path: Path, lag_s: float = BOOK_LAG_S) -> Recorded:
    """Read the whole recording; ``lag_s`` counts only where books have to be generated.

    Raises RecordingUnreadable when no frame can be used.
    """
    tally: Counter[str] = Counter()
    listed = subscribed_list_of(path)
    prices, books = FramePrices(tally), FrameBooks(tally, listed.windows if listed else ())
    instants = []
    for at_ms, frame in _in_order([one for row in rows_of(path) if (one := _timed(row, tally))], tally):
        if prices.take(at_ms, frame) or books.take(at_ms, frame):
            instants.append(at_ms)
        else:
            tally["frames of other sources or kinds not played"] += 1
    observations = prices.observations()
    if not observations and not books.events:
        raise RecordingUnreadable(
            f"{path} has the form of a frame recording but no frame that can be played; books need the list "
            "of markets beside it, named like it with _markets added"
        )
    first_ns = min([instants[0], *(one.at_ms for one in observations[:1])]) * MILLISECOND
    last_ns = instants[-1] * MILLISECOND
    spot = _spot_paths(observations)
    if listed is not None:
        tally.update(listed.tally)
        windows = _settled([*listed.windows, *books.announced], spot)
        truth = f"windows from {listed.name}"
    else:
        windows = _grid(first_ns, last_ns, spot)
        truth = "no market list beside it: windows on the 15-minute grid"
    if not windows:
        raise RecordingUnreadable(
            f"{path} holds no oracle price and has no market list beside it; play the oracle's recording"
        )
    tally["windows have no known outcome and never resolve"] = sum(one.outcome is None for one in windows)
    made = listed is None
    first = windows[0]
    window_s = (first.end_ns - first.start_ns) // SECOND

    def steps(retimed: Retime, now_ns: int) -> Iterator[Step]:
        return heapq.merge(
            lifecycle(windows, retimed, now_ns),
            _observed(observations, retimed),
            _book_steps(books.events, retimed),
            generated_book_steps(windows if made else (), spot, retimed, now_ns, lag_s, last_ns),
            key=lambda step: step.at_ns,
        )

    return Recorded(
        layout=LAYOUT,
        assets=tuple(dict.fromkeys(window.asset for window in windows)),
        span=Span(first_ns, last_instant_ns(last_ns, windows), first.start_ns, window_s),
        windows=windows,
        book="generated" if made else "recorded",
        oracle="recorded" if observations else "none",
        notes=(
            truth,
            book_note(lag_s)
            if made
            else "announced markets are listed when they are of the assets and length of that list",
            "outcomes by the ticks stamped at the boundaries",
            *tally_notes(tally),
        ),
        steps=steps,
    )


def _settled(windows: list[RecordedWindow], spot: dict[str, PricePath]) -> tuple[RecordedWindow, ...]:
    """Outcome of every window by the ticks of its own asset."""
    return tuple(settled_by_ticks([one], spot.get(one.asset, PricePath()))[0] for one in windows)


def _timed(row: Row, tally: Counter[str]) -> tuple[int, object] | None:
    """Receive time and frame; a plain frame counts from the relay's own time of sending."""
    if "recv_wall_ts" in row:
        at_ms, frame = instant_ms_cell(row["recv_wall_ts"]), row.get("payload", row.get("frame"))
    else:
        at_ms, frame = instant_ms_cell(row.get("timestamp")), row
    if at_ms is None or frame is None:
        tally["lines skipped: no receive time or no frame"] += 1
        return None
    if isinstance(frame, str):
        text = frame.strip()
        if text in ("", "PING", "PONG"):
            return None
        try:
            frame = msgspec.json.decode(text)
        except msgspec.MsgspecError:
            tally["lines skipped: the frame is not JSON"] += 1
            return None
    return at_ms, frame


def _in_order(frames: list[tuple[int, object]], tally: Counter[str]) -> list[tuple[int, object]]:
    if not frames:
        return []
    low, high = within_reach([at_ms for at_ms, _ in frames])
    near = [one for one in frames if low <= one[0] <= high]
    tally["lines skipped: days away from the rest"] += len(frames) - len(near)
    tally["lines put into order of time"] += sum(later[0] < earlier[0] for earlier, later in pairwise(near))
    return sorted(near, key=lambda one: one[0])


def _spot_paths(observations: list[Observation]) -> dict[str, PricePath]:
    """The oracle's spot series by asset, in order of the stamps; of one stamp the first received counts."""
    first: dict[str, dict[int, int]] = {}
    for one in observations:
        if one.topic == SPOT_TOPIC:
            own = first.setdefault(one.symbol.partition("/")[0], {})
            own.setdefault(one.stamp_ms, one.value_e18)
    paths = {}
    for asset, own in first.items():
        paths[asset] = PricePath()
        for stamp_ms in sorted(own):
            paths[asset].add(stamp_ms * MILLISECOND, own[stamp_ms])
    return paths


def _grid(first_ns: int, last_ns: int, spot: dict[str, PricePath]) -> tuple[RecordedWindow, ...]:
    """Windows of every asset that has an oracle price, or none at all."""
    windows = [
        window for asset in sorted(spot) for window in grid_windows(asset, first_ns, last_ns, GRID_WINDOW_S)
    ]
    return _settled(windows, spot)


def _observed(observations: list[Observation], retimed: Retime) -> Iterator[Step]:
    for one in observations:
        stamp_ms = retimed.stamp_ms(one.stamp_ms)
        event = Observed(one.topic, one.symbol, stamp_ms, one.value_e18, one.window_s)
        yield Step(retimed.at(one.at_ms * MILLISECOND), event)


def _book_steps(events: list[tuple[int, BookEvent]], retimed: Retime) -> Iterator[Step]:
    for at_ms, event in events:
        yield Step(retimed.at(at_ms * MILLISECOND), _played(event, retimed))


def _played(event: BookEvent, retimed: Retime) -> ScriptEvent:
    match event:
        case GridChanged(window, new_tick_size):
            return TickSizeChanged(retimed.slug(window.asset, window.start_ns), new_tick_size)
        case Won(window, outcome):
            return Resolved(retimed.slug(window.asset, window.start_ns), outcome)
        case _:
            return event
