"""``laggard init --reader-key``: makes a wallet without money and with it a key that reads PolyBolt's prices.

Overwrites nothing: what was there is moved aside, and only when that was asked for. Prints no secret.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import click
import requests

from common.errors import ConfigError, DependencyMissing
from common.feeds.connection import LOOPBACK, USER_AGENT
from common.runtime.clock import SystemClock
from common.runtime.config import Config
from common.runtime.credentials import write_credentials
from common.runtime.paths import Paths
from common.units import SECOND
from common.venue.reader_key import new_wallet, obtain


def make_reader_key(config: Config, paths: Paths, replace: bool) -> int:
    """Make the wallet, have the venue make its key, and store both; exit 1 when there is one already."""
    wallet_file, key_file = paths.credentials_file("reader-wallet"), paths.credentials_file("polybolt")
    existing = [str(file) for file in (key_file, wallet_file) if os.path.lexists(file)]
    if existing and not replace:
        click.echo(
            f"there is a key already: {' and '.join(existing)}; nothing was changed. Keep it, or have it "
            "moved aside with laggard init --reader-key --replace",
            err=True,
        )
        return 1
    _refuse_clear_text(config.venue.clob_url)
    now_ns = SystemClock().wall_ns()
    wallet = new_wallet()
    with _session(config.venue.clob_url) as session:
        key = obtain(session, config.venue.clob_url, wallet, now_ns // SECOND)
    stamp = f"{datetime.fromtimestamp(now_ns // SECOND, UTC):%Y%m%dT%H%M%SZ}.{now_ns % SECOND:09d}"
    # The key last: where it is, everything is.
    _store(wallet_file, {"address": wallet.address, "private_key": wallet.private_key.reveal()}, stamp)
    _store(
        key_file,
        {
            "api_key": key.api_key.reveal(),
            "secret": key.secret.reveal(),
            "passphrase": key.passphrase.reveal(),
        },
        stamp,
    )
    click.echo(f"wallet  {wallet.address}")
    click.echo(f"        {wallet_file}")
    click.echo(f"key     {key_file}")
    click.echo(
        "The key reads prices from PolyBolt. Its wallet was made for it just now and holds no money: there "
        "is nothing it could spend. Never send anything to that address."
    )
    return 0


def _refuse_clear_text(url: str) -> None:
    if urlsplit(url).scheme != "https" and not _on_this_host(url):
        raise ConfigError(["venue.clob_url: a key is asked for over https only; write https://"])


def _session(url: str) -> requests.Session:
    session = requests.Session()
    session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json"})
    # A proxy or a password of the environment is for the internet, never for this host.
    session.trust_env = not _on_this_host(url)
    return session


def _on_this_host(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK


def _store(file: Path, values: dict[str, str], stamp: str) -> None:
    """Write one file of secrets, the one of its name moved aside before."""
    aside = file.with_name(f"{file.stem}.{stamp}.json")
    try:
        if os.path.lexists(file):
            file.rename(aside)
            click.echo(f"moved the old {file.name} to {aside}", err=True)
        write_credentials(file, values)
    except OSError as error:
        raise DependencyMissing(
            f"cannot write {file}: {error.strerror}; mend that, then try again with --replace"
        ) from error
