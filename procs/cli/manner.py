"""How this run of the command line speaks: quiet, with tracebacks, without colour.

Owns the options every command understands, wherever on the line they stand. Loads nothing but click.
"""

from dataclasses import dataclass

import click


@dataclass(slots=True)
class Manner:
    """What was asked for on this command line."""

    quiet: bool = False
    """Nothing that only tells how far a command is; errors and results are always told."""
    verbose: bool = False
    """The traceback of whatever ended the command."""
    colourless: bool = False


_NOW = Manner()


def manner() -> Manner:
    """The manner of this run."""
    return _NOW


def reset() -> None:
    """Forget what an earlier run of this interpreter was asked for."""
    _NOW.quiet = _NOW.verbose = _NOW.colourless = False


def options(*, hidden: bool) -> list[click.Option]:
    """The options every command understands; a command of the group hides them from its own help."""
    return [
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            hidden=hidden,
            callback=_be_quiet,
            help="Say nothing about progress.",
        ),
        click.Option(
            ["-v", "--verbose"],
            is_flag=True,
            expose_value=False,
            hidden=hidden,
            callback=_be_verbose,
            help="Show the traceback of an error.",
        ),
        click.Option(
            ["--no-color"],
            is_flag=True,
            expose_value=False,
            hidden=hidden,
            callback=_without_colour,
            help="No colours; NO_COLOR in the environment says the same.",
        ),
    ]


def with_options(command: click.Command) -> click.Command:
    """Let a command and its own commands take the options too, so that they may stand at the end."""
    known = {name for option in command.params for name in option.opts}
    command.params += [option for option in options(hidden=True) if known.isdisjoint(option.opts)]
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            with_options(inner)
    return command


def _be_quiet(_ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    _NOW.quiet |= value


def _be_verbose(_ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    _NOW.verbose |= value


def _without_colour(_ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    _NOW.colourless |= value
