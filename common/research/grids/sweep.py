"""A sweep: every cell of a parameter grid on all windows, the newest part held out, the search accounted for.

Owns the split by date, the blocks of time that are resampled and the order of the table. The sums are the
kernel's, on one machine or on many.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from common.core.settings import RiskLimits, StrategySettings
from common.research.backtesting import backtest
from common.research.falsification.significance import LEAST_CLUSTERS, reality_check
from common.research.grids import kernel
from common.research.grids.grid import Array, Grid
from common.research.grids.kernel import Cells

HOLD_OUT = 0.4
FEW_DAYS = 30
"""With fewer days, runs of openings are the blocks."""
BLOCKS = 120
ENGINE_WINDOWS = 12

Totals = Callable[[Grid, Cells, Sequence[int] | Array | None], Array]
"""As ``kernel.totals``."""


class Cell(NamedTuple):
    """One combination; returns are net by what was spent, fee included; p accounts for all cells."""

    move_ppm: int
    left_s: int
    price4: int
    stake_usd6: int
    trades: int
    wins: int
    net_usd6: int
    returned: float
    held_trades: int
    held_net_usd6: int
    held_returned: float
    p: float


class Swept(NamedTuple):
    """All cells, those of enough trades first, by their return in the older part.

    ``tried`` of them differ in more than the stake.
    """

    cells: tuple[Cell, ...]
    windows: int
    points: int
    blocks: int
    split_ns: int
    """The opening from which on windows are held out."""
    tried: int


def sweep(grid: Grid, cells: Cells, totals: Totals = kernel.totals, seed: int = 1) -> Swept:
    """Every cell on every window that can be traded; others would only blur the split."""
    if not grid.tradable.all():
        grid = grid.take(grid.tradable)
    edges, split = blocks_of(grid)
    sums = totals(grid, cells, edges)
    flat = sums.reshape(len(sums), len(kernel.FIGURES), cells.number)
    older = int(np.searchsorted(edges, split))
    trades, wins, cost, fee, net = (flat[:, figure] for figure in range(len(kernel.FIGURES)))
    spent = cost + fee
    p = reality_check(net, spent, trades, seed)
    table = []
    for place, index in enumerate(np.ndindex(*cells.shape)):
        move, left, price, stake = (axis[i] for axis, i in zip(cells, index, strict=True))
        table.append(
            Cell(
                move,
                left,
                price,
                stake,
                int(trades[:, place].sum()),
                int(wins[:, place].sum()),
                int(net[:, place].sum()),
                _returned(net[:, place], spent[:, place]),
                int(trades[older:, place].sum()),
                int(net[older:, place].sum()),
                _returned(net[older:, place], spent[older:, place]),
                float(p[place]),
            )
        )
    older_trades = dict(zip(table, trades[:older].sum(axis=0).tolist(), strict=True))
    older_return = {cell: _returned(net[:older, i], spent[:older, i]) for i, cell in enumerate(table)}
    # A handful of lucky trades must not lead the table, and what never traded has no return to be ranked by.
    table.sort(
        key=lambda cell: (
            older_trades[cell] < LEAST_CLUSTERS,
            -older_return[cell] if older_trades[cell] else np.inf,
            cell[:4],
        )
    )
    start = int(grid.start_ns[split]) if split < len(grid.windows) else 0
    tried = cells.number // len(cells.stakes_usd6)
    return Swept(
        tuple(table), len(grid.windows), int(grid.span_s.sum()), len(sums), start, tried
    )  # fmt: skip


def blocks_of(grid: Grid) -> tuple[Array, int]:
    """Edges of blocks of whole openings (days, where there are many), and where the held-out part begins."""
    count = len(grid.windows)
    openings = np.unique(grid.start_ns)
    days = np.unique(grid.days)
    if len(days) >= FEW_DAYS:
        begins = np.searchsorted(grid.days, days)
        split = int(begins[int(len(days) * (1 - HOLD_OUT))])
    else:
        runs = (
            openings[np.unique(np.linspace(0, len(openings), BLOCKS + 1).astype(int)[:-1])]
            if count
            else openings
        )
        begins = np.searchsorted(grid.start_ns, runs)
        split = (
            int(np.searchsorted(grid.start_ns, openings[int(len(openings) * (1 - HOLD_OUT))])) if count else 0
        )
    return np.union1d(begins, [0, split, count]).astype(np.int64), split


class Speed(NamedTuple):
    """How long the kernel took, how long reading the same columns once takes, and the engine beside them."""

    seconds: float
    floor_seconds: float
    points: int
    cells: int
    bytes_read: int
    engine_seconds: float
    """For ``engine_events`` events of made-up windows, one rule, tables to trades."""
    engine_events: int


def speed(grid: Grid, cells: Cells, rounds: int = 5) -> Speed:
    """The best of several rounds of kernel and floor in turn, warm, with as many threads each."""
    from common.research.grids.walk import read

    kernel.warm_up()
    columns = [
        column.reshape(-1).view(np.uint16)
        for column in (grid.move_ppm, *grid.ask4, *grid.fill4)
    ]  # fmt: skip
    pieces = [piece for column in columns for piece in np.array_split(column, 4)]
    best = floor = float("inf")
    with ThreadPoolExecutor() as pool:
        list(pool.map(read, pieces))
        for _ in range(rounds):
            began = time.perf_counter()
            kernel.totals(grid, cells)
            best = min(best, time.perf_counter() - began)
            began = time.perf_counter()
            list(pool.map(read, pieces))
            floor = min(floor, time.perf_counter() - began)
    engine_seconds, events = _engine_pace()
    read_once = sum(column.nbytes for column in columns)
    return Speed(best, floor, int(grid.span_s.sum()), cells.number, read_once, engine_seconds, events)


def _engine_pace() -> tuple[float, int]:
    """The backtest of the live engine on a few made-up windows: seconds and events."""
    from common.research.falsification.planted import World, dataset_of, make

    data = dataset_of(make(World(windows=ENGINE_WINDOWS)))
    plan = backtest.Plan(StrategySettings(), backtest.without_stops(RiskLimits()))
    # Processor time: this takes seconds, in which a busy machine lends the processor to others.
    began = time.process_time()
    events = backtest.run(data, plan).events
    return time.process_time() - began, events


def _returned(net: Array, spent: Array) -> float:
    total = int(spent.sum())
    return int(net.sum()) / total if total else float("nan")
