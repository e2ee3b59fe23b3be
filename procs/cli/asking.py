"""Asks running processes from a command: where they are, all at once, one second for each.

Never starts or stops anything. A process that does not answer is a result here, not an error.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import CallRefused, CallTimedOut, LaggardError
from common.messages import AccountReport, Answer, Command, ReadAccount
from common.runtime.clock import SystemClock
from common.runtime.paths import make_paths
from common.units import SECOND
from procs.cli.configuration import load_config
from procs.cli.stack import Stack, own_stack, read_meeting, supervisor_pid

Outcome = Answer | CallTimedOut | CallRefused


class NoAnswer(LaggardError):
    """The one process a command depends on did not answer."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command finds the processes."""

    stack: Stack
    supervisor: int | None
    """Pid of supervisord; None when it does not run."""
    run_dir: Path


def find_place() -> Place:
    """Where processes run or would run: by environment, else the starter's note, else configuration."""
    stack = own_stack()
    pid = supervisor_pid(stack)
    named = os.environ.get("LAGGARD_RUN_DIR")
    if named:
        return Place(stack, pid, Path(named))
    meeting = read_meeting(stack) if pid is not None else None
    if meeting is not None:
        return Place(stack, pid, Path(meeting.run_dir))
    config = load_config()
    return Place(stack, pid, make_paths(config.paths.state_dir, config.paths.run_dir).run_dir)


def ask(run_dir: Path, questions: Mapping[str, Command], *, timeout_s: float = 1.0) -> dict[str, Outcome]:
    """Ask every named role its question at once."""
    return asyncio.run(_ask(run_dir, questions, timeout_s))


async def _ask(run_dir: Path, questions: Mapping[str, Command], timeout_s: float) -> dict[str, Outcome]:
    import zmq.asyncio

    from common.runtime.calls import call_all

    ctx = zmq.asyncio.Context()
    timeout_ns = int(timeout_s * SECOND)
    try:
        return await call_all(
            ctx, run_dir, "cli", dict(questions), clock=SystemClock(), timeout_ns=timeout_ns
        )
    finally:
        ctx.destroy(linger=0)


def ask_one(run_dir: Path, role: str, question: Command) -> Answer:
    """Ask one role; raises NoAnswer saying what to do when it does not answer."""
    outcome = ask(run_dir, {role: question})[role]
    if isinstance(outcome, CallTimedOut):
        raise NoAnswer(f"the {role} does not answer; laggard status says what runs, laggard up starts it")
    if isinstance(outcome, CallRefused):
        raise NoAnswer(f"the {role} refused: {outcome.text} ({outcome.code})")
    return outcome


def ask_account(run_dir: Path) -> AccountReport:
    """The executor's account, positions and orders; raises NoAnswer."""
    answer = ask_one(run_dir, "executor", ReadAccount())
    if not isinstance(answer, AccountReport):
        raise NoAnswer(
            f"the executor answered {type(answer).__name__} instead of its account; update all processes"
        )
    return answer
