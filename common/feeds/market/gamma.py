"""Market objects of the discovery service to MarketState: the venue's half of a window's passport.

Pure. Owns which fields say what; never assumes: everything that would make a window untradable becomes a
refusal in plain words, so that people can see why. ``startDate`` is the listing time and ``endDateIso`` only
a date: neither is ever read.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from common.errors import FrameRefused
from common.feeds.market.market_terms import (
    Json,
    decimal_text,
    fee_schedule,
    price_grid,
    settlement_rule,
    smallest_order,
    taker_delay,
)
from common.messages import MarketState, Outcome
from common.units import SECOND, NotANumber, price18_from_plain

VERSIONS = ("v1", "v2")
NOT_AT_CLOB = "not known to the order book yet"

_SLUG = re.compile(r"([a-z0-9]{1,12})-updown-([1-9][0-9]{0,4})([smh])-([1-9][0-9]{8,10})", re.ASCII)
_UNIT_S = {"s": 1, "m": 60, "h": 3600}
_HEX = re.compile(r"0x(?:[0-9a-f]{62}|[0-9a-f]{64})", re.ASCII | re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MARKET_FIELDS = {"conditionId", "clobTokenIds", "positionIds", "outcomes"}


class SlugParts(NamedTuple):
    """What a window's name says: ``btc-updown-15m-1791241200``."""

    asset: str
    label: str
    """The cadence as written: ``15m``."""
    start_s: int
    length_s: int


def slug_parts(slug: str) -> SlugParts | None:
    """Read a window's name; None when it is not one."""
    found = _SLUG.fullmatch(slug)
    if found is None:
        return None
    asset, count, unit, start = found.groups()
    return SlugParts(asset, count + unit, int(start), int(count) * _UNIT_S[unit])


def markets_in(payload: object) -> list[tuple[Json, Json | None]]:
    """Every market in a market, an event, a list of either or a keyset page, each with its event.

    None, the answer to an unknown name, holds none. Raises FrameRefused for anything else.
    """
    if payload is None:
        return []
    if isinstance(payload, Mapping):
        return _markets_of(payload)
    if not isinstance(payload, Sequence) or isinstance(payload, str | bytes):
        raise FrameRefused("not-a-market", f"the answer is {type(payload).__name__}")
    found = []
    for element in payload:
        if not isinstance(element, Mapping):
            raise FrameRefused("not-a-market", f"an element is {type(element).__name__}")
        found += _markets_of(element)
    return found


def next_cursor(payload: object) -> str | None:
    """Where a keyset listing goes on; None at its end."""
    cursor = payload.get("next_cursor") if isinstance(payload, Mapping) else None
    return cursor if isinstance(cursor, str) and cursor else None


def clob_condition_id(condition_id: str) -> str:
    """The id as the order book knows it: a v2 id has 31 bytes at discovery and 32, padded right, here."""
    return condition_id.lower() + "00" if len(condition_id) == 64 else condition_id.lower()


def outcome_order(market: Json) -> tuple[Outcome, Outcome] | None:
    """The market's order of Up and Down, which all its lists follow; None when it has other outcomes."""
    names = _listed(market.get("outcomes"))
    if names == ["Up", "Down"]:
        return "up", "down"
    return ("down", "up") if names == ["Down", "Up"] else None


def market_from_gamma(market: Json, *, event: Json | None, clob: Json | None) -> MarketState:
    """The venue's half of the passport, with every reason why it is not tradable in ``refusals``.

    ``clob`` is the order book's own metadata of this market, None while it has none. Raises FrameRefused only
    for an object that is no market at all.
    """
    slug, condition = market.get("slug"), market.get("conditionId")
    if not isinstance(slug, str) and not _MARKET_FIELDS & set(market):
        raise FrameRefused("not-a-market", "no slug, no conditionId, no outcomes")
    window = slug if isinstance(slug, str) else ""
    refusals: list[str] = []
    parts = slug_parts(window)
    if parts is None:
        refusals.append(f"{window[:80]!r} is not the name of an up/down window")
    asset = parts.asset if parts else ""

    version = _version(market, event, clob, refusals)
    condition_id = _condition_id(condition, version, clob, refusals)
    up, down, up_index = _tokens(market, version, clob, refusals)
    start_ns, end_ns = _times(market, event, parts, refusals)
    rule, lookback_s, why = settlement_rule(market, event, asset)
    refusals += why
    fee, why = fee_schedule(market, clob)
    refusals += why
    tick4, why = price_grid(market, clob)
    refusals += why
    min_size6, why = smallest_order(market, clob)
    refusals += why
    hold_ns = None
    if clob is None:
        refusals.append(NOT_AT_CLOB)
    else:
        hold_ns, why = taker_delay(clob)
        refusals += why
    refusals += _unusual(market)

    closed = market.get("closed") is True
    return MarketState(
        window=window,
        asset=asset,
        condition_id=condition_id,
        version=version,
        token_up=up,
        token_down=down,
        rule=rule,
        lookback_s=lookback_s,
        start_ns=start_ns,
        end_ns=end_ns,
        fee=fee,
        taker_delay_ns=hold_ns,
        tick4=tick4,
        min_size6=min_size6,
        # Closed markets were seen that still say they accept orders.
        accepting=market.get("acceptingOrders") is True
        and not closed
        and (clob is None or clob.get("ao") is not False),
        closed=closed,
        outcome=_outcome(market, up_index) if closed else None,
        price_to_beat_e18=_price_to_beat(market, event),
        refusals=tuple(refusals),
    )


def _markets_of(body: Json) -> list[tuple[Json, Json | None]]:
    events = body.get("events")
    # A market object may quote its own events; a page has nothing else.
    if isinstance(events, list) and not _MARKET_FIELDS & set(body):
        return markets_in(events)
    inside = body.get("markets")
    if isinstance(inside, list):
        if not all(isinstance(market, Mapping) for market in inside):
            raise FrameRefused("not-a-market", "a list of markets holds something else")
        is_event = "slug" in body or "id" in body or "ticker" in body
        return [(market, body if is_event else None) for market in inside]
    if isinstance(body.get("data"), list):
        return markets_in(body["data"])
    if not _MARKET_FIELDS & set(body):
        raise FrameRefused("not-a-market", "keys: " + ", ".join(sorted(map(str, body)))[:100])
    quoted = events[0] if isinstance(events, list) and events and isinstance(events[0], Mapping) else None
    return [(body, quoted)]


def _version(market: Json, event: Json | None, clob: Json | None, refusals: list[str]) -> str:
    stated = [
        value
        for value in (market.get("version"), (event or {}).get("version"), (clob or {}).get("v"))
        if value not in (None, "")
    ]
    if not stated:
        if market.get("positionIds"):
            refusals.append("no protocol version is stated beside position ids")
            return "unknown"
        return "v1"
    if any(value != stated[0] for value in stated):
        refusals.append("protocol versions differ: " + ", ".join(f"{value!s:.20}" for value in stated))
        return "unknown"
    if stated[0] not in VERSIONS:
        refusals.append(f"protocol version {stated[0]!r:.40} is not known")
        return "unknown"
    return str(stated[0])


def _condition_id(value: object, version: str, clob: Json | None, refusals: list[str]) -> str:
    if not isinstance(value, str) or _HEX.fullmatch(value) is None:
        refusals.append(f"condition id {value!r:.80} is not one")
        return ""
    if len(value) == 64 and version != "v2":
        refusals.append("a condition id of 31 bytes on a market that is not v2")
        return value.lower()
    condition_id = clob_condition_id(value)
    there = (clob or {}).get("c")
    if there is not None and str(there).lower() != condition_id:
        refusals.append("the order book's metadata is about another market")
    return condition_id


def _tokens(
    market: Json, version: str, clob: Json | None, refusals: list[str]
) -> tuple[str, str, int | None]:
    """Token of Up, token of Down, and which of the two places Up has in the market's lists."""
    order = outcome_order(market)
    if order is None:
        refusals.append(f"outcomes are not Up and Down: {market.get('outcomes')!r:.60}")
        return "", "", None
    up_index = order.index("up")
    if version not in VERSIONS:
        return "", "", up_index
    field = "positionIds" if version == "v2" else "clobTokenIds"
    ids = _listed(market.get(field))
    if ids is None or len(ids) != 2 or ids[0] == ids[1] or not all(_is_token(token) for token in ids):
        refusals.append(f"{field} are not two token ids")
        return "", "", up_index
    up, down = ids[up_index], ids[1 - up_index]
    if clob is not None:
        there = clob.get("t")
        pairs = (
            {str(entry.get("t")): entry.get("o") for entry in there if isinstance(entry, Mapping)}
            if isinstance(there, list)
            else {}
        )
        if pairs != {up: "Up", down: "Down"}:
            refusals.append("discovery and order book name different tokens or outcomes")
    return up, down, up_index


def _times(market: Json, event: Json | None, parts: SlugParts | None, refusals: list[str]) -> tuple[int, int]:
    start, above = _instant_ns(market.get("eventStartTime")), _instant_ns((event or {}).get("startTime"))
    end = _instant_ns(market.get("endDate"))
    if start is None and market.get("eventStartTime") is None:
        start = above
    if start is None:
        refusals.append("eventStartTime is not an instant")
    elif above is not None and above != start:
        refusals.append("market and event open at different instants")
    if end is None:
        refusals.append("endDate is not an instant")
    if start is not None and end is not None:
        if end <= start:
            refusals.append("the window ends before it opens")
        elif parts is not None and (
            start != parts.start_s * SECOND or end - start != parts.length_s * SECOND
        ):
            refusals.append("the window's name and its times do not agree")
    return start or 0, end or 0


def _unusual(market: Json) -> list[str]:
    """Flags under which this project does not know how to trade."""
    expected: tuple[tuple[str, bool], ...] = (("enableOrderBook", False), ("active", False))
    found = [f"{name} is false" for name, bad in expected if market.get(name) is bad]
    return found + [f"{name} is set" for name in ("negRisk", "archived") if market.get(name) is True]


def _outcome(market: Json, up_index: int | None) -> Outcome | None:
    prices = _listed(market.get("outcomePrices"))
    if prices is None or up_index is None or len(prices) != 2:
        return None
    try:
        up, down = (price18_from_plain(price) for price in (prices[up_index], prices[1 - up_index]))
    except NotANumber:
        return None
    one = price18_from_plain("1")
    if (up, down) == (one, 0):
        return "up"
    return "down" if (up, down) == (0, one) else None


def _price_to_beat(market: Json, event: Json | None) -> str | None:
    for body in (event, market):
        metadata = (body or {}).get("eventMetadata")
        text = decimal_text(metadata.get("priceToBeat")) if isinstance(metadata, Mapping) else None
        if text is None:
            continue
        try:
            value = price18_from_plain(text)
        except NotANumber:
            continue
        if value > 0:
            return str(value)
    return None


def _listed(value: object) -> list[str] | None:
    """A list of texts, or the same as JSON inside a text, as this service writes lists."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return value


def _is_token(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < len(text) <= 78


def _instant_ns(value: object) -> int | None:
    """An ISO instant with its zone; None for a bare date or anything else."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None or moment.year < 2015:
            return None
        return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, OverflowError):
        return None
