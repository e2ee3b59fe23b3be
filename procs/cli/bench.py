"""``bin/bench``: heavy book traffic through real processes, and what reading one frame costs.

``bin/bench tick-to-order`` is in ``bench_ticks``.

The traffic is the demo's own, with the simulated venue sending as many book frames as asked. Ratios of one
run travel, microseconds do not. Passes one judgement: nothing may be lost.
"""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import click
import msgspec
import zmq.asyncio

from common.messages import RouteName, Status, StatusReport
from common.runtime.calls import call_all
from common.runtime.clock import SystemClock
from common.runtime.supervisor import process_table, rpc
from procs.cli.bench_ticks import tick_to_order
from procs.cli.demo_config import Plan, generated_plan, write_files
from procs.cli.demo_result import Gathered, gather
from procs.cli.demo_stage import Running, Stage, close, free_port, leave, set_stage, start, start_venue
from procs.cli.frame_costs import Cost, frame_costs
from procs.cli.main import run
from procs.cli.show import add_row, console, print_json, progress, table

ROUTES: tuple[RouteName, ...] = ("chainlink", "polybolt", "rtds")
FRAMES_AN_UPDATE = 7.7
"""Market-channel frames for one update a second of each of the four open windows, measured here."""
WINDOW_S = 300
SETTLE_S = 15.0
"""From the start until the first windows are open and every process is warm."""
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Reading:
    """What every process had used and counted at one moment."""

    at_s: float
    cpu_s: Mapping[str, float]
    reports: Mapping[str, StatusReport]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What passed between two readings."""

    seconds: float
    cpu_percent: dict[str, float]
    book_frames_per_s: float
    oracle_frames_per_s: float
    proofs: int
    proofs_failed: int
    resyncs: int
    refused: int
    missed: int
    reasons: list[str]


@click.group(invoke_without_command=True)
@click.option("--seconds", type=click.IntRange(min=5), default=60, show_default=True, help="Of traffic.")
@click.option(
    "--frames", type=click.IntRange(min=10), default=2000, show_default=True, help="Book frames a second."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def bench(context: click.Context, seconds: int, frames: int, as_json: bool) -> int:
    """Send heavy traffic through the processes, and weigh single frames; exit 1 when anything was lost."""
    if context.invoked_subcommand is not None:
        return 0
    costs = frame_costs()
    traffic = _traffic(seconds, frames)
    if as_json:
        print_json(
            "bench", traffic=msgspec.to_builtins(traffic), costs=[msgspec.to_builtins(cost) for cost in costs]
        )
    else:
        _print(traffic, costs)
    for reason in traffic.reasons:
        progress(f"failed: {reason}")
    return 1 if traffic.reasons else 0


bench.add_command(tick_to_order)


def _print(traffic: Traffic, costs: list[Cost]) -> None:
    made = table("process", ">cpu %")
    for name, percent in traffic.cpu_percent.items():
        add_row(made, [name, f"{percent:.1f}"])
    console().print(made)
    console().print()
    made = table(f"in {traffic.seconds:.0f} s", ">")
    for name in ("book_frames_per_s", "oracle_frames_per_s"):
        add_row(made, [name.replace("_", " "), f"{getattr(traffic, name):.0f}"])
    for name in ("proofs", "proofs_failed", "resyncs", "refused", "missed"):
        add_row(made, [name.replace("_", " "), getattr(traffic, name)])
    console().print(made)
    console().print()
    made = table("one frame", ">ours us", ">times floor", "floor", ">times peer", "peer")
    for cost in costs:
        peer = f"{cost.times_peer:.2f}" if cost.times_peer is not None else None
        add_row(
            made,
            [cost.what, f"{cost.us:.1f}", f"{cost.times_floor:.2f}", cost.floor, peer, cost.peer or None],
        )
    console().print(made)


def _plan(seconds: int, frames: int) -> Plan:
    made = generated_plan(None, 1, free_port(), time.time_ns(), ROUTES)
    updates = max(2, round(frames / FRAMES_AN_UPDATE))
    sim = msgspec.structs.replace(made.sim, window_s=WINDOW_S, book_updates_per_s=updates)
    return replace(
        made,
        title=f"{frames} book frames a second and four assets on three routes, for {seconds} s",
        cadence=f"{WINDOW_S // 60}m",
        window_s=WINDOW_S,
        lookahead_s=float(WINDOW_S),
        sim=sim,
    )


def _traffic(seconds: int, frames: int) -> Traffic:
    plan, stage = _plan(seconds, frames), set_stage(None)
    progress(plan.title)
    running = start(stage, *write_files(plan, stage.state_dir))
    try:
        start_venue(running)
        before, after, gathered = asyncio.run(_measure(stage, running, seconds))
    finally:
        close(running)
        leave(running, stage)
    return _between(before, after, gathered)


async def _measure(stage: Stage, running: Running, seconds: int) -> tuple[Reading, Reading, Gathered]:
    ctx = zmq.asyncio.Context()
    try:
        await asyncio.sleep(SETTLE_S)
        before = await _read(ctx, stage.run_dir, running)
        await asyncio.sleep(seconds)
        after = await _read(ctx, stage.run_dir, running)
        return before, after, await gather(ctx, stage.run_dir, running.stack)
    finally:
        ctx.destroy(linger=0)


async def _read(ctx: zmq.asyncio.Context, run_dir: Path, running: Running) -> Reading:
    with rpc(running.stack.socket) as server:
        pids = {row.name: row.pid for row in process_table(server) if row.pid}
    asked = {name: Status() for name in pids if name != "venue"}
    answers = await call_all(ctx, run_dir, "bench", asked, clock=SystemClock())
    reports = {name: answer for name, answer in answers.items() if isinstance(answer, StatusReport)}
    return Reading(time.monotonic(), {name: _cpu_s(pid) for name, pid in pids.items()}, reports)


def _cpu_s(pid: int) -> float:
    """User and system time of a process; the name in its second field may hold anything."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def _between(before: Reading, after: Reading, gathered: Gathered) -> Traffic:
    seconds = after.at_s - before.at_s

    def counted(name: str, *roles: str) -> int:
        return sum(
            after.reports[role].counters.get(name, 0) - before.reports[role].counters.get(name, 0)
            for role in roles
            if role in after.reports and role in before.reports
        )

    oracles = [f"oracle-{route}" for route in ROUTES]
    refusals = {
        key for report in after.reports.values() for key in report.counters if key.startswith("refused.")
    }
    reasons = [
        f"{one.subscriber} lost {one.count} messages of {one.source}: {one.how}" for one in gathered.lost
    ]
    reasons += [
        f"{name} did not answer" for name in after.cpu_s if name != "venue" and name not in after.reports
    ]
    missed = counted("missed", *oracles) + sum(
        seen.missed for report in gathered.reports.values() for seen in report.sources
    )
    if missed:
        reasons.append(f"{missed} messages or frames are missing")
    return Traffic(
        seconds=seconds,
        cpu_percent={
            name: round(100 * (used - before.cpu_s[name]) / seconds, 1)
            for name, used in after.cpu_s.items()
            if name in before.cpu_s
        },
        book_frames_per_s=round(counted("frames", "books") / seconds, 1),
        oracle_frames_per_s=round(counted("frames", *oracles) / seconds, 1),
        proofs=counted("proofs.ok", "books"),
        proofs_failed=counted("proofs.failed", "books"),
        resyncs=counted("resyncs", "books"),
        refused=sum(counted(key, *after.reports) for key in refusals),
        missed=missed,
        reasons=reasons,
    )


if __name__ == "__main__":
    sys.exit(run(bench))
