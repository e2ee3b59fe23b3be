"""Which processor cores a process runs on: the way from tick to order has one of its own. Linux only."""

import os
from collections.abc import Collection

HOT = ("oracle-", "strategist", "executor")
"""On the way from tick to order; by the beginning of the role's name."""


def cores_for(role: str, available: Collection[int]) -> frozenset[int]:
    """The last core for processes on the way from tick to order, the others for the rest; with one core, all.

    Together on one core a message wakes no other core, and the books' traffic never stands before a tick.
    """
    cores = sorted(available)
    if len(cores) < 2:
        return frozenset(cores)
    return frozenset(cores[-1:] if role.startswith(HOT) else cores[:-1])


def settle_on_cores(role: str) -> None:
    """Keep this process, and every thread it will start, to its cores; elsewhere than on Linux do nothing."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores_for(role, os.sched_getaffinity(0)))
