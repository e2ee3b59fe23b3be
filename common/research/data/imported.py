"""Our Parquet layout: one folder per table, day and asset, and one manifest that binds them.

Owns the manifest, writing whole files or none, and checking on reading. A folder without a manifest is
unfinished and is not read.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import polars as pl

from common.errors import DependencyMissing
from common.research.data.dataset import (
    TABLES,
    Dataset,
    DataUnreadable,
    digest_of_lines,
    ordered,
    partitions,
    rows_digest,
)
from common.research.data.dataset import dataset as made_dataset
from common.research.data.tape_gaps import NO_GAPS, Gaps
from common.store.tape import Hole, Tear

MANIFEST = "manifest.json"
LOOKED_FOR = f"an imported folder: {MANIFEST} beside markets/, ticks/, books/, history/"
LAYOUT = 1
KIND = "laggard-data"


class Part(msgspec.Struct, frozen=True):
    """One Parquet file: some rows of one table, day and asset."""

    table: str
    day: str
    asset: str
    path: str
    """Relative to the folder."""
    rows: int
    sha256: str
    """Of the file."""


class Manifest(msgspec.Struct, frozen=True):
    """What the folder holds. Nothing in it depends on when or where it was written."""

    kind: str
    layout: int
    name: str
    source: str
    licence: str
    """What is known about passing the data on."""
    digest: str
    columns: dict[str, dict[str, str]]
    rows: dict[str, int]
    parts: list[Part]
    tears: list[Tear] = []
    """Of the tape that it was written from, each as its fields in order."""
    holes: list[Hole] = []


def is_here(data: str | Path) -> bool:
    """Whether there is a manifest; for an address, whether one can be read there."""
    if _is_address(data):
        try:
            read_manifest(data)
        except DataUnreadable:
            return False
        return True
    return (Path(data) / MANIFEST).is_file()


def read(data: str | Path) -> Dataset:
    """The whole folder, checked against its manifest; raises DataUnreadable when the rows are not those."""
    manifest = read_manifest(data)
    tables = {table: _table(data, manifest, table) for table in TABLES}
    gaps = Gaps(tuple(manifest.tears), tuple(manifest.holes))
    found = made_dataset(manifest.name, **tables, gaps=gaps)
    if found.digest != manifest.digest:
        raise DataUnreadable(
            f"{data} is not what its manifest says (digest {found.digest[:12]} instead of "
            f"{manifest.digest[:12]}); laggard data verify names the file, import it again"
        )
    return found


def read_manifest(data: str | Path) -> Manifest:
    """The manifest of a local folder or of any address polars can read; raises DataUnreadable."""
    place = _join(data, MANIFEST)
    try:
        if _is_address(data):
            # The separator occurs in no JSON text, so each line comes whole.
            lines = pl.scan_csv(
                place,
                has_header=False,
                separator="\x1f",
                quote_char=None,
                infer_schema=False,
                new_columns=["line"],
            ).collect()
            text = "\n".join(lines["line"].to_list()).encode()
        else:
            text = Path(place).read_bytes()
        manifest = msgspec.json.decode(text, type=Manifest)
    except (OSError, pl.exceptions.PolarsError, msgspec.MsgspecError) as error:
        raise DataUnreadable(f"{place} cannot be read: {error}") from error
    if manifest.kind != KIND or manifest.layout != LAYOUT:
        raise DataUnreadable(
            f"{place} has layout {manifest.layout}; this version reads {LAYOUT}, import again"
        )
    return manifest


def write(whole: Dataset, out: Path, *, source: str, licence: str) -> Manifest:
    """Write a dataset as a folder; what was there of an earlier one is no data until this is done."""
    (out / MANIFEST).unlink(missing_ok=True)
    parts = []
    for table in TABLES:
        for day, asset, rows in partitions(table, getattr(whole, table)):
            parts.append(write_part(out, table, day, asset, "part", rows))
    return finish(
        out, parts, name=whole.name, source=source, licence=licence, digest=whole.digest, gaps=whole.gaps
    )


def write_part(out: Path, table: str, day: str, asset: str, stem: str, rows: pl.DataFrame) -> Part:
    """One file, whole or not at all; the same rows make the same bytes. Raises DependencyMissing."""
    relative = f"{table}/day={day}/asset={asset}/{stem}.parquet"
    target = out / relative
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(temporary, compression="zstd", statistics=True)
        _sync(temporary)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DependencyMissing(
            f"{target} cannot be written ({error.strerror}); free space or choose another folder"
        ) from error
    return Part(table, day, asset, relative, rows.height, file_digest(target))


def finish(
    out: Path,
    parts: Iterable[Part],
    *,
    name: str,
    source: str,
    licence: str,
    digest: str,
    gaps: Gaps = NO_GAPS,
) -> Manifest:
    """Write the manifest over these parts; from then on the folder is data, and these parts alone."""
    listed = list(parts)
    rows = {table: sum(part.rows for part in listed if part.table == table) for table in TABLES}
    columns = {
        table: {column: str(kind) for column, kind in schema.items()} for table, schema in TABLES.items()
    }
    manifest = Manifest(
        KIND,
        LAYOUT,
        name,
        source,
        licence,
        digest,
        columns,
        rows,
        listed,
        list(gaps.tears),
        list(gaps.holes),
    )
    _sweep(out, {part.path for part in listed})
    write_whole(out / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
    return manifest


def _sweep(out: Path, listed: set[str]) -> None:
    """Remove what is not of this writing: other programs read the folder without its manifest."""
    for table in TABLES:
        for path in (out / table).glob("day=*/asset=*/*.parquet*"):
            if str(path.relative_to(out)) not in listed:
                path.unlink()
        for path in (out / table).glob("day=*/asset=*/.*.parquet.*"):
            path.unlink()
    for path in out.glob(f".{MANIFEST}.*"):
        path.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """A small file, whole or not at all; raises DependencyMissing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        _sync(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DependencyMissing(f"{path} cannot be written ({error.strerror})") from error


def digest_of_parts(out: Path, parts: Iterable[Part], other: Iterable[tuple[str, pl.DataFrame]] = ()) -> str:
    """The digest of parts on disk, one day and asset in memory at a time.

    ``other`` are whole tables, in order, to be counted with them; their parts are then not read.
    """
    whole = list(other)
    lines = [
        f"{table} {day} {asset} {rows_digest(rows)}"
        for table, frame in whole
        for day, asset, rows in partitions(table, frame)
    ]
    done = {table for table, _ in whole}
    places: dict[tuple[str, str, str], list[str]] = {}
    for part in parts:
        if part.table not in done:
            places.setdefault((part.table, part.day, part.asset), []).append(part.path)
    for (table, day, asset), paths in places.items():
        rows = ordered(
            table, pl.concat([pl.read_parquet(out / path, hive_partitioning=False) for path in paths])
        )
        lines.append(f"{table} {day} {asset} {rows_digest(rows)}")
    return digest_of_lines(lines)


def verify(data: str | Path, on_part: Callable[[int, int], None] = lambda *_: None) -> Iterator[str]:
    """Everything that is wrong with an imported folder on this machine, each with its file."""
    manifest = read_manifest(data)
    damaged = False
    for number, part in enumerate(manifest.parts, 1):
        path = Path(data) / part.path
        if not path.is_file():
            damaged = True
            yield f"{part.path} is missing"
        elif file_digest(path) != part.sha256:
            damaged = True
            yield f"{part.path} has other bytes than when it was written"
        on_part(number, len(manifest.parts))
    if not damaged:
        try:
            read(data)
        except DataUnreadable as error:
            yield str(error)


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _table(data: str | Path, manifest: Manifest, table: str) -> pl.DataFrame:
    paths = [_join(data, part.path) for part in manifest.parts if part.table == table]
    if not paths:
        return pl.DataFrame(schema=dict(TABLES[table]))
    try:
        return pl.concat(pl.scan_parquet(path, hive_partitioning=False) for path in paths).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataUnreadable(f"{data}: {table} cannot be read: {error}") from error


def _is_address(data: str | Path) -> bool:
    return isinstance(data, str) and "://" in data


def _join(data: str | Path, relative: str) -> str:
    return f"{str(data).rstrip('/')}/{relative}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
