"""What a window looked like second by second, for its picture: price, books and our own trades.

Owns a bounded memory of the last windows. Knows no bus and no clock; draws nothing.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from common.messages import Fill, Outcome, Side, WindowView
from common.units import SECOND

MAX_WINDOWS = 32
MAX_SIGHTS = 1200
"""Of one window: 15 minutes, and a little before and after, at one a second."""
_BEFORE_NS = 60 * SECOND
_AFTER_NS = 60 * SECOND


class Sight(NamedTuple):
    """One second of a window."""

    at_ns: int
    e18: int | None
    up_bid4: int | None
    up_ask4: int | None
    down_bid4: int | None
    down_ask4: int | None


class Entry(NamedTuple):
    """One trade of ours."""

    at_ns: int
    outcome: Outcome
    side: Side
    price4: int
    size6: int


@dataclass(slots=True)
class Trace:
    """One window."""

    window: str
    asset: str
    start_ns: int
    end_ns: int
    strike_e18: int | None = None
    outcome: Outcome | None = None
    sights: deque[Sight] = field(default_factory=lambda: deque(maxlen=MAX_SIGHTS))
    entries: dict[str, Entry] = field(default_factory=dict)
    """By trade id."""


@dataclass(slots=True)
class Traces:
    """The last windows, in the order in which they were first seen."""

    windows: dict[str, Trace] = field(default_factory=dict)
    _early: dict[str, dict[str, Entry]] = field(default_factory=dict)
    """Trades of windows not seen yet: after a restart they may come first."""

    def see(self, view: WindowView, wall_ns: int) -> None:
        """Take what the strategist sees of a window now; at most once a second of each."""
        if not view.start_ns - _BEFORE_NS <= wall_ns <= view.end_ns + _AFTER_NS:
            return
        trace = self.windows.get(view.window)
        if trace is None:
            trace = Trace(view.window, view.asset, view.start_ns, view.end_ns)
            trace.entries = self._early.pop(view.window, {})
            self.windows[view.window] = trace
            while len(self.windows) > MAX_WINDOWS:
                del self.windows[next(iter(self.windows))]
        trace.strike_e18 = int(view.strike_e18) if view.strike_e18 is not None else None
        trace.outcome = view.outcome
        if trace.sights and wall_ns - trace.sights[-1].at_ns < SECOND * 9 // 10:
            return
        price = int(view.reference_e18) if view.reference_e18 is not None else None
        trace.sights.append(Sight(wall_ns, price, view.up_bid4, view.up_ask4, view.down_bid4, view.down_ask4))

    def note(self, fill: Fill) -> None:
        """Take one of our trades, or take a failed one back."""
        trace = self.windows.get(fill.window)
        entries = trace.entries if trace is not None else self._early.setdefault(fill.window, {})
        if fill.status == "failed":
            entries.pop(fill.trade_id, None)
        else:
            entries[fill.trade_id] = Entry(fill.at_ns, fill.outcome, fill.side, fill.price4, fill.size6)
        while len(self._early) > MAX_WINDOWS:
            del self._early[next(iter(self._early))]

    def worth_showing(self, wall_ns: int, asset: str = "") -> Trace | None:
        """The window people would ask for: a running one with our trades, a running one, the last one."""
        known = [each for each in self.windows.values() if asset in ("", each.asset) and each.sights]
        return max(
            known,
            key=lambda each: (each.start_ns <= wall_ns < each.end_ns, bool(each.entries), each.start_ns),
            default=None,
        )
