"""``laggard status``: every process as supervisord and as it sees itself. Changes nothing."""

from pathlib import Path

import click
import msgspec
from rich.text import Text

from common.messages import (
    AccountReport,
    Command,
    OraclesReport,
    ReadAccount,
    ReadOracles,
    StatusReport,
    Why,
    WhyReport,
)
from common.runtime.clock import SystemClock
from procs.cli import oracles, status_lines
from procs.cli.asking import Outcome, ask, find_place
from procs.cli.log_files import last_error
from procs.cli.show import add_row, console, duration, print_json, table
from procs.cli.survey import Seen, Survey, survey


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def status(as_json: bool) -> int:
    """Ask every process how it is.

    Exit 0 all well; 3 a process is down or mute, books, strategist or executor is degraded, or no route
    brings the price that settles; 4 supervisord does not run. A telegram, redeemer or recorder that is
    disabled is well.
    """
    place = find_place()
    found = survey(place)
    answers: dict[str, Outcome] = {}
    views: Outcome | None = None
    if found.seen:
        questions: dict[str, Command] = {"strategist": ReadOracles(), "executor": ReadAccount()}
        answers = ask(place.run_dir, questions)
        views = ask(place.run_dir, {"strategist": Why()})["strategist"]
    routes, account = answers.get("strategist"), answers.get("executor")
    report = routes if isinstance(routes, OraclesReport) else None
    wall_ns = SystemClock().wall_ns()
    facts = (
        account if isinstance(account, AccountReport) else None,
        status_lines.window_clock(views.views, wall_ns) if isinstance(views, WhyReport) else None,
        next((one for one in found.seen if one.row.name == "telegram"), None),
        status_lines.standing_alerts(_report_of(found, "sentinel")),
    )
    if as_json:
        print_json(
            "status",
            running=found.supervisor is not None,
            supervisor_pid=found.supervisor,
            processes={one.row.name: as_fields(one) for one in found.seen},
            troubles=found.troubles,
            oracles=oracles.as_fields(report) if report is not None else None,
            **status_lines.as_fields(*facts),
        )
    elif found.supervisor is None:
        click.echo("supervisord is not running; laggard up starts it", err=True)
    else:
        print_survey(found, place.stack.log_dir)
        console().print()
        for trouble in found.troubles:
            console().print(Text(f"trouble   {trouble}", "red"))
        for line, style in status_lines.lines(*facts, wall_ns):
            console().print(Text(line, style or ""))
        _print_routes(report)
    return found.exit_code or (3 if found.troubles else 0)


def _report_of(found: Survey, name: str) -> StatusReport | None:
    return next((one.report for one in found.seen if one.row.name == name), None)


def _print_routes(report: OraclesReport | None) -> None:
    if report is not None and report.audits:
        console().print()
        console().print(oracles.audits_table(report))
    if report is not None and report.exchanges:
        console().print()
        console().print(oracles.exchanges_table(report))


def as_fields(one: Seen) -> dict[str, object]:
    """One process with stable keys; what only the process itself knows is null when it does not answer."""
    report = msgspec.to_builtins(one.report) if one.report is not None else {}
    return {
        "group": one.row.group,
        "supervisor_state": one.row.state,
        "pid": one.row.pid,
        "well": one.well,
        "silence": one.silence or None,
        **{
            key: report.get(key)
            for key in (
                "state",
                "detail",
                "boot",
                "uptime_ms",
                "published",
                "sources",
                "ages_ms",
                "counters",
                "facts",
            )
        },
    }


def print_survey(found: Survey, log_dir: Path) -> None:
    """The table for people; what supervisord cannot keep running shows the last error of its log."""
    made = table("process", "supervisor", ">pid", "state", ">up", ">published", ">missed", "detail")
    for one in found.seen:
        add_row(made, _cells(one, log_dir), style=None if one.well else "red")
    console().print(made)


def _cells(one: Seen, log_dir: Path) -> list[object]:
    report = one.report
    name = one.row.name if one.row.name == one.row.group else f"{one.row.group}:{one.row.name}"
    cells: list[object] = [name, one.row.state, one.row.pid or None]
    if report is None:
        said = last_error(log_dir / f"{one.row.name}.log") if one.row.state in ("FATAL", "BACKOFF") else ""
        told = "; ".join(text for text in (one.silence, said) if text)
        return [*cells, None, None, None, None, "" if one.optional else told]
    missed = sum(source.missed for source in report.sources)
    old = [f"{name} silent {duration(age)}" for name, age in report.ages_ms.items() if age >= 10_000]
    detail = "; ".join(text for text in (report.detail, *old) if text)
    return [*cells, report.state, duration(report.uptime_ms), report.published, missed, detail]
