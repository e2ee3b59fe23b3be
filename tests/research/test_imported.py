"""An imported folder is whole or no data at all, and says which file is not what it was."""

from pathlib import Path

import polars as pl
import pytest

from common.research.data import imported
from common.research.data.dataset import BOOKS, LEVELS, TICKS, Dataset, DataUnreadable, dataset
from common.research.data.loading import load
from common.research.data.market_rows import market_row, market_table
from common.units import SECOND

START = 1_770_300_000 * SECOND
SLUG = "btc-updown-15m-1770300000"


def small() -> Dataset:
    ticks = [
        ("btc", "spot", "rtds", START + n * SECOND, START + n * SECOND, 7_000 + n)
        for n in range(50_000, 50_009)
    ]
    ladder = [{"price4": 4_000, "size6": 1}]
    books = [
        {"window": SLUG, "asset": "btc", "outcome": "up", "at_ns": START, "bid4": 4_000, "derived": False}
        | {"bids": ladder, "asks": []},
        {"window": SLUG, "asset": "btc", "outcome": "up", "at_ns": START + 1, "derived": False},
    ]
    return dataset(
        "small",
        markets=market_table([market_row(SLUG, outcome="up", outcome_source="official")]),
        ticks=pl.DataFrame(ticks, schema=dict(TICKS), orient="row"),
        books=pl.DataFrame(books, schema=dict(BOOKS)),
    )


def write(out: Path) -> imported.Manifest:
    return imported.write(small(), out, source="made up", licence="none needed")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    manifest = write(tmp_path)
    again = load(tmp_path)
    assert again.digest == small().digest == manifest.digest
    assert again.books["bids"].dtype == LEVELS
    assert [None if side is None else len(side) for side in again.books["asks"].to_list()] == [0, None]
    assert manifest.rows == {"markets": 1, "ticks": 9, "books": 2, "history": 0}
    assert {part.day for part in manifest.parts} == {"2026-02-05", "2026-02-06"}


def test_the_folder_is_readable_by_others_as_hive_partitions(tmp_path: Path) -> None:
    write(tmp_path)
    seen = pl.scan_parquet(tmp_path / "ticks" / "**" / "*.parquet", hive_partitioning=True).collect()
    assert seen.filter(pl.col("asset") == "btc").height == 9
    assert "day" in seen.columns


def test_writing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b")
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 4
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_an_address_is_read_like_a_folder(tmp_path: Path) -> None:
    write(tmp_path)
    assert load(f"file://{tmp_path}").digest == small().digest


def test_an_address_without_a_manifest_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match="looked for"):
        load(f"file://{tmp_path}")


def test_another_value_is_refused_and_the_file_is_named(tmp_path: Path) -> None:
    manifest = write(tmp_path)
    victim = next(part for part in manifest.parts if part.table == "ticks")
    rows = pl.read_parquet(tmp_path / victim.path, hive_partitioning=False)
    rows.with_columns(price_e8=pl.col("price_e8") + 1).write_parquet(tmp_path / victim.path)
    with pytest.raises(DataUnreadable, match="data verify"):
        load(tmp_path)
    assert list(imported.verify(tmp_path)) == [f"{victim.path} has other bytes than when it was written"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    manifest = write(tmp_path)
    victim = manifest.parts[0]
    (tmp_path / victim.path).unlink()
    with pytest.raises(DataUnreadable):
        load(tmp_path)
    assert list(imported.verify(tmp_path)) == [f"{victim.path} is missing"]


def test_a_whole_folder_has_no_problem(tmp_path: Path) -> None:
    write(tmp_path)
    assert list(imported.verify(tmp_path)) == []


def test_another_layout_says_what_to_do(tmp_path: Path) -> None:
    write(tmp_path)
    place = tmp_path / imported.MANIFEST
    place.write_bytes(place.read_bytes().replace(b'"layout": 1', b'"layout": 9'))
    with pytest.raises(DataUnreadable, match="import again"):
        load(tmp_path)


def test_what_an_earlier_writing_left_goes(tmp_path: Path) -> None:
    write(tmp_path)
    stale = tmp_path / "ticks" / "day=2020-01-01" / "asset=btc" / "part.parquet"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"old")
    half = stale.with_name(".part.parquet.123")
    half.write_bytes(b"half")
    write(tmp_path)
    assert not stale.exists()
    assert not half.exists()
    assert load(tmp_path).digest == small().digest


def test_an_interrupted_writing_is_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)

    def fails(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(imported, "write_part", fails)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path)
    with pytest.raises(DataUnreadable, match="looked for"):
        load(tmp_path)
