import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import FrameRefused
from common.feeds.market.gamma import clob_condition_id, market_from_gamma, markets_in, slug_parts
from common.messages import FeeSchedule, MarketState
from common.units import MILLISECOND, SECOND

START_S = 1_800_000_000
SLUG = f"btc-updown-15m-{START_S}"
OPENS, ENDS = "2027-01-15T08:00:00Z", "2027-01-15T08:15:00Z"
UP, DOWN = "1111", "2222"
CONDITION = "0x" + "ab" * 32
STREAMS = "https://data.chain.link/streams/"
TWAP60 = STREAMS + "btc-usd-twap-60s-streams"
GONE = "gone"
Json = dict[str, Any]


def _config(lookback: object = 60, **more: object) -> Json:
    return {"twapEnabled": True, "twapLookbackSeconds": lookback, **more}


def _market(**changes: Any) -> Json:
    body: Json = {
        "conditionId": CONDITION,
        "slug": SLUG,
        "resolutionSource": TWAP60,
        "startDate": "2027-01-14T08:08:46.486981Z",
        "eventStartTime": OPENS,
        "endDate": ENDS,
        "endDateIso": "2027-01-15",
        "outcomes": '["Up", "Down"]',
        "outcomePrices": '["0.5", "0.5"]',
        "clobTokenIds": json.dumps([UP, DOWN]),
        "closed": False,
        "acceptingOrders": True,
        "enableOrderBook": True,
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
        "cryptoMarketConfig": _config(),
        "version": "v1",
    }
    return _changed(body, changes)


def _clob(**changes: Any) -> Json:
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
    return _changed(body, changes)


def _changed(body: Json, changes: Json) -> Json:
    return {name: value for name, value in (body | changes).items() if value != GONE}


def _read(market: Json, clob: Json | None, event: Json | None = None) -> MarketState:
    return market_from_gamma(market, event=event, clob=clob)


V2 = {
    "version": "v2",
    "clobTokenIds": None,
    "positionIds": [UP, DOWN],
    "conditionId": "0x" + "ab" * 31,
}
CLOB_V2 = _clob(v="v2", c="0x" + "ab" * 31 + "00")


@pytest.mark.parametrize(
    ("market", "clob"),
    [
        pytest.param(_market(), _clob(), id="v1 twap 60"),
        pytest.param(_market(version=GONE), _clob(v=GONE), id="no version and no position ids is v1"),
        pytest.param(_market(**V2), CLOB_V2, id="v2 with a condition id of 31 bytes"),
        pytest.param(_market(positionIds=["7", "8"]), _clob(), id="v1 that already has position ids"),
        pytest.param(
            _market(
                resolutionSource=STREAMS + "btc-usd-twap-30s-streams",
                cryptoMarketConfig=_config(Decimal(30)),
            ),
            _clob(),
            id="twap 30",
        ),
        pytest.param(
            _market(resolutionSource=STREAMS + "btc-usd", cryptoMarketConfig=GONE), _clob(), id="spot"
        ),
        pytest.param(
            _market(resolutionSource=STREAMS + "btc-usd", cryptoMarketConfig={"twapEnabled": False}),
            _clob(),
            id="spot with twap switched off",
        ),
        pytest.param(_market(feesEnabled=False, feeSchedule=GONE), _clob(fd=GONE), id="free"),
        pytest.param(_market(orderPriceMinTickSize="0.001"), _clob(mts="0.001"), id="tick as text"),
        pytest.param(
            _market(outcomes='["Down", "Up"]'),
            _clob(t=[{"t": UP, "o": "Down"}, {"t": DOWN, "o": "Up"}]),
            id="outcomes the other way round",
        ),
        pytest.param(_market(feesEnabled=GONE), _clob(), id="a schedule without the flag"),
    ],
)
def test_tradable(market: Json, clob: Json) -> None:
    assert _read(market, clob).refusals == ()


@pytest.mark.parametrize(
    ("market", "clob", "word"),
    [
        pytest.param(_market(), None, "order book", id="the order book does not know it"),
        pytest.param(_market(version="v3"), _clob(v="v3"), "v3", id="unknown version"),
        pytest.param(_market(version=2), _clob(v=GONE), "version", id="version is a number"),
        pytest.param(_market(), _clob(v="v2"), "version", id="versions differ"),
        pytest.param(
            _market(version=GONE, positionIds=["7", "8"]),
            _clob(v=GONE),
            "version",
            id="position ids, no version",
        ),
        pytest.param(_market(**V2 | {"version": "v1"}), CLOB_V2 | {"v": "v1"}, "31 bytes", id="short id, v1"),
        pytest.param(_market(clobTokenIds=None), _clob(), "token ids", id="v1 without its token ids"),
        pytest.param(
            _market(version="v2"), _clob(v="v2"), "token ids", id="v2 is never read from the v1 field"
        ),
        pytest.param(_market(clobTokenIds='["1", "1"]'), _clob(), "token ids", id="one token twice"),
        pytest.param(_market(feeSchedule=GONE), _clob(fd=GONE), "fee", id="fees without a schedule"),
        pytest.param(_market(feesEnabled=GONE, feeSchedule=GONE), _clob(fd=GONE), "fee", id="fees unsaid"),
        pytest.param(_market(feeSchedule={"bps": 7}), _clob(), "fee", id="fee of another shape"),
        pytest.param(
            _market(feeSchedule={"rate": Decimal("0.07"), "exponent": 1, "takerOnly": True, "minimum": 1}),
            _clob(),
            "fee",
            id="fee with an unknown part",
        ),
        pytest.param(
            _market(feeSchedule={"rate": Decimal("0.07"), "exponent": Decimal("0.5"), "takerOnly": True}),
            _clob(),
            "fee",
            id="fee with half an exponent",
        ),
        pytest.param(
            _market(), _clob(fd={"r": Decimal("0.02"), "e": 1, "to": True}), "fee", id="fees differ"
        ),
        pytest.param(_market(feesEnabled=False), _clob(), "fee", id="free beside a schedule"),
        pytest.param(_market(), _clob(itode=GONE), "taker delay", id="no word on the taker delay"),
        pytest.param(_market(), _clob(itode="yes"), "taker delay", id="taker delay is text"),
        pytest.param(_market(), _clob(itode=True, itodems=-1), "taker delay", id="taker delay is negative"),
        pytest.param(
            _market(orderPriceMinTickSize=Decimal("0.02")), _clob(mts=Decimal("0.02")), "tick", id="odd tick"
        ),
        pytest.param(_market(orderPriceMinTickSize=GONE), _clob(mts=GONE), "tick", id="no tick"),
        pytest.param(_market(orderMinSize=GONE), _clob(mos=GONE), "smallest", id="no smallest order"),
        pytest.param(_market(outcomes='["Yes", "No"]'), _clob(), "outcomes", id="yes and no"),
        pytest.param(_market(outcomes='["Up"]'), _clob(), "outcomes", id="one outcome"),
        pytest.param(_market(outcomes="Up, Down"), _clob(), "outcomes", id="outcomes are no JSON"),
        pytest.param(
            _market(),
            _clob(t=[{"t": UP, "o": "Down"}, {"t": DOWN, "o": "Up"}]),
            "tokens",
            id="tokens swapped",
        ),
        pytest.param(_market(), _clob(t=GONE), "tokens", id="order book names no tokens"),
        pytest.param(_market(), _clob(c="0x" + "cd" * 32), "another market", id="terms of another market"),
        pytest.param(
            _market(resolutionSource=STREAMS + "btc-usd"), _clob(), "twapEnabled", id="spot source, twap on"
        ),
        pytest.param(_market(cryptoMarketConfig=GONE), _clob(), "twapEnabled", id="twap source, no config"),
        pytest.param(_market(cryptoMarketConfig=_config(30)), _clob(), "look-back", id="look-backs differ"),
        pytest.param(
            _market(resolutionSource=STREAMS + "btc-usd-twap-45s-streams", cryptoMarketConfig=_config(45)),
            _clob(),
            "45 s",
            id="a look-back without a price series",
        ),
        pytest.param(
            _market(resolutionSource=STREAMS + "eth-usd-twap-60s-streams"), _clob(), "btc", id="another asset"
        ),
        pytest.param(
            _market(resolutionSource="https://example.test/btc"), _clob(), "source", id="other source"
        ),
        pytest.param(_market(slug=f"btc-updown-5m-{START_S}"), _clob(), "agree", id="name of another length"),
        pytest.param(
            _market(slug=f"btc-updown-15m-{START_S + 900}"), _clob(), "agree", id="name of another start"
        ),
        pytest.param(_market(endDate=OPENS), _clob(), "ends before", id="ends as it opens"),
        pytest.param(_market(endDate="2027-01-15"), _clob(), "endDate", id="endDate is only a date"),
        pytest.param(
            _market(eventStartTime=GONE), _clob(), "eventStartTime", id="the listing time is not the start"
        ),
        pytest.param(_market(enableOrderBook=False), _clob(), "enableOrderBook", id="no order book"),
        pytest.param(_market(negRisk=True), _clob(), "negRisk", id="negative risk"),
    ],
)
def test_refused(market: Json, clob: Json | None, word: str) -> None:
    refusals = _read(market, clob).refusals
    assert len(refusals) >= 1
    assert any(word in refusal for refusal in refusals), refusals


def test_every_field_of_a_tradable_market() -> None:
    state = _read(_market(), _clob(itode=True, itodems=150))
    assert state == MarketState(
        window=SLUG,
        asset="btc",
        condition_id=CONDITION,
        version="v1",
        token_up=UP,
        token_down=DOWN,
        rule="twap",
        lookback_s=60,
        start_ns=START_S * SECOND,
        end_ns=(START_S + 900) * SECOND,
        fee=FeeSchedule(rate_ppm=70_000, exponent=1),
        taker_delay_ns=150 * MILLISECOND,
        tick4=100,
        min_size6=5_000_000,
        accepting=True,
    )


@pytest.mark.parametrize(
    ("terms", "delay_ms"),
    [
        ({"itode": False}, 0),
        ({"itode": False, "itodems": 0}, 0),
        ({"itode": True}, 250),
        ({"itode": True, "itodems": 150}, 150),
        ({"itode": True, "takerOrderDelayMs": "50"}, 50),
        ({"itode": True, "itodems": 0}, 250),
    ],
)
def test_taker_delay_is_the_stated_one_or_the_longest(terms: Json, delay_ms: int) -> None:
    assert _read(_market(), _clob(**terms)).taker_delay_ns == delay_ms * MILLISECOND


def test_an_unknown_taker_delay_is_none_not_zero() -> None:
    assert _read(_market(), None).taker_delay_ns is None
    assert _read(_market(), _clob(itode=GONE)).taker_delay_ns is None


def test_a_contradictory_rule_is_unknown() -> None:
    state = _read(_market(cryptoMarketConfig=_config(30)), _clob())
    assert (state.rule, state.lookback_s) == ("unknown", 0)


def test_outcomes_are_paired_by_index() -> None:
    state = _read(_market(outcomes='["Down", "Up"]', closed=True, outcomePrices='["1", "0"]'), None)
    assert (state.token_up, state.token_down, state.outcome) == (DOWN, UP, "down")


@pytest.mark.parametrize(
    ("closed", "prices", "outcome"),
    [
        (True, '["1", "0"]', "up"),
        (True, '["0", "1"]', "down"),
        (True, '["0.5", "0.5"]', None),
        (True, '["1", "1"]', None),
        (True, '["0.9995", "0.0005"]', None),
        (True, "nonsense", None),
        (False, '["1", "0"]', None),
    ],
)
def test_outcome_only_of_a_closed_market_with_one_winner(
    closed: bool, prices: str, outcome: str | None
) -> None:
    assert _read(_market(closed=closed, outcomePrices=prices), None).outcome == outcome


def test_a_closed_market_that_says_it_accepts_orders_does_not() -> None:
    assert not _read(_market(closed=True, acceptingOrders=True), _clob()).accepting
    assert not _read(_market(acceptingOrders=GONE), _clob()).accepting


def test_start_falls_back_to_the_event() -> None:
    state = _read(_market(eventStartTime=GONE), _clob(), {"startTime": OPENS})
    assert state.start_ns == START_S * SECOND
    assert state.refusals == ()


def test_market_and_event_must_open_together() -> None:
    refusals = _read(_market(), _clob(), {"startTime": ENDS}).refusals
    assert any("different instants" in refusal for refusal in refusals)


def test_price_to_beat_keeps_every_digit() -> None:
    event = {"eventMetadata": {"priceToBeat": Decimal("71234.123456789012345678")}}
    assert _read(_market(), _clob(), event).price_to_beat_e18 == "71234123456789012345678"
    assert _read(_market(), _clob(), {"eventMetadata": {"priceToBeat": "soon"}}).price_to_beat_e18 is None


def test_v2_condition_ids_are_padded_on_the_right() -> None:
    assert clob_condition_id("0x" + "ab" * 31) == "0x" + "ab" * 31 + "00"
    assert clob_condition_id(CONDITION) == CONDITION
    assert _read(_market(**V2), CLOB_V2).condition_id == "0x" + "ab" * 31 + "00"


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        (SLUG, ("btc", "15m", START_S, 900)),
        (f"eth-updown-45s-{START_S}", ("eth", "45s", START_S, 45)),
        (f"sol-updown-4h-{START_S}", ("sol", "4h", START_S, 14_400)),
        ("bitcoin-up-or-down-october-5-7pm-et", None),
        (f"btc-updown-15-{START_S}", None),
        (f"btc-updown-0m-{START_S}", None),
        (f"{SLUG}\n", None),
        ("", None),
    ],
)
def test_slug_parts(slug: str, expected: tuple[str, str, int, int] | None) -> None:
    parts = slug_parts(slug)
    assert (parts and (parts.asset, parts.label, parts.start_s, parts.length_s)) == expected


def test_markets_in_every_kind_of_answer() -> None:
    market = _market()
    event = {"slug": SLUG, "startTime": OPENS, "markets": [market]}
    assert markets_in(market) == [(market, None)]
    assert markets_in([market, market]) == [(market, None)] * 2
    assert markets_in(event) == [(market, event)]
    assert markets_in([event]) == [(market, event)]
    assert markets_in({"events": [event, event], "next_cursor": "x"}) == [(market, event)] * 2
    assert markets_in({"events": []}) == []
    assert markets_in([]) == []


@pytest.mark.parametrize("payload", ["text", 7, [7], {"price": 1}, {"markets": [7]}])
def test_what_holds_no_market_is_refused(payload: object) -> None:
    with pytest.raises(FrameRefused):
        markets_in(payload)


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(name=st.sampled_from(sorted(_market())), value=_JSON)
def test_any_value_in_a_market_is_told_never_raised(name: str, value: Any) -> None:
    state = _read(_market(**{name: value}), _clob())
    assert isinstance(state, MarketState)


@given(name=st.sampled_from(sorted(_clob())), value=_JSON)
def test_any_value_in_the_terms_is_told_never_raised(name: str, value: Any) -> None:
    assert isinstance(_read(_market(), _clob(**{name: value})), MarketState)


def test_recorded_market_objects(shared_data: Path) -> None:
    frames = shared_data / "frames"
    page = json.loads(next((frames / "gamma").glob("events_keyset_*.json")).read_text(), parse_float=Decimal)
    terms = json.loads(
        next((frames / "clob_rest").glob("clob-markets_v1_*.json")).read_text(), parse_float=Decimal
    )
    found = markets_in(page)
    assert len(found) == 2
    for market, event in found:
        known = terms if market["conditionId"] == terms["c"] else None
        state = market_from_gamma(market, event=event, clob=known)
        assert (state.rule, state.lookback_s) == ("twap", 60)
        assert len(state.refusals) == (0 if known else 1)
        if known:
            assert state.taker_delay_ns == 250 * MILLISECOND


def test_recorded_outcomes(shared_data: Path) -> None:
    file = next((shared_data / "frames/gamma").glob("markets_resolved_*.jsonl"))
    markets = [json.loads(line, parse_float=Decimal) for line in file.read_text().splitlines()]
    states = [market_from_gamma(market, event=None, clob=None) for market in markets]
    assert [state.outcome for state in states] == ["up", "down"]
    assert {state.rule for state in states} == {"spot"}
