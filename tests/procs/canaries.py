"""Canaries: planted secrets, and a search for them in files, logs, tapes, processes and memory."""

import base64
import gzip
import os
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path

CHUNK = 1 << 24
OVERLAP = 1 << 10
"""Longer than any form of a secret, so that none hides between two pieces of memory."""


def forms(secret: str) -> set[bytes]:
    """How a secret may be written: as it is, in the other case, without 0x, as bytes, in base64, in a URL."""
    bare = secret.removeprefix("0x")
    texts = {bare, bare.lower(), bare.upper(), urllib.parse.quote(bare, safe="")}
    found = {text.encode() for text in texts} | {text.encode("utf-16-le") for text in texts}
    raw = [secret.encode(), bare.encode()]
    try:
        raw.append(bytes.fromhex(bare))
        found.add(raw[-1])
        found.add(str(int(bare, 16)).encode())
    except ValueError:
        pass
    for plain in raw:
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(plain).rstrip(b"="))
    return found


def plain_forms(secret: str) -> set[bytes]:
    """The text itself, and the bytes it stands for: memory is large, and nobody there writes base64."""
    bare = secret.removeprefix("0x")
    try:
        return {bare.encode(), bytes.fromhex(bare)}
    except ValueError:
        return {bare.encode()}


class Finder:
    """Looks for every canary; what it finds has the canary's name and the place."""

    def __init__(self, canaries: Mapping[str, str]) -> None:
        self._forms = {name: forms(secret) for name, secret in canaries.items()}
        self._plain = {name: plain_forms(secret) for name, secret in canaries.items()}

    def in_bytes(self, content: bytes, place: str) -> set[tuple[str, str]]:
        """Canaries in some bytes."""
        return _found(self._forms, content, place)

    def in_files(self, *folders: Path) -> set[tuple[str, str]]:
        """Canaries in all files below these folders, their names included; sealed tapes are unpacked."""
        found = set()
        for file in (file for folder in folders for file in folder.rglob("*")):
            found |= self.in_bytes(os.fsencode(file.name), f"the name of {file.name}")
            if file.is_file() and not file.is_symlink():
                content = file.read_bytes()
                found |= self.in_bytes(content, file.name)
                if file.suffix == ".gz":
                    found |= self.in_bytes(gzip.decompress(content), file.name)
        return found

    def in_processes(self, processes: Mapping[str, int]) -> set[tuple[str, str]]:
        """Canaries in environments and command lines; what the kernel shows to nobody holds none."""
        found = set()
        for name, pid in processes.items():
            for what in ("environ", "cmdline"):
                try:
                    content = Path(f"/proc/{pid}/{what}").read_bytes()
                except PermissionError:
                    continue
                found |= self.in_bytes(content, f"{what} of {name}")
        return found

    def in_memory(self, pid: int, name: str) -> set[tuple[str, str]] | None:
        """Canaries in what a process may write to; None when the kernel does not let us look."""
        found: set[tuple[str, str]] = set()
        try:
            maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
            with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
                for start, end in _writable(maps):
                    for at in range(start, end, CHUNK):
                        try:
                            memory.seek(at)
                            found |= _found(self._plain, memory.read(min(CHUNK + OVERLAP, end - at)), name)
                        except OSError:
                            continue  # given back meanwhile, or of a device
        except PermissionError:
            return None
        return found


def _found(looked_for: Mapping[str, set[bytes]], content: bytes, place: str) -> set[tuple[str, str]]:
    return {(name, place) for name, written in looked_for.items() if any(form in content for form in written)}


def _writable(maps: Iterable[str]) -> Iterable[tuple[int, int]]:
    for line in maps:
        fields = line.split()
        if fields[1].startswith("rw"):
            start, _, end = fields[0].partition("-")
            yield int(start, 16), int(end, 16)
