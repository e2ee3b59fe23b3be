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
    directories = state_dirs()
    for directory in directories:
        if not read_marker(directory):
            leave_marker(directory, f"{SIGNATURE}{reason}")
    return bool(directories) and all(read_marker(directory) for directory in directories)


def lift_kill_switch() -> None:
    """Take back a note that no start has read: somebody resumed since.

    The executor has done it before it answered; one of an earlier version has not.
    """
    configured = _configured()
    for directory in {*state_dirs(), *([configured] if configured else [])}:
        recovery.lift_kill_switch(directory)


def state_dirs() -> list[Path]:
    """Where the running executor keeps its state; where none runs, where the next one may.

    It has to be the executor that was asked: an environment that names other processes than those of this
    checkout names their state too. A service that is between two starts is in the last starter's note alone.
    """
    stack = own_stack()
    meeting = read_meeting(stack)
    named = os.environ.get("LAGGARD_RUN_DIR")
    ours = meeting is not None and (not named or Path(named) == Path(meeting.run_dir))
    found = [Path(meeting.state_dir)] if meeting is not None and ours else []
    if found and supervisor_pid(stack) is not None:
        return found
    configured = _configured()
    if configured is None:
        return found
    return [directory for directory in found if directory != configured and directory.is_dir()] + [configured]


def _configured() -> Path | None:
    try:
        paths = load_config().paths
    except LaggardError:
        return None
    return make_paths(paths.state_dir, paths.run_dir).state_dir
