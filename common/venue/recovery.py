"""Coming back: the executor's state from its journal, and the marker a broken-off run leaves behind."""

import os
from pathlib import Path

import structlog

from common.core import ledger
from common.core.holds import OWN_NAME
from common.core.order_state import (
    State,
)
from common.errors import DependencyMissing
from common.messages import PostureState
from common.runtime.clock import Clock
from common.runtime.config import Config
from common.store.journal import Journal
from common.units import SECOND, usd6_floor

MARKER = "executor.halt"
"""Its presence in the state directory makes the next start begin halted."""
KILL_SWITCH = "kill switch: "
"""How the marker begins that a person left for an executor which did not answer."""


def recover(
    journal: Journal,
    config: Config,
    clock: Clock,
    logger: structlog.typing.FilteringBoundLogger,
    balance_usd6: int | None = None,
) -> State:
    """The state as the journal has it; a journal's first start opens the account.

    ``balance_usd6`` is what a live account opens with; a paper account opens with its configured bankroll.
    Raises DependencyMissing when the journal belongs to another mode.
    """
    wall_ns, mono_ns = clock.wall_ns(), clock.mono_ns()
    bankroll = usd6_floor(config.paper.bankroll_usd) if balance_usd6 is None else balance_usd6
    found = journal.read()
    if found is None:
        first = PostureState(posture="trading", reason="first start", who=OWN_NAME, since_ns=wall_ns)
        journal.open_account(config.mode, bankroll, ledger.opening(1, wall_ns, bankroll), first)
        found = journal.read()
        assert found is not None
    if found.mode != config.mode:
        raise DependencyMissing(
            f"the journal {journal.path} holds a {found.mode} account, the configuration says {config.mode}; "
            "name another state directory"
        )
    if config.mode == "paper" and found.books.bankroll_usd6 != bankroll:
        logger.warning("bankroll_kept", text="the account keeps the bankroll it was opened with")
    recent = (order.state.created_ns for order in found.books.orders.values())
    return State(
        strategy=config.strategy_settings(),
        limits=config.risk_limits(),
        books=found.books,
        posture=found.posture,
        incomplete=True,
        orders=config.order_settings(),
        order_times_ns=tuple(mono_ns - (wall_ns - at) for at in recent if 0 <= wall_ns - at < 60 * SECOND),
    )


def leave_marker(state_dir: Path, reason: str) -> None:
    """Make the next start begin halted; a disk that cannot take even this is not made worse."""
    try:
        descriptor = os.open(state_dir / MARKER, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(reason)
            file.flush()
            os.fsync(file.fileno())
        _settle(state_dir)
    except OSError:
        return


def lift_kill_switch(state_dir: Path) -> str:
    """Take back what a kill switch left, for good; why that could not be done, or empty.

    The marker of a run that broke off stays.
    """
    try:
        if (read_marker(state_dir) or "").startswith(KILL_SWITCH):
            (state_dir / MARKER).unlink(missing_ok=True)
        # Also where there is none: a start that met it may not have seen its removal to the disk.
        _settle(state_dir)
    except OSError as error:
        return f"the note of the kill switch stays ({error.strerror}), so the next start begins halted"
    return ""


def read_marker(state_dir: Path) -> str | None:
    """Why the last run broke off, or None when it did not."""
    try:
        return (state_dir / MARKER).read_text(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"its reason cannot be read ({error.strerror})"


def _settle(directory: Path) -> None:
    """What was made or removed in it outlives a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
