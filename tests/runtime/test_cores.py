"""Cores: the way from tick to order has one of its own, and nobody is left without any."""

import os
import subprocess
import sys

import pytest

from common.runtime.cores import cores_for
from common.runtime.endpoints import ROLES


@pytest.mark.parametrize("available", [{0}, {0, 1}, {3, 5, 9}, set(range(16))])
def test_every_role_has_a_core_and_the_hot_ones_share_theirs_with_nobody(available: set[int]) -> None:
    hot = {role: cores_for(role, available) for role in ROLES if role.startswith(("oracle", "str", "exec"))}
    rest = {role: cores_for(role, available) for role in ROLES if role not in hot}
    assert {"oracle-rtds", "strategist", "executor"} <= hot.keys()
    assert {"books", "recorder", "sentinel"} <= rest.keys()
    assert all(cores and cores <= available for cores in (*hot.values(), *rest.values()))
    if len(available) > 1:
        assert len(set(hot.values())) == 1
        assert not any(cores & hot["executor"] for cores in rest.values())


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
def test_a_process_stays_where_it_was_put() -> None:
    code = (
        "import os; from common.runtime.cores import cores_for, settle_on_cores\n"
        "wanted = cores_for('executor', os.sched_getaffinity(0)); settle_on_cores('executor')\n"
        "assert os.sched_getaffinity(0) == wanted, (os.sched_getaffinity(0), wanted)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
