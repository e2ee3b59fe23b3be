"""``laggard version``: which laggard this is, and what it speaks and writes. Asks nobody."""

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

import click

from common.messages import SCHEMA
from common.store.journal_schema import VERSION
from procs.cli.show import JSON_SCHEMA, print_json
from procs.cli.stack import ROOT


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def version(as_json: bool) -> int:
    """Show the version, the commit of the checkout, and the numbers of message, journal and JSON schemas."""
    fields = {
        "version": installed_version(),
        "commit": commit(),
        "python": platform.python_version(),
        "messages": SCHEMA,
        "journal": VERSION,
        "json": JSON_SCHEMA,
    }
    if as_json:
        print_json("version", **fields)
        return 0
    click.echo(f"laggard {fields['version']}" + (f" ({fields['commit']})" if fields["commit"] else ""))
    click.echo(f"Python {fields['python']}; messages {SCHEMA}, journal {VERSION}, JSON {JSON_SCHEMA}")
    return 0


def installed_version() -> str:
    """The version of the installed distribution; ``unknown`` in a tree that is not installed."""
    try:
        return version_of("laggard")
    except PackageNotFoundError:
        return "unknown"


def commit() -> str | None:
    """The short commit of the checkout, read without git; None outside of one."""
    git = ROOT / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head[:12]
        name = head.removeprefix("ref: ")
        loose = git / name
        if loose.is_file():
            return loose.read_text().strip()[:12]
        for line in (git / "packed-refs").read_text().splitlines():
            if line.endswith(f" {name}"):
                return line[:12]
    except OSError:
        return None
    return None
