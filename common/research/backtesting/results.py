"""What a backtest came to: trades, sums with intervals, and the same by asset, day, hour, era and price.

Money stays in integers; shares, means and intervals are floats. Every mean is told with its interval, drawn
over opening instants, because windows of several assets that open together move together.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from common.core.account import DAY_NS
from common.messages import Basis, Outcome
from common.research.intervals import RESAMPLES, Interval, bootstrap_mean, wilson
from common.units import PRICE4_ONE, SECOND

SEED = 20_260_205
LEAST_OPENINGS = 5
"""Of fewer, resampling shows no spread worth the name: two losses would have none at all."""
LEAST_DAYS = 5
"""Of fewer, a cut at midnight would leave one side next to nothing."""
BUCKET4 = 500
"""Width of a price class of the calibration: 5 cents."""


class Trade(NamedTuple):
    """One position that was bought and settled."""

    window: str
    asset: str
    era: str
    start_ns: int
    outcome: Outcome
    """The side that was bought."""
    basis: Basis
    decided_ns: int
    filled_ns: int
    """When the book it was filled from was received."""
    wait_ns: int
    """From the order's arrival to that book; negative only when flattered."""
    age_ns: int | None
    """Of that book when it was received, by the venue's stamp; None where that was not recorded."""
    size_known: bool
    derived: bool
    price4: int
    """The mean price paid, rounded up."""
    size6: int
    cost_usd6: int
    fee_usd6: int
    payout_usd6: int

    @property
    def won(self) -> bool:
        """Whether its side came."""
        return self.payout_usd6 > 0

    @property
    def pnl_usd6(self) -> int:
        """What it earned net of the fee."""
        return self.payout_usd6 - self.cost_usd6 - self.fee_usd6

    @property
    def stake_return(self) -> float:
        """Net result for each dollar paid, fee included."""
        return self.pnl_usd6 / (self.cost_usd6 + self.fee_usd6)


class Summary(NamedTuple):
    """The figures of some trades; shares and means as (low, mean, high) at 95 %."""

    trades: int
    wins: int
    win_rate: Interval
    paid_usd6: int
    fees_usd6: int
    pnl_usd6: int
    profit_per_trade_usd: Interval
    return_per_stake: Interval
    """Mean over trades of the net result for each dollar paid."""
    drawdown_usd6: int
    """The deepest fall of the running profit from its highest point."""
    losing_run: int


class Bucket(NamedTuple):
    """Trades bought at one class of prices, and how many of them won."""

    from4: int
    to4: int
    trades: int
    wins: int
    paid_share: float
    """Mean price bought: what the market said."""
    won_share: Interval


def summarise(trades: Sequence[Trade], *, resamples: int = RESAMPLES, seed: int = SEED) -> Summary:
    """The figures of these trades, in the order of their windows."""
    ordered = sorted(trades, key=lambda one: (one.start_ns, one.window))
    opened = [one.start_ns for one in ordered]
    drawdown, run = _falls(ordered)
    wins = sum(one.won for one in ordered)
    return Summary(
        len(ordered),
        wins,
        wilson(wins, len(ordered)),
        sum(one.cost_usd6 + one.fee_usd6 for one in ordered),
        sum(one.fee_usd6 for one in ordered),
        sum(one.pnl_usd6 for one in ordered),
        _mean([one.pnl_usd6 / 1e6 for one in ordered], opened, resamples, seed),
        _mean([one.stake_return for one in ordered], opened, resamples, seed),
        drawdown,
        run,
    )


def _mean(values: Sequence[float], opened: Sequence[int], resamples: int, seed: int) -> Interval:
    """The mean with its interval; of too few openings the interval is the whole line."""
    found = bootstrap_mean(values, seed, resamples, groups=opened)
    if len(set(opened)) < LEAST_OPENINGS and values:
        return Interval(float("-inf"), found.mean, float("inf"))
    return found


def _falls(ordered: Iterable[Trade]) -> tuple[int, int]:
    """The deepest fall of the running sum, and the longest run of losses."""
    total = highest = deepest = run = longest = 0
    for one in ordered:
        total += one.pnl_usd6
        highest = max(highest, total)
        deepest = max(deepest, highest - total)
        run = run + 1 if one.pnl_usd6 < 0 else 0
        longest = max(longest, run)
    return deepest, longest


class FillAges(NamedTuple):
    """How the prices that were filled at lay in time, in nanoseconds."""

    median_wait_ns: int
    """From the order's arrival at the venue to the book it was filled from."""
    p95_wait_ns: int
    stamped: int
    """Fills at a book of which the venue's stamp was recorded."""
    median_age_ns: int | None
    """Of these books when they were received; None where there is none."""
    p95_age_ns: int | None


def fill_ages(trades: Sequence[Trade]) -> FillAges | None:
    """Median and 95th percentile of waits and ages; None without a trade."""
    if not trades:
        return None
    waits = sorted(one.wait_ns for one in trades)
    ages = sorted(one.age_ns for one in trades if one.age_ns is not None)
    return FillAges(
        _quantile(waits, 50),
        _quantile(waits, 95),
        len(ages),
        _quantile(ages, 50) if ages else None,
        _quantile(ages, 95) if ages else None,
    )


def _quantile(ordered: Sequence[int], percent: int) -> int:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


BREAKDOWNS: Mapping[str, Callable[[Trade], str]] = {
    "asset": lambda one: one.asset,
    "basis": lambda one: one.basis,
    "era": lambda one: one.era,
    "day": lambda one: _utc(one.start_ns, "%Y-%m-%d"),
    "hour": lambda one: _utc(one.start_ns, "%H:00"),
}


def _utc(at_ns: int, form: str) -> str:
    return datetime.fromtimestamp(at_ns // SECOND, UTC).strftime(form)


def broken_down(trades: Iterable[Trade], by: str) -> dict[str, Summary]:
    """The figures of each part: by ``asset``, ``basis``, ``era``, ``day`` or ``hour`` (UTC)."""
    parts: dict[str, list[Trade]] = {}
    for one in trades:
        parts.setdefault(BREAKDOWNS[by](one), []).append(one)
    return {name: summarise(parts[name]) for name in sorted(parts)}


def calibration(trades: Iterable[Trade]) -> list[Bucket]:
    """Price bought beside the share that won, by classes of 5 cents."""
    parts: dict[int, list[Trade]] = {}
    for one in trades:
        parts.setdefault(min(one.price4, PRICE4_ONE - 1) // BUCKET4, []).append(one)
    return [
        Bucket(
            number * BUCKET4,
            (number + 1) * BUCKET4,
            len(part),
            sum(one.won for one in part),
            sum(one.price4 for one in part) / len(part) / PRICE4_ONE,
            wilson(sum(one.won for one in part), len(part)),
        )
        for number, part in sorted(parts.items())
    ]


class Split(NamedTuple):
    """The earlier part of the windows beside the later one, cut by date."""

    cut_ns: int
    first: Summary
    second: Summary


def split_by_date(trades: Sequence[Trade], openings_ns: Sequence[int], percent: int) -> Split:
    """Cut at the midnight nearest to where ``percent`` of the windows have opened; of few days, right there.

    ``openings_ns`` are those of all windows, traded or not: the cut must not depend on the trades.
    """
    windows, cut_ns = sorted(openings_ns), 0
    if windows:
        cut_ns = windows[min(len(windows) - 1, len(windows) * percent // 100)]
        if len({at // DAY_NS for at in windows}) >= LEAST_DAYS:
            cut_ns = (cut_ns + DAY_NS // 2) // DAY_NS * DAY_NS
    return Split(
        cut_ns,
        summarise([one for one in trades if one.start_ns < cut_ns]),
        summarise([one for one in trades if one.start_ns >= cut_ns]),
    )


class Unfilled(NamedTuple):
    """Orders that bought nothing, by the reason's code."""

    orders: int
    by_code: Mapping[str, int]


def unfilled(refusals: Iterable[str]) -> Unfilled:
    """Count reasons of the form ``code: text``."""
    codes = Counter(reason.partition(":")[0] for reason in refusals)
    return Unfilled(codes.total(), dict(sorted(codes.items())))
