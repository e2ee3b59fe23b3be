"""The venue's REST copy of a book, asked about a token without news: is there really nothing new?

Owns how often a token is looked up and what an answer is worth. Changes no book: the caller acts on what it
says.
"""

from collections.abc import Container
from dataclasses import dataclass, field

from common.errors import FeedError, FrameRefused
from common.feeds.http import HttpSource
from common.feeds.market.book_keeper import BookKeeper
from common.feeds.market.clob_market import parse_book
from common.feeds.market.market_events import BookSnapshot


@dataclass(frozen=True, slots=True)
class Testimony:
    """What a look-up came to: how the copy stands to ours, or ``failed``, ``missing``, ``refused``."""

    word: str
    copy: BookSnapshot | None = None
    """None: no usable answer."""


@dataclass(slots=True)
class BookWitness:
    """Look-ups of tokens whose book stays as it is, each at most once in ``quiet_ns``."""

    source: HttpSource
    keeper: BookKeeper
    quiet_ns: int
    _asked_ns: dict[str, int] = field(default_factory=dict)

    def due(self, watched: Container[str], mono_ns: int) -> list[str]:
        """Watched tokens without news that were not looked up lately; they count as looked up now."""
        quiet = [token for token in self.keeper.unchanged(mono_ns, self.quiet_ns) if token in watched]
        # Whatever had news in between is quiet for long enough before its turn: only the rest is kept.
        lately = {
            token: at
            for token, at in self._asked_ns.items()
            if token in quiet and mono_ns - at < self.quiet_ns
        }
        self._asked_ns = dict.fromkeys(quiet, mono_ns) | lately
        return [token for token in quiet if token not in lately]

    async def look_up(self, token: str) -> Testimony:
        """Ask for one book and hold it against ours."""
        try:
            answer = await self.source.get("/book", {"token_id": token})
        except FeedError:
            return Testimony("failed")
        if answer is None:
            return Testimony("missing")
        try:
            copy = parse_book(answer)
        except FrameRefused:
            return Testimony("refused")
        if copy.token != token:
            return Testimony("refused")
        return Testimony(self.keeper.compare(copy), copy)
