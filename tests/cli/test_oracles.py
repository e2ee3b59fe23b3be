"""The oracle routes as status shows them, and the passport and labels as people read them."""

from typing import Any

import msgspec

from common.messages import (
    ExchangeView,
    OraclesReport,
    OutcomeWitness,
    RouteAudit,
    RouteReport,
    RouteView,
    WindowView,
)
from common.units import E18, SECOND
from procs.cli.oracles import agree_percent, as_fields, audits_table, exchanges_table
from procs.cli.show import console
from procs.cli.why import passport_lines

NOW_NS = 1_900_000_000 * SECOND


def report() -> OraclesReport:
    views = (
        RouteView("chainlink", "agree", str(71_000 * E18), 310, 0),
        RouteView("rtds", "diverged", str(71_009 * E18), 1_250, 940, "says 71009.000000, the others 71000"),
        RouteView("polybolt", "missing", None, None, None, "no observation for 4 s"),
    )
    audit = RouteAudit(
        asset="btc",
        kind="spot",
        second_ns=NOW_NS,
        state="diverged",
        routes=views,
        seconds={"agree": 97, "late": 2, "diverged": 1},
        hold="diverged: rtds says 71009.000000",
    )
    routes = tuple(
        RouteReport(route=name, rank=rank, state="ready", detail="", series=("spot/btc",))
        for rank, name in enumerate(("chainlink", "rtds", "polybolt"), 1)
    )
    exchange = ExchangeView(
        asset="btc", exchange="kraken", e18=str(71_020 * E18), age_ms=700, from_spot_ppm=281
    )
    return OraclesReport(routes=routes, audits=(audit,), exchanges=(exchange,))


def test_programs_get_everything_by_stable_keys() -> None:
    fields: dict[str, Any] = as_fields(report())
    btc = fields["assets"]["btc"]["spot"]
    assert (btc["state"], btc["agree_percent"]) == ("diverged", 97.0)
    assert btc["hold"].startswith("diverged")
    assert btc["routes"]["rtds"] == {
        "state": "diverged",
        "e18": str(71_009 * E18),
        "lag_ms": 1_250,
        "behind_ms": 940,
        "text": "says 71009.000000, the others 71000",
    }
    assert fields["routes"]["rtds"]["rank"] == 2
    assert fields["exchanges"][0]["from_spot_ppm"] == 281
    assert msgspec.json.encode(fields)


def test_people_see_value_lag_and_state_side_by_side() -> None:
    out = console()
    with out.capture() as shown:
        out.print(audits_table(report()))
        out.print(exchanges_table(report()))
    text = " ".join(shown.get().split())
    assert "71000.000000 +310 ms" in text
    assert "71009.000000 +1250 ms diverged" in text
    assert "missing: no observation for 4 s" in text
    assert "proxy, not settlement" in text
    assert "+0.0281" in text


def test_the_share_of_agreement_is_of_judged_seconds() -> None:
    assert agree_percent({}) is None
    assert agree_percent({"agree": 19, "late": 1}) == 95.0


def view(**changes: Any) -> WindowView:
    plain: dict[str, Any] = {
        "window": "btc-updown-15m-1900000000",
        "asset": "btc",
        "start_ns": NOW_NS,
        "end_ns": NOW_NS + 900 * SECOND,
        "strike_e18": str(71_000 * E18),
        "strike_source": "twap60 by chainlink",
        "strike_disputes": 0,
        "reference_e18": None,
        "reference_family": "",
        "move_ppm": None,
        "up_bid4": None,
        "up_ask4": None,
        "down_bid4": None,
        "down_ask4": None,
        "tradable": True,
        "reason": "",
        "predicted": None,
        "outcome": None,
        "strike_obtained_ns": NOW_NS + 1_300_000_000,
    }
    return WindowView(**(plain | changes))


def test_the_passport_says_where_the_strike_came_from_and_when() -> None:
    (line,) = passport_lines(view())
    assert line == "strike 71000.000000 (twap60 by chainlink, 1.3 s after the opening)"
    (line,) = passport_lines(view(strike_disputes=2, price_to_beat_e18=str(71_001 * E18)))
    assert "disputed 2 times" in line
    assert "price to beat is 71001.000000" in line
    assert passport_lines(view(strike_e18=None)) == []


def test_the_passport_labels_a_stand_in_and_shows_what_is_known() -> None:
    changes = {
        "reference_e18": str(71_100 * E18),
        "reference_family": "kraken",
        "reference_route": "exchange",
    }
    lines = passport_lines(view(**changes, basis="proxy, not settlement", confidence_ppm=250_000))
    assert lines[1] == (
        "reference 71100.000000 (kraken by exchange, proxy, not settlement, 25 % of it known)"
    )


def test_the_passport_is_closed_with_prediction_and_witnesses() -> None:
    witnesses = (OutcomeWitness("gamma", "up"), OutcomeWitness("clob", "up"))
    closed = view(closing_e18=str(71_001 * E18), predicted="up", outcome="up", witnesses=witnesses)
    assert passport_lines(closed)[1:] == [
        "closing value 71001.000000, predicted up",
        "official outcome up (gamma up, clob up)",
    ]
    doubtful = view(witnesses=(OutcomeWitness("gamma", "up"), OutcomeWitness("data-api", "down")))
    assert passport_lines(doubtful)[-1] == "official outcome none yet (gamma up, data-api down)"
