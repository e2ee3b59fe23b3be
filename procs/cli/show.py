"""How commands print: one JSON object with a schema, or plain tables for people; progress on stderr.

Owns no fact. Colour only on a terminal and never with NO_COLOR.
"""

import datetime
import os
import sys
from collections.abc import Sequence

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.units import usd6_text
from procs.cli.manner import manner

JSON_SCHEMA = 1


def print_json(kind: str, **fields: object) -> None:
    """Write the one JSON object of a reading command to stdout."""
    text = msgspec.json.encode({"schema": JSON_SCHEMA, "kind": kind, **fields})
    click.echo(msgspec.json.format(text, indent=2).decode())


def progress(text: str) -> None:
    """Tell a person what is going on, on stderr; nothing with --quiet."""
    if not manner().quiet:
        click.echo(text, err=True)


class _Printer(Console):
    """A console whose reader may leave: ``laggard status | head -1`` is no failure."""

    def on_broken_pipe(self) -> None:
        """Leave it to the command line, which ends quietly; rich would end with 1."""
        raise BrokenPipeError


def console(*, stderr: bool = False) -> Console:
    """A console that keeps lines whole when its output is not a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    terminal = stream.isatty()
    return _Printer(
        file=stream,
        no_color=manner().colourless or bool(os.environ.get("NO_COLOR")),
        width=None if terminal else 200,
        highlight=False,
        soft_wrap=not terminal,
    )


def table(*columns: str, title: str | None = None) -> Table:
    """A table without frame; a column whose name begins with ``>`` is flush right."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left")
    return made


def add_row(target: Table, cells: Sequence[object], style: str | None = None) -> None:
    """Add one row of plain text, also where it looks like markup; None is a dash."""
    target.add_row(*(Text("-" if cell is None else str(cell)) for cell in cells), style=style)


def duration(milliseconds: int) -> str:
    """``3 s``, ``4 min``, ``2 h 05``."""
    seconds = milliseconds // 1000
    if seconds < 100:
        return f"{seconds} s"
    if seconds < 6000:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h {seconds // 60 % 60:02d}"


def clock_time(wall_ns: int) -> str:
    """An instant as UTC ``HH:MM:SS``."""
    return datetime.datetime.fromtimestamp(wall_ns // 1_000_000_000, datetime.UTC).strftime("%H:%M:%S")


def money(amount_usd6: int) -> str:
    """Dollars and cents with a sign only when negative."""
    return usd6_text(amount_usd6)
