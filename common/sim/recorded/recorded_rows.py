"""Rows of a recording as dictionaries, whatever container they are in, and tolerant reading of their cells.

Containers are told by content: Parquet, gzip, JSON lines, CSV. Knows no layout and never writes.
"""

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TextIO

import msgspec

from common.errors import ConfigError
from common.units import NotANumber, decimal_of, price18_from_plain

Row = dict[str, object]

_PARQUET_MAGIC = b"PAR1"
_GZIP_MAGIC = b"\x1f\x8b"
_LOOKED_AT = 50
_MS_FROM = 10**11
"""Numbers below are seconds since 1970, from here on milliseconds."""
_FARTHEST_MS = 3 * 86_400_000


class RecordingUnreadable(ConfigError):
    """The recording cannot be played; the text says which file, why, and what to do."""

    def __init__(self, text: str) -> None:
        super().__init__([text])


def rows_of(path: Path) -> Iterator[Row]:
    """Every row in file order; an unreadable JSON line comes as an empty row.

    Raises RecordingUnreadable when the file is missing, empty, damaged or cut off.
    """
    with _told(path):
        with path.open("rb") as file:
            magic = file.read(4)
        if not magic:
            raise RecordingUnreadable(f"{path} is empty; get the recording again")
        if magic == _PARQUET_MAGIC:
            yield from _parquet_rows(path, path.read_bytes())
        elif magic[:2] == _GZIP_MAGIC:
            with gzip.open(path, "rb") as file:
                inner = file.read(4)
            if inner == _PARQUET_MAGIC:
                yield from _parquet_rows(path, gzip.decompress(path.read_bytes()))
            else:
                with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as text:
                    yield from _text_rows(text)
        else:
            with path.open("rt", encoding="utf-8-sig", newline="") as text:
                yield from _text_rows(text)


def columns_of(path: Path) -> frozenset[str]:
    """Names found in the first readable row; raises RecordingUnreadable when there is none."""
    for row in islice(rows_of(path), _LOOKED_AT):
        if row:
            return frozenset(row)
    raise RecordingUnreadable(
        f"{path} has no readable row; a recording is Parquet, CSV with a header or JSON lines, plain or gzip"
    )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise RecordingUnreadable(f"{path} does not exist; correct the path of the recording") from None
    except IsADirectoryError:
        raise RecordingUnreadable(f"{path} is a directory; name one recording file in it") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RecordingUnreadable(f"{path} is damaged or cut off ({error}); get it again") from None
    except OSError as error:
        raise RecordingUnreadable(f"cannot read {path}: {error.strerror}; check its permissions") from None
    except UnicodeDecodeError:
        raise RecordingUnreadable(f"{path} is neither text nor Parquet; name a recording file") from None
    except csv.Error as error:
        raise RecordingUnreadable(f"{path} is not a readable CSV file ({error}); get it again") from None


def _parquet_rows(path: Path, content: bytes) -> Iterator[Row]:
    try:
        import polars
    except ImportError:
        raise RecordingUnreadable(
            f"{path} is Parquet and polars is not installed; install laggard with its research extra"
        ) from None
    try:
        frame = polars.read_parquet(io.BytesIO(content))
    except polars.exceptions.PolarsError as error:
        reason = (str(error).splitlines() or [""])[0]
        raise RecordingUnreadable(f"{path} is damaged or cut off ({reason}); get it again") from None
    yield from frame.iter_rows(named=True)


def _text_rows(text: TextIO) -> Iterator[Row]:
    first = ""
    for first in text:
        if first.strip():
            break
    if first.lstrip().startswith("{"):
        yield _json_row(first)
        for line in text:
            if line.strip():
                yield _json_row(line)
    elif first.strip():
        for cells in csv.DictReader(text, fieldnames=next(csv.reader([first]))):
            yield {str(name): cell for name, cell in cells.items() if name is not None}


def _json_row(line: str) -> Row:
    try:
        return msgspec.json.decode(line.encode(), type=Row)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return {}


def decimal_cell(cell: object) -> Decimal | None:
    """A finite number from a number or text cell, else None."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | str | Decimal):
        return None
    try:
        return decimal_of(repr(cell) if isinstance(cell, float) else str(cell).strip())
    except NotANumber:
        return None


def integer_cell(cell: object) -> int | None:
    """A whole number, else None."""
    value = decimal_cell(cell)
    return int(value) if value is not None and value == value.to_integral_value() else None


def price18_cell(cell: object) -> int | None:
    """A plain positive dollar price in e18, else None."""
    value = decimal_cell(cell)
    if value is None or value <= 0:
        return None
    return price18_from_plain(format(value, "f")[:60])


def instant_ms_cell(cell: object) -> int | None:
    """An instant from ISO text, a datetime, seconds or milliseconds; None for anything else."""
    if isinstance(cell, str) and "-" in cell[1:]:
        try:
            cell = datetime.fromisoformat(cell.strip())
        except ValueError:
            return None
    if isinstance(cell, datetime):
        moment = cell if cell.tzinfo else cell.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    value = decimal_cell(cell)
    if value is None or value <= 0:
        return None
    return int(value) if value >= _MS_FROM else int(value * 1000)


def within_reach(instants_ms: list[int]) -> tuple[int, int]:
    """Bounds around the middle instant; a stamp outside is a damaged cell, not a part of the recording."""
    middle = sorted(instants_ms)[len(instants_ms) // 2]
    return middle - _FARTHEST_MS, middle + _FARTHEST_MS


def tally_notes(tally: Counter[str]) -> tuple[str, ...]:
    """Counted remarks as sentences, in a stable order."""
    return tuple(f"{count} {remark}" for remark, count in sorted(tally.items()) if count)
