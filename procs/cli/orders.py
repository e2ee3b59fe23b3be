"""``laggard orders``: the executor's latest orders and what became of them. Changes nothing."""

import click
import msgspec

from procs.cli.asking import ask_account, find_place
from procs.cli.show import add_row, clock_time, console, money, print_json, table


@click.command()
@click.option("-n", "--number", type=click.IntRange(min=1), default=20, show_default=True, help="How many.")
@click.option("--all", "everything", is_flag=True, help="All that the executor reports.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def orders(number: int, everything: bool, as_json: bool) -> int:
    """List the latest orders, newest first, as the executor's journal has them."""
    report = ask_account(find_place().run_dir)
    newest = sorted(report.orders, key=lambda order: order.created_ns, reverse=True)
    chosen = newest if everything else newest[:number]
    if as_json:
        print_json("orders", orders=msgspec.to_builtins(chosen))
        return 0
    if not chosen:
        click.echo("no orders")
        return 0
    made = table(
        "at", "window", "side", ">limit", ">stake", "status", ">shares", ">cost", ">fee", "why", "basis"
    )
    for order in chosen:
        add_row(
            made,
            [
                clock_time(order.created_ns),
                order.window,
                order.outcome,
                f"{order.limit4 / 10_000:.4f}".rstrip("0"),
                money(order.stake_usd6),
                "unknown" if order.unknown else order.status,
                f"{order.filled_size6 / 1_000_000:.2f}",
                money(order.cost_usd6),
                money(order.fee_usd6),
                order.unknown or order.reason,
                order.basis,
            ],
            style="yellow" if order.unknown or order.status == "working" else None,
        )
    console().print(made)
    return 0
