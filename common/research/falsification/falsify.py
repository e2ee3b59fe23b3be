"""Falsification: the audit and the battery together, and the one word that comes of them.

Owns the verdict's rule. ``supported`` when every gate holds; otherwise ``not supported`` when something is
wrong with the claim, or when the data would have shown an edge worth having; otherwise ``too little data``.
What a proxy judged is never supported, for a proxy does not settle.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np

from common.core.reference import SETTLING_FAMILY
from common.research.data.dataset import Dataset
from common.research.falsification.audit import AUDITED, Candidate, audit, claim, lag_candidate
from common.research.falsification.battery import Question, Test, answer, clusters
from common.research.falsification.significance import power, trades_needed
from common.research.grids.grid import ANY_SIZE, Reach, build, judged_by, need_tradable
from common.research.grids.trades import Rule

Result = Literal["supported", "not supported", "too little data"]

WORTH_HAVING = 0.02
"""The smallest edge worth having, $ a share after all costs: less is eaten by one tick and a slow day."""
POWER_WANTED = 0.8


class Finding(msgspec.Struct, frozen=True):
    """What falsification found; money in 1e-6 $."""

    result: Result
    text: str
    tests: tuple[Test, ...]
    windows: int
    trades: int
    wins: int
    spent_usd6: int
    net_usd6: int
    trials: int
    edge: float
    """The smallest edge worth having, $ a share."""
    power: float
    """The chance that these trades would have proven that edge."""
    trades_needed: int | None
    """About how many such trades prove it four times of five; unknown without a trade."""
    unsized: int
    """Trades at asks whose size nobody recorded."""
    proxies: int
    """Trades judged by a price that does not settle."""
    judged: dict[str, int] = {}
    """How many of the windows each price family judged; all but the settling one are proxies."""

    @property
    def proxied(self) -> int:
        """Windows judged by a price that does not settle."""
        return _proxied(self.judged)


def falsify(
    data: Dataset, candidate: Candidate, reach: Reach, seed: int = 1, edge: float = WORTH_HAVING
) -> Finding:
    """Put a candidate's claim on these data to every test.

    Raises NothingToTrade when no window of the data can prove anything.
    """
    honest = build(data, reach)
    need_tradable(honest, data.name)
    judged = judged_by(honest, reach)
    grid, claimed = claim(data, candidate)
    audited = audit(data, candidate, reach, grid, claimed, seed)
    if not len(claimed.window):
        audited = [_silent(test) if test.passed else test for test in audited]
    backward = build(data, reach._replace(join="backward"))
    sampled = None
    if data.history.height:
        stale = reach._replace(quotes="history", join="backward")
        sampled = build(data, stale), build(data, reach._replace(quotes="history"))
    question = Question(honest, candidate.signal, candidate.rule, backward, sampled, candidate.trials, seed)
    tests = (*audited, *answer(question, claimed))
    own = claimed.settled
    known = power(own.size6, own.spent_usd6, clusters(grid, own), edge, candidate.trials, seed)
    worth = edge * int(own.size6.sum()) / max(1, int(own.spent_usd6.sum()))
    result, text = judge(tests, known, worth, _proxied(judged))
    side, window, second = own.side, own.window, own.second
    return Finding(
        result,
        text,
        tests,
        int(honest.tradable.sum()),
        len(own.window),
        int(own.won.sum()),
        int(own.spent_usd6.sum()),
        int(own.net_usd6.sum()),
        candidate.trials,
        edge,
        known,
        trades_needed(own.size6, own.spent_usd6, edge, candidate.trials) or None,
        int((grid.fill_size[side, window, second] == ANY_SIZE).sum()),
        int(np.count_nonzero(grid.proxy[window])),
        judged,
    )


def _proxied(judged: Mapping[str, int]) -> int:
    return sum(count for family, count in judged.items() if family != SETTLING_FAMILY)


def _silent(test: Test) -> Test:
    """A test of the claim that had no trade to look at: nothing was found wrong, and nothing right."""
    return msgspec.structs.replace(test, statistic=float("nan"), passed=False)


def judge(tests: tuple[Test, ...], known_power: float, worth: float, proxied: int = 0) -> tuple[Result, str]:
    """The word, and the sentence for it.

    ``worth`` is the edge worth having as a return per dollar, ``proxied`` the windows that a proxy judged.
    """
    result, text = _judged(tests, known_power, worth)
    if not proxied:
        return result, text
    told = f"{text}; {proxied} windows were judged by a proxy, which does not settle"
    return "not supported" if result == "supported" else result, told


def _judged(tests: tuple[Test, ...], known_power: float, worth: float) -> tuple[Result, str]:
    gates = [test for test in tests if test.gate and not test.passed]
    if not gates:
        return "supported", "every test was passed"
    failed = [test.name for test in gates if test.word == "FAILED"]
    silent = [test.name for test in gates if test.word == "no data"]
    broken = [name for name in failed if name in AUDITED]
    if broken:
        return "not supported", f"the claim itself does not hold: {', '.join(broken)}"
    if "profit" in silent:
        return "too little data", "the rule made no trade whose outcome is known: there is nothing to test"
    told = "; ".join(
        f"{word}: {', '.join(names)}" for word, names in (("failed", failed), ("no data", silent)) if names
    )
    highest = next((test.high for test in tests if test.name == "profit"), None)
    if highest is not None and highest < worth:
        bound = f"at most {highest:+.1%} a dollar (95 %), an edge worth having is {worth:+.1%}"
        return "not supported", f"{bound}; {told}"
    if known_power < POWER_WANTED:
        text = (
            f"an edge worth having would be proven by so few trades with a chance of {known_power:.0%} only"
        )
        return "too little data", f"{text}; {told}"
    return "not supported", told


def falsify_lag(data: Dataset, rule: Rule, reach: Reach, trials: int = 1, seed: int = 1) -> Finding:
    """The published rule with these parameters."""
    return falsify(data, lag_candidate(rule, reach, trials), reach, seed)
