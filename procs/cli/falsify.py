"""``laggard falsify``: try to break a strategy on recorded markets, and write down what was left of it.

Prints what ``common.research.falsification.falsify`` found and has the verdict signed; decides nothing.
"""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from common.runtime.paths import make_paths, private_directory
from procs.cli.configuration import load_config
from procs.cli.show import add_row, console, money, print_json, progress, table
from procs.cli.tape_words import gap_fields, tell_gaps

if TYPE_CHECKING:
    from common.research.falsification.falsify import Finding

MOST_PARTS = 8
TEXT_COLUMNS = 48
"""Of the sentences in the table, which then takes less than 100 columns in all."""
SELF_CHECK_STRATEGIES = 200
SELF_CHECK_WORLDS = 50


@click.command()
@click.argument("data", type=click.Path(path_type=Path), required=False)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="The configuration to judge.")
@click.option("--strategy", type=click.Choice(["lag"]), default="lag", show_default=True)
@click.option("--assets", help="Only these, separated by commas: btc,eth.")
@click.option(
    "--trials",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Rules tried on these data elsewhere; those tried with laggard are counted anyway.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Verdict file; otherwise as configured."
)
@click.option("--seed", default=1, show_default=True, type=int)
@click.option(
    "--self-check", is_flag=True, help="Try the battery itself on made-up worlds; takes a minute or two."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def falsify(
    data: Path | None,
    config_file: Path | None,
    strategy: str,
    assets: str | None,
    trials: int,
    out: Path | None,
    seed: int,
    self_check: bool,
    as_json: bool,
) -> int:
    """Put the configured rule to every test on DATA and sign the verdict: laggard up --live asks for it.

    Where nothing of the settling stream was recorded beside a window, other prices judge it, labelled as
    proxies; such a verdict is never supported. Exits 0 when the edge is supported, 1 when it is not or when
    there is too little data; without a window that can be traded nothing is signed or counted as tried.
    """
    if self_check:
        return _self_check(seed, as_json)
    if data is None:
        raise click.UsageError("name DATA: a tape, an imported folder, or a folder of normalised tables")
    config = load_config(config_file)
    paths = make_paths(config.paths.state_dir, config.paths.run_dir)
    private_directory(paths.state_dir)

    from common.research.data.loading import load
    from common.research.falsification import trials as ledger
    from common.research.falsification import verdict
    from common.research.falsification.falsify import falsify_lag
    from common.research.grids.grid import reach_of
    from common.research.grids.trades import rule_of

    found = load(data, assets=assets.lower().split(",") if assets else None)
    tell_gaps(found.gaps)
    rule = rule_of(config.strategy_settings())
    known, rules = paths.state_dir / "trials", [(rule.move_ppm, rule.left_s, rule.price4)]
    tried = ledger.with_these(known, found.digest, rules)
    progress(f"{found.markets.height} windows of {found.name}; with this one {tried} rules tried on them")
    reach = reach_of(config.strategy_settings(), found)
    finding = falsify_lag(found, rule, reach, max(trials, tried), seed)
    ledger.remember(known, found.digest, rules)
    file = out or verdict.verdict_file(config, paths.state_dir)
    written = verdict.write(
        file,
        verdict.key_file(paths.state_dir),
        config,
        finding,
        data_digest=found.digest,
        data_name=found.name,
        at_ns=time.time_ns(),
    )
    if as_json:
        # The file's own kind and schema are its form, not this answer's.
        told = {name: value for name, value in written.items() if name not in ("kind", "schema")}
        print_json("falsify", strategy=strategy, file=str(file), **gap_fields(found.gaps), **told)
    else:
        _print(finding, file)
    return int(finding.result != "supported")


def _print(finding: "Finding", file: Path) -> None:
    from common.research.backtesting.story import judges_told

    out = console()
    made = table("test", ">figure", ">p", "", "what it means")
    made.columns[-1].max_width = TEXT_COLUMNS
    for test in finding.tests:
        p = None if test.p is None or test.word == "no data" else f"{test.p:.4f}"
        add_row(
            made,
            [test.name, _figure(test.statistic), p, test.word, test.text],
            style="red" if test.word == "FAILED" else None,
        )
        if test.low is not None and test.high is not None and test.word != "no data":
            known = f"{_figure(test.low)} to {_figure(test.high)}" if math.isfinite(test.low) else "unknown"
            add_row(made, ["", "", "", "", f"one-sided 95 % bounds: {known}"])
        if any(map(math.isfinite, test.parts.values())):
            shown = list(test.parts.items())[:MOST_PARTS]
            more = f", and {len(test.parts) - MOST_PARTS} more" if len(test.parts) > MOST_PARTS else ""
            text = ", ".join(f"{name} {_figure(value)}" for name, value in shown)
            add_row(made, ["", "", "", "", text + more])
    out.print(made)
    out.print(judges_told(finding.judged))
    out.print(
        f"{finding.trades} trades in {finding.windows} windows, {finding.wins} won, "
        f"{money(finding.spent_usd6)} $ spent, {money(finding.net_usd6)} $ net; {finding.trials} rules tried"
    )
    if finding.trades_needed is not None:
        out.print(
            f"power {finding.power:.0%} against an edge of {finding.edge:.2f} $ a share; about "
            f"{finding.trades_needed} such trades prove it four times of five"
        )
    if finding.unsized:
        out.print(f"{finding.unsized} trades at asks whose size nobody recorded: taken as large enough")
    if finding.proxies:
        out.print(f"{finding.proxies} trades judged by a price that does not settle: proxy, not settlement")
    out.print(f"{finding.result}: {finding.text}")
    out.print(f"signed: {file}")


def _figure(value: float) -> str:
    return f"{value:+.4f}" if math.isfinite(value) else "-"


def _self_check(seed: int, as_json: bool) -> int:
    from common.research.falsification import calibration

    progress("planting ten leaks")
    caught = list(calibration.catch_leaks(seed))
    progress(f"trying {SELF_CHECK_STRATEGIES} strategies without sense")
    senseless = calibration.without_sense(SELF_CHECK_STRATEGIES, seed=seed)
    progress(f"trying the rule in {SELF_CHECK_WORLDS} worlds with a planted edge")
    edged = calibration.with_edge(SELF_CHECK_WORLDS, calibration.EDGED, seed)
    well = (
        all(one.caught for one in caught)
        and senseless.supported <= 0.05 * senseless.strategies
        and edged.supported >= 0.8 * edged.strategies
    )
    if as_json:
        print_json("falsify-self-check", ok=well, leaks=[one._asdict() for one in caught],
                   without_sense=senseless._asdict(), with_edge=edged._asdict())  # fmt: skip
        return int(not well)
    made = table("planted leak", ">claimed", ">honest", "", "tests that failed")
    for one in caught:
        add_row(
            made,
            [
                one.name,
                _figure(one.claimed),
                _figure(one.honest),
                "caught" if one.caught else "MISSED",
                ", ".join(one.failed),
            ],
        )
    console().print(made)
    console().print(
        f"without sense: {senseless.supported} of {senseless.strategies} supported, "
        f"{senseless.profitable} by profit alone; planted edge of {edged.edge:.4f} $ a share, {edged.trades} "
        f"trades: {edged.supported} of {edged.strategies} supported"
    )
    return int(not well)
