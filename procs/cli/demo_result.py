"""What a demo amounts to: every process's own account gathered, checked against each other, and summed up.

Decides whether the run counts as good. Starts and stops nothing.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import msgspec
import zmq.asyncio

from common.messages import (
    AccountReport,
    Command,
    OraclesReport,
    ReadAccount,
    ReadOracles,
    Status,
    StatusReport,
)
from common.runtime.calls import call_all
from common.runtime.clock import SystemClock
from common.runtime.endpoints import ORACLES, ROLES
from common.runtime.supervisor import UNREACHABLE, Fault, ProcessRow, process_table, rpc
from common.store.tape import verify
from common.units import usd6_text
from procs.cli import demo_venue, oracles
from procs.cli.audit import LogMark, Lost, count_unhandled, detected, miscounted, tails, tape_losses
from procs.cli.demo_config import Plan
from procs.cli.demo_stage import Running, Stage
from procs.cli.show import JSON_SCHEMA, add_row, console, table
from procs.cli.stack import Stack
from procs.cli.tally import Tally, settled_windows

CONVERGE_S = 3.0
PAUSE_S = 0.3
SILENT_ROLES = frozenset({"venue"})
"""The simulated venue is not one of laggard's processes and answers no Status."""


@dataclass(slots=True)
class Gathered:
    """The processes' last words."""

    rows: tuple[ProcessRow, ...] = ()
    reports: dict[str, StatusReport] = field(default_factory=dict)
    account: AccountReport | None = None
    lost: list[Lost] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    oracles: OraclesReport | None = None
    venue: dict[str, Any] | None = None
    """Our live orders beside the venue's history."""


async def gather(ctx: zmq.asyncio.Context, run_dir: Path, stack: Stack, plan: Plan | None = None) -> Gathered:
    """Ask everybody twice: what was published by the first time must arrive by the second, or soon after.

    With the plan of a demo whose orders are live, the venue is asked as well.
    """
    gathered = Gathered()
    try:
        with rpc(stack.socket) as server:
            gathered.rows = tuple(process_table(server))
    except (*UNREACHABLE, Fault):
        return gathered
    clock = SystemClock()
    asked = [
        row.name for row in gathered.rows if row.name in ROLES and row.name not in SILENT_ROLES and row.pid
    ]
    first = await _statuses(ctx, run_dir, asked, clock)
    published = {role: (report.boot, report.published) for role, report in first.items()}
    deadline = clock.mono_ns() + int(CONVERGE_S * 1_000_000_000)
    while True:
        await asyncio.sleep(PAUSE_S)
        gathered.reports = await _statuses(ctx, run_dir, asked, clock)
        gathered.lost = tails(published, gathered.reports)
        if not gathered.lost or clock.mono_ns() > deadline:
            break
    gathered.lost += miscounted(gathered.reports)
    gathered.silent = [role for role in asked if role not in gathered.reports]
    questions: dict[str, Command] = {"executor": ReadAccount(), "strategist": ReadOracles()}
    answers = await call_all(ctx, run_dir, "demo", questions, clock=clock)
    account, routes = answers["executor"], answers["strategist"]
    gathered.account = account if isinstance(account, AccountReport) else None
    gathered.oracles = routes if isinstance(routes, OraclesReport) else None
    if plan is not None and plan.trading_key is not None:
        await _compare_with_venue(ctx, run_dir, plan, gathered, clock)
    return gathered


async def _compare_with_venue(
    ctx: zmq.asyncio.Context, run_dir: Path, plan: Plan, gathered: Gathered, clock: SystemClock
) -> None:
    """Our account beside the venue's; an order in flight when the time was over gets some more of it."""
    deadline = clock.mono_ns() + int(CONVERGE_S * 1_000_000_000)
    while True:
        history = await asyncio.to_thread(demo_venue.read_history, plan.sim.listen)
        if gathered.account is not None and history is not None:
            gathered.venue = demo_venue.compare(gathered.account, history)
            if not demo_venue.differences(gathered.venue):
                return
        if clock.mono_ns() > deadline:
            return
        await asyncio.sleep(PAUSE_S)
        answer = (await call_all(ctx, run_dir, "demo", {"executor": ReadAccount()}, clock=clock))["executor"]
        gathered.account = answer if isinstance(answer, AccountReport) else gathered.account


async def _statuses(
    ctx: zmq.asyncio.Context, run_dir: Path, roles: list[str], clock: SystemClock
) -> dict[str, StatusReport]:
    answers = await call_all(ctx, run_dir, "demo", dict.fromkeys(roles, Status()), clock=clock)
    return {role: answer for role, answer in answers.items() if isinstance(answer, StatusReport)}


def conclude(
    plan: Plan,
    stage: Stage,
    running: Running,
    gathered: Gathered,
    tally: Tally,
    killed: list[int],
) -> dict[str, Any]:
    """The summary of the run with stable keys; ``reasons`` is empty when the run counts as good."""
    log_dir, marks = running.stack.log_dir, running.mark
    tape_dir = stage.state_dir / "tapes"
    restarts = spawn_counts(log_dir / "supervisord.log", marks)
    recorder = gathered.reports.get("recorder")
    lost = list(gathered.lost)
    lost += tape_losses(verify(tape_dir).holes, recorder, restarts.get("recorder", 0))
    unhandled = count_unhandled(log_dir, marks)
    fatal = [row.name for row in gathered.rows if row.state == "FATAL"]
    account = gathered.account
    positions = account.positions if account is not None else ()
    money = account.account if account is not None else None
    settled = settled_windows(tally) | {position.window for position in positions if position.settled}
    orders = {
        order.order_id: order for order in (*tally.orders.values(), *(account.orders if account else ()))
    }
    result: dict[str, Any] = {
        "schema": JSON_SCHEMA,
        "kind": "demo",
        "title": plan.title,
        "processes": {row.name: _process(row, gathered, restarts) for row in gathered.rows},
        "ticks": len(tally.ticks),
        "gaps_undetected": sum(one.count for one in lost),
        "gaps_detected": detected(gathered.reports.values()),
        "windows_seen": len(tally.windows),
        "windows_settled": len(settled),
        "positions_settled": sum(1 for position in positions if position.settled),
        "windows_refused": dict(sorted(tally.refused.items())),
        "verdicts": len(tally.verdicts),
        "orders": money.orders if money is not None else len(orders),
        "orders_filled": sum(1 for order in orders.values() if order.filled_size6 > 0),
        "fills": money.fills if money is not None else len(tally.fills),
        "duplicate_orders": money.duplicate_orders if money is not None else 0,
        "realized_pnl_usd6": money.realized_pnl_usd6 if money is not None else 0,
        "ledger_difference_usd6": money.ledger_difference_usd6 if money is not None else 0,
        "unhandled_exceptions": sum(unhandled.values()) + len(fatal),
        "oracles": oracles.as_fields(gathered.oracles) if gathered.oracles is not None else None,
        "agree_percent": _agree_percent(gathered.oracles),
        "route_gaps": _route_gaps(gathered),
        "mode": money.mode if money is not None else None,
        "venue": gathered.venue,
        "recording": msgspec.to_builtins(plan.recording),
        "speed": plan.speed,
        "window_s": plan.window_s,
        "notes": list(plan.notes),
        "state_dir": str(stage.state_dir),
    }
    result["reasons"] = _mute_routes(plan, gathered) + _reasons(
        result, lost, unhandled, fatal, gathered, killed
    )
    if plan.trading_key is not None:
        result["reasons"] += demo_venue.differences(gathered.venue)
    return result


def _agree_percent(report: OraclesReport | None) -> float | None:
    """Over all series: the share of judged seconds in which every live route agreed."""
    total: Counter[str] = Counter()
    for audit in report.audits if report is not None else ():
        total.update(audit.seconds)
    return oracles.agree_percent(total)


def _route_gaps(gathered: Gathered) -> dict[str, int]:
    """Frames a route itself said it lost, or whose number was skipped, by route process."""
    return {
        role: report.counters.get("missed", 0)
        for role, report in gathered.reports.items()
        if role in ORACLES and report.state != "disabled"
    }


def _mute_routes(plan: Plan, gathered: Gathered) -> list[str]:
    reasons = []
    for route in plan.oracles:
        report = gathered.reports.get(f"oracle-{route}")
        if plan.recording is None and (report is None or not report.counters.get("ticks")):
            reasons.append(f"the route {route} brought no price")
    return reasons


def _process(row: ProcessRow, gathered: Gathered, restarts: Mapping[str, int]) -> dict[str, Any]:
    report = gathered.reports.get(row.name)
    return {
        "state": row.state,
        "pid": row.pid,
        "restarts": restarts.get(row.name, 0),
        "own_state": report.state if report is not None else None,
        "detail": report.detail if report is not None else None,
        "published": report.published if report is not None else None,
        "sources": msgspec.to_builtins(report.sources) if report is not None else [],
        "counters": report.counters if report is not None else {},
    }


def _reasons(
    result: Mapping[str, Any],
    lost: list[Lost],
    unhandled: Mapping[str, int],
    fatal: list[str],
    gathered: Gathered,
    killed: list[int],
) -> list[str]:
    reasons = [f"{one.subscriber} lost {one.count} messages of {one.source}: {one.how}" for one in lost]
    reasons += [f"{count} unhandled exceptions in the log of {name}" for name, count in unhandled.items()]
    reasons += [f"{name} was given up by supervisord" for name in fatal]
    reasons += [f"{role} does not answer" for role in gathered.silent]
    if not gathered.rows:
        reasons.append("supervisord did not answer at the end")
    if gathered.account is None:
        reasons.append("the executor did not give its account")
    if result["duplicate_orders"]:
        reasons.append(f"{result['duplicate_orders']} orders were doubled")
    if result["ledger_difference_usd6"]:
        reasons.append(f"the ledger is off by {result['ledger_difference_usd6']} millionths of a dollar")
    if not result["orders_filled"]:
        reasons.append("no order was filled")
    if not result["windows_settled"]:
        reasons.append("no window was settled")
    if killed:
        reasons.append(f"{len(killed)} processes had to be killed at the end")
    return reasons


_SPAWNED = re.compile(r"spawned: '([^']+)' with pid")


def spawn_counts(log: Path, marks: LogMark) -> dict[str, int]:
    """Starts of each program after its first, from supervisord's own log."""
    try:
        with log.open("rb") as file:
            file.seek(marks.sizes.get(log, 0))
            starts = Counter(_SPAWNED.findall(file.read().decode("utf-8", "replace")))
    except OSError:
        return {}
    return {name: count - 1 for name, count in starts.items()}


def print_summary(result: Mapping[str, Any]) -> None:
    """The summary for people."""
    out = console()
    made = table("process", "state", ">pid", ">restarts", ">published")
    for name, process in result["processes"].items():
        add_row(made, [name, process["state"], process["pid"], process["restarts"], process["published"]])
    out.print(made)
    lines = table("", ">")
    for name in (
        "ticks",
        "windows_seen",
        "windows_settled",
        "positions_settled",
        "verdicts",
        "orders",
        "fills",
        "gaps_detected",
        "gaps_undetected",
        "agree_percent",
        "duplicate_orders",
        "ledger_difference_usd6",
        "unhandled_exceptions",
    ):
        add_row(lines, [name.replace("_", " ").replace("usd6", "($ 1e-6)"), result[name]])
    add_row(lines, ["realized profit and loss ($)", usd6_text(result["realized_pnl_usd6"])])
    if result["chat"] is not None:
        for name in ("messages_sent", "messages_undelivered", "commands_answered", "commands_obeyed"):
            add_row(lines, [f"chat: {name.replace('_', ' ')}", result["chat"][name]])
    out.print(lines)
    for window, reason in result["windows_refused"].items():
        click.echo(f"refused {window}: {reason}")
    click.echo(
        f"{result['ended']} after {result['seconds']} s; "
        f"state in {result['state_dir']}, logs in {result['logs']}"
    )
