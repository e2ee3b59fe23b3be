"""Where a study's data come from: the one place that knows every form there is. Reads none of them itself."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from common.research.data import from_normalised, from_tape, imported
from common.research.data.dataset import TABLES, Dataset, DataUnreadable, asset_of_window, select

SOURCES = (imported, from_normalised, from_tape)
"""The forms, in the order in which a folder is tried."""


def load(
    data: str | Path,
    *,
    assets: Iterable[str] | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    unlabelled: bool = False,
) -> Dataset:
    """Read a tape directory, an imported folder, or a folder with the layout of ``normalised/``.

    Windows that overlap ``[start_ns, end_ns)`` and rows within it are kept. Books whose side was not
    recorded cannot be traded and are left out, unless ``unlabelled``. Raises DataUnreadable naming what was
    looked for, or the assets that are there when one of ``assets`` is not.
    """
    for source in SOURCES:
        if source.is_here(data):
            whole = source.read(data)
            break
    else:
        forms = "".join(f"\n  {source.LOOKED_FOR}" for source in SOURCES)
        raise DataUnreadable(f"{data} holds no data that can be read; looked for one of:{forms}")
    if assets is not None:
        assets = [asset.strip().lower() for asset in assets]
        _refuse_unknown(assets, whole)
    return select(whole, assets=assets, start_ns=start_ns, end_ns=end_ns, unlabelled=unlabelled)


def _refuse_unknown(wanted: Iterable[str], whole: Dataset) -> None:
    there = {
        str(asset)
        for table in TABLES
        for asset in getattr(whole, table)
        .select((asset_of_window() if table == "history" else pl.col("asset")).alias("asset"))["asset"]
        .unique()
    }
    if unknown := [asset or "(empty)" for asset in wanted if asset not in there]:
        has = ", ".join(sorted(there)) or "none"
        raise DataUnreadable(f"{whole.name} has nothing of the asset {', '.join(unknown)}; it has {has}")
