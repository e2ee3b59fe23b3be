"""Order books, trades and market announcements out of recorded wire frames.

Rebuilds each token's book and keeps the wire's own text of prices and sizes. Reads no file, knows no oracle.
"""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

from common.sim.recorded.recorded_rows import decimal_cell, integer_cell
from common.sim.recorded.recorded_windows import DEFAULT_FEE_RATE, RecordedWindow
from common.sim.script import BookSet, Level, Traded
from common.units import MILLISECOND, SECOND

_LABEL_UNITS = {"m": 60, "s": 1, "h": 3_600}


@dataclass(frozen=True, slots=True)
class GridChanged:
    """A window's price grid changed; its played name is not known yet."""

    window: RecordedWindow
    new_tick_size: str


@dataclass(frozen=True, slots=True)
class Won:
    """A window's official outcome arrived."""

    window: RecordedWindow
    outcome: str


BookEvent = BookSet | Traded | GridChanged | Won


class FrameBooks:
    """Collects book events of the known windows frame by frame; counts the rest in ``tally``."""

    def __init__(self, tally: Counter[str], windows: tuple[RecordedWindow, ...]) -> None:
        self.events: list[tuple[int, BookEvent]] = []
        """(received ms, event) in order of receipt."""
        self.announced: list[RecordedWindow] = []
        self._tally = tally
        self._assets = {window.asset for window in windows}
        self._lengths = {window.end_ns - window.start_ns for window in windows}
        self._by_token: dict[str, RecordedWindow] = {}
        self._by_condition: dict[str, RecordedWindow] = {}
        self._sides: dict[str, tuple[dict[Decimal, Level], dict[Decimal, Level]]] = {}
        self._ticks: dict[str, str] = {}
        for window in windows:
            self._know(window)

    def take(self, at_ms: int, frame: object) -> bool:
        """True when the frame is one of the venue's order books, usable or not."""
        if isinstance(frame, list):
            taken = [self.take(at_ms, part) for part in frame]
            return bool(taken) and all(taken)
        if not isinstance(frame, dict):
            return False
        kind = frame.get("event_type", "book" if "bids" in frame and "asks" in frame else None)
        match kind:
            case "book":
                self._book(at_ms, frame)
            case "price_change":
                self._changes(at_ms, frame)
            case "last_trade_price":
                self._trade(at_ms, frame)
            case "tick_size_change":
                self._grid(at_ms, frame)
            case "new_market":
                self._new_market(at_ms, frame)
            case "market_resolved":
                self._resolved(at_ms, frame)
            case "best_bid_ask":
                pass
            case _:
                return False
        return True

    def _know(self, window: RecordedWindow) -> None:
        self._by_token[window.token_up] = self._by_token[window.token_down] = window
        self._by_condition[window.condition_id] = window

    def _known(self, token: object) -> str | None:
        if isinstance(token, str) and token in self._by_token:
            return token
        self._tally["book frames skipped: of no market in the list beside the recording"] += 1
        return None

    def _book(self, at_ms: int, frame: dict[str, object]) -> None:
        if (token := self._known(frame.get("asset_id"))) is None:
            return
        bids, asks = _side(frame.get("bids")), _side(frame.get("asks"))
        if bids is None or asks is None:
            self._tally["book frames skipped: a level is not a price and a size"] += 1
            return
        self._sides[token] = (bids, asks)
        self._emit(at_ms, token)

    def _changes(self, at_ms: int, frame: dict[str, object]) -> None:
        changed: dict[str, None] = {}
        changes = frame.get("price_changes")
        for change in changes if isinstance(changes, list) else []:
            if not isinstance(change, dict) or (token := self._known(change.get("asset_id"))) is None:
                continue
            level = _level(change)
            if token not in self._sides or level is None or change.get("side") not in ("BUY", "SELL"):
                self._tally["book changes skipped: without a book before or not usable"] += 1
                continue
            price, size = Decimal(level[0]), Decimal(level[1])
            side = self._sides[token][0 if change["side"] == "BUY" else 1]
            if size:
                side[price] = level
            else:
                side.pop(price, None)
            changed[token] = None
        for token in changed:
            self._emit(at_ms, token)

    def _emit(self, at_ms: int, token: str) -> None:
        bids, asks = self._sides[token]
        rising = tuple(bids[price] for price in sorted(bids))
        falling = tuple(asks[price] for price in sorted(asks, reverse=True))
        self.events.append((at_ms, BookSet(token, rising, falling)))

    def _trade(self, at_ms: int, frame: dict[str, object]) -> None:
        token, level = self._known(frame.get("asset_id")), _level(frame)
        if token is not None and level is not None:
            self.events.append((at_ms, Traded(token, *level, str(frame.get("side", "BUY")))))

    def _grid(self, at_ms: int, frame: dict[str, object]) -> None:
        window = self._by_condition.get(str(frame.get("market")))
        tick = frame.get("new_tick_size")
        if window is None or not isinstance(tick, str) or decimal_cell(tick) is None:
            self._tally["grid changes skipped: of no known market"] += 1
        elif self._ticks.get(window.condition_id, window.tick_size) != tick:
            self._ticks[window.condition_id] = tick
            self.events.append((at_ms, GridChanged(window, tick)))

    def _resolved(self, at_ms: int, frame: dict[str, object]) -> None:
        window, outcome = self._by_condition.get(str(frame.get("market"))), frame.get("winning_outcome")
        if window is None or outcome not in ("Up", "Down"):
            self._tally["resolutions skipped: of no known market"] += 1
        else:
            self.events.append((at_ms, Won(window, str(outcome))))

    def _new_market(self, at_ms: int, frame: dict[str, object]) -> None:
        """Announcements go to everybody: only windows like those of the list are taken."""
        window = _announced(at_ms, frame)
        wanted = (
            window is not None
            and window.asset in self._assets
            and window.end_ns - window.start_ns in self._lengths
        )
        if window is None or not wanted:
            self._tally["announced markets skipped: not of the assets and length recorded"] += 1
        elif window.condition_id not in self._by_condition:
            self._know(window)
            self.announced.append(window)


def _level(entry: object) -> Level | None:
    if not isinstance(entry, dict):
        return None
    price, size = entry.get("price"), entry.get("size")
    if not isinstance(price, str) or not isinstance(size, str):
        return None
    price_value, size_value = decimal_cell(price), decimal_cell(size)
    if price_value is None or size_value is None or not 0 < price_value < 1 or size_value < 0:
        return None
    return price, size


def _side(entries: object) -> dict[Decimal, Level] | None:
    if not isinstance(entries, list):
        return None
    levels = [_level(entry) for entry in entries]
    if None in levels:
        return None
    return {Decimal(level[0]): level for level in levels if level is not None and Decimal(level[1])}


def _announced(at_ms: int, frame: dict[str, object]) -> RecordedWindow | None:
    slug, tokens, outcomes = str(frame.get("slug")), frame.get("assets_ids"), frame.get("outcomes")
    asset, _, rest = slug.partition("-updown-")
    label, _, start = rest.partition("-")
    start_s, length = integer_cell(start), integer_cell(label[:-1])
    if start_s is None or length is None or label[-1:] not in _LABEL_UNITS:
        return None
    if not isinstance(tokens, list) or len(tokens) != 2 or not isinstance(outcomes, list):
        return None
    by_outcome = dict(zip(map(str, outcomes), map(str, tokens), strict=False))
    if set(by_outcome) != {"Up", "Down"}:
        return None
    fee = frame.get("fee_schedule")
    fees = fee if isinstance(fee, dict) else {}
    return RecordedWindow(
        asset=asset,
        start_ns=start_s * SECOND,
        end_ns=(start_s + length * _LABEL_UNITS[label[-1]]) * SECOND,
        condition_id=str(frame.get("market")),
        token_up=by_outcome["Up"],
        token_down=by_outcome["Down"],
        fee_rate=str(fees.get("rate", DEFAULT_FEE_RATE)),
        fee_exponent=integer_cell(fees.get("exponent")) or 1,
        tick_size=str(frame.get("order_price_min_tick_size") or "0.01"),
        question=str(frame.get("question") or ""),
        known_ns=at_ms * MILLISECOND,
    )
