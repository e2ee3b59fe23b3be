"""Layout ``quotes``: best bids of both tokens, an exchange price and the latched open, row by row.

Asks are one minus the other side's bid and sizes are made up, because the layout has neither. Reads one file,
never decides anything a row does not say.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN
from itertools import pairwise
from pathlib import Path

from common.sim.recorded.recorded_rows import (
    RecordingUnreadable,
    Row,
    decimal_cell,
    instant_ms_cell,
    price18_cell,
    rows_of,
    tally_notes,
    within_reach,
)
from common.sim.recorded.recorded_windows import (
    Recorded,
    RecordedWindow,
    by_boundary,
    last_instant_ns,
    lifecycle,
    made_up_window,
)
from common.sim.recorded.retime import Retime, Span
from common.sim.script import BookSet, Observed, Step, StrikePublished, TickSizeChanged
from common.units import MILLISECOND, price4_text

LAYOUT = "quotes"
COLUMNS = frozenset({"timestamp", "time_left_min", "mkt_up", "mkt_down", "price_to_beat", "binance_price"})
FIXED_SIZE = "100"
LATE_START_MS = 30_000
"""A window first seen later than this after its opening has no opening second."""

_MINUTE_MS = 60_000
_USUAL_MINUTES = 15
_OFF_GRID_MS = 5_000
_MILLI = 1_000
_CLEAR = 900


@dataclass(frozen=True, slots=True)
class _Quote:
    at_ms: int
    opening_ms: int
    up_bid: int | None
    """1e-3 dollars; 0: nobody bids; None on both sides: the row has no usable book."""
    down_bid: int | None
    open_e18: int | None
    exchange_e18: int | None


def load_quotes(path: Path) -> Recorded:
    """Read the whole recording; raises RecordingUnreadable when no row can be used."""
    tally: Counter[str] = Counter()
    rows = list(rows_of(path))
    minutes = _window_minutes(rows)
    quotes = _in_order([quote for row in rows if (quote := _quote(row, minutes, tally))], tally)
    if not quotes:
        raise RecordingUnreadable(f"{path} has the columns of a quote recording but no usable row")
    asset = _asset(rows)
    window_s = minutes * 60
    by_window: dict[int, list[_Quote]] = {}
    for quote in quotes:
        by_window.setdefault(quote.opening_ms, []).append(quote)
    windows = _windows(asset, window_s, by_window)
    first_ns, last_ns = quotes[0].at_ms * MILLISECOND, quotes[-1].at_ms * MILLISECOND
    late = sum(_is_late(opening_ms, own) for opening_ms, own in by_window.items())
    if late:
        tally["windows start too late in the recording: no opening second, so not tradable"] = late

    def steps(retimed: Retime, now_ns: int) -> Iterator[Step]:
        return heapq.merge(
            lifecycle(windows, retimed, now_ns),
            _quote_steps(windows, by_window, retimed),
            key=lambda step: step.at_ns,
        )

    return Recorded(
        layout=LAYOUT,
        assets=(asset,),
        span=Span(first_ns, last_instant_ns(last_ns, windows), windows[0].start_ns, window_s),
        windows=windows,
        book="derived",
        oracle="recorded (latched opens only)",
        notes=(
            f"asks are 1 minus the other side's bid; no sizes were recorded: {FIXED_SIZE} shares at the best",
            "the fee rate is not recorded: 0.07 is used",
            "of the settlement price only the latched open of each window is recorded, with its replacements",
            *tally_notes(tally),
        ),
        steps=steps,
    )


def _window_minutes(rows: list[Row]) -> int:
    """Elapsed plus remaining minutes of the middle row that has both."""
    sums = []
    for row in rows:
        passed, left = decimal_cell(row.get("entry_minute")), decimal_cell(row.get("time_left_min"))
        if passed is not None and left is not None:
            sums.append(passed + left)
    if not sums:
        return _USUAL_MINUTES
    return max(1, round(sorted(sums)[len(sums) // 2]))


def _quote(row: Row, minutes: int, tally: Counter[str]) -> _Quote | None:
    at_ms = instant_ms_cell(row.get("timestamp"))
    left = decimal_cell(row.get("time_left_min"))
    if at_ms is None or left is None or abs(left) > 2 * minutes:
        tally["rows skipped: no usable time or time left"] += 1
        return None
    length_ms = minutes * _MINUTE_MS
    exact_ms = at_ms + int(left * _MINUTE_MS) - length_ms
    opening_ms = round(exact_ms / length_ms) * length_ms
    if abs(exact_ms - opening_ms) > _OFF_GRID_MS:
        tally["rows skipped: time and time left do not belong together"] += 1
        return None
    bids = _bid(row.get("mkt_up")), _bid(row.get("mkt_down"))
    if bids[0] is None or bids[1] is None or bids == (0, 0):
        tally["rows without a usable quote: book left as it was"] += 1
        bids = None, None
    elif bids[0] + bids[1] >= _MILLI:
        tally["rows with a crossed or locked quote: book left as it was"] += 1
        bids = None, None
    open_e18, exchange_e18 = price18_cell(row.get("price_to_beat")), price18_cell(row.get("binance_price"))
    if open_e18 is None or exchange_e18 is None:
        tally["rows without a usable open or exchange price"] += 1
    return _Quote(at_ms, opening_ms, *bids, open_e18, exchange_e18)


def _bid(cell: object) -> int | None:
    value = decimal_cell(cell)
    if value is None or not 0 <= value < 1:
        return None
    return int((value * _MILLI).to_integral_value(rounding=ROUND_HALF_EVEN))


def _in_order(quotes: list[_Quote], tally: Counter[str]) -> list[_Quote]:
    """Rows in rising time; a row from another epoch, or of a window that was already left, is dropped."""
    if not quotes:
        return []
    low, high = within_reach([quote.at_ms for quote in quotes])
    near = [quote for quote in quotes if low <= quote.at_ms <= high]
    tally["rows skipped: days away from the rest"] += len(quotes) - len(near)
    tally["rows put into order of time"] += sum(b.at_ms < a.at_ms for a, b in pairwise(near))
    kept: list[_Quote] = []
    for quote in sorted(near, key=lambda quote: quote.at_ms):
        if kept and quote.opening_ms < kept[-1].opening_ms:
            tally["rows skipped: of a window already left"] += 1
        else:
            kept.append(quote)
    return kept


def _asset(rows: list[Row]) -> str:
    for row in rows:
        slug = row.get("slug") or row.get("market_slug")
        if isinstance(slug, str) and "-updown-" in slug:
            return slug.partition("-")[0].lower()
    return "btc"


def _is_late(opening_ms: int, quotes: list[_Quote]) -> bool:
    return quotes[0].at_ms - opening_ms > LATE_START_MS


def _windows(asset: str, window_s: int, by_window: dict[int, list[_Quote]]) -> tuple[RecordedWindow, ...]:
    """Outcome by the next window's first open, else by a clear final book, else unknown."""
    opens = {
        opening_ms: next((quote.open_e18 for quote in quotes if quote.open_e18 is not None), None)
        for opening_ms, quotes in by_window.items()
        if not _is_late(opening_ms, quotes)
    }
    windows = []
    for opening_ms, quotes in by_window.items():
        close = opens.get(opening_ms + window_s * 1000)
        outcome = by_boundary(opens.get(opening_ms), close)
        window = made_up_window(asset, opening_ms * MILLISECOND, window_s)
        if outcome is not None:
            window = replace(window, outcome=outcome, final_e18=close)
        else:
            window = replace(window, outcome=_by_final_book(quotes, opening_ms + window_s * 1000))
        windows.append(window)
    return tuple(windows)


def _by_final_book(quotes: list[_Quote], end_ms: int) -> str | None:
    """The side whose bid was clearly above nine tenths in the last half minute, if recorded to the end."""
    near_end = [quote for quote in quotes if quote.at_ms >= end_ms - LATE_START_MS]
    last = [quote for quote in near_end if quote.up_bid is not None][-3:]
    if last and all((quote.up_bid or 0) > _CLEAR for quote in last):
        return "Up"
    if last and all((quote.down_bid or 0) > _CLEAR for quote in last):
        return "Down"
    return None


def _quote_steps(
    windows: Iterable[RecordedWindow], by_window: dict[int, list[_Quote]], retimed: Retime
) -> Iterator[Step]:
    for window in windows:
        opening_ms = window.start_ns // MILLISECOND
        quotes = by_window[opening_ms]
        late, latched, fine = _is_late(opening_ms, quotes), None, False
        slug = retimed.slug(window.asset, window.start_ns)
        for quote in quotes:
            at_ns = retimed.at(quote.at_ms * MILLISECOND)
            if quote.exchange_e18 is not None:
                stamp_ms = retimed.stamp_ms(quote.at_ms)
                pair = f"{window.asset}usdt"
                yield Step(at_ns, Observed("crypto_prices", pair, stamp_ms, quote.exchange_e18))
            if quote.open_e18 not in (None, latched) and not late:
                latched = quote.open_e18
                stamp_ms = retimed.stamp_ms(opening_ms)
                pair = f"{window.asset}/usd"
                yield Step(at_ns, Observed("crypto_prices_chainlink", pair, stamp_ms, latched))
                yield Step(at_ns, StrikePublished(slug, latched))
            if quote.up_bid is None or quote.down_bid is None:
                continue
            if not fine and (quote.up_bid % 10 or quote.down_bid % 10):
                fine = True
                yield Step(at_ns, TickSizeChanged(slug, "0.001"))
            yield Step(at_ns, _book(window.token_up, quote.up_bid, quote.down_bid))
            yield Step(at_ns, _book(window.token_down, quote.down_bid, quote.up_bid))


def _book(token: str, own_bid: int, other_bid: int) -> BookSet:
    bids = ((price4_text(own_bid * 10), FIXED_SIZE),) if own_bid else ()
    asks = ((price4_text((_MILLI - other_bid) * 10), FIXED_SIZE),) if other_bid else ()
    return BookSet(token, bids, asks)
