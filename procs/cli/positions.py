"""``laggard positions``: what the executor's ledger holds and held. Changes nothing."""

import click
import msgspec

from procs.cli.asking import ask_account, find_place
from procs.cli.show import add_row, clock_time, console, money, print_json, table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def positions(as_json: bool) -> int:
    """List positions, open ones first, as the executor's journal has them."""
    report = ask_account(find_place().run_dir)
    ordered = sorted(report.positions, key=lambda position: (position.settled, -position.end_ns))
    if as_json:
        print_json("positions", positions=msgspec.to_builtins(ordered))
        return 0
    if not ordered:
        click.echo("no positions")
        return 0
    made = table(
        "window", "side", ">shares", ">cost", ">fee", "ends", "official", ">payout", ">profit", "basis"
    )
    for position in ordered:
        settled = position.settled
        add_row(
            made,
            [
                position.window,
                position.outcome,
                f"{position.size6 / 1_000_000:.2f}",
                money(position.cost_usd6),
                money(position.fee_usd6),
                clock_time(position.end_ns),
                position.official if settled else "open",
                money(position.payout_usd6) if settled else None,
                money(position.pnl_usd6) if settled else None,
                position.basis,
            ],
        )
    console().print(made)
    return 0
