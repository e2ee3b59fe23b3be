"""Layout ``ticks``: the oracle ticks of one asset with their exact values and receive times, without books.

Windows and official outcomes come from a market list beside the file when there is one, else from the unix
grid and the ticks themselves. Knows no wire format.
"""

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from common.sim.book_maker import PricePath
from common.sim.recorded.market_lists import outcome_list_beside
from common.sim.recorded.recorded_books import BOOK_LAG_S, book_note, generated_book_steps
from common.sim.recorded.recorded_rows import (
    RecordingUnreadable,
    Row,
    integer_cell,
    rows_of,
    tally_notes,
    within_reach,
)
from common.sim.recorded.recorded_windows import (
    Recorded,
    RecordedWindow,
    by_boundary,
    grid_windows,
    last_instant_ns,
    lifecycle,
)
from common.sim.recorded.retime import Retime, Span
from common.sim.script import Observed, Step
from common.units import MILLISECOND, SECOND

LAYOUT = "ticks"
COLUMNS = frozenset({"feed_ts_ms", "full_accuracy_value", "recv_ms"})
GRID_WINDOW_S = 900
KNOWN_ASSETS = ("btc", "eth", "sol", "xrp", "doge", "bnb", "hype", "zec")

_MOST_DELAY_MS = 3_600_000
_TOPIC = "crypto_prices_chainlink"

Tick = tuple[int, int, int]
"""Received (ms), stamped (ms), value (e18)."""


def load_ticks(path: Path, lag_s: float = BOOK_LAG_S) -> Recorded:
    """Read the whole recording; ``lag_s``: how late the generated books follow, in recorded seconds.

    Raises RecordingUnreadable when no row can be used.
    """
    tally: Counter[str] = Counter()
    asset = ""
    ticks: list[Tick] = []
    for row in rows_of(path):
        asset = asset or _asset_in(row)
        tick = _tick(row)
        if tick is None:
            tally["rows skipped: no usable stamp, value or receive time"] += 1
        else:
            ticks.append(tick)
    if not ticks:
        raise RecordingUnreadable(f"{path} has the columns of an oracle tick recording but no usable row")
    ticks = _in_order(ticks, tally)
    asset = asset or asset_named(path)
    path_of_stamps = stamped_path(ticks)
    first_ns, last_ns = ticks[0][0] * MILLISECOND, ticks[-1][0] * MILLISECOND
    listed = outcome_list_beside(path, asset, first_ns, last_ns)
    if listed is None:
        windows = settled_by_ticks(grid_windows(asset, first_ns, last_ns, GRID_WINDOW_S), path_of_stamps)
        truth = "no market list beside it: windows on the 15-minute grid, outcomes by the boundary ticks"
    else:
        windows = listed.windows
        truth = f"windows and official outcomes from {listed.name}"
        tally.update(listed.tally)
    unresolved = sum(window.outcome is None for window in windows)
    tally["windows have no known outcome and never resolve"] = unresolved

    def steps(retimed: Retime, now_ns: int) -> Iterator[Step]:
        return heapq.merge(
            lifecycle(windows, retimed, now_ns),
            _tick_steps(ticks, f"{asset}/usd", retimed),
            generated_book_steps(windows, {asset: path_of_stamps}, retimed, now_ns, lag_s, last_ns),
            key=lambda step: step.at_ns,
        )

    return Recorded(
        layout=LAYOUT,
        assets=(asset,),
        span=Span(
            first_ns,
            last_instant_ns(last_ns, windows),
            windows[0].start_ns,
            (windows[0].end_ns - windows[0].start_ns) // SECOND,
        ),
        windows=windows,
        book="generated",
        oracle="recorded",
        notes=(truth, book_note(lag_s), *tally_notes(tally)),
        steps=steps,
    )


def asset_named(path: Path) -> str:
    """The ticker in the file's name, else btc; never guessed from the price."""
    words = path.name.lower().replace("-", "_").replace(".", "_").split("_")
    return next((word for word in words if word in KNOWN_ASSETS), "btc")


def stamped_path(ticks: list[Tick]) -> PricePath:
    """Values in order of their stamps; of one stamp the first received counts."""
    first: dict[int, int] = {}
    for _, stamp_ms, value in ticks:
        first.setdefault(stamp_ms, value)
    path = PricePath()
    for stamp_ms in sorted(first):
        path.add(stamp_ms * MILLISECOND, first[stamp_ms])
    return path


def settled_by_ticks(windows: list[RecordedWindow], prices: PricePath) -> tuple[RecordedWindow, ...]:
    """Strike and outcome from ticks stamped exactly at the boundaries; unresolved when one is missing."""
    settled = []
    for window in windows:
        opened, closed = prices.exactly(window.start_ns), prices.exactly(window.end_ns)
        outcome = by_boundary(opened, closed)
        settled.append(replace(window, outcome=outcome, strike_e18=opened, final_e18=closed))
    return tuple(settled)


def _tick(row: Row) -> Tick | None:
    stamp_ms, value = integer_cell(row.get("feed_ts_ms")), integer_cell(row.get("full_accuracy_value"))
    received_ms = integer_cell(row.get("recv_ms"))
    if stamp_ms is None or value is None or received_ms is None or value <= 0 or stamp_ms <= 0:
        return None
    return (received_ms, stamp_ms, value) if abs(received_ms - stamp_ms) <= _MOST_DELAY_MS else None


def _asset_in(row: Row) -> str:
    for name in ("symbol", "slug", "asset"):
        cell = row.get(name)
        if isinstance(cell, str):
            word = cell.lower().replace("/", "-").partition("-")[0].removesuffix("usdt").removesuffix("usd")
            if word:
                return word
    return ""


def _in_order(ticks: list[Tick], tally: Counter[str]) -> list[Tick]:
    low, high = within_reach([tick[0] for tick in ticks])
    near = [tick for tick in ticks if low <= tick[0] <= high]
    tally["rows skipped: days away from the rest"] += len(ticks) - len(near)
    tally["rows put into order of receipt"] += sum(later[0] < earlier[0] for earlier, later in pairwise(near))
    return sorted(near, key=lambda tick: tick[0])


def _tick_steps(ticks: list[Tick], pair: str, retimed: Retime) -> Iterator[Step]:
    for received_ms, stamp_ms, value in ticks:
        at_ns = retimed.at(received_ms * MILLISECOND)
        yield Step(at_ns, Observed(_TOPIC, pair, retimed.stamp_ms(stamp_ms), value))
