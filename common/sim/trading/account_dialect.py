"""How the venue writes orders and trades: bodies of its REST reads and frames of its user channel.

Pure records to JSON-ready values. Shapes as captured; the odd variants are made by `odd_frames`.
"""

import hashlib
import uuid
from typing import Any

from common.sim.trading.orders import VenueOrder, VenueTrade
from common.units import MILLISECOND, PRICE4_ONE, SECOND, price4_text, size6_text

_MARKET_BUYS = ("FAK", "FOK")


def posted(order: VenueOrder) -> dict[str, Any]:
    """The answer to an order that was taken; since 2026-07-24 it names trades and no transactions."""
    told = {"MATCHED": "matched", "LIVE": "live"}.get(order.status, "delayed")
    given6, got6 = order.spent_usd6, order.matched6
    if order.sells:
        given6, got6 = got6, given6
    matched = told == "matched"
    return {
        "errorMsg": "",
        "orderID": order.order_id,
        "takingAmount": size6_text(got6) if matched else "",
        "makingAmount": size6_text(given6) if matched else "",
        "status": told,
        "success": True,
        "tradeIDs": [trade.trade_id for trade in order.trades],
    }


def order_body(order: VenueOrder) -> dict[str, Any]:
    """One order of ``/data/order`` and ``/data/orders``; its status has no prefix, unlike in the manual."""
    return {
        "id": order.order_id,
        "status": "CANCELED" if order.ended_text else order.status,
        "owner": order.sent.owner,
        "maker_address": order.account.address,
        "market": order.market.spec.condition_id,
        "asset_id": order.sent.token,
        "side": order.sent.side,
        "original_size": size6_text(order.size6),
        "size_matched": size6_text(order.matched6),
        "price": price4_text(order.cap4),
        "outcome": order.outcome,
        "expiration": order.sent.expiration,
        "order_type": order.sent.order_type,
        "associate_trades": [trade.trade_id for trade in order.trades],
        "created_at": order.placed_ns // SECOND,
    }


def trade_body(trade: VenueTrade) -> dict[str, Any]:
    """One trade of ``/data/trades``."""
    return _trade(trade) | {"status": f"TRADE_STATUS_{trade.status}"}


def trade_frame(trade: VenueTrade) -> dict[str, Any]:
    """One trade event of the user channel."""
    return _trade(trade) | {
        "event_type": "trade",
        "type": "TRADE",
        "timestamp": str(trade.updated_ns // MILLISECOND),
        "trade_owner": trade.order.sent.owner,
    }


def order_frame(order: VenueOrder, kind: str, now_ns: int) -> dict[str, Any]:
    """One order event; that of a killed market buy has its dollars for a size, and gaps, as captured."""
    killed = bool(order.ended_text)
    size6 = order.sent.maker6 if killed and order.sent.order_type in _MARKET_BUYS else order.size6
    return {
        "event_type": "order",
        "type": kind,
        "id": order.order_id,
        "owner": order.sent.owner,
        "order_owner": order.sent.owner,
        "market": order.market.spec.condition_id,
        "asset_id": order.sent.token,
        "side": order.sent.side,
        "order_type": order.sent.order_type,
        "original_size": size6_text(size6),
        "size_matched": "" if killed else size6_text(order.matched6),
        "price": price4_text(order.cap4),
        "outcome": "" if killed else order.outcome,
        "status": _killed_status(order.ended_text) if killed else order.status,
        "associate_trades": [trade.trade_id for trade in order.trades],
        "created_at": "" if killed else str(order.placed_ns // SECOND),
        "expiration": order.sent.expiration,
        "maker_address": order.account.address,
        "timestamp": str(now_ns // MILLISECOND),
    }


def _killed_status(text: str) -> str:
    return text if text.startswith("CANCELED") else f"CANCELED_{text}"


def _trade(trade: VenueTrade) -> dict[str, Any]:
    order = trade.order
    return {
        "id": trade.trade_id,
        "taker_order_id": order.order_id,
        "market": order.market.spec.condition_id,
        "asset_id": order.sent.token,
        "side": order.sent.side,
        "size": size6_text(trade.size6),
        "fee_rate_bps": "0",
        "price": price4_text(trade.price4),
        "status": trade.status,
        "match_time": str(trade.matched_ns // SECOND),
        "last_update": str(trade.updated_ns // SECOND),
        "outcome": order.outcome,
        "bucket_index": 0,
        "owner": order.sent.owner,
        "maker_address": order.account.address,
        "transaction_hash": trade.transaction,
        "maker_orders": [_maker(trade)],
        "trader_side": "TAKER",
    }


def _maker(trade: VenueTrade) -> dict[str, Any]:
    """Whoever was on the other side: of the token, or on our own side of the other one at 1 - p."""
    market, token = trade.order.market, trade.order.sent.token
    seed = hashlib.sha256(trade.trade_id.encode()).digest()
    other = next(each for each in market.tokens if each != token)
    asset = other if trade.other_token else token
    return {
        "order_id": "0x" + hashlib.sha256(seed).hexdigest(),
        "owner": str(uuid.UUID(bytes=seed[:16])),
        "maker_address": "0x" + seed[:20].hex(),
        "matched_amount": size6_text(trade.size6),
        "price": price4_text(PRICE4_ONE - trade.price4 if trade.other_token else trade.price4),
        "fee_rate_bps": "0",
        "asset_id": asset,
        "outcome": "Up" if asset == market.spec.token_up else "Down",
        "side": "BUY" if trade.other_token != trade.order.sells else "SELL",
    }
