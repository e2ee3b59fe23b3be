"""Pictures for a phone: the equity, and one window with price, strike, books and our trades.

Draws what it is given as PNG bytes. A picture takes a fraction of a second: call it in a thread.
"""

import datetime
import io
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from common.core.remote.traces import Entry, Sight, Trace
from common.errors import DependencyMissing
from common.messages import PositionState
from common.units import E18, PRICE4_ONE, SECOND, SIZE6_ONE, USD6_ONE, price4_text, price18_text, usd6_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, DPI = 1080, 720, 120
INK, FAINT = "#1b1f24", "#d0d7de"
UP, DOWN, PRICE = "#1a7f37", "#c9372c", "#0b57a4"
MAX_WORDED = 3
"""Trades of a window that are written out."""
_DAY_S = 86_400
_WINDOW_S = 900


def equity_points(positions: Iterable[PositionState]) -> list[tuple[int, int]]:
    """(instant, realized profit so far in 1e-6 $) after each settled position, oldest first."""
    total, points = 0, []
    for held in sorted((each for each in positions if each.settled), key=lambda each: each.end_ns):
        total += held.pnl_usd6
        points.append((held.end_ns, total))
    return points


def equity_png(points: Sequence[tuple[int, int]], title: str) -> bytes:
    """Realized profit in dollars over time, in UTC; the last value is written beside its end."""
    figure = _figure()
    axes = figure.add_subplot()
    _dress(axes, title, "realized profit, $")
    axes.axhline(0, color=INK, linewidth=1)
    if not points:
        _note(axes, "nothing was settled yet")
        axes.set_xticks([])
        return _png(figure)
    at = [points[0][0] / SECOND - _WINDOW_S, *(at_ns / SECOND for at_ns, _ in points)]
    value = [0.0, *(usd6 / USD6_ONE for _, usd6 in points)]
    last = value[-1]
    axes.step(at, value, where="post", color=PRICE, linewidth=2.4)
    axes.fill_between(at, value, 0, step="post", color=PRICE, alpha=0.10, linewidth=0)
    axes.plot(at[-1:], value[-1:], "o", color=PRICE, markersize=8)
    low, high = min(*value, 0), max(*value, 0)
    room = 0.12 * (high - low or 1)
    axes.set_ylim(low - room, high + room)
    span = at[-1] - at[0]
    axes.set_xlim(at[0] - 0.02 * span, at[-1] + 0.15 * span)
    axes.annotate(
        f"{_signed(points[-1][1])} $", (at[-1], last), xytext=(8, 0), textcoords="offset points",
        color=UP if last >= 0 else DOWN, fontsize=15, fontweight="bold", va="center",
    )  # fmt: skip
    _utc_axis(axes, every_s=_round_step(span / 5), days=span > _DAY_S)
    return _png(figure)


def window_png(trace: Trace, wall_ns: int) -> bytes:
    """One window: above the oracle's price and the strike, below bids, asks and our trades of both sides."""
    figure = _figure()
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.15))
    _dress(above, _window_title(trace, wall_ns), f"{trace.asset.upper()}, $")
    _dress(below, "", "$ a share")
    above.tick_params(labelbottom=False)
    _draw_price(above, trace)
    for outcome, colour in (("up", UP), ("down", DOWN)):
        _draw_book(below, trace.sights, outcome, colour)
    entries = sorted(trace.entries.values())
    _draw_entries(below, entries)
    figure.supxlabel(_words(entries), fontsize=13, color=INK, x=0.02, ha="left")
    below.set_ylim(0, 1)
    below.set_yticks([0, 0.25, 0.5, 0.75, 1])
    below.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=11, frameon=False, handlelength=1.4,
        columnspacing=1.4,
    )  # fmt: skip
    start, end = trace.start_ns / SECOND, trace.end_ns / SECOND
    for axes in (above, below):
        axes.axvline(start, color=FAINT, linewidth=1)
        axes.axvline(end, color=FAINT, linewidth=1)
        axes.set_xlim(start - 0.03 * (end - start), end + 0.03 * (end - start))
    _utc_axis(below, every_s=_round_step((end - start) / 5), seconds=end - start < 300)
    if not trace.sights:
        above.set_yticks([])
        _note(above, "nothing was seen of it yet")
    return _png(figure)


def _draw_price(axes: "Axes", trace: Trace) -> None:
    seen = [sight for sight in trace.sights if sight.e18 is not None]
    at = [sight.at_ns / SECOND for sight in seen]
    price = [sight.e18 / E18 for sight in seen if sight.e18 is not None]
    axes.plot(at, price, color=PRICE, linewidth=2.2, label="oracle")
    if trace.strike_e18 is not None:
        strike = trace.strike_e18 / E18
        axes.axhline(strike, color=INK, linewidth=1.6, linestyle=(0, (6, 4)))
        axes.fill_between(
            at, price, strike, where=[each >= strike for each in price], color=UP, alpha=0.12, linewidth=0,
            interpolate=True,
        )  # fmt: skip
        axes.fill_between(
            at, price, strike, where=[each < strike for each in price], color=DOWN, alpha=0.12, linewidth=0,
            interpolate=True,
        )  # fmt: skip
        axes.annotate(
            f"strike {_dollars(trace.strike_e18)}", (0.995, strike), xycoords=axes.get_yaxis_transform(),
            xytext=(0, 5), textcoords="offset points", ha="right", color=INK, fontsize=12,
        )  # fmt: skip
    axes.margins(y=0.18)
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)


def _draw_book(axes: "Axes", sights: Iterable[Sight], outcome: str, colour: str) -> None:
    asks, bids, at = [], [], []
    for sight in sights:
        ask, bid = (sight.up_ask4, sight.up_bid4) if outcome == "up" else (sight.down_ask4, sight.down_bid4)
        at.append(sight.at_ns / SECOND)
        asks.append(_share(ask))
        bids.append(_share(bid))
    name = outcome.capitalize()
    axes.step(at, asks, where="post", color=colour, linewidth=2.2, label=f"{name} ask")
    axes.step(
        at, bids, where="post", color=colour, linewidth=1.3, linestyle=(0, (2, 1.5)), label=f"{name} bid"
    )


def _draw_entries(axes: "Axes", entries: Sequence[Entry]) -> None:
    """Each trade as a triangle with its number: up for bought, down for sold."""
    for number, entry in enumerate(entries, start=1):
        colour = UP if entry.outcome == "up" else DOWN
        at, price = entry.at_ns / SECOND, min(max(entry.price4 / PRICE4_ONE, 0.04), 0.96)
        axes.axvline(at, color=colour, linewidth=1, alpha=0.5, zorder=1)
        axes.plot(
            [at], [price], marker="^" if entry.side == "buy" else "v", color=colour, markersize=21,
            markeredgecolor="white", markeredgewidth=1.8, zorder=5, clip_on=False,
        )  # fmt: skip
        axes.annotate(
            f"{number}", (at, price), xytext=(0, -2.5 if entry.side == "buy" else 2.5),
            textcoords="offset points", ha="center", va="center", color="white", fontsize=11,
            fontweight="bold", zorder=6,
        )  # fmt: skip


def _words(entries: Sequence[Entry]) -> str:
    """The trades by their numbers, the first few of them."""
    words = [
        f"{number} {'bought' if entry.side == 'buy' else 'sold'} {entry.size6 / SIZE6_ONE:.1f} "
        f"{entry.outcome.capitalize()} at {price4_text(entry.price4)}"
        for number, entry in enumerate(entries[:MAX_WORDED], start=1)
    ]
    more = [f"and {len(entries) - MAX_WORDED} more"] if len(entries) > MAX_WORDED else []
    return "     ".join([*words, *more])


def _window_title(trace: Trace, wall_ns: int) -> str:
    title = f"{trace.asset.upper()} {_utc(trace.start_ns)} to {_utc(trace.end_ns)} UTC"
    if trace.outcome is not None:
        return f"{title}: ended {trace.outcome.capitalize()}"
    if wall_ns >= trace.end_ns:
        return f"{title}: ended"
    left_s = (trace.end_ns - max(wall_ns, trace.start_ns)) // SECOND
    return f"{title}: {left_s // 60}:{left_s % 60:02d} left"


def _figure() -> "Figure":
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyMissing(
            f"a picture needs matplotlib ({error.name} is missing); install laggard with its extra research"
        ) from None
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _dress(axes: "Axes", title: str, label: str) -> None:
    if title:
        axes.set_title(title, fontsize=17, fontweight="bold", color=INK, loc="left", pad=10)
    axes.set_ylabel(label, fontsize=14, color=INK)
    axes.tick_params(labelsize=13, colors=INK, length=0, pad=6)
    axes.grid(color=FAINT, linewidth=0.8, alpha=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def _note(axes: "Axes", text: str) -> None:
    axes.text(0.5, 0.6, text, transform=axes.transAxes, ha="center", va="center", fontsize=16, color=INK)


def _utc_axis(axes: "Axes", *, every_s: float, days: bool = False, seconds: bool = False) -> None:
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    layout = "%d %b\n%H:%M" if days else "%H:%M:%S" if seconds else "%H:%M"

    def written(at: float, _place: Any = None) -> str:
        return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime(layout)

    axes.xaxis.set_major_formatter(FuncFormatter(written))
    axes.xaxis.set_major_locator(MultipleLocator(every_s))
    axes.set_xlabel("UTC", fontsize=13, color=INK, loc="right")


def _round_step(seconds: float) -> float:
    """The next larger span that reads well on a clock."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, _DAY_S)
    return next((step for step in steps if step >= seconds), _DAY_S * math.ceil(seconds / _DAY_S))


def _png(figure: "Figure") -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _share(price4: int | None) -> float:
    return float("nan") if price4 is None else price4 / PRICE4_ONE


def _dollars(e18: int) -> str:
    return price18_text(e18, places=2 if e18 >= 1000 * E18 else 4)


def _signed(usd6: int) -> str:
    return f"{'+' if usd6 > 0 else ''}{usd6_text(usd6)}"


def _utc(at_ns: int) -> str:
    return datetime.datetime.fromtimestamp(at_ns / SECOND, datetime.UTC).strftime("%H:%M")
