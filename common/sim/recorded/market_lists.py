"""Market lists beside a recording: windows with official outcomes, or the markets a recorder subscribed to.

Found by content among the files of the same folder. Never reads prices or books.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from common.sim.recorded.recorded_rows import (
    RecordingUnreadable,
    Row,
    columns_of,
    decimal_cell,
    instant_ms_cell,
    integer_cell,
    rows_of,
)
from common.sim.recorded.recorded_windows import DEFAULT_FEE_RATE, RecordedWindow
from common.units import MILLISECOND, SECOND

OUTCOME_LIST = frozenset({"slug", "start_sec", "end_sec", "outcome_prices"})
SUBSCRIBED_LIST = frozenset({"slug", "start_ts", "end_ts", "outcomes", "condition_id"})

_LIST_SUFFIXES = (".jsonl", ".jsonl.gz")
_UP, _DOWN = "Up", "Down"


@dataclass(frozen=True, slots=True)
class MarketList:
    """The usable windows of one list, in order of opening, all of one length."""

    name: str
    windows: tuple[RecordedWindow, ...]
    tally: Counter[str]


def outcome_list_beside(path: Path, asset: str, first_ns: int, last_ns: int) -> MarketList | None:
    """The list with official outcomes in the same folder whose windows overlap the span most, if any does."""
    lists = _lists_beside(path, OUTCOME_LIST, _outcome_row)
    own = [_of_asset(_overlapping(listed, first_ns, last_ns), asset) for listed in lists]
    best = max(own, key=lambda listed: len(listed.windows), default=None)
    return best if best is not None and best.windows else None


def subscribed_list_of(path: Path) -> MarketList | None:
    """The list named like the recording with ``_markets`` added, if it exists and holds windows."""
    stem, dot, suffix = path.name.partition(".")
    for name in (f"{stem}_markets{dot}{suffix}", f"{stem}_markets.jsonl", f"{stem}_markets.jsonl.gz"):
        sibling = path.with_name(name)
        if sibling.is_file() and columns_of(sibling) >= SUBSCRIBED_LIST:
            listed = _read(sibling, _subscribed_row)
            return listed if listed.windows else None
    return None


def _lists_beside(
    path: Path, columns: frozenset[str], read_row: Callable[[Row], RecordedWindow | None]
) -> list[MarketList]:
    lists = []
    for sibling in sorted(path.parent.iterdir()):
        if sibling == path or not sibling.is_file() or not sibling.name.endswith(_LIST_SUFFIXES):
            continue
        try:
            if columns_of(sibling) >= columns:
                lists.append(_read(sibling, read_row))
        except RecordingUnreadable:
            # A damaged neighbour says nothing about this recording.
            continue
    return lists


def _read(path: Path, read_row: Callable[[Row], RecordedWindow | None]) -> MarketList:
    """All rows of the most frequent window length, one per asset and opening."""
    tally: Counter[str] = Counter()
    by_key: dict[tuple[str, int, int], RecordedWindow] = {}
    for row in rows_of(path):
        window = read_row(row)
        if window is None:
            tally[f"rows of {path.name} skipped: a field is missing or unusable"] += 1
        else:
            by_key.setdefault((window.asset, window.start_ns, window.end_ns), window)
    lengths = Counter(end_ns - start_ns for _, start_ns, end_ns in by_key)
    usual = lengths.most_common(1)[0][0] if lengths else 0
    kept = [window for window in by_key.values() if window.end_ns - window.start_ns == usual]
    tally[f"windows of {path.name} skipped: of another length"] = len(by_key) - len(kept)
    kept.sort(key=lambda window: (window.start_ns, window.asset))
    return MarketList(path.name, tuple(kept), tally)


def _overlapping(listed: MarketList, first_ns: int, last_ns: int) -> MarketList:
    inside = tuple(w for w in listed.windows if w.end_ns > first_ns and w.start_ns < last_ns)
    return replace(listed, windows=inside)


def _of_asset(listed: MarketList, asset: str) -> MarketList:
    return replace(listed, windows=tuple(window for window in listed.windows if window.asset == asset))


def _outcome_row(row: Row) -> RecordedWindow | None:
    slug, tokens = row.get("slug"), row.get("token_ids")
    start_s, end_s = integer_cell(row.get("start_sec")), integer_cell(row.get("end_sec"))
    if not isinstance(slug, str) or start_s is None or end_s is None or end_s <= start_s:
        return None
    if not isinstance(tokens, list) or len(tokens) != 2 or not isinstance(row.get("condition_id"), str):
        return None
    raw = row.get("raw") if isinstance(row.get("raw"), dict) else {}
    assert isinstance(raw, dict)
    rate, exponent = _fee(raw.get("feeSchedule"))
    return RecordedWindow(
        asset=slug.partition("-")[0].lower(),
        start_ns=start_s * SECOND,
        end_ns=end_s * SECOND,
        condition_id=str(row["condition_id"]),
        token_up=str(tokens[0]),
        token_down=str(tokens[1]),
        outcome=_official(row.get("outcome_prices")) if row.get("resolved", True) else None,
        strike_e18=integer_cell(row.get("strike_value")),
        fee_rate=rate,
        fee_exponent=exponent,
        tick_size=_text(raw.get("orderPriceMinTickSize"), "0.01"),
        min_size=_text(raw.get("orderMinSize"), "5"),
        twap_lookback_s=_lookback(raw.get("cryptoMarketConfig")),
        source=str(raw.get("resolutionSource") or ""),
        question=str(raw.get("question") or ""),
    )


def _subscribed_row(row: Row) -> RecordedWindow | None:
    slug, outcomes = row.get("slug"), row.get("outcomes")
    start_ms, end_ms = instant_ms_cell(row.get("start_ts")), instant_ms_cell(row.get("end_ts"))
    if not isinstance(slug, str) or start_ms is None or end_ms is None or end_ms <= start_ms:
        return None
    tokens = {
        str(entry.get("outcome")): str(entry.get("token_id"))
        for entry in (outcomes if isinstance(outcomes, list) else [])
        if isinstance(entry, dict)
    }
    if set(tokens) != {_UP, _DOWN}:
        return None
    fees = row.get("fee_parameters")
    rate, exponent = _fee(fees.get("raw_fee_config") if isinstance(fees, dict) else None)
    return RecordedWindow(
        asset=str(row.get("asset") or slug.partition("-")[0]).lower(),
        start_ns=start_ms * MILLISECOND,
        end_ns=end_ms * MILLISECOND,
        condition_id=str(row["condition_id"]),
        token_up=tokens[_UP],
        token_down=tokens[_DOWN],
        fee_rate=rate,
        fee_exponent=exponent,
        tick_size=_text(row.get("tick_size"), "0.01"),
        min_size=_text(row.get("min_order_size"), "5"),
        source=str(row.get("resolution_source") or ""),
        question=str(row.get("title") or ""),
        known_ns=0,
    )


def _official(prices: object) -> str | None:
    if not isinstance(prices, list) or len(prices) != 2:
        return None
    shares = [decimal_cell(price) for price in prices]
    if shares == [1, 0]:
        return _UP
    return _DOWN if shares == [0, 1] else None


def _fee(schedule: object) -> tuple[str, int]:
    if not isinstance(schedule, dict):
        return DEFAULT_FEE_RATE, 1
    exponent = integer_cell(schedule.get("exponent"))
    return _text(schedule.get("rate"), DEFAULT_FEE_RATE), 1 if exponent is None else exponent


def _lookback(config: object) -> int | None:
    if isinstance(config, dict) and config.get("twapEnabled"):
        return integer_cell(config.get("twapLookbackSeconds"))
    return None


def _text(cell: object, default: str) -> str:
    """A number as the venue writes it: 5.0 becomes 5."""
    value = decimal_cell(cell)
    if value is None:
        return default
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
