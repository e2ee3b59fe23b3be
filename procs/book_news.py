"""Which books are published when: best levels, status and proof at once, what lies deeper only now and then.

Owns what waits to be published and what was. Does not know why a book changed.
"""

import asyncio
from collections.abc import Iterable

from common.feeds.market.book_keeper import BookKeeper
from common.feeds.market.kept_book import Best
from common.runtime.shell import Process
from common.units import MILLISECOND

DEEPER_NS = 250 * MILLISECOND
"""What changed below the best levels waits until the book was published this long ago; best levels do not."""


class BookNews:
    """What there is to publish of the books that the keeper keeps, and the one place where it is."""

    def __init__(self, process: Process, keeper: BookKeeper) -> None:
        self.process = process
        self.keeper = keeper
        self.waiting: dict[str, int] = {}
        """Books to publish now, and when what they tell was received."""
        self.fresh = asyncio.Event()
        """Set when there are some."""
        self.dirty: set[str] = set()
        """Books that changed below their best levels only."""
        self.told: dict[str, Best | None] = {}
        """Status and best levels as published last."""
        self.told_ns: dict[str, int] = {}
        """When that was."""

    def sort(self, tokens: Iterable[str], recv_ns: int) -> None:
        """Take in books that changed by what was received then: news, or below the best levels only."""
        for token in tokens:
            if self.keeper.best(token) == self.told.get(token):
                self.dirty.add(token)
            else:
                self.waiting[token] = recv_ns

    def wake(self) -> None:
        """Have what is news published as soon as the frames at hand are read."""
        if self.waiting:
            self.fresh.set()

    async def tell(self) -> None:
        """Publish news until cancelled: of a book that moved in many frames at hand only what it came to."""
        while True:
            await self.fresh.wait()
            self.publish()

    def publish(self) -> None:
        """Publish the books whose best levels, status or proof are news."""
        self.fresh.clear()
        while self.waiting:
            self._publish(*self.waiting.popitem())

    def publish_at_once(self, tokens: Iterable[str]) -> None:
        """Publish these books now, whatever became of them, and with them what is news."""
        self.waiting |= dict.fromkeys(tokens, self.process.clock.wall_ns())
        self.publish()

    def publish_deeper(self, mono_ns: int, wall_ns: int) -> None:
        """Publish what changed below the best levels and has waited its time."""
        for token in [token for token in self.dirty if mono_ns - self.told_ns.get(token, 0) >= DEEPER_NS]:
            self._publish(token, wall_ns)

    def forget(self, token: str) -> None:
        """A book that is kept no longer is neither published nor shown."""
        self.dirty.discard(token)
        for kept in (self.waiting, self.told, self.told_ns):
            kept.pop(token, None)
        self.process.facts.pop(_fact(token), None)
        self.process.publisher.forget(f"book.{token}")

    def _publish(self, token: str, recv_ns: int) -> None:
        self.dirty.discard(token)
        state = self.keeper.state(token)
        if state is None:
            return
        self.told[token], self.told_ns[token] = self.keeper.best(token), self.process.clock.mono_ns()
        self.process.count("books")
        if state.status == "resync":
            self.process.facts[_fact(token)] = f"asked for again: {self.keeper.doubt(token)}"
        else:
            self.process.facts.pop(_fact(token), None)
        self.process.publisher.publish(
            f"book.{token}", state, ts_event_ns=state.venue_ns, ts_recv_ns=recv_ns, keep=True
        )


def _fact(token: str) -> str:
    return f"book.{token[:12]}"
