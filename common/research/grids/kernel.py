"""The rule over every window and every cell of a parameter grid at once: one walk finds all first triggers.

Owns the compiled walk and its sums, in whole units, so that any split of the windows adds up to the same. Its
rule, prices and fees are those of the core; the tests hold them against it. It is narrower than the engine in
three ways: it looks once a second, buys from the best level only, and tries a killed order again at the next
second (the engine pauses two).
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from common.errors import LaggardError
from common.messages import FeeSchedule
from common.research.grids.grid import ANY_SIZE, SIZE_STEP6, Array, Grid
from common.units import PRICE4_ONE, USD6_ONE

FIGURES = ("trades", "wins", "cost_usd6", "fee_usd6", "net_usd6")
"""What is summed for every cell; cost is without the fee, net is after both."""
FEE_STEP_USD6 = 10
"""The venue books fees in 1e-5 dollars."""
_PPM = 1_000_000


class Cells(NamedTuple):
    """A grid of parameters: its cells are all combinations, in this order of axes."""

    moves_ppm: tuple[int, ...] = (700,)
    """The move must be greater."""
    lefts_s: tuple[int, ...] = (300,)
    """The time left must be greater."""
    prices4: tuple[int, ...] = (6_200,)
    """The ask must be less."""
    stakes_usd6: tuple[int, ...] = (10_000_000,)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Cells along each axis."""
        return len(self.moves_ppm), len(self.lefts_s), len(self.prices4), len(self.stakes_usd6)

    @property
    def number(self) -> int:
        """How many cells there are."""
        return int(np.prod(self.shape))


DEFAULT_CELLS = Cells(
    (300, 500, 700, 1_000, 1_500),
    (60, 180, 300, 450, 600),
    (5_000, 5_500, 6_200, 7_000, 8_000),
    (5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000),
)
"""625 cells around the published rule."""


class Entries(NamedTuple):
    """Where one rule enters: for each window the second (-1 never) and the side (0 up, 1 down)."""

    second: Array
    side: Array


def totals(grid: Grid, cells: Cells, bounds: Sequence[int] | Array | None = None) -> Array:
    """The sums of ``FIGURES`` for each block of windows: int64, [block, figure, move, left, price, stake].

    ``bounds`` are the edges of the blocks (the first 0, the last the number of windows); without it there is
    one block. Windows of unknown outcome are not counted. Raises LaggardError when a stake is below the
    venue's one dollar or a fee does not fit into 64 bits.
    """
    edges = np.asarray([0, len(grid.windows)] if bounds is None else bounds, np.int64)
    axes = _axes(cells)
    if min(cells.stakes_usd6) < USD6_ONE:
        raise LaggardError("a stake is less than 1 $, which the venue refuses; name larger stakes")
    used = np.union1d(np.unique(grid.fill4[0]), np.unique(grid.fill4[1]))
    numerators, denominators = fee_fractions(grid.fees, used, max(cells.stakes_usd6))
    # Several chunks a thread: windows differ in how early they are decided.
    threads = os.cpu_count() or 1
    chunks = np.union1d(edges, np.linspace(edges[0], edges[-1], 4 * threads + 1).astype(np.int64))
    sums = np.zeros((len(chunks) - 1, len(FIGURES), *cells.shape), np.int64)
    walk = _compiled().walk

    def add(chunk: int) -> None:
        walk(
            sums[chunk],
            int(chunks[chunk]),
            int(chunks[chunk + 1]),
            grid.move_ppm,
            grid.ask4[0],
            grid.ask4[1],
            grid.fill4[0],
            grid.fill4[1],
            grid.fill_size[0],
            grid.fill_size[1],
            grid.span_s,
            grid.outcome,
            grid.fee,
            numerators,
            denominators,
            *axes,
        )

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(add, range(len(sums))))
    # The chunks of one block are neighbours; adding integers is exact in any order.
    blocks = np.zeros((len(edges) - 1, *sums.shape[1:]), np.int64)
    np.add.at(blocks, np.searchsorted(edges, chunks[:-1], side="right") - 1, sums)
    return blocks


def entries(grid: Grid, move_ppm: int, left_s: int, price4: int) -> Entries:
    """Where the rule of one cell enters; found in windows without an outcome as well."""
    second, side = _compiled().first(
        grid.move_ppm, grid.ask4[0], grid.ask4[1], grid.fill4[0], grid.fill4[1], grid.span_s,
        move_ppm, left_s, price4,
    )  # fmt: skip
    return Entries(second, side)


def fee_fractions(
    fees: Sequence[FeeSchedule | None], prices4: Array, largest_usd6: int
) -> tuple[Array, Array]:
    """The fee of one step of size by schedule and price, as an exact reduced fraction of fee steps.

    Two arrays [schedule, price4], filled for ``prices4``; a fee is ``steps * numerator // denominator`` times
    1e-5 dollars. Raises LaggardError when a stake of ``largest_usd6`` would not fit into 64 bits.
    """
    numerators = np.zeros((len(fees), PRICE4_ONE + 1), np.int64)
    denominators = np.ones((len(fees), PRICE4_ONE + 1), np.int64)
    for schedule, fee in enumerate(fees):
        for price4 in prices4.tolist():
            if fee is None or not 0 < price4 < PRICE4_ONE:
                continue
            above, below = _fee_fraction(fee, price4)
            if max(above * (largest_usd6 * PRICE4_ONE // price4 // SIZE_STEP6), below) >= 2**63:
                raise LaggardError(f"the fee schedule {fee} is too fine for 64 bits at a price of {price4}")
            numerators[schedule, price4], denominators[schedule, price4] = above, below
    return numerators, denominators


@cache
def _fee_fraction(fee: FeeSchedule, price4: int) -> tuple[int, int]:
    above = SIZE_STEP6 * fee.rate_ppm * (price4 * (PRICE4_ONE - price4)) ** fee.exponent
    below = _PPM * PRICE4_ONE ** (2 * fee.exponent) * FEE_STEP_USD6
    shared = gcd(above, below)
    return above // shared, below // shared


def _axes(cells: Cells) -> tuple[Array, Array, Array, Array]:
    """The axes as arrays; the walk needs moves and prices to rise."""
    for name, axis in (("moves", cells.moves_ppm), ("prices", cells.prices4)):
        if list(axis) != sorted(set(axis)) or not axis:
            raise LaggardError(f"the {name} of a grid must rise and differ; they are {list(axis)}")
    if not cells.lefts_s or not cells.stakes_usd6 or min(cells.moves_ppm) < 0:
        raise LaggardError("a grid needs at least one value of each axis, and no negative move")
    return (
        np.asarray(cells.moves_ppm, np.int32), np.asarray(cells.lefts_s, np.int32),
        np.asarray(cells.prices4, np.int32), np.asarray(cells.stakes_usd6, np.int64),
    )  # fmt: skip


class _Compiled(NamedTuple):
    walk: Any
    first: Any


@cache
def _compiled() -> _Compiled:
    """Compile once a process, from numba's cache on disk where it may write one."""
    from common.research.grids import walk

    return _Compiled(walk.walk, walk.first)


def warm_up() -> None:
    """Compile, so that what is timed next is not the compiler."""
    from common.research.grids.grid import UNKNOWN

    one = Grid(
        ("w",), ("a",), np.zeros(1, np.int64), np.ones(1, np.int32), np.zeros((1, 1), np.int32),
        np.zeros((2, 1, 1), np.uint16), np.zeros((2, 1, 1), np.uint16), np.zeros((2, 1, 1), np.uint16),
        np.full((2, 1, 1), ANY_SIZE, np.uint32), np.full(1, UNKNOWN, np.int8), np.zeros(1, np.int16), (None,),
        np.zeros(1, np.int64), np.zeros(1, bool),
    )  # fmt: skip
    totals(one, Cells())
    entries(one, 700, 300, 6_200)
