"""What the venue writes of our orders and trades, read tolerantly: REST records and channel frames alike.

Pure. Which side and token are ours is decided by our own order's id, never by the venue's "trader side":
makers may rest on the other token at the rest of a dollar, and their price is then not ours. What is not
understood is refused with its reason, never guessed; what is not ours is not judged at all.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any, NoReturn

from common.core.order_events import ForeignSeen
from common.core.venue_facts import OrderNews, OrderPhase, VenueTrade
from common.errors import FrameRefused
from common.messages import TradeStatus
from common.units import (
    MILLISECOND,
    PRICE4_ONE,
    SECOND,
    NotANumber,
    ceil_div,
    decimal_of,
    size6_floor,
    size6_text,
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
    "INVALID": "ended",
    "EXPIRED": "ended",
}
_CANCELED = ("CANCELED", "CANCELLED")
"""What follows is why: ``CANCELED_MARKET_RESOLVED``, or the whole text of an error."""
_PREFIXES = ("TRADE_STATUS_", "ORDER_STATUS_")
_COUNTED_IN_SHARES = ("GTC", "GTD")
"""The others are market orders: the original size of a market buy may be dollars."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_SOONER_NS = 946_684_800 * SECOND
_NO_LATER_NS = 4_102_444_800 * SECOND
"""2000 and 2100: a number that is no instant between them has another unit than we know."""
_EXACT = Context(prec=200)
"""Prices and sizes have at most 60 digits: nothing is rounded that does not say so."""


def read_json(raw: str | bytes) -> Any:
    """A document whose fractions stay the text they are: no float becomes money. Raises FrameRefused."""
    try:
        return json.loads(raw, parse_float=str, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        start = raw[:40].decode("utf-8", "replace") if isinstance(raw, bytes) else raw[:40]
        raise FrameRefused("not-json", _printable(start)) from None


def read_trades(raw: Mapping[str, Any], is_ours: IsOurs) -> tuple[VenueTrade, ...]:
    """One trade from the side of each of our orders in it; none when it is nobody's we know.

    A maker's trade has the order in its id: one match may fill several resting orders. Raises FrameRefused.
    """
    taker = _order_id(raw.get("taker_order_id"))
    took = bool(taker) and is_ours(taker)
    makers = [each for each in _makers(raw) if (made := _order_id(each.get("order_id"))) and is_ours(made)]
    if not took and not makers:
        return ()
    trade_id = _text(raw, "id", "trade")
    status = _TRADE_STATUSES.get(_word(raw.get("status")))
    if status is None:
        raise FrameRefused("unknown-trade-status", _printable(str(raw.get("status")))[:40])
    at_ns = _instant_ns(raw.get("match_time") or raw.get("matchtime") or raw.get("timestamp"))
    transaction = raw.get("transaction_hash")
    transaction = transaction if isinstance(transaction, str) else ""
    found: list[VenueTrade] = []
    if took:
        price4, size6, cost_usd6 = _as_taker(raw)
        found.append(VenueTrade(trade_id, taker, status, price4, size6, cost_usd6, False, at_ns, transaction))
    for maker in makers:
        order_id = _order_id(maker.get("order_id"))
        price, size6 = _price(maker.get("price")), _filled6(maker.get("matched_amount"))
        cost_usd6 = _cost_usd6(price, size6)
        own_id = f"{trade_id}/{order_id}"
        found.append(
            VenueTrade(own_id, order_id, status, _up4(price), size6, cost_usd6, True, at_ns, transaction)
        )
    return tuple(found)


def makers_differ(raw: Mapping[str, Any]) -> str:
    """Why the price of a trade we took cannot be told maker by maker, so that its own counts; or empty.

    A trade that lists no makers has nothing to differ.
    """
    if not raw.get("maker_orders"):
        return ""
    total6, size6 = sum(size6 for _, size6 in _parts(raw)), _filled6(raw.get("size"))
    if total6 == size6:
        return ""
    told = f"its makers show {size6_text(total6)} of {size6_text(size6)} shares"
    return f"trade {_printable(str(raw.get('id')))[:80]}: {told}; its own price counts"


def read_order(raw: Mapping[str, Any]) -> OrderNews:
    """One order's record; the size of a market buy may be in dollars and then tells nothing.

    Raises FrameRefused.
    """
    order_id = _order_id(_text(raw, "id", "order"))
    said = raw.get("status")
    text = _printable(said)[:160] if isinstance(said, str) else ""
    kind = str(raw.get("type")).upper()
    matched = raw.get("size_matched")
    matched6 = None if matched in (None, "") else _size6(matched)
    phase = _phase(_word(text), kind)
    whole = _is_whole(raw, matched6)
    if phase is None or (not text and kind == "UPDATE" and whole is None):
        raise FrameRefused("unknown-order-status", text[:40] or kind[:40])
    if phase == "live" and whole:
        phase = "matched"
    trades = raw.get("associate_trades")
    trade_ids = tuple(one for one in trades if isinstance(one, str)) if isinstance(trades, list) else ()
    return OrderNews(order_id, phase, matched6, trade_ids, text)


def foreign_trade(raw: Mapping[str, Any]) -> ForeignSeen:
    """A trade that is not ours, named for whoever must look into it."""
    trade_id, order_id = _printable(str(raw.get("id"))), _printable(str(raw.get("taker_order_id")))
    token = str(raw.get("asset_id"))
    return ForeignSeen(
        f"trade {trade_id[:80]} of order {order_id[:80]}",
        token if token.isascii() and token.isdigit() else "",
    )


def _phase(word: str, kind: str) -> OrderPhase | None:
    if kind == "CANCELLATION" or word.startswith(_CANCELED):
        return "ended"
    if not word and kind in ("PLACEMENT", "UPDATE"):
        return "live"
    return _PHASES.get(word)


def _is_whole(raw: Mapping[str, Any], matched6: int | None) -> bool | None:
    """Whether everything asked for was matched; None where the record cannot tell."""
    if raw.get("order_type") not in _COUNTED_IN_SHARES or matched6 is None:
        return None
    try:
        asked6 = _size6(raw.get("original_size"))
    except FrameRefused:
        return None
    return matched6 >= asked6 if asked6 else None


def _as_taker(raw: Mapping[str, Any]) -> tuple[int, int, int]:
    """Price, size and cost of our trade: maker by maker where they add up to it, else by its own price."""
    size6, price = _filled6(raw.get("size")), _price(raw.get("price"))
    parts = list(_parts(raw))
    if sum(part6 for _, part6 in parts) != size6:
        return _up4(price), size6, _cost_usd6(price, size6)
    cost_usd6 = sum(_cost_usd6(each, part6) for each, part6 in parts)
    dearest = max(each for each, _ in parts)
    if all(each == dearest for each, _ in parts):
        return _up4(dearest), size6, cost_usd6
    return min(ceil_div(cost_usd6 * PRICE4_ONE, size6), _up4(dearest)), size6, cost_usd6


def _parts(raw: Mapping[str, Any]) -> Iterator[tuple[Decimal, int]]:
    """What each maker gave and at which price of our token; nothing more after one that is not understood."""
    token = raw.get("asset_id")
    for maker in _makers(raw):
        try:
            theirs, part6 = _price(maker.get("price")), _size6(maker.get("matched_amount"))
        except FrameRefused:
            return
        yield (theirs if maker.get("asset_id") == token else _EXACT.subtract(1, theirs)), part6


def _makers(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = raw.get("maker_orders")
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _cost_usd6(price: Decimal, size6: int) -> int:
    """What so many shares cost or bring at the exchange: cut to 1e-6 $, as every recorded fill shows."""
    return int(_EXACT.multiply(price, size6).to_integral_value(ROUND_FLOOR))


def _up4(price: Decimal) -> int:
    """A price of ours, rounded up where it is finer than we count."""
    return int(_EXACT.multiply(price, PRICE4_ONE).to_integral_value(ROUND_CEILING))


def _word(value: object) -> str:
    """A status in capitals without the prefix REST puts before it."""
    word = value.strip().upper() if isinstance(value, str) else ""
    for prefix in _PREFIXES:
        word = word.removeprefix(prefix)
    return word


def _text(raw: Mapping[str, Any], name: str, what: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not value:
        raise FrameRefused(f"{what}-without-{name}", _printable(str(value))[:40])
    return value


def _order_id(value: object) -> str:
    """An order id as we write ours, in small letters; empty when there is none."""
    return value.lower() if isinstance(value, str) else ""


def _number(value: object) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) else ""


def _price(value: object) -> Decimal:
    """A price of a share in dollars, above nothing and below one."""
    try:
        price = decimal_of(_number(value))
    except NotANumber:
        raise FrameRefused("no-price", _printable(str(value))[:40]) from None
    if not 0 < price < 1 or _up4(price) == PRICE4_ONE:
        raise FrameRefused("price-out-of-range", _printable(str(value))[:40])
    return price


def _size6(value: object) -> int:
    try:
        size6 = size6_floor(_number(value))
    except NotANumber:
        raise FrameRefused("no-size", _printable(str(value))[:40]) from None
    if size6 < 0:
        raise FrameRefused("negative-size", _printable(str(value))[:40])
    return size6


def _filled6(value: object) -> int:
    """The size of a trade: one without a share is none."""
    size6 = _size6(value)
    if not size6:
        raise FrameRefused("no-size", _printable(str(value))[:40])
    return size6


def _instant_ns(value: object) -> int:
    """An instant in seconds, in milliseconds or as ISO text (UTC where it names no zone); 0 for none."""
    text = _number(value)
    try:
        number = decimal_of(text)
        # Seconds since 1970 have ten digits, milliseconds thirteen.
        at_ns = int(number * (MILLISECOND if number > 10**11 else SECOND))
    except NotANumber:
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            return 0
        zoned = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
        at_ns = (zoned - _EPOCH) // timedelta(microseconds=1) * 1_000
    return at_ns if _NO_SOONER_NS < at_ns < _NO_LATER_NS else 0


def _printable(text: str) -> str:
    """Text of the venue as it may reach a terminal or a log."""
    return "".join(mark if mark.isprintable() else " " for mark in text[:400])


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


__all__ = ["IsOurs", "foreign_trade", "makers_differ", "read_json", "read_order", "read_trades"]
