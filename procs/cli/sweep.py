"""``laggard sweep``: every combination of the rule's parameters on recorded markets, here or on a cluster.

Prints what ``common.research.grids.sweep`` found; decides nothing.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from common.runtime.paths import make_paths
from common.units import NotANumber, ppm_of_percent_exact, price4_exact, price4_text, usd6_exact, usd6_text
from procs.cli.configuration import load_config
from procs.cli.show import add_row, console, money, print_json, progress, table
from procs.cli.tape_words import tell_gaps

if TYPE_CHECKING:
    from common.research.grids.kernel import Cells
    from common.research.grids.sweep import Speed, Swept

AXES: dict[str, tuple[str, Callable[[str], int]]] = {
    "move": ("moves_ppm", ppm_of_percent_exact),
    "left": ("lefts_s", int),
    "price": ("prices4", price4_exact),
    "stake": ("stakes_usd6", usd6_exact),
}
MADE_UP_WINDOWS = 8_876
"""As many as the published backtest had."""


@click.command()
@click.argument("data", type=click.Path(path_type=Path), required=False)
@click.option("--grid", "axes", multiple=True, metavar="AXIS=V1,V2",
              help="move (percent), left (seconds), price ($), stake ($); may be repeated.")  # fmt: skip
@click.option("--scheduler", metavar="ADDRESS", help="Spread it on this Dask cluster: tcp://host:8786.")
@click.option("--assets", help="Only these, separated by commas: btc,eth.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Families and ages of prices.")
@click.option("--top", default=15, show_default=True, type=click.IntRange(1), help="Rows to show.")
@click.option("--speed", "timed", is_flag=True, help="Time the kernel, on DATA or on made-up windows.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def sweep(
    data: Path | None,
    axes: tuple[str, ...],
    scheduler: str | None,
    assets: str | None,
    config_file: Path | None,
    top: int,
    timed: bool,
    as_json: bool,
) -> int:
    """Try every combination of parameters on all windows of DATA and account for having tried so many.

    Ranked by the older 60 % of the windows; the newer 40 % are held out and stand beside. Where nothing of
    the settling stream was recorded beside a window, other prices judge it, labelled as proxies. Exits 1 when
    nothing was traded; without a window that can be traded nothing is counted as tried.
    """
    if data is None and not timed:
        raise click.UsageError("name DATA: a tape, an imported folder, or a folder of normalised tables")
    config = load_config(config_file)
    cells = cells_of(axes)

    from common.research.data.loading import load
    from common.research.falsification import planted, trials
    from common.research.grids import kernel
    from common.research.grids.grid import build, judged_by, need_tradable, reach_of
    from common.research.grids.sweep import speed
    from common.research.grids.sweep import sweep as run_sweep

    judged: dict[str, int] = {}
    if data is None:
        grid, digest, name = (
            planted.grid_of(planted.make(planted.World(MADE_UP_WINDOWS))),
            "",
            "made-up windows",
        )
    else:
        found = load(data, assets=assets.lower().split(",") if assets else None)
        tell_gaps(found.gaps)
        reach = reach_of(config.strategy_settings(), found)
        grid, digest, name = build(found, reach), found.digest, found.name
        if not timed:
            need_tradable(grid, name)
        judged = judged_by(grid, reach)
    if timed:
        return _print_speed(speed(grid, cells), name, len(grid.windows), as_json)
    progress(f"{len(grid.windows)} windows, {cells.number} cells")
    began = time.perf_counter()
    if scheduler is None:
        chosen: Any = nullcontext(kernel.totals)
    else:
        from common.research.grids.cluster import totals_on

        chosen = totals_on(scheduler)
    with chosen as totals:
        swept = run_sweep(grid, cells, totals)
    took = time.perf_counter() - began
    state = make_paths(config.paths.state_dir, config.paths.run_dir).state_dir
    rules = {(cell.move_ppm, cell.left_s, cell.price4) for cell in swept.cells}
    tried = trials.remember(state / "trials", digest, rules)
    if as_json:
        told = [cell._asdict() for cell in swept.cells]
        print_json(
            "sweep",
            data=name,
            digest=digest,
            windows=swept.windows,
            judged=judged,
            points=swept.points,
            blocks=swept.blocks,
            split_ns=swept.split_ns,
            tried=tried,
            seconds=took,
            cells=told,
        )
    else:
        _print(swept, name, top, tried, took, judged)
    return int(not any(cell.trades for cell in swept.cells))


def cells_of(axes: Sequence[str]) -> "Cells":
    """The grid from the command line: axes that are not named keep their five default values."""
    from common.research.grids.kernel import DEFAULT_CELLS

    chosen: dict[str, tuple[int, ...]] = {}
    for text in axes:
        name, _, values = text.partition("=")
        if name not in AXES or not values:
            raise click.BadParameter(f"{text!r} is not {'|'.join(AXES)}=V1,V2", param_hint="--grid")
        field, convert = AXES[name]
        try:
            chosen[field] = tuple(sorted({convert(value.strip()) for value in values.split(",")}))
        except (NotANumber, ValueError) as error:
            raise click.BadParameter(f"{text}: {error}", param_hint="--grid") from None
    return DEFAULT_CELLS._replace(**chosen)


def _print(swept: "Swept", name: str, top: int, tried: int, took: float, judged: Mapping[str, int]) -> None:
    from common.research.backtesting.story import judges_told

    made = table(
        ">move %",
        ">left s",
        ">ask <",
        ">stake $",
        ">trades",
        ">won %",
        ">net $",
        ">per $",
        ">p, all",
        ">held out",
        ">net $",
        ">per $",
    )
    for cell in swept.cells[:top]:
        won = f"{100 * cell.wins / cell.trades:.1f}" if cell.trades else None
        add_row(
            made,
            [
                f"{cell.move_ppm / 10_000:.2f}",
                cell.left_s,
                price4_text(cell.price4),
                usd6_text(cell.stake_usd6),
                cell.trades,
                won,
                money(cell.net_usd6),
                _share(cell.returned),
                f"{cell.p:.3f}",
                cell.held_trades,
                money(cell.held_net_usd6),
                _share(cell.held_returned),
            ],
        )
    out = console()
    out.print(made)
    out.print(
        f"{len(swept.cells)} cells on {swept.windows} windows of {name} ({swept.points} points) in "
        f"{took:.2f} s; best of the older 60 % first, the newest 40 % held out"
    )
    out.print(judges_told(judged))
    best = min((cell.p for cell in swept.cells), default=1.0)
    said = "none is more than luck" if best > 0.05 else "at least one is more than luck"
    out.print(
        f"p accounts for all cells (reality check over {swept.blocks} blocks of time): the least is "
        f"{best:.3f}, {said}; {tried} rules were tried on these data so far"
    )


def _share(value: float) -> str | None:
    return f"{100 * value:+.2f} %" if value == value else None  # noqa: PLR0124 - not a number


def _print_speed(took: "Speed", name: str, windows: int, as_json: bool) -> int:
    load = os.getloadavg()[0]
    point_cells = took.points * took.cells / took.seconds
    events = took.engine_events / took.engine_seconds
    passes = took.seconds / took.floor_seconds
    if as_json:
        print_json("sweep-speed", data=name, windows=windows, load=load, point_cells_per_s=point_cells,
                   read_passes=passes, engine_events_per_s=events, **took._asdict())  # fmt: skip
        return 0
    made = table("what", ">seconds", ">per s")
    add_row(made, [f"{took.cells} cells x points", f"{took.seconds:.4f}", f"{point_cells:.3g}"])
    floor = took.points / took.floor_seconds
    add_row(made, ["floor: read the columns once, points", f"{took.floor_seconds:.4f}", f"{floor:.3g}"])
    add_row(
        made,
        [f"engine, {took.engine_events} events, one rule", f"{took.engine_seconds:.4f}", f"{events:.3g}"],
    )
    console().print(made)
    console().print(
        f"{windows} windows of {name}, {took.points} points, {took.bytes_read / 1e6:.0f} MB; the best of "
        f"five rounds, {passes:.0f} read passes for all cells, load {load:.1f}"
    )
    return 0
