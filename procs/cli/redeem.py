"""``laggard redeem``: bring what was won back into the wallet, by the running redeemer or without one.

Shows the plan first, asks, then follows what becomes of it. Two at once: one pays, the other reports.
"""

import sys
from pathlib import Path

import click
import msgspec

from common.errors import CallRefused, LaggardError
from common.messages import (
    PlanLine,
    PlanRedemption,
    ReadRedemptions,
    RedemptionPlan,
    RedemptionsReport,
    RedemptionState,
)
from common.runtime.config import Config
from common.runtime.paths import Paths
from common.units import usd6_text
from procs.cli import redeem_alone, redeem_running
from procs.cli.asking import ask
from procs.cli.prove import configured
from procs.cli.show import add_row, clock_time, console, print_json, table

PLAN_S = 20.0
FINAL = ("paid", "elsewhere", "failed")


@click.command()
@click.argument("conditions", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Everything that is worth something.")
@click.option(
    "--plan", "only_plan", is_flag=True, help="Say what would be done; needs no key, sends nothing."
)
@click.option("--status", "only_status", is_flag=True, help="List redemptions and what became of them.")
@click.option("--losers", is_flag=True, help="Burn tokens that pay nothing as well.")
@click.option("--yes", is_flag=True, help="Do not ask before sending.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file; otherwise that of the running processes, LAGGARD_CONFIG or the user's.",
)
def redeem(
    conditions: tuple[str, ...],
    everything: bool,
    only_plan: bool,
    only_status: bool,
    losers: bool,
    yes: bool,
    as_json: bool,
    config_file: Path | None,
) -> int:
    """Redeem settled positions: CONDITION is a condition id or one of our windows."""
    config, paths = configured(config_file)
    if config.mode != "live":
        click.echo("nothing to redeem on paper", err=as_json)
        if as_json:
            print_json("redeem", ok=True, redemptions=[], problem="")
        return 0
    runs = isinstance(ask(paths.run_dir, {"redeemer": ReadRedemptions()})["redeemer"], RedemptionsReport)
    if only_status:
        return _status(paths, runs=runs, as_json=as_json)
    if only_plan:
        return _show_plan(_plan(config, paths, conditions, runs=runs), as_json=as_json)
    if everything == bool(conditions):
        raise click.UsageError("name conditions or windows, or give --all; laggard redeem --plan lists them")
    plan = _plan(config, paths, conditions, runs=runs)
    wanted = tuple(line for line in plan.lines if line.decision == "redeem" or (losers and line.size6))
    if not wanted:
        return _nothing(plan, as_json=as_json)
    if not as_json:
        _show_plan(plan, as_json=False)
    _confirm(wanted, yes=yes)
    names = tuple(line.condition_id for line in wanted)
    work = redeem_running.redeem if runs else redeem_alone.redeem
    told = work(config, paths, names, losers=losers)
    return _report(told, as_json=as_json)


def _plan(config: Config, paths: Paths, conditions: tuple[str, ...], *, runs: bool) -> RedemptionPlan:
    if not runs:
        return redeem_alone.plan(config, paths, conditions)
    told = ask(paths.run_dir, {"redeemer": PlanRedemption(conditions=conditions)}, timeout_s=PLAN_S)[
        "redeemer"
    ]
    if isinstance(told, CallRefused):
        raise LaggardError(told.text)
    if not isinstance(told, RedemptionPlan):
        raise LaggardError("the redeemer does not answer; laggard status says how it is")
    return told


def _confirm(wanted: tuple[PlanLine, ...], *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here: say --yes to redeem, or --plan to look")
    total = usd6_text(sum(line.payout_usd6 for line in wanted), places=6)
    click.confirm(f"redeem {len(wanted)} conditions for {total} $?", abort=True, err=True)


def _show_plan(plan: RedemptionPlan, *, as_json: bool) -> int:
    if as_json:
        print_json("redeem-plan", ok=True, lines=msgspec.to_builtins(plan.lines), problem=plan.problem)
        return 0
    made = table("window", "condition", "ledger", ">payout $", "do", "route", ">gas POL", "why")
    for line in plan.lines:
        gas = f"{line.gas_wei / 1e18:.4f}" if line.gas_wei else "-"
        payout = usd6_text(line.payout_usd6, places=6)
        cells = [line.window or "-", line.condition_id[:12] + "...", line.ledger, payout, line.decision]
        add_row(made, [*cells, line.route or "-", gas, line.reason])
    console().print(made)
    total = sum(line.payout_usd6 for line in plan.lines if line.decision == "redeem")
    click.echo(f"{usd6_text(total, places=6)} $ to redeem" if plan.lines else "nothing is known of to redeem")
    if plan.problem:
        click.echo(f"at present: {plan.problem}")
    return 0


def _nothing(plan: RedemptionPlan, *, as_json: bool) -> int:
    if as_json:
        print_json("redeem", ok=True, redemptions=[], problem=plan.problem)
        return 0
    if plan.lines:
        _show_plan(plan, as_json=False)
    click.echo("there is nothing to redeem")
    return 0


def _status(paths: Paths, *, runs: bool, as_json: bool) -> int:
    if runs:
        told = ask(paths.run_dir, {"redeemer": ReadRedemptions()})["redeemer"]
        assert isinstance(told, RedemptionsReport)
        states, problem = told.redemptions, told.problem
    else:
        states, problem = redeem_alone.status(paths), "the redeemer does not run"
    if as_json:
        print_json("redemptions", ok=True, redemptions=msgspec.to_builtins(states), problem=problem)
        return 0
    _table(states)
    if problem:
        click.echo(f"at present: {problem}")
    return 0


def _report(states: tuple[RedemptionState, ...], *, as_json: bool) -> int:
    bad = [each for each in states if each.status not in ("paid", "elsewhere")]
    if as_json:
        print_json("redeem", ok=not bad, redemptions=msgspec.to_builtins(states), problem="")
    else:
        _table(states)
        paid = sum(each.paid_usd6 for each in states if each.status in ("paid", "elsewhere"))
        click.echo(f"{usd6_text(paid, places=6)} $ came back")
    for each in bad:
        click.echo(
            f"{each.window or each.condition_id} is not redeemed: {each.text or each.status}", err=True
        )
    return 1 if bad else 0


def _table(states: tuple[RedemptionState, ...]) -> None:
    made = table("at", "window", "status", ">paid $", "transaction", "what")
    for each in states:
        paid = usd6_text(each.paid_usd6, places=6)
        name = each.window or each.condition_id[:12] + "..."
        add_row(made, [clock_time(each.at_ns), name, each.status, paid, each.tx_hash or "-", each.text])
    console().print(made)
