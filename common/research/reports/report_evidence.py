"""What a report says about the rule: its trades on paper, what falsification left of them, the headline.

Owns the first sentence of a report. Never calls anything an edge that falsification did not support.
"""

import math
from collections.abc import Mapping, Sequence

from common.research.backtesting.backtest import Outcome
from common.research.backtesting.flattery import Flattery
from common.research.backtesting.results import (
    BREAKDOWNS,
    Summary,
    broken_down,
    calibration,
    fill_ages,
    split_by_date,
    summarise,
)
from common.research.backtesting.story import judges_told
from common.research.falsification.falsify import Finding
from common.research.intervals import Interval
from common.research.lag.lag_study import LagStudy, share_done
from common.research.reports import plots
from common.research.reports.report import Block, Bullets, Notice, Section, Table
from common.research.reports.report_lag import NOTHING, ends
from common.units import SECOND, USD6_ONE, usd6_text

ENOUGH_TRADES = 30
"""An interval of fewer is too narrow to be called an edge or a loss."""
SPLIT_PERCENT = 60
SUPPORTED = "supported"


def headline(lag: LagStudy, outcome: Outcome | None, finding: Finding | None) -> str:
    """The conclusion of everything that was measured, in one sentence."""
    if outcome is None and finding is None:
        return lag.conclusion
    parts = []
    if outcome is not None:
        parts.append(_returned(summarise(outcome.trades)))
    elif finding is not None:
        parts.append(f"{finding.trades} trades on paper net {usd6_text(finding.net_usd6)} $")
    if finding is not None and finding.result != SUPPORTED:
        proxied = ", judged by a proxy, which does not settle" if finding.proxied else ""
        parts.append(f"falsification says: {finding.result}{proxied}")
    best = lag.series[0] if lag.series else None
    if best is not None and best.enough:
        parts.append(share_done(best))
    told = "; ".join(parts)
    if outcome is not None and outcome.label:
        return f"{outcome.label}, no evidence of anything: {told}."
    if finding is not None and finding.result == SUPPORTED:
        return f"An edge is supported by these data: {told}."
    return f"No edge shown: {told}."


def _returned(found: Summary) -> str:
    if not found.trades:
        return "the rule found nothing to trade"
    returned = found.return_per_stake
    few = ", too few to tell from zero" if found.trades < ENOUGH_TRADES else ""
    return (
        f"{found.trades} trades at prices one could really trade returned {100 * returned.mean:+.0f} % per "
        f"stake (95 %: {ends(returned, '{:+.0f}', 100)} %){few}"
    )


def backtest_section(outcome: Outcome, joins: Sequence[Flattery] = ()) -> Section:
    """The rule on paper: what it traded, at prices how old, what that earned; stale joins beside it."""
    whole = summarise(outcome.trades)
    split = split_by_date(outcome.trades, outcome.openings_ns, SPLIT_PERCENT)
    blocks: list[Block] = []
    if outcome.label:
        blocks.append(Notice(f"{outcome.label}: filled at prices that were gone. No evidence of anything."))
    blocks.append(
        "Engine and executor are those of the running bot. An order is filled only at an ask that was "
        "observed after it had reached the venue, over the depth that was shown, with the fee of its day."
    )
    blocks.append(Bullets(_what_was_traded(outcome)))
    parts: dict[str, Mapping[str, Summary]] = {
        "": {"all": whole},
        "windows": {f"first {SPLIT_PERCENT} %": split.first, f"last {100 - SPLIT_PERCENT} %": split.second},
    }
    parts |= {by: broken_down(outcome.trades, by) for by in BREAKDOWNS}
    if outcome.trades:
        # A part that is the whole would say the same again.
        blocks += _plots(
            outcome, _rows({by: group for by, group in parts.items() if not by or len(group) > 1})
        )
    blocks += [_summaries(_rows(parts)), *(_joins(one) for one in joins)]
    return Section("The rule on paper", blocks)


def _rows(parts: Mapping[str, Mapping[str, Summary]]) -> list[tuple[str, Summary]]:
    return [
        (f"{by}: {name}" if by else name, one) for by, group in parts.items() for name, one in group.items()
    ]


def _what_was_traded(outcome: Outcome) -> list[str]:
    found = [
        (
            f"{outcome.windows} windows could be traded; {outcome.orders} orders, "
            f"{outcome.unfilled.orders} of them unfilled; {sum(outcome.refused.values())} wishes refused "
            "by the executor."
        ),
        f"Judged by {', '.join(outcome.families)}; only the first of them settles."
        if outcome.families
        else "",
        *(f"Left out: {count} windows, {reason}." for reason, count in outcome.left_out.items()),
        *(f"{note}." for note in outcome.notes),
    ]
    ages = fill_ages(outcome.trades)
    if ages is not None:
        old = "the age it had by then was not recorded"
        if ages.median_age_ns is not None:
            old = f"{ages.median_age_ns / SECOND:.2f} s old in the median ({ages.stamped} of them stamped)"
        found.append(
            f"The book that filled an order came {ages.median_wait_ns / SECOND:.2f} s after it was at the "
            f"venue in the median, {ages.p95_wait_ns / SECOND:.2f} s at 95 %; {old}."
        )
    return [line for line in found if line]


def _plots(outcome: Outcome, rows: list[tuple[str, Summary]]) -> list[Block]:
    ordered = sorted(outcome.trades, key=lambda one: (one.start_ns, one.window))
    profits, total = [], 0
    for one in ordered:
        total += one.pnl_usd6
        profits.append(total / USD6_ONE)
    returns = [(name, _percent(one.return_per_stake)) for name, one in rows]
    known = [row for row in returns if all(map(math.isfinite, row[1]))]
    buckets = calibration(outcome.trades)
    blocks: list[Block] = [
        plots.steps(
            "profit", profits, "profit, $",
            f"Profit after fees as it grew over {len(profits)} trades; it ends at {profits[-1]:+.2f} "
            "dollars.",
            "Profit after fees",
        ),
        plots.shares(
            "calibration", [(bucket.paid_share, bucket.won_share) for bucket in buckets],
            "Share of trades that won beside the mean price paid: "
            + "; ".join(f"{100 * one.won_share.mean:.0f} % at {one.paid_share:.2f}" for one in buckets) + ".",
            "Price paid beside what came of it",
        ),
    ]  # fmt: skip
    if known:
        worded = "; ".join(
            f"{name} {one.mean:+.0f} % ({one.low:+.0f} to {one.high:+.0f})" for name, one in known
        )
        blocks.insert(
            1,
            plots.forest(
                "returns", known, "return per stake, % (95 %)",
                f"Return per stake with 95 % interval: {worded}.",
                "Return per stake, in all and in parts",
            ),
        )  # fmt: skip
    return blocks


def _summaries(rows: list[tuple[str, Summary]]) -> Table:
    columns = (
        "part", ">trades", ">won, %", ">95 %", ">return per stake, %", ">95 %", ">profit, $", ">fees, $",
        ">drawdown, $",
        ">losing run",
    )  # fmt: skip
    cells = [
        (
            name, one.trades, f"{100 * one.win_rate.mean:.0f}" if one.trades else NOTHING,
            ends(one.win_rate, "{:.0f}", 100),
            f"{100 * one.return_per_stake.mean:+.1f}" if one.trades else NOTHING,
            ends(one.return_per_stake, "{:+.1f}", 100), usd6_text(one.pnl_usd6), usd6_text(one.fees_usd6),
            usd6_text(one.drawdown_usd6), one.losing_run,
        )
        for name, one in rows
    ]  # fmt: skip
    return Table("Trades, in all and in parts; an interval of too few openings is unknown", columns, cells)


def _joins(one: Flattery) -> Table:
    rows = [
        (
            join.name, join.trades, join.wins,
            f"{100 * join.return_per_stake.mean:+.1f}" if join.trades else NOTHING,
            ends(join.return_per_stake, "{:+.1f}", 100), f"{join.median_age_s:+.1f}", join.label,
        )
        for join in (one.backward, one.forward)
    ]  # fmt: skip
    columns = (
        "join", ">trades", ">won", ">return per stake, %", ">95 %", ">age of the price, median s",
        "what it is",
    )  # fmt: skip
    caption = (
        f"What a stale join would pretend: {one.windows} windows that have sampled prices and no book, "
        f"judged by {one.family}"
    )
    return Table(caption, columns, rows)


def falsify_section(finding: Finding) -> Section:
    """Every test, whether it was passed, and the power that these data had."""
    rows = [
        (
            test.name, NOTHING if math.isnan(test.statistic) else f"{test.statistic:+.4f}",
            NOTHING if test.p is None or test.word == "no data" else f"{test.p:.4f}",
            test.word, test.text,
        )
        for test in finding.tests
    ]  # fmt: skip
    told = f"{finding.trades} trades in {finding.windows} windows; rules tried: {finding.trials}."
    if finding.trades_needed is not None:
        told += (
            f" An edge of {finding.edge:.2f} $ a share would have been proven with a chance of "
            f"{finding.power:.0%}; about {finding.trades_needed} such trades prove it four times of five."
        )
    blocks: list[Block] = [
        f"{finding.result.capitalize()}: {finding.text}.",
        *([f"{judges_told(finding.judged)}."] if finding.judged else []),
        told,
        Table("Tests", ("test", ">figure", ">p", "", "what it means"), rows),
    ]
    ladder = next((test for test in finding.tests if test.name == "latency ladder" and test.parts), None)
    if ladder is not None and all(map(math.isfinite, ladder.parts.values())):
        rungs = [(name, 100 * value) for name, value in ladder.parts.items()]
        worded = ", ".join(f"{value:+.0f} % after {name}" for name, value in rungs)
        blocks.insert(
            len(blocks) - 1,
            plots.ladder(
                "latency", rungs, "return per stake, %",
                f"Return per stake when the order comes later: {worded}.",
                "The same trades, filled later",
            ),
        )  # fmt: skip
    if finding.unsized:
        blocks.append(f"{finding.unsized} trades at asks whose size nobody recorded: taken as large enough.")
    if finding.proxies:
        blocks.append(f"{finding.proxies} trades judged by a price that does not settle.")
    return Section("Falsification", blocks)


def untested_section(why: str) -> Section:
    """In place of the tests where no window of the data can prove anything."""
    return Section("Falsification", [Notice(f"Nothing to test. {why}.")])


def _percent(interval: Interval) -> Interval:
    return Interval(*(100 * value for value in interval))
