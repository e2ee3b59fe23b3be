"""``laggard init --trading-key``: takes the key that signs orders from its owner and puts it into a file.

Shows which wallets are the key's. Never replaces a file, never takes a secret from the command line and never
prints one.
"""

import os
import sys

import click
import msgspec

from common.errors import DependencyMissing
from common.runtime.credentials import Secret, write_credentials, write_private
from common.runtime.paths import Paths
from common.runtime.trading_key import PASSWORD_VARIABLE, SYSTEMD_PASSWORD, close_doors


def store_trading_key(paths: Paths, keystore: bool) -> int:
    """Read the key, and for a keystore its password, from a hidden prompt or, a line each, from stdin.

    Exit 1 when there is a file already or what was entered is no key.
    """
    close_doors()
    try:
        from eth_account import Account

        from common.venue.signing.order_signature import Signer
        from common.venue.signing.wallet import wallets_of
    except ImportError as error:
        raise DependencyMissing(
            f"a trading key needs laggard's extra `live` ({error.name} is missing); run bin/setup"
        ) from None
    file = paths.credentials_file("trading.keystore" if keystore else "trading")
    if os.path.lexists(file):
        click.echo(f"there is a key already: {file}; nothing was changed. Move it aside yourself", err=True)
        return 1
    key = _entered("Private key")
    try:
        signer = Signer(key)
    except ValueError as error:
        click.echo(f"nothing was stored: {error}", err=True)
        return 1
    text = "0x" + key.reveal().removeprefix("0x").lower()
    try:
        if keystore:
            password = _entered("Password of the keystore", twice=True)
            if not password:
                click.echo("nothing was stored: a keystore needs a password", err=True)
                return 1
            write_private(
                file, msgspec.json.encode(Account.encrypt(bytes.fromhex(text[2:]), password.reveal())) + b"\n"
            )
        else:
            write_credentials(file, {"private_key": text})
    except OSError as error:
        raise DependencyMissing(f"cannot write {file}: {error.strerror}; mend that, then try again") from None
    click.echo(f"key      {signer.address}")
    click.echo(f"         {file}")
    for name, address in wallets_of(signer.address)._asdict().items():
        click.echo(f"{name.replace('_', ', '):<16} {address}")
    _say_what_next(paths, keystore)
    return 0


def _say_what_next(paths: Paths, keystore: bool) -> None:
    source = "keystore" if keystore else "file"
    click.echo(
        "Write into the configuration which of these wallets holds the money: [wallet] kind and address, and "
        f'key_source = "{source}". For a session key write session_key = true and the address of the deposit '
        "wallet it trades for. Then: laggard check --live"
    )
    if keystore:
        file = paths.credentials_file("trading.keystore").with_name("trading.password")
        click.echo(
            f"The executor needs the password at each start: in {file} (chmod 600), from systemd as "
            f"{SYSTEMD_PASSWORD}, or in {PASSWORD_VARIABLE} of laggard up."
        )


def _entered(what: str, *, twice: bool = False) -> Secret:
    if sys.stdin.isatty():
        entered = click.prompt(
            what, hide_input=True, confirmation_prompt=twice, default="", show_default=False, err=True
        )
    else:
        entered = sys.stdin.readline()
    return Secret(entered.strip("\r\n") if twice else entered.strip())
