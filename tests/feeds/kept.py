"""A market of two tokens, a venue that has its books and a keeper that follows them, for tests."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from common.feeds.market.book_keeper import BookKeeper, Heard
from common.feeds.market.clob_market import parse_frame
from common.messages import BookState, FeeSchedule, MarketState
from common.units import SECOND
from tests.feeds.wire import (
    DOWN,
    NOW_MS,
    NOW_NS,
    UP,
    book,
    change,
    changes,
    hashed,
    levels,
    text,
)

WINDOW = "btc-updown-15m-1790000100"


def market(up: str = UP, down: str = DOWN, *, version: str = "v1", tick4: int = 100) -> MarketState:
    return MarketState(
        window=WINDOW,
        asset="btc",
        condition_id="0xmarket",
        version=version,
        token_up=up,
        token_down=down,
        rule="twap",
        lookback_s=60,
        start_ns=NOW_NS,
        end_ns=NOW_NS + 900 * SECOND,
        fee=FeeSchedule(rate_ppm=70_000, exponent=1),
        taker_delay_ns=0,
        tick4=tick4,
        min_size6=5_000_000,
        accepting=True,
    )


MARKET = market()


class Counted(BookKeeper):
    """A keeper that remembers what it counted."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        super().__init__(lambda name: self.counts.update([name]))


def followed(of: MarketState = MARKET) -> Counted:
    """A keeper that follows both tokens of one market since instant 0."""
    keeper = Counted()
    assert keeper.follow(of, "up", 0)
    assert keeper.follow(of, "down", 0)
    return keeper


Entry = tuple[str, str, str, str]
"""Token, BUY or SELL, price, size."""


@dataclass
class Venue:
    """Both books of the market as the venue has them: every frame carries the right hash."""

    last_trade: str = "0.600"
    sides: dict[str, dict[str, dict[str, str]]] = field(
        default_factory=lambda: {
            token: {"BUY": {"0.58": "100", "0.59": "20.5"}, "SELL": {"0.62": "300", "0.61": "10"}}
            for token in (UP, DOWN)
        }
    )

    def book(self, token: str = UP, at_ms: int = NOW_MS, **more: Any) -> dict[str, Any]:
        frame = book(token, at_ms, last_trade_price=self.last_trade)
        return hashed(
            frame | {"bids": self._levels(token, "BUY"), "asks": self._levels(token, "SELL")} | more
        )

    def refresh(self, token: str = UP, at_ms: int = NOW_MS) -> dict[str, Any]:
        """A book without grid and last trade."""
        frame = self.book(token, at_ms)
        return {key: value for key, value in frame.items() if key not in ("tick_size", "last_trade_price")}

    def batch(self, at_ms: int, *entries: Entry) -> list[dict[str, Any]]:
        """One frame for each entry; all carry the hash of the book after the last."""
        for token, side, price, size in entries:
            if size == "0":
                del self.sides[token][side][price]
            else:
                self.sides[token][side][price] = size
        return [
            changes(change(*entry[:4], hash=self.book(entry[0], at_ms)["hash"]), at_ms=at_ms)
            for entry in entries
        ]

    def _levels(self, token: str, side: str) -> list[dict[str, str]]:
        held = self.sides[token][side]
        return levels(*((price, held[price]) for price in sorted(held, key=Decimal, reverse=side == "SELL")))


def hear(keeper: Counted, frame: object, mono_ns: int = 1) -> Heard:
    return keeper.hear(parse_frame(text(frame)), mono_ns)


def state(keeper: Counted, token: str = UP) -> BookState:
    found = keeper.state(token)
    assert found is not None
    return found
