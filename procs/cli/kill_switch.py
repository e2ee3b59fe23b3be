"""The kill switch for an executor that does not answer: a note in its state directory, obeyed at its start.

Owns the notes that ``laggard halt`` leaves. Never touches one that the executor left for itself.
"""

import os
from pathlib import Path

from common.errors import LaggardError
from common.runtime.config import load_config
from common.runtime.paths import make_paths
from common.venue import recovery
from common.venue.recovery import leave_marker, read_marker
from procs.cli.stack import own_stack, read_meeting, supervisor_pid

SIGNATURE = recovery.KILL_SWITCH


def leave_kill_switch(reason: str) -> bool:
    """Make the executor's next start begin halted; False when the note could not be written.

    A note of the executor itself says more and is kept: it has the same effect.
    """
    directory = state_dir()
    if directory is None:
        return False
    if not read_marker(directory):
        leave_marker(directory, f"{SIGNATURE}{reason}")
    return bool(read_marker(directory))


def lift_kill_switch() -> None:
    """Take back a note that no start has read: somebody resumed since.

    The executor has done it before it answered; one of an earlier version has not.
    """
    directory = state_dir()
    if directory is not None:
        recovery.lift_kill_switch(directory)


def state_dir() -> Path | None:
    """Where the running or the next executor keeps its state; None when nothing says so.

    It has to be the executor that was asked: an environment that names other processes than those of this
    checkout names their state too.
    """
    stack = own_stack()
    meeting = read_meeting(stack) if supervisor_pid(stack) is not None else None
    named = os.environ.get("LAGGARD_RUN_DIR")
    if meeting is not None and (not named or Path(named) == Path(meeting.run_dir)):
        return Path(meeting.state_dir)
    try:
        paths = load_config().paths
    except LaggardError:
        return None
    return make_paths(paths.state_dir, paths.run_dir).state_dir
