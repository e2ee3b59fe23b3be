"""What the venue writes of our orders and trades, read tolerantly: REST records and channel frames alike.

Pure. Which side and token are ours is decided by our own order's id, never by the venue's "trader side":
makers may rest on the other token at the rest of a dollar, and their price is then not ours. What is not
understood is refused with its reason, never guessed.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from common.core.venue_facts import OrderNews, OrderPhase, VenueTrade
from common.errors import FrameRefused
from common.messages import TradeStatus
from common.units import (
    PRICE4_ONE,
    SECOND,
    NotANumber,
    ceil_div,
    decimal_of,
    floor_div,
    size6_floor,
)

IsOurs = Callable[[str], bool]
"""Whether an order id is one of our orders."""

_TRADE_STATUSES: dict[str, TradeStatus] = {
    "MATCHED": "matched",
    "MATCHED_NOT_BROADCASTED": "matched",
    "MINED": "mined",
    "RETRYING": "retrying",
    "CONFIRMED": "confirmed",
    "FAILED": "failed",
}
_PHASES: dict[str, OrderPhase] = {
    "LIVE": "live",
    "DELAYED": "delayed",
    "MATCHED": "matched",
    "UNMATCHED": "ended",
    "CANCELED": "ended",
    "CANCELLED": "ended",
    "INVALID": "ended",
    "EXPIRED": "ended",
}
_PREFIXES = ("TRADE_STATUS_", "ORDER_STATUS_")


def read_trade(raw: Mapping[str, Any], is_ours: IsOurs) -> VenueTrade | None:
    """One trade from our side; None when no order of ours is in it. Raises FrameRefused."""
    trade_id = _text(raw, "id", "trade")
    status = _TRADE_STATUSES.get(_word(raw.get("status")))
    if status is None:
        raise FrameRefused("unknown-trade-status", str(raw.get("status"))[:40])
    at_ns = _instant_ns(raw.get("match_time") or raw.get("matchtime") or raw.get("timestamp"))
    transaction = raw.get("transaction_hash")
    transaction = transaction if isinstance(transaction, str) else ""
    listed = raw.get("maker_orders")
    makers = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    taker = raw.get("taker_order_id")
    if isinstance(taker, str) and is_ours(taker):
        price4, size6, cost_usd6 = _as_taker(raw, makers)
        return VenueTrade(trade_id, taker, status, price4, size6, cost_usd6, False, at_ns, transaction)
    for maker in makers:
        order_id = maker.get("order_id")
        if isinstance(order_id, str) and is_ours(order_id):
            price4, size6 = _price4(maker.get("price")), _size6(maker.get("matched_amount"))
            cost_usd6 = _cost_usd6(price4, size6)
            return VenueTrade(
                f"{trade_id}/{order_id}", order_id, status, price4, size6, cost_usd6, True, at_ns, transaction
            )
    return None


def read_order(raw: Mapping[str, Any]) -> OrderNews:
    """One order's record; the size of a killed market buy is in dollars and tells nothing.

    Raises FrameRefused.
    """
    order_id = _text(raw, "id", "order")
    said = raw.get("status")
    text = said if isinstance(said, str) else ""
    kind = raw.get("type")
    phase: OrderPhase | None
    if kind == "CANCELLATION" or text.upper().startswith(("CANCELED_", "CANCELLED_")):
        phase = "ended"
    else:
        phase = _PHASES.get(_word(text))
        if phase is None and kind == "PLACEMENT":
            phase = "live"
    if phase is None:
        raise FrameRefused("unknown-order-status", text[:40])
    matched = raw.get("size_matched")
    trades = raw.get("associate_trades")
    trade_ids = tuple(one for one in trades if isinstance(one, str)) if isinstance(trades, list) else ()
    matched6 = None if matched in (None, "") else _size6(matched)
    return OrderNews(order_id, phase, matched6, trade_ids, text[:160])


def concerns(raw: Mapping[str, Any]) -> str:
    """What a trade that is not ours is called, for whoever must look into it."""
    return f"trade {str(raw.get('id'))[:80]} of order {str(raw.get('taker_order_id'))[:80]}"


def _as_taker(raw: Mapping[str, Any], makers: list[dict[str, Any]]) -> tuple[int, int, int]:
    """Price, size and cost of our buy: maker by maker where they add up to the trade, else by its price."""
    token, size6, price4 = raw.get("asset_id"), _size6(raw.get("size")), _price4(raw.get("price"))
    parts: list[tuple[int, int]] = []
    for maker in makers:
        try:
            theirs4, part6 = _price4(maker.get("price")), _size6(maker.get("matched_amount"))
        except FrameRefused:
            parts = []
            break
        parts.append((theirs4 if maker.get("asset_id") == token else PRICE4_ONE - theirs4, part6))
    if not parts or sum(part6 for _, part6 in parts) != size6:
        return price4, size6, _cost_usd6(price4, size6)
    cost_usd6 = sum(_cost_usd6(each4, part6) for each4, part6 in parts)
    dearest4 = max(each4 for each4, _ in parts)
    same = all(each4 == dearest4 for each4, _ in parts)
    return dearest4 if same else min(ceil_div(cost_usd6 * PRICE4_ONE, size6), dearest4), size6, cost_usd6


def _cost_usd6(price4: int, size6: int) -> int:
    """What the exchange takes for so many shares: cut to 1e-6 $, as every recorded chain fill shows."""
    return floor_div(price4 * size6, PRICE4_ONE)


def _word(value: object) -> str:
    """A status in capitals without the prefix REST puts before it."""
    word = value.upper() if isinstance(value, str) else ""
    for prefix in _PREFIXES:
        word = word.removeprefix(prefix)
    return word


def _text(raw: Mapping[str, Any], name: str, what: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not value:
        raise FrameRefused(f"{what}-without-{name}", str(value)[:40])
    return value


def _number(value: object) -> str:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value or "")


def _price4(value: object) -> int:
    """A price of ours, rounded up where it is finer than we count."""
    try:
        scaled = decimal_of(_number(value)) * PRICE4_ONE
    except NotANumber:
        raise FrameRefused("no-price", str(value)[:40]) from None
    price4 = int(scaled.to_integral_value(rounding="ROUND_CEILING"))
    if not 0 < price4 < PRICE4_ONE:
        raise FrameRefused("price-out-of-range", str(value)[:40])
    return price4


def _size6(value: object) -> int:
    try:
        size6 = size6_floor(_number(value))
    except NotANumber:
        raise FrameRefused("no-size", str(value)[:40]) from None
    if size6 < 0:
        raise FrameRefused("negative-size", str(value)[:40])
    return size6


def _instant_ns(value: object) -> int:
    """An instant in seconds, milliseconds or as ISO text; 0 where it is none of them."""
    text = _number(value)
    try:
        number = decimal_of(text)
    except NotANumber:
        try:
            return int(datetime.fromisoformat(text).timestamp()) * SECOND
        except ValueError:
            return 0
    # Seconds since 1970 have ten digits, milliseconds thirteen.
    scale = 1_000_000 if number > Decimal(10) ** 11 else SECOND
    return max(0, int(number * scale))


__all__ = ["IsOurs", "concerns", "read_order", "read_trade"]
