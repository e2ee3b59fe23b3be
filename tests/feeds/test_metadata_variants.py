"""Every kind of market metadata met or feared, in one table: accepted, or refused with exactly this reason.

Run with ``-s`` to see the table.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from common.core.moment import Moment
from common.core.passport import OPENING_GRACE_NS, TOO_FAR_AHEAD, Strike, incomplete
from common.core.terms import changed_terms
from common.feeds.market.gamma import NOT_AT_CLOB, market_from_gamma
from common.units import E18, MILLISECOND, SECOND

Json = dict[str, Any]
START_S = 1_806_490_800
SLUG = f"eth-updown-15m-{START_S}"
OPENS, ENDS = "2027-03-31T11:00:00Z", "2027-03-31T11:15:00Z"
UP, DOWN = "90210", "90211"
CONDITION, SHORT = "0x" + "4d" * 32, "0x" + "4d" * 31
STREAMS = "https://data.chain.link/streams/"
TWAP60, SPOT = STREAMS + "eth-usd-twap-60s-streams", STREAMS + "eth-usd"
GONE = "gone"
STRIKE = Strike(3_111 * E18, "twap60", "rtds", START_S * SECOND, START_S * SECOND + 2 * SECOND)
MIDDLE_S = 420.0


@dataclass(frozen=True)
class Variant:
    """One change to a valid market, and what becomes of it."""

    name: str
    reason: str = ""
    """The whole sentence; empty where it is accepted."""
    market: Json = field(default_factory=dict)
    event: Json = field(default_factory=dict)
    clob: Json | None = field(default_factory=dict)
    """None: the order book does not know it."""
    at_s: float = MIDDLE_S
    """Seconds after the opening."""
    strike: Strike | None = STRIKE
    later: Json | None = None
    """What a second reading of the market changes; None: there is none."""


def changed(body: Json, changes: Mapping[str, Any]) -> Json:
    return {name: value for name, value in {**body, **changes}.items() if value != GONE}


def market_object(changes: Mapping[str, Any]) -> Json:
    body: Json = {
        "conditionId": CONDITION,
        "slug": SLUG,
        "resolutionSource": TWAP60,
        "startDate": "2027-03-30T11:09:17.25Z",
        "eventStartTime": OPENS,
        "endDate": ENDS,
        "endDateIso": "2027-03-31",
        "outcomes": '["Up", "Down"]',
        "outcomePrices": '["0.515", "0.485"]',
        "clobTokenIds": f'["{UP}", "{DOWN}"]',
        "active": True,
        "closed": False,
        "archived": False,
        "acceptingOrders": True,
        "enableOrderBook": True,
        "negRisk": False,
        "orderPriceMinTickSize": Decimal("0.01"),
        "orderMinSize": 5,
        "makerBaseFee": 1000,
        "takerBaseFee": 1000,
        "feesEnabled": True,
        "feeSchedule": {
            "exponent": 1,
            "rate": Decimal("0.07"),
            "takerOnly": True,
            "rebateRate": Decimal("0.2"),
        },
        "cryptoMarketConfig": {"asset": "eth", "twapEnabled": True, "twapLookbackSeconds": 60},
        "version": "v1",
    }
    return changed(body, changes)


def event_object(changes: Mapping[str, Any]) -> Json:
    body = {"slug": SLUG, "startTime": OPENS, "resolutionSource": TWAP60, "version": "v1"}
    return changed(body, changes)


def clob_object(changes: Mapping[str, Any]) -> Json:
    body: Json = {
        "t": [{"t": UP, "o": "Up"}, {"t": DOWN, "o": "Down"}],
        "c": CONDITION,
        "mos": 5,
        "mts": Decimal("0.01"),
        "ao": True,
        "itode": False,
        "fd": {"r": Decimal("0.07"), "e": 1, "to": True},
        "v": "v1",
    }
    return changed(body, changes)


def both(value: object) -> dict[str, Json]:
    """One version, stated by all three."""
    return {"market": {"version": value}, "event": {"version": value}, "clob": {"v": value}}


V2 = Variant(
    "v2 with position ids and an id of 31 bytes",
    market={"version": "v2", "clobTokenIds": None, "positionIds": [UP, DOWN], "conditionId": SHORT},
    event={"version": "v2"},
    clob={"v": "v2", "c": SHORT + "00"},
)
CONTRADICTION = "settlement source and twapEnabled contradict each other"

ACCEPTED = [
    Variant("v1 on the 60 s TWAP"),
    V2,
    Variant(
        "fee 0 with feesEnabled false",
        market={"feesEnabled": False, "feeSchedule": GONE},
        clob={"fd": GONE},
    ),
    Variant("tick 0.001", market={"orderPriceMinTickSize": Decimal("0.001")}, clob={"mts": Decimal("0.001")}),
    Variant("taker delay with milliseconds", clob={"itode": True, "itodems": 150}),
    Variant("v1 that already has position ids", market={"positionIds": ["5", "6"]}),
    Variant(
        "Down listed first, consistently",
        market={"outcomes": '["Down", "Up"]', "clobTokenIds": f'["{DOWN}", "{UP}"]'},
    ),
    Variant("grid changed since it was first read", later={"orderPriceMinTickSize": Decimal("0.001")}),
    Variant("fee changed since it was first read", later={"feesEnabled": False, "feeSchedule": GONE}),
]
REFUSED = [
    Variant("unknown version", "protocol version 'v3' is not known", **both("v3")),
    Variant("versions differ", "protocol versions differ: v1, v1, v2", clob={"v": "v2"}),
    Variant("TWAP source without TWAP fields", CONTRADICTION, market={"cryptoMarketConfig": GONE}),
    Variant(
        "TWAP without a look-back",
        "source names a look-back of 60 s, configuration None s",
        market={"cryptoMarketConfig": {"asset": "eth", "twapEnabled": True}},
    ),
    Variant(
        "TWAP flag false beside a TWAP source",
        CONTRADICTION,
        market={"cryptoMarketConfig": {"twapEnabled": False, "twapLookbackSeconds": 60}},
    ),
    Variant(
        "unknown look-back",
        "no price series with a look-back of 90 s",
        market={
            "resolutionSource": STREAMS + "eth-usd-twap-90s-streams",
            "cryptoMarketConfig": {"twapEnabled": True, "twapLookbackSeconds": 90},
        },
        event={"resolutionSource": GONE},
    ),
    Variant(
        "spot source with TWAP configuration",
        CONTRADICTION,
        market={"resolutionSource": SPOT},
        event={"resolutionSource": SPOT},
    ),
    Variant(
        "settlement on another asset",
        f"settlement source '{STREAMS}btc-usd-twap-60s-streams' is not about eth",
        market={"resolutionSource": STREAMS + "btc-usd-twap-60s-streams"},
        event={"resolutionSource": GONE},
    ),
    Variant(
        "outcomes swapped between discovery and order book",
        "discovery and order book name different tokens or outcomes",
        clob={"t": [{"t": UP, "o": "Down"}, {"t": DOWN, "o": "Up"}]},
    ),
    Variant(
        "outcomes other than Up and Down",
        """outcomes are not Up and Down: '["Higher", "Lower"]'""",
        market={"outcomes": '["Higher", "Lower"]'},
    ),
    Variant("v2 without position ids", "positionIds are not two token ids", **both("v2")),
    Variant("tomorrow's window", TOO_FAR_AHEAD, at_s=-86_400.0, strike=None),
    Variant(
        "name and times disagree",
        "the window's name and its times do not agree",
        market={"slug": f"eth-updown-15m-{START_S + 900}"},
    ),
    Variant(
        "market and event open at different instants",
        "market and event open at different instants",
        event={"startTime": ENDS},
    ),
    Variant("closed", "the window is closed", market={"closed": True, "acceptingOrders": False}),
    Variant("closed, yet accepting", "the window is closed", market={"closed": True}),
    Variant(
        "not accepting orders",
        "the venue does not accept orders for it",
        market={"acceptingOrders": False},
    ),
    Variant("order book not accepting", "the venue does not accept orders for it", clob={"ao": False}),
    Variant(
        "fee of unknown shape",
        "fee schedule of unknown shape: {'flatBps': 35}",
        market={"feeSchedule": {"flatBps": 35}},
    ),
    Variant(
        "fees differ",
        "fee schedules of discovery and order book differ",
        clob={"fd": {"r": Decimal("0.03"), "e": 1, "to": True}},
    ),
    Variant(
        "fees apply, schedule missing",
        "fees apply but the fee schedule is missing",
        market={"feeSchedule": GONE},
        clob={"fd": GONE},
    ),
    Variant("taker delay missing", "taker delay unknown", clob={"itode": GONE}),
    Variant(
        "unknown tick",
        "tick size Decimal('0.02') is not known",
        market={"orderPriceMinTickSize": Decimal("0.02")},
        clob={"mts": Decimal("0.02")},
    ),
    Variant(
        "smallest order missing",
        "smallest order size is not stated",
        market={"orderMinSize": GONE},
        clob={"mos": GONE},
    ),
    Variant("negative risk", "negRisk is set", market={"negRisk": True}),
    Variant("not at the order book yet", NOT_AT_CLOB, clob=None),
    Variant("not open yet", "not open yet", at_s=-1.0, strike=None),
    Variant("late strike", "waiting for the settlement tick of the opening second", at_s=4.0, strike=None),
    Variant(
        "no strike",
        "the settlement tick of the opening second never came: no strike",
        at_s=OPENING_GRACE_NS / SECOND,
        strike=None,
    ),
    Variant("over", "the window has ended", at_s=900.0),
    Variant(
        "rule changed since it was first read",
        "the settlement rule changed from twap to spot",
        later={"resolutionSource": SPOT, "cryptoMarketConfig": {"twapEnabled": False}},
    ),
    Variant(
        "look-back changed since it was first read",
        "the look-back in seconds changed from 60 to 30",
        later={
            "resolutionSource": STREAMS + "eth-usd-twap-30s-streams",
            "cryptoMarketConfig": {"twapEnabled": True, "twapLookbackSeconds": 30},
        },
    ),
    Variant(
        "tokens changed places since it was first read",
        f"the token of Up changed from {UP} to {DOWN}; the token of Down changed from {DOWN} to {UP}",
        later={"clobTokenIds": f'["{DOWN}", "{UP}"]'},
    ),
    Variant(
        "condition changed since it was first read",
        "the condition id changed from 0x4d4d4d4d...4d4d4d to 0x8e8e8e8e...8e8e8e",
        later={"conditionId": "0x" + "8e" * 32},
    ),
]


def verdict(variant: Variant) -> str:
    """Why it may not be traded, as the strategist would say it; empty when it may."""
    market = market_object(variant.market)
    event = event_object(variant.event)
    clob = None if variant.clob is None else clob_object(variant.clob)
    moment = Moment(int((START_S + variant.at_s) * SECOND), 0)
    state = market_from_gamma(market, event=event, clob=clob)
    if variant.later is not None:
        assert incomplete(state, variant.strike, moment) == ""
        # The order book's half is left out: its own disagreement would be a reason of another kind.
        again = market_from_gamma(changed(market, variant.later), event=None, clob=None)
        return "; ".join(changed_terms(state, again))
    return incomplete(state, variant.strike, moment)


def test_every_variant_has_its_verdict() -> None:
    rows = [(variant, verdict(variant)) for variant in (*ACCEPTED, *REFUSED)]
    lines = (f"{one.name:50} {'refused ' if why else 'accepted'}  {why}".rstrip() for one, why in rows)
    sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert [(one.name, why) for one, why in rows] == [(one.name, one.reason) for one, _ in rows]


def test_the_table_is_complete() -> None:
    names = [variant.name for variant in (*ACCEPTED, *REFUSED)]
    assert len(set(names)) == len(names) >= 20
    assert all(variant.reason == "" for variant in ACCEPTED)
    assert all(variant.reason for variant in REFUSED)


def test_the_accepted_ones_are_read_as_they_are() -> None:
    def read(name: str) -> Any:
        (variant,) = [each for each in ACCEPTED if each.name == name]
        assert variant.clob is not None
        return market_from_gamma(
            market_object(variant.market),
            event=event_object(variant.event),
            clob=clob_object(variant.clob),
        )

    v2 = read(V2.name)
    assert (v2.version, v2.condition_id, v2.token_up, v2.token_down) == ("v2", SHORT + "00", UP, DOWN)
    assert read("fee 0 with feesEnabled false").fee.rate_ppm == 0
    assert read("tick 0.001").tick4 == 10
    assert read("taker delay with milliseconds").taker_delay_ns == 150 * MILLISECOND
    turned = read("Down listed first, consistently")
    assert (turned.token_up, turned.token_down) == (UP, DOWN)
