"""The venue's price history: the middle of each token's book as it was, sampled once a second.

Remembers what was published and answers ``/prices-history``. Never changes the world.
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from common.sim.market.clob_dialect import compact
from common.sim.world import Book, MarketChange

_TOKENS_KEPT = 5_000
_MINUTE_S = 60


class PriceHistory:
    """Per token the last middle of each second in which its book changed."""

    def __init__(self) -> None:
        self._samples: dict[str, dict[int, float]] = {}

    def note(self, change: MarketChange) -> None:
        """Remember the books of a market that changed."""
        for token, book in change.market.books.items():
            middle = _middle(book)
            if middle is not None:
                self._samples.setdefault(token, {})[book.stamp_ms // 1000] = middle
        while len(self._samples) > _TOKENS_KEPT:
            del self._samples[next(iter(self._samples))]

    def routes(self) -> list[web.RouteDef]:
        """The one path."""
        return [web.get("/clob/prices-history", self._history)]

    def of(self, token: str, start_s: int, end_s: int, fidelity_min: int) -> list[tuple[int, float]]:
        """The last sample of each stretch of ``fidelity_min`` minutes within the span."""
        stretches: dict[int, tuple[int, float]] = {}
        for second, price in sorted(self._samples.get(token, {}).items()):
            if start_s <= second <= end_s:
                stretches[second // (fidelity_min * _MINUTE_S)] = (second, price)
        return list(stretches.values())

    async def _history(self, request: web.Request) -> web.Response:
        try:
            token, start_s, end_s, fidelity = _asked(request.query)
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        points = [{"t": second, "p": price} for second, price in self.of(token, start_s, end_s, fidelity)]
        return _json({"history": points})


def _asked(query: Mapping[str, str]) -> tuple[str, int, int, int]:
    if "market" not in query:
        raise ValueError("market is required")
    start_s, end_s = int(query.get("startTs", "0")), int(query.get("endTs", str(2**40)))
    return query["market"], start_s, end_s, max(1, int(query.get("fidelity", "1")))


def _middle(book: Book) -> float | None:
    if book.best_bid is None or book.best_ask is None:
        return None
    return round((float(book.best_bid) + float(book.best_ask)) / 2, 6)


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(text=compact(body), status=status, content_type="application/json")
