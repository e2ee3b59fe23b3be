"""How results are told besides discovery: the data service's resolutions and positions, and winner flags.

Pure state to plain objects. Each service knows a result some time after discovery does. Sends nothing.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from common.sim.market.clob_dialect import number
from common.sim.market.gamma_dialect import gamma_condition_id, iso
from common.sim.world import Market

MOST_CONDITIONS = 20
SELECTORS = ("question_id", "condition", "event_id")
_BLOCK_NS = 2_000_000_000


def payouts_known_ns(market: Market, resolution_delay_ns: int) -> int | None:
    """When the data service knows the result: about a second after discovery at the delay of real windows."""
    return None if market.resolved_ns is None else market.resolved_ns + resolution_delay_ns // 50


def winner_known_ns(market: Market, resolution_delay_ns: int) -> int | None:
    """When the order book flags the winner: later still."""
    return None if market.resolved_ns is None else market.resolved_ns + resolution_delay_ns // 10


def asked_conditions(query: Mapping[str, str]) -> list[str]:
    """The condition ids a query selects; raises ValueError for another selector, too many ids or none."""
    if [name for name in SELECTORS if query.get(name)] != ["condition"]:
        raise ValueError("supply exactly one selector; this simulation knows only condition")
    conditions = [part.strip().lower() for part in query["condition"].split(",") if part.strip()]
    if not 0 < len(conditions) <= MOST_CONDITIONS:
        raise ValueError(f"condition takes 1 to {MOST_CONDITIONS} values")
    return conditions


def resolutions(markets: Iterable[Market]) -> dict[str, Any]:
    """The body of ``/v2/resolutions``: a row for each of these markets, all of them resolved."""
    return {"data": [_resolution(market) for market in markets]}


def position(market: Market, wallet: str, outcome: int, size6: int) -> dict[str, Any]:
    """A row of ``/v2/positions``: a holding in a resolved market, worth nothing where it lost.

    What it cost is not simulated and told as nothing.
    """
    spec, names = market.spec, ("Up", "Down")
    size, price = size6 / 1_000_000, float(market.outcome == names[outcome])
    unknown = (
        "avg_price",
        "entry_cost_usdc",
        "entry_fees_usdc",
        "total_cost_usdc",
        "realized_pnl",
        "unrealized_pnl",
        "total_pnl",
        "percent_pnl",
        "percent_realized_pnl",
    )
    return {
        "proxy_wallet": wallet,
        "token_id": market.tokens[outcome],
        "condition_id": spec.condition_id,
        "current_size": size,
        "total_size": size,
        "current_price": price,
        "current_value": size * price,
        **dict.fromkeys(unknown, 0.0),
        "status": "REDEEMABLE",
        "redeemable": True,
        "mergeable": False,
        "negative_risk": False,
        "archived": False,
        "verified": True,
        "title": spec.question or spec.slug,
        "slug": spec.slug,
        "outcome": names[outcome],
        "outcome_index": outcome,
        "opposite_outcome": names[1 - outcome],
        "opposite_token_id": market.tokens[1 - outcome],
        "end_date": iso(spec.end_ns)[:10],
    }


def market_with_tokens(market: Market, *, flagged: bool) -> dict[str, Any]:
    """The body of ``/markets/{condition_id}``; key order as in real answers."""
    spec, resolved = market.spec, market.outcome is not None
    return {
        "accepting_order_timestamp": iso(spec.listed_ns // 1_000_000_000 * 1_000_000_000),
        "accepting_orders": spec.accepting and not resolved,
        "active": True,
        "archived": False,
        "closed": resolved,
        "condition_id": spec.condition_id,
        "description": f"Settles on {spec.resolution_source}.",
        "enable_order_book": not resolved,
        "end_date_iso": iso(spec.end_ns),
        "is_50_50_outcome": False,
        "maker_base_fee": 1000,
        "market_slug": spec.slug,
        "minimum_order_size": number(spec.min_size),
        "minimum_tick_size": number(market.tick_size),
        "neg_risk": False,
        "question": spec.question or spec.slug,
        "seconds_delay": 0,
        "taker_base_fee": 1000,
        "tokens": [
            {
                "outcome": name,
                "price": int(name == market.outcome) if flagged else 0.5,
                "token_id": token,
                "winner": flagged and name == market.outcome,
            }
            for name, token in (("Up", spec.token_up), ("Down", spec.token_down))
        ],
    }


def _resolution(market: Market) -> dict[str, Any]:
    assert market.resolved_ns is not None
    at = iso(market.resolved_ns // 1_000_000_000 * 1_000_000_000)
    return {
        "condition_id": gamma_condition_id(market),
        "status": "resolved",
        "extended_review": False,
        "was_disputed": False,
        "new_version_q": False,
        "transaction_hash": "0x" + hashlib.sha256(market.spec.slug.encode()).hexdigest(),
        "log_index": str(market.number),
        "last_update_timestamp": at,
        "payouts": [1_000_000, 0] if market.outcome == "Up" else [0, 1_000_000],
        "resolution_source": "reported",
        "resolved_block": market.resolved_ns // _BLOCK_NS,
        "resolved_at": at,
    }
