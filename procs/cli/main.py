"""The ``laggard`` command: names every subcommand and loads only the one that was asked for.

Owns the exit code of every error. Does nothing itself. Help and the completion of options load a command's
module, so of what is installed such modules import only click, msgspec and rich at their top; whatever else a
command works with is imported by the function that does the work.
"""

import importlib
import sys
import traceback
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from common.errors import ConfigError, DependencyMissing, LaggardError
from procs.cli import manner

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("procs.cli.up_down:up", "Start all processes under supervisord."),
    "down": ("procs.cli.up_down:down", "Stop all processes and supervisord."),
    "check": ("procs.cli.check:check", "Check everything that must be true before real money moves."),
    "status": ("procs.cli.status:status", "Ask every process how it is."),
    "watch": ("procs.cli.watch:watch", "Follow windows, prices, books, verdicts and positions."),
    "pause": ("procs.cli.steer:pause", "Begin no order until laggard resume."),
    "noentry": ("procs.cli.steer:noentry", "Begin no new position until laggard resume."),
    "halt": ("procs.cli.steer:halt", "The kill switch: nothing begins, whatever is restarted meanwhile."),
    "resume": ("procs.cli.steer:resume", "Allow new orders again."),
    "flatten": ("procs.cli.steer:flatten", "Begin nothing new and sell what can be sold."),
    "cancelall": ("procs.cli.steer:cancelall", "Take back every order that rests or is open."),
    "logs": ("procs.cli.logs:logs", "Show or follow the log of one process."),
    "errors": ("procs.cli.logs:errors", "Show the latest warnings and errors of all processes."),
    "why": ("procs.cli.why:why", "Show why there is or is no trade in a window."),
    "positions": ("procs.cli.positions:positions", "List what is held and what became of it."),
    "orders": ("procs.cli.orders:orders", "List the latest orders and what became of them."),
    "pnl": ("procs.cli.pnl:pnl", "Show the account: cash, fees, profit and loss."),
    "prove": ("procs.cli.prove:prove_money", "Prove the account against chain and venue, to the last unit."),
    "redeem": ("procs.cli.redeem:redeem", "Bring what was won back into the wallet."),
    "replay": ("procs.cli.replay:replay", "Run a tape through the decision engine again."),
    "lag": ("procs.cli.lag:lag", "Measure how late the book is behind the price."),
    "backtest": ("procs.cli.backtest:backtest", "Trade recorded data on paper, honestly filled."),
    "sweep": ("procs.cli.sweep:sweep", "Try every combination of the rule's parameters."),
    "falsify": ("procs.cli.falsify:falsify", "Try to break the strategy; sign what is left of it."),
    "report": ("procs.cli.report:report", "Write everything that was measured as one HTML page."),
    "record": ("procs.cli.record:record", "Record prices and books without trading, with no key."),
    "tape": ("procs.cli.tape:tape", "List tapes, report their gaps, write them as Parquet."),
    "data": ("procs.cli.data:data", "Import recordings, fetch the venue's history, check both."),
    "config": ("procs.cli.config_show:config", "Show or check the configuration."),
    "decode": ("procs.cli.decode:decode", "Turn recorded frames into messages or named refusals."),
    "init": ("procs.cli.init:init", "Write a first configuration; make a reader key, a trading key."),
    "service": ("procs.cli.service:service", "Install laggard as a systemd service."),
    "completion": ("procs.cli.completion:completion", "Print the completion for bash, zsh or fish."),
    "version": ("procs.cli.version:version", "Show which laggard this is."),
    "demo": ("procs.cli.demo:demo", "Run everything offline against the simulated venue."),
}


class LazyGroup(click.Group):
    """A group whose help costs no import of any subcommand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module_name, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module_name), attribute)
        assert isinstance(command, click.Command)
        return manner.with_options(command)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names and texts from the table: completion costs no import of any subcommand either."""
        names = [
            CompletionItem(name, help=text)
            for name, (_, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _show_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from procs.cli.version import version

        ctx.invoke(version, as_json=False)
        ctx.exit()


VERSION = click.Option(
    ["--version"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show which laggard this is.",
)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[*manner.options(hidden=False), VERSION],
    epilog="Exit codes: 0 well, 1 failed, 2 usage, 3 something is down, 4 supervisord is down, "
    "69 something is in the way, 78 wrong configuration, 130 interrupted.",
)
def laggard() -> None:
    """Trade the lag between the settling oracle and the order book, on paper or live, to the last cent."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; every expected error becomes one line and its exit code."""
    sys.exit(run(laggard, arguments))


def run(command: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a traceback is shown only with -v."""
    manner.reset()
    try:
        return _outcome(command, arguments)
    except BrokenPipeError:
        # The reader of a pipe left; the interpreter must not complain again while flushing.
        sys.stdout = None
        return 0
    except Exception as error:  # noqa: BLE001 - the outermost frame of every command
        if manner.manner().verbose:
            traceback.print_exc()
        return _told(error)


def _outcome(command: click.Command, arguments: Sequence[str] | None) -> int:
    try:
        outcome = command.main(
            args=list(arguments) if arguments is not None else None, prog_name=None, standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as request:
        return request.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    return outcome if isinstance(outcome, int) else 0


def _told(error: Exception) -> int:
    """Tell an error in a line for each problem; its exit code."""
    if isinstance(error, ConfigError):
        for problem in error.problems:
            click.echo(f"configuration: {problem}", err=True)
        return error.exit_code
    if isinstance(error, LaggardError):
        click.echo(str(error), err=True)
        return error.exit_code
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith(("common", "procs")):
        where = "bin/setup installs all that a command may need, an image the EXTRAS of its Dockerfile"
        click.echo(f"{error.name} is not installed here; {where}", err=True)
        return DependencyMissing.exit_code
    what = f"{type(error).__name__}: {error}"
    click.echo(f"this is a mistake in laggard: {what}; the same command with -v shows where", err=True)
    return 1


if __name__ == "__main__":
    main()
