"""The venue's proof of a book: the hash carried by book and price_change frames.

Pure text to text. Never decides when to verify: price_change hashes describe the book after the last frame
bearing their timestamp, so callers compare once the timestamp has moved on.
"""

import hashlib
from collections.abc import Sequence


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
    tail = f',"version":"{version}"' if version is not None else ""
    text = (
        f'{{"market":"{market}","asset_id":"{asset_id}","timestamp":"{timestamp}","hash":"",'
        f'"bids":[{_levels(bids)}],"asks":[{_levels(asks)}],'
        f'"min_order_size":"{min_order_size}","tick_size":"{tick_size}",'
        f'"neg_risk":{"true" if neg_risk else "false"},"last_trade_price":"{last_trade_price}"{tail}}}'
    )
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _levels(levels: Sequence[tuple[str, str]]) -> str:
    return ",".join([f'{{"price":"{price}","size":"{size}"}}' for price, size in levels])
