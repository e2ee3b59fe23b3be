"""``laggard pnl``: the executor's account, from its ledger. Changes nothing."""

import click
import msgspec

from common.messages import AccountReport
from procs.cli.asking import ask_account, find_place
from procs.cli.show import add_row, clock_time, console, money, print_json, table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def pnl(as_json: bool) -> int:
    """Show cash, fees, profit and loss, and whether the books add up; exit 1 when they do not."""
    report = ask_account(find_place().run_dir)
    account = report.account
    if as_json:
        print_json(
            "pnl",
            account=msgspec.to_builtins(account),
            posture=msgspec.to_builtins(report.posture),
        )
    else:
        _print(report)
    if account.ledger_difference_usd6:
        click.echo(
            f"the ledger and its independent sum differ by {account.ledger_difference_usd6} millionths of a "
            "dollar; stop trading and keep the journal as it is",
            err=True,
        )
        return 1
    return 0


def _print(report: AccountReport) -> None:
    account, posture = report.account, report.posture
    since = f" since {clock_time(posture.since_ns)} UTC by {posture.who}" if posture.who else ""
    made = table("account", ">dollars")
    for name, amount in (
        ("cash", account.cash_usd6),
        ("cost of open positions", account.open_cost_usd6),
        ("fees paid", account.fees_usd6),
        ("realized profit and loss", account.realized_pnl_usd6),
        (f"of which {account.day}", account.day_pnl_usd6),
    ):
        add_row(made, [name, money(amount)])
    console().print(made)
    click.echo(
        f"{account.mode}: {account.orders} orders, {account.fills} fills, loss streak {account.loss_streak}"
    )
    proxies = [position for position in report.positions if position.basis != "settlement"]
    if proxies:
        profit = money(sum(position.pnl_usd6 for position in proxies))
        click.echo(f"{len(proxies)} of these positions were judged by a {proxies[0].basis}: profit {profit}")
    click.echo(f"posture: {posture.posture}{since}{f' ({posture.reason})' if posture.reason else ''}")
