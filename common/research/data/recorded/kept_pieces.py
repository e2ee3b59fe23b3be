"""What was read of recordings, kept until all of it is written, so that an interrupted import goes on.

Owns the form of a kept piece and when it may be used again. Never tells whose folder it is in.
"""

import hashlib
import io
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from common.research.data import imported
from common.research.data.recorded.piece import Piece

UNFINISHED = "half-imported"
"""The folder of kept pieces in one that is being imported into; it is gone when that is done."""
_FRAMES = ("ticks", "books", "history")


class _Note(msgspec.Struct, frozen=True):
    """One kept piece: written last, over files that are whole."""

    made_from: str
    layout: str
    licence: str
    markets: list[dict[str, Any] | None]
    notes: dict[str, int]
    sha256: dict[str, str]
    """Of the file of each table that the piece has."""


class KeptPieces:
    """The pieces of these recordings that were read before, by their place among them.

    A piece may depend on files beside its own and on how this version reads: when any of that is another, all
    are read again.
    """

    def __init__(self, directory: Path, files: Iterable[Path]) -> None:
        self._directory = directory
        self._made_from = fingerprint(files)

    def find(self, number: int) -> Piece | None:
        """The piece as it was read, or None when it has to be read."""
        try:
            note = msgspec.json.decode(self._place(number, "json").read_bytes(), type=_Note)
            if note.made_from != self._made_from:
                return None
            contents = {table: self._place(number, f"{table}.parquet").read_bytes() for table in note.sha256}
        except (OSError, msgspec.MsgspecError):
            return None
        if any(hashlib.sha256(contents[table]).hexdigest() != told for table, told in note.sha256.items()):
            return None
        frames = {
            table: pl.read_parquet(io.BytesIO(content), hive_partitioning=False)
            for table, content in contents.items()
        }
        return Piece(note.layout, note.licence, note.markets, notes=Counter(note.notes), **frames)

    def keep(self, number: int, piece: Piece) -> None:
        """Write a piece down; raises DependencyMissing when the disk does not take it."""
        sha256 = {}
        for table in _FRAMES:
            frame: pl.DataFrame | None = getattr(piece, table)
            if frame is not None:
                content = io.BytesIO()
                frame.write_parquet(content, compression="zstd")
                imported.write_whole(self._place(number, f"{table}.parquet"), content.getvalue())
                sha256[table] = hashlib.sha256(content.getvalue()).hexdigest()
        note = _Note(self._made_from, piece.layout, piece.licence, piece.markets, dict(piece.notes), sha256)
        imported.write_whole(self._place(number, "json"), msgspec.json.encode(note))

    def _place(self, number: int, suffix: str) -> Path:
        return self._directory / f"{number:04d}.{suffix}"


def forget(out: Path) -> None:
    """Remove what was kept in a folder that is finished; what cannot be removed is written over next time."""
    shutil.rmtree(out / UNFINISHED, ignore_errors=True)


def fingerprint(files: Iterable[Path]) -> str:
    """What pieces were made from: names and bytes of all recordings, and the code that reads them."""
    whole = hashlib.sha256()
    for path in (*files, *sorted(Path(__file__).parents[1].rglob("*.py"))):
        whole.update(f"{path.name} {imported.file_digest(path)}\n".encode())
    return whole.hexdigest()
