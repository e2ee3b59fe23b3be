"""The demo: every process for real against the simulated venue, offline, then an audit of what happened.

It ends with one summary and exits 0 only when nothing was lost, doubled, unbalanced or thrown, and something
was bought and settled. Decides nothing about trading.
"""

import asyncio
import contextlib
import signal
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import zmq.asyncio

from common.messages import RouteName
from common.sim.recorded.recordings import RecordingUnreadable
from procs.cli.asking import Place
from procs.cli.board import Board
from procs.cli.demo_config import Plan, generated_plan, recording_plan, with_live_account, write_files
from procs.cli.demo_result import Gathered, conclude, gather, print_summary
from procs.cli.demo_stage import Running, Stage, close, free_port, leave, set_stage, start, start_venue
from procs.cli.main import run
from procs.cli.show import progress
from procs.cli.stack import supervisor_pid
from procs.cli.survey import survey
from procs.cli.tally import Tally, count
from procs.cli.watch import hear, show_live

DEFAULT_ORACLES: tuple[RouteName, ...] = ("chainlink", "polybolt", "rtds")
AFTER_END_S = 5.0
"""After the script's last step: the last outcome is still to be discovered and booked."""
VENUE_LIMIT_S = 20.0
START_LIMIT_S = 30.0
"""A process that does not answer by then does not delay the end any longer."""


@click.command()
@click.option(
    "--seconds",
    type=click.IntRange(min=15),
    help="End so long after all processes answer; a recording otherwise ends by itself.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")
@click.option(
    "--recording",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Play this recording instead of generated markets.",
)
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="Recorded seconds per second.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of generated markets.")
@click.option(
    "--oracles",
    default=",".join(DEFAULT_ORACLES),
    show_default=True,
    metavar="LIST",
    help="Routes to the oracle's price, best first; exchange adds public tickers.",
)
@click.option(
    "--live-adapter",
    is_flag=True,
    help="Trade with real orders on a made-up account of the simulated venue, instead of on paper.",
)
@click.option(
    "--state", "state_dir", type=click.Path(path_type=Path), help="Directory for journal, tapes and logs."
)
def demo(
    seconds: int | None,
    as_json: bool,
    recording: Path | None,
    speed: float | None,
    seed: int,
    oracles: str,
    live_adapter: bool,
    state_dir: Path | None,
) -> int:
    """Run everything offline against the simulated venue and audit it; exit 0 when all is accounted for."""
    if speed is not None and recording is None:
        raise click.UsageError("--speed is for --recording; generated markets run at speed 1")
    routes = _routes(oracles)
    port, now_ns = free_port(), time.time_ns()
    try:
        plan = (
            recording_plan(recording, seconds, speed, port, now_ns, routes)
            if recording is not None
            else generated_plan(seconds, seed, port, now_ns, routes)
        )
    except RecordingUnreadable as error:
        raise click.BadParameter(str(error), param_hint="--recording") from None
    if live_adapter:
        plan = with_live_account(plan)
    stage = set_stage(state_dir)
    progress(plan.title)
    for note in plan.notes:
        progress(f"note: {note}")
    result = _perform(plan, stage, live=sys.stdout.isatty() and not as_json)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
    else:
        print_summary(result)
    for reason in result["reasons"]:
        progress(f"failed: {reason}")
    return 1 if result["reasons"] else 0


def _routes(text: str) -> tuple[RouteName, ...]:
    names: tuple[RouteName, ...] = get_args(RouteName)
    asked = [part.strip() for part in text.split(",") if part.strip()]
    chosen = tuple(name for part in asked for name in names if name == part)
    if not chosen or len(chosen) != len(asked) or len(set(chosen)) != len(chosen):
        raise click.BadParameter(
            f"{text!r} is not a list of different routes; choose from {', '.join(names)}",
            param_hint="--oracles",
        )
    return chosen


def _perform(plan: Plan, stage: Stage, *, live: bool) -> dict[str, Any]:
    config_file, sim_file = write_files(plan, stage.state_dir)
    tally, began = Tally(), time.monotonic()
    running = start(stage, config_file, sim_file)
    try:
        start_venue(running)
        progress(f"supervisorctl -c {running.stack.conf} status shows and steers the processes")
        progress(f"state in {stage.state_dir}, sockets in {stage.run_dir}")
        ended, gathered = asyncio.run(_play(plan, stage, running, tally, live))
    finally:
        progress("stopping")
        killed = close(running)
    result = conclude(plan, stage, running, gathered, tally, killed)
    result["ended"] = ended
    result["seconds"] = round(time.monotonic() - began, 1)
    result["logs"] = str(leave(running, stage))
    return result


async def _play(plan: Plan, stage: Stage, running: Running, tally: Tally, live: bool) -> tuple[str, Gathered]:
    """Watch until the end; returns why it ended and what the processes said then."""
    ctx = zmq.asyncio.Context()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    board = Board()
    tell: Callable[[str], None] | None = None if live else progress
    try:
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(hear(ctx, stage.run_dir, board, tell, lambda one: count(tally, one)))
            showing = tasks.create_task(show_live(board)) if live else None
            ended = await _wait_for_end(plan, stage, running, stop)
            if showing is not None:
                showing.cancel()
                await asyncio.wait((showing,))
            progress(f"{ended}; asking every process")
            gathered = await gather(ctx, stage.run_dir, running.stack, plan)
            hearing.cancel()
    finally:
        ctx.destroy(linger=0)
    return ended, gathered


async def _wait_for_end(plan: Plan, stage: Stage, running: Running, stop: asyncio.Event) -> str:
    place = Place(running.stack, running.process.pid, stage.run_dir)
    start_limit = time.monotonic() + START_LIMIT_S
    deadline: float | None = None
    venue_limit = time.monotonic() + VENUE_LIMIT_S
    done_at: float | None = None
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.25)
        now = time.monotonic()
        if stop.is_set():
            return "interrupted"
        if plan.seconds is not None and deadline is None:
            # What it takes the processes to start on this machine is none of the seconds asked for.
            if now >= start_limit or await asyncio.to_thread(all_answer, place):
                deadline = time.monotonic() + plan.seconds
        elif deadline is not None and now >= deadline:
            return "time is over"
        # Also keeps supervisord's loop awake should the sentinel, which usually does, be the one that died.
        await asyncio.to_thread(supervisor_pid, running.stack)
        if running.process.poll() is not None:
            return "supervisord ended"
        if plan.recording is None:
            continue
        state = await asyncio.to_thread(_venue_state, plan.sim.listen)
        if state is not None:
            venue_limit = now + VENUE_LIMIT_S
        elif now > venue_limit:
            return "the simulated venue does not answer"
        if state is not None and state.get("done"):
            done_at = done_at or now
        if done_at is not None and now - done_at >= AFTER_END_S:
            return "the recording is over"


def all_answer(place: Place) -> bool:
    """Whether every process runs and answers."""
    return survey(place).exit_code == 0


def _venue_state(listen: str) -> dict[str, Any] | None:
    # An environment's proxy must not come between us and loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{listen}/control/state", timeout=2) as response:
            state = msgspec.json.decode(response.read())
    except (OSError, msgspec.MsgspecError):
        return None
    return state if isinstance(state, dict) else None


if __name__ == "__main__":
    sys.exit(run(demo))
