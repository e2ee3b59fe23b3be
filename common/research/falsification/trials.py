"""How many rules were tried on which data: a small ledger, so that a lucky search is not taken for an edge.

Owns one file for each digest of data. It knows only what was tried with laggard on this machine.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

Tried = tuple[int, int, int]
"""Move (ppm), time left (s), price (1e-4 $): the stake decides nothing."""


def tried(directory: Path, digest: str) -> frozenset[Tried]:
    """The rules tried on these data so far; a torn or foreign file counts as none."""
    try:
        return frozenset(msgspec.json.decode(_file(directory, digest).read_bytes(), type=set[Tried]))
    except (FileNotFoundError, msgspec.MsgspecError):
        return frozenset()


def with_these(directory: Path, digest: str, rules: Iterable[Tried]) -> int:
    """How many rules there are once these are tried too; remembers nothing."""
    return len(tried(directory, digest) | frozenset(rules))


def remember(directory: Path, digest: str, rules: Iterable[Tried]) -> int:
    """Add rules to the ledger; gives how many there are now."""
    known = tried(directory, digest) | frozenset(rules)
    file = _file(directory, digest)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}.new")
    fresh.write_bytes(msgspec.json.encode(sorted(known)))
    fresh.replace(file)
    return len(known)


def _file(directory: Path, digest: str) -> Path:
    return directory / f"{digest[:32]}.json"
