"""The discovery service's language: event and market objects, and the filters of its lists.

Pure state to plain objects. Several fields are JSON inside strings, as at the real service. Sends nothing.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from common.sim.market.clob_dialect import number
from common.sim.world import Market

TAGS = ("up-or-down", "crypto-prices", "recurring", "crypto")
_KNOWN_SERIES = {("btc", "15m"): 10192, ("eth", "15m"): 10191, ("btc", "5m"): 10684, ("eth", "5m"): 10683}
_E18 = 10**18
_MICRO = 1_000


def series_id(asset: str, cadence: str) -> str:
    """The venue's id where it is known, else a made-up one that is the same in every run."""
    known = _KNOWN_SERIES.get((asset, cadence))
    return str(known if known is not None else 20_000 + zlib.crc32(f"{asset}-{cadence}".encode()) % 70_000)


def iso(at_ns: int) -> str:
    """An instant as the service writes it: fractional seconds only when there are any."""
    moment = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    micros = at_ns // _MICRO % 1_000_000
    return f"{moment}.{micros:06d}".rstrip("0") + "Z" if micros else f"{moment}Z"


def market_object(market: Market, cadence: str) -> dict[str, Any]:
    """One market; key order as in real answers."""
    spec, resolved = market.spec, market.outcome is not None
    v2 = spec.version == "v2"
    up = market.books[spec.token_up]
    tokens = list(market.tokens)
    body: dict[str, Any] = {
        "id": market.market_id,
        "question": spec.question or spec.slug,
        "conditionId": gamma_condition_id(market),
        "slug": spec.slug,
        "resolutionSource": spec.resolution_source,
        "endDate": iso(spec.end_ns),
        "startDate": iso(spec.listed_ns),
        "description": f"Settles on {spec.resolution_source}.",
        "outcomes": json.dumps(["Up", "Down"]),
        "outcomePrices": json.dumps(_outcome_prices(market)),
        "active": True,
        "closed": resolved,
        "createdAt": iso(spec.listed_ns),
        "updatedAt": iso(market.updated_ns),
    }
    if market.resolved_ns is not None:
        closed_at = datetime.fromtimestamp(market.resolved_ns // 1_000_000_000, UTC)
        body["closedTime"] = closed_at.strftime("%Y-%m-%d %H:%M:%S+00")
    body |= {
        "archived": False,
        "restricted": True,
        "enableOrderBook": True,
        "orderPriceMinTickSize": number(market.tick_size),
        "orderMinSize": number(spec.min_size),
        "endDateIso": iso(spec.end_ns)[:10],
        "startDateIso": iso(spec.listed_ns)[:10],
        "clobTokenIds": None if v2 else json.dumps(tokens),
    }
    if v2:
        body["positionIds"] = tokens
    body |= {
        "makerBaseFee": 1000,
        "takerBaseFee": 1000,
        "acceptingOrders": spec.accepting and not resolved,
        "negRisk": False,
        "acceptingOrdersTimestamp": iso(spec.listed_ns // 1_000_000_000 * 1_000_000_000),
    }
    if up.best_bid is not None and up.best_ask is not None:
        body["spread"] = float(Decimal(up.best_ask) - Decimal(up.best_bid))
    if market.last_trade_price:
        body["lastTradePrice"] = float(market.last_trade_price)
    if up.best_bid is not None:
        body["bestBid"] = float(up.best_bid)
    if up.best_ask is not None:
        body["bestAsk"] = float(up.best_ask)
    if resolved:
        body |= {"umaResolutionStatus": "resolved", "automaticallyResolved": True}
    body |= {
        "eventStartTime": iso(spec.start_ns),
        "feesEnabled": True,
        "feeType": "crypto_fees_v2",
        "feeSchedule": {
            "exponent": spec.fee_exponent,
            "rate": number(spec.fee_rate),
            "takerOnly": True,
            "rebateRate": 0.2,
        },
    }
    if spec.twap_lookback_s is not None:
        config_id = f"{spec.asset}-{cadence}-twap-{spec.twap_lookback_s}"
        body["cryptoMarketConfigId"] = config_id
        body["cryptoMarketConfig"] = {
            "id": config_id,
            "asset": spec.asset,
            "duration": cadence,
            "twapEnabled": True,
            "twapLookbackSeconds": spec.twap_lookback_s,
        }
    return body | {"version": spec.version}


def event_object(market: Market, cadence: str) -> dict[str, Any]:
    """The event around one market."""
    spec, resolved = market.spec, market.outcome is not None
    series_slug = f"{spec.asset}-up-or-down-{cadence}"
    body: dict[str, Any] = {
        "id": market.event_id,
        "ticker": spec.slug,
        "slug": spec.slug,
        "title": spec.question or spec.slug,
        "description": f"Settles on {spec.resolution_source}.",
        "resolutionSource": spec.resolution_source,
        "startDate": iso(spec.listed_ns),
        "creationDate": iso(spec.listed_ns),
        "endDate": iso(spec.end_ns),
        "active": True,
        "closed": resolved,
        "archived": False,
        "restricted": True,
        "createdAt": iso(spec.listed_ns),
        "updatedAt": iso(market.updated_ns),
        "enableOrderBook": True,
        "negRisk": False,
        "markets": [market_object(market, cadence)],
        "series": [
            {
                "id": series_id(spec.asset, cadence),
                "ticker": series_slug,
                "slug": series_slug,
                "title": f"{spec.asset.upper()} Up or Down {cadence}",
                "seriesType": "single",
                "recurrence": cadence,
                "active": True,
                "closed": False,
                "archived": False,
            }
        ],
        "tags": [{"id": str(number_), "label": tag, "slug": tag} for number_, tag in enumerate(TAGS, 102127)],
    }
    metadata = {
        name: value / _E18
        for name, value in (("finalPrice", market.final_e18), ("priceToBeat", market.strike_e18))
        if value is not None
    }
    if metadata:
        body["eventMetadata"] = metadata
    return body | {"startTime": iso(spec.start_ns), "seriesSlug": series_slug, "version": spec.version}


def select(markets: Iterable[Market], query: Mapping[str, str], cadence: str) -> list[Market]:
    """The markets a list query asks for, in order of listing; raises ValueError on an unreadable instant.

    Resolved markets appear only with ``closed=true``, and then alone.
    """
    closed = query.get("closed", "false").lower() == "true"
    earliest, latest = (_instant(query.get(name)) for name in ("end_date_min", "end_date_max"))
    tag, slug, series = query.get("tag_slug"), query.get("slug"), query.get("series_id")
    if tag is not None and tag not in TAGS:
        return []
    return [
        market
        for market in markets
        if (market.outcome is not None) == closed
        and (earliest is None or market.spec.end_ns >= earliest)
        and (latest is None or market.spec.end_ns <= latest)
        and (slug is None or market.spec.slug == slug)
        and (series is None or series_id(market.spec.asset, cadence) == series)
    ]


def cursor_after(market: Market) -> str:
    """An opaque cursor that continues behind this market."""
    return base64.urlsafe_b64encode(json.dumps({"k": "events", "after": market.number}).encode()).decode()


def read_cursor(cursor: str) -> int:
    """The number of the last market already given; raises ValueError when the cursor is not ours."""
    try:
        return int(json.loads(base64.urlsafe_b64decode(cursor))["after"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise ValueError(f"invalid cursor {cursor[:40]!r}") from None


def gamma_condition_id(market: Market) -> str:
    """The id as discovery writes it: v2 ids lose the padding byte they have at the order book."""
    condition_id = market.spec.condition_id
    return condition_id.removesuffix("00") if market.spec.version == "v2" else condition_id


def _outcome_prices(market: Market) -> list[str]:
    if market.outcome is not None:
        return ["1", "0"] if market.outcome == "Up" else ["0", "1"]
    book = market.books[market.spec.token_up]
    if book.best_bid is None or book.best_ask is None:
        return ["0.5", "0.5"]
    middle = (Decimal(book.best_bid) + Decimal(book.best_ask)) / 2
    return [f"{middle.normalize():f}", f"{(1 - middle).normalize():f}"]


def _instant(text: str | None) -> int | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * _MICRO
