"""From recorded time to the time of a run: one exact linear map that keeps windows on whole unix seconds.

Knows no file and no event. The effective speed is the asked one, adjusted to make windows last whole seconds.
"""

from dataclasses import dataclass

from common.errors import ConfigError
from common.sim.naming import window_label, window_slug
from common.units import MILLISECOND, SECOND, ceil_div

LEAD_S = 3
"""Recorded data begins at least this long after the start of the run."""
TARGET_S = 150
"""How long an automatic replay lasts."""
SECONDS_MARGIN = 20
"""What an automatic replay leaves of a given run time for starting and settling."""
FASTEST = 120


@dataclass(frozen=True, slots=True)
class Span:
    """What the map needs to know of a recording: first and last instant, and one opening."""

    first_ns: int
    last_ns: int
    opening_ns: int
    window_s: int


@dataclass(frozen=True, slots=True)
class Retime:
    """``opening_ns`` of the recording happens at ``played_ns``; ``window_s`` of it last ``label_s``."""

    opening_ns: int
    played_ns: int
    window_s: int
    label_s: int

    def at(self, recorded_ns: int) -> int:
        """The instant of the run, rounded down; exact at every opening."""
        return self.played_ns + (recorded_ns - self.opening_ns) * self.label_s // self.window_s

    def stamp_ms(self, recorded_ms: int) -> int:
        """The same for a stamp in milliseconds."""
        return self.at(recorded_ms * MILLISECOND) // MILLISECOND

    def slug(self, asset: str, recorded_start_ns: int) -> str:
        """The window's name on the run's clock."""
        return window_slug(asset, self.label_s, self.at(recorded_start_ns) // SECOND)

    @property
    def speed(self) -> float:
        return self.window_s / self.label_s

    @property
    def label(self) -> str:
        return window_label(self.label_s)


def retime(span: Span, speed: float | None, now_ns: int, *, seconds: int | None = None) -> Retime:
    """Place a recording on the run's clock.

    ``speed`` None: as fast as needed to last about 150 s, or ``seconds`` less a margin.
    Openings are whole seconds; the first recorded instant lies LEAD_S to LEAD_S + 1 s after ``now_ns``.
    Raises ConfigError on a speed that is not above 0 or leaves stamps closer than a millisecond.
    """
    if speed is None:
        return _automatic(span, now_ns, seconds)
    if not 0 < speed <= 1_000:
        raise ConfigError([f"a replay speed of {speed} is not possible; use one above 0 and at most 1000"])
    return _placed(span, _whole_seconds(span.window_s, speed), now_ns)


def _automatic(span: Span, now_ns: int, seconds: int | None) -> Retime:
    target_s = TARGET_S if seconds is None else max(seconds - SECONDS_MARGIN, 1)
    speed = min(max((span.last_ns - span.first_ns) / SECOND / target_s, 1.0), float(FASTEST))
    return _placed(span, _whole_seconds(span.window_s, speed), now_ns)


def _whole_seconds(window_s: int, speed: float) -> int:
    return max(1, int(window_s / speed + 0.5))


def _placed(span: Span, label_s: int, now_ns: int) -> Retime:
    """Move the map on to the next whole second at which the first recorded instant is far enough ahead.

    Openings need not be multiples of the window length: a slug names its own start.
    """
    at_zero = Retime(span.opening_ns, 0, span.window_s, label_s)
    earliest = now_ns + LEAD_S * SECOND - at_zero.at(span.first_ns)
    return Retime(span.opening_ns, ceil_div(earliest, SECOND) * SECOND, span.window_s, label_s)
