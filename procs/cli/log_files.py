"""Reads the programs' rotated log files: the last lines of one, what comes next, the recent trouble of all.

Knows supervisord's naming: ``name.log`` is written, ``name.log.1`` is the newest of the older ones. Writes
nothing and survives every rotation.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

BLOCK = 1 << 16
LOOKS = 20
"""How often a rotation that is under way is looked at anew before the next turn does it."""
LAST_WORDS = 200
"""So many lines from its end a log is searched for what ended its program."""
TROUBLE = frozenset({"warning", "error", "critical"})
_CRASH = re.compile(rb"^(Fatal Python error|Timeout \(|Traceback \(most recent)")
_OWN = ("ts", "level", "event", "role", "boot")


class Trouble(NamedTuple):
    """One line worth a look."""

    ts: str
    """As the line says it; of a crash, which has none, that of the line before."""
    program: str
    level: str
    text: str


def programs(log_dir: Path) -> list[str]:
    """The programs that have a log there."""
    return sorted(path.name.removesuffix(".log") for path in log_dir.glob("*.log"))


def rotated(file: Path) -> list[Path]:
    """The file and its older ones, newest first."""
    older = [path for path in file.parent.glob(f"{file.name}.*") if path.suffix[1:].isdigit()]
    return [file, *sorted(older, key=lambda path: int(path.suffix[1:]))]


def newest_first(file: Path) -> Iterator[bytes]:
    """Every line of a log and its older files, the last one first; a file rotated away meanwhile is over."""
    for path in rotated(file):
        try:
            with path.open("rb") as handle:
                yield from _backwards(handle)
        except FileNotFoundError:
            continue


def _backwards(handle: BinaryIO) -> Iterator[bytes]:
    position = handle.seek(0, os.SEEK_END)
    rest = b""
    while position:
        start = max(0, position - BLOCK)
        handle.seek(start)
        rest = handle.read(position - start) + rest
        position = start
        lines = rest.split(b"\n")
        rest = lines.pop(0)
        yield from (line for line in reversed(lines) if line)
    if rest:
        yield rest


def last_lines(file: Path, number: int) -> list[bytes]:
    """The last ``number`` lines, oldest of them first."""
    lines: list[bytes] = []
    for line in newest_first(file):
        if len(lines) == number:
            break
        lines.append(line)
    return lines[::-1]


class Tail:
    """What is added to a log from now on, through every rotation."""

    def __init__(self, file: Path) -> None:
        """Begins at the present end; a log that is not there yet begins with its first line."""
        self._file = file
        self._handle: BinaryIO | None = None
        self._part = b""
        if file.exists():
            self._handle = file.open("rb")
            self._handle.seek(0, os.SEEK_END)

    def lines(self) -> list[bytes]:
        """The complete lines since the last call."""
        added = []
        while True:
            if self._handle is not None:
                added += self._read(self._handle)
            follower = self._follower()
            if follower is None:
                return added
            if self._handle is not None:
                # Written between the look above and the rotation.
                added += self._read(self._handle)
                self._handle.close()
            if self._part:
                added.append(self._part)
                self._part = b""
            self._handle = follower

    def close(self) -> None:
        """Release the file."""
        if self._handle is not None:
            self._handle.close()

    def _read(self, handle: BinaryIO) -> list[bytes]:
        if os.fstat(handle.fileno()).st_size < handle.tell():
            handle.seek(0)  # emptied in place
        *whole, self._part = (self._part + handle.read()).split(b"\n")
        return [line for line in whole if line]

    def _follower(self) -> BinaryIO | None:
        """The file that was begun after the one in hand; None while that is the newest."""
        for _ in range(LOOKS):
            seen = _numbered(self._file)
            chosen = self._next_of([number for _, number in seen])
            if chosen is None:
                return None
            path, number = seen[chosen]
            try:
                handle = path.open("rb")
            except FileNotFoundError:
                continue
            # Only names that did not change hands meanwhile say which file follows which.
            if os.fstat(handle.fileno()).st_ino == number and _numbered(self._file) == seen:
                return handle
            handle.close()
        return None

    def _next_of(self, numbers: list[int]) -> int | None:
        """Which of the files, newest first, is to be read next."""
        if not numbers:
            return None
        if self._handle is None:
            return 0
        own = os.fstat(self._handle.fileno()).st_ino
        if own in numbers:
            return numbers.index(own) - 1 if numbers[0] != own else None
        # Cleared, or rotated away altogether: what is left begins with the oldest file.
        return len(numbers) - 1


def _numbered(file: Path) -> list[tuple[Path, int]]:
    """The file and its older ones with what identifies each, whatever its name; empty amid a rotation."""
    try:
        return [(path, path.stat().st_ino) for path in rotated(file)]
    except FileNotFoundError:
        return []


def fields_of(line: bytes) -> dict[str, object] | None:
    """The line as the log wrote it; None for what is not one of its lines, such as a traceback."""
    try:
        found = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) else None


def readable(line: bytes) -> str:
    """A line for people: time, level, event, then what it says of itself."""
    fields = fields_of(line)
    if fields is None:
        return line.decode("utf-8", "replace")
    more = " ".join(f"{name}={_text(value)}" for name, value in fields.items() if name not in _OWN)
    return f"{_clock(fields)} {fields.get('level', ''):<8} {fields.get('event', '')} {more}".rstrip()


def last_error(file: Path) -> str:
    """What a program that died said last: its latest error, else its last line; empty without a log."""
    lines = last_lines(file, LAST_WORDS)[::-1]
    told = (line for line in lines if (fields_of(line) or {}).get("level") in ("error", "critical"))
    line = next(told, lines[0] if lines else None)
    return "" if line is None else readable(line)[:300]


def trouble(log_dir: Path, number: int) -> list[Trouble]:
    """The latest warnings, errors and crashes of all programs, oldest of them first."""
    found: list[Trouble] = []
    for program in programs(log_dir):
        found += _trouble_of(log_dir / f"{program}.log", program, number)
    found.sort(key=lambda one: one.ts)
    return found[-number:]


def _trouble_of(file: Path, program: str, number: int) -> list[Trouble]:
    found: list[Trouble] = []
    crashes: list[str] = []
    for line in newest_first(file):
        fields = fields_of(line)
        if fields is None:
            if _CRASH.match(line):
                crashes.append(line.decode("utf-8", "replace"))
            continue
        ts = str(fields.get("ts", ""))
        found += [Trouble(ts, program, "critical", text) for text in crashes]
        crashes.clear()
        if fields.get("level") in TROUBLE:
            more = {name: value for name, value in fields.items() if name not in (*_OWN, "stack")}
            said = " ".join(f"{name}={_text(value)}" for name, value in more.items())
            text = f"{fields.get('event', '')} {said}".strip()
            found.append(Trouble(ts, program, str(fields["level"]), text))
        if len(found) >= number:
            break
    return found[::-1]


def _clock(fields: Mapping[str, object]) -> str:
    ts = str(fields.get("ts", ""))
    return ts[11:23] if len(ts) >= 23 else ts


def _text(value: object) -> str:
    if isinstance(value, str):
        return value if value and not re.search(r"[\s\"=]", value) else msgspec.json.encode(value).decode()
    return msgspec.json.encode(value).decode()
