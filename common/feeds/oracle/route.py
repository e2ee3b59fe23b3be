"""What an oracle route is: the lines it keeps open, how each line talks, and how it fills in what it missed.

Every route is run by the same process module; only what is described here differs. Owns no socket.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from common.feeds.backoff import Backoff
from common.feeds.oracle.price_fields import Control
from common.messages import RouteName, Tick

Item = Tick | Control


class Conversation(Protocol):
    """Our half of one connection's protocol; made anew for every connection. Never touches a socket."""

    def opening(self) -> list[str]:
        """What to say first."""

    def hear(self, frame: str | bytes, recv_ns: int) -> tuple[list[Item], list[str]]:
        """The meaning of one frame, and what to say to it.

        Raises FrameRefused when the frame is unusable (counted, never fatal) and FeedRefused when the other
        end refuses us and trying again cannot cure it.
        """


def nothing_to_add(_code: int) -> float:
    """No code means anything special."""
    return 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """One connection of a route."""

    name: str
    """Tells lines of one route apart: an origin, an exchange."""
    url: str
    converse: Callable[[], Conversation]
    watched: tuple[str, ...]
    """Series (``spot/btc``) that must not fall silent on this line."""
    headers: Callable[[], Mapping[str, str]] = dict
    ping: str = ""
    ping_every_s: float = 5.0
    max_bytes: int = 1 << 20
    backoff: Callable[[], Backoff] = Backoff
    on_refusal: Callable[[int], float] = nothing_to_add
    """HTTP status or close code to the least wait in seconds; may raise FeedRefused."""


@dataclass(frozen=True, slots=True)
class Route:
    """One way to the settlement price."""

    name: RouteName
    lines: tuple[Line, ...]
    series: tuple[str, ...]
    """Everything it carries for our assets: ``twap60/eth``."""
    back_fill: Callable[[str, int, int], Awaitable[list[Tick]]] | None = None
    """Ticks of a series (``spot/btc``) stamped from one instant to another, both included (ns).

    Raises FeedError; asked after every reconnect where the route has such a thing.
    """
    refine: Callable[[], Awaitable[tuple[Line, ...]]] | None = None
    """The lines after asking the other end, for example one per origin.

    Raises FeedError; then ``lines`` are used.
    """
    made_up: Callable[[int], str] | None = None
    """A frame of ``spot/btc`` stamped with this instant (ms), to rehearse with; None: only ticks can be."""
    notes: tuple[str, ...] = field(default=())
    """What it cannot do here, in sentences: shown in status."""


@dataclass(frozen=True, slots=True)
class Disabled:
    """A route that is not run, and why, with the cure."""

    why: str


def series_key(kind: str, asset: str) -> str:
    """How a series is named in status and watch lists: ``spot/btc``."""
    return f"{kind}/{asset}"
