"""How long to wait before the next connection attempt: capped, jittered, forgiving only after real data."""

from dataclasses import dataclass, field
from random import Random

FIRST_S = 0.25
GROWTH = 2.0
CAP_S = 30.0
PROVEN_AFTER_S = 5.0
"""A connection that delivered for this long starts over with short waits. A successful handshake does not: a
server that accepts and closes at once would be asked thousands of times."""


@dataclass
class Backoff:
    """Waits of one connection; the randomness is handed in."""

    random: Random = field(default_factory=Random)
    first_s: float = FIRST_S
    cap_s: float = CAP_S
    attempts: int = 0

    def next_wait_s(self, *, at_least_s: float = 0.0) -> float:
        """The wait before the next attempt: half fixed, half random, so that many clients spread out."""
        ceiling = min(self.cap_s, self.first_s * GROWTH**self.attempts)
        # Exponents stay small: the cap is reached long before.
        self.attempts = min(self.attempts + 1, 16)
        return max(at_least_s, ceiling / 2 + self.random.uniform(0, ceiling / 2))

    def delivered(self, for_s: float) -> None:
        """Data came for this long on the connection that just ended."""
        if for_s >= PROVEN_AFTER_S:
            self.attempts = 0
