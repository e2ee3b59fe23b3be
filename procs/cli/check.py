"""``laggard check``: what must be true before real money moves, each with the one fix. Changes nothing.

Never reads a key: the running executor is asked, or a process that reads it as the executor does.
"""

import os
import subprocess
import sys
from pathlib import Path

import click
import msgspec

from common.errors import DependencyMissing
from common.messages import ChecksReport, ReadChecks
from procs.cli.asking import ask, find_place
from procs.cli.show import add_row, console, print_json, table

LIMIT_S = 40.0
ANEW_S = 8.0
MARKS = {"ok": "ok", "warning": "warning", "failed": "FAILED", "skipped": "-"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--live", is_flag=True, help="Check for real money although the configuration says paper.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file; otherwise LAGGARD_CONFIG or the user's configuration directory.",
)
def check(as_json: bool, live: bool, config_file: Path | None) -> int:
    """Check key, wallet, chain, balances, clock, region, books and journal; exit 1 when one failed."""
    # A file that is named is what is asked about, whatever the running executor was started with.
    report = (_ask_executor() if config_file is None else None) or _run_apart(live, config_file)
    failed = [one for one in report.results if one.state == "failed"]
    if as_json:
        print_json("check", ok=not failed, checks=msgspec.to_builtins(report.results))
    else:
        made = table("check", "", "found")
        for one in report.results:
            add_row(made, [one.name, MARKS[one.state], one.text])
            if one.fix and one.state in ("failed", "warning"):
                add_row(made, ["", "", f"-> {one.fix}"])
        console().print(made)
    if failed:
        click.echo(f"{len(failed)} checks failed: no order would be sent", err=True)
    return 1 if failed else 0


def _ask_executor() -> ChecksReport | None:
    """The running executor's own checks, made anew; None when none runs that trades with real money."""
    run_dir = find_place().run_dir
    known = ask(run_dir, {"executor": ReadChecks()})["executor"]
    if not isinstance(known, ChecksReport):
        return None
    outcome = ask(run_dir, {"executor": ReadChecks(anew=True)}, timeout_s=ANEW_S)["executor"]
    if not isinstance(outcome, ChecksReport) or not outcome.results:
        return None
    return outcome


def _run_apart(live: bool, config_file: Path | None) -> ChecksReport:
    extra = {"LAGGARD_MODE": "live"} if live else {}
    if config_file is not None:
        extra["LAGGARD_CONFIG"] = str(config_file.resolve())
    try:
        done = subprocess.run(
            # -P: what reads the key must not import what lies in the caller's directory.
            [sys.executable, "-P", "-m", "procs.check"],
            env=os.environ | extra,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
        return msgspec.json.decode(done.stdout, type=ChecksReport)
    except subprocess.TimeoutExpired:
        raise DependencyMissing(f"the checks did not end within {LIMIT_S:.0f} s; see the network") from None
    except msgspec.MsgspecError:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise DependencyMissing(f"the checks broke off: {said[-1] if said else 'without a word'}") from None
