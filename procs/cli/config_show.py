"""``laggard config``: the configuration in force, where each value came from, and whether it is right."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from common.errors import ConfigError
from procs.cli.show import add_row, console, print_json, table

if TYPE_CHECKING:
    from common.runtime.config import Config

_URL_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")
_CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file; otherwise LAGGARD_CONFIG or the user's configuration directory.",
)


@click.group()
def config() -> None:
    """Show or check the configuration."""


@config.command()
@_CONFIG
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def show(config_file: Path | None, as_json: bool) -> int:
    """Show every key with its value and where that came from; secrets are masked."""
    from common.runtime.config import known_keys, load_with_origins

    loaded, origins = load_with_origins(config_file)
    values = {key: shown(loaded, key) for key in known_keys()}
    if as_json:
        print_json("config", values={key: {"value": values[key], "origin": origins[key]} for key in values})
        return 0
    made = table("key", "value", "from")
    for key, value in values.items():
        text = ", ".join(str(part) for part in value) if isinstance(value, list) else value
        add_row(made, [key, text, origins[key]], style="dim" if origins[key] == "default" else None)
    console().print(made)
    return 0


@config.command()
@_CONFIG
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def check(config_file: Path | None, as_json: bool) -> int:
    """Check the configuration; exit 78 and every problem when it is wrong."""
    from common.runtime.config import load_with_origins

    try:
        _, origins = load_with_origins(config_file)
    except ConfigError as error:
        if not as_json:
            raise
        print_json("config-check", ok=False, problems=error.problems, origins=[])
        return error.exit_code
    named = sorted({origin for origin in origins.values() if origin != "default"})
    if as_json:
        print_json("config-check", ok=True, problems=[], origins=named)
        return 0
    click.echo(f"the configuration is right ({', '.join(named) or 'defaults alone'})")
    return 0


def shown(loaded: "Config", key: str) -> object:
    """A value as it may be shown: a secret or a password in a URL never leaves in clear."""
    from common.runtime.config import value_of

    value = value_of(loaded, key)
    if isinstance(value, tuple):
        return [str(part) for part in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    # A secret's own text is already its mask.
    return _URL_PASSWORD.sub("***@", str(value))
