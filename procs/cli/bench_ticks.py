"""``bin/bench tick-to-order``: from an oracle's tick on the wire to the whole order at the venue.

Our processes, the live adapter and the Telegram process included, beside two peers in one interleaved run:
the single asyncio process such bots usually are, and the floor. World, peers and runner are in
``tests/bench``; this only starts the runner and shows what it found. Ratios travel, microseconds do not.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click
import msgspec

from common.errors import DependencyMissing
from procs.cli.show import add_row, console, print_json, table
from procs.cli.stack import ROOT

ROUNDS = 5
LOADS = ("quiet", "books", "telegram", "report", "queued")
RUNNER = ROOT / "tests" / "bench" / "runner.py"


class Target(NamedTuple):
    """A ratio of medians and the most it may be."""

    ratio: str
    most: float


TARGETS = (
    Target("ours/typical books p50", 0.15),
    Target("ours/floor books p50", 2.0),
    Target("ours report/books p99", 1.5),
    Target("ours telegram/books p99", 1.5),
    Target("ours queued/books p50", 1.5),
)


@click.command("tick-to-order")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=ROUNDS, show_default=True, help="Some 2 min each."
)
@click.option(
    "--load",
    "loads",
    type=click.Choice(LOADS),
    multiple=True,
    help="Only this load, and what is measured beside it; may be repeated.  [default: all]",
)
@click.option("--quick", is_flag=True, help="One round: whether it works, not how fast it is.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def tick_to_order(rounds: int, loads: tuple[str, ...], quick: bool, as_json: bool) -> int:
    """Time the way from an oracle's tick to the order at the venue; exit 1 when a tick was lost."""
    told = _run(1 if quick else rounds, loads or LOADS)
    told["targets"] = _judged(told["ratios"])
    if as_json:
        print_json("bench-tick-to-order", **told)
    else:
        _print(told)
    for reason in told["reasons"]:
        click.echo(f"failed: {reason}", err=True)
    return 1 if told["reasons"] else 0


def _run(rounds: int, loads: Sequence[str]) -> dict[str, Any]:
    """What the runner found; raises DependencyMissing when there is none or it could not finish."""
    if not RUNNER.exists():
        raise DependencyMissing(f"{RUNNER.parent} is missing: this bench runs from a checkout only")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LAGGARD_")}
    paths = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "bench.runner", "--rounds", str(rounds), "--loads", ",".join(loads)],
        env=kept | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise DependencyMissing(f"the bench did not finish ({done.returncode}); its reason is above")
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found


def _judged(ratios: Mapping[str, float]) -> list[dict[str, Any]]:
    """Each target beside what was reached; nothing where it was not measured."""
    return [
        {
            "ratio": target.ratio,
            "most": target.most,
            "reached": (reached := ratios.get(target.ratio)),
            "met": reached is not None and reached <= target.most,
        }
        for target in TARGETS
    ]


def _print(told: Mapping[str, Any]) -> None:
    out = console()
    out.print(
        f"tick on the wire to whole order at the venue, us; medians of {told['rounds']} rounds, "
        f"{told['seconds']:.0f} s; the world ran at {told['priority']}"
    )
    made = table("load", "contender", ">p50", ">p99", ">orders", ">lost", ">ticks", ">frames/s")
    for load in told["loads"]:
        for name, rows in told["results"].items():
            if (row := rows.get(load)) is None:
                continue
            counted = [row["orders"], row["lost"], row["ticks"], f"{row['frames_per_s']:.0f}"]
            add_row(made, [load, name, _us(row["p50_us"]), _us(row["p99_us"]), *counted])
    out.print(made)
    out.print()
    made = table("ratio of medians", ">reached", ">rounds drawn anew", ">at most", "")
    drawn = {ratio: f"{low:.3g} to {high:.3g}" for ratio, (low, high) in told["intervals"].items()}
    for one in told["targets"]:
        reached = "-" if one["reached"] is None else f"{one['reached']:.3g}"
        met = "met" if one["met"] else "not met" if one["reached"] else ""
        add_row(made, [one["ratio"], reached, drawn.get(one["ratio"]), f"{one['most']:g}", met])
    shown = {target.ratio for target in TARGETS}
    for name, ratio in told["ratios"].items():
        if name not in shown:
            add_row(made, [name, f"{ratio:.3g}", drawn.get(name), None, ""])
    out.print(made)
    out.print()
    for load, row in told["results"].get("ours", {}).items():
        if row["came"]:
            came = ", ".join(f"{count} {what}" for what, count in row["came"].items())
            out.print(f"what {load} came to, ours, in each round at least: {came}")
    cpu = ", ".join(f"{name} {percent:g} %" for name, percent in told["cpu_percent"].items())
    if cpu:
        out.print(f"CPU at {told['frames']} book frames a second: {cpu}")
    for name, words in told["about"].items():
        out.print(f"{name}: {words}")


def _us(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f}"
