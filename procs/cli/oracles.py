"""The oracle routes side by side, as ``laggard status`` shows them. Asks nobody.

A series is one asset and kind; every second of it was judged by the strategist.
"""

from collections.abc import Mapping

import msgspec
from rich.table import Table

from common.messages import OraclesReport, RouteAudit, RouteView
from common.units import price18_text
from procs.cli.show import add_row, table

WELL = "agree"


def as_fields(report: OraclesReport) -> dict[str, object]:
    """The whole report with stable keys: routes by name, then assets, kinds and routes."""
    assets: dict[str, dict[str, object]] = {}
    for audit in report.audits:
        assets.setdefault(audit.asset, {})[audit.kind] = {
            "state": audit.state,
            "hold": audit.hold or None,
            "second_ns": audit.second_ns,
            "agree_percent": agree_percent(audit.seconds),
            "seconds": audit.seconds,
            "routes": {
                view.route: {
                    "state": view.state,
                    "e18": view.e18,
                    "lag_ms": view.lag_ms,
                    "behind_ms": view.behind_ms,
                    "text": view.text or None,
                }
                for view in audit.routes
            },
        }
    return {
        "routes": {
            one.route: {
                "rank": one.rank,
                "state": one.state,
                "detail": one.detail,
                "series": list(one.series),
            }
            for one in report.routes
        },
        "assets": assets,
        "exchanges": msgspec.to_builtins(report.exchanges),
    }


def agree_percent(seconds: Mapping[str, int]) -> float | None:
    """The share of judged seconds in which every live route agreed; None before the first."""
    total = sum(seconds.values())
    return round(100 * seconds.get(WELL, 0) / total, 2) if total else None


def audits_table(report: OraclesReport) -> Table:
    """One row a series: its state, and each route's value, state and lag."""
    names = [one.route for one in report.routes if one.state != "disabled"]
    made = table("oracle", "state", ">agree %", *names, "hold")
    for audit in report.audits:
        views = {view.route: view for view in audit.routes}
        percent = agree_percent(audit.seconds)
        row = [f"{audit.asset} {audit.kind}", audit.state, percent]
        row += [_cell(views.get(name)) for name in names]
        add_row(made, [*row, audit.hold], style=_style(audit))
    return made


def exchanges_table(report: OraclesReport) -> Table:
    """The exchanges beside the oracle: early warning, never what settles."""
    made = table("exchange (proxy, not settlement)", ">price", ">age s", ">from spot %")
    for one in report.exchanges:
        off = None if one.from_spot_ppm is None else f"{one.from_spot_ppm / 10_000:+.4f}"
        price = price18_text(int(one.e18), places=6)
        add_row(made, [f"{one.asset} {one.exchange}", price, f"{one.age_ms / 1000:.1f}", off])
    return made


def _cell(view: RouteView | None) -> str:
    if view is None:
        return "-"
    if view.e18 is None:
        return f"{view.state}: {view.text}"
    text = price18_text(int(view.e18), places=6)
    lag = f" +{view.lag_ms} ms" if view.lag_ms is not None else ""
    return f"{text}{lag}" if view.state == WELL else f"{text}{lag} {view.state}"


def _style(audit: RouteAudit) -> str | None:
    if audit.hold:
        return "red"
    return None if audit.state in (WELL, "late") else "yellow"
