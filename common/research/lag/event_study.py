"""What the book does around a jump of the reference price: found, lined up, measured, with its intervals.

Owns the definition of a jump and of the share of the repricing that is done. Looks only at what had been
received by then; a quote that is too old counts as unknown, never as unchanged.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from common.research.intervals import NOTHING, Floats, Interval
from common.units import SECOND

Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
Names = np.ndarray[tuple[int, ...], np.dtype[np.str_]]
Ints = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

PPM = 1_000_000
RESAMPLES = 4_000
LEAST_WINDOWS = 5
"""Of fewer, resampling shows no spread worth the name."""
OPENING_NS = 900 * SECOND
LEAST_JUMPS = 30
"""Fewer are shown and not spoken of."""


class Definition(NamedTuple):
    """What counts as a jump, and when the book is looked at. All spans are in nanoseconds."""

    move_ppm: int = 700
    """How far the reference has to move: 100 ppm are a basis point."""
    within_ns: int = 3 * SECOND
    """In how long at most, by the stamps of the reference."""
    horizons_ns: tuple[int, ...] = (
        0, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND, 55 * SECOND,
    )  # fmt: skip
    """After the jump could be known, when the repricing done so far is measured."""
    final_ns: int = 60 * SECOND
    """When the repricing counts as complete; a jump this soon after another is the same event."""
    max_age_ns: int = 5 * SECOND
    """A quote received longer ago is unknown; so is a price that came this long after its stamp."""

    @property
    def offsets_ns(self) -> tuple[int, ...]:
        """Every instant that is looked at, relative to the jump: ten seconds before it, then to the end."""
        path = range(-10 * SECOND, self.final_ns + 1, SECOND)
        return tuple(sorted({*path, *self.horizons_ns, self.final_ns}))


class Prices(NamedTuple):
    """One series of a reference price, in order of receipt; what arrived late or out of turn is left out."""

    observed_ns: Ints
    at_ns: Ints
    price_e8: Ints


class Quotes(NamedTuple):
    """The middle of the Up token's book over one window, in order of receipt; NaN where a side is missing."""

    window: str
    asset: str
    era: str
    start_ns: int
    end_ns: int
    at_ns: Ints
    mid4: Floats

    @property
    def opening(self) -> int:
        """The number of the quarter of an hour in which it opened: what opens together moves together."""
        return self.start_ns // OPENING_NS


class Jumps(NamedTuple):
    """Jumps of one series; ``overlapping`` more were left out because one before them was not over."""

    base_ns: Ints
    """When the price that the jump is measured from was true."""
    at_ns: Ints
    """When the jump could be known."""
    move_ppm: Floats
    """Signed."""
    overlapping: int


class Sightings(NamedTuple):
    """Jumps beside the windows that were open then: one row is one jump seen in one window."""

    window: Names
    asset: Names
    era: Names
    cluster: Ints
    """The openings of the windows, by quarter of an hour."""
    at_ns: Ints
    move_ppm: Floats
    moved4: Floats
    """[row, offset]: by how much the mid had moved in the direction of the jump, 1e-4 $; NaN is unknown."""
    reference: Floats
    """[row, offset]: by how much the reference had, in ppm."""
    age_ns: Floats
    """[row, offset]: how long ago the quote had been received."""
    lead4: Floats
    """By how much the mid had moved already in the five seconds before the jump's base."""

    def take(self, mask: Mask) -> "Sightings":
        """The rows that the mask names."""
        return Sightings._make(column[mask] for column in self)


class Step(NamedTuple):
    """The repricing after one span of time."""

    after_ns: int
    moved_cents: Interval
    share: Interval
    """Of the final repricing; NaN throughout where that cannot be told from nothing."""


class Reaction(NamedTuple):
    """How the book repriced after some jumps."""

    jumps: int
    windows: int
    reference_bp: float
    """The mean size of the jump when it was known."""
    final_cents: Interval
    steps: tuple[Step, ...]
    lead_cents: Interval
    """How far the book had gone already in the five seconds before the jump's base."""

    @property
    def enough(self) -> bool:
        """Whether there are jumps and windows enough to say anything."""
        return self.jumps >= LEAST_JUMPS and self.windows >= LEAST_WINDOWS


def find_jumps(prices: Prices, definition: Definition) -> Jumps:
    """The jumps of a series; each is measured from the price that it left furthest behind."""
    price = prices.price_e8.astype(np.float64)
    furthest, base = np.zeros(len(price)), np.zeros(len(price), np.int64)
    back = 1
    while back < len(price):
        near = prices.observed_ns[back:] - prices.observed_ns[:-back] <= definition.within_ns
        if not near.any():
            break
        move = np.where(near, (price[back:] / price[:-back] - 1) * PPM, 0.0)
        larger = np.abs(move) > np.abs(furthest[back:])
        furthest[back:][larger] = move[larger]
        base[back:][larger] = np.flatnonzero(larger)
        back += 1
    kept, free_ns, overlapping = [], -(1 << 62), 0
    # The last bit of a float must not decide whether a move reaches the limit.
    for number in np.flatnonzero(np.abs(furthest) >= definition.move_ppm - 1e-6):
        at_ns = int(prices.at_ns[number])
        if at_ns < free_ns:
            overlapping += 1
            continue
        kept.append(number)
        free_ns = at_ns + definition.final_ns
    rows = np.asarray(kept, np.int64)
    # A stamp may be ahead of our clock: what counts is the earlier of the two.
    began = np.minimum(prices.observed_ns, prices.at_ns)[base[rows]]
    return Jumps(began, prices.at_ns[rows], furthest[rows], overlapping)


def as_of(known_ns: Ints, values: Floats, when_ns: Ints, max_age_ns: int) -> tuple[Floats, Floats]:
    """The newest value received at or before each instant, and its age in nanoseconds; NaN if too old."""
    if not len(known_ns):
        return np.full(when_ns.shape, np.nan), np.full(when_ns.shape, np.nan)
    place = np.searchsorted(known_ns, when_ns, side="right") - 1
    row = np.maximum(place, 0)
    age = (when_ns - known_ns[row]).astype(np.float64)
    usable = (place >= 0) & (age <= max_age_ns) & np.isfinite(values[row])
    return np.where(usable, values[row], np.nan), np.where(usable, age, np.nan)


def line_up(
    prices: Prices, jumps: Jumps, windows: Sequence[Quotes], definition: Definition
) -> tuple[Sightings, int]:
    """Every jump in every window that was open from its base to its end; and how many lacked a quote.

    A row is kept only with a quote young enough at its base, at every horizon and at the end: shares at
    different horizons are then shares of the same jumps.
    """
    offsets = np.asarray(definition.offsets_ns, np.int64)
    needed = np.isin(offsets, [*definition.horizons_ns, definition.final_ns])
    value = prices.price_e8.astype(np.float64)
    parts: list[Sightings] = []
    lacking = 0
    for quotes in windows:
        inside = (jumps.base_ns >= quotes.start_ns) & (jumps.at_ns + definition.final_ns <= quotes.end_ns)
        base, at = jumps.base_ns[inside], jumps.at_ns[inside]
        if not len(at):
            continue
        when, sign = at[:, None] + offsets, np.sign(jumps.move_ppm[inside])
        before, _ = as_of(quotes.at_ns, quotes.mid4, base, definition.max_age_ns)
        earlier, _ = as_of(quotes.at_ns, quotes.mid4, base - 5 * SECOND, definition.max_age_ns)
        mid, age = as_of(quotes.at_ns, quotes.mid4, when, definition.max_age_ns)
        known, _ = as_of(prices.at_ns, value, when, definition.max_age_ns)
        start, _ = as_of(prices.at_ns, value, at, definition.max_age_ns)
        left = start / (1 + jumps.move_ppm[inside] / PPM)
        whole = np.isfinite(before) & np.isfinite(mid[:, needed]).all(axis=1)
        lacking += int((~whole).sum())
        every = Sightings(
            np.full(len(at), quotes.window), np.full(len(at), quotes.asset), np.full(len(at), quotes.era),
            np.full(len(at), quotes.opening), at, jumps.move_ppm[inside],
            (mid - before[:, None]) * sign[:, None],
            (known / left[:, None] - 1) * PPM * sign[:, None],
            age, (before - earlier) * sign,
        )  # fmt: skip
        parts.append(every.take(whole))
    return joined(parts, len(offsets)), lacking


def joined(parts: Sequence[Sightings], offsets: int) -> Sightings:
    """The rows of all parts, in their order."""
    if not parts:
        names, none, wide = np.zeros(0, np.str_), np.zeros(0), np.zeros((0, offsets))
        whole = np.zeros(0, np.int64)
        return Sightings(names, names, names, whole, whole, none, wide, wide, wide, none)
    return Sightings._make(np.concatenate(column) for column in zip(*parts, strict=True))


def react(seen: Sightings, definition: Definition, seed: int) -> Reaction:
    """The mean repricing after each span, and its share of the final one, with 95 % intervals.

    A share is a ratio of means, so one large jump counts for as much as it moved. Whole openings are
    resampled.
    """
    place = {offset: number for number, offset in enumerate(definition.offsets_ns)}
    columns = [place[after] for after in (*definition.horizons_ns, definition.final_ns)]
    cents = seen.moved4[:, columns] / 100
    moved, shares = _resampled(cents, seen.cluster, seed)
    leads, _ = _resampled(seen.lead4[:, None] / 100, seen.cluster, seed)
    steps = zip(definition.horizons_ns, moved, shares, strict=False)
    return Reaction(
        len(seen.window),
        len(np.unique(seen.cluster)),
        float(np.abs(seen.move_ppm).mean() / 100) if len(seen.window) else float("nan"),
        moved[-1],
        tuple(Step(*step) for step in steps),
        leads[0],
    )


def path(seen: Sightings, definition: Definition, seed: int) -> tuple[tuple[int, Interval, float], ...]:
    """For every offset the mean mid move in cents, and the mean move of the reference in ppm, where known."""
    moved, _ = _resampled(seen.moved4 / 100, seen.cluster, seed)
    known = np.isfinite(seen.reference)
    with np.errstate(invalid="ignore"):
        reference = np.where(known, seen.reference, 0.0).sum(axis=0) / known.sum(axis=0)
    return tuple(zip(definition.offsets_ns, moved, map(float, reference), strict=True))


def _resampled(values: Floats, cluster: Ints, seed: int) -> tuple[list[Interval], list[Interval]]:
    """Means of each column's known values and their ratios to the last (B. Efron, 1979).

    Whole clusters are drawn, the same ones for all columns.
    """
    columns = values.shape[1]
    if not len(values):
        return [NOTHING] * columns, [NOTHING] * columns
    _, index = np.unique(cluster, return_inverse=True)
    clusters, known = int(index.max()) + 1, np.isfinite(values)
    sums, counts = np.zeros((clusters, columns)), np.zeros((clusters, columns))
    np.add.at(sums, index, np.where(known, values, 0.0))
    np.add.at(counts, index, known)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums.sum(axis=0) / counts.sum(axis=0)
        ratio = mean / mean[-1]
        if clusters < LEAST_WINDOWS:
            unbounded = [Interval(float("-inf"), float(value), float("inf")) for value in mean]
            return unbounded, [NOTHING] * columns
        chance = np.random.default_rng(seed)
        drawn = chance.multinomial(clusters, np.full(clusters, 1 / clusters), size=RESAMPLES).astype(float)
        means = (drawn @ sums) / (drawn @ counts)
        ratios = means / means[:, -1:]
    found = _intervals(mean, means)
    if not found[-1].low > 0:
        return found, [NOTHING] * columns
    return found, _intervals(ratio, ratios)


def _intervals(estimates: Floats, drawn: Floats) -> list[Interval]:
    """The ends from what was drawn; a draw without any known value says nothing."""
    if np.isnan(drawn).any():
        drawn = np.where(np.isnan(drawn), estimates, drawn)
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    return [Interval(float(a), float(b), float(c)) for a, b, c in zip(low, estimates, high, strict=True)]
