"""The order-book service's language: market-channel frames and REST bodies.

Pure state to text. Knows no connection and sends nothing. All numbers are strings, stamps are millisecond
strings. Some frames are written with a space after commas, as the real ones are.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from common.core.book_hash import book_hash
from common.sim.script import Level, Traded
from common.sim.world import Book, Market, MarketChange

_NEG_RISK = False


def levels(side: Sequence[Level]) -> list[dict[str, str]]:
    """One side as the wire writes it."""
    return [{"price": price, "size": size} for price, size in side]


def hash_of(market: Market, token: str) -> str:
    """The proof of one token's book as it is now."""
    book = market.books[token]
    return book_hash(
        market.spec.condition_id,
        token,
        str(book.stamp_ms),
        book.bids,
        book.asks,
        market.spec.min_size,
        market.tick_size,
        _NEG_RISK,
        market.last_trade_price,
        _version(market),
    )


def book_object(market: Market, token: str) -> dict[str, Any]:
    """A full book as the market channel sends it."""
    book = market.books[token]
    return {
        "market": market.spec.condition_id,
        "asset_id": token,
        "timestamp": str(book.stamp_ms),
        "hash": hash_of(market, token),
        "bids": levels(book.bids),
        "asks": levels(book.asks),
        "tick_size": market.tick_size,
        "event_type": "book",
        "last_trade_price": market.last_trade_price,
    } | _versioned(market)


def initial_books_frame(books: Sequence[tuple[Market, str]]) -> str:
    """The first frame after subscribing: all books in one array, ending with a newline."""
    return compact([book_object(market, token) for market, token in books]) + "\n"


def refresh_frame(market: Market, token: str) -> str:
    """The shorter book that follows a trade: no grid, no last price, another order of keys."""
    book = market.books[token]
    return compact(
        {
            "market": market.spec.condition_id,
            "asset_id": token,
            "bids": levels(book.bids),
            "asks": levels(book.asks),
            "hash": hash_of(market, token),
            "timestamp": str(book.stamp_ms),
            "event_type": "book",
        }
    )


def price_changes(change: MarketChange) -> list[dict[str, str]]:
    """The entries that lead from the old books to the new ones, for every token that moved."""
    entries = []
    for token, old in change.old_books.items():
        new = change.market.books[token]
        moved = [*_diff(old.bids, new.bids, "BUY"), *_diff(old.asks, new.asks, "SELL")]
        if not moved:
            continue
        proof = hash_of(change.market, token)
        best_bid, best_ask = _bests(new)
        entries += [
            {
                "asset_id": token,
                "price": price,
                "size": size,
                "side": side,
                "hash": proof,
                "best_bid": best_bid,
                "best_ask": best_ask,
            }
            for price, size, side in moved
        ]
    return entries


def price_change_frame(change: MarketChange, entries: list[dict[str, str]]) -> str:
    """One price_change frame with the given entries."""
    return spaced(
        {
            "market": change.market.spec.condition_id,
            "price_changes": entries,
            "timestamp": str(change.stamp_ms),
            "event_type": "price_change",
        }
    )


def last_trade_price_frame(change: MarketChange, trade: Traded) -> str:
    """A trade; the fee reads zero even where fees apply, and the transaction hash is made up."""
    seed = f"{trade.token}{trade.price}{trade.size}{trade.side}{change.stamp_ms}"
    return compact(
        {
            "market": change.market.spec.condition_id,
            "asset_id": trade.token,
            "price": trade.price,
            "size": trade.size,
            "fee_rate_bps": "0",
            "side": trade.side,
            "timestamp": str(change.stamp_ms),
            "event_type": "last_trade_price",
            "transaction_hash": "0x" + hashlib.sha256(seed.encode()).hexdigest(),
        }
    )


def best_bid_ask_frame(change: MarketChange, token: str) -> str | None:
    """The new top of one book; None when it did not move or has an empty side."""
    old, new = change.old_books[token], change.market.books[token]
    if new.best_bid is None or new.best_ask is None:
        return None
    if (old.best_bid, old.best_ask) == (new.best_bid, new.best_ask):
        return None
    return compact(
        {
            "market": change.market.spec.condition_id,
            "asset_id": token,
            "best_bid": new.best_bid,
            "best_ask": new.best_ask,
            "spread": str(Decimal(new.best_ask) - Decimal(new.best_bid)),
            "timestamp": str(change.stamp_ms),
            "event_type": "best_bid_ask",
        }
    )


def tick_size_change_frame(change: MarketChange, token: str) -> str:
    """The price grid of one token changed; full books follow."""
    return compact(
        {
            "market": change.market.spec.condition_id,
            "asset_id": token,
            "old_tick_size": change.old_tick_size,
            "new_tick_size": change.market.tick_size,
            "timestamp": str(change.stamp_ms),
            "event_type": "tick_size_change",
        }
    )


def new_market_frame(change: MarketChange) -> str:
    """A market was listed; goes to everyone who takes custom features."""
    market, spec = change.market, change.market.spec
    text = {"slug": spec.slug, "title": spec.question, "description": f"Settles on {spec.resolution_source}."}
    return spaced(
        {
            "id": market.market_id,
            "question": spec.question,
            "market": spec.condition_id,
            "slug": spec.slug,
            "description": text["description"],
            "assets_ids": list(market.tokens),
            "outcomes": ["Up", "Down"],
            "event_message": {"id": market.event_id, "ticker": spec.slug} | text,
            "timestamp": str(change.stamp_ms),
            "event_type": "new_market",
            "tags": [],
            "condition_id": spec.condition_id,
            "active": False,
            "clob_token_ids": list(market.tokens),
            "sports_market_type": "",
            "line": "",
            "game_start_time": "",
            "order_price_min_tick_size": spec.tick_size,
            "group_item_title": "",
            "taker_base_fee": "1000",
            "fees_enabled": True,
            "fee_schedule": {
                "exponent": str(spec.fee_exponent),
                "rate": spec.fee_rate,
                "taker_only": True,
                "rebate_rate": "0.2",
            },
        }
    )


def market_resolved_frame(change: MarketChange) -> str:
    """The outcome of a market."""
    market = change.market
    winner = market.spec.token_up if market.outcome == "Up" else market.spec.token_down
    return compact(
        {
            "id": market.market_id,
            "market": market.spec.condition_id,
            "assets_ids": list(market.tokens),
            "winning_asset_id": winner,
            "winning_outcome": market.outcome,
            "event_message": None,
            "timestamp": str(change.stamp_ms),
            "event_type": "market_resolved",
        }
    )


def rest_book(market: Market, token: str) -> dict[str, Any]:
    """The body of ``/book``: the hash input with its hash filled in."""
    book = market.books[token]
    return {
        "market": market.spec.condition_id,
        "asset_id": token,
        "timestamp": str(book.stamp_ms),
        "hash": hash_of(market, token),
        "bids": levels(book.bids),
        "asks": levels(book.asks),
        "min_order_size": market.spec.min_size,
        "tick_size": market.tick_size,
        "neg_risk": _NEG_RISK,
        "last_trade_price": market.last_trade_price,
    } | _versioned(market)


def rest_market(market: Market, taker_delay_ms: int) -> dict[str, Any]:
    """The body of ``/clob-markets/{condition_id}``.

    ``itodems``, the taker delay in milliseconds, is this simulation's assumption: the venue's own name for it
    is not public.
    """
    spec = market.spec
    return {
        "r": {"mi": 50, "ma": 4.5, "moas": 30},
        "t": [{"t": spec.token_up, "o": "Up"}, {"t": spec.token_down, "o": "Down"}],
        "c": spec.condition_id,
        "mos": number(spec.min_size),
        "mts": number(market.tick_size),
        "mbf": 1000,
        "tbf": 1000,
        "ao": spec.accepting and market.outcome is None,
        "aot": datetime.fromtimestamp(spec.listed_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "itode": spec.taker_delay,
        "itodems": taker_delay_ms if spec.taker_delay else 0,
        "fd": {"r": number(spec.fee_rate), "e": spec.fee_exponent, "to": True},
        "v": spec.version,
    }


def number(text: str) -> int | float:
    """A JSON number for decimal text, without a fraction when it has none."""
    value = Decimal(text)
    return int(value) if value == value.to_integral_value() else float(value)


def compact(value: Any) -> str:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def spaced(value: Any) -> str:
    """JSON with a space after commas only."""
    return json.dumps(value, separators=(", ", ":"), ensure_ascii=False)


def _diff(old: Sequence[Level], new: Sequence[Level], side: str) -> Iterator[tuple[str, str, str]]:
    before, after = dict(old), dict(new)
    for price in before:
        if price not in after:
            yield price, "0", side
    for price, size in after.items():
        if before.get(price) != size:
            yield price, size, side


def _bests(book: Book) -> tuple[str, str]:
    return book.best_bid or "0", book.best_ask or "1"


def _version(market: Market) -> str | None:
    return None if market.spec.version == "v1" else market.spec.version


def _versioned(market: Market) -> dict[str, str]:
    return {} if market.spec.version == "v1" else {"version": market.spec.version}
