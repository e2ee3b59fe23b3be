"""One demo from its stage to its summary: plays a plan, follows it to its end and tells what came of it.

Everything it starts has ended when it returns. Decides nothing about trading.
"""

import asyncio
import contextlib
import signal
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec
import zmq.asyncio

from procs.cli.asking import Place
from procs.cli.board import Board
from procs.cli.demo_config import Plan, remove_token_link, write_files
from procs.cli.demo_result import Gathered, conclude, gather, print_summary
from procs.cli.demo_stage import Running, Stage, close, leave, set_stage, start, start_venue
from procs.cli.show import progress
from procs.cli.stack import supervisor_pid
from procs.cli.survey import survey
from procs.cli.tally import Tally, count
from procs.cli.watch import hear, show_live

AFTER_END_S = 5.0
"""After the script's last step: the last outcome is still to be discovered and booked."""
VENUE_LIMIT_S = 20.0
START_LIMIT_S = 30.0
"""A process that does not answer by then does not delay the end any longer."""


def play(plan: Plan, state_dir: Path | None, *, as_json: bool) -> int:
    """Play the plan and print its summary; 1 when something is not accounted for."""
    stage = set_stage(state_dir)
    progress(plan.title)
    for note in plan.notes:
        progress(f"note: {note}")
    if plan.chat is not None:
        plan.chat.introduce(plan.title)
    try:
        result = _perform(plan, stage, live=sys.stdout.isatty() and not as_json)
    finally:
        remove_token_link(stage.state_dir)
    if plan.chat is not None:
        plan.chat.take_leave(result)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
    else:
        print_summary(result)
    for reason in result["reasons"]:
        progress(f"failed: {reason}")
    return 1 if result["reasons"] else 0


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
    result["chat"] = plan.chat.outcome(stage.state_dir) if plan.chat is not None else None
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
            if plan.chat is not None:
                await plan.chat.catch_up(stage.state_dir)
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
