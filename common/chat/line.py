"""How the line to Telegram is: what is wrong with it, and whether somebody else listens on it.

Owns the process's state in the status. Talks to nobody.
"""

from dataclasses import dataclass, field

from common.runtime.clock import Clock
from common.runtime.shell import Process
from common.units import SECOND

CONTESTED_NS = 30 * SECOND
"""After another poller was last noticed; two that take turns notice each other far more often."""


@dataclass(slots=True)
class Line:
    """The line of one process; ``show`` puts it into the status."""

    clock: Clock
    contested_ns: int = CONTESTED_NS
    troubles: dict[str, str] = field(default_factory=dict)
    """What is wrong now, by where."""
    polls: int = 0
    last_poll_ns: int | None = None
    """Monotonic instant of the last good answer to a poll."""
    resting: bool = False
    """Telegram's own answer is the reason why nothing is asked now."""
    seen_other_ns: int | None = None

    def trouble(self, where: str, text: str) -> None:
        """Something is wrong until ``well`` is said of the same place."""
        self.troubles[where] = text

    def well(self, where: str) -> None:
        """Nothing is wrong there any more."""
        self.troubles.pop(where, None)

    def polled(self) -> None:
        """A poll was answered as it should be."""
        self.polls += 1
        self.last_poll_ns = self.clock.mono_ns()
        self.well("polling")

    def other_poller(self) -> None:
        """Telegram said that another program polls with the same token."""
        self.seen_other_ns = self.clock.mono_ns()

    def contested(self) -> bool:
        """Whether another poller was noticed lately."""
        seen = self.seen_other_ns
        return seen is not None and self.clock.mono_ns() - seen < self.contested_ns

    def contested_text(self) -> str:
        """Why nothing that adds risk is carried out now, or empty."""
        if not self.contested():
            return ""
        return (
            "another program polls with the same bot token, so commands may go astray; stop that one first."
        )

    def show(self, process: Process) -> None:
        """Put it into state, facts and counters of the process."""
        texts = [text for _, text in sorted(self.troubles.items())]
        if self.contested():
            texts.insert(0, "another program polls with the same bot token; nothing that adds risk is obeyed")
        process.set_state("degraded" if texts else "ready", "; ".join(texts))
        process.set_count("polls", self.polls)
        last = self.last_poll_ns
        process.facts["last poll"] = (
            f"{(self.clock.mono_ns() - last) / SECOND:.0f} s ago" if last is not None else "never"
        )
