"""``laggard backtest``: the rule on recorded markets, honestly filled, with how wide the answer is.

Prints what ``common.research`` found; decides nothing. What is flattered says so in every part of the output.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from common.units import SECOND, price4_text, size6_floor, usd6_exact
from procs.cli.configuration import load_config
from procs.cli.manner import manner
from procs.cli.show import add_row, console, money, print_json, table

if TYPE_CHECKING:
    from common.research.backtesting.backtest import Outcome
    from common.research.backtesting.flattery import Flattery, Join
    from common.research.backtesting.results import Split, Summary, Trade
    from common.research.intervals import Interval

ENOUGH_TRADES = 30
"""A percentile interval of fewer is too narrow to call anything an edge or a loss."""
REFUSED_JOIN = (
    "{count} windows are refused: they have sampled prices and no book, so a fill could only be "
    "a stale join; --flatter shows what that would pretend"
)


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration to trade by.")
@click.option("--assets", help="Only these, separated by commas: btc,eth.")
@click.option("--split", "percent", default=60, show_default=True, type=click.IntRange(1, 99),
              help="Show the first so many percent of the days beside the rest.")  # fmt: skip
@click.option("--assume-size", default="100", show_default=True, metavar="SHARES",
              help="At a best ask of unknown size; 0 fills nothing there.")  # fmt: skip
@click.option(
    "--limits", is_flag=True, help="Keep bankroll, daily loss and loss streak: stop as the bot would."
)
@click.option("--flatter", is_flag=True, help="Fill at stale prices, to see what that pretends; labelled.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def backtest(
    data: Path,
    config_file: Path | None,
    assets: str | None,
    percent: int,
    assume_size: str,
    limits: bool,
    flatter: bool,
    as_json: bool,
) -> int:
    """Trade the windows recorded in DATA (a tape, an imported folder, normalised tables) on paper.

    Engine and executor are those of the running bot. An order is filled at asks observed after it had reached
    the venue, over the depth shown, with the fee of its day. Exits 1 when no window can be traded, or when a
    segment of the tape is torn; what the tape lacks is told on stderr.
    """
    from common.research.backtesting import backtest as backtests
    from common.research.backtesting import flattery
    from common.research.backtesting.pricing import Ages
    from common.research.backtesting.results import split_by_date
    from common.research.backtesting.story import Assumptions
    from common.research.data.loading import load
    from procs.cli.tape_words import gap_fields, tell_gaps

    config = load_config(config_file)
    risk = config.risk_limits()
    try:
        assumed = size6_floor(assume_size)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--assume-size") from None
    patience_ns = int(config.paper.max_fill_age_s * SECOND)
    found = load(data, assets=assets.lower().split(",") if assets else None)
    plan = backtests.Plan(
        config.strategy_settings(),
        risk if limits else backtests.without_stops(risk),
        Ages(max_wait_ns=patience_ns, max_age_ns=patience_ns),
        Assumptions(size6=assumed),
        flatter=flatter,
        bankroll_usd6=usd6_exact(config.paper.bankroll_usd) if limits else backtests.DEEP_POCKET_USD6,
    )
    with _bar() as reached:
        outcome = backtests.run(found, plan, reached)
    joins = flattery.study(found, plan.strategy) if flatter else ()
    split = split_by_date(outcome.trades, outcome.openings_ns, percent)
    if as_json:
        print_json("backtest", data=found.name, **gap_fields(found.gaps), **_fields(outcome, split, joins))
    else:
        _print(console(), found.name, outcome, split, joins)
        tell_gaps(found.gaps)
    return int(bool(found.gaps.tears) or (not outcome.windows and not joins))


@contextmanager
def _bar() -> Iterator[Callable[[float], None] | None]:
    """A bar on a terminal's stderr; it goes away when all is done."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    out = console(stderr=True)
    if manner().quiet or not out.is_terminal:
        yield None
        return
    share = TextColumn("{task.percentage:>3.0f} %")
    with Progress(
        TextColumn("replaying"), BarColumn(), share, TimeElapsedColumn(), console=out, transient=True
    ) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda done: bar.update(task, completed=done)


def _fields(outcome: "Outcome", split: "Split", joins: "tuple[Flattery, ...]") -> dict[str, Any]:
    """Everything as plain values; ``label`` stands beside every set of figures."""
    from common.research.backtesting.results import BREAKDOWNS, broken_down, calibration, fill_ages, summarise

    label, trades = outcome.label, outcome.trades
    ages = fill_ages(trades)
    return {
        "label": label,
        "data_digest": outcome.data_digest,
        "config_sha256": outcome.config_sha256,
        "decisions_sha256": outcome.decisions_sha256,
        "families": outcome.families,
        "windows": outcome.windows,
        "left_out": outcome.left_out,
        "notes": outcome.notes,
        "events": outcome.events,
        "orders": outcome.orders,
        "unfilled": outcome.unfilled._asdict(),
        "refused": outcome.refused,
        "ages": {**ages._asdict(), "label": label} if ages is not None else None,
        "all": _figures(summarise(trades), label),
        **{
            f"by_{by}": {name: _figures(one, label) for name, one in broken_down(trades, by).items()}
            for by in BREAKDOWNS
        },
        "calibration": [
            {**bucket._asdict(), "won_share": bucket.won_share._asdict(), "label": label}
            for bucket in calibration(trades)
        ],
        "split": {
            "cut_ns": split.cut_ns,
            "first": _figures(split.first, label),
            "second": _figures(split.second, label),
        },
        "joins": [
            {
                "windows": one.windows,
                "family": one.family,
                "backward": _join_fields(one.backward),
                "forward": _join_fields(one.forward),
            }
            for one in joins
        ],
        "trades": [_trade_fields(one, label) for one in trades],
    }


def _figures(summary: "Summary", label: str) -> dict[str, Any]:
    return {
        **summary._asdict(),
        "win_rate": summary.win_rate._asdict(),
        "profit_per_trade_usd": summary.profit_per_trade_usd._asdict(),
        "return_per_stake": summary.return_per_stake._asdict(),
        "label": label,
    }


def _join_fields(join: "Join") -> dict[str, Any]:
    return {**join._asdict(), "return_per_stake": join.return_per_stake._asdict()}


def _trade_fields(trade: "Trade", label: str) -> dict[str, Any]:
    return {**trade._asdict(), "won": trade.won, "pnl_usd6": trade.pnl_usd6, "label": label}


def _print(
    out: Console, name: str, outcome: "Outcome", split: "Split", joins: "tuple[Flattery, ...]"
) -> None:
    from common.research.backtesting.results import BREAKDOWNS, broken_down, calibration, fill_ages, summarise

    if outcome.label:
        out.print(Text(outcome.label, "bold red"))
    out.print(Text(f"{name}, data {outcome.data_digest[:12]}, config {outcome.config_sha256[:12]}", "bold"))
    out.print(
        Text(f"judged by {', '.join(outcome.families)}; {outcome.windows} windows, {outcome.events} events")
    )
    for note in outcome.notes:
        out.print(Text(f"  {note}"))
    refused = outcome.left_out.get("sampled prices only, nothing to fill at", 0)
    for reason, count in outcome.left_out.items():
        out.print(Text(f"  left out: {count} windows, {reason}"))
    if refused and not joins:
        out.print(Text(REFUSED_JOIN.format(count=refused), "yellow"))
    unfilled, wishes = outcome.unfilled, sum(outcome.refused.values())
    out.print(Text(f"{outcome.orders} orders, {unfilled.orders} of them unfilled{_codes(unfilled.by_code)}"))
    out.print(Text(f"{wishes} wishes refused by the executor{_codes(outcome.refused)}"))
    ages = fill_ages(outcome.trades)
    if ages is not None:
        wait, late = (f"{ns / SECOND:.2f} s" for ns in (ages.median_wait_ns, ages.p95_wait_ns))
        old = "the age it had then was not recorded"
        if ages.median_age_ns is not None and ages.p95_age_ns is not None:
            old = (
                f"{ages.median_age_ns / SECOND:.2f} s old then (95 %: {ages.p95_age_ns / SECOND:.2f} s, "
                f"of {ages.stamped} stamped by the venue)"
            )
        out.print(
            Text(f"filled at a book that came {wait} (95 %: {late}) after the order was at the venue; {old}")
        )
    out.print()
    parts: dict[str, Mapping[str, Summary]] = {"": {"all": summarise(outcome.trades)}}
    cut = f"{_day(split.cut_ns)}" if split.cut_ns else "the cut"
    parts["by date"] = {f"before {cut}": split.first, f"from {cut}": split.second}
    parts |= {f"by {by}": broken_down(outcome.trades, by) for by in BREAKDOWNS}
    for title, rows in parts.items():
        if rows:
            _print_summaries(out, title, rows, outcome.label)
    buckets = table(
        "bought at", ">trades", ">mean price", ">won", "95 %", title=f"calibration {outcome.label}".strip()
    )
    for bucket in calibration(outcome.trades):
        between = f"{price4_text(bucket.from4)} to {price4_text(bucket.to4)}"
        share = bucket.won_share
        ends = f"{share.low:.2f} to {share.high:.2f}"
        add_row(buckets, [between, bucket.trades, f"{bucket.paid_share:.3f}", f"{share.mean:.3f}", ends])
    out.print(buckets)
    for one in joins:
        _print_joins(out, one)
    out.print(Text(conclusion(summarise(outcome.trades), outcome.label), "bold"))


def _codes(counts: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{code} {count}' for code, count in counts.items())})" if counts else ""


def _day(at_ns: int) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(at_ns // SECOND, datetime.UTC).strftime("%Y-%m-%d %H:%M")


def _print_summaries(out: Console, title: str, rows: "Mapping[str, Summary]", label: str) -> None:
    made = table(
        title or "backtest", ">trades", ">won %", "95 %", ">return per stake %", "95 %", ">$ per trade",
        "95 %", ">profit $", ">drawdown $", ">losing run", title=label or None,
    )  # fmt: skip
    for name, one in rows.items():
        add_row(
            made,
            [
                name,
                one.trades,
                _number(one.win_rate.mean, 100),
                _ends(one.win_rate, 100),
                _number(one.return_per_stake.mean, 100),
                _ends(one.return_per_stake, 100),
                _number(one.profit_per_trade_usd.mean, 1),
                _ends(one.profit_per_trade_usd, 1),
                money(one.pnl_usd6),
                money(one.drawdown_usd6),
                one.losing_run,
            ],
        )
    out.print(made)
    out.print()


def _number(value: float, factor: int) -> str:
    return "-" if value != value else f"{value * factor:+.1f}" if factor == 1 else f"{value * factor:.1f}"  # noqa: PLR0124 - NaN


def _ends(interval: "Interval", factor: int) -> str:
    if interval.mean != interval.mean:
        return "-"
    if abs(interval.low) == float("inf"):
        return "unknown"
    return f"{interval.low * factor:.1f} to {interval.high * factor:.1f}"


def _print_joins(out: Console, one: "Flattery") -> None:
    made = table(
        "join", ">trades", ">won", ">return per stake %", "95 %", ">age of the price, median s", "what it is",
        title=f"{one.windows} windows with sampled prices, judged by {one.family} (proxy)",
    )  # fmt: skip
    for join in (one.backward, one.forward):
        add_row(
            made,
            [
                join.name,
                join.trades,
                join.wins,
                _number(join.return_per_stake.mean, 100),
                _ends(join.return_per_stake, 100),
                f"{join.median_age_s:+.1f}",
                join.label,
            ],
        )
    out.print(made)


def conclusion(summary: "Summary", label: str) -> str:
    """What the figures say, in one sentence."""
    if label:
        return f"{label}: no evidence of anything."
    if not summary.trades:
        return "No trade: nothing can be said."
    low, mean, high = summary.return_per_stake
    if abs(low) == float("inf"):
        return "One opening only: nothing can be said."
    says = "an edge" if low > 0 else "a loss" if high < 0 else "nothing that can be told from zero"
    if summary.trades < ENOUGH_TRADES:
        says = f"too few to tell it from zero (fewer than {ENOUGH_TRADES})"
    return (
        f"{100 * mean:+.1f} % per stake, 95 % between {100 * low:+.1f} and {100 * high:+.1f} %, in "
        f"{summary.trades} trades: {says}."
    )
