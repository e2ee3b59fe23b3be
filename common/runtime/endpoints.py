"""The one table of processes and the addresses they bind."""

from pathlib import Path

from common.errors import DependencyMissing

ORACLES = ("oracle-chainlink", "oracle-polybolt", "oracle-rtds", "oracle-exchange")
ROLES = (*ORACLES, "books", "strategist", "executor", "redeemer", "recorder", "telegram", "sentinel", "venue")
"""Every process there is, in the order in which people think of them."""

MAX_PATH = 107
"""Longest name of a unix socket in bytes."""


def publish_endpoint(run_dir: Path, role: str) -> str:
    """Where the process publishes."""
    return _ipc(run_dir / f"{role}.pub")


def answer_endpoint(run_dir: Path, role: str) -> str:
    """Where the process answers commands."""
    return _ipc(run_dir / f"{role}.rep")


def _ipc(path: Path) -> str:
    if len(bytes(path)) > MAX_PATH:
        raise DependencyMissing(
            f"the socket path {path} has {len(bytes(path))} bytes, a unix socket at most {MAX_PATH}; "
            "set LAGGARD_RUN_DIR to a shorter directory"
        )
    return f"ipc://{path}"
