"""The ``laggard`` command: names every subcommand and loads only the one that was asked for.

Owns the exit code of every error. Does nothing itself.
"""

import importlib
import sys
from collections.abc import Sequence

import click

from common.errors import ConfigError, LaggardError

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("procs.cli.up_down:up", "Start all processes under supervisord."),
    "down": ("procs.cli.up_down:down", "Stop all processes and supervisord."),
    "check": ("procs.cli.check:check", "Check everything that must be true before real money moves."),
    "status": ("procs.cli.status:status", "Ask every process how it is."),
    "watch": ("procs.cli.watch:watch", "Follow windows, prices, books, verdicts and positions."),
    "why": ("procs.cli.why:why", "Show why there is or is no trade in a window."),
    "positions": ("procs.cli.positions:positions", "List what is held and what became of it."),
    "pnl": ("procs.cli.pnl:pnl", "Show the account: cash, fees, profit and loss."),
    "prove": ("procs.cli.prove:prove_money", "Prove the account against chain and venue, to the last unit."),
    "redeem": ("procs.cli.redeem:redeem", "Bring what was won back into the wallet."),
    "config": ("procs.cli.config_show:config", "Show or check the configuration."),
    "decode": ("procs.cli.decode:decode", "Turn recorded frames into messages or named refusals."),
    "init": ("procs.cli.init:init", "Make what a first start needs: a reader key, a trading key."),
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
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 well, 1 failed, 2 usage, 3 something is down, 4 supervisord is down, "
    "69 something is in the way, 78 wrong configuration, 130 interrupted.",
)
def laggard() -> None:
    """Trade the lag between the settling oracle and the order book, on paper or live, to the last cent."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; every expected error becomes one line and its exit code."""
    sys.exit(run(laggard, arguments))


def run(command: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
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
    except BrokenPipeError:
        # The reader of a pipe left; the interpreter must not complain again while flushing.
        sys.stdout = None
        return 0
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"configuration: {problem}", err=True)
        return error.exit_code
    except LaggardError as error:
        click.echo(str(error), err=True)
        return error.exit_code
    return outcome if isinstance(outcome, int) else 0


if __name__ == "__main__":
    main()
