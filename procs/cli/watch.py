"""``laggard watch``: follows the bus; a live board on a terminal, lines elsewhere. Changes nothing."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.live import Live

from common.messages import Envelope
from common.runtime.clock import SystemClock
from common.runtime.endpoints import ROLES
from common.units import SECOND
from procs.cli.asking import NoAnswer, find_place
from procs.cli.board import Board, plain_lines, render, summary, take
from procs.cli.show import JSON_SCHEMA, console
from procs.cli.survey import nothing_runs

if TYPE_CHECKING:
    import zmq.asyncio

SOURCES = tuple(role for role in ROLES if role != "venue")
REFRESH_S = 0.25
PLAIN_EVERY_S = 10
SILENT_NS = 5 * SECOND
"""A process that runs is heard every second."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object after --seconds instead of a table.")
@click.option("--seconds", type=click.IntRange(min=1), help="End after this long; otherwise until Ctrl-C.")
def watch(as_json: bool, seconds: int | None) -> int:
    """Follow windows, prices, books, verdicts, orders, positions, profit and the age of every feed.

    Exit 4 when nothing runs.
    """
    board = Board()
    place = find_place()
    if nothing_runs(place, SOURCES):
        raise NoAnswer("nothing runs here, so there is nothing to watch; laggard up starts it")
    asyncio.run(_follow(place.run_dir, board, seconds if seconds or not as_json else 2, quiet=as_json))
    if as_json:
        _print_json(board)
    return 0


async def _follow(run_dir: Path, board: Board, seconds: int | None, *, quiet: bool) -> None:
    import zmq.asyncio

    ctx = zmq.asyncio.Context()
    lively = not quiet and sys.stdout.isatty()
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
            tasks.create_task(hear(ctx, run_dir, board, click.echo if not quiet and not lively else None))
            if lively:
                tasks.create_task(show_live(board))
            elif not quiet:
                tasks.create_task(_show_lines(board))
    except TimeoutError:
        pass
    finally:
        ctx.destroy(linger=0)


async def hear(
    ctx: "zmq.asyncio.Context",
    run_dir: Path,
    board: Board,
    tell: Callable[[str], None] | None,
    also: Callable[[Envelope], None] | None = None,
) -> None:
    """Keep the board up to date until cancelled; ``tell`` gets news as lines, ``also`` every message."""
    from common.runtime.subscriber import Subscriber

    subscriber = Subscriber(ctx, run_dir, "watch", SOURCES, SystemClock())
    while True:
        for envelope in await subscriber.receive():
            line = take(board, envelope)
            if line is not None and tell is not None:
                tell(line)
            if also is not None:
                also(envelope)


async def show_live(board: Board) -> None:
    """Draw the board on the terminal until cancelled."""
    clock = SystemClock()
    with Live(console=console(), auto_refresh=False, screen=False) as live:
        while True:
            live.update(render(board, clock.wall_ns(), clock.mono_ns()), refresh=True)
            await asyncio.sleep(REFRESH_S)


async def _show_lines(board: Board) -> None:
    while True:
        await asyncio.sleep(PLAIN_EVERY_S)
        for line in plain_lines(board, SystemClock().wall_ns()):
            click.echo(line)
        silent = silent_roles(board, SystemClock().mono_ns())
        if silent:
            click.echo(f"  not heard: {', '.join(silent)}; laggard status says why")


def silent_roles(board: Board, mono_ns: int) -> list[str]:
    """The processes of which nothing was heard lately."""
    return [
        role for role in SOURCES if role not in board.health or mono_ns - board.health[role][0] > SILENT_NS
    ]


def _print_json(board: Board) -> None:
    fields = {
        "schema": JSON_SCHEMA,
        "kind": "watch",
        "summary": summary(board, SystemClock().wall_ns()),
        "windows": list(board.views.values()),
        "verdicts": list(board.verdicts.values()),
        "orders": list(board.orders.values()),
        "positions": list(board.positions.values()),
        "account": board.account,
        "posture": board.posture,
        "processes": {role: beat for role, (_, beat) in board.health.items()},
        "prices": {f"{asset}.{kind}": tick for (asset, kind), tick in board.prices.items()},
    }
    click.echo(msgspec.json.format(msgspec.json.encode(fields), indent=2).decode())
