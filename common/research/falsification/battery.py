"""The battery: what a strategy's trades have to survive before anybody may believe them.

Owns the statistical tests, each a figure, a p-value or a bound, a verdict and one sentence. ``profit`` alone
keeps the whole battery at 5 %: all gates must hold, and a strategy without an edge passes that one in one
case of twenty at most. The other tests say where a profit comes from. Reads no data: it is given grids.
"""

import math
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from common.research.falsification.significance import Ratio, coin_flips, ratio, resamples_for
from common.research.grids.grid import UP, Array, Grid, later, with_oracle_shifted
from common.research.grids.kernel import Entries
from common.research.grids.trades import Rule, Signal, Trades, execute, known_only, settle
from common.units import SECOND

SIZE = 0.05
"""The chance at most that a strategy without an edge is believed."""
SHIFT_S = 60
LADDER_S = (0, 1, 2, 5, 10, 60)
HOLD_OUT = 0.4
"""The newest part of the days, or of the openings of a single day."""
DAYS_TO_CLUSTER = 30
SHUFFLES = 499


class Test(msgspec.Struct, frozen=True):
    """One test: ``gate`` says whether the verdict depends on it; p is None where there is none."""

    name: str
    statistic: float
    """A return per dollar staked unless the sentence says otherwise; NaN (null in JSON) without data."""
    p: float | None
    low: float | None
    high: float | None
    """One-sided 95 % bounds of the statistic."""
    passed: bool
    gate: bool
    text: str
    parts: dict[str, float] = {}
    """The rungs, days or assets it is made of."""

    @property
    def word(self) -> Literal["passed", "FAILED", "no data"]:
        """What came of it; a test with nothing to look at did not fail, and passes nothing either."""
        if self.passed:
            return "passed"
        return "no data" if math.isnan(self.statistic) else "FAILED"


class Question(NamedTuple):
    """What is put to the battery."""

    grid: Grid
    signal: Signal
    rule: Rule
    backward: Grid
    """The same windows, filled at the last known price however old."""
    sampled: tuple[Grid, Grid] | None = None
    """Of sampled prices nobody can be filled at: filled backwards, and at the next sample."""
    trials: int = 1
    """How many rules were tried on these data, this one included."""
    seed: int = 1


def clusters(grid: Grid, trades: Trades) -> Array:
    """Which trades hang together: those of one day where there are many days, else of one opening."""
    days = grid.days[trades.window]
    return days if len(np.unique(days)) >= DAYS_TO_CLUSTER else grid.start_ns[trades.window]


def answer(question: Question, trades: Trades) -> list[Test]:
    """Every test on the strategy's settled ``trades``."""
    grid, rule, seed = question.grid, question.rule, question.seed
    own = trades.settled
    cluster = clusters(grid, own)
    resamples = resamples_for(question.trials)
    result = ratio(own.net_usd6, own.spent_usd6, cluster, seed, resamples)
    coin = coin_flips(own.size6, own.spent_usd6, own.won, seed, resamples)
    p = max(result.p, coin)
    return [
        Test(
            "profit",
            result.value,
            p,
            result.low,
            result.high,
            p <= SIZE,
            gate=True,
            text="the return per dollar is more than nothing, whole openings or days resampled and coins "
            "flipped at the price paid: the larger p-value counts",
        ),
        Test(
            "trials",
            result.value,
            min(1.0, p * question.trials),
            None,
            None,
            p * question.trials <= SIZE,
            gate=True,
            text=f"the same with {question.trials} rules tried on these data accounted for (Bonferroni)",
        ),
        Test(
            "price-matched coin flip",
            float(own.won.mean()) if len(own.won) else float("nan"),
            coin,
            None,
            None,
            coin <= SIZE,
            gate=True,
            text="the share won is more than coins win that are as fair as the price paid, fee included",
        ),
        *_directions(grid, own, rule, cluster, seed),
        _shuffled(own, seed),
        _oracle(question, result),
        _ladder(question, result),
        _fees(own),
        _hold_out(grid, own),
        _flattery(question, result),
    ]


def _value(trades: Trades) -> float:
    settled = trades.settled
    spent = int(settled.spent_usd6.sum())
    return int(settled.net_usd6.sum()) / spent if spent else float("nan")


def _directions(grid: Grid, own: Trades, rule: Rule, cluster: Array, seed: int) -> list[Test]:
    """The same moments with the side chosen by a coin, and with the other side."""
    other_side = (1 - own.side).astype(np.int8)
    second = np.full(len(grid.windows), -1, np.int32)
    side = np.zeros(len(grid.windows), np.int8)
    second[own.window], side[own.window] = own.second, other_side
    reverse = settle(grid, Entries(second, side), rule.stake_usd6).settled
    # Where nobody sold the other side there is no other trade.
    net, spent = np.zeros(len(grid.windows), np.int64), np.zeros(len(grid.windows), np.int64)
    net[reverse.window], spent[reverse.window] = reverse.net_usd6, reverse.spent_usd6
    other_net, other_spent = net[own.window].astype(np.float64), spent[own.window].astype(np.float64)
    own_net, own_spent = own.net_usd6.astype(np.float64), own.spent_usd6.astype(np.float64)
    chance = np.random.default_rng(seed + 1)
    kept = (chance.random((SHUFFLES, len(own_net))) < 0.5).astype(np.float64)
    value = _value(own)
    with np.errstate(invalid="ignore", divide="ignore"):
        at_random = (kept @ own_net + (1 - kept) @ other_net) / (kept @ own_spent + (1 - kept) @ other_spent)
        reversed_return = float(other_net.sum() / other_spent.sum())
    p = _share_above(at_random, value)
    # Of the difference of two returns: each trade's advantage by what both spent.
    gain = ratio(own.net_usd6 - net[own.window], own.spent_usd6 + spent[own.window], cluster, seed + 2)
    return [
        Test("random direction", _mean(at_random), p, None, None, p <= SIZE, gate=True,
             text="the chosen side earns more than a coin's side at the same moments"),
        Test("reversed direction", reversed_return, gain.p, None, None, gain.p <= SIZE, gate=True,
             text="the other side at the same moments earns less"),
    ]  # fmt: skip


def _shuffled(own: Trades, seed: int) -> Test:
    """Outcomes dealt out anew among the traded windows."""
    chance = np.random.default_rng(seed + 3)
    up = own.outcome == UP
    size, spent = own.size6.astype(np.float64), float(own.spent_usd6.sum())
    returns = np.array([
        (size * (own.side == (~chance.permutation(up)))).sum() / spent - 1 if spent else np.nan
        for _ in range(SHUFFLES)
    ])  # fmt: skip
    p = _share_above(returns, _value(own))
    return Test(
        "shuffled outcomes",
        _mean(returns),
        p,
        None,
        None,
        p <= SIZE,
        gate=True,
        text="with the outcomes of the traded windows shuffled, the same trades earn less",
    )


def _oracle(question: Question, result: Ratio) -> Test:
    """An oracle heard a minute late must cost the edge, one heard a minute early must pay."""
    parts = {}
    for name, shift in (("late", SHIFT_S), ("early", -SHIFT_S)):
        shifted = with_oracle_shifted(question.grid, shift)
        wanted = question.signal(known_only(shifted))
        found = execute(question.grid, wanted, question.rule.price4)
        parts[name] = _value(settle(question.grid, found, question.rule.stake_usd6))
    passed = not parts["late"] >= result.value and parts["early"] > result.value
    return Test(
        "time-shifted oracle",
        parts["late"],
        None,
        None,
        None,
        passed,
        gate=True,
        parts=parts,
        text=f"with the oracle {SHIFT_S} s late the return is smaller, with it {SHIFT_S} s early "
        "greater: the edge comes from the oracle, and nothing of its future is in it already",
    )


def _ladder(question: Question, result: Ratio) -> Test:
    wanted = question.signal(known_only(question.grid))
    parts = {}
    for rung in LADDER_S:
        slow = later(question.grid, rung)
        parts[f"{rung} s"] = _value(
            settle(slow, execute(slow, wanted, question.rule.price4), question.rule.stake_usd6)
        )
    passed = parts["1 s"] > 0 and not parts["60 s"] >= result.value
    return Test("latency ladder", parts["1 s"], None, None, None, passed, gate=True, parts=parts,
                text="a second more of delay leaves a profit, and a minute takes it away")  # fmt: skip


def _fees(own: Trades) -> Test:
    spent = int(own.spent_usd6.sum())
    doubled = (int(own.net_usd6.sum()) - int(own.fee_usd6.sum())) / spent if spent else float("nan")
    return Test("doubled fees", doubled, None, None, None, doubled > 0, gate=True,
                text="with twice the fee something is left")  # fmt: skip


def _hold_out(grid: Grid, own: Trades) -> Test:
    """The newest windows alone, and everything without its best day and its best asset."""
    parts: dict[str, float] = {}
    opening, day = grid.start_ns[own.window], grid.days[own.window]
    asset = np.array(grid.assets)[own.window] if len(own.window) else np.array([], str)
    edges = np.unique(day if len(np.unique(day)) >= 5 else opening)
    when = day if len(np.unique(day)) >= 5 else opening
    newest = when >= edges[int(len(edges) * (1 - HOLD_OUT))] if len(edges) else np.zeros(0, bool)
    held = own.take(newest)
    parts["held out"] = _value(held)
    for label, groups in (("day", day), ("asset", asset)):
        names = np.unique(groups)
        for name in names:
            shown = _date(int(name)) if label == "day" else str(name)
            parts[f"{label} {shown}"] = _value(own.take(groups == name))
        if len(names) >= 3:
            best = max(names, key=lambda name: int(own.net_usd6[groups == name].sum()))
            parts[f"without the best {label}"] = _value(own.take(groups != best))
    robust = [value for name, value in parts.items() if name.startswith("without") or name == "held out"]
    return Test(
        "date hold-out",
        parts["held out"],
        None,
        None,
        None,
        all(value > 0 for value in robust),
        gate=True,
        parts=parts,
        text=f"the newest {HOLD_OUT:.0%} alone earn, and no single day or asset carries the result",
    )


def _flattery(question: Question, result: Ratio) -> Test:
    def earned(grid: Grid) -> float:
        found = execute(grid, question.signal(known_only(grid)), question.rule.price4)
        return _value(settle(grid, found, question.rule.stake_usd6))

    backward = earned(question.backward)
    parts = {"backward": backward, "honest": result.value}
    if question.sampled is not None:
        stale, ahead = question.sampled
        parts |= {"sampled backward": earned(stale), "sampled forward": earned(ahead)}
    text = "what filling at the last known price, however old, would add: never part of the result"
    flattery = backward - result.value
    # A profit that is made of the stale join alone; without a trade there is nothing to make it of.
    passed = not math.isnan(flattery) and not (backward > 0 and not result.value > 0)
    return Test("stale-join flattery", flattery, None, None, None, passed, True, text, parts)


def _share_above(simulated: Array, value: float) -> float:
    if not np.isfinite(value):
        return 1.0
    return (1 + int((~(simulated < value)).sum())) / (len(simulated) + 1)


def _mean(values: Array) -> float:
    return float(values.mean()) if np.isfinite(values).all() else float("nan")


def _date(day: int) -> str:
    return str(np.datetime64(day * 86_400 * SECOND, "ns").astype("datetime64[D]"))
