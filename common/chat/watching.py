"""What the windows, the routes and the processes look like in a chat.

Pure functions from reports to plain text, short enough for a phone. None stands for whoever did not answer.
"""

from collections.abc import Mapping, Sequence

from common.chat.reading import fit
from common.core.remote.commands import COMMANDS, Risk
from common.messages import OraclesReport, StatusReport, Verdict, WhyReport, WindowView
from common.runtime.supervisor import ProcessRow
from common.units import E18, SECOND, price4_text, price18_text

NO_STRATEGIST = "The strategist does not answer; /procs says what runs."
SIMULATED = "venue"
"""The simulated venue's program."""
_SHOWN_WINDOWS = 8
_GONE_NS = 60 * SECOND
_HEADINGS: tuple[tuple[Risk, str], ...] = (
    ("reads", "Telling:"),
    ("reduces", "Taking risk away (obeyed at any age):"),
    ("adds", "Adding risk or spending (refused when older than a minute):"),
    ("quiets", "Quiet:"),
)


def windows_text(report: WhyReport | None, now_ns: int) -> str:
    """The windows that run, then those that come next, then those that just ended."""
    if report is None:
        return NO_STRATEGIST
    verdicts = {verdict.window: verdict for verdict in report.verdicts}
    alive = sorted(
        (view for view in report.views if view.end_ns > now_ns - _GONE_NS),
        key=lambda view: (now_ns >= view.end_ns, view.start_ns, view.asset),
    )
    return fit(
        "\n\n".join(_window(view, verdicts.get(view.window), now_ns) for view in alive[:_SHOWN_WINDOWS])
        or "no window is followed"
    )


def _window(view: WindowView, verdict: Verdict | None, now_ns: int) -> str:
    move = f" {view.move_ppm / 10_000:+.3f} %" if view.move_ppm is not None else ""
    return "\n".join(
        [
            f"{view.window} {_clock(view, now_ns)}",
            f"strike {_price(view.strike_e18)}, price {_price(view.reference_e18)}{move}",
            f"up {_pair(view.up_bid4, view.up_ask4)}, down {_pair(view.down_bid4, view.down_ask4)}",
            decision(view, verdict),
        ]
    )


def _clock(view: WindowView, now_ns: int) -> str:
    if view.outcome is not None:
        return f"was {view.outcome}"
    if now_ns < view.start_ns:
        return f"opens in {(view.start_ns - now_ns) // SECOND} s"
    return f"{max(0, view.end_ns - now_ns) // SECOND} s left"


def decision(view: WindowView | None, verdict: Verdict | None) -> str:
    """The decision in a few words."""
    if view is not None and not view.tradable:
        return f"not tradable: {view.reason}"
    if verdict is None:
        return "no verdict yet"
    if verdict.decision != "no_trade":
        return verdict.decision.replace("_", " ")
    return f"no trade: {', '.join(gate.name for gate in verdict.gates if not gate.passed) or 'done'}"


def why_text(report: WhyReport | None, window: str) -> str:
    """Every gate of one window, or what stands in the way in each."""
    if report is None:
        return NO_STRATEGIST
    views = {view.window: view for view in report.views}
    verdicts = {verdict.window: verdict for verdict in report.verdicts}
    names = list(dict.fromkeys((*views, *verdicts)))
    if not names:
        return f"The strategist knows no window {window}." if window else "No window is followed."
    if len(names) > 1:
        return fit("\n".join(f"{name}: {decision(views.get(name), verdicts.get(name))}" for name in names))
    name = names[0]
    verdict = verdicts.get(name)
    lines = [name, decision(views.get(name), verdict)]
    if verdict is not None:
        lines += [
            f"{'+' if gate.passed else '-'} {gate.name}: {gate.value} ({gate.threshold})"
            for gate in verdict.gates
        ]
    return fit("\n".join(lines))


def feeds_text(report: OraclesReport | None) -> str:
    """Each route's state, and each series' audit."""
    if report is None:
        return NO_STRATEGIST
    lines = [f"{one.rank}. {one.route}: {one.state} {one.detail}".rstrip() for one in report.routes]
    for audit in report.audits:
        total = sum(audit.seconds.values())
        agree = f"{100 * audit.seconds.get('agree', 0) / total:.1f} % agree" if total else "not judged yet"
        lags = ", ".join(
            f"{route.route} {route.state}" + (f" {route.lag_ms} ms" if route.lag_ms is not None else "")
            for route in audit.routes
        )
        hold = f"; NO NEW ORDERS: {audit.hold}" if audit.hold else ""
        lines.append(f"{audit.asset} {audit.kind}: {agree} ({lags}){hold}")
    lines += [
        f"{one.asset} {one.exchange}: {price18_text(int(one.e18))}, {one.age_ms / 1000:.1f} s old"
        for one in report.exchanges
    ]
    return fit("\n".join(lines) or "no route is configured")


def procs_text(rows: Sequence[ProcessRow], reports: Mapping[str, StatusReport | None]) -> str:
    """Every program as supervisord and as it sees itself."""
    lines = []
    for row in rows:
        if row.name == SIMULATED and row.state in ("STOPPED", "EXITED"):
            continue  # only where it was started is it one of ours
        report = reports.get(row.name)
        own = f"{report.state} {report.detail}".strip() if report is not None else "does not answer"
        said = own if row.state in ("RUNNING", "STARTING") and row.name != SIMULATED else row.detail
        lines.append(f"{row.name}: {row.state.lower()}, {said}")
    return fit("\n".join(lines))


def help_text() -> str:
    """Every command, by what it may do."""
    lines = []
    for risk, heading in _HEADINGS:
        lines.append(heading)
        lines += [
            f"/{one.name} {one.arguments}".rstrip() + f": {one.text}" for one in COMMANDS if one.risk == risk
        ]
        lines.append("")
    return "\n".join(lines[:-1])


def _price(e18: str | None) -> str:
    if e18 is None:
        return "-"
    value = int(e18)
    return price18_text(value, places=2 if value >= 1000 * E18 else 4 if value >= 10 * E18 else 6)


def _pair(bid4: int | None, ask4: int | None) -> str:
    return f"{'-' if bid4 is None else price4_text(bid4)}/{'-' if ask4 is None else price4_text(ask4)}"
