"""What executor, strategist, sentinel and chat say of themselves, in a few lines. Asks nobody."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from common.messages import AccountReport, StatusReport, WindowView
from common.units import SECOND
from procs.cli.show import clock_time, duration, money
from procs.cli.steer import posture_line
from procs.cli.survey import Seen

_ALERT = re.compile(r"(?P<at>\S*Z) (?P<level>info|warning|critical) (?P<text>.*)", re.DOTALL)


class StandingAlert(NamedTuple):
    """An alert whose cause is not over."""

    code: str
    at: str | None
    """UTC instant; None where the sentinel does not say."""
    level: str
    text: str


class WindowClock(NamedTuple):
    """Where the running windows are."""

    open: int
    tradable: int
    ends_ns: int | None
    """When the first of them ends; None while none is open."""
    next_ns: int | None
    """When the next one opens, where that is known."""


def standing_alerts(report: StatusReport | None) -> list[StandingAlert]:
    """The alerts among the sentinel's facts, in the order of their codes."""
    found = []
    for name, fact in sorted((report.facts if report is not None else {}).items()):
        if name.startswith("alert."):
            parts = _ALERT.fullmatch(fact)
            code = name.removeprefix("alert.")
            found.append(
                StandingAlert(code, parts["at"], parts["level"], parts["text"])
                if parts
                else StandingAlert(code, None, "warning", fact)
            )
    return found


def window_clock(views: Iterable[WindowView], wall_ns: int) -> WindowClock:
    """How many windows are open, and when the first one ends and the next one opens."""
    running, coming = [], []
    for view in views:
        if view.start_ns <= wall_ns < view.end_ns:
            running.append(view)
        elif view.start_ns > wall_ns:
            coming.append(view.start_ns)
    return WindowClock(
        open=len(running),
        tradable=sum(view.tradable for view in running),
        ends_ns=min((view.end_ns for view in running), default=None),
        next_ns=min(coming, default=None),
    )


def lines(
    account: AccountReport | None,
    clock: WindowClock | None,
    chat: Seen | None,
    alerts: Iterable[StandingAlert],
    wall_ns: int,
) -> list[tuple[str, str | None]]:
    """The lines for people, each with its style."""
    made: list[tuple[str, str | None]] = []
    if account is None:
        made.append(("posture   unknown: the executor does not answer", "red"))
    else:
        trading = account.posture.posture == "trading"
        made.append((f"posture   {posture_line(account.posture)}", None if trading else "yellow"))
        made.append((f"account   {account_line(account)}", None))
    if clock is not None:
        made.append((f"windows   {clock_line(clock, wall_ns)}", None))
    if chat is not None:
        made.append((f"telegram  {chat_line(chat)}", None))
    for alert in alerts:
        at = f"{alert.at[11:19] or alert.at} UTC " if alert.at else ""
        style = {"critical": "red", "warning": "yellow"}.get(alert.level)
        made.append((f"alert     {at}{alert.level} {alert.code}: {alert.text}", style))
    return made


def account_line(report: AccountReport) -> str:
    """Money, what is held, what is under way."""
    account = report.account
    held = sum(not position.settled for position in report.positions)
    working = sum(order.status == "working" for order in report.orders)
    text = (
        f"{account.mode}: cash {money(account.cash_usd6)} $, today {money(account.day_pnl_usd6)} $, "
        f"{held} positions for {money(account.open_cost_usd6)} $, {working} orders under way"
    )
    if account.redeemable_usd6:
        text += f", {money(account.redeemable_usd6)} $ to redeem"
    return text


def clock_line(clock: WindowClock, wall_ns: int) -> str:
    """``4 open, 3 tradable, until 12:15:00 UTC (7 min left)``."""
    if clock.ends_ns is None:
        after = f"; the next one at {clock_time(clock.next_ns)} UTC" if clock.next_ns is not None else ""
        return f"none open{after}"
    left = duration((clock.ends_ns - wall_ns) // (SECOND // 1000))
    return (
        f"{clock.open} open, {clock.tradable} tradable, until {clock_time(clock.ends_ns)} UTC ({left} left)"
    )


def chat_line(seen: Seen) -> str:
    """How the Telegram process is."""
    if seen.report is None:
        return seen.silence or seen.row.state
    return f"{seen.report.state}{f': {seen.report.detail}' if seen.report.detail else ''}"


def as_fields(
    account: AccountReport | None,
    clock: WindowClock | None,
    chat: Seen | None,
    alerts: Iterable[StandingAlert],
) -> Mapping[str, object]:
    """The same with stable keys; null is what nobody answered."""
    report = chat.report if chat is not None else None
    return {
        "posture": msgspec.to_builtins(account.posture) if account is not None else None,
        "account": msgspec.to_builtins(account.account) if account is not None else None,
        "open_positions": sum(not one.settled for one in account.positions) if account is not None else None,
        "working_orders": (
            sum(one.status == "working" for one in account.orders) if account is not None else None
        ),
        "windows": clock._asdict() if clock is not None else None,
        "telegram": (
            {"state": report.state, "detail": report.detail, "facts": report.facts}
            if report is not None
            else None
        ),
        "alerts": [alert._asdict() for alert in alerts],
    }
