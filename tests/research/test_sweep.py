"""The sweep: its blocks, what it holds out, the search accounted for, its speed, and a cluster."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from common.errors import DependencyMissing
from common.research.falsification import planted
from common.research.grids import cluster, kernel
from common.research.grids.grid import NO_MOVE, UNKNOWN, Grid
from common.research.grids.kernel import Cells
from common.research.grids.sweep import blocks_of, speed, sweep
from common.units import SECOND

ROOT = Path(__file__).parents[2]
FEW = Cells((300, 700, 1_500), (60, 300), (5_500, 6_200), (5_000_000, 10_000_000))
LISTENS = re.compile(r"Scheduler at:\s+(tcp://\S+)")


def grid(windows: int = 200, lag_s: int = 0, seed: int = 1) -> Grid:
    return planted.grid_of(planted.make(planted.World(windows=windows, lag_s=lag_s, seed=seed)))


def test_every_cell_is_there_once_and_its_parts_add_up() -> None:
    made = grid(lag_s=20)
    swept = sweep(made, FEW)
    assert len({cell[:4] for cell in swept.cells}) == FEW.number == 24
    assert swept.tried == 12, "the stake decides nothing"
    whole = kernel.totals(made, FEW)[0]
    assert sum(cell.trades for cell in swept.cells) == whole[0].sum()
    assert sum(cell.net_usd6 for cell in swept.cells) == whole[4].sum()
    newest = made.take(made.start_ns >= swept.split_ns)
    assert 0.35 <= len(newest.windows) / 200 <= 0.45
    held = kernel.totals(newest, FEW)[0]
    assert sum(cell.held_trades for cell in swept.cells) == held[0].sum()
    assert sum(cell.held_net_usd6 for cell in swept.cells) == held[4].sum()


def test_the_order_of_the_table_knows_nothing_of_what_is_held_out() -> None:
    made = grid(lag_s=20)
    _edges, split = blocks_of(made)
    upside_down = made._replace(outcome=made.outcome.copy())
    upside_down.outcome[split:] = 1 - upside_down.outcome[split:]
    one, other = ([cell[:4] for cell in sweep(each, FEW).cells] for each in (made, upside_down))
    assert one == other


def test_windows_without_a_book_or_an_outcome_have_no_part_in_it() -> None:
    made = grid(lag_s=20)
    blind = made.take(np.arange(200))
    blind.fill4[:, :40] = 0
    blind.outcome[40:50] = UNKNOWN
    blind.move_ppm[50:60] = NO_MOVE
    swept, seen = sweep(blind, FEW), sweep(made.take(np.arange(60, 200)), FEW)
    assert swept.windows == 140
    assert repr(swept) == repr(seen)


def test_a_handful_of_lucky_trades_does_not_lead_the_table() -> None:
    swept = sweep(grid(lag_s=20), Cells((300, 8_000), (60,), (6_200,), (10_000_000,)))
    rare = next(cell for cell in swept.cells if cell.move_ppm == 8_000)
    assert rare.trades < 20
    assert swept.cells[-1] == rare


def test_a_search_without_an_edge_finds_none_and_with_one_finds_it() -> None:
    assert min(cell.p for cell in sweep(grid(400), FEW).cells) > 0.05
    found = sweep(grid(600, lag_s=40), FEW)
    assert found.cells[0].p <= 0.05
    assert found.cells[0].held_returned > 0


def test_blocks_are_whole_openings_or_whole_days() -> None:
    made = grid(300)
    two = made._replace(start_ns=np.repeat(made.start_ns[:150], 2))
    edges, _split = blocks_of(two)
    assert (np.diff(edges) > 0).all() and edges[0] == 0 and edges[-1] == 300
    assert all(edge % 2 == 0 for edge in edges.tolist()), "both windows of an opening stay together"
    days = made._replace(start_ns=np.repeat(np.arange(60) * 86_400 * SECOND, 5))
    edges, split = blocks_of(days)
    assert len(edges) == 61 and split == 180


def test_a_sweep_over_nothing_is_a_table_of_nothing() -> None:
    swept = sweep(grid(3).take(np.arange(0)), FEW)
    assert (swept.windows, sum(cell.trades for cell in swept.cells)) == (0, 0)
    assert {cell.p for cell in swept.cells} == {1.0}


def test_the_speed_is_told_beside_what_reading_alone_costs() -> None:
    took = speed(grid(300), FEW, rounds=2)
    assert took.floor_seconds > 0 and took.seconds > 0
    assert (took.points, took.cells) == (270_000, 24)
    assert took.bytes_read == 300 * 900 * (4 + 4 * 2)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_grid_on_as_many_windows_as_the_published_backtest_takes_a_second_at_most() -> None:
    took = speed(grid(8_876), kernel.DEFAULT_CELLS)
    sys.stdout.write(f"{took} load {os.getloadavg()[0]:.1f}\n")
    assert took.cells == 625 and took.points == 8_876 * 900
    assert took.seconds <= 1.0


@contextmanager
def dask(workers: int) -> Iterator[str]:
    """A scheduler and so many workers as real processes on loopback."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DASK_DISTRIBUTED__ADMIN__LOG_FORMAT": "%(message)s",
    }
    plain = ["--host", "127.0.0.1", "--no-dashboard"]
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:], *plain]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/"
        )
        started.append(process)
        return process

    try:
        scheduler = start("scheduler", "--port", "0")
        assert scheduler.stderr is not None
        heard = ""
        for line in scheduler.stderr:
            heard += line
            if found := LISTENS.search(heard):
                break
        else:
            pytest.fail(f"the scheduler did not start: {heard}")
        for _ in range(workers):
            start("worker", found[1], "--nthreads", "1", "--no-nanny", "--memory-limit", "0")
        yield found[1]
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in reversed(started):
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


@pytest.mark.procs
@pytest.mark.timeout(180)
def test_a_cluster_of_real_workers_gives_the_same_numbers_to_the_last_unit() -> None:
    from distributed import Client

    made = grid(300, lag_s=20)
    with dask(2) as address:
        with Client(address, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        with cluster.totals_on(address) as totals:
            assert (totals(made, FEW, None) == kernel.totals(made, FEW)).all()
            edges = [0, 7, 8, 150, 299, 300]
            assert (totals(made, FEW, edges) == kernel.totals(made, FEW, edges)).all()
            there, here = sweep(made, FEW, totals), sweep(made, FEW)
            assert repr(there) == repr(here)


@pytest.mark.procs
@pytest.mark.timeout(120)
def test_a_scheduler_without_workers_and_an_address_without_a_scheduler_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with dask(0) as address, pytest.raises(DependencyMissing, match="no worker"):
        with cluster.totals_on(address):
            pass
    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    with pytest.raises(DependencyMissing, match="no Dask scheduler answers"):
        with cluster.totals_on("tcp://127.0.0.1:9"):
            pass


@pytest.mark.procs
@pytest.mark.timeout(120)
def test_a_worker_with_other_sources_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Client

    with dask(1) as address:
        with Client(address, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
        monkeypatch.setattr(cluster, "code_hash", lambda: "what this machine runs")
        with pytest.raises(DependencyMissing, match="other sources"):
            with cluster.totals_on(address):
                pass
