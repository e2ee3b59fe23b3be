"""What a contender is put under while ticks fire, and in which order.

The first order of a sitting warms everything up and is not counted; the fifteen of its other windows belong
to its loads. A hanging chat is measured as the books without it are: as many orders, after as many in a quiet
market, of a contender that was started as lately.
"""

from dataclasses import dataclass

from bench.chat import FULL
from bench.world import RESTING_FRAMES

FRAMES = 2_000
"""Of the books, a second."""


@dataclass(frozen=True)
class Load:
    """Ticks that fire, and what goes on around them."""

    name: str
    fires: int
    frames: int = FRAMES
    report: bool = False
    telegram: bool = False
    queued: bool = False


QUIET = Load("quiet", 7, frames=RESTING_FRAMES)
WARM_UP = Load("warm-up", 1)
SITTINGS = (
    (QUIET, Load("books", 8)),
    (QUIET, Load("telegram", 8, telegram=True)),
    (Load("report", 9, report=True), Load("queued", 6, queued=True)),
)
LOADS = tuple(dict.fromkeys(load.name for sitting in SITTINGS for load in sitting))
NEEDED = (
    ("telegram", "waiting", FULL, "the outbox did not fill"),
    ("telegram", "hung", 1, "no request to the chat hung"),
    ("telegram", "commands", 1, "nobody wrote to the bot"),
    ("report", "pictures", 1, "no picture was drawn"),
)
"""Of ours, what a load must have come to in every round: its name, what, the least, words for less."""
