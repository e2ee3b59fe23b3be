"""The figures of a report: each drawn for light and dark screens as SVG, and as PNG for messages.

Owns looks only; what is drawn was computed elsewhere. The same numbers give the same bytes.
"""

import io
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from common.errors import DependencyMissing
from common.research.intervals import Interval
from common.research.lag.correlation import Correlogram
from common.units import SECOND

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN, DPI = 6.4, 200


class Theme(NamedTuple):
    """Colours that can be read on one background; blue and orange differ for every kind of sight."""

    back: str
    ink: str
    faint: str
    blue: str
    orange: str


LIGHT = Theme("#ffffff", "#1b1f24", "#d0d7de", "#0b57a4", "#b35900")
DARK = Theme("#161b22", "#e6edf3", "#3d444d", "#6cb6ff", "#f0883e")
BETWEEN = "#8c959f"
"""Neither one side nor the other; readable on both backgrounds."""


class Plot(NamedTuple):
    """A figure in all its forms, and in words for those who do not see it."""

    name: str
    """For file names."""
    title: str
    alt: str
    light_svg: bytes
    dark_svg: bytes
    png: bytes


def reaction(
    name: str, path: Sequence[tuple[int, Interval, float]], jumps: int, alt: str, title: str
) -> Plot:
    """The reference above, the book's middle below, around the instant the jump could be known."""

    def draw(figure: "Figure", theme: Theme) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.5))
        seconds = [offset / SECOND for offset, _, _ in path]
        above.plot(seconds, [ppm / 100 for _, _, ppm in path], color=theme.orange, linewidth=2)
        _dress(above, theme, f"{name}, bp")
        means = [moved.mean for _, moved, _ in path]
        low, high = ([_finite(moved[end]) for _, moved, _ in path] for end in (0, 2))
        below.fill_between(seconds, low, high, color=theme.blue, alpha=0.18, linewidth=0)
        below.plot(seconds, means, color=theme.blue, linewidth=2)
        _dress(below, theme, "book mid, cents")
        below.set_xlabel(f"seconds after the jump could be known ({jumps} jumps)", color=theme.ink)
        for axes in (above, below):
            axes.axvline(0, color=theme.ink, linewidth=1, linestyle=(0, (3, 2)))
            axes.axhline(0, color=theme.faint, linewidth=1)
        for second, beside in ((2, (7, -12)), (5, (-10, 10))):
            at = next((mean for offset, mean in zip(seconds, means, strict=True) if offset == second), None)
            if at is not None and math.isfinite(at):
                below.plot([second], [at], "o", color=theme.blue, markersize=5)
                below.annotate(
                    f"{second} s", (second, at), xytext=beside, textcoords="offset points", color=theme.ink
                )
        below.set_xticks([-10, 0, 10, 20, 30, 40, 50, 60])

    return _plot(f"reaction-{_file(name)}", title, alt, draw, 4.6)


def correlogram(name: str, found: Correlogram, alt: str, title: str) -> Plot:
    """One bar for each lag of the book behind the price called ``name``, with its interval."""

    def draw(figure: "Figure", theme: Theme) -> None:
        axes = figure.add_subplot()
        known = [(lag / SECOND, one) for lag, one in found.lags if math.isfinite(one.mean)]
        at, width = [lag for lag, _ in known], 0.7 * found.step_ns / SECOND
        colours = [theme.orange if lag > 0 else theme.blue if lag else BETWEEN for lag in at]
        axes.bar(at, [one.mean for _, one in known], width=width, color=colours)
        for lag, one in known:
            axes.plot([lag, lag], [_finite(one.low), _finite(one.high)], color=theme.ink, linewidth=1.2)
        axes.axhline(0, color=theme.ink, linewidth=1)
        _dress(axes, theme, "correlation")
        axes.set_xlabel("← book moves first     lag, s     price moves first →", color=theme.ink)

    return _plot(f"correlation-{_file(name)}", title, alt, draw, 3.4)


def forest(name: str, rows: Sequence[tuple[str, Interval]], unit: str, alt: str, title: str) -> Plot:
    """One line for each part: its estimate between both ends, beside zero; a row without ends is left out."""
    shown = [(label, one) for label, one in rows if all(map(math.isfinite, one))]

    def draw(figure: "Figure", theme: Theme) -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=theme.ink, linewidth=1)
        for row, (_, one) in enumerate(shown):
            axes.plot([one.low, one.high], [row, row], color=theme.blue, linewidth=2.4)
            axes.plot([one.mean], [row], "o", color=theme.blue, markersize=7)
        _dress(axes, theme, "")
        axes.set_yticks(range(len(shown)), [label for label, _ in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlabel(unit, color=theme.ink)

    return _plot(name, title, alt, draw, 1.1 + 0.36 * max(1, len(shown)))


def steps(name: str, values: Sequence[float], unit: str, alt: str, title: str) -> Plot:
    """A sum as it grew, from nothing, by its number."""

    def draw(figure: "Figure", theme: Theme) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.add_subplot()
        axes.axhline(0, color=theme.ink, linewidth=1)
        axes.step(range(len(values) + 1), [0.0, *values], where="post", color=theme.blue, linewidth=2)
        axes.plot([len(values)], [values[-1] if values else 0.0], "o", color=theme.blue, markersize=6)
        _dress(axes, theme, unit)
        axes.set_xlabel("trades, in the order of their windows", color=theme.ink)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    return _plot(name, title, alt, draw, 3.0)


def shares(name: str, points: Sequence[tuple[float, Interval]], alt: str, title: str) -> Plot:
    """What was paid beside what came of it; on the line the market was right."""

    def draw(figure: "Figure", theme: Theme) -> None:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=theme.ink, linewidth=1, linestyle=(0, (3, 2)))
        for paid, won in points:
            axes.plot([paid, paid], [won.low, won.high], color=theme.blue, linewidth=2)
            axes.plot([paid], [won.mean], "o", color=theme.blue, markersize=6)
        _dress(axes, theme, "share that won")
        axes.set_xlabel("mean price paid, $ a share", color=theme.ink)
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.03, 1.03)

    return _plot(name, title, alt, draw, 3.4)


def ladder(name: str, rungs: Sequence[tuple[str, float]], unit: str, alt: str, title: str) -> Plot:
    """The same figure once for each rung, as bars."""

    def draw(figure: "Figure", theme: Theme) -> None:
        axes = figure.add_subplot()
        axes.bar([rung for rung, _ in rungs], [value for _, value in rungs], color=theme.blue, width=0.6)
        axes.axhline(0, color=theme.ink, linewidth=1)
        _dress(axes, theme, unit)

    return _plot(name, title, alt, draw, 3.0)


def _plot(name: str, title: str, alt: str, draw: Callable[["Figure", Theme], None], height_in: float) -> Plot:
    light = _drawn(draw, LIGHT, height_in, "svg")
    dark = _drawn(draw, DARK, height_in, "svg")
    return Plot(name, title, alt, light, dark, _drawn(draw, LIGHT, height_in, "png", title))


def _drawn(
    draw: Callable[["Figure", Theme], None], theme: Theme, height_in: float, form: str, title: str = ""
) -> bytes:
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise DependencyMissing(
            f"a report needs matplotlib ({error.name} is missing): pip install 'laggard[research]'"
        ) from None
    # Letters become outlines: a picture looks the same wherever it is opened, and no font is fetched.
    with mpl.rc_context({"svg.hashsalt": "laggard", "svg.fonttype": "path", "font.size": 12.5}):
        figure = Figure(
            figsize=(WIDTH_IN, height_in),
            dpi=DPI,
            layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08),
            facecolor=theme.back,
        )
        FigureCanvasAgg(figure)
        draw(figure, theme)
        if title:
            figure.suptitle(title, fontsize=12, fontweight="bold", color=theme.ink, x=0.02, ha="left")
        out = io.BytesIO()
        figure.savefig(
            out, format=form, facecolor=theme.back, metadata={"Date": None} if form == "svg" else {}
        )
    return out.getvalue()


def _dress(axes: "Axes", theme: Theme, label: str) -> None:
    axes.set_facecolor(theme.back)
    axes.set_ylabel(label, color=theme.ink)
    axes.tick_params(colors=theme.ink, length=0, pad=5)
    axes.grid(color=theme.faint, linewidth=0.7)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else float("nan")


def _file(name: str) -> str:
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))
