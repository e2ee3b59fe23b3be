"""``laggard redeem``: bring what was won back into the wallet, by the running redeemer or without one.

Shows the plan first, asks, then follows what becomes of it. Two at once: one pays, the other reports.
"""

import datetime
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from common.messages import PlanLine, RedemptionPlan, RedemptionState
from common.runtime.paths import Paths
from common.units import SECOND, usd6_text
from procs.cli import redeem_running
from procs.cli.configuration import configured
from procs.cli.redeem_follow import Follower
from procs.cli.show import add_row, console, print_json, table

if TYPE_CHECKING:
    from common.runtime.config import Config

WORTHLESS = "these tokens pay nothing; redeeming burns them"


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
    """Redeem settled positions: CONDITION is a condition id or a window."""
    config, paths = configured(config_file)
    if config.mode != "live":
        return _nothing("nothing to redeem on paper", as_json=as_json)
    if only_status:
        return _status(paths, as_json=as_json)
    if not only_plan and everything == bool(conditions):
        raise click.UsageError("name a CONDITION, or give --all; laggard redeem --plan lists them")
    began_ns = time.time_ns()
    runs = redeem_running.read(paths) is not None
    plan = _plan(config, paths, conditions, runs=runs, losers=losers)
    if only_plan:
        return _show_plan(plan, as_json=as_json)
    wanted = [line for line in plan.lines if line.decision == "redeem"]
    if not as_json:
        _show_plan(plan, as_json=False)
    if not wanted:
        return _nothing("there is nothing to redeem", as_json=as_json, problem=plan.problem)
    _confirm(wanted, yes=yes)
    follower = Follower(wanted, began_ns)
    if runs:
        return _report(redeem_running.redeem(paths, follower, losers=losers), as_json=as_json)
    from procs.cli import redeem_alone

    return _report(redeem_alone.redeem(config, paths, follower, losers=losers), as_json=as_json)


def _plan(
    config: "Config", paths: Paths, conditions: tuple[str, ...], *, runs: bool, losers: bool
) -> RedemptionPlan:
    if runs:
        return redeem_running.plan(paths, conditions, losers=losers)
    from procs.cli import redeem_alone

    return redeem_alone.plan(config, paths, conditions, losers=losers)


def _confirm(wanted: list[PlanLine], *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here: say --yes to redeem, or --plan to look")
    total = usd6_text(sum(line.payout_usd6 for line in wanted), places=6)
    many = "1 condition" if len(wanted) == 1 else f"{len(wanted)} conditions"
    click.confirm(f"redeem {many} for {total} $?", abort=True, err=True)


def _show_plan(plan: RedemptionPlan, *, as_json: bool) -> int:
    if as_json:
        print_json("redeem-plan", ok=True, lines=msgspec.to_builtins(plan.lines), problem=plan.problem)
        return 0
    if not plan.lines:
        click.echo("nothing is known of to redeem")
    else:
        made = table(
            "condition", "ledger", ">shares", ">payout $", "do", "route", ">gas POL", ">at most", "why"
        )
        for line in plan.lines:
            redeemed = line.decision == "redeem"
            add_row(
                made,
                [
                    line.window or line.condition_id,
                    line.ledger,
                    usd6_text(line.size6, places=6),
                    usd6_text(line.payout_usd6, places=6),
                    line.decision,
                    line.route or None,
                    f"{line.gas_wei / 1e18:.4f}" if line.gas_wei else None,
                    f"{line.max_cost_wei / 1e18:.4f}" if line.max_cost_wei else None,
                    line.reason or (WORTHLESS if redeemed and not line.payout_usd6 else ""),
                ],
            )
        console().print(made)
        wanted = [line for line in plan.lines if line.decision == "redeem"]
        total = usd6_text(sum(line.payout_usd6 for line in wanted), places=6)
        gas = sum(line.gas_wei for line in wanted)
        click.echo(f"{total} $ to redeem" + (f" for about {gas / 1e18:.4f} POL" if gas else ""))
    if plan.problem:
        click.echo(f"at present: {plan.problem}")
    return 0


def _nothing(text: str, *, as_json: bool, problem: str = "") -> int:
    if as_json:
        print_json("redeem", ok=True, redemptions=[], problem=problem)
    click.echo(text, err=as_json)
    return 0


def _status(paths: Paths, *, as_json: bool) -> int:
    report = redeem_running.read(paths)
    if report is not None:
        states, problem = report.redemptions, report.problem
    else:
        from procs.cli import redeem_alone

        states, problem = redeem_alone.status(paths), "the redeemer does not run"
    if as_json:
        print_json("redemptions", ok=True, redemptions=msgspec.to_builtins(states), problem=problem)
        return 0
    if states:
        _table(states)
    else:
        click.echo("nothing was redeemed yet")
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
    made = table("at", "condition", "state", ">worth $", ">paid $", "transaction", "what")
    for each in states:
        worth, paid = (usd6_text(amount, places=6) for amount in (each.payout_usd6, each.paid_usd6))
        name = each.window or each.condition_id
        at = datetime.datetime.fromtimestamp(each.at_ns // SECOND, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
        add_row(made, [at, name, each.status, worth, paid, each.tx_hash or None, each.text])
    console().print(made)
