"""The same sums on a Dask cluster: windows are dealt out to workers, and integers come back.

Owns the dealing out. Workers run ``kernel.totals`` itself, and one whose sources differ is refused.
"""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import DependencyMissing
from common.research.falsification import verdict
from common.research.falsification.verdict import code_hash
from common.research.grids import kernel
from common.research.grids.grid import Array, Grid
from common.research.grids.kernel import Cells

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS_PER_THREAD = 3
CONNECT_S = 10


@contextmanager
def totals_on(address: str) -> "Iterator[Callable[[Grid, Cells, Sequence[int] | Array | None], Array]]":
    """``kernel.totals`` on the cluster of this scheduler; raises DependencyMissing when it cannot be used."""
    from distributed import Client

    try:
        client: Any = Client(address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise DependencyMissing(
            f"no Dask scheduler answers at {address}: {error}; start one with dask scheduler, "
            "or leave --scheduler out"
        ) from error
    with client:
        codes = client.run(verdict.code_hash)
        if not codes:
            raise DependencyMissing(
                f"the scheduler at {address} has no worker; start one with dask worker {address}"
            )
        others = sorted(worker for worker, code in codes.items() if code != code_hash())
        if others:
            raise DependencyMissing(
                f"workers run other sources than this machine: {', '.join(others)}; "
                "install the same laggard there"
            )
        threads = sum(client.nthreads().values())

        def totals(grid: Grid, cells: Cells, bounds: Sequence[int] | Array | None = None) -> Array:
            edges = np.asarray([0, len(grid.windows)] if bounds is None else bounds, np.int64)
            return _dealt(client, threads, grid, cells, edges)

        yield totals


def _dealt(client: Any, threads: int, grid: Grid, cells: Cells, edges: Array) -> Array:
    """Each part is summed by the blocks it touches; adding integers is exact in any order."""
    cuts = np.unique(np.linspace(edges[0], edges[-1], PARTS_PER_THREAD * threads + 1).astype(np.int64))
    waiting, touched = [], []
    for first, last in pairwise(cuts):
        inner = np.union1d(edges[(edges > first) & (edges < last)], [first, last])
        part = client.scatter(grid.take(np.arange(first, last)), hash=False)
        waiting.append(client.submit(kernel.totals, part, cells, inner - first, pure=False))
        touched.append(np.searchsorted(edges, inner[:-1], side="right") - 1)
    blocks = np.zeros((len(edges) - 1, len(kernel.FIGURES), *cells.shape), np.int64)
    for place, sums in zip(touched, client.gather(waiting), strict=True):
        np.add.at(blocks, place, sums)
    return blocks
