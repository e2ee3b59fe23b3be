"""From what a strategy wants to what it did: orders that met a book, and what became of them.

Owns execution and settlement on the grids, in whole units. A signal never sees what its orders meet: it is
handed a grid without fills and without outcomes.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from common.core.settings import StrategySettings
from common.research.grids.grid import ANY_SIZE, DOWN, NO_MOVE, SIZE_STEP6, UNKNOWN, Array, Grid
from common.research.grids.kernel import FEE_STEP_USD6, Entries, fee_fractions
from common.units import PRICE4_ONE, SECOND

NOTHING, BUY_UP, BUY_DOWN = 0, 1, 2

Signal = Callable[[Grid], Array]
"""What is wanted at each [window, second], from what was known: ``NOTHING``, ``BUY_UP`` or ``BUY_DOWN``."""


class Rule(NamedTuple):
    """The parameters of ``lag`` and of its orders."""

    move_ppm: int = 700
    left_s: int = 300
    price4: int = 6_200
    stake_usd6: int = 10_000_000


def rule_of(settings: StrategySettings) -> Rule:
    """The configured rule; at whole seconds more than 300.5 s left is more than 300 s left."""
    left_s = settings.min_time_left_ns // SECOND
    return Rule(settings.min_move_ppm, left_s, settings.max_price4, settings.stake_usd6)


class Trades(NamedTuple):
    """Filled orders; ``window`` is an index into the grid, ``outcome`` may be ``UNKNOWN``.

    ``net_usd6`` is after cost and fee, and without the payout where the outcome is unknown.
    """

    window: Array
    second: Array
    side: Array
    price4: Array
    size6: Array
    cost_usd6: Array
    fee_usd6: Array
    net_usd6: Array
    outcome: Array

    def take(self, chosen: Array) -> "Trades":
        """Some of the trades, by mask or index."""
        return Trades(*(column[chosen] for column in self))

    @property
    def settled(self) -> "Trades":
        """Those whose outcome is known."""
        return self.take(self.outcome != UNKNOWN)

    @property
    def won(self) -> Array:
        """Whether each paid out."""
        won: Array = self.side == (self.outcome == DOWN)
        return won

    @property
    def spent_usd6(self) -> Array:
        """Cost and fee."""
        return self.cost_usd6 + self.fee_usd6


def lag_signal(rule: Rule) -> Signal:
    """The published rule on a grid; the same as ``kernel.entries``, but for the fills."""

    def wants(grid: Grid) -> Array:
        seconds = np.arange(grid.move_ppm.shape[1])
        early = grid.span_s[:, None] - seconds > rule.left_s
        moved = (grid.move_ppm != NO_MOVE) & (np.abs(grid.move_ppm) > rule.move_ppm) & early
        wanted = np.zeros(grid.move_ppm.shape, np.int8)
        for side, sign in ((0, 1), (1, -1)):
            cheap = (grid.ask4[side] > 0) & (grid.ask4[side] < rule.price4)
            wanted[moved & cheap & (np.sign(grid.move_ppm) == sign)] = BUY_DOWN if side else BUY_UP
        return wanted

    return wants


def known_only(grid: Grid) -> Grid:
    """What a signal may see: neither what orders meet nor how windows end."""
    return grid._replace(
        fill4=np.zeros_like(grid.fill4), fill_size=np.zeros_like(grid.fill_size),
        outcome=np.full_like(grid.outcome, UNKNOWN),
    )  # fmt: skip


def execute(grid: Grid, wanted: Array, price4: int) -> Entries:
    """The first order of each window that meets an ask below the limit; earlier ones are killed."""
    fills = np.zeros(wanted.shape, bool)
    for side, wish in ((0, BUY_UP), (1, BUY_DOWN)):
        fills |= (wanted == wish) & (grid.fill4[side] > 0) & (grid.fill4[side] < price4)
    first = fills.argmax(axis=1)
    windows = np.arange(len(first))
    second = np.where(fills[windows, first], first, -1).astype(np.int32)
    return Entries(second, (wanted[windows, first] == BUY_DOWN).astype(np.int8))


def settle(grid: Grid, found: Entries, stake_usd6: int) -> Trades:
    """Fill every entry at what it meets, charge the window's fee, pay what its outcome says."""
    window = np.flatnonzero(found.second >= 0)
    second, side = found.second[window].astype(np.int64), found.side[window].astype(np.int64)
    price = grid.fill4[side, window, second].astype(np.int64)
    shown = grid.fill_size[side, window, second].astype(np.int64)
    there = price > 0
    window, second, side, price, shown = (each[there] for each in (window, second, side, price, shown))
    size = stake_usd6 * PRICE4_ONE // price
    size = np.where(shown == ANY_SIZE, size, np.minimum(size, shown * SIZE_STEP6)) // SIZE_STEP6 * SIZE_STEP6
    cost = -(-price * size // PRICE4_ONE)
    above, below = fee_fractions(grid.fees, np.unique(price), stake_usd6)
    schedule = grid.fee[window]
    fee = size // SIZE_STEP6 * above[schedule, price] // below[schedule, price] * FEE_STEP_USD6
    outcome = grid.outcome[window].astype(np.int64)
    won = (outcome != UNKNOWN) & (side == (outcome == DOWN))
    net = np.where(won, size, 0) - cost - fee
    return Trades(window, second, side, price, size, cost, fee, net, outcome)


def trade(grid: Grid, signal: Signal, rule: Rule) -> Trades:
    """Everything a signal does on a grid."""
    return settle(grid, execute(grid, signal(known_only(grid)), rule.price4), rule.stake_usd6)
