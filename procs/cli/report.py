"""``laggard report``: everything that was measured on some data as one self-contained HTML page.

Computes with ``common.research`` and decides nothing. Signs no verdict: ``laggard falsify`` does.
"""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from common.runtime.paths import make_paths, private_directory
from common.units import SECOND
from procs.cli.configuration import load_config
from procs.cli.data import need_research
from procs.cli.show import print_json, progress
from procs.cli.tape_words import tell_gaps
from procs.cli.version import commit, installed_version

if TYPE_CHECKING:
    from common.research.backtesting.backtest import Outcome
    from common.research.data.dataset import Dataset
    from common.research.data.tape_gaps import Gaps
    from common.research.falsification.falsify import Finding
    from common.runtime.config import Config


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The HTML file.")
@click.option("--backtest/--no-backtest", "traded", default=True, show_default=True,
              help="Trade the configured rule on the data.")  # fmt: skip
@click.option("--falsify/--no-falsify", "tested", default=True, show_default=True,
              help="Put the configured rule to every test.")  # fmt: skip
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="The configuration to report on."
)
@click.option("--assets", help="Only these, separated by commas: btc,eth.")
@click.option(
    "--png", type=click.Path(path_type=Path, file_okay=False), help="Write the plots to this folder."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def report(
    data: Path,
    out: Path,
    traded: bool,
    tested: bool,
    config_file: Path | None,
    assets: str | None,
    png: Path | None,
    as_json: bool,
) -> int:
    """Measure the lag on DATA, trade the rule on paper, try to break it, and write it all to one page.

    The page opens with the conclusion and needs no network. Exits 0 whatever the conclusion is.
    """
    need_research()
    from common.research.backtesting import flattery
    from common.research.data.loading import load
    from common.research.falsification.verdict import config_hash
    from common.research.grids.grid import NothingToTrade
    from common.research.lag import lag_study
    from common.research.reports import report as reports
    from common.research.reports.report_evidence import (
        backtest_section,
        falsify_section,
        headline,
        untested_section,
    )
    from common.research.reports.report_lag import data_facts, lag_section, limits_section, method_section

    config = load_config(config_file)
    found = load(data, assets=assets.lower().split(",") if assets else None)
    tell_gaps(found.gaps)
    progress(f"measuring the lag on {found.markets.height} windows of {found.name}")
    lag = lag_study.study(found)
    sections = [lag_section(lag)]
    outcome, finding = None, None
    if traded:
        progress("trading the rule on paper")
        outcome = _traded(found, config)
        sections.append(backtest_section(outcome, flattery.study(found, config.strategy_settings())))
    if tested:
        progress("trying to break it")
        try:
            finding = _tested(found, config)
            sections.append(falsify_section(finding))
        except NothingToTrade as why:
            sections.append(untested_section(str(why)))
    page = reports.Page(
        f"laggard: evidence on {found.name}",
        headline(lag, outcome, finding),
        [
            *data_facts(found.name, found.digest),
            ("windows", _span(found)),
            ("known to be missing", _lacks(found.gaps)),
            ("code hash", reports.code_digest()),
            ("config hash", config_hash(config)),
            ("laggard", " ".join(filter(None, (installed_version(), commit())))),
        ],
        [*sections, method_section(lag), limits_section(lag)],
    )
    reports.write(page, out)
    progress(f"written to {out}")
    pngs = reports.write_pngs(page, png) if png is not None else []
    if as_json:
        print_json("report", file=str(out), conclusion=page.conclusion, facts=dict(page.facts),
                   pngs=[str(file) for file in pngs])  # fmt: skip
    else:
        click.echo(page.conclusion)
    return 0


def _traded(found: "Dataset", config: "Config") -> "Outcome":
    """As ``laggard backtest`` does without options."""
    from common.research.backtesting import backtest
    from common.research.backtesting.pricing import Ages

    patience_ns = int(config.paper.max_fill_age_s * SECOND)
    ages = Ages(max_wait_ns=patience_ns, max_age_ns=patience_ns)
    limits = backtest.without_stops(config.risk_limits())
    return backtest.run(found, backtest.Plan(config.strategy_settings(), limits, ages))


def _tested(found: "Dataset", config: "Config") -> "Finding":
    """As ``laggard falsify`` does; it counts as a trial."""
    from common.research.falsification import trials
    from common.research.falsification.falsify import falsify_lag
    from common.research.grids.grid import reach_of
    from common.research.grids.trades import rule_of

    paths = make_paths(config.paths.state_dir, config.paths.run_dir)
    private_directory(paths.state_dir)
    rule = rule_of(config.strategy_settings())
    known, rules = paths.state_dir / "trials", [(rule.move_ppm, rule.left_s, rule.price4)]
    reach = reach_of(config.strategy_settings(), found)
    finding = falsify_lag(found, rule, reach, trials.with_these(known, found.digest, rules))
    trials.remember(known, found.digest, rules)
    return finding


def _lacks(gaps: "Gaps") -> str:
    """What the tapes that were read lack."""
    torn = f", {len(gaps.tears)} torn segments" if gaps.tears else ""
    return f"{gaps.missing} messages{torn}" if gaps.missing or torn else "nothing"


def _span(found: "Dataset") -> str:
    openings, ends = (found.markets[name].to_list() for name in ("start_ns", "end_ns"))
    if not openings:
        return "none"
    assets = ", ".join(sorted(found.markets["asset"].unique())).upper()
    first, last = (
        datetime.datetime.fromtimestamp(ns // SECOND, datetime.UTC).strftime("%Y-%m-%d %H:%M")
        for ns in (min(openings), max(ends))
    )
    return f"{len(openings)} of {assets}, {first} to {last} UTC"
