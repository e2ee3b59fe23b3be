"""Made-up markets of which the truth is known: no edge or one of known size; strategies without sense.

Owns the worlds in which the battery is tried. Nothing in them is fitted to a recording: a random walk, a book
that quotes the walk's own probabilities ``lag_s`` seconds late, a spread and a fee.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from common.messages import FeeSchedule
from common.research.data.dataset import Dataset, dataset
from common.research.grids.grid import ANY_SIZE, DOWN, NO_MOVE, TODAYS_FEE, UP, Array, Grid
from common.research.grids.trades import BUY_DOWN, BUY_UP, NOTHING, Signal
from common.units import MILLISECOND, PRICE4_ONE, SECOND

FIRST_NS = 1_767_225_600 * SECOND
"""1 January 2026."""
STRIKE_E8 = 100_000 * 10**8
TICK4 = 100
HEARD_NS = 700 * MILLISECOND
"""An oracle second reaches us so long after its stamp."""
BOOK_NS = 100 * MILLISECOND


class World(NamedTuple):
    """What is to be made up."""

    windows: int = 1_500
    seed: int = 1
    lag_s: int = 0
    """The book quotes what was known so long ago: an edge when it is long enough."""
    half_spread4: int = 100
    fee: FeeSchedule | None = TODAYS_FEE
    seconds: int = 900
    volatility_ppm: float = 107.0
    """Standard deviation of a second's move: 60 % a year."""
    delay_s: int = 1
    shown6: int = 0
    """Size of the best level, 1e-6 shares; 0 for unknown."""


class Truth(NamedTuple):
    """The made-up world itself: oracle prices (1e-8 $) at every second, quotes, outcomes."""

    world: World
    oracle_e8: Array
    ask4: Array
    outcome: Array
    start_ns: Array


def make(world: World) -> Truth:
    """A world; the same seed makes the same one."""
    chance = np.random.default_rng(world.seed)
    seconds = world.seconds
    steps = chance.normal(0.0, world.volatility_ppm, (world.windows, seconds))
    # Moves in parts per million from the strike; the last column is the closing second.
    walk = np.concatenate([np.zeros((world.windows, 1)), np.cumsum(steps, axis=1)], axis=1)
    oracle = STRIKE_E8 + np.rint(walk * (STRIKE_E8 / 1e6)).astype(np.int64)
    left = np.arange(seconds, 0, -1)
    fair = _phi(walk[:, :seconds] / (world.volatility_ppm * np.sqrt(left)))
    if world.lag_s:
        fair = np.concatenate([np.full((world.windows, world.lag_s), 0.5), fair[:, : -world.lag_s]], axis=1)
    quotes = np.stack([_ask(fair, world), _ask(1.0 - fair, world)])
    outcome = np.where(oracle[:, seconds] >= STRIKE_E8, UP, DOWN).astype(np.int8)
    start = FIRST_NS + np.arange(world.windows, dtype=np.int64) * seconds * SECOND
    return Truth(world, oracle[:, :seconds], quotes, outcome, start)


def grid_of(truth: Truth) -> Grid:
    """The grid of a world, made directly; ``build(dataset_of(truth))`` makes the same one slowly."""
    world = truth.world
    count, seconds = truth.oracle_e8.shape
    difference = truth.oracle_e8 - STRIKE_E8
    move = np.full((count, seconds), NO_MOVE, np.int32)
    # A second's price is heard during the next one.
    ppm = np.sign(difference) * (np.abs(difference) * 1_000_000 // STRIKE_E8)
    move[:, 1:] = ppm[:, :-1]
    fill4 = np.zeros_like(truth.ask4)
    wait = world.delay_s + 1
    fill4[:, :, : seconds - wait] = truth.ask4[:, :, wait:]
    age_ms = np.full(truth.ask4.shape, BOOK_NS // MILLISECOND, np.uint16)
    size = np.where(fill4 > 0, world.shown6 // 100 if world.shown6 else ANY_SIZE, 0).astype(np.uint32)
    return Grid(
        tuple(f"btc-updown-15m-{start // SECOND}" for start in truth.start_ns.tolist()), ("btc",) * count,
        truth.start_ns, np.full(count, seconds, np.int32), move, truth.ask4, age_ms, fill4, size,
        truth.outcome, np.zeros(count, np.int16), (world.fee,),
        np.full(count, world.delay_s * SECOND, np.int64), np.zeros(count, bool),
    )  # fmt: skip


def dataset_of(truth: Truth) -> Dataset:
    """The same world as tables, as a recorder would have written them."""
    world = truth.world
    seconds = truth.oracle_e8.shape[1]
    names = [f"btc-updown-15m-{start // SECOND}" for start in truth.start_ns.tolist()]
    stamps = (truth.start_ns[:, None] + np.arange(seconds) * SECOND).ravel()
    markets = pl.DataFrame({
        "window": names, "asset": "btc", "start_ns": truth.start_ns,
        "end_ns": truth.start_ns + seconds * SECOND, "strike_e8": STRIKE_E8,
        "outcome": np.where(truth.outcome == UP, "up", "down"), "outcome_source": "official",
        "fee_rate_ppm": world.fee.rate_ppm if world.fee else 0,
        "fee_exponent": world.fee.exponent if world.fee else 1,
        "taker_delay_ns": world.delay_s * SECOND, "tick4": TICK4, "min_size6": 5_000_000, "era": "fee-spot",
        "token_up": [f"{name}-up" for name in names], "token_down": [f"{name}-down" for name in names],
    })  # fmt: skip
    ticks = pl.DataFrame({
        "asset": "btc", "kind": "spot", "route": "rtds", "observed_ns": stamps, "at_ns": stamps + HEARD_NS,
        "price_e8": truth.oracle_e8.ravel(),
    })  # fmt: skip
    windows = np.repeat(np.array(names), seconds)
    books = pl.concat(
        pl.DataFrame(
            {
                "window": windows,
                "asset": "btc",
                "outcome": outcome,
                "venue_ns": stamps - BOOK_NS,
                "at_ns": stamps - BOOK_NS,
                "ask4": truth.ask4[side].ravel().astype(np.int64),
                "bid4": np.maximum(
                    truth.ask4[side].ravel().astype(np.int64) - 2 * max(world.half_spread4, 50), 0
                ),
                "ask_size6": world.shown6 or None,
                "derived": False,
            },
            schema_overrides={"ask_size6": pl.Int64},
        )
        for side, outcome in enumerate(("up", "down"))
    )
    return dataset(f"made-up world {world.seed}", markets=markets, ticks=ticks, books=books)


def random_signal(seed: int, share: float = 0.6) -> Signal:
    """A strategy without sense: in a share of the windows, from some second on, some side.

    What it wants of a window depends on its opening alone, so that it is the same whatever else is in a grid.
    """

    def wants(grid: Grid) -> Array:
        seconds = grid.move_ppm.shape[1]
        draws = _hashed(grid.start_ns // SECOND, seed)
        begun: Array = np.arange(seconds) >= ((draws >> 8) % max(1, seconds - 60))[:, None]
        side: Array = np.where(draws & 1, BUY_UP, BUY_DOWN)
        side[(draws >> 32) % 1_000 >= share * 1_000] = NOTHING
        wanted: Array = np.where(begun, side[:, None], NOTHING).astype(np.int8)
        return wanted

    return wants


def _hashed(numbers: Array, seed: int) -> Array:
    """63 well-mixed bits of each number and the seed (splitmix64, S. Vigna)."""
    mixed: Array = numbers.astype(np.uint64) + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed = (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(1)
    return mixed.astype(np.int64)


def _ask(fair: Array, world: World) -> Array:
    quoted: Array = np.ceil((fair * PRICE4_ONE + world.half_spread4) / TICK4) * TICK4
    return quoted.clip(TICK4, PRICE4_ONE - TICK4).astype(np.uint16)


def _phi(deviations: Array) -> Array:
    """The normal distribution (Abramowitz and Stegun 26.2.17: wrong by less than 7.5e-8)."""
    t = 1.0 / (1.0 + 0.2316419 * np.abs(deviations))
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail = np.exp(-deviations * deviations / 2) / np.sqrt(2 * np.pi) * series
    below: Array = np.where(deviations >= 0, 1.0 - tail, tail)
    return below
