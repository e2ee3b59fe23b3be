"""The bench as a user runs it, for a short time: it measures, and says when something is lost."""

import json
import subprocess
import sys

import pytest

from procs.cli.stack import ROOT

pytestmark = [pytest.mark.procs, pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(180)]


def test_a_short_bench_loses_nothing_and_proves_books() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "procs.cli.bench", "--seconds", "10", "--frames", "1000", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    traffic = told["traffic"]
    assert traffic["reasons"] == []
    assert traffic["missed"] == traffic["proofs_failed"] == traffic["refused"] == 0
    assert traffic["book_frames_per_s"] > 700
    assert traffic["proofs"] > 8 * 10 * 0.8, "each of the eight open tokens about once a second"
    assert {"books", "strategist", "oracle-chainlink"} <= traffic["cpu_percent"].keys()
    assert all(cost["times_floor"] > 0 for cost in told["costs"])
