"""The key that signs orders: from a credential file, an encrypted keystore, or handed over at the start.

Only the executor, and what redeems, may call this. The environment is the weak source: every process that
inherits it could show the key. So ``laggard up`` takes it out of there and leaves it for the executor in a
private file of the run directory, which lives no longer than the run.
"""

import os
import resource
import sys
from collections.abc import Mapping, MutableMapping
from ctypes import CDLL
from pathlib import Path
from typing import NamedTuple

import msgspec

from common.errors import ConfigError
from common.runtime.config import Config
from common.runtime.credentials import Secret, private_bytes, read_credentials, write_credentials
from common.runtime.paths import Paths

KEY_VARIABLE = "LAGGARD_PRIVATE_KEY"
PASSWORD_VARIABLE = "LAGGARD_KEYSTORE_PASSWORD"  # noqa: S105 - a name
SECRET_VARIABLES = (KEY_VARIABLE, PASSWORD_VARIABLE)
SYSTEMD_PASSWORD = "laggard-keystore-password"  # noqa: S105 - a name
_HANDED = {"environment": KEY_VARIABLE, "keystore": PASSWORD_VARIABLE}
"""What the executor may need of the environment, by ``wallet.key_source``."""
_PR_SET_DUMPABLE = 4


class TradingKey(NamedTuple):
    """A private key and, for people, where it came from."""

    private_key: Secret
    source: str


def close_doors() -> None:
    """Leave no core dump and let no other process of this user read this one's memory (Linux)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def read_trading_key(config: Config, paths: Paths) -> TradingKey:
    """The key of ``wallet.key_source``; raises ConfigError, which quotes no content, with the one fix."""
    match config.wallet.key_source:
        case "file":
            file = paths.credentials_file("trading")
            found = read_credentials(file, ("private_key",))
            if found is None:
                raise ConfigError(
                    [f'there is no key: {file} is missing; write {{"private_key": "0x..."}} there, chmod 600']
                )
            return TradingKey(found["private_key"], str(file))
        case "keystore":
            return _from_keystore(paths)
        case "environment":
            file = handed_file(paths)
            found = read_credentials(file, (KEY_VARIABLE,))
            if found is None:
                raise ConfigError(
                    [f"there is no key: start with {KEY_VARIABLE}=0x... laggard up, which hands it over"]
                )
            return TradingKey(found[KEY_VARIABLE], f"the environment of laggard up ({KEY_VARIABLE})")


def read_owner_key(config: Config, paths: Paths) -> TradingKey:
    """The key that owns the wallet, for whoever redeems; raises ConfigError with the one fix.

    The trading key itself, unless that is a session key, which may trade and withdraw nothing.
    """
    if not config.wallet.session_key:
        return read_trading_key(config, paths)
    file = paths.credentials_file("owner")
    found = read_credentials(file, ("private_key",))
    if found is None:
        way = f'write {{"private_key": "0x..."}} of the owner into {file}, chmod 600'
        raise ConfigError([f"a session key redeems nothing, and the owner's key is missing: {way}"])
    return TradingKey(found["private_key"], str(file))


def handed_file(paths: Paths) -> Path:
    """Where ``laggard up`` leaves what it took out of the environment."""
    return paths.run_dir / "handed.json"


def hand_over(environ: MutableMapping[str, str], config: Config, paths: Paths) -> None:
    """Take the secrets out of an environment and leave the one that is needed for the executor.

    A start that needs none leaves no file. What a process was started with stays readable to its user for as
    long as it lives, whatever it does: the caller closes its doors and starts others from ``environ``.
    """
    file = handed_file(paths)
    file.unlink(missing_ok=True)
    taken = {name: environ.pop(name) for name in SECRET_VARIABLES if environ.get(name)}
    needed = _HANDED.get(config.wallet.key_source) if config.mode == "live" else None
    if needed in taken:
        write_credentials(file, {needed: taken[needed]})


def take_back(paths: Paths) -> None:
    """Remove what was handed over: the run is over."""
    handed_file(paths).unlink(missing_ok=True)


def refuse_in_environment(environ: Mapping[str, str]) -> None:
    """Raise ConfigError when a secret stands in a process's environment, where others can read it."""
    found = [name for name in SECRET_VARIABLES if environ.get(name)]
    if found:
        names = " and ".join(found)
        problem = (
            f"{names}: every process could read it; start with laggard up, which hands it to the executor"
        )
        raise ConfigError([f"{problem} alone, or use the credentials directory"])


def _from_keystore(paths: Paths) -> TradingKey:
    file = paths.credentials_file("trading.keystore")
    try:
        from eth_account import Account
    except ImportError:
        raise ConfigError(["keystores need laggard's extra `live`; install it"]) from None
    raw = private_bytes(file)
    if raw is None:
        raise ConfigError([f"there is no keystore: {file} is missing; laggard init --trading-key writes one"])
    password = _password(paths)
    try:
        key = Account.decrypt(msgspec.json.decode(raw), password.reveal())
    except Exception:  # noqa: BLE001 - whatever the library says may quote what it was given
        raise ConfigError(
            [f"the keystore {file} does not open: the password is another one, or the file is none"]
        ) from None
    return TradingKey(Secret("0x" + bytes(key).hex()), str(file))


def _password(paths: Paths) -> Secret:
    handed = read_credentials(handed_file(paths), (PASSWORD_VARIABLE,))
    if handed is not None:
        return handed[PASSWORD_VARIABLE]
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    places = [Path(directory) / SYSTEMD_PASSWORD] if directory else []
    places.append(paths.credentials_file("trading.keystore").with_name("trading.password"))
    for place in places:
        raw = private_bytes(place)
        if raw is not None:
            return Secret(raw.decode("utf-8", "replace").rstrip("\n"))
    ways = f"write it into {places[-1]} (chmod 600), or give it to systemd as {SYSTEMD_PASSWORD}"
    raise ConfigError(
        [f"the keystore's password is missing: {ways}, or start with {PASSWORD_VARIABLE}=... laggard up"]
    )
