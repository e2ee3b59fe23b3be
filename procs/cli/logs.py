"""``laggard logs`` and ``laggard errors``: what the programs wrote down. Changes nothing."""

import time
from pathlib import Path

import click
import msgspec
from click.shell_completion import CompletionItem

from procs.cli.log_files import Tail, fields_of, last_lines, programs, readable, trouble
from procs.cli.show import add_row, console, print_json, table
from procs.cli.stack import own_stack

LOOK_EVERY_S = 0.2
NO_FILES = "none yet: laggard up starts the processes; in a container their words are in its own output"


def _complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    names = programs(own_stack().log_dir)
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.command()
@click.argument("program", metavar="PROC", shell_complete=_complete)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added, until Ctrl-C.")
@click.option(
    "-n", "--number", type=click.IntRange(min=0), default=50, show_default=True, help="How many lines."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object; with -f one for each line.")
def logs(program: str, follow: bool, number: int, as_json: bool) -> int:
    """Show the last lines of PROC's log (executor, feeds:books, supervisord); -f follows it."""
    file = log_file(own_stack().log_dir, program)
    tail = Tail(file) if follow else None
    lines = last_lines(file, number)
    if as_json and tail is None:
        print_json("logs", process=file.stem, lines=[_as_object(line) for line in lines])
        return 0
    _print(lines, as_json=as_json)
    try:
        while tail is not None:
            _print(tail.lines(), as_json=as_json)
            time.sleep(LOOK_EVERY_S)
    finally:
        if tail is not None:
            tail.close()
    return 0


@click.command()
@click.option(
    "-n", "--number", type=click.IntRange(min=1), default=20, show_default=True, help="How many lines."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def errors(number: int, as_json: bool) -> int:
    """Show the latest warnings, errors and crashes of all programs together."""
    found = trouble(own_stack().log_dir, number)
    if as_json:
        print_json("errors", errors=[one._asdict() for one in found])
        return 0
    if not found:
        known = programs(own_stack().log_dir)
        click.echo("no warning and no error in any log" if known else f"there are no logs, {NO_FILES}")
        return 0
    made = table("at", "process", "level", "what")
    for one in found:
        add_row(
            made,
            [one.ts[:19].replace("T", " "), one.program, one.level, one.text],
            style=None if one.level == "warning" else "red",
        )
    console().print(made)
    return 0


def log_file(log_dir: Path, program: str) -> Path:
    """The log of a program, with or without its group; a usage error names those there are."""
    name = program.rpartition(":")[2]
    known = programs(log_dir)
    if name not in known:
        said = ", ".join(known) if known else NO_FILES
        raise click.BadParameter(f"{program} has no log; there are {said}", param_hint="PROC")
    return log_dir / f"{name}.log"


def _print(lines: list[bytes], *, as_json: bool) -> None:
    for line in lines:
        click.echo(msgspec.json.encode(_as_object(line)).decode() if as_json else readable(line))


def _as_object(line: bytes) -> object:
    """The line's own object; what is none, such as a traceback, under ``text``."""
    fields = fields_of(line)
    return fields if fields is not None else {"text": line.decode("utf-8", "replace")}
