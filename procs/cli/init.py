"""``laggard init``: makes what a first start needs: a configuration, a reader key, a trading key.

Owns what may be asked for together; each of the three is made by a module of its own.
"""

from pathlib import Path

import click

from common.runtime.paths import make_paths
from procs.cli.configuration import load_config


@click.command()
@click.option("--defaults", is_flag=True, help="Write the configuration without asking.")
@click.option(
    "--reader-key",
    is_flag=True,
    help="Make a wallet without money and, with it, a key that reads PolyBolt's prices.",
)
@click.option(
    "--trading-key",
    is_flag=True,
    help="Store the key that signs orders, from a hidden prompt or standard input; never replaces one.",
)
@click.option("--keystore", is_flag=True, help="Store the trading key encrypted with a password.")
@click.option("--replace", is_flag=True, help="Move an existing reader key aside instead of stopping.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file; otherwise LAGGARD_CONFIG or the user's configuration directory.",
)
def init(
    defaults: bool,
    reader_key: bool,
    trading_key: bool,
    keystore: bool,
    replace: bool,
    config_file: Path | None,
) -> int:
    """Write a first configuration after a few questions, or make one of the keys a first start needs.

    Exit 1 when what is to be made exists already or is refused.
    """
    if reader_key and trading_key:
        raise click.UsageError("one at a time: laggard init --reader-key, then laggard init --trading-key")
    if defaults and (reader_key or trading_key):
        raise click.UsageError("--defaults is for the configuration; a key has none")
    if not (reader_key or trading_key):
        if keystore or replace:
            raise click.UsageError("--keystore goes with --trading-key, --replace with --reader-key")
        from procs.cli.wizard import write_config

        return write_config(config_file, defaults=defaults)
    if reader_key and keystore:
        raise click.UsageError("--keystore is for a trading key")
    if trading_key and replace:
        raise click.UsageError("a trading key is never replaced: move its file aside yourself")
    config = load_config(config_file)
    paths = make_paths(config.paths.state_dir, config.paths.run_dir, config.paths.credentials_dir)
    if trading_key:
        from procs.cli.store_key import store_trading_key

        return store_trading_key(paths, keystore)
    from procs.cli.make_key import make_reader_key

    return make_reader_key(config, paths, replace)
