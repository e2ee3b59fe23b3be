"""The venue's proof of a book: the hash carried by book and price_change frames.

Pure text to text. Never decides when to verify: price_change hashes describe the book after the last frame
bearing their timestamp, so callers compare once the timestamp has moved on.
"""

import hashlib
from collections.abc import Iterable, Sequence


class BegunHash:
    """A book's hash up to the last trade price, so that several of those can be tried cheaply."""

    def __init__(self, text: str) -> None:
        # What is no text at all (half a surrogate pair) matches nothing, whatever it is replaced by.
        self._begun = hashlib.sha1(text.encode("utf-8", "replace"), usedforsecurity=False)

    def with_last_trade(self, last_trade_price: str, version: str | None = None) -> str:
        """The finished SHA-1 hex."""
        finished = self._begun.copy()
        tail = f',"version":"{version}"' if version is not None else ""
        finished.update(f'{last_trade_price}"{tail}}}'.encode())
        return finished.hexdigest()


def begin_hash(
    market: str,
    asset_id: str,
    timestamp: str,
    bids: Iterable[str],
    asks: Iterable[str],
    min_order_size: str,
    tick_size: str,
    neg_risk: bool,
) -> BegunHash:
    """Hash all that precedes the last trade price; the levels are ``level_text`` in wire order."""
    return BegunHash(
        f'{{"market":"{market}","asset_id":"{asset_id}","timestamp":"{timestamp}","hash":"",'
        f'"bids":[{",".join(bids)}],"asks":[{",".join(asks)}],'
        f'"min_order_size":"{min_order_size}","tick_size":"{tick_size}",'
        f'"neg_risk":{"true" if neg_risk else "false"},"last_trade_price":"'
    )


def level_text(price: str, size: str) -> str:
    """One level as it is hashed, of the wire's own text."""
    return f'{{"price":"{price}","size":"{size}"}}'


def book_hash(
    market: str,
    asset_id: str,
    timestamp: str,
    bids: Sequence[tuple[str, str]],
    asks: Sequence[tuple[str, str]],
    min_order_size: str,
    tick_size: str,
    neg_risk: bool,
    last_trade_price: str,
    version: str | None = None,
) -> str:
    """SHA-1 hex of the venue's compact JSON of one token's book.

    Levels are ``(price, size)`` in wire order with the wire's own text: bids ascending, asks descending.
    ``min_order_size`` and ``neg_risk`` come from the market's metadata; ``last_trade_price`` is the market's
    (both tokens share it), three decimals, empty before the first trade. ``version`` is given only for
    markets whose books carry it (v2).
    """
    begun = begin_hash(
        market,
        asset_id,
        timestamp,
        [level_text(price, size) for price, size in bids],
        [level_text(price, size) for price, size in asks],
        min_order_size,
        tick_size,
        neg_risk,
    )
    return begun.with_last_trade(last_trade_price, version)
