"""Credentials from files that only their owner can read; masked wherever they could be shown.

A process reads the one file it needs. Nothing here is ever logged, published or put into an environment.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from common.errors import ConfigError


class Secret(str):
    """Text that shows itself masked; ``reveal`` is the only way to its content."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> str:
        return "***"

    def __format__(self, _spec: str) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is never written down")

    def reveal(self) -> str:
        """The content, as a plain text."""
        return str.__str__(self)


def read_credentials(file: Path, names: Sequence[str]) -> dict[str, Secret] | None:
    """The named texts of a JSON file; None when there is no such file.

    Raises ConfigError, which never quotes the content, when the file is readable by others, is not an object
    of texts, or lacks one of the names.
    """
    raw = private_bytes(file)
    if raw is None:
        return None
    try:
        found = msgspec.json.decode(raw, type=dict[str, str])
    except msgspec.MsgspecError:
        raise ConfigError([f"the credentials {file} are not a JSON object of texts; write it anew"]) from None
    missing = [name for name in names if not found.get(name)]
    if missing:
        raise ConfigError([f"the credentials {file} lack {', '.join(missing)}; add what is missing"])
    return {name: Secret(found[name]) for name in names}


def private_bytes(file: Path) -> bytes | None:
    """The content of a file only its owner can read; None when there is none, ConfigError for any other."""
    try:
        facts = file.stat()
        raw = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError([f"cannot read the credentials {file}: {error.strerror}; mend that"]) from None
    if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
        raise ConfigError([f"others can read the credentials {file}; chmod 600 {file}"])
    return raw


def write_credentials(file: Path, values: dict[str, str]) -> None:
    """Write a new file, 0600 from its first byte; raises FileExistsError rather than replace one."""
    write_private(file, msgspec.json.format(msgspec.json.encode(values), indent=2) + b"\n")


def write_private(file: Path, content: bytes) -> None:
    """Write a new file, 0600 from its first byte; raises FileExistsError rather than replace one."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
